"""Where styles go: read from masks, and at each working size."""

import dataclasses
import functools
import itertools
import operator
import warnings
from collections.abc import Callable, Sequence

import numpy as np

from tf_style.errors import InputError
from tf_style.images.picture import Picture
from tf_style.images.reading import ImageSource
from tf_style.objective.presets import Preset
from tf_style.objective.regions import Region
from tf_style.transfer.masks import Masks, RegionMasks, check_proportions, regions, resized
from tf_style.transfer.settings import Settings


def at_size(
    masks: RegionMasks,
    size: tuple[int, int],
    styles: Sequence[np.ndarray],
    preset: Preset,
    settings: Settings,
) -> Region:
    """A region at one working size.

    Args:
      masks: It.
      size: Height and width in pixels.
      styles: As they are at this size, each [height, width, 3].
      preset: It has the style layers.
      settings: They have the styles' weights.
    """

    def mask(pixels: np.ndarray | None, height: int, width: int) -> np.ndarray | None:
        if pixels is None:
            return None
        return resized(pixels, height, width, is_soft=masks.is_soft)[np.newaxis, ..., np.newaxis]

    weights = settings.style_blend or (1.0,) * len(styles)
    return Region.of(
        mask(masks.content, *size),
        [mask(masks.styles.get(index), *style.shape[:2]) for index, style in enumerate(styles)],
        [weight if index in masks.styles else 0.0 for index, weight in enumerate(weights)],
        preset.style_layers,
    )


def read(
    masks: Masks | None,
    content: Picture | None,
    styles: Sequence[Picture | None],
    read_mask: Callable[[ImageSource], Picture],
    settings: Settings,
) -> list[RegionMasks]:
    """The regions that masks mean, their styles counted without those that are None.

    Args:
      masks: The masks, if there are any.
      content: The content's picture.
      styles: The styles' pictures.
      read_mask: Turns each mask's source into a picture.
      settings: They have the styles' weights.

    Raises:
      InputError: If masks do not fit together or their pictures, or something would have no effect.
    """
    is_style = [style is not None for style in styles]
    if masks is None:
        if not all(is_style):
            raise InputError("A style of 'none' keeps the photograph in its region: it takes masks.")
        return []
    if content is None:
        raise InputError("Masks would have no effect: there is no content image.")
    of_content = [read_mask(mask) for mask in masks.content]
    of_styles = [None if mask is None else read_mask(mask) for mask in masks.styles]
    for index, mask in enumerate(of_content, start=1):
        check_proportions(mask, content, f"content mask {index}")
    for index, (mask, style) in enumerate(zip(of_styles, styles, strict=False), start=1):
        if mask is not None and style is not None:
            check_proportions(mask, style, f"style mask {index}")
    found = regions(of_content, of_styles, is_style)
    place = list(itertools.accumulate(is_style, initial=0))
    found = [
        dataclasses.replace(
            region, styles={place[index]: mask for index, mask in region.styles.items()}
        )
        for region in found
    ]
    blend = settings.style_blend or ()
    # Equal weights are what a record says where none were given.
    if len(set(blend)) > 1 and all(len(region.styles) == 1 for region in found):
        raise InputError("style_blend would have no effect: no region has several styles.")
    for region in found if blend else ():
        if not any(blend[index] for index in region.styles):
            raise InputError(f"style_blend is 0 for each style of {region.name}.")
    return [] if _is_everywhere(found, sum(is_style)) else found


def _is_everywhere(found: Sequence[RegionMasks], num_styles: int) -> bool:
    """Whether masks ask for what is done without them."""
    if len(found) != 1 or len(found[0].styles) != num_styles:
        return False
    (region,) = found
    return all(mask is None or mask.min() == 1 for mask in (region.content, *region.styles.values()))


def painted(where: Sequence[RegionMasks], height: int, width: int) -> np.ndarray | None:
    """Where any style goes in a picture of a size, float32 [height, width]; None for everywhere."""
    masks = [resized(each.content, height, width, is_soft=each.is_soft) for each in where]
    if not masks:
        return None
    covered = np.minimum(functools.reduce(operator.add, masks), np.float32(1))
    return None if np.all(covered == 1) else covered


def check(
    where: Sequence[RegionMasks], made: Sequence[Region], preset: Preset, height: int, width: int
) -> None:
    """Refuses regions that are too small for every layer, and tells of layers that leave one out.

    Args:
      where: The regions.
      made: As they are in the picture to make.
      preset: It has the style layers.
      height: Of that picture, in pixels.
      width: Of that picture, in pixels.

    Raises:
      InputError: It says which.
    """
    size = f"a picture of {width} x {height} pixels"
    for masks, region in zip(where, made, strict=True):
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
