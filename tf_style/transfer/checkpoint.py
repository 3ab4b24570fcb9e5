"""Saves what a run has come to in a folder, and reads it back. Imports no TensorFlow.

Checkpoint N is two files: `checkpoint-N.npz`, arrays only, and `checkpoint-N.json`, which names the
run and holds the SHA-256 of both. The second is written last, so that a checkpoint is whole or not
there; the last two are kept.
"""

import dataclasses
import hashlib
import io
import json
import os
import pathlib
import re
import warnings
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from tf_style.errors import InputError, TransferError
from tf_style.files import reason_of, shown, write_atomically

FORMAT = 1
KEPT = 2
MAX_JSON_BYTES = 2**24
_NAME = re.compile(r"checkpoint-(\d{1,9})\.(npz|json)")


class DamagedError(ValueError):
    """A checkpoint is not what was written; the message is a clause that says why."""


@dataclasses.dataclass(frozen=True, eq=False)
class Checkpoint:
    """What was saved.

    Attributes:
      arrays: The state of the run, by name.
      request: Of what run, as `save` was given it.
    """

    arrays: dict[str, np.ndarray]
    request: dict[str, Any]


def save(folder: str | os.PathLike, arrays: Mapping[str, np.ndarray], request: dict[str, Any]) -> None:
    """Writes the next checkpoint, and deletes those before the last two.

    Args:
      folder: Where to; made if it is not there.
      arrays: Numbers only.
      request: What JSON can hold.

    Raises:
      TransferError: If it cannot be written; the checkpoints before it are as they were.
    """
    folder = pathlib.Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        numbers = _numbers(folder)
    except OSError as error:
        raise TransferError(f"{shown(folder)} was not written: {reason_of(error)}") from error
    number = max(numbers, default=0) + 1
    file = io.BytesIO()
    np.savez(file, **{name.replace("/", "."): array for name, array in arrays.items()})
    data = file.getvalue()
    write_atomically(folder / f"checkpoint-{number}.npz", data)
    record = {"format": FORMAT, "arrays_sha256": hashlib.sha256(data).hexdigest(), "request": request}
    record["sha256"] = _digest(record)
    write_atomically(folder / f"checkpoint-{number}.json", json.dumps(record, indent=1).encode())
    _delete_before(folder, number - KEPT + 1)


def load(folder: str | os.PathLike) -> Checkpoint:
    """Reads the newest checkpoint that is whole; a damaged one is named in a warning.

    Raises:
      InputError: If there is none.
    """
    folder = pathlib.Path(folder)
    try:
        numbers = sorted(_numbers(folder), reverse=True)
    except OSError as error:
        raise InputError(f"{shown(folder)} cannot be read: {reason_of(error)}") from error
    for number in numbers:
        try:
            return read(folder / f"checkpoint-{number}.json")
        except DamagedError as error:
            warnings.warn(
                f"checkpoint {number} in {shown(folder)} is left out: {error}",
                UserWarning,
                stacklevel=2,
            )
    raise InputError(f"{shown(folder)} holds no whole checkpoint")


def read(path: pathlib.Path) -> Checkpoint:
    """Reads one checkpoint, by the path of its JSON file.

    Raises:
      DamagedError: If it is not whole.
    """
    try:
        with open(path, "rb") as file:
            text = file.read(MAX_JSON_BYTES + 1)
        data = path.with_suffix(".npz").read_bytes()
    except OSError as error:
        raise DamagedError(reason_of(error)) from error
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DamagedError("its JSON is damaged") from error
    if not isinstance(record, dict) or not isinstance(record.get("request"), dict):
        raise DamagedError("its JSON is of something else")
    if record.get("format") != FORMAT:
        raise DamagedError(f"it has format {record.get('format')!r}, and {FORMAT} is known")
    if record.pop("sha256", None) != _digest(record):
        raise DamagedError("its JSON has another SHA-256 than it says")
    if hashlib.sha256(data).hexdigest() != record.get("arrays_sha256"):
        raise DamagedError("its arrays have another SHA-256 than they should")
    return Checkpoint(_arrays(data), record["request"])


def is_in(folder: str | os.PathLike) -> bool:
    """Whether a folder holds a checkpoint."""
    return pathlib.Path(folder).is_dir() and bool(_numbers(pathlib.Path(folder)))


def _arrays(data: bytes) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            # What is stored as it is cannot grow when it is read.
            if any(item.compress_type != zipfile.ZIP_STORED for item in archive.infolist()):
                raise DamagedError("its arrays are compressed")
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            return {name.replace(".", "/"): archive[name] for name in archive.files}
    except DamagedError:
        raise
    except Exception as error:  # NumPy parses a header as Python, and raises whatever that does.
        raise DamagedError(f"its arrays cannot be read: {reason_of(error)}") from error


def _numbers(folder: pathlib.Path) -> set[int]:
    """Of the checkpoints whose JSON file is there."""
    found = (_NAME.fullmatch(name) for name in os.listdir(folder))
    return {int(match[1]) for match in found if match and match[2] == "json"}


def _delete_before(folder: pathlib.Path, first: int) -> None:
    """Deletes older checkpoints, a JSON file first, so that none is left without its arrays.

    And what a process left that was killed while it wrote.
    """
    for path in folder.glob(".checkpoint-*.tmp"):
        path.unlink(missing_ok=True)
    for kind in ("json", "npz"):
        for name in os.listdir(folder):
            match = _NAME.fullmatch(name)
            if match and match[2] == kind and int(match[1]) < first:
                (folder / name).unlink(missing_ok=True)


def _digest(record: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
