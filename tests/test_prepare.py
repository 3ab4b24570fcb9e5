"""What a transfer works on: sizes, starts, alpha, and what is refused before heavy work."""

import io

import numpy as np
import pytest
from PIL import Image

from tf_style import InputError, Settings, prepare
from tf_style.images import reading
from tf_style.images.picture import resize
from tf_style.images.reading import as_sources
from tf_style.network.architecture import MEAN_RGB
from tf_style.network.weights import load

# Shallow layers: the weights are small, and a picture of one pixel would do.
SHALLOW = {"content_layers": ("conv1_1",), "style_layers": ("conv1_1", "conv1_2")}


def picture(height, width, *, seed=0, channels=3):
    """Smooth and no two alike, uint8."""
    coarse = np.random.default_rng(seed).uniform(0, 1, (4, 5, channels))
    planes = [resize(coarse[..., index], height, width) for index in range(channels)]
    return np.rint(255 * np.stack(planes, axis=-1)).astype(np.uint8)


def prepared(content, styles, **settings):
    return prepare(content, styles, Settings(**(SHALLOW | settings)))


CONTENT = picture(60, 90)
STYLE = picture(80, 40, seed=1)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"size": 45}, (30, 45)),
        ({"size": 30, "size_of": "short"}, (30, 45)),
        ({"size": 36, "size_of": "area"}, (29, 44)),  # 36 * 36 pixels, 2 : 3.
        ({"size": 180}, (120, 180)),
    ],
)
def test_the_working_size_is_the_contents_scaled(settings, expected):
    inputs = prepared(CONTENT, [STYLE], **settings)
    assert inputs.levels[-1].content.shape == (*expected, 3)
    assert inputs.initial.shape == inputs.levels[0].content.shape
    assert inputs.levels[-1].content.dtype == inputs.initial.dtype == np.float32
    # As `images.resize` gives it, on the 0..255 scale.
    resized = 255.0 * resize(CONTENT / 255, *expected)
    np.testing.assert_array_equal(inputs.levels[-1].content, resized)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, (52, 26)),  # As many pixels as 30 x 45, 2 : 1.
        ({"style_scale": 2.0}, (103, 52)),
        ({"style_fit": "stretch"}, (30, 45)),
    ],
)
def test_a_style_has_the_contents_area_or_its_exact_size(settings, expected):
    (style,) = prepared(CONTENT, [STYLE], size=45, **settings).levels[-1].styles
    assert style.shape == (*expected, 3)
    np.testing.assert_array_equal(style, 255.0 * resize(STYLE / 255, *expected))


def test_several_styles_keep_their_order():
    first, second = prepared(CONTENT, [STYLE, CONTENT], size=45).levels[-1].styles
    assert first.shape == (52, 26, 3)
    np.testing.assert_array_equal(second, 255.0 * resize(CONTENT / 255, 30, 45))


def test_noise_is_seeded_and_standard_normal_about_the_mean_pixel():
    first, again, other = (
        prepared(CONTENT, [STYLE], init="noise", seed=seed).initial for seed in (5, 5, 6)
    )
    assert first.tobytes() == again.tobytes()
    assert not np.array_equal(first, other)
    default, zero = (prepared(CONTENT, [STYLE], init="noise", seed=s).initial for s in (None, 0))
    assert default.tobytes() == zero.tobytes()
    noise = first - np.asarray(MEAN_RGB, np.float32)
    # Five standard errors: 1 / sqrt(n) of the mean of n values, 1 / sqrt(2 n) of their deviation.
    bound = 5 / np.sqrt(noise[..., 0].size)
    np.testing.assert_allclose(noise.mean(axis=(0, 1)), 0.0, atol=bound)
    np.testing.assert_allclose(noise.std(axis=(0, 1)), 1.0, atol=bound / np.sqrt(2))


def test_a_seed_leaves_numpys_own_generator_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    prepared(CONTENT, [STYLE], init="noise", seed=5, size=32)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_starts(tmp_path):
    start = picture(50, 50, seed=2)
    Image.fromarray(start).save(tmp_path / "start.png")
    starts = {
        "content": CONTENT,
        "style": STYLE,
        str(tmp_path / "start.png"): start,
    }
    for init, source in starts.items():
        initial = prepared(CONTENT, [STYLE, start], size=45, init=init).initial
        np.testing.assert_array_equal(initial, 255.0 * resize(source / 255, 30, 45))


def test_a_start_does_not_share_the_contents_memory():
    inputs = prepared(CONTENT, [STYLE], size=90)
    before = inputs.levels[-1].content.copy()
    inputs.initial[:] = 0
    np.testing.assert_array_equal(inputs.levels[-1].content, before)


def test_a_texture_has_its_first_styles_proportions():
    inputs = prepared(None, [STYLE, CONTENT], size=40, content_layers=None)
    assert (inputs.levels[-1].content, inputs.alpha) == (None, None)
    assert inputs.initial.shape == (40, 20, 3)
    assert [style.shape[:2] for style in inputs.levels[-1].styles] == [(40, 20), (23, 34)]
    assert inputs.preset.content_layers == ()


