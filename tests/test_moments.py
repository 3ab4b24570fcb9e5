"""Moments, and the product that is their and a Gram matrix's gradient, against NumPy in float64."""

import numpy as np
import pytest
import tensorflow as tf

from tf_style.errors import InputError
from tf_style.ops import library
from tf_style.ops.gram import gram_gradient, gram_matrix
from tf_style.ops.moments import moments, moments_gradient

pytestmark = pytest.mark.usefixtures("exact_float32")

# As in test_gram.py.
FLOAT32_EPSILON = 2.0**-24
SUM_EPSILON = 1024 * FLOAT32_EPSILON
EPSILON = {"float32": FLOAT32_EPSILON, "bfloat16": 2.0**-8}
SHAPES = [(1, 1, 1), (3, 1, 64), (2, 7, 3), (1, 1001, 67), (2, 13, 11, 100), (1, 300, 519)]


def random_inputs(shape, dtype):
    """Features whose means are large beside the differences from them, a matrix and a row."""
    random = np.random.default_rng(0)
    batch, channels = shape[0], shape[-1]
    features = 20 + random.normal(size=shape).clip(min=-1)
    matrix = random.normal(size=(batch, channels, channels))
    symmetric = tf.cast(matrix + matrix.swapaxes(1, 2), dtype)
    return tf.cast(features, dtype), symmetric, tf.constant(random.normal(size=(batch, channels)))


def float64(tensor):
    array = tensor.numpy().astype(np.float64)
    return array.reshape(array.shape[0], -1, array.shape[-1]) if array.ndim == 4 else array


@pytest.mark.parametrize("dtype", EPSILON)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_product_agrees_with_float64(kernel, dtype, shape):
    features, matrix, row = random_inputs(shape, dtype)
    f, d, r = float64(features), float64(matrix), float64(row)[:, None]
    for add, epsilons in ((0, 1), (1, 2)):  # The stock product is rounded before the row is added.
        actual = gram_gradient(
            features, matrix, tf.cast(row, tf.float32) if add else None, kernel=kernel
        )
        assert actual.shape == features.shape
        assert actual.dtype == features.dtype
        terms = np.abs(f) @ np.abs(d) + add * np.abs(r)
        bound = (epsilons * EPSILON[dtype] + SUM_EPSILON) * terms
        assert (np.abs(float64(actual) - (f @ d + add * r)) <= bound).all()


@pytest.mark.parametrize("dtype", EPSILON)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_moments_and_their_gradient_agree_with_float64(kernel, dtype, shape):
    features, matrix, row = random_inputs(shape, dtype)
    f, d, r = float64(features), float64(matrix), float64(row)[:, None]
    with tf.GradientTape() as tape:
        tape.watch(features)
        products, mean = moments(features, kernel=kernel)
        weighed = tf.reduce_sum(tf.cast(matrix, tf.float32) * products)
        loss = weighed + tf.reduce_sum(tf.cast(row, tf.float32) * mean)
    gradient = tape.gradient(loss, features)
    assert products.dtype == mean.dtype == tf.float32
    assert gradient.shape == features.shape
    m = f.mean(1, keepdims=True)
    assert (np.abs(mean - m[:, 0]) <= SUM_EPSILON * m[:, 0]).all()

    # Differences are rounded to the dtype, and in the stock kernel the mean before that. Its error
    # counts squared, for the differences' sum is 0.
    epsilon, positions = EPSILON[dtype], f.shape[1]
    of_mean = (SUM_EPSILON + (epsilon if kernel == "stock" else 0)) * m
    differences = np.abs(f - m) + of_mean
    bound = (3 * epsilon + SUM_EPSILON) * differences.swapaxes(1, 2) @ differences
    bound += positions * of_mean.swapaxes(1, 2) @ of_mean
    expected = (f - m).swapaxes(1, 2) @ (f - m)
    assert (np.abs(products - expected) <= bound).all()

    matrix = 2 * d  # Of what is summed here, with its transpose.
    bound = (3 * epsilon + SUM_EPSILON) * ((f + m) @ np.abs(matrix) + np.abs(r) / positions)
    assert (np.abs(float64(gradient) - ((f - m) @ matrix + r / positions)) <= bound).all()
    row = tf.constant(r[:, 0] / positions, tf.float32)
    tiles = moments_gradient(features, mean, tf.constant(matrix, tf.float32), row, kernel=kernel)
    assert (np.abs(float64(tiles) - ((f - m) @ matrix + r / positions)) <= bound).all()


def test_moments_of_one_colour_are_exact(kernel):
    """However large they are: sums of squares less the mean's square would leave thousands."""
    features = tf.fill([1, 3000, 5], 1234.5)
    products, mean = moments(features, kernel=kernel)
    np.testing.assert_allclose(mean, np.full([1, 5], 1234.5), rtol=1e-5)
    # An error of 1e-5 of the mean, squared, at each position.
    assert np.abs(products).max() <= 3000 * (1e-5 * 1234.5) ** 2


