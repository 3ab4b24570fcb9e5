"""L-BFGS as a pure function from a state to the next, for a batch of positions at once, in any graph.

Each position of a batch is minimised by itself: no number of one depends on another's. A turn costs one
evaluation of them all.

Reference: Nocedal and Wright, "Numerical Optimization", 2nd edition, algorithm 7.5 and section 7.2.
"""

import dataclasses
import enum
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_style.ops.multi_vector import column, dot, flat, multi_axpy, multi_dot

# Nocedal and Wright's c1: the share of the slope's promise that a step must keep.
SUFFICIENT_DECREASE = 1e-4
# How far above the lowest loss, as a share of it, a unit step of the pairs' direction may end. Late in
# a run one may be off by more than the loss falls in an iteration, more so in bfloat16, and the next
# ones make up for it; measured, searches for steps that fall took one evaluation in eight, for nothing.
TOLERATED_RISE = 1e-3
# Tries along a direction that comes from pairs, before they are dropped, and after that.
MAX_BACKTRACKS = 5
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


class State(NamedTuple):
    """Where a minimisation stands.

    The pairs are tuples of tensors, oldest first, so that to push one moves pointers and copies none.

    Attributes:
      position: [batch, ...], float32 or float64.
      value: [batch], the loss there; infinite before the first turn.
      lowest: [batch], the lowest loss of a position so far; infinite before the first turn.
      gradient: Shaped as `position`.
      steps: The last steps s, each shaped as `position`; zero where there is none yet. They and the
        differences have the pairs' dtype.
      differences: The gradients' differences y along them, likewise.
      products: float64 [batch, pairs, pairs], s_i.y_j where i is the older or the same; positive on
        the diagonal, but 0 there where there is no pair, whose other products do not matter.
      num_moves: int32 [batch], steps taken; the first, of length zero, evaluates the start.
      num_refusals: int32 [batch], steps refused since the last that was taken.
      trial: [batch], how much of the direction to try next.
      status: int32 [batch], one of `Status`.
    """

    position: tf.Tensor
    value: tf.Tensor
    lowest: tf.Tensor
    gradient: tf.Tensor
    steps: tuple[tf.Tensor, ...]
    differences: tuple[tf.Tensor, ...]
    products: tf.Tensor
    num_moves: tf.Tensor
    num_refusals: tf.Tensor
    trial: tf.Tensor
    status: tf.Tensor


