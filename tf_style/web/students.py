"""The students that the studio was started with: a page names one, and never a path."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

from tf_style.errors import InputError
from tf_style.files import shown
from tf_style.student import stored


@dataclasses.dataclass(frozen=True)
class Student:
    """What a page is told of a student, and where it is.

    Attributes:
      path: Its folder, or its JSON file where that has a name of its own.
      styles: The names of its styles' files.
      dial: Whether it has learnt every strength.
      strength: The one that it has learnt, or its default.
    """

    path: str
    styles: tuple[str, ...]
    dial: bool
    strength: float

    def as_dict(self) -> dict[str, Any]:
        """As the API shows it."""
        return {"styles": list(self.styles), "dial": self.dial, "strength": self.strength}


def read(folders: Sequence[str | os.PathLike]) -> dict[str, Student]:
    """Students by their folders' names, or by those of their JSON files.

    Raises:
      InputError: If one is none that is whole, or two have one name.
    """
    found: dict[str, Student] = {}
    for folder in folders:
        known = stored.load(folder)
        path = stored.json_path(folder).resolve()
        if path.name == stored.NAME:
            path = path.parent
        # A page's text is UTF-8, which not every file's name is.
        name = shown(path.name if path.is_dir() else path.stem)
        if name in found:
            raise InputError(
                f"Two students are called {name}: rename one. Received: "
                f"{shown(found[name].path)}, {shown(path)}"
            )
        styles = tuple(map(shown, known.styles))
        found[name] = Student(str(path), styles, known.dial, float(known.strength))
    return found
