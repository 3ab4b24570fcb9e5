"""Which style goes where, by masks of the photograph and of the styles."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tf_style.errors import InputError
from tf_style.images.picture import Picture
from tf_style.images.reading import ImageSource, as_sources

FloatArray = NDArray[np.float32]
# In a label image. More are a photograph's, or the noise of a lossy file.
MAX_LABELS = 16


@dataclasses.dataclass(frozen=True, eq=False)
class Masks:
    """Where the styles of a transfer go, which part of each is meant, and how strongly it is painted.

    `content` is either one grey mask for each style, in their order, white where it goes; masks may
    overlap, and what none covers keeps the photograph. Or it is one label image, a colour (or, beside
    several styles, a grey) for each region: a style goes where its own mask has the same colour, and
    one without a mask where no other does. In its place `blend` has the styles pass into each other.

    Attributes:
      content: The content's masks.
      styles: One for each style, in their order: grey, white where its statistics are taken, or a
        label image; None for the whole. Empty for None for each.
      blend: Grey masks of the content, what each style weighs there against the others, in their
        order; where there is one fewer than styles, the last style has what the others leave. Where
        all are black, each has as much.
      strength: A grey mask of the content: what the strength is multiplied by there. None for 1.
    """

    content: tuple[ImageSource, ...] = ()
    styles: tuple[ImageSource | None, ...] = ()
    blend: tuple[ImageSource, ...] = ()
    strength: ImageSource | None = None

    def __post_init__(self) -> None:
        """Takes one mask in place of a tuple too."""
        for name in ("content", "styles", "blend"):
            object.__setattr__(self, name, tuple(as_sources(getattr(self, name))))


@dataclasses.dataclass(frozen=True, eq=False)
class RegionMasks:
    """One region, in each picture's own size.

    Attributes:
      name: For messages.
      content: Where it is, [height, width] in 0..1.
      styles: Of each style that is there: where its statistics are taken, None for the whole of it, by
        the style's index.
      is_soft: Whether a smaller size has means of it; labels stay 0 and 1.
    """

    name: str
    content: FloatArray
    styles: dict[int, FloatArray | None]
    is_soft: bool


def regions(
    content: Sequence[Picture],
    styles: Sequence[Picture | None],
    is_style: Sequence[bool],
    *,
    may_be_empty: bool = False,
) -> list[RegionMasks]:
    """The regions that masks mean.

    Args:
      content: The content's masks.
      styles: One for each style, or none at all.
      is_style: Of each style whether there is one; without it its region keeps the photograph.
      may_be_empty: Whether a region may have no place in the picture, as that of a mask that moves.

    Returns:
      Those that have a style.

    Raises:
      InputError: If they do not fit together, or one would have no effect.
    """
    styles = _one_each(styles, is_style)
    # A label image that moves may be of one grey for a moment.
    coloured = [*content, *(mask for mask in styles if mask is not None and may_be_empty)]
    is_labelled = len(content) == 1 and (len(is_style) > 1 or any(map(_has_colours, coloured)))
    if not is_labelled and len(content) != len(is_style):
        raise InputError(
            "There is one content mask for each style, or one label image for all. "
            f"Received: {len(content)} masks for {len(is_style)} styles"
        )
    if is_labelled:
        return _with_one(_labelled(content, styles, is_style, may_be_empty=may_be_empty))
    greys = [
        grey(mask, f"content mask {index}", may_be_empty=may_be_empty)
        for index, mask in enumerate(content, start=1)
    ]
    return _with_one(_soft(greys, styles, is_style))


def blended(
    blend: Sequence[Picture],
    styles: Sequence[Picture | None],
    is_style: Sequence[bool],
    *,
    may_be_empty: bool = False,
) -> list[RegionMasks]:
    """The regions of styles that pass into each other; arguments as for `regions`, and its errors."""
    missing = len(is_style) - len(blend)
    if len(is_style) < 2 or missing not in (0, 1):
        raise InputError(
            "style_blend by masks takes two styles or more, and one mask for each, or for each but the "
            f"last. Received: {len(blend)} masks for {len(is_style)} styles"
        )
    weights = [
        grey(mask, f"style_blend's mask {index}", may_be_empty=may_be_empty)
        for index, mask in enumerate(blend, start=1)
    ]
    weights = [resized(each, *weights[0].shape, is_soft=True) for each in weights]
    if missing:
        rest = np.maximum(1 - sum(weights), np.float32(0))
        if not (may_be_empty or rest.any()):
            raise InputError("style_blend's masks leave nothing to the last style.")
        weights.append(rest)
    total = sum(weights)
    nowhere = np.float32(total == 0)
    weights = [(each + nowhere) / (total + len(weights) * nowhere) for each in weights]
    return _with_one(_soft(weights, _one_each(styles, is_style), is_style))


def _one_each(styles: Sequence[Picture | None], is_style: Sequence[bool]) -> Sequence[Picture | None]:
    """The styles' masks, one for each style."""
    styles = styles or [None] * len(is_style)
    if len(styles) != len(is_style):
        raise InputError(
            "There is one style mask for each style, 'none' for the whole of it. "
            f"Received: {len(styles)} masks for {len(is_style)} styles"
        )
    return styles


