"""Gram matrices and the style loss of one layer, with its gradient."""

import functools
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from tensorflow.python.eager import record  # There is no public API for `record_operation`.

from tf_style.errors import InputError
from tf_style.ops.library import KernelInfo, custom_ops, kernel_info

__all__ = [
    "KernelInfo",
    "checked",
    "flat",
    "gram_gradient",
    "gram_loss",
    "gram_matrix",
    "guided",
    "kernel_info",
]


@tf.autograph.experimental.do_not_convert
def gram_matrix(features: tf.Tensor, *, kernel: str = "auto") -> tf.Tensor:
    """The Gram matrix G[i, j] = sum{ F[p, i] * F[p, j] : p } (equation 3), not normalised.

    Args:
      features: float32 or bfloat16 [batch, positions, channels] or [batch, height, width, channels].
      kernel: "custom", this package's op; "stock", TensorFlow's own ops; or "auto", the custom one
        where it can run.

    Returns:
      float32 [batch, channels, channels], accumulated in float32.

    Raises:
      InputError: If the features have another rank or dtype, or no position, or if the custom op is
        asked for where it cannot run.
    """
    features = checked(features)
    if ops := custom_ops(kernel, has_gpu_kernel=True):
        return ops.tf_style_gram(features=features)
    return _stock_gram(features)


@tf.autograph.experimental.do_not_convert
def gram_loss(
    features: tf.Tensor, target: tf.Tensor, scale: tf.Tensor | float, *, kernel: str = "auto"
) -> tf.Tensor:
    """The style loss of one layer, scale * sum{ (G - target)**2 } (equation 4).

    Its gradient with respect to the features is 4 * scale * F (G - target): equation 6 without ReLU's
    zero, which comes from the network. It is multiplied by the incoming gradient in the features'
    dtype. Target and scale get no gradient, and there is no second derivative.

    Args:
      features: float32 or bfloat16 [batch, positions, channels] or [batch, height, width, channels].
      target: float32 [batch or 1, channels, channels], symmetric.
      scale: Scalar: the layer's weight and normalisation.
      kernel: As for `gram_matrix`.

    Returns:
      float32 [batch].

    Raises:
      InputError: As `gram_matrix` does, and if the target does not fit the features.
    """
    features = checked(features)
    target = tf.convert_to_tensor(target, tf.float32)
    scale = tf.convert_to_tensor(scale, tf.float32)
    _check_target(features, target)
    if ops := custom_ops(kernel, has_gpu_kernel=True):
        return ops.tf_style_gram_loss(features=features, target=target, scale=scale).loss
    return _stock_gram_loss(features, target, scale)


@tf.autograph.experimental.do_not_convert
def gram_gradient(
    features: tf.Tensor, matrix: tf.Tensor, row: tf.Tensor | None = None, *, kernel: str = "auto"
) -> tf.Tensor:
    """F D + r at each position: the gradient of what depends on Gram matrices, and on means.

    Args:
      features: F, float32 or bfloat16 [batch, positions, channels] or [batch, height, width, channels].
      matrix: D, float32 or as the features, [batch, channels, channels]: it is rounded to their dtype.
        For a function L of the Gram matrices it is dL/dG and its transpose together.
      row: r, float32 [batch, channels]; None for 0.
      kernel: As for `gram_matrix`.

    Returns:
      Of the features' shape and dtype.

    Raises:
      InputError: As `gram_matrix` does, and if matrix or row do not fit the features.
    """
    features = checked(features)
    matrix = tf.cast(matrix, features.dtype)
    rows = [] if row is None else [tf.convert_to_tensor(row, tf.float32)]
    batch, channels = features.shape[0], features.shape[-1]
    if not matrix.shape.is_compatible_with([batch, channels, channels]):
        raise _fit_error("matrix", "[batch, channels, channels]", features, matrix)
    for row in rows:
        if not row.shape.is_compatible_with([batch, channels]):
            raise _fit_error("row", "[batch, channels]", features, row)
    if ops := custom_ops(kernel, has_gpu_kernel=True):
        return ops.tf_style_gram_gradient(features=features, matrix=matrix, row=rows)
    product = tf.matmul(flat(features), matrix)
    for row in rows:
        product = tf.cast(tf.cast(product, tf.float32) + row[:, tf.newaxis], features.dtype)
    return tf.reshape(product, tf.shape(features))


def _stock_gram(features: tf.Tensor) -> tf.Tensor:
    # A product of bfloat16 would round its sums to 8 bits as well, and G - target with them.
    positions = tf.cast(flat(features), tf.float32)
    return tf.matmul(positions, positions, transpose_a=True)


