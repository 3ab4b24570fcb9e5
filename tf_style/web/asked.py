"""From what a client asks for, in JSON, to a `Request`, and to the `stylize` line of the same."""

import dataclasses
import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from tf_style.commands.flags import flag
from tf_style.commands.request import Request
from tf_style.errors import InputError
from tf_style.objective.presets import PRESETS
from tf_style.student import effects
from tf_style.transfer.setting_fields import allowed
from tf_style.transfer.settings import Settings, is_file_name
from tf_style.web.store import Store

CHECKPOINT_SECONDS = 20.0
MAX_STYLES = 8
# Settings that name files or other machines are not the client's to choose.
_NOT_ASKED = {"weights", "ray", "device", "style_part"}
SETTINGS = tuple(name for name in Settings.__dataclass_fields__ if name not in _NOT_ASKED)
_LISTS = ("styles", "content_mask", "style_mask", "blend_mask")
_ONES = ("content", "strength_mask")
_OTHERS = {
    **{"settings": dict, "bit_depth": int, "checkpoint_every": float},
    **{"deterministic": bool, "coarse_and_fine": bool, "student": str},
}


def make_request(asked: Any, store: Store, run: str) -> Request:
    """The request that JSON asks for.

    Args:
      asked: As from `settled`: an object of `content`, `styles`, `content_mask`, `style_mask`,
        `blend_mask` and `strength_mask` (names of pictures in the store), `coarse_and_fine` (of two
        styles, the forms of one with the brushwork of the other), `student` (its name, not a path:
        it makes the picture, or with an `init` of "student" the start), `bit_depth`, `deterministic`,
        `checkpoint_every`, as of `Request`, and `settings`, an object of fields of `Settings`; all may
        be left out.
      store: Where the pictures are, and the run's folder.
      run: The run's name.

    Raises:
      InputError: If `Settings` or `Request.make` refuses it, or a picture is not there.
    """
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in asked.get("settings", {}).items()
    }
    if unknown := given.keys() - set(SETTINGS):
        raise InputError(f"settings has {', '.join(sorted(unknown))}. Expected: {', '.join(SETTINGS)}")
    if isinstance(init := given.get("init"), str) and is_file_name(init):
        given["init"] = store.find(init).path
    if asked.get("coarse_and_fine"):
        given["style_part"] = ("coarse", "fine")

    def path(key: str | None) -> str | None:
        return None if key is None else store.find(key).path

    folder = store.run_folder(run)
    request = Request.make(
        content=path(asked.get("content")),
        styles=[path(key) for key in asked.get("styles", ())],
        output=str(folder / "picture.png"),
        settings=Settings(**given),
        given=given.keys(),
        **{name: [path(key) for key in asked.get(name, ())] for name in _LISTS[1:]},
        strength_mask=path(asked.get("strength_mask")),
        bit_depth=asked.get("bit_depth", 8),
        deterministic=asked.get("deterministic", False),
        student=store.student(asked["student"]) if "student" in asked else None,
    )
    if request.is_by_student:
        return request  # In one pass: there is nothing to go on from.
    return dataclasses.replace(
        request,
        checkpoint=str(folder / "checkpoint"),
        checkpoint_every=asked.get("checkpoint_every", CHECKPOINT_SECONDS),
    )


def settled(asked: Any, store: Store) -> dict[str, Any]:
    """The same, with pictures of runs as uploads of their own: those runs may be deleted.

    Raises:
      InputError: If it is no such object, or a picture is not there.
    """
    check_shape(asked)

    def name(key: str | None) -> str | None:
        return None if key is None else store.settle(key).id

    ones = {each: name(asked[each]) for each in _ONES if each in asked}
    lists = {each: [name(key) for key in asked[each]] for each in _LISTS if each in asked}
    settings = dict(asked.get("settings", {}))
    if isinstance(init := settings.get("init"), str) and is_file_name(init):
        settings["init"] = name(init)
    return {**asked, **ones, **lists, "settings": settings}


def pictures(asked: Mapping[str, Any]) -> list[str]:
    """The names of the pictures that are asked for."""
    keys = [asked.get(name) for name in _ONES] + [key for name in _LISTS for key in asked.get(name, ())]
    if isinstance(init := asked.get("settings", {}).get("init"), str) and is_file_name(init):
        keys.append(init)
    return [key for key in keys if key is not None]


