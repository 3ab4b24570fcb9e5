"""The objective: content loss, style loss and total variation of images, and their gradient."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf

from tf_style.network.features import Features, num_positions
from tf_style.objective.gram_style import GramStyle
from tf_style.objective.presets import Preset
from tf_style.objective.scales import content_scale, style_scales
from tf_style.objective.total_variation import total_variation

# The parts of the loss, in the order in which `parts_and_gradient` returns them.
PARTS = ("content", "style", "tv")


class Objective:
    """The loss of section 2 of the paper (equation 7) for content images and some styles.

    `parts_and_gradient` is the only interface that an optimiser uses: nothing above relies on the
    activations of the whole image being in memory at once. The images of a batch have one size, and
    are independent of each other.

    Attributes:
      style_targets: For each style layer what its activations are compared with, as `GramStyle.target`
        returns it.
    """

    def __init__(
        self,
        features: Features,
        preset: Preset,
        *,
        content: tf.Tensor | None,
        styles: Sequence[tf.Tensor] = (),
        blend: Sequence[float] | None = None,
        style_targets: Mapping[str, tf.Tensor] | None = None,
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
          style_targets: Another objective's, in place of styles.
          kernel: For the Gram matrices, as in `gram_loss`.
        """
        self._features, self._preset, self._kernel = features, preset, kernel
        statistic = GramStyle(kernel)
        if style_targets is None:
            style_targets = _style_targets(features, preset, statistic, styles, blend)
        self.style_targets = style_targets
        content_targets = {}
        if content is not None and preset.content_layers:
            activations = features(content)
            content_targets = {name: activations[name] for name in preset.content_layers}
        self._loss = _Loss(features, preset, statistic, content_targets, style_targets)

    def with_content(self, content: tf.Tensor) -> "Objective":
        """The same styles with other content images, [batch, height, width, 3]."""
        return Objective(
            self._features,
            self._preset,
            content=content,
            style_targets=self.style_targets,
            kernel=self._kernel,
        )

    def parts(self, images: tf.Tensor) -> tf.Tensor:
        """The three parts of the loss of each image.

        Args:
          images: float32 [batch, height, width, 3], RGB, 0..255.

        Returns:
          float32 [batch, 3], in the order of `PARTS`.
        """
        return self._loss.parts(images)

    @functools.cached_property
    def parts_and_gradient(self) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
        """From images to the three parts of the loss of each, and the gradient of their sum.

        A tf.function from float32 [batch, height, width, 3], RGB, 0..255, to float32 [batch, 3], in the
        order of `PARTS`, and float32 [batch, height, width, 3].
        """
        # Inlined, each call in an optimiser would be a copy of the network for TensorFlow to optimise.
        return tf.function(self._loss.parts_and_gradient, experimental_attributes={"_noinline": True})


@dataclasses.dataclass(frozen=True, eq=False)
class _Loss:
    """The loss against given targets.

    Apart from `Objective`, for a tf.function of its own method would make a reference cycle, and keep
    the targets until Python's collector runs.
    """

    features: Features
    preset: Preset
    statistic: GramStyle
    content_targets: Mapping[str, tf.Tensor]
    style_targets: Mapping[str, tf.Tensor]

    def parts(self, images: tf.Tensor) -> tf.Tensor:
        activations = self.features(images)
        content = style = tf.zeros_like(images[:, 0, 0, 0])
        for name, target in self.content_targets.items():
            difference = tf.cast(activations[name], tf.float32) - tf.cast(target, tf.float32)
            scale = content_scale(self.preset)(target.shape[-1], num_positions(activations[name]))
            content += scale * tf.reduce_sum(tf.square(difference), axis=[1, 2, 3])
        for name, of_layer in style_scales(self.preset).items():
            layer = activations[name]
            scale = of_layer(layer.shape[-1], num_positions(layer))
            style += self.statistic.loss(layer, self.style_targets[name], scale)
        return tf.stack([content, style, total_variation(images, self.preset)], axis=1)

    def parts_and_gradient(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(images)
            parts = self.parts(images)
            loss = tf.reduce_sum(parts)
        return parts, tape.gradient(loss, images)


def _style_targets(
    features: Features,
    preset: Preset,
    statistic: GramStyle,
    styles: Sequence[tf.Tensor],
    blend: Sequence[float] | None,
) -> dict[str, tf.Tensor]:
    """The blend's target for each style layer."""
    if preset.style_layers and not styles:
        raise ValueError(f"The style layers {preset.style_layers} take one style or more.")
    sums: dict[str, list[tf.Tensor]] = {name: [] for name in preset.style_layers}
    positions: dict[str, list[float | tf.Tensor]] = {name: [] for name in preset.style_layers}
    for style in styles if preset.style_layers else ():
        activations = features(style)
        for name in preset.style_layers:
            sums[name].append(statistic.sums(activations[name]))
            positions[name].append(num_positions(activations[name]))
    return {name: statistic.target(sums[name], positions[name], blend) for name in sums}
