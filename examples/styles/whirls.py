"""Whirls of gold over an ember ground: strokes of four widths along a flow."""

from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

WIDTH, HEIGHT = 768, 576
SCALE = 2  # Painted at twice the size and reduced, so that edges are smooth.
SEED = 1890

MIDNIGHT = ((13, 24, 66), (22, 44, 110), (30, 66, 150), (16, 33, 84))
SEA = ((24, 98, 160), (38, 134, 178), (86, 178, 190), (20, 74, 140))
GOLD = ((244, 180, 30), (252, 212, 84), (236, 140, 24), (255, 236, 160))
EMBER = ((200, 52, 28), (226, 92, 36), (150, 28, 40), (240, 128, 60))

# Centre x, centre y, radius and turning sense of each whirl, in widths of the picture.
WHIRLS = (
    (0.27, 0.27, 0.150, 1.0),
    (0.74, 0.20, 0.110, -1.0),
    (0.57, 0.50, 0.130, 1.0),
    (0.14, 0.62, 0.090, -1.0),
    (0.90, 0.52, 0.100, 1.0),
)

# Width, length and distance of the strokes in pixels, and the share of them that is painted.
STEP_PX = 5
LAYERS = ((54, 190, 30, 2.0), (30, 150, 22, 1.2), (15, 100, 14, 0.75), (7, 56, 9, 0.55))


