"""Between a video's brightness and colour differences and red, green and blue, by matrix and range.

In float32, for FFmpeg's own conversion rounds down, by up to 2 levels of 255 there and back.
"""

import re
from typing import Any

import av
import numpy as np
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

from tf_style.video.clip import BT601, BT709, BT2020, Colours

# The shares of red and blue in brightness (ITU-T H.273, table 4), by code point; 5 is BT.601 too.
_SHARES = {
    BT709: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    BT601: (0.299, 0.114),
    7: (0.212, 0.087),
    BT2020: (0.2627, 0.0593),
}
KNOWN_MATRICES = frozenset(_SHARES)
# Several threads of swscale's now and then leave a few pixels wrong where their parts meet: in
# one frame of a hundred, measured.
_EXACT: dict[str, Any] = {
    "threads": 1,
    "interpolation": Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.BITEXACT,
}
# Planes of a picture's own size, whose samples lie there as they are.
_READABLE = re.compile(r"(?:yuvj?444p|gray)(?:(\d+)le)?")
# FFmpeg's numbers of ranges.
LIMITED, FULL = 1, 2


def is_rgb(frame: av.VideoFrame) -> bool:
    """Whether a frame's numbers are red, green and blue, or of a palette of such."""
    return frame.format.is_rgb or frame.format.name == "pal8"


def to_rgb(frame: av.VideoFrame, colours: Colours) -> NDArray[np.float32]:
    """A decoded frame in red, green and blue.

    Args:
      frame: As it was decoded.
      colours: What its numbers mean; of no account where they are red, green and blue, or grey.

    Returns:
      float32 [height, width, 3], 0..1.
    """
    if frame.format.name == "pal8":  # Its colours have 8 bits, which FFmpeg's way to 16 rounds down.
        return frame.to_ndarray(format="rgb24").astype(np.float32) / np.float32(255)
    if is_rgb(frame):
        planes = frame.reformat(format="rgb48le", dst_color_range=FULL, **_EXACT).to_ndarray()
        return planes.astype(np.float32) / np.float32(65535)
    if len(frame.format.components) < 3:
        # FFmpeg's own grey is of full range, unless it says otherwise.
        low, span, _ = _range(is_full=frame.color_range != LIMITED)
        grey = np.clip((_planes(frame, "gray16le")[0] - low) / span, 0, 1)
        return np.repeat(grey[..., np.newaxis], 3, axis=-1)
    y, u, v = _planes(frame, "yuv444p16le", FULL if colours.is_full_range else LIMITED)
    low, span, span_of_colour = _range(colours.is_full_range)
    y, u, v = (y - low) / span, (u - 0.5) / span_of_colour, (v - 0.5) / span_of_colour
    red_share, blue_share = _SHARES[colours.matrix]
    red = y + 2 * (1 - red_share) * v
    blue = y + 2 * (1 - blue_share) * u
    green = (y - red_share * red - blue_share * blue) / (1 - red_share - blue_share)
    return np.clip(np.stack([red, green, blue], axis=-1), 0, 1, dtype=np.float32)


def from_rgb(pixels: NDArray[Any], colours: Colours) -> av.VideoFrame:
    """A frame to encode, as yuv420p of 8 bits.

    Args:
      pixels: uint8 [height, width, 3], of even sides.
      colours: What its numbers are to mean.
    """
    rgb = pixels.astype(np.float32) / 255
    red_share, blue_share = _SHARES[colours.matrix]
    low, span, span_of_colour = _range(colours.is_full_range)
    y = rgb @ np.array([red_share, 1 - red_share - blue_share, blue_share], np.float32)
    u = (rgb[..., 2] - y) / (2 * (1 - blue_share))
    v = (rgb[..., 0] - y) / (2 * (1 - red_share))
    height, width = y.shape
    # Each difference is that of four pixels.
    u, v = (each.reshape(height // 2, 2, width // 2, 2).mean((1, 3)) for each in (u, v))
    planes = low + span * y, 0.5 + span_of_colour * u, 0.5 + span_of_colour * v
    frame = av.VideoFrame(width, height, "yuv420p")
    for plane, values in zip(frame.planes, planes, strict=True):
        # A row of a plane may be longer than the picture's.
        rows = np.zeros((plane.height, plane.line_size), np.uint8)
        rows[:, : plane.width] = np.clip(np.rint(256 * values), 0, 255)
        plane.update(rows.tobytes())
    frame.colorspace = colours.matrix
    frame.color_range = FULL if colours.is_full_range else LIMITED
    return frame


def _planes(frame: av.VideoFrame, wide: str, number: int = FULL) -> list[NDArray[np.float32]]:
    """The planes of a frame, as parts of 2 ** bits, so that 8 bits are parts of 2 ** 8.

    Args:
      frame: Of any format.
      wide: What it is converted to where its own cannot be read as it is, 16 bits a sample.
      number: Its range, in FFmpeg's numbers.
    """
    bits = 16
    if match := _READABLE.fullmatch(frame.format.name):
        # FFmpeg would make 16 bits of 8 by 257 in place of 256 here, but not everywhere.
        bits = int(match[1] or 8)
    else:
        frame = frame.reformat(format=wide, src_color_range=number, dst_color_range=number, **_EXACT)
    dtype = np.dtype(np.uint8 if bits == 8 else "<u2")
    found = []
    for plane in frame.planes:
        rows = np.frombuffer(memoryview(plane), dtype)  # pyright: ignore[reportArgumentType]
        rows = rows.reshape(plane.height, plane.line_size // dtype.itemsize)
        found.append(rows[:, : plane.width].astype(np.float32) / np.float32(2**bits))
    return found


def _range(is_full: bool) -> tuple[float, float, float]:
    """Black, the span of brightness and that of colour differences, as parts of 256."""
    if is_full:
        return 0.0, 255 / 256, 255 / 256
    return 16 / 256, 219 / 256, 224 / 256
