"""L-BFGS with one evaluation an iteration, on a tf.Variable, inside the graph.

Reference: Nocedal and Wright, "Numerical Optimization", 2nd edition, algorithms 7.4 and 7.5.
"""

import collections
import enum
from collections.abc import Callable

import numpy as np
import tensorflow as tf

# Nocedal and Wright's c1: the share of the slope's promise that a step must keep.
SUFFICIENT_DECREASE = 1e-4
MAX_SEARCH_ITERATIONS = 10
MAX_HALVINGS = 16


class Status(enum.IntEnum):
    """How a minimisation stands or ended."""

    RUNNING = 0
    MAX_ITERATIONS = 1
    CONVERGED = 2
    LINE_SEARCH_FAILED = 3
    NON_FINITE = 4
    INTERRUPTED = 5

    @property
    def is_failure(self) -> bool:
        """Whether the numbers went wrong, rather than the minimisation having come to an end."""
        return self == Status.NON_FINITE

    @property
    def text(self) -> str:
        """The status in words."""
        return {
            Status.RUNNING: "still running",
            Status.MAX_ITERATIONS: "all the iterations asked for were made",
            Status.CONVERGED: "the gradient is zero or below the tolerance, or the loss is constant",
            Status.LINE_SEARCH_FAILED: "no step along the gradient lowers the loss any further",
            Status.NON_FINITE: "the loss or its gradient is not a finite number",
            Status.INTERRUPTED: "interrupted before the last iteration",
        }[self]


# The fields that TensorFlow Probability's line searches read, and the gradient that comes with them.
_Point = collections.namedtuple("_Point", ["x", "f", "df", "full_gradient"])


