"""From samples in a named colour space to sRGB."""

import dataclasses
import functools
import io
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from tf_style.images import icc
from tf_style.images.samples import Samples, scaled

FloatArray = NDArray[np.float32]
Curve = Callable[[NDArray[Any]], NDArray[Any]]

# Chromaticities x, y of white, red, green and blue.
BT709_PRIMARIES = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)

_PROFILE_ERRORS = (ImageCms.PyCMSError, OSError, ValueError, TypeError, AttributeError)
_MODES = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK", "LAB": "LAB"}
_STRIP_ROWS = 64
# XYZ of the white that profiles refer to.
_D50 = np.array([0.9642, 1.0, 0.8249])
# Bradford's, from XYZ to the responses of the eye's cones.
_CONES = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


@dataclasses.dataclass(frozen=True)
class Space:
    """A space of red, green and blue that is named by numbers.

    Attributes:
      to_linear: From encoded values in 0..1, [..., 3] or grey, to light in 0..1.
      matrix: From its light to sRGB's, [3, 3] float32, white to white.
    """

    to_linear: Curve
    matrix: FloatArray

    @classmethod
    def of_primaries(cls, primaries: Sequence[float], to_linear: Curve) -> "Space":
        """By chromaticities x, y of white, red, green and blue.

        Raises:
          ValueError: If the primaries span no space.
        """
        xyz, white = _to_xyz(primaries)
        srgb, srgb_white = _to_xyz(BT709_PRIMARIES)
        matrix = np.linalg.inv(srgb) @ _adaptation(white, srgb_white) @ xyz
        return cls(to_linear, matrix.astype(np.float32))

    @classmethod
    def of_profile(cls, profile: bytes) -> "Space | None":
        """By a profile of a matrix and curves whose black is black, or None.

        Raises:
          ValueError: If the profile is damaged.
        """
        found = icc.matrix_and_curves(profile)
        if found is None:
            return None
        xyz, curves = found
        if any(curve(np.zeros(1))[0] > 1e-4 for curve in curves):
            return None  # Little CMS knows how to compensate for it.
        srgb, srgb_white = _to_xyz(BT709_PRIMARIES)
        matrix = np.linalg.inv(srgb) @ _adaptation(_D50, srgb_white) @ xyz

        def to_linear(values: NDArray[Any]) -> NDArray[Any]:
            light = np.empty_like(values)
            for channel, curve in enumerate(curves):
                light[..., channel] = curve(values[..., channel])
            return light

        return cls(to_linear, matrix.astype(np.float32))


