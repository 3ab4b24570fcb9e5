"""Pictures, masks and strengths that come as tensors: checked, and resized as a transfer does it."""

import tensorflow as tf

from tf_style.embed.pixel_range import check_pictures
from tf_style.errors import InputError


def checked(pictures: tf.Tensor, expected: str) -> tf.Tensor:
    """Pictures, float32 [batch, height, width, 3]; `expected` begins the message for others."""
    pictures = tf.convert_to_tensor(pictures)
    if pictures.dtype != tf.float32 or not pictures.shape.is_compatible_with([None, None, None, 3]):
        raise InputError(
            f"{expected} in 0..1. Received: dtype={pictures.dtype.name}, shape={pictures.shape}"
        )
    with tf.control_dependencies(check_pictures(pictures)):
        return tf.identity(pictures)


def checked_masks(masks: tf.Tensor, contents: tf.Tensor, num_styles: int) -> tf.Tensor:
    """Masks of each style that fit the contents, float32 [batch, height, width, styles]."""
    masks = tf.convert_to_tensor(masks)
    expected = f"Masks are float32 [batch, height, width, {num_styles}] in 0..1, of the contents' size"
    if masks.dtype != tf.float32 or not masks.shape.is_compatible_with(
        [*contents.shape[:3], num_styles]
    ):
        raise InputError(f"{expected}. Received: dtype={masks.dtype.name}, shape={masks.shape}")
    same = tf.reduce_all(tf.shape(masks)[:3] == tf.shape(contents)[:3])
    inside = tf.reduce_all((masks >= 0.0) & (masks <= 1.0))
    if tf.executing_eagerly():
        if not (bool(same) and bool(inside)):
            raise InputError(f"{expected}. Received: shape={masks.shape}")
        return masks
    check = tf.debugging.Assert(same & inside, [expected])
    with tf.control_dependencies([check]):
        return tf.ensure_shape(masks, [*contents.shape[:3], num_styles])


def check_strength(strength: float | tf.Tensor | None) -> list[tf.Operation]:
    """In a graph the assertions that a strength is in 0..1; eagerly it is refused at once."""
    if strength is None:
        return []
    strength = tf.convert_to_tensor(strength, tf.float32)
    checks = [
        tf.debugging.assert_greater_equal(strength, 0.0, "strength is in 0..1."),
        tf.debugging.assert_less_equal(strength, 1.0, "strength is in 0..1."),
    ]
    # Eagerly there is none.
    return [check for check in checks if check is not None]


def lanczos(pictures: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """As `images.picture.resize`, which leaves a picture that has the size already as it is."""
    return tf.cond(
        tf.reduce_all(tf.shape(pictures)[1:3] == size),
        lambda: pictures,
        lambda: tf.image.resize(pictures, size, tf.image.ResizeMethod.LANCZOS3, antialias=True),
    )


def mask_at(masks: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Masks at another size: means of what they had, as in `transfer.masks.resized`."""
    own = tf.shape(masks)[1:3]
    method = tf.image.ResizeMethod
    resized = tf.cond(
        tf.reduce_prod(size) < tf.reduce_prod(own),
        lambda: tf.image.resize(masks, size, method.AREA),
        lambda: tf.image.resize(masks, size, method.BILINEAR),
    )
    return tf.ensure_shape(resized, [masks.shape[0], None, None, masks.shape[-1]])
