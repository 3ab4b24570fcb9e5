"""Where a size begins."""

import numpy as np
import pytest
import tensorflow as tf

from tf_style.transfer.enlarge import enlarged


@pytest.mark.parametrize(
    ("cycles", "kept"), [(0.05, 1.0), (0.3, 1.0), (0.35, 0.5), (0.4, 0.0), (0.5, 0.0)]
)
@pytest.mark.parametrize("axis", [1, 2])
def test_has_the_contents_detail_but_for_the_finest(cycles, kept, axis):
    wave = np.cos(2 * np.pi * cycles * np.arange(40))
    content = np.broadcast_to(wave[:, np.newaxis, np.newaxis], (40, 40, 3)).swapaxes(0, axis - 1)
    below = tf.constant(np.random.default_rng(0).normal(0, 1e-3, (1, 28, 28, 3)), tf.float32)
    found = enlarged(-below, below, tf.constant(content[np.newaxis], tf.float32))
    # The size below, enlarged, is nearly nothing.
    np.testing.assert_allclose(found[0], kept * content, atol=0.02)


def test_a_picture_that_is_the_content_stays_it():
    content = np.float32(np.random.default_rng(0).uniform(0, 255, (2, 40, 50, 3)))
    below = tf.image.resize(content, [28, 35], "bicubic")
    np.testing.assert_array_equal(enlarged(below, below, tf.constant(content)), content)
