"""L-BFGS with one evaluation an iteration, on a tf.Variable, inside the graph.

Reference: Nocedal and Wright, "Numerical Optimization", 2nd edition, algorithms 7.4 and 7.5.
"""

import collections
import enum
from collections.abc import Callable

import tensorflow as tf
from tensorflow_probability.python.optimizer import linesearch

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
            Status.CONVERGED: "the gradient is zero, or below the tolerance given",
            Status.LINE_SEARCH_FAILED: "no step along the gradient lowers the loss any further",
            Status.NON_FINITE: "the loss or its gradient is not a finite number",
            Status.INTERRUPTED: "interrupted before the last iteration",
        }[self]


# The fields that TensorFlow Probability's line searches read, and the gradient that comes with them.
_Point = collections.namedtuple("_Point", ["x", "f", "df", "full_gradient"])


class Lbfgs(tf.Module):
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
        first_step: float = 10.0,
        gradient_tolerance: float = 0.0,
    ):
        """Prepares a minimisation; nothing is evaluated yet.

        Args:
          evaluate: From a position to the loss (a scalar) and its gradient (shaped as the position).
          position: Where to start, float32 or float64 of any shape; updated in place.
          num_pairs: How many pairs (m) approximate the inverse Hessian. 100 gain under 1 percent over
            10 at the same number of evaluations, and take ten times the memory.
          first_step: The largest change of a coordinate in the first step, and in each first step
            after the pairs were dropped, in the position's unit. A plain step of -gradient is hopeless
            at this objective's scales.
          gradient_tolerance: Converged when no entry of the gradient is larger.
        """
        super().__init__()
        self._evaluate = evaluate
        self._num_pairs = num_pairs
        dtype, shape = position.dtype, position.shape
        self._first_step = tf.constant(first_step, dtype)
        self._tolerance = tf.constant(gradient_tolerance, dtype)
        self.position = position
        self.value = _variable(tf.zeros([], dtype))
        self.gradient = _variable(tf.zeros(shape, dtype))
        self.steps = _variable(tf.zeros([num_pairs, *shape], dtype))
        self.gradient_differences = _variable(tf.zeros([num_pairs, *shape], dtype))
        self.curvatures = _variable(tf.zeros([num_pairs], dtype))  # step . gradient difference
        self.num_stored = _variable(0)
        self.next_slot = _variable(0)
        self.num_iterations = _variable(0)
        self.status_code = _variable(int(Status.RUNNING))
        self._is_started = False
        self._run = tf.function(self._run_in_graph)

    @property
    def status(self) -> Status:
        """Running, or why it ended."""
        return Status(int(self.status_code))

    @property
    def iterations(self) -> int:
        """Iterations made so far."""
        return int(self.num_iterations)

    def state(self) -> dict[str, tf.Tensor]:
        """The whole state: the position, its value and gradient, the pairs and the counters."""
        return {name: tf.identity(variable) for name, variable in self._state_variables().items()}

    def restore(self, state: dict[str, tf.Tensor]) -> None:
        """Takes over what `state` returned; the next `run` goes on from there with the same bits."""
        for name, variable in self._state_variables().items():
            variable.assign(state[name])
        self._is_started = True

    def run(self, num_iterations: int) -> None:
        """Makes iterations in one call into the graph, and fewer when the minimisation ends.

        Args:
          num_iterations: How many at most.
        """
        self._run(tf.constant(num_iterations), tf.constant(not self._is_started))
        self._is_started = True

    def _state_variables(self) -> dict[str, tf.Variable]:
        return {name: item for name, item in vars(self).items() if isinstance(item, tf.Variable)}

    def _run_in_graph(self, num_iterations: tf.Tensor, is_first: tf.Tensor) -> None:
        if is_first:
            self._move(self.position.read_value(), *self._evaluate(self.position.read_value()))
        for _ in tf.range(num_iterations):
            if self.status_code == int(Status.RUNNING):
                self._iterate()

    def _iterate(self) -> None:
        x, f, g = self.position.read_value(), self.value.read_value(), self.gradient.read_value()
        direction = self._direction(g)
        slope = _dot(g, direction)
        if not slope < 0:  # Also where it is NaN: no descent, so the pairs mislead.
            self._drop_pairs()
            direction = self._first_direction(g)
            slope = _dot(g, direction)
        new_x = x + direction
        new_f, new_g = self._evaluate(new_x)
        if not _decreases(f, new_f, new_g, slope):
            if _is_finite(new_f, new_g):
                new_x, new_f, new_g = self._search(x, f, g, direction, slope, new_f, new_g)
            if not _decreases(f, new_f, new_g, tf.zeros_like(slope)):
                self._drop_pairs()
                new_x, new_f, new_g = self._search_gradient(x, f, g)
        if self.status_code == int(Status.RUNNING):
            self._push_pair(new_x - x, new_g - g)
            self._move(new_x, new_f, new_g)
            self.num_iterations.assign_add(1)

    def _move(self, x: tf.Tensor, f: tf.Tensor, g: tf.Tensor) -> None:
        self.position.assign(x)
        self.value.assign(f)
        self.gradient.assign(g)
        if not _is_finite(f, g):
            self.status_code.assign(int(Status.NON_FINITE))
        elif tf.reduce_max(tf.abs(g)) <= self._tolerance:
            self.status_code.assign(int(Status.CONVERGED))

    def _first_direction(self, g: tf.Tensor) -> tf.Tensor:
        return -g * (self._first_step / tf.reduce_max(tf.abs(g)))

    def _direction(self, g: tf.Tensor) -> tf.Tensor:
        """-H g by the two-loop recursion (algorithm 7.4), or the first step where H is unknown."""
        if self.num_stored == 0:
            return self._first_direction(g)
        q = g
        alphas = tf.zeros_like(self.curvatures)
        for age in tf.range(self.num_stored):
            slot = self._slot(age)
            alpha = _dot(self.steps[slot], q) / self.curvatures[slot]
            q -= alpha * self.gradient_differences[slot]
            alphas = tf.tensor_scatter_nd_update(alphas, [[slot]], [alpha])
        newest = self._slot(tf.constant(0))
        y = self.gradient_differences[newest]
        q *= self.curvatures[newest] / _dot(y, y)
        for back in tf.range(self.num_stored):
            slot = self._slot(self.num_stored - 1 - back)
            beta = _dot(self.gradient_differences[slot], q) / self.curvatures[slot]
            q += (alphas[slot] - beta) * self.steps[slot]
        return -q

    def _slot(self, age: tf.Tensor) -> tf.Tensor:
        """Where the pair of `age` stands; the newest has age 0."""
        return (self.next_slot - 1 - age) % self._num_pairs

    def _push_pair(self, step: tf.Tensor, difference: tf.Tensor) -> None:
        curvature = _dot(step, difference)
        # Below rounding error a curvature's sign is chance, and dividing by it would be too.
        least = step.dtype.as_numpy_dtype(_EPSILON[step.dtype]) * tf.sqrt(
            _dot(step, step) * _dot(difference, difference)
        )
        if curvature > least:
            slot = self.next_slot.read_value()
            self.steps[slot].assign(step)
            self.gradient_differences[slot].assign(difference)
            self.curvatures[slot].assign(curvature)
            self.next_slot.assign((slot + 1) % self._num_pairs)
            self.num_stored.assign(tf.minimum(self.num_stored + 1, self._num_pairs))

    def _drop_pairs(self) -> None:
        self.num_stored.assign(0)

    def _search(self, x, f, g, direction, slope, unit_f, unit_g):
        """Looks along the direction, beginning with what is known of its unit step."""

        def point_at(t, value, gradient):
            return _Point(x=t, f=value, df=_dot(gradient, direction), full_gradient=gradient)

        def evaluate(t):
            return point_at(t, *self._evaluate(x + t * direction))

        zero, one = tf.zeros_like(f), tf.ones_like(f)
        found = linesearch.hager_zhang(
            evaluate,
            initial_step_size=one,
            value_at_initial_step=point_at(one, unit_f, unit_g),
            value_at_zero=_Point(x=zero, f=f, df=slope, full_gradient=g),
            max_iterations=MAX_SEARCH_ITERATIONS,
        ).left
        return x + found.x * direction, found.f, found.full_gradient

    def _search_gradient(self, x, f, g):
        """Tries shorter and shorter steps along the gradient, and sets the status if none will do."""
        direction = self._first_direction(g)
        slope = _dot(g, direction)
        t = tf.ones_like(f)
        new_f, new_g = tf.fill(tf.shape(f), tf.constant(float("inf"), f.dtype)), g
        found_finite = tf.constant(False)
        for _ in tf.range(MAX_HALVINGS):
            if not _decreases(f, new_f, new_g, t * slope):
                t /= 2
                new_f, new_g = self._evaluate(x + t * direction)
                found_finite = found_finite or _is_finite(new_f, new_g)
        if not _decreases(f, new_f, new_g, t * slope):
            self.status_code.assign(
                int(Status.LINE_SEARCH_FAILED) if found_finite else int(Status.NON_FINITE)
            )
        return x + t * direction, new_f, new_g


_EPSILON = {tf.float32: 1.2e-7, tf.float64: 2.2e-16}


def _variable(value) -> tf.Variable:
    return tf.Variable(value, trainable=False)


def _dot(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(a * b)


def _is_finite(f: tf.Tensor, g: tf.Tensor) -> tf.Tensor:
    # A sum is finite only if every entry is; adding magnitudes lets none cancel.
    return tf.math.is_finite(f) & tf.math.is_finite(tf.reduce_sum(tf.abs(g)))


def _decreases(f: tf.Tensor, new_f: tf.Tensor, new_g: tf.Tensor, slope: tf.Tensor) -> tf.Tensor:
    """Whether a step to (new_f, new_g) is sound and decreases the loss sufficiently."""
    return _is_finite(new_f, new_g) & (new_f < f) & (new_f <= f + SUFFICIENT_DECREASE * slope)
