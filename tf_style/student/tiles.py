"""A picture by overlapping tiles, where its activations would not fit in memory.

A tile and what lies around it within the network's reach gives the same pixels as the whole picture,
but that instance normalisation takes sums over all of the picture. So the tiles are gone through once
for each normalisation, up to its input, of which the means and variances are merged, then once for the
picture. The time is about eight times the whole's; nothing but the picture is kept in between.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tf_style.student.margin import with_margin, without_margin
from tf_style.student.network import Network, statistics_name
from tf_style.student.shape import STRIDE


class Tile(NamedTuple):
    """A part of a picture, in pixels.

    Attributes:
      outer: Rows and columns that the network sees.
      inner: Those of them that are the tile's own, counted from the picture's first.
    """

    outer: tuple[slice, slice]
    inner: tuple[slice, slice]


def render(
    network: Network, picture: np.ndarray, conditions: dict[str, tf.Tensor], tile_px: int
) -> np.ndarray:
    """Renders a picture by tiles.

    Args:
      network: The student's.
      picture: float32 [height, width, 3], 0..1.
      conditions: `strength` and `styles`, as the network's model takes them.
      tile_px: A tile's side, rounded up to a multiple of the network's stride.

    Returns:
      float32 of its shape, 0..1.
    """
    height, width = picture.shape[:2]
    padded = with_margin(picture[np.newaxis]).numpy()[0]
    plan = list(cut(*padded.shape[:2], tile_px, network.shape.reach_px))
    statistics: dict[str, tf.Tensor] = {}
    for index in range(network.num_normalizations):
        model = network.up_to(index)
        merged = _Moments()
        for tile in plan:
            activations = model(_inputs(padded, tile, conditions, statistics))
            own = _own(activations, tile)
            merged.add(own)
        statistics[statistics_name(index)] = tf.constant(merged.mean_and_variance()[np.newaxis])
    model = network.up_to(network.num_normalizations)
    made = np.empty_like(padded)
    for tile in plan:
        pixels = model(_inputs(padded, tile, conditions, statistics))
        made[tile.inner] = _own(pixels, tile)[0]
    return np.clip(without_margin(made[np.newaxis], height, width)[0], 0.0, 1.0)


def cut(height: int, width: int, tile_px: int, reach_px: int) -> Iterator[Tile]:
    """The tiles of a picture whose sides are multiples of the stride, as are the tiles' own."""
    side = -(-tile_px // STRIDE) * STRIDE

    def parts(length: int) -> Iterator[tuple[slice, slice]]:
        for start in range(0, length, side):
            end = min(start + side, length)
            yield slice(max(0, start - reach_px), min(length, end + reach_px)), slice(start, end)

    for row_outer, row in parts(height):
        for column_outer, column in parts(width):
            yield Tile((row_outer, column_outer), (row, column))


def _inputs(
    padded: np.ndarray, tile: Tile, conditions: dict[str, tf.Tensor], statistics: dict[str, tf.Tensor]
) -> dict[str, tf.Tensor]:
    return {"photographs": tf.constant(padded[tile.outer][np.newaxis]), **conditions, **statistics}


def _own(activations: tf.Tensor, tile: Tile) -> tf.Tensor:
    """What is the tile's own of activations of what it sees, at whatever size they have."""
    stride = (tile.outer[0].stop - tile.outer[0].start) // activations.shape[1]
    rows, columns = (
        slice((inner.start - outer.start) // stride, (inner.stop - outer.start) // stride)
        for outer, inner in zip(tile.outer, tile.inner, strict=True)
    )
    return activations[:, rows, columns]


class _Moments:
    """Means and variances of channels, merged (Chan, Golub and LeVeque, 1979)."""

    def __init__(self):
        self._count, self._mean, self._squares = 0, 0.0, 0.0

    def add(self, activations: tf.Tensor) -> None:
        """Adds the positions of [1, height, width, channels]."""
        values = tf.reshape(tf.cast(activations, tf.float32), [-1, activations.shape[-1]])
        mean, variance = (np.float64(each) for each in tf.nn.moments(values, axes=[0]))
        count = int(values.shape[0])
        total = self._count + count
        difference = mean - self._mean
        self._squares += variance * count + difference**2 * (self._count * count / total)
        self._mean += difference * (count / total)
        self._count = total

    def mean_and_variance(self) -> np.ndarray:
        """float32 [2, channels]."""
        return np.stack([self._mean, self._squares / self._count]).astype(np.float32)
