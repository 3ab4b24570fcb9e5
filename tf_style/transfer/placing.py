"""Where styles go, and how strongly: read from masks, and at each working size."""

import dataclasses
import functools
import itertools
import operator
import warnings
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tf_style.errors import InputError
from tf_style.images.picture import Picture
from tf_style.images.reading import ImageSource
from tf_style.objective.guides import layer_means
from tf_style.objective.presets import Preset
from tf_style.objective.regions import Blend, Region, blend_at
from tf_style.transfer import masks as mask_files
from tf_style.transfer.margin import with_margin
from tf_style.transfer.masks import FloatArray, Masks, RegionMasks, check_proportions, resized
from tf_style.transfer.pyramid import Level
from tf_style.transfer.settings import Settings


@dataclasses.dataclass(frozen=True, eq=False)
class Placing:
    """What masks mean, in their own sizes.

    Attributes:
      regions: Which styles go where; none for all of them everywhere.
      strength: What the strength is multiplied by, [height, width] in 0..1, or None for 1. There are
        regions then.
    """

    regions: tuple[RegionMasks, ...] = ()
    strength: FloatArray | None = None

    def painted(self, height: int, width: int) -> np.ndarray | None:
        """Where any style goes in a picture of a size, float32 [height, width]; None for everywhere."""
        if not self.regions:
            return None
        covered = functools.reduce(
            operator.add,
            (resized(each.content, height, width, is_soft=each.is_soft) for each in self.regions),
        )
        # Weights that add up to 1 do so but for rounding, which is no photograph.
        covered = np.where(covered > 1 - 1e-6, np.float32(1), covered)
        if self.strength is not None:
            covered = covered * (resized(self.strength, height, width, is_soft=True) > 0)
        return None if np.all(covered == 1) else covered

    def at_level(
        self, level: Level, styles: Sequence[np.ndarray], preset: Preset, blend: Blend
    ) -> tuple[Region, ...]:
        """The regions at one working size, of the picture with its margin.

        Args:
          level: That size.
          styles: As they are at this size, each [height, width, 3].
          preset: It has the style layers.
          blend: What the styles weigh against each other at this size.
        """
        return tuple(self._region(each, level, styles, preset, blend) for each in self.regions)

    def content_weights(
        self, level: Level, preset: Preset, settings: Settings
    ) -> Mapping[str, np.ndarray] | None:
        """What the content loss is multiplied by at the positions of its layers, or None for 1.

        Of the picture with its margin.

        At a place whose strength is s it is what it would be everywhere with `strength` s: 1 - s parts,
        where the objective has 1 - strength.
        """
        if self.strength is None:
            return None
        strength = 0.5 if settings.strength is None else settings.strength
        mask = self._strength_at(level)
        return {
            name: np.float32((1 - strength * mean) / (1 - strength))
            for name, mean in layer_means(mask, preset.content_layers).items()
        }

    def _strength_at(self, level: Level) -> np.ndarray:
        mask = resized(self.strength, level.height, level.width, is_soft=True)
        return with_margin(mask[np.newaxis, ..., np.newaxis], level.margin)

    def _region(
        self,
        masks: RegionMasks,
        level: Level,
        styles: Sequence[np.ndarray],
        preset: Preset,
        blend: Blend,
    ) -> Region:
        def mask(pixels: np.ndarray | None, height: int, width: int) -> np.ndarray | None:
            if pixels is None:
                return None
            return resized(pixels, height, width, is_soft=masks.is_soft)[np.newaxis, ..., np.newaxis]

        def here(weights: Sequence[float]) -> tuple[float, ...]:
            return tuple(
                weight if index in masks.styles else 0.0 for index, weight in enumerate(weights)
            )

        content = with_margin(mask(masks.content, level.height, level.width), level.margin)
        if self.strength is not None:
            content = content * self._strength_at(level)
        return Region.of(
            content,
            [mask(masks.styles.get(index), *style.shape[:2]) for index, style in enumerate(styles)],
            {name: here(weights) for name, weights in blend.items()}
            if isinstance(blend, Mapping)
            else here(blend),
            preset.style_layers,
        )


