"""The objective against the paper's equations in NumPy float64, and against finite differences."""

import dataclasses

import numpy as np
import pytest
import reference
import tensorflow as tf

from tf_style import PRESETS, Features
from tf_style.network.weights import load_for
from tf_style.objective.objective import Objective
from tf_style.objective.presets import MEAN, MEAN_GRAM, MEAN_MOMENTS, Preset, Scale
from tf_style.objective.scales import style_scales
from tf_style.ops.gram import gram_loss

CHANNELS = (5, 7)
# The paper's factors, as in the preset `paper-literal`, with layers of the small network below.
PRESET = Preset(
    source="the paper",
    content_weight=0.3,
    style_weight=2.0,
    content_scale=Scale(1 / 2, 0, 0),
    style_scale=Scale(1 / 4, 2, 2),
    content_layers=("second",),
    style_layers=("first", "second"),
    style_layer_weights=(0.75, 0.25),
)
# Measured: 2e-6 in the loss, whose style part is a difference of large Gram matrices, and 3e-7
# in the gradient, both in float32.
RTOL = 1e-5


@pytest.fixture
def network():
    return reference.Network(CHANNELS, seed=1)


@pytest.fixture
def pictures():
    generator = np.random.default_rng(2)
    return {
        "image": generator.uniform(0, 255, (12, 16, 3)),
        "content": generator.uniform(0, 255, (12, 16, 3)),
        "style": generator.uniform(0, 255, (12, 16, 3)),
        "other_style": generator.uniform(0, 255, (8, 10, 3)),
    }


class TensorflowNetwork:
    """`reference.Network` in TensorFlow, standing where VGG-19 stands."""

    def __init__(self, network):
        self._filters = [tf.constant(filters, tf.float32) for filters in network.filters]

    def __call__(self, images):
        first = tf.nn.relu(images @ self._filters[0])
        second = tf.nn.relu(tf.nn.avg_pool2d(first, 2, 2, "VALID") @ self._filters[1])
        return {"first": first, "second": second}


def batch(picture):
    return tf.constant(picture[np.newaxis], tf.float32)


def make(network, pictures, preset=PRESET, styles=("style",), blend=None):
    return Objective(
        TensorflowNetwork(network),
        preset,
        content=batch(pictures["content"]),
        styles=[batch(pictures[name]) for name in styles],
        blend=blend,
    )


def flat(features):
    return features.reshape(-1, features.shape[-1])


def paper_losses_and_gradient(network, pictures):
    """Equations 1 to 7 as they stand: alpha * L_content + beta * sum{ w_l * E_l }."""
    activations = network.activations(pictures["image"])
    content = flat(network.activations(pictures["content"])[1])
    grams = [reference.gram(flat(a)) for a in network.activations(pictures["style"])]
    alpha, beta = PRESET.content_weight, PRESET.style_weight
    weights = PRESET.style_layer_weights

    content_loss = alpha * reference.content_loss(flat(activations[1]), content)
    style_loss = beta * sum(
        weight * reference.layer_style_loss(flat(layer), gram)
        for weight, layer, gram in zip(weights, activations, grams, strict=True)
    )
    gradients = [
        beta * weight * reference.layer_style_gradient(flat(layer), gram)
        for weight, layer, gram in zip(weights, activations, grams, strict=True)
    ]
    gradients[1] += alpha * reference.content_gradient(flat(activations[1]), content)
    gradients = [
        gradient.reshape(layer.shape) for gradient, layer in zip(gradients, activations, strict=True)
    ]
    return content_loss, style_loss, network.image_gradient(pictures["image"], gradients)


def test_equals_the_papers_equations(network, pictures):
    content, style, gradient = paper_losses_and_gradient(network, pictures)
    parts, received = make(network, pictures).parts_and_gradient(batch(pictures["image"]))
    np.testing.assert_allclose(parts, [[content, style, 0.0]], rtol=RTOL)
    np.testing.assert_allclose(received[0], gradient, rtol=0, atol=RTOL * np.abs(gradient).max())


def test_the_papers_gradient_equals_finite_differences(network, pictures):
    """Of the reference itself, in float64, along random directions."""

    def loss(image):
        content, style, _ = paper_losses_and_gradient(network, pictures | {"image": image})
        return content + style

    _, _, gradient = paper_losses_and_gradient(network, pictures)
    generator = np.random.default_rng(3)
    # The loss is a quartic where no ReLU switches, which steps of 1e-5 levels make unlikely:
    # the error of a central difference is then rounding, 1e-16 / 1e-5 of the loss, and a share of 1e-10
    # from the third derivative.
    step = 1e-5
    for _ in range(5):
        direction = generator.normal(size=gradient.shape)
        image = pictures["image"]
        difference = (loss(image + step * direction) - loss(image - step * direction)) / (2 * step)
        bound = 1e-10 * loss(image) + 1e-6 * abs(difference)
        assert abs(difference - np.sum(gradient * direction)) < bound


