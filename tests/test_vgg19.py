"""VGG-19 against Keras's own, against NumPy, and the claims of section 2 of the paper."""

import dataclasses
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_style
from tf_style import PRESETS, Features
from tf_style.network import weights
from tf_style.network.architecture import LAYERS, find_layer, layers_up_to
from tf_style.network.vgg19 import MEAN_BGR, build_features, preprocess

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"
SHALLOW = ("conv1_1", "conv1_2", "conv2_1", "conv2_2")


@pytest.fixture(scope="module")
def photographs():
    """Crops of the shipped photographs, [16, 96, 96, 3], 0..255."""
    crops = []
    for name in ("chelsea", "coffee"):
        pixels = 255.0 * tf_style.read_image(EXAMPLES / f"{name}.jpg").pixels
        for y in (0, 150):
            for x in (0, 100, 200, 300):
                crops.append(pixels[y : y + 96, x : x + 96])
    return tf.constant(np.stack(crops), tf.float32)


def features(images, names, *, normalize_for=None, padding="replicate", precision="float32", **options):
    arrays = options.pop("arrays", None) or weights.load(
        "embedded", layers_up_to(names), normalize_for=normalize_for
    )
    model = build_features(names, arrays, padding=padding, precision=precision, **options)
    return {
        name: activations.numpy().astype(np.float64)
        for name, activations in model(preprocess(images, padding=padding)).items()
    }


