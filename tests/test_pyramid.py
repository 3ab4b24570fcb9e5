"""The working sizes, and that the objective at each weighs its parts as the full size's does."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tf_style import PRESETS, InputError, Objective
from tf_style.objective.presets import MEAN, MEAN_GRAM, STYLE_LAYERS, Scale
from tf_style.transfer import margin, pyramid
from tf_style.transfer.prepare import EarlierFrames

PRESET = PRESETS["gatys2016"]
SUM = Scale(1.0, 0, 0)


def test_levels_double_up_to_the_size_asked_for():
    levels = pyramid.plan(300, 401, preset=PRESET, num_levels=3, iterations=100)
    assert [(level.height, level.width) for level in levels] == [(75, 100), (150, 200), (300, 401)]
    assert [level.iterations for level in levels] == [58, 28, 14]


@pytest.mark.parametrize("iterations", [3, 7, 100])
def test_no_iteration_is_lost(iterations):
    levels = pyramid.plan(512, 512, preset=PRESET, num_levels=3, iterations=iterations)
    assert sum(level.iterations for level in levels) == iterations
    assert min(level.iterations for level in levels) >= 1


def test_what_cannot_be_is_refused():
    with pytest.raises(InputError, match=r"20 x 15 pixels.* needs 16"):
        pyramid.plan(240, 320, preset=PRESET, num_levels=5, iterations=100)
    with pytest.raises(InputError, match="iterations=2 for levels=3"):
        pyramid.plan(512, 512, preset=PRESET, num_levels=3, iterations=2)


def test_automatic_levels_are_always_possible():
    for preset in (PRESET, dataclasses.replace(PRESET, content_layers=("conv1_1",))):
        for height, width in ((16, 16), (16, 4000), (300, 500), (1000, 1000), (4000, 6000)):
            count = pyramid.automatic_levels(height, width, preset)
            pyramid.plan(height, width, preset=preset, num_levels=count, iterations=count)


def test_there_are_no_more_levels_than_iterations():
    assert pyramid.automatic_levels(4000, 4000, PRESET) == 4
    assert [pyramid.automatic_levels(4000, 4000, PRESET, iterations=n) for n in (1, 3, 9)] == [1, 3, 4]


@pytest.mark.parametrize("preset", [PRESET, PRESETS["painterly"]], ids=["gatys2016", "painterly"])
def test_levels_in_a_graph_are_those_of_numbers(preset):
    """With sizes and iterations that the graph does not know when it is traced."""

    @tf.function(input_signature=[tf.TensorSpec([], tf.float64)] * 3)
    def in_graph(height, width, iterations):
        count = pyramid.count_levels(height, width, preset, iterations=iterations, xp=tf)
        sides = [pyramid.sides(side, preset, tf) for side in (height, width)]
        return count, *sides, pyramid.shares(iterations, count, preset, tf)

    random = np.random.default_rng(0)
    for height, width in ((16, 16), (401, 803), *random.integers(16, 5000, (200, 2)).tolist()):
        iterations = int(random.integers(1, 500))
        count = pyramid.automatic_levels(height, width, preset, iterations=iterations)
        levels = pyramid.plan(height, width, preset=preset, num_levels=count, iterations=iterations)
        found, heights, widths, counts = (
            np.array(each).tolist() for each in in_graph(float(height), float(width), float(iterations))
        )
        assert found == count
        assert counts[:count] == [level.iterations for level in levels]
        assert heights[:count] == [level.height for level in reversed(levels)]
        assert widths[:count] == [level.width for level in reversed(levels)]


def test_the_full_size_keeps_the_preset():
    for preset in PRESETS.values():
        assert pyramid.plan(64, 64, preset=preset, num_levels=2, iterations=2)[-1].factors == (1, 1, 1)


class Copies:
    """Stands for the network: its activations are the pixels, so a size has what pixels have."""

    def __call__(self, images):
        return {name: images for name in ("conv4_2", *STYLE_LAYERS)}


@pytest.mark.parametrize("content_scale", [SUM, MEAN, Scale(0.5, 0, 0)])
@pytest.mark.parametrize("style_scale", [SUM, MEAN_GRAM, Scale(0.25, 2, 1)])
@pytest.mark.parametrize(
    ("tv_exponent", "tv_scale"), [(1, "sum"), (2, "sum"), (1, "mean"), (2, "mean")]
)
def test_a_ramp_has_the_same_parts_at_half_the_size(content_scale, style_scale, tv_exponent, tv_scale):
    """A picture without detail is the same at each size, and so should its loss be."""
    preset = dataclasses.replace(
        PRESET,
        content_weight=1.0,
        style_weight=1.0,
        content_scale=content_scale,
        style_scale=style_scale,
        tv_weight=1.0,
        tv_exponent=tv_exponent,
        tv_scale=tv_scale,
    )
    parts = []
    for level in pyramid.plan(256, 256, preset=preset, num_levels=2, iterations=2):
        across = (np.arange(level.width, dtype=np.float32) + 0.5) / level.width
        image = 100 * np.broadcast_to(across[:, np.newaxis], (1, level.height, level.width, 3))
        objective = Objective(
            Copies(),
            preset.times(*level.factors),
            content=tf.zeros_like(image),
            styles=[tf.zeros_like(image)],
        )
        parts.append(objective.parts_and_gradient(tf.constant(image))[0])
    # The mean of a ramp's squares differs by 1 / (12 n**2) between n = 128 and 256 samples, and a
    # ramp has n - 1 differences in n samples: under 1 / 128.
    np.testing.assert_allclose(parts[0], parts[1], rtol=1 / 128)


def test_margins_fit_around_the_smallest_picture():
    preset = PRESETS["painterly"]
    levels = pyramid.plan(341, 512, preset=preset, num_levels=2, iterations=100)
    assert [level.margin for level in levels] == [preset.margin_px] * 2
    (least,) = pyramid.plan(17, 5, preset=conv1_alone(preset), num_levels=1, iterations=1)
    assert least.margin == 5
    (none,) = pyramid.plan(64, 64, preset=PRESET, num_levels=1, iterations=1)
    assert none.margin == 0


def conv1_alone(preset):
    return dataclasses.replace(preset, content_layers=("conv1_1",), style_layers=("conv1_1",))


@pytest.mark.parametrize("px", [0, 3])
def test_a_margin_mirrors_the_picture_and_is_taken_away_again(px):
    pictures = np.float32(np.random.default_rng(0).uniform(0, 255, (2, 4, 5, 3)))
    for xp in (np, tf):
        larger = margin.with_margin(pictures, px, xp)
        assert larger.shape == (2, 4 + 2 * px, 5 + 2 * px, 3)
        for edge in range(px):
            np.testing.assert_array_equal(larger[:, px + edge, px:-px], pictures[:, edge])
            np.testing.assert_array_equal(larger[:, px - 1 - edge, px:-px], pictures[:, edge])
            np.testing.assert_array_equal(larger[:, px:-px, -px + edge], pictures[:, :, -1 - edge])
        np.testing.assert_array_equal(margin.without_margin(larger, px, xp), pictures)


def test_what_earlier_frames_weigh_in_all_is_the_same_with_a_margin():
    rng = np.random.default_rng(0)
    frames = EarlierFrames(*(np.float32(rng.uniform(0, 255, shape)) for shape in ((9, 12, 3), (9, 12))))
    even = frames._replace(weights=np.full_like(frames.weights, 2.0)).with_margin(4)
    assert even.weights.shape == even.target.shape[:2] == (17, 20)
    assert even.weights.sum() == pytest.approx(2.0 * frames.weights.size)
    larger = frames.with_margin(4)
    np.testing.assert_array_equal(larger.target[4:-4, 4:-4], frames.target)
    ratio = larger.weights[4:-4, 4:-4] / frames.weights
    np.testing.assert_allclose(ratio, frames.weights.size / larger.weights.size, rtol=1e-6)
    assert EarlierFrames.none().with_margin(4).weights.shape == (1, 1)
