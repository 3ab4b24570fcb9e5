"""What one run is asked for: one frozen value, whoever asks. Imports no argparse.

Flags, a checkpoint that is resumed, a trace that is repeated and a batch all make a `Request`; a run
reads nothing else and changes nothing in it.
"""

import dataclasses
import os
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from tf_style.errors import InputError
from tf_style.objective.presets import PRESETS, Preset
from tf_style.student import effects
from tf_style.transfer.settings import Settings, fields_with_files

if TYPE_CHECKING:
    from tf_style.transfer.masks import Masks

CHECKPOINT_EVERY_SECONDS = 60.0
# The lists among the fields of `Request` that are masks.
_MASKS = {"content_mask", "style_mask", "blend_mask"}


@dataclasses.dataclass(frozen=True)
class Request:
    """What one run is asked for.

    Attributes:
      content: Path of the content image, or None to synthesise the style's texture.
      styles: Paths of the style images; none to reconstruct the content. With masks None for one keeps
        the photograph in its region.
      output: Path of the picture to write.
      settings: The transfer's settings.
      objective: What they mean for these images. It is part of the request because a stored request
        keeps its objective even if a preset or a default has changed since.
      content_mask: Paths of the content's masks, as of `Masks`.
      style_mask: Paths of the styles' masks, None for the whole of one, as of `Masks`.
      blend_mask: Paths of masks of the content, what each style weighs there, as of `Masks`.
      strength_mask: Path of a mask of the content, what the strength is multiplied by, or None.
      student: Path of a student: with init "student" the run starts from its picture; else it makes the
        picture, and there is no run.
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
    styles: tuple[str | None, ...]
    output: str
    settings: Settings
    objective: Preset
    content_mask: tuple[str, ...] = ()
    style_mask: tuple[str | None, ...] = ()
    blend_mask: tuple[str, ...] = ()
    strength_mask: str | None = None
    student: str | None = None
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
        styles: Sequence[str | None],
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
        lists = {name: tuple(others.pop(name)) for name in _MASKS & others.keys()}
        request = cls(
            content, tuple(styles), output, settings, PRESETS[settings.preset], **lists, **others
        )
        if request.is_by_student:
            _check_student(request, settings.not_default() if given is None else given)
            return request
        if settings.init == "student" and request.student is None:
            raise InputError("init is 'student', but there is none: --student names it.")
        has_places = bool(request.content_mask or request.blend_mask)
        if None in request.styles and not has_places:
            raise InputError("A style of 'none' keeps the photograph in its region: it takes masks.")
        if request.style_mask and not has_places:
            raise InputError("style_mask would have no effect: there is no content mask.")
        objective = settings.resolve(
            has_content=content is not None,
            num_styles=request.num_styles,
            given=given,
            has_masks=request.masks_are_given,
            has_strength_mask=request.strength_mask is not None,
        )
        return dataclasses.replace(request, objective=objective)

    @property
    def is_by_student(self) -> bool:
        """Whether a student makes the picture."""
        return self.student is not None and self.settings.init != "student"

    @property
    def num_styles(self) -> int:
        """How many style images there are."""
        return sum(style is not None for style in self.styles)

    @property
    def masks_are_given(self) -> bool:
        """Whether there are masks."""
        return bool(self.content_mask or self.style_mask or self.blend_mask or self.strength_mask)

    @property
    def masks(self) -> "Masks | None":
        """The masks, if there are any."""
        from tf_style.transfer.masks import Masks  # It takes NumPy, which `--help` does without.

        masks = self.content_mask, self.style_mask, self.blend_mask, self.strength_mask
        return Masks(*masks) if self.masks_are_given else None

    def with_settings(self, **changes: Any) -> "Request":
        """The same request but for some settings; its objective stays."""
        return dataclasses.replace(self, settings=dataclasses.replace(self.settings, **changes))


def _check_student(request: Request, given: Collection[str]) -> None:
    """Refuses what has no effect on a picture that a student makes."""
    if request.content is None:
        raise InputError("A student takes a content image.")
    if request.styles:
        raise InputError(
            "--style would have no effect: the student has its own; --style-blend weighs several. "
            "With --init student, the style is what the run goes on in."
        )
    if request.masks_are_given:
        raise InputError("Masks would have no effect: the student makes the picture in one pass.")
    effects.check(request.settings, given)


def absolute_files(settings: Settings) -> Settings:
    """The same settings with absolute paths of files, for another folder or process."""
    values = dataclasses.asdict(settings)
    paths = {name: os.path.abspath(values[name]) for name in fields_with_files(values)}
    return dataclasses.replace(settings, **paths)
