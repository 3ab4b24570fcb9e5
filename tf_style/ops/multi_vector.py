"""Sums over the many vectors that L-BFGS keeps, by this package's ops where they can run."""

from collections.abc import Sequence

import tensorflow as tf

from tf_style.ops.library import custom_ops

Tensors = Sequence[tf.Tensor]


def multi_dot(q: tf.Tensor, vectors: Tensors, *, kernel: str = "auto") -> tf.Tensor:
    """The scalar products of a vector with several others.

    Args:
      q: [batch, ...], float32 or float64.
      vectors: Each shaped as `q`, of its dtype or bfloat16.
      kernel: "auto" or "custom" for the op where it can run, or "stock".

    Returns:
      float64 [batch, number of vectors].
    """
    if ops := _ops(q, kernel):
        return ops.tf_style_scalar_products(vector=q, vectors=vectors)
    products = [dot(q, tf.cast(vector, q.dtype)) for vector in vectors]
    return tf.cast(tf.stack(products, axis=1), tf.float64)


def multi_axpy(
    q: tf.Tensor, factors: tf.Tensor, vectors: Tensors, *, kernel: str = "auto"
) -> tf.Tensor:
    """A vector and multiples of several others.

    Args:
      q: As for `multi_dot`.
      factors: float64 [batch, number of vectors].
      vectors: As for `multi_dot`; those whose factor is 0 are finite.
      kernel: As for `multi_dot`.

    Returns:
      q + sum over i of factors[:, i] * vectors[i], shaped as `q`.
    """
    factors = tf.cast(factors, q.dtype)
    if ops := _ops(q, kernel):
        return ops.tf_style_add_multiples(vector=q, factors=factors, vectors=vectors)
    for index, vector in enumerate(vectors):
        q += column(factors[:, index], vector) * tf.cast(vector, q.dtype)
    return q


def dot(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """The scalar product of each position of one batch with its own of another, [batch]."""
    # Three times faster than as a product of matrices; a sum along one axis would take one thread.
    if a.shape[0] == 1:
        return tf.reshape(tf.reduce_sum(a * b), [1])
    return tf.reduce_sum(flat(a) * flat(b), axis=1)


def flat(batch: tf.Tensor) -> tf.Tensor:
    """[batch, ...] as [batch, all the rest]."""
    return tf.reshape(batch, [tf.shape(batch)[0], -1])


def column(numbers: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """Numbers [batch] in a shape that multiplies a batch of that rank."""
    return tf.reshape(numbers, [-1] + [1] * (like.shape.rank - 1))


def _ops(q: tf.Tensor, kernel: str):
    # The ops are for the processor alone, and for float32.
    if q.dtype != tf.float32 or tf.config.get_visible_devices("GPU"):
        return None
    return custom_ops(kernel)
