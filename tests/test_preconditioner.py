"""The map that the optimiser of pictures begins with."""

import numpy as np
import pytest
import tensorflow as tf

from tf_style.optimize.preconditioner import AXES, CURVATURES, FREQUENCIES, fourier_preconditioner


@pytest.mark.parametrize(("height", "width"), [(7, 5), (6, 4), (1, 8)])
def test_is_symmetric_and_positive_definite(height, width):
    size = height * width * 3
    basis = tf.reshape(tf.eye(size), [size, height, width, 3])
    matrix = fourier_preconditioner()(basis).numpy().reshape(size, size)
    # float32's rounding of entries up to 20, through two Fourier transforms.
    np.testing.assert_allclose(matrix, matrix.T, atol=2e-5)
    eigenvalues = np.linalg.eigvalsh(matrix)
    assert 1 / np.max(CURVATURES) - 1e-4 < eigenvalues[0]
    assert eigenvalues[-1] < 1 / np.min(CURVATURES) + 1e-3


def test_its_square_root_applied_twice_is_the_map():
    images = tf.constant(np.float32(np.random.default_rng(0).standard_normal((2, 9, 13, 3))))
    root = fourier_preconditioner(square_root=True)
    expected = fourier_preconditioner()(images).numpy()
    # float32, through two Fourier transforms more.
    np.testing.assert_allclose(root(root(images)), expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("index", range(1, len(FREQUENCIES) - 1))
def test_divides_a_wave_by_the_curvature_of_its_frequency_and_colour(axis, index):
    # A width in which the wave fits a whole number of times.
    width = 1000
    cycles = round(FREQUENCIES[index] * width)
    wave = np.cos(2 * np.pi * cycles / width * np.arange(width))
    image = np.float32(np.tile(wave, (4, 1))[np.newaxis, ..., np.newaxis] * AXES[axis])
    result = fourier_preconditioner()(tf.constant(image)).numpy()
    expected = image / CURVATURES[axis][index]
    np.testing.assert_allclose(result, expected, atol=1e-5 * np.abs(expected).max())


def test_sizes_may_be_known_only_when_a_graph_runs():
    images = np.float32(np.random.default_rng(0).standard_normal((2, 9, 13, 3)))

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3])])
    def in_graph(images):
        return fourier_preconditioner()(images)

    expected = fourier_preconditioner()(tf.constant(images))
    # The same operations on the same numbers, perhaps in another order.
    np.testing.assert_allclose(in_graph(images), expected, atol=1e-5)
