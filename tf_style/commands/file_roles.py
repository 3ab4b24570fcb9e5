"""What a command reads is never what it writes, however a path is spelled."""

import dataclasses
import os
import re
import tempfile
import unicodedata
from collections.abc import Callable, Hashable, Iterable

from tf_style.errors import InputError
from tf_style.files import shown


@dataclasses.dataclass(frozen=True)
class Family:
    """Files of one folder that a command may write, by their names.

    Attributes:
      folder: The folder, which need not be there yet.
      pattern: A regular expression of the whole name.
      has: Whether a name that matches is one of them.
    """

    folder: str
    pattern: str
    has: Callable[[re.Match[str]], bool] = lambda match: True

    def members(self, *, ignores_case: bool = False) -> list[str]:
        """The paths of those that are there, in any case if that makes no difference there."""
        try:
            names = os.listdir(self.folder)
        except OSError:
            return []
        return [os.path.join(self.folder, name) for name in names if self.matches(name, ignores_case)]

    def matches(self, name: str, ignores_case: bool) -> bool:
        """Whether a file of this name in the folder is one of them."""
        match = re.fullmatch(self.pattern, name, re.IGNORECASE if ignores_case else 0)
        return match is not None and self.has(match)


class FileRoles:
    """The files that a command reads, and those it writes as they are added.

    Two paths are one file if they lead to one inode: by links, another case where the file system
    takes no notice of it, or `..`. Of a file that is not there yet, its folder's inode and its name
    decide.
    """

    def __init__(self, reads: Iterable[tuple[str, str | None]]):
        """Takes what is read.

        Args:
          reads: The flag that names each file, and its path; None for no file. What is not there cannot
            be lost, and is refused by whoever reads it.
        """
        self._roles: dict[Hashable, str] = {}
        # The folder's inode and the file's name in it, symbolic links followed.
        self._places: list[tuple[Hashable, str, str]] = []
        self._families: list[tuple[Hashable, Family, str]] = []
        self._ignores_case: dict[Hashable, bool] = {}
        for role, path in reads:
            if path is not None and os.path.exists(path):
                self._add(role, path, self._identity(path))

    def write(self, role: str, path: str) -> None:
        """Adds a file that is written.

        Args:
          role: What it is, for messages, such as its flag.
          path: Where to.

        Raises:
          InputError: If it has another role already.
        """
        identity = self._identity(path)
        other = self._roles.get(identity, role)
        folder, name = _place(path)
        for of_family, family, its_role in self._families:
            if of_family == folder and family.matches(name, self._is_case_blind(folder, path)):
                other = its_role
        self._require_same(role, other, path)
        self._add(role, path, identity)

    def write_family(self, role: str, family: Family) -> None:
        """Adds files that may be written; as `write`."""
        inode = _inode(family.folder)
        ignores_case = self._is_case_blind(inode, os.path.join(family.folder, "name"))
        for path in family.members(ignores_case=ignores_case):
            self._require_same(role, self._roles.get(self._identity(path), role), path)
        for folder, name, other in self._places:
            if folder == inode and family.matches(name, ignores_case):
                self._require_same(role, other, os.path.join(family.folder, name))
        self._families.append((inode, family, role))

    def _add(self, role: str, path: str, identity: Hashable) -> None:
        self._roles.setdefault(identity, role)
        self._places.append((*_place(path), role))

    def _require_same(self, role: str, other: str, path: str) -> None:
        if other != role:
            raise InputError(f"{role} and {other} name the same file: {shown(path)}")

    def _identity(self, path: str) -> Hashable:
        try:
            status = os.stat(path)
        except (OSError, ValueError):
            folder, name = _place(path)
            return folder, _folded(name) if self._is_case_blind(folder, path) else name
        return status.st_dev, status.st_ino

    def _is_case_blind(self, inode: Hashable, path: str) -> bool:
        if inode not in self._ignores_case:
            self._ignores_case[inode] = ignores_case(os.path.dirname(os.path.realpath(path)))
        return self._ignores_case[inode]


def ignores_case(folder: str) -> bool:
    """Whether names in a folder that differ in case are one file: a file is made there to see.

    False where none can be made, for then nothing is written there.
    """
    try:
        with tempfile.NamedTemporaryFile(prefix=".case-", dir=folder) as file:
            name = os.path.basename(file.name)
            return os.path.exists(os.path.join(folder, name.swapcase()))
    except (OSError, ValueError):
        return False


def _place(path: str) -> tuple[Hashable, str]:
    """The inode of a file's folder, and its name there."""
    try:
        folder, name = os.path.split(os.path.realpath(path))
    except (OSError, ValueError):
        return path, ""
    return _inode(folder), name


def _inode(folder: str) -> Hashable:
    """What tells a folder from others; its path where it is not there yet."""
    try:
        status = os.stat(folder)
    except (OSError, ValueError):
        return os.path.abspath(folder)
    return status.st_dev, status.st_ino


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
