"""The network's convolutions: rectified, 3 x 3, by this package's op where it can run."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from tf_style._kernel import custom_ops

# The op takes multiples of so many channels, and so leaves the first layer to TensorFlow.
CHANNEL_MULTIPLE = 16


@dataclasses.dataclass(frozen=True, eq=False)
class _Packed:
    """Filters in the op's own form, which is the processor's: not to be saved."""

    filter: tf.Tensor
    gradient_filter: tf.Tensor
    bias: tf.Tensor


class RectifiedConv2D(keras.layers.Conv2D):
    """Keras's layer with filters of 3 x 3 that do not change any more, and a rectification.

    The op needs 16 multiplications where the definition has 36 (Winograd's F(2 x 2, 3 x 3)), adds up
    in float32, and rounds to the network's precision once. Its results differ from TensorFlow's by
    rounding: some 4e-7 in float32, and in bfloat16 by less than theirs do from float32's.
    """

    def __init__(self, channels: int, *, padding: str, kernel: str, name: str, dtype: str):
        """Prepares the layer.

        Args:
          channels: Of the output.
          padding: "same", with zeros, or "valid".
          kernel: "auto" or "custom" for the op where it can run, or "stock" for TensorFlow's own.
          name: The layer's.
          dtype: "float32" or "bfloat16".
        """
        super().__init__(
            channels,
            3,
            padding=padding,
            activation="relu",
            kernel_initializer="zeros",
            trainable=False,
            name=name,
            dtype=dtype,
        )
        self._choice = kernel
        self._packed: _Packed | None = None

    def load(self, filters: np.ndarray, bias: np.ndarray) -> None:
        """Sets the weights for good.

        Args:
          filters: float32 [3, 3, input channels, channels].
          bias: float32 [channels].
        """
        self.set_weights([filters, bias])
        ops = custom_ops(self._choice)
        fits = self.padding == "same" and not any(n % CHANNEL_MULTIPLE for n in filters.shape[2:])
        # The op is for the processor alone.
        if ops is None or not fits or tf.config.get_visible_devices("GPU"):
            return
        with tf.device("/CPU:0"):
            packed = [
                ops.tf_style_pack_filter(
                    filter=filters, T=tf.dtypes.as_dtype(self.compute_dtype), for_gradient=for_gradient
                )
                for for_gradient in (False, True)
            ]
            self._packed = _Packed(*packed, tf.constant(bias, tf.float32))

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Rectified activations, [batch, height, width, channels]."""
        # Asked each time, for XLA cannot compile the op.
        ops = custom_ops(self._choice)
        if ops is None or self._packed is None:
            return super().call(inputs)
        return ops.tf_style_rectified_convolution(
            input=inputs,
            filter=self._packed.filter,
            gradient_filter=self._packed.gradient_filter,
            bias=self._packed.bias,
        )


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
