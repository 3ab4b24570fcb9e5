"""The command line of `stylize-train`. TensorFlow is imported once the request is known to be sound."""

import argparse
from collections.abc import Sequence

from tf_style.commands import flags, runner
from tf_style.commands.runner import add_flag, always
from tf_style.student.plan import SAVE_EVERY_SECONDS, Plan


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program.

    Args:
      argv: Arguments without the program's name; None for the process's own.

    Returns:
      The exit code: 0; 1 for a failed training; 2 for a wrong request; 130 after Ctrl-C, 143 after
      SIGTERM, both of which save the training.
    """
    return runner.run(_parser(), _run, argv)


def _run(arguments: argparse.Namespace) -> int:
    # Numerical libraries take a moment to import, so `--help` has to come first.
    from tf_style.commands import train_run

    return train_run.run(arguments)


def _on_new(arguments: argparse.Namespace) -> str | None:
    return None if arguments.resume is None else "--resume goes on as the training was begun"


# In which order, and under which titles, the help shows the fields of `Plan`.
_GROUPS = {
    "size": ("size", "channels", "blocks"),
    "training": ("steps", "batch", "crop", "learning_rate", "dial", "seed", "precision", "device"),
    "objective": (
        *("preset", "strength", "content_weight", "style_weight", "style_layers", "style_statistic"),
        "weights",
    ),
}


def _parser() -> runner.Parser:
    parser = runner.Parser(
        prog="stylize-train",
        description="Trains a network that renders photographs in a style in one pass, on the loss "
        "that stylize minimises. The defaults take two cores about an hour for one style; a GPU has "
        "larger ones, for the full size. It takes eight photographs or more: with a hundred it knows "
        "more of what pictures hold, and no more than fit in 1 GiB are kept. Give --dial and "
        "several styles more steps.",
        allow_abbrev=False,
    )
    files = parser.add_argument_group("files")
    add_flag(
        *(files, "--style", always),
        metavar="FILE",
        action="append",
        help="a style image; repeatable, for a student that blends them",
    )
    add_flag(
        *(files, "--photos", always),
        metavar="FOLDER",
        action="append",
        help="photographs to learn from, with those in its folders; repeatable",
    )
    add_flag(
        *(files, "--output", _on_new),
        metavar="FOLDER",
        help="a new folder, for the student, its previews, its logs for TensorBoard, its checkpoints",
    )
    add_flag(
        *(files, "--resume", always),
        metavar="FOLDER",
        help="go on with the training in it, to the same bits; --style, --photos, --preview and "
        "--weights say where they have moved to",
    )
    add_flag(
        *(files, "--checkpoint-every", always),
        type=float,
        metavar="SECONDS",
        default=SAVE_EVERY_SECONDS,
        help=f"how often the training is saved (default: {SAVE_EVERY_SECONDS:g})",
    )
    add_flag(
        *(files, "--preview", always),
        metavar="FILE",
        help="the photograph of the previews (default: the first of --photos)",
    )
    add_flag(
        *(files, "--preview-every", _on_new),
        type=int,
        metavar="N",
        help="steps from one to the next (default: a twentieth of all)",
    )
    flags.add_no_memory_check(files)
    for title, names in _GROUPS.items():
        group = parser.add_argument_group(title)
        for name in names:
            effect = always if name == "weights" else _on_new  # Its file may have moved.
            flags.add_setting(group, name, effect=effect, settings=Plan)
    runner.add_json(runner.add_messages(parser))
    return parser
