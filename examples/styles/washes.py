"""A coast with a lighthouse: transparent washes, wet in wet and wet on dry, on rough paper."""

import numpy as np
from PIL import Image

from .fields import blur, curve, grid, ribbon, sample, smoothstep
from .sheet import SCALE, WIDTH, Sheet, dried

SEED = 1842

# What one layer of the pigment lets through.
COBALT = (0.38, 0.58, 0.86)
ULTRAMARINE = (0.26, 0.33, 0.68)
TURQUOISE = (0.30, 0.70, 0.74)
VIRIDIAN = (0.24, 0.52, 0.46)
OCHRE = (0.92, 0.74, 0.42)
SIENNA = (0.74, 0.42, 0.24)
ROSE = (0.93, 0.62, 0.58)
GOLD = (0.99, 0.85, 0.50)
UMBER = (0.36, 0.27, 0.24)
SAP = (0.50, 0.60, 0.24)
PAYNE = (0.30, 0.35, 0.44)
MAUVE = (0.62, 0.55, 0.70)
RED = (0.80, 0.25, 0.18)


SHORE = ((0, 436), (90, 412), (170, 384), (262, 358), (350, 336), (440, 318), (540, 306), (640, 302))
POINT = (
    (372, 262),
    (384, 246),
    (398, 240),
    (410, 231),
    (440, 225),
    (470, 219),
    (512, 216),
    (560, 203),
    (640, 186),
)
POINT_FOOT = ((640, 308), (560, 292), (470, 271))
FAR_POINT = (
    (250, 250),
    (300, 243),
    (342, 233),
    (382, 229),
    (430, 220),
    (500, 214),
    (640, 208),
    (640, 250),
)


def paint(seed: int = SEED) -> Image.Image:
    """Paints the picture, [480, 640] in RGB."""
    sheet = Sheet(np.random.default_rng(seed))
    tape = sheet.cover([[(12, 11), (629, 12), (628, 468), (11, 469)]], 0.55)
    sheet.reserve = tape
    tower = [(479.5, 176), (489, 176), (492, 221), (476.5, 221)]
    sails = (
        [(196, 262), (198, 226), (214, 260)],
        [(194, 262), (193, 234), (183, 261)],
        [(302, 256), (303, 240), (310, 255)],
    )
    cottage = [(520, 214), (520, 204), (540, 204), (540, 214)]
    sheet.reserve = tape * (1 - sheet.cover([tower, cottage, *sails], 0.2))
    _sky(sheet)
    _sea(sheet)
    _headlands(sheet)
    _beach(sheet)
    sheet.reserve = tape
    _small_things(sheet, tower, sails)
    _dunes(sheet)
    return dried(sheet)


