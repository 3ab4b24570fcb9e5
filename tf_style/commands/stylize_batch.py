"""The command line of `stylize-batch`."""

import argparse
import contextlib
import functools
import itertools
import json
import os
from collections.abc import Callable, Iterator, Sequence

from tf_style.commands import runner
from tf_style.commands.flags import add_settings
from tf_style.commands.messages import emit
from tf_style.errors import InputError
from tf_style.transfer.settings import SETTING_NAMES, Settings, fields_with_files, is_file_name


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program.

    Args:
      argv: Arguments without the program's name; None for the process's own.

    Returns:
      The exit code: 0; 1 if a job failed; 2 for a wrong request; 130 or 143 after a signal.
    """
    return runner.run(_parser(), _run, argv)


def _run(arguments: argparse.Namespace) -> int:
    from tf_style import files
    from tf_style.commands import jobs

    given = {name: value for name, value in vars(arguments).items() if name in SETTING_NAMES}
    # Here whole pictures go to the workers, not tiles.
    address = given.pop("ray", None)
    settings = Settings(**given)
    _check(arguments, settings, address)
    planned = jobs.make_jobs(_pairs(arguments), arguments.output, settings)
    files.check_folder(arguments.output)
    report = os.path.join(arguments.output, "report.jsonl")
    files.check_writable(report)
    run_jobs = functools.partial(jobs.run_locally, planned, arguments.workers or 1)
    if address is not None:
        from tf_style.objective import ray_pool

        ray_pool.connect(address)
        run_jobs = functools.partial(jobs.run_on_ray, planned, ray_pool.remote())
    counts = dict.fromkeys(("made", "there", "error"), 0)
    told: set[str] = set()
    with (
        runner.stop_on_signals() as stop,
        open(report, "a", encoding="utf-8") as file,
        _bar(len(planned), is_hidden=arguments.quiet or arguments.json) as advance,
    ):
        for record in run_jobs(should_stop=stop):
            counts[record["status"]] += 1
            # Line by line, so that a report is never behind the pictures.
            print(json.dumps(record), file=file, flush=True)
            # A file that is in many pairs is warned of once.
            for text in record["warnings"]:
                if text not in told:
                    emit(text, "warning")
                told.add(text)
            if record["status"] == "error":
                pair = f"{record['content']} in {record['style']}"
                emit(f"{pair}: {record['message']}", "error", **record)
            advance()
    if not arguments.quiet:
        text = f"{counts['made']} made, {counts['there']} there already, {counts['error']} failed"
        emit(f"{text}; {report} has each", "done", **counts)
    return stop.exit_code or (runner.EXIT_FAILED if counts["error"] else 0)


def _check(arguments: argparse.Namespace, settings: Settings, address: str | None) -> None:
    """Refuses what would fail for every job."""
    from tf_style.commands import sandbox
    from tf_style.network import weights

    settings.resolve(has_content=True, num_styles=1)
    if arguments.workers is not None and arguments.workers < 1:
        raise InputError(f"--workers are 1 or more. Received: {arguments.workers}")
    if arguments.workers is not None and address is not None:
        raise InputError("--workers would have no effect: with --ray the cluster's cores are used.")
    if arguments.contents and os.path.isdir(arguments.contents):
        if os.path.realpath(arguments.contents) == os.path.realpath(arguments.output):
            raise InputError("--output and --contents are the same folder: its pictures would be both.")
    if "weights" in fields_with_files(vars(settings)):
        if os.path.isfile(settings.weights):
            sandbox.probe_weights(settings.weights)
        weights.load(settings.weights)
    if settings.init is not None and is_file_name(settings.init):
        sandbox.read(settings.init)


def _pairs(arguments: argparse.Namespace) -> list[tuple[str, str]]:
    from tf_style.commands import jobs

    if arguments.jobs is not None:
        if arguments.contents or arguments.styles:
            raise InputError("--jobs names the pairs: leave --contents and --styles out.")
        return jobs.read_manifest(arguments.jobs)
    if not (arguments.contents and arguments.styles):
        raise InputError("--contents and --styles, or --jobs, say what to make.")
    contents, styles = (jobs.find_images(each) for each in (arguments.contents, arguments.styles))
    return list(itertools.product(contents, styles))


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


def _parser() -> argparse.ArgumentParser:
    parser = runner.Parser(
        prog="stylize-batch",
        description="Renders all contents in all styles, or the pairs of a manifest. A picture that is "
        "there is not made again.",
        allow_abbrev=False,
    )
    jobs = parser.add_argument_group("jobs")
    jobs.add_argument("--contents", metavar="FOLDER|PATTERN", help="content images")
    jobs.add_argument("--styles", metavar="FOLDER|PATTERN", help="style images")
    jobs.add_argument("--jobs", metavar="FILE", help="instead: a .csv or .jsonl of content and style")
    jobs.add_argument("--output", metavar="FOLDER", required=True, help="pictures and report.jsonl")
    jobs.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes; each uses all cores (default: 1)",
    )
    add_settings(parser)
    amount = runner.add_messages(parser)
    amount.add_argument("--json", action="store_true", help="an object a line on stdout, for programs")
    return parser
