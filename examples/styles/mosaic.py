"""A peacock among pomegranates: a mosaic whose rows follow the figures."""

import numpy as np
from PIL import Image, ImageDraw

from .fields import curve, grid, mix, noise, ribbon, smoothstep
from .tesserae import HEIGHT, WIDTH, directions, distance, edges, inlay, lay

SEED = 547
BORDER = 43

CREAM = ((0.90, 0.84, 0.70), (0.93, 0.88, 0.76), (0.86, 0.78, 0.62))
NIGHT = ((0.10, 0.14, 0.26), (0.13, 0.20, 0.36), (0.09, 0.11, 0.20))
AZURE = ((0.11, 0.22, 0.48), (0.13, 0.40, 0.62), (0.28, 0.64, 0.72), (0.58, 0.82, 0.78))
JADE = ((0.07, 0.25, 0.25), (0.10, 0.42, 0.38), (0.25, 0.58, 0.44), (0.52, 0.72, 0.50))
LEAF = ((0.12, 0.26, 0.16), (0.25, 0.42, 0.20), (0.48, 0.58, 0.26), (0.70, 0.72, 0.38))
FRUIT = ((0.36, 0.09, 0.10), (0.64, 0.16, 0.13), (0.80, 0.32, 0.20), (0.92, 0.62, 0.44))
WOOD = ((0.24, 0.15, 0.11), (0.42, 0.27, 0.17), (0.60, 0.42, 0.26))
GOLD = ((0.58, 0.36, 0.12), (0.80, 0.56, 0.18), (0.93, 0.75, 0.34))
CLAY = ((0.54, 0.22, 0.15), (0.70, 0.34, 0.22), (0.82, 0.50, 0.34))
WHITE = ((0.93, 0.91, 0.85),)
BLACK = ((0.07, 0.07, 0.09),)


class Design:
    """The cartoon: for each pixel its figure, and for each figure its colours and stones."""

    def __init__(self):
        """The ground alone."""
        self.figures = Image.new("I", (WIDTH, HEIGHT), 0)
        self.ramps, self.stones, self.rows = [CREAM], [8.2], [4.5]

    def add(self, outline, ramp, stone: float, row: float = 4.5) -> None:
        """A figure: its ramp of colours goes inwards from its contour, `row` pixels to each."""
        draw = ImageDraw.Draw(self.figures)
        draw.polygon(np.asarray(outline, float).ravel().tolist(), fill=len(self.ramps))
        self.ramps.append(ramp)
        self.stones.append(stone)
        self.rows.append(row)


def paint(seed: int = SEED) -> Image.Image:
    """Paints the picture, [512, 640] in RGB."""
    rng = np.random.default_rng(seed)
    design = Design()
    _garden(design)
    _peacock(design)
    _border(design)
    figures = np.asarray(design.figures)
    contours = edges(figures)
    away = distance(contours)
    colours = _cartoon(design, figures, away, rng)
    rows = directions(away)
    stones = np.array(design.stones)[figures]
    sites = lay(figures, contours, rows, stones, rng)
    return inlay(sites, figures, rows, stones, colours, rng)


def _circle(x, y, radius, flat=1.0) -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    return np.stack([x + radius * np.cos(t), y + flat * radius * np.sin(t)], -1)


def _leaf(design, x, y, angle, length) -> None:
    along = np.array([np.cos(angle), np.sin(angle)])
    t = np.linspace(0, 1, 20)
    path = np.array([x, y]) + t[:, np.newaxis] * along * length
    path = path + (np.sin(np.pi * t) * length * 0.08)[:, np.newaxis] * along[::-1] * (-1, 1)
    design.add(ribbon(path, np.sin(np.pi * t**0.8) * length * 0.44 + 0.5), LEAF, 6.0, 4.0)


def _fruit(design, x, y, radius) -> None:
    for k in (-0.5, 0, 0.5):
        crown = np.array(
            [
                (x - 4 + 6 * k, y - radius + 3),
                (x + 16 * k, y - radius - 11),
                (x + 4 + 6 * k, y - radius + 3),
            ]
        )
        design.add(crown, GOLD[1:], 5.0)
    design.add(_circle(x, y, radius), FRUIT, 5.8, 5.0)
    design.add(
        _circle(x - radius * 0.25, y + radius * 0.1, radius * 0.42, 1.15),
        ((0.80, 0.32, 0.20), (0.97, 0.78, 0.60)),
        5.0,
    )


