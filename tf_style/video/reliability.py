"""Where a frame shows what an earlier one does: weights of the temporal loss.

Ruder, Dosovitskiy and Brox, "Artistic style transfer for videos", GCPR 2016, equations 4 to 6, whose
thresholds are Sundaram, Brox and Keutzer's, "Dense point trajectories by GPU-accelerated large
displacement optical flow", ECCV 2010.

Flow alone finds no fault with a picture after a black one, for it sees no motion there: `likeness`
compares what is shown (Wang et al., "Image quality assessment: from error visibility to structural
similarity", IEEE Transactions on Image Processing 13 (4), 2004).
"""

from typing import Any, NamedTuple

import cv2
import numpy as np

from tf_style.video.flow import FloatArray, GreyArray, is_inside, read_at

# Of the Gaussian that softens the edges, in pixels, as in the authors' released code, where what is
# occluded counts negative: the mask of it grows.
SOFTENING_PX = 0.8
# Of the windows of structural similarity.
_WINDOW_PX = 4.0
# Differences of brightness, and noise of both frames, that are of no account, in levels: more than the
# paper's, whose question is what is seen. With noise of 15 levels, 0.78 and more of a frame is alike.
_LEVEL, _NOISE = 5.0, 15.0
# Below it two places do not show the same. Half as bright again, or twice, are alike; three times, not.
_ALIKE_FROM = 0.5


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
    # Softened, a border of a place or two would count for half.
    return Reliability(_softened(visible), np.where(is_border, np.float32(0), _softened(trusted)))


def likeness(here: GreyArray, earlier: FloatArray) -> FloatArray:
    """Where two frames show the same, by equation 12 of Wang et al.: as bright, with the same pattern.

    Args:
      here: As from `flow.grey`.
      earlier: The same of an earlier frame, warped, float32 [height, width], 0..255.

    Returns:
      float32 [height, width], 0 where they do not, 1 where they do, and between at the edges.
    """
    x, y = np.asarray(here, np.float32), earlier

    def mean(plane: FloatArray) -> FloatArray:
        return np.asarray(cv2.GaussianBlur(plane, (0, 0), _WINDOW_PX), np.float32)

    of_x, of_y = mean(x), mean(y)
    variance = np.maximum(mean(x * x) - of_x**2, 0) + np.maximum(mean(y * y) - of_y**2, 0)
    covariance = mean(x * y) - of_x * of_y
    brightness = (2 * of_x * of_y + 2 * _LEVEL**2) / (of_x**2 + of_y**2 + 2 * _LEVEL**2)
    pattern = (2 * covariance + 2 * _NOISE**2) / (variance + 2 * _NOISE**2)
    is_alike = brightness * pattern >= _ALIKE_FROM
    return _softened(np.where(is_alike, np.float32(1), np.float32(-1)))


def _softened(plane: FloatArray) -> FloatArray:
    soft = np.asarray(cv2.GaussianBlur(plane, (0, 0), SOFTENING_PX), np.float32)
    return np.clip(soft, 0, 1, dtype=np.float32)


def _squared(vectors: Any) -> FloatArray:
    return np.sum(np.square(vectors), axis=-1)
