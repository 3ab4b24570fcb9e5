"""A low sun over ploughed fields: thick oil, bristle by bristle along a flow."""

import numpy as np
from PIL import Image

from .fields import blur, curve, grid, lit, mask, mix, noise, normals, picture, smoothstep

WIDTH, HEIGHT = 640, 512
SCALE = 2
SEED = 1888
SUN = np.array([432.0, 142.0])
VANISHING = np.array([300.0, 205.0])
HORIZON = 238.0


def paint(seed: int = SEED) -> Image.Image:
    """Paints the picture, [512, 640] in RGB."""
    rng = np.random.default_rng(seed)
    colours, angles, detail = _scene(rng)
    shape = (HEIGHT * SCALE, WIDTH * SCALE)
    canvas = np.empty((*shape, 3), np.float32)
    canvas[:] = (0.55, 0.36, 0.20)  # A warm ground that shows between the strokes.
    weave = noise(rng, *shape, 6, octaves=2) * 0.15
    relief = weave.astype(np.float32)
    # Width, length and spacing in pixels, least detail, and how the colours stray.
    layers = (
        (26, 90, 15, 0.0, 0.04),
        (14, 62, 8.5, 0.0, 0.05),
        (8, 40, 6.6, 0.33, 0.055),
        (5, 24, 5, 0.62, 0.05),
        (3.2, 13, 3, 0.9, 0.03),
    )
    for width, length, spacing, least, stray in layers:
        for x, y in _starts(rng, spacing):
            if _at(detail, x, y) < least * rng.uniform(0.75, 1.04):
                continue
            path = _path(x, y, angles, length * rng.uniform(0.6, 1.2), rng)
            middle = path[len(path) // 2]
            colour = _loaded(_at(colours, *middle), stray, rng)
            _stroke(canvas, relief, path * SCALE, width * SCALE * rng.uniform(0.7, 1.15), colour, rng)
    relief = blur(relief, 0.9)
    shaded = lit(canvas, relief * 1.15, 0.62, 0.20)
    return picture(shaded).resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


def _at(field: np.ndarray, x: float, y: float):
    """The field at the pixel of a point, or at the nearest one inside."""
    return field[int(min(max(y, 0), HEIGHT - 1)), int(min(max(x, 0), WIDTH - 1))]


def _starts(rng, spacing: float) -> np.ndarray:
    points = np.stack(
        np.meshgrid(np.arange(-8, WIDTH + 8, spacing), np.arange(-8, HEIGHT + 8, spacing)), -1
    )
    points = points.reshape(-1, 2)
    points = points + rng.uniform(-spacing, spacing, points.shape) * 0.6
    rng.shuffle(points)
    return points


def _path(x: float, y: float, angles: np.ndarray, length: float, rng) -> np.ndarray:
    """Follows the flow from a point; angles are given as the cosine and sine of themselves."""
    step, path = 4.0, [np.array([x, y])]
    bend = rng.normal(0, 0.12)
    cos, sin = np.cos(bend), np.sin(bend)
    for _ in range(max(2, int(length / step))):
        u, v = _at(angles, *path[-1])
        path.append(path[-1] + step * np.array([u * cos - v * sin, u * sin + v * cos]))
    return np.array(path) - (path[len(path) // 2] - path[0])


def _loaded(colour: np.ndarray, stray: float, rng) -> np.ndarray:
    """A brush is loaded with two tones: [2, 3]. Painters stray in hue more than in lightness."""
    shift = rng.normal(0, stray, 3)
    tones = np.stack([colour + shift, colour + shift * 0.4 + rng.normal(0, stray * 0.7, 3)])
    tones = tones + rng.normal(0, 0.045)
    grey = tones.mean(-1, keepdims=True)
    return np.clip(grey + (tones - grey) * 1.05, 0.02, 0.98)


def _stroke(canvas, relief, path, width, colour, rng) -> None:
    """Lays one stroke: every bristle has a tone and a height and runs dry at its own place."""
    along = int(np.hypot(*np.diff(path, axis=0).T).sum() / 0.85)
    across = int(width / 0.85)
    path = curve(path, along)
    t = np.linspace(-1, 1, across)
    s = np.linspace(0, 1, along)[:, np.newaxis]
    half = width / 2 * np.clip(0.72 + 1.6 * np.sqrt(s), 0, 1) * np.clip(1.05 - 0.35 * s**3, 0, 1)
    points = path[:, np.newaxis] + normals(path)[:, np.newaxis] * (t * half)[..., np.newaxis]
    column, row = points[..., 0].astype(int), points[..., 1].astype(int)

    coarse, fine = rng.normal(size=max(3, across // 7)), rng.normal(size=max(4, across // 3))
    place = np.linspace(0, 1, across)
    bristles = np.interp(place, np.linspace(0, 1, len(coarse)), coarse) * 0.6
    bristles += np.interp(place, np.linspace(0, 1, len(fine)), fine) * 0.7
    start = 0.05 * rng.uniform(0, 1) * np.abs(bristles) + 0.10 * t**2
    end = 1 - 0.13 * np.abs(bristles + 0.5) * rng.uniform(0.5, 1.5) - 0.12 * t**2
    inside = (s > start) & (s < end)
    inside &= (column >= 0) & (column < canvas.shape[1]) & (row >= 0) & (row < canvas.shape[0])
    if not inside.any():
        return
    share = np.clip(0.5 + 0.45 * bristles + 0.15 * np.sin(5 * s + coarse[0]), 0, 1)
    paint = mix(colour[0], colour[1], share)
    rim = smoothstep(0.72, 0.98, np.abs(t)) * 1.3 + smoothstep(0.8, 0.95, s) * 1.1
    height = (1.5 + bristles * 0.75 + rim) * (width / 30) ** 0.35 * (1.1 - 0.45 * s)
    column, row = column[inside], row[inside]
    below = canvas[row, column]
    wet = np.broadcast_to(0.08 + 0.25 * s**2, inside.shape)[inside][:, np.newaxis]
    canvas[row, column] = paint[inside] * (1 - wet) + below * wet
    relief[row, column] = relief[row, column] * 0.45 + height[inside]


def _scene(rng) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The motif: colours, the brush's direction, and how much detail each place gets."""
    x, y = grid(HEIGHT, WIDTH)
    wobble = noise(rng, HEIGHT, WIDTH, 150, octaves=3)
    colours, direction = _sky(x, y, wobble)
    detail = 0.25 + 0.5 * np.exp(-((np.hypot(x - SUN[0], y - SUN[1]) / 120) ** 2))

    def lay(cover, colour, u, v, fine):
        nonlocal colours, direction, detail
        colours = mix(colours, colour, cover)
        direction = mix(direction, np.stack(np.broadcast_arrays(u, v), -1), cover > 0.5)
        detail = detail * (1 - cover) + fine * cover

    ridge = 205 + 16 * np.sin(x / 70 + 0.6) + 9 * np.sin(x / 27) - 0.04 * x
    slope = np.gradient(ridge, axis=1)
    far = smoothstep(-1, 1, y - ridge)
    lay(
        far,
        mix((0.22, 0.30, 0.54), (0.50, 0.46, 0.66), smoothstep(0, 34, y - ridge + 9 * wobble)),
        1,
        slope,
        0.5,
    )
    ridge = 226 + 10 * np.sin(x / 95 + 2.4) + 3 * np.sin(x / 23)
    near = smoothstep(-1, 1, y - ridge)
    lay(
        near,
        mix((0.10, 0.30, 0.34), (0.30, 0.50, 0.30), smoothstep(0, 22, y - ridge + 6 * wobble)),
        1,
        0.2 * wobble,
        0.65,
    )

    ground, u, v = _fields(x, y, wobble)
    lay(smoothstep(-1, 1, y - HORIZON - 4 * np.sin(x / 60)), ground, u, v, 0.35 + 0.25 * (y < 330))
    for centre, base, height, girth in (
        (92, 398, 318, 40),
        (146, 372, 190, 27),
        (548, 290, 82, 13),
        (574, 284, 60, 11),
    ):
        lay(*_cypress(x, y, centre, base, height, girth, wobble), 0.66)
    for cover, colour in _farm():
        lay(cover, colour, 1, 0.05, 0.95)
    length = np.hypot(direction[..., 0], direction[..., 1])[..., np.newaxis]
    return colours, direction / np.maximum(length, 1e-6), detail


def _sky(x, y, wobble):
    """Rings of light about the sun run out into streams across the sky."""
    dx, dy = x - SUN[0], y - SUN[1]
    ring = np.hypot(dx, dy)
    blue = mix((0.10, 0.24, 0.56), (0.34, 0.62, 0.74), smoothstep(20, 235, y + 16 * wobble))
    stream = np.sin(y / 11 + 2.6 * np.sin(x / 85 + 0.4) + 1.3 * wobble)
    blue = mix(blue, (0.62, 0.80, 0.76), smoothstep(0.35, 0.95, stream) * 0.75)
    blue = mix(blue, (0.10, 0.17, 0.45), smoothstep(0.4, 0.95, -stream) * 0.6)
    halo = np.exp(-((ring / 125) ** 2))
    band = 0.5 + 0.5 * np.sin(ring / 8.0 + 0.5 * wobble)
    warm = mix((0.96, 0.60, 0.16), (1.0, 0.86, 0.42), band)
    colours = mix(blue, warm, np.clip(halo * 1.25, 0, 0.95) * (0.55 + 0.45 * band))
    colours = mix(colours, (0.93, 0.62, 0.42), smoothstep(165, 225, y + 8 * wobble) * 0.55)
    colours = mix(colours, (1.0, 0.95, 0.62), smoothstep(37, 31, ring))
    round_sun = np.exp(-((ring / 150) ** 2)) * 1.6
    u = -dy / (ring + 1) * round_sun + 1.0 * (1 - 0.6 * halo)
    v = dx / (ring + 1) * round_sun + 0.85 * np.cos(x / 85 + 0.4) * 0.8 + 0.35 * wobble
    return colours, np.stack([u, v], -1)


def _fields(x, y, wobble):
    """Strips of crops whose rows run to a vanishing point: colours and direction."""
    dx, dy = x - VANISHING[0], y - VANISHING[1]
    depth = np.maximum(dy, 8)
    row = dx / depth
    strips = np.digitize(row + 0.06 * np.sin(depth / 30), (-3.6, -1.75, -0.55, 0.55, 1.6, 3.4))
    palette = np.array(
        [
            [(0.36, 0.20, 0.30), (0.62, 0.34, 0.30)],
            [(0.26, 0.44, 0.20), (0.62, 0.68, 0.26)],
            [(0.86, 0.58, 0.14), (0.98, 0.82, 0.36)],
            [(0.44, 0.26, 0.36), (0.80, 0.50, 0.38)],
            [(0.78, 0.48, 0.12), (0.99, 0.84, 0.40)],
            [(0.16, 0.38, 0.30), (0.52, 0.64, 0.30)],
            [(0.70, 0.36, 0.18), (0.95, 0.68, 0.28)],
        ]
    )
    furrow = smoothstep(-0.5, 0.5, np.sin(row * 26 + 0.5 * wobble))
    pair = palette[strips]
    ground = mix(pair[:, :, 0], pair[:, :, 1], furrow * 0.9)
    ground = mix(
        ground,
        (0.98, 0.74, 0.40),
        np.exp(-(((x - SUN[0] + dy * 0.2) / 110) ** 2)) * smoothstep(300, 240, y) * 0.6,
    )
    poppies = (np.sin(x * 0.9 + 3 * wobble) * np.sin(y * 0.8 - 2 * wobble) > 0.72) & (strips == 1)
    ground = mix(ground, (0.82, 0.16, 0.12), poppies * 0.9)
    return ground, dx / np.hypot(dx, dy) + 0.12 * wobble, dy / np.hypot(dx, dy)


def _cypress(x, y, centre, base, height, girth, wobble):
    """A flame of a tree: cover, colour and direction."""
    up = (base - y) / height
    middle = centre + 8 * np.sin(up * 5 + centre) * (girth / 30)
    body = girth * np.clip(up, 0, 1) ** 0.35 * np.sqrt(np.clip(1 - up, 0, 1)) * 1.25
    body = body + 2.5 * wobble * (girth / 30)
    inside = smoothstep(-1.5, 1.5, body - np.abs(x - middle)) * (up > 0) * (up < 1)
    across = (x - middle) / np.maximum(body, 1)
    lick = np.sin(across * 5 + up * 22 + wobble)
    colour = mix((0.05, 0.14, 0.16), (0.12, 0.30, 0.20), smoothstep(-0.6, 0.6, lick))
    colour = mix(
        colour, (0.46, 0.50, 0.18), smoothstep(0.2, 0.9, across) * smoothstep(0.2, 0.8, lick) * 0.9
    )
    return inside, colour, across * 0.45 + 0.45 * np.sin(up * 16 + 1.5 * wobble), -np.ones_like(x)


def _farm():
    """A house under the hills, one wall in the sun's colour and a roof of tiles."""
    shapes = (
        ([(205, 253), (205, 220), (252, 217), (252, 254)], (0.90, 0.80, 0.62)),
        ([(252, 254), (252, 217), (284, 226), (284, 251)], (0.45, 0.42, 0.62)),
        ([(196, 223), (214, 198), (262, 196), (292, 228), (254, 218)], (0.76, 0.28, 0.16)),
        ([(224, 253), (224, 236), (234, 236), (234, 253)], (0.18, 0.20, 0.40)),
        ([(240, 241), (240, 231), (247, 231), (247, 241)], (0.22, 0.30, 0.50)),
        ([(226, 202), (226, 188), (235, 188), (235, 202)], (0.62, 0.30, 0.24)),
    )
    for polygon, colour in shapes:
        yield mask(HEIGHT, WIDTH, [polygon]), np.array(colour)
