"""The convolution op against TensorFlow's own: values, gradients, and where it steps aside."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_style.errors import InputError
from tf_style.network.conv_relu import ConvRelu2D
from tf_style.ops import library
from tf_style.ops.library import kernel_info

pytestmark = pytest.mark.skipif(kernel_info().kernel != "custom", reason=kernel_info().reason)

# Measured, of the relative norm of the difference to float64: float32 4e-7, bfloat16 0.0043, which is
# what rounding inputs, filters and results to 8 bits comes to.
BOUNDS = {"float32": 1e-6, "bfloat16": 0.006}
SHAPES = [
    (1, 7, 9, 16, 32),
    (2, 1, 1, 16, 16),
    (1, 33, 20, 128, 192),
    (3, 16, 30, 64, 128),
    # The first layer's op.
    (1, 1, 1, 3, 16),
    (2, 19, 70, 3, 64),
    (1, 33, 32, 3, 48),
]


def relative(a, b) -> float:
    a, b = (np.asarray(tf.cast(x, tf.float64)) for x in (a, b))
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def make(shape, precision, kernel="custom", padding="same"):
    """A layer, its input, and the same in float64."""
    batch, height, width, channels, out = shape
    generator = np.random.default_rng(0)
    filters = np.float32(generator.standard_normal((3, 3, channels, out)))
    bias = np.float32(generator.standard_normal(out))
    layer = ConvRelu2D(
        out, padding=padding, kernel=kernel, name="layer", precision=precision, in_float32=channels == 3
    )
    layer.build((None, None, None, channels))
    layer.load(filters, bias)
    of_x = "float32" if channels == 3 else precision
    x = tf.cast(generator.standard_normal((batch, height, width, channels)), of_x)
    upstream = tf.cast(generator.standard_normal((batch, height, width, out)), precision)
    return layer, x, upstream, filters, bias


@pytest.mark.parametrize("precision", BOUNDS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("in_graph", [False, True])
def test_value_and_gradient(shape, precision, in_graph):
    layer, x, upstream, filters, bias = make(shape, precision)

    def both(x, upstream):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
        return y, tape.gradient(y, x, upstream)

    if in_graph:
        unknown = tf.TensorSpec([None, None, None, shape[3]], x.dtype)
        upstreams = tf.TensorSpec([None, None, None, shape[4]], precision)
        both = tf.function(both, input_signature=[unknown, upstreams])
    y, gradient = both(x, upstream)
    assert y.dtype == precision
    assert gradient.dtype == x.dtype
    exact = tf.cast(x, tf.float64)
    plain = tf.nn.conv2d(exact, np.float64(filters), 1, "SAME") + np.float64(bias)
    assert relative(y, tf.nn.relu(plain)) < BOUNDS[precision]
    # The layer's own signs: near zero rounding decides on them.
    gated = tf.where(y > 0, tf.cast(upstream, tf.float64), 0)
    expected = tf.nn.conv2d_transpose(gated, np.float64(filters), x.shape, 1, "SAME")
    assert relative(gradient, expected) < BOUNDS[precision]


def test_the_first_layer_without_a_border():
    layer, x, upstream, filters, bias = make((1, 12, 40, 3, 32), "float32", padding="valid")
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
    exact = tf.cast(x, tf.float64)
    assert relative(y, tf.nn.relu(tf.nn.conv2d(exact, np.float64(filters), 1, "VALID") + bias)) < 1e-6
    gated = tf.where(y > 0, tf.cast(upstream[:, 1:-1, 1:-1], tf.float64), 0)
    expected = tf.nn.conv2d_transpose(gated, np.float64(filters), x.shape, 1, "VALID")
    assert relative(tape.gradient(y, x, upstream[:, 1:-1, 1:-1]), expected) < 1e-6


@pytest.mark.parametrize("precision", BOUNDS)
@pytest.mark.parametrize("channels", [3, 64])
def test_the_bits_do_not_depend_on_the_batch(precision, channels):
    layer, x, *_ = make((3, 12, 17, channels, 64), precision)
    together = layer(x)
    for index in range(3):
        np.testing.assert_array_equal(layer(x[index : index + 1])[0], together[index])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_infinity_propagate(value):
    layer, x, *_ = make((1, 6, 6, 16, 16), "float32")
    x = tf.tensor_scatter_nd_update(x, [[0, 2, 2, 5]], [value])
    assert not np.all(np.isfinite(layer(x)[0, 2, 2]))


def test_it_steps_aside():
    shape = (1, 8, 8, 16, 16)
    names = set()
    for channels, padding, kernel in (
        (16, "same", "stock"),
        (16, "valid", "auto"),
        (5, "same", "auto"),
    ):
        layer, x, *_ = make((*shape[:3], channels, 16), "float32", kernel, padding)
        graph = tf.function(layer).get_concrete_function(tf.TensorSpec(x.shape))
        names |= {operation.type for operation in graph.graph.get_operations()}
    assert not any(name.startswith("TfStyle>") for name in names)
    layer, x, *_ = make(shape, "float32")
    compiled = tf.function(make(shape, "float32", "auto")[0], jit_compile=True)
    # Float32's rounding in another order.
    assert relative(compiled(x), layer(x)) < BOUNDS["float32"]


def test_there_is_no_second_derivative():
    layer, x, *_ = make((1, 8, 8, 16, 16), "float32")
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = tf.reduce_sum(tf.square(layer(x)))
        gradient = inner.gradient(y, x)
    with pytest.raises(LookupError, match="ConvReluGradient"):
        outer.gradient(gradient, x)


@pytest.mark.parametrize(("channels", "padding"), [(16, "valid"), (5, "same")])
def test_custom_is_an_error_for_what_the_op_does_not_take(channels, padding):
    layer, x, *_ = make((1, 8, 8, channels, 16), "float32", "custom", padding)
    with pytest.raises(InputError, match=f"Received: {channels} to 16 channels .* '{padding}'"):
        layer(x)


def test_the_device_in_use_decides(monkeypatch):
    """A network made on a machine with a GPU, wherever, runs this package's ops on the CPU."""
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: [f"the {kind}"])
    monkeypatch.setattr(library, "_problem_of_gpu", lambda gpu: "it is not there")
    for channels in (3, 16):
        shape = (1, 8, 8, channels, 16)
        layer, x, *_ = make(shape, "float32", "auto")
        names = {}
        for scope in (None, "/CPU:0"):
            with tf.device(scope):
                graph = tf.function(lambda x, layer=layer: layer(x)).get_concrete_function(x)
            names[scope] = {operation.type for operation in graph.graph.get_operations()}
        assert "Conv2D" in names[None]
        assert "Conv2D" not in names["/CPU:0"]
        assert any(name.startswith("TfStyle>") for name in names["/CPU:0"])
        custom, *_ = make(shape, "float32", "custom")
        with pytest.raises(InputError, match="for the CPU only"):
            custom(x)
        with tf.device("/CPU:0"):
            assert relative(custom(x), layer(x)) == 0


