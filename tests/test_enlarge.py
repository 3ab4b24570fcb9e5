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
    nothing = tf.zeros([1, 28, 28, 3])
    found = enlarged(nothing, nothing, tf.constant(content[np.newaxis], tf.float32))
    # float32, through two Fourier transforms.
    np.testing.assert_allclose(found[0], kept * content, atol=1e-5)


def test_the_contents_coarse_part_is_not_taken_twice():
    x = np.linspace(0, 1, 40)[np.newaxis, :, np.newaxis, np.newaxis]
    content = tf.constant(100 + 50 * np.broadcast_to(np.sin(3 * x), (1, 40, 60, 3)), tf.float32)
    below = tf.image.resize(content, [28, 42], "bicubic")
    found = enlarged(below, below, content)
    # A smooth picture has no detail; a bicubic kernel's own errors, measured: 0.3 levels at the border.
    np.testing.assert_allclose(found, content, atol=0.6)
