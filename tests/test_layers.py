"""Keras layers and losses: values, conventions, training."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from tf_style import (
    PRESETS,
    ContentLoss,
    Features,
    GramMatrix,
    Guides,
    InputError,
    Objective,
    PerceptualLoss,
    StyleLoss,
    VggFeatures,
    read_image,
)
from tf_style.images.picture import resize
from tf_style.network import weights
from tf_style.network.architecture import layers_up_to

ROOT = pathlib.Path(__file__).parent.parent
STYLE = str(ROOT / "examples" / "style.jpg")
PRESET = PRESETS["gatys2016"]


@pytest.fixture(scope="module")
def pictures():
    paths = ("chelsea.jpg", "coffee.jpg")
    return np.stack([resize(read_image(ROOT / "examples" / path).pixels, 32, 48) for path in paths])


@pytest.fixture(scope="module")
def features():
    arrays = weights.load("embedded", layers_up_to(PRESET.layers), normalize_for="average")
    return Features(PRESET, arrays)


def remade(thing):
    """Through Keras's own serialisation, by registered name."""
    if isinstance(thing, keras.losses.Loss):
        return keras.losses.deserialize(keras.losses.serialize(thing))
    return keras.layers.deserialize(keras.layers.serialize(thing))


@pytest.mark.parametrize("make", [lambda x: x, remade])
def test_the_networks_activations(features, pictures, make):
    layer = make(VggFeatures())
    expected = features(255 * tf.constant(pictures))
    found = layer(pictures)
    assert set(found) == set(expected)
    for name, activations in expected.items():
        # The layer convolves by TensorFlow's operations; measured, of values up to 30: 4e-5.
        np.testing.assert_allclose(found[name], activations, rtol=1e-5, atol=1e-4)
    assert not layer.trainable_weights


def test_a_dtype_policy_is_the_networks_precision(pictures):
    layer = VggFeatures(("conv1_1",), dtype="mixed_bfloat16")
    exact = VggFeatures(("conv1_1",))(pictures)["conv1_1"]
    rounded = layer(pictures)["conv1_1"]
    assert rounded.dtype == tf.bfloat16
    # The first layer multiplies in float32 what was not rounded before: one rounding, at its end.
    np.testing.assert_array_equal(
        tf.cast(rounded, tf.float32), tf.cast(tf.cast(exact, tf.bfloat16), tf.float32)
    )
    with pytest.raises(InputError, match="float32 or bfloat16"):
        VggFeatures(dtype="float16")


def test_a_pooling_gain_is_above_0():
    for gain in (0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="pooling_gain is a number above 0"):
            VggFeatures(("conv2_1",), pooling_gain=gain)


@pytest.mark.parametrize("layer", [VggFeatures, GramMatrix, Guides])
def test_channels_first_is_refused_clearly(layer):
    with pytest.raises(InputError, match="channels_last"):
        layer(data_format="channels_first")


@pytest.mark.parametrize("make", [lambda x: x, remade])
def test_gram_matrices_are_means_over_positions(make):
    x = np.random.default_rng(0).standard_normal((2, 5, 7, 16)).astype(np.float32)
    flat = x.reshape(2, 35, 16)
    gram = np.einsum("bpi,bpj->bij", flat, flat)
    # 35 products of float32 near 1.
    np.testing.assert_allclose(make(GramMatrix())(x), gram / 35, atol=1e-5)
    np.testing.assert_allclose(make(GramMatrix(normalize=False))(x), gram, atol=1e-4)


def test_in_a_functional_model():
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, GramMatrix()(VggFeatures(("conv2_1",))(inputs)["conv2_1"]))
    assert model.output_shape == (None, 128, 128)
    assert model(np.zeros([2, 20, 24, 3], np.float32)).shape == (2, 128, 128)


