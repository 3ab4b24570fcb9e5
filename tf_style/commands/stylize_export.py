"""The command line of `stylize-export`. TensorFlow is imported only once the request is parsed."""

import argparse
import contextlib
import pathlib
from collections.abc import Sequence

from tf_style._version import __version__
from tf_style.commands import flags, runner
from tf_style.commands.messages import emit


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program.

    Args:
      argv: Arguments without the program's name; None for the process's own.

    Returns:
      The exit code: 0; 1 for a failed run; 2 for a wrong request.
    """
    return runner.run(_parser(), _run, argv)


def _run(arguments: argparse.Namespace) -> int:
    known = _SETTINGS.keys() | _WHOLE_NUMBERS.keys()
    with contextlib.nullcontext() if arguments.verbose else runner.startup_noise_hidden():
        from tf_style.serve.export import export_saved_model

        folder = export_saved_model(
            arguments.style,
            arguments.output,
            **{name: value for name, value in vars(arguments).items() if name in known},
        )
    size = sum(file.stat().st_size for file in pathlib.Path(folder).rglob("*") if file.is_file())
    emit(f"wrote {folder}, {size / 1e6:.1f} MB; its README.md says how to serve it")
    return 0


# What of a setting's flag differs from `stylize`'s.
_SETTINGS = {
    "size": {},
    "iterations": {"default": 100},
    "precision": {
        "choices": ("float32", "bfloat16"),
        "default": "float32",
        "help": "of the network; float32 is fast everywhere",
    },
    "preset": {},
    "strength": {},
    "style_statistic": {},
    "content_weight": {},
    "style_weight": {},
    "style_scale": {},
    "keep_colors": {},
    "weights": {},
    "init": {"choices": ("content", "noise"), "help": "where to start"},
}
# Those of `export_saved_model` alone.
_WHOLE_NUMBERS = {
    "max_iterations": "the most that a request may ask for (default: 1000)",
    "version": "default: the number after the highest there",
}


def _parser() -> runner.Parser:
    parser = runner.Parser(
        prog="stylize-export",
        description="Writes a SavedModel that renders pictures in a style, for TensorFlow Serving "
        f"and the like. Of tf_style {__version__}.",
        allow_abbrev=False,
    )
    runner.add_flag(
        *(parser, "--style", runner.always),
        metavar="FILE",
        action="append",
        required=True,
        help="repeatable, to blend them",
    )
    runner.add_flag(
        *(parser, "--output", runner.always),
        metavar="FOLDER",
        required=True,
        help="the model's; each export is a number in it",
    )
    for name, options in _SETTINGS.items():
        flags.add_setting(parser, name, **options)
    for name, text in _WHOLE_NUMBERS.items():
        runner.add_flag(
            *(parser, flags.flag(name), runner.always),
            type=int,
            metavar="N",
            default=argparse.SUPPRESS,
            help=text,
        )
    runner.add_messages(parser)
    return parser
