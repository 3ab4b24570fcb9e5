"""Reading in a process of its own: the same picture, the same words, and a crash that is a message."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tf_style import InputError
from tf_style.commands import sandbox
from tf_style.images import reading

ROOT = pathlib.Path(__file__).parent.parent


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_the_picture_is_what_would_be_read_here(tmp_path, mode):
    pixels = np.random.default_rng(0).integers(0, 256, (7, 9, 4), np.uint8)
    path = tmp_path / "picture.png"
    Image.fromarray(pixels, "RGBA").convert(mode).save(path)
    found, expected = sandbox.read(path), reading.read(path)
    np.testing.assert_array_equal(found.pixels, expected.pixels)
    if mode == "RGBA":
        np.testing.assert_array_equal(found.alpha, expected.alpha)
    else:
        assert found.alpha is None
    assert sandbox.read(found) is found


def test_warnings_come_through(tmp_path):
    path = tmp_path / "moving.gif"
    frames = [Image.new("L", (4, 4), level) for level in (0, 99)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    with pytest.warns(UserWarning, match=r"moving\.gif.* several frames"):
        sandbox.read(path)


def test_warnings_come_through_where_they_are_errors(tmp_path, monkeypatch):
    """So that this process decides, and not the one that decodes."""
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    test_warnings_come_through(tmp_path)


@pytest.mark.parametrize("name", ["missing.png", "with\nnewline.png"])
def test_errors_come_through_in_one_line(tmp_path, name):
    with pytest.raises(InputError, match="does not exist") as error:
        sandbox.read(tmp_path / name)
    assert "\n" not in str(error.value)


def test_a_crash_is_an_error_that_names_the_file(tmp_path, monkeypatch):
    child = tmp_path / "python"
    child.write_text("#!/bin/sh\nkill -SEGV $$\n")
    child.chmod(0o755)
    monkeypatch.setattr(sandbox.sys, "executable", str(child))
    with pytest.raises(InputError, match=r"photo\.jpg cannot be decoded: its decoder broke down"):
        sandbox.read("photo.jpg")


def test_the_child_is_limited():
    """So that a picture that asks for more fails there, and not here."""
    code = (
        "import resource, sys; from tf_style.commands import sandbox\n"
        "sys.argv = ['child', 'picture', 'missing.png', '9']\n"
        "try: sandbox.main()\n"
        "except SystemExit: print(resource.getrlimit(resource.RLIMIT_AS)[0])"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert 0 < int(done.stdout) <= sandbox.MAX_ADDRESS_SPACE


def test_weights_that_send_their_reader_in_circles_are_an_error(monkeypatch):
    """Found by fuzzing: the HDF5 library never returns from this file."""
    monkeypatch.setattr(sandbox, "WEIGHTS_SECONDS", 3)
    with pytest.raises(InputError, match="endless.h5 cannot be decoded: its decoder broke down"):
        sandbox.probe_weights(str(ROOT / "tests" / "data" / "endless.h5"))


@pytest.mark.parametrize("begun", [b"", sandbox._HEADER.pack(2, 3, False) + bytes(5)])
def test_a_drive_that_does_not_answer_is_an_error(tmp_path, monkeypatch, begun):
    """Before the first byte, or in the middle of the picture."""
    (tmp_path / "begun").write_bytes(begun)
    child = tmp_path / "python"
    child.write_text(f"#!/bin/sh\ncat {tmp_path / 'begun'}\nexec sleep 300\n")
    child.chmod(0o755)
    monkeypatch.setattr(sandbox.sys, "executable", str(child))
    monkeypatch.setattr(sandbox, "WALL_CLOCK_SECONDS", 1)
    with pytest.raises(InputError, match=r"photo\.jpg cannot be read: it took more than 1 s") as error:
        sandbox.read("photo.jpg")
    assert "\n" not in str(error.value)
