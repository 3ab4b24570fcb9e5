"""Which style goes where: regions of the picture, each with the styles that are compared there."""

import dataclasses
import functools
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tf_style.objective.guides import Guide, guide
from tf_style.objective.presets import Preset

# What each style weighs against the others: at every style layer, or by the layer's name.
Blend = Sequence[float] | Mapping[str, Sequence[float]]


def blend_at(blend: Blend, name: str) -> Sequence[float]:
    """The weights of the styles at a style layer."""
    return blend[name] if isinstance(blend, Mapping) else blend


@dataclasses.dataclass(frozen=True, eq=False)
class Region:
    """One region at one size.

    Attributes:
      guide: Where it is in the picture; None for the whole.
      styles: Of each style where its statistics are taken, None for the whole of it.
      blend: Of each style the weight that it has in this region, 0 for those that have no part in it;
        at each style layer one has more.
    """

    guide: Guide | None
    styles: tuple[Guide | None, ...]
    blend: Blend

    @classmethod
    def of(
        cls,
        mask: Any,
        style_masks: Sequence[Any],
        blend: Blend,
        layers: Sequence[str],
        *,
        xp: Any = np,
    ) -> "Region":
        """From masks.

        Args:
          mask: In the picture, [1 or batch, height, width, 1] in 0..1.
          style_masks: Likewise in each style, or None.
          blend: As the attribute.
          layers: The style layers.
          xp: NumPy or TensorFlow.
        """
        of_styles = (None if each is None else guide(each, layers, xp=xp) for each in style_masks)
        return cls(guide(mask, layers, xp=xp), tuple(of_styles), blend)

    def shares(self, preset: Preset, *, xp: Any = np) -> dict[str, Any]:
        """What the loss of each style layer is multiplied by in this region, [batch].

        Its share of the picture. A layer at which the region, or its part of a style, has no position
        is left out, and the others have its weight.

        Args:
          preset: It has the layers and their weights.
          xp: NumPy or TensorFlow.
        """
        if self.guide is None:
            return {}
        weights = dict(zip(preset.style_layers, preset.layer_weights(), strict=True))
        has = {}
        for name in weights:
            blend = blend_at(self.blend, name)
            guides = [each for each, share in zip(self.styles, blend, strict=True) if each and share]
            has[name] = _product([each.has[name] for each in (self.guide, *guides)])
        kept = sum(weight * has[name] for name, weight in weights.items())
        least = np.float32(1e-6 * sum(weights.values()))
        gain = self.guide.share * sum(weights.values()) / xp.maximum(kept, least)
        return {name: gain * has[name] for name in weights}

    def counted_share(self, preset: Preset, *, xp: Any = np) -> Any:
        """Its share of the picture, [batch]; 0 where no layer has a position in it.

        Args:
          preset: As for `shares`.
          xp: NumPy or TensorFlow.
        """
        has_some = sum(self.shares(preset, xp=xp).values()) > 0
        return xp.where(has_some, self.guide.share, xp.zeros_like(self.guide.share))


def _product(factors: Sequence[Any]) -> Any:
    return functools.reduce(operator.mul, factors)
