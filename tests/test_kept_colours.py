"""Keeping the photograph's colours: the numbers of each way, in both libraries, and the pictures."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tf_style import InputError, Settings, StyleTransfer, Stylizer, prepare, read_image
from tf_style.images.picture import resize
from tf_style.transfer import kept_colours
from tf_style.transfer.margin import without_margin

ROOT = pathlib.Path(__file__).parent.parent
WAYS = ("luminance", "match", "histogram")
RUN = {"iterations": 4, "precision": "float32", "pair_precision": "float32"}


def picture(name: str, height: int = 48, width: int = 64) -> np.ndarray:
    """In 0..255."""
    return 255 * resize(read_image(str(ROOT / "examples" / name)).pixels, height, width)


PHOTOGRAPH, STYLE = picture("coffee.jpg"), picture("mosaic.jpg", 50, 40)


def moments(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    colours = pixels.reshape(-1, 3).astype(np.float64)
    return colours.mean(0), np.cov(colours.T, bias=True)


def test_match_gives_every_size_of_the_style_the_photographs_mean_and_covariance():
    settings = Settings(size=64, levels=2, keep_colors="match", **RUN)
    inputs = prepare(PHOTOGRAPH / 255, [STYLE / 255], settings)
    assert len(inputs.levels) == 2
    for level in inputs.levels:
        mean, covariance = moments(level.styles[0])
        expected_mean, expected_covariance = moments(level.content)
        # The bound is 1e-3 on the scale of 0..1.
        np.testing.assert_allclose(mean / 255, expected_mean / 255, atol=1e-5)
        np.testing.assert_allclose(covariance / 255**2, expected_covariance / 255**2, atol=1e-5)


def test_match_is_the_map_by_symmetric_roots():
    """Against SciPy's roots of the covariances."""
    linalg = pytest.importorskip("scipy.linalg")
    mean, covariance = moments(STYLE)
    other_mean, other_covariance = moments(PHOTOGRAPH)
    change = linalg.sqrtm(other_covariance) @ np.linalg.inv(linalg.sqrtm(covariance))
    expected = (STYLE - mean) @ change.T + other_mean
    made = kept_colours.of_style("match", STYLE, PHOTOGRAPH)
    np.testing.assert_allclose(made, expected, atol=1e-2)  # Levels, in float32.


def test_histogram_gives_each_channel_the_photographs_and_keeps_its_order():
    made = kept_colours.of_style("histogram", STYLE, PHOTOGRAPH)
    for channel in range(3):
        places = (np.arange(made[..., 0].size) + 0.5) / made[..., 0].size
        expected = np.quantile(PHOTOGRAPH[..., channel], places, method="hazen")
        order = np.argsort(STYLE[..., channel].ravel(), kind="stable")
        np.testing.assert_allclose(made[..., channel].ravel()[order], expected, atol=1e-3)
    stripes = np.repeat(np.float32([[[10], [10], [200], [200]]]), 3, axis=2)
    # Two values, a half each: the middles of the photograph's halves.
    made = kept_colours.of_style("histogram", stripes, np.arange(30, dtype=np.float32).reshape(2, 5, 3))
    np.testing.assert_allclose(made[0, :, 0], [6.0, 6.0, 21.0, 21.0])


def test_luminance_is_that_of_the_result_and_the_colours_are_the_photographs():
    settings = Settings(size=64, keep_colors="luminance", **RUN)
    transfer = StyleTransfer(prepare(PHOTOGRAPH / 255, [STYLE / 255], settings))
    image = 255 * transfer.run().image
    margin = transfer.inputs.levels[-1].level.margin
    painted = np.clip(without_margin(transfer.image.numpy()[0], margin), 0, 255)
    luma, expected_luma = (each @ kept_colours.LUMA for each in (image, painted))
    np.testing.assert_allclose(luma, expected_luma, atol=1e-2)
    assert np.abs(expected_luma - PHOTOGRAPH @ kept_colours.LUMA).mean() > 3, "nothing was painted"
    colour = PHOTOGRAPH - (PHOTOGRAPH @ kept_colours.LUMA)[..., np.newaxis]
    whole = colour + luma[..., np.newaxis]
    is_inside = np.all((whole >= 0) & (whole <= 255), axis=2)
    assert is_inside.mean() > 0.8
    # The issue's bound is a level; this is float32's rounding.
    np.testing.assert_allclose(image[is_inside], whole[is_inside], atol=1e-2)
    # Paler where it would leave the range: a share of the same colour, which reaches the range's end.
    outside, of_colour = (image - luma[..., np.newaxis])[~is_inside], colour[~is_inside]
    share = (outside * of_colour).sum(1) / (of_colour**2).sum(1)
    assert np.all((share >= -1e-5) & (share < 1))
    np.testing.assert_allclose(outside, share[:, np.newaxis] * of_colour, atol=1e-2)
    reach = np.minimum(image.min(2), 255 - image.max(2))[~is_inside]
    np.testing.assert_allclose(reach, 0, atol=1e-2)


