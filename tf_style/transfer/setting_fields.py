"""How one setting is stated, as a field of a dataclass, and checked."""

import dataclasses
import functools
import math
import os
import types
import typing
from collections.abc import Callable, Collection
from numbers import Real
from typing import Any, Literal, NamedTuple

from tf_style.errors import InputError
from tf_style.network.architecture import find_layer
from tf_style.transfer.effects import Effect, Run

THE_PRESETS = "the preset's"


class Rule(NamedTuple):
    """What a value has to be beyond its type.

    Attributes:
      text: In words that follow "is".
      holds: Whether a value keeps it.
    """

    text: str
    holds: Callable[[Any], bool]


def _number(value: Any) -> float:
    """A number as a float, infinity where it is too large; NaN for what is none, such as True."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf


def number(text: str, holds: Callable[[float], bool]) -> Rule:
    """A number that is right as a float; to NaN all comparisons say no."""
    return Rule(text, lambda value: holds(_number(value)))


def whole_number(least: int, most: int, of: str = "") -> Rule:
    """From `least` to `most`, both included; NumPy's integers are whole numbers too."""
    return Rule(
        f"a whole number{of} from {least} to {most}",
        lambda value: (
            hasattr(value, "__index__") and not isinstance(value, bool) and least <= value <= most
        ),
    )


def number_above_0(text: str, most: float = math.inf) -> Rule:
    """A finite number above 0 and at most `most`."""
    return number(text, lambda value: 0 < value <= most and math.isfinite(value))


def each(rule: Rule) -> Rule:
    """What one value has to be, for it or each of a tuple."""

    def holds(value: Any) -> bool:
        values = value if isinstance(value, tuple) else (value,)
        return bool(values) and all(map(rule.holds, values))

    return Rule(rule.text, holds)


def _is_weight(value: Any) -> bool:
    return 0 <= _number(value) < math.inf


def _are_layers(names: Any) -> bool:
    if not (isinstance(names, tuple) and all(isinstance(name, str) for name in names)):
        return False
    found = [find_layer(name) for name in names]
    return 0 < len(found) == len(set(found))


def _are_weights(values: Any) -> bool:
    if not (isinstance(values, tuple) and all(map(_is_weight, values))):
        return False
    return 0 < sum(map(float, values)) < math.inf


WEIGHT = Rule("a finite number, 0 or more", _is_weight)
WEIGHTS = Rule("a tuple of finite numbers, 0 or more and not all 0", _are_weights)
TRUE_OR_FALSE = Rule("True or False", lambda value: isinstance(value, bool))
TEXT = Rule("a string", lambda value: isinstance(value, str))
PATH = Rule("a word or the path of a file", lambda value: isinstance(value, str))
LAYERS = Rule("a tuple of one or more layer names, each named once", _are_layers)


def setting(
    default: Any,
    help: str,
    *,
    effect: Effect,
    rule: Rule | None = None,
    choices: tuple[str, ...] = (),
    unset: Any = THE_PRESETS,
    metavar: str | None = None,
) -> Any:
    """The field of a setting.

    Args:
      default: Its default.
      help: What it is.
      effect: When it has one.
      rule: What its values have to be, but for the words that it may be.
      choices: Those words, where its type hint does not tell.
      unset: What a default of None stands for.
      metavar: What stands for a value in the command line's help.
    """
    return dataclasses.field(
        default=default,
        metadata={
            "help": help,
            "effect": effect,
            "rule": rule,
            "choices": choices,
            "default": unset if default is None else default,
            "metavar": metavar,
        },
    )


@functools.cache
def allowed(settings: type, name: str) -> tuple[tuple[Any, ...], tuple[str, ...]]:
    """What a setting's type hint allows.

    Args:
      settings: The dataclass.
      name: Of its field.

    Returns:
      Types, such as `int`, `NoneType` or `tuple[str, ...]`; and the words of a `Literal`.
    """
    hint = typing.get_type_hints(settings)[name]
    is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    kinds = typing.get_args(hint) if is_union else (hint,)
    literals = [kind for kind in kinds if typing.get_origin(kind) is Literal]
    words = (word for literal in literals for word in typing.get_args(literal))
    choices = (*settings.__dataclass_fields__[name].metadata["choices"], *words)
    return tuple(kind for kind in kinds if kind not in literals), choices


def check(settings: Any) -> None:
    """Checks each field of a dataclass of settings by itself, and makes its value Python's own.

    Raises:
      InputError: If a value is out of range or not one of the choices.
    """
    for name, field in settings.__dataclass_fields__.items():
        value, rule = _plain(getattr(settings, name)), field.metadata["rule"]
        object.__setattr__(settings, name, value)
        kinds, choices = allowed(type(settings), name)
        if value is None:
            is_right = type(None) in kinds
        elif isinstance(value, str) and value in choices:
            is_right = True
        else:
            is_right = rule is not None and rule.holds(value)
        if not is_right:
            expected = [f"one of {', '.join(choices)}"] if choices else []
            expected += [rule.text] if rule else []
            raise InputError(f"{name} is {' or '.join(expected)}. Received: {value!r}")


def _plain(value: Any) -> Any:
    """Numbers, tuples and text in place of NumPy's scalars and arrays, of lists and of paths."""
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if hasattr(value, "tolist"):
        value = value.tolist()
    return tuple(map(_plain, value)) if isinstance(value, list | tuple) else value


def check_effects(settings: Any, run: Run, names: Collection[str]) -> None:
    """Refuses settings that would have no effect.

    Args:
      settings: The dataclass's instance.
      run: What their effect depends on.
      names: Of those that were asked for.

    Raises:
      InputError: It names the first, and says why.
    """
    for name, field in settings.__dataclass_fields__.items():
        if name in names and (reason := field.metadata["effect"](run)):
            raise InputError(f"{name} would have no effect: {reason}.")


def accept_aliases(settings: type, aliases: dict[str, str]) -> None:
    """Lets a dataclass be made with former names of its fields too.

    They are no fields themselves, or `dataclasses.replace` would pass on two values of one thing.

    Args:
      settings: The dataclass.
      aliases: From former names to today's.
    """
    init = settings.__init__

    @functools.wraps(init)
    def init_with_aliases(self, *args, **fields):
        for alias, name in aliases.items():
            given = fields.pop(alias, None)
            if given is None:
                continue
            if fields.get(name) is None:  # As `dataclasses.replace` hands on what was not given.
                fields[name] = given
            if fields[name] != given:
                raise InputError(
                    f"{alias} is the former name of {name}: give one of them. "
                    f"Received: {name}={fields[name]!r}, {alias}={given!r}"
                )
        init(self, *args, **fields)

    settings.__init__ = init_with_aliases
