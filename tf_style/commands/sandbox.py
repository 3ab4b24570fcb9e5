"""Reads pictures in a process of their own, so that a decoder's crash is an error message.

Run as a module it is that process.
"""

import contextlib
import dataclasses
import io
import os
import pathlib
import resource
import select
import stat
import struct
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from PIL import Image

from tf_style import host
from tf_style.errors import InputError
from tf_style.files import shown
from tf_style.images import reading, writing
from tf_style.images.picture import Picture
from tf_style.network import weights

# The most pixels that are accepted take less in the usual modes.
MAX_ADDRESS_SPACE = 16 * 2**30
# Of processor time.
PICTURE_SECONDS = 120
WEIGHTS_SECONDS = 20
# Of the clock, which goes on while a drive does not answer.
WALL_CLOCK_SECONDS = 600
# In which a killed child ends, unless it is stuck in the system.
_GRACE_SECONDS = 1
EXIT_INPUT_ERROR = 3
# Height, width, whether there is alpha; float32 pixels follow, and alpha.
_HEADER = struct.Struct("<qqq")
# The name of a thumbnail's format, after a header with the length of its JPEG in place of alpha.
_FORMAT_BYTES = 8


def read(source: str | os.PathLike | Picture) -> Picture:
    """As `images.read`, in a child process with limits.

    Args:
      source: A path; a picture is returned as it is.

    Returns:
      The picture.

    Raises:
      InputError: If it cannot be read, or if the decoder crashes or exceeds the limits.
    """
    return _read("picture", source)


def read_mask(source: str | os.PathLike | Picture) -> Picture:
    """As `images.read_mask`, likewise."""
    return _read("mask", source)


@dataclasses.dataclass(frozen=True)
class Thumbnail:
    """What a file holds, and how it looks.

    Attributes:
      format: As Pillow names it, such as "JPEG".
      height: Of the picture, in pixels.
      width: Likewise.
      jpeg: The picture made small, sRGB, on white where it is transparent.
    """

    format: str
    height: int
    width: int
    jpeg: bytes


def thumbnail(
    path: str | os.PathLike, *, side_px: int, max_pixels: int, is_mask: bool = False
) -> Thumbnail:
    """Reads a picture in a child process with limits, of which nothing but a small one comes back.

    Args:
      path: The file.
      side_px: The longer side that it has at most.
      max_pixels: The most that are decoded.
      is_mask: Whether it is read as `images.read_mask` does.

    Raises:
      InputError: As `read` does.
    """
    kind = "mask-thumbnail" if is_mask else "thumbnail"
    return _run(kind, os.fspath(path), PICTURE_SECONDS, _receive_thumbnail, side_px, max_pixels)


def _read(kind: str, source: str | os.PathLike | Picture) -> Picture:
    if isinstance(source, Picture):
        return source
    if _is_pipe(source):
        raise InputError(f"{shown(source)} is a pipe. Expected a file, for it is read twice")
    return _run(kind, os.fspath(source), PICTURE_SECONDS, _receive)


def _is_pipe(source: str | os.PathLike) -> bool:
    """Whether it is one, such as that of `<(command)`, which is not even there for the child."""
    try:
        return stat.S_ISFIFO(os.stat(source).st_mode)
    except (OSError, ValueError):
        return False  # The child says why.


def probe_weights(path: str) -> None:
    """Reads a `.h5` file of weights and forgets it: damaged ones can send the HDF5 library in circles.

    Raises:
      InputError: If that does not end well in time.
    """
    _run("weights", path, WEIGHTS_SECONDS, lambda pipe: True)


class _Pipe:
    """What the child writes, up to a point in time."""

    def __init__(self, file: io.FileIO, end: float):
        self._file, self._end = file, end
        self._poll = select.poll()
        self._poll.register(file, select.POLLIN)

    def read_into(self, buffer: Any) -> bool:
        """Fills a buffer; False if the pipe ends before.

        Raises:
          TimeoutError: If that takes too long.
        """
        left = memoryview(buffer).cast("B")
        while left:
            if not self._poll.poll(1000 * max(0.0, self._end - time.monotonic())):
                raise TimeoutError
            count = self._file.readinto(left)
            if not count:
                return False
            left = left[count:]
        return True


