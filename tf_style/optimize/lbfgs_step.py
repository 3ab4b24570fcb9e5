"""L-BFGS as a pure function from a state to the next, for a batch of positions at once, in any graph.

The batch's elements are independent: each is minimised as if alone. A step costs one evaluation of the
whole batch.

Reference: Nocedal and Wright, "Numerical Optimization", 2nd edition, algorithm 7.5 and section 7.2.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tf_style.ops.multi_vector import column, dot, flat, multi_axpy, multi_dot
from tf_style.optimize.lbfgs_state import State
from tf_style.optimize.status import Status

# Nocedal and Wright's c1 (equation 3.6a): the share of the decrease predicted by the slope that a step
# must achieve.
SUFFICIENT_DECREASE = 1e-4
# How far above the lowest loss, as a share of it, a unit step of a quasi-Newton direction may end. Late
# in a run one may be off by more than the loss falls in an iteration, more so in bfloat16, and the next
# ones make up for it; measured, searches for steps that decrease took one evaluation in eight, for
# nothing.
TOLERATED_RISE = 1e-3
# Steps rejected along a direction that comes from the history before that is dropped, and after that.
MAX_BACKTRACKS = 5
MAX_HALVINGS = 16


@dataclasses.dataclass(frozen=True)
class LbfgsUpdate:
    """What does not change in the course of a minimisation, and the update of its state.

    Attributes:
      evaluate: From positions [batch, ...] to their losses [batch] and gradients, shaped as they are.
      history: How many pairs (m) approximate the inverse Hessian.
      first_step: The largest change of a coordinate in the first step, and in each first step
        after the history was dropped, in the position's unit. A plain step of -gradient is hopeless
        at this objective's scales; of 3, 10, 30 and 100 grey levels, 30 served several paintings
        best.
      gradient_tolerance: Converged when no entry of the gradient is larger.
      initial_inverse_hessian: H0, what is known of the inverse Hessian beforehand, up to a factor: a
        linear map, symmetric and positive definite, from and to tensors shaped as the positions.
      pair_dtype: The dtype in which pairs are kept, None for the positions'. In bfloat16 they take half
        the memory, and L-BFGS is exact for the pairs as rounded.
      kernel: "auto" or "custom" for this package's ops where they can run, or "stock".
    """

    evaluate: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
    history: int = 10
    first_step: float = 30.0
    gradient_tolerance: float = 0.0
    initial_inverse_hessian: Callable[[tf.Tensor], tf.Tensor] = tf.identity
    pair_dtype: tf.DType | None = None
    kernel: str = "auto"

    def init(self, position: tf.Tensor) -> State:
        """The state in which nothing is evaluated yet.

        Args:
          position: Where to start, [batch, ...], float32 or float64.

        Returns:
          The state.
        """
        zeros = tf.zeros_like(flat(position)[:, 0])
        count = tf.zeros_like(zeros, tf.int32)
        no_pair = (tf.zeros_like(position, self.pair_dtype),) * self.history
        return State(
            position=position,
            value=zeros,
            lowest=zeros,
            gradient=tf.zeros_like(position),
            steps=no_pair,
            differences=no_pair,
            s_dot_y=tf.zeros([tf.shape(zeros)[0], self.history, self.history], tf.float64),
            evaluated=tf.zeros_like(zeros, tf.bool),
            num_accepted=count,
            num_rejected=count,
            evaluations_since=count,
            step_length=tf.ones_like(zeros),
            status=count + int(Status.RUNNING),
        )

    def step(self, state: State) -> tuple[State, tf.Tensor, tf.Tensor]:
        """Tries one step of each position, and accepts or rejects it.

        Accepted are steps that decrease the loss sufficiently. A direction's unit step is tried first,
        and is usually accepted, also where it ends within `TOLERATED_RISE` of the lowest loss; then
        come shorter ones, and where none is accepted the history is dropped and the gradient followed.

        Args:
          state: The state; positions that are not running stay as they are.

        Returns:
          The next state, and the losses [batch] and gradients, shaped as the positions, at what was
          tried.
        """
        state, direction, slope = self.direction(state)
        x = state.position + column(state.step_length, direction) * direction
        f, g = self.evaluate(x)
        decreased = decreases(state.value, f, g, state.step_length * slope)
        is_quasi_newton = (state.step_length == 1.0) & state.has_history
        is_near = is_finite(f, g) & (f <= state.lowest + TOLERATED_RISE * tf.abs(state.lowest))
        is_accepted = (state.status == int(Status.RUNNING)) & (
            decreased | (is_quasi_newton & is_near) | ~state.evaluated
        )
        state = self.accept(state, x, f, g, is_accepted)
        return self.reject(state, f, g, slope, ~is_accepted), f, g

    def direction(self, state: State) -> tuple[State, tf.Tensor, tf.Tensor]:
        """-H g, and its slope.

        With R the upper triangle of s_dot_y and D its diagonal,

            p = R^-1 S^T g,  r = H0 (g - Y p),  H g = r + S R^-T (D p - Y^T r),

        which is the two-loop recursion's (algorithm 7.4): p are its alphas. But it reads all pairs
        in four passes, where each pair of the recursion waits for the sum over the last one. From
        Nocedal and Wright's equation 7.24, and Byrd, Nocedal and Schnabel, "Representations of
        Quasi-Newton Matrices and Their Use in Limited Memory Methods", 1994, equation 2.8.

        Where there is no pair it is the first step's: H0 g, scaled to `first_step`. So is, with H0 = 1,
        one where the pairs mislead and the direction does not descend: with pairs of positive curvature
        that is a matter of rounding. Nothing here asks for a number before the next is computed: a GPU
        would stand still meanwhile.

        Args:
          state: The state.

        Returns:
          The state without misleading pairs; the directions, shaped as the positions; and their scalar
          products with the gradients, [batch].
        """
        g = state.gradient
        d = tf.linalg.diag_part(state.s_dot_y)
        is_there = d > 0
        # Where there is no pair, 1 on the diagonal and 0 beside it.
        are_there = is_there[:, :, tf.newaxis] & is_there[:, tf.newaxis, :]
        r = tf.where(are_there, state.s_dot_y, tf.eye(self.history, dtype=tf.float64))

        def dots(vectors: tuple[tf.Tensor, ...], q: tf.Tensor) -> tf.Tensor:
            found = multi_dot(q, vectors, kernel=self.kernel)
            return tf.where(is_there, found, 0.0)[:, :, tf.newaxis]

        p = tf.linalg.triangular_solve(r, dots(state.steps, g), lower=False)
        q = multi_axpy(g, -p[:, :, 0], state.differences, kernel=self.kernel)
        q = self.initial_inverse_hessian(q)
        y = tf.cast(state.differences[-1], q.dtype)
        newest = tf.cast(d[:, -1], q.dtype)
        scale = tf.math.divide_no_nan(newest, dot(y, self.initial_inverse_hessian(y)))
        q *= column(tf.where(state.has_history, scale, self._first_scale(q)), q)
        rest = d[:, :, tf.newaxis] * p - dots(state.differences, q)
        factors = tf.linalg.triangular_solve(r, rest, lower=False, adjoint=True)
        q = multi_axpy(q, factors[:, :, 0], state.steps, kernel=self.kernel)
        # A slope of NaN compares as false.
        descends = dot(g, q) > 0
        q = tf.where(column(descends, q), q, column(self._first_scale(g), g) * g)
        return state.without_history(~descends), -q, -dot(g, q)

    def _first_scale(self, q: tf.Tensor) -> tf.Tensor:
        """What takes the largest entry of each of a batch to the first step's, [batch]."""
        largest = tf.reduce_max(tf.abs(flat(q)), axis=1)
        return tf.math.divide_no_nan(tf.cast(self.first_step, q.dtype), largest)

    def accept(
        self, state: State, x: tf.Tensor, f: tf.Tensor, g: tf.Tensor, is_accepted: tf.Tensor
    ) -> State:
        """Ends an iteration of those positions whose step was accepted.

        Args:
          state: The state.
          x: The positions that were tried, [batch, ...].
          f: The losses there, [batch].
          g: The gradients there, shaped as `x`.
          is_accepted: bool [batch]; the other positions stay as they are.

        Returns:
          The state at the accepted positions, with the pairs of the steps there in the history where
          their curvature is positive; converged or ended by a number that is not finite, where so.
        """
        dtype = x.dtype
        pair = [
            tf.cast(each, self.pair_dtype or dtype) for each in (x - state.position, g - state.gradient)
        ]
        step, difference = (tf.cast(each, dtype) for each in pair)
        curvature = multi_dot(difference, pair[:1], kernel=self.kernel)[:, 0]
        # Below rounding error a curvature's sign is chance, and dividing by it would be too.
        least = np.finfo(step.dtype.as_numpy_dtype).eps * tf.sqrt(
            dot(step, step) * dot(difference, difference)
        )
        is_kept = is_accepted & (curvature > tf.cast(least, tf.float64))
        history = (state.steps, state.differences)

        def append():
            steps, differences = ((*old[1:], new) for old, new in zip(history, pair, strict=True))
            last = multi_dot(difference, steps, kernel=self.kernel)[:, :, tf.newaxis]
            s_dot_y = tf.pad(state.s_dot_y[:, 1:, 1:], [[0, 0], [0, 1], [0, 0]])
            return steps, differences, tf.concat([s_dot_y, last], axis=2)

        # The history of a position that has ended is never read again. It is shifted with the others',
        # though no pair was accepted: where all positions do the same, `_for_each` copies nothing.
        is_unread = state.status != int(Status.RUNNING)
        steps, differences, s_dot_y = _for_each(
            is_kept | is_unread, append, lambda: (*history, state.s_dot_y)
        )
        position, value, gradient = (
            tf.where(column(is_accepted, new), new, old)
            for new, old in ((x, state.position), (f, state.value), (g, state.gradient))
        )
        is_converged = tf.reduce_max(tf.abs(flat(g)), axis=1) <= self.gradient_tolerance
        status = tf.where(is_converged, int(Status.CONVERGED), int(Status.RUNNING))
        status = tf.where(is_finite(f, g), status, int(Status.NON_FINITE))
        return State(
            position=position,
            value=value,
            lowest=tf.where(state.evaluated, tf.minimum(state.lowest, value), value),
            gradient=gradient,
            steps=steps,
            differences=differences,
            s_dot_y=s_dot_y,
            evaluated=state.evaluated | is_accepted,
            num_accepted=state.num_accepted + tf.cast(is_accepted & state.evaluated, tf.int32),
            num_rejected=tf.where(is_accepted, 0, state.num_rejected),
            evaluations_since=tf.where(is_accepted, 0, state.evaluations_since),
            step_length=tf.where(is_accepted, tf.ones_like(state.step_length), state.step_length),
            status=tf.where(is_accepted, status, state.status),
        )

    def reject(
        self, state: State, f: tf.Tensor, g: tf.Tensor, slope: tf.Tensor, is_rejected: tf.Tensor
    ) -> State:
        """Shortens the next step of those positions whose last one was rejected, or gives up.

        After `MAX_BACKTRACKS` rejected steps the history is dropped, and after `MAX_HALVINGS` more the
        minimisation has failed.

        Args:
          state: The state.
          f: The losses at what was tried, [batch].
          g: The gradients there, shaped as the positions.
          slope: The directions' scalar products with the gradients at the positions, [batch].
          is_rejected: bool [batch]; positions that are not running stay as they are all the same.

        Returns:
          The next state.
        """
        is_rejected &= state.status == int(Status.RUNNING)
        num_rejected = state.num_rejected + tf.cast(is_rejected, tf.int32)
        # The minimum of the parabola through both ends, which lies before half the step.
        t = state.step_length
        t = tf.clip_by_value(
            tf.math.divide_no_nan(-slope * t * t, 2.0 * (f - state.value - slope * t)), 0.1 * t, 0.5 * t
        )
        t = tf.where(is_finite(f, g), t, 0.5 * state.step_length)
        gives_up_history = (num_rejected == MAX_BACKTRACKS) & state.has_history & is_rejected
        t = tf.where(gives_up_history, tf.ones_like(t), t)
        has_failed = is_rejected & (num_rejected >= MAX_BACKTRACKS + MAX_HALVINGS)
        failure = tf.where(is_finite(f, g), int(Status.LINE_SEARCH_FAILED), int(Status.NON_FINITE))
        return state.without_history(gives_up_history)._replace(
            num_rejected=num_rejected,
            evaluations_since=state.evaluations_since + tf.cast(is_rejected, tf.int32),
            step_length=tf.where(is_rejected, t, state.step_length),
            status=tf.where(has_failed, failure, state.status),
        )