def _with_one(found: list[RegionMasks]) -> list[RegionMasks]:
    if not found:
        raise InputError("No region has a style: nothing would be painted.")
    return found


def _soft(
    content: Sequence[FloatArray], styles: Sequence[Picture | None], is_style: Sequence[bool]
) -> list[RegionMasks]:
    found = []
    kept = [where for where, has_style in zip(content, is_style, strict=True) if not has_style]
    for index, (where, of_style, has_style) in enumerate(zip(content, styles, is_style, strict=True)):
        name = f"the region of style {index + 1}"
        if not has_style:
            if of_style is not None:
                raise InputError(f"style mask {index + 1} would have no effect: its style is 'none'.")
            continue
        if kept:  # Where 'none' goes the photograph stays, whatever else goes there.
            of_none = sum(resized(each, *where.shape, is_soft=True) for each in kept)
            where = np.maximum(np.minimum(where, 1 - of_none), np.float32(0))
        own = None if of_style is None else grey(of_style, f"style mask {index + 1}")
        found.append(RegionMasks(name, where, {index: own}, is_soft=True))
    return found


def _labelled(
    content: Sequence[Picture],
    styles: Sequence[Picture | None],
    is_style: Sequence[bool],
    *,
    may_be_empty: bool,
) -> list[RegionMasks]:
    labels, where = _labels(content[0], "the content mask")
    own = [
        None if mask is None else _labels(mask, f"style mask {index + 1}")
        for index, mask in enumerate(styles)
    ]
    place = {label: number for number, label in enumerate(labels)}
    if may_be_empty:  # With the regions that are nowhere now, in an order that is always the same.
        labels = sorted({*labels, *(label for each in own if each is not None for label in each[0])})
    others = {index for index, each in enumerate(own) if each is None}
    for index, each in enumerate(own):
        if each is not None and not set(each[0]) & set(labels):
            raise InputError(
                f"style mask {index + 1} has no colour of the content mask: "
                f"{_listed(each[0])}, and not {_listed(labels)}."
            )
    if len(others) == len(own):
        raise InputError(
            "A label image as content mask would have no effect: it takes a style mask with its "
            "colours. Without one, give a grey mask for each style"
        )
    kept = [index for index in others if not is_style[index]]
    if kept and len(others) > 1:
        raise InputError(
            f"Style {min(kept) + 1}, 'none', would have no effect: another style without a mask goes "
            "everywhere that no mask says."
        )
    found = []
    rest = []
    for label in labels:
        by_label = {
            index: np.float32(each[1] == each[0].index(label))
            for index, each in enumerate(own)
            if each is not None and label in each[0]
        }
        here = where == place.get(label, -1)
        if not by_label:
            rest.append((label, here))
            continue
        by_label = {index: mask for index, mask in by_label.items() if is_style[index]}
        if by_label:
            name = f"the region {_listed([label])}"
            found.append(RegionMasks(name, np.float32(here), by_label, is_soft=False))
    if rest and not others:
        raise InputError(
            f"No style mask has {_listed([label for label, _ in rest])} of the content mask: a style "
            "without a mask goes there, or 'none' keeps the photograph there."
        )
    if others and not rest and not may_be_empty:
        raise InputError(
            f"Style {min(others) + 1} would have no effect: it has no mask, and others have every "
            "colour of the content mask."
        )
    whole = {index: None for index in sorted(others) if is_style[index]}
    if whole:
        union = np.logical_or.reduce([here for _, here in rest] or [np.zeros(where.shape, bool)])
        found.append(RegionMasks("the rest", np.float32(union), whole, is_soft=False))
    return found


