"""Breakers, a mountain and a pine at dusk: colour blocks and a black key block on paper."""

import numpy as np
from PIL import Image

from .blocks import HEIGHT, PAPER, WIDTH, Blocks, printed
from .fields import curve, ribbon, smoothstep

SEED = 1831

DEEP = (0.075, 0.185, 0.36)
BLUE = (0.20, 0.385, 0.56)
PALE = (0.58, 0.695, 0.70)
FOAM = (0.945, 0.905, 0.80)
ROSE = (0.84, 0.47, 0.33)
RED = (0.74, 0.22, 0.15)
SLATE = (0.36, 0.41, 0.47)
GREEN = (0.17, 0.31, 0.25)
MOSS = (0.45, 0.51, 0.32)
BARK = (0.47, 0.285, 0.19)
OCHRE = (0.80, 0.62, 0.36)


def paint(seed: int = SEED) -> Image.Image:
    """Paints the picture, [440, 640] in RGB."""
    rng = np.random.default_rng(seed)
    blocks = Blocks()
    _sky(blocks)
    _mountain(blocks, rng)
    _shore(blocks, rng)
    for base, lift, gap, colours in (
        (283, 3, 62, (PALE, BLUE)),
        (300, 5, 84, (BLUE, PALE)),
        (322, 8, 120, (DEEP, BLUE)),
    ):
        _swell(blocks, base, lift, gap, colours, rng)
    for x, y, size in ((262, 302, 1.0), (312, 288, 0.62), (224, 290, 0.5)):
        _boat(blocks, x, y, size)
    _breaker(blocks, 118, 362, 118, 128, rng)
    _swell(blocks, 366, 12, 170, (BLUE, DEEP), rng)
    _breaker(blocks, 352, 408, 122, 112, rng)
    _breaker(blocks, 60, 440, 92, 78, rng)
    _rocks(blocks, rng)
    _pine(blocks, rng)
    _birds(blocks)
    return printed(blocks, rng)


def _sky(blocks) -> None:
    """Wiped blue above, a red sun, wiped rose at the horizon, and bars of mist left white."""
    whole = [(0, 0), (WIDTH, 0), (WIDTH, HEIGHT), (0, HEIGHT)]
    blocks.area(whole, DEEP, other=PAPER, fade=(12, 128))
    low = [(0, 150), (WIDTH, 150), (WIDTH, HEIGHT), (0, HEIGHT)]
    blocks.area(low, PAPER, other=ROSE, fade=(160, 268))
    t = np.linspace(0, 2 * np.pi, 90)
    blocks.area(
        np.stack([228 + 33 * np.cos(t), 190 + 33 * np.sin(t)], -1), RED, other=ROSE, fade=(180, 226)
    )
    for left, right, y, thick in (
        (-20, 190, 208, 10),
        (120, 330, 222, 9),
        (-20, 96, 226, 7),
        (470, 680, 168, 9),
        (540, 680, 186, 8),
    ):
        a = np.linspace(-np.pi / 2, np.pi / 2, 14)
        ends = [(right + np.cos(a) * thick / 2, y + np.sin(a) * thick / 2)]
        ends.append((left - np.cos(a) * thick / 2, y - np.sin(a) * thick / 2))
        blocks.area(np.concatenate([np.stack(e, -1) for e in ends]), FOAM, 0.55)


def _mountain(blocks, rng) -> None:
    """A cone with snow: lines run from the top down its sides."""
    peak, foot = np.array([418.0, 92.0]), 284.0
    s = np.linspace(0, 1, 60)
    left = np.stack([peak[0] - 9 - 205 * s**1.5 - 18 * s, peak[1] + (foot - peak[1]) * s], -1)
    right = np.stack([peak[0] + 12 + 190 * s**1.6 + 16 * s, peak[1] + (foot - peak[1]) * s], -1)
    top = np.array([(peak[0] - 4, peak[1] + 3), (peak[0] + 3, peak[1] - 1), (peak[0] + 8, peak[1] + 3)])
    blocks.area(np.concatenate([left[::-1], top, right]), SLATE, 1.2, other=ROSE, fade=(150, 282))
    count = 46
    sides = [left + (right - left) * k for k in np.linspace(0.02, 0.98, count)]
    tips = 14 + 7 * np.sin(np.arange(count) * 2.1) + 4 * rng.normal(size=count)
    tips = tips + 5 * np.cos(np.linspace(-2, 2, count))
    snow = np.concatenate(
        [left[:1], top, right[:1], [side[int(t)] for side, t in zip(sides, tips, strict=True)][::-1]]
    )
    blocks.area(snow, FOAM)
    blocks.cut(snow[4:], 0.75)
    for k, (side, tip) in enumerate(zip(sides, tips, strict=True)):
        start, stop = int(tip) + 1, int(min(59, tip + rng.uniform(8, 30)))
        line = side[start:stop] + rng.normal(0, 0.25, (stop - start, 1)) * (1, 0)
        blocks.cut(line, np.linspace(1.9 if k > count * 0.45 else 1.2, 0.15, len(line)))
        if k > count * 0.55 and k % 2:  # The shaded side of the snow.
            blocks.cut(side[2 : int(tip) - 1], np.linspace(0.25, 1.0, int(tip) - 3))


