"""Regions of a transfer: at each working size, in the picture, and what is refused."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from tf_style import InputError, Masks, Settings, StyleTransfer, prepare, read_image, stylize
from tf_style.commands import jobs, pairs
from tf_style.commands import stylize as stylize_command
from tf_style.images.picture import resize

ROOT = pathlib.Path(__file__).parent.parent
RUN = {"iterations": 6, "precision": "float32", "pair_precision": "float32", "size": 96}


def picture(name: str, height: int = 64, width: int = 96) -> np.ndarray:
    return resize(read_image(str(ROOT / "examples" / name)).pixels, height, width)


PHOTOGRAPH, MOSAIC, STROKES = picture("coffee.jpg"), picture("mosaic.jpg"), picture("strokes.jpg")
LEFT = np.zeros((64, 96), np.float32)
LEFT[:, :48] = 1


def test_a_mask_that_is_white_everywhere_is_no_mask():
    white = Masks((np.ones_like(LEFT),), (np.ones((64, 96), np.float32),))
    masked = stylize(PHOTOGRAPH, MOSAIC, masks=white, **RUN)
    plain = stylize(PHOTOGRAPH, MOSAIC, **RUN)
    np.testing.assert_array_equal(masked.image, plain.image)


def test_what_no_mask_covers_keeps_the_photograph():
    """As 'none' does that goes there; half a mask is half of each."""
    mask = LEFT.copy()
    mask[:, 40:48] = 0.5
    made = stylize(PHOTOGRAPH, MOSAIC, masks=Masks((mask,)), **RUN).image
    np.testing.assert_allclose(made[:, 48:], PHOTOGRAPH[:, 48:], atol=1e-6)
    assert np.abs(made - PHOTOGRAPH)[:, :40].mean() > 8 / 255
    assert (
        2 / 255 < np.abs(made - PHOTOGRAPH)[:, 40:48].mean() < np.abs(made - PHOTOGRAPH)[:, :40].mean()
    )
    both = Masks((mask, 1 - mask))
    same = stylize(PHOTOGRAPH, [MOSAIC, None], masks=both, **RUN).image
    np.testing.assert_array_equal(made, same)


def test_each_size_has_its_masks_and_a_part_of_a_style():
    settings = Settings(levels=2, style_blend=(1.0, 3.0), **RUN)
    content, own = np.zeros((64, 96, 3)), np.zeros((64, 96, 3))
    content[:, :48], own[:32] = (1, 0, 0), (1, 0, 0)
    masks = Masks((content,), (own, own[::-1]))
    inputs = prepare(PHOTOGRAPH, [MOSAIC, STROKES], settings, masks=masks)
    for level in inputs.levels:
        black, red = level.regions
        assert (black.blend, red.blend) == ((1.0, 3.0), (1.0, 3.0))
        height, width = level.level.height, level.level.width
        assert red.guide.roots["conv1_1"].shape == (1, height, width, 1)
        assert red.guide.share == pytest.approx([0.5], abs=0.02)
        upper = red.styles[0].roots["conv1_1"][0, :, :, 0]
        assert upper[0].min() > 1
        assert upper[-1].max() == 0
    run = StyleTransfer(inputs).run()
    assert np.isfinite(run.image).all()


def test_two_styles_are_each_in_their_half():
    """Each half is nearer to the picture that its style alone makes."""
    alone = [stylize(PHOTOGRAPH, style, **RUN).image for style in (MOSAIC, STROKES)]
    made = stylize(PHOTOGRAPH, [MOSAIC, STROKES], masks=Masks((LEFT, 1 - LEFT)), **RUN).image
    left, right = np.s_[:, :32], np.s_[:, 64:]
    for half, near, far in ((left, *alone), (right, *alone[::-1])):
        assert np.abs(made[half] - near[half]).mean() < 0.7 * np.abs(made[half] - far[half]).mean()


def dot(side: int) -> np.ndarray:
    mask = np.zeros((64, 96), np.float32)
    mask[:side, :side] = 1
    return mask


def test_layers_without_a_position_in_a_region_are_left_out_with_a_warning():
    with pytest.warns(
        UserWarning, match="the region of style 1 is too small for conv.*: the other layers"
    ):
        prepare(PHOTOGRAPH, [MOSAIC], Settings(**RUN), masks=Masks((dot(24),)))


@pytest.mark.parametrize(
    ("styles", "masks", "settings", "message"),
    [
        ([MOSAIC], Masks((dot(1),)), {}, "The region of style 1 is too small in a picture of 96 x 64"),
        ([MOSAIC], Masks((LEFT,), (dot(1),)), {}, "is too small .* or the part of its style is"),
        (
            [MOSAIC],
            Masks((LEFT[:, :50],)),
            {},
            "content mask 1 of 50 x 64 pixels has other proportions",
        ),
        ([MOSAIC], Masks((LEFT,), (LEFT[:32],)), {}, "style mask 1 of 96 x 32 pixels has other"),
        (
            [MOSAIC, None],
            None,
            {},
            "A style of 'none' keeps the photograph in its region: it takes masks",
        ),
        (
            [MOSAIC, STROKES],
            Masks((LEFT, 1 - LEFT)),
            {"style_blend": (1.0, 2.0)},
            "style_blend would have no effect: no region has several styles",
        ),
    ],
)
def test_what_would_not_work_is_refused(styles, masks, settings, message):
    with pytest.raises(InputError, match=message) as error:
        prepare(PHOTOGRAPH, styles, Settings(**RUN, **settings), masks=masks)
    assert "\n" not in str(error.value)


def test_masks_take_a_photograph():
    with pytest.raises(InputError, match="Masks would have no effect: there is no content image"):
        prepare(None, [MOSAIC], Settings(**RUN), masks=Masks((LEFT,)))


def at_a_shell(folder: pathlib.Path) -> list[str]:
    """Files of a photograph, two masks and a style, and the flags that name them."""
    half = np.uint8(255 * LEFT)
    for name, pixels in {"m.png": half, "n.png": 255 - half}.items():
        Image.fromarray(pixels).save(folder / name)
    for name, pixels in {"c.png": PHOTOGRAPH, "s.png": MOSAIC}.items():
        Image.fromarray(np.uint8(np.rint(255 * pixels))).save(folder / name)
    flags = ["--content", "c.png", "--style", "s.png", "--style", "none"]
    flags += ["--content-mask", "m.png", "--content-mask", "n.png", "--style-mask", "n.png"]
    return [*flags, "--style-mask", "none", "--size", "64", "--iterations", "3"]


@pytest.mark.filterwarnings("ignore:the region of style 1 is too small for conv5_1")
def test_masks_at_a_shell_and_from_a_trace(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    flags = at_a_shell(tmp_path)
    assert stylize_command.main([*flags, "--output", "o.png", "--dry-run"]) == 0
    assert "regions: 1 with a style" in capsys.readouterr().out
    assert stylize_command.main([*flags, "--output", "o.png", "--trace", "t.json"]) == 0
    assert stylize_command.main(["--from-trace", "t.json", "--output", "again.png"]) == 0
    made, again = (np.asarray(Image.open(name)) for name in ("o.png", "again.png"))
    np.testing.assert_array_equal(made, again)
    with Image.open("o.png") as image:
        assert '"content_mask": ["m.png", "n.png"], "style_mask": ["n.png", null]' in str(image.info)
    # A mask that has changed is not what it was.
    Image.fromarray(np.uint8(255 * (1 - LEFT))).save("m.png")
    assert stylize_command.main(["--from-trace", "t.json", "--output", "o.png"]) == 2
    assert "m.png is not what it was" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--output", "m.png"], "--output and --content-mask name the same file"),
        (["--output", "o.png", "--content-mask", "none.png"], "one content mask for each style"),
        (["--output", "o.png", "--content-mask", "gone.png"], "gone.png does not exist"),
    ],
)
def test_bad_masks_at_a_shell_are_one_line(tmp_path, monkeypatch, capsys, flags, message):
    monkeypatch.chdir(tmp_path)
    named = at_a_shell(tmp_path)
    Image.fromarray(np.uint8(255 * LEFT)).save("none.png")
    assert stylize_command.main([*named, *flags]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--style-mask", "m.png"], "style_mask would have no effect: there is no content mask"),
        (["--style", "none"], "it takes masks"),
    ],
)
def test_flags_that_take_content_masks(tmp_path, monkeypatch, capsys, flags, message):
    monkeypatch.chdir(tmp_path)
    at_a_shell(tmp_path)
    pair = ["--content", "c.png", "--style", "s.png", "--output", "o.png"]
    assert stylize_command.main([*pair, *flags]) == 2
    assert message in capsys.readouterr().err


def test_a_manifest_has_columns_for_masks(tmp_path):
    table = tmp_path / "jobs.csv"
    table.write_text("content,style,content_mask\nc.png,s.png,m.png\nc.png,s.png,\n")
    first, second = pairs.read_manifest(str(table))
    assert first == ("c.png", "s.png", "m.png", None)
    assert second == ("c.png", "s.png", None, None)
    planned = jobs.make_jobs([first, second], "made", Settings(size=32))
    assert [len(job.content_mask) for job in planned] == [1, 0]
    assert planned[0].masks.content == (str(pathlib.Path("m.png").resolve()),)
    assert planned[0].output != planned[1].output
