"""The command line of `stylize-video`. TensorFlow is imported only once all is sound."""

import argparse
from collections.abc import Sequence

from tf_style.commands import flags, runner
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


def _on_iterations_of_frames(arguments: argparse.Namespace) -> str | None:
    return None if arguments.student is None else "the student makes each frame in one pass"


def _style(text: str) -> str | None:
    return None if text == "none" else text


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
        *(files, "--style", always),
        metavar="FILE|none",
        action="append",
        default=[],
        type=_style,
        help="a style image; repeatable; with masks none keeps the photograph in its region",
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
    masks = parser.add_argument_group("masks, each a picture, or a video or pictures that move along")
    add_flag(
        *(masks, "--content-mask", always),
        metavar="FILE",
        action="append",
        default=[],
        help="where the style goes, white; one for each --style, or one of labels for all",
    )
    add_flag(
        *(masks, "--style-mask", always),
        metavar="FILE|none",
        action="append",
        default=[],
        type=_style,
        help="the part of each style that is meant: a picture, or none for the whole",
    )
    add_flag(
        *(masks, "--strength-mask", always),
        metavar="FILE",
        help="what --strength is multiplied by: white for 1, black keeps the photograph",
    )
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
        effect = _on_iterations_of_frames if name == "frame_iterations" else always
        flags.add_setting(motion, name, settings=VideoOptions, effect=effect)
    run = parser.add_argument_group("the run")
    add_flag(
        *(run, "--no-memory-check", always),
        dest="memory_check",
        action="store_false",
        help="start even if the memory does not seem to suffice",
    )
    add_flag(
        *(run, "--deterministic", always),
        action="store_true",
        help="the same bits each time, on a GPU too",
    )
    add_flag(
        *(run, "--dry-run", always),
        action="store_true",
        help="only print the sizes, the memory, the disk and the time expected",
    )
    blend = {
        "action": "append",
        "type": flags.numbers_or_file,
        "metavar": "W,...|FILE",
        "help": "one weight for each style image, of any sum; or repeatable, a grey mask for each, or "
        "for each but the last",
    }
    flags.add_settings(parser, leave_out=("style_part",), options={"style_blend": blend})
    runner.add_json(runner.add_messages(parser))
    return parser
