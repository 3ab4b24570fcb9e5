"""The command line: bad requests before TensorFlow is imported, and real runs in processes."""

import functools
import io
import json
import os
import pathlib
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
import traceback
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from tf_style import PRESETS, Evaluation, InputError, Progress, Settings, StyleTransfer
from tf_style.commands import file_roles, records, stylize
from tf_style.commands.request import Request
from tf_style.transfer import memory

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
    shutil.copy(CONTENT, tmp_path / "photo.jpg")
    (tmp_path / "link.jpg").symlink_to("photo.jpg")
    (tmp_path / "nowhere.png").symlink_to("none/new.png")
    return tmp_path


@functools.cache
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


# Open as long as the tests are, as that of `<(command)` is as long as the program.
PIPE = os.pipe()[0]
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
    "size that is not a number": (request("--size", "large"), "large"),
    "negative weight": (request("--content-weight", "-1"), "content_weight"),
    "weight that is NaN": (request("--style-weight", "nan"), "style_weight"),
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
    "more levels than pixels": (request("--levels", "9", "--preset", "gatys2016"), "2 x 1 pixels"),
    "more levels than iterations": (request("--levels", "3", "--iterations", "2"), "levels=3"),
    "no levels": (request("--levels", "0"), "levels"),
    "history without L-BFGS": (request("--history", "5", "--optimizer", "adam"), "history"),
    "pairs without L-BFGS": (request("--pairs", "5", "--optimizer", "adam"), "history"),
    "no history": (request("--history", "0"), "history"),
    "no pairs": (request("--pairs", "0"), "history"),
    "history by two names": (request("--history", "5", "--pairs", "6"), "--history"),
    "tile of a wrong word": (request("--tile", "often"), "auto, off"),
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
    "content without a name": (request(content=""), "''"),
    "huge size": (request("--size", "60000"), "60000 x 39"),
    "huge area": (request("--size", "65535", "--size-of", "area"), "large"),
    "size in floating point": (request("--size", "1e3"), "1e3"),
    "size beyond all": (request("--size", "9" * 30), "size"),
    "huge style": (request("--style-scale", "900"), "large"),
    "infinite style": (request("--style-scale", "inf"), "style_scale"),
    "weights in NaN": (request("--style-layer-weights", "nan,1,1,1,1"), "style_layer_weights"),
    "empty list of numbers": (request("--style-layer-weights", ""), "numbers"),
    "empty list of names": (request("--style-layers", ""), "conv1_1 to conv5_4"),
    "layer twice": (request("--style-layers", "conv1_1,relu1_1"), "each named once"),
    "weights that are text": (request("--weights", "text.jpg"), "text.jpg"),
    "weights that are a pipe": (request("--weights", "fifo.png"), "fifo.png"),
    "seed that is not a number": (request("--init", "noise", "--seed", "dice"), "dice"),
    "negative seed": (request("--init", "noise", "--seed", "-1"), "seed"),
    "twelve bits": (request("--bit-depth", "12"), "12"),
    "fit of a texture": (request("--style-fit", "stretch", content=None), "style_fit"),
    "layers without weight": (
        request("--style-weight", "0", "--style-layers", "conv1_1"),
        "style_layers",
    ),
    "nothing to minimise": (request("--style-weight", "0", "--content-weight", "0"), "nothing"),
    "below a file": (request(output="old.png/new.png"), "old.png/new.png"),
    "output is a pipe": (request(output="fifo.png"), "fifo.png"),
    "output is a link to nowhere": (request(output="nowhere.png"), "nowhere.png"),
    "name too long": (request(output="a" * 300 + ".png"), "name too long"),
    "output over content": (request(content="photo.jpg", output="photo.jpg"), "--content"),
    "output over content by a link": (request(content="photo.jpg", output="link.jpg"), "--content"),
    "output over style": (request(style="photo.jpg", output="./photo.jpg"), "--style"),
    "output over init": (request("--init", "photo.jpg", output="photo.jpg"), "--init"),
    "trace over content": (request("--trace", "photo.jpg", content="photo.jpg"), "--content"),
    "trace over weights": (request("--trace", "short.h5", "--weights", "short.h5"), "--weights"),
    "trace is a folder": (request("--trace", "folder.png"), "folder.png"),
    "trace without a name": (request("--trace", ""), "''"),
    "a pipe of a command": (request(content=f"/dev/fd/{PIPE}"), "is a pipe. Expected a file"),
    "save-every with nothing to save": (
        request("--save-every", "5", "--iterations", "5"),
        "--save-every",
    ),
    "flags from no file": (request("--flagfile=none.txt"), "none.txt"),
    "flag of two lines": (request("--two\nlines"), "--two lines"),
    "name of two lines": (request(content="two\nlines.jpg"), "two\\nlines.jpg"),
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_a_bad_request_gets_one_line_and_changes_nothing(folder, capsys, name):
    arguments, expected = BAD_REQUESTS[name]
    before = sorted(folder.iterdir())
    try:
        code = stylize.main(arguments)
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


