"""A record of every evaluation of the objective, kept in the graph and read between calls into it."""

import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tf_style.ops.library import used_device_type

# How many evaluations there is room for at first: more than a few dozen iterations usually make, of one
# evaluation each and seldom a search of some dozens. Where more are made the record grows.
INITIAL_CAPACITY = 4096


class EvaluationLog:
    """Gives a minimiser (loss, gradient) and keeps the time and the parts of each loss.

    Minimisers make many evaluations inside one call of a tf.function, also within loops of TensorFlow
    Probability's, so the record is a variable.
    """

    def __init__(
        self,
        parts_and_gradient: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
        num_parts: int,
    ):
        """Starts an empty record.

        Args:
          parts_and_gradient: From a position to the parts of the loss, [1, num_parts], and the
            gradient of their sum, shaped as the position.
          num_parts: How many parts there are.
        """
        self._parts_and_gradient = parts_and_gradient
        shape = [INITIAL_CAPACITY, 1 + num_parts]
        # Where the losses are: a GPU's would be waited for, one by one, on their way to the host.
        self._records = tf.Variable(
            tf.zeros(shape, tf.float64), trainable=False, shape=[None, shape[1]]
        )
        with tf.device("/CPU:0"):
            self._count = tf.Variable(0, trainable=False)

    def __call__(self, position: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Evaluates the objective, in a graph or eagerly.

        Args:
          position: Where to evaluate.

        Returns:
          The loss, a scalar of the parts' dtype, and its gradient, shaped as `position`.
        """
        parts, gradient = self._parts_and_gradient(position)
        # On a GPU the clock would wait for them, and all that comes next for the clock.
        is_waited_for = used_device_type() == "CPU"
        with tf.control_dependencies([parts, gradient] if is_waited_for else []):
            now = _now()
        record = tf.concat([[now], tf.cast(parts[0], tf.float64)], axis=0)
        room = tf.raw_ops.VariableShape(input=self._records.handle)[0]
        tf.cond(self._count < room, lambda: None, self._grow)
        self._records.scatter_nd_update([[self._count]], [record])
        self._count.assign_add(1)
        return tf.reduce_sum(parts), tf.ensure_shape(gradient, position.shape)

    def take(self) -> np.ndarray:
        """Empties the record.

        Returns:
          float64 [evaluations, 1 + num_parts]: seconds since the epoch, then the parts, for each
          evaluation since the last call. On a GPU the seconds are of a moment before its end.
        """
        records = self._records[: int(self._count)].numpy()
        self._count.assign(0)
        return records

    def _grow(self) -> None:
        """Doubles the room."""
        self._records.assign(tf.concat([self._records, tf.zeros_like(self._records)], axis=0))


def _now() -> tf.Tensor:
    """Seconds since the epoch, when the graph runs."""
    # TensorFlow has no public function that tells.
    from tensorflow.python.framework.config import is_op_determinism_enabled

    if is_op_determinism_enabled():  # Then TensorFlow refuses its own clock; Python's takes a call.
        return tf.ensure_shape(tf.numpy_function(time.time, [], tf.float64), [])
    return tf.timestamp()
