"""TensorFlow Probability's L-BFGS."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_style.ops.process_settings import numerics_unchecked
from tf_style.optimize import probability
from tf_style.optimize.minimizer import Evaluate, check_shapes
from tf_style.optimize.status import Status

# Losses that are remembered until the call ends: far more than an iteration evaluates.
NUM_RECENT = 1024


class _State(NamedTuple):
    """Where a minimisation stands.

    Attributes:
      start: Shaped as the position, where the minimisation began.
      factor: A scalar, what the loss is multiplied by.
      evaluations_since: int32 scalar, evaluations since that of the position.
      results: tfp's `LBfgsOptimizerResults`, in z and of the loss times the factor.
    """

    start: tf.Tensor
    factor: tf.Tensor
    evaluations_since: tf.Tensor
    results: Any


class TfpLbfgs:
    """TensorFlow Probability's `lbfgs_minimize` on a tf.Variable, preconditioned.

    tfp takes no initial inverse Hessian H0, so it minimises in z, where

        position = start + H0^(1/2) z.

    As H0^(1/2) is symmetric, the gradient in z is H0^(1/2) times that at the position, and L-BFGS in z,
    which begins each direction with a multiple of the gradient, is L-BFGS at the position that begins
    with H0. It takes nearly three evaluations an iteration, because its Hager-Zhang search brackets a
    minimum before it tries the unit step. Its first step is minus the gradient, which is hopeless where
    gradients are large: so it minimises the loss times a constant with which the first step changes no
    coordinate by more than `first_step`.

    Reference: Nocedal and Wright, "Numerical Optimization", 2nd edition, algorithm 7.5, and section 5.1
    for the change of variables.
    """

    def __init__(
        self,
        evaluate: Evaluate,
        position: tf.Variable,
        *,
        history: int = 10,
        first_step: float = 30.0,
        preconditioner_root: Callable[[tf.Tensor], tf.Tensor] = tf.identity,
    ):
        """Prepares a minimisation; nothing is evaluated yet.

        Args:
          evaluate: From a position to the loss, a scalar, and its gradient, shaped as the position.
          position: Where to start, float32 or float64 of any shape; updated in place.
          history: How many pairs approximate the inverse Hessian.
          first_step: The largest change of a coordinate in the first step, in the position's unit.
          preconditioner_root: H0^(1/2), a linear map, symmetric and positive definite, from and to
            tensors shaped as the position.
        """
        self._evaluate = evaluate
        self._position = position
        self._history = history
        self._first_step = first_step
        self._root = preconditioner_root
        self._state: _State | None = None
        # Of the evaluations of one call: how many they are, and the last ones' losses times the factor.
        self._count = tf.Variable(0, trainable=False)
        self._recent = tf.Variable(tf.zeros([NUM_RECENT], position.dtype), trainable=False)

    @property
    def status(self) -> Status:
        """Running, or why it ended."""
        if self._state is None:
            return Status.RUNNING
        results = self._state.results
        magnitude = tf.reduce_sum(tf.abs(results.objective_gradient))
        if not bool(tf.math.is_finite(results.objective_value + magnitude)):
            return Status.NON_FINITE
        if bool(results.converged):
            return Status.CONVERGED
        return Status.LINE_SEARCH_FAILED if bool(results.failed) else Status.RUNNING

    @property
    def iterations(self) -> int:
        """Iterations made so far; the evaluation of the start is none."""
        return 0 if self._state is None else int(self._state.results.num_iterations)

    @property
    def value(self) -> float:
        """The loss at the position, but for rounding; infinite before the first evaluation."""
        if self._state is None:
            return float("inf")
        return float(self._state.results.objective_value) / float(self._state.factor)

    @property
    def evaluations_since(self) -> int:
        """Evaluations made after that of the position: of steps that the search rejected."""
        return 0 if self._state is None else int(self._state.evaluations_since)

    def restarted(self) -> "TfpLbfgs":
        """The same, from the position's present value."""
        self._state = None
        return self

    def state(self) -> dict[str, tf.Tensor]:
        """The whole state by name: `_State`'s tensors, tfp's under `result_` and their own names."""
        tensors = {"position": tf.identity(self._position)}
        if self._state is not None:
            tensors |= self._state._asdict()
            results = tensors.pop("results")
            tensors |= {f"result_{name}": value for name, value in results._asdict().items()}
        return tensors

    def restore(self, state: Mapping[str, tf.Tensor]) -> None:
        """Takes over what `state` returned; the next `run` goes on from there with the same bits.

        Raises:
          ValueError: If the state is of a minimiser with another history or of a position of another
            shape.
        """
        shape = self._position.read_value().shape
        vector = [shape.num_elements()]
        of_results = dict.fromkeys(_results_type()._fields, []) | {
            "position": vector,
            "objective_gradient": vector,
            "position_deltas": [self._history, *vector],
            "gradient_deltas": [self._history, *vector],
        }
        expected = {"position": shape}
        is_begun = len(state) > 1
        if is_begun:
            expected |= {"start": shape, "factor": [], "evaluations_since": []}
            expected |= {f"result_{name}": shape for name, shape in of_results.items()}
        check_shapes(state, {name: tf.TensorShape(shape) for name, shape in expected.items()})
        tensors = {name: tf.convert_to_tensor(value) for name, value in state.items()}
        self._position.assign(tensors.pop("position"))
        results = [tensors.pop(f"result_{name}") for name in of_results if is_begun]
        self._state = _State(**tensors, results=_results_type()(*results)) if is_begun else None

    def run(self, num_iterations: int) -> None:
        """Makes iterations in one call into the graph, fewer when the minimisation ends.

        Args:
          num_iterations: How many at most; the start is evaluated before the first.
        """
        if self._state is None:
            self._state = self._begin()
        if self.status != Status.RUNNING:
            return
        state = self._state
        self._count.assign(0)
        end = tf.constant(self.iterations + num_iterations)
        results, position = self._minimize(state.start, state.factor, state.results, end)
        if not bool(tf.reduce_all(tf.math.is_finite(position))):
            # Pairs without curvature, as rounding leaves them near a minimum, make tfp's direction and
            # position NaN, and the position before is lost: so the same again, to one iteration less.
            end = results.num_iterations - 1
            results, position = self._minimize(state.start, state.factor, state.results, end)
            results = results._replace(failed=tf.constant(True))
        self._position.assign(position)
        since = self._find(float(results.objective_value), otherwise=int(state.evaluations_since))
        self._state = state._replace(results=results, evaluations_since=tf.constant(since))

    def _begin(self) -> _State:
        """Evaluates the start."""
        start = self._position.read_value()
        loss, gradient = self._evaluate(start)
        by_z = self._root(gradient)
        largest = tf.reduce_max(tf.abs(self._root(by_z)))
        factor = tf.where(largest > 0, self._first_step / largest, tf.ones_like(largest))
        by_z = tf.reshape(factor * by_z, [-1])
        no_pairs = tf.zeros([self._history, by_z.shape[0]], by_z.dtype)
        results = _results_type()(
            converged=largest == 0,
            failed=tf.constant(False),
            num_iterations=tf.constant(0),
            num_objective_evaluations=tf.constant(1),
            position=tf.zeros_like(by_z),
            objective_value=factor * loss,
            objective_gradient=by_z,
            position_deltas=no_pairs,
            gradient_deltas=no_pairs,
        )
        return _State(start, factor, tf.constant(0), results)

    # Decorated here and not in `__init__`: a function of a bound method, kept by its instance, would be
    # a reference cycle, and what it captures would outlive its last use until the collector runs.
    @tf.function(autograph=False)
    def _minimize(self, start: tf.Tensor, factor: tf.Tensor, results: Any, max_iterations: tf.Tensor):
        """Goes on from tfp's results until so many iterations are made in all.

        Args:
          start: As in `_State`.
          factor: As in `_State`.
          results: As in `_State`.
          max_iterations: An int32 scalar.

        Returns:
          The next results, and the position.
        """

        def position_at(z):
            return start + self._root(tf.reshape(z, start.shape))

        # tfp traces its argument ten times; a function of its own makes that ten calls of one graph.
        @tf.function(autograph=False)
        def evaluate(z):
            loss, gradient = self._evaluate(position_at(z))
            value = factor * loss
            self._recent.scatter_nd_update([[self._count % NUM_RECENT]], [value])
            self._count.assign_add(1)
            return value, tf.reshape(factor * self._root(gradient), [-1])

        with numerics_unchecked():
            results = probability.parts().lbfgs_minimize(
                evaluate,
                initial_position=None,  # It takes that or the results.
                previous_optimizer_results=results,
                num_correction_pairs=self._history,
                tolerance=0.0,
                max_iterations=max_iterations,
            )
        return results, position_at(results.position)

    def _find(self, value: float, *, otherwise: int) -> int:
        """How many of the last call's evaluations came after that of this value.

        tfp does not tell which of its evaluations it accepted, but keeps the value as it was.

        Args:
          value: Of the loss times the factor.
          otherwise: The number before the call, for where it accepted none.
        """
        made = int(self._count)
        newest_first = np.roll(self._recent.numpy(), -made)[::-1][:made]
        (found,) = np.nonzero(newest_first == value)
        return int(found[0]) if found.size else otherwise + made


def _results_type():
    """The namedtuple of tfp's state."""
    return probability.parts().LbfgsResults