def test_the_gradient_at_a_layer_is_zero_where_the_activation_is():
    generator = np.random.default_rng(4)
    before = tf.constant(generator.normal(size=(1, 6, 5, 4)), tf.float32)
    target = generator.normal(size=(1, 4, 4))
    target = tf.constant(target + target.transpose(0, 2, 1), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(before)
        activations = tf.nn.relu(before)
        loss = tf.reduce_sum(gram_loss(activations, target, 0.5))
        loss += tf.reduce_sum((activations - 1.0) ** 2)
    gradient = tape.gradient(loss, before).numpy()
    is_silent = activations.numpy() == 0
    assert 0 < is_silent.sum() < is_silent.size
    assert (gradient[is_silent] == 0).all()
    assert (gradient[~is_silent] != 0).all()


def test_a_style_of_another_size_counts_by_its_mean_over_positions(network, pictures):
    """A style image tiled to twice its size has the same mean Gram matrix, and so the same loss."""
    tiled = pictures | {"style": np.tile(pictures["style"], (2, 1, 1))}
    image = batch(pictures["image"])
    once, once_gradient = make(network, pictures).parts_and_gradient(image)
    twice, twice_gradient = make(network, tiled).parts_and_gradient(image)
    np.testing.assert_allclose(once, twice, rtol=RTOL)
    np.testing.assert_allclose(
        once_gradient, twice_gradient, rtol=0, atol=RTOL * np.abs(once_gradient).max()
    )


def test_blended_styles_have_the_gradient_of_the_weighted_sum_of_their_losses(network, pictures):
    image = batch(pictures["image"])
    preset = dataclasses.replace(PRESET, content_layers=())
    separate = [
        make(network, pictures, preset, (name,)).parts_and_gradient(image)
        for name in ("style", "other_style")
    ]
    blended = make(
        network, pictures, preset, ("style", "other_style"), blend=(3.0, 1.0)
    ).parts_and_gradient(image)
    expected = 0.75 * separate[0][1] + 0.25 * separate[1][1]
    np.testing.assert_allclose(blended[1], expected, rtol=0, atol=RTOL * np.abs(expected).max())
    # The constant that the blend's loss lacks: the spread of the targets, which is positive.
    assert blended[0][0, 1] < 0.75 * separate[0][0][0, 1] + 0.25 * separate[1][0][0, 1]


def test_content_and_style_are_zero_at_their_own_images(network, pictures):
    objective = make(network, pictures)
    at_content, _ = objective.parts_and_gradient(batch(pictures["content"]))
    at_style, _ = objective.parts_and_gradient(batch(pictures["style"]))
    assert at_content[0, 0] == 0
    # Dividing by M and multiplying again may cost the last bit of each entry of the Gram matrix.
    assert 0 <= at_style[0, 1] < 1e-12 * at_content[0, 1]


@pytest.mark.parametrize(
    ("exponent", "scale", "expected"),
    [
        (2, "sum", lambda dy, dx: np.sum(dy**2) + np.sum(dx**2)),
        (1, "sum", lambda dy, dx: np.sum(np.abs(dy)) + np.sum(np.abs(dx))),
        (2, "mean", lambda dy, dx: np.mean(dy**2) + np.mean(dx**2)),
    ],
)
def test_total_variation(network, pictures, exponent, scale, expected):
    preset = dataclasses.replace(PRESET, tv_weight=3.0, tv_exponent=exponent, tv_scale=scale)
    image = pictures["image"].astype(np.float32).astype(np.float64)
    parts, _ = make(network, pictures, preset).parts_and_gradient(batch(image))
    value = 3.0 * expected(np.diff(image, axis=0), np.diff(image, axis=1))
    np.testing.assert_allclose(parts[0, 2], value, rtol=RTOL)


def test_scales_of_the_released_settings(network, pictures):
    """Means in place of sums: of the content's differences, and of G/M's entries."""
    preset = dataclasses.replace(
        PRESET, content_scale=MEAN, style_scale=MEAN_GRAM, style_layer_weights="sum"
    )
    parts, _ = make(network, pictures, preset).parts_and_gradient(batch(pictures["image"]))
    image, content, style = (
        [flat(layer) for layer in network.activations(pictures[name])]
        for name in ("image", "content", "style")
    )
    expected = [
        PRESET.content_weight * np.mean((image[1] - content[1]) ** 2),
        PRESET.style_weight
        * sum(
            np.mean((reference.gram(f) / len(f) - reference.gram(a) / len(a)) ** 2)
            for f, a in zip(image, style, strict=True)
        ),
        0.0,
    ]
    np.testing.assert_allclose(parts[0], expected, rtol=RTOL)


def test_images_of_a_batch_do_not_know_of_each_other(network, pictures):
    """Each with a content of its own; with one style for all, and with one for each."""
    images = tf.concat([batch(pictures["image"]), batch(pictures["style"])], axis=0)
    contents = tf.concat([batch(pictures["content"]), batch(pictures["image"])], axis=0)
    preset = dataclasses.replace(PRESET, tv_weight=3.0)
    one = batch(pictures["other_style"])
    for styles in (one, tf.concat([one, one[:, ::-1]], axis=0)):
        objective = Objective(TensorflowNetwork(network), preset, content=contents, styles=[styles])
        parts, gradient = objective.parts_and_gradient(images)
        assert parts.shape == (2, 3)
        for index in range(2):
            alone = Objective(
                TensorflowNetwork(network),
                preset,
                content=contents[index : index + 1],
                styles=[styles[index % len(styles) :][:1]],
            ).parts_and_gradient(images[index : index + 1])
            np.testing.assert_allclose(parts[index], alone[0][0], rtol=RTOL)
            np.testing.assert_allclose(
                gradient[index], alone[1][0], rtol=0, atol=RTOL * np.abs(alone[1]).max()
            )


def test_unknown_sizes_and_other_contents_change_nothing(network, pictures):
    expected = make(network, pictures).parts_and_gradient(batch(pictures["image"]))
    objective = make(network, pictures | {"content": pictures["image"]})

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3])] * 2)
    def evaluate(content, image):
        return objective.with_content(content).parts_and_gradient(image)

    received = evaluate(batch(pictures["content"]), batch(pictures["image"]))
    np.testing.assert_allclose(received[0], expected[0], rtol=RTOL)
    np.testing.assert_allclose(received[1], expected[1], rtol=0, atol=RTOL * np.abs(expected[1]).max())


