"""Colour blocks and a black key block, and how they print on paper."""

import numpy as np
from PIL import Image, ImageDraw

from .fields import blur, grid, mix, noise, picture, ribbon, smoothstep

WIDTH, HEIGHT = 640, 440
SCALE = 4  # The blocks are cut at four times the size,
FINE = 2  # and printed at twice.
MARGIN = 13

PAPER = (0.925, 0.875, 0.755)
KEY = (0.085, 0.115, 0.20)


class Blocks:
    """The colour blocks as one picture, and the key block, at SCALE times the print's size."""

    def __init__(self):
        """Blank blocks."""
        size = (WIDTH * SCALE, HEIGHT * SCALE)
        self.colour = Image.new("RGB", size, _rgb(PAPER))
        self.key = Image.new("L", size, 0)

    def area(self, outline, colour, line: float = 0.0, other=None, fade=(0, 1)) -> None:
        """Fills an outline, over all before it, and cuts its contour; `other` fades in downwards."""
        points = (np.asarray(outline) * SCALE).ravel().tolist()
        if other is None:
            ImageDraw.Draw(self.colour).polygon(points, fill=_rgb(colour))
        else:
            cover = Image.new("L", self.colour.size)
            ImageDraw.Draw(cover).polygon(points, fill=255)
            share = smoothstep(*fade, np.arange(HEIGHT * SCALE) / SCALE)[:, np.newaxis]
            wiped = picture(mix(colour, other, share)).resize(self.colour.size)
            self.colour.paste(wiped, mask=cover)
        ImageDraw.Draw(self.key).polygon(points, fill=0)
        if line:
            closed = np.concatenate([outline, outline[:1]])
            pen = line * (1 + 0.3 * np.sin(np.arange(len(closed)) / 9.0))
            self.cut(closed, pen)

    def cut(self, path, widths) -> None:
        """Leaves a line of the key block standing."""
        points = (ribbon(np.asarray(path, float), widths) * SCALE).ravel().tolist()
        ImageDraw.Draw(self.key).polygon(points, fill=255)

    def band(self, outline, colour) -> None:
        """Colour alone, which leaves the key block as it is."""
        points = (np.asarray(outline) * SCALE).ravel().tolist()
        ImageDraw.Draw(self.colour).polygon(points, fill=_rgb(colour))

    def discs(self, places, colour, line: float) -> None:
        """Discs (x, y, radius) that run together, with one contour around them all."""
        draw, draw_key = ImageDraw.Draw(self.colour), ImageDraw.Draw(self.key)
        for x, y, radius in places:
            draw_key.ellipse(_box(x, y, radius + line), fill=255)
        for x, y, radius in places:
            draw_key.ellipse(_box(x, y, radius), fill=0)
            draw.ellipse(_box(x, y, radius + line / 2), fill=_rgb(colour))


def _rgb(colour) -> tuple:
    return tuple(round(255 * c) for c in colour)


def _box(x, y, radius) -> list:
    return [(x - radius) * SCALE, (y - radius) * SCALE, (x + radius) * SCALE, (y + radius) * SCALE]


def printed(blocks: Blocks, rng) -> Image.Image:
    """Inks the blocks and prints them on paper, a little out of register."""
    height, width = HEIGHT * FINE, WIDTH * FINE
    x, y = (v / FINE for v in grid(height, width))

    def grain(cell_x, cell_y=None, octaves=2):
        return noise(rng, height, width, cell_x * FINE, cell_y and cell_y * FINE, octaves)

    colour = np.asarray(blocks.colour.reduce(SCALE // FINE), np.float32) / 255
    colour = np.roll(colour, (FINE, -FINE), (0, 1))
    key = np.asarray(blocks.key.reduce(SCALE // FINE), np.float32) / 255
    fibre, speck, cloud = grain(90, 2.2), grain(2.4), grain(70, octaves=4)
    rings = np.sin(y / 2.1 + 7 * grain(420, 90) + 0.3 * fibre)  # The plank's years.
    ink = 0.955 + 0.035 * cloud - 0.05 * smoothstep(-0.3, 1.0, rings) - 0.028 * fibre
    ink = ink - 0.16 * smoothstep(1.5, 2.6, speck - 0.35 * cloud)
    sheet = np.array(PAPER) * (1 + 0.012 * cloud + 0.014 * grain(4, 1.6, 3))[..., np.newaxis]
    inside = _frame(x, y, MARGIN, 0.35 * fibre)
    printed = mix(sheet, colour * sheet / np.array(PAPER), np.clip(ink, 0, 1) * inside)
    carved = smoothstep(0.32, 0.64, blur(key, 0.4 * FINE) * 1.12 + 0.05 * speck - 0.02 * rings)
    border = _frame(x, y, MARGIN - 1.5, 0.2 * fibre) - _frame(x, y, MARGIN + 0.1, 0.2 * fibre)
    carved = np.maximum(carved * inside, border)
    worn = 0.95 - 0.10 * smoothstep(0.6, 2.2, speck + 0.6 * cloud) - 0.05 * smoothstep(0, 1, rings)
    printed = mix(printed, np.array(KEY) * (1 + 0.05 * speck)[..., np.newaxis], carved * worn)
    return picture(printed).resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


def _frame(x, y, margin, rough) -> np.ndarray:
    near = np.minimum(np.minimum(x, WIDTH - x), np.minimum(y, HEIGHT - y))
    return smoothstep(-0.6, 0.6, near - margin + rough)
