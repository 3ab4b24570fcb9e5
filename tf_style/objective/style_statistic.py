"""Which statistic of a layer's activations is the style.

What `Objective`, `TileWorker` and `TiledObjective` need of one are sums over positions, so that those
of an image's tiles can be merged into the whole's; a target, which serves images of any size; and from
these the loss and its derivatives.
"""

from tf_style.objective.gram_style import GramStyle
from tf_style.objective.moments_style import MomentsStyle
from tf_style.objective.presets import Preset

Statistic = GramStyle | MomentsStyle
# By its name in a `Preset`.
STATISTICS = {"gram": GramStyle, "moments": MomentsStyle}


def style_statistic(preset: Preset, kernel: str = "auto") -> Statistic:
    """The statistic of a preset.

    Args:
      preset: It names it.
      kernel: As for `gram_matrix`.

    Returns:
      What computes it.
    """
    return STATISTICS[preset.style_statistic](kernel)
