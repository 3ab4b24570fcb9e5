"""The weights of VGG-19's convolutions as NumPy arrays, and their normalisation.

Arrays are read by name, shape and finiteness; nothing that could run code is ever loaded.
"""

import importlib.resources
import pathlib
from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np

from tf_style.errors import InputError
from tf_style.network.architecture import LAYERS, ConvLayer, NetworkSpec, layers_up_to

# Where `keras.applications` has VGG19's weights from, where it keeps them, and their MD5.
_IMAGENET_URL = "https://storage.googleapis.com/tensorflow/keras-applications/vgg19/"
_IMAGENET_NAME = "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5"
_IMAGENET_MD5 = "253f8cb515780f3b799900260a226db6"

# (kernel [3, 3, in_channels, channels], bias [channels]), float32, by the layer's name.
Weights = dict[str, tuple[np.ndarray, np.ndarray]]


def load_for(spec: NetworkSpec, source: str) -> Weights:
    """Loads the weights of the layers that a network reads, normalised and with its pooling's gain.

    The gain lies in the weights alone, for `Features` does not apply it: a network with a gain other
    than 1 is to be built of what this function returns.

    Args:
      spec: The layers, the pooling and its gain, and whether to normalise; a `Preset` is one.
      source: As for `load`.

    Returns:
      As `load` does.

    Raises:
      InputError: If VGG-19 has no such layer, or as `load` does.
    """
    weights = load(
        source,
        layers_up_to(spec.layers),
        normalize_for=spec.pooling if spec.normalize else None,
    )
    gains = input_gains(spec)
    return {name: (kernel * gains[name], bias) for name, (kernel, bias) in weights.items()}


def input_gains(spec: NetworkSpec) -> dict[str, np.float32]:
    """What each layer's kernel is multiplied by for `pooling_gain`, by the layer's name.

    The convolution after each pooling takes it over: a pass over memory less.
    """
    gain = np.float32(spec.pooling_gain if spec.pooling == "average" else 1.0)
    return {
        layer.name: gain if layer.block > 1 and layer.name.endswith("_conv1") else np.float32(1.0)
        for layer in layers_up_to(spec.layers)
    }


def load(
    source: str, layers: Sequence[ConvLayer] = LAYERS, *, normalize_for: str | None = None
) -> Weights:
    """Loads the weights of the first layers of VGG-19, without any pooling gain: see `load_for`.

    Args:
      source: "embedded" for the ones in this package, quantised to 256 values a layer; "imagenet" for
        Keras's own, downloaded on first use; or the path of a Keras `.h5` file.
      layers: The layers wanted, from the first on without a gap.
      normalize_for: The pooling, "average" or "max", with which each filter is to have a mean
        activation of 1; None for the weights as they are.

    Returns:
      For each layer's name its kernel, float32 [3, 3, in_channels, channels], for BGR input minus
      (103.939, 116.779, 123.68) on the 0..255 scale, and its bias, float32 [channels].

    Raises:
      InputError: If the file cannot be read or does not hold these layers in their shapes.
    """
    if source == "embedded":
        weights = _load_embedded(layers)
    elif source == "imagenet":
        weights = _load_imagenet(layers)
    else:
        weights = _load_h5(source, layers)
    if normalize_for is not None:
        weights = normalize(weights, mean_activations(normalize_for, layers))
    return weights


