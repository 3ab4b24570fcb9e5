"""The optimisers by name, with one interface: `run(num_iterations)`, `status`, `iterations`."""

from collections.abc import Callable
from typing import Protocol

import keras
import tensorflow as tf

from tf_style.optimize.lbfgs import Lbfgs, Status, assign_all, read_all
from tf_style.optimize.preconditioner import make_inverse_hessian

Evaluate = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


class Minimizer(Protocol):
    """What `Lbfgs` and the two below have in common."""

    @property
    def status(self) -> Status:
        """Running, or why it ended."""
        ...

    @property
    def iterations(self) -> int:
        """Iterations made so far."""
        ...

    @property
    def value(self) -> float:
        """The loss at the position; infinite before the first iteration."""
        ...

    def run(self, num_iterations: int) -> None:
        """Makes iterations in one call into the graph, and updates the position."""
        ...


def make_minimizer(
    name: str,
    evaluate: Evaluate,
    position: tf.Variable,
    *,
    num_pairs: int = 10,
    pair_dtype: tf.DType = tf.float32,
) -> Minimizer:
    """Makes an optimiser.

    Args:
      name: "lbfgs", "tfp" or "adam".
      evaluate: From a position to the loss and its gradient.
      position: Where to start, [batch, height, width, channels]; updated in place.
      num_pairs: As for `Lbfgs`; Adam has none.
      pair_dtype: As for `Lbfgs`; the others have no choice.

    Returns:
      The optimiser; nothing is evaluated yet.
    """
    if name == "adam":
        return Adam(evaluate, position)
    if name == "tfp":
        return TfpLbfgs(evaluate, position, num_pairs=num_pairs)
    return Lbfgs(
        evaluate,
        position,
        num_pairs=num_pairs,
        pair_dtype=pair_dtype,
        initial_inverse_hessian=make_inverse_hessian(*position.shape[1:3]),
    )


class TfpLbfgs:
    """TensorFlow Probability's `lbfgs_minimize`, as it is, for comparison.

    It takes about 2.9 evaluations an iteration, and its first step is -gradient, which is hopeless
    where gradients are large: so it is given the loss times a constant that makes its first step
    change no coordinate by more than `first_step`.
    """

    def __init__(
        self,
        evaluate: Evaluate,
        position: tf.Variable,
        *,
        num_pairs: int = 10,
        first_step: float = 30.0,
    ):
        """Prepares a minimisation; for the arguments see `Lbfgs`."""
        self._evaluate = evaluate
        self._position = position
        self._num_pairs = num_pairs
        self._first_step = first_step
        self._factor = tf.Variable(0.0, trainable=False, dtype=position.dtype)
        self._run = tf.function(self._run_in_graph)
        self._results = None

    @property
    def status(self) -> Status:
        """Running, or why it ended."""
        results = self._results
        if results is None:
            return Status.RUNNING
        if not bool(tf.math.is_finite(results.objective_value)):
            return Status.NON_FINITE
        if bool(results.converged):
            return Status.CONVERGED
        return Status.LINE_SEARCH_FAILED if bool(results.failed) else Status.RUNNING

    @property
    def iterations(self) -> int:
        """Iterations made so far."""
        return 0 if self._results is None else int(self._results.num_iterations)

    @property
    def value(self) -> float:
        """The loss at the position; infinite before the first iteration."""
        if self._results is None or not float(self._factor):
            return float("inf")
        return float(self._results.objective_value) / float(self._factor)

    def run(self, num_iterations: int) -> None:
        """Makes iterations in one call into the graph."""
        if self._results is None:
            _, gradient = self._evaluate(self._position.read_value())
            largest = tf.reduce_max(tf.abs(gradient))
            self._factor.assign(
                tf.math.divide_no_nan(tf.cast(self._first_step, largest.dtype), largest)
            )
            self._results = self._run(None, tf.constant(0))
        total = tf.constant(self.iterations + num_iterations)
        self._results = self._run(self._results, total)
        self._position.assign(tf.reshape(self._results.position, self._position.shape))

    def _run_in_graph(self, previous, max_iterations: tf.Tensor):
        # Most runs do without it, and it takes most of a second to import.
        from tensorflow_probability.python.optimizer import lbfgs_minimize

        # It traces its argument ten times; a function of its own makes that ten calls of one graph.
        @tf.function
        def scaled(flat):
            loss, gradient = self._evaluate(tf.reshape(flat, self._position.shape))
            return loss * self._factor, tf.reshape(gradient * self._factor, [-1])

        return lbfgs_minimize(
            scaled,
            # It takes the one or the other.
            initial_position=tf.reshape(self._position, [-1]) if previous is None else None,
            previous_optimizer_results=previous,
            num_correction_pairs=self._num_pairs,
            tolerance=0.0,
            max_iterations=max_iterations,
        )


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
