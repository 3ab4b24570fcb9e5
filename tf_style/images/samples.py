"""A decoded file's samples as they stand for colours: all their bits, with transparency apart."""

import dataclasses
import struct
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile

from tf_style.images import headers, tiff
from tf_style.images.headers import UnreadKindError

FloatArray = NDArray[np.float32]
_WIDE_GREY_MODES = ("I;16", "I;16B", "I;16L", "I;16N")
# Of wide colours Pillow keeps one byte a sample, which one its raw mode says.
_WIDE_SPACES = {"RGB": "RGB", "RGBX": "RGB", "RGBA": "RGB", "RGBa": "RGB", "CMYK": "CMYK"}
_OTHER_BYTE = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}


@dataclasses.dataclass(frozen=True, eq=False)
class Samples:
    """What a file's samples are.

    Attributes:
      space: "GRAY", "RGB", "CMYK" or "LAB".
      values: [height, width, channels], or [height, width] of grey: uint8 or uint16 over their whole
        range, or float32 in 0..1.
      alpha: [height, width] float32 in 0..1, or None.
    """

    space: str
    values: NDArray[Any]
    alpha: FloatArray | None = None

    def turned(self, orientation: int) -> "Samples":
        """Upright by an orientation of EXIF, 1 to 8; anything else changes nothing."""
        alpha = None if self.alpha is None else _turned(self.alpha, orientation)
        return Samples(self.space, _turned(self.values, orientation), alpha)


def scaled(values: NDArray[Any]) -> FloatArray:
    """Samples of any type as float32 in 0..1, another array."""
    floats = values.astype(np.float32, order="C")
    if values.dtype != np.float32:
        floats /= np.float32(np.iinfo(values.dtype).max)
    return floats


def load(image: ImageFile, data: bytes, reopen: Callable[[], ImageFile]) -> tuple[Samples, list[str]]:
    """Decodes an opened image.

    Args:
      image: As Pillow opened it; it is loaded afterwards.
      data: The file's bytes.
      reopen: Opens the file once more.

    Returns:
      Its samples, as they lie in the file: not turned; and remarks on what is assumed.

    Raises:
      UnreadKindError: If its pixels would come out wrong.
    """
    frame = image.tile[0].extents if image.format == "GIF" and image.tile else (0, 0, *image.size)
    remarks = tiff.check(image, data) if image.format == "TIFF" else []
    if image.format == "BMP":
        headers.check_bmp(image.mode, data)
    found = _load(image, reopen)
    if image.format == "PNG":
        found = _with_colour_key(found, data)
    if image.format == "JPEG" and image.mode == "CMYK" and "adobe" not in image.info:
        remarks.append("its CMYK has no mark of Adobe's; taken as Adobe's all the same: 255 is no ink")
    if frame and tuple(frame) != (0, 0, *image.size):
        remarks.append("its first frame leaves a part free; taken as transparent")
        left, top, right, bottom = frame
        inside = np.zeros(found.values.shape[:2], np.float32)
        inside[top:bottom, left:right] = 1
        found = dataclasses.replace(
            found, alpha=inside if found.alpha is None else inside * found.alpha
        )
    return found, remarks


def _load(image: ImageFile, reopen: Callable[[], ImageFile]) -> Samples:
    raw_mode = _raw_mode(image)
    if raw_mode == "LA;16B":
        # Pillow would drop grey's and alpha's lower bytes; as four channels all are there.
        _set_raw_mode(image, "RGBA")
        image.load()
        values = np.asarray(image).view(">u2").astype(np.uint16)
        return Samples("GRAY", values[..., 0], scaled(values[..., 1]))
    name, _, width = raw_mode.partition(";16")
    if name in _WIDE_SPACES and width:
        return _load_wide(image, reopen(), name, width)
    if name.startswith("RGBa"):
        # Pillow would divide by alpha in 8 bits.
        _set_raw_mode(image, name.replace("a", "A"))
        image.load()
        values = np.asarray(image)
        return _divided(values[..., :3], values[..., 3])
    image.load()
    if image.format == "TIFF" and image.mode in ("P", "PA"):
        tiff.widen_palette(image)
    if image.format == "GIF" and image.mode == "L" and image.has_transparency_data:
        return from_image(image.convert("LA"))
    return from_image(image)


