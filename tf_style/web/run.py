"""One run of the studio, as the server knows it."""

import dataclasses
import math
import time
from typing import Any, Literal

State = Literal["waiting", "running", "done", "stopped", "failed"]
MAX_LOSSES = 2000
MAX_WARNINGS = 20


@dataclasses.dataclass
class Run:
    """What was asked for, and how far it is.

    Attributes:
      id: Its name.
      asked: As the client asked for it.
      command: The `stylize` line that makes the same picture.
      names: What the pictures that it is made from are called, by their names in the API.
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
      is_unwanted: Whether it is to be deleted once it has ended.
      version: Counts the changes.
    """

    id: str
    asked: dict[str, Any]
    command: str
    names: dict[str, str]
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
    is_unwanted: bool = False
    version: int = 0

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "Run":
        """The run of a record, as from `as_dict`.

        Raises:
          TypeError: If it is none.
        """
        return cls(**record)

    @property
    def has_ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self.state not in ("waiting", "running")

    def as_dict(self) -> dict[str, Any]:
        """All but what is of this process alone."""
        fields = (field.name for field in dataclasses.fields(self))
        left_out = {"preview", "is_unwanted", "version"}
        return {name: getattr(self, name) for name in fields if name not in left_out}

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