def test_a_model_of_the_layers_is_exported_in_stock_operations(tmp_path):
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, GramMatrix()(VggFeatures(("conv1_2",))(inputs)["conv1_2"]))
    model.export(str(tmp_path), verbose=False)
    saved = saved_model_pb2.SavedModel.FromString((tmp_path / "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0].graph_def
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    assert "Conv2D" in {node.op for node in nodes}
    assert not [node.op for node in nodes if "TfStyle" in node.op]


def weighted_moments(activations, weights):
    """Mean, covariance and Gram matrix over positions, float64."""
    positions = np.float64(activations).reshape(-1, activations.shape[-1])
    share = np.float64(weights).ravel() / np.sum(weights, dtype=np.float64)
    mean = share @ positions
    return mean, (share * (positions - mean).T) @ (positions - mean), (share * positions.T) @ positions


@pytest.mark.parametrize("make", [lambda x: x, remade])
def test_guides_say_where_a_style_is_taken(pictures, make):
    layers = ("conv1_1", "conv2_1")
    masks = np.float32(np.arange(48) < 24)[np.newaxis, np.newaxis, :, np.newaxis].repeat(32, 1)
    guides = make(Guides(layers))(masks)
    activations = VggFeatures(layers)(pictures[:1])
    for name in layers:
        weights = np.square(guides[name].numpy())
        assert weights.mean() == pytest.approx(1, rel=1e-5)
        mean, covariance, gram = weighted_moments(activations[name].numpy(), weights)
        found = make(GramMatrix())(activations[name], guides[name])
        # float32's sums of hundreds of products.
        np.testing.assert_allclose(found[0], gram, atol=1e-5 * np.trace(gram))
        # A style that is taken where the picture's is, is the same.
        for statistic, scale in (("gram", np.sum(gram**2)), ("moments", 2 * np.trace(covariance))):
            loss = make(StyleLoss(statistic=statistic))
            itself = (activations[name], guides[name])
            floor = float(loss(itself, itself)) * (len(gram) ** 2 if statistic == "gram" else len(gram))
            assert floor < 1e-5 * scale
            assert float(loss(itself, activations[name])) > 10 * float(loss(itself, itself))


@pytest.mark.parametrize(
    "masks", [np.full((1, 32, 48, 1), np.nan), np.full((1, 32, 48, 1), 255.0), np.zeros((1, 32, 48, 3))]
)
def test_masks_that_are_no_weights_are_refused(pictures, masks):
    with pytest.raises(InputError, match=r"Masks are \[batch, height, width, 1\] and in 0..1"):
        Guides(("conv1_1",))(np.float32(masks))
    if masks.shape[-1] == 1:
        loss, y_true = PerceptualLoss(STYLE, size=64), np.concatenate([pictures[:1], masks], axis=-1)
        with pytest.raises(InputError, match="Masks are"):
            loss(y_true, pictures[:1])


def test_a_mask_of_unknown_channels_is_not_left_out(pictures):
    loss = PerceptualLoss(STYLE, size=64)
    traced = tf.function(loss.call, input_signature=[tf.TensorSpec([None] * 4)] * 2)
    assert np.isfinite(traced(pictures, pictures)).all()
    with pytest.raises(tf.errors.InvalidArgumentError):
        traced(np.concatenate([pictures, pictures[..., :1]], axis=-1), pictures)


@pytest.mark.parametrize("preset", ["gatys2016", "painterly"])
def test_a_perceptual_loss_takes_a_mask_beside_the_content(pictures, preset):
    """White everywhere it is the loss without one, and black the content's part alone."""
    loss = PerceptualLoss(STYLE, size=64, preset=preset, tv_weight=0.0)
    pictures = tf.constant(pictures)
    white, black = tf.ones_like(pictures[..., :1]), tf.zeros_like(pictures[..., :1])
    changed = tf.reverse(pictures, [2])
    plain = float(loss(pictures, changed))
    assert float(loss(tf.concat([pictures, white], -1), changed)) == pytest.approx(plain, rel=1e-4)
    masked = tf.concat([pictures, black], -1)
    assert float(loss(masked, pictures)) == 0
    assert float(loss(masked, changed)) > 0
    half = tf.concat([pictures, tf.concat([white[:, :, :24], black[:, :, 24:]], 2)], -1)
    with tf.GradientTape() as tape:
        tape.watch(pictures)
        value = loss(half, pictures)
    gradient = tf.reduce_max(tf.abs(tape.gradient(value, pictures)), [0, 1, 3]).numpy()
    assert gradient[44:].max() < 0.1 * gradient[:20].max()


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_activations_of_other_dtypes_are_summed_in_float32(dtype):
    x = np.random.default_rng(0).uniform(0, 200, (1, 30, 40, 16)).astype(dtype)
    found = GramMatrix(normalize=False)(x)
    assert found.dtype == tf.float32
    flat = np.float64(x).reshape(1200, 16)
    # Beyond float16's 65504; sums of 1200 products in float32.
    np.testing.assert_allclose(found[0], flat.T @ flat, rtol=1e-5)


def test_pixels_on_another_scale_are_refused(pictures):
    layer = VggFeatures(("conv1_1",))
    loss = PerceptualLoss(np.uint8(255 * pictures[0]), size=None, **SHALLOW)
    for use in (layer, lambda x: loss(x, pictures), lambda x: loss(pictures, x)):
        with pytest.raises(InputError, match=r"in 0\.\.1: divide"):
            use(255 * pictures)
    with pytest.raises(InputError, match="Received: dtype=uint8"):
        layer(np.uint8(255 * pictures))
    # What a network makes at first may be anything.
    assert np.isfinite(loss(pictures, 3 * pictures - 1))


@pytest.mark.parametrize("make", [lambda x: x, remade])
def test_the_parts_make_up_the_objective(features, pictures, make):
    content, image = pictures[:1], pictures[1:]
    style = resize(read_image(STYLE).pixels, 40, 40)[np.newaxis]
    objective = Objective(features, PRESET, content=255.0 * content, styles=[255.0 * style])
    expected = objective.parts(tf.constant(255 * image))[0].numpy()
    network = VggFeatures()
    of_content, of_style, of_image = (network(x) for x in (content, style, image))
    content_loss = make(ContentLoss(PRESET.content_weight))
    style_loss = make(StyleLoss(PRESET.style_weight / 5))
    # The same sums in float32.
    found = content_loss(of_content["conv4_2"], of_image["conv4_2"])
    assert float(found) == pytest.approx(expected[0], rel=1e-4)
    for target in (lambda x: x, GramMatrix()):
        found = sum(
            float(style_loss(target(of_style[name]), of_image[name])) for name in PRESET.style_layers
        )
        assert found == pytest.approx(expected[1], rel=1e-4)


@pytest.mark.parametrize("make", [lambda x: x, remade])
def test_the_parts_make_up_the_objective_of_moments(pictures, make):
    """With the network as trained, average pooling and a pooling gain of 2."""
    preset = dataclasses.replace(PRESETS["painterly"], pooling="average")
    features = Features(preset, weights.load_for(preset, "embedded"))
    content, image = pictures[:1], pictures[1:]
    style = resize(read_image(STYLE).pixels, 40, 40)[np.newaxis]
    objective = Objective(features, preset, content=255.0 * content, styles=[255.0 * style])
    expected = objective.parts(tf.constant(255 * image))[0].numpy()
    network = make(VggFeatures(normalize=False, pooling_gain=2.0))
    of_style, of_image = (network(x) for x in (style, image))
    # The same sums in float32.
    found = 0.0
    for weight, name in zip(preset.layer_weights(), preset.style_layers, strict=True):
        style_loss = make(StyleLoss(weight / 60**2, statistic="moments"))
        scaled = StyleLoss(weight, dataclasses.asdict(preset.style_scale), statistic="moments")
        value = float(style_loss(of_style[name], of_image[name]))
        assert float(make(scaled)(of_style[name], of_image[name])) == pytest.approx(value, rel=1e-5)
        found += value
    assert found == pytest.approx(expected[1], rel=1e-4)


def test_a_style_loss_of_moments_is_stored_as_it_is_and_takes_activations():
    activations = np.random.default_rng(0).uniform(0, 9, (2, 2, 5, 7, 16)).astype(np.float32)
    loss = StyleLoss(2.0, statistic="moments", reduction="none")
    config = json.loads(json.dumps(loss.get_config()))
    assert config["statistic"] == "moments"
    assert (config["scale"]["channels_power"], config["scale"]["positions_power"]) == (1, 0)
    assert remade(loss).get_config() == loss.get_config()
    np.testing.assert_array_equal(remade(loss)(*activations), loss(*activations))
    assert loss(*activations).shape == (2,)
    assert StyleLoss().get_config()["statistic"] == "gram"
    with pytest.raises(InputError, match=r"y_true is the style's activations.*\(2, 16, 16\)"):
        loss(GramMatrix()(activations[0]), activations[1])
    with pytest.raises(InputError, match="statistic is one of gram, moments. Received: 'mean'"):
        StyleLoss(statistic="mean")


@pytest.mark.parametrize("settings", [{"preset": "painterly"}, {"style_statistic": "moments"}])
def test_a_perceptual_loss_of_moments_is_stored_as_it_is(settings, pictures):
    style = np.uint8(255 * resize(read_image(STYLE).pixels, 32, 32))
    loss = PerceptualLoss(style, size=32, strength=0.75, reduction="none", **SHALLOW, **settings)
    stored = json.loads(json.dumps(keras.losses.serialize(loss)))
    again = keras.losses.deserialize(stored)
    # The strength is in the weights, and is not applied again.
    assert again.get_config() == loss.get_config()
    contents, made = pictures, pictures[::-1].copy()
    np.testing.assert_array_equal(again(contents, made), loss(contents, made))
    half = PerceptualLoss(style, size=32, reduction="none", **SHALLOW, **settings)
    assert (half(contents, made) != loss(contents, made)).numpy().all()


@pytest.mark.parametrize("make", [lambda x: x, remade])
def test_perceptual_loss_is_the_objective(features, pictures, make):
    style = np.uint8(255 * resize(read_image(STYLE).pixels, 32, 32))
    loss = make(
        PerceptualLoss(style, size=32, preset="gatys2016", content_weight=3e7, reduction="none")
    )
    preset = PRESET
    objective = Objective(features, preset, content=255.0 * pictures, styles=[np.float32(style)[None]])
    made = pictures[::-1].copy()
    parts = objective.parts(tf.constant(255 * made)).numpy()
    expected = parts @ [3e7 / preset.content_weight, 1, 1]
    np.testing.assert_allclose(loss(pictures, made), expected, rtol=1e-4)


def test_gradients_come_by_autodiff(features, pictures):
    style = np.uint8(255 * resize(read_image(STYLE).pixels, 32, 32))
    loss = PerceptualLoss(style, size=32, preset="gatys2016", reduction="sum")
    objective = Objective(features, PRESET, content=255.0 * pictures, styles=[np.float32(style)[None]])
    made = tf.constant(pictures[::-1].copy())
    with tf.GradientTape() as tape:
        tape.watch(made)
        value = loss(pictures, made)
    _, expected = objective.parts_and_gradient(255 * made)
    scale = 255 * np.abs(expected).max()
    # The same operations; the factor 255 is inside the one and outside the other.
    np.testing.assert_allclose(tape.gradient(value, made), 255 * expected, atol=1e-5 * scale)


# As the version before wrote them, which gave no format, and the losses that it computed.
EARLIER = json.loads((ROOT / "tests" / "data" / "keras_configs_format_1.json").read_text())
SHALLOW = {"content_layers": ("conv2_2",), "style_layers": ("conv1_1", "conv2_1")}


def value(loss) -> float:
    contents, made = np.random.default_rng(1).uniform(0, 1, (2, 1, 16, 20, 3)).astype(np.float32)
    return float(loss(contents, made))


@pytest.mark.parametrize("name", EARLIER["values"])
def test_losses_of_the_earlier_format_mean_what_they_meant(monkeypatch, name):
    for preset, today in PRESETS.items():
        changed = dataclasses.replace(today, content_weight=7.0, pooling="max", normalize=False)
        monkeypatch.setitem(PRESETS, preset, changed)
    loss = keras.losses.deserialize(EARLIER[name])
    # Measured: the same bits on one machine; others sum in another order.
    assert value(loss) == pytest.approx(EARLIER["values"][name], rel=1e-5)
    assert value(remade(loss)) == value(loss)


def test_layers_of_the_earlier_format_are_what_they_were():
    assert keras.layers.deserialize(EARLIER["vgg"]).get_config() == (
        VggFeatures(("conv1_1", "relu2_1"), name="vgg").get_config()
    )
    gram = keras.layers.deserialize(EARLIER["gram"])
    assert gram.get_config() == GramMatrix(name="gram").get_config()
    for name, same in (("content", ContentLoss()), ("style", StyleLoss(0.2))):
        assert keras.losses.deserialize(EARLIER[name]).get_config() == same.get_config()
    scaled = keras.losses.deserialize(EARLIER["style_scaled"]).get_config()
    assert (scaled["weight"], scaled["scale"]["factor"]) == (2.0, 0.25)


def test_a_stored_loss_stays_what_it_was_when_a_preset_changes(monkeypatch):
    style = np.uint8(255 * resize(read_image(STYLE).pixels, 32, 32))
    loss = PerceptualLoss(style, size=32, preset="gatys2016", **SHALLOW)
    stored = json.loads(json.dumps(keras.losses.serialize(loss)))
    changed = dataclasses.replace(PRESET, style_weight=1.0, pooling="max", normalize=False)
    monkeypatch.setitem(PRESETS, "gatys2016", changed)
    assert value(keras.losses.deserialize(stored)) == value(loss)
    assert value(PerceptualLoss(style, size=32, preset="gatys2016", **SHALLOW)) != value(loss)


def test_a_stored_style_is_not_resized_again():
    """A picture of 78 x 9 pixels has an area of 27 * 27 rather than the 26 * 26 that were asked for."""
    style = np.uint8(np.random.default_rng(2).integers(0, 256, (770, 86, 3)))
    layers = {"content_layers": ("conv1_1",), "style_layers": ("conv1_2",)}
    loss = PerceptualLoss(style, size=26, **layers)
    assert remade(loss).get_config() == loss.get_config()
    assert value(remade(loss)) == value(loss)


def test_a_later_format_is_refused():
    for thing in (GramMatrix(), ContentLoss(), PerceptualLoss(STYLE, size=32, **SHALLOW)):
        config = thing.get_config()
        assert config["format"] == 2
        with pytest.raises(InputError, match="format=3"):
            type(thing).from_config({**config, "format": 3})


def test_a_preset_of_ones_own():
    style = np.uint8(255 * resize(read_image(STYLE).pixels, 32, 32))
    preset = dataclasses.replace(PRESET, **SHALLOW, style_weight=3e9)
    own = PerceptualLoss(style, size=32, preset=preset)
    expected = PerceptualLoss(style, size=32, preset="gatys2016", style_weight=3e9, **SHALLOW)
    assert value(own) == value(expected)
    with pytest.raises(InputError, match="style_weight beside preset"):
        PerceptualLoss(style, size=32, preset=preset, style_weight=1.0)


def test_a_style_that_is_too_small_is_refused():
    with pytest.raises(InputError, match="A style image of 8 x 8 pixels is too small"):
        PerceptualLoss(np.zeros((20, 20, 3)), size=8)


def test_asking_for_one_registers_all_with_keras():
    code = f"""
import json, keras, tf_style
tf_style.VggFeatures
stored = json.load(open({str(ROOT / "tests" / "data" / "keras_configs_format_1.json")!r}))
keras.losses.deserialize(stored["style"])
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def transformer():
    """A small feed-forward network from pictures to pictures."""
    inputs = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(16, 5, padding="same", activation="relu")(inputs)
    x = keras.layers.Conv2D(16, 3, padding="same", activation="relu")(x)
    change = keras.layers.Conv2D(3, 3, padding="same", kernel_initializer="zeros")(x)
    return keras.Model(inputs, inputs + change)


@pytest.mark.parametrize(
    ("jit_compile", "preset"),
    [(False, "gatys2016"), ("auto", "gatys2016"), (False, "painterly"), ("auto", "painterly")],
)
def test_a_network_learns_from_it(pictures, jit_compile, preset):
    keras.utils.set_random_seed(0)
    model = transformer()
    loss = PerceptualLoss(STYLE, size=40, preset=preset)
    model.compile(keras.optimizers.Adam(0.001), loss, jit_compile=jit_compile)
    history = model.fit(pictures, pictures, epochs=12, batch_size=2, verbose=0).history["loss"]
    assert history[-1] < 0.98 * history[0]


TWO_REPLICAS = """
import sys
import keras, numpy, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from test_layers import STYLE, transformer
from tf_style import PerceptualLoss
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert strategy.num_replicas_in_sync == 2
pictures = numpy.load(sys.argv[1])
with strategy.scope():
    keras.utils.set_random_seed(0)
    model = transformer()
    loss = PerceptualLoss(STYLE, size=40)
    model.compile(keras.optimizers.Adam(0.001), loss, jit_compile=False)
dataset = tf.data.Dataset.from_tensor_slices((pictures, pictures)).repeat(2).batch(2)
losses = model.fit(dataset, epochs=8, verbose=0).history["loss"]
assert losses[-1] < 0.98 * losses[0], losses
"""


def test_two_replicas_train_together(tmp_path, pictures):
    np.save(tmp_path / "pictures.npy", pictures)
    done = subprocess.run(
        [sys.executable, "-c", TWO_REPLICAS, str(tmp_path / "pictures.npy")],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
