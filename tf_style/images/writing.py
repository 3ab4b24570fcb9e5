"""Encodes pictures into files."""

import io
import os
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from tf_style._version import __version__
from tf_style.errors import InputError, TransferError
from tf_style.files import check_writable, reason_of, shown, write_atomically
from tf_style.images.colour import srgb_profile

_FORMAT_OF_SUFFIX = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
_MAX_SIDE_PX = {"JPEG": 65_500, "WEBP": 16_383}
# A JPEG's EXIF has to fit in one segment of 65533 bytes.
_MAX_DESCRIPTION_BYTES = 60_000
_PNG_CHUNK_BYTES = 2**24
_STRIP_ROWS = 256


def check_output(
    path: str | os.PathLike[str], *, bit_depth: int = 8, size: tuple[int, int] | None = None
) -> None:
    """Finds out, before heavy work, whether a picture can be written to `path`.

    A file is really created in the folder, and deleted again: permission bits tell little to root
    or on a network drive.

    Args:
      path: The file to be written; its extension is the format.
      bit_depth: Bits a channel, 8, or 16 for PNG.
      size: Height and width in pixels where they are known, for formats that limit them.

    Raises:
      InputError: If it cannot be written.
    """
    _check_size(path, _encoding(path, bit_depth), size)
    check_writable(path)


def write(
    path: str | os.PathLike[str],
    pixels: NDArray[np.floating],
    *,
    alpha: NDArray[np.floating] | None = None,
    bit_depth: int = 8,
    description: str = "",
    quality: int = 95,
) -> None:
    """Writes a picture with its sRGB profile, whole or not at all.

    Args:
      path: The file; its extension says PNG, JPEG, WebP or TIFF. A file there is replaced.
      pixels: sRGB, [height, width, 3], floats; clipped to 0..1.
      alpha: [height, width], floats, clipped to 0..1, or None. A JPEG cannot hold it: it is then
        dropped, with a warning.
      bit_depth: Bits a channel, 8, or 16 for PNG.
      description: EXIF's ImageDescription, in UTF-8, of which the first 60000 bytes are kept.
      quality: Of JPEG and WebP, 1 to 100.

    Raises:
      InputError: If the format, the bit depth, the quality or a shape is not one of these.
      TransferError: If the pixels are not finite or the file cannot be written.
    """
    encoding = _encoding(path, bit_depth)
    name = shown(path)
    pixels = np.asarray(pixels)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise InputError(f"Pixels are [height, width, 3]. Received: shape={pixels.shape}")
    if alpha is not None and alpha.shape != pixels.shape[:2]:
        raise InputError(
            f"Alpha is [height, width] of the pixels, {pixels.shape[:2]}. Received: shape={alpha.shape}"
        )
    if not 1 <= quality <= 100:
        raise InputError(f"Quality is 1 to 100. Received: {quality}")
    _check_size(path, encoding, pixels.shape[:2])
    if alpha is not None and encoding == "JPEG":
        warnings.warn(f"{name}: JPEG holds no alpha; it is dropped", UserWarning, stacklevel=2)
        alpha = None
    planes = [pixels] if alpha is None else [pixels, alpha[:, :, np.newaxis]]
    exif = _exif(description)
    try:
        values = _quantised(planes, np.uint16 if bit_depth == 16 else np.uint8, name)
        if bit_depth == 16:
            data = _png_16(values, exif)
        else:
            data = _encoded(values, encoding, exif, quality)
    except (OSError, ValueError, OverflowError, MemoryError, struct.error) as error:
        raise TransferError(f"{name} was not written: {reason_of(error)}") from error
    write_atomically(path, data)


