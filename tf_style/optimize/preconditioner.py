"""What is known of the loss's curvature before it is evaluated: how it goes with spatial frequency."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

# Red, green and blue along brightness, red against blue, and green against both; orthonormal rows.
AXES = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])
# Spatial frequencies in cycles a pixel, and the curvature along each axis there, up to a factor.
# Measured by `benchmarks/curvature.py`, and by y.s / s.s of L-BFGS's own pairs: nothing below 0.1,
# which served a little better, and 1.5 from where the curvature has fallen again. The network hardly
# sees what is finer than a pixel or two, colour above all. A curvature as small as that would favour
# it, and what is put there stays: with measured values colour noise above 0.4 cycles a pixel was three
# to five times as strong as with these, at the same loss.
FREQUENCIES = (0.004, 0.012, 0.023, 0.045, 0.09, 0.18, 0.3, 0.45, 0.71)
CURVATURES = (
    (0.1, 0.1, 0.1, 0.35, 1.0, 1.5, 1.5, 1.5, 1.5),
    (0.1, 0.1, 0.2, 0.7, 0.8, 1.0, 1.5, 1.5, 1.5),
    (0.8, 0.5, 0.8, 1.6, 1.5, 1.5, 1.5, 1.5, 1.5),
)


def fourier_preconditioner(*, square_root: bool = False) -> Callable[[tf.Tensor], tf.Tensor]:
    """An inverse Hessian of a picture's loss, up to a factor: L-BFGS's H0.

    It divides each spatial frequency along each colour axis by its curvature. Such a map is diagonal in
    an orthonormal basis with positive entries, so it is symmetric and positive definite. With it
    L-BFGS has reached the same loss in a quarter to a third fewer evaluations than without.

    Args:
      square_root: Whether to make the map H0^(1/2) instead, which applied twice is H0.

    Returns:
      A linear map from float32 [batch, height, width, 3] to the same, of any size.
    """
    axes = tf.constant(AXES, tf.float32)

    def apply(images: tf.Tensor) -> tf.Tensor:
        height, width = tf.shape(images)[1], tf.shape(images)[2]
        exponent = -0.5 if square_root else -1.0
        factors = tf.exp(exponent * _log_curvatures(frequencies(height, width)))
        planes = tf.einsum("bhwc,kc->bkhw", images, axes)
        planes = filtered(planes, factors)
        return tf.ensure_shape(tf.einsum("bkhw,kc->bhwc", planes, axes), images.shape)

    return apply


def filtered(planes: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """Planes with each of their frequencies multiplied.

    Args:
      planes: float32 [..., height, width].
      factors: float32, to be broadcast to [..., height, width // 2 + 1], where `frequencies` says which
        is which.

    Returns:
      Shaped as `planes`.
    """
    spectrum = tf.signal.rfft2d(planes)
    return tf.signal.irfft2d(tf.cast(factors, spectrum.dtype) * spectrum, tf.shape(planes)[-2:])


def frequencies(height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """Those of `rfft2d`'s entries, float32 [height, width // 2 + 1], cycles a pixel."""
    down = tf.range(height)
    down = tf.cast(tf.minimum(down, height - down), tf.float32) / tf.cast(height, tf.float32)
    right = tf.cast(tf.range(width // 2 + 1), tf.float32) / tf.cast(width, tf.float32)
    return tf.sqrt(tf.square(down)[:, tf.newaxis] + tf.square(right))


def _log_curvatures(frequencies: tf.Tensor) -> tf.Tensor:
    """Interpolates the rows of `CURVATURES` on logarithmic scales; constant beyond their ends.

    Args:
      frequencies: float32 [height, width], cycles a pixel, 0 or more.

    Returns:
      Natural logarithms, float32 [3, height, width].
    """
    places, values = np.log(FREQUENCIES), np.log(CURVATURES)
    slopes = np.diff(values) / np.diff(places)
    place = tf.math.log(tf.clip_by_value(frequencies, FREQUENCIES[0], FREQUENCIES[-1]))
    # The ramp from one frequency of the table to the next on which each one lies.
    ramp = tf.raw_ops.Bucketize(input=place, boundaries=places[1:-1].tolist())
    beyond = place - tf.gather(tf.constant(places, tf.float32), ramp)
    start, slope = (tf.gather(tf.constant(each, tf.float32), ramp, axis=1) for each in (values, slopes))
    return start + slope * beyond
