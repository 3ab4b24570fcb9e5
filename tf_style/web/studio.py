"""The queue of runs: one at a time in the worker's process. All of it on the event loop's thread."""

import asyncio
import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

from tf_style.commands import runner
from tf_style.commands.messages import emit
from tf_style.errors import InputError, TransferError
from tf_style.files import reason_of
from tf_style.web import asked as asking
from tf_style.web import worker
from tf_style.web.kept_runs import KeptRuns
from tf_style.web.run import Run, State
from tf_style.web.store import NotFoundError, Store
from tf_style.web.worker_process import WorkerProcess

MAX_WAITING = 20
# Pictures that are decoded at once.
MAX_DECODING = 2
# The process that computes may take this long to end a run and save it when the server ends.
CLOSE_SECONDS = 20.0
_RESTART_SECONDS = 10.0
# How often a run goes on after the process that computes broke down: the next time it would again.
_MAX_RESTARTS = 1
# What becomes of a run, by its exit code; by all others it has failed.
_STATES: dict[int, State] = {0: "done", runner.EXIT_INTERRUPTED: "stopped"}


class QueueFullError(InputError):
    """As many runs wait as may."""


class EndedError(InputError):
    """The run has ended already."""


class Studio:
    """All runs.

    Attributes:
      store: Where they are kept.
      kept: They as they are kept there.
      runs: By their names, the oldest first.
      decoding: What to hold while a picture is decoded.
      is_ready: Whether TensorFlow is loaded.
      trouble: Why nothing can be computed, if so.
      version: Counts the changes of the list of runs and of their states.
      is_closing: Whether the server ends.
    """

    def __init__(self, store: Store):
        """Takes up what an earlier server left.

        Args:
          store: Where it is kept.
        """
        self.store = store
        self.kept = KeptRuns(store)
        self.runs = self.kept.load()
        self.decoding = asyncio.Semaphore(MAX_DECODING)
        self.is_ready = False
        self.trouble: str | None = None
        self.version = 0
        self._running: Run | None = None
        self._num_starting = 0
        self._worker: WorkerProcess | None = None
        self._closing = asyncio.Event()
        self._subscribers: set[asyncio.Event] = set()
        for run in [run for run in self.runs.values() if run.is_unwanted]:
            self._try_to_discard(run)
        store.delete_unused()

    @property
    def waiting(self) -> list[Run]:
        """Those that wait, in the order in which they will run."""
        return [run for run in self.runs.values() if run.state == "waiting"]

    @property
    def is_closing(self) -> bool:
        """Whether the server ends."""
        return self._closing.is_set()

    def find(self, name: str) -> Run:
        """A run by its name.

        Raises:
          NotFoundError: If there is none.
        """
        if name not in self.runs:
            raise NotFoundError(f"There is no run {name!r}.")
        return self.runs[name]

    async def start(self, asked: Any) -> Run:
        """Puts a run into the queue.

        Args:
          asked: As for `asked.settled`.

        Raises:
          InputError: If it cannot be done as it is asked for.
        """
        if len(self.waiting) + self._num_starting >= MAX_WAITING:
            raise QueueFullError(f"{MAX_WAITING} runs wait: let one of them begin, or delete one.")
        self._num_starting += 1
        try:
            async with self.decoding:  # Of pictures of runs.
                run = await asyncio.to_thread(self.kept.make, asked)
        finally:
            self._num_starting -= 1
        self.runs[run.id] = run
        self._changed()
        self._dispatch()
        return run

    def stop(self, name: str) -> None:
        """Ends a run, whose picture so far is kept; one that has not begun is not begun.

        Raises:
          EndedError: If it has ended.
        """
        run = self.find(name)
        if run.has_ended:
            raise EndedError(f"Run {name} has ended.")
        if run is not self._running and not self.store.can_go_on(name):
            self._end(run, runner.EXIT_INTERRUPTED, None)
            return
        # A server that ends before the run does sees to it the next time.
        run.is_stopping = True
        self._save(run)
        self._tell_to_stop(run)

    def delete(self, name: str) -> None:
        """Deletes a run with its picture; one that runs is stopped first.

        Raises:
          NotFoundError: If there is none.
          TransferError: If its files cannot be deleted.
        """
        run = self.find(name)
        if run is self._running:
            run.is_unwanted = True
            self._save(run)
            self._tell_to_stop(run)
        else:
            self._discard(run)

    @contextlib.contextmanager
    def subscription(self) -> Iterator[asyncio.Event]:
        """An event that is set at each change. Who is slow misses some, and never the last."""
        changed = asyncio.Event()
        self._subscribers.add(changed)
        try:
            yield changed
        finally:
            self._subscribers.discard(changed)

    async def serve(self) -> None:
        """Keeps a worker alive, and follows it, until `close`, whatever goes wrong on the way."""
        while not self.is_closing:
            try:
                await self._follow_worker()
            except Exception as error:
                self._be_in_trouble(f"The process that computes cannot be followed: {_said(error)}")
            if self.trouble is not None:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), _RESTART_SECONDS)

    async def _follow_worker(self) -> None:
        """Starts a worker, and follows it to its end."""
        self._worker, was_ready = WorkerProcess(), False
        while (event := await self._worker.events.get()) is not None:
            was_ready = was_ready or event.kind == "ready"
            try:
                await self._take(event)
            except Exception as error:  # Such as one of the disk: the next event is another thing.
                emit(f"{event.kind!r} of the process that computes: {_said(error)}", "warning")
        code = await asyncio.to_thread(self._worker.end)
        self.is_ready = False
        if self.is_closing:
            return
        text = f"The process that computes broke down (exit code {code}). Is there memory enough?"
        if self._running is not None:
            await self._lose(self._running, text)
        elif not was_ready:
            self._be_in_trouble(text)

    def leave(self) -> None:
        """Lets all that follow know that the server ends."""
        self._closing.set()
        self._notify()

    async def close(self) -> None:
        """Ends the worker; a run under way is saved, and goes on with the next server."""
        self.leave()
        if self._worker is None:
            return
        if self._running is not None:
            self._worker.send(worker.STOP)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    while self._running is not None:
                        await asyncio.sleep(0.05)
        self._worker.terminate()

    def _dispatch(self) -> None:
        """Begins the next run, if none is under way."""
        waiting = self.waiting
        if self._running is not None or not waiting or not self.is_ready or self._worker is None:
            return
        run = waiting[0]
        try:
            request = self.kept.request(run)
        except InputError as error:  # Of an earlier server's, whose pictures are gone.
            self._end(run, runner.EXIT_WRONG_REQUEST, str(error))
            self._dispatch()
            return
        run.state, run.started, run.losses = "running", time.time(), []
        self._running = run
        self._save(run)
        self._worker.send(worker.Order(request))
        if run.is_stopping:
            self._tell_to_stop(run)

    def _tell_to_stop(self, run: Run) -> None:
        if run is self._running and self._worker is not None:
            self._worker.send(worker.STOP)

    async def _take(self, event: worker.Event) -> None:
        run = self._running
        if event.kind == "ready":
            self.is_ready, self.trouble = True, None
            self._changed()
            self._dispatch()
        elif event.kind == "ended" and run is not None:
            await self._finish(run, *event.value)
        elif run is not None:
            if event.kind == "chosen":
                run.chosen = event.value
                run.command = self.kept.command(run)
            elif event.kind == "progress":
                run.update(event.value)
            elif event.kind == "preview":
                run.preview, run.preview_version = event.value, run.preview_version + 1
            elif event.kind == "warning":
                self._warn(run, event.value)
            run.version += 1
            self._notify()

    async def _lose(self, run: Run, text: str) -> None:
        """Takes note that a run's process broke down. Once it goes on."""
        if run.is_unwanted or run.num_restarts >= _MAX_RESTARTS:
            await self._finish(run, runner.EXIT_FAILED, text)
            return
        run.num_restarts += 1
        how = "went on from its last checkpoint" if self.store.can_go_on(run.id) else "began again"
        run.warn(f"{text} The run {how}.")
        self._running, run.state = None, "waiting"
        self._save(run)

    async def _finish(self, run: Run, code: int, message: str | None) -> None:
        """Takes leave of the run that was under way."""
        is_for_later = (
            self.is_closing
            and code == runner.EXIT_INTERRUPTED
            and not (run.is_stopping or run.is_unwanted)
        )
        try:
            if not (is_for_later or run.is_unwanted):
                await asyncio.to_thread(self.kept.finish, run, has_failed=code not in _STATES)
        except Exception as error:  # Such as a full disk's.
            self._warn(run, f"The preview was not kept: {_said(error)}")
        self._running = None
        if run.asked.get("deterministic"):
            self.is_ready = False  # That worker ends, and another one comes.
        if is_for_later:
            run.state = "waiting"
            self._save(run)
            return
        if code not in _STATES and self.store.can_go_on(run.id):
            message = f"{message} Its last checkpoint is kept."
        self._end(run, code, message)
        if run.is_unwanted:
            self._try_to_discard(run)
        self._dispatch()

    def _end(self, run: Run, code: int, message: str | None) -> None:
        run.state = _STATES.get(code, "failed")
        run.message = None if message is None else asking.file_names(message, self.store)
        run.ended, run.seconds_left = time.time(), None
        self._save(run)

    def _discard(self, run: Run) -> None:
        self.store.delete_run(run.id)
        del self.runs[run.id]
        self._changed()

    def _try_to_discard(self, run: Run) -> None:
        """As `_discard`, where nobody waits for it."""
        try:
            self._discard(run)
        except TransferError as error:
            self._warn(run, str(error))

    def _save(self, run: Run) -> None:
        try:
            self.store.save_run(run.id, run.as_record())
        except (InputError, TransferError) as error:  # A full disk ends no server, nor a folder gone.
            self._warn(run, str(error))
        run.version += 1
        self._changed()

    def _warn(self, run: Run, text: str) -> None:
        run.warn(asking.file_names(text, self.store))

    def _be_in_trouble(self, text: str) -> None:
        emit(text, "warning")
        self.trouble, self.is_ready = text, False
        self._changed()

    def _changed(self) -> None:
        self.version += 1
        self._notify()

    def _notify(self) -> None:
        for changed in self._subscribers:
            changed.set()


def summary(studio: Studio) -> Mapping[str, Any]:
    """The state of the whole."""
    return {
        "ready": studio.is_ready,
        "trouble": studio.trouble,
        "version": studio.version,
        "waiting": [run.id for run in studio.waiting],
    }


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {reason_of(error)}"
