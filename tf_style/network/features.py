"""VGG-19 from pixels to named activations."""

import math

import tensorflow as tf

from tf_style.forks import check_not_forked
from tf_style.network.architecture import NetworkSpec
from tf_style.network.vgg19 import build_features, preprocess
from tf_style.network.weights import Weights
from tf_style.ops.process_settings import check_process_settings


class Features:
    """VGG-19 from pixels to the activations that an objective reads.

    Attributes:
      model: The Keras model. Its weights are fixed: where the package's op convolves, it reads packed
        copies of its own, so that to change the model's variables has no effect, or one on some devices
        only.
      precision: "float32" or "bfloat16".
      padding: What the first convolution sees beyond the border, "replicate" or "zero".
    """

    def __init__(
        self, preset: NetworkSpec, weights: Weights, *, precision: str = "float32", kernel: str = "auto"
    ):
        """Builds the network.

        Args:
          preset: The layers, the pooling and the padding, as of a `Preset`.
          weights: Of those layers, as from `network.weights.load_for`: normalised or not, and with the
            pooling gain, which is not applied here.
          precision: "float32" or "bfloat16".
          kernel: For the convolutions, as for `ConvRelu2D`.

        Raises:
          InputError: If TensorFlow or Keras is set up in a way that is not supported.
        """
        check_process_settings()
        check_not_forked()
        self.precision = precision
        self.padding = preset.padding
        self.model = build_features(
            preset.layers,
            weights,
            pooling=preset.pooling,
            padding=preset.padding,
            precision=precision,
            kernel=kernel,
        )

    def __call__(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Rectified activations by layer.

        Args:
          images: float32 [batch, height, width, 3], RGB, 0..255.

        Returns:
          For each of the layers [batch, height / stride, width / stride, channels] in
          the network's precision.

        Raises:
          InputError: In a process that was forked after TensorFlow had run.
        """
        check_not_forked()
        return self.model(preprocess(images, padding=self.padding), training=False)


def num_positions(activations: tf.Tensor) -> float | tf.Tensor:
    """M, the number of positions of activations.

    Args:
      activations: [batch, height, width, channels].

    Returns:
      A float, or a scalar float32 tensor where the size is known only when the graph runs.
    """
    sides = activations.shape[1:-1]
    if None in sides:
        return tf.cast(tf.reduce_prod(tf.shape(activations)[1:-1]), tf.float32)
    return float(math.prod(sides))
