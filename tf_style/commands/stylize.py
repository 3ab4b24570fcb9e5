"""The command line of `stylize`. TensorFlow is imported only once the request is known to be sound."""

import argparse
from collections.abc import Sequence

from tf_style._version import __version__
from tf_style.commands import flags, runner, style_flags
from tf_style.commands.request import CHECKPOINT_EVERY_SECONDS
from tf_style.commands.runner import add_flag, always


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


def _on_checkpoint(arguments: argparse.Namespace) -> str | None:
    return None if arguments.resume is None else "--resume saves where it goes on from"


def _on_checkpoint_every(arguments: argparse.Namespace) -> str | None:
    is_saved = arguments.checkpoint is not None or arguments.resume is not None
    return None if is_saved else "there is no --checkpoint"


def _on_memory(arguments: argparse.Namespace) -> str | None:
    is_tiled_by_memory = getattr(arguments, "tile", "auto") == "auto" and not hasattr(arguments, "ray")
    if arguments.memory_check or is_tiled_by_memory:
        return None
    return "it is not checked, and does not choose the tile"


def _parser() -> runner.Parser:
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
    add_flag(files, "--content", always, metavar="FILE", help="the content image")
    style_flags.add_styles(files)
    add_flag(
        *(files, "--student", always),
        metavar="FOLDER",
        help="a student that stylize-train has made: it makes the picture, in its own style, at the "
        "strength that it has learnt, in one pass; with --init student the run starts from it",
    )
    add_flag(files, "--output", always, metavar="FILE", help=".png, .jpg, .webp or .tif")
    add_flag(
        *(files, "--bit-depth", always), type=int, choices=(8, 16), help="16: PNG only (default: 8)"
    )
    add_flag(files, "--trace", always, metavar="FILE", help="write every evaluation's loss, as JSON")
    add_flag(
        *(files, "--save-every", always),
        metavar="N",
        type=int,
        help="also write OUTPUT-N after every N iterations",
    )

    keeping = parser.add_argument_group("long runs")
    add_flag(
        *(keeping, "--checkpoint", _on_checkpoint),
        metavar="FOLDER",
        help="save the run there now and then",
    )
    add_flag(
        *(keeping, "--checkpoint-every", _on_checkpoint_every),
        metavar="SECONDS",
        type=float,
        help=f"how often (default: {CHECKPOINT_EVERY_SECONDS:g})",
    )
    earlier = keeping.add_mutually_exclusive_group()
    add_flag(
        *(earlier, "--resume", always),
        metavar="FOLDER",
        help="go on with the run that was saved there, to the same bits",
    )
    add_flag(
        *(earlier, "--from-trace", always), metavar="FILE", help="repeat the run that wrote this trace"
    )
    flags.add_no_memory_check(keeping, names=["--force"])  # Its former name.
    add_flag(
        *(keeping, "--deterministic", always),
        action="store_true",
        default=argparse.SUPPRESS,
        help="the same bits each time, on a GPU too",
    )
    add_flag(
        *(keeping, "--dry-run", always),
        action="store_true",
        help="only print the sizes, the memory, the files and the time expected",
    )

    # `stylize --help` has `--coarse-style` and `--fine-style` instead.
    flags.add_settings(
        parser, leave_out=("style_part",), options={"style_blend": style_flags.BLEND}, memory=_on_memory
    )
    amount = runner.add_messages(parser)
    runner.add_json(amount)
    return parser
