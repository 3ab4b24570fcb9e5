"""One run of `stylize`, from parsed arguments to files. TensorFlow is imported once all is sound."""

import argparse
import contextlib
import dataclasses
import functools
import os
import time
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from tf_style import files, host
from tf_style.commands import outputs, provenance, records, runner, sandbox, style_flags
from tf_style.commands.provenance import Earlier, Record
from tf_style.commands.request import Request
from tf_style.errors import InputError, TransferError
from tf_style.images import writing
from tf_style.student import stored
from tf_style.transfer import checkpoint_lock, memory
from tf_style.transfer.prepare import PreparedInputs, prepare
from tf_style.transfer.settings import SETTING_NAMES, Settings

if TYPE_CHECKING:
    from tf_style.transfer.result import Progress, StylizeResult
    from tf_style.transfer.transfer import StyleTransfer

START = time.time()


@dataclasses.dataclass(frozen=True)
class Display:
    """How much a run tells, which changes nothing in what it makes.

    Attributes:
      quiet: Whether to tell errors and warnings only.
      verbose: Whether to tell the set-up too, and what TensorFlow says at its start.
      as_json: Whether to tell it in objects on stdout, for programs.
    """

    quiet: bool = False
    verbose: bool = False
    as_json: bool = False

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> "Display":
        """As a command line asks for it."""
        return cls(quiet=arguments.quiet, verbose=arguments.verbose, as_json=arguments.json)


class Program(Protocol):
    """A program in which one run follows another."""

    def stopping(self) -> contextlib.AbstractContextManager[runner.Stop]:
        """What tells a run to stop."""
        ...

    def make_transfer(self, request: Request, inputs: PreparedInputs) -> "StyleTransfer":
        """As the function `make_transfer`."""
        ...

    def watch(self, transfer: "StyleTransfer", state: "Progress") -> None:
        """Follows the run, as the callback of `StyleTransfer.run`."""
        ...


class _OwnProcess:
    """A process for one run."""

    def __init__(self, display: Display):
        self._is_verbose = display.verbose

    def stopping(self) -> contextlib.AbstractContextManager[runner.Stop]:
        return runner.stop_on_signals()

    def make_transfer(self, request: Request, inputs: PreparedInputs) -> "StyleTransfer":
        return make_transfer(request, inputs, verbose=self._is_verbose)

    def watch(self, transfer: "StyleTransfer", state: "Progress") -> None:
        """Its progress is on display."""


def run(arguments: argparse.Namespace) -> int:
    """Carries out what the command line asks for.

    Args:
      arguments: As `stylize` parses them.

    Returns:
      The exit code.

    Raises:
      InputError: If it cannot be done as it is asked for.
      TransferError: If the run failed.
    """
    if arguments.memory_check:
        host.check_import()
    display = Display.of(arguments)
    with _checkpoint_folder(arguments):
        return carry_out(*_read(arguments), display, flag_files=arguments.flag_files)


def carry_out(
    request: Request,
    earlier: Earlier | None,
    display: Display,
    *,
    flag_files: Sequence[str] = (),
    program: Program | None = None,
) -> int:
    """Carries out a request. A checkpoint folder is the caller's to lock.

    Args:
      request: What to make.
      earlier: The stored run that is resumed or repeated, if there is one.
      display: How much to tell.
      flag_files: What else was read to know the request, and must stay as it is.
      program: The one around the run; None for a process of its own, which signals stop.

    Returns:
      The exit code.

    Raises:
      InputError: If it cannot be done as it is asked for.
      TransferError: If the run failed.
    """
    program = program or _OwnProcess(display)
    check(request, earlier, flag_files)
    if request.is_by_student:
        from tf_style.commands import student_picture

        return student_picture.carry_out(request, display, program.stopping)
    inputs = prepare_inputs(request)
    fingerprint = provenance.fingerprint(request, inputs)
    if earlier is not None:
        provenance.require_same(earlier, request, fingerprint)
    else:
        request.settings.check_size_effects(inputs.preset, inputs.height, inputs.width)
    with program.stopping() as stop:
        transfer = program.make_transfer(request, inputs)
        if request.dry_run:
            _show_plan(request, transfer)
            return stop.exit_code
        request = request.with_settings(**chosen(transfer))
        from tf_style.transfer.devices import run_on

        record = Record(
            request=records.absolute_paths(records.as_dict(request)),
            inputs=fingerprint,
            run_on=run_on(transfer.device, transfer.precision),
            started=START,
        )
        if earlier is not None and earlier.arrays is not None:
            _restore(transfer, earlier, record)
            record = dataclasses.replace(record, started=earlier.started)
        watch = functools.partial(program.watch, transfer)
        result = _optimise(request, transfer, record, display, stop, watch)
        has_picture = bool(result.evaluations) and (
            bool(result.iterations) or not result.status.is_failure
        )
        if has_picture:
            outputs.write_picture(request.output, result.image, request, transfer)
        if request.trace is not None:
            with files.going_on_without("the trace"):
                provenance.write_trace(request.trace, request, transfer, result, record)
    return _conclude(request, result, has_picture, display, stop)


