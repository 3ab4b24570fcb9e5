"""The mirrored margin that a picture has around it while it is optimised, and loses again.

Beyond the border the network sees nothing, and a picture makes up for it: its last pixels have other
colours and a pattern along the border. In the margin they are cut off.
"""

from typing import Any

import numpy as np


def with_margin(pictures: Any, px: Any, xp: Any = np) -> Any:
    """Adds the margin.

    Args:
      pictures: [..., height, width, channels].
      px: Of the margin, at most either side.
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
