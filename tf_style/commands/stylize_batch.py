"""The command line of `stylize-batch`."""

import argparse
import contextlib
import functools
import itertools
import json
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tf_style.commands import runner
from tf_style.commands.flags import add_settings
from tf_style.commands.messages import emit
from tf_style.commands.runner import add_flag, always
from tf_style.errors import InputError
from tf_style.files import reason_of, shown
from tf_style.transfer.settings import SETTING_NAMES, Settings, fields_with_files, is_file_name

if TYPE_CHECKING:
    from tf_style.commands.pairs import Pair
    from tf_style.commands.request import Request


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program.

    Args:
      argv: Arguments without the program's name; None for the process's own.

    Returns:
      The exit code: 0; 1 if a job failed; 2 for a wrong request; 130 or 143 after a signal.
    """
    return runner.run(_parser(), _run, argv)


def _run(arguments: argparse.Namespace) -> int:
    from tf_style.commands import jobs
    from tf_style.commands.pairs import Pair

    given = {name: value for name, value in vars(arguments).items() if name in SETTING_NAMES}
    # Here whole pictures go to the workers, not tiles.
    address = given.pop("ray", None)
    settings = Settings(**given)
    _check(arguments, settings)
    planned = jobs.make_jobs(
        _pairs(arguments, settings),
        arguments.output,
        settings,
        given=given,
        student=arguments.student,
    )
    report_path = os.path.join(arguments.output, "report.jsonl")
    _check_files(arguments, planned, report_path)
    report = _Report(report_path)
    run_jobs = functools.partial(jobs.run_locally, planned, arguments.workers or 1)
    if address is not None:
        from tf_style.objective import ray_pool

        ray_pool.connect(address)
        run_jobs = functools.partial(jobs.run_on_ray, planned, ray_pool.remote())
    os.makedirs(arguments.output, exist_ok=True)
    counts = dict.fromkeys(("made", "there", "error"), 0)
    told: set[str] = set()
    with (
        runner.stop_on_signals() as stop,
        _bar(len(planned), is_hidden=arguments.quiet or arguments.json) as advance,
    ):
        for record in run_jobs(should_stop=stop):
            counts[record["status"]] += 1
            report.write(record)
            # A file that is in many pairs is warned of once.
            for text in record["warnings"]:
                if text not in told:
                    emit(text, "warning")
                told.add(text)
            if record["status"] == "error":
                style = record["style"]
                pair = Pair(record["content"], style if isinstance(style, str) else tuple(style))
                emit(f"{pair.shown()}: {record['message']}", "error", **record)
            advance()
    if not arguments.quiet:
        text = f"{counts['made']} made, {counts['there']} there already, {counts['error']} failed"
        emit(f"{text}; {report_path} has each", "done", **counts)
    return stop.exit_code or (runner.EXIT_FAILED if counts["error"] else 0)


def _check(arguments: argparse.Namespace, settings: Settings) -> None:
    """Refuses what would fail for every job."""
    from tf_style.commands import sandbox
    from tf_style.network import weights

    if arguments.workers is not None and arguments.workers < 1:
        raise InputError(f"--workers are 1 or more. Received: {arguments.workers}")
    if "weights" in fields_with_files(vars(settings)):
        if os.path.isfile(settings.weights):
            sandbox.probe_weights(settings.weights)
        weights.load(settings.weights)
    if settings.init is not None and is_file_name(settings.init):
        sandbox.read(settings.init)
    if arguments.student is not None:
        from tf_style.student import stored

        student = stored.load(arguments.student)
        if settings.init != "student":
            student.resolve_strength(settings.strength)
            student.resolve_blend(settings.style_blend)


def _check_files(arguments: argparse.Namespace, planned: Sequence["Request"], report: str) -> None:
    """Refuses to write over what is read, and to read what is written, now or the next time."""
    from tf_style import files
    from tf_style.commands import outputs, pairs
    from tf_style.commands.file_roles import FileRoles

    names = [os.path.basename(job.output) for job in planned]
    for flag, pattern in (("--contents", arguments.contents), ("--styles", arguments.styles)):
        if pattern is not None and pairs.finds(pattern, arguments.output, names):
            raise InputError(
                f"--output and {flag} are the same folder: its pictures would be both. Name another "
                "folder."
            )
    reads = dict.fromkeys(read for job in planned for read in outputs.inputs(job))
    own = [("--jobs", arguments.jobs), *(("--flagfile", path) for path in arguments.flag_files)]
    roles = FileRoles([*reads, *own])
    for job in planned:
        roles.write("--output", job.output)
    roles.write("the report", report)
    files.check_folder(arguments.output)
    if os.path.isdir(arguments.output):
        files.check_writable(report)


def _pairs(arguments: argparse.Namespace, settings: Settings) -> list["Pair"]:
    from tf_style.commands import pairs

    if arguments.student is not None and settings.init != "student":
        others = ("jobs", "styles", "coarse_style", "fine_style")
        if name := next((name for name in others if getattr(arguments, name) is not None), None):
            flag = name.replace("_", "-")
            raise InputError(
                f"--{flag} would have no effect: the student has its own style. With --init student, "
                "the style is what the runs go on in."
            )
        if arguments.contents is None:
            raise InputError("--contents says what to make.")
        return [pairs.Pair(each, ()) for each in pairs.find_images(arguments.contents)]
    if arguments.jobs is not None:
        return pairs.read_manifest(arguments.jobs)
    parts = arguments.coarse_style, arguments.fine_style
    has_styles = bool(arguments.styles) != bool(all(parts)) and any(parts) == all(parts)
    if not (arguments.contents and has_styles):
        raise InputError(
            "--contents and --styles, or --coarse-style and --fine-style, or --jobs, say what to make."
        )
    contents = pairs.find_images(arguments.contents)
    if all(parts):
        return [pairs.Pair(each, parts, style_part=("coarse", "fine")) for each in contents]
    return [
        pairs.Pair(*pair) for pair in itertools.product(contents, pairs.find_images(arguments.styles))
    ]


class _Report:
    """Appends records to a file, line by line, so that it is never behind the pictures."""

    def __init__(self, path: str):
        self._path = path
        self._is_behind = False

    def write(self, record: dict[str, Any]) -> None:
        """Appends a record; a full disk ends no batch."""
        try:
            with open(self._path, "a", encoding="utf-8") as file:
                print(json.dumps(record), file=file)
        except OSError as error:
            if not self._is_behind:
                emit(f"{shown(self._path)} is not whole: {reason_of(error)}", "warning")
            self._is_behind = True


@contextlib.contextmanager
def _bar(total: int, *, is_hidden: bool) -> Iterator[Callable[[], None]]:
    """A bar over jobs, on a terminal; yields what to call after each."""
    import rich.console
    import rich.progress

    console = rich.console.Console(stderr=True)
    is_shown = console.is_terminal and not is_hidden
    with rich.progress.Progress(console=console, disable=not is_shown) as bar:
        task = bar.add_task("pictures", total=total)
        yield lambda: bar.advance(task)


def _on_pairs(arguments: argparse.Namespace) -> str | None:
    return (
        None
        if arguments.jobs is None
        else "--jobs names the pictures: leave --contents, --styles and the like out"
    )


def _on_workers(arguments: argparse.Namespace) -> str | None:
    return "with --ray the cluster's cores are used" if hasattr(arguments, "ray") else None


def _parser() -> runner.Parser:
    parser = runner.Parser(
        prog="stylize-batch",
        description="Renders all contents in all styles, or the pairs of a manifest. A picture that is "
        "there is not made again.",
        allow_abbrev=False,
    )
    jobs = parser.add_argument_group("jobs")
    add_flag(*(jobs, "--contents", _on_pairs), metavar="FOLDER|PATTERN", help="content images")
    add_flag(jobs, "--styles", _on_pairs, metavar="FOLDER|PATTERN", help="style images")
    for part, what in (("coarse", "forms"), ("fine", "brushwork")):
        add_flag(
            *(jobs, f"--{part}-style", _on_pairs),
            metavar="FILE",
            help=f"in place of --styles: the {what} of this one, beside another's",
        )
    add_flag(
        *(jobs, "--jobs", always),
        metavar="FILE",
        help="instead: a .csv or .jsonl of content and style (or coarse_style and fine_style), and "
        "perhaps content_mask, style_mask, style_blend and strength_mask",
    )
    add_flag(
        *(jobs, "--student", always),
        metavar="FOLDER",
        help="in place of --styles: a student of stylize-train, which makes the pictures in one pass; "
        "with --init student they start from its",
    )
    add_flag(
        *(jobs, "--output", always),
        metavar="FOLDER",
        required=True,
        help="pictures and report.jsonl",
    )
    add_flag(
        *(jobs, "--workers", _on_workers),
        type=int,
        metavar="N",
        help="processes; each uses all cores (default: 1)",
    )
    on_ray = {"help": "make the pictures on a Ray cluster: local or its address"}
    add_settings(parser, leave_out=("style_part",), options={"ray": on_ray})
    runner.add_json(runner.add_messages(parser))
    return parser
