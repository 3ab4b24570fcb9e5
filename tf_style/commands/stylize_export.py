"""The command line of `stylize-export`. TensorFlow is imported only once the request is parsed."""

import argparse
import contextlib
import pathlib
from collections.abc import Sequence

from tf_style._version import __version__
from tf_style.commands import runner
from tf_style.commands.messages import say
from tf_style.objective.presets import PRESETS


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program.

    Args:
      argv: Arguments without the program's name; None for the process's own.

    Returns:
      The exit code: 0; 1 for a failed run; 2 for a wrong request.
    """
    return runner.run(_parser(), _run, argv)


def _run(arguments: argparse.Namespace) -> int:
    with contextlib.nullcontext() if arguments.verbose else runner.startup_noise_hidden():
        from tf_style.serve.export import export_saved_model

        folder = export_saved_model(
            arguments.style,
            arguments.output,
            **{name: value for name, value in vars(arguments).items() if name in _SETTINGS},
        )
    if not arguments.quiet:
        size = sum(file.stat().st_size for file in pathlib.Path(folder).rglob("*") if file.is_file())
        say(f"wrote {folder}, {size / 1e6:.1f} MB; its README.md says how to serve it")
    return 0


# The flags that are passed on where they are given.
_SETTINGS = {
    "size": dict(type=int, metavar="PX", help="of a picture's longer side (default: 512)"),
    "iterations": dict(type=int, metavar="N", help="of the optimiser (default: 100)"),
    "max_iterations": dict(
        type=int, metavar="N", help="the most that a request may ask for (default: 1000)"
    ),
    "version": dict(type=int, metavar="N", help="default: the number after the highest there"),
    "precision": dict(
        choices=("float32", "bfloat16"), help="of the network (default: float32, fast everywhere)"
    ),
    "preset": dict(choices=tuple(PRESETS), help="weights, layers and network (default: gatys2016)"),
    "content_weight": dict(type=float, metavar="W", help="alpha (default: the preset's)"),
    "style_weight": dict(type=float, metavar="W", help="beta (default: the preset's)"),
    "style_scale": dict(type=float, help="factor on the style image's sides (default: 1.0)"),
    "weights": dict(help="embedded, imagenet or a Keras .h5 file (default: embedded)"),
    "init": dict(choices=("content", "noise"), help="where to start (default: the preset's)"),
}


def _parser() -> argparse.ArgumentParser:
    parser = runner.Parser(
        prog="stylize-export",
        description="Writes a SavedModel that renders pictures in a style, for TensorFlow Serving "
        f"and the like. Of tf_style {__version__}.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--style", metavar="FILE", action="append", required=True, help="repeatable, to blend them"
    )
    parser.add_argument(
        "--output", metavar="FOLDER", required=True, help="the model's; each export is a number in it"
    )
    for name, options in _SETTINGS.items():
        parser.add_argument(
            f"--{name.replace('_', '-')}", dest=name, default=argparse.SUPPRESS, **options
        )
    runner.add_messages(parser)
    return parser
