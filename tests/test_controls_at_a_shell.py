"""Masks, coarse and fine styles at a shell, in traces and batches."""

import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from tf_style import InputError, Settings
from tf_style.commands import jobs, pairs, stylize_batch
from tf_style.commands import stylize as stylize_command

LEFT = np.zeros((64, 96), np.float32)
LEFT[:, :48] = 1


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A photograph c.png, two paintings s.png and t.png, and masks m.png, n.png and ramp.png."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    for name in ("c", "s", "t"):
        blocks = generator.integers(0, 256, (8, 12, 3), np.uint8)
        Image.fromarray(blocks.repeat(8, 0).repeat(8, 1)).save(f"{name}.png")
    half = np.uint8(255 * LEFT)
    ramp = np.broadcast_to(np.linspace(0, 255, 96), (64, 96))
    even = {"white": np.full_like(half, 255), "black": np.zeros_like(half)}
    for name, pixels in {"m": half, "n": 255 - half, "ramp": np.uint8(ramp), **even}.items():
        Image.fromarray(pixels).save(f"{name}.png")


SMALL = ["--content", "c.png", "--size", "64", "--iterations", "3"]
MASKED = [
    *(*SMALL, "--style", "s.png", "--style", "none", "--content-mask", "m.png"),
    *("--content-mask", "n.png", "--style-mask", "n.png", "--style-mask", "none"),
]


@pytest.mark.filterwarnings("ignore:the region of style 1 is too small for conv5_1")
def test_masks_at_a_shell_and_from_a_trace(capsys):
    assert stylize_command.main([*MASKED, "--output", "o.png", "--dry-run"]) == 0
    assert "regions: 1 with a style" in capsys.readouterr().out
    assert stylize_command.main([*MASKED, "--output", "o.png", "--trace", "t.json"]) == 0
    assert stylize_command.main(["--from-trace", "t.json", "--output", "again.png"]) == 0
    made, again = (np.asarray(Image.open(name)) for name in ("o.png", "again.png"))
    np.testing.assert_array_equal(made, again)
    with Image.open("o.png") as image:
        assert '"content_mask": ["m.png", "n.png"], "style_mask": ["n.png", null]' in str(image.info)
    # A mask that has changed is not what it was.
    Image.fromarray(np.uint8(200 * LEFT)).save("m.png")
    assert stylize_command.main(["--from-trace", "t.json", "--output", "o.png"]) == 2
    assert "m.png is not what it was" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:.* is too small for")
@pytest.mark.parametrize(
    ("flags", "stored"),
    [
        (
            ["--style", "s.png", "--style", "t.png", "--style-blend", "ramp.png", "--strength", "0.3"],
            {"blend_mask": ["ramp.png"], "strength": 0.3},
        ),
        (
            [
                *("--coarse-style", "s.png", "--fine-style", "t.png", "--style-scale", "1,0.5"),
                *("--strength-mask", "ramp.png"),
            ],
            {
                "strength_mask": "ramp.png",
                "style": ["s.png", "t.png"],
                "style_part": ["coarse", "fine"],
                "style_scale": [1.0, 0.5],
            },
        ),
    ],
)
def test_controls_at_a_shell_are_in_traces_and_metadata(capsys, flags, stored):
    assert stylize_command.main([*SMALL, *flags, "--output", "o.png", "--trace", "t.json"]) == 0
    with Image.open("o.png") as image:
        described = json.loads(image.getexif()[270])
    assert stored.items() <= described.items()
    assert stylize_command.main(["--from-trace", "t.json", "--output", "again.png"]) == 0
    assert stylize_command.main(["--from-trace", "t.json", *flags, "--dry-run"]) == 0
    made, again = (np.asarray(Image.open(name)) for name in ("o.png", "again.png"))
    np.testing.assert_array_equal(made, again)
    assert np.abs(np.float32(made) - np.asarray(Image.open("c.png").resize((64, 43)))).mean() > 2


