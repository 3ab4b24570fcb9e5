"""Reads pictures in a process of their own, so that a decoder's crash is an error message.

Run as a module it is that process. Imports no TensorFlow.
"""

import contextlib
import io
import os
import pathlib
import resource
import subprocess
import sys
import warnings

import numpy as np

from tf_style import images, weights
from tf_style.errors import InputError
from tf_style.image_files import shown
from tf_style.images import Picture

# A hundred megapixels, the most that is accepted, take this much in the costliest mode.
MAX_ADDRESS_SPACE = 16 * 2**30
PICTURE_SECONDS = 120
WEIGHTS_SECONDS = 20
EXIT_INPUT_ERROR = 3


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
    file = io.BytesIO(_run("picture", os.fspath(source), PICTURE_SECONDS))
    pixels = np.load(file, allow_pickle=False)
    alpha = np.load(file, allow_pickle=False)
    return Picture(pixels, alpha if alpha.size else None)


def check_weights(path: str) -> None:
    """Reads a `.h5` file of weights and forgets it: damaged ones can send the HDF5 library in circles.

    Raises:
      InputError: If that does not end well in time.
    """
    _run("weights", path, WEIGHTS_SECONDS)


def _run(kind: str, path: str, seconds: int) -> bytes:
    """What the child puts on stdout."""
    root = str(pathlib.Path(__file__).resolve().parent.parent)
    # -P and not -I: the child finds the packages where this process found them.
    code = f"import sys; sys.path.insert(0, {root!r}); from tf_style import isolated; isolated.main()"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, kind, path, str(seconds)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
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
    return done.stdout


def main() -> None:
    """The child: a kind, a path and seconds in; arrays on stdout, warnings or an error on stderr."""
    kind, path, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    limit = MAX_ADDRESS_SPACE
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
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
    np.save(sys.stdout.buffer, picture.pixels)
    alpha = np.zeros(0, np.float32) if picture.alpha is None else picture.alpha
    np.save(sys.stdout.buffer, alpha)
    sys.stdout.buffer.flush()
