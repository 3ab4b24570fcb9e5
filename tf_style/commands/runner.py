"""What the command-line programs share: parsing, messages, exit codes, signals. No TensorFlow here."""

import argparse
import contextlib
import os
import signal
import sys
import tempfile
import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

from absl import flags, logging  # noqa: F401  Logging brings --verbosity and its like.
from absl.flags import argparse_flags

from tf_style.commands.messages import ensure_stderr, say, set_up
from tf_style.errors import InputError, TransferError

EXIT_FAILED = 1
EXIT_WRONG_REQUEST = 2
EXIT_INTERRUPTED = 130


class Parser(argparse_flags.ArgumentParser):
    """argparse with absl's flags, and one line where it would print the usage too."""

    def parse_known_args(self, args=None, namespace=None):
        """As argparse's."""
        try:
            return super().parse_known_args(args, namespace)
        except flags.Error as error:  # Such as a --flagfile that is not there.
            self.error(str(error))

    def error(self, message: str) -> NoReturn:
        """Ends the program."""
        self.exit(fail(f"{message} (see --help)", EXIT_WRONG_REQUEST))


def add_messages(parser: argparse.ArgumentParser) -> Any:
    """Adds the flags that say how much to tell; returns the group of those that exclude each other."""
    output = parser.add_argument_group("messages")
    output.add_argument("--debug", action="store_true", help="a traceback with an error")
    amount = output.add_mutually_exclusive_group()
    amount.add_argument("--quiet", action="store_true", help="only errors and warnings")
    amount.add_argument("--verbose", action="store_true", help="also the set-up, and TensorFlow's")
    return amount


def run(
    parser: argparse.ArgumentParser,
    body: Callable[[argparse.Namespace], int],
    argv: Sequence[str] | None,
) -> int:
    """Parses the arguments, runs the program and turns what it raises into a line and an exit code.

    Args:
      parser: With `add_messages`' flags.
      body: From the arguments to the exit code.
      argv: Arguments without the program's name; None for the process's own.

    Returns:
      The exit code: the body's; 1 for a failed run; 2 for a wrong request; 130 after Ctrl-C.
    """
    ensure_stderr()
    set_up(parser.prog)
    arguments = parser.parse_args(sys.argv[1:] if argv is None else argv)
    set_up(parser.prog, as_json=getattr(arguments, "json", False))
    warnings.showwarning = _show_warning
    try:
        return body(arguments)
    except KeyboardInterrupt:
        return fail("interrupted", EXIT_INTERRUPTED)
    except Exception as error:
        if arguments.debug:
            raise
        if isinstance(error, InputError):
            return fail(str(error), EXIT_WRONG_REQUEST)
        if isinstance(error, TransferError):
            return fail(str(error), EXIT_FAILED)
        text = " ".join(str(error).split())
        return fail(f"{type(error).__name__}: {text} (--debug shows where)", EXIT_FAILED)


def fail(message: str, code: int) -> int:
    """Says what went wrong, and returns the code."""
    say(message, "error", exit_code=code)
    return code


class Stop:
    """Whether a signal has asked the program to end. Calling it tells.

    Attributes:
      exit_code: What it then ends with: 128 and the signal's number, as a shell would say.
    """

    def __init__(self):
        """No signal has come yet."""
        self.exit_code = 0

    def __call__(self) -> bool:
        """Whether one has."""
        return self.exit_code != 0

    def _handle(self, number: int, frame: types.FrameType | None) -> None:
        self.exit_code = 128 + number
        # The system's own answer to a second one does not wait for TensorFlow to return to Python.
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_DFL)


@contextlib.contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """The first Ctrl-C or SIGTERM asks the run to stop; a second one ends the program at once."""
    stop = Stop()
    previous = {each: signal.signal(each, stop._handle) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for each, handler in previous.items():
            signal.signal(each, handler)


@contextlib.contextmanager
def startup_noise_hidden() -> Iterator[None]:
    """Keeps TensorFlow's messages at start-up from the terminal, unless starting fails.

    Some come before its own log level is in force, so the file descriptor itself is turned away. What
    Python writes, such as our own warnings, still arrives.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    with (
        tempfile.TemporaryFile() as noise,
        open(os.dup(2), "w", buffering=1, errors="backslashreplace") as terminal,
        contextlib.redirect_stderr(terminal),
    ):
        os.dup2(noise.fileno(), 2)
        try:
            yield
        except InputError:
            raise
        except BaseException:
            noise.seek(0)
            terminal.buffer.write(noise.read())
            raise
        finally:
            os.dup2(terminal.fileno(), 2)


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    say(f"warning: {message}", "warning")