def _sky(sheet) -> None:
    """A glow low down, then blue and violet run round the white of the clouds."""
    x, y = grid(*sheet.shape)
    x, y = x / SCALE, y / SCALE
    puff = sheet.noise(95, 52, octaves=6)
    heap = np.full(sheet.shape, -1.0, np.float32)
    for cx, cy, rx, ry in (
        (170, 126, 92, 34),
        (222, 100, 62, 40),
        (262, 122, 66, 30),
        (110, 142, 60, 22),
        (452, 66, 72, 26),
        (505, 84, 66, 22),
        (400, 84, 50, 16),
        (345, 176, 96, 13),
        (570, 158, 80, 12),
        (60, 190, 70, 9),
        (36, 70, 40, 12),
    ):
        heap = np.maximum(heap, (1 - ((x - cx) / rx) ** 2 - ((y - cy) / ry) ** 2) * min(1, ry / 30))
    cloud = heap + 0.30 * puff
    lower = np.roll(cloud, -9 * SCALE, 0) - np.roll(
        cloud, 9 * SCALE, 0
    )  # Above 0 where it grows downwards.
    low = smoothstep(120, 235, y) * smoothstep(268, 246, y)
    sheet.wash(low * smoothstep(560, 60, x + 40 * puff), GOLD, 0.75, 0, 0.15)
    sheet.wash(smoothstep(150, 225, y + 14 * puff) * smoothstep(262, 240, y), ROSE, 0.36, 0, 0.15, 0.5)
    soft, crisp = smoothstep(0.30, -0.45, cloud), smoothstep(-0.02, -0.10, cloud)
    hard = smoothstep(-0.1, 0.5, lower + 0.35 * sheet.drift[1])  # The tops dried first.
    blue = soft + (crisp - soft) * hard
    fade = smoothstep(225, 70, y + 10 * puff)
    sheet.wash(blue * fade, COBALT, 0.62, 0.32, 0.36, 0.55)
    sheet.wash(blue * smoothstep(135, 0, y + 16 * puff), ULTRAMARINE, 0.42, 0.2, 0.42, 0.75)
    sheet.wash(blue * smoothstep(60, 150, y) * smoothstep(235, 160, y), TURQUOISE, 0.22, 0, 0.2, 0.4)
    body = smoothstep(-0.1, 0.25, cloud) * smoothstep(0.25, -0.9, lower + 0.45 * puff)
    sheet.wash(blur(body, 3 * SCALE), MAUVE, 0.62, 0, 0.35, 0.5)
    sheet.wash(blur(body * smoothstep(0.0, 0.5, sheet.drift[1]), 2 * SCALE), PAYNE, 0.26, 0, 0.35, 0.5)
    sheet.wash(blur(body * smoothstep(0.0, 0.6, -sheet.drift[1]), 5 * SCALE), ROSE, 0.35, 0, 0.2, 0.5)
    sheet.blooms(
        ((74, 34, 22), (352, 40, 33), (604, 56, 27), (556, 122, 16), (330, 120, 13), (30, 150, 20))
    )


def _sea(sheet) -> None:
    """Flat strokes that leave sparks of paper, deeper towards the horizon."""
    y = grid(*sheet.shape)[1] / SCALE
    water = np.concatenate([[(0, 249), (640, 248)], curve(SHORE, 80)[::-1] - (0, 6)])
    cover = sheet.cover([water], 1.3) * (1 - sheet.cover([POINT + POINT_FOOT], 0.5))
    ripple = sheet.noise(70, 5, octaves=3)
    sparks = smoothstep(1.75, 0.9, ripple + 0.35 * sheet.tooth + 0.5 * smoothstep(300, 256, y))
    sheet.wash(cover * sparks, TURQUOISE, 0.62 + 0.1 * ripple, 0.35, 0.3)
    sheet.wash(cover * smoothstep(330, 252, y + 5 * ripple) * sparks, COBALT, 0.85, 0.2, 0.4)
    deep = sheet.cover([[(0, 249), (640, 248), (640, 262), (0, 264)]], 0.6)
    sheet.wash(deep * cover * sparks, ULTRAMARINE, 0.35, 0.4, 0.45)
    strokes = []
    for _ in range(92):
        far = sheet.rng.uniform(0, 1) ** 1.5
        cx, cy = sheet.rng.uniform(0, 640), 262 + 120 * far
        if cy > 345 - 0.1 * cx + 60 * (cx < 300) * (1 - cx / 300):
            continue
        half = sheet.rng.uniform(10, 26) * (0.7 + 1.5 * far)
        line = curve(
            [
                (cx - half, cy),
                (cx - half / 3, cy - 1.2),
                (cx + half / 3, cy + 1),
                (cx + half, cy - 0.4),
            ],
            24,
        )
        strokes.append(ribbon(line, np.sin(np.linspace(0.1, 3.0, 24)) * (1.5 + 4.2 * far)))
    for part, pigment, depth in ((0, COBALT, 0.6), (1, VIRIDIAN, 0.45), (2, ULTRAMARINE, 0.6)):
        sheet.wash(sheet.cover(strokes[part::3], 0.7, dry=-0.9) * cover, pigment, depth, 0.5, 0.3)


