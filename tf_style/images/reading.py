"""Reads pictures from files, within limits."""

import contextlib
import dataclasses
import io
import os
import stat
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
from PIL import ExifTags, Image
from PIL.ImageFile import ImageFile

from tf_style.errors import InputError
from tf_style.files import reason_of, shown
from tf_style.images import colour, colour_tags, headers, samples, tiff
from tf_style.images.picture import WHITE, Picture, composite, from_array

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF")
_FORMATS_TEXT = "a picture in JPEG, PNG, WebP, TIFF, BMP, GIF or AVIF"

# What Pillow is known to raise on damaged files. `Warning` is for callers who make errors of them.
_DECODER_ERRORS = (
    AttributeError,
    EOFError,
    IndexError,
    KeyError,
    MemoryError,
    OSError,
    OverflowError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    Warning,
    Image.DecompressionBombError,
    struct.error,
    zlib.error,
)


@dataclasses.dataclass(frozen=True)
class Limits:
    """What may be read at most, so that a small hostile file cannot take all the memory.

    Attributes:
      max_bytes: Of the encoded file; checked before it is read whole.
      max_pixels: Height times width, of the header; checked before pixels are decoded.
    """

    max_bytes: int = 512 * 2**20
    max_pixels: int = 2**28

    def __post_init__(self) -> None:
        """Refuses limits that nothing can meet."""
        if self.max_bytes < 1 or self.max_pixels < 1:
            raise InputError(f"Limits must be positive. Received: {self}")


_DEFAULT_LIMITS = Limits()


def read(
    source: str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO,
    *,
    limits: Limits = _DEFAULT_LIMITS,
    background: Sequence[float] = WHITE,
) -> Picture:
    """Reads a picture: turned upright by its EXIF, converted to sRGB by what names its colours.

    That is an ICC profile, PNG's cICP, sRGB, gAMA and cHRM, AVIF's code points, or EXIF. Samples of 16
    bits keep them.

    `limits` alone decide on size: Pillow's own process-wide limit and its warning stay out of it.
    Of 32-bit grey, integers in 0..65535 and floats in 0..1 are taken. One warning says what had to be
    assumed: that of several frames the first is meant, say, or that colours in PQ are sRGB's.

    Args:
      source: A path, the bytes of a file, or a binary file object, read from where it stands.
      limits: The most bytes and pixels that are accepted.
      background: Red, green and blue in 0..1 that show through where the picture is transparent.

    Returns:
      The picture, composited on `background`, and its alpha if any of it is not opaque.

    Raises:
      InputError: If it is no such picture, is damaged or exceeds the limits, or if its samples are of a
        kind that would be misread.
    """
    name = _name(source)
    data = _load(source, name, limits.max_bytes)
    with _decoding(name):
        image = _open(data, name)
        _check_pixels(image, name, limits)
        # A camera's MPO holds previews of the same picture, which nobody misses.
        several = getattr(image, "is_animated", False) and image.format != "MPO"
        remarks = ["it has several frames or pages; only the first is used"] if several else []
        found, more = samples.load(image, data, lambda: _open(data, name))
        remarks += more
        orientation, more = _orientation(image)
        remarks += more
        tag, more = colour_tags.find(image, data)
        remarks += more
        found = found.turned(orientation)
        pixels, more = colour.to_srgb(found, tag)
        remarks += more
    if remarks:
        warnings.warn(f"{name}: {'; '.join(remarks)}", UserWarning, stacklevel=2)
    return composite(pixels, found.alpha, background)


def read_mask(
    source: str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO,
    *,
    limits: Limits = _DEFAULT_LIMITS,
) -> Picture:
    """Reads a mask: its samples as they lie in the file, whatever names their colours.

    Args:
      source: As for `read`.
      limits: As for `read`.

    Returns:
      A picture of the samples, turned upright by its EXIF; grey ones three times.

    Raises:
      InputError: As `read` does, and if the mask has transparency, or samples that are not grey or red,
        green and blue.
    """
    name = _name(source)
    data = _load(source, name, limits.max_bytes)
    with _decoding(name):
        image = _open(data, name)
        _check_pixels(image, name, limits)
        found, _ = samples.load(image, data, lambda: _open(data, name))
        orientation, _ = _orientation(image)
        found = found.turned(orientation)
    if found.alpha is not None and not np.all(found.alpha == 1):
        raise InputError(f"{name} has transparency. A mask is opaque: grey, white where it counts")
    if found.space not in ("GRAY", "RGB"):
        raise InputError(f"{name} is of {found.space}. A mask is grey, or red, green and blue")
    return from_array(samples.scaled(found.values))


def read_sides(path: str | os.PathLike[str]) -> tuple[int, int]:
    """The sides of a picture in pixels, the shorter first, by its header alone.

    Which of them is the height its EXIF says, perhaps after the pixels.

    Raises:
      InputError: If it is no such picture, or its header is damaged.
    """
    name = _name(path)
    data = _load(path, name, _DEFAULT_LIMITS.max_bytes)
    with _decoding(name):
        image = _open(data, name)
        _check_pixels(image, name, _DEFAULT_LIMITS)
        return min(image.size), max(image.size)


def _check_pixels(image: ImageFile, name: str, limits: Limits) -> None:
    if image.width * image.height > limits.max_pixels:
        raise InputError(
            f"{name} has {image.width} x {image.height} pixels. Expected at most "
            f"{limits.max_pixels} in all: scale it down, or raise the limit"
        )


