"""Coarse to fine in a graph: a Stylizer, datasets and an export against `StyleTransfer`."""

import dataclasses
import io
import pathlib
import warnings

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow.core.protobuf import saved_model_pb2

from tf_style import (
    PRESETS,
    InputError,
    Masks,
    Settings,
    StyleTransfer,
    Stylizer,
    export_saved_model,
    prepare,
    read_image,
    stylize_dataset,
)
from tf_style.embed.stylizer import HISTORY
from tf_style.images.picture import resize

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"
PRECISE = {"precision": "float32", "pair_precision": "float32"}
ITERATIONS = 6
ANY_SIZE = tf.TensorSpec([None, None, None, 3])


def picture(name: str, height: int, width: int) -> np.ndarray:
    return resize(read_image(EXAMPLES / name).pixels, height, width)


CONTENT = picture("chelsea.jpg", 72, 96)
STYLE = picture("style.jpg", 120, 160)


@pytest.fixture(scope="module", autouse=True)
def small_sizes():
    """Presets that begin at 40 pixels, so that a small picture has several sizes."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("painterly", "gatys2016"):
            patch.setitem(PRESETS, name, dataclasses.replace(PRESETS[name], coarsest_side_px=40.0))
        yield


@pytest.fixture(scope="module")
def stylizer():
    return Stylizer(STYLE, preset="painterly", iterations=ITERATIONS, **PRECISE)


def in_graph(stylizer: Stylizer):
    """As a function whose sizes, iterations and strength are unknown when it is traced."""
    return tf.function(
        lambda contents, iterations: stylizer(contents, iterations=iterations),
        input_signature=[ANY_SIZE, tf.TensorSpec([], tf.int32)],
    )


@pytest.fixture(scope="module")
def function(stylizer):
    return in_graph(stylizer)


def transferred(content: np.ndarray, style: np.ndarray, **settings):
    settings = Settings(**({"size": 96, "iterations": ITERATIONS, "history": HISTORY} | settings))
    return StyleTransfer(prepare(content, [style], settings)).run()


def levels_apart(a: np.ndarray | tf.Tensor, b: np.ndarray | tf.Tensor) -> float:
    return 255.0 * float(np.abs(np.asarray(a) - np.asarray(b)).mean())


@pytest.fixture(scope="module")
def expected():
    run = transferred(CONTENT, STYLE, preset="painterly", **PRECISE)
    assert run.evaluations[-1].level == 2
    # One for each iteration and one for each size's start: a search would make the two differ.
    assert len(run.evaluations) == ITERATIONS + 3
    return run


def test_the_picture_is_that_of_a_transfer_at_the_same_sizes(function, expected):
    made = function(CONTENT[np.newaxis], ITERATIONS)[0]
    # Measured: 0.04. Rounding grows from iteration to iteration, in `stylize` alike.
    assert levels_apart(made, expected.image) < 1
    alone = transferred(CONTENT, STYLE, preset="painterly", levels=1, **PRECISE)
    # Measured: 23.
    assert levels_apart(made, alone.image) > 10


def test_the_state_is_that_of_the_last_size(stylizer, expected):
    optimize = tf.function(lambda contents: stylizer.optimize(contents, stylizer.own_styles))
    state = optimize(tf.constant(255 * CONTENT[np.newaxis]))
    assert state.position.shape == (1, 72, 96, 3)
    # Measured: 2e-4.
    assert float(state.value[0]) == pytest.approx(expected.final.loss, rel=2e-3)


def test_gram_matrices_have_the_sizes_too():
    content, style = picture("coffee.jpg", 72, 96), picture("style.jpg", 80, 100)
    chosen = {"preset": "gatys2016", **PRECISE}
    expected = transferred(content, style, iterations=10, **chosen)
    assert expected.evaluations[-1].level == 1
    assert len(expected.evaluations) == 10 + 2, "a search would make the two differ"
    made = in_graph(Stylizer(style, **chosen))(content[np.newaxis], 10)[0]
    # Measured: 0.17.
    assert levels_apart(made, expected.image) < 1


def test_a_picture_is_resized_to_its_sizes_as_a_transfer_does_it(function):
    photo = picture("chelsea.jpg", 180, 240)
    expected = transferred(photo, STYLE, preset="painterly", **PRECISE)
    stylizer = Stylizer(STYLE, size=96, preset="painterly", iterations=ITERATIONS, **PRECISE)
    made = in_graph(stylizer)(photo[np.newaxis], ITERATIONS)[0]
    # A bound that was asked for. Measured: 0.96; 3.5 where smaller sizes are made of the largest.
    assert levels_apart(made, expected.image) < 2


def test_one_size_is_the_same_whether_or_not_it_is_known_beforehand():
    small = tf.constant(picture("chelsea.jpg", 30, 40)[np.newaxis])
    options = {"preset": "painterly", "iterations": 3, "init": "noise"}
    looped = in_graph(Stylizer(STYLE, **options, **PRECISE))(small, 3)
    fixed = Stylizer(STYLE, levels=1, **options, **PRECISE)
    known = tf.function(lambda contents: fixed(contents))(small)
    # Numbers of positions are float32 tensors in the one and Python's numbers in the other.
    assert levels_apart(looped, known) < 0.01


def test_from_noise_it_ends_where_a_transfer_from_noise_ends():
    """Of another draw, so at about the same loss; at one size it ends at another."""
    options = {"preset": "painterly", "init": "noise", "iterations": 20, **PRECISE}
    losses = [transferred(CONTENT, STYLE, levels=levels, **options).final.loss for levels in (None, 1)]
    stylizer = Stylizer(STYLE, **options)
    optimize = tf.function(lambda contents: stylizer.optimize(contents, stylizer.own_styles).value)
    found = float(optimize(tf.constant(255 * CONTENT[np.newaxis]))[0])
    # Measured: 22.4, and 22.3 and 19.7.
    assert found == pytest.approx(losses[0], rel=0.05)
    assert found != pytest.approx(losses[1], rel=0.1)


def test_fewer_iterations_than_sizes_leave_the_coarsest_out(function):
    pictures = [function(CONTENT[np.newaxis], number)[0] for number in (1, 2)]
    for number, made in zip((1, 2), pictures, strict=True):
        expected = transferred(CONTENT, STYLE, preset="painterly", iterations=number, **PRECISE)
        assert expected.evaluations[-1].level == number - 1
        # Measured: 4e-5.
        assert levels_apart(made, expected.image) < 0.01


def test_pictures_of_a_batch_are_as_if_alone(function):
    contents = np.stack([CONTENT, picture("coffee.jpg", 72, 96)])
    together = function(contents, 6)
    for index in range(2):
        alone = function(contents[index : index + 1], 6)
        # Measured: 2e-4.
        assert levels_apart(together[index], alone[0]) < 0.05


def test_styles_may_come_with_a_call(function):
    stylizer = Stylizer(None, preset="painterly", iterations=4, **PRECISE)
    with_style = tf.function(
        lambda contents, style: stylizer(contents, [style]), input_signature=[ANY_SIZE, ANY_SIZE]
    )
    made = with_style(CONTENT[np.newaxis], STYLE[np.newaxis])
    assert levels_apart(made, function(CONTENT[np.newaxis], 4)) < 0.01


def test_datasets_of_batches(function):
    contents = np.stack([CONTENT, CONTENT[::-1], CONTENT[:, ::-1]])
    options = {"preset": "painterly", "iterations": 3, **PRECISE}
    for drop_remainder in (True, False):
        batches = tf.data.Dataset.from_tensor_slices(contents).batch(2, drop_remainder=drop_remainder)
        made = list(stylize_dataset(batches, STYLE, **options))
        assert [len(batch) for batch in made] == ([2] if drop_remainder else [2, 1])
        assert levels_apart(made[0], function(contents[:2], 3)) < 0.5


def test_strength_is_the_settings_or_a_calls(stylizer, function):
    contents = CONTENT[np.newaxis]
    own = Stylizer(STYLE, preset="painterly", strength=0.8, **PRECISE)
    at = tf.function(
        lambda strength: stylizer(contents, iterations=4, strength=strength),
        input_signature=[tf.TensorSpec([])],
    )
    expected = transferred(
        CONTENT, STYLE, preset="painterly", iterations=4, strength=0.8, **PRECISE
    ).image
    # Measured: 0.003.
    assert levels_apart(at(0.8)[0], expected) < 0.1
    assert levels_apart(in_graph(own)(contents, 4)[0], expected) < 0.1
    np.testing.assert_allclose(at(0.0), contents, atol=1e-6)
    assert levels_apart(at(0.5), function(contents, 4)) < 0.1
    far = [levels_apart(at(strength), contents) for strength in (0.2, 0.5, 0.8, 1.0)]
    assert far == sorted(far)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"strength is in 0\.\.1"):
        at(1.5)


LEFT = np.float32(np.arange(96) < 48)[np.newaxis].repeat(72, 0)


@pytest.fixture(scope="module")
def masked():
    """A Stylizer of two styles that stays where it is after a few steps."""
    return Stylizer([STYLE, CONTENT[::-1]], size=96, iterations=ITERATIONS, **PRECISE)


def test_masks_place_the_styles_as_in_a_transfer(masked):
    """In a graph that knows no size, for each picture of a batch its own."""
    left = np.stack([LEFT, 1 - LEFT], axis=-1)
    places = np.stack([left, 0.5 * left[:, ::-1]])
    render = tf.function(
        lambda contents, masks: masked(contents, masks=masks),
        input_signature=[ANY_SIZE, tf.TensorSpec([None, None, None, 2])],
    )
    made = render(np.stack([CONTENT, CONTENT]), places)
    settings = Settings(size=96, iterations=ITERATIONS, history=HISTORY, **PRECISE)
    masks = Masks((places[1, ..., 0], places[1, ..., 1]))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the region of style .* is too small for", UserWarning)
        inputs = prepare(CONTENT, [STYLE, CONTENT[::-1]], settings, masks=masks)
    expected = StyleTransfer(inputs).run().image
    # A bound that was asked for; masks are resized a little differently too.
    assert levels_apart(made[1], expected) < 2
    assert levels_apart(expected, CONTENT) > 5
    assert levels_apart(made[0], made[1]) > 5
    # Where no style goes the photograph stays; where none goes anywhere, all of it.
    nothing = np.zeros_like(places)
    np.testing.assert_allclose(render(np.stack([CONTENT, CONTENT]), nothing)[1], CONTENT, atol=1e-6)


@pytest.mark.parametrize(
    "masks", [np.float32(LEFT[np.newaxis, ..., np.newaxis]), np.full((1, 72, 96, 2), 2.0, np.float32)]
)
def test_other_masks_are_refused(masked, masks):
    with pytest.raises(InputError, match=r"Masks are float32 \[batch, height, width, 2\] in 0..1"):
        masked(CONTENT[np.newaxis], masks=masks)


def test_blends_and_scales_that_a_call_cannot_have_are_refused():
    blended = Stylizer([STYLE, CONTENT], style_blend=(3.0, 1.0), iterations=1)
    with pytest.raises(InputError, match="style_blend would have no effect: masks say where"):
        blended(CONTENT[np.newaxis], masks=np.ones((1, 72, 96, 2), np.float32))
    scaled = Stylizer([STYLE, CONTENT], style_scale=(1.0, 0.5), iterations=1)
    with pytest.raises(InputError, match="style_scale has one number .* 2 for 3 styles"):
        scaled(CONTENT[np.newaxis], [CONTENT[np.newaxis]] * 3)


def test_strength_without_a_meaning_is_refused():
    stylizer = Stylizer(STYLE, preset="painterly", content_weight=0.1, iterations=1)
    with pytest.raises(InputError, match="content_weight, which is given, says how much"):
        stylizer(CONTENT[np.newaxis], strength=0.5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    output = tmp_path_factory.mktemp("models") / "painterly"
    style = np.uint8(np.round(255 * STYLE))
    return export_saved_model(style, output, size=72, iterations=6, preset="painterly")


def test_an_export_has_the_sizes_and_the_strength(folder):
    content = np.uint8(np.round(255 * picture("chelsea.jpg", 54, 72)))
    file = io.BytesIO()
    Image.fromarray(content).save(file, "PNG")
    data = tf.constant([file.getvalue()])
    signatures = tf.saved_model.load(str(folder)).signatures

    def pixels(made):
        return np.asarray(Image.open(io.BytesIO(made["stylized_bytes"].numpy()[0]))) / 255.0

    expected = transferred(
        content, STYLE, size=72, iterations=6, preset="painterly", precision="float32"
    )
    assert expected.evaluations[-1].level == 1
    own = pixels(signatures["serving_default"](image_bytes=data))
    # Measured: 0.46; half of it are the levels that a PNG has.
    assert levels_apart(own, expected.image) < 2
    at = signatures["stylize_strength"]
    photo, same = (pixels(at(image_bytes=data, strength=tf.constant([s]))) for s in (0.0, 0.5))
    np.testing.assert_array_equal(photo, content / 255.0)
    assert levels_apart(same, own) < 0.01
    with pytest.raises(tf.errors.InvalidArgumentError, match="strength is from 0 to 1"):
        at(image_bytes=data, strength=tf.constant([np.nan]))
    made = signatures["stylize_tensor"](images=tf.constant(np.float32(content[np.newaxis] / 255)))
    assert levels_apart(made["stylized"][0], own) < 0.5


def test_an_export_with_sizes_has_stock_ops_only(folder):
    model = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    graph = model.meta_graphs[0].graph_def
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    assert len(nodes) > 1000
    assert not [node.op for node in nodes if ">" in node.op or "TfStyle" in node.op]
