"""Frames in, frames out: a video for pipelines."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tf_style.errors import InputError
from tf_style.images.picture import Picture, resize, working_size
from tf_style.images.reading import ImageSource, as_picture, as_sources
from tf_style.student import effects
from tf_style.transfer.masks import Masks
from tf_style.transfer.settings import Settings
from tf_style.video.frame_inputs import FrameInputs
from tf_style.video.frames import FrameMaker, FrameStylizer
from tf_style.video.options import OPTION_NAMES, VideoOptions
from tf_style.video.student_frames import StudentFrames

if TYPE_CHECKING:
    from tf_style.student.student import Student


def stylize_frames(
    frames: Iterable[ImageSource],
    styles: ImageSource | Sequence[ImageSource | None] = (),
    *,
    masks: Masks | Iterable[Masks] | None = None,
    student: "Student | None" = None,
    **settings: Any,
) -> Iterator[NDArray[np.uint8]]:
    """Renders the frames of a video in a style, so that they do not flicker.

    Needs OpenCV (`pip install '.[video]'`). No more than the last dozen frames are held in memory.

    Args:
      frames: In order, each as the content of `stylize`, all of one size: decoded frames
        [height, width, 3] of uint8, say.
      styles: As for `stylize`; none with a student.
      masks: As for `stylize`, for all frames, or some for each, no fewer than frames.
      student: Makes the frames in one pass each, in its own style, at the size, the `strength`, the
        `style_blend`, `keep_colors` "luminance" and the `temporal_weight` of the settings alone.
      **settings: The fields of `Settings` and of `VideoOptions`.

    Returns:
      The frames as they are made, uint8 [height, width, 3], RGB, of the working size.

    Raises:
      InputError: If the settings contradict each other; while the frames are made, if one cannot be
        read, is of another size or has no masks.
      TransferError: While the frames are made, if one cannot be made.

    Reference:
      Ruder, Dosovitskiy and Brox, "Artistic style transfer for videos", GCPR 2016.
    """
    options = VideoOptions(**{name: settings.pop(name) for name in OPTION_NAMES & settings.keys()})
    of_frames = Settings(**settings)
    of_styles: Any = styles
    if student is None:
        sources = [None if style is None else as_picture(style) for style in as_sources(of_styles)]
        maker: FrameMaker = FrameStylizer(FrameInputs(sources, of_frames, options))
    else:
        if len(as_sources(of_styles)) or masks is not None:
            raise InputError("Styles and masks would have no effect: the student has its own style.")
        if options.frame_iterations != VideoOptions().frame_iterations:
            raise InputError(
                "frame_iterations would have no effect: the student makes each frame in one pass."
            )
        effects.check(of_frames, of_frames.not_default(), effective=effects.OF_PICTURES)
        maker = StudentFrames(student, of_frames, options)
    each = itertools.repeat(masks) if masks is None or isinstance(masks, Masks) else masks
    return _made(frames, each, maker, of_frames)


def _made(
    frames: Iterable[ImageSource],
    masks: Iterable[Masks | None],
    maker: FrameMaker,
    settings: Settings,
) -> Iterator[NDArray[np.uint8]]:
    size = None
    masks = iter(masks)
    for index, frame in enumerate(frames):
        try:
            of_frame = next(masks)
        except StopIteration:
            raise InputError(f"Each frame has masks. Received: none for frame {index}") from None
        picture = as_picture(frame)
        size = size or (picture.height, picture.width)
        if (picture.height, picture.width) != size:
            raise InputError(
                f"The frames of a video have one size, {size[1]} x {size[0]} pixels. Received: "
                f"{picture.width} x {picture.height} for frame {index}"
            )
        height, width = working_size(*size, settings.size, settings.size_of)
        made = maker.make(Picture(resize(picture.pixels, height, width)), of_frame)
        if made is not None:
            yield made.pixels
