"""Which pairs of pictures a batch is asked for: folders, patterns, manifests."""

import csv
import fnmatch
import glob
import json
import os
from collections.abc import Iterable
from typing import Any, NamedTuple

from tf_style.errors import InputError
from tf_style.files import reason_of, shown


def find_images(pattern: str) -> list[str]:
    """The files in a folder but for hidden ones, or those that a pattern matches, sorted.

    What is there by the name that a pattern begins with is meant, and no pattern: `IMG [1].jpg`, or
    `ph [2020]` in `ph [2020]/*.jpg`.

    Raises:
      InputError: If there is none.
    """
    if os.path.isdir(pattern):
        names = (name for name in os.listdir(pattern) if not name.startswith("."))
        paths = (os.path.join(pattern, name) for name in names)
        found = [path for path in paths if os.path.isfile(path)]
    else:
        there, rest = _split(pattern)
        found = glob.glob(
            os.path.join(glob.escape(there), rest) if rest else glob.escape(there), recursive=True
        )
        found = [path for path in found if os.path.isfile(path)]
    if not found:
        raise InputError(f"{shown(pattern)} is no folder with files and matches none.")
    return sorted(found)


def finds(pattern: str, folder: str, names: Iterable[str]) -> bool:
    """Whether `find_images` would find one of some files, once they are in a folder.

    Symbolic links to folders that a wildcard stands for are not followed.
    """
    there, rest = (pattern, "*") if os.path.isdir(pattern) else _split(pattern)
    wanted = tuple(part for part in rest.split(os.sep) if part)
    below = _names_below(os.path.realpath(folder), there or os.curdir)
    return below is not None and any(_matches((*below, name), wanted) for name in names)


def _split(pattern: str) -> tuple[str, str]:
    """What a pattern begins with that is there by that name, and the rest of it."""
    there, rest = pattern, ""
    while there and not os.path.exists(there):
        there, name = os.path.split(there)
        rest = os.path.join(name, rest) if rest else name
    return there, rest


def _names_below(folder: str, ancestor: str) -> tuple[str, ...] | None:
    """The names on the way down to a folder, which need not be there; None if it lies elsewhere."""
    names: tuple[str, ...] = ()
    while not (os.path.exists(folder) and os.path.samefile(folder, ancestor)):
        parent, name = os.path.split(folder)
        if parent == folder:
            return None
        folder, names = parent, (name, *names)
    return names


