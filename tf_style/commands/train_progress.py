"""What `stylize-train` says and keeps on the way: progress, previews, logs for TensorBoard."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import rich.console
import rich.progress
import tensorflow as tf

from tf_style import files
from tf_style.commands.messages import emit
from tf_style.images import writing
from tf_style.student import files as student_files
from tf_style.student.progress import TrainingProgress
from tf_style.student.student import Student
from tf_style.student.training import Training

LINE_EVERY_SECONDS = 10.0
DEFAULT_PREVIEWS = 20


@contextlib.contextmanager
def display(*, quiet: bool, as_json: bool = False) -> Iterator[Callable[[TrainingProgress], None]]:
    """Shows the progress on stderr: a bar on a terminal, else a line now and then.

    Args:
      quiet: Whether to show nothing.
      as_json: Whether to print an object each time, on stdout.

    Yields:
      A callback for `Training.run`.
    """
    console = rich.console.Console(stderr=True)
    if quiet:
        yield lambda progress: None
    elif as_json or not console.is_terminal or console.is_dumb_terminal:
        yield _Lines(every_seconds=0.0 if as_json else LINE_EVERY_SECONDS)
    else:
        with _bar(console) as show:
            yield show


@contextlib.contextmanager
def _bar(console: rich.console.Console) -> Iterator[Callable[[TrainingProgress], None]]:
    columns = (
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TextColumn("{task.fields[state]}"),
    )
    with rich.progress.Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=None, state="starting")
        yield lambda progress: bar.update(
            task, total=progress.steps, completed=progress.step, state=_state(progress)
        )


class _Lines:
    def __init__(self, *, every_seconds: float):
        self._every, self._last = every_seconds, -np.inf

    def __call__(self, progress: TrainingProgress) -> None:
        now = time.monotonic()
        if now - self._last < self._every and progress.step < progress.steps:
            return
        self._last = now
        emit(
            f"step {progress.step} of {progress.steps}: {_state(progress)}",
            "progress",
            step=progress.step,
            steps=progress.steps,
            seconds=progress.seconds,
            seconds_per_step=progress.seconds_per_step,
            seconds_left=progress.seconds_left,
            **progress.losses,
        )


def _state(progress: TrainingProgress) -> str:
    losses = progress.losses
    text = f"loss {losses['loss']:.4g} (content {losses['content']:.4g}, style {losses['style']:.4g})"
    if progress.seconds_per_step is None or progress.seconds_left is None:
        return text
    return f"{text}, {progress.seconds_per_step:.2f} s a step, {_duration(progress.seconds_left)} left"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


class Keeper:
    """Writes previews and logs into a student's folder. A full disk ends no training."""

    def __init__(
        self, folder: str | os.PathLike, photograph: np.ndarray, every: int | None, training: Training
    ):
        """Takes what is shown.

        Args:
          folder: The student's.
          photograph: Of the previews, float32 [height, width, 3], 0..1.
          every: Steps from one preview to the next; None for a twentieth of all.
          training: Whose.
        """
        self._folder, self._photograph = folder, photograph
        steps = training.rounds * training.round_steps
        self._every = max(1, steps // DEFAULT_PREVIEWS) if every is None else every
        self._last = training.rounds_done * training.round_steps
        self._student: Student | None = None
        logs = student_files.logs(folder)
        self._writer: Any = None
        with files.going_on_without("the logs"):
            with _as_transfer_error(logs):
                student_files.preview(folder, 0).parent.mkdir(parents=True, exist_ok=True)
                self._writer = tf.summary.create_file_writer(str(logs))

    def __call__(self, progress: TrainingProgress) -> None:
        """Writes what is due."""
        picture = None
        if progress.step // self._every > self._last // self._every or progress.step == progress.steps:
            picture = self._render(progress.student())
            with files.going_on_without("this preview"):
                writing.write(student_files.preview(self._folder, progress.step), picture)
        self._last = progress.step
        if self._writer is None:
            return
        with files.going_on_without("these logs"):
            with (
                _as_transfer_error(student_files.logs(self._folder)),
                self._writer.as_default(progress.step),
            ):
                for name, value in progress.losses.items():
                    _summarise("scalars", name, tf.constant(value, tf.float32))
                if picture is not None:
                    png = tf.io.encode_png(tf.image.convert_image_dtype(picture, tf.uint8))
                    height, width = (str(side) for side in picture.shape[:2])
                    _summarise("images", "preview", tf.stack([width, height, png]))
                self._writer.flush()

    def _render(self, student: Student) -> np.ndarray:
        """The preview, by the first student with the weights of this one: each traces its network."""
        if self._student is None:
            self._student = student
        else:
            self._student.network.load(student.stored.arrays)
        return self._student.render(self._photograph)

    def close(self) -> None:
        """Ends the logs."""
        if self._writer is not None:
            self._writer.close()


def _summarise(plugin: str, name: str, value: tf.Tensor) -> None:
    """Logs a value for one of TensorBoard's plugins, which need not be installed to be written for."""
    metadata = tf.compat.v1.SummaryMetadata()
    metadata.plugin_data.plugin_name = plugin
    tf.summary.write(name, value, metadata=metadata)


@contextlib.contextmanager
def _as_transfer_error(path: Any) -> Iterator[None]:
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        raise files.not_written(path, error) from error


def print_summary(output: str, training: Training, student: Student) -> None:
    """Says what came out, on stderr."""
    step, steps = training.rounds_done * training.round_steps, training.rounds * training.round_steps
    if step == steps:
        how = "all steps"
    elif training.has_ended:
        how = "no longer improves"
    else:
        how = "stopped: --resume goes on"
    losses = training.history[-1] if training.history else (float("nan"),)
    emit(
        f"wrote {files.shown(output)}: {step} of {steps} steps ({how}), loss {losses[0]:.4g}; stylize "
        "--student renders with it",
        "done",
        output=output,
        step=step,
        steps=steps,
        loss=losses[0],
        styles=list(student.stored.styles),
    )
