"""Opens what frames are read from, whichever it is."""

import os
from fractions import Fraction

from tf_style.errors import InputError
from tf_style.files import shown
from tf_style.video import sequence
from tf_style.video.reading import VideoReader
from tf_style.video.sequence import SequenceReader


def is_sequence(path: str) -> bool:
    """Whether a path stands for pictures: a folder, or a pattern of names."""
    return os.path.isdir(path) or sequence.is_pattern(path)


def open_clip(path: str, rate: Fraction) -> VideoReader | SequenceReader:
    """Opens a video, a folder of pictures or a pattern such as `frames/%05d.png`.

    Args:
      path: Which.
      rate: Frames a second, of pictures.

    Raises:
      InputError: If it cannot be read.
    """
    if is_sequence(path):
        return SequenceReader(path, rate)
    # It is read several times, which a pipe is not.
    if os.path.exists(path) and not os.path.isfile(path):
        raise InputError(f"{shown(path)} is no regular file. Expected a video")
    return VideoReader(path)
