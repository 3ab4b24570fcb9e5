"""The worker, seen from the server."""

import asyncio
import contextlib
import multiprocessing
import threading
from typing import Any

from tf_style.web import worker

_END_SECONDS = 20.0


class WorkerProcess:
    """The process that computes.

    Attributes:
      events: What it tells; None once it has ended.
    """

    def __init__(self):
        """Starts it."""
        # Forked, it would have the server's sockets and threads.
        context = multiprocessing.get_context("spawn")
        self._connection, its_end = context.Pipe()
        self._process = context.Process(target=worker.main, args=(its_end,), daemon=True)
        self._process.start()
        its_end.close()
        self.events: asyncio.Queue[worker.Event | None] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._receive, daemon=True).start()

    def send(self, message: Any) -> None:
        """Sends an order or "stop"; of one that has ended, `events` tells."""
        with contextlib.suppress(OSError):
            self._connection.send(message)

    def terminate(self) -> None:
        """Ends it, whatever it does; `events` tells when."""
        self._process.kill()

    def end(self) -> int | None:
        """Waits until it has ended, and returns its exit code."""
        self._process.join(_END_SECONDS)
        self._process.kill()  # One that is stuck; of the others nothing is there.
        self._process.join(_END_SECONDS)
        self._connection.close()
        return self._process.exitcode

    def _receive(self) -> None:
        event: worker.Event | None = worker.Event("started")
        while event is not None:
            try:
                event = self._connection.recv()
            except (EOFError, OSError):
                event = None
            with contextlib.suppress(RuntimeError):  # The loop is closed: nobody asks any more.
                self._loop.call_soon_threadsafe(self.events.put_nowait, event)
