"""VGG-19 as a Keras model from pixels to the activations of named layers."""

from collections.abc import Sequence

import tensorflow as tf

from tf_style.keras_on_tensorflow import keras
from tf_style.network.architecture import MEAN_BGR, find_layer, layers_up_to
from tf_style.network.conv_relu import ConvRelu2D
from tf_style.network.weights import Weights


def build_features(
    layer_names: Sequence[str],
    weights: Weights,
    *,
    pooling: str = "average",
    padding: str = "replicate",
    precision: str = "float32",
    kernel: str = "auto",
) -> keras.Model:
    """Builds VGG-19, cut after the deepest layer used.

    The layers are Keras's, or made of them, and named as in `keras.applications`, but built here:
    average pooling takes the place of max pooling (section 2 of the paper), and layers that nothing
    reads are never made.

    Args:
      layer_names: Names of the layers wanted, in any of `find_layer`'s forms.
      weights: Of these layers at least, as from `network.weights.load`.
      pooling: "average" (the paper's) or "max" (the original network's).
      padding: What the first convolution sees beyond the border: "zero", the paper's, or "replicate",
        which repeats the edge and so avoids dark or frayed borders in the picture.
      precision: "float32" or "bfloat16", of the weights and all the activations.
      kernel: As for `ConvRelu2D`.

    Returns:
      A model from `preprocess`ed images to a dict of activations after ReLU,
      [batch, height / stride, width / stride, channels] in `precision`, by the names given.

    Raises:
      InputError: If VGG-19 has no such layer.
    """
    make_pooling = {
        "average": keras.layers.AveragePooling2D,
        "max": keras.layers.MaxPooling2D,
    }[pooling]

    x = inputs = keras.Input((None, None, 3), dtype="float32")
    activations = {}
    block = 1
    for index, layer in enumerate(layers_up_to(layer_names)):
        if layer.block > block:
            pool = make_pooling(
                2, name=f"block{block}_pool", dtype=precision, data_format="channels_last"
            )
            x = pool(x)
            block = layer.block
        convolution = ConvRelu2D(
            layer.channels,
            # `preprocess` has padded the image for the first convolution when it replicates.
            padding="valid" if index == 0 and padding == "replicate" else "same",
            kernel=kernel,
            name=layer.name,
            precision=precision,
            # In bfloat16 the rounding of this layer alone caused four fifths of the gradient's error
            # late in a transfer, and it is the cheapest layer.
            in_float32=index == 0,
        )
        x = convolution(x)
        convolution.load(*weights[layer.name])
        activations[layer.name] = x
    outputs = {name: activations[find_layer(name).name] for name in layer_names}
    return keras.Model(inputs, outputs, name="vgg19")


def preprocess(images: tf.Tensor, *, padding: str) -> tf.Tensor:
    """Turns pixels into the network's input.

    Args:
      images: float32 [batch, height, width, 3], RGB on the 0..255 scale.
      padding: As `build_features` was given.

    Returns:
      BGR minus its mean, float32 [batch, height, width, 3]; one pixel larger at each border where
      `padding` is "replicate". The network itself rounds to its precision, if it has to.
    """
    # A slice with a negative step would take four times the time of `reverse`.
    x = tf.reverse(images, [-1]) - tf.constant(MEAN_BGR, images.dtype)
    if padding == "replicate":
        x = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="SYMMETRIC")
    return x
