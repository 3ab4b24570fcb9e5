"""The style of a layer as its Gram matrix (the paper's section 2.2, equations 3 to 6).

F [M, N] are a layer's activations, M positions and N channels.
"""

import functools
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_style.network.features import num_positions
from tf_style.objective.compared import Compared
from tf_style.ops.gram import gram_gradient, gram_loss, gram_matrix, guided


class GramStyle:
    """Gram matrices, compared entry by entry."""

    def __init__(self, kernel: str = "auto"):
        """Takes the kernel, as for `gram_loss`."""
        self._kernel = kernel

    def sums(self, activations: tf.Tensor, guide: tf.Tensor | None = None) -> tf.Tensor:
        """What is summed over positions: G = F^T F (equation 3), or of guided activations.

        Args:
          activations: float32 or bfloat16 [batch, height, width, N].
          guide: t of `guides.py`, float32 [1 or batch, height, width, 1]; None for 1.

        Returns:
          float32 [batch, N, N].
        """
        return gram_matrix(guided(activations, guide), kernel=self._kernel)

    def derivative_spec(self, channels: int) -> tf.TensorSpec:
        """Shape and dtype of the loss's derivative with respect to one image's sums."""
        return tf.TensorSpec([1, channels, channels])

    def merged(self, parts: Sequence[np.ndarray]) -> np.ndarray:
        """The sums over the positions of several tiles together, float64 [1, N, N]."""
        return np.sum(parts, axis=0, dtype=np.float64)

    def target(
        self, sums: Sequence[Any], positions: Sequence[Any], blend: Sequence[float] | None
    ) -> Any:
        """What an image's sums are compared with: A / M of the blended styles.

        The weighted sum of the losses to several targets A_k and the loss to their weighted mean differ
        by a constant: sum_k{ b_k (G - A_k)**2 } = (G - sum_k{ b_k A_k })**2 + const where the b_k sum
        to 1. So one target serves any number of styles.

        Args:
          sums: Of each style, tensors or arrays [1 or batch, N, N].
          positions: M of each style.
          blend: A weight for each style, to be divided by their sum; None for equal parts.

        Returns:
          As the sums are.
        """
        blend = blend or (1.0,) * len(sums)
        shares = [
            weight / sum(blend) / count * gram
            for weight, count, gram in zip(blend, positions, sums, strict=True)
        ]
        return functools.reduce(operator.add, shares)

    def losses(self, compared: Sequence[Compared]) -> list[tf.Tensor]:
        """The losses scale * sum{(G - A)**2} of whole images (equation 4), differentiable once (6).

        Args:
          compared: As `Compared` says, each target float32 [1 or batch, N, N], as `target` returns it.

        Returns:
          Of each, float32 [batch].
        """
        return [
            gram_loss(
                guided(activations, guide),
                # A style image of another size has another sum over positions: A is scaled to these.
                target * num_positions(activations),
                scale,
                kernel=self._kernel,
            )
            for activations, target, guide, scale in compared
        ]

    def loss_and_derivative(
        self, sums: np.ndarray, target: np.ndarray, positions: float, scale: float
    ) -> tuple[float, np.ndarray]:
        """The loss of one image from its sums, and its derivative with respect to them.

        Args:
          sums: float64 [1, N, N], of all the image's positions.
          target: As `target` returns it, float64 [1, N, N].
          positions: M, of the image.
          scale: The layer's weight and normalisation.

        Returns:
          The loss, and dL/dG, float32 [1, N, N].
        """
        difference = sums - positions * target
        loss = scale * float(np.sum(np.square(difference, dtype=np.float64)))
        return loss, np.float32(2 * scale * difference)

    def gradient(
        self, activations: tf.Tensor, derivative: tf.Tensor, guide: tf.Tensor | None = None
    ) -> tf.Tensor:
        """dL/dF of some of the image's positions from the derivative with respect to its sums.

        Args:
          activations: float32 or bfloat16 [1, height, width, N].
          derivative: dL/dG, float32 [1, N, N], symmetric.
          guide: As for `sums`, at these positions.

        Returns:
          2 F dL/dG, as the activations; the ReLU's zero comes from the network.
        """
        of_guided = gram_gradient(guided(activations, guide), 2.0 * derivative, kernel=self._kernel)
        return guided(of_guided, guide)