def test_the_grey_style_has_the_photographs_mean_and_deviation():
    settings = Settings(size=64, levels=1, keep_colors="luminance", **RUN)
    (level,) = prepare(PHOTOGRAPH / 255, [STYLE / 255], settings).levels
    for pixels in (level.content, level.styles[0]):
        np.testing.assert_array_equal(pixels[..., 0], pixels[..., 1])
        np.testing.assert_array_equal(pixels[..., 0], pixels[..., 2])
    grey, of_style = level.content[..., 0], level.styles[0][..., 0]
    np.testing.assert_allclose(grey, PHOTOGRAPH @ kept_colours.LUMA, atol=1e-3)
    assert of_style.mean() == pytest.approx(grey.mean(), abs=1e-3)
    assert of_style.std() == pytest.approx(grey.std(), rel=1e-4)


@pytest.mark.parametrize("way", WAYS)
def test_grey_pictures_and_single_colours_are_sound(way):
    one_colour = np.full((20, 20, 3), [255, 10, 0], np.float32)
    grey = np.repeat(PHOTOGRAPH[..., 1:2], 3, axis=2)
    noisy = one_colour + np.random.default_rng(0).uniform(-0.5, 0.5, one_colour.shape).astype(
        np.float32
    )
    for style, photograph in (
        *((one_colour, PHOTOGRAPH), (PHOTOGRAPH, one_colour), (one_colour, one_colour)),
        *((grey, PHOTOGRAPH), (PHOTOGRAPH, grey), (grey, grey)),
    ):
        made = kept_colours.of_style(way, style, photograph)
        assert made.shape == style.shape
        assert np.abs(made).max() < 1000
        result = kept_colours.of_result(way, np.clip(made, 0, 255)[:20, :20], photograph[:20, :20])
        assert result.min() >= 0
        assert result.max() <= 255 + 1e-4
    # A single colour's rounding is not drawn out to the photograph's contrast.
    if way != "histogram":
        assert np.ptp(kept_colours.of_style(way, noisy, PHOTOGRAPH), axis=(0, 1)).max() < 10
    # Grey stays grey where the photograph is.
    made = kept_colours.of_style(way, grey, grey)
    np.testing.assert_allclose(made, made[..., :1].repeat(3, 2), atol=1e-2)


@pytest.fixture(scope="module")
def in_the_styles_colours():
    """`PHOTOGRAPH` painted without keeping its colours."""
    inputs = prepare(PHOTOGRAPH / 255, [STYLE / 255], Settings(size=64, levels=1, **RUN))
    return StyleTransfer(inputs).run().image


@pytest.mark.parametrize("way", WAYS)
def test_a_graph_makes_the_same_for_each_picture_of_a_batch(way, in_the_styles_colours):
    """Within 2 levels of `stylize`, which resizes by Pillow where TensorFlow does here."""
    last = None
    photographs = np.stack([PHOTOGRAPH, picture("chelsea.jpg")]) / 255
    chosen = {"keep_colors": way, "levels": 1, **RUN}
    stylizer = Stylizer(STYLE / 255, **chosen)
    images = tf.TensorSpec([None, None, None, 3])
    made = tf.function(lambda contents: stylizer(contents), input_signature=[images])(photographs)
    for photograph, image in zip(photographs, made.numpy(), strict=True):
        inputs = prepare(photograph, [STYLE / 255], Settings(size=64, **chosen))
        last = StyleTransfer(inputs, like=last)
        assert np.abs(image - last.run().image).max() < 2 / 255
    assert np.abs(made[0] - in_the_styles_colours).max() > 10 / 255, "it has no effect"


@pytest.mark.parametrize(
    ("content", "styles", "settings", "reason"),
    [
        (None, [STYLE / 255], {}, "there is no content image"),
        (PHOTOGRAPH / 255, [], {}, "there is no style image"),
        (PHOTOGRAPH / 255, [STYLE / 255], {"style_weight": 0.0}, "style_weight is 0"),
    ],
)
def test_without_both_pictures_it_is_refused(content, styles, settings, reason):
    with pytest.raises(InputError, match=f"keep_colors would have no effect: {reason}"):
        prepare(content, styles, Settings(size=64, keep_colors="match", **settings))


def test_another_word_is_refused():
    with pytest.raises(InputError, match="keep_colors is one of luminance, match, histogram"):
        Settings(keep_colors="yuv")