def load_embedded_codes(
    layers: Sequence[ConvLayer] = LAYERS,
) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The embedded weights in the form in which they are stored.

    Args:
      layers: The layers wanted.

    Returns:
      For each layer's name its codebook, float32 [256], its kernel's places in that, uint8
      [3, 3, in_channels, channels], and its bias, float32 [channels].
    """
    with np.load(_data("vgg19_conv_8bit.npz"), allow_pickle=False) as archive:
        return {
            layer.name: tuple(archive[f"{layer.name}/{part}"] for part in ("codebook", "codes", "bias"))
            for layer in layers
        }


def mean_activations(pooling: str, layers: Sequence[ConvLayer] = LAYERS) -> dict[str, np.ndarray]:
    """The mean activation of each filter of the unnormalised network over 1000 photographs.

    Args:
      pooling: "average" or "max".
      layers: The layers wanted.

    Returns:
      For each layer's name a_l, float32 [channels], all positive.
    """
    with np.load(_data("vgg19_mean_activations.npz"), allow_pickle=False) as archive:
        return {layer.name: archive[f"{pooling}/{layer.name}"] for layer in layers}


def normalize(weights: Weights, means: dict[str, np.ndarray]) -> Weights:
    """Scales each filter so that its mean activation becomes 1 (section 2 of the paper).

    A filter and its bias are divided by the filter's mean activation, and the next layer multiplies
    what it reads from it by the same number. Because ReLU and pooling commute with a positive factor,
    every layer's output is what it was, divided by its own means.

    Args:
      weights: The weights of the first layers of the network, in order, without a gap.
      means: Mean activation of each filter, float32 [channels], by the layer's name.

    Returns:
      The normalised weights.
    """
    result = {}
    input_means = np.ones(3, np.float32)
    for name, (kernel, bias) in weights.items():
        kernel = kernel * input_means[:, np.newaxis] / means[name]
        result[name] = kernel, bias / means[name]
        input_means = means[name]
    return result


def _data(name: str) -> pathlib.Path:
    return pathlib.Path(str(importlib.resources.files("tf_style"))) / "data" / name


def _load_embedded(layers: Sequence[ConvLayer]) -> Weights:
    return {
        name: (codebook[codes], bias)
        for name, (codebook, codes, bias) in load_embedded_codes(layers).items()
    }


def _load_imagenet(layers: Sequence[ConvLayer]) -> Weights:
    from tf_style.keras_on_tensorflow import keras

    # The file alone: Keras's model of it would take up what a program has set for all models.
    try:
        path = keras.utils.get_file(
            _IMAGENET_NAME,
            origin=_IMAGENET_URL + _IMAGENET_NAME,
            cache_subdir="models",
            file_hash=_IMAGENET_MD5,
        )
    except Exception as error:  # Keras raises a plain Exception where the download fails.
        raise InputError(
            f"Keras could not download the weights 'imagenet': {_first_line(error)}. "
            "Use weights='embedded', which needs no network."
        ) from error
    return _load_h5(path, layers)


def _load_h5(path: str, layers: Sequence[ConvLayer]) -> Weights:
    if not pathlib.Path(path).is_file():
        raise InputError(
            f"weights is 'embedded', 'imagenet' or the path of a Keras .h5 file. Received: {path!r}"
        )
    try:
        with h5py.File(path, "r") as file:
            return {
                layer.name: _checked(layer, _find_arrays(file, layer.name), path) for layer in layers
            }
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} cannot be read as a Keras .h5 file: {_first_line(error)}") from error


def _find_arrays(file: h5py.File, name: str) -> list[h5py.Dataset]:
    """The arrays of the group called `name`, wherever Keras's version put it, kernel first, unread.

    Keras 3's `.weights.h5` files number their groups and keep a layer's name as an attribute.
    """
    found: list[h5py.Dataset] = []

    def visit(path: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and (
            name in path.split("/")[:-1] or item.parent.attrs.get("name") == name
        ):
            if item.external or item.is_virtual or item.dtype.kind != "f":
                raise InputError(f"{file.filename} has an array of another kind: {path}")
            found.append(item)

    file.visititems(visit)
    return sorted(found, key=lambda item: -item.ndim)


def _checked(
    layer: ConvLayer, arrays: Sequence[np.ndarray | h5py.Dataset], source: str
) -> tuple[np.ndarray, np.ndarray]:
    # Shapes come before the values are read: a small file can claim a huge array.
    expected = [(3, 3, layer.in_channels, layer.channels), (layer.channels,)]
    received = [array.shape for array in arrays]
    if received != expected:
        raise InputError(
            f"{source} is not VGG-19's: {layer.name} needs arrays of shapes {expected}. "
            f"Received: {received}"
        )
    with np.errstate(over="ignore"):
        kernel, bias = (array[()].astype(np.float32) for array in arrays)
    if not (np.isfinite(kernel).all() and np.isfinite(bias).all()):
        raise InputError(f"{source} holds values of {layer.name} that are not finite floats.")
    return kernel, bias


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
