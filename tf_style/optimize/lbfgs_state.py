"""L-BFGS's state, as tensors."""

from typing import NamedTuple

import tensorflow as tf

from tf_style.ops.multi_vector import column


class State(NamedTuple):
    """Where a minimisation stands.

    The history is two tuples of tensors, oldest first, so that appending a pair moves pointers and
    copies nothing.

    Attributes:
      position: [batch, ...], float32 or float64.
      value: [batch], the position's dtype, the loss there; of no meaning until the start is
        evaluated, and never infinite, which `tf.debugging.enable_check_numerics` would stop at.
      lowest: Likewise, the lowest loss of any accepted position.
      gradient: Shaped as `position`, of its dtype.
      steps: The last steps s, `history` tensors shaped as `position`, of the pairs' dtype; zero where
        there is none yet.
      differences: The differences y of the gradients along them, likewise.
      s_dot_y: float64 [batch, history, history], s_i.y_j where i is no newer than j; the diagonal is
        positive, but 0 where there is no pair, whose other entries are unspecified.
      evaluated: bool [batch], whether the start has been; the first step, of length zero, does that.
      num_accepted: int32 [batch], steps accepted, without that first one.
      num_rejected: int32 [batch], steps rejected since the last accepted one.
      evaluations_since: int32 [batch], evaluations since that of the position.
      step_length: [batch], the position's dtype, the multiple of the direction to try next.
      status: int32 [batch], one of `Status`.
    """

    position: tf.Tensor
    value: tf.Tensor
    lowest: tf.Tensor
    gradient: tf.Tensor
    steps: tuple[tf.Tensor, ...]
    differences: tuple[tf.Tensor, ...]
    s_dot_y: tf.Tensor
    evaluated: tf.Tensor
    num_accepted: tf.Tensor
    num_rejected: tf.Tensor
    evaluations_since: tf.Tensor
    step_length: tf.Tensor
    status: tf.Tensor

    @property
    def has_history(self) -> tf.Tensor:
        """Whether there is a pair, bool [batch]."""
        return self.s_dot_y[:, -1, -1] > 0

    @property
    def rejected_first_step(self) -> tf.Tensor:
        """Whether the last step was the first one of its direction and was rejected, bool [batch]."""
        return self.num_rejected == 1

    def without_history(self, is_dropped: tf.Tensor) -> "State":
        """The state without the pairs of those positions where `is_dropped`, bool [batch]."""
        dropped = column(is_dropped, self.s_dot_y)
        return self._replace(s_dot_y=tf.where(dropped, tf.zeros_like(self.s_dot_y), self.s_dot_y))
