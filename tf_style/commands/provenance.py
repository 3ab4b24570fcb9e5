"""What a picture was made from, and on what: checkpoints, traces, metadata."""

import dataclasses
import hashlib
import importlib.metadata
import json
import math
import os
import pathlib
import platform
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tf_style import files, host
from tf_style._version import __version__
from tf_style.commands.records import LISTS, as_dict, read_request
from tf_style.commands.request import Request
from tf_style.errors import InputError
from tf_style.files import reason_of, shown
from tf_style.student.stored import json_path
from tf_style.transfer import checkpoint
from tf_style.transfer.prepare import PreparedInputs
from tf_style.transfer.settings import fields_with_files, is_file_name

if TYPE_CHECKING:
    from tf_style.transfer.result import Evaluation, StylizeResult
    from tf_style.transfer.transfer import StyleTransfer

# Beside TensorFlow, the distributions whose versions a trace names.
_VERSIONED = ("tensorflow-probability", "keras", "numpy", "pillow")


@dataclasses.dataclass(frozen=True)
class Record:
    """What identifies a run, as checkpoints and traces store it.

    Attributes:
      request: As from `as_dict`, with absolute paths.
      inputs: As from `fingerprint`.
      run_on: As from `devices.run_on`.
      started: When the process started, or the first one of a resumed run, in seconds since the epoch.
    """

    request: dict[str, Any]
    inputs: dict[str, Any]
    run_on: dict[str, str]
    started: float


@dataclasses.dataclass(frozen=True, eq=False)
class Earlier:
    """A run that was stored and is to be resumed or repeated.

    Attributes:
      path: The checkpoint's folder, or the trace.
      source: What to call it in messages.
      request: What it was asked for.
      inputs: The fingerprint of its inputs, as it was stored.
      arrays: The state to go on from; None to begin anew.
      run_on: With a state, as from `devices.run_on`, and as it was stored.
      started: With a state, when the run started.
    """

    path: str
    source: str
    request: Request
    inputs: Any
    arrays: Mapping[str, Any] | None = None
    run_on: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    started: float = 0.0


def describe(request: Request) -> str:
    """How a picture was made, for its metadata: one line of JSON without the folders' names."""
    record = {name: value for name, value in as_dict(request).items() if value is not None}
    record.pop("trace", None)
    for name in ("content", "strength_mask", "student", "output", *fields_with_files(record)):
        if name in record:
            record[name] = pathlib.Path(record[name]).name
    for name in LISTS:
        record[name] = [None if path is None else pathlib.Path(path).name for path in record[name]]
    return json.dumps({"made_by": f"tf_style {__version__}", **record})


def fingerprint(request: Request, inputs: PreparedInputs) -> dict[str, Any]:
    """SHA-256 of all that goes into a run: the files by their absolute paths, and the weights."""
    weights = hashlib.sha256()
    for name, arrays in inputs.weights.items():
        weights.update(name.encode())
        for array in arrays:
            weights.update(array.tobytes())
    return {
        "files": {path: files.sha256(path) for path in _pictures(request)},
        "weights": weights.hexdigest(),
    }


def _pictures(request: Request) -> list[str]:
    """The absolute paths of what a run reads but for the weights, in the order of their parts."""
    paths = [request.content, *request.styles, *request.content_mask, *request.style_mask]
    paths += [*request.blend_mask, request.strength_mask]
    if is_file_name(request.objective.init):
        paths.append(request.objective.init)
    if request.student is not None:
        paths.append(str(json_path(request.student)))
    return [os.path.abspath(path) for path in paths if path is not None]