def _shore(blocks, rng) -> None:
    """Hills with woods at the mountain's foot."""
    x = np.linspace(150, 660, 120)
    for base, lift, colour, other in ((268, 17, MOSS, OCHRE), (279, 11, GREEN, MOSS)):
        y = base - lift * np.abs(np.sin(x / 71 + base)) * smoothstep(200, 330, x) - 2 * np.sin(x / 9)
        blocks.area(
            np.concatenate([np.stack([x, y], -1), [(660, 300), (150, 300)]]),
            colour,
            0.8,
            other,
            (base - 10, base + 14),
        )
        for tree in rng.uniform(290, 650, 46):
            ground = np.interp(tree, x, y)
            blocks.cut(
                [(tree, ground + rng.uniform(1, 5)), (tree + 0.2, ground - rng.uniform(1, 4))],
                (3.2, 1.2),
            )


def _swell(blocks, base, lift, gap, colours, rng) -> None:
    """A row of long waves, pointed at the crests, with lines that repeat them below."""
    x = np.linspace(-10, WIDTH + 10, 500)
    phase = rng.uniform(0, 6)
    crest = (np.abs(np.sin(np.pi * x / gap + phase + 0.5 * np.sin(x / 160))) - 0.6) * lift * 1.6
    top = np.stack([x, base + crest], -1)
    edge = [(WIDTH + 10, HEIGHT), (-10, HEIGHT)]
    blocks.area(np.concatenate([top, edge]), colours[0], 1.1, colours[1], (base, base + 46))
    spacing = lift * 0.62 + 1.6
    for k in range(1, 9):
        line = np.stack([x + 3 * k, base + crest * (1 - 0.07 * k) + spacing * k], -1)
        swing = 0.5 + 0.5 * np.sin(x / gap * 2.2 * np.pi + k * 1.3 + phase)
        width = (0.35 + 1.9 * swing**2) * (1 - 0.07 * k)
        for start in range(int(rng.integers(0, 60)), 470, 90):
            piece = slice(start, min(500, start + int(rng.integers(55, 88))))
            taper = np.sin(np.linspace(0.05, np.pi - 0.05, len(line[piece]))) ** 0.5
            blocks.cut(line[piece], width[piece] * taper)


def _breaker(blocks, x, y, height, width, rng) -> None:
    """One breaking wave, its foot at (x, y): ribs from the foot to the lip, and foam."""
    back = curve(
        [
            (-1.75, -0.4),
            (-1.25, -0.02),
            (-0.8, 0.3),
            (-0.36, 0.68),
            (0.05, 0.93),
            (0.36, 0.98),
            (0.62, 0.80),
        ],
        120,
    )
    face = curve(
        [
            (1.9, -0.4),
            (1.35, -0.10),
            (0.85, 0.03),
            (0.40, 0.2),
            (0.17, 0.44),
            (0.22, 0.68),
            (0.42, 0.82),
            (0.62, 0.80),
        ],
        120,
    )
    back, face = (np.array([x, y]) + c * (width, -height) for c in (back, face))
    blocks.area(np.concatenate([back, face[::-1]]), BLUE, 1.3)
    count = 13
    for k in range(count):
        share = (k + 0.5) / count
        reach = int(120 * (0.97 - 0.1 * (k % 2)))
        rib = (back + (face - back) * share**1.15)[6:reach]
        along = np.linspace(0, 1, len(rib))
        broad = np.sin(np.pi * np.clip(along, 0.02, 0.98)) ** 0.7
        swell = 1 + 0.35 * np.sin(along * 7 + k)
        blocks.band(ribbon(rib, broad * swell * height / 17), DEEP if k % 3 else PALE)
        blocks.cut(rib[4:-2], (0.25 + 1.5 * broad[4:-2] * swell[4:-2]) * 0.8)
    _foam(blocks, back, face, height, rng)


