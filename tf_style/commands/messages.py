"""What the programs say, through absl's logging: lines on stderr, or with --json objects on stdout.

absl's flags mean what absl says. `--log_dir` sends the messages to a file in that folder, and then to
stderr only those at `--stderrthreshold` (here warnings) and above.
"""

import contextlib
import json
import logging as standard_logging
import os
import sys
import warnings
from typing import Any

from absl import flags, logging

from tf_style.errors import InputError
from tf_style.files import shown

FLAGS = flags.FLAGS
_LEVELS = {"error": logging.ERROR, "warning": logging.WARNING}
_program = "stylize"
_as_json = False
_handlers: list[standard_logging.Handler] = []


@logging.skip_log_prefix
def emit(text: str, event: str = "message", **fields: Any) -> None:
    """Logs one message: "error" and "warning" at the level of that name, others as information.

    Args:
      text: In words.
      event: Its kind: "start", "level", "plan", "progress", "warning", "done", "error" or "message".
      **fields: With JSON, what else the object holds.
    """
    level = _LEVELS.get(event, logging.INFO)
    logging.log(level, "%s", " ".join(text.splitlines()), extra={"event": event, "fields": fields})


def json_output() -> bool:
    """Whether messages are objects, for programs."""
    return _as_json


def configure_output(program: str, *, as_json: bool = False, verbosity: int = logging.INFO) -> None:
    """Sends messages, Python's warnings and what other loggers pass on to where the flags say.

    Args:
      program: The name that each line begins with.
      as_json: Whether messages are objects on stdout.
      verbosity: absl's level of what is told, unless `--verbosity` was given.

    Raises:
      InputError: If there is no writing to `--log_dir`, or a flag would have no effect.
    """
    global _program, _as_json
    _program, _as_json = program, as_json
    FLAGS.mark_as_parsed()  # By argparse.
    FLAGS.set_default("stderrthreshold", "warning")
    if not FLAGS["verbosity"].present:
        logging.set_verbosity(verbosity)
    warnings.showwarning = _show_warning
    root = standard_logging.getLogger()
    for handler in _handlers:
        root.removeHandler(handler)
        handler.close()
    lines = _LineHandler()
    _handlers[:] = [_ObjectHandler()] if as_json else [lines]
    if as_json and (FLAGS.log_dir or FLAGS.logtostderr):
        _handlers.append(lines)
    for handler in _handlers:
        handler.addFilter(_is_told)
        root.addHandler(handler)
    has_file = bool(FLAGS.log_dir) and not FLAGS.logtostderr
    if has_file:
        try:
            lines.start_logging_to_file(program)
        except OSError as error:
            folder = shown(FLAGS.log_dir)
            raise InputError(f"--log_dir is a folder to write in. Received: {folder}") from error
    no_file = not has_file and "there is no log file (--log_dir)"
    no_lines = lines not in _handlers and "--json tells objects, and no lines"
    without_effect = {
        "alsologtostderr": no_file,
        "stderrthreshold": no_file,
        "showprefixforinfo": no_lines,
    }
    for name, reason in without_effect.items():
        if FLAGS[name].present and reason:
            raise InputError(f"--{name} would have no effect: {reason}.")


def ensure_stderr() -> None:
    """Opens a closed stderr (`2>&-`), so that no other file takes its place and its messages."""
    if sys.stderr is None:
        null = os.open(os.devnull, os.O_WRONLY)
        if null != 2:
            os.dup2(null, 2)
            os.close(null)
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)


class _LineHandler(logging.PythonHandler):
    """absl's, with lines of the program's own form on stderr. A log file keeps absl's."""

    _file: Any = None

    @property
    def stream(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The log file, or what stderr is by now: it is redirected now and then."""
        return self._file or sys.stderr

    @stream.setter
    def stream(self, stream: Any) -> None:
        self._file = None if stream is sys.stderr else stream

    def format(self, record: standard_logging.LogRecord) -> str:
        if self.stream is not sys.stderr:
            return super().format(record)
        if record.levelno == standard_logging.INFO and not FLAGS.showprefixforinfo:
            return _text(record)
        return f"{_program}: {_text(record)}"


class _ObjectHandler(standard_logging.Handler):
    def emit(self, record: standard_logging.LogRecord) -> None:
        # Those of other loggers, such as TensorFlow's, are of no kind but their level's.
        kind = record.levelname.lower() if record.levelno > standard_logging.INFO else "message"
        fields = {"event": getattr(record, "event", kind), **getattr(record, "fields", {})}
        # A closed pipe must not abort the run.
        with contextlib.suppress(OSError):
            print(json.dumps(fields | {"message": _text(record)}), flush=True)


def _is_told(record: standard_logging.LogRecord) -> bool:
    """Whether a record is to be shown: what TensorFlow notes by absl's logger is for --verbose."""
    is_aside = record.name == "absl" and not hasattr(record, "event")
    is_aside = is_aside and record.levelno <= standard_logging.INFO
    return not is_aside or logging.get_verbosity() > logging.INFO


def _text(record: standard_logging.LogRecord) -> str:
    text = standard_logging.Formatter().format(record)
    return f"warning: {text}" if record.levelno == standard_logging.WARNING else text


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    emit(str(message), "warning")
