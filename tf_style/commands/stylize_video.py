"""The command line of `stylize-video`. TensorFlow is imported only once all is sound."""

import argparse
from collections.abc import Sequence

from tf_style.commands import flags, runner, style_flags
from tf_style.commands.runner import add_flag, always
from tf_style.errors import InputError
from tf_style.video.options import OPTION_NAMES, VideoOptions


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program.

    Args:
      argv: Arguments without the program's name; None for the process's own.

    Returns:
      The exit code: 0; 1 for a failed run; 2 for a wrong request; 130 after Ctrl-C, 143 after SIGTERM,
      both of which write the video as far as it is made.
    """
    return runner.run(_parser(), _run, argv)


def _run(arguments: argparse.Namespace) -> int:
    try:
        import av  # noqa: F401
        import cv2  # noqa: F401
    except ImportError as error:
        raise InputError(f"Videos need {error.name}: pip install 'tf-style[video]'") from error
    # Numerical libraries take a moment to import, so `--help` has to come first.
    from tf_style.commands import video_run

    return video_run.run(arguments)


def _without_student(arguments: argparse.Namespace) -> str | None:
    return None if arguments.student is None else "the student makes each frame in one pass"


def _parser() -> runner.Parser:
    parser = runner.Parser(
        prog="stylize-video",
        description="Renders a video in the style of images, so that it does not flicker: each frame "
        "goes on from the last one (Ruder, Dosovitskiy and Brox, 2016). Killed at any moment, the same "
        "line goes on at the next frame.",
        allow_abbrev=False,
    )
    files = parser.add_argument_group("files")
    add_flag(
        *(files, "--content", always),
        metavar="FILE",
        help="a video; or pictures: a folder, or a pattern such as frames/%%05d.png",
    )
    add_flag(
        *(files, "--output", always),
        metavar="FILE",
        help=".mp4, .m4v, .mov, .mkv or .webm; or a pattern such as made/%%05d.png",
    )
    add_flag(
        *(files, "--work", always),
        metavar="FOLDER",
        help="keeps the frames until all is done, and is then removed (default: OUTPUT.work)",
    )
    add_flag(
        *(files, "--student", always),
        metavar="FOLDER",
        help="in place of --style: a student of stylize-train, which makes each frame in one pass",
    )
    # What is not given is not in the namespace.
    styles = parser.add_argument_group(
        "styles and masks",
        "Masks of the content may be videos too, or pictures, which move with it.",
        argument_default=argparse.SUPPRESS,
    )
    style_flags.add_styles(styles)
    clip = parser.add_argument_group("which frames")
    add_flag(clip, "--start", always, type=float, default=0.0, metavar="SECONDS", help="from when on")
    add_flag(clip, "--end", always, type=float, metavar="SECONDS", help="until when (default: the end)")
    add_flag(
        *(clip, "--every", always),
        type=int,
        default=1,
        metavar="N",
        help="of every N frames the first alone, at its own time (default: 1)",
    )
    add_flag(
        *(clip, "--rate", always),
        metavar="FPS",
        help="frames a second where the content is pictures, such as 25 or 30000/1001 (default: 25)",
    )
    motion = parser.add_argument_group("from frame to frame")
    for name in sorted(OPTION_NAMES):
        effect = _without_student if name == "frame_iterations" else always
        flags.add_setting(motion, name, settings=VideoOptions, effect=effect)
    run = parser.add_argument_group("the run")
    flags.add_no_memory_check(run)
    add_flag(
        *(run, "--deterministic", _without_student),
        action="store_true",
        help="the same bits each time, on a GPU too",
    )
    add_flag(
        *(run, "--dry-run", always),
        action="store_true",
        help="only print the sizes, the memory, the disk and the time expected",
    )
    # `--coarse-style` and `--fine-style` say it.
    own = {
        "style_blend": style_flags.BLEND,
        "init": {"help": "start of a shot's first frame: content, noise, style or an image file"},
    }
    flags.add_settings(parser, leave_out=("style_part",), options=own)
    runner.add_json(runner.add_messages(parser))
    return parser
