"""A student as files: arrays, and JSON with the SHA-256 of both. Nothing in them is executed.

`student.npz` has the network's weights by name; `student.json`, written last, what the network looks
like, what it was trained for, and the digests. No TensorFlow here.
"""

import dataclasses
import math
import os
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tf_style.errors import InputError
from tf_style.files import not_written, shown
from tf_style.student.shape import Shape
from tf_style.transfer import checkpoint

NAME = "student.json"
FORMAT = 3
# Of a picture's sides: with less, most of what the sums of instance normalisation see is its margin.
MIN_SIDE_PX = 16


@dataclasses.dataclass(frozen=True, eq=False)
class StoredStudent:
    """What a student is.

    Attributes:
      arrays: The weights by name, float32.
      channels: As of `Shape`.
      blocks: Likewise.
      styles: The names of its styles' files.
      size: The styles' size in training, in pixels, as of `Plan`.
      dial: Whether it has learnt every strength.
      strength: The one that it has learnt, where it has one; its default else.
      steps: Of the training so far.
      description: What it was trained with, for people.
    """

    arrays: Mapping[str, np.ndarray]
    channels: int
    blocks: int
    styles: tuple[str, ...]
    size: int
    dial: bool
    strength: float
    steps: int
    description: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def shape(self) -> Shape:
        """Of its network."""
        return Shape(self.channels, self.blocks, len(self.styles))

    def resolve_strength(self, strength: float | None) -> float:
        """The strength to render at.

        Raises:
          InputError: If it is out of range, or not the one that was learnt.
        """
        if strength is None:
            return float(self.strength)
        if not 0 <= strength <= 1:
            raise InputError(f"strength is from 0 to 1. Received: {strength}")
        if not self.dial and strength != self.strength:
            raise InputError(
                f"The student has learnt strength {self.strength:g} alone: train it with a dial for "
                f"others. Received: {strength:g}"
            )
        return float(strength)

    def resolve_blend(self, blend: Sequence[float] | None) -> list[float]:
        """A weight for each style, of sum 1.

        Raises:
          InputError: If there are not as many as styles, or there is one style.
        """
        count = len(self.styles)
        if blend is None:
            return [1.0 / count] * count
        if count == 1:
            raise InputError("style_blend would have no effect: the student has one style.")
        values = [float(each) for each in blend]
        total = sum(values)
        if len(values) != count or not all(0 <= each < math.inf for each in values) or not total:
            raise InputError(
                f"style_blend is a weight for each of the student's {count} styles, "
                f"{', '.join(map(shown, self.styles))}. Received: {blend}"
            )
        return [each / total for each in values]


def check_picture(height: int, width: int) -> None:
    """Refuses a picture that is too small.

    Raises:
      InputError: It says so.
    """
    if min(height, width) < MIN_SIDE_PX:
        raise InputError(
            f"A student's picture has {MIN_SIDE_PX} pixels or more in each direction. "
            f"Received: {width} x {height}"
        )


def json_path(path: str | os.PathLike) -> pathlib.Path:
    """The JSON file of a student, by its folder or by that file itself."""
    found = pathlib.Path(path)
    return found if found.suffix == ".json" and not found.is_dir() else found / NAME


def files(path: str | os.PathLike | None) -> list[str]:
    """The files of a student, none where there is none."""
    if path is None:
        return []
    found = json_path(path)
    return [str(found), str(found.with_suffix(".npz"))]


def save(student: StoredStudent, folder: str | os.PathLike) -> None:
    """Writes both files into a folder that is there.

    Raises:
      TransferError: If they cannot be written; a student that was there is as it was.
    """
    record = {field.name: getattr(student, field.name) for field in dataclasses.fields(student)}
    arrays = record.pop("arrays")
    path = pathlib.Path(folder) / NAME
    new = path.with_name(f".{NAME}.new") / NAME
    try:
        new.parent.mkdir(exist_ok=True)
        checkpoint.write(new, arrays, {"student": FORMAT, **record, "styles": list(student.styles)})
        # Between the two files of another student, neither would be whole.
        path.unlink(missing_ok=True)
        os.replace(new.with_suffix(".npz"), path.with_suffix(".npz"))
        os.replace(new, path)
    except OSError as error:
        raise not_written(path, error) from error
    finally:
        shutil.rmtree(new.parent, ignore_errors=True)


def load(path: str | os.PathLike) -> StoredStudent:
    """Reads a student.

    Args:
      path: Its folder, or its JSON file.

    Raises:
      InputError: If there is none, or it is not whole.
    """
    try:
        found = checkpoint.read(json_path(path))
    except checkpoint.DamagedError as error:
        raise InputError(f"{shown(path)} holds no whole student: {error}") from error
    record = dict(found.request)
    if (number := record.pop("student", None)) != FORMAT:
        raise InputError(
            f"{shown(path)} holds no student of format {FORMAT}. Received: format {number!r}"
        )
    try:
        student = StoredStudent(
            arrays=found.arrays, **{**record, "styles": tuple(map(str, record["styles"]))}
        )
    except (KeyError, TypeError) as error:
        raise InputError(f"{shown(path)} holds no student that this version knows.") from error
    _check(student, path)
    return student


def _check(student: StoredStudent, path: str | os.PathLike) -> None:
    """Refuses numbers that a network would be made of, before one is."""
    numbers = (student.channels, student.blocks, student.size, student.steps)
    is_right = (
        all(type(number) is int and 0 <= number < 2**31 for number in numbers)
        and 0 < student.channels <= 1024
        and 0 < student.blocks <= 64
        and 0 < len(student.styles) <= 1024
        and isinstance(student.dial, bool)
        and isinstance(student.strength, int | float)
        and 0 <= student.strength <= 1
        # Or a small file could ask for a network without end.
        and sum(array.size for array in student.arrays.values()) == student.shape.num_weights
        and all(
            array.dtype == np.float32 and np.isfinite(array).all() for array in student.arrays.values()
        )
    )
    if not is_right:
        raise InputError(f"{shown(path)} holds no student that this version knows.")
