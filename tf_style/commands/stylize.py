"""The command line of `stylize`. TensorFlow is imported only once the request is known to be sound."""

import argparse
from collections.abc import Sequence

from tf_style._version import __version__
from tf_style.commands import flags, runner
from tf_style.commands.request import CHECKPOINT_EVERY_SECONDS


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program.

    Args:
      argv: Arguments without the program's name; None for the process's own.

    Returns:
      The exit code: 0; 1 for a failed run; 2 for a wrong request; 130 after Ctrl-C, 143 after SIGTERM.
    """
    return runner.run(_parser(), _run, argv)


def _run(arguments: argparse.Namespace) -> int:
    # Numerical libraries take a moment to import, so `--help` has to come first.
    from tf_style.commands import stylize_run

    return stylize_run.run(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = runner.Parser(
        prog="stylize",
        description="Renders the content of one image in the style of others, by optimisation "
        "(Gatys, Ecker and Bethge, CVPR 2016). Without --style the content is reconstructed from its "
        "layer; without --content the style's texture is synthesised.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")

    # What is not given is not in the namespace: a stored request may have it.
    files = parser.add_argument_group("files", argument_default=argparse.SUPPRESS)
    files.add_argument("--content", metavar="FILE", help="the content image")
    files.add_argument("--style", metavar="FILE", action="append", help="a style image; repeatable")
    files.add_argument("--output", metavar="FILE", help=".png, .jpg, .webp or .tif")
    files.add_argument("--bit-depth", type=int, choices=(8, 16), help="16: PNG only (default: 8)")
    files.add_argument("--trace", metavar="FILE", help="write every evaluation's loss, as JSON")
    files.add_argument(
        "--save-every", metavar="N", type=int, help="also write OUTPUT-N after every N iterations"
    )

    keeping = parser.add_argument_group("long runs")
    keeping.add_argument("--checkpoint", metavar="FOLDER", help="save the run there now and then")
    keeping.add_argument(
        "--checkpoint-every",
        metavar="SECONDS",
        type=float,
        help=f"how often (default: {CHECKPOINT_EVERY_SECONDS:g})",
    )
    earlier = keeping.add_mutually_exclusive_group()
    earlier.add_argument(
        "--resume", metavar="FOLDER", help="go on with the run that was saved there, to the same bits"
    )
    earlier.add_argument("--from-trace", metavar="FILE", help="repeat the run that wrote this trace")
    keeping.add_argument(
        "--no-memory-check",
        dest="memory_check",
        action="store_false",
        help="start even if the memory does not seem to suffice",
    )
    # Its former name.
    keeping.add_argument("--force", dest="memory_check", action="store_false", help=argparse.SUPPRESS)
    keeping.add_argument(
        "--deterministic",
        action="store_true",
        default=argparse.SUPPRESS,
        help="the same bits each time, on a GPU too",
    )
    keeping.add_argument(
        "--dry-run", action="store_true", help="only print the sizes, the memory and the time expected"
    )

    flags.add_settings(parser)
    amount = runner.add_messages(parser)
    amount.add_argument("--json", action="store_true", help="an object a line on stdout, for programs")
    return parser
