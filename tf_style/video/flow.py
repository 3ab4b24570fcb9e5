"""Where each place of a frame was in an earlier one: optical flow, and frames warped by it.

Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016, as OpenCV has it.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
GreyArray = NDArray[np.uint8]
# DIS's patches are of 8 pixels, and its coarsest scale must have one: smaller frames are enlarged.
MIN_SIDE_PX = 32


def grey(pixels: NDArray[Any]) -> GreyArray:
    """What flow is computed from: brightness (Y' of BT.601), uint8 [height, width].

    Args:
      pixels: float [height, width, 3], RGB, 0..1.
    """
    brightness = np.asarray(pixels, np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return np.rint(255 * brightness).astype(np.uint8)


def flow(here: GreyArray, there: GreyArray) -> FloatArray:
    """Where each pixel of a frame is in another one.

    Args:
      here: As from `grey`.
      there: Likewise, of the same size.

    Returns:
      float32 [height, width, 2]: what is at x, y here is at x + flow[..., 0], y + flow[..., 1] there.
    """
    height, width = here.shape
    factor = max(1.0, MIN_SIDE_PX / min(height, width))
    if factor > 1:
        size = round(width * factor), round(height * factor)
        here, there = (
            np.asarray(cv2.resize(each, size, interpolation=cv2.INTER_CUBIC), np.uint8)
            for each in (here, there)
        )
    # OpenCV's own annotations leave it out.
    method: Any = cv2.DISOpticalFlow_create(  # pyright: ignore[reportAttributeAccessIssue]
        cv2.DISOPTICAL_FLOW_PRESET_MEDIUM
    )
    # Down to the full size. At half of it, the preset's finest, edges are off by a pixel.
    method.setFinestScale(0)
    found = method.calc(here, there, None)
    if factor > 1:
        found = cv2.resize(found, (width, height), interpolation=cv2.INTER_LINEAR) / np.float32(factor)
    return found


def warp(picture: NDArray[Any], flow: FloatArray) -> FloatArray:
    """An earlier frame as it is seen now.

    Read bicubically: bilinear reading, as Ruder et al. do it, would blur a moving picture more from
    frame to frame. Lanczos's kernel of eight samples brings a pan a little nearer to the painting, and
    takes a zoom away from it.

    Args:
      picture: The earlier frame, [height, width] or [height, width, 3].
      flow: From the present frame to that one, as from `flow`.

    Returns:
      float32 of the picture's shape; beyond its border, the border.
    """
    x, y = _places(flow)
    return _read(np.asarray(picture, np.float32), x, y, cv2.INTER_CUBIC)


def read_at(other: FloatArray, flow: FloatArray) -> FloatArray:
    """Another flow where this one leads, read bilinearly, for sums of the two."""
    x, y = _places(flow)
    return _read(other, x, y, cv2.INTER_LINEAR)


def is_inside(flow: FloatArray) -> NDArray[np.bool_]:
    """Where it leads to a place within the frame, bool [height, width]."""
    height, width = flow.shape[:2]
    x, y = _places(flow)
    return (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)


def _read(plane: FloatArray, x: FloatArray, y: FloatArray, how: int) -> FloatArray:
    return np.asarray(cv2.remap(plane, x, y, how, borderMode=cv2.BORDER_REPLICATE), np.float32)


def _places(flow: FloatArray) -> tuple[FloatArray, FloatArray]:
    height, width = flow.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return x + flow[..., 0], y + flow[..., 1]
