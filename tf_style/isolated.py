"""Reads pictures in a process of their own, so that a decoder's crash is an error message.

Run as a module it is that process. Imports no TensorFlow.
"""

import contextlib
import os
import pathlib
import resource
import struct
import subprocess
import sys
import tempfile
import warnings
from typing import BinaryIO

import numpy as np

from tf_style import images, memory, weights
from tf_style.errors import InputError
from tf_style.image_files import reason_of, shown
from tf_style.images import Picture

# The most pixels that are accepted take less in the usual modes.
MAX_ADDRESS_SPACE = 16 * 2**30
PICTURE_SECONDS = 120
WEIGHTS_SECONDS = 20
EXIT_INPUT_ERROR = 3
# Height, width, whether there is alpha; float32 pixels follow, and alpha. Its size keeps them aligned.
_HEADER = struct.Struct("<qqq")


def read(source: str | os.PathLike | Picture) -> Picture:
    """As `images.read`, in a child process with limits.

    Args:
      source: A path; a picture is returned as it is.

    Returns:
      The picture.

    Raises:
      InputError: If it cannot be read, or if the decoder crashes or exceeds the limits.
    """
    if isinstance(source, Picture):
        return source
    with tempfile.TemporaryFile() as file:
        _run("picture", os.fspath(source), PICTURE_SECONDS, file)
        file.seek(0)
        height, width, has_alpha = _HEADER.unpack(file.read(_HEADER.size))

        # Not read but mapped: of a huge picture memory holds what is being looked at.
        def array(offset: int, shape: tuple[int, ...]) -> np.ndarray:
            return np.memmap(file, np.float32, "r", offset, shape)

        pixels = array(_HEADER.size, (height, width, 3))
        alpha = array(_HEADER.size + pixels.nbytes, (height, width)) if has_alpha else None
        return Picture(pixels, alpha)


def check_weights(path: str) -> None:
    """Reads a `.h5` file of weights and forgets it: damaged ones can send the HDF5 library in circles.

    Raises:
      InputError: If that does not end well in time.
    """
    with tempfile.TemporaryFile() as file:
        _run("weights", path, WEIGHTS_SECONDS, file)


def _run(kind: str, path: str, seconds: int, file: BinaryIO) -> None:
    """Runs the child, with its stdout in a file."""
    root = str(pathlib.Path(__file__).resolve().parent.parent)
    # -P and not -I: the child finds the packages where this process found them.
    code = f"import sys; sys.path.insert(0, {root!r}); from tf_style import isolated; isolated.main()"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, kind, path, str(seconds)],
        stdin=subprocess.DEVNULL,
        stdout=file,
        stderr=subprocess.PIPE,
        check=False,
    )
    lines = done.stderr.decode(errors="replace").splitlines()
    if done.returncode == EXIT_INPUT_ERROR:
        raise InputError(lines[-1] if lines else f"{shown(path)} cannot be read")
    if done.returncode:
        raise InputError(
            f"{shown(path)} cannot be decoded: its decoder broke down (exit code {done.returncode})"
        )
    for line in lines:
        warnings.warn(line, UserWarning, stacklevel=3)


def main() -> None:
    """The child: a kind, a path and seconds in; arrays on stdout, warnings or an error on stderr."""
    kind, path, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = min(MAX_ADDRESS_SPACE, memory.address_space())
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    warnings.showwarning = lambda message, *_: print(message, file=sys.stderr)
    try:
        if kind == "weights":
            # What is missing or wrong is for the reader in earnest to say; here it only has to end.
            with contextlib.suppress(InputError):
                weights.load(path)
            return
        picture = images.read(path)
    except InputError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        sys.exit(EXIT_INPUT_ERROR)
    out = sys.stdout.buffer
    try:
        out.write(_HEADER.pack(picture.height, picture.width, picture.alpha is not None))
        for array in (picture.pixels, picture.alpha):
            if array is not None:
                out.write(np.ascontiguousarray(array, np.float32))
        out.flush()
    except OSError as error:
        reason = f"{shown(path)} finds no room in {tempfile.gettempdir()}: {reason_of(error)}"
        print(reason, file=sys.stderr)
        sys.exit(EXIT_INPUT_ERROR)
