"""How long a run will take, from how long it took so far."""

import time
from collections.abc import Sequence

from tf_style.transfer.pyramid import Level


class Pace:
    """Seconds for an iteration and pixel, of the working size that is under way."""

    def __init__(self, levels: Sequence[Level]):
        """Takes the working sizes, from coarse to fine."""
        self._levels = levels
        self._level = -1
        self._since = (0.0, 0)
        self._seconds_per_pixel: float | None = None

    def seconds_left(self, level: int, iteration: int) -> float | None:
        """What is left, or None where that is not known yet.

        Args:
          level: Index of the working size.
          iteration: Iterations made, at all sizes.
        """
        now = time.monotonic()
        if level != self._level:
            # The first call at a size, which may have traced a graph, is not counted.
            self._level, self._since = level, (now, iteration)
        elif iteration > self._since[1]:
            seconds = (now - self._since[0]) / (iteration - self._since[1])
            self._seconds_per_pixel = seconds / self._levels[level].pixels
        if self._seconds_per_pixel is None:
            return None
        below = sum(each.iterations for each in self._levels[:level])
        left = [max(0, self._levels[level].iterations - (iteration - below))]
        left += [each.iterations for each in self._levels[level + 1 :]]
        pixels = sum(
            count * each.pixels for count, each in zip(left, self._levels[level:], strict=True)
        )
        return pixels * self._seconds_per_pixel
