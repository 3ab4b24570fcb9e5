"""Saved runs: whole or not there, and the same bits when they go on."""

import errno
import fcntl
import hashlib
import json
import os
import pathlib
import platform
import resource
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from tf_style import InputError, Settings, Status, StyleTransfer, TransferError, prepare
from tf_style.commands import provenance, stylize
from tf_style.transfer import checkpoint, checkpoint_lock

ROOT = pathlib.Path(__file__).parent.parent
CONTENT = str(ROOT / "examples" / "chelsea.jpg")
STYLE = str(ROOT / "examples" / "style.jpg")
ARRAYS = {"level": np.array(1), "minimizer/position": np.arange(6.0).reshape(2, 3)}
REQUEST = {"arguments": {"size": 64}, "started": 1.5}


def test_what_is_saved_is_read(tmp_path):
    checkpoint.save(tmp_path / "run", ARRAYS, REQUEST)
    found = checkpoint.load(tmp_path / "run")
    assert found.request == REQUEST
    assert set(found.arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found.arrays[name], array)
        assert found.arrays[name].dtype == array.dtype


def test_the_last_two_are_kept(tmp_path):
    (tmp_path / ".checkpoint-1.npz.77.tmp").write_bytes(b"left by a killed process")
    for number in range(5):
        checkpoint.save(tmp_path, {"number": np.array(number)}, REQUEST)
    names = {"checkpoint-4.json", "checkpoint-4.npz", "checkpoint-5.json", "checkpoint-5.npz"}
    assert set(os.listdir(tmp_path)) == names
    assert checkpoint.load(tmp_path).arrays["number"] == 4


def damages(folder):
    """Ways to damage checkpoint 2, each a function of no arguments."""
    arrays, record = folder / "checkpoint-2.npz", folder / "checkpoint-2.json"

    def change(path, place):
        data = bytearray(path.read_bytes())
        data[place] ^= 1
        path.write_bytes(data)

    def rewrite(**changes):
        content = json.loads(record.read_text()) | changes
        record.write_text(json.dumps(content))

    return {
        "no arrays": arrays.unlink,
        "cut arrays": lambda: arrays.write_bytes(arrays.read_bytes()[:-20]),
        "a flipped bit": lambda: change(arrays, 100),
        "empty JSON": lambda: record.write_text(""),
        "cut JSON": lambda: record.write_bytes(record.read_bytes()[:-20]),
        "a number in the JSON": lambda: change(record, record.read_text().index("64")),
        "another format": lambda: rewrite(format=99),
        "JSON of something else": lambda: record.write_text("[1, 2]"),
        "deep JSON": lambda: record.write_text("[" * 100_000),
    }


@pytest.mark.parametrize("name", damages(pathlib.Path()))
def test_a_damaged_one_is_named_and_the_one_before_it_used(tmp_path, name):
    for number in (1, 2):
        checkpoint.save(tmp_path, {"number": np.array(number)}, REQUEST)
    damages(tmp_path)[name]()
    with pytest.warns(UserWarning, match="checkpoint 2 .* is left out"):
        assert checkpoint.load(tmp_path).arrays["number"] == 1


def with_others(path):
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("notes.txt", "no array")


