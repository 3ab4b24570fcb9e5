"""Rough paper and transparent washes on it: edges, grain, blooms."""

import numpy as np
from PIL import Image

from .fields import blur, grid, mask, noise, picture, ribbon, smoothstep

WIDTH, HEIGHT = 640, 480
SCALE = 2


class Sheet:
    """A sheet of rough paper; all lengths and places are in pixels of the finished picture."""

    def __init__(self, rng):
        """A clean sheet; every later stroke takes its chances from `rng`."""
        self.rng = rng
        self.shape = (HEIGHT * SCALE, WIDTH * SCALE)
        tooth = 0.7 * noise(rng, *self.shape, 7, octaves=1) + noise(rng, *self.shape, 3.4, octaves=2)
        self.tooth = tooth / tooth.std()
        self.light = np.ones((*self.shape, 3), np.float32) * (0.975, 0.962, 0.925)
        self.drift = [noise(rng, *self.shape, cell * SCALE, octaves=3) for cell in (120, 54)]
        self.ragged = noise(rng, *self.shape, 26 * SCALE, octaves=5)
        self.reserve = np.ones(self.shape, np.float32)

    def noise(self, cell_x: float, cell_y: float | None = None, octaves: int = 4) -> np.ndarray:
        """Noise with cells in pixels of the finished picture."""
        return noise(self.rng, *self.shape, cell_x * SCALE, cell_y and cell_y * SCALE, octaves)

    def _turned(self, field: np.ndarray) -> np.ndarray:
        """One of eight noises made of one, so that layers do not repeat each other."""
        flip_y, flip_x, sign = self.rng.choice((-1, 1), 3)
        return sign * field[::flip_y, ::flip_x]

    def cover(self, polygons, ragged: float = 1.0, wet: float = 0.0, dry: float = -9.0) -> np.ndarray:
        """What a brush wets: outlines made ragged, soft on wet paper, broken on its peaks if dry."""
        field = mask(*self.shape, [np.asarray(p) * SCALE for p in polygons], 1)
        field = np.clip(blur(field, (1.2 + wet) * SCALE), 0, 1)
        edge = self._turned(self.ragged)
        if wet:
            return smoothstep(0.08, 0.92, field + 0.16 * edge * (4 * field * (1 - field)) ** 0.7)
        field = field + ragged * (0.10 * edge + 0.035 * self.tooth) * (field * (1 - field) * 4) ** 0.5
        cover = smoothstep(0.43, 0.57, field)
        return cover * smoothstep(dry - 0.3, dry + 0.3, self.tooth + 0.3 * edge)

    def wash(
        self, cover, pigment, depth=1.0, edge: float = 0.8, grain: float = 0.25, uneven: float = 0.3
    ) -> None:
        """One transparent layer: pigment gathers at the edges that dry last and in the paper's pits."""
        cover = cover * self.reserve
        rim = (
            cover * (1 - blur(cover, 2.2 * SCALE)) * 1.1 + cover * (1 - blur(cover, 0.9 * SCALE)) * 0.8
        )
        slow, fast = map(self._turned, self.drift)
        amount = (
            cover * depth * np.clip(1 + uneven * (0.7 * slow + 0.45 * fast), 0.15, 3)
            + edge * rim * depth
        )
        amount = amount * np.clip(1 - 0.42 * grain * self.tooth, 0.4, 1.8)
        self.light *= np.exp(np.maximum(amount, 0)[..., np.newaxis] * np.log(np.array(pigment)))

    def blooms(self, places) -> None:
        """Backruns: drops of water (x, y, radius) push the pigment out to a crinkled line."""
        x, y = grid(*self.shape)
        crinkle = self.noise(14, octaves=4)
        for centre_x, centre_y, radius in places:
            away = (
                np.hypot(x / SCALE - centre_x, (y / SCALE - centre_y) * 1.25) + crinkle * radius * 0.13
            )
            inside = smoothstep(radius + 0.8, radius - 0.8, away)
            lift = inside * (0.5 - 0.3 * smoothstep(radius * 0.3, radius, away))
            line = (
                np.exp(-(((away - radius) / 1.5) ** 2)) * 0.26
                + inside * np.exp(np.minimum(away - radius, 0) / 5) * 0.06
            )
            power = (1 - lift * self.reserve + line)[..., np.newaxis]
            self.light = self.light**power

    def pencil(self, path, depth: float = 0.3) -> None:
        """A graphite line on the paper's peaks."""
        path = np.asarray(path, float) + self.rng.normal(0, 0.15, (len(path), 2))
        line = mask(*self.shape, [ribbon(path * SCALE, 0.9 * SCALE)], 2)
        rubbed = line * smoothstep(-0.6, 0.9, self.tooth)
        self.light *= (1 - depth * rubbed)[..., np.newaxis] * np.ones(3)


def dried(sheet: Sheet) -> Image.Image:
    """The sheet under raking light, which shows the paper's tooth."""
    tooth = blur(sheet.tooth, 0.8)
    slope_y, slope_x = np.gradient(tooth)
    shade = 1 + 0.022 * np.clip((slope_x + slope_y) * 2.2, -2, 2)
    tint = 1 + 0.008 * sheet.drift[0]
    finished = picture(sheet.light * (shade * tint)[..., np.newaxis])
    return finished.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