def _checkpoint_folder(arguments: argparse.Namespace) -> contextlib.AbstractContextManager[None]:
    """Locks the folder before what is in it is looked at, unless nothing will be written there."""
    folder = arguments.checkpoint if arguments.resume is None else arguments.resume
    is_there = arguments.resume is None or os.path.isdir(folder)
    if folder is None or arguments.dry_run or not is_there:
        return contextlib.nullcontext()
    return checkpoint_lock.held(folder)


def _read(arguments: argparse.Namespace) -> tuple[Request, Earlier | None]:
    """The request that the flags make, alone or with a stored one.

    Only this and `run` read the parser's namespace.
    """
    given = style_flags.by_record(vars(arguments))
    earlier = None
    if arguments.resume is not None:
        earlier = provenance.read_checkpoint(arguments.resume)
    elif arguments.from_trace is not None:
        earlier = provenance.read_trace(arguments.from_trace)
    if earlier is not None:
        request = records.merge_stored(earlier.request, given, earlier.source)
    elif "output" not in given:
        raise InputError("--output FILE says where the picture goes.")
    else:
        asked = SETTING_NAMES & given.keys()
        request = Request.make(
            content=given.pop("content", None),
            styles=given.pop("style", ()),
            output=given.pop("output"),
            settings=Settings(**{name: given[name] for name in asked}),
            given=asked,
            **{name: value for name, value in given.items() if name not in asked},
        )
    request = dataclasses.replace(
        request,
        checkpoint=arguments.resume if arguments.resume is not None else arguments.checkpoint,
        checkpoint_every=arguments.checkpoint_every,
        check_memory=arguments.memory_check,
        dry_run=arguments.dry_run,
    )
    return request, earlier


def check(request: Request, earlier: Earlier | None, flag_files: Sequence[str] = ()) -> None:
    """Refuses what can be seen to be wrong before any picture is read.

    Raises:
      InputError: It says what is wrong.
    """
    every = request.checkpoint_every
    if every is not None and not every >= 0:
        raise InputError(f"--checkpoint-every is 0 or more seconds. Received: {every}")
    # A resumed run's folder is read and written by it.
    is_resumed = earlier is not None and earlier.path == request.checkpoint
    reads: list[tuple[str, str | None]] = [("--flagfile", path) for path in flag_files]
    if earlier is not None and not is_resumed:
        reads.append(("--from-trace", earlier.path))
    outputs.check(request, reads, is_resumed=is_resumed)


def prepare_inputs(request: Request) -> PreparedInputs:
    """Reads a request's pictures and weights, each in a sandbox first. Imports no TensorFlow.

    Raises:
      InputError: If something cannot be read, or the output cannot be written.
    """
    # The output's name before the inputs are read, and its size once that is known.
    writing.check_output(request.output, bit_depth=request.bit_depth)
    if os.path.isfile(request.settings.weights):
        sandbox.probe_weights(request.settings.weights)
    inputs = prepare(
        request.content,
        request.styles,
        request.settings,
        masks=request.masks,
        objective=request.objective,
        read=sandbox.read,  # pyright: ignore[reportArgumentType]  Paths alone are read here.
        read_mask=sandbox.read_mask,  # pyright: ignore[reportArgumentType]
        start=lambda photograph: photograph,  # Until TensorFlow is there: see `make_transfer`.
    )
    if request.student is not None:
        stored.load(request.student)
    size = (inputs.height, inputs.width)
    writing.check_output(request.output, bit_depth=request.bit_depth, size=size)
    return inputs