def require_same(earlier: Earlier, request: Request, found: dict[str, Any]) -> None:
    """Refuses to go on with other inputs than those of a stored run; they may have moved.

    Args:
      earlier: The stored run.
      request: What is asked for now.
      found: Its fingerprint.

    Raises:
      InputError: It says what differs.
    """
    stored, source = earlier.inputs, earlier.source
    if not isinstance(stored, dict) or not isinstance(stored.get("files"), dict):
        raise InputError(f"{source} does not say what its inputs were.")
    for before, path in zip(_pictures(earlier.request), _pictures(request), strict=True):
        if stored["files"].get(before) != found["files"][path]:
            raise InputError(f"{shown(path)} is not what it was when {source} was written.")
    if stored.get("weights") != found["weights"]:
        raise InputError(f"The network's weights are not those of {source}.")


def read_trace(path: str) -> Earlier:
    """The run of a trace, to be repeated.

    Raises:
      InputError: If it cannot be read.
    """
    try:
        trace = json.loads(pathlib.Path(path).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{shown(path)} is no trace: {reason_of(error)}") from error
    try:
        stored, inputs = trace["request"], trace["inputs"]
        known = {"levels": len(trace["levels"]), "precision": trace["device"]["precision"]}
    except (KeyError, TypeError) as error:
        raise InputError(f"{shown(path)} is no trace of this program.") from error
    source = f"the trace {shown(path)}"
    request = read_request(stored, source, **known)
    # A trace is not written over by the run that repeats it.
    return Earlier(path, source, dataclasses.replace(request, trace=None), inputs)


def read_checkpoint(folder: str) -> Earlier:
    """The run of the newest checkpoint in a folder, to be resumed.

    Raises:
      InputError: If there is none that is whole and known.
    """
    found = checkpoint.load(folder)
    source = f"the checkpoint in {shown(folder)}"
    try:
        # In format 1 a request was called arguments.
        key = "request" if "request" in found.request else "arguments"
        before = dict(found.request["run_on"])
        before["device"] = host.device_kind(before["device"])
        return Earlier(
            path=folder,
            source=source,
            request=read_request(found.request[key], source, precision=before["precision"]),
            inputs=found.request.get("inputs"),
            arrays=found.arrays,
            run_on=before,
            started=float(found.request["started"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{source} holds no request that this version knows.") from error


def write_trace(
    path: str,
    request: Request,
    transfer: "StyleTransfer",
    result: "StylizeResult",
    record: Record,
) -> None:
    """Writes the record of a run as JSON.

    Args:
      path: Where to.
      request: What was asked for.
      transfer: The transfer.
      result: Its result.
      record: What identifies the run; the trace's seconds count from when it started.

    Raises:
      TransferError: If it cannot be written.
    """
    import tensorflow as tf

    evaluations = [
        {
            "index": evaluation.index,
            "level": evaluation.level,
            "seconds": evaluation.time - record.started,
            **losses(evaluation),
        }
        for evaluation in result.evaluations
    ]
    trace = {
        "started": record.started,
        "request": record.request,
        "inputs": record.inputs,
        "arguments": as_dict(request),
        "levels": [dataclasses.asdict(pictures.level) for pictures in transfer.inputs.levels],
        "versions": {
            "tf_style": __version__,
            "python": platform.python_version(),
            "tensorflow": tf.__version__,  # Its distribution may have another name.
            **{name: importlib.metadata.version(name) for name in _VERSIONED},
        },
        "device": {
            "name": transfer.device,
            "precision": transfer.precision,
            "kernel": dataclasses.asdict(transfer.kernel),
            "machine": platform.platform(),
        },
        "status": result.status.name.lower(),
        "iterations": result.iterations,
        "final_evaluation": None if result.final is None else result.final.index,
        "evaluations": evaluations,
    }
    files.write_atomically(path, json.dumps(trace, indent=1, allow_nan=False).encode())


def losses(evaluation: "Evaluation") -> dict[str, float | None]:
    """The loss and its parts; None stands for infinity and NaN, which JSON cannot represent."""
    values = {name: getattr(evaluation, name) for name in ("loss", "content", "style", "tv")}
    return {name: value if math.isfinite(value) else None for name, value in values.items()}
