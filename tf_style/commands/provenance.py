"""What a run was asked for, as data: to store it, to tell it apart, to repeat it; no TensorFlow."""

import argparse
import dataclasses
import hashlib
import json
import os
import pathlib
from typing import Any

from tf_style.errors import InputError
from tf_style.files import reason_of, shown
from tf_style.transfer.prepare import PreparedInputs
from tf_style.transfer.settings import ALIASES, Settings, fields_with_files, is_file_name

# How a run is told about or kept, not what it makes.
_ASIDE = (
    *("debug", "quiet", "verbose", "json", "memory_check", "dry_run"),
    *("checkpoint", "checkpoint_every", "resume", "from_trace"),
)
_FILES = ("content", "output", "trace")
_SETTINGS = {field.name: field.default for field in dataclasses.fields(Settings)}


def describe(arguments: argparse.Namespace) -> dict[str, Any]:
    """The flags that say what to make, without those that were left out."""
    return {
        name: value
        for name, value in vars(arguments).items()
        if name not in _ASIDE and value is not None
    }


def with_full_paths(request: dict[str, Any]) -> dict[str, Any]:
    """A request that can be repeated from another folder."""
    full = dict(request)
    for name in _FILES:
        if name in full:
            full[name] = os.path.abspath(full[name])
    full["style"] = [os.path.abspath(path) for path in request.get("style", [])]
    for name in fields_with_files(full):
        full[name] = os.path.abspath(full[name])
    return full


def repeat(stored: Any, arguments: argparse.Namespace, source: str) -> argparse.Namespace:
    """The arguments of a stored request.

    Args:
      stored: As from `describe`, through JSON.
      arguments: Of this process; what it says beside the stored request must agree with it, but for
        the files to write and the cluster to use, which may have another address by now.
      source: What holds the request, for messages.

    Returns:
      Arguments as if the stored ones had been given here.

    Raises:
      InputError: If the stored request is not one, or the two differ.
    """
    known = {*_FILES, *_SETTINGS, *ALIASES, "style", "bit_depth", "save_every", "deterministic"}
    if not isinstance(stored, dict) or not set(stored) <= known:
        raise InputError(f"{source} holds no request that this version knows.")
    stored = {ALIASES.get(name, name): value for name, value in stored.items()}
    result = argparse.Namespace(**vars(arguments))
    for name, value in stored.items():
        if isinstance(value, list) and name != "style":
            value = tuple(value)
        if name in _SETTINGS and value == _SETTINGS[name]:
            continue
        given = getattr(arguments, name, None)
        is_given = given not in (None, [], False) and not (name == "bit_depth" and given == 8)
        if is_given and name in ("output", "trace", "ray"):
            continue
        if is_given and _comparable(name, given) != _comparable(name, value):
            raise InputError(
                f"--{name.replace('_', '-')} differs from what {source} holds, {value!r}. "
                f"Received: {given!r}"
            )
        setattr(result, name, value)
    for name, value in vars(arguments).items():
        if name in _SETTINGS and name not in stored and name != "ray":
            raise InputError(
                f"--{name.replace('_', '-')} is not in what {source} holds. Received: {value!r}"
            )
    return result


def fingerprint(arguments: argparse.Namespace, inputs: PreparedInputs) -> dict[str, Any]:
    """SHA-256 of all that goes into a run: the files by their paths, and the weights."""
    paths = [arguments.content, *arguments.style]
    if is_file_name(inputs.preset.init):
        paths.append(inputs.preset.init)
    weights = hashlib.sha256()
    for name, arrays in inputs.weights.items():
        weights.update(name.encode())
        for array in arrays:
            weights.update(array.tobytes())
    return {
        "files": {os.path.abspath(path): _sha256(path) for path in paths if path is not None},
        "weights": weights.hexdigest(),
    }


def check_same(stored: Any, found: dict[str, Any], source: str) -> None:
    """Refuses to go on with other inputs than those of a stored fingerprint.

    Raises:
      InputError: It says what differs.
    """
    if not isinstance(stored, dict) or not isinstance(stored.get("files"), dict):
        raise InputError(f"{source} does not say what its inputs were.")
    for path, digest in found["files"].items():
        if stored["files"].get(path) != digest:
            raise InputError(f"{shown(path)} is not what it was when {source} was written.")
    if stored.get("weights") != found["weights"]:
        raise InputError(f"The network's weights are not those of {source}.")


def read_trace(path: str) -> dict[str, Any]:
    """The trace of an earlier run.

    Raises:
      InputError: If it cannot be read.
    """
    try:
        trace = json.loads(pathlib.Path(path).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{shown(path)} is no trace: {reason_of(error)}") from error
    if not isinstance(trace, dict) or "request" not in trace or "inputs" not in trace:
        raise InputError(f"{shown(path)} is no trace of this program.")
    return trace


def _comparable(name: str, value: Any) -> Any:
    if name in _FILES or (name in ("init", "weights") and os.path.exists(value)):
        return os.path.abspath(value)
    if name == "style":
        return [os.path.abspath(path) for path in value]
    return value


def _sha256(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{shown(path)} cannot be read: {reason_of(error)}") from error
