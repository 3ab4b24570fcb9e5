"""Which settings have an effect on a picture that a student makes."""

from collections.abc import Collection

from tf_style.errors import InputError
from tf_style.transfer.settings import Settings

# What the picture is, and what it is made on: a student that is loaded already has the latter.
OF_PICTURES = frozenset({"size", "size_of", "strength", "style_blend", "keep_colors"})
OF_STUDENTS = OF_PICTURES | {"precision", "device", "tile", "memory"}


def check(
    settings: Settings, given: Collection[str], *, effective: Collection[str] = OF_STUDENTS
) -> None:
    """Refuses settings that have no effect, or that a student cannot meet.

    Args:
      settings: The settings.
      given: The names of those that were asked for.
      effective: The names of those that have an effect.

    Raises:
      InputError: It names one.
    """
    if others := sorted(set(given) - set(effective)):
        raise InputError(
            f"{others[0]} would have no effect: the student makes the picture in one pass."
        )
    if settings.keep_colors not in (None, "luminance"):
        raise InputError(
            "A student keeps colours by 'luminance' alone: the others change the style itself. "
            f"Received: {settings.keep_colors!r}"
        )
