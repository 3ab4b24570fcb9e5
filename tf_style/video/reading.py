"""Reads videos, frame by frame, by FFmpeg's libraries as PyAV has them."""

import contextlib
import os
import warnings
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import av.error
import av.logging
import numpy as np

from tf_style.errors import InputError, TransferError
from tf_style.files import reason_of, shown
from tf_style.video import colour
from tf_style.video.clip import WHOLE, Clip, Colours, Frame, Span
from tf_style.video.sound import RESTART_SECONDS

# Transfer functions of high dynamic range, whose brightness is not sRGB's: PQ and HLG.
_HDR = {16: "PQ", 18: "HLG"}
# The end of a file may be so much before the one that its header says.
_SLACK_FRAMES, _SLACK_SECONDS = 2, Fraction(1, 10)
# FFmpeg's AVFMT_TS_DISCONT.
_TS_DISCONT = 0x200


class VideoReader:
    """A video that is open.

    Attributes:
      clip: What it is.
      path: Its file.
      damage: What was damaged among the frames that were read last, on one line, or None.
      restarts: Each time that the clock started anew among these, as in files that were joined: how
        many seconds are added to its times from there on.
      may_restart: Whether it is of a kind whose clock may: a time does not say where it is then, and
        `clip.seconds` may be those of a first part.
    """

    def __init__(self, path: str | os.PathLike):
        """Opens it, and decodes its first frame.

        Args:
          path: The file.

        Raises:
          InputError: If it is no video that can be read.
        """
        self.path = os.fspath(path)
        self.damage: str | None = None
        self.restarts: list[Fraction] = []
        with _as_input_error(self.path), self._open() as (container, stream):
            first = _first_frame(container, stream)
            if first is None:
                raise InputError(f"{shown(self.path)} has no frame that can be read.")
            self.clip = self._clip(container, stream, first)
            self.may_restart = bool(container.format.flags & _TS_DISCONT)

    def frames(self, span: Span = WHOLE) -> Iterator[Frame]:
        """The frames in order; may be called again.

        Args:
          span: Which.

        Raises:
          TransferError: If it is damaged or breaks off; it says after which time.
        """
        base = self.clip.time_base
        last_ticks, count = -1, 0
        for ticks, frame in self._decoded_from(span.start):
            if ticks * base < span.start:
                continue
            if span.end is not None and ticks * base >= span.end:
                return
            # Times that stand still or go back are of broken files.
            ticks = max(ticks, last_ticks + 1)
            last_ticks = ticks
            count += 1
            if (count - 1) % span.every == 0:
                yield Frame(self._upright(frame), ticks, frame.duration or None)

    def _decoded_from(self, start: Fraction) -> Iterator[tuple[int, av.VideoFrame]]:
        """As `_decoded`, from a frame on that is not later than a time."""
        base = self.clip.time_base
        if start and not self.may_restart:
            with self._open() as (container, stream):
                decoded = self._decoded(container, stream, start)
                try:
                    container.seek((stream.start_time or 0) + int(start / base), stream=stream)
                    first = next(decoded, None)
                except (av.error.FFmpegError, OSError, TransferError):  # Raw streams know no times.
                    first = None
                # In MPEG-TS and PS it leads to a place that may be too late.
                if first is not None and first[1].pts is not None and first[0] * base <= start:
                    yield first
                    yield from decoded
                    return
        with self._open() as (container, stream):
            yield from self._decoded(container, stream, start)

    def _decoded(
        self, container: Any, stream: Any, since: Fraction
    ) -> Iterator[tuple[int, av.VideoFrame]]:
        """Each frame, with its time from the first one's on.

        Damage is told of where it may be seen from `since` on: not where a key frame comes between.
        """
        base = self.clip.time_base
        origin, ticks = stream.start_time or 0, None
        self.damage, self.restarts, is_told = None, [], False
        step = max(1, round(1 / (self.clip.rate * base)))
        end = Fraction(0)
        timed, whole = _timed(container)
        packets = container.demux()  # Of the sound too: it says how far the file goes.
        try:
            while True:
                with _complaints() as complaints:
                    packet = next(packets, None)
                    if packet is None:
                        break
                    if packet.pts is not None and packet.stream.index in timed:
                        until = (packet.pts + (packet.duration or 0)) * packet.time_base
                        end = max(end, until)
                    try:
                        frames = packet.decode() if packet.stream is stream else []
                    except av.error.InvalidDataError as error:  # The next ones may be whole.
                        frames = []
                        self._note_damage(ticks or 0, reason_of(error))
                for frame in frames:
                    last, ticks = ticks, frame.pts
                    ticks = (0 if last is None else last + step) if ticks is None else ticks - origin
                    # Where the clock starts anew, as between two files that were joined, time goes on.
                    if last is not None and (last - ticks) * base > RESTART_SECONDS:
                        origin -= last + step - ticks
                        ticks = last + step
                        self.restarts.append((stream.start_time or 0) * base - origin * base)
                    if frame.key_frame and 0 < ticks * base <= since:
                        self.damage = None
                    if complaints or frame.is_corrupt:
                        self._note_damage(ticks, complaints[0][2] if complaints else "a frame")
                    if self.damage is not None and not is_told and ticks * base >= since:
                        is_told = True
                        warnings.warn(self.damage, UserWarning, stacklevel=2)
                    yield ticks, frame
        except (av.error.FFmpegError, OSError) as error:
            at = Fraction(0) if ticks is None else ticks * base
            raise TransferError(
                f"{shown(self.path)} cannot be read after {_seconds(at)}: {reason_of(error)}."
            ) from error
        if self.damage is not None and not is_told:  # After the last frame.
            warnings.warn(self.damage, UserWarning, stacklevel=2)
        start = Fraction(container.start_time or 0, av.time_base)
        if end - start < whole - _SLACK_SECONDS - _SLACK_FRAMES / self.clip.rate:
            raise TransferError(
                f"{shown(self.path)} breaks off after {_seconds(end - start)} of {_seconds(whole)}."
            )

    def _note_damage(self, ticks: int, what: str) -> None:
        """Keeps the first."""
        if self.damage is None:
            at = _seconds(ticks * self.clip.time_base)
            self.damage = f"{shown(self.path)} is damaged at {at}: {reason_of(ValueError(what))}"

    @contextlib.contextmanager
    def _open(self) -> Iterator[tuple[Any, Any]]:
        # Of a relative name FFmpeg would take what is before a colon for a protocol.
        with av.open(os.path.abspath(self.path)) as container:
            stream = next(iter(container.streams.video), None)
            if stream is None:
                raise InputError(f"{shown(self.path)} has no pictures. Expected a video")
            # FFmpeg's own threads wait for Python's lock where what they log is captured, and whoever
            # closes the file holds it and waits for them.
            stream.thread_type = "NONE"
            yield container, stream

    def _clip(self, container: Any, stream: Any, first: av.VideoFrame) -> Clip:
        turned, *_ = _placing(first)
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
        if colours.matrix not in colour.KNOWN_MATRICES and not colour.is_rgb(first):
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
        origin = (stream.start_time or 0) * stream.time_base
        return Clip(height, width, rate, stream.time_base, colours, seconds, origin)

    def _upright(self, frame: av.VideoFrame) -> np.ndarray:
        pixels = colour.to_rgb(frame, self.clip.colours)
        is_turned, *is_mirrored = _placing(frame)
        if is_turned:
            pixels = pixels.swapaxes(0, 1)
        rows, columns = (slice(None, None, -1 if each else 1) for each in is_mirrored)
        return np.ascontiguousarray(pixels[rows, columns])