def _matches(names: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    """Whether names of folders and a file match a pattern's parts, as `glob` has it."""
    if not wanted:
        return not names
    if wanted[0] == "**" and _matches(names, wanted[1:]):
        return True
    if not names or names[0].startswith(".") > wanted[0].startswith("."):
        return False
    if wanted[0] == "**":
        return _matches(names[1:], wanted)
    return fnmatch.fnmatch(names[0], wanted[0]) and _matches(names[1:], wanted[1:])


class Pair(NamedTuple):
    """What one picture is made from; each is a path.

    Attributes:
      content: The photograph.
      style: The painting, or several; None among several for "none". An empty tuple where a student
        has its own.
      content_mask: Masks of the photograph, as of `Request`.
      style_mask: Masks of the styles, likewise.
      blend_mask: Likewise.
      strength_mask: Likewise, or None.
      style_part: Of each style what is meant, as of `Settings`; empty for both.
    """

    content: str
    style: str | tuple[str | None, ...]
    content_mask: tuple[str, ...] = ()
    style_mask: tuple[str | None, ...] = ()
    blend_mask: tuple[str, ...] = ()
    strength_mask: str | None = None
    style_part: tuple[str, ...] = ()

    @property
    def styles(self) -> tuple[str | None, ...]:
        """The paintings."""
        return (self.style,) if isinstance(self.style, str) else self.style

    def shown(self) -> str:
        """What it is, for messages."""
        if not self.styles:
            return self.content
        return f"{self.content} in {' and '.join(style or 'none' for style in self.styles)}"


# The columns of a manifest, and those among them that JSON may have lists in.
_COLUMNS = (
    *("content", "style", "coarse_style", "fine_style"),
    *("content_mask", "style_mask", "style_blend", "strength_mask"),
)
_LISTS = {"style", "content_mask", "style_mask", "style_blend"}
# Of these, those in which null stands for "none".
_WITH_NONE = {"style", "style_mask"}


def read_manifest(path: str) -> list[Pair]:
    """Pairs from a CSV file with the columns content and style, or JSON lines with these keys.

    In place of style there may be coarse_style and fine_style, and beside it content_mask, style_mask,
    style_blend and strength_mask, empty where there is none. In JSON lines, a list has one for each of
    several styles, null for "none". Rows without anything are passed over: spreadsheets leave some at
    the end.

    Raises:
      InputError: If it is neither.
    """
    try:
        # Spreadsheets begin a file with a mark of its encoding.
        with open(path, newline="", encoding="utf-8-sig") as file:
            if path.lower().endswith(".csv"):
                table = csv.DictReader(file)
                rows = list(table)
                columns = table.fieldnames or ()
            else:
                rows = [json.loads(line) for line in file if line.strip()]
                columns = {key for row in rows for key in row}
        if "content" not in columns or not {"style", "coarse_style"} & {*columns}:
            raise KeyError("content" if "content" not in columns else "style")
        if unknown := [name for name in columns if name and name not in _COLUMNS]:
            raise ValueError(f"{', '.join(unknown)} is none of {', '.join(_COLUMNS)}")
        rows = [{name: row.get(name) for name in _COLUMNS} for row in rows]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        reason = f"a row has no {error}" if isinstance(error, KeyError) else reason_of(error)
        raise InputError(
            f"{shown(path)} is no manifest: {reason}. Expected a .csv file with the columns "
            "content and style, or JSON lines with these keys"
        ) from error
    pairs = [_pair(row, path) for row in rows if not all(map(_is_empty, row.values()))]
    if not pairs:
        raise InputError(f"{shown(path)} names no pairs of files.")
    return pairs


def _pair(row: dict[str, Any], path: str) -> Pair:
    cells = {name: None if _is_empty(cell) else cell for name, cell in row.items()}
    for name, cell in cells.items():
        if isinstance(cell, list) and name in _LISTS:
            kinds = str | None if name in _WITH_NONE else str
            is_right = any(cell) and all(isinstance(each, kinds) and each != "" for each in cell)
        else:
            is_right = isinstance(cell, str | None)
        if not is_right:
            raise InputError(f"{shown(path)} has a row that names no files. Received: {name}={cell!r}")
    parts = [part for part in ("coarse", "fine") if cells[f"{part}_style"]]
    is_named = len(parts) == 2 and not cells["style"] if parts else bool(cells["style"])
    if not cells["content"] or not is_named:
        shown_cells = ", ".join(
            f"{name}={row[name]!r}"
            for name in ("content", "style", "coarse_style", "fine_style")
            if name in ("content", "style") or cells[name]
        )
        raise InputError(
            f"{shown(path)} has a row that names no pair of files. Received: {shown_cells}"
        )
    style: Any = cells["style"]
    if parts:
        style = tuple(cells[f"{part}_style"] for part in parts)
    return Pair(
        cells["content"],
        tuple(style) if isinstance(style, list) else style,
        content_mask=_listed(cells["content_mask"]),
        style_mask=_listed(cells["style_mask"]),
        blend_mask=_listed(cells["style_blend"]),
        strength_mask=cells["strength_mask"],
        style_part=tuple(parts),
    )


def _listed(cell: Any) -> tuple[Any, ...]:
    if cell is None:
        return ()
    return tuple(cell) if isinstance(cell, list) else (cell,)


def _is_empty(cell: Any) -> bool:
    return cell is None or cell == [] or (isinstance(cell, str) and not cell.strip())
