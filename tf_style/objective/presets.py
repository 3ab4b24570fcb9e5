"""What is minimised: the paper's objective and that of well-known tools, in one form.

With F, P [M, N] the activations of the synthesised and the content image at a layer (M positions, N
channels), and d the distance of the synthesised from the style image at a layer: sum{(G - A)**2} of
their Gram matrices [N, N], or the squared Wasserstein-2 distance of their means and covariances,

    loss = sum over content layers { content_weight * w_l * k_c(N, M) * sum{(F - P)**2} }
         + sum over style layers   { style_weight   * w_l * k_s(N, M) * d }
         + tv_weight * k_tv * sum{|difference of neighbouring pixels| ** tv_exponent}

and a preset is a choice of weights, layers and of k(N, M) = factor / (N**a * M**b). Pixels are on the
0..255 scale. Where the content's unit is relative, its sum is also divided by what it is at F = 0 and
multiplied by what the style's sum, without style_weight, is at F = P, both at the coarsest size.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

Pooling = Literal["average", "max"]
Padding = Literal["replicate", "zero"]
StyleFit = Literal["area", "stretch"]
StyleStatistic = Literal["gram", "moments"]
ContentUnit = Literal["absolute", "relative", "relative at each size"]

STYLE_LAYERS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")


@dataclasses.dataclass(frozen=True)
class Scale:
    """k(N, M) = factor / (N**channels_power * M**positions_power)."""

    factor: float
    channels_power: int
    positions_power: int

    def __call__(self, channels: int, positions: float) -> float:
        """The scale at a layer with `channels` channels (N) and `positions` positions (M)."""
        return self.factor / (float(channels) ** self.channels_power * positions**self.positions_power)


MEAN = Scale(1.0, 1, 1)
MEAN_GRAM = Scale(1.0, 2, 2)  # The mean over G's N**2 entries of (G/M - A/M)**2.
MEAN_GRAM_PER_CHANNEL = Scale(1.0, 4, 2)  # The same of (G/(N M) - A/(N M))**2.
MEAN_MOMENTS = Scale(1.0, 1, 0)  # The squared distance for each of N channels.


@dataclasses.dataclass(frozen=True)
class Preset:
    """One choice of objective, network and start.

    Attributes:
      source: Where the figures come from.
      content_weight: alpha.
      style_weight: beta.
      content_scale: k_c.
      style_scale: k_s.
      content_unit: "absolute", or "relative" to the pictures at the coarsest size: then a content image
        of strong activations does not weigh more, and one that is far from its style is not lost on
        the way. "relative at each size" is what stored runs of before mean by it.
      content_layers: Layer names; their weights w_l are all 1.
      style_layers: Layer names.
      style_statistic: What of the activations is the style: "gram", their Gram matrix, or "moments",
        their mean and covariance.
      style_layer_weights: w_l, one for each style layer, or "mean" for 1 / number of layers each, or
        "sum" for 1 each.
      tv_weight: Weight of the total variation.
      tv_exponent: 1 for absolute, 2 for squared differences.
      tv_scale: "sum", or "mean" over the differences in each direction.
      pooling: Between the blocks of the network.
      pooling_gain: What average pooling's output is multiplied by. An average of ReLU activations is
        about half their maximum, which the network was trained with; 2 makes up for it. Max pooling
        needs none, and has none whatever this says.
      normalize: Whether the network's filters are scaled to a mean activation of 1.
      padding: What the first convolution sees beyond the border.
      init: What the image starts from: "content", "noise" or "style".
      style_fit: What the style image shares with the content: its area, or its exact size.
      level_ratio: Of the sides of one working size to those of the one below.
      coarsest_side_px: The side of a square of as many pixels as the coarsest working size has at
        least.
      level_decay: Of the iterations at one working size to those at the one below.
      margin_px: The width of the margin that a transfer puts around the picture, mirrored, while it is
        optimised, and cuts off at the end.
    """

    source: str
    content_weight: float
    style_weight: float
    content_scale: Scale
    style_scale: Scale
    content_layers: tuple[str, ...] = ("conv4_2",)
    style_layers: tuple[str, ...] = STYLE_LAYERS
    style_layer_weights: tuple[float, ...] | Literal["mean", "sum"] = "mean"
    style_statistic: StyleStatistic = "gram"
    tv_weight: float = 0.0
    tv_exponent: Literal[1, 2] = 2
    tv_scale: Literal["sum", "mean"] = "sum"
    pooling: Pooling = "average"
    normalize: bool = False
    padding: Padding = "zero"
    init: str = "content"
    style_fit: StyleFit = "area"
    pooling_gain: float = 1.0
    # Measured at 512 pixels with Gram matrices: from the content, which has its coarse structure
    # already, each coarser level ended higher after the same time; from noise at the same loss, with
    # less of the photograph. Larger pictures begin at that size, for their evaluations cost more.
    level_ratio: float = 2.0
    coarsest_side_px: float = 400.0
    level_decay: float = 0.5
    content_unit: ContentUnit = "absolute"
    margin_px: int = 0

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of all layers that the losses read, each once."""
        return tuple(dict.fromkeys((*self.content_layers, *self.style_layers)))

    def layer_weights(self) -> tuple[float, ...]:
        """w_l for each of `style_layers`."""
        if self.style_layer_weights == "mean":
            return tuple(1.0 / len(self.style_layers) for _ in self.style_layers)
        if self.style_layer_weights == "sum":
            return (1.0,) * len(self.style_layers)
        return self.style_layer_weights

    def with_style_statistic(self, statistic: StyleStatistic) -> "Preset":
        """The same weights with another statistic, whose distance is measured as the content's is.

        Args:
          statistic: "gram" or "moments".

        Returns:
          The preset itself if it has that statistic; else k_s is, for moments, the content loss's k_c
          times M, and for Gram matrices the mean over the entries of G / M in the content's unit.
        """
        if statistic == self.style_statistic:
            return self
        unit = self.content_scale
        if statistic == "moments":
            scale = dataclasses.replace(unit, positions_power=unit.positions_power - 1)
        else:
            scale = dataclasses.replace(MEAN_GRAM, factor=unit.factor**2)
        return dataclasses.replace(self, style_statistic=statistic, style_scale=scale)

    def times(self, content: float, style: float, tv: float) -> "Preset":
        """The same with the weights of the loss's three parts multiplied."""
        return dataclasses.replace(
            self,
            content_weight=self.content_weight * content,
            style_weight=self.style_weight * style,
            tv_weight=self.tv_weight * tv,
        )


