"""The batched iteration: each position for itself, and what becomes of those that fail."""

import numpy as np
import pytest
import tensorflow as tf

from tf_style.optimize.lbfgs_step import MAX_BACKTRACKS, MAX_HALVINGS, LbfgsUpdate, minimize
from tf_style.optimize.status import Status


def quadratics(scales):
    """Losses sum{ scale * (x - 1)**2 } and their gradients, for scales [batch, dimension]."""
    scales = tf.constant(scales, tf.float64)

    def evaluate(x):
        return tf.reduce_sum(scales * (x - 1) ** 2, axis=1), 2 * scales * (x - 1)

    return evaluate


SCALES = np.array([np.linspace(1, 50, 20), np.linspace(1, 3, 20), np.linspace(1, 400, 20)])


@pytest.mark.parametrize("num_evaluations", [1, 2, 7, 25])
def test_each_position_of_a_batch_goes_as_if_alone(num_evaluations):
    start = tf.constant(np.random.default_rng(0).standard_normal(SCALES.shape))
    together = minimize(LbfgsUpdate(quadratics(SCALES), first_step=0.5), start, num_evaluations)
    for index in range(len(SCALES)):
        one = slice(index, index + 1)
        alone = minimize(
            LbfgsUpdate(quadratics(SCALES[one]), first_step=0.5), start[one], num_evaluations
        )
        # float64, and sums in another order.
        np.testing.assert_allclose(together.position[one], alone.position, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(together.value[one], alone.value, rtol=1e-9)
        assert int(together.num_accepted[index]) == int(alone.num_accepted[0])


def test_positions_end_at_their_own_time():
    start = tf.zeros([3, 20], tf.float64)
    state = minimize(
        LbfgsUpdate(quadratics(SCALES), first_step=0.5, gradient_tolerance=1e-6), start, 40
    )
    assert list(state.status.numpy()) == [Status.CONVERGED, Status.CONVERGED, Status.MAX_ITERATIONS]
    np.testing.assert_allclose(state.position[:2], 1.0, atol=1e-6)
    counts = state.num_accepted.numpy()
    assert counts[1] < counts[0] < counts[2]


def test_runs_in_a_graph_of_unknown_sizes():
    def evaluate(x):
        return tf.reduce_sum((x - 2.0) ** 2, axis=[1, 2]), 2 * (x - 2.0)

    @tf.function(input_signature=[tf.TensorSpec([None, None, None]), tf.TensorSpec([], tf.int32)])
    def run(start, number):
        return minimize(LbfgsUpdate(evaluate, first_step=0.5, history=3), start, number)

    state = run(tf.zeros([2, 3, 4]), 10)
    np.testing.assert_allclose(state.position, 2.0, atol=1e-5)


def test_one_position_without_a_finite_loss_does_not_stop_the_others():
    def evaluate(x):
        f, g = quadratics(np.ones([2, 3]))(x)
        return tf.where([True, False], float("nan") * f, f), g

    tries = 2 + MAX_BACKTRACKS + MAX_HALVINGS
    state = minimize(LbfgsUpdate(evaluate, first_step=0.5), tf.zeros([2, 3], tf.float64), tries)
    assert int(state.status[0]) == Status.NON_FINITE
    np.testing.assert_allclose(state.position[1], 1.0, atol=1e-6)


def test_a_wall_shortens_the_step_and_the_position_before_it_is_kept():
    # Beyond 1 the loss is not a number; below, it falls towards 1.
    def evaluate(x):
        f = tf.reduce_sum((x - 1.0) ** 2, axis=1)
        return tf.where(tf.reduce_any(x > 0.9, axis=1), float("nan") * f, f), 2 * (x - 1.0)

    state = minimize(LbfgsUpdate(evaluate, first_step=5.0), tf.zeros([1, 1], tf.float64), 60)
    assert 0.5 < float(state.position[0, 0]) <= 0.9
    assert np.isfinite(float(state.value[0]))


def test_where_nothing_lowers_the_loss_the_status_says_so():
    # Its gradient points the wrong way.
    def evaluate(x):
        return tf.reduce_sum(x**2, axis=1), -2 * x

    tries = 2 + MAX_BACKTRACKS + MAX_HALVINGS
    state = minimize(LbfgsUpdate(evaluate, first_step=0.5), tf.ones([1, 2], tf.float64), tries)
    assert int(state.status[0]) == Status.LINE_SEARCH_FAILED
    np.testing.assert_array_equal(state.position, 1.0)


def test_a_direction_that_does_not_descend_is_the_gradients():
    """Scaled to the first step, and the pairs that it came from are dropped."""
    update = LbfgsUpdate(quadratics(SCALES), first_step=0.5, history=2)
    gradient = tf.constant([[3.0, -4.0], [1.0, 2.0]], tf.float64)
    step = tf.constant([[float("nan"), 1.0], [1.0, 1.0]], tf.float64)
    state = update.init(tf.zeros_like(gradient))._replace(
        gradient=gradient,
        steps=(tf.zeros_like(step), step),
        differences=(tf.zeros_like(step), tf.ones_like(step)),
        s_dot_y=tf.constant([[[0.0, 0.0], [0.0, 2.0]]] * 2, tf.float64),
    )
    state, direction, slope = update.direction(state)
    np.testing.assert_allclose(direction[0], [-0.375, 0.5], rtol=1e-12)
    np.testing.assert_allclose(slope[0], -0.375 * 3 - 0.5 * 4, rtol=1e-12)
    assert state.has_history.numpy().tolist() == [False, True]
    assert slope[1] < 0
