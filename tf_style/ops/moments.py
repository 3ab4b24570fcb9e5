"""Means over positions, and the Gram matrices of the differences from them."""

import types

import tensorflow as tf

from tf_style.ops.gram import checked, flat, gram_gradient, gram_matrix, guided
from tf_style.ops.library import custom_ops, used_device_type


@tf.autograph.experimental.do_not_convert
def moments(
    features: tf.Tensor, root: tf.Tensor | None = None, *, kernel: str = "auto"
) -> tuple[tf.Tensor, tf.Tensor]:
    """The mean m of features F [M, N] and the products (F - m)^T (F - m), differentiable once.

    With the roots t of weights: the weighted mean, and the products of t (F - m).

    Args:
      features: float32 or bfloat16 [batch, height, width, channels] or [batch, positions, channels].
      root: t, float32 [1 or batch, height, width, 1], or likewise [..., positions, 1]; None for 1.
      kernel: As for `gram_matrix`. On a GPU the differences are made by TensorFlow.

    Returns:
      The products, float32 [batch, channels, channels], and the mean, float32 [batch, channels].

    Raises:
      InputError: As `gram_matrix` does.
    """
    features = checked(features)
    if root is None and (ops := _ops(kernel)):
        return tuple(ops.tf_style_moments(features=features))
    positions = flat(features)
    if root is None:
        mean = tf.reduce_mean(tf.cast(positions, tf.float32), axis=1)
    else:
        root = flat(root)
        weights = tf.square(root)
        total = tf.reduce_sum(weights, axis=1)
        # In the features' dtype a product would round its sums.
        weighted = tf.reduce_sum(tf.cast(positions, tf.float32) * weights, axis=1)
        mean = tf.math.divide_no_nan(weighted, total)
    # The products' derivative with respect to the mean is 0, for the differences' sum is.
    centred = positions - tf.cast(tf.stop_gradient(mean), features.dtype)[:, tf.newaxis]
    return gram_matrix(guided(centred, root), kernel=kernel), mean


def moments_gradient(
    features: tf.Tensor,
    mean: tf.Tensor,
    matrix: tf.Tensor,
    row: tf.Tensor,
    root: tf.Tensor | None = None,
    *,
    kernel: str = "auto",
) -> tf.Tensor:
    """(F - m) D + r at each position, times t**2.

    Args:
      features: F, as for `moments`.
      mean: m, float32 [batch, channels].
      matrix: D, float32 [batch, channels, channels], symmetric.
      row: r, float32 [batch, channels].
      root: As for `moments`.
      kernel: As for `gram_matrix`.

    Returns:
      Of the features' shape and dtype.
    """
    if root is not None:
        return tf.cast(tf.square(root), features.dtype) * moments_gradient(
            features, mean, matrix, row, kernel=kernel
        )
    if not _ops(kernel):
        # A product of bfloat16 is rounded before anything is added to it.
        mean = tf.reshape(mean, [-1, *[1] * (features.shape.rank - 2), features.shape[-1]])
        return gram_gradient(features - tf.cast(mean, features.dtype), matrix, row, kernel=kernel)
    matrix = tf.cast(matrix, features.dtype)
    of_mean = tf.linalg.matvec(tf.cast(matrix, tf.float32), mean)
    return gram_gradient(features, matrix, row - of_mean, kernel=kernel)


@tf.RegisterGradient("TfStyle>Moments")
def _gradient_of_moments(op: tf.Operation, of_products: tf.Tensor, of_mean: tf.Tensor):
    features = op.inputs[0]
    positions = tf.cast(tf.reduce_prod(tf.shape(features)[1:-1]), tf.float32)
    matrix = of_products + tf.linalg.matrix_transpose(of_products)
    return moments_gradient(features, op.outputs[1], matrix, of_mean / positions)


def _ops(kernel: str) -> types.ModuleType | None:
    return custom_ops(kernel) if used_device_type() == "CPU" else None