def with_members_in_members(path):
    """Stored as they are, each within the one before: many times what the file has."""
    data = path.read_bytes()
    members = []
    for index in range(9):
        member = zipfile.ZipInfo(f"{index}.npy")
        member.file_size = member.compress_size = len(data)
        member.CRC = zlib.crc32(data)
        data = member.FileHeader() + data
        members.append((member, len(data)))
    with zipfile.ZipFile(path, "w") as archive:
        archive.fp.write(data)
        archive.start_dir, archive._didModify = len(data), True
        for member, size in members:
            member.header_offset = len(data) - size
            archive.filelist.append(member)
    with zipfile.ZipFile(path) as archive:
        assert len(archive.read("8.npy")) > len(archive.read("0.npy")) > 0


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: np.savez(path, a=np.array([{}])), "its arrays cannot be read"),
        (lambda path: np.savez_compressed(path, a=np.zeros(9)), "its arrays are compressed"),
        (with_others, "it holds other things than arrays"),
        (with_members_in_members, "its arrays are in one another"),
    ],
)
def test_what_would_run_or_grow_is_refused(tmp_path, spoil, reason):
    checkpoint.save(tmp_path, ARRAYS, REQUEST)
    (path,) = tmp_path.glob("*.npz")
    spoil(path)
    record = json.loads(path.with_suffix(".json").read_text())
    record.pop("sha256")
    # One who can write the file can make its sums right.
    record["arrays_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    record["sha256"] = checkpoint._digest(record)
    path.with_suffix(".json").write_text(json.dumps(record))
    with pytest.raises(checkpoint.DamagedError, match=reason):
        checkpoint.read(path.with_suffix(".json"))


def test_saving_and_loading_take_no_second_copy(tmp_path):
    size = 2**27
    arrays = {"a": np.zeros(size // 8), "b": np.ones((2, size // 8), np.float32)}
    whole = sum(array.nbytes for array in arrays.values())
    tracemalloc.start()
    try:
        checkpoint.save(tmp_path, arrays, REQUEST)
        _, peak = tracemalloc.get_traced_memory()
        # NumPy writes pieces of 16 MiB.
        assert peak < 2**25
        tracemalloc.reset_peak()
        found = checkpoint.load(tmp_path)
        _, peak = tracemalloc.get_traced_memory()
        assert whole <= peak < whole + 2**25
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(found.arrays["b"], arrays["b"])


def test_old_ones_that_cannot_be_deleted_are_no_end_of_the_run(tmp_path):
    (tmp_path / "checkpoint-1.npz").mkdir()
    for number in (2, 3):
        (tmp_path / f"checkpoint-{number}.json").write_text("{}")
    with pytest.raises(TransferError, match="were not deleted"):
        checkpoint.save(tmp_path, ARRAYS, REQUEST)
    assert set(checkpoint.load(tmp_path).arrays) == set(ARRAYS)


HOLDER = """
import sys
from tf_style.transfer import checkpoint_lock
with checkpoint_lock.held(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that has the folder `run`."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "run")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    )
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize(
    "flags", [("--checkpoint", "run", "--content", CONTENT, "--output", "o.png"), ("--resume", "./run")]
)
def test_a_folder_belongs_to_one_run_at_a_time(tmp_path, monkeypatch, capsys, holder, flags):
    monkeypatch.chdir(tmp_path)
    assert stylize.main([*flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"run is in use by process {holder.pid} on {platform.node()}: let it end" in line
    assert os.listdir("run") == [checkpoint_lock.NAME]


def test_a_lock_ends_with_its_process_however_that_ends(tmp_path, holder):
    holder.kill()
    holder.wait()
    # It says who had it.
    assert os.listdir(tmp_path / "run") == [checkpoint_lock.NAME]
    with checkpoint_lock.held(tmp_path / "run"):
        signed = (tmp_path / "run" / checkpoint_lock.NAME).read_text()
        assert signed == f"process {os.getpid()} on {platform.node()}\n"
    # This run has not made the folder.
    assert os.listdir(tmp_path / "run") == []
    with checkpoint_lock.held(tmp_path / "a" / "b"):
        pass
    assert not (tmp_path / "a").exists()
    with checkpoint_lock.held(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "checkpoint-1.json").write_bytes(b"")
    assert os.listdir(tmp_path / "a" / "b") == ["checkpoint-1.json"]


def test_a_lock_that_was_deleted_meanwhile_is_none(tmp_path, monkeypatch):
    """Its run ends between our opening of the file and our locking it."""
    opened = []

    def open_and_delete(path, *options):
        descriptor = os_open(path, *options)
        if not opened:
            os.unlink(path)
        opened.append(descriptor)
        return descriptor

    os_open = os.open
    monkeypatch.setattr(os, "open", open_and_delete)
    with checkpoint_lock.held(tmp_path):
        assert len(opened) == 2
        assert (tmp_path / checkpoint_lock.NAME).exists()


def test_a_file_of_the_locks_name_is_not_written_over(tmp_path):
    (tmp_path / checkpoint_lock.NAME).write_text("precious")
    with pytest.raises(InputError, match="is no lock of this program"), checkpoint_lock.held(tmp_path):
        pass
    assert (tmp_path / checkpoint_lock.NAME).read_text() == "precious"


def test_a_file_system_without_locks_is_one_warning(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.warns(UserWarning, match="without locks") as caught, checkpoint_lock.held(tmp_path):
        pass
    assert len(caught) == 1


@pytest.mark.parametrize(
    "flags", [("--content", "missing.jpg", "--output", "o.png"), ("--content", CONTENT)]
)
def test_a_refused_run_leaves_no_folder(tmp_path, monkeypatch, flags):
    monkeypatch.chdir(tmp_path)
    assert stylize.main(["--style", STYLE, "--size", "48", "--checkpoint", "new/run", *flags]) == 2
    assert os.listdir(tmp_path) == []


def test_none_is_an_error(tmp_path):
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(InputError):
            checkpoint.load(folder)


def test_a_folder_that_cannot_be_written_loses_nothing(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, ARRAYS, REQUEST)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TransferError, match="No space left"):
        checkpoint.save(tmp_path, {"other": np.zeros(3)}, REQUEST)
    monkeypatch.undo()
    assert set(checkpoint.load(tmp_path).arrays) == set(ARRAYS)
    assert len(os.listdir(tmp_path)) == 2


@pytest.mark.parametrize(
    ("optimizer", "preset"),
    [("lbfgs", "gatys2016"), ("tfp", "gatys2016"), ("adam", "gatys2016"), ("lbfgs", "painterly")],
)
def test_a_transfer_restored_goes_on_with_the_same_bits(optimizer, preset):
    settings = Settings(
        preset=preset,
        size=64,
        iterations=12,
        levels=2,
        optimizer=optimizer,
        precision="float32",
        init="noise",
    )
    inputs = prepare(CONTENT, [STYLE], settings)
    last = StyleTransfer(inputs)
    straight = last.run()
    # At the start, within each size, and between them. To trace each that goes on anew would take
    # seconds; those that are killed below are.
    stops = {("lbfgs", "gatys2016"): (1, 6, 11), ("tfp", "gatys2016"): (30,)}
    early = StyleTransfer(inputs)
    for stop_after in stops.get((optimizer, preset), (10,)):
        early.run(callback_every=1, should_stop=lambda n=stop_after: len(early._evaluations) > n)
        assert early._minimizer.status == Status.RUNNING
        assert optimizer != "tfp" or (early.level == 1 and early._minimizer.iterations > 0)
        last = StyleTransfer(inputs, like=last)
        last.restore(early.state())
        result = last.run()
        assert isinstance(result.seconds, float)
        np.testing.assert_array_equal(result.image, straight.image)
        losses = [[evaluation.loss for evaluation in run.evaluations] for run in (straight, result)]
        assert losses[0] == losses[1]


def command(*extra: str) -> list[str]:
    return [sys.executable, str(ROOT / "bin" / "stylize"), *extra]


REQUESTED = ["--content", CONTENT, "--style", STYLE, "--size", "64", "--iterations", "40"]
REQUESTED += ["--levels", "2", "--strength", "0.7", "--precision", "float32"]


def run(folder, *extra):
    return subprocess.run(command(*extra), cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """The picture of the run that is never stopped."""
    folder = tmp_path_factory.mktemp("straight")
    done = run(folder, *REQUESTED, "--output", "out.png", "--trace", "out.json")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("seconds", [0.1, 0.8])
def test_killed_at_any_moment_and_resumed(tmp_path, straight, seconds):
    """SIGKILL a while after the first checkpoint; benchmarks/kill.py does it at 40 random moments."""
    arguments = [*REQUESTED, "--output", "out.png", "--checkpoint", "run", "--checkpoint-every", "0"]
    process = subprocess.Popen(command(*arguments), cwd=tmp_path, stderr=subprocess.DEVNULL)
    while not (tmp_path / "run").exists() or not checkpoint.is_in(tmp_path / "run"):
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(seconds)
    process.kill()
    process.wait()
    done = run(tmp_path, "--resume", "run")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.png").read_bytes() == (straight / "out.png").read_bytes()


def test_a_signal_saves_and_resume_goes_on(tmp_path, straight):
    arguments = [*REQUESTED, "--output", "out.png", "--checkpoint", "run"]
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        process = subprocess.Popen(
            command(*arguments), cwd=tmp_path, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
        )
        assert b"iteration" in process.stderr.readline()
        process.send_signal(number)
        process.communicate()
        assert process.returncode == code
        # The picture so far, and the checkpoint of the last evaluation.
        assert (tmp_path / "out.png").exists()
        assert checkpoint.is_in(tmp_path / "run")
        if number == signal.SIGINT:
            # The next begins anew.
            (tmp_path / "out.png").unlink()
            shutil.rmtree(tmp_path / "run")
    done = run(tmp_path, "--resume", "run")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.png").read_bytes() == (straight / "out.png").read_bytes()
    # Once more: there is nothing left to do, and the picture is the same.
    done = run(tmp_path, "--resume", "run", "--output", "again.png")
    assert done.returncode == 0, done.stderr
    again = (tmp_path / "again.png").read_bytes()
    assert len(again) == pytest.approx(len((straight / "out.png").read_bytes()), abs=20)


def test_other_inputs_or_settings_are_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(pathlib.Path(CONTENT).read_bytes())
    arguments = ["--content", "photo.jpg", "--style", STYLE, "--size", "32", "--iterations", "2"]
    arguments += ["--precision", "float32", "--quiet", "--output", "out.png"]
    assert stylize.main([*arguments, "--checkpoint", "run"]) == 0

    def refusal(*flags):
        assert stylize.main([*flags]) == 2
        return capsys.readouterr().err

    assert "holds a run already" in refusal(*arguments, "--checkpoint", "run")
    assert "--size differs" in refusal("--resume", "run", "--size", "64")
    assert "--history differs" in refusal("--resume", "run", "--history", "5")
    assert "--history differs" in refusal("--resume", "run", "--pairs", "5")
    assert "style.jpg is not what it was" in refusal("--resume", "run", "--content", STYLE)
    both = ("--style", STYLE, "--style", STYLE)
    assert "--style differs" in refusal("--resume", "run", *both)
    assert "--init differs" in refusal("--resume", "run", "--init", "photo.jpg")
    assert "--weights differs" in refusal("--resume", "run", "--weights", "photo.jpg")
    assert "no whole checkpoint" in refusal("--resume", ".")
    assert "cannot be read" in refusal("--resume", "missing")
    # The same bytes may lie elsewhere by now, and the run goes on with them.
    (tmp_path / "moved").mkdir()
    shutil.copy("photo.jpg", "moved/other.jpg")
    photo.unlink()
    shutil.move("run", "moved/run")
    moved = ["--resume", "moved/run", "--content", "moved/other.jpg", "--output", "moved/out.png"]
    assert stylize.main([*moved, "--quiet"]) == 0
    assert provenance.read_checkpoint("moved/run").request.content == str(tmp_path / "moved/other.jpg")
    assert (tmp_path / "moved" / "out.png").read_bytes() != b""
    shutil.move("moved/run", "run")
    shutil.move("moved/other.jpg", photo)
    assert stylize.main(["--resume", "run", "--content", "photo.jpg", "--quiet"]) == 0
    photo.write_bytes(pathlib.Path(STYLE).read_bytes())
    assert "photo.jpg is not what it was" in refusal("--resume", "run")
    photo.unlink()
    assert "photo.jpg does not exist" in refusal("--resume", "run")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--checkpoint-every", "5"], "no --checkpoint"),
        (["--checkpoint", "c", "--checkpoint-every", "-1"], "0 or more seconds"),
        (["--checkpoint", CONTENT], "cannot be written"),
        (["--resume", "a", "--from-trace", "b"], "not allowed with"),
        (["--from-trace", "missing.json"], "is no trace"),
        (["--from-trace", CONTENT], "is no trace"),
    ],
)
def test_wrong_flags(tmp_path, capsys, monkeypatch, flags, message):
    monkeypatch.chdir(tmp_path)
    arguments = ["--content", CONTENT, "--style", STYLE, "--output", "out.png", *flags]
    try:
        code = stylize.main(arguments)
    except SystemExit as end:
        code = end.code
    assert code == 2
    assert message in capsys.readouterr().err


def test_a_trace_is_enough_to_repeat_a_run(straight, tmp_path):
    trace = str(straight / "out.json")
    done = run(tmp_path, "--from-trace", trace, "--output", "again.png", "--trace", "again.json")
    assert done.returncode == 0, done.stderr
    traces = [json.loads(path.read_text()) for path in (straight / "out.json", tmp_path / "again.json")]
    losses = [[evaluation["loss"] for evaluation in each["evaluations"]] for each in traces]
    assert losses[0] == losses[1]


def test_deterministic_gives_the_same_picture(straight, tmp_path):
    done = run(tmp_path, *REQUESTED, "--output", "out.png", "--deterministic")
    assert done.returncode == 0, done.stderr
    # On a CPU a run is deterministic without the flag too.
    with Image.open(tmp_path / "out.png") as a, Image.open(straight / "out.png") as b:
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_objects_for_programs(tmp_path):
    done = run(tmp_path, *REQUESTED[:-2], "--iterations", "4", "--output", "out.png", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    events = [json.loads(line) for line in done.stdout.splitlines()]
    kinds = [event["event"] for event in events]
    assert kinds[0] == "start"
    assert kinds.count("level") == 2
    assert kinds[-1] == "done"
    assert {"progress"} < set(kinds)
    assert events[-1]["status"] == "max_iterations"
    assert events[-1]["loss"] > 0
    done = run(tmp_path, "--content", "missing.png", "--output", "x.png", "--json")
    assert done.returncode == 2
    (event,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert (event["event"], event["exit_code"]) == ("error", 2)


def assert_nothing_lost(done, folder, code, reason):
    """The earlier output is there, the message says why, and no temporary file is left."""
    assert done.returncode == code, done.stderr
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
    assert (folder / "out.png").read_bytes() == b"precious"
    assert not [path for path in folder.rglob("*.tmp")]


SMALL = ["--content", CONTENT, "--style", STYLE, "--size", "128", "--iterations", "3", "--quiet"]


def test_a_file_size_limit_loses_nothing(tmp_path):
    (tmp_path / "out.png").write_bytes(b"precious")
    done = subprocess.run(
        command(*SMALL, "--output", "out.png", "--checkpoint", "run", "--checkpoint-every", "0"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        # Less than the picture and the checkpoint take, enough for what TensorFlow writes to trace.
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )
    assert_nothing_lost(done, tmp_path, 1, "File too large")
    assert "goes on without this checkpoint" in done.stderr


def test_a_full_disk_loses_nothing(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        (disk / "out.png").write_bytes(b"precious")
        (disk / "filler").write_bytes(bytes(61_000))
        done = subprocess.run(
            command(*SMALL, "--output", "out.png", "--checkpoint", "run"),
            cwd=disk,
            capture_output=True,
            text=True,
            check=False,
        )
        assert_nothing_lost(done, disk, 1, "No space left on device")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("kind", ["constant", "equal", "strip"])
def test_degenerate_inputs_end_well(tmp_path, kind):
    pixels = np.full((48, 64, 3), 127, np.uint8)
    if kind == "strip":
        pixels = np.random.default_rng(0).integers(0, 256, (16, 400, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "content.png")
    style = "content.png" if kind == "equal" else STYLE
    arguments = ["--content", "content.png", "--style", style, "--output", "out.png"]
    done = run(tmp_path, *arguments, "--size", "400" if kind == "strip" else "64", "--iterations", "30")
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "out.png") as picture:
        made = np.asarray(picture)
    # Where content and style are the same picture, there is next to nothing to do: the style has none
    # of the margin. Measured: 0.6 levels.
    assert (np.abs(np.int32(made) - pixels).max() <= 1) == (kind == "equal")
    assert made.std() > 0 or kind == "equal"