def _headlands(sheet) -> None:
    """Three points of land, each nearer, warmer and darker than the last."""
    middle = sheet.cover([POINT + POINT_FOOT], 0.6)
    far = sheet.cover([FAR_POINT], 0.7) * (1 - middle)
    sheet.wash(far, MAUVE, 0.75, 0.5, 0.3)
    sheet.wash(far * sheet.cover([FAR_POINT], 0.8, wet=4), COBALT, 0.45, 0, 0.3)
    sheet.wash(middle, OCHRE, 0.65, 0.5, 0.25, 0.5)
    sheet.wash(middle * sheet.cover([POINT + POINT_FOOT], wet=7), ROSE, 0.4, 0, 0.25, 0.7)
    top = [
        (410, 231),
        (440, 225),
        (470, 219),
        (512, 216),
        (560, 203),
        (640, 186),
        (640, 236),
        (560, 232),
        (500, 234),
        (440, 238),
    ]
    sheet.wash(sheet.cover([top], 1.0), SAP, 0.95, 0.7, 0.3, 0.45)
    sheet.wash(sheet.cover([top], 1.0, wet=5), VIRIDIAN, 0.35, 0, 0.3, 0.6)
    x, y = (v / SCALE for v in grid(*sheet.shape))
    cliff = middle * smoothstep(-1.5, 3, y - np.interp(x, (372, 410, 500, 640), (246, 238, 234, 238)))
    streak = sample(sheet.noise(13, 75, octaves=4), np.clip(x - 0.35 * y, 0, WIDTH) * SCALE, y * SCALE)
    sheet.wash(cliff * smoothstep(0.25, 0.5, streak), SIENNA, 0.5, 0.5, 0.3, 0.6)
    sheet.wash(cliff * smoothstep(0.3, 0.5, -streak), MAUVE, 0.75, 0.5, 0.3, 0.6)
    sheet.wash(cliff * smoothstep(0.95, 1.15, -streak), UMBER, 0.45, 0.3, 0.3, 0.6)
    shade = [
        (372, 262),
        (470, 269),
        (560, 288),
        (640, 298),
        (640, 306),
        (556, 297),
        (468, 276),
        (400, 268),
    ]
    sheet.wash(sheet.cover([shade], 1.0), UMBER, 0.3, 0.4, 0.4)
    bushes = [
        [
            (px - r, py),
            (px - r * 0.4, py - r * 0.8),
            (px + r * 0.5, py - r * 0.7),
            (px + r, py),
            (px, py + r * 0.4),
        ]
        for px, py, r in (
            (452, 226, 6),
            (505, 219, 8),
            (556, 212, 10),
            (574, 206, 11),
            (604, 202, 13),
            (628, 198, 12),
            (430, 231, 4),
        )
    ]
    sheet.wash(sheet.cover(bushes, 1.4), VIRIDIAN, 0.9, 0.9, 0.3, 0.5)
    sheet.wash(sheet.cover(bushes[2:6], 1.4, wet=2), PAYNE, 0.5, 0, 0.3, 0.5)
    sheet.pencil(curve(FAR_POINT[:6], 70), 0.25)
    sheet.pencil(curve(POINT[1:], 90), 0.32)


