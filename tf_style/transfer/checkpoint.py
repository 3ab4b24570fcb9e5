"""Saves the state of a run in a folder, and reads it back.

Checkpoint N is two files: `checkpoint-N.npz`, arrays only, and `checkpoint-N.json`, which names the
run and holds the SHA-256 of both. The second is written last, so that a checkpoint is whole or not
there; the last two are kept. Arrays go to the disk and come from it in pieces of at most 16 MiB:
neither saving nor loading takes a second copy of them.
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
from tf_style.files import open_atomically, reason_of, shown, write_atomically

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
      arrays: Of numbers, by name.
      request: What names the run, as JSON can hold it.

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
    write(folder / f"checkpoint-{number}.json", arrays, request)
    try:
        _delete_before(folder, number - KEPT + 1)
    except OSError as error:
        raise TransferError(
            f"Old checkpoints in {shown(folder)} were not deleted: {reason_of(error)}"
        ) from error


def write(path: pathlib.Path, arrays: Mapping[str, np.ndarray], request: dict[str, Any]) -> None:
    """Writes one checkpoint, by the path of its JSON file, which comes last.

    Raises:
      TransferError: If it cannot be written.
    """
    with open_atomically(path.with_suffix(".npz")) as file:
        writer = _HashingWriter(file)
        named = {name.replace("/", "."): array for name, array in arrays.items()}
        np.savez(writer, allow_pickle=False, **named)
    record = {"format": FORMAT, "arrays_sha256": writer.hexdigest(), "request": request}
    record["sha256"] = _digest(record)
    write_atomically(path, json.dumps(record, indent=1).encode())


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
        with open(path.with_suffix(".npz"), "rb") as file:
            record = _record(text, hashlib.file_digest(file, "sha256").hexdigest())
            return Checkpoint(_arrays(file), record["request"])
    except OSError as error:
        raise DamagedError(reason_of(error)) from error


def is_in(folder: str | os.PathLike) -> bool:
    """Whether a folder holds a checkpoint."""
    return pathlib.Path(folder).is_dir() and bool(_numbers(pathlib.Path(folder)))


class _HashingWriter(io.RawIOBase):
    """Passes on what is written, and hashes it. It cannot seek, so that nothing is written twice."""

    def __init__(self, file: io.BufferedWriter):
        super().__init__()
        self._file = file
        self._sha256 = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        self._sha256.update(data)
        return self._file.write(data)

    def hexdigest(self) -> str:
        return self._sha256.hexdigest()


def _record(text: bytes, arrays_sha256: str) -> dict[str, Any]:
    """The JSON of a checkpoint that is whole.

    Raises:
      DamagedError: If it is not, or its arrays are not those that it names.
    """
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
    if arrays_sha256 != record.get("arrays_sha256"):
        raise DamagedError("its arrays have another SHA-256 than they should")
    return record


def _arrays(file: io.BufferedReader) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(file) as archive:
            # What is stored as it is, each in a place of its own, cannot grow when it is read.
            members = archive.infolist()
            if any(item.compress_type != zipfile.ZIP_STORED for item in members):
                raise DamagedError("its arrays are compressed")
            if sum(item.file_size for item in members) > os.fstat(file.fileno()).st_size:
                raise DamagedError("its arrays are in one another")
        file.seek(0)
        with np.load(file, allow_pickle=False) as archive:
            arrays = {name.replace(".", "/"): archive[name] for name in archive.files}
        if not all(isinstance(each, np.ndarray) for each in arrays.values()):
            raise DamagedError("it holds other things than arrays")
        return arrays
    except DamagedError:
        raise
    except Exception as error:  # NumPy parses a header as Python, and raises whatever that does.
        raise DamagedError(f"its arrays cannot be read: {reason_of(error)}") from error


def _numbers(folder: pathlib.Path) -> set[int]:
    """Of the checkpoints whose JSON file is there."""
    found = (_NAME.fullmatch(name) for name in os.listdir(folder))
    return {int(match[1]) for match in found if match and match[2] == "json"}


def _delete_before(folder: pathlib.Path, first: int) -> None:
    """Deletes older checkpoints, and what a process that was killed left of one.

    The JSON files go first, so that none is left without its arrays.
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
