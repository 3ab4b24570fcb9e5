"""The command line of `stylize-export`. TensorFlow is imported only once the request is parsed."""

import argparse
import contextlib
import pathlib
from collections.abc import Sequence

from tf_style._version import __version__
from tf_style.commands import flags, runner
from tf_style.commands.messages import emit
from tf_style.errors import InputError


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program.

    Args:
      argv: Arguments without the program's name; None for the process's own.

    Returns:
      The exit code: 0; 1 for a failed run; 2 for a wrong request.
    """
    return runner.run(_parser(), _run, argv)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.student is not None:
        return _export_student(arguments)
    if not arguments.style:
        raise InputError("--style names a style image, or --student a student.")
    known = _SETTINGS.keys() | _WHOLE_NUMBERS.keys()
    with contextlib.nullcontext() if arguments.verbose else runner.startup_noise_hidden():
        from tf_style.serve.export import export_saved_model

        folder = export_saved_model(
            arguments.style,
            arguments.output,
            **{name: value for name, value in vars(arguments).items() if name in known},
        )
    _tell(folder)
    return 0


def _export_student(arguments: argparse.Namespace) -> int:
    from tf_style.commands.file_roles import FileRoles
    from tf_style.student import stored

    stored.load(arguments.student)
    given = {name: getattr(arguments, name) for name in _OF_STUDENTS if hasattr(arguments, name)}
    with contextlib.nullcontext() if arguments.verbose else runner.startup_noise_hidden():
        if arguments.format == "tflite":
            own = stored.files(arguments.student)
            roles = FileRoles([("--student", path) for path in own])
            roles.write("--output", arguments.output)
            from tf_style.serve.student_lite import export_lite

            weights = arguments.lite_weights
            levels = export_lite(arguments.student, arguments.output, weights=weights)
        else:
            from tf_style.serve.student_export import export_student

            _tell(export_student(arguments.student, arguments.output, **given))
            return 0
    size = pathlib.Path(arguments.output).stat().st_size
    emit(
        f"wrote {arguments.output}, {size / 1e6:.1f} MB; on a random picture at most {levels:.1f} "
        "levels of 255 from the Keras model",
        largest_difference=levels,
    )
    return 0


def _tell(folder: pathlib.Path) -> None:
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    emit(f"wrote {folder}, {size / 1e6:.1f} MB; its README.md says how to serve it")


def _on_style(arguments: argparse.Namespace) -> str | None:
    return None if arguments.student is None else "the student has its own style"


def _on_optimiser(arguments: argparse.Namespace) -> str | None:
    return None if arguments.student is None else "the student makes pictures in one pass"


def _on_saved_model(arguments: argparse.Namespace) -> str | None:
    return None if arguments.format == "saved_model" else "it is of a SavedModel"


def _on_format(arguments: argparse.Namespace) -> str | None:
    return "a SavedModel is what is exported of a style" if arguments.student is None else None


def _on_lite_weights(arguments: argparse.Namespace) -> str | None:
    return None if arguments.format == "tflite" else "it is of --format tflite"


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


# Those that an export of a student has too.
_OF_STUDENTS = ("size", "precision", "version")


def _parser() -> runner.Parser:
    parser = runner.Parser(
        prog="stylize-export",
        description="Writes a SavedModel that renders pictures in a style, for TensorFlow Serving "
        f"and the like. Of tf_style {__version__}.",
        allow_abbrev=False,
    )
    runner.add_flag(
        *(parser, "--style", _on_style),
        metavar="FILE",
        action="append",
        help="repeatable, to blend them",
    )
    runner.add_flag(
        *(parser, "--student", runner.always),
        metavar="FOLDER",
        help="in place of --style: a student of stylize-train",
    )
    runner.add_flag(
        *(parser, "--format", _on_format),
        choices=("saved_model", "tflite"),
        default="saved_model",
        help="of a student's export (default: saved_model)",
    )
    runner.add_flag(
        *(parser, "--lite-weights", _on_lite_weights),
        choices=("float16", "int8"),
        default="float16",
        help="with --format tflite (default: float16)",
    )
    runner.add_flag(
        *(parser, "--output", runner.always),
        metavar="FOLDER|FILE",
        required=True,
        help="the model's folder, in which each export is a number; with --format tflite a file",
    )
    for name, options in _SETTINGS.items():
        effect = _on_saved_model if name in _OF_STUDENTS else _on_optimiser
        flags.add_setting(parser, name, effect=effect, **options)
    for name, text in _WHOLE_NUMBERS.items():
        runner.add_flag(
            *(parser, flags.flag(name), _on_saved_model if name in _OF_STUDENTS else _on_optimiser),
            type=int,
            metavar="N",
            default=argparse.SUPPRESS,
            help=text,
        )
    runner.add_messages(parser)
    return parser
