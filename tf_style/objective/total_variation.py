"""Total variation, a prior for smooth images. Departure from the paper, which has none."""

import tensorflow as tf

from tf_style.objective.presets import Preset
from tf_style.objective.scales import variation_counts

DOWN, ACROSS = 1, 2


def sum_of_differences(images: tf.Tensor, axis: int, exponent: int) -> tf.Tensor:
    """The sum of |difference| ** exponent over all pairs of neighbours.

    Args:
      images: float32 [batch, height, width, channels].
      axis: `DOWN` or `ACROSS`: where the neighbours lie.
      exponent: 1 or 2.

    Returns:
      float32 [batch].
    """
    if axis == DOWN:
        differences = images[:, 1:] - images[:, :-1]
    else:
        differences = images[:, :, 1:] - images[:, :, :-1]
    powers = tf.abs(differences) if exponent == 1 else tf.square(differences)
    return tf.reduce_sum(powers, axis=[1, 2, 3])


def total_variation(images: tf.Tensor, preset: Preset) -> tf.Tensor:
    """The part of the loss of whole images.

    Args:
      images: float32 [batch, height, width, 3], RGB, 0..255.
      preset: It has the weight, the exponent, and sums or means.

    Returns:
      float32 [batch].
    """
    total = tf.zeros_like(images[:, 0, 0, 0])
    if not preset.tv_weight:
        return total
    height, width = (
        tf.shape(images)[axis] if images.shape[axis] is None else images.shape[axis]
        for axis in (DOWN, ACROSS)
    )
    counts = variation_counts(preset, height, width)
    for axis, count in zip((DOWN, ACROSS), counts, strict=True):
        count = tf.cast(tf.maximum(1, count), tf.float32)
        total += sum_of_differences(images, axis, preset.tv_exponent) / count
    return preset.tv_weight * total
