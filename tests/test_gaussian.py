"""The distance between normal distributions against SciPy's float64 square roots and differences."""

import numpy as np
import pytest
import scipy.linalg
import tensorflow as tf
from reference import gaussian_distance

from tf_style.objective import gaussian
from tf_style.objective.gaussian import distance_and_derivative, gaussian_target, polar_factor


def moments(seed, channels, positions):
    """Mean and covariance, float64, of activations as a ReLU leaves them, of a falling spectrum."""
    generator = np.random.default_rng(seed)
    mix = np.random.default_rng(99).standard_normal((channels, channels))
    mix = mix + 0.3 * generator.standard_normal((channels, channels))
    weights = np.arange(1, channels + 1) ** -0.7
    values = np.maximum((generator.standard_normal((positions, channels)) * weights) @ mix, 0)
    mean = values.mean(axis=0)
    return mean, (values - mean).T @ (values - mean) / positions


def distance(mean, covariance, target, dtype=np.float32):
    """The distance and its derivative, of one distribution."""
    target = tf.nest.map_structure(lambda each: tf.cast(each, dtype), target)
    found = distance_and_derivative(
        tf.constant(mean[np.newaxis], dtype), tf.constant(covariance[np.newaxis], dtype), target
    )
    return float(found[0][0]), found[1][0].numpy()


def target_of(mean, covariance, rank=None):
    return gaussian_target(tf.constant(mean[np.newaxis]), tf.constant(covariance[np.newaxis]), rank)


# Measured: 2e-6 and less; 3e-4 where a covariance has rank 39 of 128, for the singular values of its
# null space lie below `LEAST_SINGULAR_VALUE`.
@pytest.mark.parametrize(
    ("channels", "positions", "tolerance"),
    [(3, 500, 1e-5), (64, 5000, 1e-5), (200, 3000, 1e-5), (128, 40, 1e-3)],
)
def test_distance_is_scipys(channels, positions, tolerance):
    (mean, covariance), (target_mean, target_covariance) = (
        moments(seed, channels, positions) for seed in (2, 1)
    )
    found, _ = distance(mean, covariance, target_of(target_mean, target_covariance))
    assert found == pytest.approx(
        gaussian_distance(mean, covariance, target_mean, target_covariance), rel=tolerance, abs=0
    )


@pytest.mark.parametrize("most", [8, 256])
@pytest.mark.parametrize(("channels", "positions"), [(12, 300), (40, 25)])
def test_derivative_is_that_of_differences(channels, positions, most, monkeypatch):
    """With all directions one by one, and with most of them by their sum alone."""
    monkeypatch.setattr(gaussian, "MAX_DIRECTIONS", most)
    (mean, covariance), (target_mean, target_covariance) = (
        moments(seed, channels, positions) for seed in (2, 1)
    )
    target = target_of(target_mean, target_covariance)
    _, derivative = distance(mean, covariance, target, np.float64)
    generator = np.random.default_rng(0)
    for _ in range(3):
        # Of the covariance's own span, for beyond it the distance has a root's curvature.
        change = generator.standard_normal((channels, channels))
        change = covariance @ (change + change.T) @ covariance / np.trace(covariance) ** 2
        step = 1e-4
        ends = (
            distance(mean, covariance + sign * step * change, target, np.float64)[0] for sign in (1, -1)
        )
        slope = np.subtract(*ends) / (2 * step)
        # Measured: 1.7e-5. The polar factor is orthogonal to 1e-8, and that error's slope is up to
        # 2e-6.
        size = np.linalg.norm(change, "nuc")
        assert np.sum(derivative * change) == pytest.approx(slope, rel=0, abs=3e-5 * size)
        assert abs(slope) > 1e-3 * size
    np.testing.assert_allclose(derivative, derivative.T, atol=1e-12)


def test_float32_is_float64_to_a_ten_thousandth():
    """Measured: 2e-5 in the norm that the gradient has, |D C^(1/2)|."""
    (mean, covariance), (target_mean, target_covariance) = (moments(seed, 256, 3000) for seed in (2, 1))
    target = target_of(target_mean, target_covariance)
    short, long = (distance(mean, covariance, target, dtype) for dtype in (np.float32, np.float64))
    assert short[0] == pytest.approx(long[0], rel=1e-5)
    error = short[1] - long[1]
    size = np.sqrt(np.trace(long[1] @ covariance @ long[1]))
    assert np.sqrt(np.trace(error @ covariance @ error)) < 1e-4 * size


@pytest.mark.parametrize(("channels", "positions"), [(64, 5000), (512, 800), (512, 100)])
def test_identical_distributions_have_no_distance(channels, positions):
    mean, covariance = moments(1, channels, positions)
    found, derivative = distance(mean, covariance, target_of(mean, covariance, positions - 1))
    assert abs(found) < 1e-5 * 2 * np.trace(covariance)
    assert np.sqrt(np.trace(derivative @ covariance @ derivative)) < 1e-2 * np.sqrt(
        np.trace(covariance)
    )


