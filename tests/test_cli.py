"""The command line: bad requests before TensorFlow is imported, and real runs in processes."""

import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from tf_style import PRESETS, Settings, cli

ROOT = pathlib.Path(__file__).parent.parent
CONTENT = str(ROOT / "examples" / "chelsea.jpg")
STYLE = str(ROOT / "examples" / "style.jpg")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with files to trip over."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.jpg").write_text("I am no picture.\n")
    (tmp_path / "empty.png").write_bytes(b"")
    data = pathlib.Path(CONTENT).read_bytes()
    (tmp_path / "truncated.jpg").write_bytes(data[: len(data) // 2])
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    (tmp_path / "bomb.png").write_bytes(png_of_zeros(20_000, 20_000))
    (tmp_path / "short.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(64))
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "fifo.png")
    (tmp_path / "old.png").write_bytes(b"precious")
    return tmp_path


def png_of_zeros(width, height):
    """A valid one-bit PNG whose file is a few kB a hundred megapixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((width // 8 + 1) * height), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def request(*extra, content=CONTENT, style=STYLE, output="new.png"):
    arguments = []
    for flag, value in (("--content", content), ("--style", style), ("--output", output)):
        if value is not None:
            arguments += [flag, value]
    return [*arguments, *extra]


BAD_REQUESTS = {
    "no output": (request(output=None), "--output"),
    "no images": (request(content=None, style=None), "content image"),
    "missing content": (request(content="none.jpg"), "none.jpg"),
    "missing style": (request(style="none.jpg"), "none.jpg"),
    "missing init": (request("--init", "none.jpg"), "none.jpg"),
    "text as content": (request(content="text.jpg"), "text.jpg"),
    "empty content": (request(content="empty.png"), "empty.png"),
    "truncated content": (request(content="truncated.jpg"), "truncated.jpg"),
    "truncated style": (request(style="truncated.jpg"), "truncated.jpg"),
    "folder as content": (request(content="folder.png"), "folder.png"),
    "pipe as content": (request(content="fifo.png"), "fifo.png"),
    "bomb": (request(content="bomb.png"), "20000 x 20000"),
    "too small to transfer": (request("--size", "8"), "16"),
    "strip": (request(content="dot.png", style="old.png"), "old.png"),
    "small style": (request("--style-scale", "0.01"), "16"),
    "unknown layer": (request("--content-layers", "conv9_9"), "conv9_9"),
    "weights of the wrong length": (request("--weights", "short.h5"), "short.h5"),
    "missing weights": (request("--weights", "none.h5"), "none.h5"),
    "negative size": (request("--size", "-5"), "-5"),
    "size that is no number": (request("--size", "large"), "large"),
    "negative weight": (request("--content-weight", "-1"), "content_weight"),
    "weight that is no number": (request("--style-weight", "nan"), "style_weight"),
    "list that is no list": (request("--style-layer-weights", "1,two"), "two"),
    "list of another length": (request("--style-layer-weights", "1,2"), "style_layer_weights"),
    "unknown preset": (request("--preset", "monet"), "monet"),
    "unknown flag": (request("--colour"), "--colour"),
    "abbreviated flag": (request("--cont", "x.jpg"), "--cont"),
    "unwritable folder": (request(output="none/new.png"), "none/new.png"),
    "output is a folder": (request(output="folder.png"), "folder.png"),
    "unknown extension": (request(output="new.xyz"), "new.xyz"),
    "no extension": (request(output="new"), "new"),
    "16 bits in a JPEG": (request("--bit-depth", "16", output="new.jpg"), "16"),
    "unwritable trace": (request("--trace", "none/trace.json"), "none/trace.json"),
    "trace over output": (request("--trace", "./new.png"), "--trace"),
    "snapshots never": (request("--save-every", "0"), "--save-every"),
    "snapshots too late": (request("--save-every", "9", "--iterations", "9"), "--save-every"),
    "no iterations": (request("--iterations", "0"), "iterations"),
    "seed without noise": (request("--seed", "1"), "seed"),
    "blend of one": (request("--style-blend", "1"), "style_blend"),
    "scale of a stretched style": (
        request("--style-fit", "stretch", "--style-scale", "2"),
        "style_scale",
    ),
    "content weight without content": (request("--content-weight", "1", content=None), "content"),
    "style weight without style": (request("--style-weight", "1", style=None), "style"),
    "start from no content": (request("--init", "content", content=None), "init"),
    "quiet and verbose": (request("--quiet", "--verbose"), "--quiet"),
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_a_bad_request_gets_one_line_and_changes_nothing(folder, capsys, name):
    arguments, expected = BAD_REQUESTS[name]
    before = sorted(folder.iterdir())
    try:
        code = cli.main(arguments)
    except SystemExit as stop:  # argparse's own way out.
        code = stop.code
    output = capsys.readouterr()
    assert code == 2
    assert output.out == ""
    assert output.err.startswith("stylize: ")
    assert output.err.count("\n") == 1
    assert output.err.endswith("\n")
    assert expected in output.err
    assert sorted(folder.iterdir()) == before


def test_a_bad_request_leaves_the_old_output_alone_and_tensorflow_unimported(folder):
    code = (
        "import sys; from tf_style import cli; "
        f"code = cli.main({request(content='text.jpg', output='old.png')!r}); "
        "sys.exit(99 if 'tensorflow' in sys.modules else code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env=environment(), check=False
    )
    assert done.returncode == 2, done.stderr
    assert (folder / "old.png").read_bytes() == b"precious"


def test_help_gives_the_librarys_defaults_without_numpy(capsys):
    code = (
        "import sys\nfrom tf_style import cli\ntry: cli.main(['--help'])\nexcept SystemExit: pass\n"
        "sys.exit(99 if {'tensorflow', 'numpy'} & set(sys.modules) else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment(COLUMNS="200"),
        check=False,
    )
    assert done.returncode == 0
    text = " ".join(done.stdout.split())
    assert f"working size, in pixels (default: {Settings.size})" in text
    assert f"of the optimiser (default: {Settings.iterations})" in text
    for name in PRESETS:
        assert name in text


def environment(**extra):
    return os.environ | {"PYTHONPATH": str(ROOT)} | extra


def run(*arguments, **options):
    return subprocess.run(
        [sys.executable, str(ROOT / "bin" / "stylize"), *arguments],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
        **options,
    )


def test_a_transfer_from_end_to_end(tmp_path):
    output, trace = tmp_path / "out.png", tmp_path / "out.json"
    done = run(
        *request("--size", "128", "--iterations", "12", "--trace", str(trace), output=str(output)),
        *("--save-every", "5", "--bit-depth", "8"),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert all(line.startswith("stylize: ") for line in lines), done.stderr
    assert "iteration 12 of 12" in lines[-2]
    assert str(output) in lines[-1]

    with Image.open(output) as picture:
        assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", (128, 85))
        assert picture.info["icc_profile"]
        description = picture.getexif()[0x010E]
    assert json.loads(description)["style"] == ["style.jpg"]
    snapshots = sorted(path.name for path in tmp_path.glob("out-*.png"))
    assert len(snapshots) in (1, 2)  # A call into the graph may pass two multiples of 5 at once.
    assert {path.name for path in tmp_path.iterdir()} == {"out.png", "out.json", *snapshots}

    record = json.loads(trace.read_text())
    assert {"arguments", "versions", "device", "status", "evaluations"} <= set(record)
    assert record["status"] == "max_iterations"
    assert record["arguments"]["size"] == 128
    assert record["arguments"]["content"] == CONTENT
    assert record["device"]["precision"] in ("float32", "bfloat16")
    evaluations = record["evaluations"]
    assert 13 <= len(evaluations) <= 30
    keys = {"index", "level", "seconds", "loss", "content", "style", "tv"}
    for index, evaluation in enumerate(evaluations):
        assert set(evaluation) == keys
        assert evaluation["index"] == index
        assert evaluation["loss"] == evaluation["content"] + evaluation["style"] + evaluation["tv"]
    seconds = [evaluation["seconds"] for evaluation in evaluations]
    assert seconds == sorted(seconds)
    assert seconds[0] > 0
    assert evaluations[-1]["loss"] < evaluations[0]["loss"] / 2


SHALLOW = ("--size", "48", "--style-layers", "conv1_1", "--iterations", "3", "--device", "/CPU:0")


def test_quiet_prints_nothing_and_the_contents_alpha_is_kept(tmp_path):
    pixels = np.full((40, 48, 4), 120, np.uint8)
    pixels[:, :24, 3] = 0
    Image.fromarray(pixels, "RGBA").save(tmp_path / "content.png")
    done = run(
        *request("--quiet", *SHALLOW, "--content-layers", "conv1_2", output=str(tmp_path / "o.png")),
        *("--content", str(tmp_path / "content.png")),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    with Image.open(tmp_path / "o.png") as picture:
        assert picture.mode == "RGBA"
        np.testing.assert_array_equal(np.asarray(picture)[..., 3], pixels[..., 3])


def test_the_same_seed_gives_the_same_picture(tmp_path):
    pictures = []
    for name in ("first.png", "second.png"):
        done = run(
            *request("--init", "noise", "--seed", "3", *SHALLOW, content=None),
            *("--output", str(tmp_path / name)),
        )
        assert done.returncode == 0, done.stderr
        with Image.open(tmp_path / name) as picture:
            pictures.append(np.asarray(picture))
    np.testing.assert_array_equal(*pictures)


def test_a_gpu_that_is_not_there_is_one_line(tmp_path):
    done = run(*request("--device", "/GPU:7", "--size", "32", output=str(tmp_path / "o.png")))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "/GPU:7" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_style_equal_to_the_content_ends_well(tmp_path):
    done = run(
        *request(*SHALLOW, "--content-layers", "conv1_1", style=CONTENT, output=str(tmp_path / "o.png"))
    )
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "o.png") as picture, Image.open(CONTENT) as content:
        difference = np.asarray(picture, float) - np.asarray(content.resize(picture.size), float)
    # Little but the difference of two ways to resize: measured 1.1 levels.
    assert np.abs(difference).mean() < 3


def test_a_warning_arrives_although_tensorflows_start_up_is_hidden(tmp_path):
    package = tmp_path / "checkout" / "tf_style"
    shutil.copytree(ROOT / "tf_style", package, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    shutil.copytree(ROOT / "bin", tmp_path / "checkout" / "bin")
    (package / "_build_info.py").write_text(
        "TENSORFLOW = ''\nBINARY = ''\nCUDA_ARCHITECTURES = ()\nPROBLEM = 'no compiler'\n"
    )
    arguments = request(*SHALLOW, "--quiet", content=None, output=str(tmp_path / "o.png"))
    done = subprocess.run(
        [sys.executable, str(tmp_path / "checkout" / "bin" / "stylize"), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("\n") == 1
    assert "warning" in done.stderr
    assert "no compiler" in done.stderr


def test_ctrl_c_writes_the_picture_so_far(tmp_path):
    output, trace = tmp_path / "out.png", tmp_path / "out.json"
    arguments = request("--size", "96", "--iterations", "100000", output=str(output))
    with subprocess.Popen(
        [sys.executable, str(ROOT / "bin" / "stylize"), *arguments, "--trace", str(trace)],
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        first = process.stderr.readline()
        assert "iteration" in first
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        code = process.wait(timeout=60)
    assert code == 130, rest
    assert "Traceback" not in rest
    with Image.open(output) as picture:
        assert picture.size == (96, 64)
    record = json.loads(trace.read_text())
    assert record["status"] == "interrupted"
    assert 0 < record["iterations"] < 100_000


def test_a_failed_run_keeps_the_old_output(folder, capsys, monkeypatch):
    """A disk that fills up while the picture is written."""

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    code = cli.main(request(*SHALLOW, "--content-layers", "conv1_1", output="old.png"))
    error = capsys.readouterr().err.splitlines()[-1]
    assert code == 1
    assert "No space left on device" in error
    assert (folder / "old.png").read_bytes() == b"precious"
    assert not list(folder.glob(".*"))


def test_numbers_out_of_range_are_a_failed_run_and_no_picture(folder, capsys):
    """A weight that takes the first loss beyond float32."""
    arguments = request("--style-weight", "1e38", "--trace", "t.json", *SHALLOW, content=None)
    code = cli.main([*arguments, "--output", "old.png"])
    error = capsys.readouterr().err.splitlines()[-1]
    assert code == 1
    assert "not a finite number" in error
    assert (folder / "old.png").read_bytes() == b"precious"
    record = json.loads((folder / "t.json").read_text())
    assert record["status"] == "non_finite"
    assert record["evaluations"][0]["loss"] is None
