"""The numbered versions in a model's folder, written aside and put in place whole."""

import contextlib
import dataclasses
import errno
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

from tf_style.errors import InputError
from tf_style.files import shown


@dataclasses.dataclass
class Version:
    """A version that is being written.

    Attributes:
      temporary: Where to write it.
      folder: Where it is, once it is in place.
    """

    temporary: pathlib.Path
    folder: pathlib.Path


@contextlib.contextmanager
def new(folder: pathlib.Path, version: int | None) -> Iterator[Version]:
    """Puts a version in place when the `with` block ends without an exception; else nothing is left.

    Args:
      folder: The model's.
      version: Its number; None for the one after the highest there.

    Yields:
      The version.

    Raises:
      InputError: If it cannot be written, or is there already.
    """
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary = pathlib.Path(tempfile.mkdtemp(prefix=".export-", dir=folder))
    except OSError as error:
        raise InputError(f"{shown(folder)} cannot be written: {error.strerror}") from error
    made = Version(temporary, folder)
    try:
        yield made
        temporary.chmod(0o755)
        made.folder = _publish(temporary, folder, version)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if is_new:
            with contextlib.suppress(OSError):  # It holds an export.
                folder.rmdir()


def _numbers(folder: pathlib.Path) -> list[int]:
    if not folder.is_dir():
        return []
    return [int(path.name) for path in folder.iterdir() if path.name.isdecimal()]


def check(folder: pathlib.Path, version: int | None) -> None:
    """Refuses a version that is there, or a folder that is none.

    Raises:
      InputError: It says which.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{shown(folder)} is a file. Expected a folder, or a name that is free")
    if version is not None and version < 1:
        raise InputError(f"version is 1 or more. Received: {version}")
    if version in _numbers(folder):
        raise InputError(f"{shown(folder)} has a version {version} already: leave --version out")


def _publish(temporary: pathlib.Path, folder: pathlib.Path, version: int | None) -> pathlib.Path:
    """Gives the folder its number; a server that watches sees a whole version or none."""
    while True:
        number = version or max(_numbers(folder), default=0) + 1
        target = folder / str(number)
        try:
            os.rename(temporary, target)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
            # Another export took the number meanwhile.
            check(folder, version)
        else:
            return target
