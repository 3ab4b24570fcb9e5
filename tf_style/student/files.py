"""The folder of a student: the student itself, and what its training writes. No TensorFlow here.

`student.json` and `student.npz` are the student; `training` has the checkpoints, `previews` pictures on
the way, `logs` the losses for TensorBoard.
"""

import contextlib
import os
import pathlib

from tf_style.errors import InputError
from tf_style.files import check_folder, shown
from tf_style.student import stored
from tf_style.transfer import checkpoint, checkpoint_lock


def checkpoints(folder: str | os.PathLike) -> pathlib.Path:
    """Where the training is saved."""
    return pathlib.Path(folder) / "training"


def preview(folder: str | os.PathLike, step: int) -> pathlib.Path:
    """The picture after a step."""
    return pathlib.Path(folder) / "previews" / f"step-{step:06d}.jpg"


def logs(folder: str | os.PathLike) -> pathlib.Path:
    """The losses of each step, for TensorBoard."""
    return pathlib.Path(folder) / "logs"


def check_new(folder: str | os.PathLike) -> None:
    """Refuses a folder that holds a student, a training or files of such, or cannot be written.

    Changes nothing.

    Raises:
      InputError: It says which.
    """
    if (pathlib.Path(folder) / stored.NAME).exists() or checkpoint.is_in(checkpoints(folder)):
        raise InputError(
            f"{shown(folder)} holds a training already: go on with it by --resume, or name another "
            "folder."
        )
    others = [*pathlib.Path(folder).glob("student.npz"), *preview(folder, 0).parent.glob("step-*.jpg")]
    if others:
        raise InputError(
            f"{shown(others[0])} would be written over, and is of no training that can go on: remove "
            "it, or name another folder."
        )
    check_folder(checkpoints(folder))


def held(folder: str | os.PathLike) -> contextlib.AbstractContextManager[None]:
    """Keeps other trainings out of a folder; see `checkpoint_lock.held`."""
    return checkpoint_lock.held(checkpoints(folder))