@pytest.mark.parametrize("rank", [47, tf.constant(47)])
def test_rounding_beyond_the_rank_is_no_variance(rank):
    """48 positions of 512 channels, in float32 as they come from the network."""
    mean, covariance = moments(1, 512, 48)
    rounded = covariance.astype(np.float32).astype(np.float64)
    found, expected = target_of(mean, rounded, rank), target_of(mean, covariance, rank)
    assert float(found.ridge[0]) == pytest.approx(float(expected.ridge[0]), rel=1e-6)
    # Beyond it there are the ridges alone.
    ridge = float(expected.ridge[0]) + gaussian.OWN_RIDGE * np.trace(covariance) / 512
    np.testing.assert_allclose(found.variances[0, 47:], ridge, rtol=1e-6)
    assert float(found.rest[0]) == pytest.approx(ridge, rel=1e-6)
    # Not knowing it 465 roundings add up.
    assert float(target_of(mean, rounded).rest[0]) > ridge * (1 + 1e-4)


def test_one_colour_against_one_and_against_a_painting():
    flat = np.ones(16), np.zeros((16, 16))
    painting = moments(1, 16, 200)
    for one, other in ((flat, flat), (flat, painting), (painting, flat)):
        found, derivative = distance(*one, target_of(*other))
        assert np.isfinite(found)
        assert np.all(np.isfinite(derivative))
    assert distance(*flat, target_of(*flat))[0] == pytest.approx(0, abs=1e-6)


def test_the_polar_factor_is_orthogonal_and_scipys():
    generator = np.random.default_rng(0)
    left, right = (np.linalg.qr(generator.standard_normal((2, 48, 48)))[0] for _ in range(2))
    values = np.geomspace(1, 10 * gaussian.LEAST_SINGULAR_VALUE, 48)
    x = (left * values) @ right
    found = polar_factor(tf.constant(x, tf.float32)).numpy()
    for factor, matrix in zip(found, x, strict=True):
        # Derived: rounding of 6e-8 over the least singular value, 1e-3, and sums of 48.
        np.testing.assert_allclose(factor, scipy.linalg.polar(matrix)[0], atol=2e-3)
        np.testing.assert_allclose(factor.T @ factor, np.eye(48), atol=1e-5)


def test_a_batch_is_as_each_alone():
    pairs = [moments(seed, 20, 100) for seed in (2, 3)]
    target = target_of(*moments(1, 20, 100))
    means, covariances = (tf.constant(np.stack(each)) for each in zip(*pairs, strict=True))
    found, derivatives = distance_and_derivative(means, covariances, target)
    for index, pair in enumerate(pairs):
        alone, derivative = distance(*pair, target, np.float64)
        assert float(found[index]) == pytest.approx(alone, rel=1e-12)
        np.testing.assert_allclose(derivatives[index], derivative, atol=1e-10)


def in_variable(each):
    shape = [each.shape[0], *(None for _ in each.shape[1:])]
    return tf.Variable(each, shape=shape, trainable=False)


# Of 3 directions, which leave 21 to be filled up, of all, and of more channels than directions.
@pytest.mark.parametrize("targets", [1, 2])
@pytest.mark.parametrize("sizes_are_known", [True, False])
def test_a_gpu_compares_several_at_once_as_each_alone(
    monkeypatch, exact_float32, targets, sizes_are_known
):
    monkeypatch.setattr(gaussian, "MAX_DIRECTIONS", 24)
    compared = []
    for channels, positions in ((12, 4), (24, 100), (40, 200)):
        pairs = [moments(seed, channels, positions) for seed in (2, 3)]
        means, covariances = (tf.constant(np.stack(each)) for each in zip(*pairs, strict=True))
        of_targets = [moments(seed, channels, positions) for seed in (1, 4)[:targets]]
        stacked = (tf.constant(np.stack(each)) for each in zip(*of_targets, strict=True))
        compared.append((means, covariances, gaussian_target(*stacked, rank=positions - 1)))
    expected = [distance_and_derivative(*each) for each in compared]
    if not sizes_are_known:  # As in an objective for any size.
        compared = [
            (*of_image, tf.nest.map_structure(in_variable, target)) for *of_image, target in compared
        ]
    monkeypatch.setattr(gaussian, "used_device_type", lambda: "GPU")
    found = tf.function(lambda: gaussian.distances_and_derivatives(compared))()
    for one, other in zip(tf.nest.flatten(found), tf.nest.flatten(expected), strict=True):
        # Of float64: sums of as many numbers, and of as many zeros.
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)


def test_a_gpu_that_rounds_to_tensor_float_32_computes_in_float64(monkeypatch, tensor_float_32):
    target = target_of(*moments(1, 20, 100))
    mean, covariance = (tf.constant(each[np.newaxis], tf.float32) for each in moments(2, 20, 100))
    target = gaussian.GaussianTarget(*(tf.cast(each, tf.float32) for each in target))
    expected, expected_derivative = distance_and_derivative(mean, covariance, target)
    monkeypatch.setattr(gaussian, "used_device_type", lambda: "GPU")
    run = tf.function(lambda: distance_and_derivative(mean, covariance, target))
    found, derivative = run()
    assert found.dtype == derivative.dtype == tf.float32
    # Measured: 1.2e-7, and 2.8e-7 of 0.27.
    np.testing.assert_allclose(found, expected, rtol=2e-6)
    np.testing.assert_allclose(derivative, expected_derivative, atol=3e-6)
    products = [
        each for each in run.get_concrete_function().graph.get_operations() if "MatMul" in each.type
    ]
    assert {each.outputs[0].dtype for each in products} == {tf.float64}
