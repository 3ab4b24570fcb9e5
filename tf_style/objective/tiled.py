"""The same loss and gradient from tiles of the image, exactly, in a fraction of the memory.

A Gram matrix is a sum over positions. Pass one runs the network on each tile with a halo, keeps of each
layer the positions that the tile owns, and adds up their Gram matrices; with these the derivatives
dL/dG of the style loss are known. Pass two goes forward and back through each tile with dL/dG held
fixed, and adds the gradients at the tiles' pixels into the image's.
"""

import math
import tempfile
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tf_style.network.features import Features
from tf_style.objective.presets import Preset
from tf_style.objective.tile_plan import Tile, halo_px, plan_tiles
from tf_style.objective.tile_pool import LocalPool, TilePool
from tf_style.objective.tile_worker import Scales, TileWorker


class TiledObjective:
    """As `Objective`, for one image whose activations would not fit in memory at once."""

    def __init__(
        self,
        features: Features,
        preset: Preset,
        *,
        content: np.ndarray | None,
        styles: Sequence[np.ndarray] = (),
        blend: Sequence[float] | None = None,
        height: int,
        width: int,
        tile_px: int,
        halo: int | None = None,
        pool: TilePool | None = None,
    ):
        """Computes the targets, by tiles too.

        Args:
          features: The network.
          preset: The layers, weights and scales, as for `Objective`.
          content: float32 [1, height, width, 3], RGB, 0..255, or None.
          styles: Each float32 [1, any height, any width, 3].
          blend: As for `Objective`.
          height: Of the image to come.
          width: Of the image to come.
          tile_px: A tile's side, without its halo.
          halo: In pixels; None for the least that is exact, and less is not.
          pool: Who computes; None for this process alone.
        """
        self._preset = preset
        self._halo = halo_px(preset.layers) if halo is None else halo
        self._tile_px = tile_px
        self._pool = pool or LocalPool(TileWorker(features, preset))
        self._shape = (1, height, width, 3)
        self._tiles = self._plan(height, width)
        self._scales = Scales.of(preset, height, width)
        self._content = self._content_targets(content)
        self._style = self._style_targets(styles, blend or (1.0,) * len(styles))
        self.parts_and_gradient = tf.function(
            self._parts_and_gradient, input_signature=[tf.TensorSpec(self._shape)]
        )

    def _plan(self, height: int, width: int) -> list[Tile]:
        return plan_tiles(height, width, self._tile_px, self._preset.layers, halo=self._halo)

    def _parts_and_gradient(self, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # The tiles are Python's: what is between two of them costs nothing beside one.
        parts, gradient = tf.numpy_function(
            self._evaluate, [image], [tf.float32, tf.float32], stateful=False
        )
        return tf.ensure_shape(parts, [1, 3]), tf.ensure_shape(gradient, self._shape)

    def _evaluate(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scales = self._scales
        grams = self._grams(image, self._tiles)
        differences = [
            gram - positions * target
            for gram, positions, target in zip(grams, scales.positions, self._style, strict=True)
        ]
        style = sum(
            scale * float(np.sum(np.square(difference, dtype=np.float64)))
            for scale, difference in zip(scales.style, differences, strict=True)
        )
        derivatives = [
            np.float32(2 * scale * difference)
            for scale, difference in zip(scales.style, differences, strict=True)
        ]
        content = variation = 0.0
        gradient = np.zeros(self._shape, np.float32)
        requests = (
            (
                tile.crop(image),
                tile,
                [target.read(index) for target in self._content],
                scales,
                derivatives,
            )
            for index, tile in enumerate(self._tiles)
        )
        # In the tiles' order, whoever computed them, so that the bits do not depend on that.
        for tile, (of_content, of_variation, part) in zip(
            self._tiles, self._pool.map("gradient", requests), strict=True
        ):
            content += of_content
            variation += of_variation
            tile.crop(gradient)[...] += part
        return np.float32([[content, style, variation]]), gradient

    def _grams(self, image: np.ndarray, tiles: Sequence[Tile]) -> list[np.ndarray]:
        """Of the whole image, float64, for each style layer."""
        if not self._preset.style_layers:
            return []
        totals = None
        for grams in self._pool.map("grams", ((tile.crop(image), tile) for tile in tiles)):
            new = [gram.astype(np.float64) for gram in grams]
            totals = new if totals is None else [a + b for a, b in zip(totals, new, strict=True)]
        return totals

    def _content_targets(self, content: np.ndarray | None) -> list["_Stored"]:
        """One for each layer, on disk: all together they are larger than a tile's activations."""
        if content is None or not self._preset.content_layers:
            return []
        stores = [_Stored() for _ in self._preset.content_layers]
        requests = ((tile.crop(content), tile) for tile in self._tiles)
        for arrays in self._pool.map("content", requests):
            for store, array in zip(stores, arrays, strict=True):
                store.append(array)
        return stores

    def _style_targets(self, styles: Sequence[np.ndarray], blend: Sequence[float]) -> list[np.ndarray]:
        """The blend's A / M for each style layer, as in `Objective`."""
        totals = [0.0] * len(self._preset.style_layers)
        for style, weight in zip(styles, blend, strict=True):
            height, width = style.shape[1:3]
            grams = self._grams(style, self._plan(height, width))
            positions = Scales.of(self._preset, height, width).positions
            totals = [
                total + weight / sum(blend) / count * gram
                for total, count, gram in zip(totals, positions, grams, strict=True)
            ]
        return totals


class _Stored:
    """Arrays in a file without a name, in the order in which they came."""

    def __init__(self):
        self._file = tempfile.TemporaryFile()
        self._places: list[tuple[int, tuple[int, ...], np.dtype]] = []

    def __del__(self):
        self._file.close()

    def append(self, array: np.ndarray) -> None:
        self._places.append((self._file.seek(0, 2), array.shape, array.dtype))
        self._file.write(array.tobytes())

    def read(self, index: int) -> np.ndarray:
        place, shape, dtype = self._places[index]
        self._file.seek(place)
        return np.frombuffer(self._file.read(math.prod(shape) * dtype.itemsize), dtype).reshape(shape)
