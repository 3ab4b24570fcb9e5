"""Sums over the many vectors of L-BFGS's history, by this package's ops where they can run.

The names are those of PETSc's VecMDot and VecMAXPY.
"""

import types
from collections.abc import Sequence

import tensorflow as tf

from tf_style.ops.library import custom_ops

Tensors = Sequence[tf.Tensor]


def multi_dot(q: tf.Tensor, vectors: Tensors, *, kernel: str = "auto") -> tf.Tensor:
    """The scalar products of a vector with several others, q . vectors[i].

    Args:
      q: [batch, ...], float32 or float64.
      vectors: Each shaped as `q`, of its dtype or bfloat16.
      kernel: "custom", this package's op, which is for float32; "stock", TensorFlow's own ops; or
        "auto", the custom one where it can run.

    Returns:
      float64 [batch, number of vectors].

    Raises:
      InputError: If the custom op is asked for where it cannot run.
    """
    if ops := _ops(q, kernel):
        return ops.tf_style_multi_dot(vector=q, vectors=vectors)
    products = [dot(q, tf.cast(vector, q.dtype)) for vector in vectors]
    return tf.cast(tf.stack(products, axis=1), tf.float64)


def multi_axpy(
    q: tf.Tensor, factors: tf.Tensor, vectors: Tensors, *, kernel: str = "auto"
) -> tf.Tensor:
    """The sum of a vector and multiples of several others.

    Args:
      q: As for `multi_dot`.
      factors: float64 [batch, number of vectors].
      vectors: As for `multi_dot`; those whose factor is 0 are finite.
      kernel: As for `multi_dot`.

    Returns:
      q + sum over i of factors[:, i] * vectors[i], shaped as `q`.

    Raises:
      InputError: As `multi_dot` does.
    """
    factors = tf.cast(factors, q.dtype)
    if ops := _ops(q, kernel):
        return ops.tf_style_multi_axpy(vector=q, factors=factors, vectors=vectors)
    for index, vector in enumerate(vectors):
        q += column(factors[:, index], vector) * tf.cast(vector, q.dtype)
    return q


def dot(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """The scalar products of two batches of vectors, element by element: [batch]."""
    # Three times as fast as a product of matrices; a sum along one axis would take one thread.
    if a.shape[0] == 1:
        return tf.reshape(tf.reduce_sum(a * b), [1])
    return tf.reduce_sum(flat(a) * flat(b), axis=1)


def flat(batch: tf.Tensor) -> tf.Tensor:
    """Reshapes [batch, ...] to [batch, size]."""
    return tf.reshape(batch, [tf.shape(batch)[0], -1])


def column(numbers: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """Reshapes numbers [batch] to [batch, 1, ...], to multiply `like` [batch, ...]."""
    return tf.reshape(numbers, [-1] + [1] * (like.shape.rank - 1))


def _ops(q: tf.Tensor, kernel: str) -> types.ModuleType | None:
    is_float32 = q.dtype == tf.float32
    problem = "" if is_float32 else f"the op takes float32. Received: dtype={q.dtype.name}"
    return custom_ops(kernel, has_gpu_kernel=True, problem=problem)
