"""Which colour space a file says that its colours are in, by whatever means its format has."""

import struct

import numpy as np
from PIL import ExifTags, Image

from tf_style.images import headers, tiff
from tf_style.images.colour import (
    BT709_PRIMARIES,
    Space,
    bt709_to_linear,
    power_to_linear,
    srgb_to_linear,
)

Tag = bytes | Space | None

_D65 = BT709_PRIMARIES[:2]
# ITU-T H.273, tables 2 and 3. Not here: high dynamic range, film, and what no decoder meets.
_PRIMARIES = {
    1: ("BT.709", BT709_PRIMARIES),
    5: ("BT.470 BG", (*_D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06)),
    6: ("SMPTE 170M", (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070)),
    7: ("SMPTE 240M", (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070)),
    9: ("BT.2020", (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046)),
    11: ("DCI-P3", (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)),
    12: ("Display P3", (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)),
}
_CURVES = {
    1: bt709_to_linear,
    4: power_to_linear(2.2),
    5: power_to_linear(2.8),
    6: bt709_to_linear,
    8: power_to_linear(1.0),
    13: srgb_to_linear,
    14: bt709_to_linear,
    15: bt709_to_linear,
}
_HIGH_DYNAMIC_RANGE = {16: "PQ", 18: "HLG"}
_UNSPECIFIED = 2

# Adobe RGB (1998), sections 4.3.1 to 4.3.5.
_ADOBE_RGB = Space.of_primaries((*_D65, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06), power_to_linear(563 / 256))
_EXIF_SRGB, _EXIF_ADOBE_RGB, _EXIF_UNCALIBRATED = 1, 2, 65535

# Of a gAMA chunk, what libpng takes for the curve of sRGB: within 5 percent of 1 / 2.2.
_GAMMA_TOLERANCE = 0.05


def find(image: Image.Image, data: bytes) -> tuple[Tag, list[str]]:
    """What a loaded image's colours are.

    An ICC profile comes first, but for PNG's cICP, then what the format has of its own, then EXIF.

    Args:
      image: As Pillow loaded it.
      data: The file's bytes.

    Returns:
      An ICC profile, a space named by numbers, or None, which is sRGB; and remarks on what is assumed.
    """
    remarks = []
    if image.format == "PNG":
        tag, remarks, is_named = _of_png(image, headers.png_chunks(data))
        if is_named:
            return tag, remarks
    icc = image.info.get("icc_profile")
    if icc is None and image.format == "GIF":
        icc = headers.gif_profile(data)
    if icc is None and image.format == "BMP":
        kind, icc = headers.bmp_colour_space(data)
        if kind not in (b"", b"sRGB", b"Win ", b"MBED"):
            shown = kind.decode("ascii", "replace").strip()
            return None, [f"its colours are named by other means ({shown}); taken as sRGB"]
        icc = icc if kind == b"MBED" else None
    if icc:
        return icc, remarks
    if "icc_profile" in image.info or icc is not None:
        remarks = [*remarks, "its colour profile cannot be used (it is damaged); taken as sRGB"]
        return None, remarks
    if image.format == "AVIF":
        named = headers.avif_nclx(data)
        if named is None:
            return None, [*remarks, "its colours are not named; taken as sRGB"]
        tag, more = _of_code_points(*named)
        if tag or more or named[0] != _UNSPECIFIED:
            if not (tag or more) and _of_exif(image)[0]:
                more = ["its EXIF data says that its colours are Adobe RGB, its own that they are sRGB"]
            return tag, remarks + more
    tag, more = _of_exif(image)
    if not (tag or more) and image.format == "TIFF" and tiff.tags_colours(image):
        more = ["its primaries and curve are named by numbers, which are not used; taken as sRGB"]
    return tag, remarks + more


def _of_png(image: Image.Image, chunks: dict[bytes, bytes]) -> tuple[Tag, list[str], bool]:
    """By PNG's chunks in their order of precedence; whether one of them decides.

    Reference: PNG specification (third edition), section 4.3 and 11.3.2.
    """
    cicp, remarks = chunks.get(b"cICP", b""), []
    if len(cicp) == 4:
        primaries, transfer, matrix, is_full_range = cicp
        if matrix == 0 and is_full_range == 1:
            tag, remarks = _of_code_points(primaries, transfer)
            return tag, remarks, True
        remarks = ["its cICP chunk is for video of another kind; left out"]
    if b"iCCP" in chunks:
        return None, remarks, False
    if b"sRGB" in chunks:
        return None, remarks, True
    gamma, primaries = image.info.get("gamma"), image.info.get("chromaticity")
    if gamma is None and primaries is None:
        return None, remarks, False
    if gamma is not None and not 0.1 <= gamma <= 10:
        return None, [*remarks, f"its gAMA chunk is damaged ({gamma:g}); taken as sRGB"], True
    is_srgb_curve = gamma is None or abs(gamma * 2.2 - 1) <= _GAMMA_TOLERANCE
    if primaries is None or np.allclose(primaries, BT709_PRIMARIES, rtol=0, atol=1e-3):
        if is_srgb_curve:
            return None, remarks, True
        primaries = BT709_PRIMARIES
    if gamma is None:
        remarks.append("its cHRM chunk comes without gAMA; the curve is taken as sRGB's")
    curve = srgb_to_linear if gamma is None else power_to_linear(1 / gamma)
    try:
        return Space.of_primaries(primaries, curve), remarks, True
    except ValueError as error:
        return None, [*remarks, f"its cHRM chunk is damaged ({error}); taken as sRGB"], True


def _of_code_points(primaries: int, transfer: int) -> tuple[Tag, list[str]]:
    """By code points of ITU-T H.273."""
    name, points = _PRIMARIES.get(primaries, (f"primaries {primaries}", None))
    if primaries == _UNSPECIFIED:
        name, points = "unspecified primaries", BT709_PRIMARIES
    curve = srgb_to_linear if transfer == _UNSPECIFIED else _CURVES.get(transfer)
    if points is None or curve is None:
        how = _HIGH_DYNAMIC_RANGE.get(transfer, f"transfer characteristics {transfer}")
        return None, [f"its colours are in {name} with {how}, which is not converted; taken as sRGB"]
    if points == BT709_PRIMARIES:
        if curve is srgb_to_linear:
            return None, []
        if curve is bt709_to_linear:
            # As viewers have it: what was encoded for a screen is not meant to be lighter.
            return None, [f"its curve is BT.709's, of video, with {name}; taken as sRGB"]
    return Space.of_primaries(points, curve), []


def _of_exif(image: Image.Image) -> tuple[Tag, list[str]]:
    """By the colour space and the interoperability index of EXIF, as cameras name Adobe RGB."""
    try:
        exif = image.getexif()
        camera = exif.get_ifd(ExifTags.IFD.Exif)
        named, index = camera.get(ExifTags.Base.ColorSpace), ""
        if ExifTags.IFD.Interop in camera:
            index = exif.get_ifd(ExifTags.IFD.Interop).get(ExifTags.Interop.InteropIndex, "")
    except (AttributeError, OSError, ValueError, LookupError, TypeError, SyntaxError, struct.error):
        return None, ["its EXIF data is damaged; its colours are taken as sRGB"]
    index = index.decode("ascii", "replace") if isinstance(index, bytes) else str(index)
    if named == _EXIF_ADOBE_RGB or (index.strip("\0 ") == "R03" and named != _EXIF_SRGB):
        return _ADOBE_RGB, []
    if named not in (None, _EXIF_SRGB):
        return None, ["its EXIF data says that its colours are not sRGB's, not what; taken as sRGB"]
    return None, []
