"""The network's weights as an export stores them, and the network that computes with them."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tf_style.embed.stylizer import Stylizer
from tf_style.network import weights
from tf_style.network.architecture import layers_up_to
from tf_style.network.features import Features
from tf_style.network.vgg19 import preprocess


class PackedWeights(tf.Module):
    """The network's weights as variables, each once; the embedded ones in their 8 bits."""

    def __init__(self, stylizer: Stylizer):
        """Takes the weights of a network."""
        super().__init__(name="weights")
        self._network = stylizer.features
        # By the name of the network's variable, for weights as they are.
        self._arrays: dict[str, tf.Variable] = {}
        # By the layer's name: codebook, codes, bias, factors of the layer's input and its own means.
        self._packed: dict[str, list[tf.Variable]] = {}
        if stylizer.settings.weights != "embedded":
            for variable in self._network.model.non_trainable_variables:
                self._arrays[variable.path] = tf.Variable(variable.value, trainable=False)
            return
        layers = layers_up_to(stylizer.preset.layers)
        means = {layer.name: np.ones(layer.channels, np.float32) for layer in layers}
        if stylizer.preset.normalize:
            means = weights.mean_activations(stylizer.preset.pooling, layers)
        gains = weights.input_gains(stylizer.preset)
        input_means = np.ones(3, np.float32)
        for name, (codebook, codes, bias) in weights.load_embedded_codes(layers).items():
            arrays = (codebook, codes, bias, input_means * gains[name], means[name])
            self._packed[name] = [tf.Variable(array, trainable=False) for array in arrays]
            input_means = means[name]

    def features(self) -> Features:
        """The network, its weights unpacked where this is called."""
        values = {path: variable.read_value() for path, variable in self._arrays.items()}
        for name, (codebook, codes, bias, input_factors, means) in self._packed.items():
            # As in `weights.normalize`, operation by operation, so that the bits are the same.
            kernel = tf.gather(codebook, tf.cast(codes, tf.int32))
            values[f"{name}/kernel"] = kernel * input_factors[:, tf.newaxis] / means
            values[f"{name}/bias"] = bias / means
        return StatelessFeatures(self._network, values)


class StatelessFeatures(Features):
    """A network that computes with tensors in place of its variables."""

    def __init__(self, network: Features, values: Mapping[str, tf.Tensor]):
        """Takes the network, and a tensor for each of its variables, by the variable's path."""
        self.precision = network.precision
        self.padding = network.padding
        self.model = network.model
        variables = self.model.non_trainable_variables
        expected = {variable.path: tuple(variable.shape) for variable in variables}
        received = {path: tuple(value.shape) for path, value in values.items()}
        if received != expected:
            raise ValueError(f"The network's variables are {expected}. Received: {received}")
        self._values = [tf.cast(values[each.path], each.dtype) for each in variables]

    def __call__(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """As of `Features`."""
        x = preprocess(images, padding=self.padding)
        outputs, _ = self.model.stateless_call([], self._values, x, training=False)
        return outputs