def _foam(blocks, back, face, height, rng) -> None:
    """Scallops along the crest, claws that reach down from the lip, and drops."""
    r = height / 100
    bodies = []
    for k in range(56, 119, 2):
        x, y = back[k] + rng.normal(0, 0.8 * r, 2) + (0, 2.4 * r)
        bodies.append(
            (x, y, (1.5 + 5.6 * smoothstep(46, 112, np.float64(k))) * r * rng.uniform(0.75, 1.15))
        )
    for k in range(84, 119, 3):
        bodies.append(
            (*(face[k] + rng.normal(0, 0.6 * r, 2) - (0, 1.5 * r)), rng.uniform(2.2, 4.4) * r)
        )
    claws = []
    for root in np.concatenate([face[72:119:4], back[118:100:-4]]):
        lean, length = rng.uniform(0.25, 1.2), rng.uniform(8, 17) * r
        t = np.linspace(0, 1, 9)
        path = root + np.stack([np.sin(t * 1.9) * lean, t**1.2 - 0.15 * np.sin(t * 3)], -1) * length
        claws += [(x, y, (2.6 - 1.7 * k) * r) for (x, y), k in zip(path, t, strict=True)]
        for turn in (-1.1, 0.9):  # A claw divides at its end.
            angle = np.arctan2(*(path[-1] - path[-3])[::-1]) + turn
            step = np.array([np.cos(angle), np.sin(angle)]) * r
            claws += [(*(path[-2] + d * step), (1.3 - d / 6) * r) for d in (1.0, 2.2, 3.4)]
    blocks.discs(claws + bodies, FOAM, 0.9)
    blocks.discs([(x - 0.6 * r, y + 1.4 * r, q * 0.45) for x, y, q in bodies[8:31:3]], PALE, 0.0)
    for x, y, q in bodies[7::2]:  # The scallops within.
        a = np.linspace(0.2, 2.5, 12) + rng.normal(0, 0.4)
        blocks.cut(np.stack([x + q * 0.7 * np.cos(a), y + q * 0.7 * np.sin(a)], -1), 0.5)
    drops = []
    for _ in range(34):
        away = np.abs(rng.normal(0, 1, 2)) * (30 * r, 15 * r)
        drops.append((*(back[-1] + (away[0] - 4 * r, 10 * r - away[1])), rng.uniform(0.5, 1.4) * r))
    blocks.discs(drops, FOAM, 0.55)


def _boat(blocks, x, y, size) -> None:
    hull = curve([(-17, -2), (-9, 3), (6, 3.5), (18, -5), (8, -0.5), (-6, 0)], 40, closed=True)
    blocks.area(hull * size + (x, y), BARK, 0.7)
    sail = np.array([(-7, -2), (-8.5, -30), (7, -31), (8, -2)]) * size + (x, y)
    blocks.area(sail, FOAM, 0.8)
    for k in (0.3, 0.62):
        blocks.cut(
            np.linspace(sail[0] * (1 - k) + sail[3] * k, sail[1] * (1 - k) + sail[2] * k, 8), 0.5 * size
        )


def _rocks(blocks, rng) -> None:
    """Cliffs at the right: blocks of stone, each with a lit top and hatching down its front."""
    stones = [
        (560, 292, 60, 46),
        (622, 268, 74, 60),
        (528, 336, 50, 54),
        (590, 322, 66, 60),
        (648, 322, 60, 66),
        (506, 386, 46, 54),
        (556, 374, 56, 56),
        (612, 384, 64, 66),
        (470, 424, 52, 44),
        (524, 426, 56, 50),
        (584, 430, 60, 44),
        (642, 424, 60, 60),
        (436, 444, 34, 26),
    ]
    for k, (x, y, wide, high) in enumerate(stones):
        half, lean = wide / 2, rng.uniform(-6, 6)
        crown = [
            (x - half, y + high * 0.30),
            (x - half * 0.7, y - high * 0.16),
            (x - half * 0.1 + lean, y - high * 0.42),
        ]
        crown += [(x + half * 0.55, y - high * 0.34), (x + half, y + high * 0.06)]
        crown = _chipped(crown, rng)
        foot = [(x + half * 1.1, y + high), (x - half * 1.05, y + high)]
        front, shade = ((SLATE, DEEP), (BARK, DEEP), (SLATE, BARK))[k % 3]
        blocks.area(np.concatenate([crown, foot]), front, 1.4, shade, (y - high * 0.2, y + high * 0.9))
        brow = crown + (0, high * 0.13) + rng.normal(0, 1.0, crown.shape)
        blocks.band(np.concatenate([crown[2:], brow[:1:-1]]), OCHRE if k % 2 else MOSS)
        blocks.cut(brow[2:-1], 0.7)
        for i in np.linspace(1, len(brow) - 2, int(wide / 2.6)):
            place = np.array([np.interp(i, np.arange(len(brow)), values) for values in brow.T])
            right = (place[0] - x) / half
            fall = high * rng.uniform(0.22, 0.5) * (1.1 + 0.7 * right)
            line = curve(
                [
                    place,
                    place + (1.5 + rng.normal(0, 0.6), fall * 0.5),
                    place + (rng.normal(1.5, 1), fall),
                ],
                12,
            )
            blocks.cut(line, np.linspace(0.7 + 1.2 * max(right, 0), 0.12, 12))
        crack = curve(
            [
                (x - half * 0.2, y),
                (x - half * 0.05, y + high * 0.25),
                (x - half * 0.3, y + high * 0.5),
                (x - half * 0.1, y + high * 0.8),
            ],
            20,
        )
        blocks.cut(crack, np.linspace(1.6, 0.2, 20))


