"""What a video is: its frames' times, size and colours, as they are read and as they are kept."""

import dataclasses
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

# Matrices by FFmpeg's numbers (ITU-T H.273), and what is common where none is named: BT.709 of pictures
# of 720 rows and more, else BT.601.
BT709, BT601, BT2020 = 1, 6, 9
# Numbers that name another, and BT.601's two.
_UNNAMED = {0, 2, 3}
HD_ROWS = 720


@dataclasses.dataclass(frozen=True)
class Colours:
    """What a video's numbers mean, by ITU-T H.273's code points, which FFmpeg uses too.

    Attributes:
      matrix: From brightness and two differences to red, green and blue.
      is_full_range: Whether 0 is black and 255 white, in 8 bits; else 16 and 235.
      primaries: Passed on as they are; 2 for unnamed.
      transfer: Likewise.
    """

    matrix: int
    is_full_range: bool = False
    primaries: int = 2
    transfer: int = 2

    @classmethod
    def of(
        cls, matrix: int, is_full_range: bool, primaries: int, transfer: int, height: int
    ) -> "Colours":
        """From what a stream says, and its height where it says nothing of the matrix."""
        if matrix in _UNNAMED:
            matrix = BT709 if height >= HD_ROWS else BT601
        return cls(matrix, is_full_range, primaries, transfer)


@dataclasses.dataclass(frozen=True)
class Clip:
    """A video, before its frames are read.

    Attributes:
      height: Of a frame as it is shown, upright and of square pixels.
      width: Likewise.
      rate: Frames a second, on average.
      time_base: What times are multiples of, in seconds.
      colours: Of the frames; of pictures, those of a new video.
      seconds: How long it is, where that is known without reading it.
      origin: The time of the first frame in the file, in seconds, by which its sound goes.
    """

    height: int
    width: int
    rate: Fraction
    time_base: Fraction
    colours: Colours
    seconds: float | None = None
    origin: Fraction = Fraction(0)


@dataclasses.dataclass(frozen=True)
class Span:
    """Some frames of a clip.

    Attributes:
      start: From when on, in seconds.
      end: Until before when; None for the end.
      every: Of so many frames the first.
    """

    start: Fraction = Fraction(0)
    end: Fraction | None = None
    every: int = 1

    @classmethod
    def of(cls, start: float, end: float | None, every: int) -> "Span":
        """From numbers as they are written: 0.2 is a fifth, and no float near it."""
        first, last = (None if each is None else Fraction(str(each)) for each in (start, end))
        return cls(first or Fraction(0), last, every)


WHOLE = Span()


@dataclasses.dataclass(frozen=True, eq=False)
class Frame:
    """One frame of a video.

    Attributes:
      pixels: float32 [height, width, 3], RGB, 0..1, upright. Where a video's own pixels are not square,
        it has the clip's proportions only once it is resized to them.
      ticks: When it is shown, in the clip's time base, from the clip's first frame.
      duration: For how long, likewise; None where the file does not say.
    """

    pixels: NDArray[np.float32]
    ticks: int
    duration: int | None = None
