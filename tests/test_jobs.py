"""Many pictures: all pairs, poison among them, workers that die, nothing made twice."""

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import poison
import pytest
from PIL import Image

import tf_style
from tf_style import PRESETS, InputError, Settings
from tf_style.commands import jobs, messages, pairs, stylize_batch
from tf_style.commands import records as record_format
from tf_style.commands.request import Request
from tf_style.network.features import Features
from tf_style.transfer import transfer

ROOT = pathlib.Path(__file__).parent.parent
SMALL = ["--size", "32", "--iterations", "1", "--precision", "float32"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Three contents, one of them poison, and two styles."""
    monkeypatch.chdir(tmp_path)
    for name in ("contents", "styles"):
        (tmp_path / name).mkdir()
    for name in ("chelsea", "coffee"):
        with Image.open(ROOT / "examples" / f"{name}.jpg") as original:
            picture = original.resize((64, 48))
        picture.save(tmp_path / "contents" / f"{name}.png")
        picture.rotate(180).save(tmp_path / "styles" / f"{name}.png")
    (tmp_path / "contents" / "poison.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    return tmp_path


def run(folder, *extra):
    command = [sys.executable, str(ROOT / "bin" / "stylize-batch"), *SMALL, "--output", "made"]
    command += ["--contents", "contents", "--styles", "styles", *extra]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def records(folder):
    return [json.loads(line) for line in (folder / "made" / "report.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("extra", [[], ["--workers", "2"]])
def test_all_pairs_and_again(folder, extra):
    done = run(folder, *extra)
    assert done.returncode == 1, done.stderr
    assert "4 made, 0 there already, 2 failed" in done.stderr
    found = records(folder)
    assert sorted(record["status"] for record in found) == ["error"] * 2 + ["made"] * 4
    assert all("poison.png" in r["message"] for r in found if r["status"] == "error")
    pictures = sorted((folder / "made").glob("*.png"))
    assert {str(path.name) for path in pictures} == {
        os.path.basename(record["output"]) for record in found if record["status"] == "made"
    }
    for path in pictures:
        with Image.open(path) as picture:
            assert picture.size == (32, 24)
    if extra:
        return
    times = [path.stat().st_mtime_ns for path in pictures]
    done = run(folder)
    assert "0 made, 4 there already, 2 failed" in done.stderr
    assert [path.stat().st_mtime_ns for path in pictures] == times
    # Other settings are another picture.
    done = run(folder, "--seed", "1", "--init", "noise")
    assert "4 made, 0 there already, 2 failed" in done.stderr
    assert len(list((folder / "made").glob("*.png"))) == 8


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_manifest_names_the_pairs(tmp_path, suffix):
    named = [("contents/coffee.png", "styles/chelsea.png"), ("contents/chelsea.png", "styles/none.png")]
    if suffix == "csv":
        text = "content,style\n" + "\n".join(",".join(pair) for pair in named)
    else:
        text = "\n".join(json.dumps(dict(zip(("content", "style"), p, strict=True))) for p in named)
    (tmp_path / f"jobs.{suffix}").write_text(text)
    assert [pair[:2] for pair in pairs.read_manifest(str(tmp_path / f"jobs.{suffix}"))] == named


def test_a_process_goes_on_with_its_graphs_to_the_same_bits(folder, monkeypatch):
    networks = []
    monkeypatch.setattr(
        transfer, "Features", lambda *a, **k: networks.append(Features(*a, **k)) or networks[-1]
    )
    monkeypatch.setattr(jobs, "run_locally", lambda planned, *_, **__: map(jobs.run_job, planned))
    (folder / "jobs.csv").write_text(
        "content,style\ncontents/coffee.png,styles/chelsea.png\n"
        "contents/chelsea.png,styles/none.png\ncontents/chelsea.png,styles/coffee.png\n"
    )
    assert stylize_batch.main([*SMALL, "--output", "made", "--jobs", "jobs.csv"]) == 1
    found = records(folder)
    assert [record["status"] for record in found] == ["made", "error", "made"]
    assert len(networks) == 1
    settings = {"size": 32, "iterations": 1, "precision": "float32"}
    alone = tf_style.stylize("contents/chelsea.png", "styles/coffee.png", **settings)
    with Image.open(found[2]["output"]) as picture:
        np.testing.assert_array_equal(picture, np.rint(255 * alone.image))


def a_job(content, output):
    return Request.make(content, ["style.png"], output, Settings())


@pytest.mark.parametrize("num_workers", [1, 2])
def test_a_worker_that_dies_costs_its_own_job_only(monkeypatch, num_workers):
    monkeypatch.setattr(jobs, "run_job", poison.die_of_poison)
    names = ["a", "b", "poison", "c", "d", "e"]
    planned = [a_job(name, f"{name}.png") for name in names]
    found = list(jobs.run_locally(planned, num_workers))
    made = [record["output"] for record in found if record["status"] == "made"]
    assert sorted(made) == ["a.png", "b.png", "c.png", "d.png", "e.png"]
    (failed,) = [record for record in found if record["status"] == "error"]
    assert failed["output"] == "poison.png"
    assert "died" in failed["message"]


def fail_otherwise(job):
    raise MemoryError("of all things")


def test_whatever_a_job_raises_is_its_own_record(monkeypatch):
    monkeypatch.setattr(jobs, "_make", fail_otherwise)
    record = jobs.run_job(a_job("a.png", "none.png"))
    assert (record["status"], record["message"]) == ("error", "MemoryError: of all things")


def warn_of_a_gif(job):
    warnings.warn("a.gif: it has several frames\nor pages", UserWarning, stacklevel=2)
    return "loss 1"


def test_warnings_are_in_the_record_each_time(monkeypatch, recwarn):
    monkeypatch.setattr(jobs, "_make", warn_of_a_gif)
    for _ in range(2):
        record = jobs.run_job(a_job("a.gif", "none.png"))
        assert record["status"] == "made"
        assert record["warnings"] == ["a.gif: it has several frames or pages"]
    assert not recwarn.list


def test_a_warning_is_told_once(folder, monkeypatch, capsys):
    monkeypatch.setattr(jobs, "_make", warn_of_a_gif)
    monkeypatch.setattr(jobs, "run_locally", lambda planned, *_, **__: map(jobs.run_job, planned))
    flags = ["--contents", "contents", "--styles", "styles", "--output", "made"]
    assert stylize_batch.main(flags) == 0
    lines = capsys.readouterr().err.splitlines()
    told = [line for line in lines if "frames" in line]
    assert told == ["stylize-batch: warning: a.gif: it has several frames or pages"]
    assert all(len(record["warnings"]) == 1 for record in records(folder))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_batch_with_a_report_of_all_that_is_made(folder, number):
    (folder / "contents" / "poison.png").unlink()
    for index in range(8):
        shutil.copy(folder / "contents" / "coffee.png", folder / "contents" / f"{index}.png")
    command = [sys.executable, str(ROOT / "bin" / "stylize-batch"), *SMALL, "--output", "made"]
    command += ["--contents", "contents", "--styles", "styles"]
    # As a terminal does, to all of its processes.
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, start_new_session=True)
    report = folder / "made" / "report.jsonl"
    deadline = time.monotonic() + 120
    while not (report.exists() and report.read_text()):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, number)
    _, errors = process.communicate(timeout=120)
    found = records(folder)
    made = sorted((folder / "made").glob("*.png"))
    assert 1 <= len(made) < 20
    if number == signal.SIGINT:  # A worker that SIGTERM reaches too dies of it.
        assert process.returncode == 130, errors
        assert {record["output"] for record in found} == {str(path) for path in made}
        assert f"{len(made)} made" in errors.decode()
    else:
        assert process.returncode == 143, errors


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "say what to make"),
        (["--contents", "contents"], "say what to make"),
        (["--contents", "none/*", "--styles", "styles"], "matches none"),
        (["--jobs", "missing.csv"], "is no manifest"),
        (["--jobs", "contents/coffee.png"], "is no manifest"),
        (["--jobs", "x.csv", "--styles", "styles"], "leave --contents"),
        (["--contents", "contents", "--styles", "styles", "--workers", "0"], "1 or more"),
        (["--contents", "contents", "--styles", "styles", "--style-blend", "1,2"], "one style"),
        (["--contents", "contents", "--styles", "styles", "--weights", "none.h5"], "none.h5"),
        (["--contents", "contents", "--styles", "styles", "--init", "none.png"], "none.png"),
        (["--jobs", "x.csv", "--workers", "2", "--ray", "local"], "no effect"),
    ],
)
def test_wrong_requests(folder, capsys, flags, message):
    assert stylize_batch.main([*SMALL, "--output", "made", *flags]) == 2
    assert message in capsys.readouterr().err
    assert not (folder / "made").exists()


def test_names_tell_contents_styles_and_settings_apart(folder):
    named = [("contents/coffee.png", "styles/chelsea.png")]
    (first,) = jobs.make_jobs(named, "made", Settings(size=32))
    (second,) = jobs.make_jobs(named, "made", Settings(size=33))
    (folder / "contents" / "coffee.png").write_bytes(b"other")
    (third,) = jobs.make_jobs(named, "made", Settings(size=32))
    assert len({job.output for job in (first, second, third)}) == 3
    (folder / "init.png").write_bytes(b"one")
    (fourth,) = jobs.make_jobs(named, "made", Settings(size=32, init="init.png"))
    (folder / "init.png").write_bytes(b"two")
    (fifth,) = jobs.make_jobs(named, "made", Settings(size=32, init="init.png"))
    assert fourth.output != fifth.output
    assert os.path.isabs(fifth.content)
    assert os.path.isabs(fifth.settings.init)


def test_names_are_of_what_the_settings_mean(folder, monkeypatch):
    named = [("contents/coffee.png", "styles/chelsea.png")]

    def name(**settings):
        (job,) = jobs.make_jobs(named, "made", Settings(**settings))
        return job.output

    first = name()
    # A default that is given is no other picture.
    assert name(size=Settings.size, content_weight=PRESETS[Settings.preset].content_weight) == first
    # The same words with another meaning are.
    changed = dataclasses.replace(PRESETS[Settings.preset], tv_exponent=1)
    monkeypatch.setitem(PRESETS, Settings.preset, changed)
    assert name() != first


def test_names_do_not_depend_on_the_form_of_records(folder, monkeypatch):
    named = [("contents/coffee.png", "styles/chelsea.png")]
    (first,) = jobs.make_jobs(named, "made", Settings())
    monkeypatch.setattr(record_format, "FORMAT", 99)
    (second,) = jobs.make_jobs(named, "made", Settings())
    assert first.output == second.output


def test_names_that_are_too_long_or_no_files(folder):
    os.mkfifo(folder / "pipe.png")
    named = [
        ("x" * 200 + ".png", "\u00e9" * 200 + ".png"),
        ("pipe.png", "a\0b.png"),
        ("\ud800.png", "b"),
    ]
    planned = jobs.make_jobs(named, "made", Settings(size=32))
    assert len(planned) == 3
    assert all(len(os.path.basename(job.output).encode()) < 250 for job in planned)
    assert [jobs.run_job(job)["status"] for job in planned] == ["error"] * 3


def test_the_output_is_not_the_input(folder, capsys):
    flags = ["--contents", "contents", "--styles", "styles", "--output", "contents"]
    assert stylize_batch.main([*SMALL, *flags]) == 2
    assert "same folder" in capsys.readouterr().err
    (folder / "made" / "report.jsonl").mkdir(parents=True)
    assert stylize_batch.main([*SMALL, *flags[:4], "--output", "made"]) == 2
    assert "report.jsonl is a directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("contents", "styles", "output", "eaten"),
    [
        ("g/*.png", "s", "g", "--contents"),
        ("s", "g/*", "g", "--styles"),
        ("g", "s", "link/../g", "--contents"),
        ("g", "s", "link", "--contents"),
        ("**/*.png", "s", "g/new/made", "--contents"),
        ("g/*/*.png", "s", "g/made", "--contents"),
        ("g/[ab]*", "s", "./g", "--contents"),
        # What would be made there is of another kind, of another name, or hidden from the pattern.
        ("g/*.jpg", "s", "g", None),
        ("g/x*", "s", "g", None),
        ("g", "s", "g/made", None),
        ("g/*/*.png", "s", "g/a/b", None),
        ("g/**/*.png", "s", "made", None),
        ("g/**/a.png", "s", "g", None),
        ("g/*", "s", "g/.made", None),
    ],
)
def test_a_batch_does_not_feed_on_its_own_pictures(
    tmp_path, monkeypatch, contents, styles, output, eaten
):
    """Neither now nor when it runs again."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "g").mkdir()
    os.symlink("g", "link")
    names = ["a--s--0123456789abcdef.png", "b--s--0123456789abcdef.png"]
    found = {
        flag
        for flag, each in (("--contents", contents), ("--styles", styles))
        if pairs.finds(each, output, names)
    }
    assert found == ({eaten} if eaten else set())
    # As `glob` has it, once they are there.
    (tmp_path / output).mkdir(parents=True, exist_ok=True)
    for name in names:
        (tmp_path / output / name).write_bytes(b"")
    with contextlib.suppress(InputError):
        found_by_glob = pairs.find_images(contents if eaten != "--styles" else styles)
        assert any(os.path.basename(path) in names for path in found_by_glob) == bool(eaten)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--contents", "contents/c*", "--styles", "styles", "--output", "contents"], "same folder"),
        (["--contents", "contents", "--styles", "styles", "--output", "styles"], "same folder"),
        (
            ["--jobs", "made/report.jsonl", "--output", "made"],
            "the report and --jobs name the same file",
        ),
        (["--jobs", "j.csv", "--output", "made"], "--output and --content name the same file"),
    ],
)
def test_a_batch_writes_over_nothing_that_it_reads(folder, capsys, flags, message):
    pair = ("contents/coffee.png", "styles/coffee.png")
    (job,) = jobs.make_jobs([pair], "made", Settings(size=32, iterations=1, precision="float32"))
    (folder / "made").mkdir()
    (folder / "made" / "report.jsonl").write_text(json.dumps({"content": pair[0], "style": pair[1]}))
    # A picture of the batch is the content of another one.
    shutil.copy(pair[0], job.output)
    (folder / "j.csv").write_text(f"content,style\n{','.join(pair)}\n{job.output},{pair[1]}\n")
    before = {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}
    assert stylize_batch.main([*SMALL, *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")} == before


def test_a_name_that_is_there_comes_before_a_pattern(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = (
        "IMG [1].jpg",
        "IMG 1.jpg",
        "ph [2020]/a.jpg",
        "ph [2020]/b [1].png",
        "ph 2/c.jpg",
        "d*.jpg",
        "dd.jpg",
    )
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    for pattern, expected in {
        "IMG [1].jpg": ["IMG [1].jpg"],
        "IMG [0-9].jpg": ["IMG 1.jpg"],
        "ph [2020]": ["ph [2020]/a.jpg", "ph [2020]/b [1].png"],
        "ph [2020]/*.jpg": ["ph [2020]/a.jpg"],
        "ph [2020]/b [1].png": ["ph [2020]/b [1].png"],
        f"{tmp_path}/ph [2020]/a*": [f"{tmp_path}/ph [2020]/a.jpg"],
        "ph [0-9]/*": ["ph 2/c.jpg"],
        "d*.jpg": ["d*.jpg"],
        "*/*.jpg": ["ph 2/c.jpg", "ph [2020]/a.jpg"],
    }.items():
        assert pairs.find_images(pattern) == expected
    with pytest.raises(InputError, match="matches none"):
        pairs.find_images("IMG [2].jpg")


def test_a_full_disk_costs_the_report_and_no_picture(capsys):
    messages.configure_output("stylize-batch")
    report = stylize_batch._Report("/dev/full")
    for _ in range(2):
        report.write({"status": "made"})
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "stylize-batch: warning: /dev/full is not whole: No space left on device"


def test_manifests_as_spreadsheets_write_them(folder):
    (folder / "bom.csv").write_text("\ufeffcontent,style\na.png,b.png\n")
    pair = pairs.Pair("a.png", "b.png")
    assert pairs.read_manifest("bom.csv") == [pair]
    (folder / "other.csv").write_text("picture,style\na.png,b.png\n")
    with pytest.raises(InputError, match="a row has no 'content'"):
        pairs.read_manifest("other.csv")
    # What ends in any case is a table, and rows that hold nothing are none.
    (folder / "PAIRS.CSV").write_text("content,style\n,\na.png,b.png\n , \n,\n")
    assert pairs.read_manifest("PAIRS.CSV") == [pair]
    (folder / "pairs.jsonl").write_text(
        '{"content": "a.png", "style": "b.png"}\n\n{"content": "", "style": null}\n'
    )
    assert pairs.read_manifest("pairs.jsonl") == [pair]
    (folder / "half.csv").write_text("content,style\na.png,\n")
    with pytest.raises(InputError, match="Received: content='a.png', style=''"):
        pairs.read_manifest("half.csv")
    (folder / "numbers.jsonl").write_text('{"content": 1, "style": 2}\n')
    with pytest.raises(InputError, match="names no files. Received: content=1"):
        pairs.read_manifest("numbers.jsonl")
    (folder / "empty.csv").write_text("content,style\n,\n")
    with pytest.raises(InputError, match="names no pairs"):
        pairs.read_manifest("empty.csv")
