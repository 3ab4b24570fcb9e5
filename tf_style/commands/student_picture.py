"""What a student does for a request: the picture itself, or the one that a run starts from."""

import contextlib
import dataclasses
import json
import pathlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from tf_style import files, host
from tf_style._version import __version__
from tf_style.commands import runner, sandbox
from tf_style.commands.messages import emit
from tf_style.commands.request import Request
from tf_style.errors import InputError
from tf_style.images import writing
from tf_style.images.picture import Picture, resize, working_size
from tf_style.student import memory, stored
from tf_style.transfer import kept_colours
from tf_style.transfer.prepare import PreparedInputs
from tf_style.transfer.settings import Settings

if TYPE_CHECKING:
    from tf_style.commands.stylize_run import Display
    from tf_style.student.student import Student


@dataclasses.dataclass(frozen=True, eq=False)
class Job:
    """A picture for a student to make, read and checked. Made without TensorFlow.

    Attributes:
      request: What is asked for.
      student: Who makes it.
      photograph: The content at its working size.
    """

    request: Request
    student: stored.StoredStudent
    photograph: Picture

    @classmethod
    def prepare(cls, request: Request) -> "Job":
        """Reads what a request names.

        Raises:
          InputError: If something cannot be read or written, or the student has not learnt it.
        """
        if request.content is None or request.student is None:
            raise InputError("A student takes a content image.")
        settings = request.settings
        writing.check_output(request.output, bit_depth=request.bit_depth)
        student = stored.load(request.student)
        student.resolve_strength(settings.strength)
        student.resolve_blend(settings.style_blend)
        content = sandbox.read(request.content)
        size = working_size(content.height, content.width, settings.size, settings.size_of)
        stored.check_picture(*size)
        writing.check_output(request.output, bit_depth=request.bit_depth, size=size)
        alpha = None if content.alpha is None else resize(content.alpha, *size)
        return cls(request, student, Picture(resize(content.pixels, *size), alpha))

    def render(self, student: "Student") -> np.ndarray:
        """The picture, float32 [height, width, 3], 0..1."""
        settings, pixels = self.request.settings, self.photograph.pixels
        height, width = self.photograph.height, self.photograph.width
        tile = choose_tile(student, height, width, settings, checks=self.request.check_memory)
        if tile is not None:
            emit(f"by tiles of {tile} pixels, which takes many times as long")
        made = student.render(
            pixels, strength=settings.strength, style_blend=settings.style_blend, tile_px=tile
        )
        if settings.keep_colors is None:
            return made
        kept = kept_colours.of_result(settings.keep_colors, 255 * made, 255 * pixels)
        return np.clip(kept / np.float32(255), 0.0, 1.0)

    def write(self, picture: np.ndarray) -> None:
        """Writes it, with what it was made from.

        Raises:
          TransferError: If it cannot be written.
        """
        writing.write(
            self.request.output,
            picture,
            alpha=self.photograph.alpha,
            bit_depth=self.request.bit_depth,
            description=_description(self),
        )


def carry_out(
    request: Request,
    display: "Display",
    stopping: Callable[[], contextlib.AbstractContextManager[runner.Stop]] = runner.stop_on_signals,
) -> int:
    """Makes a picture in one pass of the student's network.

    Args:
      request: What was asked for.
      display: How much to tell.
      stopping: As of `stylize_run.Program`.

    Returns:
      The exit code.

    Raises:
      InputError: If it cannot be done as it is asked for.
      TransferError: If the picture cannot be written.
    """
    start = time.perf_counter()
    for name in ("trace", "save_every", "checkpoint", "checkpoint_every", "deterministic"):
        if getattr(request, name):
            flag = name.replace("_", "-")
            raise InputError(
                f"--{flag} would have no effect: the student makes the picture in one pass."
            )
    job = Job.prepare(request)
    height, width = job.photograph.height, job.photograph.width
    if request.dry_run:
        with runner.startup_noise_hidden():
            device, precision = _where(request)
        tile = memory.choose_tile(
            *(job.student, height, width, request.settings),
            precision=precision,
            device=device,
            checks=request.check_memory,
        )
        needed = memory.estimate(job.student, height, width, tile, precision)
        by = "as a whole" if tile is None else f"by tiles of {tile} pixels"
        emit(
            f"{width} x {height} pixels in {', '.join(map(files.shown, job.student.styles))}, {by}, on "
            f"{device} in {precision}; memory: about {needed / 2**30:.1f} GiB",
            "plan",
        )
        return 0
    # Until there is a picture nothing would be lost: Ctrl-C ends at once what may take minutes.
    picture = job.render(load(request, verbose=display.verbose))
    with stopping() as stop:
        if stop():
            return runner.fail("interrupted before the picture was written", stop.exit_code)
        job.write(picture)
    if not display.quiet:
        seconds = time.perf_counter() - start
        emit(
            f"wrote {files.shown(request.output)}, {width} x {height} pixels, by the student: "
            f"{seconds:.1f} s",
            "done",
            output=request.output,
            width=width,
            height=height,
            seconds=seconds,
        )
    return stop.exit_code


