"""One run of `stylize`, from parsed arguments to files. TensorFlow is imported once all is sound."""

import argparse
import contextlib
import os
import time
import warnings
from collections.abc import Callable
from typing import Any

from tf_style import files, host
from tf_style.commands import provenance, runner, sandbox
from tf_style.errors import InputError, TransferError
from tf_style.images import writing
from tf_style.transfer import checkpoint, memory
from tf_style.transfer.prepare import PreparedInputs, prepare
from tf_style.transfer.settings import Settings

START = time.time()
CHECKPOINT_EVERY_SECONDS = 60.0


def run(arguments: argparse.Namespace) -> int:
    """Carries out a request.

    Args:
      arguments: As `stylize` parses them.

    Returns:
      The exit code.
    """
    if not arguments.force:
        host.check_import()
    arguments, saved, source, state = _complete(arguments)
    settings = Settings(**{name: value for name, value in vars(arguments).items() if name in _SETTINGS})
    _check(arguments, settings)
    # The output's name before the inputs are read, and its size once that is known.
    writing.check_output(arguments.output, bit_depth=arguments.bit_depth)
    if os.path.isfile(settings.weights):
        sandbox.check_weights(settings.weights)
    inputs = prepare(arguments.content, arguments.style, settings, read=sandbox.read)
    size = (inputs.height, inputs.width)
    writing.check_output(arguments.output, bit_depth=arguments.bit_depth, size=size)
    record = {
        "arguments": provenance.with_full_paths(provenance.describe(arguments)),
        "inputs": provenance.fingerprint(arguments, inputs),
        "started": START,
    }
    if saved is not None:
        provenance.check_same(saved.get("inputs"), record["inputs"], source)

    with runner.stop_on_signals() as stop:
        transfer = _make_transfer(arguments, inputs)
        from tf_style.commands import progress

        if arguments.dry_run:
            progress.print_plan(transfer)
            if not arguments.force:
                memory.check(inputs, has_checkpoint=arguments.checkpoint is not None)
            return stop.exit_code
        record["run_on"] = progress.run_on(transfer)
        # As it was chosen, for another choice would not give the same bits.
        arguments.tile = record["arguments"]["tile"] = transfer.tile_px or "off"
        if state is not None:
            _restore(saved, state, transfer, record)
        progress.print_start(transfer, verbose=arguments.verbose)

        def save(path: str, image) -> None:
            writing.write(
                path,
                image,
                alpha=inputs.alpha,
                bit_depth=arguments.bit_depth,
                description=progress.describe(arguments, transfer),
            )

        keeper = _Keeper(arguments, transfer, record)
        with progress.progress_display(quiet=arguments.quiet, as_json=arguments.json) as display:
            followers = (display, _snapshots(arguments, save), keeper)
            result = transfer.run(
                callback=lambda progress: [follow(progress) for follow in followers],
                callback_every=arguments.save_every,
                should_stop=stop,
            )
        keeper.save()
        has_picture = bool(result.evaluations) and (result.iterations or not result.status.is_failure)
        if has_picture:
            save(arguments.output, result.image)
        if arguments.trace is not None:
            progress.write_trace(arguments.trace, arguments, transfer, result, record)

    if not has_picture:
        if stop():
            return runner.fail("interrupted before the first evaluation ended", stop.exit_code)
        raise TransferError(f"No picture was made: {result.status.text}.")
    if not arguments.quiet:
        progress.print_summary(arguments.output, result)
    if result.status.is_failure:
        return runner.fail(
            f"{arguments.output} holds the last good picture: {result.status.text}.",
            runner.EXIT_FAILED,
        )
    return stop.exit_code


_SETTINGS = Settings.__dataclass_fields__


def _complete(
    arguments: argparse.Namespace,
) -> tuple[argparse.Namespace, dict | None, str, dict | None]:
    """The arguments with those of an earlier run, its record, what to call that, and its state."""
    saved, source, state = None, "", None
    if arguments.resume is not None:
        found = checkpoint.load(arguments.resume)
        saved, state = found.request, found.arrays
        source = f"the checkpoint in {files.shown(arguments.resume)}"
        arguments = provenance.repeat(saved.get("arguments"), arguments, source)
        arguments.checkpoint = arguments.resume
    elif arguments.from_trace is not None:
        trace = provenance.read_trace(arguments.from_trace)
        source = f"the trace {files.shown(arguments.from_trace)}"
        saved = {"inputs": trace["inputs"]}
        # A trace is not written over by the run that repeats it.
        stored = {name: value for name, value in trace["request"].items() if name != "trace"}
        arguments = provenance.repeat(stored, arguments, source)
    if arguments.output is None:
        raise InputError("--output FILE says where the picture goes.")
    return arguments, saved, source, state


