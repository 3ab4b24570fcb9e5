"""Coarse and fine styles: which layers and sizes each has, and what is refused."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tf_style import (
    PRESETS,
    Features,
    InputError,
    Objective,
    Settings,
    StyleTransfer,
    prepare,
    read_image,
)
from tf_style.images.picture import resize
from tf_style.network import weights
from tf_style.network.architecture import receptive_field_px
from tf_style.objective.presets import STYLE_LAYERS
from tf_style.transfer.style_blend import STROKE, blend_at_size

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"
PRESET = PRESETS["painterly"]
RUN = {"iterations": 4, "precision": "float32", "size": 96}
BOTH_WAYS = Settings(style_part=("coarse", "fine"))


def picture(name: str) -> np.ndarray:
    return resize(read_image(str(EXAMPLES / name)).pixels, 64, 96)


PHOTOGRAPH, MOSAIC, STROKES = (picture(f"{name}.jpg") for name in ("coffee", "mosaic", "strokes"))


def test_what_a_position_sees():
    """By the convolutions' and poolings' sizes; the first and the last of each block."""
    expected = {"conv1_1": 3, "conv1_2": 5, "conv2_1": 10, "conv2_2": 14, "conv3_1": 24}
    expected |= {"conv3_4": 48, "conv4_1": 68, "conv5_1": 156, "relu5_4": 252}
    assert {name: receptive_field_px(name) for name in expected} == expected


@pytest.mark.parametrize("side", [16, 128, 256, 512, 1024, 4096])
def test_fine_layers_see_no_more_than_a_stroke(side):
    blend = blend_at_size(BOTH_WAYS, PRESET, 2, side, side)
    assert tuple(blend) == STYLE_LAYERS
    for name in STYLE_LAYERS[1:-1]:
        is_fine = receptive_field_px(name) <= STROKE * side
        assert blend[name] == ((0.0, 1.0) if is_fine else (1.0, 0.0))
    # The brushwork begins at the first layer at each size, and the forms end at the last.
    assert blend["conv1_1"] == (0.0, 1.0)
    assert blend["conv5_1"] == (1.0, 0.0)


def test_both_is_a_style_at_every_layer_with_its_weight():
    settings = Settings(style_part=("both", "fine"), style_blend=(3.0, 1.0))
    blend = blend_at_size(settings, PRESET, 2, 256, 256)
    assert blend["conv1_1"] == (3.0, 1.0)
    assert blend["conv5_1"] == (3.0, 0.0)
    assert blend_at_size(Settings(style_part=("both", "both")), PRESET, 2, 256, 256) == (1.0, 1.0)


def test_targets_are_those_of_the_style_that_a_layer_has():
    features = Features(PRESET, weights.load_for(PRESET, "embedded"))
    content, *styles = (tf.constant(255 * each[np.newaxis]) for each in (PHOTOGRAPH, MOSAIC, STROKES))

    def targets(styles, blend=None):
        return Objective(features, PRESET, content=content, styles=styles, blend=blend).style_targets

    alone = [targets([style]) for style in styles]
    blend = {name: (0.0, 1.0) if name in STYLE_LAYERS[:2] else (1.0, 0.0) for name in STYLE_LAYERS}
    for name, (target,) in targets(styles, blend).items():
        np.testing.assert_array_equal(target.mean, alone[blend[name][1] == 1][name][0].mean)


def test_each_size_of_a_run_has_its_own_layers():
    inputs = prepare(
        PHOTOGRAPH, [MOSAIC, STROKES], Settings(style_part=("coarse", "fine"), levels=2, **RUN)
    )
    below, above = (level.blend for level in inputs.levels)
    area = 64 * 96
    for blend, pixels in ((below, area / 2), (above, area)):
        fine = {name for name, shares in blend.items() if shares == (0.0, 1.0)}
        expected = {
            name for name in STYLE_LAYERS if receptive_field_px(name) <= STROKE * pixels**0.5 + 0.1
        }
        assert fine == expected
    assert np.isfinite(StyleTransfer(inputs).run().image).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"style_part": ("coarse",)},
            "style_part has one word for each style image. Received: 1 for 2",
        ),
        ({"style_part": ("fine", "fine")}, "A fine style takes a coarse one beside it"),
        (
            {"style_part": ("coarse", "fine"), "style_blend": (0.0, 1.0)},
            "A fine style takes a coarse one beside it, with a weight above 0",
        ),
        ({"style_part": ("both", "middle")}, "style_part is a tuple of both, coarse, fine. Received"),
        (
            {"style_part": ("coarse", "fine"), "style_layers": ("conv1_1",)},
            "style_part would have no effect: there is one style layer",
        ),
        ({"style_scale": (1.0, 2.0, 3.0)}, "style_scale has one number .* Received: 3 for 2 images"),
    ],
)
def test_what_would_have_no_effect_is_refused(settings, message):
    with pytest.raises(InputError, match=message):
        prepare(PHOTOGRAPH, [MOSAIC, STROKES], Settings(**RUN, **settings))


def test_a_part_takes_several_styles():
    with pytest.raises(InputError, match="style_part would have no effect: there is one style image"):
        prepare(PHOTOGRAPH, [MOSAIC], Settings(style_part=("both",), **RUN))


def test_each_style_has_its_scale():
    shapes = [
        [
            style.shape[:2]
            for style in prepare(PHOTOGRAPH, [MOSAIC, STROKES], settings).levels[-1].styles
        ]
        for settings in (Settings(style_scale=(1.0, 0.5), **RUN), Settings(style_scale=2.0, **RUN))
    ]
    assert shapes == [[(64, 96), (32, 48)], [(128, 192), (128, 192)]]
