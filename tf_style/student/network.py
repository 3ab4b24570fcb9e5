"""The student: a Keras network from a photograph to a picture in a style it has learnt.

The shape is that of Johnson et al. (ECCV 2016): a wide convolution, two that halve the size, residual
blocks, two that double it, a wide convolution. Departures: instance normalisation (Ulyanov et al.,
2016), whose scale and shift follow from the strength and the styles' weights (Dumoulin et al., ICLR
2017); enlargement and a convolution where the original's transposed convolutions left checkerboards
(Odena et al., 2016); reflection padding; and a change is added to the normalised
photograph, from which below strength 0.5 the picture goes to the photograph in proportion.
"""

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tf_style.keras_on_tensorflow import keras
from tf_style.ops.process_settings import check_process_settings
from tf_style.student.shape import CONDITIONS, Shape

# Of variances, of activations of about 1.
EPSILON = 1e-3
# What the last convolution is multiplied by: thousands of products are summed there, and one step of
# Adam would else change a picture beyond measure.
CHANGE = 0.1
# The deviation of a normalised photograph's colours at the start, as of many a painting. Added to the
# photograph as it is, the change could not take away its colours and its contrast, of which, behind
# instance normalisations, the network knows nothing: they stayed in every picture.
CONTRAST = 0.2


