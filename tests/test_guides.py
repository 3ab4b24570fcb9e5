"""Statistics of regions: against float64 ones of a whole picture's activations at the positions."""

import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf

from tf_style import PRESETS, Features, Objective, TiledObjective
from tf_style.network import weights
from tf_style.network.architecture import find_layer
from tf_style.objective.guides import LEAST_POSITIONS, guide, layer_weights
from tf_style.objective.objective import PARTS
from tf_style.objective.regions import Region

LAYERS = ("conv1_1", "conv3_1", "conv4_2")
PRESET = dataclasses.replace(
    PRESETS["painterly"],
    pooling="average",
    content_layers=(),
    style_layers=LAYERS,
    style_layer_weights=(1.0, 3.0, 2.0),
)
SHAPE = (1, 80, 96, 3)


@functools.cache
def features() -> Features:
    return Features(PRESET, weights.load_for(PRESET, "embedded"))


def pictures(count: int) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    smooth = generator.uniform(0, 255, (count, 1, 10, 12, 3))
    return [np.float32(each.repeat(8, 1).repeat(8, 2)) for each in smooth]


def left_half(height: int = SHAPE[1], width: int = SHAPE[2]) -> np.ndarray:
    return np.broadcast_to(np.arange(width) < width // 2, (1, height, width))[
        ..., np.newaxis
    ] * np.float32(1)


