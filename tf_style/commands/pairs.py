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
    """What one picture is made from.

    Attributes:
      content: Path of the photograph.
      style: Path of the painting.
      content_mask: Path of a mask of either, or None.
      style_mask: Likewise.
    """

    content: str
    style: str
    content_mask: str | None = None
    style_mask: str | None = None


def read_manifest(path: str) -> list[Pair]:
    """Pairs from a CSV file with the columns content and style, or JSON lines with these keys.

    There may be content_mask and style_mask too, empty where there is none. Rows without content and
    style are passed over: spreadsheets leave some at the end.

    Raises:
      InputError: If it is neither.
    """
    try:
        # Spreadsheets begin a file with a mark of its encoding.
        with open(path, newline="", encoding="utf-8-sig") as file:
            if path.lower().endswith(".csv"):
                rows = list(csv.DictReader(file))
            else:
                rows = [json.loads(line) for line in file if line.strip()]
        pairs = [
            Pair(row["content"], row["style"], row.get("content_mask"), row.get("style_mask"))
            for row in rows
        ]
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        reason = f"a row has no {error}" if isinstance(error, KeyError) else reason_of(error)
        raise InputError(
            f"{shown(path)} is no manifest: {reason}. Expected a .csv file with the columns "
            "content and style, or JSON lines with these keys"
        ) from error
    pairs = [
        Pair(*pair[:2], *(None if _is_empty(mask) else mask for mask in pair[2:]))
        for pair in pairs
        if not all(map(_is_empty, pair))
    ]
    for pair in pairs:
        is_named = all(isinstance(each, str) and not _is_empty(each) for each in pair[:2])
        if not is_named or not all(isinstance(mask, str | None) for mask in pair[2:]):
            raise InputError(
                f"{shown(path)} has a row that names no pair of files. Received: "
                f"content={pair.content!r}, style={pair.style!r}"
            )
    if not pairs:
        raise InputError(f"{shown(path)} names no pairs of files.")
    return pairs


def _is_empty(cell: Any) -> bool:
    return cell is None or (isinstance(cell, str) and not cell.strip())
