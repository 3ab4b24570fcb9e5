"""The process that computes. TensorFlow stays loaded in it, and its graphs traced, between runs.

The server sends it `Order`s and "stop", and receives `Event`s. It ends when the server does.
"""

import contextlib
import dataclasses
import logging
import os
import queue
import signal
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

import numpy as np

from tf_style.commands import provenance, runner, stylize_run
from tf_style.commands.messages import configure_output
from tf_style.commands.request import Request
from tf_style.errors import InputError, TransferError
from tf_style.images import reading
from tf_style.transfer import checkpoint, checkpoint_lock
from tf_style.transfer.prepare import PreparedInputs, prepare
from tf_style.transfer.settings import Settings
from tf_style.web.pace import Pace
from tf_style.web.previews import Previews

if TYPE_CHECKING:
    from tf_style.transfer.result import Progress
    from tf_style.transfer.transfer import StyleTransfer

STOP = "stop"
# As many of the losses of a run that goes on are told at once.
MAX_LOSSES = 1000
_TRIAL_PX = 64


@dataclasses.dataclass(frozen=True)
class Order:
    """A run to carry out.

    Attributes:
      request: What to make; its checkpoint folder may hold the run already, which then goes on.
    """

    request: Request


@dataclasses.dataclass(frozen=True)
class Event:
    """What the server is told.

    Attributes:
      kind: "ready" once TensorFlow is loaded; of a run "chosen", "progress", "preview", "warning", and
        "ended".
      value: What belongs to it: settings, fields of the run, a JPEG, a text, an exit code and a text.
    """

    kind: str
    value: Any = None


def main(connection: Connection) -> None:
    """Carries out orders until the server is gone."""
    # A terminal sends Ctrl-C, and a service's manager SIGTERM, to all processes; the server says when
    # to stop.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    os.environ["KERAS_BACKEND"] = "tensorflow"
    configure_output("stylize-web", verbosity=logging.WARNING)
    worker = _Worker(connection)
    logging.getLogger().addHandler(worker)
    worker.warm_up()
    worker.serve()


class _Worker(logging.Handler):
    """Carries out one run after another; as a handler of messages it passes them on."""

    def __init__(self, connection: Connection):
        super().__init__(logging.WARNING)
        self._connection = connection
        self._sending = threading.Lock()
        self._orders: queue.Queue[tuple[Request, runner.Stop]] = queue.Queue()
        self._running = self._newest = runner.Stop()
        self._error: str | None = None
        self._last: StyleTransfer | None = None
        self._pace: Pace | None = None
        self._told = 0
        self._previews = Previews(lambda jpeg: self._send("preview", jpeg))
        threading.Thread(target=self._receive, daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Passes on what a run has to say: it is what the programs say at a shell."""
        event = getattr(record, "event", None)
        if event == "error":
            self._error = record.getMessage()
        elif event == "warning":
            self._send("warning", record.getMessage())

    def warm_up(self) -> None:
        """Loads TensorFlow and traces the default's graph, which most runs can go on with."""
        photo, painting = np.random.default_rng(0).random((2, _TRIAL_PX, _TRIAL_PX, 3), np.float32)
        settings = Settings(size=_TRIAL_PX, iterations=1, levels=1)
        request = Request.make("photograph", ["painting"], "picture.png", settings)
        try:
            inputs = prepare(photo, [painting], settings, objective=request.objective)
            self._last = stylize_run.make_transfer(request, inputs)
            self._last.run()
            self._last.rest()
        except (InputError, TransferError) as error:  # A run will fail with the same.
            self._send("warning", str(error))
        self._send("ready")

    def serve(self) -> None:
        """Carries out orders."""
        while True:
            request, self._running = self._orders.get()
            code, message = self._carry_out(request)
            if os.path.isfile(request.output):
                self._previews.last(lambda path=request.output: reading.read(path).pixels)
            self._send("ended", (code, message))
            if request.deterministic:
                os._exit(0)  # TensorFlow has no way back from that.

    def _carry_out(self, request: Request) -> tuple[int, str | None]:
        """Returns the exit code that `stylize` would have, and what went wrong."""
        self._error, self._pace, self._told = None, None, 0
        self._previews.first()
        try:
            with _held(request.checkpoint):
                earlier = _earlier(request.checkpoint)
                if earlier is not None:
                    request = _as_stored(request, earlier.request)
                display = stylize_run.Display(quiet=True)
                code = stylize_run.carry_out(request, earlier, display, program=self)
            return code, self._error
        except (InputError, TransferError) as error:
            wrong = runner.EXIT_WRONG_REQUEST if isinstance(error, InputError) else runner.EXIT_FAILED
            return wrong, str(error)
        except Exception as error:  # As at a shell. What it left half done nothing goes on with.
            self._last = None
            return runner.EXIT_FAILED, f"{type(error).__name__}: {' '.join(str(error).split())}"
        finally:
            if self._last is not None:
                self._last.rest()

    # What `stylize_run.Program` asks for.

    @contextlib.contextmanager
    def stopping(self) -> Iterator[runner.Stop]:
        """What "stop" asks."""
        yield self._running

    def make_transfer(self, request: Request, inputs: PreparedInputs) -> "StyleTransfer":
        """Of the last one's graphs, where they serve: none is deterministic."""
        like, self._last = self._last, None
        like = None if request.deterministic else like
        self._last = stylize_run.make_transfer(request, inputs, like=like)
        self._send("chosen", stylize_run.chosen(self._last))
        return self._last

    def watch(self, transfer: "StyleTransfer", state: "Progress") -> None:
        """Tells how far the run is, and how the picture looks."""
        if self._pace is None:
            self._pace = Pace([pictures.level for pictures in transfer.inputs.levels])
        told, self._told = self._told, len(state.evaluations)
        step = 1 + (self._told - told) // MAX_LOSSES
        self._send(
            "progress",
            {
                "iteration": state.iteration,
                "max_iterations": state.max_iterations,
                "level": state.level,
                "num_levels": state.num_levels,
                "width": transfer.inputs.width,
                "height": transfer.inputs.height,
                "seconds_left": self._pace.seconds_left(state.level, state.iteration),
                "losses": [(each.level, each.loss) for each in state.evaluations[told::step]],
            },
        )
        self._previews.offer(state.read_image)

    def _send(self, kind: str, value: Any = None) -> None:
        with self._sending:
            self._connection.send(Event(kind, value))

    def _receive(self) -> None:
        """Takes what the server sends, while a run is under way too."""
        while True:
            try:
                message = self._connection.recv()
            except (EOFError, OSError):
                os._exit(0)  # The server is gone. A run goes on from its checkpoint.
            if isinstance(message, Order):
                self._newest = runner.Stop()
                self._orders.put((message.request, self._newest))
            else:
                self._newest.exit_code = runner.EXIT_INTERRUPTED


def _held(folder: str | None) -> contextlib.AbstractContextManager[None]:
    """Locks a checkpoint folder, if there is to be one."""
    return contextlib.nullcontext() if folder is None else checkpoint_lock.held(folder)


def _earlier(folder: str | None) -> provenance.Earlier | None:
    """The run that goes on, if there is one."""
    if folder is None or not checkpoint.is_in(folder):
        return None
    return provenance.read_checkpoint(folder)


def _as_stored(request: Request, stored: Request) -> Request:
    """A request as it was begun: its files may have moved since, and defaults have changed."""
    settings = dataclasses.replace(stored.settings, init=request.settings.init)
    objective = dataclasses.replace(stored.objective, init=request.objective.init)
    return dataclasses.replace(request, settings=settings, objective=objective)
