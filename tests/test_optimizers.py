"""The map that the optimiser of pictures begins with."""

import numpy as np
import tensorflow as tf

from tf_style.optimizers import favour_coarse


def test_favour_coarse_is_symmetric_and_positive_definite_at_odd_sizes():
    height, width = 7, 5
    size = height * width
    basis = tf.reshape(tf.eye(size), [size, height, width, 1])
    matrix = favour_coarse(basis).numpy().reshape(size, size)
    # Sums of at most three float32 numbers below 1.
    np.testing.assert_allclose(matrix, matrix.T, atol=5e-7)
    eigenvalues = np.linalg.eigvalsh(matrix)
    # What is finest is kept as it is, and what is constant counts three times, but for cut blocks.
    assert 1 - 1e-5 < eigenvalues[0]
    assert eigenvalues[-1] < 3 + 1e-5
    flat = (matrix @ np.ones(size)).reshape(height, width)
    np.testing.assert_allclose(flat[:4, :4], 3.0, atol=1e-5)
