"""Regions of a transfer: at each working size, in the picture, and what is refused."""

import dataclasses
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tf_style import PRESETS, InputError, Masks, Settings, StyleTransfer, prepare, read_image, stylize
from tf_style.images.picture import resize
from tf_style.images.reading import as_mask, as_picture
from tf_style.transfer import memory, placing
from tf_style.transfer.level_objectives import LevelObjectives
from tf_style.transfer.margin import with_margin

ROOT = pathlib.Path(__file__).parent.parent
RUN = {"iterations": 6, "precision": "float32", "pair_precision": "float32", "size": 96}


def picture(name: str, height: int = 64, width: int = 96) -> np.ndarray:
    return resize(read_image(str(ROOT / "examples" / name)).pixels, height, width)


PHOTOGRAPH, MOSAIC, STROKES = picture("coffee.jpg"), picture("mosaic.jpg"), picture("strokes.jpg")
MOSAIC_ALONE = [MOSAIC]
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
        height, width = (
            side + 2 * level.level.margin for side in (level.level.height, level.level.width)
        )
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


def test_an_even_strength_mask_is_a_lower_strength():
    """Half of 0.5 is 0.25, but for the total variation, which knows no place."""
    settings = Settings(tv_weight=0.0, **RUN)
    half = Masks(strength=np.full_like(LEFT, 0.5))
    masked = StyleTransfer(prepare(PHOTOGRAPH, MOSAIC_ALONE, settings, masks=half)).objective
    lower = dataclasses.replace(settings, strength=0.25)
    plain = StyleTransfer(prepare(PHOTOGRAPH, MOSAIC_ALONE, lower)).objective
    image = tf.constant(with_margin(255 * STROKES[np.newaxis], PRESETS["painterly"].margin_px))
    for found, expected in zip(
        masked.parts_and_gradient(image), plain.parts_and_gradient(image), strict=True
    ):
        # float32's rounding through a guide, as in test_guides.py.
        np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_a_strength_mask_keeps_the_photograph_where_it_is_black_and_more_of_it_where_it_is_grey():
    mask = np.where(LEFT == 1, np.float32(1), np.float32(0.2))
    mask[:16] = 0
    made = stylize(PHOTOGRAPH, MOSAIC, masks=Masks(strength=mask), **RUN).image
    np.testing.assert_allclose(made[:16], PHOTOGRAPH[:16], atol=1e-6)
    changed = np.abs(made - PHOTOGRAPH)[24:].mean(axis=(0, 2))
    assert 0 < 1.5 * changed[56:].mean() < changed[:40].mean()
    white = Masks(strength=np.ones_like(LEFT))
    (level,) = prepare(PHOTOGRAPH, MOSAIC_ALONE, Settings(**RUN), masks=white).levels
    assert (level.regions, level.content_weights) == ((), None)


def test_a_strength_mask_is_over_content_masks():
    mask = np.full_like(LEFT, 0.5)
    mask[:32] = 1
    inputs = prepare(
        *(PHOTOGRAPH, [MOSAIC, STROKES], Settings(**RUN)), masks=Masks((LEFT, 1 - LEFT), strength=mask)
    )
    shares = [float(region.guide.share[0]) for region in inputs.levels[-1].regions]
    assert shares == pytest.approx([0.375, 0.375])
    assert inputs.painted is None


def test_styles_pass_into_each_other():
    """By one mask, the second style has what is left of it; by two, each its share of both."""
    ramp = np.broadcast_to(np.linspace(0, 1, 96, dtype=np.float32), LEFT.shape)
    one = prepare(PHOTOGRAPH, [MOSAIC, STROKES], Settings(**RUN), masks=Masks(blend=(ramp,)))
    two = prepare(
        *(PHOTOGRAPH, [MOSAIC, STROKES], Settings(**RUN)),
        masks=Masks(blend=(ramp / 2, (1 - ramp) / 2)),
    )
    assert one.painted is None
    for first, second in zip(one.levels[-1].regions, two.levels[-1].regions, strict=True):
        assert first.blend == second.blend
        np.testing.assert_allclose(
            first.guide.roots["conv1_1"], second.guide.roots["conv1_1"], atol=1e-5
        )
    assert [region.blend for region in one.levels[-1].regions] == [(1.0, 0.0), (0.0, 1.0)]
    shares = np.array([region.guide.share[0] for region in one.levels[-1].regions])
    assert shares == pytest.approx([0.5, 0.5])


