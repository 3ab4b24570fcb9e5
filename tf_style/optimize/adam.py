"""Keras's Adam."""

import keras
import tensorflow as tf

from tf_style.optimize.lbfgs import Status, assign_all, read_all
from tf_style.optimize.minimizer import Evaluate


class Adam:
    """Keras's Adam on the position, one evaluation an iteration."""

    def __init__(self, evaluate: Evaluate, position: tf.Variable, *, learning_rate: float = 5.0):
        """Prepares a minimisation.

        Args:
          evaluate: From a position to the loss and its gradient.
          position: Where to start; updated in place.
          learning_rate: About the change of a coordinate in an iteration, in the position's unit.
        """
        self._evaluate = evaluate
        # A tensor's copy: a variable itself Keras would adopt, and `position` is to stay evaluated.
        self._variable = keras.Variable(position.read_value(), dtype=position.dtype.name)
        self._position = position
        self._adam = keras.optimizers.Adam(learning_rate)
        self._adam.build([self._variable])
        self._status = tf.Variable(int(Status.RUNNING), trainable=False)
        self._iterations = tf.Variable(0, trainable=False)
        self._value = tf.Variable(float("inf"), trainable=False, dtype=position.dtype)
        self._run = tf.function(self._run_in_graph)

    @property
    def status(self) -> Status:
        """Running, or why it ended."""
        return Status(int(self._status))

    @property
    def iterations(self) -> int:
        """Iterations made so far."""
        return int(self._iterations)

    @property
    def value(self) -> float:
        """The loss at the position; infinite before the first iteration."""
        return float(self._value)

    def state(self) -> dict[str, tf.Tensor]:
        """The whole state, as of `Lbfgs`."""
        return read_all(self._variables())

    def restore(self, state: dict[str, tf.Tensor]) -> None:
        """Takes over what `state` returned, as `Lbfgs` does."""
        assign_all(self._variables(), state)

    def _variables(self) -> dict[str, tf.Variable]:
        own = {
            "position": self._position,
            "status": self._status,
            "num_iterations": self._iterations,
            "value": self._value,
            "variable": self._variable.value,
        }
        kept = self._adam.variables
        return own | {f"adam_{index}": variable.value for index, variable in enumerate(kept)}

    def run(self, num_iterations: int) -> None:
        """Makes iterations in one call into the graph."""
        self._run(tf.constant(num_iterations))

    def _run_in_graph(self, num_iterations: tf.Tensor) -> None:
        for _ in tf.range(num_iterations):
            if self._status == int(Status.RUNNING):
                loss, gradient = self._evaluate(self._variable.value)
                if tf.math.is_finite(loss + tf.reduce_sum(tf.abs(gradient))):
                    self._position.assign(self._variable.value)
                    self._value.assign(loss)
                    self._adam.apply_gradients([(gradient, self._variable)])
                    self._iterations.assign_add(1)
                else:
                    self._status.assign(int(Status.NON_FINITE))