def _check(arguments: argparse.Namespace, settings: Settings) -> None:
    every = arguments.save_every
    if every is not None and not 1 <= every < settings.iterations:
        raise InputError(
            f"--save-every is 1 or more and below the {settings.iterations} iterations. "
            f"Received: {every}"
        )
    if arguments.checkpoint_every is not None:
        if arguments.checkpoint is None:
            raise InputError("--checkpoint-every would have no effect: there is no --checkpoint.")
        if not arguments.checkpoint_every >= 0:
            raise InputError(
                f"--checkpoint-every is 0 or more seconds. Received: {arguments.checkpoint_every}"
            )
    if arguments.checkpoint is not None:
        if settings.optimizer == "tfp":
            raise InputError("--checkpoint and --optimizer tfp do not go together.")
        if arguments.resume is None and checkpoint.is_in(arguments.checkpoint):
            folder = files.shown(arguments.checkpoint)
            raise InputError(
                f"{folder} holds a run already: go on with it by --resume, or name another folder."
            )
        files.check_folder(arguments.checkpoint)
    _check_files_differ(arguments, settings)
    if arguments.trace is not None:
        files.check_writable(arguments.trace)


def _check_files_differ(arguments: argparse.Namespace, settings: Settings) -> None:
    """Refuses to write over what is read, such as the one copy of a photograph."""
    inputs = [("--content", arguments.content), *(("--style", style) for style in arguments.style)]
    inputs += [("--init", settings.init), ("--weights", settings.weights)]
    inputs += [("--from-trace", arguments.from_trace)]
    files = {os.path.realpath(path): flag for flag, path in inputs if path and os.path.isfile(path)}
    for flag, path in (("--output", arguments.output), ("--trace", arguments.trace)):
        if path is not None and (other := files.setdefault(os.path.realpath(path), flag)) != flag:
            raise InputError(f"{flag} and {other} name the same file: {files.shown(path)}")


def _make_transfer(arguments: argparse.Namespace, inputs: PreparedInputs) -> Any:
    if not arguments.force:
        host.check_import()  # Again, for the pictures have taken their part.
    with contextlib.nullcontext() if arguments.verbose else runner.startup_noise_hidden():
        import tensorflow as tf

        from tf_style.objective.tile_threads import ensure_inter_op_threads

        ensure_inter_op_threads()
        if arguments.deterministic:
            tf.config.experimental.enable_op_determinism()
        if not (arguments.force or arguments.dry_run):
            memory.check(inputs, has_checkpoint=arguments.checkpoint is not None)
        # Only now, for what it imports takes memory too.
        from tf_style.transfer.transfer import StyleTransfer

        return StyleTransfer(inputs)


def _restore(
    saved: dict[str, Any], state: dict[str, Any], transfer: Any, record: dict[str, Any]
) -> None:
    for name, value in record["run_on"].items():
        if (before := saved.get("run_on", {}).get(name)) != value:
            raise InputError(
                f"The checkpoint is of a run with {name} {before!r}; here it is {value!r}. "
                "Only the same goes on to the same picture."
            )
    try:
        transfer.restore(state)
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"The checkpoint holds the state of another run: {error}") from error
    record["started"] = saved["started"]


class _Keeper:
    """Saves the run now and then. A full disk is no reason to give the run itself up."""

    def __init__(self, arguments: argparse.Namespace, transfer: Any, record: dict[str, Any]):
        self._folder = arguments.checkpoint
        every = arguments.checkpoint_every
        self._every = CHECKPOINT_EVERY_SECONDS if every is None else every
        self._transfer, self._record = transfer, record
        self._last = time.monotonic()

    def __call__(self, progress: Any) -> None:
        if time.monotonic() - self._last >= self._every:
            self.save()

    def save(self) -> None:
        if self._folder is None:
            return
        try:
            checkpoint.save(self._folder, self._transfer.state(), self._record)
        except TransferError as error:
            warnings.warn(f"{error}; the run goes on without this checkpoint", stacklevel=2)
        self._last = time.monotonic()


def _snapshots(arguments: argparse.Namespace, save: Callable) -> Callable:
    stem, extension = os.path.splitext(arguments.output)

    def follow(progress: Any) -> None:
        every, iteration = arguments.save_every, progress.iteration
        if every and iteration and iteration % every == 0:
            save(f"{stem}-{iteration:05d}{extension}", progress.read_image())

    return follow
