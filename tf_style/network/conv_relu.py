"""The network's convolutions: rectified, 3 x 3, by this package's op where it can run."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from tf_style.ops.library import custom_ops, kernel_info

# The ops take multiples of so many channels, but for the three colours.
CHANNEL_MULTIPLE = 16
COLOURS = 3


@dataclasses.dataclass(frozen=True, eq=False)
class _Packed:
    """Filters in the op's own form, which is the processor's: not to be saved."""

    filter: tf.Tensor
    gradient_filter: tf.Tensor
    bias: tf.Tensor

    def convolve(self, ops, x: tf.Tensor, padding: str, dtype: str) -> tf.Tensor:
        """Zeros are beyond the border."""
        return ops.tf_style_rectified_convolution(
            input=x, filter=self.filter, gradient_filter=self.gradient_filter, bias=self.bias
        )


@dataclasses.dataclass(frozen=True, eq=False)
class _First:
    """The first layer's filters, whose op multiplies in float32."""

    filter: tf.Tensor
    bias: tf.Tensor

    def convolve(self, ops, x: tf.Tensor, padding: str, dtype: str) -> tf.Tensor:
        """As Keras pads."""
        if padding == "same":
            x = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])
        return ops.tf_style_first_convolution(
            picture=x, filter=self.filter, bias=self.bias, T=tf.dtypes.as_dtype(dtype)
        )


class ConvRelu2D(keras.layers.Conv2D):
    """Keras's layer with filters of 3 x 3 that do not change any more, and a rectification.

    The op needs 16 multiplications where the definition has 36 (Winograd's F(2 x 2, 3 x 3)), adds up
    in float32, and rounds to the network's precision once; the first layer's, from three colours, has
    one of its own. Its results differ from TensorFlow's by rounding: some 4e-7 in float32, and in
    bfloat16 by less than theirs do from float32's.
    """

    def __init__(
        self,
        channels: int,
        *,
        padding: str,
        kernel: str,
        name: str,
        precision: str,
        in_float32: bool = False,
    ):
        """Prepares the layer.

        Args:
          channels: Of the output.
          padding: "same", with zeros, or "valid".
          kernel: "auto" or "custom" for the op where it can run, or "stock" for TensorFlow's own.
          name: The layer's.
          precision: "float32" or "bfloat16", of the activations.
          in_float32: Whether to multiply in float32 all the same; inputs are in it then.
        """
        super().__init__(
            channels,
            3,
            padding=padding,
            activation="relu",
            kernel_initializer="zeros",
            trainable=False,
            name=name,
            dtype="float32" if in_float32 else precision,
        )
        self._choice = kernel
        self._precision = precision
        self._own: _Packed | _First | None = None

    def load(self, filters: np.ndarray, bias: np.ndarray) -> None:
        """Sets the weights for good.

        Args:
          filters: float32 [3, 3, input channels, channels].
          bias: float32 [channels].
        """
        self.set_weights([filters, bias])
        ops = custom_ops(self._choice)
        # The ops are for the processor alone, and for one whose vectors they know.
        if (
            ops is None
            or kernel_info().instruction_set == "portable"
            or tf.config.get_visible_devices("GPU")
        ):
            return
        channels = filters.shape[2:]
        with tf.device("/CPU:0"):
            bias = tf.constant(bias, tf.float32)
            if channels[0] == COLOURS and channels[1] % CHANNEL_MULTIPLE == 0:
                self._own = _First(tf.constant(filters, tf.float32), bias)
            elif self.padding == "same" and not any(n % CHANNEL_MULTIPLE for n in channels):
                dtype = tf.dtypes.as_dtype(self._precision)
                packed = (
                    ops.tf_style_pack_filter(filter=filters, T=dtype, for_gradient=for_gradient)
                    for for_gradient in (False, True)
                )
                self._own = _Packed(*packed, bias)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Rectified activations, [batch, height, width, channels]."""
        # Asked each time, for XLA cannot compile the op.
        ops = custom_ops(self._choice)
        if ops is None or self._own is None:
            return tf.cast(super().call(inputs), self._precision)
        return self._own.convolve(ops, inputs, self.padding, self._precision)


@tf.RegisterGradient("TfStyle>RectifiedConvolution")
def _gradient(op: tf.Operation, upstream: tf.Tensor):
    """With respect to the input; the filters do not change."""
    gradient = custom_ops("custom").tf_style_rectified_convolution_gradient(
        upstream=upstream,
        output=op.outputs[0],
        filter=op.inputs[2],
        channels=op.inputs[0].shape[3],
    )
    return [gradient, None, None, None]


@tf.RegisterGradient("TfStyle>FirstConvolution")
def _first_gradient(op: tf.Operation, upstream: tf.Tensor):
    gradient = custom_ops("custom").tf_style_first_convolution_gradient(
        upstream=upstream, output=op.outputs[0], filter=op.inputs[1]
    )
    return [gradient, None, None]