class ReflectionConv2D(keras.layers.Layer):
    """A convolution of what is mirrored at the border, so that there is no dark frame."""

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        *,
        strides: int = 1,
        initializer: Any = "he_normal",
        **kwargs,
    ):
        """Prepares the layer.

        Args:
          filters: Output channels.
          kernel_size: The kernel's side, odd.
          strides: In both directions.
          initializer: Of the kernel.
          **kwargs: As for `keras.Layer`.
        """
        super().__init__(**kwargs)
        self._side = kernel_size
        self._convolution = keras.layers.Conv2D(
            filters,
            kernel_size,
            strides=strides,
            padding="valid",
            data_format="channels_last",
            kernel_initializer=initializer,
            dtype=self.dtype_policy,
            name="convolution",
        )

    def build(self, input_shape):
        """Makes the kernel."""
        self._convolution.build(input_shape)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """From [batch, height, width, channels] to [batch, height / strides, width / strides, ...]."""
        reach = self._side // 2
        return self._convolution(tf.pad(x, [[0, 0], [reach, reach], [reach, reach], [0, 0]], "REFLECT"))

    def compute_output_spec(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Shape and dtype of the output."""
        shape = (x.shape[0], None, None, self._convolution.filters)
        return keras.KerasTensor(shape, dtype=self.compute_dtype)


class Enlargement(keras.layers.Layer):
    """Twice the size in both directions, bilinearly.

    By nearest neighbours, as Odena et al. have it, the convolution after it sees other things at one
    pixel of a pair than at the other: with the ReLU that left a pattern of a stride's period, of 3
    levels in 255 after 500 steps of a training; so, a quarter of that is left.

    By the operation that resizes pictures, after which TensorFlow Lite still sees how many channels
    there are; after Keras's `UpSampling2D` it does not.
    """

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """From [batch, height, width, channels] to [batch, 2 * height, 2 * width, channels]."""
        return tf.cast(tf.image.resize(x, 2 * tf.shape(x)[1:3], "bilinear"), x.dtype)

    def compute_output_spec(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Shape and dtype of the output."""
        return keras.KerasTensor((x.shape[0], None, None, x.shape[-1]), dtype=self.compute_dtype)


class ConditionalNormalization(keras.layers.Layer):
    """Instance normalisation whose scale and shift are linear in a condition.

    Means and variances are summed in float32, over all of a picture's positions; or they are given,
    where the positions are a part of the picture's.
    """

    def __init__(self, **kwargs):
        """Takes what `keras.Layer` does."""
        super().__init__(**{"autocast": False, **kwargs})

    def build(self, x_shape, condition_shape, statistics_shape=None):
        """Makes the tables of scales and shifts."""
        shape = (condition_shape[-1], x_shape[-1])
        options = {"shape": shape, "initializer": "zeros", "dtype": "float32", "autocast": False}
        self._scale = self.add_weight(name="scale", **options)
        self._shift = self.add_weight(name="shift", **options)

    def call(
        self, x: tf.Tensor, condition: tf.Tensor, statistics: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Normalises.

        Args:
          x: [batch, height, width, channels].
          condition: float32 [batch, conditions].
          statistics: The mean and the variance of each picture's channels, float32
            [batch, 2, channels]; None for those of x.

        Returns:
          As x.
        """
        whole = tf.cast(x, tf.float32)
        if statistics is None:
            mean, variance = tf.nn.moments(whole, axes=[1, 2])
        else:
            mean, variance = statistics[:, 0], statistics[:, 1]
        scale = (1.0 + tf.matmul(condition, self._scale)) * tf.math.rsqrt(variance + EPSILON)
        shift = tf.matmul(condition, self._shift) - mean * scale
        made = whole * scale[:, tf.newaxis, tf.newaxis] + shift[:, tf.newaxis, tf.newaxis]
        return tf.cast(made, self.compute_dtype)

    def compute_output_spec(self, x, condition, statistics=None) -> keras.KerasTensor:
        """Shape and dtype of the output."""
        return keras.KerasTensor(x.shape, dtype=self.compute_dtype)


class Network:
    """The layers of a student, and models made of them.

    Attributes:
      shape: What it looks like.
      model: From a dict of `photographs` float32 [batch, height, width, 3] in 0..1, sides multiples of
        `STRIDE`, `strength` float32 [batch, 1] in 0..1 and `styles` float32 [batch, num_styles],
        weights whose sum is 1, to pictures float32 like the photographs, about 0..1.
    """

    def __init__(self, shape: Shape, *, precision: str = "float32", seed: int = 0):
        """Builds the network with random weights; it begins with the normalised photograph.

        Args:
          shape: What it looks like.
          precision: Of all layers but for the sums and the last one, "float32" or "bfloat16". The
            weights are float32.
          seed: Of the weights.
        """
        check_process_settings()
        self.shape = shape
        policy = "float32" if precision == "float32" else "mixed_bfloat16"
        names = itertools.count()
        initializers = (keras.initializers.HeNormal(seed=seed + index) for index in itertools.count())

        def convolution(filters: int, side: int, **options) -> ReflectionConv2D:
            options = {"initializer": next(initializers), "dtype": policy, **options}
            return ReflectionConv2D(filters, side, name=f"convolution_{next(names):02d}", **options)

        width = shape.channels
        self._down = [convolution(width, 9), convolution(2 * width, 3, strides=2)]
        self._down += [convolution(4 * width, 3, strides=2)]
        self._blocks = [
            (convolution(4 * width, 3), convolution(4 * width, 3)) for _ in range(shape.blocks)
        ]
        self._up = [convolution(2 * width, 3), convolution(width, 3)]
        self._last = convolution(3, 9, initializer="zeros", dtype="float32")
        count = len(self._down) + 2 * shape.blocks + len(self._up)
        # The first is the photograph's own, and goes into the picture.
        self._normalizations = [
            ConditionalNormalization(name=f"normalization_{index:02d}", dtype=dtype)
            for index, dtype in enumerate(["float32"] + [policy] * count)
        ]
        self.model = self._make_model()
        self._parts: dict[int, Callable[[dict[str, tf.Tensor]], tf.Tensor]] = {}

    @property
    def num_normalizations(self) -> int:
        """How many layers take sums over a whole picture."""
        return len(self._normalizations)

    def arrays(self) -> dict[str, np.ndarray]:
        """The weights by name, float32."""
        return {name: variable.numpy() for name, variable in self._variables().items()}

    def load(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Takes over what `arrays` returned.

        Raises:
          ValueError: If they are another network's.
        """
        own = self._variables()
        if own.keys() != arrays.keys():
            raise ValueError(f"expected {len(own)} arrays of known names. Received: {len(arrays)}")
        for name, variable in own.items():
            if variable.shape != arrays[name].shape:
                raise ValueError(f"{name} is of shape {variable.shape}. Received: {arrays[name].shape}")
            variable.assign(arrays[name])

    def _variables(self) -> dict[str, keras.Variable]:
        """By their paths from the layer on; before it is the name scope that this was built in."""
        return {
            layer.name + variable.path.partition(layer.name)[2]: variable
            for layer in self.model.layers
            for variable in layer.weights
        }

    def up_to(self, index: int) -> Callable[[dict[str, tf.Tensor]], tf.Tensor]:
        """The network on a part of a picture, up to what one of the normalisations takes.

        Args:
          index: Which; `num_normalizations` for the picture itself.

        Returns:
          From the inputs of `model` for one picture, and for each normalisation before, by
          `statistics_name`, its mean and variance, float32 [1, 2, channels], to activations. Traced
          once, for parts of all sizes: the layers keep what was made of them for good.
        """
        if index not in self._parts:
            model = self._make_model(index)
            specs = {
                name: tf.TensorSpec([1, *each.shape[1:]], tf.float32, name)
                for name, each in model.input.items()
            }
            self._parts[index] = tf.function(model, input_signature=[specs], autograph=False)
        return self._parts[index]

    def _make_model(self, index: int | None = None) -> keras.Model:
        photographs = keras.Input((None, None, 3), name="photographs", dtype="float32")
        strength = keras.Input((1,), name="strength", dtype="float32")
        styles = keras.Input((self.shape.num_styles,), name="styles", dtype="float32")
        inputs = {"photographs": photographs, "strength": strength, "styles": styles}
        condition = Condition(name="condition", dtype="float32")(strength, styles)
        given: list[keras.KerasTensor] = []
        layers = iter(self._normalizations)

        def normalize(x: keras.KerasTensor) -> keras.KerasTensor:
            if index is None:
                return next(layers)(x, condition)
            if len(given) == index:
                raise _Reached(x)
            name = statistics_name(len(given))
            inputs[name] = keras.Input((2, x.shape[-1]), name=name, dtype="float32")
            given.append(inputs[name])
            return next(layers)(x, condition, inputs[name])

        try:
            made = self._forward(photographs, strength, normalize)
        except _Reached as reached:
            made = reached.activations
        return keras.Model(inputs, made)

    def _forward(
        self,
        photographs: keras.KerasTensor,
        strength: keras.KerasTensor,
        normalize: Callable[[keras.KerasTensor], keras.KerasTensor],
    ) -> keras.KerasTensor:
        relu = keras.ops.relu
        x = photographs - 0.5
        plain = 0.5 + CONTRAST * normalize(x)
        for convolution in self._down:
            x = relu(normalize(convolution(x)))
        for first, second in self._blocks:
            x = x + normalize(second(relu(normalize(first(x)))))
        for convolution in self._up:
            x = relu(normalize(convolution(Enlargement(dtype=x.dtype)(x))))
        made = plain + CHANGE * self._last(x)
        share = keras.ops.minimum(2.0 * strength, 1.0)[:, None, None]
        return photographs + share * (made - photographs)


def statistics_name(index: int) -> str:
    """The input of the models of `Network.up_to` for the sums of one normalisation."""
    return f"statistics_{index:02d}"


class Condition(keras.layers.Layer):
    """What scales and shifts are linear in: the styles' weights, times 1, d, d**2; d = 2 strength - 1.

    So each is a quadratic function of the strength, and blends of styles have blends of it.
    """

    def call(self, strength: tf.Tensor, styles: tf.Tensor) -> tf.Tensor:
        """float32 [batch, CONDITIONS * num_styles]."""
        deviation = 2.0 * strength - 1.0
        return tf.concat([styles, deviation * styles, tf.square(deviation) * styles], axis=1)

    def compute_output_spec(self, strength, styles) -> keras.KerasTensor:
        """Shape and dtype of the output."""
        return keras.KerasTensor((styles.shape[0], CONDITIONS * styles.shape[1]), dtype="float32")


class _Reached(Exception):  # noqa: N818  It is no error.
    """Ends a forward pass where a model ends."""

    def __init__(self, activations: keras.KerasTensor):
        super().__init__()
        self.activations = activations