def test_a_relative_content_loss_is_a_part_of_the_contents_own_style_loss(network, pictures):
    relative = dataclasses.replace(PRESET, content_unit="relative", tv_weight=3.0)
    image = batch(pictures["image"])
    content, style, tv = make(network, pictures, relative).parts_and_gradient(image)[0][0].numpy()
    of_image, of_content = (network.activations(pictures[name])[1] for name in ("image", "content"))
    share = ((of_image - of_content) ** 2).sum() / (of_content**2).sum()
    plain = dataclasses.replace(PRESET, tv_weight=3.0)
    own = make(network, pictures | {"image": pictures["content"]}, plain).parts(
        batch(pictures["content"])
    )[0, 1]
    expected = PRESET.content_weight * share * own / PRESET.style_weight
    np.testing.assert_allclose(content, expected, rtol=RTOL)
    np.testing.assert_allclose(
        [style, tv], make(network, pictures, plain).parts(image)[0, 1:], rtol=RTOL
    )


def test_a_relative_content_loss_of_the_style_itself_is_0_and_a_black_content_finite(network, pictures):
    relative = dataclasses.replace(PRESET, content_unit="relative")
    image = batch(pictures["image"])
    same = make(network, pictures | {"content": pictures["style"]}, relative).parts_and_gradient(image)
    # The style loss at the style is rounding: of Gram matrices, 1e-7 of each entry, squared.
    assert same[0][0, 0] < 1e-9 * same[0][0, 1]
    black = pictures | {"content": np.zeros((12, 16, 3))}
    for found in make(network, black, relative).parts_and_gradient(image):
        assert np.isfinite(found).all()


