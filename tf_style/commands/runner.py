"""What the command-line programs share: parsing, messages, exit codes, signals. No TensorFlow here."""

import argparse
import contextlib
import itertools
import os
import re
import signal
import subprocess
import sys
import tempfile
import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

from absl import flags, logging
from absl.flags import argparse_flags

from tf_style import files
from tf_style.commands.messages import configure_output, emit, ensure_stderr
from tf_style.errors import InputError, TransferError

EXIT_FAILED = 1
EXIT_WRONG_REQUEST = 2
EXIT_INTERRUPTED = 130


# Why a flag that is given would have no effect beside the others, or None where it has one.
Effect = Callable[[argparse.Namespace], str | None]


def always(arguments: argparse.Namespace) -> str | None:
    """Has an effect on every run."""
    return None


def add_flag(group: Any, name: str, effect: Effect, **options: Any) -> None:
    """Adds a flag that says when it has an effect.

    Args:
      group: A parser or a group of one.
      name: The flag's.
      effect: As above; whether the flag was given at all is for the parser to know.
      **options: For `add_argument`.
    """
    group.add_argument(name, **options).effect = effect


class Parser(argparse_flags.ArgumentParser):
    """argparse with absl's flags, and one line where it would print the usage too."""

    def parse_known_args(self, args=None, namespace=None):
        """As argparse's, with the paths of flag files as `flag_files`."""
        try:
            namespace, rest = super().parse_known_args(args, namespace)
        except (flags.Error, ValueError, OSError) as error:  # Such as a --flagfile that is not there.
            self.error(files.reason_of(error))
        namespace.flag_files = _flag_files(sys.argv[1:] if args is None else args)
        return namespace, rest

    def check_effects(self, arguments: argparse.Namespace) -> None:
        """Refuses flags that would have no effect, as each says itself: see `add_flag`.

        Raises:
          InputError: It names the first, and says why.
        """
        for action in self._actions:
            effect: Effect = getattr(action, "effect", always)
            is_given = getattr(arguments, action.dest, action.default) != action.default
            if is_given and (reason := effect(arguments)):
                name = action.option_strings[0]
                raise InputError(f"{name} would have no effect: {reason}.")

    def error(self, message: str) -> NoReturn:
        """Ends the program."""
        self.exit(fail(f"{message} (see --help)", EXIT_WRONG_REQUEST))


def _on_quiet(arguments: argparse.Namespace) -> str | None:
    return "a dry run is there to tell" if getattr(arguments, "dry_run", False) else None


def add_messages(parser: argparse.ArgumentParser) -> Any:
    """Adds the flags that say how much to tell; returns the group of those that exclude each other."""
    output = parser.add_argument_group("messages")
    add_flag(output, "--debug", always, action="store_true", help="a traceback with an error")
    amount = output.add_mutually_exclusive_group()
    add_flag(
        *(amount, "--quiet", _on_quiet),
        action="store_true",
        help="only errors and warnings, as --verbosity=-1",
    )
    add_flag(
        *(amount, "--verbose", always),
        action="store_true",
        help="also the set-up, and TensorFlow's; as --verbosity=1",
    )
    return amount


def add_json(amount: Any) -> None:
    """Adds the flag for programs that read the messages.

    Args:
      amount: As from `add_messages`.
    """
    add_flag(
        *(amount, "--json", always),
        action="store_true",
        help="an object a line on stdout, for programs",
    )


def run(
    parser: Parser,
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
    # Before Keras is imported, which reads it once.
    os.environ["KERAS_BACKEND"] = "tensorflow"
    if argv is None:
        _never_raise_warnings()
    for flag in flags.FLAGS.get_flags_for_module(logging.__name__):
        flag.unparse()  # Of an earlier call in this process.
    configure_output(parser.prog)
    arguments = parser.parse_args(sys.argv[1:] if argv is None else argv)
    try:
        _configure(parser.prog, arguments)
        parser.check_effects(arguments)
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


def _never_raise_warnings() -> None:
    """Tells warnings where `-W error` or PYTHONWARNINGS would raise them: they end no run.

    That is meant for Python programs in the making, and TensorFlow Probability does not even import so.
    Of this process and those that it starts.
    """
    if any(action == "error" for action, *_ in warnings.filters):
        os.environ.pop("PYTHONWARNINGS", None)
        sys.warnoptions.clear()
        warnings.resetwarnings()
        for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", category)


def _flag_files(argv: Sequence[str]) -> list[str]:
    """The files of `--flagfile=FILE` and `--flagfile FILE`."""
    pairs = itertools.pairwise([*argv, ""])
    named = (
        following if each in ("--flagfile", "-flagfile") else each.partition("flagfile=")[2]
        for each, following in pairs
        if re.match("--?flagfile(=|$)", each)
    )
    return [os.path.expanduser(path) for path in named if path]


def _configure(program: str, arguments: argparse.Namespace) -> None:
    """Makes one of --quiet, --verbose and --verbosity: each of them says what the others would."""
    if flags.FLAGS["verbosity"].present and (arguments.quiet or arguments.verbose):
        raise InputError("--verbosity says what --quiet and --verbose say: give one of them.")
    verbosity = (
        logging.WARNING if arguments.quiet else logging.DEBUG if arguments.verbose else logging.INFO
    )
    configure_output(program, as_json=getattr(arguments, "json", False), verbosity=verbosity)
    arguments.quiet = logging.get_verbosity() < logging.INFO
    arguments.verbose = logging.get_verbosity() > logging.INFO


def fail(message: str, code: int) -> int:
    """Says what went wrong, and returns the code."""
    emit(message, "error", exit_code=code)
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
        # With the default handlers a second signal kills at once, even inside TensorFlow.
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


# Says what is in a file, unless it is told not to before the process that could do so ends.
_WATCH = 'exec 3<"$1"; rm -f "$1"; read -r verdict || cat <&3'


@contextlib.contextmanager
def startup_noise_hidden() -> Iterator[None]:
    """Keeps TensorFlow's messages at start-up from the terminal, unless starting fails.

    Some come before its own log level is in force, so the file descriptor itself is turned away. What
    Python writes, such as our own warnings, still arrives. A native abort gives this process no time to
    say why, so another one shows what was hidden.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    descriptor, path = tempfile.mkstemp()
    with (
        open(descriptor, "wb") as noise,
        open(os.dup(2), "w", buffering=1, errors="backslashreplace") as terminal,
        subprocess.Popen(
            ["/bin/sh", "-c", _WATCH, "sh", path], stdin=subprocess.PIPE, stdout=terminal
        ) as watcher,
        contextlib.redirect_stderr(terminal),
    ):
        os.dup2(noise.fileno(), 2)
        verdict = b"hide\n"
        try:
            yield
        except InputError:
            raise
        except BaseException:
            verdict = b""
            raise
        finally:
            os.dup2(terminal.fileno(), 2)
            watcher.communicate(verdict)
