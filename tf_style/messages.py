"""What the program says, on stderr, one line at a time. Imports no TensorFlow."""

import contextlib
import os
import sys

_program = "stylize"


def name_program(name: str) -> None:
    """Says which program each line comes from."""
    global _program
    _program = name


def say(text: str) -> None:
    """Says one thing on one line. That nobody reads it any more is no reason to lose a picture."""
    with contextlib.suppress(OSError):
        print(f"{_program}: {' '.join(text.splitlines())}", file=sys.stderr, flush=True)


def ensure_stderr() -> None:
    """Opens a closed stderr (`2>&-`), so that no other file takes its place and its messages."""
    if sys.stderr is None:
        null = os.open(os.devnull, os.O_WRONLY)
        if null != 2:
            os.dup2(null, 2)
            os.close(null)
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)
