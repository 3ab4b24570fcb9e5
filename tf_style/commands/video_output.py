"""Writes what `stylize-video` makes: a video or pictures, from the frames that were kept."""

import dataclasses
import itertools
import os
import re
from fractions import Fraction

import numpy as np

from tf_style.commands import provenance
from tf_style.commands.file_roles import Family
from tf_style.commands.messages import emit
from tf_style.commands.request import Request
from tf_style.errors import TransferError
from tf_style.files import reason_of, shown
from tf_style.video import sequence
from tf_style.video.clip import Clip, Span
from tf_style.video.reading import VideoReader
from tf_style.video.sequence import SequenceReader
from tf_style.video.work import WorkFolder


@dataclasses.dataclass(frozen=True)
class Shown:
    """When a frame is shown.

    Attributes:
      ticks: From when on, in the clip's time base.
      duration: For how long, likewise; None where the source does not say.
    """

    ticks: int
    duration: int | None


def partial(output: str, number: int = 1) -> str:
    """Where a video that is not whole is written if there is another one already.

    Args:
      output: Where the whole one goes.
      number: 2 and more where there is another one there, too.
    """
    root, extension = os.path.splitext(output)
    return f"{root}.partial{'' if number == 1 else number}{extension}"


def family(output: str) -> Family:
    """The pictures that a pattern stands for."""
    folder, name = os.path.split(os.path.realpath(output))
    return Family(folder, sequence.as_expression(name))


@dataclasses.dataclass(frozen=True, eq=False)
class VideoOutput:
    """What a run writes.

    Attributes:
      request: What to make of each frame; its output is the video's.
      reader: The source.
      span: Which of its frames.
      size: Height and width of the frames that are made.
      work: Where they are kept.
      was_there: Whether something else was at the output when the run began.
    """

    request: Request
    reader: VideoReader | SequenceReader
    span: Span
    size: tuple[int, int]
    work: WorkFolder
    was_there: bool

    @classmethod
    def begin(
        cls,
        request: Request,
        reader: VideoReader | SequenceReader,
        span: Span,
        size: tuple[int, int],
        work: WorkFolder,
    ) -> "VideoOutput":
        """Looks at what is there before anything is made."""
        there = _state(request.output)
        return cls(request, reader, span, size, work, bool(there) and there != work.partial())

    def write(self, frames: list[Shown], *, is_whole: bool) -> str:
        """Writes the frames that were kept.

        Args:
          frames: When each is shown.
          is_whole: Whether they are all that there will be; if not, another video is left alone.

        Returns:
          Where they are.

        Raises:
          TransferError: If it cannot be written.
        """
        output = self.request.output
        if self.was_there and not is_whole:
            output = self._partial()
        description = provenance.describe(self.request)
        if sequence.is_pattern(output):
            for index in range(len(frames)):
                sequence.write(output, index, self._pixels(index), description=description)
            _tell_of_others(output, len(frames))
            fault = None
        else:
            fault = self._write_video(output, frames, description, is_whole)
        if not is_whole:
            self.work.keep_partial(_state(output))
        if fault is not None:
            raise TransferError(
                f"{shown(output)} holds the {len(frames)} frames, without sound: "
                f"{reason_of(fault.__cause__ or fault)}."
            ) from fault
        return output

    def _partial(self) -> str:
        """Where there is nothing, or what this run wrote when it was stopped before."""
        names = (partial(self.request.output, number) for number in itertools.count(1))
        return next(name for name in names if _state(name) in ([], self.work.partial()))

    def _write_video(
        self, output: str, frames: list[Shown], description: str, is_whole: bool
    ) -> TransferError | None:
        """Writes it; returns why the sound is not in it."""
        from tf_style.video.writing import writing

        clip, first = self.reader.clip, frames[0].ticks
        last = frames[-1]
        end = last.ticks + self._duration(last)
        if self.span.end is not None:  # It may be shown for longer.
            end = max(last.ticks + 1, min(end, round(self.span.end / clip.time_base)))
        ends = [*(each.ticks for each in frames[1:]), end]
        is_to_the_end = is_whole and self.span.end is None

        def write(sound_from: str | None) -> None:
            with writing(
                output,
                clip,
                self.size,
                sound_from=sound_from,
                start=_time(clip, first),
                end=None if is_to_the_end else _time(clip, ends[-1]),
                restarts=self.reader.restarts if isinstance(self.reader, VideoReader) else (),
                description=description,
            ) as video:
                for index, (frame, end) in enumerate(zip(frames, ends, strict=True)):
                    video.write(self._pixels(index), frame.ticks - first, end - frame.ticks)

        if not isinstance(self.reader, VideoReader):
            write(None)
            return None
        try:
            write(self.reader.path)
        except TransferError as error:
            write(None)  # It may have been the sound.
            return error
        return None

    def _duration(self, frame: Shown) -> int:
        if frame.duration is not None and self.span.every == 1:
            return frame.duration
        return max(1, round(self.span.every / (self.reader.clip.rate * self.reader.clip.time_base)))

    def _pixels(self, index: int) -> np.ndarray:
        made = self.work.read(index)
        if made is None:
            raise TransferError(f"{shown(self.work.path(index))} is gone.")
        return made.pixels


def _tell_of_others(output: str, count: int) -> None:
    """Of pictures that a longer run wrote by the same pattern."""
    pictures = family(output)
    others = []
    for path in pictures.members():
        match = re.fullmatch(pictures.pattern, os.path.basename(path))
        if match and int(match[1]) > count:
            others.append((int(match[1]), path))
    if others:
        emit(
            f"{shown(min(others)[1])} is another run's, as are all {len(others)} from it on: this run "
            f"wrote {count}",
            "warning",
        )


def _time(clip: Clip, ticks: int) -> Fraction:
    return clip.origin + ticks * clip.time_base


def _state(output: str) -> list[list]:
    """The files that an output is, by what changes when they are written; empty where there is none."""
    is_pattern = sequence.is_pattern(output)
    paths = family(output).members() if is_pattern else [os.path.realpath(output)]
    found = []
    for path in sorted(paths):
        if os.path.exists(path):
            status = os.stat(path)
            found.append([path, status.st_size, status.st_mtime_ns])
    return found
