"""TensorFlow Probability's L-BFGS with a preconditioner, resumed, and where things go wrong."""

import types

import numpy as np
import pytest
import tensorflow as tf

from tf_style import InputError
from tf_style.optimize import make_minimizer, probability
from tf_style.optimize.status import Status
from tf_style.optimize.tfp_lbfgs import TfpLbfgs

SCALES = np.array([1.0, 4.0, 25.0, 100.0])
MINIMUM = np.array([3.0, -1.0, 0.5, 2.0])
ROOTS = np.array([1.0, 3.0, 2.0, 5.0])


class Recorded:
    """A function with its gradient by autodiff, and the losses of its evaluations."""

    def __init__(self, function):
        self._function = function
        self.count = tf.Variable(0)
        self.losses = tf.Variable(tf.zeros([1000], tf.float64))

    def __call__(self, x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = self._function(x)
        self.losses.scatter_nd_update([[self.count]], [loss])
        self.count.assign_add(1)
        return loss, tape.gradient(loss, x)


def bowl(x):
    return tf.reduce_sum(SCALES * (x - MINIMUM) ** 2)


def rosenbrock(x):
    return tf.reduce_sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def make(evaluate, **options):
    position = tf.Variable(tf.zeros([4], tf.float64))
    return position, TfpLbfgs(evaluate, position, history=3, first_step=0.5, **options)


def test_with_the_hessians_own_root_the_first_search_ends_at_the_minimum():
    position, minimizer = make(Recorded(bowl), preconditioner_root=lambda x: x / SCALES**0.5)
    minimizer.run(1)
    # In z the loss is the squared distance to the minimum, and the gradient points straight at it. The
    # secant that finds it divides differences of gradients near 10, in float64.
    np.testing.assert_allclose(position, MINIMUM, atol=1e-9)


def test_the_preconditioner_is_a_change_of_variables():
    """With root R, f at x is minimised as f(R z) is at z without one."""
    root = np.array([0.5, 2.0, 1.0, 0.1])
    z, plain = make(Recorded(lambda z: bowl(root * z)))
    x, minimizer = make(Recorded(bowl), preconditioner_root=lambda x: root * x)
    # A first step is measured at the position: the preconditioned one's is R times the other's.
    gradient = np.abs(2.0 * root * SCALES * MINIMUM)
    plain._first_step = minimizer._first_step * gradient.max() / (root * gradient).max()
    for _ in range(4):
        plain.run(1)
        minimizer.run(1)
        # The same operations but for the order of a few products, in float64.
        np.testing.assert_allclose(x, root * z.numpy(), rtol=1e-9)


def test_resumed_run_gives_the_same_bits_and_its_evaluations_are_counted():
    def start():
        recorded = Recorded(rosenbrock)
        position, minimizer = make(recorded, preconditioner_root=lambda x: x / ROOTS)
        return recorded, position, minimizer

    recorded, straight, minimizer = start()
    for _ in range(12):
        minimizer.run(1)
        loss = recorded.losses.numpy()[int(recorded.count) - 1 - minimizer.evaluations_since]
        assert loss == pytest.approx(float(rosenbrock(straight.read_value())), rel=1e-12)
    assert int(recorded.count) == int(minimizer._state.results.num_objective_evaluations)
    _, _, early = start()
    early.run(5)
    state = {name: value.numpy() for name, value in early.state().items()}
    _, resumed, late = start()
    late.restore(state)
    late.run(7)
    assert late.iterations == 12
    assert (resumed.numpy() == straight.numpy()).all()
    assert late.value == minimizer.value
    assert late.evaluations_since == minimizer.evaluations_since


def test_a_state_in_which_nothing_is_evaluated_is_a_position():
    _, minimizer = make(Recorded(bowl))
    assert set(minimizer.state()) == {"position"}
    position, other = make(Recorded(bowl))
    other.restore({"position": MINIMUM})
    assert (position.numpy() == MINIMUM).all()
    assert other.iterations == 0
    assert other.value == float("inf")


def test_a_state_of_another_history_is_refused():
    _, minimizer = make(Recorded(bowl))
    minimizer.run(1)
    other = TfpLbfgs(Recorded(bowl), tf.Variable(tf.zeros([4], tf.float64)), history=5)
    with pytest.raises(ValueError, match="in their shapes"):
        other.restore(minimizer.state())


def test_a_zero_gradient_is_convergence_and_moves_nothing():
    position, minimizer = make(lambda x: (tf.reduce_sum(0.0 * x), tf.zeros_like(x)))
    minimizer.run(5)
    assert minimizer.status == Status.CONVERGED
    assert minimizer.iterations == 0
    assert minimizer.value == 0.0
    assert position.numpy().tolist() == [0.0] * 4


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_start_without_a_finite_loss_is_reported(value):
    position, minimizer = make(lambda x: (tf.reduce_sum(x) + value, tf.ones_like(x)))
    minimizer.run(5)
    assert minimizer.status == Status.NON_FINITE
    assert minimizer.iterations == 0
    assert position.numpy().tolist() == [0.0] * 4


def test_a_gradient_that_lies_ends_with_a_failed_search():
    """Which leaves the position at an evaluation that is not its last one."""
    losses = []

    def evaluate(x):
        loss = tf.reduce_sum((x - 1.0) ** 2)
        tf.py_function(lambda value: losses.append(float(value)), [loss], [])
        return loss, -2.0 * (x - 1.0)

    position, minimizer = make(evaluate)
    minimizer.run(5)
    assert minimizer.status == Status.LINE_SEARCH_FAILED
    assert minimizer.evaluations_since > 0
    loss = float(tf.reduce_sum((position - 1.0) ** 2))
    assert losses[-1 - minimizer.evaluations_since] == pytest.approx(loss, rel=1e-12)
    assert losses[-1] != pytest.approx(loss, rel=1e-12)


@pytest.mark.parametrize("num_iterations", [1, 5])
def test_a_pair_without_curvature_ends_with_the_last_position(num_iterations):
    """A step below rounding leaves one; tfp divides by it, and its next position is NaN."""
    position, minimizer = make(Recorded(bowl))
    minimizer.run(2)
    last, state = position.numpy(), minimizer.state()
    state["result_gradient_deltas"] = tf.zeros_like(state["result_gradient_deltas"])
    minimizer.restore(state)
    minimizer.run(num_iterations)
    assert minimizer.status == Status.LINE_SEARCH_FAILED
    assert minimizer.iterations == 2
    np.testing.assert_array_equal(position, last)


def test_iterations_before_a_position_is_lost_are_kept(monkeypatch):
    """Though all of them were one call."""
    position, minimizer = make(Recorded(rosenbrock))
    other_position, other = make(Recorded(rosenbrock))
    other.run(3)
    minimize = minimizer._minimize

    def loses_the_fourth(start, factor, results, end):
        results, at = minimize(start, factor, results, min(int(end), 4))
        is_lost = results.num_iterations == 4
        return results, tf.where(is_lost, np.nan * at, at)

    monkeypatch.setattr(minimizer, "_minimize", loses_the_fourth)
    minimizer.run(10)
    assert minimizer.status == Status.LINE_SEARCH_FAILED
    assert minimizer.iterations == 3
    np.testing.assert_array_equal(position, other_position)


@pytest.mark.parametrize("name", ["lbfgs", "tfp"])
def test_what_python_oo_leaves_out_is_an_error_before_the_run(monkeypatch, name):
    """tfp adds to its docstrings when it is imported, and there are none then."""
    position = tf.Variable(tf.zeros([1, 4, 4, 3]))

    def evaluate(x):
        return tf.reduce_sum(x), tf.ones_like(x)

    monkeypatch.setattr(
        probability, "sys", types.SimpleNamespace(flags=types.SimpleNamespace(optimize=2))
    )
    with pytest.raises(InputError, match="does not work under python -OO"):
        make_minimizer(name, evaluate, position)
    make_minimizer("adam", evaluate, position)