def make_transfer(
    request: Request,
    inputs: PreparedInputs,
    *,
    verbose: bool = False,
    **options: Any,
) -> "StyleTransfer":
    """Imports TensorFlow, and builds the transfer if there is memory for it.

    Args:
      request: What was asked for.
      inputs: As from `prepare_inputs`.
      verbose: Whether what TensorFlow says at its start is shown.
      **options: For `StyleTransfer`.

    Raises:
      InputError: If it would not fit in memory, or asks for what is not here.
    """
    import_tensorflow(request, verbose=verbose)
    with contextlib.nullcontext() if verbose else runner.startup_noise_hidden():
        if request.check_memory and not request.dry_run:
            memory.check(inputs, has_checkpoint=request.checkpoint is not None)
        if request.student is not None and not request.dry_run:
            from tf_style.commands import student_picture

            inputs = student_picture.as_start(request, inputs)
        # Only now, for what it imports takes memory too.
        from tf_style.transfer.transfer import StyleTransfer

        return StyleTransfer(inputs, **options)


def import_tensorflow(request: Request, *, verbose: bool = False) -> None:
    """Imports TensorFlow, and sets it up as a request asks for it.

    Raises:
      InputError: If there is no memory for it.
    """
    if request.check_memory:
        host.check_import()  # Again, for the pictures have taken their part.
    with contextlib.nullcontext() if verbose else runner.startup_noise_hidden():
        import tensorflow as tf

        from tf_style.objective.tile_threads import ensure_inter_op_threads

        ensure_inter_op_threads()
        # Or a GPU would round the factors of float32 products to 10 bits.
        tf.config.experimental.enable_tensor_float_32_execution(False)
        if request.deterministic:
            tf.config.experimental.enable_op_determinism()


def _show_plan(request: Request, transfer: "StyleTransfer") -> None:
    from tf_style.commands import progress

    has_checkpoint = request.checkpoint is not None
    progress.print_plan(transfer, outputs.describe(request), has_checkpoint=has_checkpoint)
    if request.check_memory:
        memory.check(transfer.inputs, has_checkpoint=has_checkpoint)


def chosen(transfer: "StyleTransfer") -> dict[str, Any]:
    """The settings that were left to be chosen: with another choice the bits are others."""
    return {
        "levels": len(transfer.inputs.levels),
        "tile": transfer.tile_px or "off",
        "precision": transfer.precision,
    }


def _restore(transfer: "StyleTransfer", earlier: Earlier, record: Record) -> None:
    # Records had no such number at first.
    before = {"numerics": "1", **earlier.run_on}
    if before["numerics"] != record.run_on["numerics"]:
        warnings.warn(
            "an earlier version began this run; it goes on as this one computes, to a picture a little "
            "different from the one which that version would have made",
            stacklevel=2,
        )
    for name, value in record.run_on.items():
        if name != "numerics" and before.get(name) != value:
            raise InputError(
                f"The checkpoint is of a run with {name} {before.get(name)!r}; here it is {value!r}. "
                "Only the same goes on to the same picture."
            )
    try:
        transfer.restore(earlier.arrays or {})
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"The checkpoint holds the state of another run: {error}") from error


def _optimise(
    request: Request,
    transfer: "StyleTransfer",
    record: Record,
    display: Display,
    should_stop: Callable[[], bool],
    watch: Callable[["Progress"], None],
) -> "StylizeResult":
    """Runs the transfer, and shows its progress, writes snapshots and saves checkpoints on the way."""
    from tf_style.commands import progress

    progress.print_start(transfer, verbose=display.verbose)
    keeper = outputs.Keeper(request, transfer, record)
    with progress.progress_display(quiet=display.quiet, as_json=display.as_json) as show:

        def follow(state: "Progress") -> None:
            show(state)
            watch(state)
            keeper(state)

        result = transfer.run(
            callback=follow, callback_every=request.save_every, should_stop=should_stop
        )
    keeper.save()
    return result


def _conclude(
    request: Request,
    result: "StylizeResult",
    has_picture: bool,
    display: Display,
    stop: runner.Stop,
) -> int:
    """Says how the run ended, and returns the exit code."""
    from tf_style.commands import progress

    if not has_picture:
        if stop():
            return runner.fail("interrupted before the first evaluation ended", stop.exit_code)
        raise TransferError(f"No picture was made: {result.status.text}.")
    if not display.quiet:
        progress.print_summary(request.output, result)
    if result.status.is_failure:
        return runner.fail(
            f"{request.output} holds the last good picture: {result.status.text}.",
            runner.EXIT_FAILED,
        )
    return stop.exit_code
