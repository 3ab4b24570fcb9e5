"""One run of `stylize-train`, from arguments to a student. TensorFlow is imported once all is sound."""

import argparse
import contextlib
import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tf_style import host
from tf_style.commands import runner, sandbox
from tf_style.commands.file_roles import Family, FileRoles
from tf_style.commands.messages import emit
from tf_style.errors import InputError
from tf_style.files import shown
from tf_style.images.picture import resize, working_size
from tf_style.student import files as student_files
from tf_style.student import memory
from tf_style.student.photographs import find_photographs, fitted
from tf_style.student.plan import FIELD_NAMES, Plan, read_plan
from tf_style.student.prepare import PreparedTraining, prepare_training
from tf_style.transfer import checkpoint

# Up to so many photographs, more would still teach much.
FEW_PHOTOGRAPHS = 100


@dataclasses.dataclass(frozen=True)
class TrainRequest:
    """What a training is asked for.

    Attributes:
      styles: Paths of the style images.
      photos: Folders of photographs.
      output: The student's folder.
      plan: How to train.
      preview: Path of the photograph of the previews; None for the first of the others.
      preview_every: Steps from one to the next; None for a twentieth of all.
    """

    styles: tuple[str, ...]
    photos: tuple[str, ...]
    output: str
    plan: Plan
    preview: str | None = None
    preview_every: int | None = None

    def stored(self) -> dict[str, Any]:
        """What a checkpoint holds of it beside the plan; its paths are absolute."""
        return {
            "styles": [os.path.abspath(path) for path in self.styles],
            "photos": [os.path.abspath(path) for path in self.photos],
            "preview": None if self.preview is None else os.path.abspath(self.preview),
            "preview_every": self.preview_every,
        }


def run(arguments: argparse.Namespace) -> int:
    """Carries out what the command line asks for.

    Args:
      arguments: As `stylize-train` parses them.

    Returns:
      The exit code.

    Raises:
      InputError: If it cannot be done as it is asked for.
      TransferError: If the training failed.
    """
    if arguments.memory_check:
        host.check_import()
    if not arguments.checkpoint_every >= 0:
        raise InputError(
            f"--checkpoint-every is 0 or more seconds. Received: {arguments.checkpoint_every}"
        )
    if arguments.resume is None:
        request, earlier = _new(arguments), None
        student_files.check_new(request.output)
    else:
        earlier = checkpoint.load(student_files.checkpoints(arguments.resume))
        request = _stored(arguments, earlier)
    photographs = _check(request, arguments.flag_files)
    with student_files.held(request.output):
        # Another process may have been there while the photographs were looked for.
        if earlier is None:
            student_files.check_new(request.output)
        else:
            earlier = checkpoint.load(student_files.checkpoints(request.output))
        if len(photographs) >= FEW_PHOTOGRAPHS and not arguments.quiet:  # It takes a while.
            emit(f"reading {len(photographs)} photographs")
        prepared = _prepare(request, photographs)
        with runner.stop_on_signals() as stop:
            return _train(request, prepared, earlier, arguments, stop)


def _new(arguments: argparse.Namespace) -> TrainRequest:
    for name, text in (
        ("style", "a style image"),
        ("photos", "a folder of photographs"),
        ("output", "a new folder"),
    ):
        if not getattr(arguments, name):
            raise InputError(f"--{name} names {text}.")
    every = arguments.preview_every
    if every is not None and every < 1:
        raise InputError(f"--preview-every is 1 step or more. Received: {every}")
    return TrainRequest(
        styles=tuple(arguments.style),
        photos=tuple(arguments.photos),
        output=arguments.output,
        plan=Plan(**_given(arguments)),
        preview=arguments.preview,
        preview_every=every,
    )


def _given(arguments: argparse.Namespace) -> dict[str, Any]:
    """The fields of `Plan` that were asked for."""
    given = {name: value for name, value in vars(arguments).items() if name in FIELD_NAMES}
    weights = given.get("weights")
    if weights is not None and os.path.isfile(weights):  # To be found from another folder too.
        given["weights"] = os.path.abspath(weights)
    return given


def _stored(arguments: argparse.Namespace, earlier: checkpoint.Checkpoint) -> TrainRequest:
    """The request of a training that goes on, whose files may have moved."""
    try:
        request = earlier.request["request"]
        styles = arguments.style or request.get("styles")
        photos = arguments.photos or request.get("photos")
        if not (styles and photos):
            raise InputError(
                f"The training in {shown(arguments.resume)} was begun in Python: --style and --photos "
                "name what it learns from."
            )
        return TrainRequest(
            styles=tuple(styles),
            photos=tuple(photos),
            output=arguments.resume,
            plan=read_plan(earlier.request["plan"] | _given(arguments)),
            preview=arguments.preview or request.get("preview"),
            preview_every=request.get("preview_every"),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{shown(arguments.resume)} holds no training that this version knows."
        ) from error


