"""A video's sound, taken over into another: as it is where its form fits there, else encoded anew."""

import warnings
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import av.error
import numpy as np

# Before the first picture sound may begin a little: AAC's first packet is there to warm up.
_LEAD_SECONDS = Fraction(1, 10)
# What is missing of sound for longer than so is left as silence, in 48000ths of a second; times are
# rounded to milliseconds in some files.
_GAP_TICKS = 2400


class Sound:
    """The sound of a file, on its way into a container that is written."""

    def __init__(self, path: str, output: Any, *, start: Fraction, end: Fraction | None):
        """Adds a stream to the output for each that the file has.

        Args:
          path: The file that has the sound, perhaps none.
          output: The container, before anything is written to it.
          start: The time in the file that is to be 0, in seconds.
          end: From when on nothing is taken; None for the end.
        """
        self._input = av.open(path)
        self._start, self._end = start, end
        self._tracks: dict[int, _Copied | _Encoded] = {}
        for stream in self._input.streams.audio:
            is_taken = stream.codec_context.name in output.supported_codecs
            # MP4 says where each channel belongs, which "2 channels", as of a capture, does not.
            has_places = not stream.layout.name.endswith("channels")
            track = (_Copied if is_taken and has_places else _Encoded)(stream, output, start)
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
        streams = self._input.streams.audio
        # From the beginning: where seeking leads differs from format to format.
        first = self._start - (_LEAD_SECONDS if self._start <= 0 else 0)
        for packet in self._input.demux(*streams):
            # The last one of a stream is empty, and has no time.
            if packet.dts is None or packet.pts is None or _time(packet) < first:
                continue
            if self._end is None or _time(packet) < self._end:
                yield packet


class _Copied:
    def __init__(self, stream: Any, output: Any, start: Fraction):
        self._shift = int(start / stream.time_base)
        self._end: int | None = None
        self.stream = output.add_stream_from_template(stream)

    def take(self, packet: av.Packet) -> Iterator[av.Packet]:
        # Where the clock starts anew, as between two files that were joined, time goes on.
        if self._end is not None and packet.dts - self._shift < self._end - (packet.duration or 0):  # pyright: ignore[reportOptionalOperand]
            self._shift = packet.dts - self._end  # pyright: ignore[reportOptionalOperand]
        packet.pts -= self._shift  # pyright: ignore[reportOperatorIssue]  Those without are left out.
        packet.dts -= self._shift  # pyright: ignore[reportOperatorIssue]
        packet.stream = self.stream
        self._end = packet.dts + max(1, packet.duration or 0)  # pyright: ignore[reportOptionalOperand]
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
        self._taken = 0  # The end of what was decoded, in the source's time and in ticks too.
        self._has_ended = self._is_damage_told = False

    def take(self, packet: av.Packet) -> Iterator[av.Packet]:
        try:
            frames = packet.decode()
        except av.error.FFmpegError as error:
            if not self._is_damage_told:
                self._is_damage_told = True
                warnings.warn(
                    f"The sound is damaged at {float(_time(packet)):.3f} s, and left out there: "
                    f"{error.strerror}",
                    UserWarning,
                    stacklevel=5,
                )
            return
        for frame in frames:
            yield from self._encoded_at(frame, round((frame.time - float(self._start)) * 48_000))

    def end(self) -> Iterator[av.Packet]:
        if not self._has_ended and self._resampler is not None:
            self._has_ended = True
            yield from self._encoded(None)
            yield from self.stream.encode(None)

    def _encoded_at(self, frame: Any, ticks: int) -> Iterator[av.Packet]:
        if self._ticks is None:
            self._ticks = max(0, ticks)
        # How much was taken so far is counted by samples; what is missing between is silence.
        elif ticks - self._taken > _GAP_TICKS:
            yield from self._encoded(_silence_like(frame, (ticks - self._taken) / 48_000))
        self._taken = ticks + round(frame.samples * 48_000 / frame.sample_rate)
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
