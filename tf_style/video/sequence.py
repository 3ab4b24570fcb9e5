"""Pictures that are the frames of a video: read by a folder or a pattern, and written."""

import itertools
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from tf_style.errors import InputError, TransferError
from tf_style.files import reason_of, shown
from tf_style.images import reading, writing
from tf_style.video.clip import BT601, BT709, HD_ROWS, WHOLE, Clip, Colours, Frame, Span

# A width without a 0 is none: names that were URLs have spaces as %20.
_NUMBER = re.compile(r"%(?:0\d+)?d")
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif"}


def is_pattern(path: str) -> bool:
    """Whether a path stands for numbered pictures, as `frames/%05d.png` does."""
    return _NUMBER.search(os.path.basename(path)) is not None


def find(path: str) -> list[str]:
    """The pictures of a sequence in their order.

    Args:
      path: A folder, all pictures of which are meant, by the numbers in their names; or a pattern, with
        one number, which begins anywhere and has no gaps.

    Raises:
      InputError: If there are none, or some are missing.
    """
    folder, pattern = (path, None) if os.path.isdir(path) else os.path.split(path)
    try:
        names = sorted(os.listdir(folder or "."))
    except OSError as error:
        raise InputError(f"{shown(path)} cannot be read: {reason_of(error)}") from error
    if pattern is None:
        names = [name for name in names if os.path.splitext(name)[1].lower() in SUFFIXES]
        names.sort(key=lambda name: [int(part) if part.isdigit() else part for part in _split(name)])
    else:
        names = _numbered(path, pattern, names)
    if not names:
        raise InputError(f"{shown(path)} has no pictures. Expected a folder or a pattern of such")
    return [os.path.join(folder, name) for name in names]


def _split(name: str) -> list[str]:
    """Words and numbers in turn, a word first, so that names can be compared."""
    return re.split(r"(\d+)", name)


def as_expression(pattern: str) -> str:
    """A regular expression of the names that a pattern, without its folder, stands for."""
    before, after = (re.escape(part) for part in _NUMBER.sub("%", pattern, count=1).split("%", 1))
    return f"{before}(\\d+){after}"


def _numbered(path: str, pattern: str, names: Sequence[str]) -> list[str]:
    matches = (re.fullmatch(as_expression(pattern), name) for name in names)
    # As the pattern writes it: 1.png is none of %03d.png.
    found = {
        int(match[1]): match[0] for match in matches if match and pattern % int(match[1]) == match[0]
    }
    numbers = sorted(found)
    for number, following in itertools.pairwise(numbers):
        if following != number + 1:
            missing = shown(os.path.join(os.path.dirname(path), pattern % (number + 1)))
            raise InputError(f"{missing} is missing. Expected all from {numbers[0]} to {numbers[-1]}")
    return [found[number] for number in numbers]


class SequenceReader:
    """As `VideoReader`, for pictures.

    Attributes:
      clip: What it is: it has the first picture's size.
      path: The folder or the pattern.
      paths: Of the pictures.
      damage: As of `VideoReader`: none, for a damaged picture cannot be read.
      may_restart: As of `VideoReader`: its times follow from the rate.
    """

    damage: str | None = None
    may_restart = False

    def __init__(self, path: str, rate: Fraction):
        """Finds the pictures, and reads the first.

        Args:
          path: As for `find`.
          rate: Frames a second.

        Raises:
          InputError: If there are none, the first cannot be read, or another has another size.
        """
        self.path, self.paths = path, find(path)
        first = reading.read(self.paths[0])
        if first.alpha is not None:
            warnings.warn(
                f"{shown(self.paths[0])} is transparent, and a video is not: it is taken on white",
                UserWarning,
                stacklevel=2,
            )
        sides = tuple(sorted((first.height, first.width)))
        for each in self.paths[1:]:
            found = reading.read_sides(each)
            if found != sides:
                raise InputError(_other_size(each, sides[::-1], found[::-1]))
        matrix = BT709 if first.height >= HD_ROWS else BT601
        self.clip = Clip(
            height=first.height,
            width=first.width,
            rate=rate,
            time_base=1 / rate,
            colours=Colours(matrix),
            seconds=float(len(self.paths) / rate),
        )

    def frames(self, span: Span = WHOLE) -> Iterator[Frame]:
        """As `VideoReader.frames`.

        Raises:
          TransferError: If one cannot be read, or has another size than the first once it is upright.
        """
        rate = self.clip.rate
        times = [index for index in range(len(self.paths)) if span.start <= index / rate]
        times = [index for index in times if span.end is None or index / rate < span.end]
        size = self.clip.width, self.clip.height
        for index in times[:: span.every]:
            path = self.paths[index]
            try:
                pixels = reading.read(path).pixels
            except InputError as error:  # Others were made by now.
                raise TransferError(f"{error}.") from error
            if pixels.shape[1::-1] != size:
                raise TransferError(f"{_other_size(path, size, pixels.shape[1::-1])}.")
            yield Frame(pixels, index)


def _other_size(path: str, expected: Sequence[int], received: Sequence[int]) -> str:
    return (
        f"The frames of a video have one size, {expected[0]} x {expected[1]} pixels. Received: "
        f"{received[0]} x {received[1]} in {shown(path)}"
    )


def check_pattern(pattern: str) -> None:
    """Refuses a pattern whose pictures cannot be written.

    Raises:
      InputError: It says why.
    """
    if pattern.count("%") != 1:
        raise InputError(f"{shown(pattern)} has one number, such as %05d, in the pictures' names.")
    writing.check_output(pattern % 1)


def write(pattern: str, index: int, pixels: NDArray[np.uint8], *, description: str) -> None:
    """Writes a picture of a sequence.

    Args:
      pattern: As `frames/%05d.png`.
      index: Of the frame, from 0; the pictures' numbers begin with 1, as FFmpeg's do.
      pixels: uint8 [height, width, 3].
      description: What to say of it in the file.

    Raises:
      TransferError: If it cannot be written.
    """
    writing.write(pattern % (index + 1), pixels / np.float32(255), description=description)
