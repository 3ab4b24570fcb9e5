"""Transfers as functions of tensors: against the eager ones, in batches, in datasets."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tf_style import InputError, Settings, StyleTransfer, Stylizer, prepare, read_image, stylize_dataset
from tf_style.embed.stylizer import HISTORY
from tf_style.images.picture import resize

ROOT = pathlib.Path(__file__).parent.parent
# With this pair every unit step is good, so that two ways to search cannot differ.
STYLE = str(ROOT / "examples" / "chelsea.jpg")
ITERATIONS = 8
SHALLOW = {"content_layers": ("conv1_1",), "style_layers": ("conv1_1",), "precision": "float32"}


def picture(name: str, height: int, width: int) -> np.ndarray:
    return resize(read_image(str(ROOT / "examples" / name)).pixels, height, width)


@pytest.fixture(scope="module")
def stylizer():
    # Pairs in bfloat16 would make more of the last bits in which two ways to the same number differ.
    return Stylizer(STYLE, iterations=ITERATIONS, precision="float32", pair_precision="float32")


@pytest.fixture(scope="module")
def contents():
    return np.stack([picture(name, 48, 64) for name in ("coffee.jpg", "chelsea.jpg", "style.jpg")])


def test_reaches_what_a_transfer_of_the_same_evaluations_reaches(stylizer, contents):
    settings = Settings(
        size=64, iterations=ITERATIONS, precision="float32", pair_precision="float32", levels=1
    )
    inputs = prepare(contents[0], [STYLE], settings)
    expected = StyleTransfer(inputs).run()
    assert len(expected.evaluations) == ITERATIONS + 1, "a search would make the two differ"
    state = stylizer.optimize(tf.constant(255 * contents[:1]), stylizer.own_styles)
    # The style is resized by TensorFlow here and by Pillow there: both Lanczos, but for rounding.
    assert float(state.value[0]) == pytest.approx(expected.final.loss, rel=1e-3)
    made = stylizer(contents[:1])[0].numpy()
    assert np.abs(made - expected.image).mean() < 2 / 255
    # It has gone somewhere, in the right direction.
    assert expected.final.loss < 0.5 * expected.evaluations[0].loss
    assert np.abs(made - contents[0]).mean() > 5 / 255


def test_with_the_history_that_serving_md_names_it_is_that_transfer_beyond_ten_iterations(contents):
    """And with a `StyleTransfer`'s own it is another: the sentence is not idle."""
    chosen = {"iterations": 16, "precision": "float32", "pair_precision": "float32"}
    chosen |= {"preset": "gatys2016"}
    # Of the content's size, so that nothing is resized.
    style = picture("mosaic.jpg", 48, 64)
    stylizer = Stylizer(style, **chosen)
    state = stylizer.optimize(tf.constant(255 * contents[:1]), stylizer.own_styles)
    losses = []
    for history in (HISTORY, None):
        settings = Settings(size=64, levels=1, pairs=history, **chosen)
        run = StyleTransfer(prepare(contents[0], [style], settings)).run()
        assert len(run.evaluations) == 17, "a search would make the two differ"
        losses.append(run.final.loss)
    # Measured: 3e-8, and 5e-3 with the other history.
    assert float(state.value[0]) == pytest.approx(losses[0], rel=1e-5)
    assert float(state.value[0]) != pytest.approx(losses[1], rel=1e-4)
    text = (ROOT / "docs" / "serving.md").read_text()
    assert f"--precision float32 --history {HISTORY}`" in text


def test_a_batch_ends_at_the_losses_that_each_reaches_alone(stylizer, contents):
    images = tf.constant(255 * contents)
    together = stylizer.optimize(images, stylizer.own_styles)
    for index in range(len(contents)):
        alone = stylizer.optimize(images[index : index + 1], stylizer.own_styles)
        # The bound; convolutions of a batch sum in another order.
        assert float(together.value[index]) == pytest.approx(float(alone.value[0]), rel=1e-2)


def test_runs_in_a_function_with_sizes_unknown_until_then(stylizer, contents):
    function = tf.function(
        lambda x, n: stylizer(x, iterations=n),
        input_signature=[tf.TensorSpec([None, None, None, 3]), tf.TensorSpec([], tf.int32)],
    )
    eager = stylizer(contents[:1], iterations=3)
    np.testing.assert_allclose(function(contents[:1], 3), eager, atol=1e-2)
    assert function(contents[:1, :33, :45], 1).shape == (1, 33, 45, 3)
    with pytest.raises(tf.errors.InvalidArgumentError, match="16 pixels in each direction"):
        function(contents[:1, :9], 1)


def test_resizes_where_it_has_a_size():
    small = Stylizer(STYLE, size=40, iterations=1, **SHALLOW)
    made = small(tf.constant(picture("chelsea.jpg", 60, 80)[np.newaxis]))
    assert made.shape == (1, 30, 40, 3)
    assert float(tf.reduce_min(made)) >= 0
    assert float(tf.reduce_max(made)) <= 1