def _beach(sheet) -> None:
    """Sand, wet and dry, and the lines that the surf leaves on it."""
    line = curve(SHORE, 80)
    land = np.concatenate([line, [(640, 480), (0, 480)]])
    sheet.wash(sheet.cover([land], 0.8), OCHRE, 0.48, 0.5, 0.3)
    sheet.wash(sheet.cover([land + (30, 40)], 1.0, wet=12), ROSE, 0.35, 0, 0.3, 0.5)
    wet = np.concatenate([line + (0, 2), (line + np.linspace([14, 17], [2, 4], 80))[::-1]])
    sheet.wash(sheet.cover([wet], 1.6), MAUVE, 0.42, 0.6, 0.35, 0.7)
    sheet.wash(sheet.cover([wet + (8, 8)], wet=6), SIENNA, 0.25, 0, 0.3, 0.7)
    for k in range(4):
        t = np.linspace(0, 1, 80)
        swell = line - np.stack([12 + 10 * k + 0 * t, (9 + 11 * k) * (1 - 0.72 * t)], -1)
        swell = swell + np.stack([0 * t, (2.6 - 0.4 * k) * np.sin(t * (17 + 4 * k) + k)], -1)
        piece = swell[int(sheet.rng.integers(0, 9)) : 80 - 9 * k]
        width = (
            (6.5 - k)
            * (1.15 - 0.8 * np.linspace(0, 1, len(piece)))
            * np.abs(np.sin(np.linspace(0.3, 9 + k, len(piece)))) ** 0.6
        )
        sheet.wash(
            sheet.cover([ribbon(piece, width)], 1.2, dry=-1.1),
            VIRIDIAN if k % 2 else COBALT,
            0.7,
            0.7,
            0.3,
        )
    stones = []
    for _ in range(34):
        px = sheet.rng.uniform(150, 620)
        py = np.interp(px, *np.array(SHORE).T) + sheet.rng.uniform(14, 60)
        r = sheet.rng.uniform(0.8, 2.4)
        stones.append(
            [
                (px - 1.6 * r, py),
                (px - r * 0.5, py - r * 0.7),
                (px + r, py - r * 0.6),
                (px + 1.7 * r, py + 0.2),
                (px, py + r * 0.6),
            ]
        )
    sheet.wash(sheet.cover(stones, 0.5), UMBER, 0.9, 0.4, 0.3)
    sheet.blooms(((430, 372, 26), (250, 430, 20)))


def _small_things(sheet, tower, sails) -> None:
    """A lighthouse, a cottage, boats and gulls, with the point of the brush."""
    x1, y0 = tower[1]
    sheet.wash(
        sheet.cover([[(x1 - 4, y0), (x1, y0), (492, 221), (485, 221)]], 0.4), MAUVE, 0.9, 0.3, 0.2
    )
    sheet.wash(
        sheet.cover([[(478.6, 186), (489.8, 186), (490.6, 196), (477.7, 196)]], 0.3),
        RED,
        0.95,
        0.5,
        0.2,
    )
    sheet.wash(
        sheet.cover(
            [[(480, 168), (488, 168), (489, 175), (479, 175)], [(478, 168), (484, 161), (490, 168)]],
            0.3,
        ),
        PAYNE,
        1.3,
        0.5,
        0.2,
    )
    sheet.wash(
        sheet.cover([[(516, 206), (523, 194), (538, 194), (544, 206)]], 0.5), RED, 0.85, 0.6, 0.25
    )
    sheet.wash(
        sheet.cover([[(532, 205), (541, 205), (541, 214), (532, 214)]], 0.4), MAUVE, 0.8, 0.4, 0.2
    )
    sheet.wash(
        sheet.cover([[(524, 208), (528, 208), (528, 214), (524, 214)]], 0.3), UMBER, 1.1, 0.4, 0.2
    )
    sheet.wash(sheet.cover([sails[0]], 0.4), SIENNA, 0.85, 0.6, 0.2)
    sheet.wash(sheet.cover([sails[1]], 0.4), OCHRE, 0.8, 0.6, 0.2)
    hulls = [
        [(178, 264), (218, 263), (211, 271), (184, 271)],
        [(297, 257), (314, 256.5), (311, 260.5), (300, 260.5)],
    ]
    sheet.wash(sheet.cover(hulls, 0.4), UMBER, 1.25, 0.5, 0.25)
    gleam = [
        ribbon(
            [(186, 274 + 4 * k), (198 + 3 * (-1) ** k, 274 + 4 * k), (209 - 2 * k, 274.5 + 4 * k)],
            (1, 2.4, 1),
        )
        for k in range(5)
    ]
    sheet.wash(sheet.cover(gleam, 0.7), UMBER, 0.55, 0.4, 0.3)
    gulls = []
    for x, y, r in ((318, 128, 8), (340, 142, 6), (372, 120, 5), (352, 108, 4), (120, 206, 5)):
        wing = curve(
            [
                (x - r, y - r * 0.25),
                (x - r * 0.45, y - r * 0.42),
                (x, y),
                (x + r * 0.5, y - r * 0.5),
                (x + r, y - r * 0.2),
            ],
            20,
        )
        gulls.append(ribbon(wing, np.sin(np.linspace(0.2, 2.9, 20)) * r * 0.2 + 0.4))
    sheet.wash(sheet.cover(gulls, 0.3), PAYNE, 1.1, 0.3, 0.25)


