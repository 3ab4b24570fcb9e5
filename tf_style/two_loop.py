"""The two halves of L-BFGS's two-loop recursion, by this package's ops where they can run.

Reference: Nocedal and Wright, "Numerical Optimization", 2nd edition, algorithm 7.4.
"""

from collections.abc import Sequence

import tensorflow as tf

from tf_style._kernel import custom_ops

Tensors = Sequence[tf.Tensor]


def first_loop(
    q: tf.Tensor, steps: Tensors, differences: Tensors, curvatures: Tensors, *, kernel: str = "auto"
) -> tuple[tf.Tensor, tf.Tensor]:
    """For each pair, newest first: alpha = s.q / y.s; q -= alpha y.

    Args:
      q: [batch, ...], float32 or float64.
      steps: The steps s, oldest first, each shaped as `q`, of its dtype or bfloat16.
      differences: The gradients' differences y, likewise.
      curvatures: The products y.s, each [batch]; 0 where there is no pair.
      kernel: "auto" or "custom" for the op where it can run, or "stock".

    Returns:
      q as it has become, and the alphas, [batch, pairs].
    """
    if ops := _ops(q, kernel):
        return ops.tf_style_first_loop(
            vector=q, steps=steps, differences=differences, curvatures=curvatures
        )
    alphas = []
    for s, y, curvature in reversed(list(zip(steps, differences, curvatures, strict=True))):
        alphas.append(tf.math.divide_no_nan(dot(tf.cast(s, q.dtype), q), curvature))
        q -= column(alphas[-1], y) * tf.cast(y, q.dtype)
    return q, tf.stack(alphas[::-1], axis=1)


def second_loop(
    q: tf.Tensor,
    alphas: tf.Tensor,
    steps: Tensors,
    differences: Tensors,
    curvatures: Tensors,
    *,
    kernel: str = "auto",
) -> tf.Tensor:
    """For each pair, oldest first: q += (alpha - y.q / y.s) s.

    Args:
      q: As for `first_loop`, as are those not named here.
      alphas: From it.
      steps: s.
      differences: y.
      curvatures: y.s.
      kernel: Which code.

    Returns:
      q as it has become.
    """
    if ops := _ops(q, kernel):
        return ops.tf_style_second_loop(
            vector=q, alphas=alphas, steps=steps, differences=differences, curvatures=curvatures
        )
    for index, (s, y, curvature) in enumerate(zip(steps, differences, curvatures, strict=True)):
        beta = tf.math.divide_no_nan(dot(tf.cast(y, q.dtype), q), curvature)
        q += column(alphas[:, index] - beta, s) * tf.cast(s, q.dtype)
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
