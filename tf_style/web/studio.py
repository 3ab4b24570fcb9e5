"""The queue of runs: one at a time in the worker's process. All of it on the event loop's thread."""

import asyncio
import contextlib
import shutil
import time
from collections.abc import Iterator, Mapping
from typing import Any

from tf_style.commands import runner
from tf_style.errors import InputError, TransferError
from tf_style.files import write_atomically
from tf_style.images import reading, writing
from tf_style.web import asked as asking
from tf_style.web import worker
from tf_style.web.run import Run
from tf_style.web.store import PREVIEW_PX, NotFoundError, Store
from tf_style.web.worker_process import WorkerProcess

MAX_WAITING = 20
# The process that computes may take this long to end a run and save it when the server ends.
CLOSE_SECONDS = 20.0
_RESTART_SECONDS = 10.0


class QueueFullError(InputError):
    """As many runs wait as may."""


class Studio:
    """All runs.

    Attributes:
      store: Where they are kept.
      runs: By their names, the oldest first.
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
        self.runs: dict[str, Run] = {}
        self.is_ready = False
        self.trouble: str | None = None
        self.version = 0
        self._running: Run | None = None
        self._worker: WorkerProcess | None = None
        self.is_closing = False
        self._subscribers: set[asyncio.Event] = set()
        for name, record in store.load_runs().items():
            with contextlib.suppress(TypeError):  # Of another version: left alone.
                run = Run.from_record(record)
                run.state = "waiting" if run.state == "running" else run.state
                self.runs[name] = run
        store.delete_unused(self._used())

    @property
    def waiting(self) -> list[Run]:
        """Those that wait, in the order in which they will run."""
        return [run for run in self.runs.values() if run.state == "waiting"]

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
        if len(self.waiting) >= MAX_WAITING:
            raise QueueFullError(f"{MAX_WAITING} runs wait: let one of them begin, or delete one.")
        run = await asyncio.to_thread(self._make, asked)
        self.runs[run.id] = run
        self._changed()
        self._dispatch()
        return run

    def _make(self, asked: Any) -> Run:
        self.store.check_room()
        asked = asking.settled(asked, self.store)
        found = {key: self.store.find(key) for key in asking.pictures(asked) if not _is_word(key)}
        name = self.store.new_run()
        try:
            request = asking.make_request(asked, self.store, name)
            names = {key: upload.name for key, upload in found.items()}
            run = Run(name, asked, asking.command_line(request), names)
            self.store.save_run(name, run.as_dict())
        except BaseException:
            self.store.delete_run(name)
            raise
        return run

    def stop(self, name: str) -> None:
        """Ends a run, whose picture so far is kept; one that waits is not begun.

        Raises:
          InputError: If it has ended.
        """
        run = self.find(name)
        if run.has_ended:
            raise InputError(f"Run {name} has ended.")
        if run is self._running and self._worker is not None:
            self._worker.send(worker.STOP)
        else:
            self._end(run, runner.EXIT_INTERRUPTED, None)

    def delete(self, name: str) -> None:
        """Deletes a run with its picture; one that runs is stopped first.

        Raises:
          NotFoundError: If there is none.
        """
        run = self.find(name)
        if run is self._running and self._worker is not None:
            run.is_unwanted = True
            self._worker.send(worker.STOP)
            return
        del self.runs[name]
        self.store.delete_run(name)
        self._changed()

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
        """Keeps a worker alive, and follows it, until `close`."""
        while not self.is_closing:
            self._worker = WorkerProcess()
            was_ready = False
            while (event := await self._worker.events.get()) is not None:
                was_ready = was_ready or event.kind == "ready"
                await self._take(event)
            code = await asyncio.to_thread(self._worker.end)
            self.is_ready = False
            if self.is_closing:
                break
            text = f"The process that computes broke down (exit code {code}). Is there memory enough?"
            if self._running is not None:
                await self._finish(self._running, runner.EXIT_FAILED, text)
            elif not was_ready:
                self.trouble = text
                self._changed()
                await asyncio.sleep(_RESTART_SECONDS)

    def leave(self) -> None:
        """Lets all that follow know that the server ends."""
        self.is_closing = True
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
            request = asking.make_request(run.asked, self.store, run.id)
        except InputError as error:  # Of an earlier server's, whose pictures are gone.
            self._end(run, runner.EXIT_WRONG_REQUEST, str(error))
            self._dispatch()
            return
        run.state, run.started, run.losses = "running", time.time(), []
        self._running = run
        self._save(run)
        self._worker.send(worker.Order(request))

    async def _take(self, event: worker.Event) -> None:
        run = self._running
        if event.kind == "ready":
            self.is_ready, self.trouble = True, None
            self._changed()
            self._dispatch()
        elif event.kind == "ended" and run is not None:
            await self._finish(run, *event.value)
        elif run is not None:
            if event.kind == "progress":
                run.update(event.value)
            elif event.kind == "preview":
                run.preview, run.preview_version = event.value, run.preview_version + 1
            elif event.kind == "warning":
                run.warn(asking.file_names(event.value, self.store))
            run.version += 1
            self._notify()

    async def _finish(self, run: Run, code: int, message: str | None) -> None:
        """Takes leave of the run that was under way."""
        if self.is_closing:
            run.state = "waiting"
            self._running = None
            self._save(run)
            return
        if not run.is_unwanted:
            await asyncio.to_thread(self._keep_preview, run)
        self._running = None
        if run.asked.get("deterministic"):
            self.is_ready = False  # That worker ends, and another one comes.
        if run.is_unwanted:
            self.delete(run.id)
        else:
            self._end(run, code, message)
        self._dispatch()

    def _keep_preview(self, run: Run) -> None:
        folder = self.store.run_folder(run.id)
        shutil.rmtree(folder / "checkpoint", ignore_errors=True)
        run.has_picture = (folder / "picture.png").is_file()
        if run.has_picture:
            pixels = reading.read(folder / "picture.png").pixels
            write_atomically(folder / "preview.jpg", writing.preview(pixels, side_px=PREVIEW_PX))
            run.preview_version += 1
        run.preview = None

    def _end(self, run: Run, code: int, message: str | None) -> None:
        states = {0: "done", runner.EXIT_INTERRUPTED: "stopped"}
        run.state = states.get(code, "failed")  # pyright: ignore[reportAttributeAccessIssue]
        run.message = None if message is None else asking.file_names(message, self.store)
        run.ended, run.seconds_left = time.time(), None
        self._save(run)

    def _save(self, run: Run) -> None:
        try:
            self.store.save_run(run.id, run.as_dict())
        except TransferError as error:  # A full disk ends no server.
            run.warn(asking.file_names(str(error), self.store))
        run.version += 1
        self._changed()

    def _used(self) -> set[str]:
        """The names of the pictures that runs were made from."""
        return {key for run in self.runs.values() for key in asking.pictures(run.asked)}

    def _changed(self) -> None:
        self.version += 1
        self._notify()

    def _notify(self) -> None:
        for changed in self._subscribers:
            changed.set()


def preview(studio: Studio, run: Run) -> bytes:
    """How a run's picture looks, a JPEG.

    Raises:
      NotFoundError: If there is none yet.
    """
    if run.preview is not None:
        return run.preview
    try:
        return (studio.store.run_folder(run.id) / "preview.jpg").read_bytes()
    except FileNotFoundError:
        raise NotFoundError(f"There is no picture of run {run.id} yet.") from None


def summary(studio: Studio) -> Mapping[str, Any]:
    """The state of the whole."""
    return {
        "ready": studio.is_ready,
        "trouble": studio.trouble,
        "version": studio.version,
        "waiting": [run.id for run in studio.waiting],
    }


def _is_word(key: str) -> bool:
    return key in ("content", "noise", "style")
