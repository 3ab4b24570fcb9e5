"""A folder of one user's own, its token, and a page that leads the browser to the token's address."""

import contextlib
import html
import os
import pathlib
import re
import secrets
import stat
from collections.abc import Iterator

from tf_style.errors import InputError
from tf_style.files import not_written, reason_of, shown

_TOKEN = re.compile(r"[\w-]{32,}", re.ASCII)
_PAGE = """<!doctype html>
<title>Studio</title>
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={address}">
<a href="{address}">To the studio</a>
"""


def make(folder: pathlib.Path) -> None:
    """Makes a folder for its owner alone, where it is not there.

    Raises:
      InputError: If it cannot be made, or is of another user, or others can put files into it.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError as error:
        reason = f"{shown(folder)} cannot be written: {reason_of(error)}"
        raise InputError(f"{reason}. Expected a writable folder") from error
    if not _is_own(found, forbidden=0o022):
        raise InputError(
            f"{shown(folder)} is not safe to keep a token in. Expected a folder of user "
            f"{os.geteuid()} that no others can write to. Received: one of user {found.st_uid}, mode "
            f"{stat.S_IMODE(found.st_mode):o}"
        )


def token(folder: pathlib.Path) -> str:
    """A secret, the same each time, so that an open page finds the studio again.

    One that others could have read or written is replaced.

    Args:
      folder: As from `make`.

    Raises:
      TransferError: If it cannot be written.
    """
    path = folder / "token"
    with contextlib.suppress(FileNotFoundError):
        found = path.lstat()
        if stat.S_ISREG(found.st_mode) and _is_own(found, forbidden=0o077):
            kept = path.read_text(errors="replace").strip()
            if _TOKEN.fullmatch(kept):
                return kept
    made = secrets.token_urlsafe(24)
    _write(path, made)
    return made


@contextlib.contextmanager
def redirect(folder: pathlib.Path, address: str) -> Iterator[str]:
    """The URL of a file that leads a browser to an address: all users can see its command line.

    Args:
      folder: As from `make`, in which the file lies meanwhile.
      address: With its token.

    Raises:
      TransferError: If it cannot be written.
    """
    path = folder / "open.html"
    _write(path, _PAGE.format(address=html.escape(address)))
    try:
        yield path.as_uri()
    finally:
        path.unlink(missing_ok=True)


def _is_own(found: os.stat_result, *, forbidden: int) -> bool:
    """Whether something is this user's, with none of the forbidden permissions."""
    return found.st_uid == os.geteuid() and not found.st_mode & forbidden


def _write(path: pathlib.Path, text: str) -> None:
    """Writes a new file that nobody else could open before, nor lies where a link points."""
    try:
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise not_written(path, error) from error