def minimize(update: LbfgsUpdate, position: tf.Tensor, num_evaluations: tf.Tensor | int) -> State:
    """Minimises each position of a batch, inside the graph that is being traced.

    Args:
      update: The function and how to go about it.
      position: Where to start, [batch, ...], float32 or float64.
      num_evaluations: How many at most, an int32 scalar; the first is of the start.

    Returns:
      The state at the end; a status that was running has become `MAX_ITERATIONS`.
    """

    def should_go_on(index: tf.Tensor, state: State) -> tf.Tensor:
        return (index < num_evaluations) & tf.reduce_any(state.status == int(Status.RUNNING))

    def go_on(index: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
        return index + 1, update.step(state)[0]

    _, state = tf.while_loop(should_go_on, go_on, (tf.constant(0), update.init(position)))
    is_running = state.status == int(Status.RUNNING)
    return state._replace(status=tf.where(is_running, int(Status.MAX_ITERATIONS), state.status))


def decreases(f: tf.Tensor, new_f: tf.Tensor, new_g: tf.Tensor, slope: tf.Tensor) -> tf.Tensor:
    """Whether steps decrease the loss sufficiently (Nocedal and Wright's equation 3.6a).

    Args:
      f: The losses before them, [batch].
      new_f: The losses after them, [batch].
      new_g: The gradients after them, [batch, ...].
      slope: The changes of the loss that the gradients before them predict, [batch].

    Returns:
      bool [batch]; false where a loss or gradient after a step is not finite.
    """
    return is_finite(new_f, new_g) & (new_f < f) & (new_f <= f + SUFFICIENT_DECREASE * slope)


def is_finite(f: tf.Tensor, g: tf.Tensor) -> tf.Tensor:
    """Whether losses [batch] and gradients [batch, ...] are finite, bool [batch]."""
    # A sum is finite only if every entry is; adding magnitudes lets none cancel.
    return tf.math.is_finite(f) & tf.math.is_finite(tf.reduce_sum(tf.abs(flat(g)), axis=1))


def _for_each(condition: tf.Tensor, if_true: Callable[[], Any], if_false: Callable[[], Any]) -> Any:
    """tf.cond for each element of a batch; where all agree, one branch runs and nothing is copied.

    Args:
      condition: bool [batch].
      if_true: Gives a structure of tensors [batch, ...].
      if_false: Gives another of the same shapes and dtypes.

    Returns:
      The structure, each element from the branch that its condition chooses.
    """
    if condition.shape[0] == 1:
        return tf.cond(condition[0], if_true, if_false)

    def if_mixed():
        return tf.nest.map_structure(
            lambda a, b: tf.where(column(condition, a), a, b), if_true(), if_false()
        )

    count = tf.cast([tf.reduce_any(condition), tf.reduce_all(condition)], tf.int32)
    return tf.switch_case(tf.reduce_sum(count), [if_false, if_mixed, if_true])
