"""What is computed on one tile, by whoever has its pixels."""

import functools
import operator
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tf_style.network.architecture import find_layer
from tf_style.network.features import Features
from tf_style.objective.presets import Preset
from tf_style.objective.scales import TileScales
from tf_style.objective.style_statistic import style_statistic
from tf_style.objective.tile_plan import Tile
from tf_style.objective.total_variation import ACROSS, DOWN, neighbour_terms

# Top, bottom, left and right of what a tile owns: of the image, then of each layer.
_BOUNDS = tf.TensorSpec([None, 4], tf.int32)


class TileWorker:
    """Sums and gradients of one tile after another, whose sizes may differ."""

    def __init__(
        self,
        features: Features,
        preset: Preset,
        num_guides: int = 0,
        *,
        has_content_weights: bool = False,
    ):
        """Prepares the functions; sizes may differ from call to call without another trace.

        Args:
          features: The network.
          preset: The layers, weights and scales.
          num_guides: How many regions have a guide each; 0 where the style is the whole image's.
          has_content_weights: Whether a position of a content layer has a weight of its own.
        """
        self._features = features
        self._preset = preset
        self._style = style_statistic(preset)
        self._rows = {name: row for row, name in enumerate(preset.layers, start=1)}
        crops = tf.TensorSpec([1, None, None, 3])
        # Of each region at each style layer.
        roots = [[tf.TensorSpec([1, None, None, 1])] * num_guides for _ in preset.style_layers]
        self._style_sums = tf.function(
            self._compute_style_sums, input_signature=[crops, _BOUNDS, roots], autograph=False
        )
        self._content = tf.function(
            self._compute_content, input_signature=[crops, _BOUNDS], autograph=False
        )
        targets = [
            tf.TensorSpec([1, None, None, find_layer(name).channels], features.precision)
            for name in preset.content_layers
        ]
        derivatives = [
            [self._style.derivative_spec(find_layer(name).channels)] * (num_guides or 1)
            for name in preset.style_layers
        ]
        weights = [tf.TensorSpec([1, None, None, 1])] * (len(targets) if has_content_weights else 0)
        content_scales, tv_scales = tf.TensorSpec([len(targets)]), tf.TensorSpec([2])
        self._gradient = tf.function(
            self._compute_gradient,
            input_signature=[
                *(crops, _BOUNDS, targets, weights, content_scales, tv_scales, derivatives, roots)
            ],
            autograph=False,
        )

    def style_sums(
        self, crop: np.ndarray, tile: Tile, roots: Sequence[Sequence[np.ndarray]]
    ) -> list[list[np.ndarray]]:
        """The tile's part of the sums that the style is computed from.

        Args:
          crop: What the tile sees, float32 [1, height, width, 3], RGB, 0..255.
          tile: Where it lies.
          roots: For each style layer the guide of each region at the positions that the tile owns,
            float32 [1, height, width, 1]; empty lists without guides.

        Returns:
          For each style layer the statistic's `sums` in each region, of the positions that the tile
          owns alone; one where there are no guides.
        """
        made = self._style_sums(crop, self._bounds(tile), _tensors(roots))
        return [[sums.numpy() for sums in of_layer] for of_layer in made]

    def content(self, crop: np.ndarray, tile: Tile) -> list[np.ndarray]:
        """The tile's part of the content's activations.

        Args:
          crop: As for `style_sums`.
          tile: Where it lies.

        Returns:
          For each content layer the activations that the tile owns, [1, height, width, channels] in the
          network's precision.
        """
        return [each.numpy() for each in self._content(crop, self._bounds(tile))]

    def gradient(
        self,
        crop: np.ndarray,
        tile: Tile,
        targets: Sequence[np.ndarray],
        weights: Sequence[np.ndarray],
        scales: TileScales,
        derivatives: Sequence[Sequence[np.ndarray]],
        roots: Sequence[Sequence[np.ndarray]],
    ) -> tuple[float, float, np.ndarray]:
        """The tile's part of the loss and of the gradient.

        Args:
          crop: As for `style_sums`.
          tile: Where it lies.
          targets: What `content` returned for this tile of the content image.
          weights: For each content layer those of the positions that the tile owns, float32
            [1, height, width, 1]; none for 1.
          scales: Of the whole image.
          derivatives: For each style layer and region the loss's derivative with respect to the whole
            image's sums, as the statistic gives it.
          roots: As for `style_sums`.

        Returns:
          The content loss and the total variation of what the tile owns, and the gradient at its crop,
          float32 [1, height, width, 3].
        """
        # Tensors, as the tape takes them, also where functions are run eagerly.
        content, variation, gradient = self._gradient(
            tf.constant(crop),
            self._bounds(tile),
            [tf.constant(target) for target in targets],
            [tf.constant(each, tf.float32) for each in weights],
            np.float32(scales.content),
            np.float32(scales.variation),
            _tensors(derivatives),
            _tensors(roots),
        )
        return float(content), float(variation), gradient.numpy()

    def _bounds(self, tile: Tile) -> np.ndarray:
        return _bounds(tile, [1, *(find_layer(name).stride for name in self._preset.layers)])

    def _owned(self, activations: dict, name: str, bounds: tf.Tensor) -> tf.Tensor:
        """The positions of a layer that the tile owns."""
        top, bottom, left, right = tf.unstack(bounds[self._rows[name]])
        return activations[name][:, top:bottom, left:right]

    def _compute_style_sums(self, crop, bounds, roots) -> list[list[tf.Tensor]]:
        activations = self._features(crop)
        return [
            [
                self._style.sums(self._owned(activations, name, bounds), root)
                for root in of_layer or [None]
            ]
            for name, of_layer in zip(self._preset.style_layers, roots, strict=True)
        ]

    def _compute_content(self, crop: tf.Tensor, bounds: tf.Tensor) -> list[tf.Tensor]:
        activations = self._features(crop)
        return [self._owned(activations, name, bounds) for name in self._preset.content_layers]

    def _compute_gradient(
        self, crop, bounds, targets, weights, content_scales, tv_scales, derivatives, roots
    ):
        """Shapes are those of the input signature: see `__init__`."""
        with tf.GradientTape() as tape:
            tape.watch(crop)
            activations = self._features(crop)
            content = tf.constant(0.0)
            for index, (name, target) in enumerate(
                zip(self._preset.content_layers, targets, strict=True)
            ):
                owned = self._owned(activations, name, bounds)
                difference = tf.cast(owned, tf.float32) - tf.cast(target, tf.float32)
                squares = tf.square(difference)
                if weights:
                    squares *= weights[index]
                content += content_scales[index] * tf.reduce_sum(squares)
            variation = self._variation(crop, bounds, tv_scales)
            loss = content + variation
            sources = [activations[name] for name in self._preset.style_layers]
        # The style's gradient enters at its layers, and is 0 where other tiles own the positions; the
        # network takes it on from there.
        upstream = []
        for name, of_layer, guides in zip(self._preset.style_layers, derivatives, roots, strict=True):
            owned = self._owned(activations, name, bounds)
            gradient = functools.reduce(
                operator.add,
                (
                    self._style.gradient(owned, derivative, root)
                    for derivative, root in zip(of_layer, guides or [None], strict=True)
                ),
            )
            top, bottom, left, right = tf.unstack(bounds[self._rows[name]])
            height, width = tf.unstack(tf.shape(activations[name])[1:3])
            padding = [[0, 0], [top, height - bottom], [left, width - right], [0, 0]]
            upstream.append(tf.pad(gradient, padding))
        gradient = tape.gradient(
            [loss, *sources], crop, [tf.ones([]), *upstream], unconnected_gradients="zero"
        )
        return content, variation, gradient

    def _variation(self, crop: tf.Tensor, bounds: tf.Tensor, scales: tf.Tensor) -> tf.Tensor:
        """Of the differences whose first pixel the tile owns."""
        if not self._preset.tv_weight:
            return tf.constant(0.0)
        top, bottom, left, right = tf.unstack(bounds[0])
        regions = {
            DOWN: crop[:, top : bottom + 1, left:right],
            ACROSS: crop[:, top:bottom, left : right + 1],
        }
        return tf.add_n(
            [
                scale * tf.reduce_sum(neighbour_terms(region, axis, self._preset))
                for (axis, region), scale in zip(regions.items(), tf.unstack(scales, 2), strict=True)
            ]
        )


def _tensors(arrays: Sequence[Sequence[np.ndarray]]) -> list[list[tf.Tensor]]:
    return [[tf.constant(array, tf.float32) for array in of_layer] for of_layer in arrays]


def _bounds(tile: Tile, strides: Sequence[int]) -> np.ndarray:
    """Top, bottom, left and right of what the tile owns, int32 [strides, 4]."""
    result = []
    for stride in strides:
        _, rows, columns = tile.owned(stride)
        down = (tile.rows.high - tile.rows.low) // stride if rows.stop is None else rows.stop
        right = (tile.columns.high - tile.columns.low) // stride
        right = right if columns.stop is None else columns.stop
        result.append((rows.start, down, columns.start, right))
    return np.array(result, np.int32)
