"""The two loops' ops against the recursion written out in NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from tf_style import _kernel
from tf_style.two_loop import first_loop, second_loop


def pairs_of(generator, batch, size, count, dtype):
    """Steps, differences and curvatures as tensors, and as arrays in float64."""
    steps, differences = (
        [tf.cast(generator.standard_normal((batch, size)), dtype) for _ in range(count)] for _ in "sy"
    )
    curvatures = [tf.constant(generator.uniform(0.5, 2, batch), tf.float32) for _ in range(count)]
    return steps, differences, curvatures


def expected(q, steps, differences, curvatures):
    """The textbook's loops in float64, with H0 = 1 between them."""
    q, *lists = (
        np.float64(q),
        *(
            [np.float64(tf.cast(x, tf.float64)) for x in each]
            for each in (steps, differences, curvatures)
        ),
    )
    count = len(steps)
    alphas = np.zeros((len(q), count))
    for i in reversed(range(count)):
        s, y, c = (each[i] for each in lists)
        alphas[:, i] = np.where(c == 0, 0, (s * q).sum(1) / np.where(c == 0, 1, c))
        q = q - alphas[:, i : i + 1] * y
    first = q
    for i in range(count):
        s, y, c = (each[i] for each in lists)
        beta = np.where(c == 0, 0, (y * q).sum(1) / np.where(c == 0, 1, c))
        q = q + (alphas[:, i] - beta)[:, np.newaxis] * s
    return first, alphas, q


@pytest.mark.parametrize("kernel", ["auto", "stock"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("batch", "size", "count"), [(1, 1, 1), (1, 5000, 4), (3, 33, 3), (2, 40000, 2)]
)
def test_both_loops(kernel, dtype, batch, size, count):
    generator = np.random.default_rng(0)
    steps, differences, curvatures = pairs_of(generator, batch, size, count, dtype)
    curvatures[0] = tf.zeros_like(curvatures[0])  # A pair that is not there.
    # Scaled so that the recursion does not blow up: s.y is of the order of `size`.
    curvatures = [size * c for c in curvatures]
    q = tf.constant(generator.standard_normal((batch, size)), tf.float32)
    first, alphas = first_loop(q, steps, differences, curvatures, kernel=kernel)
    second = second_loop(first, alphas, steps, differences, curvatures, kernel=kernel)
    for found, exact in zip(
        (first, alphas, second), expected(q, steps, differences, curvatures), strict=True
    ):
        # Float32's rounding in sums of up to 40000; measured 4e-7 at most.
        assert np.linalg.norm(found - exact) <= 3e-6 * np.linalg.norm(exact) + 1e-7


def test_shapes_that_do_not_fit_are_refused():
    if _kernel.custom_ops("auto") is None:
        pytest.skip("the ops are not built")
    q = tf.ones([2, 5])
    with pytest.raises(tf.errors.InvalidArgumentError, match="must have the vector's shape"):
        first_loop(q, [tf.ones([2, 4])], [q], [tf.ones([2])])
    with pytest.raises(tf.errors.InvalidArgumentError, match="alphas must have shape"):
        second_loop(q, tf.ones([2, 3]), [q], [q], [tf.ones([2])])
