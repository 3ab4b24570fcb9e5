"""What the command line says about a run: its plan, its progress, its outcome."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence

import rich.console
import rich.progress

from tf_style import files
from tf_style._version import __version__
from tf_style.commands import messages
from tf_style.commands.messages import emit
from tf_style.commands.provenance import losses
from tf_style.transfer import memory
from tf_style.transfer.devices import run_on
from tf_style.transfer.pyramid import Level
from tf_style.transfer.result import Evaluation, Progress, StylizeResult
from tf_style.transfer.transfer import StyleTransfer

LINE_EVERY_ITERATIONS = 25


@contextlib.contextmanager
def progress_display(*, quiet: bool, as_json: bool = False) -> Iterator[Callable[[Progress], None]]:
    """Shows the progress on stderr: a bar on a terminal, else a line now and then.

    Args:
      quiet: Whether to show nothing.
      as_json: Whether to print an object each time, on stdout.

    Yields:
      A callback for `StyleTransfer.run`.
    """
    console = rich.console.Console(stderr=True)
    if quiet:
        yield lambda progress: None
    elif as_json:
        yield _ObjectPrinter()
    elif console.is_terminal and not console.is_dumb_terminal:
        with _bar(console) as show:
            yield show
    else:
        yield _LinePrinter()


@contextlib.contextmanager
def _bar(console: rich.console.Console) -> Iterator[Callable[[Progress], None]]:
    columns = (
        rich.progress.TextColumn("{task.fields[size]}"),
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TextColumn("{task.fields[state]}"),
        rich.progress.TimeRemainingColumn(),
    )
    with rich.progress.Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=None, size="", state="starting")

        def show(progress: Progress) -> None:
            bar.update(
                task,
                total=progress.max_iterations,
                completed=progress.iteration,
                size=f"{progress.width} x {progress.height}",
                state=f"loss {progress.evaluations[-1].loss:.4g}  {_rate(progress):.2f} evaluations/s",
            )

        yield show


class _LinePrinter:
    def __init__(self):
        self._next = 1

    def __call__(self, progress: Progress) -> None:
        is_last = progress.iteration >= progress.max_iterations
        if progress.iteration < self._next and not is_last:
            return
        self._next = (progress.iteration // LINE_EVERY_ITERATIONS + 1) * LINE_EVERY_ITERATIONS
        last = progress.evaluations[-1]
        emit(
            f"iteration {progress.iteration} of {progress.max_iterations} "
            f"at {progress.width} x {progress.height}, "
            f"{_loss_text(last)}, {_rate(progress):.2f} evaluations/s"
        )


class _ObjectPrinter:
    def __init__(self):
        self._level = -1

    def __call__(self, progress: Progress) -> None:
        size = {"level": progress.level, "width": progress.width, "height": progress.height}
        if progress.level != self._level:
            self._level = progress.level
            of = f"level {progress.level + 1} of {progress.num_levels}"
            emit(f"{of}, {progress.width} x {progress.height} pixels", "level", **size)
        last = progress.evaluations[-1]
        emit(
            f"iteration {progress.iteration} of {progress.max_iterations}",
            "progress",
            iteration=progress.iteration,
            max_iterations=progress.max_iterations,
            evaluations=len(progress.evaluations),
            **size,
            **losses(last),
            evaluations_per_second=_rate(progress),
        )


def _rate(progress: Progress) -> float:
    """Evaluations a second at this level, without its first, whose time is mostly tracing."""
    evaluations = progress.evaluations
    last = evaluations[-1]
    first = next(evaluation for evaluation in evaluations if evaluation.level == last.level)
    return (last.index - first.index) / (last.time - first.time) if last.time > first.time else 0.0


def print_start(transfer: StyleTransfer, *, verbose: bool) -> None:
    """Says where and how the run will go, to those who asked."""
    text = f"{_sizes(transfer)} pixels on {transfer.device} in {transfer.precision}"
    if messages.json_output():
        on = {**run_on(transfer.device, transfer.precision), "device": transfer.device}
        emit(text, "start", version=__version__, **on)
    if not verbose:
        return
    emit(text)
    emit(f"computed by the {transfer.kernel.kernel} kernels: {transfer.kernel.reason}")
    emit(f"{transfer.inputs.preset}")


def _sizes(transfer: StyleTransfer) -> str:
    levels = (pictures.level for pictures in transfer.inputs.levels)
    return ", then ".join(f"{level.width} x {level.height}" for level in levels)


def print_plan(transfer: StyleTransfer, outputs: str, *, has_checkpoint: bool = False) -> None:
    """Says on stdout what a run would do and need: sizes, memory, files, and time from two evaluations.

    Args:
      transfer: The run's.
      outputs: The files that it would write, in words.
      has_checkpoint: Whether the run would be saved now and then.
    """
    levels = [pictures.level for pictures in transfer.inputs.levels]
    seconds = seconds_of(levels, seconds_per_pixel(transfer))
    memory_bytes = memory.estimate(
        transfer.inputs,
        transfer.precision,
        tile_px=transfer.tile_px,
        has_checkpoint=has_checkpoint,
        device=transfer.device,
    )
    lines = [
        f"level {index}: {level.width} x {level.height} pixels, {level.iterations} iterations"
        for index, level in enumerate(levels)
    ]
    if regions := transfer.inputs.levels[-1].regions:
        lines.append(f"regions: {len(regions)} with a style")
    lines += [
        f"memory: about {memory_bytes / 2**30:.1f} GiB at most"
        + ("" if transfer.tile_px is None else f", by tiles of {transfer.tile_px} pixels"),
        f"time: about {seconds:.0f} s on {transfer.device} in {transfer.precision}, after the start-up",
        f"files: {outputs}",
    ]
    for line in lines:
        if messages.json_output():
            emit(line, "plan")
        else:
            print(line)


def seconds_per_pixel(transfer: StyleTransfer) -> float:
    """Of an evaluation, by a pixel of the first size: measured by two, of which the first traces."""
    image = transfer.image.read_value()
    transfer.objective.parts_and_gradient(image)
    start = time.perf_counter()
    transfer.objective.parts_and_gradient(image)[0].numpy()
    return (time.perf_counter() - start) / (image.shape[1] * image.shape[2])


def seconds_of(levels: Sequence[Level], seconds_per_pixel: float) -> float:
    """Of a run in these sizes, after the start-up."""
    return sum(level.iterations * level.pixels * seconds_per_pixel for level in levels)


def print_summary(output: str, result: StylizeResult) -> None:
    """Says what came out, on stderr."""
    height, width, _ = result.image.shape
    # A run that was stopped as it entered a level has no evaluation there.
    final = result.final
    emit(
        f"wrote {files.shown(output)}, {width} x {height} pixels: "
        f"{result.iterations} iterations, {len(result.evaluations)} evaluations, "
        + ("" if final is None else f"{_loss_text(final)}, ")
        + f"{result.seconds:.1f} s ({result.status.text})",
        "done",
        output=output,
        width=width,
        height=height,
        status=result.status.name.lower(),
        iterations=result.iterations,
        evaluations=len(result.evaluations),
        **({} if final is None else losses(final)),
        seconds=result.seconds,
    )


def _loss_text(evaluation: Evaluation) -> str:
    return (
        f"loss {evaluation.loss:.4g} (content {evaluation.content:.4g}, style {evaluation.style:.4g})"
    )
