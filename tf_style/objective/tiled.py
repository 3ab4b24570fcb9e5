"""The same loss and gradient from tiles of the image, exactly, in a fraction of the memory.

A Gram matrix is a sum over positions. Pass one runs the network on each tile with a halo, keeps of each
layer the positions that the tile owns, and adds up their Gram matrices; with these the derivatives
dL/dG of the style loss are known. Pass two goes forward and back through each tile with dL/dG held
fixed, and adds the gradients at the tiles' pixels into the image's.
"""

import dataclasses
import math
import tempfile
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from tf_style.errors import InputError
from tf_style.network.architecture import find_layer
from tf_style.objective.objective import Features
from tf_style.objective.presets import Preset, Scale
from tf_style.objective.tile_plan import Tile, halo_px, plan_tiles
from tf_style.ops.gram import gram_matrix
from tf_style.transfer.devices import THREADS_FOR_TILES, num_inter_op_threads


@dataclasses.dataclass(frozen=True)
class Scales:
    """What the sums over a whole image's positions are multiplied by.

    Attributes:
      content: For each content layer.
      style: For each style layer.
      positions: M of each style layer.
      variation: For the differences down and across.
    """

    content: tuple[float, ...]
    style: tuple[float, ...]
    positions: tuple[float, ...]
    variation: tuple[float, float]

    @classmethod
    def of(cls, preset: Preset, height: int, width: int) -> "Scales":
        """The scales of an image of a size."""

        def positions(name: str) -> float:
            stride = find_layer(name).stride
            return float((height // stride) * (width // stride))

        def scale(kind: Scale, name: str) -> float:
            return kind(find_layer(name).channels, positions(name))

        counts = (1, 1)
        if preset.tv_scale == "mean":
            counts = (3 * (height - 1) * width, 3 * height * (width - 1))
        return cls(
            content=tuple(
                preset.content_weight * scale(preset.content_scale, name)
                for name in preset.content_layers
            ),
            style=tuple(
                preset.style_weight * weight * scale(preset.style_scale, name)
                for weight, name in zip(preset.layer_weights(), preset.style_layers, strict=True)
            ),
            positions=tuple(positions(name) for name in preset.style_layers),
            # A picture of one row has no difference down.
            variation=tuple(preset.tv_weight / max(1, count) for count in counts),
        )


class TileWorker:
    """What is computed on one tile, by whoever has its pixels."""

    def __init__(self, features: Features, preset: Preset):
        """Prepares the functions; sizes may differ from call to call without another trace."""
        self._features = features
        self._preset = preset
        crops = tf.TensorSpec([1, None, None, 3])
        self._grams = tf.function(self._compute_grams, input_signature=[crops, _BOUNDS])
        self._content = tf.function(self._compute_content, input_signature=[crops, _BOUNDS])

        precision = features.precision
        targets = [
            tf.TensorSpec([1, None, None, find_layer(name).channels], precision)
            for name in preset.content_layers
        ]
        derivatives = [
            tf.TensorSpec([1, find_layer(name).channels, find_layer(name).channels])
            for name in preset.style_layers
        ]
        self._gradient = tf.function(
            self._compute_gradient,
            input_signature=[
                *(crops, _BOUNDS, targets),
                *(tf.TensorSpec([len(targets)]), tf.TensorSpec([2]), derivatives),
            ],
        )

    def grams(self, crop: np.ndarray, tile: Tile) -> list[np.ndarray]:
        """The Gram matrices of what the tile owns, [1, N, N] for each style layer, and nothing else."""
        return [gram.numpy() for gram in self._grams(crop, _bounds(tile, self._strides()))]

    def content(self, crop: np.ndarray, tile: Tile) -> list[np.ndarray]:
        """The activations that the tile owns at the content layers."""
        return [each.numpy() for each in self._content(crop, _bounds(tile, self._strides()))]

    def gradient(
        self,
        crop: np.ndarray,
        tile: Tile,
        targets: Sequence[np.ndarray],
        scales: "Scales",
        derivatives: Sequence[np.ndarray],
    ) -> tuple[float, float, np.ndarray]:
        """The tile's content loss and total variation, and its part of the gradient at its crop."""
        content, variation, gradient = self._gradient(
            crop,
            _bounds(tile, self._strides()),
            [tf.constant(target) for target in targets],
            np.float32(scales.content),
            np.float32(scales.variation),
            list(derivatives),
        )
        return float(content), float(variation), gradient.numpy()

    def _strides(self) -> list[int]:
        return [1, *(find_layer(name).stride for name in self._preset.layers)]

    def _owned(self, values: tf.Tensor, bounds: tf.Tensor, index: int) -> tf.Tensor:
        top, bottom, left, right = tf.unstack(bounds[index])
        return values[:, top:bottom, left:right]

    def _compute_grams(self, crop: tf.Tensor, bounds: tf.Tensor) -> list[tf.Tensor]:
        activations = self._features(crop)
        index = {name: place + 1 for place, name in enumerate(self._preset.layers)}
        return [
            gram_matrix(self._owned(activations[name], bounds, index[name]))
            for name in self._preset.style_layers
        ]

    def _compute_content(self, crop: tf.Tensor, bounds: tf.Tensor) -> list[tf.Tensor]:
        activations = self._features(crop)
        index = {name: place + 1 for place, name in enumerate(self._preset.layers)}
        return [
            self._owned(activations[name], bounds, index[name]) for name in self._preset.content_layers
        ]

    def _compute_gradient(self, crop, bounds, targets, content_scales, tv_scales, derivatives):
        index = {name: place + 1 for place, name in enumerate(self._preset.layers)}
        with tf.GradientTape() as tape:
            tape.watch(crop)
            activations = self._features(crop)
            content = tf.constant(0.0)
            for place, (name, target) in enumerate(
                zip(self._preset.content_layers, targets, strict=True)
            ):
                owned = self._owned(activations[name], bounds, index[name])
                difference = tf.cast(owned, tf.float32) - tf.cast(target, tf.float32)
                content += content_scales[place] * tf.reduce_sum(tf.square(difference))
            variation = self._variation(crop, bounds, tv_scales)
            loss = content + variation
            sources = [activations[name] for name in self._preset.style_layers]
        # dL/dF = 2 F dL/dG, for both matrices are symmetric, and 0 where others own F; the network
        # takes it on from there.
        upstream = []
        for name, derivative in zip(self._preset.style_layers, derivatives, strict=True):
            values = self._owned(activations[name], bounds, index[name])
            flat = tf.reshape(values, [1, -1, values.shape[-1]])
            product = tf.matmul(flat, tf.cast(2.0 * derivative, flat.dtype))
            top, bottom, left, right = tf.unstack(bounds[index[name]])
            height, width = tf.unstack(tf.shape(activations[name])[1:3])
            upstream.append(
                tf.pad(
                    tf.reshape(product, tf.shape(values)),
                    [[0, 0], [top, height - bottom], [left, width - right], [0, 0]],
                )
            )
        gradient = tape.gradient(
            [loss, *sources], crop, [tf.ones([]), *upstream], unconnected_gradients="zero"
        )
        return content, variation, gradient

    def _variation(self, crop: tf.Tensor, bounds: tf.Tensor, scales: tf.Tensor) -> tf.Tensor:
        """Of the differences whose first pixel the tile owns."""
        if not self._preset.tv_weight:
            return tf.constant(0.0)
        top, bottom, left, right = tf.unstack(bounds[0])
        down = crop[:, top : bottom + 1, left:right]
        across = crop[:, top:bottom, left : right + 1]
        differences = (down[:, 1:] - down[:, :-1], across[:, :, 1:] - across[:, :, :-1])
        exponent = self._preset.tv_exponent
        return tf.add_n(
            [
                scale * tf.reduce_sum(tf.abs(each) if exponent == 1 else tf.square(each))
                for each, scale in zip(differences, tf.unstack(scales, 2), strict=True)
            ]
        )


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
        pool: "TilePool | None" = None,
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


class TilePool(Protocol):
    """Who computes tiles."""

    def map(self, method: str, requests: Iterable[tuple]) -> Iterable[Any]:
        """The results of a `TileWorker`'s method for each request, in the requests' order."""
        ...


class LocalPool:
    """This process, one tile after the other: each uses all the cores."""

    def __init__(self, worker: TileWorker, device: str | None = None):
        """Takes the worker and the device.

        Args:
          worker: What computes.
          device: For it; None for TensorFlow's choice.

        Raises:
          InputError: If TensorFlow runs one operation at a time: an evaluation would wait for ever.
        """
        if num_inter_op_threads() < THREADS_FOR_TILES:
            raise InputError(
                f"Tiles take {THREADS_FOR_TILES} inter-op threads, and TensorFlow has 1 here. Call "
                f"tf.config.threading.set_inter_op_parallelism_threads({THREADS_FOR_TILES}) first."
            )
        self._worker = worker
        self._device = device

    def map(self, method: str, requests: Iterable[tuple]) -> Iterable[Any]:
        """As in `TilePool`."""
        for request in requests:
            # Evaluations call this on a thread of TensorFlow's, to which no tf.device outside reaches.
            with tf.device(self._device):
                result = getattr(self._worker, method)(*request)
            yield result


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


_BOUNDS = tf.TensorSpec([None, 4], tf.int32)


def _bounds(tile: Tile, strides: Sequence[int]) -> np.ndarray:
    """Top, bottom, left and right of what the tile owns, at each stride."""
    result = []
    for stride in strides:
        _, rows, columns = tile.owned(stride)
        down = (tile.rows.high - tile.rows.low) // stride if rows.stop is None else rows.stop
        right = (tile.columns.high - tile.columns.low) // stride
        right = right if columns.stop is None else columns.stop
        result.append((rows.start, down, columns.start, right))
    return np.array(result, np.int32)