def test_a_gram_matrix_has_a_second_derivative(kernel):
    features, _, _ = random_inputs((2, 30, 9), "float32")
    features -= 20

    def second(gram):
        with tf.GradientTape() as outer:
            outer.watch(features)
            with tf.GradientTape() as inner:
                inner.watch(features)
                value = tf.reduce_sum(gram(features) ** 3)
            squared = tf.reduce_sum(inner.gradient(value, features) ** 2)
        return outer.gradient(squared, features).numpy()

    expected = second(lambda x: tf.matmul(x, x, transpose_a=True))
    actual = second(lambda x: gram_matrix(x, kernel=kernel))
    # Measured: 6e-8.
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_a_function_of_unknown_sizes_is_differentiated_from_outside(kernel):
    features, matrix, _ = random_inputs((2, 5, 6, 4), "float32")

    @tf.function(input_signature=[tf.TensorSpec([2, None, None, 4])])
    def loss(x):
        total = 0.0
        for _ in tf.range(3):
            products, mean = moments(x, kernel=kernel)
            assert (products.shape, mean.shape) == ([2, 4, 4], [2, 4])
            total += tf.reduce_sum(products * matrix) + tf.reduce_sum(gram_matrix(x, kernel=kernel))
        return total

    with tf.GradientTape() as tape:
        tape.watch(features)
        value = loss(features)
    actual = float64(tape.gradient(value, features))
    f, d = float64(features), 2 * float64(matrix)
    expected = 3 * ((f - f.mean(1, keepdims=True)) @ d + f @ np.full([4, 4], 2.0))
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_under_xla_stock_is_taken():
    features, matrix, _ = random_inputs((1, 50, 16), "float32")

    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = tf.reduce_sum(moments(x)[0] * matrix)
        return tape.gradient(value, x)

    compiled = tf.function(gradient, jit_compile=True)(features)
    np.testing.assert_allclose(compiled, gradient(features), rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("dtype", EPSILON)
def test_what_is_not_finite_propagates(kernel, dtype, value):
    features = np.ones((1, 41, 19), np.float32)
    features[0, 40, 18] = value
    features = tf.cast(features, dtype)
    products, mean = moments(features, kernel=kernel)
    assert not np.isfinite(products[0, 18]).any()
    assert not np.isfinite(mean[0, 18])
    gradient = gram_gradient(features, tf.ones([1, 19, 19]), kernel=kernel)
    assert not np.isfinite(float64(gradient)[0, 40]).any()


def test_an_empty_batch(kernel):
    products, mean = moments(tf.zeros([0, 5, 3]), kernel=kernel)
    assert (products.shape, mean.shape) == ([0, 3, 3], [0, 3])
    assert gram_gradient(tf.zeros([0, 5, 3]), tf.zeros([0, 3, 3]), kernel=kernel).shape == [0, 5, 3]


BAD_SHAPES = [
    ((5, 3), (1, 3, 3), (1, 3), "rank 2"),
    ((1, 0, 3), (1, 3, 3), (1, 3), r"\[1,0,3\]"),
    ((1, 5, 3), (1, 4, 4), (1, 3), r"\[1,5,3\]. Received: shape \[1,4,4\]"),
    ((2, 5, 3), (1, 3, 3), (2, 3), r"\[2,5,3\]. Received: shape \[1,3,3\]"),
    ((1, 5, 3), (3, 3), (1, 3), r"\[1,5,3\]. Received: shape \[3,3\]"),
    ((1, 5, 3), (1, 3, 3), (1, 4), r"\[1,5,3\]. Received: shape \[1,4\]"),
    ((2, 5, 3), (2, 3, 3), (3,), r"\[2,5,3\]. Received: shape \[3\]"),
]


@pytest.mark.parametrize(("features", "matrix", "row", "message"), BAD_SHAPES)
def test_bad_shapes(features, matrix, row, message):
    """By the functions, the op's shape function and its kernel."""
    inputs = [tf.zeros(features), tf.zeros(matrix), tf.zeros(row)]
    for kernel in ("auto", "stock"):
        with pytest.raises(InputError, match="Received: shape="):
            gram_gradient(*inputs, kernel=kernel)
    ops = library.custom_ops("auto")
    if ops is None:
        pytest.skip(library.kernel_info().reason)

    def call(features, matrix, row):
        return ops.tf_style_gram_gradient(features=features, matrix=matrix, row=[row])

    with pytest.raises(ValueError, match=message):
        tf.function(call)(*inputs)
    unknown = [tf.TensorSpec(None)] * 3
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        tf.function(call, input_signature=unknown)(*inputs)


@pytest.mark.parametrize("features", [tf.zeros([5, 3]), tf.zeros([1, 5, 3], tf.float16)])
def test_moments_of_something_else(kernel, features):
    with pytest.raises(InputError, match="Received: (shape|dtype)="):
        moments(features, kernel=kernel)
