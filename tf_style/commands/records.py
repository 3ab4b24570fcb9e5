"""A request as data: to store it, and to make it again from what is stored.

A record is resolved: it has each setting with the value that it had, those of the preset included, so
that a later change of a default or of a preset does not change what the record means.
"""

import dataclasses
import math
import os
import typing
from collections.abc import Iterable, Mapping
from typing import Any

from tf_style.commands.request import Request
from tf_style.errors import InputError
from tf_style.objective.presets import ContentUnit, Preset, read_preset
from tf_style.transfer import format_1
from tf_style.transfer.settings import ALIASES, SETTING_NAMES, Settings, fields_with_files

# The format of a request's record. 1, of version 0.1.0, held only the flags that were given: see
# `transfer/format_1.py`. A field that is added gets a new format, and records without it get the value
# that they were made with.
FORMAT = 7
_ADDED_TO_OBJECTIVE_IN_3 = {"content_unit": "absolute"}
_ADDED_IN_4 = {"keep_colors": None, "content_mask": (), "style_mask": ()}
_MEANT_BEFORE_5 = {"content_unit": "relative at each size"}
_ADDED_IN_5 = {"style_part": None, "blend_mask": (), "strength_mask": None}
_ADDED_IN_6 = {"student": None}
_ADDED_TO_OBJECTIVE_IN_7 = {"margin_px": 0}
_PATHS = ("content", "strength_mask", "student", "output", "trace")
# These may differ from what is stored: files to write, and a cluster that may have moved.
_REPLACEABLE = ("output", "trace", "ray")
# The settings among those that can differ in a name alone.
_OF_SETTINGS = {"ray", "init", "weights"}
# The fields of `Request` that a record has under the same names, and their types.
_OWN = {
    "content": str | None,
    "strength_mask": str | None,
    "student": str | None,
    "output": str,
    "trace": str | None,
    "bit_depth": int,
    "save_every": int | None,
    "deterministic": bool,
}
# Lists of paths by the names in a record, and the fields of `Request`. None in one stands for "none".
LISTS = {
    "style": "styles",
    **{name: name for name in ("content_mask", "style_mask", "blend_mask")},
}
# What a user can ask for, by the names in a record.
NAMES = SETTING_NAMES | _OWN.keys() | LISTS.keys()
# The settings for which None is a value of its own; a record has the value of all others.
_OPEN = {
    *("strength", "style_blend", "style_part", "keep_colors", "levels", "device", "memory", "ray"),
}
_PRESET = frozenset(Preset.__dataclass_fields__)
# The settings that replace a part of the preset. Its `style_scale` is another thing than the setting.
_OVERRIDES = (SETTING_NAMES & _PRESET) - {"style_scale"}
# What the preset alone says; `source` is prose.
_PRESET_ONLY = _PRESET - _OVERRIDES - {"source"}


def as_dict(request: Request) -> dict[str, Any]:
    """What to make, resolved, as JSON can hold it.

    Returns:
      The format, the paths as they are in the request, every setting with its value (the preset's
      where it was not given), and under "objective" what the preset alone says. `strength` is as it was
      given, and the weights beside it have it applied already. `device`, `memory` and
      `ray`, which say where to run, are as they were asked for; so are `levels`, `tile` and
      `precision`, unless the request has what was chosen for them.
    """
    settings, objective = request.settings, dataclasses.asdict(request.objective)
    return {
        "format": FORMAT,
        **{name: list(getattr(request, field)) for name, field in LISTS.items()},
        **{name: getattr(request, name) for name in _OWN},
        **dataclasses.asdict(settings),
        "style_scale": settings.style_scale or 1.0,
        "style_blend": settings.style_blend or (1.0,) * request.num_styles or None,
        "seed": settings.seed or 0,
        "history": settings.num_pairs,
        **{name: objective[name] for name in sorted(_OVERRIDES)},
        "objective": {name: objective[name] for name in sorted(_PRESET_ONLY)},
    }


