"""TensorFlow Probability's L-BFGS."""

import tensorflow as tf

from tf_style.optimize.lbfgs import Status
from tf_style.optimize.minimizer import Evaluate


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
