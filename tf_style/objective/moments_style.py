"""The style of a layer as the mean and the covariance of its activations.

Two styles are compared by the Wasserstein-2 distance between the normal distributions with these
moments (`gaussian.py`), as style-transfer-pytorch does. Departure from the paper: its Gram matrix mixes
mean and covariance, and its loss is of the fourth degree in the activations and so repeats a painting's
strongest motifs. The distance is quadratic, as the content loss is: one content weight serves all
pairs.

Sums over positions are all that is needed, as for `GramStyle`. They are taken about the positions' own
mean m_0, since F^T F / M less the mean's square would cancel, and kept as one matrix [N + 2, N]: the
products (F - m_0)^T (F - m_0), then m_0, then the number of positions. `merged` adds those of tiles.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_style.network.features import num_positions
from tf_style.objective.compared import Compared
from tf_style.objective.gaussian import (
    GaussianTarget,
    distance_and_derivative,
    distances_and_derivatives,
    gaussian_target,
)
from tf_style.ops.moments import moments, moments_gradient


class MomentsStyle:
    """Means and covariances, compared as normal distributions."""

    def __init__(self, kernel: str = "auto"):
        """Takes the kernel, as for `gram_matrix`."""
        self._kernel = kernel

    def sums(self, activations: tf.Tensor, guide: tf.Tensor | None = None) -> tf.Tensor:
        """What is summed over positions.

        Args:
          activations: float32 or bfloat16 [batch, height, width, N].
          guide: t of `guides.py`, float32 [1 or batch, height, width, 1]; None for 1. Positions then
            count t**2 each.

        Returns:
          float32 [batch, N + 2, N], as above.
        """
        products, mean = moments(activations, guide, kernel=self._kernel)
        counts = tf.ones_like(mean) * _count(activations, guide)
        return tf.concat([products, mean[:, tf.newaxis], counts[:, tf.newaxis]], axis=1)

    def merged(self, parts: Sequence[np.ndarray]) -> np.ndarray:
        """The sums over the positions of several tiles.

        Args:
          parts: Of each tile, [1, N + 2, N].

        Returns:
          float64 [1, N + 2, N].

        Reference:
          Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample
          Variances" (1979).
        """
        parts = [part.astype(np.float64) for part in parts]
        counts = [part[0, -1, 0] for part in parts]
        total = sum(counts) or 1.0  # Of a guide that is 0 everywhere.
        mean = sum(count * part[:, -2] for count, part in zip(counts, parts, strict=True)) / total
        merged = sum(parts)
        for count, part in zip(counts, parts, strict=True):
            difference = part[:, -2] - mean
            merged[:, :-2] += count * difference[:, :, np.newaxis] * difference[:, np.newaxis]
        merged[:, -2] = mean
        return merged

    def target(
        self, sums: Sequence[Any], positions: Sequence[Any], blend: Sequence[float] | None
    ) -> GaussianTarget:
        """What an image's moments are compared with.

        Of several styles the means and the second moments are averaged.

        Args:
          sums: Of each style, tensors or arrays [1 or batch, N + 2, N].
          positions: M of each style.
          blend: A weight for each style, to be divided by their sum; None for equal parts.

        Returns:
          The target, of batch 1 or that of the sums.
        """
        blend = blend or (1.0,) * len(sums)
        shares = [weight / sum(blend) for weight in blend]
        sums = [tf.cast(each, tf.float64) for each in sums]
        mean = tf.add_n([share * each[:, -2] for share, each in zip(shares, sums, strict=True)])
        covariances = []
        for share, each, count in zip(shares, sums, positions, strict=True):
            difference = each[:, -2] - mean
            between = difference[:, :, tf.newaxis] * difference[:, tf.newaxis]
            covariances.append(share * (each[:, :-2] / tf.cast(count, tf.float64) + between))
        target = gaussian_target(mean, tf.add_n(covariances), rank=_rank(positions))
        return GaussianTarget(*(tf.cast(each, tf.float32) for each in target))

    def losses(self, compared: Sequence[Compared]) -> list[tf.Tensor]:
        """The distances of whole images' moments from targets', each differentiable once.

        Args:
          compared: As `Compared` says, each target as `target` returns it.

        Returns:
          Of each, float32 [batch].
        """
        known, of_images = [], []
        for activations, target, guide, _ in compared:
            products, mean = moments(activations, guide, kernel=self._kernel)
            covariance = tf.stop_gradient(products) / num_positions(activations)
            known.append((products, mean))
            of_images.append((tf.stop_gradient(mean), covariance, target))
        losses = []
        for (activations, target, _, scale), (products, mean), (distance, derivative) in zip(
            compared, known, distances_and_derivatives(of_images), strict=True
        ):
            of_mean = tf.stop_gradient(2.0 * scale * (mean - target.mean))
            of_products = tf.stop_gradient(scale / num_positions(activations) * derivative)
            # Its value is 0 and its gradient the distance's: no graph keeps a gradient of its own.
            slope = tf.reduce_sum(of_mean * mean, axis=1) + tf.reduce_sum(
                of_products * products, axis=[1, 2]
            )
            losses.append(tf.stop_gradient(scale * distance) + slope - tf.stop_gradient(slope))
        return losses

    def loss_and_derivative(
        self, sums: np.ndarray, target: GaussianTarget, positions: float, scale: float
    ) -> tuple[float, np.ndarray]:
        """The loss of one image from its sums, and what `gradient` needs to know of all its positions.

        Args:
          sums: float64 [1, N + 2, N], of all the image's positions.
          target: As `target` returns it.
          positions: M, of the image.
          scale: The layer's weight and normalisation.

        Returns:
          The loss, and float32 [1, N + 2, N]: its derivatives with respect to the products, then
          to the mean, over M, then the mean.
        """
        mean = np.float32(sums[:, -2])
        covariance = np.float32(sums[:, :-2] / positions)
        distance, derivative = distance_and_derivative(mean, covariance, target)
        of_products = scale / positions * derivative.numpy()
        of_mean = 2.0 * scale / positions * (mean - target.mean.numpy())
        known = [of_products, of_mean[:, np.newaxis], mean[:, np.newaxis]]
        return scale * float(distance[0]), np.concatenate(known, axis=1, dtype=np.float32)

    def derivative_spec(self, channels: int) -> tf.TensorSpec:
        """Shape and dtype of one image's `loss_and_derivative`."""
        return tf.TensorSpec([1, channels + 2, channels])

    def gradient(
        self, activations: tf.Tensor, derivative: tf.Tensor, guide: tf.Tensor | None = None
    ) -> tf.Tensor:
        """dL/dF of some of the image's positions.

        Args:
          activations: float32 or bfloat16 [1, height, width, N].
          derivative: As from `loss_and_derivative`.
          guide: As for `sums`, at these positions.

        Returns:
          2 (F - m) dL/dQ + dL/dm, as the activations; the ReLU's zero comes from the network.
        """
        of_products, of_mean, mean = derivative[:, :-2], derivative[:, -2], derivative[:, -1]
        return moments_gradient(
            activations, mean, 2.0 * of_products, of_mean, guide, kernel=self._kernel
        )


def _count(activations: tf.Tensor, guide: tf.Tensor | None) -> Any:
    """The positions' weights in all, a scalar or [batch, 1]."""
    if guide is None:
        return num_positions(activations)
    return tf.reduce_sum(tf.square(guide), axis=[1, 2])


def _rank(positions: Sequence[Any]) -> int | tf.Tensor:
    """What the rank of the styles' blended covariance is at most."""
    most = sum(positions) - 1
    return tf.cast(most, tf.int32) if tf.is_tensor(most) else int(most)