@pytest.mark.parametrize("scale", ["sum", "mean"])
def test_an_image_of_one_row_has_no_variation_down(network, scale):
    row = np.random.default_rng(5).uniform(0, 255, (1, 16, 3))
    preset = dataclasses.replace(
        PRESET, content_layers=(), style_layers=("first",), style_layer_weights=(1.0,)
    )
    preset = dataclasses.replace(preset, tv_weight=3.0, tv_scale=scale)

    class OneLayer:
        def __call__(self, images):
            return {"first": tf.nn.relu(images @ tf.constant(network.filters[0], tf.float32))}

    objective = Objective(OneLayer(), preset, content=None, styles=[batch(row)])
    parts, gradient = objective.parts_and_gradient(batch(row))
    differences = np.diff(row.astype(np.float32).astype(np.float64), axis=1) ** 2
    expected = 3.0 * (differences.sum() if scale == "sum" else differences.mean())
    np.testing.assert_allclose(parts[0, 2], expected, rtol=RTOL)
    assert np.isfinite(gradient).all()
    of_any_size = tf.function(objective.parts, input_signature=[tf.TensorSpec([1, None, None, 3])])
    np.testing.assert_allclose(of_any_size(batch(row)), parts, rtol=RTOL)


def test_style_layers_without_a_style_are_refused(network, pictures):
    with pytest.raises(ValueError, match="one style or more"):
        make(network, pictures, styles=())


# Mean and covariance in place of Gram matrices, weighed as `painterly` weighs them.
MOMENTS = dataclasses.replace(
    PRESET, content_scale=MEAN, style_scale=MEAN_MOMENTS, style_statistic="moments", content_weight=0.02
)


def moments_losses(network, pictures, styles=("style",), blend=(1.0,)):
    """The content and style loss by NumPy and SciPy in float64, as `presets.py` has them."""
    image, content = (network.activations(pictures[name]) for name in ("image", "content"))
    shares = np.array(blend) / np.sum(blend)
    style = 0.0
    for layer, weight in enumerate(MOMENTS.style_layer_weights):
        f = flat(image[layer])
        of_styles = [flat(network.activations(pictures[name])[layer]) for name in styles]
        mean = sum(share * a.mean(axis=0) for share, a in zip(shares, of_styles, strict=True))
        second = sum(share * a.T @ a / len(a) for share, a in zip(shares, of_styles, strict=True))
        distance = reference.gaussian_distance(
            f.mean(axis=0), np.cov(f.T, bias=True), mean, second - np.outer(mean, mean)
        )
        style += MOMENTS.style_weight * weight * distance / f.shape[1]
    return [MOMENTS.content_weight * np.mean((image[1] - content[1]) ** 2), style, 0.0]


@pytest.mark.parametrize(
    ("styles", "blend"),
    [(("style",), (1.0,)), (("other_style",), (1.0,)), (("style", "other_style"), (3.0, 1.0))],
)
def test_moments_are_scipys(network, pictures, styles, blend):
    """One style, one of another size, and two, whose means and second moments are averaged."""
    expected = moments_losses(network, pictures, styles, blend)
    objective = make(network, pictures, MOMENTS, styles, blend)
    parts, gradient = objective.parts_and_gradient(batch(pictures["image"]))
    # Measured: 3e-6.
    np.testing.assert_allclose(parts[0], expected, rtol=2e-5)
    generator = np.random.default_rng(3)
    step = 1e-3
    for _ in range(5):
        direction = generator.normal(size=gradient.shape[1:])
        ends = [
            sum(
                moments_losses(
                    network,
                    pictures | {"image": pictures["image"] + sign * step * direction},
                    *(styles, blend),
                )
            )
            for sign in (1, -1)
        ]
        slope = np.subtract(*ends) / (2 * step)
        received = np.sum(np.float64(gradient[0]) * direction)
        # The bound is the for float32.
        size = (
            np.linalg.norm(gradient)
            * np.linalg.norm(direction)
            / np.sqrt(gradient.shape.num_elements())
        )
        assert received == pytest.approx(slope, rel=0, abs=1e-3 * size)


def test_moments_of_the_images_of_a_batch_do_not_know_of_each_other(network, pictures):
    images = tf.concat([batch(pictures["image"]), batch(pictures["style"])], axis=0)
    contents = tf.concat([batch(pictures["content"]), batch(pictures["image"])], axis=0)
    one = batch(pictures["other_style"])
    for styles in (one, tf.concat([one, one[:, ::-1] / 2], axis=0)):
        objective = Objective(TensorflowNetwork(network), MOMENTS, content=contents, styles=[styles])
        parts, gradient = objective.parts_and_gradient(images)
        for index in range(2):
            alone = Objective(
                TensorflowNetwork(network),
                MOMENTS,
                content=contents[index : index + 1],
                styles=[styles[index % len(styles) :][:1]],
            ).parts_and_gradient(images[index : index + 1])
            np.testing.assert_allclose(parts[index], alone[0][0], rtol=RTOL)
            np.testing.assert_allclose(
                gradient[index], alone[1][0], rtol=0, atol=RTOL * np.abs(alone[1]).max()
            )


