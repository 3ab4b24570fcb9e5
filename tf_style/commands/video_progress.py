"""What `stylize-video` says: its plan, its progress with the time that is left, its outcome."""

import contextlib
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

import rich.console
import rich.progress

from tf_style.commands import messages
from tf_style.commands.messages import emit
from tf_style.commands.stylize_run import Display
from tf_style.files import shown
from tf_style.video.shot import MadeFrame

if TYPE_CHECKING:
    from tf_style.student.student import Student
    from tf_style.transfer.transfer import StyleTransfer

# Of a painted frame as PNG, of 3 that it has; measured on the README's pairs: 2.1 to 2.6.
PNG_BYTES_PER_PIXEL = 2.4

# Follows the frames that are made: index, time in the video, frame, file.
Show = Callable[[int, Fraction, MadeFrame, pathlib.Path], None]


@contextlib.contextmanager
def display(num_frames: int | None, how: Display) -> Iterator[Show]:
    """Shows the progress on stderr: a bar on a terminal, else a line each frame.

    Args:
      num_frames: How many there will be, about, or None.
      how: How much to tell.

    Yields:
      What to call with each frame that is made.
    """
    console = rich.console.Console(stderr=True)
    if how.quiet:
        yield lambda index, seconds, made, path: None
    elif how.as_json or not console.is_terminal or console.is_dumb_terminal:
        yield _Lines(num_frames)
    else:
        columns = (
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TextColumn("{task.fields[state]}"),
        )
        pace = _Pace(num_frames)
        with rich.progress.Progress(*columns, console=console) as bar:
            task = bar.add_task("", total=num_frames, state="starting")

            def show(index: int, seconds: Fraction, made: MadeFrame, path: pathlib.Path) -> None:
                left = pace.left(index, made)
                state = f"{float(seconds):.2f} s of the video{_left(left)}; {path.name}"
                bar.update(task, completed=index + 1, state=state)

            yield show


class _Pace:
    """How long the rest takes: frames that go on from others cost alike, first ones much more."""

    def __init__(self, num_frames: int | None):
        self._num_frames = num_frames
        self._last, self._index = time.monotonic(), -1
        self._seconds: list[float] = []

    def left(self, index: int, made: MadeFrame) -> float | None:
        """In seconds, after a frame; None while that is not known."""
        now = time.monotonic()
        # Before the first one that a run makes it may have gone through many that were kept.
        if not made.begins_shot and index == self._index + 1:
            self._seconds = [*self._seconds[-9:], now - self._last]
        self._last, self._index = now, index
        if self._num_frames is None or not self._seconds:
            return None
        return max(0, self._num_frames - index - 1) * sum(self._seconds) / len(self._seconds)


class _Lines:
    def __init__(self, num_frames: int | None):
        self._num_frames, self._pace = num_frames, _Pace(num_frames)

    def __call__(self, index: int, seconds: Fraction, made: MadeFrame, path: pathlib.Path) -> None:
        left = self._pace.left(index, made)
        of = "" if self._num_frames is None else f" of about {self._num_frames}"
        what = ", a new shot" if made.begins_shot else ""
        emit(
            f"frame {index + 1}{of}, at {float(seconds):.3f} s{what}: {shown(path)}{_left(left)}",
            "progress",
            frame=index,
            frames=self._num_frames,
            seconds=float(seconds),
            begins_shot=made.begins_shot,
            preview=str(path),
            seconds_left=left,
        )


def _left(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f", {seconds:.0f} s left" if seconds < 120 else f", {seconds / 60:.0f} min left"


def student_plan(student: "Student", size: tuple[int, int], tile: int | None) -> list[str]:
    """What a student's frame takes, in lines; tile is the side of its tiles, if there are any."""
    from tf_style.student import memory

    needed = memory.estimate(student.stored, *size, tile, student.precision)
    return [_memory_line(needed, student.device, student.precision)]


def transfer_plan(transfer: "StyleTransfer") -> list[str]:
    """What a shot's first frame takes, in lines."""
    from tf_style.transfer import memory

    needed = memory.estimate(
        transfer.inputs, transfer.precision, tile_px=transfer.tile_px, device=transfer.device
    )
    sizes = ", ".join(f"{each.level.width} x {each.level.height}" for each in transfer.inputs.levels)
    return [
        f"a shot's first frame: {sizes}",
        _memory_line(needed, transfer.device, transfer.precision),
    ]


def _memory_line(needed: float, device: str, precision: str) -> str:
    return f"memory: about {needed / 2**30:.1f} GiB, on {device} in {precision}"


def seconds_of_frames(transfer: "StyleTransfer", frame_iterations: int) -> tuple[float, float]:
    """Of a shot's first frame, and of another one, in seconds; from two evaluations."""
    from tf_style.commands import progress

    per_pixel = progress.seconds_per_pixel(transfer)
    first = progress.seconds_of([each.level for each in transfer.inputs.levels], per_pixel)
    return first, frame_iterations * transfer.inputs.levels[-1].level.pixels * per_pixel


def print_plan(
    size: tuple[int, int],
    num_frames: int | None,
    first: float,
    other: float,
    lines: Sequence[str],
    *,
    pictures: int = 1,
) -> None:
    """Says on stdout what a video would take.

    Args:
      size: Height and width of its frames, in pixels.
      num_frames: How many, about, or None.
      first: Seconds of a shot's first frame.
      other: Of another one.
      lines: What comes before.
      pictures: How many are kept of each frame.
    """
    frame_bytes = pictures * PNG_BYTES_PER_PIXEL * size[0] * size[1]
    disk = f"disk: {frame_bytes / 2**20:.1f} MiB a frame, in the work folder until the end"
    seconds = f"time: about {first:.0f} s for a shot's first frame and {other:.1f} s for each other"
    if num_frames is not None:
        disk += f", {num_frames * frame_bytes / 2**30:.2f} GiB in all"
        seconds += f", {(first + (num_frames - 1) * other) / 60:.0f} min for one shot"
    for line in (*lines, disk, seconds):
        if messages.json_output():
            emit(line, "plan")
        else:
            print(line)


def print_summary(output: str, size: tuple[int, int], num_frames: int) -> None:
    """Says what came out, on stderr."""
    emit(
        f"wrote {shown(output)}, {num_frames} frames of {size[1]} x {size[0]} pixels",
        "done",
        output=output,
        frames=num_frames,
        height=size[0],
        width=size[1],
    )
