"""Files that are complete or untouched, their digests, and paths in messages."""

import contextlib
import errno
import hashlib
import io
import os
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tf_style.errors import InputError, TransferError


def shown(path: Any) -> str:
    """A path as a message names it: as it is if that is printable, else quoted and escaped."""
    text = os.fsdecode(path)
    return text if text.isprintable() and text else repr(text)


def reason_of(error: BaseException) -> str:
    """What an exception has to say, on one line, without the number of a system's or FFmpeg's error."""
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(text.split()).rstrip(".") or type(error).__name__


def sha256(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal.

    Raises:
      InputError: If it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{shown(path)} cannot be read: {reason_of(error)}") from error


def check_writable(path: str | os.PathLike[str]) -> None:
    """Finds out, before heavy work, whether a file can be written to `path`, and changes nothing.

    Args:
      path: The file to be written or replaced.

    Raises:
      InputError: If it cannot be written.
    """
    name = shown(path)
    try:
        target = _target(path)
        if target.exists() and not target.is_file():
            kind = "a directory" if target.is_dir() else "no regular file"
            raise InputError(f"{name} is {kind}. Expected a file to write or replace")
        if not target.parent.is_dir():
            raise InputError(f"{name} cannot be written: its folder does not exist. Create it first")
        with _temporary(target):
            pass
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{name} cannot be written: {reason_of(error)}. Expected a writable folder"
        ) from error


def check_folder(path: str | os.PathLike[str]) -> None:
    """Finds out, before heavy work, whether a folder can be made and written to, and changes nothing.

    Raises:
      InputError: If it cannot.
    """
    try:
        folder = _target(path)
        while not folder.exists():
            folder = folder.parent
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        with _temporary(folder / "trial"):
            pass
    except (OSError, ValueError) as error:
        raise InputError(
            f"{shown(path)} cannot be written: {reason_of(error)}. Expected a writable folder"
        ) from error


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Writes a file so that it is complete or untouched, whatever happens.

    Args:
      path: The file.
      data: All that it is to hold.

    Raises:
      TransferError: If it cannot be written; what was there is as it was.
    """
    with open_atomically(path) as file:
        file.write(data)


@contextlib.contextmanager
def open_atomically(path: str | os.PathLike[str]) -> Iterator[io.BufferedWriter]:
    """Opens a file to be written piece by piece, so that it is complete or untouched.

    The bytes go to `.<name>.<pid>.tmp` beside it, which takes its place once they are on the disk: when
    the `with` block ends without an exception. Its permissions are those that `open` would give. A
    symbolic link stays, and the file it points to is replaced. Two threads of a process must not write
    the same path at once.

    Args:
      path: The file.

    Yields:
      The temporary file, to write to.

    Raises:
      TransferError: If it cannot be written; what was there is as it was.
    """
    try:
        target = _target(path)
        with _temporary(target) as (file, temporary):
            with contextlib.suppress(FileNotFoundError):
                os.chmod(temporary, stat.S_IMODE(os.stat(target).st_mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
            file.close()
            os.replace(temporary, target)
        _sync_folder(target.parent)
    except (OSError, ValueError) as error:
        raise not_written(path, error) from error


@contextlib.contextmanager
def going_on_without(what: str) -> Iterator[None]:
    """Makes a warning of a file that cannot be written: the run is worth more.

    Args:
      what: The run goes on without.
    """
    try:
        yield
    except TransferError as error:
        warnings.warn(f"{error}; the run goes on without {what}", stacklevel=3)


def not_written(path: Any, error: BaseException) -> TransferError:
    """What says that a file was not written, and why."""
    return TransferError(f"{shown(path)} was not written: {reason_of(error)}")


def _target(path: str | os.PathLike[str]) -> Path:
    return Path(os.path.realpath(path))


@contextlib.contextmanager
def _temporary(target: Path) -> Iterator[tuple[io.BufferedWriter, Path]]:
    """A new file beside `target`, which is gone afterwards unless it was moved away."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    # In a container each run has the same process id, so that an old one may lie there.
    temporary.unlink(missing_ok=True)
    try:
        with open(temporary, "xb") as file:
            yield file, temporary
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    # The file is in place by now; fsync of a folder is best effort.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
