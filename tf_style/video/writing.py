"""Writes videos: frames at their own times, the source's sound beside them."""

import contextlib
import io
import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import av
import av.error
import numpy as np
from numpy.typing import NDArray

from tf_style.errors import InputError
from tf_style.files import not_written, open_atomically, reason_of, shown
from tf_style.video import colour
from tf_style.video.clip import Clip
from tf_style.video.sound import Sound

# By extension FFmpeg's names of the container and of the encoder, and the encoder's options: strokes
# and noise want more bits than photographs.
_FORMATS = {
    ".mp4": ("mp4", "libx264", {"crf": "16", "preset": "medium"}),
    ".m4v": ("mp4", "libx264", {"crf": "16", "preset": "medium"}),
    ".mov": ("mov", "libx264", {"crf": "16", "preset": "medium"}),
    ".mkv": ("matroska", "libx264", {"crf": "16", "preset": "medium"}),
    ".webm": ("webm", "libvpx-vp9", {"crf": "24", "b": "0", "cpu-used": "4", "row-mt": "1"}),
}
EXTENSIONS = tuple(_FORMATS)
_TRIAL_SECONDS = Fraction(1, 10)
# FFmpeg's AV_CODEC_FLAG_FRAME_DURATION: without it encoders forget how long a frame is shown, and the
# last one has nothing after it that would tell.
_FRAME_DURATION = 1 << 8


def check_name(path: str) -> None:
    """Refuses a name that says no format of a video.

    Raises:
      InputError: It says which there are.
    """
    extension = os.path.splitext(path)[1].lower()
    if extension not in _FORMATS:
        raise InputError(
            f"{shown(path)} is no name of a video. Expected {', '.join(EXTENSIONS)}, or pictures such "
            f"as %05d.png. Received: {extension or 'no extension'}"
        )
    if _FORMATS[extension][1] not in av.codecs_available:
        raise InputError(f"{extension} takes the encoder {_FORMATS[extension][1]}, which PyAV has not.")


class VideoWriter:
    """A video that is being written. Its sound is written with the pictures, in the order of time."""

    def __init__(self, container: Any, stream: Any, sound: Sound | None, clip: Clip):
        """As from `writing`."""
        self._container, self._stream, self._sound, self._clip = container, stream, sound, clip

    def write(self, pixels: NDArray[np.uint8], ticks: int, duration: int) -> None:
        """Writes a frame.

        Args:
          pixels: uint8 [height, width, 3], RGB, of even sides.
          ticks: When it is shown, in the clip's time base, more than the last one's.
          duration: For how long, likewise.
        """
        frame = colour.from_rgb(pixels, self._clip.colours)
        frame.pts, frame.time_base, frame.duration = ticks, self._clip.time_base, duration
        self._mux_sound(ticks * self._clip.time_base)
        self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        """Writes what is left."""
        self._container.mux(self._stream.encode(None))
        self._mux_sound(None)

    def _mux_sound(self, until: Fraction | None) -> None:
        if self._sound is not None:
            for packet in self._sound.take_until(until):
                self._container.mux(packet)


def check_sound(path: str, clip: Clip, size: tuple[int, int], sound_from: str) -> None:
    """Refuses sound that cannot be written, and a size; writes nothing.

    Args:
      path: As for `writing`, and so are the others.
      clip: The video.
      size: Height and width in pixels.
      sound_from: The file that has the sound.

    Raises:
      InputError: It says why.
    """
    container_name, codec, options = _FORMATS[os.path.splitext(path)[1].lower()]
    try:
        with contextlib.ExitStack() as stack:
            container = stack.enter_context(av.open(io.BytesIO(), "w", format=container_name))
            _add_stream(container, codec, options, clip, size)
            sound = Sound(sound_from, container, start=clip.origin, end=None)
            stack.callback(sound.close)
            container.start_encoding()
            # Some containers say only as they are closed what they do not take.
            for packet in sound.take_until(_TRIAL_SECONDS):
                container.mux(packet)
    except (av.error.FFmpegError, ValueError) as error:
        raise InputError(
            f"The sound of {shown(sound_from)} cannot be written to {shown(path)}: {reason_of(error)}. "
            "Expected another container, such as .mkv"
        ) from error


def _add_stream(
    container: Any, codec: str, options: dict[str, str], clip: Clip, size: tuple[int, int]
) -> Any:
    stream: Any = container.add_stream(codec, rate=clip.rate, options=options)
    stream.height, stream.width = size
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.time_base = clip.time_base
    context.flags |= _FRAME_DURATION
    context.colorspace, context.color_primaries = clip.colours.matrix, clip.colours.primaries
    context.color_trc = clip.colours.transfer
    context.color_range = colour.FULL if clip.colours.is_full_range else colour.LIMITED
    return stream


@contextlib.contextmanager
def writing(
    path: str,
    clip: Clip,
    size: tuple[int, int],
    *,
    sound_from: str | None = None,
    start: Fraction = Fraction(0),
    end: Fraction | None = None,
    restarts: Sequence[Fraction] = (),
    description: str = "",
) -> Iterator[VideoWriter]:
    """Writes a video, so that the file is complete or untouched.

    Args:
      path: Where to; its extension says the format.
      clip: It has the time base, the rate and the colours.
      size: Height and width in pixels, even ones.
      sound_from: The file whose sound comes along; None for none.
      start: The time in that file which is the first frame's, in seconds.
      end: When the last frame ends, likewise; None for the end of the file.
      restarts: As of the `VideoReader` of that file.
      description: What to say of it in the file.

    Raises:
      TransferError: If it cannot be written; what was there is as it was.
    """
    container_name, codec, options = _FORMATS[os.path.splitext(path)[1].lower()]
    try:
        with open_atomically(path) as file, contextlib.ExitStack() as stack:
            container = stack.enter_context(av.open(file, "w", format=container_name))
            stream = _add_stream(container, codec, options, clip, size)
            if description:
                container.metadata["comment"] = description
            sound = None
            if sound_from is not None:
                sound = Sound(sound_from, container, start=start, end=end, restarts=restarts)
                stack.callback(sound.close)
            writer = VideoWriter(container, stream, sound, clip)
            yield writer
            writer.finish()
    except av.error.FFmpegError as error:
        raise not_written(path, error) from error
