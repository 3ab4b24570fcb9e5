"""The mirrored margin that a picture has around it in a student's network, and loses again.

Each convolution mirrors its own input at the border. In pieces as small as those of a training that
reaches most places, and a network learns to tell by it where the border is: it painted a frame, of
other strokes than in the middle of a large picture, where it had learnt little. Within the margin there
is nothing to tell.
"""

import tensorflow as tf

from tf_style.student.shape import MARGIN_PX, STRIDE


def with_margin(pictures: tf.Tensor) -> tf.Tensor:
    """Adds the margin, and at the ends what makes the sides multiples of the network's stride.

    Args:
      pictures: [batch, height, width, channels], of sides from 2.

    Returns:
      Likewise, larger by `MARGIN_PX` at all sides, and more at the lower and the right one.
    """
    # Gathered, and not padded, pictures keep a number of channels that TensorFlow Lite can see.
    for axis in (1, 2):
        pictures = tf.gather(pictures, _mirrored(tf.shape(pictures)[axis]), axis=axis)
    return pictures


def without_margin(made: tf.Tensor, height: int | tf.Tensor, width: int | tf.Tensor) -> tf.Tensor:
    """The part of pictures with a margin that is the picture of that height and width."""
    return made[:, MARGIN_PX : MARGIN_PX + height, MARGIN_PX : MARGIN_PX + width]


def _mirrored(length: tf.Tensor) -> tf.Tensor:
    """The places along an axis, mirrored at the first and the last as often as it takes."""
    places = tf.range(-MARGIN_PX, length + -length % STRIDE + MARGIN_PX)
    period = 2 * (length - 1)
    places = tf.math.floormod(places, period)
    return tf.minimum(places, period - places)
