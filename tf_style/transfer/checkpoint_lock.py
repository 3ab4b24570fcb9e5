"""A checkpoint folder belongs to one run at a time."""

import contextlib
import errno
import fcntl
import os
import pathlib
import platform
import re
import warnings
from collections.abc import Iterator

from tf_style.errors import InputError
from tf_style.files import reason_of, shown

NAME = ".lock"
_HOLDER = re.compile(r"process \d+ on .*\n?")
# What a file system answers that knows no such locks.
_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)


@contextlib.contextmanager
def held(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Keeps other runs out of a folder, which is made; one that stays empty is removed afterwards.

    The lock is the kernel's, on a file in the folder that says who has it: it ends with the process,
    however that ends.

    Raises:
      InputError: If another run has it, or nothing can be written there.
    """
    made = _make(pathlib.Path(folder))
    path = pathlib.Path(folder) / NAME
    try:
        descriptor = _lock(path)
        try:
            yield
        finally:
            # First, so that whoever locks what is deleted can tell.
            with contextlib.suppress(OSError):
                path.unlink()
            os.close(descriptor)
    finally:
        for each in made:
            with contextlib.suppress(OSError):
                each.rmdir()


def _make(folder: pathlib.Path) -> list[pathlib.Path]:
    """Makes a folder, and returns those that were not there, the deepest first."""
    try:
        missing = [each for each in (folder, *folder.parents) if not each.exists()]
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise _cannot_be_written(folder, error) from error
    return missing


def _lock(path: pathlib.Path) -> int:
    """Opens and locks a file, and writes who does."""
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        except OSError as error:
            raise _cannot_be_written(path.parent, error) from error
        try:
            holder = os.read(descriptor, 256).decode(errors="replace")
            if holder and not _HOLDER.fullmatch(holder):
                raise InputError(f"{shown(path)} is no lock of this program: name another folder.")
            _lock_open(descriptor, path.parent, holder)
            # The run that held it may have deleted it meanwhile.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.stat(path), os.fstat(descriptor)):
                    _sign(descriptor)
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock_open(descriptor: int, folder: pathlib.Path, holder: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(
            f"{shown(folder)} is in use by {holder.strip() or 'another process'}: let it end, or name "
            "another folder."
        ) from None
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise _cannot_be_written(folder, error) from error
        warnings.warn(
            f"{shown(folder)} is on a file system without locks: see that no other run uses it",
            stacklevel=2,
        )


def _sign(descriptor: int) -> None:
    # On a full disk the lock holds without a name.
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {platform.node()}\n".encode(), 0)


def _cannot_be_written(folder: pathlib.Path, error: BaseException) -> InputError:
    return InputError(
        f"{shown(folder)} cannot be written: {reason_of(error)}. Expected a writable folder"
    )
