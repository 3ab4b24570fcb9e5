"""Keras layers and losses, for models that learn to render a style or that compare pictures."""

import base64
import dataclasses
import io
import math
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from tf_style.errors import InputError
from tf_style.images.picture import resize, working_size
from tf_style.images.reading import ImageSource, as_picture
from tf_style.network import weights
from tf_style.network.architecture import layers_up_to, min_side_px
from tf_style.network.features import Features
from tf_style.network.vgg19 import build_features, preprocess
from tf_style.objective.objective import Objective
from tf_style.objective.presets import MEAN, MEAN_GRAM, STYLE_LAYERS, Scale
from tf_style.ops.gram import gram_loss, gram_matrix
from tf_style.transfer.devices import resolve_device, resolve_precision
from tf_style.transfer.settings import Settings


@keras.saving.register_keras_serializable("tf_style")
class VggFeatures(keras.Layer):
    """VGG-19 from pictures to the rectified activations of some of its layers; frozen.

    Its dtype policy's compute dtype, float32 or bfloat16, is the network's.
    """

    def __init__(
        self,
        layers: Sequence[str] = ("conv4_2", *STYLE_LAYERS),
        *,
        pooling: str = "average",
        padding: str = "replicate",
        normalize: bool = True,
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
          weights: "embedded", "imagenet" or the path of a Keras `.h5` file.
          data_format: Only "channels_last".
          **kwargs: As for `keras.Layer`.

        Raises:
          InputError: If a name is unknown or the weights cannot be read.
        """
        super().__init__(trainable=False, **{key: kwargs[key] for key in kwargs if key != "trainable"})
        _check_data_format(data_format)
        if self.compute_dtype not in ("float32", "bfloat16"):
            raise InputError(
                f"VggFeatures computes in float32 or bfloat16. Received: dtype={self.compute_dtype}"
            )
        self._config = {
            "layers": tuple(layers),
            "pooling": pooling,
            "padding": padding,
            "normalize": normalize,
            "weights": weights,
            "data_format": data_format,
        }
        self.network = _build_network(layers, pooling, padding, normalize, weights, self.compute_dtype)

    def call(self, pictures: tf.Tensor) -> dict[str, tf.Tensor]:
        """Rectified activations by layer.

        Args:
          pictures: [batch, height, width, 3], RGB, 0..1.

        Returns:
          For each of the names given [batch, height / stride, width / stride, channels] in the compute
          dtype.
        """
        # The mean is taken off in float32: bfloat16 would round the picture to whole levels.
        pixels = 255.0 * tf.cast(pictures, tf.float32)
        x = preprocess(pixels, padding=self._config["padding"])
        return self.network(x, training=False)

    def get_config(self) -> dict:
        """What the constructor takes."""
        return {**super().get_config(), **self._config}


@keras.saving.register_keras_serializable("tf_style")
class GramMatrix(keras.Layer):
    """The Gram matrix of each picture's activations, by the fused op where it runs."""

    def __init__(self, *, normalize: bool = True, data_format: str = "channels_last", **kwargs):
        """Prepares the layer.

        Args:
          normalize: Whether to divide by the number of positions, so that pictures of different sizes
            compare; the paper's G (equation 3) is not divided.
          data_format: Only "channels_last".
          **kwargs: As for `keras.Layer`.
        """
        super().__init__(**kwargs)
        _check_data_format(data_format)
        self._config = {"normalize": normalize, "data_format": data_format}

    def call(self, activations: tf.Tensor) -> tf.Tensor:
        """G, or G / M.

        Args:
          activations: [batch, height, width, channels], float32 or bfloat16.

        Returns:
          float32 [batch, channels, channels].
        """
        gram = gram_matrix(activations)
        return gram / _positions(activations) if self._config["normalize"] else gram

    def compute_output_spec(self, activations: keras.KerasTensor) -> keras.KerasTensor:
        """Shape and dtype of the output."""
        batch, channels = activations.shape[0], activations.shape[-1]
        return keras.KerasTensor((batch, channels, channels), dtype="float32")

    def get_config(self) -> dict:
        """What the constructor takes."""
        return {**super().get_config(), **self._config}


@dataclasses.dataclass(frozen=True)
class _Scaled:
    """weight * k(N, M), as in `Preset`."""

    weight: float
    scale: Scale

    @classmethod
    def make(cls, weight: float, scale: Scale | dict) -> "_Scaled":
        return cls(float(weight), Scale(**scale) if isinstance(scale, dict) else scale)

    def __call__(self, activations: tf.Tensor) -> tf.Tensor:
        return self.weight * self.scale(activations.shape[-1], _positions(activations))

    def config(self) -> dict:
        return {"weight": self.weight, "scale": dataclasses.asdict(self.scale)}


@keras.saving.register_keras_serializable("tf_style")
class ContentLoss(keras.losses.Loss):
    """weight * k(N, M) * sum{(F - P)**2} of the activations of one layer (equation 1)."""

    def __init__(
        self, weight: float = 1.0, scale: Scale | dict = MEAN, *, name: str = "content_loss", **kwargs
    ):
        """Prepares the loss.

        Args:
          weight: A factor.
          scale: k, by default the mean over positions and channels; `Scale(1 / 2, 0, 0)` is the
            paper's.
          name: As for `keras.losses.Loss`.
          **kwargs: As for `keras.losses.Loss`.
        """
        super().__init__(name=name, **kwargs)
        self._scaled = _Scaled.make(weight, scale)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """The loss of each picture.

        Args:
          y_true: The content's activations P, [batch, height, width, channels].
          y_pred: The picture's F, of the same shape.

        Returns:
          [batch].
        """
        return self._scaled(y_pred) * tf.reduce_sum(tf.square(y_pred - y_true), axis=[1, 2, 3])

    def get_config(self) -> dict:
        """What the constructor takes."""
        return {**super().get_config(), **self._scaled.config()}


@keras.saving.register_keras_serializable("tf_style")
class StyleLoss(keras.losses.Loss):
    """weight * k(N, M) * sum{(G - A)**2} of one layer (equation 4), by the fused op where it runs."""

    def __init__(
        self,
        weight: float = 1.0,
        scale: Scale | dict = MEAN_GRAM,
        *,
        name: str = "style_loss",
        **kwargs,
    ):
        """Prepares the loss.

        Args:
          weight: A factor.
          scale: k, by default the mean over the entries of G / M; `Scale(1 / 4, 2, 2)` is the paper's.
          name: As for `keras.losses.Loss`.
          **kwargs: As for `keras.losses.Loss`.
        """
        super().__init__(name=name, **kwargs)
        self._scaled = _Scaled.make(weight, scale)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """The loss of each picture.

        Args:
          y_true: A / M as `GramMatrix` gives it, [1 or batch, channels, channels], or the style's
            activations, [1 or batch, any height, any width, channels].
          y_pred: The picture's activations, [batch, height, width, channels].

        Returns:
          [batch].
        """
        gram = y_true if y_true.shape.rank == 3 else gram_matrix(y_true) / _positions(y_true)
        # Where the style has another number of positions, A is scaled to the picture's.
        return gram_loss(y_pred, gram * _positions(y_pred), self._scaled(y_pred))

    def get_config(self) -> dict:
        """What the constructor takes."""
        return {**super().get_config(), **self._scaled.config()}


@keras.saving.register_keras_serializable("tf_style")
class PerceptualLoss(keras.losses.Loss):
    """The paper's whole objective (equation 7) between pictures, in a style: to train with.

    In `model.compile(loss=PerceptualLoss("painting.jpg"), jit_compile=False)` and `model.fit(x, x)` it
    compares the model's pictures with the contents x, and their style with the painting's.
    `jit_compile=False` lets the fused op run, which XLA cannot compile.
    """

    def __init__(
        self,
        style: ImageSource,
        *,
        size: int = 256,
        precision: str = "float32",
        name: str = "perceptual_loss",
        reduction: str = "sum_over_batch_size",
        dtype=None,
        **settings,
    ):
        """Loads the network and computes the style's targets.

        Args:
          style: A path, the bytes of an image file, an open one or an array, as for `stylize`.
          size: The style is resized to as many pixels as a square of this side: the training pictures'.
          precision: Of the network, "float32", "bfloat16" or "auto".
          name: As for `keras.losses.Loss`.
          reduction: As for `keras.losses.Loss`.
          dtype: As for `keras.losses.Loss`.
          **settings: Those fields of `Settings` that choose the objective: `preset`,
            `content_weight` (alpha), `style_weight` (beta), `content_layers`, `style_layers` and so on.

        Raises:
          InputError: If the style cannot be read or a setting is wrong.
        """
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self._settings, self._size, self._precision = settings, size, precision
        chosen = Settings(size=size, precision=precision, **settings)
        preset = chosen.resolve(has_content=True, num_styles=1)
        picture = as_picture(style)
        size = working_size(picture.height, picture.width, size, "area")
        if min(size) < min_side_px(preset.layers):
            raise InputError(
                f"A style image of {size[1]} x {size[0]} pixels is too small: the deepest layer used "
                f"needs {min_side_px(preset.layers)} in each direction."
            )
        # Whole levels, so that what a configuration holds is exactly what was used.
        pixels = np.round(255.0 * resize(picture.pixels, *size)).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        self._style_png = file.getvalue()
        features = Features(
            preset,
            weights.load(
                chosen.weights,
                layers_up_to(preset.layers),
                normalize_for=preset.pooling if preset.normalize else None,
            ),
            precision=resolve_precision(precision, resolve_device(None)),
        )
        style_batch = tf.constant(pixels[np.newaxis], tf.float32)
        self._objective = Objective(features, preset, content=None, styles=[style_batch])

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """The loss of each picture.

        Args:
          y_true: The contents, [batch, height, width, 3], RGB, 0..1.
          y_pred: The pictures, of the same shape.

        Returns:
          [batch].
        """
        objective = self._objective.with_content(tf.stop_gradient(255.0 * y_true))
        return tf.reduce_sum(objective.parts(255.0 * y_pred), axis=1)

    def get_config(self) -> dict:
        """What the constructor takes; the style as the text of a PNG file."""
        config = super().get_config()
        return {
            **config,
            "style": base64.b64encode(self._style_png).decode(),
            "size": self._size,
            "precision": self._precision,
            **self._settings,
        }

    @classmethod
    def from_config(cls, config: dict) -> "PerceptualLoss":
        """The inverse of `get_config`."""
        return cls(**{**config, "style": base64.b64decode(config["style"])})


def _build_network(
    layers: Sequence[str], pooling: str, padding: str, normalize: bool, source: str, precision: str
) -> keras.Model:
    Settings(pooling=pooling, padding=padding)  # Refuses other words.
    arrays = weights.load(source, layers_up_to(layers), normalize_for=pooling if normalize else None)
    # The layer is part of models that others may save, and run where our op is not.
    return build_features(
        layers, arrays, pooling=pooling, padding=padding, precision=precision, kernel="stock"
    )


def _positions(activations: tf.Tensor) -> float | tf.Tensor:
    sides = activations.shape[1:-1]
    if None in sides:
        return tf.cast(tf.reduce_prod(tf.shape(activations)[1:-1]), tf.float32)
    return float(math.prod(sides))


def _check_data_format(data_format: str) -> None:
    if data_format != "channels_last":
        raise InputError(
            "data_format is 'channels_last': transpose the pictures to [batch, height, width, "
            f"channels]. Received: {data_format!r}"
        )
