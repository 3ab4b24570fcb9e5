"""What it costs that a frame of a video differs from what the frames before it show there."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

# After those of `objective.PARTS`.
PART = "temporal"


class TemporalLoss:
    """Adds to an objective the weighted squares of an image's difference from a target picture.

        L = sum over positions p and colours k of  w_p (x_pk - t_pk)^2

    That is equation 7 of Ruder et al., whose c / D is w here. Several targets, of their long-term loss,
    are one: but for a constant, the sum of their losses is that of their weighted mean.

    It stands outside the seam `parts_and_gradient`, so that it serves an image as a whole and by tiles
    alike; target and weights are variables, and one graph serves every frame, of any size.

    Reference: Ruder, Dosovitskiy and Brox, "Artistic style transfer for videos", GCPR 2016.
    """

    def __init__(
        self,
        parts_and_gradient: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
        target: np.ndarray,
        weights: np.ndarray,
    ):
        """Takes the first target.

        Args:
          parts_and_gradient: The objective's, of one image.
          target: float32 [height, width, 3], RGB, 0..255, or [1, 1, 3] for a picture of any size.
          weights: float32 [height, width] from 0, or [1, 1] likewise.
        """
        self._parts_and_gradient = parts_and_gradient
        self._target = tf.Variable(target[np.newaxis], trainable=False, shape=[1, None, None, 3])
        self._weights = tf.Variable(_batch(weights), trainable=False, shape=[1, None, None, 1])

    def assign(self, target: np.ndarray, weights: np.ndarray) -> None:
        """Goes on with another target and other weights, as for `__init__`."""
        self._target.assign(target[np.newaxis])
        self._weights.assign(_batch(weights))

    def parts_and_gradient(self, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The objective's parts and this one, and the gradient of their sum.

        Args:
          image: float32 [1, height, width, 3], RGB, 0..255.

        Returns:
          float32 [1, parts + 1], and float32 [1, height, width, 3].
        """
        parts, gradient = self._parts_and_gradient(image)
        difference = image - self._target
        pull = self._weights * difference
        loss = tf.reduce_sum(pull * difference, axis=[1, 2, 3])
        return tf.concat([parts, loss[:, tf.newaxis]], axis=1), gradient + 2.0 * pull


def _batch(weights: np.ndarray) -> np.ndarray:
    return weights[np.newaxis, ..., np.newaxis]