def _to_xyz(primaries: Sequence[float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The matrix from linear red, green and blue to XYZ, and white's XYZ."""
    points = np.reshape(primaries, (4, 2)).astype(np.float64)
    whole = np.column_stack([points, 1 - points.sum(axis=1)])
    white, corners = whole[0], whole[1:].T
    # A tenth of the area that sRGB's triangle has.
    if white.min() <= 0 or abs(np.linalg.det(corners)) < 0.02:
        raise ValueError("its primaries span no space")
    white = white / white[1]
    return corners * np.linalg.solve(corners, white), white


def _adaptation(white: NDArray[np.float64], to: NDArray[np.float64]) -> NDArray[np.float64]:
    """From XYZ under one white to XYZ under another."""
    return np.linalg.inv(_CONES) @ np.diag(_CONES @ to / (_CONES @ white)) @ _CONES


def srgb_to_linear(values: NDArray[Any]) -> NDArray[Any]:
    """The curve of IEC 61966-2-1."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(light: NDArray[Any]) -> NDArray[Any]:
    """The inverse curve, of light that is clipped to 0..1."""
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def bt709_to_linear(values: NDArray[Any]) -> NDArray[Any]:
    """The inverse of the cameras' curve of BT.709 and BT.2020, as in ITU-T H.273."""
    alpha, beta = 1.099296826809442, 0.018053968510807
    return np.where(
        values < 4.5 * beta, values / 4.5, (np.maximum(values + alpha - 1, 0) / alpha) ** (1 / 0.45)
    )


def power_to_linear(gamma: float) -> Curve:
    """The curve values ** gamma."""
    return lambda values: values**gamma


@functools.cache
def srgb_profile() -> bytes:
    """The ICC profile of sRGB that is embedded in written files, the same bytes every time."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # Bytes 24 to 36 are the time of its making; a fixed one keeps written files reproducible.
    return profile[:24] + struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + profile[36:]


def to_srgb(samples: Samples, tag: bytes | Space | None) -> tuple[FloatArray, list[str]]:
    """Converts samples to sRGB.

    A profile is honoured (relative colorimetric, black point compensated); one that changes nothing
    by more than one grey level in 255 is taken as sRGB itself. CMYK without a profile is converted as
    (1 - ink) (1 - black), LAB without one is D50.

    Args:
      samples: In any space.
      tag: What their colours are: an ICC profile, a space named by numbers, or None, which is sRGB.

    Returns:
      Colours [height, width, 3] float32 in 0..1, and remarks for the user, such as on a profile that
      could not be used.
    """
    reason = None
    try:
        if isinstance(tag, Space) and samples.space in ("GRAY", "RGB"):
            return _by_numbers(samples, tag), []
        if isinstance(tag, bytes):
            if samples.space == "RGB" and samples.values.dtype == np.uint16:
                if space := Space.of_profile(tag):
                    return _by_numbers(samples, space), []
            return _by_profile(samples, ImageCms.ImageCmsProfile(io.BytesIO(tag))), []
    except _PROFILE_ERRORS as error:
        reason = " ".join(str(error).split())
    remarks = [f"its colour profile cannot be used ({reason}); taken as sRGB"] if reason else []
    return _plain(samples), remarks


def _plain(samples: Samples) -> FloatArray:
    if samples.space == "LAB":
        return _by_profile(samples, ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")))
    values = scaled(samples.values)
    if samples.space == "GRAY":
        return _as_rgb(values)
    if samples.space == "RGB":
        return values
    np.subtract(1, values, out=values)
    return np.ascontiguousarray(values[..., :3] * values[..., 3:])


def _as_rgb(values: FloatArray) -> FloatArray:
    return np.repeat(values[:, :, np.newaxis], 3, axis=2)


def _strips(height: int) -> Iterator[slice]:
    """Rows at a time, for what would take several times a huge picture's memory."""
    return (slice(top, top + _STRIP_ROWS) for top in range(0, height, _STRIP_ROWS))


def _by_numbers(samples: Samples, space: Space) -> FloatArray:
    height, width = samples.values.shape[:2]
    converted = np.empty((height, width, 3), np.float32)
    for rows in _strips(height):
        light = space.to_linear(scaled(samples.values[rows]))
        if samples.space == "GRAY":
            converted[rows] = linear_to_srgb(light)[..., np.newaxis]
        else:
            converted[rows] = linear_to_srgb(light @ space.matrix.T)
    return converted


def _by_profile(samples: Samples, profile: ImageCms.ImageCmsProfile) -> FloatArray:
    header: Any = profile.profile  # Pillow's own annotation of it is too wide.
    space = header.xcolor_space.strip()
    if space == "GRAY" and samples.space == "RGB" and np.ptp(samples.values, axis=2).max() == 0:
        samples = Samples("GRAY", samples.values[..., 0])  # AVIF's grey, which comes as RGB.
    if samples.space == "GRAY" and space in ("GRAY", "RGB"):
        return _grey_by_profile(samples, profile, space)
    if {"Lab": "LAB"}.get(space, space) != samples.space:
        raise ValueError(f"it is for {space}, the picture is {samples.space}")
    # Optimised, Little CMS interpolates in tables, in whose nodes LAB's gamut does not end.
    flags = ImageCms.Flags.NOOPTIMIZE if samples.space == "LAB" else ImageCms.Flags.NONE
    convert = _converter(profile, _MODES[samples.space], flags)
    if samples.space == "RGB":
        levels = np.linspace(0, 255, 9).round().astype(np.uint8)
        cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(27, 27, 3)
        if _same(cube, convert(cube)):
            return scaled(samples.values)
    values = samples.values
    if values.dtype != np.uint8:
        # By tables, which Pillow has for 8 bits only.
        values = np.rint(scaled(values) * 255).astype(np.uint8)
    return scaled(convert(values))


def _grey_by_profile(samples: Samples, profile: ImageCms.ImageCmsProfile, space: str) -> FloatArray:
    """Grey through a curve of 256 nodes, for Pillow converts no more than 8 bits."""
    nodes = np.arange(256, dtype=np.uint8)[np.newaxis, :]
    # Optimised, Little CMS interpolates between so few nodes that dark greys come out wrong.
    convert = _converter(profile, "L" if space == "GRAY" else "RGB", ImageCms.Flags.NOOPTIMIZE)
    curves = convert(nodes if space == "GRAY" else np.stack([nodes] * 3, axis=-1))[0]
    values = scaled(samples.values)
    if _same(nodes[0][:, np.newaxis], curves):
        return _as_rgb(values)
    channels = [np.interp(values, nodes[0] / 255, curve / 255) for curve in curves.T]
    return np.stack(channels, axis=-1).astype(np.float32)


def _converter(
    profile: ImageCms.ImageCmsProfile, mode: str, flags: ImageCms.Flags = ImageCms.Flags.NONE
) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]]:
    """From uint8 [height, width] or [height, width, channels] in a profile's space to sRGB's uint8."""
    transform = ImageCms.buildTransform(
        profile,
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags | ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )

    def convert(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
        height, width = values.shape[:2]
        image = Image.frombuffer(mode, (width, height), np.ascontiguousarray(values), "raw", mode, 0, 1)
        converted = ImageCms.applyTransform(image, transform)
        if converted is None:
            raise ValueError("the conversion returned nothing")
        return np.asarray(converted)

    return convert


def _same(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> bool:
    return int(np.abs(before.astype(np.int16) - after).max()) <= 1
