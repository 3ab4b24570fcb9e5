"""Every bad input ends with one line and the right code, before TensorFlow, and leaves nothing."""

import os
import pathlib
import subprocess
import sys
import time

import bad_inputs
import pytest

from tf_style.commands import stylize

ROOT = pathlib.Path(__file__).parent.parent
STYLE = str(ROOT / "examples" / "style.jpg")


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    return bad_inputs.make(tmp_path_factory.mktemp("bad"))


def names() -> list[str]:
    # Which there are does not depend on where they are made.
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return list(bad_inputs.make(pathlib.Path(folder)))


NAMES = names()


def test_there_are_enough():
    assert len(NAMES) >= 120


@pytest.mark.parametrize("name", NAMES)
def test_ends_with_one_line_and_nothing_left(bad, tmp_path, capfd, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    # What a decoder makes something of, in spite of all, is too small for the deepest layer or is used:
    # 400 pixels wide at a size of 1 pixel nothing is large enough.
    arguments = ["--content", str(bad[name]), "--style", STYLE, "--output", "new.png", "--size", "1"]
    start = time.monotonic()
    code = stylize.main(arguments)
    seconds = time.monotonic() - start
    out, err = capfd.readouterr()
    lines = err.splitlines()
    assert code == 2
    assert out == ""
    assert lines
    assert all(line.startswith("stylize: ") for line in lines), err
    errors = [line for line in lines if not line.startswith("stylize: warning: ")]
    assert len(errors) == 1, err
    assert "Traceback" not in err
    # A generous limit that a decoder caught in a loop would exceed: it is stopped after two minutes.
    assert seconds < 60
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["jpg cut at 5 tenths", "png bomb of 65000 x 65000", "a pipe"])
def test_the_same_in_a_process(bad, tmp_path, name):
    command = [sys.executable, str(ROOT / "bin" / "stylize"), "--content", str(bad[name])]
    done = subprocess.run(
        [*command, "--style", STYLE, "--output", "new.png"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert os.listdir(tmp_path) == []
