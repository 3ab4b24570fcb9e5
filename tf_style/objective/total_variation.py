"""Total variation, a prior for smooth images. Departure from the paper, which has none."""

from typing import Any

import tensorflow as tf

from tf_style.objective.presets import Preset

DOWN, ACROSS = 1, 2


def neighbour_terms(images: tf.Tensor, axis: int, preset: Preset) -> tf.Tensor:
    """The terms |difference| ** exponent of all pairs of neighbours.

    Args:
      images: float32 [batch, height, width, channels].
      axis: `DOWN` or `ACROSS`: where the second of a pair lies.
      preset: It has the exponent.

    Returns:
      float32 of the images' shape, with one row or one column less.
    """
    if axis == DOWN:
        differences = images[:, 1:] - images[:, :-1]
    else:
        differences = images[:, :, 1:] - images[:, :, :-1]
    return tf.abs(differences) if preset.tv_exponent == 1 else tf.square(differences)


def total_variation(images: tf.Tensor, preset: Preset, weight: Any) -> tf.Tensor:
    """The part of the loss of whole images.

    Args:
      images: float32 [batch, height, width, 3], RGB, 0..255.
      preset: It has the exponent, sums or means, and no weight where there is nothing to compute.
      weight: A float, or a scalar float64 tensor.

    Returns:
      float32 [batch].
    """
    total = tf.zeros_like(images[:, 0, 0, 0])
    if not preset.tv_weight:
        return total
    for axis in (DOWN, ACROSS):
        terms = neighbour_terms(images, axis, preset)
        variation = tf.reduce_sum(terms, axis=[1, 2, 3])
        if preset.tv_scale == "mean":
            count = tf.cast(tf.reduce_prod(tf.shape(terms)[1:]), tf.float32)
            # An image of one row has no neighbours down, and the mean of nothing is NaN.
            variation = tf.math.divide_no_nan(variation, count)
        total += variation
    return tf.cast(weight, tf.float32) * total