def read(
    masks: Masks | None,
    content: Picture | None,
    styles: Sequence[Picture | None],
    read_mask: Callable[[ImageSource], Picture],
    settings: Settings,
    *,
    may_be_empty: bool = False,
) -> Placing:
    """What masks mean, their styles counted without those that are None.

    Args:
      masks: The masks, if there are any.
      content: The content's picture.
      styles: The styles' pictures.
      read_mask: Turns each mask's source into a picture.
      settings: They have the styles' weights.
      may_be_empty: Whether a grey mask of the content may be black everywhere, as one that moves.

    Raises:
      InputError: If masks do not fit together or their pictures, or something would have no effect.
    """
    is_style = [style is not None for style in styles]
    masks = masks or Masks()
    has_places = bool(masks.content or masks.blend)
    if not (has_places or all(is_style)):
        raise InputError("A style of 'none' keeps the photograph in its region: it takes masks.")
    if masks.content and masks.blend:
        raise InputError("Content masks say where each style goes: leave style_blend's masks out.")
    if masks.styles and not has_places:
        raise InputError("style_mask would have no effect: there is no content mask.")
    if not (has_places or masks.strength is not None):
        return Placing()
    if content is None:
        raise InputError("Masks would have no effect: there is no content image.")

    def of_content(source: ImageSource, name: str) -> Picture:
        mask = read_mask(source)
        check_proportions(mask, content, name)
        return mask

    regions = []
    if has_places:
        of_styles = [None if mask is None else read_mask(mask) for mask in masks.styles]
        for index, (mask, style) in enumerate(zip(of_styles, styles, strict=False), start=1):
            if mask is not None and style is not None:
                check_proportions(mask, style, f"style mask {index}")
        kind = "content mask" if masks.content else "style_blend's mask"
        where = [
            of_content(mask, f"{kind} {index}")
            for index, mask in enumerate(masks.content or masks.blend, start=1)
        ]
        make = mask_files.regions if masks.content else mask_files.blended
        regions = _without_none(make(where, of_styles, is_style, may_be_empty=may_be_empty), is_style)
        _check_blend(regions, settings)
        if _is_everywhere(regions, sum(is_style)):
            regions = []
    strength = None
    if masks.strength is not None:
        mask = of_content(masks.strength, "strength_mask")
        strength = mask_files.grey(mask, "strength_mask", "grey", may_be_empty=may_be_empty)
        if strength.min() == 1:
            strength = None
    if strength is not None and not regions:
        everywhere = np.ones((1, 1), np.float32)
        whole = dict.fromkeys(range(sum(is_style)))
        regions = [RegionMasks("the picture", everywhere, whole, is_soft=True)]
    return Placing(tuple(regions), strength)


def _without_none(found: Sequence[RegionMasks], is_style: Sequence[bool]) -> list[RegionMasks]:
    """The same with the styles counted without those that are none."""
    place = list(itertools.accumulate(is_style, initial=0))
    return [
        dataclasses.replace(
            region, styles={place[index]: mask for index, mask in region.styles.items()}
        )
        for region in found
    ]


def _check_blend(found: Sequence[RegionMasks], settings: Settings) -> None:
    blend = settings.style_blend or ()
    # Equal weights are what a record says where none were given.
    if len(set(blend)) > 1 and all(len(region.styles) == 1 for region in found):
        raise InputError("style_blend would have no effect: no region has several styles.")
    for region in found if blend else ():
        if not any(blend[index] for index in region.styles):
            raise InputError(f"style_blend is 0 for each style of {region.name}.")


def _is_everywhere(found: Sequence[RegionMasks], num_styles: int) -> bool:
    """Whether masks ask for what is done without them."""
    if len(found) != 1 or len(found[0].styles) != num_styles:
        return False
    (region,) = found
    return all(mask is None or mask.min() == 1 for mask in (region.content, *region.styles.values()))


def check(where: Placing, made: Sequence[Region], preset: Preset, height: int, width: int) -> None:
    """Refuses regions that are too small for every layer, and tells of layers that leave one out.

    Args:
      where: What the masks mean.
      made: The regions in the picture to make.
      preset: It has the style layers.
      height: Of that picture, in pixels.
      width: Of that picture, in pixels.

    Raises:
      InputError: It says which, or that a region has no style at some layer.
    """
    size = f"a picture of {width} x {height} pixels"
    for masks, region in zip(where.regions, made, strict=True):
        lacks = [name for name in preset.style_layers if not any(blend_at(region.blend, name))]
        if lacks:
            raise InputError(
                f"{masks.name[0].upper()}{masks.name[1:]} has a style for its forms or for its "
                "brushwork alone: it takes both."
            )
        shares = region.shares(preset)
        missing = [name for name, share in shares.items() if not share[0]]
        if len(missing) == len(shares):
            raise InputError(
                f"{masks.name[0].upper()}{masks.name[1:]} is too small in {size}, or the part of its "
                "style is: no style layer has a position inside it."
            )
        if missing:
            warnings.warn(
                f"{masks.name} is too small for {', '.join(missing)} in {size}: the other layers have "
                "their weight there",
                UserWarning,
                stacklevel=3,
            )
