"""Keras's Adam."""

from collections.abc import Mapping

import tensorflow as tf

from tf_style.keras_on_tensorflow import keras
from tf_style.optimize.minimizer import Evaluate, assign_all, read_all
from tf_style.optimize.status import Status


class Adam:
    """Keras's Adam on the position, one evaluation an iteration.

    Reference: Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015, algorithm 1.
    """

    def __init__(self, evaluate: Evaluate, position: tf.Variable, *, learning_rate: float = 5.0):
        """Prepares a minimisation; nothing is evaluated yet.

        Args:
          evaluate: From a position to the loss, a scalar, and its gradient, shaped as the position.
          position: Where to start, of any shape; updated in place.
          learning_rate: About the change of a coordinate in an iteration, in the position's unit.
        """
        self._evaluate = evaluate
        self._learning_rate = learning_rate
        # A copy: Keras would adopt a variable, and `position` must remain one that was evaluated.
        self._variable = keras.Variable(position.read_value(), dtype=position.dtype.name)
        self._position = position
        self._adam = keras.optimizers.Adam(learning_rate)
        self._adam.build([self._variable])
        self._status = tf.Variable(int(Status.RUNNING), trainable=False)
        self._iterations = tf.Variable(0, trainable=False)
        self._value = tf.Variable(0.0, trainable=False, dtype=position.dtype)

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
        return float(self._value) if self.iterations else float("inf")

    @property
    def evaluations_since(self) -> int:
        """Evaluations made after that of the position: 1 where an iteration ended the run, else 0."""
        return int(self.status == Status.NON_FINITE and self.iterations > 0)

    def restarted(self) -> "Adam":
        """Another, from the position's present value."""
        return Adam(self._evaluate, self._position, learning_rate=self._learning_rate)

    def state(self) -> dict[str, tf.Tensor]:
        """The whole state by name: the position, Keras's variables and the counters."""
        return read_all(self._variables())

    def restore(self, state: Mapping[str, tf.Tensor]) -> None:
        """Takes over what `state` returned; the next `run` goes on from there with the same bits.

        Raises:
          ValueError: If the state is of another kind of minimiser or of a position of another shape.
        """
        assign_all(self._variables(), state)

    def run(self, num_iterations: int) -> None:
        """Makes iterations in one call into the graph, fewer if the loss is not finite.

        Args:
          num_iterations: How many at most.
        """
        self._run(tf.constant(num_iterations))

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

    # Decorated here and not in `__init__`: a function of a bound method, kept by its instance, would be
    # a reference cycle, and the variables would outlive their last use until the collector runs.
    @tf.function
    def _run(self, num_iterations: tf.Tensor) -> None:
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
