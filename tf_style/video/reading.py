"""Reads videos, frame by frame, by FFmpeg's libraries as PyAV has them."""

import contextlib
import os
import warnings
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import av.error
import numpy as np

from tf_style.errors import InputError, TransferError
from tf_style.files import reason_of, shown
from tf_style.video import colour
from tf_style.video.clip import Clip, Colours, Frame

# Transfer functions of high dynamic range, whose brightness is not sRGB's: PQ and HLG.
_HDR = {16: "PQ", 18: "HLG"}
# The end of a video may be so many frames before the time that its header says.
_SLACK_FRAMES = 2.5


class VideoReader:
    """A video that is open.

    Attributes:
      clip: What it is.
      path: Its file.
    """

    def __init__(self, path: str | os.PathLike):
        """Opens it, and decodes its first frame.

        Args:
          path: The file.

        Raises:
          InputError: If it is no video that can be read.
        """
        self.path = os.fspath(path)
        with _as_input_error(self.path), self._open() as (container, stream):
            first = next(container.decode(stream), None)
            if first is None:
                raise InputError(f"{shown(self.path)} has no frame that can be read.")
            self.clip = self._clip(container, stream, first)

    def frames(
        self, *, start: float = 0.0, end: float | None = None, every: int = 1
    ) -> Iterator[Frame]:
        """The frames in order; may be called again.

        Args:
          start: From when, in seconds.
          end: Until before when; None for the end.
          every: Of so many frames, the first.

        Raises:
          TransferError: If it is damaged or breaks off; it says after which time.
        """
        base = self.clip.time_base
        last_ticks, count = -1, 0
        with self._open() as (container, stream):
            origin = stream.start_time or 0
            if start:
                container.seek(origin + int(start / base), stream=stream)
            for ticks, frame in self._decoded(container, stream):
                if ticks * base < start:
                    continue
                if end is not None and ticks * base >= end:
                    return
                # Times that stand still or go back are of broken files.
                ticks = max(ticks, last_ticks + 1)
                last_ticks = ticks
                count += 1
                if (count - 1) % every == 0:
                    yield Frame(self._upright(frame), ticks)

    def _decoded(self, container: Any, stream: Any) -> Iterator[tuple[int, av.VideoFrame]]:
        """Each frame, with its time from the first one's on."""
        origin, ticks = stream.start_time or 0, None
        step = max(1, round(1 / (self.clip.rate * self.clip.time_base)))
        try:
            for frame in container.decode(stream):
                ticks = (
                    (0 if ticks is None else ticks + step) if frame.pts is None else frame.pts - origin
                )
                if frame.is_corrupt:
                    raise TransferError(
                        f"{shown(self.path)} is damaged at {_seconds(ticks * self.clip.time_base)}."
                    )
                yield ticks, frame
        except (av.error.FFmpegError, OSError) as error:
            at = Fraction(0) if ticks is None else ticks * self.clip.time_base
            raise TransferError(
                f"{shown(self.path)} cannot be read after {_seconds(at)}: {reason_of(error)}."
            ) from error
        duration = stream.duration
        if duration is None or ticks is None:
            return
        if ticks + _SLACK_FRAMES * step < duration:
            end, whole = (_seconds(each * self.clip.time_base) for each in (ticks + step, duration))
            raise TransferError(f"{shown(self.path)} breaks off at {end} of {whole}.")

    @contextlib.contextmanager
    def _open(self) -> Iterator[tuple[Any, Any]]:
        with av.open(self.path) as container:
            stream = next(iter(container.streams.video), None)
            if stream is None:
                raise InputError(f"{shown(self.path)} has no pictures. Expected a video")
            stream.thread_type = "AUTO"
            yield container, stream

    def _clip(self, container: Any, stream: Any, first: av.VideoFrame) -> Clip:
        turned = first.rotation % 180 != 0
        aspect = stream.sample_aspect_ratio or Fraction(1)
        height, width = first.height, max(1, round(first.width * aspect))
        if turned:
            height, width = width, height
        colours = Colours.of(
            first.colorspace,
            first.color_range == colour.FULL,
            int(first.color_primaries),
            int(first.color_trc),
            first.height,
        )
        if colours.matrix not in colour.KNOWN_MATRICES and not first.format.is_rgb:
            raise InputError(
                f"{shown(self.path)} has a colour matrix that is not known (number {colours.matrix}). "
                "Convert it to BT.709 first"
            )
        remarks = []
        if colours.transfer in _HDR:
            remarks.append(f"its colours are in {_HDR[colours.transfer]}, and taken as they are")
        if first.interlaced_frame:
            remarks.append("it is interlaced; both fields are taken as one picture")
        if remarks:
            warnings.warn(f"{shown(self.path)}: {'; '.join(remarks)}", UserWarning, stacklevel=3)
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        seconds = None
        if stream.duration is not None:
            seconds = float(stream.duration * stream.time_base)
        elif container.duration is not None:
            seconds = container.duration / av.time_base
        bits = max(each.bits for each in first.format.components)
        origin = (stream.start_time or 0) * stream.time_base
        return Clip(height, width, rate, stream.time_base, colours, seconds, bits, origin)

    def _upright(self, frame: av.VideoFrame) -> np.ndarray:
        pixels = colour.to_rgb(frame, self.clip.colours)
        # Degrees against the clock, as those of NumPy.
        return np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90)))


@contextlib.contextmanager
def _as_input_error(path: str) -> Iterator[None]:
    try:
        yield
    except (av.error.FFmpegError, OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{shown(path)} cannot be read: {reason_of(error)}. Expected a video"
        ) from error


def _seconds(time: Fraction) -> str:
    return f"{float(time):.3f} s"
