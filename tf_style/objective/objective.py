"""The objective: content loss, style loss and total variation of images, and their gradient."""

import copy
from collections.abc import Sequence

import tensorflow as tf

from tf_style.network.features import Features
from tf_style.objective.presets import Preset, Scale
from tf_style.ops.gram import gram_loss, gram_matrix

# The parts of the loss, in the order in which `parts_and_gradient` returns them.
PARTS = ("content", "style", "tv")


class Objective:
    """The loss of section 2 of the paper (equation 7) for content images and some styles.

    `parts_and_gradient` is all that is known of it outside: nothing above relies on the activations of
    the whole image being in memory at once. The images of a batch have one size, and no number of one
    depends on another's.
    """

    def __init__(
        self,
        features: Features,
        preset: Preset,
        *,
        content: tf.Tensor | None,
        styles: Sequence[tf.Tensor] = (),
        blend: Sequence[float] | None = None,
        kernel: str = "auto",
    ):
        """Computes the targets, in the precision in which the loss will be evaluated.

        Args:
          features: The network.
          preset: The layers, weights and scales; without a content image its `content_layers` are
            empty, without styles its `style_layers`.
          content: float32 [batch, height, width, 3], RGB, 0..255, of the size of the images to come,
            one for each; None where there are no content layers.
          styles: Likewise, each [1 or batch, any height, any width, 3]: one for all, or one for each.
          blend: A weight for each style, to be divided by their sum; None for equal parts.
          kernel: For the Gram matrices, as in `gram_loss`.
        """
        self._features = features
        self._preset = preset
        self._kernel = kernel
        self._style_targets = self._make_style_targets(styles, blend or (1.0,) * len(styles))
        self._set_content(content)

    def with_content(self, content: tf.Tensor) -> "Objective":
        """The same styles with other content images, [batch, height, width, 3]."""
        other = copy.copy(self)
        other._set_content(content)
        return other

    def parts(self, images: tf.Tensor) -> tf.Tensor:
        """The three parts of the loss of each image.

        Args:
          images: float32 [batch, height, width, 3], RGB, 0..255.

        Returns:
          float32 [batch, 3], in the order of `PARTS`.
        """
        preset = self._preset
        activations = self._features(images)
        content = style = tf.zeros_like(images[:, 0, 0, 0])
        for name, target in self._content_targets.items():
            difference = tf.cast(activations[name], tf.float32) - tf.cast(target, tf.float32)
            scale = preset.content_weight * _scale(preset.content_scale, activations[name])
            content += scale * tf.reduce_sum(tf.square(difference), axis=[1, 2, 3])
        for weight, (name, target) in zip(
            preset.layer_weights(), self._style_targets.items(), strict=True
        ):
            positions = _positions(activations[name])
            scale = preset.style_weight * weight * _scale(preset.style_scale, activations[name])
            # A style image of another size has another sum over positions: A is scaled to this one's.
            style += gram_loss(activations[name], target * positions, scale, kernel=self._kernel)
        return tf.stack([content, style, self._total_variation(images)], axis=1)

    def _parts_and_gradient(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The three parts of the loss of each image, and the gradient of their sum.

        Args:
          images: float32 [batch, height, width, 3], RGB, 0..255.

        Returns:
          float32 [batch, 3], in the order of `PARTS`, and float32 [batch, height, width, 3].
        """
        with tf.GradientTape() as tape:
            tape.watch(images)
            parts = self.parts(images)
            loss = tf.reduce_sum(parts)
        return parts, tape.gradient(loss, images)

    def _total_variation(self, images: tf.Tensor) -> tf.Tensor:
        """Departure from the paper, which has no such prior; 0 by default."""
        preset = self._preset
        total = tf.zeros_like(images[:, 0, 0, 0])
        if not preset.tv_weight:
            return total
        for difference in (
            images[:, 1:] - images[:, :-1],
            images[:, :, 1:] - images[:, :, :-1],
        ):
            powers = tf.abs(difference) if preset.tv_exponent == 1 else tf.square(difference)
            reduce = tf.reduce_sum if preset.tv_scale == "sum" else tf.reduce_mean
            total += reduce(powers, axis=[1, 2, 3])
        return preset.tv_weight * total

    def _set_content(self, content: tf.Tensor | None) -> None:
        self._content_targets = self._make_content_targets(content)
        # Inlined, each call in an optimiser would be a copy of the network for TensorFlow to optimise.
        self.parts_and_gradient = tf.function(
            self._parts_and_gradient,
            experimental_attributes={"_noinline": True},
        )

    def _make_content_targets(self, content: tf.Tensor | None) -> dict[str, tf.Tensor]:
        names = self._preset.content_layers
        if content is None or not names:
            return {}
        activations = self._features(content)
        return {name: activations[name] for name in names}

    def _make_style_targets(
        self, styles: Sequence[tf.Tensor], blend: Sequence[float]
    ) -> dict[str, tf.Tensor]:
        """The blend's A / M for each style layer, float32 [1 or batch, channels, channels].

        The weighted sum of the losses to several targets A_k and the loss to their weighted mean
        differ by a constant: sum_k{ b_k (G - A_k)**2 } = (G - sum_k{ b_k A_k })**2 + const where
        the b_k sum to 1. So one target serves any number of styles.
        """
        targets: dict[str, tf.Tensor] = {}
        for style, weight in zip(styles, blend, strict=True):
            activations = self._features(style)
            for name in self._preset.style_layers:
                share = weight / sum(blend) / _positions(activations[name])
                gram = share * gram_matrix(activations[name], kernel=self._kernel)
                targets[name] = targets[name] + gram if name in targets else gram
        return targets


def _positions(activations: tf.Tensor) -> float | tf.Tensor:
    height, width = activations.shape[1:3]
    if height is None or width is None:
        height, width = tf.unstack(tf.shape(activations)[1:3])
        return tf.cast(height * width, tf.float32)
    return float(height * width)


def _scale(scale: Scale, activations: tf.Tensor) -> float | tf.Tensor:
    return scale(activations.shape[3], _positions(activations))
