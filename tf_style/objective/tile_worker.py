"""What is computed on one tile, by whoever has its pixels."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tf_style.network.architecture import find_layer
from tf_style.network.features import Features
from tf_style.objective.presets import Preset, Scale
from tf_style.objective.tile_plan import Tile
from tf_style.ops.gram import gram_matrix


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
