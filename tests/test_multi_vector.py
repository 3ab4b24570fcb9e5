"""Sums over many vectors against NumPy's in float64."""

import numpy as np
import pytest
import tensorflow as tf

from tf_style.errors import InputError
from tf_style.ops import library
from tf_style.ops.multi_vector import multi_axpy, multi_dot

EPS = 2.0**-24


def random_vectors(generator, shape, count, dtype):
    """Tensors, and the same as arrays [count, batch, size] in float64."""
    vectors = [tf.cast(generator.standard_normal(shape), dtype) for _ in range(count)]
    arrays = np.stack([tf.cast(vector, tf.float64).numpy().reshape(shape[0], -1) for vector in vectors])
    return vectors, arrays


@pytest.mark.parametrize("kernel", ["auto", "stock"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("shape", "count"),
    [((1, 1), 1), ((1, 100, 16, 3), 4), ((3, 33), 3), ((2, 40003), 2), ((1, 4096), 5)],
)
def test_products_and_multiples(kernel, dtype, shape, count):
    generator = np.random.default_rng(0)
    vectors, arrays = random_vectors(generator, shape, count, dtype)
    q = tf.constant(generator.standard_normal(shape), tf.float32)
    flat_q = np.float64(q).reshape(shape[0], -1)
    products = multi_dot(q, vectors, kernel=kernel)
    assert products.dtype == tf.float64
    # Derived: the op adds at most 4096 / 64 + 64 numbers one after the other in float32, and TensorFlow
    # no more of them at random signs; measured 4e-7 of the sum of magnitudes at most.
    magnitudes = np.einsum("bi,nbi->bn", np.abs(flat_q), np.abs(arrays))
    error = np.abs(products - np.einsum("bi,nbi->bn", flat_q, arrays))
    assert (error <= 128 * EPS * magnitudes).all()

    factors = generator.standard_normal((shape[0], count))
    result = multi_axpy(q, tf.constant(factors), vectors, kernel=kernel)
    assert result.shape == shape
    exact = flat_q + np.einsum("bn,nbi->bi", factors, arrays)
    magnitudes = np.abs(flat_q) + np.einsum("bn,nbi->bi", np.abs(factors), np.abs(arrays))
    # Derived: each of `count` additions rounds, and each factor and product.
    error = np.abs(np.float64(result).reshape(exact.shape) - exact)
    assert (error <= (count + 2) * EPS * magnitudes).all()


def test_float64_stays_so():
    generator = np.random.default_rng(0)
    vectors, arrays = random_vectors(generator, (2, 50), 3, "float64")
    q = tf.constant(generator.standard_normal((2, 50)))
    expected = np.einsum("bi,nbi->bn", q.numpy(), arrays)
    np.testing.assert_allclose(multi_dot(q, vectors), expected, rtol=1e-12, atol=1e-13)


def test_shapes_that_do_not_fit_are_refused():
    if library.custom_ops("auto") is None:
        pytest.skip("the ops are not built")
    q = tf.ones([2, 5])
    with pytest.raises(tf.errors.InvalidArgumentError, match="must have the vector's shape"):
        multi_dot(q, [tf.ones([2, 4])])
    with pytest.raises(tf.errors.InvalidArgumentError, match="factors must have shape"):
        multi_axpy(q, tf.ones([2, 3]), [q])
    with pytest.raises(tf.errors.InvalidArgumentError, match="a batch's dimension"):
        multi_dot(tf.ones([]), [tf.ones([])])


def test_known_shapes_stay_known():
    @tf.function
    def run(q):
        products = multi_dot(q, [q, q])
        return products, multi_axpy(q, products, [q, q])

    products, result = run.get_concrete_function(tf.TensorSpec([3, None, 2])).output_shapes
    assert products.as_list() == [3, 2]
    assert result.as_list() == [3, None, 2]


def test_custom_is_an_error_in_float64():
    if library.custom_ops("auto") is None:
        pytest.skip("the ops are not built")
    q = tf.ones([1, 5], tf.float64)
    with pytest.raises(InputError, match="takes float32. Received: dtype=float64"):
        multi_dot(q, [q], kernel="custom")
    with pytest.raises(InputError, match="takes float32. Received: dtype=float64"):
        multi_axpy(q, tf.ones([1, 1], tf.float64), [q], kernel="custom")
