"""The flags that set a transfer's settings, as `Settings` states them."""

import argparse
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

from tf_style.commands.runner import Effect, add_flag, always
from tf_style.transfer.setting_fields import allowed
from tf_style.transfer.settings import ALIASES, Settings

# In which order, and under which titles, the help shows them.
_GROUPS = {
    "size": ("size", "size_of", "style_fit", "style_scale"),
    "objective": (
        *("preset", "strength", "content_weight", "style_weight", "tv_weight", "content_layers"),
        *("style_layers", "style_layer_weights", "style_statistic", "style_blend", "style_part"),
        "keep_colors",
    ),
    "network": (
        *("pooling", "padding", "weights", "normalize", "precision"),
        *("tile", "memory", "ray", "device"),
    ),
    "optimisation": (
        *("init", "seed", "optimizer", "history", "pair_precision", "iterations", "levels"),
    ),
}


def add_settings(
    parser: argparse.ArgumentParser,
    *,
    leave_out: Collection[str] = (),
    options: Mapping[str, dict[str, Any]] = MappingProxyType({}),
    **effects: Effect,
) -> None:
    """Adds a flag for each field of `Settings`; those that are not given are not in the namespace.

    Args:
      parser: Where to.
      leave_out: Names of settings that have no flag here.
      options: For `add_setting`, by the settings' names.
      **effects: When some of them have an effect beside the command's other flags, by their names.
        What their effect depends on among themselves `Settings` says.
    """
    for title, names in _GROUPS.items():
        group = parser.add_argument_group(title)
        for name in names:
            if name not in leave_out:
                effect = effects.get(name, always)
                add_setting(group, name, effect=effect, **options.get(name, {}))


def add_setting(
    group: Any, name: str, *, effect: Effect = always, settings: type = Settings, **options: Any
) -> None:
    """Adds the flag of one setting, and hidden ones for its former names.

    Args:
      group: A parser or a group of one.
      name: Of the field of `Settings`.
      effect: As for `add_flag`.
      settings: The dataclass, made by `setting_fields`.
      **options: For `add_argument`, where they differ from what `Settings` says. `default` goes into
        the help alone.
    """
    metadata = settings.__dataclass_fields__[name].metadata
    text = options.pop("help", metadata["help"])
    default = options.pop("default", metadata["default"])
    options = {
        "dest": name,
        "default": argparse.SUPPRESS,
        "help": f"{text} (default: {default})",
        **_reading(settings, name, metadata["metavar"]),
        **options,
    }
    former = [alias for alias, new in ALIASES.items() if new == name]
    names = group.add_mutually_exclusive_group() if former else group
    add_flag(names, flag(name), effect, **options)
    for alias in former:
        add_flag(names, flag(alias), effect, **options | {"help": argparse.SUPPRESS})


def add_no_memory_check(group: Any, *, names: Collection[str] = ()) -> None:
    """Adds --no-memory-check, for `memory_check`, and other names for it that no help shows."""
    options: dict[str, Any] = {"dest": "memory_check", "action": "store_false"}
    text = "start even if the memory does not seem to suffice"
    add_flag(group, "--no-memory-check", always, **options, help=text)
    for name in names:
        add_flag(group, name, always, **options, help=argparse.SUPPRESS)


def flag(name: str) -> str:
    """The flag of an attribute, such as `--size-of` of `size_of`."""
    return f"--{name.replace('_', '-')}"


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected numbers separated by commas. Received: {text!r}"
        ) from None


def numbers_or_file(text: str) -> tuple[float, ...] | str:
    """Numbers separated by commas, or else a path."""
    try:
        return _numbers(text)
    except argparse.ArgumentTypeError:
        return text


def _number_or_numbers(text: str) -> float | tuple[float, ...]:
    numbers = _numbers(text)
    return numbers[0] if len(numbers) == 1 else numbers


def _word_or_whole(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


# How argparse reads a value of each type.
_READERS = {
    bool: {"action": argparse.BooleanOptionalAction},
    int: {"type": int, "metavar": "N"},
    float: {"type": float},
    tuple[str, ...]: {"type": _names, "metavar": "L,..."},
    tuple[float, ...]: {"type": _numbers, "metavar": "W,..."},
}


def _reading(settings: type, name: str, metavar: str | None) -> dict[str, Any]:
    """The options by which argparse reads what the setting may be."""
    kinds, choices = allowed(settings, name)
    options = dict(next((_READERS[kind] for kind in kinds if kind in _READERS), {}))
    if {float, tuple[float, ...]} <= set(kinds):
        options["type"] = _number_or_numbers
    if metavar is not None:
        options["metavar"] = metavar
    if not choices:
        return options
    if not options:
        return {"choices": choices}
    return {"type": _word_or_whole, "metavar": "|".join([*choices, options["metavar"]])}
