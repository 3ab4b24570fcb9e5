"""A video's sound, taken over into another: as it is where its form fits there, else encoded anew."""

import os
import warnings
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import av
import av.error
import numpy as np

from tf_style.files import reason_of

# Before the first picture sound may begin a little: AAC's first packet is there to warm up.
_LEAD_SECONDS = Fraction(1, 10)
# What is missing of sound for longer than so is left as silence, in 48000ths of a second; times are
# rounded to milliseconds in some files.
_GAP_TICKS = 2400
# A clock that goes back by more starts anew; by less, what is read is out of order, as after a seek.
RESTART_SECONDS = 1
_LEAST_STEP_BACK = Fraction(1, 10)


class Sound:
    """The sound of a file, on its way into a container that is written."""

    def __init__(
        self,
        path: str,
        output: Any,
        *,
        start: Fraction,
        end: Fraction | None,
        restarts: Sequence[Fraction] = (),
    ):
        """Adds a stream to the output for each that the file has.

        Args:
          path: The file that has the sound, perhaps none.
          output: The container, before anything is written to it.
          start: The time in the file that is to be 0, in seconds.
          end: From when on nothing is taken; None for the end.
          restarts: As of `VideoReader`.
        """
        self._input = av.open(os.path.abspath(path))  # As in `VideoReader`.
        self._start, self._end, self._restarts = start, end, restarts
        self._tracks: dict[int, _Copied | _Encoded] = {}
        for stream in self._input.streams.audio:
            if stream.codec_context is None:
                warnings.warn(
                    f"The sound of track {stream.index} is in a form that FFmpeg does not read, and is "
                    "left out",
                    UserWarning,
                    stacklevel=3,
                )
                continue
            is_taken = stream.codec_context.name in output.supported_codecs
            # MP4 says where each of several channels belongs, which "2 channels", as of PCM, does not.
            lacks_places = output.format.name == "mp4" and stream.layout.name.endswith(" channels")
            # Nor is what FFmpeg has not found out copied: it may be when it is decoded.
            is_copied = is_taken and stream.layout.nb_channels and not lacks_places
            track = (_Copied if is_copied else _Encoded)(stream, output, start)
            if stream.language is not None:
                track.stream.metadata["language"] = stream.language
            self._tracks[stream.index] = track
        self._packets = self._in_order()
        self._next: av.Packet | None = next(self._packets, None)

    def take_until(self, seconds: Fraction | None) -> Iterator[av.Packet]:
        """What is to be written before a picture of this time is, or all that is left.

        Args:
          seconds: In the output; None for all.
        """
        while (packet := self._next) is not None:
            if seconds is not None and _time(packet) - self._start > seconds:
                return
            yield from self._tracks[packet.stream_index].take(packet)
            self._next = next(self._packets, None)
        for track in self._tracks.values():
            yield from track.end()

    def close(self) -> None:
        """Closes the file."""
        self._input.close()

    def _in_order(self) -> Iterator[av.Packet]:
        if not self._tracks:
            return
        streams = [self._input.streams[index] for index in self._tracks]
        # From the beginning: where seeking leads differs from format to format.
        first = self._start - (_LEAD_SECONDS if self._start <= 0 else 0)
        clocks = {stream.index: _Clock(self._restarts) for stream in streams}
        packets = self._input.demux(*streams)
        unfinished, time = set(self._tracks), Fraction(0)
        while unfinished:
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, OSError) as error:  # What comes before is whole.
                warnings.warn(
                    f"The sound cannot be read after {float(time):.3f} s, and ends there: "
                    f"{reason_of(error)}",
                    UserWarning,
                    stacklevel=5,
                )
                return
            if packet is None:
                return
            # The last one of a stream is empty, and has no time.
            if packet.dts is None or packet.pts is None:
                continue
            clocks[packet.stream_index].go_on(packet)
            time = _time(packet)
            if self._end is not None and time >= self._end:
                unfinished.discard(packet.stream_index)
            elif time >= first:
                yield packet


class _Clock:
    """Has the times of a track go on where its clock starts anew, as between files that were joined."""

    def __init__(self, restarts: Sequence[Fraction]):
        self._restarts = list(restarts)
        self._last: Fraction | None = None
        self._added = Fraction(0)

    def go_on(self, packet: av.Packet) -> None:
        time = _time(packet)
        back = Fraction(0) if self._last is None else self._last - time
        # Sound that is shorter than its pictures goes back by less than they do.
        if back > (_LEAST_STEP_BACK if self._restarts else RESTART_SECONDS):
            self._added = self._restarts.pop(0) if self._restarts else self._added + back
        self._last = time
        added = round(self._added / packet.time_base)
        packet.pts, packet.dts = (packet.pts or 0) + added, (packet.dts or 0) + added