def absolute_paths(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record, as from `as_dict`, that can be repeated from another folder."""
    names = [name for name in _PATHS if record[name] is not None] + fields_with_files(record)
    full = {name: os.path.abspath(record[name]) for name in names}
    return {**record, **full, **{name: absolute(record[name]) for name in LISTS}}


def read_request(record: Any, source: str, **known: Any) -> Request:
    """The request of a record.

    Args:
      record: As from `as_dict`, through JSON, or of format 1.
      source: What holds the record, for messages.
      **known: What was chosen for settings that a record of format 1 leaves open, by their names.

    Raises:
      InputError: If it is no record, or of an unknown format.
    """
    try:
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in record.items()
        }
        number = values.get("format", 1)
        if number == 1:
            return _from_format_1(values, known)
        objective = values["objective"]
        if number == 2:
            objective = {**_ADDED_TO_OBJECTIVE_IN_3, **objective}
        if number in (2, 3):
            values |= _ADDED_IN_4
        if number in (2, 3, 4, 5):
            values |= _ADDED_IN_6
        if number in (2, 3, 4):
            values |= _ADDED_IN_5
            if objective["content_unit"] == "relative":
                objective = {**objective, **_MEANT_BEFORE_5}
        if number in (2, 3, 4, 5, 6):
            objective = {**_ADDED_TO_OBJECTIVE_IN_7, **objective}
        if number in (2, 3, 4, 5, 6, FORMAT):
            values["objective"] = objective
            return _from_resolved(values)
    except (AttributeError, KeyError, TypeError) as error:
        raise InputError(f"{source} holds no request that this version knows.") from error
    raise InputError(f"{source} has a request of format {number!r}; 1 to {FORMAT} are known.")


def _from_resolved(values: dict[str, Any]) -> Request:
    if values.keys() != NAMES | {"format", "objective"} or values["objective"].keys() != _PRESET_ONLY:
        raise KeyError
    settings = {name: values[name] for name in SETTING_NAMES}
    if any(settings[name] is None for name in SETTING_NAMES - _OPEN):
        raise TypeError
    # These, and empty lists for an image that is not there, are no values that a setting can have.
    words = {("style_layer_weights", "mean"), ("style_layer_weights", "sum")}
    given = {
        name: value
        for name, value in settings.items()
        if name not in _OVERRIDES or (value != () and (name, value) not in words)
    }
    # Never resolved again: that would apply a strength twice.
    return _request(values, Settings(**given), _objective({**settings, **values["objective"]}))


def _objective(fields: dict[str, Any]) -> Preset:
    """The preset of a record's values, of which what is a setting has been checked."""
    scales = (*fields["content_scale"].values(), *fields["style_scale"].values())
    names = ("pooling_gain", "level_ratio", "coarsest_side_px", "level_decay")
    numbers = [fields[name] for name in names]
    if not (
        all(isinstance(number, int | float) for number in scales)
        and all(isinstance(number, int | float) and 0 < number < math.inf for number in numbers)
        and isinstance(fields["margin_px"], int)
        and fields["margin_px"] >= 0
        and fields["tv_exponent"] in (1, 2)
        and fields["tv_scale"] in ("sum", "mean")
        and fields["content_unit"] in typing.get_args(ContentUnit)
    ):
        raise TypeError
    stored = {name: fields[name] for name in _OVERRIDES | _PRESET_ONLY}
    return read_preset({"source": "a stored request", **stored})


def _from_format_1(values: dict[str, Any], known: dict[str, Any]) -> Request:
    values = {ALIASES.get(name, name): value for name, value in values.items()}
    if not values.keys() <= NAMES:
        raise KeyError
    given = {name: value for name, value in values.items() if name in SETTING_NAMES}
    objective = format_1.resolve(
        given, has_content=values.get("content") is not None, num_styles=len(values["style"])
    )
    settings = format_1.complete(given)
    settings |= {name: value for name, value in known.items() if settings[name] in (None, "auto")}
    return _request(values, Settings(**settings), objective)


def _request(values: Mapping[str, Any], settings: Settings, objective: Preset) -> Request:
    own: dict[str, Any] = {"content": None, "strength_mask": None, "student": None} | {
        name: values[name] for name in _OWN if name in values
    }
    if not all(isinstance(value, _OWN[name]) for name, value in own.items()):
        raise TypeError
    lists = {field: values.get(name, ()) for name, field in LISTS.items()}
    for paths in lists.values():
        if not isinstance(paths, tuple) or not all(isinstance(path, str | None) for path in paths):
            raise TypeError
    return Request(settings=settings, objective=objective, **own, **lists)


def merge_stored(stored: Request, given: Mapping[str, Any], source: str) -> Request:
    """A stored request, with what may be replaced of it.

    Args:
      stored: The request.
      given: What is asked for beside it, under the names of `as_dict`. It must agree with what is
        stored, but for the files to write, the cluster to use, which may have another address, and
        files to read that have moved: what is in them is for others to compare.
      source: What holds the request, for messages.

    Raises:
      InputError: If the two differ.
    """
    held = as_dict(stored)
    for name, value in given.items():
        # What "auto" meant is what is stored.
        if name in _REPLACEABLE or value == "auto" or _are_files(name, value, held[name]):
            continue
        if _comparable(name, value) != _comparable(name, held[name]):
            raise InputError(
                f"{_flags(name)} differs from what {source} holds, {held[name]!r}. Received: {value!r}"
            )
    stored = stored.with_settings(**{name: given[name] for name in _OF_SETTINGS & given.keys()})
    if "init" in given:
        objective = dataclasses.replace(stored.objective, init=given["init"])
        stored = dataclasses.replace(stored, objective=objective)
    lists = {LISTS[name]: tuple(given[name]) for name in LISTS.keys() & given.keys()}
    stored = dataclasses.replace(stored, **lists)
    own = set(_PATHS) & given.keys()
    return dataclasses.replace(stored, **{name: given[name] for name in own})


def _flags(name: str) -> str:
    """The flag by which something of a record is asked for."""
    other = {"blend_mask": "--style-blend", "style_part": "--coarse-style and --fine-style"}
    return other.get(name, f"--{name.replace('_', '-')}")


def absolute(paths: Iterable[str | None]) -> list[str | None]:
    """Absolute paths, and None for none."""
    return [None if path is None else os.path.abspath(path) for path in paths]


def _are_files(name: str, value: Any, held: Any) -> bool:
    """Whether both are names of files that a run reads."""
    if name in LISTS:
        return [path is None for path in value] == [path is None for path in held]
    if name in ("content", "strength_mask", "student"):
        return held is not None
    return bool(fields_with_files({name: value}) and fields_with_files({name: held}))


def _comparable(name: str, value: Any) -> Any:
    if name in LISTS:
        return absolute(value)
    if isinstance(value, list | tuple):
        return list(value)
    is_path = name in _PATHS or (name in ("init", "weights") and os.path.exists(value))
    return os.path.abspath(value) if is_path and value is not None else value