def test_a_reconstruction_needs_no_style():
    inputs = prepared(CONTENT, [], size=45, style_layers=None)
    assert inputs.levels[-1].styles == ()
    assert inputs.preset.init == "noise"
    assert list(inputs.weights) == ["block1_conv1"]


def test_alpha_is_resized_and_passed_on():
    pixels = picture(60, 90, channels=4)
    pixels[:, :45, 3] = 0
    pixels[:, 45:, 3] = 255
    inputs = prepared(pixels, [STYLE], size=45)
    assert inputs.alpha.shape == (30, 45)
    np.testing.assert_array_equal(inputs.alpha[:, :18], 0.0)
    np.testing.assert_array_equal(inputs.alpha[:, 27:], 1.0)
    # What is transparent is white, as a browser's page.
    np.testing.assert_array_equal(inputs.levels[-1].content[:, :18], 255.0)
    assert prepared(CONTENT, [STYLE], size=45).alpha is None


def test_a_file_its_bytes_an_open_file_and_an_array_are_the_same(tmp_path):
    path = tmp_path / "content.png"
    Image.fromarray(CONTENT).save(path)
    data = path.read_bytes()
    expected = prepared(CONTENT, [STYLE], size=45).levels[-1].content
    for source in (str(path), path, data, io.BytesIO(data), reading.read(path), CONTENT / 255):
        np.testing.assert_array_equal(prepared(source, [STYLE], size=45).levels[-1].content, expected)


def test_weights_go_as_deep_as_the_layers_used_and_are_normalised_for_the_pooling():
    asked = {"size": 45, "preset": "gatys2016", "style_layers": ("conv1_1", "conv2_1")}
    for pooling in ("average", "max"):
        received = prepared(CONTENT, [STYLE], pooling=pooling, **asked).weights
        expected = load("embedded", normalize_for=pooling)
        assert list(received) == ["block1_conv1", "block1_conv2", "block2_conv1"]
        for name, arrays in received.items():
            np.testing.assert_array_equal(arrays[0], expected[name][0])
    received = prepared(CONTENT, [STYLE], size=45, preset="gatys2016", normalize=False).weights
    np.testing.assert_array_equal(received["block1_conv1"][0], load("embedded")["block1_conv1"][0])


DEEP = {"content_layers": ("conv4_2",), "style_layers": ("conv5_1",)}


@pytest.mark.parametrize(
    ("content", "style", "settings", "message"),
    [
        (CONTENT, STYLE, {"size": 23}, "23 x 15 .* needs 16"),
        (CONTENT, STYLE, {"style_scale": 0.01}, "style image of .* needs 16"),
        (CONTENT, STYLE, {"style_scale": 1e-9}, "style image of .* needs 16"),
        (np.zeros((1, 1, 3)), STYLE, {}, "1 x 1 .* needs 16"),
        (CONTENT, np.zeros((1, 1, 3)), {}, "1 x 1 .* needs 16"),
        (np.zeros((20, 900, 3)), STYLE, {}, "512 x 11 .* needs 16"),
        (CONTENT, STYLE, {"size": 60_000}, "60000 x 40000 .* large"),
        (CONTENT, STYLE, {"style_scale": 1000.0}, "style image of .* large"),
        (np.zeros((32, 3200, 3)), STYLE, {"size": 16_000, "size_of": "short"}, "large"),
    ],
)
def test_sizes_that_cannot_be_are_refused(content, style, settings, message):
    with pytest.raises(InputError, match=message) as caught:
        prepared(content, [style], **DEEP, **settings)
    assert "\n" not in str(caught.value)


def test_the_smallest_picture_of_the_deepest_layer_is_taken():
    inputs = prepared(CONTENT, [CONTENT], **DEEP, size=24)
    assert inputs.levels[-1].content.shape == (16, 24, 3)


def test_arrays_out_of_range_are_refused():
    with pytest.raises(InputError, match=r"0\.\.1"):
        prepared(CONTENT.astype(np.float32), [STYLE])


def test_each_level_has_its_pictures():
    inputs = prepared(CONTENT, [STYLE], size=80, levels=2, preset="gatys2016")
    assert (inputs.height, inputs.width) == (53, 80)
    assert inputs.initial.shape == (26, 40, 3)
    for level, (height, width) in zip(inputs.levels, [(26, 40), (53, 80)], strict=True):
        assert (level.level.height, level.level.width) == (height, width)
        np.testing.assert_array_equal(level.content, 255.0 * resize(CONTENT / 255, height, width))
        area = level.styles[0].shape[0] * level.styles[0].shape[1]
        # Rounding of the two sides.
        assert abs(area / (height * width) - 1) < 1 / min(level.styles[0].shape[:2])


def test_bytes_of_every_kind_are_one_picture():
    file = io.BytesIO()
    Image.fromarray(STYLE).save(file, "PNG")
    data = file.getvalue()
    for kind in (bytes, bytearray, memoryview):
        assert as_sources(kind(data)) == [data]
        inputs = prepared(kind(data), as_sources(kind(data)), size=20)
        assert (inputs.height, inputs.width) == (20, 10)
