"""L-BFGS with one evaluation an iteration, on a tf.Variable.

`lbfgs_step` has the iteration; here its state is held in variables, so that a run can pause, be saved
and go on, and it has Hager and Zhang's search to fall back on.
"""

import collections
import functools
import weakref
from collections.abc import Callable, Iterable, Mapping

import tensorflow as tf

from tf_style.ops.multi_vector import dot
from tf_style.ops.process_settings import numerics_unchecked
from tf_style.optimize import probability
from tf_style.optimize.lbfgs_state import State
from tf_style.optimize.lbfgs_step import MAX_BACKTRACKS, LbfgsUpdate, decreases, is_finite
from tf_style.optimize.minimizer import Evaluate, assign_all, read_all
from tf_style.optimize.status import Status

MAX_SEARCH_ITERATIONS = 10
# The names that states had earlier, where they have changed.
_OLD_NAMES = {"products": "s_dot_y", "num_refusals": "num_rejected", "trial": "step_length"}

# The fields that TensorFlow Probability's line searches read, and what comes with them: the gradient,
# and which of the search's evaluations it was, from 1.
_Point = collections.namedtuple("_Point", ["x", "f", "df", "full_gradient", "evaluation"])


class Lbfgs:
    """Minimises a function of one tf.Variable.

    The direction is L-BFGS's over the last pairs of steps and gradient differences.
    Its unit step is tried first, and accepted where it decreases the loss sufficiently: that is the
    usual case, so an iteration costs one evaluation. Otherwise TensorFlow Probability's Hager-Zhang
    search looks along the direction, and where it too fails, or where the loss is not finite, the
    history is dropped and ever shorter steps along the gradient are tried.

    The whole state is in variables: `state` is a checkpoint, and a minimiser restored from it goes on
    with the same bits. `lbfgs_step.minimize` would hold the history twice, for what enters a while loop
    lives as long as the loop; here each step reads and assigns the variables.

    References: Nocedal and Wright, "Numerical Optimization", 2nd edition, algorithm 7.5. Hager and
    Zhang, "Algorithm 851: CG_DESCENT, a conjugate gradient method with guaranteed descent", 2006.
    """

    def __init__(
        self,
        evaluate: Evaluate,
        position: tf.Variable,
        *,
        history: int = 10,
        first_step: float = 30.0,
        gradient_tolerance: float = 0.0,
        initial_inverse_hessian: Callable[[tf.Tensor], tf.Tensor] = tf.identity,
        pair_dtype: tf.DType | None = None,
        num_pairs: int | None = None,
    ):
        """Prepares a minimisation; nothing is evaluated yet.

        Args:
          evaluate: From a position to the loss (a scalar) and its gradient (shaped as the position).
          position: Where to start, float32 or float64 of any shape, of which only the rank need be
            known; updated in place.
          history: How many pairs approximate the inverse Hessian, as in `LbfgsUpdate`.
          first_step: As in `LbfgsUpdate`.
          gradient_tolerance: As in `LbfgsUpdate`.
          initial_inverse_hessian: As in `LbfgsUpdate`, but from and to tensors shaped as the position.
          pair_dtype: As in `LbfgsUpdate`.
          num_pairs: The earlier name of `history`, which it replaces where given.
        """

        def evaluate_batch(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            f, g = evaluate(_without_batch(x))
            return _with_batch(f), _with_batch(g)

        self._update = LbfgsUpdate(
            evaluate_batch,
            history=history if num_pairs is None else num_pairs,
            first_step=first_step,
            gradient_tolerance=gradient_tolerance,
            initial_inverse_hessian=lambda x: _with_batch(initial_inverse_hessian(_without_batch(x))),
            pair_dtype=pair_dtype,
        )
        # Each tensor of the history has a variable of its own, because assigning a whole variable moves
        # a pointer, and assigning a slice of one copies it all.
        self._state = tf.nest.map_structure(
            functools.partial(_in_variable, position), self._update.init(_with_batch(position))
        )._replace(position=position)
        # TensorFlow's graphs are reference cycles, and hold the variables that they capture until the
        # collector runs. The history is too large to wait for that.
        pairs = (*self._state.steps, *self._state.differences)
        weakref.finalize(self, _free, pairs).atexit = False

    @property
    def status(self) -> Status:
        """Running, or why it ended."""
        return Status(int(self._state.status))

    @property
    def iterations(self) -> int:
        """Iterations made so far; the evaluation of the start is none."""
        return int(self._state.num_accepted)

    @property
    def value(self) -> float:
        """The loss at the position; infinite before the first evaluation."""
        return float(self._state.value) if bool(self._state.evaluated) else float("inf")

    @property
    def evaluations_since(self) -> int:
        """Evaluations made after that of the position: of steps that were rejected."""
        return int(self._state.evaluations_since)

    def restarted(self) -> "Lbfgs":
        """The same, from the position's present value; its graph serves all sizes."""
        self._assign(self._update.init(_with_batch(self._state.position)))
        return self

    def state(self) -> dict[str, tf.Tensor]:
        """The whole state by name: the fields of `State`, without their batch.

        Of the history, each tensor has a name: `step_0` and `difference_0` are the oldest.
        """
        return read_all(self._variables())

    def restore(self, state: Mapping[str, tf.Tensor]) -> None:
        """Takes over what `state` returned; the next `run` goes on from there with the same bits.

        Args:
          state: As `state` returns it, or did under earlier names, as tensors or arrays.

        Raises:
          ValueError: If the state is of a minimiser with another history or of a position of another
            shape.
        """
        assign_all(self._variables(), _with_present_names(state))

    def run(self, num_iterations: int) -> None:
        """Makes iterations, in the graph, and fewer when the minimisation ends.

        Args:
          num_iterations: How many at most; the start is evaluated before the first.
        """
        end = self.iterations + num_iterations
        while self.iterations < end and self.status == Status.RUNNING:
            is_rejected, f, g = self._take_unit_steps(tf.constant(end))
            if is_rejected:
                self._take_search_step(f, g)

    def _variables(self) -> dict[str, tf.Variable]:
        variables = {}
        for name, value in self._state._asdict().items():
            if isinstance(value, tuple):
                one = name.removesuffix("s")
                variables |= {f"{one}_{index}": variable for index, variable in enumerate(value)}
            else:
                variables[name] = value
        return variables

    def _read(self) -> State:
        """The state as a batch of one."""
        return tf.nest.map_structure(lambda variable: _with_batch(variable.read_value()), self._state)

    def _assign(self, state: State) -> None:
        tf.nest.map_structure(
            lambda variable, value: variable.assign(_without_batch(value)), self._state, state
        )

    # Plain TensorFlow control flow: AutoGraph's conversion would double the time to trace.
    # Decorated here and not in `__init__`: a function of a bound method, kept by its instance, would be
    # a reference cycle, and the history would outlive its last use until the collector runs.
    @tf.function(autograph=False)
    def _take_unit_steps(self, end: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Makes steps until a direction's first step is rejected, or enough were accepted.

        Args:
          end: How many are to have been accepted since the minimisation began, an int32 scalar.

        Returns:
          Whether one was rejected, a bool scalar, and the loss [1] and gradient [1, ...] at the last
          step tried.
        """

        def should_go_on(is_rejected, f, g):
            is_running = self._state.status == int(Status.RUNNING)
            return (self._state.num_accepted < end) & ~is_rejected & is_running

        def go_on(is_rejected, f, g):
            state, f, g = self._update.step(self._read())
            self._assign(state)
            # After a search that failed, later steps are shortened without another.
            return state.rejected_first_step[0], f, g

        state = self._read()
        # A tensor, or eagerly Python's `~` would make -1 of it.
        start = (tf.constant(False), state.value, state.gradient)
        return tf.while_loop(should_go_on, go_on, start)

    # A search is rare and runs eagerly: tracing one takes longer than all that it computes.
    def _take_search_step(self, unit_f: tf.Tensor, unit_g: tf.Tensor) -> None:
        """Makes the iteration whose unit step was rejected.

        Args:
          unit_f: The loss there, [1].
          unit_g: The gradient there, [1, ...].
        """
        state, direction, slope = self._update.direction(self._read())
        num_searched = 0
        if bool(is_finite(unit_f, unit_g)):
            found, num_searched = self._search(state, direction, slope, unit_f, unit_g)
            f, g = _with_batch(found.f), found.full_gradient
            if bool(decreases(state.value, f, g, tf.zeros_like(f))):
                x = state.position + found.x * direction
                state = self._update.accept(state, x, f, g, tf.constant([True]))
                since = num_searched - found.evaluation
                self._assign(state._replace(evaluations_since=_with_batch(since)))
                return
        # The next steps try shorter and shorter steps along the gradient.
        everywhere = tf.constant([True])
        self._assign(
            state.without_history(everywhere)._replace(
                num_rejected=tf.constant([MAX_BACKTRACKS]),
                evaluations_since=state.evaluations_since + num_searched,
                step_length=tf.constant([0.5], slope.dtype),
            )
        )

    def _search(self, state, direction, slope, unit_f, unit_g) -> tuple[_Point, int]:
        """Looks along a direction, beginning with what is known of its unit step.

        Args:
          state: The state, a batch of one.
          direction: [1, ...].
          slope: Its scalar product with the gradient, [1].
          unit_f: The loss at the unit step, [1].
          unit_g: The gradient there, [1, ...].

        Returns:
          The best point, at `x` times the direction, and the number of evaluations made.
        """
        num_evaluations = 0

        def point_at(t, f, g):
            evaluation = tf.constant(num_evaluations)
            return _Point(x=t, f=f[0], df=dot(g, direction)[0], full_gradient=g, evaluation=evaluation)

        def evaluate_at(t):
            nonlocal num_evaluations
            num_evaluations += 1
            return point_at(t, *self._update.evaluate(state.position + t * direction))

        one = tf.ones([], slope.dtype)
        with numerics_unchecked():
            found = probability.parts().hager_zhang(
                evaluate_at,
                initial_step_size=one,
                value_at_initial_step=point_at(one, unit_f, unit_g),
                value_at_zero=point_at(0 * one, state.value, state.gradient),
                max_iterations=MAX_SEARCH_ITERATIONS,
            )
        return found.left, num_evaluations


def _with_present_names(state: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """A state, which may have earlier names, by the names of `State`."""
    state = {_OLD_NAMES.get(name, name): value for name, value in state.items()}
    if "num_moves" in state:  # It counted the evaluation of the start.
        num_moves = tf.convert_to_tensor(state.pop("num_moves"))
        state["evaluated"] = num_moves > 0
        state["num_accepted"] = tf.maximum(num_moves - 1, 0)
        # Those of searches that failed are left out: they were not counted.
        num_rejected = tf.convert_to_tensor(state["num_rejected"])
        state["evaluations_since"] = tf.maximum(num_rejected - MAX_BACKTRACKS + 1, 0)
    return state


def _free(variables: Iterable[tf.Variable]) -> None:
    """Leaves variables without their memory; whoever still holds one has nothing of use."""
    with tf.init_scope():  # Eagerly, also where a graph is being traced.
        for variable in variables:
            nothing = tf.zeros([0], variable.dtype)
            tf.raw_ops.AssignVariableOp(resource=variable.handle, value=nothing)


def _in_variable(position: tf.Variable, value: tf.Tensor) -> tf.Variable:
    """A part of the state without its batch; what is shaped as the position stays so."""
    value = _without_batch(value)
    shape = position.shape if value.shape == position.read_value().shape else value.shape
    return tf.Variable(value, trainable=False, shape=shape)


# Unlike slices, these never copy.
def _with_batch(value: tf.Tensor) -> tf.Tensor:
    return tf.expand_dims(value, 0)


def _without_batch(value: tf.Tensor) -> tf.Tensor:
    return tf.squeeze(value, 0)
