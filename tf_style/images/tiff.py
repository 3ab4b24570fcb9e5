"""What Pillow reads otherwise than a TIFF file means it, or does not refuse.

References: TIFF 6.0; Adobe's DNG specification; libtiff's tif_getimage.c, for what is usual.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tf_style.images.headers import UnreadKindError

_SUBFILE_TYPE, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 254, 258, 259, 262, 266
_SAMPLES, _PLANAR, _TRANSFER_FUNCTION, _WHITE_POINT, _PRIMARIES = 277, 284, 301, 318, 319
_COLOUR_MAP, _INK_SET, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 320, 332, 338, 339
_DNG_VERSION = 50706

_WHITE_IS_ZERO, _RGB, _PALETTE, _SEPARATED, _YCBCR = 0, 2, 3, 5, 6
_JPEGS = (6, 7)
_UNSIGNED, _FLOAT = 1, 3
ANY_KIND = "Save it as RGB or grey of 8 or 16 bits first"


def check(image: Image.Image, data: bytes) -> list[str]:
    """Looks at an opened TIFF file before its pixels are decoded.

    Returns:
      Remarks on what is assumed.

    Raises:
      UnreadKindError: If its pixels would come out wrong.
    """
    tags = image.tag_v2  # pyright: ignore[reportAttributeAccessIssue]  Of TiffImageFile.
    is_preview = bool(tags.get(_SUBFILE_TYPE, 0) & 1)
    if is_preview or _DNG_VERSION in tags or data[8:10] == b"CR":
        raise UnreadKindError(
            f"of a camera's raw file only a preview of {image.width} x {image.height} pixels could be "
            "read. Develop it into a TIFF or JPEG file first"
        )
    if _PHOTOMETRIC not in tags:
        raise UnreadKindError(f"it does not say whether 0 is black or white. {ANY_KIND}")
    photometric = tags[_PHOTOMETRIC]
    wrong = _misread(tags, photometric)
    if wrong:
        raise UnreadKindError(f"{wrong} are not supported. {ANY_KIND}")
    remarks = []
    extra = tags.get(_EXTRA_SAMPLES, ())
    channels = len(image.getbands())
    if photometric == _RGB and not extra and channels == 4:
        remarks.append("it does not say what its fourth channel is; taken as transparency")
    elif any(each not in (1, 2) for each in extra):
        what = "taken as transparency" if 999 in extra else "left out"
        remarks.append(f"it does not say what its additional channel is; {what}")
    if image.mode == "I":
        remarks.append("its grey values of 32 bits are taken as 0..65535")
    return remarks


def _misread(tags, photometric: int) -> str | None:
    """What Pillow would decode wrongly, in words."""
    bits = max(tags.get(_BITS, (1,)))
    is_raw, fill_order = tags.get(_COMPRESSION, 1) == 1, tags.get(_FILL_ORDER, 1)
    (form, *others) = tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))
    if any(other != form for other in others) or (form not in (_UNSIGNED, _FLOAT) and bits < 32):
        return f"signed samples of {bits} bits"
    if form == _FLOAT and photometric == _WHITE_IS_ZERO:
        return "floats whose 0 is white"
    if tags.get(_PLANAR, 1) == 2 and tags.get(_SAMPLES, 1) > 1:
        is_usual = photometric in (_RGB, _SEPARATED) and fill_order == 1
        if bits != 8 or not is_usual or 1 in tags.get(_EXTRA_SAMPLES, ()):
            return f"separate planes of {bits} bits"
    if photometric == _SEPARATED and tags.get(_INK_SET, 1) != 1:
        return "inks other than cyan, magenta, yellow and black"
    if photometric == _YCBCR and tags.get(_COMPRESSION, 1) not in _JPEGS:
        return "YCbCr samples that are not compressed as JPEG"
    # What Pillow has no names for.
    if is_raw and fill_order == 2:
        if (photometric, bits) == (_WHITE_IS_ZERO, 8) or (photometric == _PALETTE and bits < 8):
            return "samples of reversed bits"
    return None


def tags_colours(image: Image.Image) -> bool:
    """Whether a TIFF file names its primaries, white or curve by numbers."""
    tags = image.tag_v2  # pyright: ignore[reportAttributeAccessIssue]
    return any(tag in tags for tag in (_TRANSFER_FUNCTION, _WHITE_POINT, _PRIMARIES))


def widen_palette(image: Image.Image) -> None:
    """Corrects the palette of a loaded image: some writers put values of 8 bits where 16 belong."""
    colours = np.asarray(image.tag_v2[_COLOUR_MAP])  # pyright: ignore[reportAttributeAccessIssue]
    if colours.max(initial=0) < 256:
        image.putpalette(colours.astype(np.uint8).reshape(3, -1).T.tobytes())


def scale_grey(image: Image.Image, values: NDArray[Any]) -> NDArray[Any]:
    """Corrects a loaded image's wide grey: what fills 12 bits only, and where 0 is white."""
    tags = image.tag_v2  # pyright: ignore[reportAttributeAccessIssue]
    if max(tags.get(_BITS, (1,))) == 12:
        values = values << 4 | values >> 8
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        values = ~values
    return values
