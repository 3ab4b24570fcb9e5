"""What the sums in the loss are multiplied by, of whole images and of tiles."""

import dataclasses
from typing import Any, NamedTuple

from tf_style.network.architecture import find_layer
from tf_style.objective.presets import Preset, Scale


@dataclasses.dataclass(frozen=True)
class LossScale:
    """weight * k(N, M): what the sum of squares at one layer is multiplied by.

    Attributes:
      weight: Of the layer, and of the part of the loss; a float, or a scalar float64 tensor where it is
        known only when the graph runs.
      scale: k.
    """

    weight: Any
    scale: Scale

    def __call__(self, channels: int, positions: Any) -> Any:
        """The factor.

        Args:
          channels: N.
          positions: M, a float, or a scalar float64 tensor where it is known only when the graph runs,
            as it is where the weight is.

        Returns:
          As `positions` is.
        """
        return self.weight * self.scale(channels, positions)


class PartWeights(NamedTuple):
    """alpha, beta and the weight of the total variation: floats, or scalar float64 tensors."""

    content: Any
    style: Any
    tv: Any

    @classmethod
    def of(cls, preset: Preset) -> "PartWeights":
        """A preset's."""
        return cls(preset.content_weight, preset.style_weight, preset.tv_weight)


def content_scale(preset: Preset, weights: PartWeights | None = None) -> LossScale:
    """Of every content layer, with other weights than the preset's if they are given."""
    weights = weights or PartWeights.of(preset)
    return LossScale(weights.content, preset.content_scale)


def style_scales(preset: Preset, weights: PartWeights | None = None) -> dict[str, LossScale]:
    """Of each style layer, by its name; likewise."""
    of_style = (weights or PartWeights.of(preset)).style
    return {
        name: LossScale(of_style * weight, preset.style_scale)
        for weight, name in zip(preset.layer_weights(), preset.style_layers, strict=True)
    }


def relative_content(preset: Preset, style_loss: Any, loss_at_zero: Any) -> Any:
    """What the content loss is multiplied by where its unit is "relative".

    Args:
      preset: It has weights for both.
      style_loss: Of the content image, with the preset's weights.
      loss_at_zero: The content loss at activations of 0, with the preset's weights.

    Returns:
      As the losses are, floats or tensors; 0 for a content image that has the style.
    """
    own_style = style_loss / preset.style_weight
    mean_square = loss_at_zero / preset.content_weight
    return own_style / (mean_square + 1e-30)


@dataclasses.dataclass(frozen=True)
class TileScales:
    """What the sums over a whole image's positions are multiplied by, for tiles that know a part of it.

    Attributes:
      content: For each content layer.
      style: For each style layer.
      positions: M of each style layer.
      variation: For the differences down and across.
    """

    content: tuple[float, ...]
    style: tuple[float, ...]
    positions: tuple[float, ...]
    variation: tuple[float, ...]

    @classmethod
    def of(cls, preset: Preset, height: int, width: int) -> "TileScales":
        """The scales of an image of `height` x `width` pixels."""

        def positions(name: str) -> float:
            stride = find_layer(name).stride
            return float((height // stride) * (width // stride))

        def scale(of_layer: LossScale, name: str) -> float:
            return of_layer(find_layer(name).channels, positions(name))

        counts = (1, 1)
        if preset.tv_scale == "mean":
            counts = (3 * (height - 1) * width, 3 * height * (width - 1))
        return cls(
            content=tuple(scale(content_scale(preset), name) for name in preset.content_layers),
            style=tuple(scale(of_layer, name) for name, of_layer in style_scales(preset).items()),
            positions=tuple(positions(name) for name in preset.style_layers),
            # An image of one row has no difference down.
            variation=tuple(preset.tv_weight / max(1, count) for count in counts),
        )
