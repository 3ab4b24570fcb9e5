"""Runs as they are kept: made for what was asked, taken up after a restart, left with a picture."""

import shutil
from typing import Any

from tf_style.commands.messages import emit
from tf_style.commands.request import Request
from tf_style.errors import InputError
from tf_style.files import reason_of, shown, write_atomically
from tf_style.web import asked as asking
from tf_style.web.run import Run
from tf_style.web.store import NotFoundError, Store


class KeptRuns:
    """The runs' side of the store."""

    def __init__(self, store: Store):
        """Keeps nothing of its own."""
        self._store = store

    def make(self, asked: Any) -> Run:
        """A run that is kept from now on.

        Args:
          asked: As for `asked.settled`.

        Raises:
          InputError: If it cannot be done as it is asked for.
        """
        store = self._store
        store.check_room()
        asked = asking.settled(asked, store)
        names = {key: store.find(key).name for key in asking.pictures(asked)}
        name = store.new_run()
        try:
            run = Run(name, asked, names)
            run.command = asking.command_line(self.request(run))
            store.save_run(name, run.as_record())
        except BaseException:
            store.delete_run(name)
            raise
        return run

    def load(self) -> dict[str, Run]:
        """What an earlier server left, the oldest first.

        What this version does not know is left alone.
        """
        found = {}
        for name, record in self._store.load_runs().items():
            try:
                run = Run.from_record(record)
                asking.check_shape(run.asked)
            except (TypeError, InputError) as error:
                folder = shown(self._store.run_folder(name))
                emit(f"{folder} is left alone: {reason_of(error)}", "warning")
                continue
            run.id = name
            run.state = "waiting" if run.state == "running" else run.state
            run.command = self.command(run) or run.command
            found[name] = run
        return found

    def request(self, run: Run) -> Request:
        """What a run asks for.

        Raises:
          InputError: If it cannot be done any more, such as when its pictures are gone.
        """
        return asking.make_request(run.asked, self._store, run.id)

    def command(self, run: Run) -> str:
        """The `stylize` line of a run, with what was chosen for it; empty where there is none any more.

        It is made anew because the folder may have moved.
        """
        try:
            return asking.command_line(self.request(run).with_settings(**run.chosen))
        except (TypeError, InputError):
            return ""

    def finish(self, run: Run, *, has_failed: bool) -> None:
        """Takes a run's last preview, and deletes its checkpoint unless it may be needed.

        Args:
          run: One that has ended.
          has_failed: Whether it might go on from there yet.

        Raises:
          InputError: If the run's folder is gone.
          TransferError: If the preview cannot be written; it stays in memory.
        """
        folder = self._store.run_folder(run.id)
        if not has_failed:
            shutil.rmtree(folder / "checkpoint", ignore_errors=True)
        run.has_picture = (folder / "picture.png").is_file()
        if run.has_picture and run.preview is not None:
            write_atomically(folder / "preview.jpg", run.preview)
        run.preview = None

    def preview(self, run: Run) -> bytes:
        """How a run's picture looks, a JPEG.

        Raises:
          NotFoundError: If there is none yet.
        """
        if run.preview is not None:
            return run.preview
        try:
            return (self._store.run_folder(run.id) / "preview.jpg").read_bytes()
        except FileNotFoundError:
            raise NotFoundError(f"There is no picture of run {run.id} yet.") from None