@dataclasses.dataclass(frozen=True)
class Method:
    """What does not change in the course of a minimisation.

    Attributes:
      evaluate: From positions to their losses [batch] and gradients (shaped as the positions).
      num_pairs: How many pairs (m) approximate the inverse Hessian.
      first_step: The largest change of a coordinate in the first step, and in each first step
        after the pairs were dropped, in the position's unit. A plain step of -gradient is hopeless
        at this objective's scales; of 3, 10, 30 and 100 grey levels, 30 served several paintings
        best.
      gradient_tolerance: Converged when no entry of the gradient is larger.
      initial_inverse_hessian: What is known of the inverse Hessian beforehand, up to a factor: a
        linear map, symmetric and positive definite, from and to tensors shaped as the positions.
      pair_dtype: In which pairs are kept, None for the positions'. In bfloat16 they take half the
        memory, and L-BFGS is exact for the pairs as rounded.
      kernel: "auto" or "custom" for this package's ops where they can run, or "stock".
    """

    evaluate: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
    num_pairs: int = 10
    first_step: float = 30.0
    gradient_tolerance: float = 0.0
    initial_inverse_hessian: Callable[[tf.Tensor], tf.Tensor] = tf.identity
    pair_dtype: tf.DType | None = None
    kernel: str = "auto"

    def start(self, position: tf.Tensor) -> State:
        """The state in which nothing is evaluated yet."""
        zeros = tf.zeros_like(position)
        none = tf.zeros_like(flat(position)[:, 0])
        none_kept = tf.zeros_like(position, self.pair_dtype)
        count = tf.zeros_like(none, tf.int32)
        return State(
            position=position,
            # The first move is of length zero and so evaluates the start, better than nothing.
            value=none + float("inf"),
            lowest=none + float("inf"),
            gradient=zeros,
            steps=(none_kept,) * self.num_pairs,
            differences=(none_kept,) * self.num_pairs,
            products=tf.zeros([tf.shape(none)[0], self.num_pairs, self.num_pairs], tf.float64),
            num_moves=count,
            num_refusals=count,
            trial=tf.ones_like(none),
            status=count + int(Status.RUNNING),
        )

    def turn(self, state: State) -> tuple[State, tf.Tensor, tf.Tensor]:
        """Tries one step of each position, and takes those that serve.

        Those do that decrease the loss sufficiently. A direction's unit step is tried first, and is
        good in the usual case, also where it ends within `TOLERATED_RISE` of the lowest loss; then
        come shorter ones, and where none is good the pairs are dropped and the gradient followed.

        Args:
          state: The state; positions that are not running stay as they are.

        Returns:
          The next state, and the losses and gradients at what was tried.
        """
        state, direction, slope = self.direction(state)
        x = state.position + column(state.trial, direction) * direction
        f, g = self.evaluate(x)
        decreased = decreases(state.value, f, g, state.trial * slope)
        is_first_try = (state.trial == 1.0) & (state.products[:, -1, -1] > 0)
        is_near = is_finite(f, g) & (f <= state.lowest + TOLERATED_RISE * tf.abs(state.lowest))
        is_accepted = (state.status == int(Status.RUNNING)) & (
            decreased | (is_first_try & is_near) | (state.num_moves == 0)
        )
        return self.refuse(self.move(state, x, f, g, is_accepted), f, g, slope, is_accepted), f, g

    def direction(self, state: State) -> tuple[State, tf.Tensor, tf.Tensor]:
        """-H g, and its slope.

        With R the products s_i.y_j, i <= j, and D their diagonal,

            p = R^-1 S^T g,  r = H0 (g - Y p),  H g = r + S R^-T (D p - Y^T r),

        which is the two-loop recursion's (algorithm 7.4): p are its alphas. But it reads all pairs
        in four passes, where each turn of the recursion waits for the sum over the last one. From
        Nocedal and Wright's equation 7.24, and Byrd, Nocedal and Schnabel, "Representations of
        Quasi-Newton Matrices and Their Use in Limited Memory Methods", 1994, equation 2.8.

        Where no pair is known, or where the pairs mislead and do not descend, it is the first step.

        Args:
          state: The state.

        Returns:
          The state without misleading pairs, the directions, shaped as the positions, and their
          products with the gradients, [batch].
        """
        g = state.gradient
        d = tf.linalg.diag_part(state.products)
        is_there = d > 0
        # Where there is no pair, 1 on the diagonal and 0 beside it.
        are_there = is_there[:, :, tf.newaxis] & is_there[:, tf.newaxis, :]
        r = tf.where(are_there, state.products, tf.eye(self.num_pairs, dtype=tf.float64))

        def products_with(pairs: tuple[tf.Tensor, ...], vector: tf.Tensor) -> tf.Tensor:
            found = multi_dot(vector, pairs, kernel=self.kernel)
            return tf.where(is_there, found, 0.0)[:, :, tf.newaxis]

        p = tf.linalg.triangular_solve(r, products_with(state.steps, g), lower=False)
        q = multi_axpy(g, -p[:, :, 0], state.differences, kernel=self.kernel)
        y = tf.cast(state.differences[-1], q.dtype)
        newest = tf.cast(d[:, -1], q.dtype)
        scale = tf.math.divide_no_nan(newest, dot(y, self.initial_inverse_hessian(y)))
        q = column(scale, q) * self.initial_inverse_hessian(q)
        rest = d[:, :, tf.newaxis] * p - products_with(state.differences, q)
        factors = tf.linalg.triangular_solve(r, rest, lower=False, adjoint=True)
        q = multi_axpy(q, factors[:, :, 0], state.steps, kernel=self.kernel)
        slope = -dot(g, q)

        def first():
            q = self.initial_inverse_hessian(g)
            largest = tf.reduce_max(tf.abs(flat(q)), axis=1)
            factor = tf.math.divide_no_nan(tf.cast(self.first_step, q.dtype), largest)
            direction = -q * column(factor, q)
            return direction, dot(g, direction)

        # NaN does not compare, so it ends in `first` too.
        descends = slope < 0
        direction, slope = _for_each(descends, lambda: (-q, slope), first)
        return drop_pairs(state, ~descends), direction, slope

    def move(
        self, state: State, x: tf.Tensor, f: tf.Tensor, g: tf.Tensor, is_accepted: tf.Tensor
    ) -> State:
        """Ends an iteration at (x, f, g) for those positions of which that is accepted, [batch]."""
        dtype = x.dtype
        kept = [
            tf.cast(each, self.pair_dtype or dtype) for each in (x - state.position, g - state.gradient)
        ]
        step, difference = (tf.cast(each, dtype) for each in kept)
        curvature = multi_dot(difference, kept[:1], kernel=self.kernel)[:, 0]
        # Below rounding error a curvature's sign is chance, and dividing by it would be too.
        least = np.finfo(step.dtype.as_numpy_dtype).eps * tf.sqrt(
            dot(step, step) * dot(difference, difference)
        )
        # What becomes of the pairs of a position that has ended does not matter.
        pushes = (is_accepted & (curvature > tf.cast(least, tf.float64))) | (
            state.status != int(Status.RUNNING)
        )
        rings = (state.steps, state.differences)

        def push():
            steps, differences = ((*ring[1:], new) for ring, new in zip(rings, kept, strict=True))
            last = multi_dot(difference, steps, kernel=self.kernel)[:, :, tf.newaxis]
            kept_products = tf.pad(state.products[:, 1:, 1:], [[0, 0], [0, 1], [0, 0]])
            return steps, differences, tf.concat([kept_products, last], axis=2)

        steps, differences, products = _for_each(pushes, push, lambda: (*rings, state.products))
        position, value, gradient = _for_each(
            is_accepted, lambda: (x, f, g), lambda: (state.position, state.value, state.gradient)
        )
        is_converged = tf.reduce_max(tf.abs(flat(g)), axis=1) <= self.gradient_tolerance
        status = tf.where(is_converged, int(Status.CONVERGED), int(Status.RUNNING))
        status = tf.where(is_finite(f, g), status, int(Status.NON_FINITE))
        return State(
            position=position,
            value=value,
            lowest=tf.minimum(state.lowest, value),
            gradient=gradient,
            steps=steps,
            differences=differences,
            products=products,
            num_moves=state.num_moves + tf.cast(is_accepted, tf.int32),
            num_refusals=tf.where(is_accepted, 0, state.num_refusals),
            trial=tf.where(is_accepted, tf.ones_like(state.trial), state.trial),
            status=tf.where(is_accepted, status, state.status),
        )

    def refuse(
        self, state: State, f: tf.Tensor, g: tf.Tensor, slope: tf.Tensor, is_accepted: tf.Tensor
    ) -> State:
        """Shortens the next trial, or gives up, where one that ended at (f, g) was not accepted."""
        is_refused = (state.status == int(Status.RUNNING)) & ~is_accepted
        num_refusals = state.num_refusals + tf.cast(is_refused, tf.int32)
        # The minimum of the parabola through both ends, which lies before half the step.
        t = state.trial
        t = tf.clip_by_value(
            tf.math.divide_no_nan(-slope * t * t, 2.0 * (f - state.value - slope * t)), 0.1 * t, 0.5 * t
        )
        t = tf.where(is_finite(f, g), t, 0.5 * state.trial)
        gives_up_pairs = (num_refusals == MAX_BACKTRACKS) & (state.products[:, -1, -1] > 0) & is_refused
        t = tf.where(gives_up_pairs, tf.ones_like(t), t)
        has_failed = is_refused & (num_refusals >= MAX_BACKTRACKS + MAX_HALVINGS)
        failure = tf.where(is_finite(f, g), int(Status.LINE_SEARCH_FAILED), int(Status.NON_FINITE))
        return drop_pairs(state, gives_up_pairs)._replace(
            num_refusals=num_refusals,
            trial=tf.where(is_refused, t, state.trial),
            status=tf.where(has_failed, failure, state.status),
        )


