"""The record of evaluations: complete, however many one call makes."""

import numpy as np
import tensorflow as tf

from tf_style import EvaluationLog
from tf_style.transfer import evaluation_log


def parts_and_gradient(x):
    return tf.stack([x[0], 2.0 * x[0]])[tf.newaxis], tf.constant([3.0])


def test_grows_within_a_call(monkeypatch):
    monkeypatch.setattr(evaluation_log, "INITIAL_CAPACITY", 4)
    log = EvaluationLog(parts_and_gradient, 2)

    @tf.function
    def run(first, number):
        total = 0.0
        for index in tf.range(number):
            loss, gradient = log(tf.cast(first + index, tf.float32)[tf.newaxis])
            total += loss + gradient[0]
        return total

    for first, number in ((0, 19), (100, 3), (200, 40)):
        # Each evaluation's loss is three times its position, and its gradient 3.
        positions = np.arange(first, first + number)
        assert float(run(first, number)) == np.sum(3.0 * positions + 3.0)
        records = log.take()
        np.testing.assert_array_equal(records[:, 1:], np.stack([positions, 2 * positions], axis=1))
        assert (np.diff(records[:, 0]) >= 0).all()
    assert len(log.take()) == 0


def test_keeps_what_is_evaluated_eagerly(monkeypatch):
    monkeypatch.setattr(evaluation_log, "INITIAL_CAPACITY", 1)
    log = EvaluationLog(parts_and_gradient, 2)
    for value in (5.0, 7.0, 9.0):
        loss, _ = log(tf.constant([value]))
        assert float(loss) == 3.0 * value
    np.testing.assert_array_equal(log.take()[:, 1:], [[5.0, 10.0], [7.0, 14.0], [9.0, 18.0]])
