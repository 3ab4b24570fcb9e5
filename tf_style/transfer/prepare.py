"""What a transfer works on: the pictures at their working sizes.

All that can be wrong with a request is found here, before heavy work starts.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tf_style.errors import InputError
from tf_style.images import reading
from tf_style.images.picture import Picture, resize, working_size
from tf_style.images.reading import ImageSource, as_mask, as_picture
from tf_style.network.architecture import MEAN_RGB, check_size
from tf_style.network.weights import Weights, load_for
from tf_style.objective.presets import Preset
from tf_style.objective.regions import Blend, Region
from tf_style.transfer import kept_colours, placing, pyramid, style_blend
from tf_style.transfer.margin import with_margin
from tf_style.transfer.masks import Masks
from tf_style.transfer.settings import Settings, is_file_name

# Noise starts as in the first author's released code, a standard normal about the mean pixel. White
# noise of full contrast leaves its highest frequencies in the picture: average pooling hides them.
NOISE_STDDEV = 1.0


class EarlierFrames(NamedTuple):
    """What a frame of a video takes from those before it.

    Attributes:
      target: What they show, where it is now, float32 [height, width, 3], RGB, 0..255.
      weights: Of `TemporalLoss`, float32 [height, width]; 0 where they do not show a place.
    """

    target: np.ndarray
    weights: np.ndarray

    @classmethod
    def none(cls) -> "EarlierFrames":
        """Those of a first frame, at any size."""
        return cls(np.zeros((1, 1, 3), np.float32), np.zeros((1, 1), np.float32))

    def with_margin(self, px: int) -> "EarlierFrames":
        """The same for a picture with a margin, with weights of the same mean over more positions."""
        if self.weights.size == 1:  # At any size.
            return self
        weights = with_margin(self.weights[..., np.newaxis], px)[..., 0]
        weights *= np.float32(self.weights.size / weights.size)
        return EarlierFrames(with_margin(self.target, px), weights)


@dataclasses.dataclass(frozen=True, eq=False)
class LevelInputs:
    """The pictures at one working size, without the margin but where it says so.

    Attributes:
      level: The size, the objective and the iterations.
      content: float32 [height, width, 3], RGB, 0..255, or None.
      styles: Each float32 [any height, any width, 3].
      blend: What the styles weigh against each other.
      regions: Which of them are compared where, with the margin; none for all of them with the whole
        picture.
      content_weights: By content layer what the loss is multiplied by at its positions, with the
        margin; None for 1.
      earlier_frames: In a video, what the frames before it show; None for no video.
    """

    level: pyramid.Level
    content: np.ndarray | None
    styles: tuple[np.ndarray, ...]
    blend: Blend = ()
    regions: tuple[Region, ...] = ()
    content_weights: Mapping[str, np.ndarray] | None = None
    earlier_frames: EarlierFrames | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class PreparedInputs:
    """Pictures and weights, ready for the network.

    Attributes:
      settings: What they were prepared for.
      preset: The objective at the size of the picture to make.
      levels: The working sizes, the coarsest first; the last has the size of the picture to make.
      alpha: The content's opacity at that size, float32 [height, width], 0..1, or None where it is
        opaque.
      photograph: The content at that size in its own colours, float32 [height, width, 3], RGB, 0..255,
        where something of it is put back at the end, or None.
      painted: Where a style goes, float32 [height, width], 0..1; None for everywhere. Elsewhere the
        photograph is put back.
      initial: float32 [height, width, 3], RGB, 0..255, of the first level's size: where the
        optimisation starts.
      weights: Of the layers that the objective needs.
    """

    settings: Settings
    preset: Preset
    levels: tuple[LevelInputs, ...]
    alpha: np.ndarray | None
    photograph: np.ndarray | None
    painted: np.ndarray | None
    initial: np.ndarray
    weights: Weights

    @property
    def height(self) -> int:
        """Of the picture to make, in pixels."""
        return self.levels[-1].level.height

    @property
    def width(self) -> int:
        """Of the picture to make, in pixels."""
        return self.levels[-1].level.width


def prepare(
    content: ImageSource | None,
    styles: Sequence[ImageSource | None],
    settings: Settings,
    *,
    masks: Masks | None = None,
    objective: Preset | None = None,
    read: Callable[[ImageSource], Picture] | None = None,
    read_mask: Callable[[ImageSource], Picture] = as_mask,
    start: Callable[[np.ndarray], np.ndarray] | None = None,
    like: PreparedInputs | None = None,
    may_be_empty: bool = False,
) -> PreparedInputs:
    """Reads and resizes the images, and loads the weights.

    Args:
      content: The content image, or None for texture synthesis.
      styles: The style images; none for a reconstruction of the content. With masks, None for one
        keeps the photograph where it would go.
      settings: The transfer's settings.
      masks: Where each style goes; None for all of them everywhere.
      objective: What they meant for these images when they were stored; None for what they mean now.
      read: Turns each source into a picture; None for `as_picture`.
      read_mask: Turns each mask's source into a picture.
      start: With init "student", what makes the picture to start from of the photograph, both float32
        [height, width, 3] in 0..255.
      like: Inputs of another content image of the same size with the same styles and settings, whose
        weights are taken over, and whose styles at the sizes that both have.
      may_be_empty: Whether a region may have no place in the picture, as that of a mask that moves.

    Returns:
      The inputs.

    Raises:
      InputError: If something cannot be read, is too small or too large, or contradicts itself.
    """
    is_style = [style is not None for style in styles]
    preset = objective or settings.resolve(
        has_content=content is not None,
        num_styles=sum(is_style),
        has_masks=masks is not None,
        has_strength_mask=masks is not None and masks.strength is not None,
    )
    read = read or as_picture
    content_picture = None if content is None else read(content)
    all_styles = [None if style is None else read(style) for style in styles]
    where = placing.read(
        masks, content_picture, all_styles, read_mask, settings, may_be_empty=may_be_empty
    )
    style_pictures = [style for style in all_styles if style is not None]
    for picture in (content_picture, *style_pictures):
        if picture is not None:
            _check_size(picture.height, picture.width, preset, "An image")
    # A texture has the proportions of what it is made from.
    frame = content_picture or style_pictures[0]
    height, width = working_size(frame.height, frame.width, settings.size, settings.size_of)
    _check_size(height, width, preset, "The picture")
    plan = pyramid.plan(
        height,
        width,
        preset=preset,
        num_levels=settings.levels or _automatic_levels(height, width, preset, settings),
        iterations=settings.iterations,
    )
    keep = settings.keep_colors
    levels = tuple(
        _level_inputs(level, content_picture, style_pictures, where, preset, settings, like)
        for level in plan
    )
    if not may_be_empty:
        placing.check(where, levels[-1].regions, preset, height, width)
    alpha = photograph = None
    painted = where.painted(height, width)
    if content_picture is not None and (keep == "luminance" or painted is not None):
        photograph = _resize(content_picture, plan[-1])
    if content_picture is not None and content_picture.alpha is not None:
        alpha = resize(content_picture.alpha, height, width)
    coarsest = plan[0]
    if preset.init == "noise":
        shape = (coarsest.height, coarsest.width, 3)
        noise = np.random.default_rng(settings.seed or 0).standard_normal(shape)
        initial = np.asarray(MEAN_RGB) + NOISE_STDDEV * noise
    elif preset.init == "content":
        initial = levels[0].content
    elif preset.init == "student":
        if start is None or levels[-1].content is None:
            raise InputError("init is 'student', but there is none to start from.")
        made = kept_colours.of_photograph(keep, start(levels[-1].content))
        initial = _levels(made / np.float32(255), coarsest.height, coarsest.width)
    else:
        source = preset.init if is_file_name(preset.init) else style_pictures[0]
        initial = kept_colours.of_photograph(keep, _resize(read(source), coarsest))
    return PreparedInputs(
        settings=settings,
        preset=preset,
        levels=levels,
        alpha=alpha,
        photograph=photograph,
        painted=painted,
        initial=np.array(initial, np.float32),
        weights=load_for(preset, settings.weights) if like is None else like.weights,
    )


def _automatic_levels(height: int, width: int, preset: Preset, settings: Settings) -> int:
    if preset.init == "student":
        return 1  # What is coarse in the picture is there already.
    return pyramid.automatic_levels(height, width, preset, iterations=settings.iterations)


def _level_inputs(
    level: pyramid.Level,
    content: Picture | None,
    styles: Sequence[Picture],
    where: placing.Placing,
    preset: Preset,
    settings: Settings,
    like: PreparedInputs | None,
) -> LevelInputs:
    keep = settings.keep_colors
    size = level.height, level.width
    others = () if like is None else like.levels
    of_size = (each for each in others if (each.level.height, each.level.width) == size)
    matched = next((each.styles for each in of_size), None)
    fitted = matched or [
        _resize_style(style.pixels, *size, preset, settings.style_scale_of(index))
        for index, style in enumerate(styles)
    ]
    blend = style_blend.blend_at_size(settings, preset, len(styles), *size)
    if content is None:
        return LevelInputs(level, None, tuple(fitted), blend)
    photograph = _resize(content, level)
    return LevelInputs(
        level=level,
        content=kept_colours.of_photograph(keep, photograph),
        styles=matched or tuple(kept_colours.of_style(keep, style, photograph) for style in fitted),
        blend=blend,
        regions=where.at_level(level, fitted, preset, blend),
        content_weights=where.content_weights(level, preset, settings),
    )


def _resize(picture: Picture, level: pyramid.Level) -> np.ndarray:
    return _levels(picture.pixels, level.height, level.width)


def _resize_style(
    pixels: np.ndarray, height: int, width: int, preset: Preset, scale: float
) -> np.ndarray:
    if preset.style_fit == "area":
        side_px = max(1, round((height * width) ** 0.5 * scale))
        height, width = working_size(pixels.shape[0], pixels.shape[1], side_px, "area")
    _check_size(height, width, preset, "A style image")
    return _levels(pixels, height, width)


def _levels(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resized, on the 0..255 scale."""
    resized = resize(pixels, height, width)
    resized *= 255.0
    return resized


def _check_size(height: int, width: int, preset: Preset, what: str) -> None:
    check_size(preset.layers, height, width, what)
    if height * width > reading.Limits().max_pixels:
        raise InputError(
            f"{what} of {width} x {height} pixels is too large: at most "
            f"{reading.Limits().max_pixels} in all are accepted."
        )
