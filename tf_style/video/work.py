"""The frames that were made, kept in a folder until the video is written. No TensorFlow here.

A frame is one PNG, complete or absent, which says in itself what the next ones need to know; beside
masks another one, written before it, has its painting. Killed at any moment, a run goes on at the next
frame.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tf_style import files
from tf_style.errors import InputError
from tf_style.files import reason_of, shown
from tf_style.images import writing
from tf_style.transfer import checkpoint_lock
from tf_style.video.shot import MadeFrame, Shot

# What the frames are of, on what they are made, and a video of them that is not whole.
_RECORD, _RUN_ON, _PARTIAL = "video.json", "run_on.json", "partial.json"
_FRAME = re.compile(r"(frame|painting)-(\d{6,})\.png")
# What a run that was killed meanwhile leaves of a file; see `files.open_atomically`.
_UNFINISHED = re.compile(rf"\.({_FRAME.pattern}|{_RECORD}|{_RUN_ON}|{_PARTIAL})\.\d+\.tmp")
_DESCRIPTION = 0x010E  # EXIF's ImageDescription.


class WorkFolder:
    """Frames of one video.

    Attributes:
      folder: Where they are.
    """

    def __init__(self, folder: str | os.PathLike):
        """Names it; nothing is made or read yet."""
        self.folder = pathlib.Path(folder)

    def check(self, record: Mapping[str, Any]) -> None:
        """Refuses a folder that holds something else. Changes nothing.

        Args:
          record: All that the frames depend on, as JSON can hold it.

        Raises:
          InputError: If it has another video's frames, or other files, or cannot be written to.
        """
        files.check_folder(self.folder)
        try:
            names = set(os.listdir(self.folder)) - {checkpoint_lock.NAME}
            names = {each for each in names if not _UNFINISHED.fullmatch(each)}
        except FileNotFoundError:
            return
        if not names:
            return
        if _RECORD not in names:
            raise InputError(
                f"{shown(self.folder)} holds other files. Expected a new folder, for it is removed at "
                "the end"
            )
        if self._has_frames():
            self._require_same(self.folder / _RECORD, record)

    def begin(self, record: Mapping[str, Any]) -> None:
        """Writes down what the frames are of, in a folder that is there and held.

        Where there are frames it compares instead: a run that was stopped before its first one leaves
        nothing that another could spoil.

        Args:
          record: As for `check`.

        Raises:
          InputError: If another was written down.
          TransferError: If it cannot be written.
        """
        self._write_or_compare(_RECORD, record)

    def made_on(self) -> Mapping[str, Any]:
        """What `begin_on` has written down, if anything.

        Raises:
          InputError: If it cannot be read.
        """
        path = self.folder / _RUN_ON
        stored = self._stored(path) if self._has_frames() and path.exists() else {}
        return stored if isinstance(stored, dict) else {}

    def begin_on(self, record: Mapping[str, Any]) -> None:
        """Writes down what the frames are made on, or compares it; as `begin`."""
        self._write_or_compare(_RUN_ON, record)

    def _write_or_compare(self, name: str, record: Mapping[str, Any]) -> None:
        path = self.folder / name
        if self._has_frames() and path.exists():
            self._require_same(path, record)
        else:
            files.write_atomically(path, json.dumps(record, indent=1).encode())

    def _has_frames(self) -> bool:
        found = map(_FRAME.fullmatch, os.listdir(self.folder))
        return any(each is not None and each[1] == "frame" for each in found)

    def keep_partial(self, state: Any) -> None:
        """Writes down, as JSON, what tells the video that was written of these frames so far."""
        files.write_atomically(self.folder / _PARTIAL, json.dumps(state).encode())

    def partial(self) -> Any:
        """What was written down last by `keep_partial`, or None."""
        try:
            return json.loads((self.folder / _PARTIAL).read_bytes())
        except (OSError, ValueError):  # Whatever is at the output is then another's.
            return None

    def path(self, index: int) -> pathlib.Path:
        """Of a frame, by its number from 0."""
        return self.folder / f"frame-{index:06d}.png"

    def _painting(self, index: int) -> pathlib.Path:
        return self.folder / f"painting-{index:06d}.png"

    def keep(self, index: int, frame: MadeFrame) -> None:
        """Writes a frame, without loss.

        Raises:
          TransferError: If it cannot be written.
        """
        if frame.painting is not None:  # First: a frame that is there is complete.
            writing.write(self._painting(index), frame.painting / np.float32(255))
        record = {
            "begins_shot": frame.begins_shot,
            "has_painting": frame.painting is not None,
            **dataclasses.asdict(frame.shot),
        }
        writing.write(self.path(index), frame.pixels / np.float32(255), description=json.dumps(record))

    def read(self, index: int) -> MadeFrame | None:
        """A frame that was kept, or None if it is not there.

        Raises:
          InputError: If it is damaged.
        """
        path = self.path(index)
        if not path.exists():
            return None
        try:
            pixels, text = _pixels(path)
            values = json.loads(text)
            painting = _pixels(self._painting(index))[0] if values["has_painting"] else None
            return MadeFrame(pixels, bool(values["begins_shot"]), Shot.read(values), painting)
        except (OSError, SyntaxError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{shown(path)} is damaged: {reason_of(error)}. Remove it and those after it, and "
                "they are made again"
            ) from error

    def _require_same(self, path: pathlib.Path, record: Mapping[str, Any]) -> None:
        if differs := _difference(self._stored(path), json.loads(json.dumps(record))):
            raise InputError(
                f"{shown(self.folder)} holds the frames of another run ({differs} is another): go on "
                "as it was begun, remove the folder, or name another by --work"
            )

    def _stored(self, path: pathlib.Path) -> Any:
        try:
            return json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise InputError(f"{shown(path)} cannot be read: {reason_of(error)}") from error

    def remove(self) -> None:
        """Removes the files that it made.

        The last frames go first, each before its painting, and what says whose they are last: a run
        that is killed meanwhile leaves what the next one goes on from.
        """
        names = os.listdir(self.folder)
        unfinished = [each for each in names if _UNFINISHED.fullmatch(each)]
        numbers = {int(found[2]) for found in map(_FRAME.fullmatch, names) if found}
        for number in sorted(numbers, reverse=True):
            for path in (self.path(number), self._painting(number)):
                path.unlink(missing_ok=True)
        for name in (*unfinished, _RUN_ON, _PARTIAL, _RECORD):
            (self.folder / name).unlink(missing_ok=True)

    def remove_if_empty(self) -> None:
        """Removes the folder where nothing is left in it, once it is not held any more."""
        with contextlib.suppress(OSError):  # A link, or it has files of somebody's.
            self.folder.rmdir()


def _pixels(path: pathlib.Path) -> tuple[NDArray[np.uint8], str]:
    """Of a frame, and what is said of it."""
    with Image.open(path) as image:
        return np.array(image.convert("RGB")), image.getexif().get(_DESCRIPTION, "")


def _difference(stored: Any, record: Any, name: str = "") -> str | None:
    """What differs first between two records, by its name, or None."""
    if isinstance(stored, dict) and isinstance(record, Mapping):
        for key in dict.fromkeys([*record, *stored]):
            found = _difference(stored.get(key), record.get(key), key)
            if found:
                return found
        return None
    return None if stored == record else name or "the record"