@pytest.mark.parametrize("xp", [np, tf])
def test_weights_are_one_inside_and_none_where_the_border_is(xp):
    made = layer_weights(xp.convert_to_tensor(left_half()) if xp is tf else left_half(), LAYERS, xp=xp)
    for name in LAYERS:
        layer, of_layer = find_layer(name), np.asarray(made[name])
        assert of_layer.shape == (1, SHAPE[1] // layer.stride, SHAPE[2] // layer.stride, 1)
        row = of_layer[0, 3, :, 0]
        middle = len(row) // 2
        # What sees more of the other half than of its own has no weight.
        assert np.all(row[middle:] < 1e-6)
        assert np.all(np.diff(row[:middle]) < 1e-6)
        assert row[0] == pytest.approx(1, abs=1e-6)
        np.testing.assert_allclose(
            of_layer[0, :, :, 0], np.broadcast_to(row, of_layer.shape[1:3]), atol=1e-6
        )
    # The first convolution sees a pixel further: 2/3 inside, less 1/3 outside.
    row = np.asarray(made["conv1_1"])[0, 0, :, 0]
    np.testing.assert_allclose(row[45:50], [1, 1, 1 / 3, 0, 0], atol=1e-6)


def test_an_even_mask_weighs_as_it_is():
    for value in (0.0, 0.25, 0.5, 1.0):
        for of_layer in layer_weights(np.full((1, 50, 70, 1), value, np.float32), LAYERS).values():
            np.testing.assert_allclose(of_layer, value, atol=1e-6)


def test_a_guide_has_mean_square_1_where_there_are_positions():
    mask = left_half()
    mask[:, 12:] = 0
    made = guide(mask, LAYERS)
    assert made.share == pytest.approx([0.075])
    for name in LAYERS:
        total = layer_weights(mask, [name])[name].sum()
        assert made.has[name] == [float(total >= LEAST_POSITIONS)]
        assert np.square(made.roots[name]).mean() == pytest.approx(made.has[name][0], rel=1e-5)
    assert made.has["conv1_1"] == [1.0]
    assert made.has["conv4_2"] == [0.0]


def statistics(activations: np.ndarray, of_layer: np.ndarray) -> tuple[np.ndarray, ...]:
    """Mean, covariance and Gram matrix over weighted positions, in float64."""
    positions = activations.reshape(-1, activations.shape[-1]).astype(np.float64)
    share = of_layer.reshape(-1).astype(np.float64) / of_layer.sum(dtype=np.float64)
    mean = share @ positions
    centred = positions - mean
    return mean, (share * centred.T) @ centred, (share * positions.T) @ positions


@pytest.mark.parametrize("statistic", ["gram", "moments"])
def test_statistics_are_those_at_the_regions_positions(statistic):
    from tf_style.objective.style_statistic import STATISTICS

    (image,) = pictures(1)
    mask = left_half()
    roots, of_layers = guide(mask, LAYERS).roots, layer_weights(mask, LAYERS)
    for name, activations in features()(image).items():
        mean, covariance, gram = statistics(activations.numpy(), of_layers[name])
        sums = STATISTICS[statistic]().sums(activations, tf.constant(roots[name])).numpy()[0]
        positions = np.prod(activations.shape[1:3])
        if statistic == "gram":
            found, expected = sums / positions, gram
        else:
            np.testing.assert_allclose(sums[-2], mean, rtol=1e-4, atol=1e-5 * np.abs(mean).max())
            np.testing.assert_allclose(sums[-1], positions, rtol=1e-5)
            found, expected = sums[:-2] / positions, covariance
        # float32's rounding; the middle half matters, so that a region's mask is not idle.
        np.testing.assert_allclose(found, expected, atol=2e-6 * np.trace(expected))
        whole = statistics(activations.numpy(), np.ones_like(of_layers[name]))
        assert np.abs(whole[2 if statistic == "gram" else 1] - expected).max() > 1e-3 * np.trace(
            expected
        )


def objective(statistic: str, regions=(), styles=2, **options) -> Objective:
    preset = PRESET.with_style_statistic(statistic)
    return Objective(
        features(), preset, content=None, styles=pictures(1 + styles)[1:], regions=regions, **options
    )


@pytest.mark.parametrize("statistic", ["gram", "moments"])
def test_a_region_that_covers_all_is_no_region(statistic):
    (image,) = pictures(1)
    ones = np.ones((*SHAPE[:3], 1), np.float32)
    region = Region.of(ones, [None, ones], (1.0, 1.0), LAYERS)
    parts, gradient = objective(statistic, [region]).parts_and_gradient(tf.constant(image))
    plain, plain_gradient = objective(statistic).parts_and_gradient(tf.constant(image))
    # float32's rounding: sums of weights stand for counts. Measured: 1e-6 and 2.3e-5.
    np.testing.assert_allclose(parts, plain, rtol=1e-5)
    difference = np.linalg.norm(gradient - plain_gradient) / np.linalg.norm(plain_gradient)
    assert difference < 1e-4


@pytest.mark.parametrize("statistic", ["gram", "moments"])
def test_each_region_is_pulled_by_its_own_style_alone(statistic):
    """The gradient of a half's pixels is what it would be without the other half's style."""
    (image,) = pictures(1)
    left, right = left_half(), 1 - left_half()
    regions = [
        Region.of(left, [None, None], (1.0, 0.0), LAYERS),
        Region.of(right, [None, None], (0.0, 1.0), LAYERS),
    ]
    both = objective(statistic, regions).parts_and_gradient(tf.constant(image))
    alone = [objective(statistic, [each]).parts_and_gradient(tf.constant(image)) for each in regions]
    style = PARTS.index("style")
    np.testing.assert_allclose(both[0][0, style], sum(each[0][0, style] for each in alone), rtol=1e-5)
    # float32's rounding through square roots. Measured: 4e-5.
    np.testing.assert_allclose(both[1], alone[0][1] + alone[1][1], atol=1e-4 * np.abs(both[1]).max())
    # Nothing but rounding beyond the border: a position that sees over it weighs by what is inside.
    reach = np.abs(alone[0][1].numpy()).max(axis=(0, 1, 3))
    assert reach[80:].max() < 1e-3 * reach[:40].max()


@pytest.mark.parametrize("statistic", ["gram", "moments"])
def test_the_gradient_is_the_losses(statistic):
    """By central differences along the gradient, in a picture's smooth and guided objective."""
    (image,) = pictures(1)
    mask = np.linspace(0, 1, SHAPE[2], dtype=np.float32)[np.newaxis, np.newaxis, :, np.newaxis]
    mask = np.repeat(mask, SHAPE[1], 1)
    regions = [
        Region.of(mask, [left_half(), None], (1.0, 0.0), LAYERS),
        Region.of(1 - mask, [None, None], (1.0, 3.0), LAYERS),
    ]
    guided = objective(statistic, regions)
    parts, gradient = guided.parts_and_gradient(tf.constant(image))
    gradient = gradient.numpy().astype(np.float64)
    direction = gradient / np.abs(gradient).max()
    losses = [
        float(tf.reduce_sum(guided.parts(tf.constant(np.float32(image + step * direction)))))
        for step in (-0.5, 0.5)
    ]
    assert losses[1] - losses[0] == pytest.approx(np.sum(gradient * direction), rel=2e-2)


def test_what_a_region_lacks_at_a_layer_the_others_weigh():
    mask = left_half()
    mask[:, 12:] = 0
    region = Region.of(mask, [None, None], (1.0, 0.0), LAYERS)
    shares = region.shares(PRESET)
    assert shares["conv4_2"] == [0.0]
    for name in ("conv1_1", "conv3_1"):
        assert shares[name] == pytest.approx([0.075 * 6 / 4])
    # And so where a style that has a part in the region lacks it.
    whole = np.ones_like(mask)
    assert Region.of(whole, [mask, None], (1.0, 1.0), LAYERS).shares(PRESET)["conv4_2"] == [0.0]
    assert Region.of(whole, [mask, None], (0.0, 1.0), LAYERS).shares(PRESET)["conv4_2"] == [1.0]
    value, gradient = objective("moments", [region]).parts_and_gradient(tf.constant(pictures(1)[0]))
    assert np.isfinite(value).all()
    assert np.isfinite(gradient).all()


# Of the region's rows; with 12 it has no position at the deepest layer.
@pytest.mark.parametrize(("statistic", "rows"), [("gram", 50), ("moments", 50), ("moments", 12)])
def test_tiles_are_the_whole(statistic, rows):
    """With a region that most tiles have no position of, and one style that is whole in both."""
    image, content, *styles = pictures(4)
    mask = left_half()
    mask[:, rows:] = 0
    regions = [
        Region.of(mask, [left_half(), None], (1.0, 0.0), LAYERS),
        Region.of(1 - mask, [None, None], (1.0, 3.0), LAYERS),
    ]
    preset = dataclasses.replace(PRESET, content_layers=("conv4_2",)).with_style_statistic(statistic)
    options = {"content": content, "styles": styles, "regions": regions}
    whole = Objective(features(), preset, **options)
    tiled = TiledObjective(features(), preset, height=SHAPE[1], width=SHAPE[2], tile_px=32, **options)
    parts, gradient = tiled.parts_and_gradient(tf.constant(image))
    expected, expected_gradient = whole.parts_and_gradient(tf.constant(image))
    # As without regions, see test_tiled.py, but that a small region has far fewer positions than
    # channels: measured 1.6e-4.
    np.testing.assert_allclose(parts, expected, rtol=1e-4)
    difference = np.linalg.norm(gradient - expected_gradient) / np.linalg.norm(expected_gradient)
    assert difference < (1e-5 if statistic == "gram" else 5e-4)