def preview(pixels: NDArray[np.floating], *, side_px: int, quality: int = 85) -> bytes:
    """A JPEG for a screen.

    Args:
      pixels: sRGB, [height, width, 3], floats; clipped to 0..1.
      side_px: The longer side that it has at most.
      quality: 1 to 100.
    """
    height, width = pixels.shape[:2]
    image = Image.fromarray(np.uint8(np.rint(np.clip(pixels, 0, 1) * np.float32(255))))
    if max(height, width) > side_px:
        factor = side_px / max(height, width)
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        image = image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def _encoding(path: str | os.PathLike[str], bit_depth: int) -> str:
    suffix = Path(path).suffix
    encoding = _FORMAT_OF_SUFFIX.get(suffix.lower())
    if encoding is None:
        raise InputError(
            f"{shown(path)} must end in .png, .jpg, .jpeg, .webp, .tif or .tiff. Received: {suffix!r}"
        )
    if bit_depth not in (8, 16) or (bit_depth == 16 and encoding != "PNG"):
        raise InputError(
            "The bit depth of a picture is 8, or 16 for .png. "
            f"Received: bit_depth={bit_depth} for {shown(path)}"
        )
    return encoding


def _check_size(path: str | os.PathLike[str], encoding: str, size: tuple[int, ...] | None) -> None:
    if size and max(size) > _MAX_SIDE_PX.get(encoding, 2**31 - 1):
        raise InputError(
            f"{shown(path)} cannot be written: {encoding} holds at most {_MAX_SIDE_PX[encoding]} "
            f"pixels a side. Received: height={size[0]}, width={size[1]}. Use .png or .tif"
        )


def _quantised(
    planes: list[NDArray[np.floating]], dtype: type[np.unsignedinteger], name: str
) -> NDArray[Any]:
    """Clips to 0..1 and rounds to the integers of `dtype`; float64 so that 16 bits are exact.

    In strips, for a huge picture is there once already.
    """
    precision = np.float64 if dtype is np.uint16 else np.float32
    height, width = planes[0].shape[:2]
    values = np.empty((height, width, sum(plane.shape[2] for plane in planes)), dtype)
    for top in range(0, height, _STRIP_ROWS):
        strip = np.concatenate([plane[top : top + _STRIP_ROWS] for plane in planes], axis=2)
        if not np.all(np.isfinite(strip)):
            raise TransferError(f"{name} was not written: the picture has pixels that are not finite")
        scaled = np.clip(strip, 0, 1).astype(precision)
        scaled *= np.iinfo(dtype).max
        values[top : top + _STRIP_ROWS] = np.rint(scaled, out=scaled)
    return values


def _exif(description: str) -> Image.Exif:
    exif = Image.Exif()
    text = description.replace("\0", " ").encode("utf-8", "replace")[:_MAX_DESCRIPTION_BYTES]
    if text:
        exif[ExifTags.Base.ImageDescription] = text.decode("utf-8", "ignore").encode()
    exif[ExifTags.Base.Software] = f"tf_style {__version__}"
    return exif


def _encoded(values: NDArray[np.uint8], encoding: str, exif: Image.Exif, quality: int) -> bytes:
    options: dict[str, Any] = {
        "PNG": {},
        "JPEG": {"quality": quality, "subsampling": "4:4:4"},
        "WEBP": {"quality": quality, "exact": True},
        "TIFF": {"compression": "tiff_deflate"},
    }[encoding]
    stream = io.BytesIO()
    image = Image.fromarray(values)
    image.save(stream, encoding, icc_profile=srgb_profile(), exif=exif, **options)
    return stream.getvalue()


def _png_16(values: NDArray[np.uint16], exif: Image.Exif) -> bytes:
    """A PNG of 16 bits a channel, RGB or RGBA, which Pillow cannot write.

    Reference: PNG specification (third edition), sections 5, 9 and 11.
    """
    height, width, channels = values.shape
    rows = values.astype(">u2").reshape(height, width * channels).view(np.uint8)
    filtered = np.empty((height, 1 + rows.shape[1]), np.uint8)
    filtered[:, 0] = 2  # "Up": each byte less the one above it, modulo 256.
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    packed = zlib.compress(filtered.data, 6)
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[channels], 0, 0, 0)),
        (b"iCCP", b"sRGB\0\0" + zlib.compress(srgb_profile())),
        (b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")),
        *(
            (b"IDAT", packed[start : start + _PNG_CHUNK_BYTES])
            for start in range(0, len(packed), _PNG_CHUNK_BYTES)
        ),
        (b"IEND", b""),
    ]
    pieces = [b"\x89PNG\r\n\x1a\n"]
    for kind, data in chunks:
        checksum = zlib.crc32(kind + data)
        pieces.append(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum))
    return b"".join(pieces)
