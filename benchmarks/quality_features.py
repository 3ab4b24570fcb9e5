"""Style distance by layers of VGG-19 that no tool optimises. TensorFlow and this package.

The network is as it was trained, with max pooling, since tools differ in theirs; its first convolution
replicates the border, so that none is scored by its padding.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
import quality_metrics
import tensorflow as tf
from numpy.typing import NDArray

from tf_style.network import weights
from tf_style.network.architecture import layers_up_to
from tf_style.network.features import Features

LAYERS = ("conv1_2", "conv2_2", "conv3_3", "conv4_3")


@dataclasses.dataclass(frozen=True)
class _Network:
    layers: tuple[str, ...] = LAYERS
    pooling: str = "max"
    padding: str = "replicate"
    normalize: bool = False


class StyleScorer:
    """Compares pictures with paintings at `LAYERS`, in float32."""

    def __init__(self):
        """Builds the network with the embedded weights."""
        spec = _Network()
        arrays = weights.load("embedded", layers_up_to(spec.layers), normalize_for=None)
        self._features = Features(spec, arrays)

    def activations(self, picture: NDArray[np.uint8]) -> list[NDArray[np.float64]]:
        """[positions, channels] at each of `LAYERS`.

        Args:
          picture: [height, width, 3], RGB, 0..255.
        """
        outputs = self._features(tf.constant(picture[np.newaxis], tf.float32))
        return [
            outputs[name].numpy().reshape(-1, outputs[name].shape[-1]).astype(np.float64)
            for name in LAYERS
        ]

    def scores(
        self, picture: NDArray[np.uint8], painting: list[NDArray[np.float64]]
    ) -> Mapping[str, float]:
        """Both distances, by the heads of the table's columns.

        Args:
          picture: [height, width, 3], RGB, 0..255.
          painting: Its `activations`.
        """
        ours = self.activations(picture)
        return {
            "Gram": quality_metrics.gram_distance(ours, painting),
            "moments": quality_metrics.moments_distance(ours, painting),
        }
