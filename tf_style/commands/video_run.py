"""One run of `stylize-video`, from arguments to a video. TensorFlow is imported once all is sound."""

import argparse
import contextlib
import dataclasses
import functools
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import av
import cv2

from tf_style import host
from tf_style.commands import runner, sandbox, stylize_run
from tf_style.commands.messages import emit
from tf_style.commands.stylize_run import Display
from tf_style.commands.video_output import Shown, VideoOutput
from tf_style.commands.video_request import VideoRequest
from tf_style.errors import InputError, TransferError
from tf_style.files import reason_of, shown
from tf_style.images.picture import Picture, resize, working_size
from tf_style.student import stored
from tf_style.transfer import checkpoint_lock, memory
from tf_style.transfer.masks import Masks
from tf_style.video import sequence
from tf_style.video.clip import Frame
from tf_style.video.frame_inputs import FrameInputs
from tf_style.video.masks import MaskReader
from tf_style.video.opening import open_clip
from tf_style.video.reading import VideoReader
from tf_style.video.sequence import SequenceReader
from tf_style.video.work import WorkFolder

if TYPE_CHECKING:
    from tf_style.student.student import Student
    from tf_style.video.frames import FrameMaker


def run(arguments: argparse.Namespace) -> int:
    """Carries out what the command line asks for.

    Args:
      arguments: As `stylize-video` parses them.

    Returns:
      The exit code.

    Raises:
      InputError: If it cannot be done as it is asked for.
      TransferError: If the run failed.
    """
    if arguments.memory_check:
        host.check_import()
    display = Display.of(arguments)
    request = VideoRequest.of(vars(arguments))
    request.check_files(arguments.flag_files)
    job = _Job.prepare(request)
    record = request.record()
    job.work.check(record)
    if request.frame.dry_run:
        return _dry_run(job, display)
    with checkpoint_lock.held(request.work), runner.stop_on_signals() as stop:
        code = _make(job, record, display, stop)
    job.work.remove_if_empty()
    return code


