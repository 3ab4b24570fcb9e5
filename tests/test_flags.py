"""The flags follow from `Settings`: names, values, defaults, and what was called otherwise before."""

import argparse
import inspect
import re

import pytest

from tf_style import PRESETS, InputError, Settings, export_saved_model
from tf_style.commands import flags, records, stylize, stylize_batch, stylize_export


@pytest.fixture
def parser():
    parser = argparse.ArgumentParser(exit_on_error=False)
    flags.add_settings(parser)
    return parser


# A value of each setting that is not its default, as a flag and as the library takes it.
VALUES = {
    "preset": ("jcjohnson", "jcjohnson"),
    "content_weight": ("2.5", 2.5),
    "style_weight": ("1e3", 1000.0),
    "tv_weight": ("0", 0.0),
    "content_layers": ("conv4_2, conv5_2", ("conv4_2", "conv5_2")),
    "style_layers": ("conv1_1", ("conv1_1",)),
    "style_layer_weights": ("1,2.5", (1.0, 2.5)),
    "style_statistic": ("moments", "moments"),
    "strength": ("0.25", 0.25),
    "pooling": ("max", "max"),
    "padding": ("zero", "zero"),
    "weights": ("imagenet", "imagenet"),
    "size": ("64", 64),
    "size_of": ("area", "area"),
    "style_fit": ("stretch", "stretch"),
    "style_scale": ("0.5,2", (0.5, 2.0)),
    "style_blend": ("3,1", (3.0, 1.0)),
    "style_part": ("fine,both", ("fine", "both")),
    "keep_colors": ("match", "match"),
    "init": ("photo.jpg", "photo.jpg"),
    "seed": ("7", 7),
    "optimizer": ("adam", "adam"),
    "history": ("5", 5),
    "pair_precision": ("float32", "float32"),
    "levels": ("2", 2),
    "iterations": ("9", 9),
    "precision": ("float32", "float32"),
    "device": ("/CPU:0", "/CPU:0"),
    "tile": ("256", 256),
    "memory": ("6", 6.0),
    "ray": ("local", "local"),
}


def test_each_setting_is_a_flag_and_each_flag_a_setting(parser):
    arguments = ["--no-normalize"]
    for name, (text, _) in VALUES.items():
        arguments += [f"--{name.replace('_', '-')}", text]
    found = vars(parser.parse_args(arguments))
    assert found == {"normalize": False} | {name: value for name, (_, value) in VALUES.items()}
    assert found.keys() == Settings.__dataclass_fields__.keys()
    Settings(**found)
    assert vars(parser.parse_args([])) == {}
    assert parser.parse_args(["--tile", "off"]).tile == "off"
    assert parser.parse_args(["--style-scale", "2"]).style_scale == 2.0


def test_the_help_has_choices_and_defaults(parser):
    text = " ".join(parser.format_help().split())
    for expected in (
        f"--preset {{{','.join(PRESETS)}}}",
        "--size-of {long,short,area}",
        "--tile auto|off|PX",
        "--history N pairs of steps and gradient differences that L-BFGS keeps (m) (default: 40; 10 "
        "with tfp)",
        "--memory GIB to take at most (default: all available)",
        "--seed N of the noise (default: 0)",
        "--style-statistic {gram,moments} what the style is: Gram matrices, as in the paper,",
        "--strength S from 0, the photograph, to 1, the style alone (default: 0.5, which is the preset",
    ):
        assert expected in text
    assert "--pairs" not in text


def test_pairs_is_taken_for_history_but_not_beside_it(parser):
    assert parser.parse_args(["--pairs", "5"]).history == 5
    with pytest.raises(argparse.ArgumentError, match="not allowed with argument --history"):
        parser.parse_args(["--history", "5", "--pairs", "6"])


def test_force_is_taken_for_no_memory_check_and_hidden():
    parser = stylize._parser()
    assert parser.parse_args([]).memory_check is True
    for flag in ("--no-memory-check", "--force"):
        assert parser.parse_args([flag]).memory_check is False
    assert "--force" not in parser.format_help()


def test_what_is_not_given_is_left_to_a_stored_request():
    parser = stylize._parser()
    assert not records.NAMES & vars(parser.parse_args([])).keys()
    given = vars(
        parser.parse_args(["--bit-depth", "8", "--deterministic", "--style", "a", "--style", "b"])
    )
    assert (given["bit_depth"], given["deterministic"], given["style"]) == (8, True, ["a", "b"])