def _chipped(corners, rng) -> np.ndarray:
    """The corners' outline as a chisel leaves it."""
    points = [np.array(corners[0], float)]
    for a, b in zip(corners[:-1], corners[1:], strict=True):
        for t in (0.3, 0.65, 1.0):
            points.append(np.array(a) * (1 - t) + np.array(b) * t + rng.normal(0, 1.3, 2))
    return np.array(points)


def _pine(blocks, rng) -> None:
    """A pine that leans from the cliff over the sea: bark, and pads of needles."""
    trunk = curve(
        [(596, 300), (585, 262), (601, 226), (580, 186), (548, 160), (538, 124), (503, 104)], 120
    )
    limbs = (
        trunk,
        curve([(583, 256), (552, 246), (530, 256), (500, 240)], 50),
        curve([(598, 222), (622, 200), (630, 172), (652, 160)], 50),
        curve([(560, 168), (524, 172), (500, 160), (470, 168)], 50),
        curve([(545, 140), (566, 112), (590, 100), (604, 82)], 50),
        curve([(536, 120), (540, 92), (528, 72)], 40),
    )
    for limb, thick in zip(limbs, (15, 7, 8, 6.5, 6, 5), strict=True):
        widths = (
            thick * np.linspace(1, 0.3, len(limb)) * (1 + 0.12 * np.sin(np.arange(len(limb)) * 0.7))
        )
        blocks.area(ribbon(limb, widths), BARK, 1.1)
        for k in range(3, len(limb) - 6, 3):  # Scales of bark.
            side = np.sin(k * 2.4) * widths[k] * 0.28
            blocks.cut(limb[k : k + 4] + (side, 0), (0.3, 1.1, 0.9, 0.2))
    pads = [
        (497, 102, 34),
        (524, 70, 27),
        (548, 86, 22),
        (604, 80, 33),
        (574, 100, 22),
        (470, 166, 31),
        (512, 160, 24),
    ]
    pads += [(498, 238, 30), (534, 244, 23), (640, 158, 36), (622, 184, 24), (566, 150, 20)]
    for x, y, size in pads:
        _needles(blocks, x, y, size, rng)


def _needles(blocks, x, y, size, rng) -> None:
    """A pad of needles: overlapping fans, each cut with rays."""
    for k in (0, 6, 1, 5, 2, 4, 3):
        cx, cy = x + (k - 3) * size * 0.27, y - size * 0.22 * np.cos((k - 3) * 0.5) + rng.normal(0, 1)
        radius = size * rng.uniform(0.34, 0.46)
        a = np.linspace(np.pi * 0.98, np.pi * 2.02, 41)
        spikes = radius * np.where(np.arange(41) % 2, 0.80, 1.08) * (0.75 + 0.25 * np.abs(np.sin(a)))
        fan = np.stack([cx + spikes * np.cos(a) * 1.1, cy + spikes * np.sin(a)], -1)
        base = np.array([(cx + radius * 0.5, cy + 2.2), (cx - radius * 0.5, cy + 2.2)])
        blocks.area(np.concatenate([fan, base]), GREEN, 0.6, MOSS, (cy - radius * 0.9, cy + 2))
        for tip in fan[2:-2:4]:
            blocks.cut([(cx, cy + 1), tip * 0.85 + np.array([cx, cy]) * 0.15, tip], (0.2, 0.6, 0.2))


def _birds(blocks) -> None:
    for x, y, size in (
        (300, 112, 7),
        (318, 102, 6),
        (332, 114, 5.5),
        (284, 98, 5),
        (346, 96, 4.5),
        (322, 126, 4.5),
    ):
        left = curve([(-1.6, -0.5), (-0.8, -0.75), (0, 0.1)], 12)
        right = curve([(0, 0.1), (0.7, -0.85), (1.7, -0.7)], 12)
        for wing in (left, right):
            blocks.cut(wing * size + (x, y), np.sin(np.linspace(0.2, 3.0, 12)) * size * 0.3)