@dataclasses.dataclass(frozen=True, eq=False)
class _Job:
    """A video to make, read and checked.

    Attributes:
      request: What is asked for.
      reader: Its frames.
      size: Height and width of the frames to make.
      inputs: What all frames have in common; unused where a student makes them.
      work: Where the frames are kept.
    """

    request: VideoRequest
    reader: VideoReader | SequenceReader
    size: tuple[int, int]
    inputs: FrameInputs
    work: WorkFolder

    @classmethod
    def prepare(cls, request: VideoRequest) -> "_Job":
        frame = request.frame
        reader = open_clip(frame.content or "", request.rate)
        clip, settings = reader.clip, frame.settings
        start = float(request.span.start)
        # Of files that were joined it is the first one's.
        if not reader.may_restart and clip.seconds is not None and start >= clip.seconds:
            raise InputError(f"--start is before the end, {clip.seconds:.3f} s. Received: {start:g}")
        height, width = working_size(clip.height, clip.width, settings.size, settings.size_of)
        if not sequence.is_pattern(frame.output):
            # Four pixels share their colour.
            height, width = (max(2, 2 * round(side / 2)) for side in (height, width))
        styles = tuple(None if path is None else sandbox.read(path) for path in frame.styles)
        inputs = FrameInputs(styles, settings, request.options)
        job = cls(request, reader, (height, width), inputs, WorkFolder(request.work))
        job.check()
        return job

    def check(self) -> None:
        """Finds what is wrong with the first frame, before heavy work starts.

        Raises:
          InputError: It says what.
        """
        request = self.request.frame
        first = next(self.frames(), None)
        if first is None:
            raise InputError("There is no frame between --start and --end.")
        if isinstance(self.reader, VideoReader) and not sequence.is_pattern(request.output):
            from tf_style.video.writing import check_sound

            check_sound(request.output, self.reader.clip, self.size, self.reader.path)
        if request.is_by_student and request.student is not None:
            student = stored.load(request.student)
            student.resolve_strength(request.settings.strength)
            student.resolve_blend(request.settings.style_blend)
            stored.check_picture(*self.size)
            return
        _, picture, masks = first
        inputs = self.inputs.first(picture, masks, may_be_empty=False)
        request.settings.check_size_effects(inputs.preset, inputs.height, inputs.width)

    @property
    def num_frames(self) -> int | None:
        """How many there will be, about; None where nobody knows."""
        clip, span = self.reader.clip, self.request.span
        ends = [float(end) for end in (clip.seconds, span.end) if end is not None]
        if not ends:
            return None
        frames = round((min(ends) - float(span.start)) * clip.rate)
        return max(1, -(-frames // span.every))

    def frames(self) -> Iterator[tuple[Frame, Picture, Masks | None]]:
        """The frames, what they show at the size to make, and their masks."""
        request, clip = self.request, self.reader.clip
        masks = MaskReader(request.frame.masks, clip, sandbox.read_mask)
        for frame in self.reader.frames(request.span):
            picture = Picture(resize(frame.pixels, *self.size))
            yield frame, picture, masks.at(frame.ticks * clip.time_base)


def _make(job: _Job, record: Mapping[str, Any], display: Display, stop: runner.Stop) -> int:
    from tf_style.commands import video_progress

    shown_at: list[Shown] = []
    damage: TransferError | None = None
    is_stopped = has_made = False
    output = VideoOutput.begin(job.request.frame, job.reader, job.request.span, job.size, job.work)
    maker, run_on = _maker(job, display, stop)
    job.work.begin(record)
    job.work.begin_on(run_on)
    with video_progress.display(job.num_frames, display) as show:
        frames = enumerate(job.frames())
        while True:
            try:
                index, (frame, picture, masks) = next(frames)
            except StopIteration:
                break
            except TransferError as error:  # What is made is kept.
                damage = error
                break
            # What was kept after one that is gone went on from that one.
            made = None if has_made else job.work.read(index)
            if made is not None:
                maker.take_over(picture, made, masks)
            else:
                try:
                    made = None if stop() else maker.make(picture, masks)
                # Masks that move may go wrong at any time, and so may the loss.
                except (InputError, TransferError) as error:
                    if not shown_at:
                        raise
                    at = f"{float(frame.ticks * job.reader.clip.time_base):.3f} s"
                    damage = TransferError(f"At {at}: {reason_of(error).rstrip('.')}.")
                    break
                if made is None:
                    is_stopped = True
                    break
                has_made = True
                job.work.keep(index, made)
                seconds = frame.ticks * job.reader.clip.time_base
                show(index, seconds, made, job.work.path(index))
            shown_at.append(Shown(frame.ticks, frame.duration))
    if not shown_at:
        if damage is not None:
            raise damage
        if is_stopped:
            return runner.fail("interrupted before the first frame was made", stop.exit_code)
        raise TransferError(f"{shown(job.reader.path)} has no frame that can be read.")
    try:
        path = output.write(shown_at, is_whole=damage is None and not is_stopped)
    except TransferError as error:
        if damage is None:
            raise
        raise TransferError(f"{damage} {error}") from error
    if not display.quiet:
        video_progress.print_summary(path, job.size, len(shown_at))
    if damage is not None:
        text = f"{damage} {shown(path)} holds the {len(shown_at)} frames before."
        return runner.fail(text, runner.EXIT_FAILED)
    if is_stopped:
        emit(f"stopped: the same line goes on, from {shown(job.request.work)}")
        return stop.exit_code
    job.work.remove()
    if job.reader.damage is not None:
        text = f"{job.reader.damage}. {shown(path)} holds all frames that can be read."
        return runner.fail(text, runner.EXIT_FAILED)
    return 0


def _maker(job: _Job, display: Display, stop: runner.Stop) -> "tuple[FrameMaker, dict[str, Any]]":
    """What makes the frames, and what their bits depend on beside the request; imports TensorFlow."""
    request = job.request.frame
    if request.is_by_student:
        student, tile = _student(job, display)
        run_on = _run_on(job, student.device, student.precision, tile)
        return _student_frames(job, student, run_on["tile"]), run_on
    stylize_run.import_tensorflow(request, verbose=display.verbose)
    _, picture, masks = next(job.frames())
    first = job.inputs.first(picture, masks)
    with contextlib.nullcontext() if display.verbose else runner.startup_noise_hidden():
        from tf_style.transfer.devices import resolve_device, resolve_precision

        device = resolve_device(first.settings.device)
        precision = resolve_precision(first.settings.precision, device)
        run_on = _run_on(job, device, precision, memory.choose_tile(first, precision, device))
        if request.check_memory:
            memory.check_fits(first, precision, device)
        from tf_style.video.frames import FrameStylizer
    settings = dataclasses.replace(job.inputs.settings, tile=run_on["tile"] or "off")
    maker = FrameStylizer(
        dataclasses.replace(job.inputs, settings=settings),
        make_transfer=functools.partial(stylize_run.make_transfer, request, verbose=display.verbose),
        should_stop=stop,
    )
    return maker, run_on


def _run_on(job: _Job, device: str, precision: str, tile: int | None) -> dict[str, Any]:
    """What the bits of the frames depend on beside the request.

    Args:
      job: Whose.
      device: As from `resolve_device`.
      precision: Of the network.
      tile: The side that would be chosen now, when another memory may be free than at the beginning:
        of a run that goes on it is the one that was chosen then.
    """
    from tf_style.transfer.devices import run_on

    libraries = {"opencv": cv2.__version__}
    if isinstance(job.reader, VideoReader):
        libraries["pyav"] = av.__version__
    tile = job.work.made_on().get("tile", tile)
    return {**run_on(device, precision), **libraries, "tile": tile}


def _student(job: _Job, display: Display) -> "tuple[Student, int | None]":
    """Who makes the frames, and by tiles of which side it would do so now."""
    from tf_style.commands import student_picture

    request = job.request.frame
    student = student_picture.load(request, verbose=display.verbose)
    tile = student_picture.choose_tile(
        student, *job.size, request.settings, checks=request.check_memory
    )
    return student, tile


def _student_frames(job: _Job, student: "Student", tile: int | None) -> "FrameMaker":
    from tf_style.video.student_frames import StudentFrames

    request = job.request
    return StudentFrames(student, request.frame.settings, request.options, tile_px=tile)


def _dry_run(job: _Job, display: Display) -> int:
    from tf_style.commands import video_progress

    request = job.request
    _, picture, masks = next(job.frames())
    transfer = None
    lines = [
        f"{job.size[1]} x {job.size[0]} pixels, "
        + ("frames unknown" if job.num_frames is None else f"about {job.num_frames} frames")
    ]
    if request.frame.is_by_student:
        student, tile = _student(job, display)
        lines += video_progress.student_plan(student, job.size, tile)
        maker = _student_frames(job, student, tile)
        maker.make(picture, masks)
        start = time.perf_counter()
        maker.make(picture, masks)
        first = other = time.perf_counter() - start
    else:
        inputs = job.inputs.first(picture, masks)
        transfer = stylize_run.make_transfer(request.frame, inputs, verbose=display.verbose)
        lines += video_progress.transfer_plan(transfer)
        first, other = video_progress.seconds_of_frames(transfer, request.options.frame_iterations)
    pictures = 2 if masks is not None and not request.frame.is_by_student else 1
    video_progress.print_plan(job.size, job.num_frames, first, other, lines, pictures=pictures)
    if transfer is not None and request.frame.check_memory:
        memory.check(transfer.inputs)
    return 0