def from_image(image: Image.Image) -> Samples:
    """The samples of a loaded Pillow image of any mode.

    Raises:
      UnreadKindError: If the values of a 32-bit grey image have no known scale.
    """
    mode = image.mode
    if mode in ("P", "PA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    elif mode == "1":
        image = image.convert("L")
    if image.mode in _WIDE_GREY_MODES:
        values = np.asarray(image).astype(np.uint16)
        return Samples("GRAY", tiff.scale_grey(image, values) if image.format == "TIFF" else values)
    if image.mode in ("I", "F"):
        return Samples("GRAY", _grey_of_32_bits(np.asarray(image)))
    if image.mode not in ("L", "LA", "La", "RGB", "RGBA", "RGBa", "CMYK", "LAB"):
        image = image.convert("RGB")
    values = np.asarray(image)
    if image.mode in ("La", "RGBa"):
        return _divided(values[..., :-1], values[..., -1])
    if image.mode == "L":
        return Samples("GRAY", values)
    if image.mode == "LA":
        return Samples("GRAY", values[..., 0], scaled(values[..., 1]))
    if image.mode == "RGBA":
        return Samples("RGB", values[..., :3], scaled(values[..., 3]))
    return Samples(image.mode, values)


def _grey_of_32_bits(values: NDArray[Any]) -> FloatArray:
    top = 1 if values.dtype == np.float32 else 65535
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= top):
        raise UnreadKindError(
            f"grey values of 32 bits must lie in 0..{top}. Received: {low:g} to {high:g}"
        )
    return values.astype(np.float32) / np.float32(top)


def _load_wide(image: ImageFile, twin: ImageFile, name: str, width: str) -> Samples:
    """Colours of 16 bits a sample, of which Pillow can be asked for either byte."""
    # Premultiplied samples are taken as they are, for their bytes apart cannot be divided by alpha.
    raw_name = "RGBA" if name == "RGBa" else name
    _set_raw_mode(image, f"{raw_name};16{width}")
    _set_raw_mode(twin, f"{raw_name};16{_OTHER_BYTE[width]}")
    image.load()
    twin.load()
    values = np.asarray(image).astype(np.uint16) << 8 | np.asarray(twin)
    if name not in ("RGBA", "RGBa"):
        return Samples(_WIDE_SPACES[name], values)
    if name == "RGBa":
        return _divided(values[..., :3], values[..., 3])
    return Samples("RGB", values[..., :3], scaled(values[..., 3]))


def _divided(values: NDArray[Any], alpha: NDArray[Any]) -> Samples:
    """Colours that were multiplied by alpha, [height, width, 1 or 3], in 16 bits."""
    divided = values.astype(np.uint32) * 65535 // np.maximum(alpha, 1)[..., np.newaxis]
    colours = np.minimum(divided, 65535).astype(np.uint16)
    if colours.shape[2] == 1:
        return Samples("GRAY", colours[..., 0], scaled(alpha))
    return Samples("RGB", colours, scaled(alpha))


def _raw_mode(image: ImageFile) -> str:
    args = image.tile[0].args if image.tile else ""
    name = args[0] if isinstance(args, tuple) else args
    return name if isinstance(name, str) else ""


def _set_raw_mode(image: ImageFile, name: str) -> None:
    def replaced(args: Any) -> Any:
        return (name, *args[1:]) if isinstance(args, tuple) else name

    image.tile = [tile._replace(args=replaced(tile.args)) for tile in image.tile]


def _with_colour_key(found: Samples, data: bytes) -> Samples:
    """Makes the colour of a PNG file's tRNS transparent, which is in samples of the file's depth."""
    key = headers.png_chunks(data).get(b"tRNS", b"")
    depth, colour_type = data[24], data[25]
    if colour_type not in (0, 2) or len(key) < (2 if colour_type == 0 else 6):
        return found
    top = 2**depth - 1
    full = 65535 if depth == 16 else 255
    colour = [(each & top) * full // top for each in struct.unpack(f">{len(key) // 2}H", key)]
    if colour_type == 0:
        is_key = found.values == colour[0]
    else:
        is_key = np.all(found.values == np.array(colour[:3], found.values.dtype), axis=-1)
    return dataclasses.replace(found, alpha=(~is_key).astype(np.float32))


def _turned(values: NDArray[Any], orientation: int) -> NDArray[Any]:
    """A view, upright by EXIF's orientation (EXIF 2.3, 4.6.4)."""
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    rows = slice(None, None, -1 if orientation in (3, 4, 7, 8) else 1)
    columns = slice(None, None, -1 if orientation in (2, 3, 6, 7) else 1)
    return values[rows, columns]
