"""Keras layers, for models that read what the paper's network sees of pictures."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tf_style.embed.pixel_range import check_masks, check_scale
from tf_style.embed.stored_config import StoredConfig
from tf_style.errors import InputError
from tf_style.keras_on_tensorflow import keras
from tf_style.network.architecture import layers_up_to
from tf_style.network.features import Features, num_positions
from tf_style.network.weights import load_for
from tf_style.objective.guides import guide as make_guide
from tf_style.objective.presets import STYLE_LAYERS
from tf_style.ops.gram import gram_matrix, guided
from tf_style.transfer.settings import Settings


class _Layer(StoredConfig, keras.Layer):
    """What the layers have in common: they are part of models that others save, train and run.

    They compute by TensorFlow's own operations, for a model may go where the package's are not. They
    take inputs as they are: Keras would cast them to the compute dtype first, which rounds pixels in
    bfloat16 to whole levels, and lets sums overflow in float16.
    """

    KERNEL = "stock"
    DTYPES = ("float32", "bfloat16")

    def __init__(self, *, data_format: str, dtype: Any = None, **kwargs):
        """Prepares the layer.

        Args:
          data_format: Only "channels_last", whatever Keras's `image_data_format` is.
          dtype: A policy or dtype that computes in float32 or bfloat16; None for Keras's global policy
            if it does, or else float32.
          **kwargs: As for `keras.Layer`.

        Raises:
          InputError: If the data format or the dtype is another.
        """
        if data_format != "channels_last":
            raise InputError(
                "data_format is 'channels_last': transpose the pictures to [batch, height, width, "
                f"channels]. Received: {data_format!r}"
            )
        if dtype is None and keras.config.dtype_policy().compute_dtype not in self.DTYPES:
            dtype = "float32"
        super().__init__(dtype=dtype, **{"autocast": False, **kwargs})
        if self.compute_dtype not in self.DTYPES:
            raise InputError(
                f"{type(self).__name__} computes in float32 or bfloat16: leave dtype out for one of "
                f"them. Received: dtype={self.compute_dtype}"
            )


@keras.saving.register_keras_serializable("tf_style")
class VggFeatures(_Layer):
    """VGG-19 from pictures to the rectified activations of some of its layers; frozen.

    Its dtype policy's compute dtype, float32 or bfloat16, is the network's; under a global policy of
    another it is float32.
    """

    def __init__(
        self,
        layers: Sequence[str] = ("conv4_2", *STYLE_LAYERS),
        *,
        pooling: str = "average",
        padding: str = "replicate",
        normalize: bool = True,
        pooling_gain: float = 1.0,
        weights: str = "embedded",
        data_format: str = "channels_last",
        **kwargs,
    ):
        """Builds the network.

        Args:
          layers: Names as the paper's (`conv4_2`), Caffe's (`relu4_2`) or Keras's (`block4_conv2`).
          pooling: "average" (the paper's) or "max".
          padding: What the first convolution sees beyond the border, "replicate" or "zero".
          normalize: Whether the filters are scaled to a mean activation of 1 (section 2 of the paper).
          pooling_gain: What average pooling's output is multiplied by, above 0; the presets with
            mean and covariance as style have 2, and `normalize` False.
          weights: "embedded", "imagenet" or the path of a Keras `.h5` file.
          data_format: Only "channels_last".
          **kwargs: As for `keras.Layer`.

        Raises:
          InputError: If a name is unknown, the weights cannot be read, or the dtype is another.
        """
        super().__init__(data_format=data_format, **{**kwargs, "trainable": False})
        Settings(pooling=pooling, padding=padding)  # Refuses other words.
        if not 0 < pooling_gain < math.inf:
            raise InputError(f"pooling_gain is a number above 0. Received: {pooling_gain!r}")
        spec = _Spec(tuple(layers), pooling, padding, normalize, float(pooling_gain))
        self._config = {**vars(spec), "weights": weights, "data_format": data_format}
        self._features = Features(
            spec, load_for(spec, weights), precision=self.compute_dtype, kernel=self.KERNEL
        )
        self.network = self._features.model

    def call(self, pictures: tf.Tensor) -> dict[str, tf.Tensor]:
        """Rectified activations by layer.

        Args:
          pictures: [batch, height, width, 3], RGB, floats in 0..1.

        Returns:
          For each of the names given [batch, height / stride, width / stride, channels] in the compute
          dtype.

        Raises:
          InputError: If the pictures are integers, or far beyond 0..1. In a graph, where values are not
            known, pixels in 0..255 are taken as very bright ones.
        """
        check_scale(pictures)
        # The mean is taken off in float32: bfloat16 would round the picture to whole levels.
        return self._features(255.0 * tf.cast(pictures, tf.float32))


@dataclasses.dataclass(frozen=True)
class _Spec:
    """A `NetworkSpec`."""

    layers: tuple[str, ...]
    pooling: str
    padding: str
    normalize: bool
    pooling_gain: float


@keras.saving.register_keras_serializable("tf_style")
class Guides(_Layer):
    """Where in a picture a style is taken: a mask as weights over the positions of each layer.

    A weight is the square root of what a position counts, of mean square 1; positions that see over the
    mask's border count less. `GramMatrix` and `StyleLoss` take it.

    Reference:
      Gatys et al., "Controlling Perceptual Factors in Neural Style Transfer" (CVPR 2017), section 4.
    """

    def __init__(
        self,
        layers: Sequence[str] = STYLE_LAYERS,
        *,
        data_format: str = "channels_last",
        **kwargs,
    ):
        """Prepares the layer.

        Args:
          layers: Names as for `VggFeatures`.
          data_format: Only "channels_last".
          **kwargs: As for `keras.Layer`.

        Raises:
          InputError: If a name is unknown.
        """
        super().__init__(data_format=data_format, **kwargs)
        layers_up_to(list(layers))  # Refuses other names.
        self._config = {"layers": tuple(layers), "data_format": data_format}

    def call(self, masks: tf.Tensor) -> dict[str, tf.Tensor]:
        """Guides by layer.

        Args:
          masks: [batch, height, width, 1], floats in 0..1, of the pictures' size.

        Returns:
          For each name float32 [batch, height / stride, width / stride, 1]; 0 where a layer has no
          position inside.

        Raises:
          InputError: If the masks have another shape, or are known to be beyond 0..1.
        """
        masks = tf.cast(masks, tf.float32)
        check_masks(masks)
        return dict(make_guide(masks, self._config["layers"], xp=tf).roots)


@keras.saving.register_keras_serializable("tf_style")
class GramMatrix(_Layer):
    """The Gram matrix of each picture's activations, summed in float32."""

    def __init__(self, *, normalize: bool = True, data_format: str = "channels_last", **kwargs):
        """Prepares the layer.

        Args:
          normalize: Whether to divide by the number of positions, so that pictures of different sizes
            compare; the paper's G (equation 3) is not divided.
          data_format: Only "channels_last".
          **kwargs: As for `keras.Layer`.
        """
        super().__init__(data_format=data_format, **kwargs)
        self._config = {"normalize": normalize, "data_format": data_format}

    def call(self, activations: tf.Tensor, guide: tf.Tensor | None = None) -> tf.Tensor:
        """G, or G / M.

        Args:
          activations: [batch, height, width, channels], floats.
          guide: Where it is taken, as `Guides` gives it for their layer; None for the whole.

        Returns:
          float32 [batch, channels, channels].
        """
        if activations.dtype not in self.DTYPES:
            activations = tf.cast(activations, tf.float32)
        gram = gram_matrix(guided(activations, guide), kernel=self.KERNEL)
        return gram / num_positions(activations) if self._config["normalize"] else gram

    def compute_output_spec(
        self, activations: keras.KerasTensor, guide: keras.KerasTensor | None = None
    ) -> keras.KerasTensor:
        """Shape and dtype of the output."""
        batch, channels = activations.shape[0], activations.shape[-1]
        return keras.KerasTensor((batch, channels, channels), dtype="float32")
