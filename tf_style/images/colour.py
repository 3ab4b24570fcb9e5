"""From a decoded Pillow image of any mode and profile to sRGB."""

import functools
import io
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

FloatArray = NDArray[np.float32]

_WIDE_GREY_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")
_GREY_MODES = ("1", "L", *_WIDE_GREY_MODES)
_PROFILE_ERRORS = (ImageCms.PyCMSError, OSError, ValueError, TypeError, AttributeError)


@functools.cache
def srgb_profile() -> bytes:
    """The ICC profile of sRGB that is embedded in written files, the same bytes every time."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # Bytes 24 to 36 are the time of its making; a fixed one keeps written files reproducible.
    return profile[:24] + struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + profile[36:]


def to_srgb(image: Image.Image) -> tuple[FloatArray, FloatArray | None, list[str]]:
    """Converts a loaded image to sRGB, with its alpha apart and its hidden colours kept.

    An embedded profile is honoured (relative colorimetric, black point compensated); one that
    changes nothing by more than one grey level in 255 is taken as sRGB itself. Grey of 16 bits
    keeps them. Pillow reads RGB of 16 bits a channel as 8 bits. CMYK without a profile is
    converted by Pillow's formula, LAB without one is D50.

    Args:
      image: Any mode; palette, grey, RGB, CMYK, LAB, YCbCr, with or without transparency.

    Returns:
      Colours [height, width, 3] float32 in 0..1, alpha [height, width] float32 in 0..1 or None,
      and remarks for the user, such as on a profile that could not be used.

    Raises:
      ValueError: If the values of a 32-bit grey image have no known scale.
    """
    icc = image.info.get("icc_profile")
    image, alpha = _split_alpha(image)
    if image.mode in _GREY_MODES:
        values = _grey(image)
        convert = functools.partial(_profiled_grey, values)
        plain = functools.partial(_as_rgb, values)
    else:
        if image.mode not in ("RGB", "CMYK", "LAB"):
            image = image.convert("RGB")
        convert = functools.partial(_profiled, image)
        plain = functools.partial(_unprofiled, image)
    if not icc:
        return plain(), alpha, []
    try:
        return convert(ImageCms.ImageCmsProfile(io.BytesIO(icc))), alpha, []
    except _PROFILE_ERRORS as error:
        reason = " ".join(str(error).split())
        return plain(), alpha, [f"its colour profile cannot be used ({reason}); taken as sRGB"]


def _split_alpha(image: Image.Image) -> tuple[Image.Image, FloatArray | None]:
    """Separates colours from alpha; resolves palettes, colour keys and premultiplication."""
    if not image.has_transparency_data:
        return (image.convert("RGB") if image.mode in ("P", "PA") else image), None
    if image.mode in _WIDE_GREY_MODES:
        key = image.info["transparency"]
        return image, (np.asarray(image) != key).astype(np.float32)
    if image.mode in ("1", "L", "La"):
        image = image.convert("LA")
    elif image.mode in ("P", "PA", "RGB", "RGBa"):
        image = image.convert("RGBA")
    if image.mode not in ("LA", "RGBA"):
        return image, None
    alpha = np.asarray(image.getchannel("A")).astype(np.float32)
    return image.convert(image.mode[:-1]), alpha / np.float32(255)


def _grey(image: Image.Image) -> FloatArray:
    """The values [height, width] of a grey image, scaled to 0..1."""
    values = np.asarray(image).astype(np.float32)
    if image.mode in ("1", "F"):
        scale = 1
    elif image.mode == "L":
        scale = 255
    else:
        scale = 65535
    if image.mode in ("I", "F"):
        low, high = float(values.min()), float(values.max())
        if not (low >= 0 and high <= scale):
            raise ValueError(
                f"grey values of 32 bits must lie in 0..{scale}. Received: {low:g} to {high:g}"
            )
    values /= np.float32(scale)
    return values


def _as_rgb(values: FloatArray) -> FloatArray:
    return np.repeat(values[:, :, np.newaxis], 3, axis=2)


def _scaled(image: Image.Image) -> FloatArray:
    """An RGB image's pixels, [height, width, 3] in 0..1."""
    pixels = np.asarray(image).astype(np.float32)
    pixels /= np.float32(255)
    return pixels


def _unprofiled(image: Image.Image) -> FloatArray:
    if image.mode == "LAB":
        d50 = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
        return _scaled(_transformed(image, d50))
    return _scaled(image.convert("RGB"))


def _profiled(image: Image.Image, profile: ImageCms.ImageCmsProfile) -> FloatArray:
    _require_space(profile, image.mode)
    if image.mode == "RGB":
        levels = np.linspace(0, 255, 9).round().astype(np.uint8)
        cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(27, 27, 3)
        if _same(cube, np.asarray(_transformed(Image.fromarray(cube), profile))):
            return _scaled(image)
    return _scaled(_transformed(image, profile))


def _profiled_grey(values: FloatArray, profile: ImageCms.ImageCmsProfile) -> FloatArray:
    """Grey through a curve of 256 nodes, for Pillow converts no more than 8 bits."""
    nodes = np.arange(256, dtype=np.uint8)
    ramp = Image.fromarray(nodes[np.newaxis, :])
    if _space(profile) == "RGB":
        ramp = ramp.convert("RGB")
    _require_space(profile, ramp.mode)
    # Optimised, Little CMS interpolates between so few nodes that dark greys come out wrong.
    curves = np.asarray(_transformed(ramp, profile, ImageCms.Flags.NOOPTIMIZE))[0]
    if _same(nodes[:, np.newaxis], curves):
        return _as_rgb(values)
    channels = [np.interp(values, nodes / 255, curve / 255) for curve in curves.T]
    return np.stack(channels, axis=-1).astype(np.float32)


def _space(profile: ImageCms.ImageCmsProfile) -> str:
    header: Any = profile.profile  # Pillow's own annotation of it is too wide.
    return header.xcolor_space.strip()


def _require_space(profile: ImageCms.ImageCmsProfile, mode: str) -> None:
    space = {"L": "GRAY", "LAB": "Lab"}.get(mode, mode)
    if _space(profile) != space:
        raise ValueError(f"it is for {_space(profile)}, the picture is {space}")


def _transformed(
    image: Image.Image,
    profile: ImageCms.ImageCmsProfile,
    flags: ImageCms.Flags = ImageCms.Flags.NONE,
) -> Image.Image:
    transform = ImageCms.buildTransform(
        profile,
        ImageCms.createProfile("sRGB"),
        image.mode,
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags | ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    converted = ImageCms.applyTransform(image, transform)
    if converted is None:
        raise ValueError("the conversion returned nothing")
    return converted


def _same(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> bool:
    return int(np.abs(before.astype(np.int16) - after).max()) <= 1
