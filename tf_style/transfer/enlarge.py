"""Where a size begins: the picture of the size below, enlarged."""

import numpy as np
import tensorflow as tf

from tf_style.optimize.preconditioner import filtered, frequencies

# Cycles a pixel, from where the content's detail is taken less and less, and from where not at all. The
# network hardly sees what is finer, so a photograph's noise and its compression's marks would stay: see
# noise and peaks of benchmarks/quality.py.
LAST_WHOLE, FIRST_NONE = 0.3, 0.4
# The change of a picture, as a part of its content's variance, from which this is so. Of a picture that
# is the photograph all detail is the photograph's.
CHANGED = 0.1


def enlarged(picture: tf.Tensor, content_below: tf.Tensor, content: tf.Tensor) -> tf.Tensor:
    """The picture so far at the next size, with what the content has in detail.

    Args:
      picture: float32 [batch, height, width, 3].
      content_below: The content at that size.
      content: At the next size.

    Returns:
      Shaped as `content`.
    """
    size = tf.shape(content)[1:3]
    change = picture - content_below
    mean = tf.reduce_mean(content_below, axis=[1, 2], keepdims=True)
    changed, variance = (
        tf.reduce_sum(tf.square(each), axis=[1, 2, 3], keepdims=True)
        for each in (change, content_below - mean)
    )
    left_out = tf.minimum(tf.math.divide_no_nan(changed, CHANGED * variance), 1.0)
    detail = content - tf.image.resize(content_below, size, "bicubic")
    return content + tf.image.resize(change, size, "bicubic") - left_out * finest(detail)


def finest(images: tf.Tensor) -> tf.Tensor:
    """What images [batch, height, width, 3] have above `LAST_WHOLE` cycles a pixel, more and more."""
    height, width = tf.shape(images)[1], tf.shape(images)[2]
    place = (frequencies(height, width) - LAST_WHOLE) / (FIRST_NONE - LAST_WHOLE)
    passed = 0.5 - 0.5 * tf.cos(np.pi * tf.clip_by_value(place, 0.0, 1.0))
    planes = filtered(tf.transpose(images, [0, 3, 1, 2]), passed)
    return tf.ensure_shape(tf.transpose(planes, [0, 2, 3, 1]), images.shape)