class Lbfgs:
    """Minimises a function of one tf.Variable.

    The direction is the two-loop recursion's over the last pairs of steps and gradient differences.
    Its unit step is tried first, and taken where it decreases the loss sufficiently: that is the usual
    case, so an iteration costs one evaluation. Otherwise TensorFlow Probability's Hager-Zhang search
    looks along the direction, and where it too fails, or where the loss is not finite, the pairs are
    dropped and ever shorter steps along the gradient are tried.

    The whole state is in variables: `state` is a checkpoint, and a minimiser restored from it goes on
    with the same bits.
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
    ):
        """Prepares a minimisation; nothing is evaluated yet.

        Args:
          evaluate: From a position to the loss (a scalar) and its gradient (shaped as the position).
          position: Where to start, float32 or float64 of any shape; updated in place.
          num_pairs: How many pairs (m) approximate the inverse Hessian. 100 gain under 1 percent over
            10 at the same number of evaluations, and take ten times the memory.
          first_step: The largest change of a coordinate in the first step, and in each first step
            after the pairs were dropped, in the position's unit. A plain step of -gradient is hopeless
            at this objective's scales; of 3, 10, 30 and 100 grey levels, 30 served several paintings
            best.
          gradient_tolerance: Converged when no entry of the gradient is larger.
          initial_inverse_hessian: What is known of the inverse Hessian beforehand, up to a factor: a
            linear map, symmetric and positive definite, from and to tensors shaped as the position.
        """
        dtype, shape = position.dtype, position.shape
        self._evaluate = evaluate
        self._first_step = tf.constant(first_step, dtype)
        self._tolerance = tf.constant(gradient_tolerance, dtype)
        self._initial = initial_inverse_hessian
        self._position = position
        # The first move is of length zero and so evaluates the start, which is better than nothing.
        self._value = _variable(tf.constant(float("inf"), dtype))
        self._gradient = _variable(tf.zeros(shape, dtype))
        # The pairs, oldest first; those not there yet are zero. Each has variables of its own because
        # assigning a whole variable moves a pointer, and assigning a slice of one copies it all.
        self._steps = [_variable(tf.zeros(shape, dtype)) for _ in range(num_pairs)]
        self._differences = [_variable(tf.zeros(shape, dtype)) for _ in range(num_pairs)]
        self._curvatures = [_variable(tf.zeros([], dtype)) for _ in range(num_pairs)]
        self._num_moves = _variable(tf.constant(0))
        self._status = _variable(tf.constant(int(Status.RUNNING)))
        # Plain TensorFlow control flow: AutoGraph's conversion would double the time to trace. A search
        # is rare and runs as it is, op by op: tracing one takes longer than all that it computes.
        self._take_unit_steps = tf.function(self._take_unit_steps, autograph=False)

    @property
    def status(self) -> Status:
        """Running, or why it ended."""
        return Status(int(self._status))

    @property
    def iterations(self) -> int:
        """Iterations made so far."""
        return max(0, int(self._num_moves) - 1)

    @property
    def value(self) -> float:
        """The loss at the position; infinite before the first iteration."""
        return float(self._value)

    def state(self) -> dict[str, tf.Tensor]:
        """The whole state: the position, its value and gradient, the pairs and the counters."""
        return {name: tf.identity(variable) for name, variable in self._variables().items()}

    def restore(self, state: dict[str, tf.Tensor]) -> None:
        """Takes over what `state` returned; the next `run` goes on from there with the same bits.

        Raises:
          ValueError: If the state is of a minimiser with other pairs or of a position of another shape.
        """
        expected = {name: variable.shape for name, variable in self._variables().items()}
        received = {name: tf.TensorShape(value.shape) for name, value in state.items()}
        if received != expected:
            raise ValueError(
                f"The state must hold the {len(expected)} variables of this minimiser in their shapes. "
                f"Received: {len(received)} variables, position of shape {received.get('position')}"
            )
        for name, variable in self._variables().items():
            variable.assign(state[name])

    def run(self, num_iterations: int) -> None:
        """Makes iterations, in the graph, and fewer when the minimisation ends.

        Args:
          num_iterations: How many at most.
        """
        end = max(1, int(self._num_moves)) + num_iterations
        while (left := end - int(self._num_moves)) > 0 and self.status == Status.RUNNING:
            is_accepted, *rejected = self._take_unit_steps(tf.constant(left))
            if not is_accepted:
                self._take_search_step(*rejected)

    def _variables(self) -> dict[str, tf.Variable]:
        variables = {
            "position": self._position,
            "value": self._value,
            "gradient": self._gradient,
            "num_moves": self._num_moves,
            "status": self._status,
        }
        for name, ring in (
            ("step", self._steps),
            ("difference", self._differences),
            ("curvature", self._curvatures),
        ):
            variables |= {f"{name}_{index}": variable for index, variable in enumerate(ring)}
        return variables

    def _take_unit_steps(self, num_steps: tf.Tensor):
        """Makes iterations for as long as unit steps will do.

        Returns:
          Whether all of them did, and the loss and gradient at the last one tried.
        """

        def should_go_on(index, is_accepted, f, g):
            return (index < num_steps) & is_accepted & (self._status == int(Status.RUNNING))

        def step(index, is_accepted, f, g):
            direction, slope = self._direction()
            x = self._position + direction
            f, g = self._evaluate(x)
            is_accepted = _decreases(self._value, f, g, slope) | (self._num_moves == 0)
            tf.cond(is_accepted, lambda: self._move(x, f, g), lambda: None)
            return index + 1, is_accepted, f, g

        start = (0, True, self._value.read_value(), self._gradient.read_value())
        return tf.while_loop(should_go_on, step, start, maximum_iterations=num_steps)[1:]

    def _take_search_step(self, unit_f: tf.Tensor, unit_g: tf.Tensor) -> None:
        """Makes the iteration whose unit step, with this loss and gradient, was no good."""
        direction, slope = self._direction()
        x, f, g = self._position.read_value(), self._value.read_value(), self._gradient.read_value()
        t, new_f, new_g = tf.cond(
            _is_finite(unit_f, unit_g),
            lambda: self._search(x, f, g, direction, slope, unit_f, unit_g),
            lambda: (tf.ones_like(f), unit_f, unit_g),
        )
        tf.cond(
            _decreases(f, new_f, new_g, tf.zeros_like(f)),
            lambda: self._move(x + t * direction, new_f, new_g),
            lambda: self._restart(x, f, g),
        )

    def _search(self, x, f, g, direction, slope, unit_f, unit_g):
        """Looks along the direction, beginning with what is known of its unit step."""
        # Imported at the first search: it takes most of a second, and many a run needs none.
        from tensorflow_probability.python.optimizer import linesearch

        def point_at(t, value, gradient):
            return _Point(x=t, f=value, df=_dot(gradient, direction), full_gradient=gradient)

        found = linesearch.hager_zhang(
            lambda t: point_at(t, *self._evaluate(x + t * direction)),
            initial_step_size=tf.ones_like(f),
            value_at_initial_step=point_at(tf.ones_like(f), unit_f, unit_g),
            value_at_zero=_Point(x=tf.zeros_like(f), f=f, df=slope, full_gradient=g),
            max_iterations=MAX_SEARCH_ITERATIONS,
        ).left
        return found.x, found.f, found.full_gradient

    def _restart(self, x, f, g) -> None:
        """Drops the pairs and tries shorter and shorter steps along the gradient."""
        direction = self._first_direction(g)
        slope = _dot(g, direction)

        def is_no_good(tries, t, new_f, new_g, found_finite):
            return (tries < MAX_HALVINGS) & ~_decreases(f, new_f, new_g, t * slope)

        def halve(tries, t, new_f, new_g, found_finite):
            new_f, new_g = self._evaluate(x + t / 2 * direction)
            return tries + 1, t / 2, new_f, new_g, found_finite | _is_finite(new_f, new_g)

        start = (0, tf.ones_like(f), f, g, False)
        _, t, new_f, new_g, found_finite = tf.while_loop(is_no_good, halve, start)
        for curvature in self._curvatures:
            curvature.assign(tf.zeros_like(f))

        def give_up():
            failure = tf.where(found_finite, int(Status.LINE_SEARCH_FAILED), int(Status.NON_FINITE))
            self._status.assign(failure)

        is_good = _decreases(f, new_f, new_g, t * slope)
        tf.cond(is_good, lambda: self._move(x + t * direction, new_f, new_g), give_up)

    def _move(self, x: tf.Tensor, f: tf.Tensor, g: tf.Tensor) -> None:
        """Ends an iteration at (x, f, g)."""
        self._push_pair(x - self._position, g - self._gradient)
        is_converged = tf.reduce_max(tf.abs(g)) <= self._tolerance
        status = tf.where(is_converged, int(Status.CONVERGED), int(Status.RUNNING))
        self._status.assign(tf.where(_is_finite(f, g), status, int(Status.NON_FINITE)))
        self._position.assign(x)
        self._value.assign(f)
        self._gradient.assign(g)
        self._num_moves.assign_add(1)

    def _push_pair(self, step: tf.Tensor, difference: tf.Tensor) -> None:
        curvature = _dot(step, difference)
        # Below rounding error a curvature's sign is chance, and dividing by it would be too.
        least = np.finfo(step.dtype.as_numpy_dtype).eps * tf.sqrt(
            _dot(step, step) * _dot(difference, difference)
        )

        def push() -> None:
            for ring, newest in (
                (self._steps, step),
                (self._differences, difference),
                (self._curvatures, curvature),
            ):
                values = [variable.read_value() for variable in ring[1:]] + [newest]
                for variable, value in zip(ring, values, strict=True):
                    variable.assign(value)

        tf.cond(curvature > least, push, lambda: None)

    def _first_direction(self, g: tf.Tensor) -> tf.Tensor:
        q = self._initial(g)
        return -q * tf.math.divide_no_nan(self._first_step, tf.reduce_max(tf.abs(q)))

    def _direction(self) -> tuple[tf.Tensor, tf.Tensor]:
        """-H g by the two-loop recursion (algorithm 7.4), and its slope.

        Where no pair is known, or where the pairs mislead and do not descend, it is the first step.
        """
        g = self._gradient.read_value()
        q = g
        pairs = list(zip(self._steps, self._differences, self._curvatures, strict=True))
        alphas = []
        for s, y, curvature in reversed(pairs):
            alphas.append(tf.math.divide_no_nan(_dot(s, q), curvature))
            q -= alphas[-1] * y
        _, y, curvature = pairs[-1]
        scale = tf.math.divide_no_nan(curvature.read_value(), _dot(y, self._initial(y.read_value())))
        q = scale * self._initial(q)
        for (s, y, curvature), alpha in zip(pairs, reversed(alphas), strict=True):
            q += (alpha - tf.math.divide_no_nan(_dot(y, q), curvature)) * s
        slope = -_dot(g, q)

        def first():
            for _, _, curvature in pairs:
                curvature.assign(tf.zeros_like(slope))
            direction = self._first_direction(g)
            return direction, _dot(g, direction)

        # NaN does not compare, so it ends here too.
        return tf.cond(slope < 0, lambda: (-q, slope), first)


def _variable(value: tf.Tensor) -> tf.Variable:
    return tf.Variable(value, trainable=False)


def _dot(a, b) -> tf.Tensor:
    # As a product of matrices it needs no temporary of the vectors' size.
    return tf.reshape(tf.matmul(tf.reshape(a, [1, -1]), tf.reshape(b, [-1, 1])), [])


def _is_finite(f: tf.Tensor, g: tf.Tensor) -> tf.Tensor:
    # A sum is finite only if every entry is; adding magnitudes lets none cancel.
    return tf.math.is_finite(f) & tf.math.is_finite(tf.reduce_sum(tf.abs(g)))


def _decreases(f: tf.Tensor, new_f: tf.Tensor, new_g: tf.Tensor, slope: tf.Tensor) -> tf.Tensor:
    """Whether a step to (new_f, new_g) is sound and decreases the loss sufficiently."""
    return _is_finite(new_f, new_g) & (new_f < f) & (new_f <= f + SUFFICIENT_DECREASE * slope)