def _run(kind: str, path: str, seconds: int, receive: Callable[[_Pipe], Any], *numbers: int) -> Any:
    """Runs the child, with numbers more, and returns what is received from its stdout."""
    root = str(pathlib.Path(__file__).resolve().parents[2])
    # What the child has to say is filtered here, whatever PYTHONWARNINGS says there.
    # -P and not -I: the child finds the packages where this process found them.
    code = f"import sys; sys.path.insert(0, {root!r}); import {__name__} as sandbox; sandbox.main()"
    words = [kind, path, *map(str, (seconds, *numbers))]
    end = time.monotonic() + WALL_CLOCK_SECONDS
    # Two pipes could wait for one another.
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            [sys.executable, "-P", "-W", "ignore", "-c", code, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            bufsize=0,
        )
        stdout = cast(io.FileIO, child.stdout)
        try:
            pipe = _Pipe(stdout, end)
            received = receive(pipe)
            pipe.read_into(bytearray(1))  # Nothing comes: until the child closes it.
            child.wait(max(0.0, end - time.monotonic()))
        except (TimeoutError, subprocess.TimeoutExpired):
            raise InputError(
                f"{shown(path)} cannot be read: it took more than {WALL_CLOCK_SECONDS} s. "
                "Does the drive that it is on answer?"
            ) from None
        finally:
            child.kill()
            stdout.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(_GRACE_SECONDS)
        errors.seek(0)
        lines = errors.read().decode(errors="replace").splitlines()
    if child.returncode == EXIT_INPUT_ERROR:
        raise InputError(lines[-1] if lines else f"{shown(path)} cannot be read")
    if child.returncode or received is None:
        raise InputError(
            f"{shown(path)} cannot be decoded: its decoder broke down (exit code {child.returncode})"
        )
    for line in lines:
        warnings.warn(line, UserWarning, stacklevel=3)
    return received


def _receive(pipe: _Pipe) -> Picture | None:
    """The picture that comes, or None if it breaks off; of a huge one memory holds one copy."""
    header = bytearray(_HEADER.size)
    if not pipe.read_into(header):
        return None
    height, width, has_alpha = _HEADER.unpack(header)
    pixels = np.empty((height, width, 3), np.float32)
    alpha = np.empty((height, width), np.float32) if has_alpha else None
    if not pipe.read_into(pixels) or (alpha is not None and not pipe.read_into(alpha)):
        return None
    return Picture(pixels, alpha)


def _receive_thumbnail(pipe: _Pipe) -> Thumbnail | None:
    header = bytearray(_HEADER.size + _FORMAT_BYTES)
    if not pipe.read_into(header):
        return None
    height, width, length = _HEADER.unpack_from(header)
    jpeg = bytearray(length)
    if not pipe.read_into(jpeg):
        return None
    return Thumbnail(header[_HEADER.size :].rstrip(b"\0").decode(), height, width, bytes(jpeg))


def _send_thumbnail(path: str, side_px: int, max_pixels: int, *, is_mask: bool) -> None:
    limits = reading.Limits(max_pixels=max_pixels)
    picture = (reading.read_mask if is_mask else reading.read)(path, limits=limits)
    jpeg = writing.preview(picture.pixels, side_px=side_px)
    with Image.open(path) as image:
        name = (image.format or "").encode().ljust(_FORMAT_BYTES, b"\0")
    sys.stdout.buffer.write(_HEADER.pack(picture.height, picture.width, len(jpeg)) + name + jpeg)
    sys.stdout.buffer.flush()


def main() -> None:
    """The child: a kind, a path and numbers in; arrays on stdout, warnings or an error on stderr."""
    kind, path, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = int(min(MAX_ADDRESS_SPACE, host.address_space()))
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    warnings.filterwarnings("always", category=UserWarning)
    warnings.showwarning = lambda message, *_: print(*str(message).split(), file=sys.stderr)
    try:
        if kind == "weights":
            # Errors are reported by the real load; this one only has to end.
            with contextlib.suppress(InputError):
                weights.load(path)
            return
        if kind.endswith("thumbnail"):
            _send_thumbnail(path, *map(int, sys.argv[4:]), is_mask=kind.startswith("mask"))
            return
        picture = reading.read_mask(path) if kind == "mask" else reading.read(path)
    except InputError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        sys.exit(EXIT_INPUT_ERROR)
    out = sys.stdout.buffer
    out.write(_HEADER.pack(picture.height, picture.width, picture.alpha is not None))
    for array in (picture.pixels, picture.alpha):
        if array is not None:
            out.write(np.ascontiguousarray(array, np.float32).data)
    out.flush()