def _check(request: TrainRequest, flag_files: Sequence[str]) -> list[str]:
    """Refuses what would be written over or learnt from by mistake; returns the photographs' paths."""
    output = os.path.realpath(request.output)
    photographs = find_photographs(request.photos)
    # Those that links lead to, too.
    for folder in {*request.photos, *map(os.path.dirname, photographs)}:
        inside = os.path.realpath(folder)
        if os.path.commonpath([inside, output]) == inside:
            raise InputError(
                "--output lies in --photos: its previews would be photographs. Name another."
            )
    reads = [("--photos", path) for path in photographs]
    reads += [("--style", path) for path in request.styles] + [("--preview", request.preview)]
    roles = FileRoles([*reads, *(("--flagfile", path) for path in flag_files)])
    roles.write_family("a file of --output", Family(output, r"student\.(json|npz)"))
    roles.write_family("a preview", Family(os.path.join(output, "previews"), r"step-\d+\.jpg"))
    if os.path.isfile(request.plan.weights):
        sandbox.probe_weights(request.plan.weights)
    return photographs


def _prepare(request: TrainRequest, photographs: Sequence[str]) -> PreparedTraining:
    if request.preview is not None:  # Refused before all photographs are read.
        _preview(request.preview, request.plan.size)
    return prepare_training(
        request.styles,
        photographs,
        request.plan,
        read=sandbox.read,  # pyright: ignore[reportArgumentType]  Paths alone are read here.
    )


def _train(
    request: TrainRequest,
    prepared: PreparedTraining,
    earlier: checkpoint.Checkpoint | None,
    arguments: argparse.Namespace,
    stop: runner.Stop,
) -> int:
    with contextlib.nullcontext() if arguments.verbose else runner.startup_noise_hidden():
        import tensorflow as tf

        from tf_style.commands import train_progress
        from tf_style.student.training import Training
        from tf_style.transfer.devices import resolve_device, resolve_precision

        # Or a GPU would round the factors of float32 products to 10 bits.
        tf.config.experimental.enable_tensor_float_32_execution(False)

        photograph = _for_previews(request, prepared)
        if arguments.memory_check:
            device = resolve_device(prepared.plan.device)
            memory.check_training(
                prepared.plan.on(device),
                precision=resolve_precision(prepared.plan.precision, device),
                preview_px=photograph.shape[0] * photograph.shape[1],
                photographs=sum(each.nbytes for each in prepared.photographs.pixels),
                device=device,
            )
        training = Training(prepared, request.output, request=request.stored())
        if earlier is not None:
            training.restore(earlier)
    # Of one that was killed, or found the disk full, as it ended, the student is still to be written.
    if training.has_ended and training.is_written:
        raise InputError(f"The training in {shown(request.output)} has ended already.")
    if not arguments.quiet:
        _tell_start(training, len(prepared.photographs.pixels))
    keeper = train_progress.Keeper(request.output, photograph, request.preview_every, training)
    with train_progress.display(quiet=arguments.quiet, as_json=arguments.json) as show:

        def follow(progress: Any) -> None:
            show(progress)
            keeper(progress)

        every = arguments.checkpoint_every
        student = training.run(callback=follow, should_stop=stop, save_every=every)
    keeper.close()
    if not arguments.quiet:
        train_progress.print_summary(request.output, training, student)
    return stop.exit_code


def _tell_start(training: Any, count: int) -> None:
    plan = training.plan
    strength = "every strength" if plan.dial else f"strength {plan.one_strength:g}"
    emit(
        f"{plan.steps} steps of {plan.batch} pieces of {plan.crop} pixels, styles at {plan.size} "
        f"pixels, {strength}, on {training.device} in {training.precision}",
        "start",
        **dataclasses.asdict(plan),
    )
    if count < FEW_PHOTOGRAPHS:
        emit(
            f"{count} photographs: enough for the style. With {FEW_PHOTOGRAPHS} or more, like the "
            "pictures to come, what none of these shows is rendered more evenly"
        )


def _for_previews(request: TrainRequest, prepared: PreparedTraining) -> NDArray[np.float32]:
    """The photograph of the previews, in 0..1, at the size that those to learn from have at least."""
    pixels = prepared.photographs.pixels[0]
    if request.preview is not None:
        pixels = _preview(request.preview, request.plan.size)
    sides = working_size(pixels.shape[0], pixels.shape[1], request.plan.size, "short")
    return resize(pixels / np.float32(255), *sides)


def _preview(path: str, size: int) -> NDArray[np.uint8]:
    """The photograph of the previews, as those are that are learnt from."""
    return fitted(sandbox.read(path), size, shown(path))