def _dunes(sheet) -> None:
    """Foreground: a bank of sand, grass in dashes, and flicks of the brush."""
    bank = np.concatenate(
        [
            curve([(640, 366), (560, 384), (490, 408), (400, 424), (300, 452), (240, 480)], 60),
            [(640, 480)],
        ]
    )
    sheet.wash(sheet.cover([bank], 1.2), OCHRE, 0.6, 0.6, 0.3, 0.4)
    sheet.wash(sheet.cover([bank + (40, 34)], 1.2, wet=14), SIENNA, 0.36, 0, 0.35, 0.6)
    sheet.wash(sheet.cover([bank + (90, 18)], 1.2, wet=9), SAP, 0.55, 0, 0.3, 0.6)
    sheet.wash(sheet.cover([bank + (150, 40)], 1.2, wet=8), VIRIDIAN, 0.42, 0, 0.35, 0.6)
    corner = [(0, 452), (36, 446), (80, 456), (120, 480), (0, 480)]
    sheet.wash(sheet.cover([corner], 1.2), SIENNA, 0.6, 0.6, 0.35, 0.5)
    for pigment, depth, count, tall in (
        (SAP, 0.7, 120, 52),
        (OCHRE, 0.9, 50, 62),
        (VIRIDIAN, 0.75, 110, 44),
        (UMBER, 0.6, 50, 56),
    ):
        blades = []
        for _ in range(count):
            side = sheet.rng.uniform() < 0.15
            px = sheet.rng.uniform(10, 90) if side else 640 - 320 * sheet.rng.uniform(0, 1) ** 1.8
            py = (
                474
                if side
                else np.interp(px, (240, 300, 400, 490, 560, 640), (480, 456, 430, 414, 392, 376))
                + sheet.rng.uniform(4, 70)
            )
            long_ = (
                tall * sheet.rng.uniform(0.4, 1.0) * (0.5 if side else 0.45 + 0.55 * (px - 300) / 340)
            )
            lean = sheet.rng.normal(-0.30, 0.28)
            blade = curve(
                [
                    (px, py),
                    (px + lean * long_ * 0.35, py - long_ * 0.6),
                    (px + lean * long_, py - long_),
                ],
                16,
            )
            blades.append(ribbon(blade, np.linspace(2.1, 0.7, 16) * (1 + 0.2 * sheet.rng.normal())))
        sheet.wash(sheet.cover(blades, 0.15, dry=-1.9), pigment, depth, 0.5, 0.25)
    drops = []
    for _ in range(70):
        px, py = sheet.rng.normal(500, 95), sheet.rng.normal(412, 34)
        r, t = np.abs(sheet.rng.normal(0, 0.9)) + 0.4, np.linspace(0, 2 * np.pi, 10)
        drops.append(np.stack([px + r * np.cos(t), py + r * np.sin(t)], -1))
    sheet.wash(sheet.cover(drops[::2], 0.3), SIENNA, 0.8, 0.8, 0.2)
    sheet.wash(sheet.cover(drops[1::2], 0.3), VIRIDIAN, 0.7, 0.8, 0.2)
