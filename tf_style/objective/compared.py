"""What a style statistic takes to compare a layer of whole images with a style."""

from typing import Any, NamedTuple

import tensorflow as tf


class Compared(NamedTuple):
    """A layer, or a region of it, and what it is compared with.

    Attributes:
      activations: float32 or bfloat16 [batch, height, width, N].
      target: As the statistic's `target` returns it.
      guide: Of the region, as for `sums`, of mean square 1; None for the whole.
      scale: A scalar, the layer's weight and normalisation.
    """

    activations: tf.Tensor
    target: Any
    guide: tf.Tensor | None
    scale: Any