class _Copied:
    def __init__(self, stream: Any, output: Any, start: Fraction):
        self._shift = int(start / stream.time_base)
        # Matroska, whose times are milliseconds, has several packets at one; MP4 takes none such.
        self._least_step = 1 if output.format.name in ("mp4", "mov") else 0
        self._last: int | None = None
        self.stream = output.add_stream_from_template(stream)

    def take(self, packet: av.Packet) -> Iterator[av.Packet]:
        packet.pts -= self._shift  # pyright: ignore[reportOperatorIssue]  Those without are left out.
        packet.dts -= self._shift  # pyright: ignore[reportOperatorIssue]
        # Of two files that were joined the first one's sound may be longer than its pictures.
        if self._last is not None and packet.dts < self._last + self._least_step:
            return
        self._last = packet.dts
        packet.stream = self.stream
        yield packet

    def end(self) -> Iterator[av.Packet]:
        yield from ()


class _Encoded:
    def __init__(self, stream: Any, output: Any, start: Fraction):
        codec = "libopus" if output.default_audio_codec == "opus" else output.default_audio_codec
        # The one rate that all of them take.
        self.stream = output.add_stream(codec, rate=48_000)
        is_stereo = stream.layout.nb_channels <= 2
        self.stream.layout = "mono" if stream.layout.nb_channels == 1 else "stereo"
        if not is_stereo:
            warnings.warn(
                f"The sound's {stream.layout.nb_channels} channels become two: {output.format.name} "
                f"does not take {stream.codec_context.name} as it is",
                UserWarning,
                stacklevel=4,
            )
        self._resampler: Any = None
        self._start, self._ticks = start, None
        # Where what was taken so far ends, in ticks, by its samples.
        self._end = 0
        self._has_ended = self._is_damage_told = False

    def take(self, packet: av.Packet) -> Iterator[av.Packet]:
        try:
            frames = packet.decode()
        except av.error.FFmpegError as error:
            if not self._is_damage_told:
                self._is_damage_told = True
                warnings.warn(
                    f"The sound is damaged at {float(_time(packet)):.3f} s, and left out there: "
                    f"{reason_of(error)}",
                    UserWarning,
                    stacklevel=5,
                )
            return
        for frame in frames:
            # Of several frames in a packet the first alone may have a time.
            time = _time(packet) if frame.time is None and self._ticks is None else frame.time
            ticks = self._end if time is None else round(float(time - self._start) * 48_000)
            yield from self._encoded_at(frame, ticks)

    def end(self) -> Iterator[av.Packet]:
        if not self._has_ended and self._resampler is not None:
            self._has_ended = True
            yield from self._encoded(None)
            yield from self.stream.encode(None)

    def _encoded_at(self, frame: Any, ticks: int) -> Iterator[av.Packet]:
        if self._ticks is None:
            self._ticks = self._end = max(0, ticks)
        # What is missing between is silence. Times that come late and catch up make none.
        while (gap := ticks - self._end) > _GAP_TICKS:
            silence = _silence_like(frame, min(gap, 48_000) / 48_000)
            yield from self._fed(silence)
        yield from self._fed(frame)

    def _fed(self, frame: Any) -> Iterator[av.Packet]:
        self._end += round(frame.samples * 48_000 / frame.sample_rate)
        yield from self._encoded(frame)

    def _encoded(self, frame: Any) -> Iterator[av.Packet]:
        context = self.stream.codec_context
        if self._resampler is None:
            context.open(strict=False)
            self._resampler = av.AudioResampler(
                context.format, context.layout, 48_000, frame_size=context.frame_size or None
            )
        for piece in self._resampler.resample(frame):
            piece.pts, piece.time_base = self._ticks, Fraction(1, 48_000)
            self._ticks += piece.samples
            yield from self.stream.encode(piece)


def _silence_like(frame: Any, seconds: float) -> Any:
    count = round(seconds * frame.sample_rate)
    channels = frame.layout.nb_channels
    shape = (channels, count) if frame.format.is_planar else (1, count * channels)
    kind = frame.to_ndarray().dtype
    # Samples without a sign are silent at their middle.
    level = 128 if kind == np.uint8 else 0
    silence = av.AudioFrame.from_ndarray(
        np.full(shape, level, kind), frame.format.name, frame.layout.name
    )
    silence.sample_rate = frame.sample_rate
    return silence


def _time(packet: av.Packet) -> Fraction:
    return Fraction(packet.pts or 0) * packet.time_base
