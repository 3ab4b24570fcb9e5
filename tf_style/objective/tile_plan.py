"""How a picture is cut into tiles, and what each tile needs to see."""

import dataclasses
import math
from collections.abc import Iterable, Sequence

import numpy as np

from tf_style.network.architecture import layers_up_to

# On Ray: few, large tiles, for what a halo costs is in proportion to 1 / side. The workers' memory
# is not known; this side leaves even small ones room.
RAY_TILE_PX = 512


@dataclasses.dataclass(frozen=True)
class Span:
    """A tile's extent in one direction, in pixels.

    Attributes:
      start: Of what the tile owns.
      end: Of what it owns, exclusive.
      low: Of the crop that it needs to see.
      high: Of the crop, exclusive.
    """

    start: int
    end: int
    low: int
    high: int

    def owned(self, stride: int, is_last: bool) -> slice:
        """The positions that it owns among its crop's, at a layer of this stride."""
        # Pooling drops what is left over at the end, and the last tile owns what there is.
        end = None if is_last else (self.end - self.low) // stride
        return slice((self.start - self.low) // stride, end)


@dataclasses.dataclass(frozen=True)
class Tile:
    """One tile of an image.

    Attributes:
      rows: Its extent down.
      columns: Its extent to the right.
      is_last: Whether it is the last one down, and to the right.
    """

    rows: Span
    columns: Span
    is_last: tuple[bool, bool]

    def crop(self, image: np.ndarray) -> np.ndarray:
        """What it needs to see of [1, height, width, channels]."""
        return image[:, self.rows.low : self.rows.high, self.columns.low : self.columns.high]

    def place(self, stride: int) -> tuple[slice, slice, slice]:
        """What it owns of the whole image's activations at a layer of this stride."""
        rows, columns = (
            slice(span.start // stride, None if is_last else span.end // stride)
            for span, is_last in zip((self.rows, self.columns), self.is_last, strict=True)
        )
        return slice(None), rows, columns

    def owned(self, stride: int) -> tuple[slice, slice, slice]:
        """What it owns of the crop's activations at a layer of this stride."""
        rows = self.rows.owned(stride, self.is_last[0])
        return slice(None), rows, self.columns.owned(stride, self.is_last[1])


def halo_px(layers: Iterable[str]) -> int:
    """How far beyond its own pixels a tile must see, a multiple of the deepest layer's stride."""
    # Each convolution sees one position further. Pooling sees none: tiles begin where its windows do.
    path = layers_up_to(list(layers))
    return _round_up(sum(layer.stride for layer in path), path[-1].stride)


def is_cut(longest_px: int, tile_px: int, layers: Iterable[str]) -> bool:
    """Whether a picture of this longer side is evaluated by tiles of this one, and not as a whole."""
    return longest_px > tile_px + 2 * halo_px(layers)


def plan_tiles(
    height: int, width: int, tile_px: int, layers: Sequence[str], *, halo: int
) -> list[Tile]:
    """Tiles that cover an image, row by row.

    Args:
      height: Of the image, in pixels.
      width: Of the image, in pixels.
      tile_px: A tile's side, without its halo; rounded up to the deepest layer's stride. Tiles are of
        equal size as far as possible, so there may be smaller ones.
      layers: That are read.
      halo: In pixels, a multiple of the deepest layer's stride.

    Returns:
      The tiles.
    """
    stride = layers_up_to(list(layers))[-1].stride
    rows = _spans(height, tile_px, stride, halo)
    columns = _spans(width, tile_px, stride, halo)
    return [
        Tile(down, right, (down is rows[-1], right is columns[-1]))
        for down in rows
        for right in columns
    ]


def _spans(length: int, tile_px: int, stride: int, halo: int) -> list[Span]:
    count = max(1, math.ceil(length / _round_up(tile_px, stride)))
    side = _round_up(math.ceil(length / count), stride)
    starts = [start for start in range(0, length, side)]
    # What is left at the end has to hold a position of the deepest layer, or goes to the one before.
    if len(starts) > 1 and length - starts[-1] < stride:
        starts.pop()
    ends = [*starts[1:], length]
    return [
        Span(start, end, max(0, start - halo), min(length, end + halo) if end < length else length)
        for start, end in zip(starts, ends, strict=True)
    ]


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