def _garden(design) -> None:
    """Boughs, leaves, pomegranates and strewn flowers."""
    boughs = (
        (curve([(30, 396), (130, 384), (236, 362), (330, 366), (432, 404), (520, 470)], 60), 19, 10),
        (curve([(150, 378), (112, 340), (104, 290), (120, 240)], 30), 10, 5),
        (curve([(610, 96), (520, 118), (440, 108), (366, 124)], 40), 13, 5),
        (curve([(520, 116), (498, 150), (502, 186)], 30), 8, 5),
        (curve([(210, 368), (196, 412), (206, 440)], 24), 8, 5),
    )
    for path, thick, thin in boughs:
        design.add(ribbon(path, np.linspace(thick, thin, len(path))), WOOD, 5.6, 3.6)
    leaves = (
        (112, 346, 3.5, 46),
        (106, 316, -0.35, 50),
        (106, 290, 3.7, 44),
        (114, 262, -0.6, 44),
        (120, 246, -1.9, 44),
        (70, 392, -2.2, 40),
        (160, 376, -1.1, 40),
        (86, 392, 1.2, 44),
        (250, 364, 1.0, 46),
        (330, 372, 1.7, 44),
        (410, 392, -0.55, 46),
        (386, 388, 1.5, 48),
        (370, 124, 2.9, 48),
        (402, 116, -2.2, 42),
        (430, 110, 1.2, 44),
        (468, 110, -1.2, 44),
        (540, 112, -1.9, 40),
        (548, 110, 0.9, 46),
        (500, 172, 2.7, 42),
        (504, 180, 0.3, 44),
        (200, 420, 2.6, 44),
        (205, 425, 0.5, 44),
        (576, 104, -2.4, 38),
    )
    for leaf in leaves:
        _leaf(design, *leaf)
    for x, y, radius in ((82, 238, 24), (503, 208, 25), (342, 156, 22), (140, 440, 25), (330, 434, 25)):
        _fruit(design, x, y, radius)
    for x, y in (
        (160, 110),
        (94, 120),
        (330, 84),
        (180, 196),
        (570, 180),
        (452, 190),
        (262, 440),
        (430, 450),
        (82, 180),
        (575, 250),
    ):
        for k in range(5):
            a = 2 * np.pi * k / 5 + x
            design.add(_circle(x + 7.5 * np.cos(a), y + 7.5 * np.sin(a), 5.6), CLAY[1:], 5.2, 3)
        design.add(_circle(x, y, 3.6), GOLD[2:], 5.0)


def _peacock(design) -> None:
    """The bird stands on the lower bough and looks to the left."""
    train = [
        (366, 236),
        (430, 244),
        (500, 278),
        (556, 340),
        (590, 424),
        (572, 452),
        (530, 440),
        (470, 392),
        (412, 330),
        (372, 296),
    ]
    design.add(curve(train, 120, closed=True), JADE, 6.2, 6.0)
    for k, (x, y) in enumerate(
        (
            (420, 266),
            (414, 302),
            (464, 290),
            (460, 336),
            (506, 330),
            (500, 380),
            (544, 386),
            (544, 424),
            (572, 420),
            (572, 440),
        )[:8]
    ):
        r = 11.5 + 0.5 * k
        design.add(_circle(x, y, r), GOLD[1:], 5.0)
        design.add(_circle(x, y, r * 0.66), (AZURE[2], AZURE[2]), 4.6)
        design.add(_circle(x, y, r * 0.36), (AZURE[0],), 4.4)
    for top, foot in (((296, 306), (290, 356)), ((330, 306), (336, 358))):
        path = curve([top, (np.array(top) + foot) / 2 + (4, 0), foot], 12)
        design.add(ribbon(path, 6.5), CLAY[1:], 5.0)
        for toe in (-14, -5, 9):
            design.add(ribbon(np.linspace(foot, np.array(foot) + (toe, 7), 6), 5.0), CLAY[1:], 4.6)
    for x, y in ((216, 82), (236, 74), (256, 82)):
        design.add(ribbon(np.linspace((238, 122), (x, y), 8), 3.6), (AZURE[0],), 4.4)
        design.add(_circle(x, y, 6.0), (AZURE[2],), 4.6)
    body = [
        (215, 142),
        (220, 122),
        (238, 114),
        (254, 124),
        (260, 150),
        (272, 188),
        (318, 214),
        (380, 236),
        (396, 262),
    ]
    body += [(378, 296), (330, 314), (282, 306), (246, 276), (228, 232), (226, 190), (222, 162)]
    design.add(curve(body, 160, closed=True), AZURE, 5.8, 5.2)
    wing = [
        (274, 216),
        (312, 222),
        (362, 240),
        (412, 268),
        (400, 280),
        (352, 286),
        (306, 278),
        (280, 254),
    ]
    design.add(curve(wing, 100, closed=True), (CLAY[0], CLAY[1]), 5.4, 4.5)
    for k in range(4):
        inner = [(288 + 6 * k, 228 + 13 * k), (330 + 6 * k, 236 + 11 * k), (378 - 4 * k, 258 + 6 * k)]
        colours = ((GOLD[2], GOLD[1]), (WHITE[0], WHITE[0]), (GOLD[1], GOLD[0]), (WHITE[0], CREAM[2]))[
            k
        ]
        design.add(ribbon(curve(inner, 30), 6.5), colours, 5.0, 3)
    design.add([(218, 136), (190, 149), (218, 154)], GOLD, 4.8, 3)
    design.add(_circle(236, 139, 9.0, 0.85), WHITE, 4.2)
    design.add(_circle(235, 139, 4.0), BLACK, 4.4)


