"""What a transfer works on: the pictures at their working sizes. Imports no TensorFlow.

All that can be wrong with a request is found here, before heavy work starts.
"""

import dataclasses
import os
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np

from tf_style import images, weights
from tf_style.architecture import layers_up_to, min_side_px
from tf_style.errors import InputError
from tf_style.images import Picture
from tf_style.presets import Preset
from tf_style.settings import Settings, is_file_name
from tf_style.weights import Weights

# A path, the bytes of an image file, an open one, an array (see `images.from_array`) or a picture.
ImageSource = str | os.PathLike | bytes | BinaryIO | np.ndarray | Picture

# Noise starts as in the first author's released code, a standard normal about the mean pixel. White
# noise of full contrast leaves its highest frequencies in the picture: average pooling hides them.
NOISE_STDDEV = 1.0
MEAN_RGB = (123.68, 116.779, 103.939)


@dataclasses.dataclass(frozen=True, eq=False)
class Inputs:
    """Pictures and weights, ready for the network.

    Attributes:
      preset: The objective.
      content: float32 [height, width, 3], RGB, 0..255, at the working size, or None.
      alpha: The content's opacity, float32 [height, width], 0..1, or None where it is opaque.
      styles: Each float32 [any height, any width, 3].
      initial: float32 [height, width, 3]: where the optimisation starts.
      weights: Of the layers that the objective needs.
    """

    preset: Preset
    content: np.ndarray | None
    alpha: np.ndarray | None
    styles: tuple[np.ndarray, ...]
    initial: np.ndarray
    weights: Weights


def prepare(content: ImageSource | None, styles: Sequence[ImageSource], settings: Settings) -> Inputs:
    """Reads and resizes the images, and loads the weights.

    Args:
      content: The content image, or None for texture synthesis.
      styles: The style images; none for a reconstruction of the content.
      settings: The transfer's settings.

    Returns:
      The inputs.

    Raises:
      InputError: If something cannot be read, is too small or too large, or contradicts itself.
    """
    preset = settings.resolve(has_content=content is not None, num_styles=len(styles))
    content_picture = None if content is None else _picture(content)
    style_pictures = [_picture(style) for style in styles]
    for picture in (content_picture, *style_pictures):
        if picture is not None:
            _check_size(picture.height, picture.width, preset, "An image")
    # A texture has the proportions of what it is made from.
    frame = content_picture or style_pictures[0]
    height, width = images.working_size(frame.height, frame.width, settings.size, settings.size_of)
    _check_size(height, width, preset, "The picture")
    resized_styles = tuple(
        _resize_style(style.pixels, height, width, preset, settings) for style in style_pictures
    )
    content_pixels = alpha = None
    if content_picture is not None:
        content_pixels = 255.0 * images.resize(content_picture.pixels, height, width)
        if content_picture.alpha is not None:
            alpha = images.resize(content_picture.alpha, height, width)
    if preset.init == "noise":
        noise = np.random.default_rng(settings.seed or 0).standard_normal((height, width, 3))
        initial = np.asarray(MEAN_RGB) + NOISE_STDDEV * noise
    elif preset.init == "content":
        initial = content_pixels
    else:
        source = preset.init if is_file_name(preset.init) else style_pictures[0]
        initial = 255.0 * images.resize(_picture(source).pixels, height, width)
    return Inputs(
        preset=preset,
        content=content_pixels,
        alpha=alpha,
        styles=resized_styles,
        initial=np.array(initial, np.float32),
        weights=weights.load(
            settings.weights,
            layers_up_to(preset.layers),
            normalize_for=preset.pooling if preset.normalize else None,
        ),
    )


def _picture(source: ImageSource) -> Picture:
    if isinstance(source, Picture):
        return source
    if isinstance(source, np.ndarray):
        return images.from_array(source)
    return images.read(source)


def _resize_style(
    pixels: np.ndarray, height: int, width: int, preset: Preset, settings: Settings
) -> np.ndarray:
    if preset.style_fit == "area":
        scale = settings.style_scale or 1.0
        side_px = max(1, round((height * width) ** 0.5 * scale))
        height, width = images.working_size(pixels.shape[0], pixels.shape[1], side_px, "area")
    _check_size(height, width, preset, "A style image")
    return 255.0 * images.resize(pixels, height, width)


def _check_size(height: int, width: int, preset: Preset, what: str) -> None:
    least = min_side_px(preset.layers)
    if min(height, width) < least:
        raise InputError(
            f"{what} of {width} x {height} pixels is too small: the deepest layer used needs "
            f"{least} in each direction."
        )
    if height * width > images.Limits().max_pixels:
        raise InputError(
            f"{what} of {width} x {height} pixels is too large: at most "
            f"{images.Limits().max_pixels} in all are accepted."
        )