def read_preset(stored: Mapping[str, Any]) -> Preset:
    """The inverse of `dataclasses.asdict`, also by way of JSON, which has lists for tuples."""
    values: dict[str, Any] = {}
    for name, value in stored.items():
        if isinstance(value, dict):
            value = Scale(**value)
        values[name] = tuple(value) if isinstance(value, list) else value
    return Preset(**values)


def strength_factors(strength: Any) -> tuple[Any, Any, Any]:
    """What the weights of content, style and total variation are multiplied by at a strength s.

    (1 - s) parts content, s parts style and total variation; all are doubled, so that 0.5 is the preset
    itself, to the last bit.

    Args:
      strength: From 0, the photograph, to 1, the style alone; a number or a tensor.

    Returns:
      Three, each as `strength` is.
    """
    return 2 * (1 - strength), 2 * strength, 2 * strength


# Activations of the network as trained, on pixels of 0..255, are about 60 times those that
# style-transfer-pytorch's weights are made for.
_MEAN_UNIT = Scale(1 / 60**2, 1, 1)
_MEAN_MOMENTS_UNIT = Scale(1 / 60**2, 1, 0)
_FALLING_LAYER_WEIGHTS = (256 / 341, 64 / 341, 16 / 341, 4 / 341, 1 / 341)

_STYLE_TRANSFER_PYTORCH = Preset(
    source="crowsonkb/style-transfer-pytorch; its total variation's diagonal differences "
    "count here among those down and across",
    content_weight=0.015,
    style_weight=1.0,
    content_scale=_MEAN_UNIT,
    style_scale=_MEAN_MOMENTS_UNIT,
    style_layer_weights=_FALLING_LAYER_WEIGHTS,
    style_statistic="moments",
    tv_weight=1 / 255**2,
    tv_scale="mean",
    pooling="max",
    padding="replicate",
    level_ratio=2**0.5,
    coarsest_side_px=100.0,
    level_decay=0.9,
)

