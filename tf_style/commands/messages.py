"""What the program says: lines on stderr, or for programs objects on stdout. Imports no TensorFlow."""

import contextlib
import json
import os
import sys
from typing import Any

_program = "stylize"
_as_json = False


def set_up(program: str, *, as_json: bool = False) -> None:
    """Says which program each line comes from, and whether lines are objects."""
    global _program, _as_json
    _program, _as_json = program, as_json


def is_json() -> bool:
    """Whether lines are objects, for programs."""
    return _as_json


def say(text: str, event: str = "message", **fields: Any) -> None:
    """Says one thing on one line. That nobody reads it any more is no reason to lose a picture.

    Args:
      text: In words.
      event: With JSON, its kind: "start", "level", "progress", "warning", "done", "error" or
        "message".
      **fields: With JSON, what else the object holds.
    """
    text = " ".join(text.splitlines())
    with contextlib.suppress(OSError):
        if _as_json:
            print(json.dumps({"event": event, **fields, "message": text}), flush=True)
        else:
            print(f"{_program}: {text}", file=sys.stderr, flush=True)


def ensure_stderr() -> None:
    """Opens a closed stderr (`2>&-`), so that no other file takes its place and its messages."""
    if sys.stderr is None:
        null = os.open(os.devnull, os.O_WRONLY)
        if null != 2:
            os.dup2(null, 2)
            os.close(null)
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)