def flow(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The angle of the brush at points given in widths of the picture."""
    u = 1.0 + 0.25 * np.sin(9 * y + 3 * x)
    v = 0.55 * np.sin(7.5 * x + 2.5 * y) + 0.2 * np.sin(21 * x - 9 * y)
    for centre_x, centre_y, radius, sense in WHIRLS:
        dx, dy = x - centre_x, y - centre_y
        distance = np.hypot(dx, dy) + 1e-6
        pull = 3.2 * np.exp(-((distance / (0.95 * radius)) ** 2))
        u = u - sense * pull * dy / distance
        v = v + sense * pull * dx / distance
    return np.arctan2(v, u)


def families(x: float, y: float, rng: np.random.Generator) -> tuple:
    """The colours at a point: gold in the whirls, ember ground, else bands of blue."""
    for centre_x, centre_y, radius, _ in WHIRLS:
        ring = np.hypot(x - centre_x, y - centre_y) / radius
        if ring < 0.42:
            return GOLD
        if ring < 1.0:
            band = np.sin(ring * 16 + rng.normal(0, 0.5))
            return GOLD if band > 0.55 else SEA if band > -0.5 else MIDNIGHT
    ground = 0.60 + 0.04 * np.sin(8 * x) + 0.02 * np.sin(23 * x)
    if y > ground:
        depth = np.sin((y - ground) * 70 + 4 * np.sin(6 * x)) + rng.normal(0, 0.4)
        return EMBER if depth > 0.1 else MIDNIGHT if depth > -0.7 else GOLD
    return SEA if np.sin(20 * y + 5 * np.sin(5 * x)) + rng.normal(0, 0.5) > 0.2 else MIDNIGHT


def detail(x: float, y: float) -> float:
    """How much of the finer strokes a place gets, 0.2 to 1: most of it in and near whirls."""
    near = max(np.exp(-((np.hypot(x - a, y - b) / r) ** 4)) for a, b, r, _ in WHIRLS)
    patches = 0.5 + 0.5 * np.sin(11 * x + 4 * np.sin(7 * y)) * np.sin(13 * y + 2 * x)
    return float(max(near, 0.2 + 0.6 * patches))


def strokes(rng: np.random.Generator) -> Iterator[tuple[np.ndarray, float, np.ndarray, float]]:
    """Paths, widths, colours and heights of paint, from the broadest to the finest."""
    for width_px, length_px, spacing_px, share in LAYERS:
        xs = np.arange(-width_px, WIDTH + width_px, spacing_px)
        ys = np.arange(-width_px, HEIGHT + width_px, spacing_px)
        points = np.stack(np.meshgrid(xs, ys), -1).reshape(-1, 2)
        points = points + rng.uniform(-spacing_px / 2, spacing_px / 2, points.shape)
        rng.shuffle(points)
        path, paths = points, []
        for _ in range(int(length_px * 1.2 / STEP_PX)):
            paths.append(path)
            angle = flow(path[:, 0] / WIDTH, path[:, 1] / WIDTH)
            path = path + STEP_PX * np.stack([np.cos(angle), np.sin(angle)], -1)
        for path in np.stack(paths, axis=1):
            x, y = path[0] / WIDTH
            if rng.uniform() > share * detail(x, y):
                continue
            family = families(x, y, rng)
            colour = np.array(family[rng.integers(len(family))]) + rng.normal(0, 9, 3)
            length = int(len(path) * rng.uniform(0.5, 1))
            yield path[:length], width_px * rng.uniform(0.75, 1.15), colour, rng.uniform(0.4, 1)


def paint(seed: int = SEED) -> Image.Image:
    """Paints the picture, [576, 768] in RGB."""
    rng = np.random.default_rng(seed)
    size = (WIDTH * SCALE, HEIGHT * SCALE)
    canvas = Image.new("RGB", size, MIDNIGHT[0])
    relief = Image.new("L", size, 0)
    draw, draw_relief = ImageDraw.Draw(canvas), ImageDraw.Draw(relief)
    for path, width, colour, height in strokes(rng):
        _stroke(draw, draw_relief, path * SCALE, width * SCALE, colour, height, rng)
    lit = _lit(canvas, relief)
    return lit.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


def _stroke(draw, draw_relief, path, width, colour, height, rng) -> None:
    """One stroke: a dark rim, then bristles side by side, each of its own tone."""
    normal = np.gradient(path, axis=0)[:, ::-1] * (-1, 1)
    normal /= np.hypot(*normal.T)[:, np.newaxis]
    taper = np.sin(np.linspace(0.25, np.pi - 0.12, len(path))) ** 0.5
    half = (taper * width / 2)[:, np.newaxis]
    rim = tuple(int(c) for c in np.clip(colour * 0.42, 0, 255))
    outline = np.concatenate([path + normal * half * 1.12, (path - normal * half * 1.12)[::-1]])
    draw.polygon(outline.ravel().tolist(), fill=rim)
    draw_relief.polygon(outline.ravel().tolist(), fill=int(60 * height))
    bristles = max(3, int(width / 5))
    edges = np.linspace(-1, 1, bristles + 1)
    for left, right in zip(edges[:-1], edges[1:], strict=True):
        tone = 1 + rng.normal(0, 0.13)
        end = len(path) - int(rng.integers(0, max(1, len(path) // 4)))
        band = np.concatenate(
            [(path + normal * half * left)[:end], (path + normal * half * right)[:end][::-1]]
        )
        fill = tuple(int(c) for c in np.clip(colour * tone, 0, 255))
        points = band.ravel().tolist()
        draw.polygon(points, fill=fill)
        draw_relief.polygon(points, fill=int(np.clip(255 * height * (0.75 + tone - 1), 0, 255)))


def _lit(canvas: Image.Image, relief: Image.Image) -> Image.Image:
    """Light from the upper left over the heights of the paint."""
    height = np.asarray(relief.filter(ImageFilter.GaussianBlur(1.6)), np.float32) / 255
    slope_y, slope_x = np.gradient(height)
    light = np.clip((slope_x + slope_y) * 3.2, -0.45, 0.45)
    colour = np.asarray(canvas, np.float32) / 255
    shaded = colour * (1 + light[..., None]) + np.clip(light, 0, 1)[..., None] * 0.16
    return Image.fromarray((np.clip(shaded, 0, 1) * 255 + 0.5).astype(np.uint8))