def _placing(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """Whether rows and columns change places in a frame as it is shown, and are then mirrored each.

    Its display matrix takes a place (x, y) to (a x + c y, b x + d y), times 65536, and two of the four
    are 0: it turns by quarters, and may mirror too.
    """
    found = frame.side_data.get("DISPLAYMATRIX")
    if found is None:
        return False, False, False
    a, b, _, c, d = (int(each) for each in np.frombuffer(found, np.int32)[:5])
    return (True, b < 0, c < 0) if abs(b) > abs(a) else (False, d < 0, a < 0)


def _timed(container: Any) -> tuple[set[int], Fraction]:
    """Of which streams the times say how far a file goes, and how far it should, in seconds.

    A time code or subtitles may say in one packet at the beginning that they go to the end. They are
    left out where the others say how long they are, as in MP4 and MOV.
    """
    whole = Fraction(container.duration or 0, av.time_base)
    timed = [each for each in container.streams if each.type in ("video", "audio")]
    if len(timed) < len(container.streams) and all(each.duration for each in timed):
        start = Fraction(container.start_time or 0, av.time_base)
        ends = [((each.start_time or 0) + each.duration) * each.time_base for each in timed]
        return {each.index for each in timed}, max(ends) - start
    return {each.index for each in container.streams}, whole


def _first_frame(container: Any, stream: Any) -> av.VideoFrame | None:
    """The first one that can be decoded: what is damaged before it is left out, as later on."""
    for packet in container.demux(stream):
        with contextlib.suppress(av.error.InvalidDataError):
            for frame in packet.decode():
                return frame
    return None


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


@contextlib.contextmanager
def _complaints() -> Iterator[list[tuple[int, str, str]]]:
    """What FFmpeg tells its log alone meanwhile, for it goes on after what is damaged."""
    level, skips = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)
    try:
        with av.logging.Capture() as complaints:
            yield complaints
    finally:
        av.logging.set_level(level)
        av.logging.set_skip_repeated(skips)


def _seconds(time: Fraction) -> str:
    return f"{float(time):.3f} s"