class Bfloat16Network(TensorflowNetwork):
    def __call__(self, images):
        return {name: tf.cast(each, tf.bfloat16) for name, each in super().__call__(images).items()}


def test_moments_of_bfloat16_are_near_those_of_float32(network, pictures):
    pair = []
    for kind in (TensorflowNetwork, Bfloat16Network):
        objective = Objective(
            kind(network),
            MOMENTS,
            content=batch(pictures["content"]),
            styles=[batch(pictures["style"])],
        )
        pair.append(objective.parts_and_gradient(batch(pictures["image"])))
    # bfloat16 has 8 bits, 0.4 percent of each activation and gradient.
    np.testing.assert_allclose(pair[1][0], pair[0][0], rtol=2e-2)
    error = np.linalg.norm(pair[1][1] - pair[0][1])
    assert 0 < error < 2e-2 * np.linalg.norm(pair[0][1])


def test_moments_of_unknown_sizes_and_other_contents_change_nothing(network, pictures):
    expected = make(network, pictures, MOMENTS).parts_and_gradient(batch(pictures["image"]))

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3])] * 3)
    def evaluate(content, style, image):
        objective = Objective(TensorflowNetwork(network), MOMENTS, content=content, styles=[style])
        return objective.parts_and_gradient(image)

    received = evaluate(*(batch(pictures[name]) for name in ("content", "style", "image")))
    # The distance is a small difference of traces; measured 1.4e-5.
    np.testing.assert_allclose(received[0], expected[0], rtol=1e-4)
    np.testing.assert_allclose(received[1], expected[1], rtol=0, atol=RTOL * np.abs(expected[1]).max())


@pytest.mark.parametrize("preset", ["painterly", "style-transfer-pytorch"])
def test_moments_of_vgg_at_the_style_itself_are_0(preset):
    preset = PRESETS[preset]
    features = Features(preset, load_for(preset, "embedded"))
    image = tf.constant(np.random.default_rng(0).uniform(0, 255, (1, 48, 64, 3)), tf.float32)
    objective = Objective(features, preset, content=image, styles=[image])
    parts, gradient = objective.parts_and_gradient(image)
    # tr(C + C') in the units of the loss, to which the issue's bound is relative.
    spread = 0.0
    activations = features(image)
    for name, scale in style_scales(preset).items():
        layer = flat(activations[name].numpy()[0].astype(np.float64))
        spread += 2 * scale(layer.shape[1], len(layer)) * layer.var(axis=0).sum()
    assert abs(parts[0, 1]) < 1e-5 * spread
    assert parts[0, 0] == 0
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("preset", ["painterly", "style-transfer-pytorch"])
@pytest.mark.parametrize("size", [(16, 16), (40, 24)])
def test_moments_of_a_flat_and_of_the_smallest_picture_are_finite(preset, size):
    """At 16 x 16 pixels conv5_1 has a single position, and no covariance."""
    preset = PRESETS[preset]
    features = Features(preset, load_for(preset, "embedded"))
    noise = tf.constant(np.random.default_rng(0).uniform(0, 255, (1, *size, 3)), tf.float32)
    flat_ones = [tf.fill([1, *size, 3], value) for value in (0.0, 128.0)]
    for style in (noise, *flat_ones):
        objective = Objective(features, preset, content=noise, styles=[style])
        for image in (noise, *flat_ones):
            parts, gradient = objective.parts_and_gradient(image)
            assert np.isfinite(parts).all()
            assert np.isfinite(gradient).all()
            # Rounding alone takes a distance below 0.
            assert parts[0, 1] > -1e-3


@pytest.mark.parametrize("compiled", ["network", "whole"])
@pytest.mark.parametrize("statistic", ["gram", "moments"])
def test_what_xla_compiles_is_the_same(network, pictures, compiled, statistic):
    preset = dataclasses.replace(PRESET, style_statistic=statistic)
    parts, gradient = make(network, pictures, preset).parts_and_gradient(batch(pictures["image"]))
    objective = Objective(
        TensorflowNetwork(network),
        preset,
        content=batch(pictures["content"]),
        styles=[batch(pictures["style"])],
        compiled=compiled,
    )
    found_parts, found_gradient = objective.parts_and_gradient(batch(pictures["image"]))
    np.testing.assert_allclose(found_parts, parts, rtol=RTOL)
    np.testing.assert_allclose(found_gradient, gradient, atol=RTOL * np.abs(gradient).max())
