"""Whether pictures that come as tensors are on the scale that is expected, 0..1."""

import tensorflow as tf

from tf_style.errors import InputError

# What resampling may overshoot by; pictures in 0..255 or in -1..1 go beyond.
OVERSHOOT = 0.5
# More than an untrained network makes of pictures in 0..1, and less than most in 0..255 have.
_MOST = 16.0
_EXPECTED = "Pictures are finite and in 0..1: divide pixels in 0..255 by 255."


def check_pictures(pictures: tf.Tensor) -> list[tf.Operation]:
    """Refuses pictures that are on another scale, or not finite, to make others of them.

    Args:
      pictures: Floats of any shape, 0..1; `OVERSHOOT` more or less is let pass.

    Returns:
      In a graph the assertions to depend on; eagerly none.

    Raises:
      InputError: Eagerly, if they are others.
    """
    low, high = tf.reduce_min(pictures), tf.reduce_max(pictures)
    # NaN does not compare.
    is_right = (low >= -OVERSHOOT) & (high <= 1.0 + OVERSHOOT)
    if not tf.executing_eagerly():
        return [tf.debugging.Assert(is_right, [tf.constant(_EXPECTED)])]
    if not bool(is_right):
        raise InputError(f"{_EXPECTED} Received: values from {float(low):g} to {float(high):g}")
    return []


def check_masks(masks: tf.Tensor) -> None:
    """Refuses masks that are no weights, where that can be known.

    Args:
      masks: float32 [batch, height, width, 1].

    Raises:
      InputError: If they have another shape, or eagerly if some are not in 0..1.
    """
    expected = "Masks are [batch, height, width, 1] and in 0..1."
    if not masks.shape.is_compatible_with([None, None, None, 1]):
        raise InputError(f"{expected} Received: shape={masks.shape}")
    # NaN does not compare.
    if tf.executing_eagerly() and not bool(tf.reduce_all((masks >= 0.0) & (masks <= 1.0))):
        low, high = float(tf.reduce_min(masks)), float(tf.reduce_max(masks))
        raise InputError(f"{expected} Received: values from {low:g} to {high:g}")


def check_scale(pictures: tf.Tensor) -> None:
    """Refuses pixels in 0..255, where that can be known, to look at them or to train with them.

    What a network makes while it learns may well lie beyond 0..1, or not be finite.

    Args:
      pictures: Floats of any shape. In a graph their values are not known, and are not checked.

    Raises:
      InputError: If their dtype is no float, or eagerly if some are far beyond 0..1.
    """
    if not pictures.dtype.is_floating:
        raise InputError(
            "Pictures are floats in 0..1, as tf.image.convert_image_dtype makes them. "
            f"Received: dtype={pictures.dtype.name}"
        )
    if tf.executing_eagerly() and (most := float(tf.cast(tf.reduce_max(pictures), tf.float32))) > _MOST:
        raise InputError(f"{_EXPECTED} Received: values up to {most:g}")
