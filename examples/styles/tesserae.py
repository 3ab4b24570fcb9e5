"""Stones in rows along contours, set in mortar.

They are cells of a centroidal Voronoi diagram whose metric is the largest norm, turned so that
the squares lie along the nearest contour (A. Hausner, Simulating Decorative Mosaics, SIGGRAPH
2001).
"""

import numpy as np
from PIL import Image

from .fields import blur, grid, lit, mix, noise, picture, smoothstep

WIDTH, HEIGHT = 640, 512
SCALE = 2
ROUNDS = 14  # Of Lloyd's relaxation.
MORTAR = (0.62, 0.57, 0.49)


def edges(figures) -> np.ndarray:
    """Where a pixel's figure is not that of the one above it or on its left."""
    edge = np.zeros(figures.shape, bool)
    edge[:, 1:] |= figures[:, 1:] != figures[:, :-1]
    edge[1:] |= figures[1:] != figures[:-1]
    return edge


def distance(contours, reach: int = 60) -> np.ndarray:
    """Pixels to the nearest contour, exact up to `reach`."""
    rows = np.arange(HEIGHT)[:, np.newaxis]
    above = np.maximum.accumulate(np.where(contours, rows, -999), 0)
    below = np.minimum.accumulate(np.where(contours, rows, 9999)[::-1], 0)[::-1]
    square = np.minimum(np.minimum(rows - above, below - rows), 3 * reach).astype(np.float32) ** 2
    padded = np.pad(square, ((0, 0), (reach, reach)), constant_values=9e4)
    best = square
    for k in range(-reach, reach + 1):
        best = np.minimum(best, padded[:, reach + k : reach + k + WIDTH] + k * k)
    return np.sqrt(best)


def directions(away) -> np.ndarray:
    """The direction of the rows: along the contours, which ring on outwards."""
    smooth = blur(np.minimum(away, 58), 2.2)
    slope_y, slope_x = np.gradient(smooth)
    # Doubled angles average well: a row has no sense of travel.
    twice = 2 * np.arctan2(slope_y, slope_x)
    weight = np.hypot(slope_x, slope_y) + 1e-3
    return 0.5 * np.arctan2(blur(np.sin(twice) * weight, 2.5), blur(np.cos(twice) * weight, 2.5))


def lay(figures, contours, angles, stones, rng) -> np.ndarray:
    """Places for the stones, [count, 2], moved to the middles of their cells again and again."""
    count = int((1 / stones**2).sum() * 1.03)
    chance = (1 / stones**2).ravel()
    place = rng.choice(chance.size, count, replace=False, p=chance / chance.sum())
    sites = np.stack([place % WIDTH + 0.5, place // WIDTH + 0.5], -1) + rng.uniform(
        -0.4, 0.4, (count, 2)
    )
    x, y = grid(HEIGHT, WIDTH)
    free = ~contours
    for _ in range(ROUNDS):
        owner, _ = _cells(sites, figures, angles, stones, 1)
        used = free & (owner >= 0)
        share = np.bincount(owner[used], minlength=count)
        middle = np.stack([np.bincount(owner[used], values[used], count) for values in (x, y)], -1)
        sites = np.where(share[:, np.newaxis] > 0, middle / np.maximum(share, 1)[:, np.newaxis], sites)
    return sites


def _cells(sites, figures, angles, stones, scale, turn=None) -> tuple[np.ndarray, np.ndarray]:
    """Each pixel's stone, and how much nearer that is than the next one, in stones."""
    height, width = HEIGHT * scale, WIDTH * scale
    near, next_ = (np.full((height, width), 9.0, np.float32) for _ in range(2))
    owner = np.full((height, width), -1, np.int32)
    columns, rows = np.clip(sites, 0, (WIDTH - 1, HEIGHT - 1)).astype(int).T
    figure, angle, stone = figures[rows, columns], angles[rows, columns], stones[rows, columns]
    angle = angle if turn is None else angle + turn
    cos, sin = np.cos(angle) / (stone * scale), np.sin(angle) / (stone * scale)
    large = figures if scale == 1 else figures.repeat(scale, 0).repeat(scale, 1)
    line = np.arange(max(height, width), dtype=np.float32) + 0.5
    reach = np.ceil(stone * scale * 1.15).astype(int)
    places = sites * scale
    for k in range(len(sites)):
        px, py = places[k]
        top, left = max(0, int(py) - reach[k]), max(0, int(px) - reach[k])
        part = np.s_[top : int(py) + reach[k] + 1, left : int(px) + reach[k] + 1]
        dx = line[part[1]][:width] - px
        dy = (line[part[0]] - py)[:, np.newaxis]
        dx, dy = dx[: owner[part].shape[1]], dy[: owner[part].shape[0]]
        far = np.maximum(np.abs(dx * cos[k] + dy * sin[k]), np.abs(dy * cos[k] - dx * sin[k]))
        far += (large[part] != figure[k]) * np.float32(0.35)
        best = near[part]
        nearer = far < best
        next_[part] = np.where(nearer, best, np.minimum(next_[part], far))
        owner[part][nearer] = k
        best[nearer] = far[nearer]
    return owner, np.minimum(next_ - near, 1.2 - near)


def inlay(sites, figures, angles, stones, colours, rng) -> Image.Image:
    """Sets the stones in mortar: each its own tone, tilt and grain."""
    count = len(sites)
    owner, gap = _cells(sites, figures, angles, stones, SCALE, rng.normal(0, 0.07, count))
    shape = owner.shape
    columns, rows = np.clip(sites, 0, (WIDTH - 1, HEIGHT - 1)).astype(int).T
    tone = colours[rows, columns]
    tone = tone * (1 + rng.normal(0, 0.085, (count, 1))) + rng.normal(0, 0.011, (count, 3))
    odd = rng.uniform(size=count) < 0.04
    tone[odd] = tone[odd] * rng.uniform(0.72, 1.15, (odd.sum(), 1))
    tilt = rng.normal(0, 0.065, (count, 2))
    x, y = grid(*shape)
    away_x, away_y = x - sites[owner, 0] * SCALE, y - sites[owner, 1] * SCALE
    rough = noise(rng, *shape, 5, octaves=3)
    size = stones[rows, columns][owner] * SCALE
    depth = gap * size * 0.5 + 0.28 * rough  # Pixels from the stone's side.
    cover = smoothstep(0.75, 1.55, depth) * (owner >= 0)
    dome = 2.0 * (1 - np.exp(-np.maximum(depth - 0.8, 0) / 1.1))
    relief = cover * (dome + away_x * tilt[owner, 0] + away_y * tilt[owner, 1] + 0.2 * rough)
    grain = noise(rng, *shape, 3.5, octaves=2)
    stone = tone[owner] * (1 + 0.035 * grain + 0.03 * rough)[..., np.newaxis]
    mortar = np.array(MORTAR) * (1 + 0.10 * grain + 0.07 * noise(rng, *shape, 90))[..., np.newaxis]
    mortar = mortar * (0.68 + 0.32 * smoothstep(0.6, -0.4, depth))[..., np.newaxis]
    colour = mix(mortar, stone, cover)
    dirt = 1 - 0.05 * smoothstep(0.2, 2, noise(rng, *shape, 160))
    shaded = lit(colour * dirt[..., np.newaxis], blur(relief, 0.7), 0.55, 0.10)
    return picture(shaded).resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
