"""The network's convolutions: 3 x 3 and followed by ReLU, by this package's ops where they can run."""

import dataclasses
import functools
import types
from typing import Any

import numpy as np
import tensorflow as tf

from tf_style.errors import InputError
from tf_style.keras_on_tensorflow import keras
from tf_style.ops.library import custom_ops, kernel_info, loaded_ops

# The ops take multiples of so many channels, except for the three colours.
CHANNEL_MULTIPLE = 16
COLOURS = 3


@dataclasses.dataclass(frozen=True, eq=False)
class _Packed:
    """Filters in the op's own form, which depends on the processor: not to be saved."""

    filter: tf.Tensor
    gradient_filter: tf.Tensor
    bias: tf.Tensor

    def convolve(self, ops: types.ModuleType, x: tf.Tensor, padding: str, dtype: str) -> tf.Tensor:
        """With zeros beyond the border."""
        return ops.tf_style_conv_relu(
            input=x, filter=self.filter, gradient_filter=self.gradient_filter, bias=self.bias
        )


@dataclasses.dataclass(frozen=True, eq=False)
class _Rgb:
    """Filters of the first layer, whose op multiplies in float32."""

    filter: tf.Tensor
    bias: tf.Tensor

    def convolve(self, ops: types.ModuleType, x: tf.Tensor, padding: str, dtype: str) -> tf.Tensor:
        """With Keras's padding, "same" or "valid"."""
        if padding == "same":
            x = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])
        return ops.tf_style_rgb_conv_relu(
            picture=x, filter=self.filter, bias=self.bias, T=tf.dtypes.as_dtype(dtype)
        )


class ConvRelu2D(keras.layers.Conv2D):
    """Keras's layer with 3 x 3 filters that do not change any more, followed by ReLU.

    The op needs 16 multiplications where the definition has 36 (Winograd's F(2 x 2, 3 x 3)), sums in
    float32, and rounds to the network's precision once; the first layer's, from three colours, is an op
    of its own. Its results differ from TensorFlow's by rounding: by some 4e-7 in float32, and in
    bfloat16 by less than TensorFlow's differ from float32's.
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
          kernel: "custom", this package's op; "stock", TensorFlow's own ops; or "auto", the custom one
            where it can run, which is on a CPU, and is faster.
          name: The layer's.
          precision: "float32" or "bfloat16", of the activations.
          in_float32: Whether to multiply in float32 all the same; inputs are float32 then.
        """
        super().__init__(
            channels,
            3,
            padding=padding,
            data_format="channels_last",
            activation="relu",
            kernel_initializer="zeros",
            trainable=False,
            name=name,
            dtype="float32" if in_float32 else precision,
        )
        self._choice = kernel
        self._precision = precision
        self._channels = (0, 0)  # of input and output, once the weights are loaded
        self._loaded: tuple[np.ndarray, np.ndarray] | None = None  # until they are packed
        self._packed: _Packed | _Rgb | None = None

    def load(self, filters: np.ndarray, bias: np.ndarray) -> None:
        """Sets the weights for good: unless `kernel` is "stock", assigning to them later is an error.

        Args:
          filters: float32 [3, 3, input channels, channels].
          bias: float32 [channels].
        """
        # Outside of any function that is being traced.
        with tf.init_scope():
            self.set_weights([filters, bias])
        if self._choice == "stock":
            return
        self._channels = filters.shape[2:]
        self._loaded = filters, bias
        for variable in self.weights:
            variable.assign = functools.partial(_refuse, self.name)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Activations, [batch, height, width, channels] in `precision`.

        Raises:
          InputError: If the custom op is asked for where it cannot run.
        """
        # Asked each time: the answer depends on the device, and on whether XLA compiles this.
        ops = custom_ops(self._choice, problem=self._problem())
        if ops is None:
            return tf.cast(super().call(inputs), self._precision)
        return self._packed_filters(ops).convolve(ops, inputs, self.padding, self._precision)

    def _problem(self) -> str:
        """Why the ops cannot take this layer; empty if they can."""
        if self._choice == "auto" and kernel_info().instruction_set == "portable":
            return "TensorFlow's op is faster on this processor"
        inputs, outputs = self._channels
        if outputs % CHANNEL_MULTIPLE == 0:
            if inputs == COLOURS:
                return ""
            if inputs % CHANNEL_MULTIPLE == 0 and self.padding == "same":
                return ""
        return (
            f"the op takes multiples of {CHANNEL_MULTIPLE} channels with padding 'same'. Received: "
            f"{inputs} to {outputs} channels with padding {self.padding!r}"
        )

    def _packed_filters(self, ops: types.ModuleType) -> _Packed | _Rgb:
        """The filters for the op, packed at its first use: a network on a GPU needs none."""
        loaded = self._loaded
        if self._packed is None and loaded is not None:
            # Eager, as a function that is being traced would keep its own tensors to itself.
            with tf.init_scope(), tf.device("/CPU:0"):
                filters, bias = (tf.constant(array, tf.float32) for array in loaded)
                self._packed = self._pack(ops, filters, bias)
            self._loaded = None  # Last, for the sake of other threads.
        return self._packed

    def _pack(self, ops: types.ModuleType, filters: tf.Tensor, bias: tf.Tensor) -> _Packed | _Rgb:
        if self._channels[0] == COLOURS:
            return _Rgb(filters, bias)
        dtype = tf.dtypes.as_dtype(self._precision)
        pack = functools.partial(ops.tf_style_pack_filter, filter=filters, T=dtype)
        return _Packed(pack(for_gradient=False), pack(for_gradient=True), bias)


def _refuse(name: str, *_: Any, **__: Any) -> None:
    raise InputError(
        f"The weights of layer {name!r} cannot change, as it may compute with packed copies of them. "
        "Build another network from the weights that you want."
    )


@tf.RegisterGradient("TfStyle>ConvRelu")
def _gradient(op: tf.Operation, upstream: tf.Tensor):
    """With respect to the input; the filters do not change."""
    gradient = loaded_ops().tf_style_conv_relu_gradient(
        upstream=upstream, output=op.outputs[0], filter=op.inputs[2]
    )
    gradient.set_shape(op.inputs[0].shape)
    return [gradient, None, None, None]


@tf.RegisterGradient("TfStyle>RgbConvRelu")
def _rgb_gradient(op: tf.Operation, upstream: tf.Tensor):
    gradient = loaded_ops().tf_style_rgb_conv_relu_gradient(
        upstream=upstream, output=op.outputs[0], filter=op.inputs[1]
    )
    return [gradient, None, None]
