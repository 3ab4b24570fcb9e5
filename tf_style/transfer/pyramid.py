"""Coarse to fine: the working sizes of a transfer, and its objective at each."""

import dataclasses
import math

from tf_style.errors import InputError
from tf_style.network.architecture import min_side_px
from tf_style.objective.presets import Preset

MAX_LEVELS = 16


@dataclasses.dataclass(frozen=True)
class Level:
    """One working size.

    Attributes:
      height: In pixels.
      width: In pixels.
      iterations: Of the optimiser at this size.
      preset: The objective at this size.
    """

    height: int
    width: int
    iterations: int
    preset: Preset


def automatic_levels(height: int, width: int, preset: Preset) -> int:
    """How many levels serve a picture of this size.

    Args:
      height: In pixels.
      width: In pixels.
      preset: It says how the sizes go down; its deepest layer bounds the coarsest one too.

    Returns:
      1 or more.
    """
    count = 1
    while count < MAX_LEVELS:
        factor = preset.level_ratio**count
        is_large = math.sqrt(height * width) / factor >= preset.coarsest_side_px
        if not is_large or round(min(height, width) / factor) < min_side_px(preset.layers):
            break
        count += 1
    return count


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
    counts = _shares(iterations, num_levels, preset.level_decay)
    levels = []
    for index in range(num_levels):
        factor = preset.level_ratio ** (num_levels - 1 - index)
        level_height, level_width = (max(1, round(side / factor)) for side in (height, width))
        levels.append(
            Level(
                height=level_height,
                width=level_width,
                iterations=counts[index],
                preset=at_size(preset, (height * width) / (level_height * level_width)),
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


def _shares(iterations: int, num_levels: int, decay: float) -> list[int]:
    """One for each level at least, and most of the rest for the coarse ones, which cost least."""
    weights = [decay**index for index in range(num_levels)]
    counts = [1 + int((iterations - num_levels) * weight / sum(weights)) for weight in weights]
    counts[0] += iterations - sum(counts)
    return counts


def at_size(preset: Preset, ratio: float) -> Preset:
    """The objective that weighs its parts at a smaller size as `preset` does at the full one.

    Sums over positions shrink with the picture, means do not: with k = factor / M**b the content
    loss goes with M**(1 - b) and the style loss, whose Gram matrix is itself a sum, with M**(2 - b);
    moments are means, and their distance goes with M**-b.
    Neighbouring pixels differ more in a smaller picture, in proportion to 1 / sqrt(M).

    Args:
      preset: At the full size.
      ratio: Positions at the full size over positions at the smaller one.

    Returns:
      The same, with other weights.
    """
    style_power = 2 if preset.style_statistic == "gram" else 0
    tv_power = (1 if preset.tv_scale == "sum" else 0) - preset.tv_exponent / 2
    return dataclasses.replace(
        preset,
        content_weight=preset.content_weight * ratio ** (1 - preset.content_scale.positions_power),
        style_weight=preset.style_weight * ratio ** (style_power - preset.style_scale.positions_power),
        tv_weight=preset.tv_weight * ratio**tv_power,
    )
