"""What is checked of a request as a whole, in a graph."""

import tensorflow as tf

from tf_style.serve import decode

MAX_IMAGES = 64


def check(condition: tf.Tensor, text: str) -> tf.Operation:
    """What fails with a text where a condition does not hold everywhere."""
    return tf.debugging.Assert(tf.reduce_all(condition), [tf.constant(text)])


def name(kind: str, index: tf.Tensor) -> tf.Tensor:
    """What to call one of several, such as "image 1"."""
    return tf.strings.join([kind, tf.strings.as_string(index)])


def paired(image_bytes: tf.Tensor, others: tf.Tensor, text: str) -> tf.Tensor:
    """The pictures, if there are as many others."""
    with tf.control_dependencies([check(tf.shape(others) == tf.shape(image_bytes), text)]):
        return tf.identity(image_bytes)


def each(image_bytes: tf.Tensor, is_right: tf.Tensor, text: str) -> tf.Tensor:
    """The pictures, if something is right of each, bool [None]; else the first is named."""
    first = tf.argmin(tf.cast(tf.concat([is_right, [True]], 0), tf.int32))
    return decode.require(
        image_bytes, (tf.reduce_all(is_right), name("image ", first), tf.constant(f": {text}"))
    )
