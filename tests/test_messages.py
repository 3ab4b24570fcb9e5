"""What the programs say: absl's flags, levels, log files, and what TensorFlow's start-up says."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
# A program that says one thing at each level, and something by Python's warnings and another logger.
PROGRAM = """
import logging, sys, warnings
from absl import logging as absl_logging
from tf_style.commands import messages, runner

def body(arguments):
    absl_logging.debug("detail")
    messages.emit("two\\nlines", "done", size=3)
    warnings.warn("careful", UserWarning)
    logging.getLogger("another").info("aside")
    logging.getLogger("another").warning("odd")
    print(arguments.quiet, arguments.verbose, file=sys.stdout)
    return runner.fail("broken", 5)

parser = runner.Parser(prog="program", allow_abbrev=False)
runner.add_messages(parser).add_argument("--json", action="store_true")
sys.exit(runner.run(parser, body, None))
"""
INFORMATION = ["program: two lines"]
WARNINGS = ["program: warning: careful", "program: warning: odd"]
ERRORS = ["program: broken"]


def run(code, *flags):
    return subprocess.run(
        [sys.executable, "-c", code, *flags],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )


@pytest.mark.parametrize(
    ("flags", "expected", "quiet_and_verbose"),
    [
        ((), [*INFORMATION, *WARNINGS, *ERRORS], "False False"),
        (("--quiet",), [*WARNINGS, *ERRORS], "True False"),
        (("--verbosity=-1",), [*WARNINGS, *ERRORS], "True False"),
        (("--verbosity=-2",), ["program: warning: odd", *ERRORS], "True False"),
        (("--verbose",), ["program: detail", *INFORMATION, *WARNINGS, *ERRORS], "False True"),
        (("-v", "1"), ["program: detail", *INFORMATION, *WARNINGS, *ERRORS], "False True"),
        (("--noshowprefixforinfo",), ["two lines", *WARNINGS, *ERRORS], "False False"),
        (
            ("--logger_levels=another:INFO",),
            [*INFORMATION, WARNINGS[0], "program: aside", WARNINGS[1], *ERRORS],
            "False False",
        ),
        (("--logtostderr",), [*INFORMATION, *WARNINGS, *ERRORS], "False False"),
    ],
)
def test_verbosity_is_what_is_said(flags, expected, quiet_and_verbose):
    done = run(PROGRAM, *flags)
    assert done.returncode == 5
    assert done.stderr.splitlines() == expected
    assert done.stdout.split("\n") == [quiet_and_verbose, ""]


@pytest.mark.parametrize(
    ("flags", "on_stderr"),
    [
        ((), [*WARNINGS, *ERRORS]),
        (("--stderrthreshold=error",), ERRORS),
        (("--stderrthreshold=fatal",), []),
        (("--alsologtostderr",), [*INFORMATION, *WARNINGS, *ERRORS]),
        (("--logtostderr",), [*INFORMATION, *WARNINGS, *ERRORS]),
    ],
)
def test_a_log_file_has_all_messages_and_where_they_come_from(tmp_path, flags, on_stderr):
    done = run(PROGRAM, f"--log_dir={tmp_path}", *flags)
    assert done.stderr.splitlines() == on_stderr
    if "--logtostderr" in flags:
        assert list(tmp_path.iterdir()) == []
        return
    lines = (tmp_path / "program.INFO").read_text().splitlines()
    assert [re.sub(r"^(.)\d{4} .*\] ", r"\1 ", line) for line in lines] == [
        *("I two lines", "W careful", "W odd", "E broken"),
    ]
    assert "<string>:" in lines[0]  # The code above, not `messages.py`.


@pytest.mark.parametrize("flags", [(), ("--logtostderr",)])
def test_objects_hold_the_same(flags):
    done = run(PROGRAM, "--json", *flags)
    objects = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert objects == [
        {"event": "done", "size": 3, "message": "two lines"},
        {"event": "warning", "message": "warning: careful"},
        {"event": "warning", "message": "warning: odd"},
        {"event": "error", "exit_code": 5, "message": "broken"},
    ]
    assert done.stderr.splitlines() == ([*INFORMATION, *WARNINGS, *ERRORS] if flags else [])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--quiet", "--verbosity=1"), "--verbosity says what --quiet and --verbose say"),
        (("--alsologtostderr",), "--alsologtostderr would have no effect"),
        (("--stderrthreshold=error",), "--stderrthreshold would have no effect"),
        (("--log_dir=/none",), "--log_dir is a folder to write in. Received: /none"),
        (("--verbosity=loud",), "loud"),
        (("--stderrthreshold=loud",), "loud"),
        (("--logger_levels=another:LOUD",), "LOUD"),
    ],
)
def test_flags_that_would_do_nothing_are_refused(flags, message):
    done = run(PROGRAM, *flags)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert message in line


NOISE = """
import os, sys
from tf_style.commands import runner
from tf_style.errors import InputError
with runner.startup_noise_hidden():
    os.write(2, b"a native message\\n")
    print("Python's", file=sys.stderr)
    {end}
os.write(2, b"and after\\n")
"""


@pytest.mark.parametrize(
    ("end", "code", "is_shown"),
    [
        ("pass", 0, False),
        ("raise InputError('refused')", 1, False),
        ("raise RuntimeError('failed')", 1, True),
        ("os.abort()", -signal.SIGABRT, True),
        ("os.kill(os.getpid(), 11)", -signal.SIGSEGV, True),
    ],
)
def test_native_messages_at_start_up_are_shown_where_it_fails_even_by_an_abort(end, code, is_shown):
    done = run(NOISE.format(end=end))
    assert done.returncode == code
    assert done.stderr.startswith("Python's\n")
    assert ("a native message\n" in done.stderr) == is_shown
    assert ("and after\n" in done.stderr) == (code == 0)


@pytest.mark.parametrize("how", ["-Werror", "PYTHONWARNINGS"])
def test_warnings_that_python_is_told_to_raise_end_no_program(how):
    """Nor one that it starts."""
    code = PROGRAM.replace(
        "return runner", 'print(os.environ.get("PYTHONWARNINGS"), sys.warnoptions); return runner'
    )
    flags = [how] if how.startswith("-") else []
    done = subprocess.run(
        [sys.executable, *flags, "-c", f"import os{code}"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | ({} if flags else {how: "error"}),
        check=False,
    )
    assert done.returncode == 5
    assert done.stderr.splitlines() == [*INFORMATION, *WARNINGS, *ERRORS]
    assert done.stdout.splitlines()[-1] == "None []"
