"""The mirrored margin that a picture has around it while it is optimised, and loses again.

Deep layers see zeros beyond the border, and a picture makes up for it: along the border it has other
colours, or the border that the painting has. In the margin they are cut off.
"""

from typing import Any

import numpy as np


def with_margin(pictures: Any, px: Any, xp: Any = np) -> Any:
    """Adds the margin.

    Args:
      pictures: [..., height, width, channels].
      px: The margin's width, no more than a side.
      xp: NumPy or TensorFlow.

    Returns:
      [..., height + 2 px, width + 2 px, channels].
    """
    inside = [[0, 0]] * (len(pictures.shape) - 3)
    return xp.pad(pictures, [*inside, [px, px], [px, px], [0, 0]], mode="symmetric")


def without_margin(pictures: Any, px: Any, xp: Any = np) -> Any:
    """The inverse of `with_margin`."""
    height, width = xp.shape(pictures)[-3], xp.shape(pictures)[-2]
    return pictures[..., px : height - px, px : width - px, :]
