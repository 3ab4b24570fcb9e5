"""One run of the studio, as the server knows it."""

import dataclasses
import functools
import math
import time
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

State = Literal["waiting", "running", "done", "stopped", "failed"]
MAX_LOSSES = 2000
MAX_WARNINGS = 20
# What is of one process alone; what is saved and not shown; what is shown and made anew when loaded.
_NOT_SAVED = {"preview", "version", "command"}
_NOT_SHOWN = {"preview", "version", "chosen", "is_unwanted", "num_restarts"}


@dataclasses.dataclass
class Run:
    """What was asked for, and how far it is.

    Attributes:
      id: Its name.
      asked: As the client asked for it.
      names: What the pictures that it is made from are called, by their names in the API.
      command: The `stylize` line that makes the same picture.
      chosen: The settings that were left to be chosen, once they are: see `stylize_run.chosen`.
      created: When it was asked for, in seconds since the epoch.
      state: Where it stands.
      started: When it began, or went on.
      ended: When it ended.
      message: What went wrong.
      warnings: What is to be known of it.
      iteration: Iterations made.
      max_iterations: Iterations that will be made at most; 0 while that is not known.
      level: Index of the working size.
      num_levels: How many there are.
      width: Of the picture, in pixels.
      height: Likewise.
      seconds_left: About.
      losses: Of evaluations, the level and the loss of each.
      has_picture: Whether there is a picture.
      preview_version: Counts the previews.
      preview: The last one, a JPEG, while it runs.
      is_stopping: Whether it is to end with what there is.
      is_unwanted: Whether it is to be deleted once it has ended.
      num_restarts: How often it went on after its process broke down.
      version: Counts the changes.
    """

    id: str
    asked: dict[str, Any]
    names: dict[str, str]
    command: str = ""
    chosen: dict[str, Any] = dataclasses.field(default_factory=dict)
    created: float = dataclasses.field(default_factory=time.time)
    state: State = "waiting"
    started: float | None = None
    ended: float | None = None
    message: str | None = None
    warnings: list[str] = dataclasses.field(default_factory=list)
    iteration: int = 0
    max_iterations: int = 0
    level: int = 0
    num_levels: int = 0
    width: int = 0
    height: int = 0
    seconds_left: float | None = None
    losses: list[tuple[int, float]] = dataclasses.field(default_factory=list)
    has_picture: bool = False
    preview_version: int = 0
    preview: bytes | None = dataclasses.field(default=None, repr=False)
    is_stopping: bool = False
    is_unwanted: bool = False
    num_restarts: int = 0
    version: int = 0

    @classmethod
    def from_record(cls, record: Any) -> "Run":
        """The run of a record, as from `as_record`.

        Raises:
          TypeError: If it is none.
        """
        if not isinstance(record, Mapping):
            raise TypeError("a run's record is an object")
        run = cls(**record)
        for name, kinds in _kinds().items():
            if not isinstance(value := getattr(run, name), kinds):
                raise TypeError(f"{name} of a run's record is {value!r}")
        if run.state not in typing.get_args(State):
            raise TypeError(f"state of a run's record is {run.state!r}")
        return run

    @property
    def has_ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self.state not in ("waiting", "running")

    def as_dict(self) -> dict[str, Any]:
        """What the API shows."""
        return self._without(_NOT_SHOWN)

    def as_record(self) -> dict[str, Any]:
        """What is saved of it."""
        return self._without(_NOT_SAVED)

    def _without(self, names: set[str]) -> dict[str, Any]:
        fields = (field.name for field in dataclasses.fields(self))
        return {name: getattr(self, name) for name in fields if name not in names}

    def update(self, fields: dict[str, Any]) -> None:
        """Takes over a worker's progress.

        Args:
          fields: Of this run, of which `losses` are more of them.
        """
        losses = [(level, loss) for level, loss in fields.pop("losses") if math.isfinite(loss)]
        for name, value in fields.items():
            setattr(self, name, value)
        self.losses += losses
        while len(self.losses) > MAX_LOSSES:
            self.losses = self.losses[::2]

    def warn(self, text: str) -> None:
        """Keeps a warning, once."""
        if text not in self.warnings and len(self.warnings) < MAX_WARNINGS:
            self.warnings.append(text)


@functools.cache
def _kinds() -> dict[str, tuple[type, ...]]:
    """What each field of a run's record is; JSON writes some floats as whole numbers."""
    found = {}
    for name, hint in typing.get_type_hints(Run).items():
        parts = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        kinds = [str if part is State else typing.get_origin(part) or part for part in parts]
        found[name] = (*kinds, int) if float in kinds else tuple(kinds)
    return found