TWO = ["--style", "s.png", "--style", "t.png"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([*MASKED, "--output", "m.png"], "--output and --content-mask name the same file"),
        ([*MASKED, "--content-mask", "n.png"], "one content mask for each style"),
        ([*MASKED, "--content-mask", "gone.png"], "gone.png does not exist"),
        (["--style", "s.png", "--style-mask", "m.png"], "style_mask would have no effect"),
        (["--style", "s.png", "--style", "none"], "it takes masks"),
        ([*TWO, "--style-blend", "gone.png"], "gone.png does not exist"),
        ([*TWO, "--style-blend", "s.png"], "style_blend's mask 1 has colours"),
        ([*TWO, "--style-blend", "1,2", "--style-blend", "m.png"], "a list of numbers, or a mask"),
        ([*TWO, "--style-blend", "m.png", "--content-mask", "m.png"], "leave style_blend's masks out"),
        ([*TWO, *["--style-blend", "m.png"] * 3], "Received: 3 masks for 2 styles"),
        (["--style", "s.png", "--style-blend", "m.png"], "takes two styles or more"),
        ([*TWO, "--style-blend", "m.png", "--output", "m.png"], "--output and --style-blend name"),
        (["--style", "s.png", "--strength-mask", "s.png"], "strength_mask has colours"),
        (["--style", "s.png", "--strength-mask", "o.txt"], "o.txt does not exist"),
        (
            ["--style", "s.png", "--strength-mask", "m.png", "--content-weight", "2"],
            "strength_mask would have no effect: content_weight, which is given, says",
        ),
        (
            ["--style", "s.png", "--strength-mask", "m.png", "--strength", "1"],
            "A strength mask takes a strength below 1",
        ),
        (["--strength-mask", "m.png"], "Masks would have no effect: there is no style image"),
        (
            ["--style", "s.png", "--strength-mask", "m.png", "--strength", "0"],
            "Masks would have no effect: strength is 0",
        ),
        ([*TWO, "--style-blend", "white.png"], "leave nothing to the last style"),
        (["--style", "s.png", "--strength-mask", "black.png"], "black everywhere: nothing would be"),
        (["--coarse-style", "s.png"], "--coarse-style takes --fine-style beside it"),
        (["--fine-style", "s.png", "--style", "t.png"], "stands in place of --style"),
        ([*TWO, "--style-scale", "1,2,3"], "Received: 3 for 2 images"),
        ([*TWO, "--style-scale", "0,1"], "style_scale is a number above 0"),
    ],
)
def test_bad_controls_at_a_shell_are_one_line(capsys, flags, message):
    small = [] if flags[:1] == SMALL[:1] else SMALL
    output = [] if "--output" in flags else ["--output", "o.png"]
    assert stylize_command.main([*small, *flags, *output]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not pathlib.Path("o.png").exists()


def test_a_manifest_has_columns_for_all_of_it():
    table = pathlib.Path("jobs.csv")
    table.write_text("content,style,content_mask\nc.png,s.png,m.png\nc.png,s.png,\n")
    first, second = pairs.read_manifest(str(table))
    assert first == pairs.Pair("c.png", "s.png", ("m.png",))
    assert second == pairs.Pair("c.png", "s.png")
    planned = jobs.make_jobs([first, second], "made", Settings(size=32))
    assert [len(job.content_mask) for job in planned] == [1, 0]
    assert planned[0].masks.content == (str(pathlib.Path("m.png").resolve()),)
    assert planned[0].output != planned[1].output
    rows = [
        {"content": "c.png", "style": ["s.png", "t.png"], "style_blend": "ramp.png"},
        {"content": "c.png", "style": ["s.png", None], "content_mask": ["m.png", "n.png"]},
        {"content": "c.png", "style": "s.png", "strength_mask": "ramp.png"},
        {"content": "c.png", "coarse_style": "s.png", "fine_style": "t.png"},
    ]
    lines = pathlib.Path("jobs.jsonl")
    lines.write_text("\n".join(map(json.dumps, rows)))
    made = jobs.make_jobs(pairs.read_manifest(str(lines)), "made", Settings(size=32))
    assert [pathlib.Path(job.output).name.rsplit("--", 1)[0] for job in made] == [
        *("c--s+t", "c--s", "c--s", "c--s+t")
    ]
    assert len({job.output for job in made}) == 4
    assert (len(made[0].blend_mask), made[1].styles[1]) == (1, None)
    assert made[2].strength_mask == str(pathlib.Path("ramp.png").resolve())
    assert made[3].settings.style_part == ("coarse", "fine")


@pytest.mark.parametrize(
    "row",
    [
        {"content": "c.png", "coarse_style": "s.png"},
        {"content": "c.png", "coarse_style": "s.png", "fine_style": "t.png", "style": "s.png"},
        {"content": "c.png", "style": "s.png", "strength_mask": ["m.png"]},
        {"content": "c.png", "style": "s.png", "content_mask": [5]},
        {"content": "c.png", "style": [None], "content_mask": "m.png"},
        {"content": "c.png", "style": ["s.png", ""]},
        {"content": "c.png", "style": ["s.png", None], "content_mask": ["m.png", None]},
    ],
)
def test_a_row_that_cannot_be_meant_is_refused(row):
    lines = pathlib.Path("jobs.jsonl")
    lines.write_text(json.dumps(row))
    with pytest.raises(InputError, match="has a row that names no"):
        pairs.read_manifest(str(lines))


def test_a_column_that_is_not_known_is_refused():
    table = pathlib.Path("jobs.csv")
    table.write_text("content,style,contentmask\nc.png,s.png,m.png\n")
    with pytest.raises(InputError, match="contentmask is none of content, style, coarse_style"):
        pairs.read_manifest(str(table))


def test_a_batch_of_two_styles_each(monkeypatch, capsys):
    # In this process: another takes its time to start.
    monkeypatch.setattr(jobs, "run_locally", lambda planned, *_, **__: map(jobs.run_job, planned))
    flags = ["--contents", "c.png", "--coarse-style", "s.png", "--fine-style", "t.png"]
    flags += ["--output", "made", "--size", "32", "--iterations", "2", "--quiet"]
    assert stylize_batch.main(flags) == 0
    (report,) = map(json.loads, pathlib.Path("made/report.jsonl").read_text().splitlines())
    assert [pathlib.Path(style).name for style in report["style"]] == ["s.png", "t.png"]
    assert pathlib.Path(report["output"]).is_file()
    pathlib.Path("one.jsonl").write_text('{"content": "c.png", "style": ["s.png", null]}')
    assert stylize_batch.main(["--jobs", "one.jsonl", "--output", "made"]) == 2
    assert "c.png in s.png and none: A style of 'none' keeps" in capsys.readouterr().err
    for wrong in (["--coarse-style", "s.png"], ["--coarse-style", "s.png", "--styles", "s.png"]):
        assert stylize_batch.main(["--contents", "c.png", "--output", "made", *wrong]) == 2
