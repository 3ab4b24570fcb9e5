"""Masks of a video: still ones, and ones that move with it."""

import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tf_style.errors import TransferError
from tf_style.images.picture import Picture
from tf_style.images.reading import as_mask
from tf_style.transfer.masks import Masks
from tf_style.video import sequence
from tf_style.video.clip import Clip, Frame
from tf_style.video.opening import is_sequence, open_clip
from tf_style.video.reading import VideoReader
from tf_style.video.sequence import SequenceReader


class MaskFrames:
    """One mask, in the order of time."""

    def __init__(self, path: str, clip: Clip, read_still: Callable[[str], Picture]):
        """Opens it.

        Args:
          path: Of a picture, or as for `open_clip`.
          clip: What it is a mask of.
          read_still: Reads a picture.

        Raises:
          InputError: If it cannot be read.
        """
        self._still = self._last = self._next = None
        if is_moving(path):
            reader = open_clip(path, clip.rate)
            self._base = reader.clip.time_base
            # A time may be rounded in either file: to milliseconds, in Matroska.
            slack = (self._base + clip.time_base) / 2
            self._slack = min(slack, 1 / (4 * max(clip.rate, reader.clip.rate)))
            self._size = reader.clip.width, reader.clip.height
            self._frames = _undamaged(reader)
            self._next = next(self._frames, None)
        else:
            self._still = read_still(path)

    def at(self, seconds: Fraction) -> Picture:
        """What it is at a time, which never goes back; after its end, what it was at last."""
        if self._still is not None:
            return self._still
        while self._next is not None and (
            self._last is None or self._next.ticks * self._base <= seconds + self._slack
        ):
            self._last, self._next = self._next, next(self._frames, None)
        if self._last is None:
            raise ValueError("A mask has no frames.")
        pixels = self._last.pixels
        if pixels.shape[1::-1] != self._size:  # Its pixels are not square; labels stay as they are.
            pixels = cv2.resize(pixels, self._size, interpolation=cv2.INTER_NEAREST)
        return Picture(np.asarray(pixels, np.float32))


def _undamaged(reader: VideoReader | SequenceReader) -> Iterator[Frame]:
    """Its frames; of what is damaged nobody knows what it was a mask of."""
    for frame in reader.frames():
        if reader.damage is not None:
            raise TransferError(reader.damage)
        yield frame
    if reader.damage is not None:
        raise TransferError(reader.damage)


def is_moving(path: str) -> bool:
    """Whether a mask is a video, an animation or a sequence of pictures."""
    suffix = os.path.splitext(path)[1].lower()
    if suffix == ".gif" and os.path.isfile(path) and not is_sequence(path):
        try:
            with Image.open(path) as image:
                return getattr(image, "is_animated", False)
        except (OSError, SyntaxError, ValueError):  # Whoever reads it says what is wrong.
            return False
    return is_sequence(path) or suffix not in sequence.SUFFIXES


class MaskReader:
    """All the masks of a video, frame by frame."""

    def __init__(self, masks: Masks | None, clip: Clip, read_still: Callable[[Any], Picture]):
        """Opens those that move, and reads the others.

        Args:
          masks: Of paths.
          clip: What they are masks of.
          read_still: Reads a picture.

        Raises:
          InputError: If one cannot be read.
        """
        self._masks = masks
        paths = [] if masks is None else [*masks.content, *masks.blend, masks.strength]
        self._frames = {
            path: MaskFrames(path, clip, read_still) for path in paths if isinstance(path, str)
        }

    def at(self, seconds: Fraction) -> Masks | None:
        """Those of a time, which never goes back."""
        masks = self._masks
        if masks is None:
            return None

        def of(path: Any) -> Picture:
            return self._frames[path].at(seconds)

        return Masks(
            content=tuple(of(path) for path in masks.content),
            styles=masks.styles,
            blend=tuple(of(path) for path in masks.blend),
            strength=None if masks.strength is None else of(masks.strength),
        )


def planes(
    masks: Masks | None, height: int, width: int, *, num_styles: int
) -> list[NDArray[np.uint16]]:
    """The masks of a frame at its size, so that those of two frames can be compared.

    Args:
      masks: Of the frame.
      height: The frame's.
      width: Likewise.
      num_styles: With several, a single mask of the content is a label image.

    Returns:
      uint16 [height, width] each, for each colour of each mask: 255 is all the difference that there
      can be, and neighbouring labels differ by as much.
    """
    if masks is None:
        return []
    found = []
    of_strength = [] if masks.strength is None else [masks.strength]
    for index, source in enumerate([*masks.content, *masks.blend, *of_strength]):
        levels = np.rint(255 * as_mask(source).pixels).astype(np.uint16)
        if index == 0 and len(masks.content) == 1 and num_styles > 1:
            levels *= 255
        found += cv2.split(cv2.resize(levels, (width, height), interpolation=cv2.INTER_NEAREST))
    return [np.asarray(each, np.uint16) for each in found]