@pytest.mark.parametrize("channels", [3, 16])
def test_a_layer_made_in_a_function_serves_outside_of_it(channels):
    layers = []

    @tf.function
    def run(x):
        if not layers:
            layers.append(make((1, 8, 8, channels, 16), "float32")[0])
        return layers[0](x)

    _, x, *_ = make((1, 8, 8, channels, 16), "float32")
    np.testing.assert_array_equal(run(x), layers[0](x))


def test_channels_that_a_graph_does_not_know():
    layer, x, upstream, *_ = make((1, 7, 9, 16, 32), "float32")

    def both(x, upstream):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
        return tape.gradient(y, x, upstream)

    unknown = tf.function(both, input_signature=[tf.TensorSpec([None] * 4), tf.TensorSpec([None] * 4)])
    np.testing.assert_array_equal(unknown(x, upstream), both(x, upstream))


def test_weights_cannot_change_behind_packed_ones():
    layer, x, *_ = make((1, 8, 8, 16, 16), "float32")
    before = layer(x)
    for change in (
        lambda: layer.set_weights([2 * array for array in layer.get_weights()]),
        lambda: layer.kernel.assign(tf.zeros_like(layer.kernel)),
        lambda: layer.bias.assign(tf.zeros_like(layer.bias)),
        lambda: keras.Sequential([layer]).set_weights(layer.get_weights()),
    ):
        with pytest.raises(InputError, match="weights of layer 'layer' cannot change"):
            change()
    np.testing.assert_array_equal(layer(x), before)


def test_weights_of_a_stock_layer_can_change():
    layer, x, *_ = make((1, 8, 8, 16, 16), "float32", "stock")
    layer.set_weights([0 * array for array in layer.get_weights()])
    np.testing.assert_array_equal(layer(x), tf.zeros_like(layer(x)))
