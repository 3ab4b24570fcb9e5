"""The files that a run writes: checked before it begins, written on its way."""

import dataclasses
import os
import re
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tf_style import files
from tf_style.commands import provenance
from tf_style.commands.file_roles import Family, FileRoles
from tf_style.commands.provenance import Record
from tf_style.commands.request import CHECKPOINT_EVERY_SECONDS, Request
from tf_style.errors import InputError
from tf_style.images import writing
from tf_style.student.stored import files as student_files
from tf_style.transfer import checkpoint, checkpoint_lock
from tf_style.transfer.settings import fields_with_files

if TYPE_CHECKING:
    from tf_style.transfer.transfer import Progress, StyleTransfer

# Names in a checkpoint folder that are a run's own.
_CHECKPOINT_NAMES = rf"\.?checkpoint-.*|{re.escape(checkpoint_lock.NAME)}"


def check(
    request: Request, reads: Iterable[tuple[str, str | None]] = (), *, is_resumed: bool = False
) -> None:
    """Refuses what cannot be written, or would be written over what is read. Changes nothing.

    Args:
      request: What is asked for.
      reads: What is read beside its pictures and weights, as for `FileRoles`.
      is_resumed: Whether the checkpoint folder holds the run that goes on.

    Raises:
      InputError: It says which.
    """
    folder, snapshots = request.checkpoint, Snapshots.of(request)
    if folder is not None:
        if not is_resumed and checkpoint.is_in(folder):
            raise InputError(
                f"{files.shown(folder)} holds a run already: go on with it by --resume, or name "
                "another folder."
            )
        files.check_folder(folder)
    roles = FileRoles([*inputs(request), *reads])
    roles.write("--output", request.output)
    if request.trace is not None:
        roles.write("--trace", request.trace)
        files.check_writable(request.trace)
    if snapshots is not None:
        roles.write_family("a snapshot of --save-every", snapshots.family)
        # One that is there and no file, and the longest name.
        for path in (*snapshots.family.members(), snapshots.last):
            files.check_writable(path)
    if folder is not None:
        roles.write_family("a file of --checkpoint", Family(folder, _CHECKPOINT_NAMES))


def inputs(request: Request) -> list[tuple[str, str | None]]:
    """The files that a request reads, with the flags that name them."""
    of_settings = {"init": request.objective.init, "weights": request.settings.weights}
    return [
        ("--content", request.content),
        *(("--style", style) for style in request.styles),
        *(("--content-mask", mask) for mask in request.content_mask),
        *(("--style-mask", mask) for mask in request.style_mask),
        *(("--style-blend", mask) for mask in request.blend_mask),
        ("--strength-mask", request.strength_mask),
        *(("--student", path) for path in student_files(request.student)),
        *((f"--{name}", of_settings[name]) for name in fields_with_files(of_settings)),
    ]


def write_picture(path: str, image: Any, request: Request, transfer: "StyleTransfer") -> None:
    """Writes a picture of a run, with what it was made from.

    Args:
      path: The file.
      image: float [height, width, 3], 0..1.
      request: What was asked for.
      transfer: The run's.

    Raises:
      TransferError: If it cannot be written.
    """
    writing.write(
        path,
        image,
        alpha=transfer.inputs.alpha,
        bit_depth=request.bit_depth,
        description=provenance.describe(request),
    )


def describe(request: Request) -> str:
    """The files that a run would write, in words."""
    parts = [f"{files.shown(request.output)} of {request.bit_depth} bits"]
    if (snapshots := Snapshots.of(request)) is not None:
        first, last = files.shown(snapshots.path(snapshots.every)), files.shown(snapshots.last)
        parts.append(f"snapshots {first} to {last}" if first != last else f"the snapshot {first}")
    if request.trace is not None:
        parts.append(f"the trace {files.shown(request.trace)}")
    if request.checkpoint is not None:
        seconds = _seconds_between_checkpoints(request)
        parts.append(f"checkpoints in {files.shown(request.checkpoint)} every {seconds:g} s")
    return ", ".join(parts)


@dataclasses.dataclass(frozen=True)
class Snapshots:
    """The picture now and then, in files beside the output that are named after the iteration.

    Attributes:
      output: The run's output.
      every: Iterations from one to the next.
      iterations: Of the run.
    """

    output: str
    every: int
    iterations: int

    @classmethod
    def of(cls, request: Request) -> "Snapshots | None":
        """Those of a request, if it asks for any.

        Raises:
          InputError: If there would be none.
        """
        every, iterations = request.save_every, request.settings.iterations
        if every is None:
            return None
        if not 1 <= every < iterations:
            raise InputError(
                f"--save-every is 1 or more and below the {iterations} iterations. Received: {every}"
            )
        return cls(request.output, every, iterations)

    def path(self, iteration: int) -> str:
        """Of the snapshot after an iteration."""
        stem, extension = os.path.splitext(self.output)
        return f"{stem}-{iteration:05d}{extension}"

    @property
    def last(self) -> str:
        """The path of the last one, and no other is longer."""
        return self.path(self.iterations // self.every * self.every)

    @property
    def family(self) -> Family:
        """All of them."""
        # Where the output is a link, they are beside the link.
        folder, name = os.path.split(os.path.abspath(self.output))
        stem, extension = os.path.splitext(name)
        return Family(
            os.path.realpath(folder),
            rf"{re.escape(stem)}-(\d{{5,}}){re.escape(extension)}",
            lambda match: self.has(int(match[1])),
        )

    def has(self, iteration: int) -> bool:
        """Whether there is one after an iteration."""
        return 0 < iteration <= self.iterations and iteration % self.every == 0


class Keeper:
    """Writes snapshots and checkpoints, where they are asked for. A full disk ends no run."""

    def __init__(self, request: Request, transfer: "StyleTransfer", record: Record):
        """Takes the run's parts.

        Args:
          request: What was asked for.
          transfer: The run's.
          record: What names it.
        """
        self._request, self._transfer = request, transfer
        self._record = dataclasses.asdict(record)
        self._snapshots = Snapshots.of(request)
        self._every = _seconds_between_checkpoints(request)
        self._last = time.monotonic()

    def __call__(self, progress: "Progress") -> None:
        """Writes what is due."""
        snapshots, iteration = self._snapshots, progress.iteration
        if snapshots is not None and snapshots.has(iteration):
            with files.going_on_without("this snapshot"):
                path = snapshots.path(iteration)
                write_picture(path, progress.read_image(), self._request, self._transfer)
        if time.monotonic() - self._last >= self._every:
            self.save()

    def save(self) -> None:
        """Writes a checkpoint."""
        if self._request.checkpoint is not None:
            with files.going_on_without("this checkpoint"):
                checkpoint.save(self._request.checkpoint, self._transfer.state(), self._record)
            self._last = time.monotonic()


def _seconds_between_checkpoints(request: Request) -> float:
    every = request.checkpoint_every
    return CHECKPOINT_EVERY_SECONDS if every is None else every