def check_proportions(mask: Picture, picture: Picture, name: str) -> None:
    """Refuses a mask that is not of its picture's shape, but for rounding.

    Raises:
      InputError: It says both sizes.
    """
    if not has_proportions(mask.height, mask.width, picture.height, picture.width):
        raise InputError(
            f"{name} of {mask.width} x {mask.height} pixels has other proportions than its picture of "
            f"{picture.width} x {picture.height}."
        )


def has_proportions(height: Any, width: Any, of_height: Any, of_width: Any, *, xp: Any = np) -> Any:
    """Whether a mask is of its picture's shape, but for rounding.

    Args:
      height: Of the mask, in pixels; a number, or a float64 tensor.
      width: Likewise.
      of_height: Of the picture, likewise.
      of_width: Likewise.
      xp: NumPy or TensorFlow.
    """
    one = np.float64(1)
    # A side of either may be off by a half, which the other's size enlarges.
    slack = xp.maximum(xp.maximum(of_height / height, of_width / width), one)
    expected = height * of_width / of_height
    return xp.abs(width - expected) <= xp.maximum(slack * width / of_width, one)


def resized(mask: FloatArray, height: int, width: int, *, is_soft: bool) -> FloatArray:
    """A mask [height, width] at another size: means of what it had, or the nearest."""
    if mask.shape == (height, width):
        return mask
    is_smaller = height * width < mask.size
    soft = Image.Resampling.BOX if is_smaller else Image.Resampling.BILINEAR
    method = soft if is_soft else Image.Resampling.NEAREST
    made = Image.fromarray(np.ascontiguousarray(mask, np.float32)).resize((width, height), method)
    return np.asarray(made)


def _has_colours(mask: Picture) -> bool:
    return bool(np.any(mask.pixels != mask.pixels[..., :1]))


def grey(
    mask: Picture,
    name: str,
    expected: str = "grey, one for each style, or one label image of the content",
    *,
    may_be_empty: bool = False,
) -> FloatArray:
    """A mask's weights, [height, width] in 0..1.

    Raises:
      InputError: If it has colours, or is black everywhere and may not be so.
    """
    if _has_colours(mask):
        raise InputError(f"{name} has colours. Expected {expected}")
    if not (may_be_empty or mask.pixels.any()):
        raise InputError(f"{name} is black everywhere: nothing would be painted by it.")
    return mask.pixels[..., 0]


def _labels(mask: Picture, name: str) -> tuple[list[tuple[int, ...]], NDArray[np.intp]]:
    """The colours, in 8 bits, and the index of each pixel's [height, width]."""
    colours = np.uint32(np.rint(255 * mask.pixels))
    codes = colours[..., 0] << 16 | colours[..., 1] << 8 | colours[..., 2]
    found, where = np.unique(codes, return_inverse=True)
    if len(found) > MAX_LABELS:
        raise InputError(
            f"{name} has {len(found)} colours, and a label image at most {MAX_LABELS}: save it without "
            "smooth edges, and as PNG, for JPEG changes colours."
        )
    labels = [(int(code) >> 16, int(code) >> 8 & 255, int(code) & 255) for code in found]
    return labels, where.reshape(codes.shape)


def _listed(labels: Sequence[tuple[int, ...]]) -> str:
    return ", ".join("#{:02x}{:02x}{:02x}".format(*label) for label in labels)
