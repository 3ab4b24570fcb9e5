"""Coarse to fine: the working sizes of a transfer, and its objective at each.

What is computed from a picture's size is computed by `xp`: by NumPy, or by TensorFlow where sizes and
iterations are known only when a graph runs and so are scalar float64 tensors. Only functions that both
have by the same names are used, and the same float64 numbers are rounded: both make the same levels.
"""

import dataclasses
import itertools
from typing import Any

import numpy as np

from tf_style.errors import InputError
from tf_style.network.architecture import min_side_px
from tf_style.objective.presets import Preset
from tf_style.transfer.settings import MAX_LEVELS


@dataclasses.dataclass(frozen=True)
class Level:
    """One working size.

    Attributes:
      height: In pixels.
      width: In pixels.
      iterations: Of the optimiser at this size.
      factors: What the parts of the loss are multiplied by at this size.
      margin: The width of what the picture has around it while it is optimised, in pixels.
    """

    height: int
    width: int
    iterations: int
    factors: tuple[float, float, float]
    margin: int

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of what is optimised, the margin included."""
        return self.height + 2 * self.margin, self.width + 2 * self.margin

    @property
    def pixels(self) -> int:
        """How many are optimised."""
        height, width = self.sides
        return height * width


def automatic_levels(height: int, width: int, preset: Preset, *, iterations: int = MAX_LEVELS) -> int:
    """How many levels serve a picture of this size, 1 or more; arguments as for `count_levels`."""
    return int(count_levels(height, width, preset, iterations=iterations))


def count_levels(height: Any, width: Any, preset: Preset, *, iterations: Any, xp: Any = np) -> Any:
    """How many levels serve a picture of this size, also where that is a tensor.

    Args:
      height: In pixels.
      width: In pixels.
      preset: It says how the sizes go down; its deepest layer bounds the coarsest one too.
      iterations: There are no more levels than these, for each level makes one or more.
      xp: As above.

    Returns:
      A whole number from 1, float64.
    """
    factors = _factors(preset)[1:]
    is_large = xp.sqrt(height * width) / factors >= preset.coarsest_side_px
    has_positions = xp.round(xp.minimum(height, width) / factors) >= min_side_px(preset.layers)
    # Both end once, for the sizes only go down.
    levels_below = _sum(xp.where(is_large & has_positions, np.ones(MAX_LEVELS - 1), 0.0), xp)
    return 1.0 + xp.minimum(levels_below, xp.maximum(iterations - 1.0, 0.0))


def sides(side: Any, preset: Preset, xp: Any = np) -> Any:
    """A side of a picture at the size itself, and at each of those below, in pixels.

    Args:
      side: In pixels.
      preset: It says how the sizes go down.
      xp: As above.

    Returns:
      [MAX_LEVELS], whole numbers from 1, float64.
    """
    return xp.maximum(xp.round(side / _factors(preset)), 1.0)


def margin(height: int, width: int, preset: Preset) -> int:
    """The width of what a picture has around it while it is optimised, in pixels.

    It is no more than a side, as far as can be mirrored.
    """
    return min(preset.margin_px, height, width)


def shares(iterations: Any, num_levels: Any, preset: Preset, xp: Any = np) -> Any:
    """Iterations of each level: one at least, most of the rest for the coarse ones, which cost least.

    Args:
      iterations: In all, no fewer than the levels.
      num_levels: How many levels there are.
      preset: It has the decay from level to level.
      xp: As above.

    Returns:
      [MAX_LEVELS], the coarsest level's first, 0 where there is none; whole numbers, float64.
    """
    index = np.arange(MAX_LEVELS, dtype=np.float64)
    weights = [preset.level_decay**power for power in range(MAX_LEVELS)]
    totals = np.array(list(itertools.accumulate(weights)))
    total = _sum(xp.where(index == num_levels - 1, totals, 0.0), xp)
    counts = 1.0 + xp.floor((iterations - num_levels) * np.array(weights) / total)
    counts = xp.where(index < num_levels, counts, 0.0)
    return counts + xp.where(index == 0, iterations - _sum(counts, xp), 0.0)


def _sum(vector: Any, xp: Any) -> Any:
    return xp.einsum("i->", vector)


def _factors(preset: Preset) -> np.ndarray:
    """What the sides are divided by, at the full size and at each of those below."""
    return np.array([preset.level_ratio**steps for steps in range(MAX_LEVELS)])


def plan(
    height: int, width: int, *, preset: Preset, num_levels: int, iterations: int
) -> tuple[Level, ...]:
    """The levels of a transfer, the coarsest first.

    Args:
      height: Of the picture to make, in pixels.
      width: Of the picture to make, in pixels.
      preset: The objective at that size.
      num_levels: How many sizes.
      iterations: In all; each level makes `level_decay` of those of the one below.

    Returns:
      The levels; the last one has the size given.

    Raises:
      InputError: If the coarsest level is too small for the layers used, or has nothing to do.
    """
    if iterations < num_levels:
        raise InputError(
            f"Each level makes an iteration or more. Received: iterations={iterations} for "
            f"levels={num_levels}"
        )
    counts = shares(iterations, num_levels, preset)
    heights, widths = sides(height, preset), sides(width, preset)
    levels = []
    for index in range(num_levels):
        level_height, level_width = (int(each[num_levels - 1 - index]) for each in (heights, widths))
        levels.append(
            Level(
                height=level_height,
                width=level_width,
                iterations=int(counts[index]),
                factors=size_factors(preset, (height * width) / (level_height * level_width)),
                margin=margin(level_height, level_width, preset),
            )
        )
    least = min_side_px(preset.layers)
    coarsest = levels[0]
    if min(coarsest.height, coarsest.width) < least:
        raise InputError(
            f"levels={num_levels} begin at {coarsest.width} x {coarsest.height} pixels, but the "
            f"deepest layer used needs {least} in each direction: choose fewer"
        )
    return tuple(levels)


def size_factors(preset: Preset, ratio: Any) -> tuple[Any, Any, Any]:
    """What content, style and total variation are multiplied by at a smaller size.

    So they weigh there what they do at the full one.

    Sums over positions shrink with the picture, means do not: with k = factor / M**b the content
    loss goes with M**(1 - b) and the style loss, whose Gram matrix is itself a sum, with M**(2 - b);
    moments are means, and their distance goes with M**-b.
    Neighbouring pixels differ more in a smaller picture, in proportion to 1 / sqrt(M).

    Args:
      preset: At the full size.
      ratio: Positions at the full size over positions at the smaller one, a number or a tensor.

    Returns:
      Three, each as `ratio` is.
    """
    style_power = 2 if preset.style_statistic == "gram" else 0
    tv_power = (1 if preset.tv_scale == "sum" else 0) - preset.tv_exponent / 2
    return (
        ratio ** (1 - preset.content_scale.positions_power),
        ratio ** (style_power - preset.style_scale.positions_power),
        ratio**tv_power,
    )