def check_shape(asked: Any) -> None:
    """Refuses what is no object of the right types."""
    if not isinstance(asked, dict):
        raise InputError("A run is asked for by a JSON object.")
    if unknown := asked.keys() - {*_LISTS, *_ONES, *_OTHERS}:
        raise InputError(f"A run has no {', '.join(sorted(unknown))}.")
    for name in _LISTS:
        keys = asked.get(name, [])
        if not isinstance(keys, list) or not all(isinstance(key, str | None) for key in keys):
            raise InputError(f"{name} is a list of names of pictures. Received: {keys!r}")
        if len(keys) > MAX_STYLES:
            raise InputError(f"{name} has {MAX_STYLES} at most. Received: {len(keys)}")
    for name in _ONES:
        if not isinstance(asked.get(name), str | None):
            raise InputError(f"{name} is the name of a picture. Received: {asked[name]!r}")
    for name, kind in _OTHERS.items():
        # JSON knows one kind of numbers.
        allowed_kinds = (int, float) if kind is float else (kind,)
        if name in asked and type(asked[name]) not in allowed_kinds:
            raise InputError(f"{name} is of the wrong type. Received: {asked[name]!r}")
    if not 0 <= asked.get("checkpoint_every", CHECKPOINT_SECONDS) < math.inf:
        raise InputError(
            f"checkpoint_every is a number of seconds from 0. Received: {asked['checkpoint_every']}"
        )
    if asked.get("bit_depth", 8) not in (8, 16):
        raise InputError(f"bit_depth is 8 or 16. Received: {asked['bit_depth']}")


def command_line(request: Request) -> str:
    """The line for a shell that makes a request's picture, to the same bits.

    Args:
      request: As from `make_request`.
    """
    words = ["stylize"]

    def add(name: str, paths: Sequence[str | None]) -> None:
        for path in paths:
            words.extend((name, "none" if path is None else path))

    def add_one(name: str, path: str | None) -> None:
        add(name, [] if path is None else [path])

    settings = request.settings
    add_one("--content", request.content)
    if settings.style_part is None:
        add("--style", request.styles)
    else:
        for part, path in zip(settings.style_part, request.styles, strict=True):
            add(f"--{part}-style", [path])
    add("--content-mask", request.content_mask)
    add("--style-mask", request.style_mask)
    add("--style-blend", request.blend_mask)
    add_one("--strength-mask", request.strength_mask)
    add_one("--student", request.student)
    for name in SETTINGS:
        value = getattr(settings, name)
        if value != Settings.__dataclass_fields__[name].default:
            words.extend(_words(name, value))
    if request.bit_depth != 8:
        words += ["--bit-depth", str(request.bit_depth)]
    words += ["--deterministic"] if request.deterministic else []
    return shlex.join([*words, "--output", "stylized.png"])


def _words(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [flag(name) if value else flag(f"no_{name}")]
    return [flag(name), ",".join(map(_word, value)) if isinstance(value, tuple) else _word(value)]


def _word(value: Any) -> str:
    return repr(value) if isinstance(value, float) else str(value)


def settings_for_page(*, has_students: bool) -> list[dict[str, Any]]:
    """Of each setting its name, help, default, kind and choices, and whether a student heeds it."""
    return [_for_page(name, has_students) for name in SETTINGS]


# In the order in which they tell.
_KINDS: dict[Any, str] = {
    tuple[float, ...]: "numbers",
    tuple[str, ...]: "words",
    bool: "yes or no",
    int: "whole number",
    float: "number",
}


def _for_page(name: str, has_students: bool) -> dict[str, Any]:
    metadata = Settings.__dataclass_fields__[name].metadata
    kinds, choices = allowed(Settings, name)
    if name == "init" and not has_students:
        choices = [each for each in choices if each != "student"]
    return {
        "name": name,
        "help": metadata["help"],
        "default": metadata["default"],
        "kind": next((word for kind, word in _KINDS.items() if kind in kinds), "word"),
        "choices": list(choices),
        "of_students": name in effects.OF_STUDENTS,
    }


def presets_for_page() -> dict[str, str]:
    """The presets, and where each comes from."""
    return {name: preset.source for name, preset in PRESETS.items()}


def file_names(message: str, store: Store) -> str:
    """A message without the store's folders."""
    for folder in (store.folder / "uploads", store.folder / "runs"):
        message = message.replace(f"{folder}/", "")
    return message
