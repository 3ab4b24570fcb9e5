"""Pictures in memory: taken over from arrays, resized."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tf_style.errors import InputError

FloatArray = NDArray[np.float32]
WHITE = (1.0, 1.0, 1.0)


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """A picture in memory, upright and in sRGB.

    Attributes:
      pixels: [height, width, 3] float32 in 0..1, already composited where there is alpha.
      alpha: [height, width] float32 in 0..1, or None where every pixel is opaque.
    """

    pixels: FloatArray
    alpha: FloatArray | None = None

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return self.pixels.shape[0]

    @property
    def width(self) -> int:
        """Columns of pixels."""
        return self.pixels.shape[1]


def composite(pixels: FloatArray, alpha: FloatArray | None, background: Sequence[float]) -> Picture:
    """A picture [height, width, 3] with alpha [height, width], both in 0..1, on a background."""
    colour = np.asarray(background, np.float32)
    if colour.shape != (3,) or not np.all((colour >= 0) & (colour <= 1)):
        raise InputError(f"A background is red, green and blue in 0..1. Received: {tuple(background)}")
    if alpha is None or np.all(alpha == 1):
        return Picture(pixels)
    over = np.subtract(pixels, colour, dtype=np.float32)
    over *= alpha[:, :, np.newaxis]
    over += colour
    return Picture(np.clip(over, 0, 1, out=over), alpha)


def from_array(array: Any, *, background: Sequence[float] = WHITE) -> Picture:
    """Takes over a caller's array, which is copied.

    Args:
      array: sRGB, [height, width, 3], or grey [height, width] or [height, width, 1], or with
        alpha [height, width, 4]; uint8, uint16, or floats in 0..1.
      background: As in `read`.

    Returns:
      The picture.

    Raises:
      InputError: If the shape, the dtype or the values are others.
    """
    values = np.asarray(array)
    shape = values.shape
    received = f"Received: shape={shape}, dtype={values.dtype}"
    if not (len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3, 4))) or 0 in shape:
        raise InputError(
            "An image array is [height, width], or [height, width, channels] with 1, 3 or 4 "
            f"channels, and not empty. {received}"
        )
    if values.dtype in (np.uint8, np.uint16):
        scaled = values.astype(np.float32)
        scaled /= np.float32(np.iinfo(values.dtype).max)
    elif np.issubdtype(values.dtype, np.floating):
        low, high = float(values.min()), float(values.max())
        if not (low >= 0 and high <= 1):
            raise InputError(
                "An image array of floats lies in 0..1 and is finite: clip it, or divide it by "
                f"255. {received}, values from {low:g} to {high:g}"
            )
        scaled = values.astype(np.float32)
    else:
        raise InputError(f"An image array is uint8, uint16, or floats in 0..1. {received}")
    scaled = np.atleast_3d(scaled)
    if scaled.shape[2] == 1:
        return Picture(np.repeat(scaled, 3, axis=2))
    if scaled.shape[2] == 3:
        return Picture(np.ascontiguousarray(scaled))
    return composite(
        np.ascontiguousarray(scaled[:, :, :3]),
        np.ascontiguousarray(scaled[:, :, 3]),
        background,
    )


def resize(pixels: NDArray[np.floating], height: int, width: int) -> FloatArray:
    """Resizes with an antialiased Lanczos filter, in float32.

    Args:
      pixels: [height, width, channels] or [height, width], floats in 0..1.
      height: New height in pixels, at least 1.
      width: New width in pixels, at least 1.

    Returns:
      Float32 of the new size, clipped to 0..1; a copy if the size is the same.

    Raises:
      InputError: If the new size is not positive or the array has another number of axes.
    """
    if pixels.ndim not in (2, 3) or height < 1 or width < 1:
        raise InputError(
            "Resizing takes [height, width] or [height, width, channels] to at least 1 x 1 pixel. "
            f"Received: shape={pixels.shape}, height={height}, width={width}"
        )
    if pixels.shape[:2] == (height, width):
        return np.array(pixels, np.float32)
    # Plane by plane: a huge picture is there once, and one of its planes twice.
    resized = np.empty((height, width, *pixels.shape[2:]), np.float32)
    for source, target in zip(_planes(pixels), _planes(resized), strict=True):
        plane = Image.fromarray(np.ascontiguousarray(source, np.float32))
        plane = plane.resize((width, height), Image.Resampling.LANCZOS)
        np.clip(np.asarray(plane), 0, 1, out=target)
    return resized


def _planes(pixels: NDArray[Any]) -> NDArray[Any]:
    return np.moveaxis(pixels if pixels.ndim == 3 else pixels[:, :, np.newaxis], 2, 0)


def working_size(height: int, width: int, size_px: int, size_of: str) -> tuple[int, int]:
    """The height and width of a picture at a given size, of the same aspect.

    Args:
      height: Of the picture, in pixels.
      width: Of the picture, in pixels.
      size_px: The size wanted, in pixels.
      size_of: What is to have that size: the `"long"` side, the `"short"` side, or by `"area"`,
        as many pixels as a square of that side.

    Returns:
      The new height and width, rounded, at least 1.

    Raises:
      InputError: If a number is not positive, or `size_of` is another word.
    """
    if min(height, width, size_px) < 1:
        raise InputError(
            f"Sizes are at least 1 pixel. Received: height={height}, width={width}, size_px={size_px}"
        )
    if size_of == "long":
        side = max(height, width)
    elif size_of == "short":
        side = min(height, width)
    elif size_of == "area":
        side = math.sqrt(height * width)
    else:
        raise InputError(f"A size is of 'long', 'short' or 'area'. Received: {size_of!r}")
    return max(1, round(height * size_px / side)), max(1, round(width * size_px / side))