def _border(design) -> None:
    """A plait of two strands between two lines."""

    def frame(inset, ramp, stone):
        for k in range(4):  # Four boards with mitred corners.
            a, b = (
                np.array([0, 0, WIDTH, HEIGHT]),
                np.array([inset, inset, WIDTH - inset, HEIGHT - inset]),
            )
            out, inn = ([(r[0], r[1]), (r[2], r[1]), (r[2], r[3]), (r[0], r[3])] for r in (a, b))
            design.add([out[k], out[(k + 1) % 4], inn[(k + 1) % 4], inn[k]], ramp, stone, 90)

    frame(BORDER, (CLAY[0],), 5.6)
    frame(BORDER - 6, WHITE, 5.4)
    frame(BORDER - 11.5, (NIGHT[0],), 5.6)
    middle = (BORDER - 6) / 2
    for length, place in (
        (WIDTH, lambda s, t: (s, middle + t)),
        (WIDTH, lambda s, t: (s, HEIGHT - middle + t)),
        (HEIGHT, lambda s, t: (middle + t, s)),
        (HEIGHT, lambda s, t: (WIDTH - middle + t, s)),
    ):
        count = round((length - 2 * middle) / 29)
        start, pitch = middle, (length - 2 * middle) / count
        for k in range(count):
            for sign, ramp in ((1, (GOLD[2], GOLD[1])), (-1, (CLAY[1], CLAY[2]))):
                sign = sign if k % 2 else -sign
                s = np.linspace(start + pitch * (k - 0.06), start + pitch * (k + 1.06), 14)
                t = sign * 8.5 * np.sin(np.pi * (s - start) / pitch) * (1 if k % 2 else -1)
                path = np.stack(np.broadcast_arrays(*place(s, t)), -1)
                design.add(ribbon(path, 10.5), (NIGHT[0],), 5.4)
                design.add(ribbon(path, 6.8), ramp[:1] if sign > 0 else ramp[1:], 5.2)
            x, y = place(start + pitch * (k + 0.5), 0.0)
            design.add(_circle(x, y, 3.4), WHITE, 4.8)


def _cartoon(design, figures, away, rng) -> np.ndarray:
    """The colour that each place asks for."""
    colours = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    strange = noise(rng, HEIGHT, WIDTH, 60, octaves=3)
    for index, (ramp, row) in enumerate(zip(design.ramps, design.rows, strict=True)):
        inside = figures == index
        step = np.clip((away[inside] - 1.0) / row + 0.12 * strange[inside], 0, len(ramp) - 1).astype(
            int
        )
        colours[inside] = np.array(ramp)[step]
    x, y = grid(HEIGHT, WIDTH)
    ground = mix(CREAM[1], (0.84, 0.70, 0.47), smoothstep(-0.6, 1.8, strange + (y - 250) / 170))
    ground = np.where((away < 7.5)[..., np.newaxis], np.array((0.95, 0.92, 0.83)), ground)
    return np.where((figures == 0)[..., np.newaxis], ground, colours)