def test_where_no_style_weighs_anything_each_has_as_much():
    found = placing.read(
        Masks(blend=(LEFT, np.zeros_like(LEFT) + LEFT)),
        *(as_picture(PHOTOGRAPH), [as_picture(MOSAIC), as_picture(STROKES)]),
        as_mask,
        Settings(**RUN),
    )
    for region in found.regions:
        np.testing.assert_array_equal(region.content, np.full_like(LEFT, 0.5))


def test_tiles_have_the_strength_of_their_places(monkeypatch):
    mask = np.linspace(0, 1, 96, dtype=np.float32)[np.newaxis].repeat(64, 0)
    inputs = prepare(PHOTOGRAPH, MOSAIC_ALONE, Settings(levels=1, **RUN), masks=Masks(strength=mask))
    whole = StyleTransfer(inputs)
    monkeypatch.setattr(memory, "choose_tile", lambda *_: 32)
    monkeypatch.setattr(LevelObjectives, "is_tiled", lambda *_: True)
    tiled = StyleTransfer(inputs)
    image = tf.constant(with_margin(255 * STROKES[np.newaxis], PRESETS["painterly"].margin_px))
    parts, gradient = tiled.objective.parts_and_gradient(image)
    expected, expected_gradient = whole.objective.parts_and_gradient(image)
    # As in test_tiled.py.
    np.testing.assert_allclose(parts, expected, rtol=1e-4)
    difference = np.linalg.norm(gradient - expected_gradient) / np.linalg.norm(expected_gradient)
    assert difference < 5e-4


def unit(transfer: StyleTransfer) -> float:
    return float(transfer.objective.content_unit[0])


def test_all_sizes_have_the_first_ones_unit_also_when_restored_and_by_tiles(monkeypatch):
    settings = Settings(levels=2, **RUN)
    inputs = prepare(PHOTOGRAPH, [STROKES], settings)
    transfer = StyleTransfer(inputs)
    first = unit(transfer)
    transfer.run()
    assert (transfer.level, unit(transfer)) == (1, first)
    again = StyleTransfer(inputs)
    again.restore(transfer.state())
    assert (again.level, unit(again)) == (1, first)
    # By itself the larger size's is another.
    (above,) = prepare(PHOTOGRAPH, [STROKES], dataclasses.replace(settings, levels=1)).levels
    alone = dataclasses.replace(inputs, levels=(above,))
    assert abs(unit(StyleTransfer(alone)) / first - 1) > 0.02
    before = dataclasses.replace(inputs.preset, content_unit="relative at each size")
    earlier = StyleTransfer(dataclasses.replace(inputs, preset=before))
    earlier.restore(transfer.state())
    assert unit(earlier) == pytest.approx(unit(StyleTransfer(alone)))
    monkeypatch.setattr(memory, "choose_tile", lambda *_: 32)
    monkeypatch.setattr(LevelObjectives, "is_tiled", lambda self, level: level.width == 96)
    tiled = StyleTransfer(inputs)
    tiled.restore(transfer.state())
    assert unit(tiled) == first


@pytest.mark.filterwarnings("ignore:the region of style 1 is too small for")
def test_a_region_that_the_first_size_does_not_see_has_the_next_ones_unit():
    settings = Settings(levels=3, **(RUN | {"size": 192}))
    mask = np.zeros((128, 192), np.float32)
    # Not at the border, where the margin repeats it.
    mask[60:66, 90:96] = 1
    inputs = prepare(PHOTOGRAPH, MOSAIC_ALONE, settings, masks=Masks((mask,)))
    counted = [float(level.regions[0].counted_share(inputs.preset)[0]) for level in inputs.levels]
    assert counted[0] == 0 < counted[-1]
    transfer = StyleTransfer(inputs)
    assert unit(transfer) == 0
    transfer.run()
    assert unit(transfer) > 0
    again = StyleTransfer(inputs)
    again.restore(transfer.state())
    assert unit(again) == unit(transfer)


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