def test_from_noise_the_seed_decides(contents):
    made = [
        Stylizer(STYLE, iterations=2, init="noise", seed=seed, **SHALLOW)(contents[:1])
        for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(made[0], made[1])
    assert not np.array_equal(made[0], made[2])


def test_from_noise_pictures_of_a_batch_are_as_if_alone(contents):
    stylizer = Stylizer(STYLE, iterations=2, precision="float32", init="noise", seed=3)
    together = stylizer(contents)
    for index in range(len(contents)):
        alone = stylizer(contents[index : index + 1])
        # Measured: the same bits.
        np.testing.assert_allclose(together[index], alone[0], atol=1e-3, rtol=0)


def test_each_call_may_bring_its_own_style(contents):
    stylizer = Stylizer(None, iterations=2, precision="float32")
    own = Stylizer(contents[1], iterations=2, precision="float32")
    np.testing.assert_allclose(
        stylizer(contents[:1], [contents[1:2]]), own(contents[:1]), atol=1e-5, rtol=0
    )


def test_datasets_of_ragged_sizes_and_of_batches(contents):
    sizes = [(32, 48), (40, 33), (48, 64)]

    def pictures():
        for index, (height, width) in enumerate(sizes):
            yield np.uint8(255 * contents[index, :height, :width])

    ragged = tf.data.Dataset.from_generator(
        pictures, output_signature=tf.TensorSpec([None, None, 3], tf.uint8)
    )
    made = list(stylize_dataset(ragged, STYLE, iterations=1, **SHALLOW))
    assert [tuple(image.shape[:2]) for image in made] == sizes
    batches = tf.data.Dataset.from_tensor_slices(contents).batch(2)
    made = list(stylize_dataset(batches, STYLE, iterations=1, **SHALLOW))
    assert [tuple(batch.shape) for batch in made] == [(2, 48, 64, 3), (1, 48, 64, 3)]


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (tf.data.Dataset.from_tensors((tf.zeros([32, 32, 3]), 1)), "Map it to its image"),
        (tf.data.Dataset.from_tensors(tf.zeros([32, 32])), r"\[height, width, 3\]"),
        (tf.data.Dataset.from_tensors(tf.zeros([32, 32, 4])), r"\[height, width, 3\]"),
        (tf.data.Dataset.from_tensors(tf.zeros([32, 32, 3], tf.int32)), "uint8, or floats"),
        (
            tf.data.Dataset.from_tensors(tf.ragged.constant([[[1.0]], [[1.0], [2.0]]])),
            "unbatch a ragged",
        ),
    ],
)
def test_other_datasets_are_refused(dataset, message):
    with pytest.raises(InputError, match=message):
        stylize_dataset(dataset, STYLE)


@pytest.mark.parametrize(
    "settings",
    [
        {"levels": 2},
        {"optimizer": "adam"},
        {"device": "GPU:7"},
        {"size_of": "area"},
        {"init": "style"},
    ],
)
def test_settings_without_a_meaning_in_a_graph_are_refused(settings):
    with pytest.raises(InputError):
        Stylizer(STYLE, **settings)


def test_a_device_is_where_it_all_runs(stylizer, contents):
    """But in a dataset, whose functions run on the CPU."""

    def devices(render):
        traced = tf.function(render).get_concrete_function(tf.TensorSpec(contents[:1].shape))
        return {op.device for op in traced.graph.get_operations() if "While" in op.type}

    placed = Stylizer(STYLE, iterations=1, device="CPU")
    assert devices(placed) == {"/device:CPU:0"}
    assert devices(stylizer) == {""}
    dataset = tf.data.Dataset.from_tensors(tf.zeros([32, 32, 3]))
    with pytest.raises(InputError, match="device is one that TensorFlow sees"):
        stylize_dataset(dataset, STYLE, device="GPU:7")


OTHER_PIXELS = {"0..255": (255, 0), "-1..1": (2, -1), "NaN": (np.nan, 0), "infinity": (1, np.inf)}


@pytest.mark.parametrize(("factor", "shift"), OTHER_PIXELS.values(), ids=OTHER_PIXELS)
def test_pixels_on_another_scale_are_refused(stylizer, contents, factor, shift):
    pixels = np.float32(factor * contents[:1] + shift)
    for arguments in ((pixels,), (contents[:1], [pixels])):
        with pytest.raises(InputError, match=r"finite and in 0\.\.1"):
            stylizer(*arguments)


def test_a_dataset_of_pixels_on_another_scale_is_refused_but_overshoot_is_not(contents):
    pixels = tf.data.Dataset.from_tensors(255 * contents[0])
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"finite and in 0\.\.1"):
        list(stylize_dataset(pixels, STYLE, iterations=1, **SHALLOW))
    resampled = tf.constant(1.2 * contents[:1] - 0.1)
    assert np.isfinite(Stylizer(STYLE, iterations=1, **SHALLOW)(resampled)).all()


def test_sizes_that_cannot_work_are_refused(stylizer, contents):
    """As docs/beam.md says of a picture that is too small."""
    with pytest.raises(InputError, match="picture is too small.* 64 x 9 pixels"):
        stylizer(contents[:1, :9])
    with pytest.raises(InputError, match="style image is too small"):
        stylizer(contents[:1], [np.zeros([1, 10, 600, 3], np.float32)])
    resizing = Stylizer(STYLE, size=64, size_of="short", iterations=1, **SHALLOW)
    with pytest.raises(InputError, match="picture is too large.*100000000 x 64 pixels"):
        resizing(np.zeros([1, 1, 3_000_000, 3], np.float32))


@pytest.mark.parametrize("contents", [np.zeros([32, 32, 3], np.float32), np.zeros([1, 32, 32, 3])])
def test_other_contents_are_refused(stylizer, contents):
    with pytest.raises(InputError, match=r"\[batch, height, width, 3\]"):
        stylizer(contents)