def test_no_bad_request_imports_tensorflow_or_touches_an_old_output(folder):
    """All in one process, so that what each imports is still there after the last."""
    requests = [arguments for arguments, _ in BAD_REQUESTS.values()]
    requests = [
        [argument.replace("new.png", "old.png") for argument in arguments] for arguments in requests
    ]
    code = (
        "import json, sys\nfrom tf_style.commands import stylize\n"
        "for arguments in json.load(sys.stdin):\n"
        "    try: code = stylize.main(arguments)\n"
        "    except SystemExit as stop: code = stop.code\n"
        "    if code != 2: sys.exit(str(arguments))\n"
        "sys.exit({'tensorflow', 'keras', 'rich'} & set(sys.modules) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(requests),
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("\n") == len(BAD_REQUESTS)
    assert (folder / "old.png").read_bytes() == b"precious"
    assert (folder / "photo.jpg").read_bytes() == pathlib.Path(CONTENT).read_bytes()


SNAPSHOTS = ("--save-every", "2", "--iterations", "5", "--output", "shot.png")
# What is written over what is read, or written twice; `shot-00002.png` is a photograph.
SAME_FILES = {
    "a snapshot over the content": (request(*SNAPSHOTS, content="shot-00002.png"), "--content"),
    "a snapshot over the style": (request(*SNAPSHOTS, style="shot-00004.png"), "--style"),
    "a snapshot over the start": (request(*SNAPSHOTS, "--init", "sub/../shot-00002.png"), "--init"),
    "a snapshot over the trace": (request(*SNAPSHOTS, "--trace", "shot-00002.png"), "--trace"),
    "a snapshot over a trace to come": (request(*SNAPSHOTS, "--trace", "shot-00002.png"), "--trace"),
    "a snapshot that is a link to the content": (
        request(*SNAPSHOTS, "--output", "linked.png", content="photo.jpg"),
        "--content",
    ),
    "a snapshot that is the content by a hard link": (
        request(*SNAPSHOTS, "--output", "hard.png", content="photo.jpg"),
        "--content",
    ),
    "a snapshot over the content that a link names": (
        request(*SNAPSHOTS, content="to-shot.png"),
        "--content",
    ),
    "the output is the content by a hard link": (
        request(content="photo.jpg", output="hard-00002.png"),
        "--content",
    ),
    "the output is the content by way of another folder": (
        request(content="photo.jpg", output="sub/../sub/up/photo.jpg"),
        "--content",
    ),
    "the trace is the output to come by another way": (
        request("--trace", "sub/up/new.png", output="./new.png"),
        "--output",
    ),
    "the trace is the flag file": (request("--flagfile=flags", "--trace", "flags"), "--flagfile"),
    "the trace is the one that is repeated": (
        ["--from-trace", "old.json", "--trace", "./old.json", "--output", "new.png"],
        "--from-trace",
    ),
    "a checkpoint over the style": (
        request("--checkpoint", "sub", style="sub/checkpoint-1.npz"),
        "--style",
    ),
    "a checkpoint over the trace": (
        request("--checkpoint", "sub", "--trace", "sub/up/sub/checkpoint-1.json"),
        "--trace",
    ),
}


@pytest.mark.parametrize("name", SAME_FILES)
def test_no_file_is_read_and_written(folder, capsys, name):
    for target in ("shot-00002.png", "shot-00004.png", "hard-00002.png"):
        os.link("photo.jpg", target)
    os.symlink("photo.jpg", "linked-00002.png")
    os.symlink("shot-00002.png", "to-shot.png")
    (folder / "sub").mkdir()
    os.symlink("..", "sub/up")
    shutil.copy("photo.jpg", "sub/checkpoint-1.npz")
    (folder / "flags").write_text("--size=48\n")
    record = records.as_dict(Request.make(CONTENT, [STYLE], "o.png", Settings()))
    (folder / "old.json").write_text(
        json.dumps({"request": record, "inputs": {}, "levels": [], "device": {"precision": "float32"}})
    )
    if "to come" not in name and "shot-00002.png" in SAME_FILES[name][0][-1:]:
        (folder / "shot-00002.png").unlink()
    arguments, other = SAME_FILES[name]
    before = {
        path: path.is_file() and path.read_bytes() for path in folder.rglob("*") if not path.is_fifo()
    }
    assert stylize.main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "name the same file" in line
    assert other in line
    after = {
        path: path.is_file() and path.read_bytes() for path in folder.rglob("*") if not path.is_fifo()
    }
    assert after == before


def test_case_makes_no_file_another_where_the_system_takes_none_notice(folder, monkeypatch):
    assert not file_roles.ignores_case(str(folder))
    roles = file_roles.FileRoles([("--content", "photo.jpg")])
    roles.write("--output", "Out.png")
    roles.write("--trace", "out.PNG")
    roles.write_family("a snapshot", file_roles.Family(".", r"OUT\.png|PHOTO\.JPG"))
    # A file system that takes no notice of case, as far as it can be told.
    exists = os.path.exists
    monkeypatch.setattr(
        os.path,
        "exists",
        lambda path: (
            exists(path) or os.path.basename(path).casefold() in map(str.casefold, os.listdir())
        ),
    )
    assert file_roles.ignores_case(str(folder))
    roles = file_roles.FileRoles([("--content", "photo.jpg")])
    roles.write("--output", "Out.png")
    with pytest.raises(InputError, match=r"--trace and --output name the same file: out\.PNG"):
        roles.write("--trace", "out.PNG")
    for pattern, role in ((r"OUT\.png", "--output"), (r"PHOTO\.JPG", "--content")):
        with pytest.raises(InputError, match=f"a snapshot and {role} name the same file"):
            roles.write_family("a snapshot", file_roles.Family(".", pattern))


@pytest.mark.parametrize("name", ["shot-00002.png", "x" * 245])
def test_a_snapshot_that_cannot_be_written_is_refused_before_the_run(folder, capsys, name):
    """A folder of its name, or a name that is too long by the number."""
    output = "shot.png" if name.endswith("png") else f"{name}.png"
    if output == "shot.png":
        (folder / name).mkdir()
    assert stylize.main(request(*SNAPSHOTS, "--output", output)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert ("is a directory" if output == "shot.png" else "File name too long") in line


@pytest.mark.filterwarnings("default:.*the run goes on without")
def test_a_snapshot_and_a_trace_that_cannot_be_written_end_no_run(folder, capsys, monkeypatch):
    """A disk that is full for them, and has room again for the picture."""
    replace = os.replace

    def fail(source, target):
        if str(target).endswith(("-00001.png", "t.json")):
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail)
    shallow = ("--content-layers", "conv1_1", "--quiet", "--trace", "t.json", "--save-every", "1")
    assert stylize.main(request(*SHALLOW, *shallow)) == 0
    lines = capsys.readouterr().err.splitlines()
    for line, name, what in zip(
        lines, ("new-00001.png", "t.json"), ("this snapshot", "the trace"), strict=True
    ):
        assert line.startswith("stylize: warning: ")
        assert (
            f"{name} was not written: No space left on device; the run goes on without {what}" in line
        )
    made = {path.name for path in folder.glob("new*")}
    assert made == {"new.png", "new-00002.png", "new-00003.png"}
    assert not list(folder.glob(".*"))


@pytest.mark.parametrize("flag", ["--content", "--style", "--init"])
def test_an_unreadable_file_is_one_line(folder, capsys, flag):
    """Root may read all, but what the system cannot even name."""
    name = "x" * 300 + ".jpg"
    assert stylize.main(request(flag, name, *SHALLOW)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert name in line
    assert "File name too long" in line


def test_debug_shows_where(folder, capsys):
    with pytest.raises(InputError, match=r"none\.jpg") as caught:
        stylize.main(request("--debug", content="none.jpg"))
    assert "sandbox.py" in "".join(traceback.format_exception(caught.value))


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        stylize.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith("stylize 0.")


def test_help_gives_the_librarys_defaults_without_numpy(capsys):
    code = (
        "import sys\nfrom tf_style.commands import stylize\n"
        "try: stylize.main(['--help'])\nexcept SystemExit: pass\n"
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
    assert f"of the optimiser, in all (default: {Settings.iterations})" in text
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
    start = time.time()
    done = run(
        *request("--size", "128", "--iterations", "12", "--trace", str(trace), output=str(output)),
        *("--save-every", "5", "--bit-depth", "8", "--levels", "2"),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert all(line.startswith("stylize: ") for line in lines), done.stderr
    assert "iteration 12 of 12" in lines[-2]
    assert str(output) in lines[-1]

    with Image.open(output) as picture:
        assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", (128, 85))
        profile = ImageCms.ImageCmsProfile(io.BytesIO(picture.info["icc_profile"]))
        assert "sRGB" in ImageCms.getProfileDescription(profile)
        description = json.loads(picture.getexif()[0x010E])
        pixels = np.asarray(picture, float)
    assert description["made_by"].startswith("tf_style ")
    assert (description["content"], description["style"]) == ("chelsea.jpg", ["style.jpg"])
    assert (description["size"], description["iterations"]) == (128, 12)
    with Image.open(CONTENT) as content:
        # The picture has moved away from the photograph, and is still one: measured 24 levels.
        assert 5 < np.abs(pixels - np.asarray(content.resize((128, 85)), float)).mean() < 60
    snapshots = ("out-00005.png", "out-00010.png")  # The first at the coarse level.
    assert {path.name for path in tmp_path.iterdir()} == {"out.png", "out.json", *snapshots}
    for name in snapshots:
        with Image.open(tmp_path / name) as picture:
            assert picture.size == (128, 85)
            assert not np.array_equal(np.asarray(picture), pixels)

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
    # They count from the start of the process, which ended before now.
    assert 0 < seconds[0]
    assert seconds[-1] < time.time() - start
    assert [level["iterations"] for level in record["levels"]] == [7, 5]
    assert [(level["height"], level["width"]) for level in record["levels"]] == [(60, 91), (85, 128)]
    assert [evaluation["level"] for evaluation in evaluations] == sorted(
        evaluation["level"] for evaluation in evaluations
    )
    final = evaluations[record["final_evaluation"]]
    assert final["level"] == 1
    assert final["style"] < evaluations[0]["style"] / 2


def test_a_dry_run_says_what_a_run_would_take_and_writes_nothing(folder, capsys):
    before = sorted(folder.iterdir())
    two_levels = ("--preset", "gatys2016", "--levels", "2", "--trace", "t.json", "--save-every", "4")
    two_levels += ("--checkpoint", "run/here")
    assert stylize.main(request("--dry-run", *two_levels, "--iterations", "9", *SHALLOW[:4])) == 0
    text = capsys.readouterr().out
    assert "level 0: 24 x 16 pixels, 6 iterations" in text
    assert "level 1: 48 x 32 pixels, 3 iterations" in text
    assert (
        "files: new.png of 8 bits, snapshots new-00004.png to new-00008.png, the trace t.json, "
        "checkpoints in run/here every 60 s"
    ) in text
    assert re.search(r"memory: about 0\.\d GiB", text)
    assert re.search(r"time: about \d+ s on /CPU:0 in (bfloat16|float32)", text)
    assert sorted(folder.iterdir()) == before
    assert stylize.main(request("--dry-run", "--memory", "0.01", *SHALLOW)) == 2
    assert "of memory in all" in capsys.readouterr().err


def test_a_dry_run_counts_the_checkpoint(folder, capsys, monkeypatch):
    monkeypatch.setattr(
        memory,
        "estimate",
        lambda *inputs, has_checkpoint=False, **options: (1 + has_checkpoint) * 2**30,
    )
    arguments = request("--dry-run", "--no-memory-check", "--iterations", "1", *SHALLOW[:4])
    for extra, expected in (([], "1.0"), (["--checkpoint", "run"], "2.0")):
        assert stylize.main([*arguments, *extra]) == 0
        assert f"memory: about {expected} GiB" in capsys.readouterr().out


def test_ray_without_tiles_is_refused(folder, capsys):
    assert stylize.main(request("--ray", "local", *SHALLOW)) == 2
    assert (
        "ray would have no effect: a picture of 48 pixels a side is evaluated as a whole"
        in capsys.readouterr().err
    )


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


@pytest.mark.parametrize("precision", ["auto", "float32"])
def test_the_same_seed_gives_the_same_picture(tmp_path, precision):
    """In another process too."""
    arguments = request("--init", "noise", "--precision", precision, *SHALLOW, content=None)
    pictures = []
    for name, seed in (("first.png", "3"), ("second.png", "3"), ("other.png", "4")):
        here = [*arguments, "--seed", seed, "--output", str(tmp_path / name)]
        if name == "first.png":
            done = run(*here)
            assert done.returncode == 0, done.stderr
        else:
            assert stylize.main(here) == 0
        with Image.open(tmp_path / name) as picture:
            pictures.append(np.asarray(picture))
    np.testing.assert_array_equal(*pictures[:2])
    assert not np.array_equal(*pictures[1:])


def test_a_gpu_that_is_not_there_is_one_line(tmp_path):
    done = run(*request("--device", "/GPU:7", "--size", "32", output=str(tmp_path / "o.png")))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "/GPU:7" in done.stderr
    assert list(tmp_path.iterdir()) == []


# Little but the difference of two ways to resize: measured 1.1 levels. The default's margin is the
# picture's alone, and doubles one of 48 x 32 pixels: measured 3.5.
@pytest.mark.parametrize(("preset", "levels"), [("style-transfer-pytorch", 3), ("painterly", 5)])
def test_a_style_equal_to_the_content_ends_well(tmp_path, preset, levels):
    output = str(tmp_path / "o.png")
    # A total variation would smooth it.
    flags = ("--preset", preset, "--content-layers", "conv1_1", "--tv-weight", "0")
    assert stylize.main(request(*SHALLOW, *flags, style=CONTENT, output=output)) == 0
    with Image.open(tmp_path / "o.png") as picture, Image.open(CONTENT) as content:
        difference = np.asarray(picture, float) - np.asarray(content.resize(picture.size), float)
    assert np.abs(difference).mean() < levels


def test_a_warning_arrives_although_tensorflows_start_up_is_hidden(tmp_path):
    package = tmp_path / "checkout" / "tf_style"
    shutil.copytree(ROOT / "tf_style", package, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    shutil.copytree(ROOT / "bin", tmp_path / "checkout" / "bin")
    (package / "ops" / "_build_info.py").write_text(
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


@pytest.mark.parametrize("how", ["closed", "broken"])
def test_a_stderr_that_nobody_reads_costs_no_picture(tmp_path, how):
    arguments = request(*SHALLOW, content=None, output=str(tmp_path / "o.png"))
    command = [sys.executable, str(ROOT / "bin" / "stylize"), *arguments]
    if how == "closed":
        command = ["sh", "-c", 'exec "$@" 2>&-', "sh", *command]
        done = subprocess.run(command, stdout=subprocess.PIPE, env=environment(), check=False)
        code, out = done.returncode, done.stdout
    else:
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=writer, env=environment(), check=False
        )
        os.close(writer)
        code, out = done.returncode, done.stdout
    assert (code, out) == (0, b"")
    with Image.open(tmp_path / "o.png") as picture:
        picture.load()


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


def test_ctrl_c_before_the_first_evaluation_leaves_the_output_alone(folder, capsys, monkeypatch):
    run_transfer = StyleTransfer.run

    def run(self, **options):
        signal.raise_signal(signal.SIGINT)
        return run_transfer(self, **options)

    monkeypatch.setattr(StyleTransfer, "run", run)
    handler = signal.getsignal(signal.SIGINT)
    assert stylize.main(request(*SHALLOW, content=None, output="old.png")) == 130
    (line,) = capsys.readouterr().err.splitlines()
    assert "interrupted" in line
    assert (folder / "old.png").read_bytes() == b"precious"
    assert signal.getsignal(signal.SIGINT) is handler


def test_ctrl_c_while_the_picture_is_written_does_not_lose_it(folder, monkeypatch):
    fsync = os.fsync

    def interrupt(descriptor):
        monkeypatch.setattr(os, "fsync", fsync)
        signal.raise_signal(signal.SIGINT)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", interrupt)
    assert stylize.main(request(*SHALLOW, content=None)) == 130
    with Image.open("new.png") as picture:
        picture.load()


def test_a_second_ctrl_c_ends_the_program_at_once(folder):
    code = (
        "import signal, sys\nfrom tf_style import StyleTransfer\n"
        "from tf_style.commands import stylize\n"
        "def run(self, **_):\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "StyleTransfer.run = run\n"
        f"stylize.main({request(*SHALLOW, content=None, output='old.png')!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), check=False)
    assert done.returncode == -signal.SIGINT
    assert (folder / "old.png").read_bytes() == b"precious"


def test_content_without_style_is_reconstructed(folder, capsys):
    arguments = ("--size", "48", "--content-layers", "conv1_1", "--iterations", "3")
    assert stylize.main(request(*arguments, "--trace", "t.json", style=None)) == 0
    record = json.loads((folder / "t.json").read_text())
    assert record["arguments"]["style"] == []
    assert record["arguments"]["init"] == "noise"
    for evaluation in record["evaluations"]:
        assert evaluation["style"] == 0
        assert evaluation["loss"] == evaluation["content"] > 0


def test_style_without_content_has_the_styles_proportions(folder):
    assert stylize.main(request(*SHALLOW, content=None, style="photo.jpg")) == 0
    with Image.open("new.png") as picture:
        assert picture.size == (48, 32)


def test_what_was_asked_for_is_in_the_metadata_without_folders_and_with_zeros(folder):
    arguments = request("--tv-weight", "0", "--no-normalize", *SHALLOW, style=str(folder / "photo.jpg"))
    init = str(folder / "dot.png")
    Image.new("RGB", (48, 32), (90, 120, 30)).save(init)
    assert stylize.main([*arguments, "--content-layers", "conv1_1", "--init", init, "--quiet"]) == 0
    with Image.open("new.png") as picture:
        text = picture.getexif()[0x010E]
    description = json.loads(text)
    assert str(folder) not in text
    assert description["init"] == "dot.png"
    assert description["tv_weight"] == 0
    assert description["normalize"] is False
    assert not {"quiet", "verbose", "debug", "trace"} & set(description)


def test_verbose_says_where_and_how(folder, capsys):
    assert stylize.main(request("--verbose", *SHALLOW, content=None)) == 0
    text = capsys.readouterr().err
    assert "48 x " in text
    assert "/CPU:0" in text
    assert "kernel" in text
    assert "style_weight=" in text


def progress_at(iteration):
    evaluations = [
        Evaluation(index, 0, 100.0 + index / 2, 5.0, 2.0, 3.0, 0.0) for index in range(iteration + 1)
    ]
    return Progress(iteration, 60, evaluations, 0, 1, 32, 48, 1.0, lambda: None)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("kind", ["terminal", "no colour", "dumb", "file"])
def test_a_bar_on_a_terminal_and_else_lines(monkeypatch, kind):
    from tf_style.commands import messages
    from tf_style.commands.progress import progress_display

    messages.configure_output("stylize")
    stderr = io.StringIO() if kind == "file" else Terminal()
    monkeypatch.setattr(sys, "stderr", stderr)
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "dumb" if kind == "dumb" else "xterm")
    if kind == "no colour":
        monkeypatch.setenv("NO_COLOR", "1")
    with progress_display(quiet=False) as display:
        for iteration in (1, 10, 20, 30, 60):
            display(progress_at(iteration))
    text = stderr.getvalue()
    assert "loss 5" in text
    assert "2.00 evaluations/s" in text
    if kind in ("dumb", "file"):
        lines = text.splitlines()
        assert [line.split()[2] for line in lines] == ["1", "30", "60"]
        assert "\x1b" not in text
    else:
        assert "60/60" in text
        assert "48 x 32" in text
        assert "nan" not in text
        assert ("\x1b[3" in text) == (kind == "terminal")


def test_a_run_stopped_as_it_enters_a_level_has_a_summary(capsys):
    """It has no evaluation at that level, and so no loss to tell."""
    from tf_style.commands import progress
    from tf_style.optimize.lbfgs import Status
    from tf_style.transfer.result import StylizeResult

    evaluations = progress_at(3).evaluations
    result = StylizeResult(np.zeros((4, 6, 3)), None, Status.INTERRUPTED, 2, evaluations, None, 1.5)
    progress.print_summary("o.png", result)
    (line,) = capsys.readouterr().err.splitlines()
    assert "wrote o.png, 6 x 4 pixels: 2 iterations, 4 evaluations, 1.5 s" in line
    assert "loss" not in line


def test_a_failed_run_keeps_the_old_output(folder, capsys, monkeypatch):
    """A disk that fills up while the picture is written."""

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    code = stylize.main(request(*SHALLOW, "--content-layers", "conv1_1", output="old.png"))
    error = capsys.readouterr().err.splitlines()[-1]
    assert code == 1
    assert "No space left on device" in error
    assert (folder / "old.png").read_bytes() == b"precious"
    assert not list(folder.glob(".*"))


def test_numbers_out_of_range_are_a_failed_run_and_no_picture(folder, capsys):
    """A weight that takes the first loss beyond float32."""
    arguments = request("--preset", "gatys2016", "--style-weight", "1e38", *SHALLOW, content=None)
    arguments += ["--trace", "t.json"]
    code = stylize.main([*arguments, "--output", "old.png"])
    error = capsys.readouterr().err.splitlines()[-1]
    assert code == 1
    assert "not a finite number" in error
    assert (folder / "old.png").read_bytes() == b"precious"
    record = json.loads((folder / "t.json").read_text())
    assert record["status"] == "non_finite"
    assert record["evaluations"][0]["loss"] is None