def test_the_batch_takes_the_same_settings():
    text = stylize_batch._parser().format_help()
    for name in Settings.__dataclass_fields__:
        assert f"--{name.replace('_', '-')} " in text or name in ("normalize", "style_part")
    assert "--coarse-style FILE" in text
    assert "--normalize" in text


def test_the_exports_help_has_the_exports_defaults():
    text = " ".join(stylize_export._parser().format_help().split("options:")[1].split())
    parameters = inspect.signature(export_saved_model).parameters
    for name in ("size", "iterations", "max_iterations", "precision"):
        (found,) = re.findall(rf"--{name.replace('_', '-')} \S+ [^()]*\(default: (\w+)\)", text)
        assert found == str(parameters[name].default)
    assert "(default: painterly)" in text
    assert "--strength S" in text
    assert "--style-statistic {gram,moments}" in text


@pytest.mark.parametrize("module", [stylize, stylize_batch, stylize_export])
def test_every_flag_says_when_it_has_an_effect(module):
    own = [
        action
        for action in module._parser()._actions
        # The others are absl's, and those that print something and end.
        if action.dest not in (argparse.SUPPRESS, "help", "helpshort", "helpfull", "version", "undefok")
    ]
    assert len(own) > 10
    assert [action.dest for action in own if not callable(getattr(action, "effect", None))] == []
    for field in Settings.__dataclass_fields__.values():
        assert callable(field.metadata["effect"])


PAIR = ("--content", "c.png", "--style", "s.png", "--output", "o.png")
TEXTURE = PAIR[2:]
CONTENT_ALONE = (*PAIR[:2], *PAIR[4:])


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((*PAIR, "--tile", "64", "--size", "200"), "tile .* 200 pixels a side is evaluated as a whole"),
        (
            (*PAIR, "--ray", "local", "--size", "200"),
            "ray .* 200 pixels a side is evaluated as a whole",
        ),
        ((*PAIR, "--checkpoint", "d", "--resume", "c"), "--checkpoint .* --resume saves"),
        ((*PAIR, "--checkpoint-every", "9"), "--checkpoint-every .* there is no --checkpoint"),
        ((*PAIR, "--quiet", "--dry-run"), "--quiet .* a dry run is there to tell"),
        ((*PAIR, "--memory", "4", "--tile", "off", "--force"), "--memory .* it is not checked"),
        ((*PAIR, "--json", "--showprefixforinfo"), "--showprefixforinfo .* --json tells objects"),
        # The default, but it was asked for.
        ((*PAIR, "--optimizer", "adam", "--pair-precision", "bfloat16"), "pair_precision .* L-BFGS's"),
        ((*CONTENT_ALONE, "--style-statistic", "gram"), "style_statistic .* no style image"),
        ((*PAIR, "--style-weight", "0", "--style-statistic", "gram"), "style_statistic .* is 0"),
        (
            (*TEXTURE, "--style-layers", "conv1_2", "--pooling", "max"),
            "pooling .* no layer after the first pooling",
        ),
        ((*PAIR, "--style-blend", "1"), "style_blend .* there is one style image"),
    ],
)
def test_a_flag_without_effect_is_refused_with_the_reason(
    tmp_path, monkeypatch, capsys, arguments, reason
):
    monkeypatch.chdir(tmp_path)
    assert stylize.main(arguments) == 2
    told = capsys.readouterr()
    (line,) = (told.err + told.out).splitlines()
    assert re.search(reason.replace(" .* ", " would have no effect: .*"), line), line
    assert list(tmp_path.iterdir()) == []


def test_the_same_flags_with_an_effect_are_taken():
    resolved = Settings(pooling="max").resolve(has_content=True, num_styles=1)
    assert resolved.pooling == "max"
    for settings in (
        Settings(tile=64, size=2000),
        # How large the picture will be is not known yet.
        Settings(tile=64, size=200, size_of="short"),
        Settings(tile="auto", size=64),
        Settings(tile="off", size=64),
        Settings(ray="local", size=2000),
    ):
        settings.resolve(has_content=True, num_styles=1)
    short = Settings(tile=64, size=160, size_of="short")
    short.check_size_effects(resolved, 160, 2000)
    # With its margin: at 209 it is cut.
    with pytest.raises(InputError, match="tile would have no effect: a picture of 208 pixels"):
        short.check_size_effects(resolved, 160, 208)
    short.check_size_effects(resolved, 160, 209)


def test_a_wrong_word_is_refused_by_the_library():
    with pytest.raises(InputError, match="tile is one of auto, off or"):
        Settings(tile=flags._word_or_whole("often"))  # pyright: ignore[reportArgumentType]