def load(request: Request, *, verbose: bool = False) -> "Student":
    """Imports TensorFlow, and builds a request's student.

    Raises:
      InputError: If there is none that is whole, or no such device.
    """
    if request.student is None:
        raise InputError("--student names the student.")
    if request.check_memory:
        host.check_import()
    with contextlib.nullcontext() if verbose else runner.startup_noise_hidden():
        import tensorflow as tf

        from tf_style.student.student import Student

        # Or a GPU would round the factors of float32 products to 10 bits.
        tf.config.experimental.enable_tensor_float_32_execution(False)
        device, precision = _where(request)
        return Student.load(request.student, precision=precision, device=device)


def choose_tile(
    student: "Student", height: int, width: int, settings: Settings, *, checks: bool
) -> int | None:
    """As `memory.choose_tile`, where a student is."""
    return memory.choose_tile(
        *(student.stored, height, width, settings),
        precision=student.precision,
        device=student.device,
        checks=checks,
    )


def _where(request: Request) -> tuple[str, str]:
    """The device of a request, and the network's precision there."""
    from tf_style.transfer.devices import resolve_device, resolve_precision

    device = resolve_device(request.settings.device)
    if device.startswith("/GPU"):
        host.gpu_free(device)  # Kept by it: TensorFlow takes all of it as soon as it begins.
    return device, resolve_precision(request.settings.precision, device)


def as_start(request: Request, inputs: PreparedInputs) -> PreparedInputs:
    """The inputs of a run that starts from the student's picture. Imports TensorFlow.

    The student renders the strength and the blend that the run goes on with, where it has learnt them,
    and else what it has learnt.
    """
    import tensorflow as tf

    from tf_style.transfer.enlarge import finest

    photograph = inputs.levels[-1].content
    if photograph is None:
        raise InputError("init is 'student', but there is no content image.")
    student, settings = load(request, verbose=True), request.settings
    known = student.stored
    has_styles = settings.style_blend is not None and len(settings.style_blend) == len(known.styles) > 1
    height, width, _ = photograph.shape
    stored.check_picture(height, width)
    made = student.render(
        photograph / np.float32(255),
        strength=settings.strength if known.dial else None,
        style_blend=settings.style_blend if has_styles else None,
        tile_px=choose_tile(student, height, width, settings, checks=False),
    )
    batch = tf.constant(made[np.newaxis])
    # What a network leaves there the loss hardly sees, and the optimiser would not take away.
    smooth = np.clip((batch - finest(batch))[0].numpy(), 0.0, 1.0)
    coarsest = inputs.levels[0].level
    initial = 255 * resize(smooth, coarsest.height, coarsest.width)
    initial = kept_colours.of_photograph(settings.keep_colors, initial)
    return dataclasses.replace(inputs, initial=initial)


def _description(job: Job) -> str:
    """How a picture was made, for its metadata: one line of JSON without the folders' names."""
    settings, student = job.request.settings, job.student
    record = {
        "made_by": f"tf_style {__version__}",
        "content": pathlib.Path(job.request.content or "").name,
        "student": pathlib.Path(job.request.student or "").name,
        "styles": list(student.styles),
        "strength": student.resolve_strength(settings.strength),
        "style_blend": student.resolve_blend(settings.style_blend),
        "keep_colors": settings.keep_colors,
    }
    return json.dumps(record)