PRESETS: dict[str, Preset] = {
    "painterly": dataclasses.replace(
        _STYLE_TRANSFER_PYTORCH,
        source="This package's own: style-transfer-pytorch's, bolder and as much so on every pair",
        # Chosen on the six pairs of 256 pixels in benchmarks/RESULTS.md, with edges that still have a
        # correlation of 0.4 with each photograph.
        # Departure: max pooling, as the network was trained. With average pooling, its output doubled,
        # pictures as near to the photograph are 10 to 20 percent farther from the painting on most of
        # these pairs, though not on the mosaic.
        content_weight=0.23,
        content_unit="relative",
        # Four times the other tool's: strokes are whole where they were crumpled, with a quarter less
        # noise, and as near to photograph and painting within a tenth. At ten times, small ones are
        # blurred.
        tv_weight=4 / 255**2,
        # Measured with average pooling: a 512-pixel picture takes the time of 94 iterations at its full
        # size, tracing included.
        level_decay=0.85,
        pooling_gain=2.0,  # Where average pooling is asked for.
        # Departure: without a margin the painting's own border comes back along the picture's, where
        # deep layers see the zeros beyond it. With a wider one, more of the painting's colours go there
        # and are cut off: with 16 pixels pictures are half as far again from some paintings.
        margin_px=8,
    ),
    "gatys2016": Preset(
        source="The first author's released settings for the normalised network (leongatys/"
        "NeuralImageSynthesis), with the paper's average pooling and more content",
        # Departure: released with 1e6, which leaves little of the photograph, from the content as from
        # noise. Chosen by eye among 1e6, 4e6, 1e7 and 2e7 on three paintings.
        content_weight=2e7,
        style_weight=1e9,
        content_scale=MEAN,
        style_scale=MEAN_GRAM,
        normalize=True,
        padding="replicate",
    ),
    "gatys-original": Preset(
        source="The same code's settings for the original network: 1 to 1e3 / N**2 a layer",
        content_weight=1.0,
        style_weight=1e3,
        content_scale=MEAN,
        style_scale=MEAN_GRAM_PER_CHANNEL,
        style_layer_weights="sum",
        pooling="max",
    ),
    "paper-literal": Preset(
        source="Equations 1, 4, 5 and 7 of the paper as printed, alpha/beta = 1e-3, from noise",
        content_weight=1e-3,
        style_weight=1.0,
        content_scale=Scale(1 / 2, 0, 0),
        style_scale=Scale(1 / 4, 2, 2),
        normalize=True,
        init="noise",
        style_fit="stretch",
    ),
    "jcjohnson": Preset(
        source="jcjohnson/neural-style, neural_style.lua. Its total variation has the gradient "
        "tv_weight * difference, half that of a sum of squares",
        content_weight=5.0,
        style_weight=100.0,
        content_scale=MEAN,
        style_scale=MEAN_GRAM_PER_CHANNEL,
        style_layer_weights="sum",
        tv_weight=5e-4,
        pooling="max",
        init="noise",
    ),
    "neural-style-pt": Preset(
        source="ProGamerGov/neural-style-pt, neural_style.py; its total variation is a sum of absolute "
        "differences",
        content_weight=5.0,
        style_weight=100.0,
        content_scale=MEAN,
        style_scale=MEAN_GRAM_PER_CHANNEL,
        style_layer_weights="sum",
        tv_weight=1e-3,
        tv_exponent=1,
        pooling="max",
        init="noise",
    ),
    "pastiche": Preset(
        source="dstein64/pastiche 1.6.0: style layer weights 10 / N**2",
        content_weight=0.01,
        style_weight=10.0,
        content_scale=MEAN,
        style_scale=MEAN_GRAM_PER_CHANNEL,
        style_layer_weights="sum",
        pooling="max",
    ),
    "style-transfer-pytorch": _STYLE_TRANSFER_PYTORCH,
    "anishathalye": Preset(
        source="anishathalye/neural-style, neural_style.py and stylize.py",
        content_weight=5.0,
        style_weight=500.0,
        content_scale=MEAN,
        style_scale=MEAN_GRAM_PER_CHANNEL,
        tv_weight=100.0,
        tv_scale="mean",
        pooling="max",
        init="noise",
    ),
    "tf-tutorial": Preset(
        source="TensorFlow's style transfer tutorial; its total variation, 30 * sum{|d|}, is of an "
        "image on the 0..1 scale",
        content_weight=1e4,
        style_weight=1e-2,
        content_scale=MEAN,
        style_scale=MEAN_GRAM,
        content_layers=("conv5_2",),
        tv_weight=30 / 255,
        tv_exponent=1,
        pooling="max",
    ),
}
