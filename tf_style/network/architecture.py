"""The convolution layers of VGG-19: their names, widths and places, and its input's mean.

Reference: Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
Recognition" (2014), table 1, column E.
"""

import dataclasses
import itertools
import re
from collections.abc import Sequence
from typing import Protocol

from tf_style.errors import InputError

# The mean of ImageNet's training images on the 0..255 scale, in the order of the network's input
# channels and of the pictures'.
MEAN_BGR = (103.939, 116.779, 123.68)
MEAN_RGB = MEAN_BGR[::-1]
CONVOLUTIONS_PER_BLOCK = (2, 2, 4, 4, 4)
CHANNELS_PER_BLOCK = (64, 128, 256, 512, 512)


@dataclasses.dataclass(frozen=True)
class ConvLayer:
    """One 3 x 3 convolution with its ReLU.

    Attributes:
      name: Keras's name, `block4_conv2`, which is also the key of its weights.
      block: 1 to 5; a pooling layer stands between two blocks.
      in_channels: Channels of its input.
      channels: Channels of its output, N in the paper.
    """

    name: str
    block: int
    in_channels: int
    channels: int

    @property
    def stride(self) -> int:
        """Image pixels from one position of the layer to the next, in either direction."""
        return 2 ** (self.block - 1)


class NetworkSpec(Protocol):
    """What the network is to be, as a `Preset` says it.

    Attributes:
      layers: Names of those whose activations are wanted, in any of `find_layer`'s forms.
      pooling: "average" or "max".
      padding: Beyond the border of the first convolution's input, "replicate" or "zero".
      normalize: Whether the filters are scaled to a mean activation of 1.
      pooling_gain: What average pooling's output is multiplied by; max pooling's never is.
    """

    @property
    def layers(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def pooling(self) -> str: ...  # noqa: D102
    @property
    def padding(self) -> str: ...  # noqa: D102
    @property
    def normalize(self) -> bool: ...  # noqa: D102
    @property
    def pooling_gain(self) -> float: ...  # noqa: D102


def _layers() -> tuple[ConvLayer, ...]:
    layers = []
    in_channels = 3
    for block, (count, channels) in enumerate(
        zip(CONVOLUTIONS_PER_BLOCK, CHANNELS_PER_BLOCK, strict=True), start=1
    ):
        for index in range(1, count + 1):
            layers.append(ConvLayer(f"block{block}_conv{index}", block, in_channels, channels))
            in_channels = channels
    return tuple(layers)


LAYERS = _layers()
_BY_NAME = {layer.name: layer for layer in LAYERS}
_NAME_FORMS = (r"conv(\d)_(\d)", r"relu(\d)_(\d)", r"block(\d)_conv(\d)")


def find_layer(name: str) -> ConvLayer:
    """Finds a layer by the paper's name (`conv4_2`), Caffe's (`relu4_2`) or Keras's.

    All three mean the rectified output.

    Args:
      name: A name in one of the three forms.

    Returns:
      The layer.

    Raises:
      InputError: If VGG-19 has no such layer.
    """
    for form in _NAME_FORMS:
        match = re.fullmatch(form, name)
        if match and (layer := _BY_NAME.get(f"block{match[1]}_conv{match[2]}")):
            return layer
    raise InputError(
        "A layer is one of VGG-19's 16 convolutions, conv1_1 to conv5_4 (or relu4_2, or "
        f"block4_conv2). Received: {name!r}"
    )


def layers_up_to(names: Sequence[str]) -> tuple[ConvLayer, ...]:
    """The layers from the first to the deepest of `names`, which is where the network is cut."""
    deepest = max(LAYERS.index(find_layer(name)) for name in names)
    return LAYERS[: deepest + 1]


def min_side_px(names: Sequence[str]) -> int:
    """The smallest height and width, in pixels, at which the deepest of `names` has a position."""
    return max(find_layer(name).stride for name in names)


def receptive_field_px(name: str) -> int:
    """The side, in pixels, of what a position of a layer sees."""
    side = 1
    for before, layer in itertools.pairwise((LAYERS[0], *layers_up_to([name]))):
        # Two by two positions of the layer before, where it is pooled, then three by three.
        side += (layer.stride - before.stride) + 2 * layer.stride
    return side


def check_size(names: Sequence[str], height: int, width: int, what: str) -> None:
    """Refuses an image at which the deepest of `names` would have no position.

    Args:
      names: Of the layers that are read.
      height: Of the image, in pixels.
      width: Of the image, in pixels.
      what: To call it in the message.

    Raises:
      InputError: If it is too small.
    """
    least = min_side_px(names)
    if min(height, width) < least:
        raise InputError(
            f"{what} of {width} x {height} pixels is too small: the deepest layer used needs "
            f"{least} in each direction."
        )