def assert_close(received, expected):
    # float32, convolutions summed in other orders: 1e-5 of the largest activation, measured 2e-6.
    np.testing.assert_allclose(received, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_equals_keras_applications_with_its_pooling_and_padding(photographs):
    names = ("conv1_1", "conv2_2", "conv3_4", "conv5_4")
    images = photographs[:2]
    received = features(images, names, pooling="max", padding="zero")
    theirs = keras.applications.VGG19(include_top=False, weights=None)
    for name, arrays in weights.load("embedded").items():
        theirs.get_layer(name).set_weights(arrays)
    outputs = [theirs.get_layer(f"block{name[4]}_conv{name[6]}").output for name in names]
    expected = keras.Model(theirs.input, outputs)(
        keras.applications.vgg19.preprocess_input(images.numpy().copy())
    )
    for name, activations in zip(names, expected, strict=True):
        assert_close(received[name], activations.numpy())


def numpy_convolution(x, kernel, bias):
    """With ReLU, without padding, in float64."""
    height, width = x.shape[0] - 2, x.shape[1] - 2
    total = np.zeros((height, width, kernel.shape[3]))
    for dy in range(3):
        for dx in range(3):
            total += x[dy : dy + height, dx : dx + width] @ kernel[dy, dx].astype(np.float64)
    return np.maximum(total + bias, 0)


@pytest.mark.parametrize("padding", ["replicate", "zero"])
def test_equals_numpy_with_average_pooling(photographs, padding):
    image = photographs[0, :32, :24].numpy()
    received = features(image[np.newaxis], SHALLOW[:3], padding=padding)
    arrays = weights.load("embedded", LAYERS[:3])
    x = image[..., ::-1].astype(np.float64) - MEAN_BGR
    mode = {"replicate": "edge", "zero": "constant"}[padding]
    first = numpy_convolution(np.pad(x, ((1, 1), (1, 1), (0, 0)), mode=mode), *arrays["block1_conv1"])
    second = numpy_convolution(np.pad(first, ((1, 1), (1, 1), (0, 0))), *arrays["block1_conv2"])
    pooled = second.reshape(16, 2, 12, 2, 64).mean(axis=(1, 3))
    third = numpy_convolution(np.pad(pooled, ((1, 1), (1, 1), (0, 0))), *arrays["block2_conv1"])
    for name, expected in zip(SHALLOW, (first, second, third), strict=False):
        assert_close(received[name][0], expected)


@pytest.mark.parametrize("gain", [2.0, 0.5])
def test_a_pooling_gain_multiplies_each_poolings_output(photographs, gain):
    names = ("conv1_2", "conv2_1", "conv3_4", "conv4_2", "conv5_1")
    options = {"pooling": "average", "pooling_gain": gain, "content_layers": names}
    spec = dataclasses.replace(PRESETS["painterly"], style_layers=(), **options)
    images = photographs[:1, :48, :64]
    received = Features(spec, weights.load_for(spec, "embedded"))(images)
    x = preprocess(images, padding="replicate")
    for layer, (kernel, bias) in weights.load("embedded", layers_up_to(names)).items():
        if layer.endswith("conv1") and layer != "block1_conv1":
            x = gain * tf.nn.avg_pool2d(x, 2, 2, "VALID")
        x = tf.nn.conv2d(x, kernel, 1, "VALID" if layer == "block1_conv1" else "SAME")
        x = tf.nn.relu(x + bias)
        for name in names:
            if find_layer(name).name == layer:
                # The bound is of float32 sums in another order; measured 2e-6 of the largest.
                np.testing.assert_allclose(received[name], x, rtol=0, atol=1e-5 * x.numpy().max())


def test_a_pooling_gain_is_of_average_pooling_alone_and_of_load_for():
    spec = dataclasses.replace(PRESETS["painterly"], content_layers=("conv3_1",), style_layers=())
    plain = weights.load("embedded", layers_up_to(spec.layers))
    changed = {
        pooling: {
            name
            for name, arrays in weights.load_for(
                dataclasses.replace(spec, pooling=pooling), "embedded"
            ).items()
            if not all(map(np.array_equal, arrays, plain[name]))
        }
        for pooling in ("average", "max")
    }
    assert changed == {"average": {"block2_conv1", "block3_conv1"}, "max": set()}


def test_activations_do_not_depend_on_the_cut(photographs):
    deep = features(photographs[:2], ("conv1_2", "conv2_2", "conv4_1"))
    for name in ("conv1_2", "conv2_2"):
        np.testing.assert_array_equal(features(photographs[:2], (name,))[name], deep[name])


def test_each_layer_has_three_names(photographs):
    for layer in LAYERS:
        block, index = layer.name[5], layer.name[-1]
        names = [f"conv{block}_{index}", f"relu{block}_{index}", layer.name]
        model = build_features(names, weights.load("embedded", layers_up_to(names)))
        assert len({id(model.output[name]) for name in names}) == 1
        assert model.output[names[0]].shape[-1] == layer.channels


@pytest.mark.parametrize("pooling", ["average", "max"])
def test_normalised_outputs_are_the_unnormalised_ones_up_to_their_scale(photographs, pooling):
    names = [layer.name for layer in LAYERS]
    plain = features(photographs[:2], names, pooling=pooling)
    normalized = features(photographs[:2], names, pooling=pooling, normalize_for=pooling)
    for name, means in weights.mean_activations(pooling).items():
        expected = plain[name] / means
        # The deepest layers sum over 16 roundings of their weights: measured 2e-6 of the largest value.
        np.testing.assert_allclose(
            normalized[name], expected, rtol=0, atol=1e-5 * np.abs(expected).max()
        )


def test_each_filters_mean_activation_over_the_set_that_it_was_normalised_for_is_one(photographs):
    layers = LAYERS[:9]
    names = [layer.name for layer in layers]
    arrays = weights.load("embedded", layers)
    means = {
        name: activations.mean(axis=(0, 1, 2)).astype(np.float32)
        for name, activations in features(photographs, names, arrays=arrays).items()
    }
    # A filter that no crop excites has no mean to divide by; on 1000 photographs there is none.
    means = {name: np.where(values > 0, values, 1).astype("f4") for name, values in means.items()}
    normalized = features(photographs, names, arrays=weights.normalize(arrays, means))
    for activations in normalized.values():
        received = activations.mean(axis=(0, 1, 2))
        # Measured 8e-7: float32 rounding of nine layers.
        np.testing.assert_allclose(received[received > 0], 1.0, atol=1e-5)


def test_shipped_means_suit_other_photographs(photographs):
    names = [layer.name for layer in LAYERS[:13]]
    activations = features(photographs, names, normalize_for="average")
    for name in names:
        # Crops of two pictures are a small sample: the median filter's mean was measured between 0.66
        # and 0.99, and without normalisation between 9 and 193.
        assert 0.5 < np.median(activations[name].mean(axis=(0, 1, 2))) < 1.5


def test_bfloat16_stays_near_float32(photographs):
    names = ("conv1_1", "conv3_1", "conv5_1")
    exact = features(photographs[:4], names, normalize_for="average")
    rounded = features(photographs[:4], names, normalize_for="average", precision="bfloat16")
    for name in names:
        error = np.linalg.norm(rounded[name] - exact[name]) / np.linalg.norm(exact[name])
        # 8 bits round by up to 0.4 percent, thirteen layers deep: measured up to 0.8 percent.
        assert 0 < error < 0.02
