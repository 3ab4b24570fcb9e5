"""L-BFGS with one evaluation an iteration, on a tf.Variable.

`lbfgs_core` has the iteration; here it is held in variables, so that a run can pause, be saved and go
on, and has Hager and Zhang's search to fall back on.
"""

import collections
from collections.abc import Callable

import tensorflow as tf

from tf_style.ops.multi_vector import dot
from tf_style.optimize.lbfgs_step import (
    MAX_BACKTRACKS,
    Method,
    State,
    Status,
    decreases,
    drop_pairs,
    is_finite,
)

MAX_SEARCH_ITERATIONS = 10

# The fields that TensorFlow Probability's line searches read, and the gradient that comes with them.
_Point = collections.namedtuple("_Point", ["x", "f", "df", "full_gradient"])


class Lbfgs:
    """Minimises a function of one tf.Variable.

    The direction is L-BFGS's over the last pairs of steps and gradient differences.
    Its unit step is tried first, and taken where it decreases the loss sufficiently: that is the usual
    case, so an iteration costs one evaluation. Otherwise TensorFlow Probability's Hager-Zhang search
    looks along the direction, and where it too fails, or where the loss is not finite, the pairs are
    dropped and ever shorter steps along the gradient are tried.

    The whole state is in variables: `state` is a checkpoint, and a minimiser restored from it goes on
    with the same bits. `lbfgs_core.minimize` would hold the pairs twice, for what enters a while loop
    lives as long as the loop; here each turn of it reads and assigns the variables.
    """

    def __init__(
        self,
        evaluate: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
        position: tf.Variable,
        *,
        num_pairs: int = 10,
        first_step: float = 30.0,
        gradient_tolerance: float = 0.0,
        initial_inverse_hessian: Callable[[tf.Tensor], tf.Tensor] = tf.identity,
        pair_dtype: tf.DType | None = None,
    ):
        """Prepares a minimisation; nothing is evaluated yet.

        Args:
          evaluate: From a position to the loss (a scalar) and its gradient (shaped as the position).
          position: Where to start, float32 or float64 of any shape; updated in place.
          num_pairs: As in `Method`.
          first_step: As in `Method`.
          gradient_tolerance: As in `Method`.
          initial_inverse_hessian: As in `Method`, but from and to tensors shaped as the position.
          pair_dtype: As in `Method`.
        """

        def evaluate_batch(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            f, g = evaluate(_without_batch(x))
            return _with_batch(f), _with_batch(g)

        self._method = Method(
            evaluate_batch,
            num_pairs=num_pairs,
            first_step=first_step,
            gradient_tolerance=gradient_tolerance,
            initial_inverse_hessian=lambda x: _with_batch(initial_inverse_hessian(_without_batch(x))),
            pair_dtype=pair_dtype,
        )
        # Each of the pairs has variables of its own because assigning a whole variable moves a pointer,
        # and assigning a slice of one copies it all.
        self._state = tf.nest.map_structure(
            lambda value: tf.Variable(_without_batch(value), trainable=False),
            self._method.start(tf.zeros([1, *position.shape], position.dtype)),
        )._replace(position=position)
        # Plain TensorFlow control flow: AutoGraph's conversion would double the time to trace. A search
        # is rare and runs as it is, op by op: tracing one takes longer than all that it computes.
        self._take_unit_steps = tf.function(self._take_unit_steps, autograph=False)

    @property
    def status(self) -> Status:
        """Running, or why it ended."""
        return Status(int(self._state.status))

    @property
    def iterations(self) -> int:
        """Iterations made so far."""
        return max(0, int(self._state.num_moves) - 1)

    @property
    def value(self) -> float:
        """The loss at the position; infinite before the first iteration."""
        return float(self._state.value)

    def state(self) -> dict[str, tf.Tensor]:
        """The whole state: the position, its value and gradient, the pairs and the counters."""
        return read_all(self._variables())

    def restore(self, state: dict[str, tf.Tensor]) -> None:
        """Takes over what `state` returned; the next `run` goes on from there with the same bits.

        Raises:
          ValueError: If the state is of a minimiser with other pairs or of a position of another shape.
        """
        assign_all(self._variables(), state)

    def run(self, num_iterations: int) -> None:
        """Makes iterations, in the graph, and fewer when the minimisation ends.

        Args:
          num_iterations: How many at most.
        """
        end = max(1, int(self._state.num_moves)) + num_iterations
        while int(self._state.num_moves) < end and self.status == Status.RUNNING:
            is_refused, *refused = self._take_unit_steps(tf.constant(end))
            if is_refused:
                self._take_search_step(*refused)

    def _variables(self) -> dict[str, tf.Variable]:
        variables = {}
        for name, value in self._state._asdict().items():
            if isinstance(value, tuple):
                ring = name.removesuffix("s")
                variables |= {f"{ring}_{index}": variable for index, variable in enumerate(value)}
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

    def _take_unit_steps(self, end: tf.Tensor):
        """Makes turns until so many moves are made, or a unit step is refused.

        Returns:
          Whether one was, and the loss and gradient at the last step tried.
        """

        def should_go_on(is_refused, f, g):
            is_running = self._state.status == int(Status.RUNNING)
            return (self._state.num_moves < end) & ~is_refused & is_running

        def go_on(is_refused, f, g):
            state, f, g = self._method.turn(self._read())
            self._assign(state)
            # Later refusals are of steps along the gradient, after a search that failed.
            return state.num_refusals[0] == 1, f, g

        state = self._read()
        return tf.while_loop(should_go_on, go_on, (False, state.value, state.gradient))

    def _take_search_step(self, unit_f: tf.Tensor, unit_g: tf.Tensor) -> None:
        """Makes the iteration whose unit step, with this loss and gradient, was no good."""
        state, direction, slope = self._method.direction(self._read())
        if bool(is_finite(unit_f, unit_g)):
            t, f, g = self._search(state, direction, slope, unit_f, unit_g)
            if bool(decreases(state.value, f, g, tf.zeros_like(f))):
                found = tf.constant([True])
                self._assign(self._method.move(state, state.position + t * direction, f, g, found))
                return
        # The next turns try shorter and shorter steps along the gradient.
        self._assign(
            drop_pairs(state, tf.constant([True]))._replace(
                num_refusals=tf.constant([MAX_BACKTRACKS]), trial=tf.constant([0.5], slope.dtype)
            )
        )

    def _search(self, state, direction, slope, unit_f, unit_g):
        """Looks along the direction, beginning with what is known of its unit step."""
        # Imported at the first search: it takes most of a second, and many a run needs none.
        from tensorflow_probability.python.optimizer import linesearch

        def point_at(t, f, g):
            return _Point(x=t, f=f[0], df=dot(g, direction)[0], full_gradient=g)

        one = tf.ones([], slope.dtype)
        found = linesearch.hager_zhang(
            lambda t: point_at(t, *self._method.evaluate(state.position + t * direction)),
            initial_step_size=one,
            value_at_initial_step=point_at(one, unit_f, unit_g),
            value_at_zero=point_at(0 * one, state.value, state.gradient),
            max_iterations=MAX_SEARCH_ITERATIONS,
        ).left
        return found.x, _with_batch(found.f), found.full_gradient


def read_all(variables: dict[str, tf.Variable]) -> dict[str, tf.Tensor]:
    """The values of variables, those in bfloat16 as integers: files of arrays know no such numbers."""
    return {
        name: tf.bitcast(variable, tf.uint16)
        if variable.dtype == tf.bfloat16
        else tf.identity(variable)
        for name, variable in variables.items()
    }


def assign_all(variables: dict[str, tf.Variable], state: dict[str, tf.Tensor]) -> None:
    """Gives variables the values of a state, as from `read_all`, all or none.

    Raises:
      ValueError: If the state has other names or shapes.
    """
    expected = {name: variable.shape for name, variable in variables.items()}
    received = {name: tf.TensorShape(value.shape) for name, value in state.items()}
    if received != expected:
        raise ValueError(
            f"The state must hold the {len(expected)} variables of this minimiser in their shapes. "
            f"Received: {len(received)} variables, position of shape {received.get('position')}"
        )
    for name, variable in variables.items():
        is_short = variable.dtype == tf.bfloat16
        variable.assign(tf.bitcast(state[name], tf.bfloat16) if is_short else state[name])


# Unlike slices, these never copy.
def _with_batch(value: tf.Tensor) -> tf.Tensor:
    return tf.expand_dims(value, 0)


def _without_batch(value: tf.Tensor) -> tf.Tensor:
    return tf.squeeze(value, 0)
