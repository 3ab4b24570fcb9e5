"""The flags that say which styles go where, for pictures and for videos. No TensorFlow here."""

from collections.abc import Mapping
from typing import Any

from tf_style.commands import flags, records
from tf_style.commands.runner import add_flag, always
from tf_style.errors import InputError

# For `flags.add_settings`, in place of the setting's own.
BLEND = {
    "action": "append",
    "type": flags.numbers_or_file,
    "metavar": "W,...|FILE",
    "help": "one weight for each style image, of any sum; or repeatable, a grey mask of the "
    "photograph for each, or for each but the last, for styles that pass into each other",
}


def add_styles(group: Any) -> None:
    """Adds the flags of styles and of masks.

    Args:
      group: Of a parser. What is not given is not in the namespace, if the group's default says so.
    """
    add_flag(
        *(group, "--style", always),
        metavar="FILE|none",
        action="append",
        type=_file_or_none,
        help="a style image; repeatable; with masks none keeps the photograph in its region",
    )
    add_flag(
        *(group, "--content-mask", always),
        metavar="FILE",
        action="append",
        help="where the style goes, white; one for each --style, or one label image for all",
    )
    add_flag(
        *(group, "--style-mask", always),
        metavar="FILE|none",
        action="append",
        type=_file_or_none,
        help="the part of each style that is meant, in their order; none for the whole",
    )
    add_flag(
        *(group, "--strength-mask", always),
        metavar="FILE",
        help="what --strength is multiplied by: white for 1, black keeps the photograph",
    )
    for part, what in (("coarse", "forms"), ("fine", "brushwork")):
        add_flag(
            *(group, f"--{part}-style", always),
            metavar="FILE",
            help=f"in place of --style: the {what} of this one, beside another's",
        )


def by_record(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked for by the names of a record: some flags stand for others.

    Args:
      arguments: By the names of the flags, those alone that were given.

    Raises:
      InputError: If they contradict each other.
    """
    given = {name: value for name, value in arguments.items() if name in records.NAMES}
    parts = [part for part in ("coarse", "fine") if f"{part}_style" in arguments]
    if parts and "style" in given:
        raise InputError(f"--{parts[0]}-style stands in place of --style: give one of them.")
    if len(parts) == 1:
        other = {"coarse": "fine", "fine": "coarse"}[parts[0]]
        raise InputError(f"--{parts[0]}-style takes --{other}-style beside it.")
    if parts:
        given["style"] = [arguments[f"{part}_style"] for part in parts]
        given["style_part"] = tuple(parts)
    blend = given.pop("style_blend", ())
    masks = [each for each in blend if isinstance(each, str)]
    if masks:
        given["blend_mask"] = masks
    elif blend:
        given["style_blend"] = blend[-1]
    if masks and len(masks) < len(blend) or not masks and len(blend) > 1:
        raise InputError("--style-blend is a list of numbers, or a mask each time.")
    return given


def _file_or_none(text: str) -> str | None:
    return None if text == "none" else text