def minimize(method: Method, position: tf.Tensor, num_evaluations: tf.Tensor | int) -> State:
    """Minimises each position of a batch, inside the graph that is being traced.

    Args:
      method: The function and how to go about it.
      position: Where to start, [batch, ...], float32 or float64.
      num_evaluations: How many at most, a scalar.

    Returns:
      The state at the end; a status that was running has become `MAX_ITERATIONS`.
    """

    def should_go_on(index: tf.Tensor, state: State) -> tf.Tensor:
        return (index < num_evaluations) & tf.reduce_any(state.status == int(Status.RUNNING))

    def go_on(index: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
        return index + 1, method.turn(state)[0]

    _, state = tf.while_loop(should_go_on, go_on, (tf.constant(0), method.start(position)))
    is_running = state.status == int(Status.RUNNING)
    return state._replace(status=tf.where(is_running, int(Status.MAX_ITERATIONS), state.status))


def drop_pairs(state: State, is_dropped: tf.Tensor) -> State:
    """The state without the pairs of those positions, [batch]."""
    return state._replace(
        products=tf.where(
            column(is_dropped, state.products), tf.zeros_like(state.products), state.products
        )
    )


def decreases(f: tf.Tensor, new_f: tf.Tensor, new_g: tf.Tensor, slope: tf.Tensor) -> tf.Tensor:
    """Whether a step to (new_f, new_g) is sound and decreases the loss sufficiently, [batch]."""
    return is_finite(new_f, new_g) & (new_f < f) & (new_f <= f + SUFFICIENT_DECREASE * slope)


def is_finite(f: tf.Tensor, g: tf.Tensor) -> tf.Tensor:
    """Whether losses [batch] and gradients [batch, ...] are finite, [batch]."""
    # A sum is finite only if every entry is; adding magnitudes lets none cancel.
    return tf.math.is_finite(f) & tf.math.is_finite(tf.reduce_sum(tf.abs(flat(g)), axis=1))


def _for_each(condition: tf.Tensor, if_true: Callable[[], Any], if_false: Callable[[], Any]) -> Any:
    """tf.cond for each position of a batch; where all agree one branch is run and nothing copied."""
    if condition.shape[0] == 1:
        return tf.cond(condition[0], if_true, if_false)

    def if_mixed():
        return tf.nest.map_structure(
            lambda a, b: tf.where(column(condition, a), a, b), if_true(), if_false()
        )

    count = tf.cast([tf.reduce_any(condition), tf.reduce_all(condition)], tf.int32)
    return tf.switch_case(tf.reduce_sum(count), [if_false, if_mixed, if_true])
