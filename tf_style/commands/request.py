"""What one run is asked for: one frozen value, whoever asks. Imports no argparse.

Flags, a checkpoint that is resumed, a trace that is repeated and a batch all make a `Request`; a run
reads nothing else and changes nothing in it.
"""

import dataclasses
import os
from collections.abc import Collection, Sequence
from typing import Any

from tf_style.objective.presets import Preset
from tf_style.transfer.settings import Settings, fields_with_files

CHECKPOINT_EVERY_SECONDS = 60.0


@dataclasses.dataclass(frozen=True)
class Request:
    """What one run is asked for.

    Attributes:
      content: Path of the content image, or None to synthesise the style's texture.
      styles: Paths of the style images; none to reconstruct the content.
      output: Path of the picture to write.
      settings: The transfer's settings.
      objective: What they mean for these images. It is part of the request because a stored request
        keeps its objective even if a preset or a default has changed since.
      bit_depth: Of the picture, 8 or 16.
      trace: Path of a JSON file for every evaluation's loss, or None.
      save_every: Iterations between two snapshots, or None for no snapshots.
      deterministic: Whether TensorFlow may use deterministic ops only.
      checkpoint: Folder to save the run in, or None.
      checkpoint_every: Seconds between two checkpoints; None for `CHECKPOINT_EVERY_SECONDS`.
      check_memory: Whether a run that does not seem to fit in memory is refused.
      dry_run: Whether to tell the sizes, the memory and the time expected, and no more.
    """

    content: str | None
    styles: tuple[str, ...]
    output: str
    settings: Settings
    objective: Preset
    bit_depth: int = 8
    trace: str | None = None
    save_every: int | None = None
    deterministic: bool = False
    checkpoint: str | None = None
    checkpoint_every: float | None = None
    check_memory: bool = True
    dry_run: bool = False

    @classmethod
    def make(
        cls,
        content: str | None,
        styles: Sequence[str],
        output: str,
        settings: Settings,
        *,
        given: Collection[str] | None = None,
        **others: Any,
    ) -> "Request":
        """A request whose objective is what the settings mean today.

        Args:
          content: As the attribute.
          styles: As the attribute.
          output: As the attribute.
          settings: As the attribute.
          given: The names of the settings that were asked for; None for those that are not the default.
          **others: The attributes after `objective`.

        Raises:
          InputError: If the images and the settings contradict each other, or a setting would have no
            effect.
        """
        objective = settings.resolve(
            has_content=content is not None, num_styles=len(styles), given=given
        )
        return cls(content, tuple(styles), output, settings, objective, **others)

    def with_settings(self, **changes: Any) -> "Request":
        """The same request but for some settings; its objective stays."""
        return dataclasses.replace(self, settings=dataclasses.replace(self.settings, **changes))


def absolute_files(settings: Settings) -> Settings:
    """The same settings with absolute paths of files, for another folder or process."""
    values = dataclasses.asdict(settings)
    paths = {name: os.path.abspath(values[name]) for name in fields_with_files(values)}
    return dataclasses.replace(settings, **paths)
