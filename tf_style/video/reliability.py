"""Where a frame shows what an earlier one does: weights of the temporal loss.

Ruder, Dosovitskiy and Brox, "Artistic style transfer for videos", GCPR 2016, equations 4 to 6, whose
thresholds are Sundaram, Brox and Keutzer's, "Dense point trajectories by GPU-accelerated large
displacement optical flow", ECCV 2010.
"""

from typing import Any, NamedTuple

import cv2
import numpy as np

from tf_style.video.flow import FloatArray, is_inside, read_at

# Of the Gaussian that softens the edges, in pixels, as in the authors' released code, where what is
# occluded counts negative: the mask of it grows.
SOFTENING_PX = 0.8


class Reliability(NamedTuple):
    """What of a frame an earlier one shows, both float32 [height, width], 0..1.

    Attributes:
      visible: Nothing where going there and back does not lead back: the place was hidden then, or out
        of sight.
      trusted: And nothing where the flow changes abruptly, for there it is off by a few pixels.
    """

    visible: FloatArray
    trusted: FloatArray


def reliability(to_earlier: FloatArray, to_here: FloatArray) -> Reliability:
    """How far an earlier frame can be relied on at each place of this one.

    Args:
      to_earlier: From this frame to the earlier one, float32 [height, width, 2].
      to_here: From the earlier one to this frame.
    """
    back = read_at(to_here, to_earlier)
    error = _squared(to_earlier + back)
    is_hidden = error >= 0.01 * (_squared(to_earlier) + _squared(back)) + 0.5
    is_hidden |= ~is_inside(to_earlier)
    rows, columns = np.gradient(to_earlier, axis=(0, 1))
    is_border = _squared(rows) + _squared(columns) > 0.01 * _squared(to_earlier) + 0.002
    visible = np.where(is_hidden, np.float32(-1), np.float32(1))
    trusted = np.where(is_border & ~is_hidden, np.float32(0), visible)
    return Reliability(_softened(visible), _softened(trusted))


def _softened(plane: FloatArray) -> FloatArray:
    soft = np.asarray(cv2.GaussianBlur(plane, (0, 0), SOFTENING_PX), np.float32)
    return np.clip(soft, 0, 1, dtype=np.float32)


def _squared(vectors: Any) -> FloatArray:
    return np.sum(np.square(vectors), axis=-1)