def _stock_gram_loss(features: tf.Tensor, target: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    # Autodiff would need two products for the gradient, where one is enough. tf.custom_gradient would,
    # in a graph, register a gradient with each trace and so keep that graph, and what it captures, for
    # good. It does this for its own IdentityN: with a gradient that is registered once, for the tapes
    # of this graph and for those around it.
    with record.stop_recording():
        difference = _stock_gram(features) - target
        loss = tf.reduce_sum(scale * difference * difference, axis=[1, 2])
        inputs = [loss, features, difference, scale]
        overridden = {"IdentityN": "TfStyle>StockGramLoss"}
        with tf.compat.v1.get_default_graph().gradient_override_map(overridden):
            outputs = tf.identity_n(inputs)
    gradient = functools.partial(_stock_gradients, inputs)
    record.record_operation("TfStyle>StockGramLoss", outputs, inputs, gradient)
    return outputs[0]


@tf.RegisterGradient("TfStyle>StockGramLoss")
def _stock_gram_loss_gradient(op: tf.Operation, *upstream: tf.Tensor):
    return _stock_gradients(op.inputs, *upstream)


def _stock_gradients(inputs: Sequence[tf.Tensor], upstream: tf.Tensor, *_: tf.Tensor | None):
    features, difference, scale = inputs[1:]
    derivative = 2.0 * scale * (difference + tf.linalg.matrix_transpose(difference))
    return [None, _scaled(gram_gradient(features, derivative, kernel="stock"), upstream), None, None]


@tf.RegisterGradient("TfStyle>GramLoss")
def _gram_loss_gradient(op: tf.Operation, upstream: tf.Tensor, _: tf.Tensor):
    return [_scaled(op.outputs[1], upstream), None, None]


@tf.RegisterGradient("TfStyle>Gram")
def _gram_gradient(op: tf.Operation, upstream: tf.Tensor):
    features = op.inputs[0]
    derivative = upstream + tf.linalg.matrix_transpose(upstream)
    return gram_gradient(features, derivative)


@tf.RegisterGradient("TfStyle>GramGradient")
def _gram_gradient_gradient(op: tf.Operation, upstream: tf.Tensor):
    features, matrix, *rows = op.inputs
    of_features = gram_gradient(upstream, tf.linalg.matrix_transpose(matrix))
    of_matrix = tf.matmul(flat(features), flat(upstream), transpose_a=True)
    of_row = tf.reduce_sum(tf.cast(flat(upstream), tf.float32), axis=1)
    return [of_features, of_matrix, *[of_row for _ in rows]]


def _scaled(gradient: tf.Tensor, upstream: tf.Tensor) -> Any:
    # In graphs TensorFlow drops the product where the incoming gradient is a constant one.
    factor = tf.cast(upstream, gradient.dtype)
    for _ in range(gradient.shape.rank - 1):
        factor = tf.expand_dims(factor, -1)
    return factor * _first_order_only(gradient)


def _first_order_only(gradient: tf.Tensor) -> tf.Tensor:
    return tf.raw_ops.PreventGradient(
        input=gradient, message="gram_loss has a first derivative only; its second was asked for."
    )


def guided(features: tf.Tensor, root: tf.Tensor | None) -> tf.Tensor:
    """Features [batch, ..., channels], each position times a guide [1 or batch, ..., 1]; None for 1."""
    return features if root is None else features * tf.cast(root, features.dtype)


def flat(features: tf.Tensor) -> tf.Tensor:
    """Features [batch, positions, channels] of either shape that `gram_matrix` takes."""
    if features.shape.rank == 3:
        return features
    shape = tf.shape(features)
    return tf.reshape(features, [shape[0], shape[1] * shape[2], shape[3]])


def checked(features: tf.Tensor) -> tf.Tensor:
    """Features as a tensor; an `InputError` if they are none."""
    features = tf.convert_to_tensor(features)
    if features.dtype not in (tf.float32, tf.bfloat16):
        raise InputError(f"features must be float32 or bfloat16. Received: dtype={features.dtype.name}")
    if features.shape.rank not in (3, 4):
        raise InputError(
            "features must have shape [batch, positions, channels] or [batch, height, width, "
            f"channels]. Received: shape={features.shape}"
        )
    if 0 in features.shape[1:]:
        raise InputError(
            "features must have at least one position and one channel. "
            f"Received: shape={features.shape}"
        )
    return features


def _check_target(features: tf.Tensor, target: tf.Tensor) -> None:
    batch, channels = features.shape[0], features.shape[-1]
    fits = target.shape.is_compatible_with([None, channels, channels])
    if not fits or (target.shape.rank and batch and target.shape[0] not in (None, 1, batch)):
        raise _fit_error("target", "[1 or batch, channels, channels]", features, target)


def _fit_error(name: str, expected: str, features: tf.Tensor, given: tf.Tensor) -> InputError:
    return InputError(
        f"{name} must have shape {expected} for features of shape={features.shape}. "
        f"Received: shape={given.shape}"
    )