def _name(source: object) -> str:
    """What to call the source in a message, on one line."""
    if isinstance(source, (str, os.PathLike)):
        return shown(source)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return "the image given as bytes"
    name = getattr(source, "name", None)
    return shown(name) if isinstance(name, str) else "the image given as a file object"


def _load(source: Any, name: str, max_bytes: int) -> bytes:
    """All the bytes of the source, if they are no more than `max_bytes`."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source)
    elif isinstance(source, (str, os.PathLike)):
        # Opening a FIFO would wait for a writer; O_NONBLOCK lets it be looked at first.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        try:
            with open(os.open(source, flags), "rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                if not stat.S_ISREG(mode):
                    kind = "a directory" if stat.S_ISDIR(mode) else "no regular file"
                    raise InputError(f"{name} is {kind}. Expected {_FORMATS_TEXT}")
                data = file.read(max_bytes + 1)
        except FileNotFoundError as error:
            raise InputError(f"{name} does not exist. Expected {_FORMATS_TEXT}") from error
        except InputError:
            raise
        except (OSError, ValueError, MemoryError) as error:
            raise InputError(
                f"{name} cannot be read: {reason_of(error)}. Expected {_FORMATS_TEXT}"
            ) from error
    elif hasattr(source, "read"):
        data = _load_stream(source, name, max_bytes)
    else:
        raise InputError(
            "A picture is read from a path, bytes or a binary file object. Received: "
            f"{type(source).__name__}"
        )
    if not data:
        raise InputError(f"{name} is empty. Expected {_FORMATS_TEXT}")
    if len(data) > max_bytes:
        raise InputError(f"{name} is too large. Expected at most {max_bytes} bytes")
    return data


def _load_stream(file: BinaryIO, name: str, max_bytes: int) -> bytes:
    pieces = []
    missing = max_bytes + 1
    try:
        # A pipe or socket returns what it has, so that one read is not enough.
        while missing > 0 and (piece := file.read(missing)):
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)
    except (OSError, ValueError, TypeError, MemoryError) as error:
        raise InputError(
            f"{name} cannot be read: {reason_of(error)}. Expected a file opened in binary mode"
        ) from error


@contextlib.contextmanager
def _decoding(name: str) -> Iterator[None]:
    """Turns what decoders raise into one line; what is already an InputError passes."""
    try:
        yield
    except InputError:
        raise
    except headers.UnreadKindError as error:
        raise InputError(f"{name} is not read: {error}.") from error
    except _DECODER_ERRORS as error:
        raise InputError(
            f"{name} cannot be decoded: {reason_of(error)}. Expected {_FORMATS_TEXT}, complete and "
            "undamaged"
        ) from error


def _open(data: bytes, name: str) -> ImageFile:
    """Reads the header with the one decoder that knows the file's first bytes.

    `Image.open` would warn above 89 megapixels and refuse above 179, by a setting of the whole
    process that no thread can change for itself alone. Asking Pillow's registry for the decoder
    leaves the decision to `Limits`.
    """
    Image.init()
    for name_of_format in FORMATS:
        factory, accepts = Image.OPEN.get(name_of_format, (None, None))
        if factory and accepts and accepts(data[:16]) is True:
            try:
                return factory(io.BytesIO(data), "")
            except (SyntaxError, IndexError, KeyError) as error:
                if name_of_format != "TIFF":
                    raise
                raise headers.UnreadKindError(
                    f"its kind of samples is not supported, or its header damaged. {tiff.ANY_KIND}"
                ) from error
    raise InputError(f"{name} is of another kind. Expected {_FORMATS_TEXT}: convert it first")


def _orientation(image: Image.Image) -> tuple[int, list[str]]:
    """By a loaded image's EXIF, 1 to 8; damaged, it costs only the turn."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1), []
    except _DECODER_ERRORS:
        return 1, ["its EXIF data is damaged; taken as upright"]


# A path, the bytes of an image file, an open one, an array (see `images.from_array`) or a picture.
ImageSource = str | os.PathLike | bytes | bytearray | memoryview | BinaryIO | np.ndarray | Picture


def as_picture(source: ImageSource) -> Picture:
    """Reads or takes over a picture, whatever form it has."""
    if isinstance(source, Picture):
        return source
    if isinstance(source, np.ndarray):
        return from_array(source)
    return read(source)


def as_mask(source: ImageSource) -> Picture:
    """Reads or takes over a mask, whatever form it has; an array may be of True and False too."""
    if not isinstance(source, Picture | np.ndarray):
        return read_mask(source)
    mask = source
    if isinstance(mask, np.ndarray):
        mask = from_array(mask.astype(np.float32) if mask.dtype == bool else mask)
    if mask.alpha is not None and mask.alpha.min() < 1:
        raise InputError(
            "An array or a picture has transparency. A mask is opaque: grey, white where it counts"
        )
    return mask


def as_sources(sources: "ImageSource | Sequence[ImageSource]") -> list["ImageSource"]:
    """One image or several, as a list.

    Args:
      sources: A path, bytes, an open file, an array or a `Picture`; or a list or tuple of such.
    """
    # Bytes of each kind are sequences too.
    is_one = isinstance(sources, str | bytes | bytearray | memoryview)
    if isinstance(sources, Sequence) and not is_one:
        return list(sources)  # pyright: ignore[reportReturnType]
    return [sources]  # pyright: ignore[reportReturnType]
