"""The studio's parts, without a server, a page or TensorFlow."""

import asyncio
import concurrent.futures
import io
import json
import os
import pathlib
import shlex
import threading

import numpy as np
import pytest
from PIL import Image
from studio_server import blocks, png

from tf_style.commands import runner, sandbox, stylize, stylize_run
from tf_style.errors import InputError, TransferError
from tf_style.transfer.pyramid import Level
from tf_style.web import app, kept_runs, pace, previews, private_folder, students, studio, worker
from tf_style.web import asked as asking
from tf_style.web.run import Run
from tf_style.web.store import NotFoundError, QuotaError, Store
from tf_style.web.studio import QueueFullError, Studio

PAIR = {"content": "example-coffee", "styles": ["example-style"]}


def test_the_time_that_is_left(monkeypatch):
    now = 0.0
    monkeypatch.setattr(pace.time, "monotonic", lambda: now)
    levels = [Level(10, 10, 4, (1.0, 1.0, 1.0), 0), Level(20, 20, 3, (1.0, 1.0, 1.0), 0)]
    found = pace.Pace(levels)
    assert found.seconds_left(0, 1) is None
    now = 2.0
    # An iteration takes 1 s of 100 pixels: one is left, and three of 400 pixels.
    assert found.seconds_left(0, 3) == pytest.approx(1 + 3 * 4)
    now = 50.0  # A size's first iteration, which may trace, does not count.
    assert found.seconds_left(1, 5) == pytest.approx(2 * 4)
    now = 52.0
    assert found.seconds_left(1, 6) == pytest.approx(2)


def test_previews_are_no_burden(monkeypatch):
    now, made = 0.0, []
    monkeypatch.setattr(previews.time, "monotonic", lambda: now)
    monkeypatch.setattr(previews.time, "thread_time", iter(range(0, 100, 1)).__next__)
    found = previews.Previews(made.append)
    picture = np.full((8, 2 * previews.SIDE_PX, 3), 0.5, np.float32)
    found.offer(lambda: picture)
    found.finish()
    with Image.open(io.BytesIO(made[0])) as image:
        assert (image.format, image.size) == ("JPEG", (previews.SIDE_PX, 4))
    now = previews.EVERY_SECONDS  # To read it took a second of 2 percent of the run.
    found.offer(lambda: picture)
    now = 1 / previews.SHARE
    assert len(made) == 1
    found.offer(lambda: picture)
    found.finish()
    assert len(made) == 2


ASKED = [
    {
        "content": "example-coffee",
        "styles": ["example-style", "example-mosaic"],
        "coarse_and_fine": True,
    },
    {"styles": ["example-style"], "settings": {"init": "noise", "seed": 7, "normalize": False}},
    {"content": "example-coffee", "settings": {"content_layers": ["conv4_2"], "tile": 128}},
    {
        "content": "example-coffee",
        "styles": ["example-style", None],
        "content_mask": ["MASK", "MASK"],
        "style_mask": [None, None],
        "strength_mask": "MASK",
        "bit_depth": 16,
        "deterministic": True,
        "settings": {"strength": 0.30000000000000004, "style_scale": 0.5, "levels": 2},
    },
    {
        "content": "example-coffee",
        "styles": ["example-style", "example-mosaic"],
        "blend_mask": ["MASK"],
        "settings": {"keep_colors": "match", "preset": "gatys2016", "style_scale": 2},
    },
    {
        "content": "example-coffee",
        "styles": ["example-style", "example-mosaic"],
        "settings": {"style_blend": [3, 1], "init": "MASK"},
    },
    {"content": "example-coffee", "student": "small", "settings": {"keep_colors": "luminance"}},
    {**PAIR, "student": "small", "settings": {"init": "student"}},
]


@pytest.fixture
def store(tmp_path):
    student = students.Student("/students/small", ("style.jpg",), dial=True, strength=0.5)
    return Store(tmp_path / "studio", quota_bytes=2**24, students={"small": student})


def arrive(store, data, **options):
    with store.incoming() as path:
        path.write_bytes(data)
        return store.add(path, "a/../\u202eb\n.png", **{"is_mask": False, **options})


@pytest.mark.parametrize("asked", ASKED)
def test_the_command_asks_for_the_same(store, asked):
    mask = arrive(store, png(blocks(0)[:, :, 0]), is_mask=True)
    asked = json.loads(json.dumps(asked).replace("MASK", mask.id))
    request = asking.make_request(asking.settled(asked, store), store, store.new_run())
    words = shlex.split(asking.command_line(request))
    arguments = stylize._parser().parse_args(words[1:])
    again, _ = stylize_run._read(arguments)
    kept = {"output": "stylized.png", "checkpoint": None, "checkpoint_every": None}
    assert again == stylize_run.dataclasses.replace(request, **kept)


def test_what_is_kept(store, monkeypatch):
    first = arrive(store, png(blocks(0)))
    assert first.name == "a/../b.png"
    assert (first.width, first.height) == (144, 96)
    assert store.find(first.id) == first == arrive(store, png(blocks(0)))
    assert os.stat(first.path).st_mode & 0o77 == 0
    with pytest.raises(InputError, match="^The file has transparency"):
        arrive(store, png(np.zeros((4, 4, 4), np.uint8)), is_mask=True)
    monkeypatch.setattr("tf_style.web.store.MAX_UPLOAD_PIXELS", 100)
    with pytest.raises(InputError, match="^The file has 144 x 96 pixels. Expected at most 100"):
        arrive(store, png(blocks(2)))
    store.delete_unused(older_than=0)
    with pytest.raises(NotFoundError):
        store.find(first.id)
    (store.folder / "large").write_bytes(bytes(2**24))
    with pytest.raises(QuotaError, match="delete pictures"):
        store.check_room()


@pytest.mark.parametrize("mode", [0o777, 0o730])
def test_a_folder_that_others_can_write_to_is_refused(tmp_path, mode):
    tmp_path.chmod(mode)
    with pytest.raises(InputError, match=f"no others can write to. Received: .* mode {mode:o}"):
        Store(tmp_path, quota_bytes=1)


def test_a_folder_of_another_user_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(InputError, match="Expected a folder of user"):
        private_folder.make(tmp_path)


def test_a_token_is_nobody_elses(store, tmp_path):
    token = private_folder.token(store.folder)
    path = store.folder / "token"
    assert token == private_folder.token(store.folder) == path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    replaced = private_folder.token(store.folder)
    assert replaced != token
    # A link that somebody has put there is neither read nor followed.
    other = tmp_path / "other"
    other.write_text(token)
    other.chmod(0o600)
    path.unlink()
    path.symlink_to(other)
    assert private_folder.token(store.folder) not in (token, replaced)
    assert other.read_text() == token
    assert not path.is_symlink()
    with private_folder.redirect(store.folder, "http://a/?token=x&b") as url:
        page = pathlib.Path(url.removeprefix("file://"))
        assert "url=http://a/?token=x&amp;b" in page.read_text()
        assert page.stat().st_mode & 0o777 == 0o600
    assert not page.exists()


def test_equal_uploads_at_once_are_one(store, monkeypatch):
    together = threading.Barrier(8)

    def thumbnail(*_, **__):
        together.wait(60)
        return sandbox.Thumbnail("PNG", 96, 144, b"small")

    monkeypatch.setattr(sandbox, "thumbnail", thumbnail)
    data = png(blocks(0))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        added = list(pool.map(lambda _: arrive(store, data), range(8)))
    assert added == [store.find(added[0].id)] * 8


def test_uploads_of_records_that_cannot_be_loaded_are_kept(store):
    """Of another version, say; and a folder that has moved is where it is."""
    photo, unused = arrive(store, png(blocks(0))), arrive(store, png(blocks(1)))
    kept, other = (kept_runs.KeptRuns(store).make({**PAIR, "content": photo.id}) for _ in range(2))
    path = store.run_folder(other.id) / "run.json"
    path.write_text(json.dumps({"of": "the future", **json.loads(path.read_text())}))
    for each in (store.folder / "uploads").iterdir():
        os.utime(each, (0, 0))
    moved = store.folder.rename(store.folder.with_name("a place"))
    again = Studio(Store(moved, quota_bytes=2**24))
    assert again.runs.keys() == {kept.id}
    assert again.store.find(photo.id).path == str(moved / "uploads" / f"{photo.id}.png")
    assert str(moved / "uploads" / f"{photo.id}.png") in shlex.split(again.runs[kept.id].command)
    with pytest.raises(NotFoundError):
        again.store.find(unused.id)


def test_a_run_that_was_begun_goes_on_from_where_its_files_are(store):
    begun = kept_runs.KeptRuns(store)
    run = begun.make({"styles": ["example-style"], "settings": {"init": "noise", "seed": 3}})
    stored = begun.request(run).with_settings(levels=2, tile="off", precision="float32")
    moved = Store(store.folder.rename(store.folder.with_name("moved")), quota_bytes=2**24)
    request = kept_runs.KeptRuns(moved).request(run)
    found = worker._as_stored(request, stored)
    assert found.output == str(moved.run_folder(run.id) / "picture.png")
    assert (found.settings.levels, found.settings.seed) == (2, 3)
    assert found.objective == stored.objective


@pytest.mark.parametrize(
    "record",
    [
        None,
        [],
        {"id": "x"},
        {"asked": []},
        {"state": "lost"},
        {"losses": 3},
        {"asked": {"content": ["a"]}},
        {"chosen": None},
    ],
)
def test_records_that_are_none_are_left_alone(store, record, caplog):
    run = kept_runs.KeptRuns(store).make(PAIR)
    if isinstance(record, dict) and "id" not in record:
        record = {**run.as_record(), **record}
    store.save_run(run.id, record)
    assert Studio(store).runs == {}
    assert f"{run.id} is left alone" in caplog.text
    assert store.run_folder(run.id).is_dir()


class Worker:
    """A process that computes, played by the test."""

    def __init__(self):
        self.events, self.sent = asyncio.Queue(), []

    def send(self, message):
        self.sent.append(message if message == worker.STOP else message.request)

    def tell(self, kind, value=None):
        self.events.put_nowait(worker.Event(kind, value))

    def terminate(self):
        self.events.put_nowait(None)

    def end(self):
        return -9


class Serving:
    """A studio that serves, and its worker."""

    def __init__(self, store, monkeypatch):
        self.workers = []
        monkeypatch.setattr(studio, "WorkerProcess", self.make_worker)
        monkeypatch.setattr(studio, "_RESTART_SECONDS", 0.01)
        self.studio = Studio(store)
        self.task = asyncio.create_task(self.studio.serve())

    def make_worker(self):
        self.workers.append(Worker())
        return self.workers[-1]

    async def until(self, holds):
        async with asyncio.timeout(60):
            while not holds():
                assert not self.task.done()
                await asyncio.sleep(0.005)

    async def worker(self, number=1):
        """The worker of a number, once it is ready."""
        await self.until(lambda: len(self.workers) >= number)
        self.workers[number - 1].tell("ready")
        await self.until(lambda: self.studio.is_ready)
        return self.workers[number - 1]


def test_what_goes_wrong_with_a_run_ends_no_server(store, monkeypatch):
    async def body():
        serving = Serving(store, monkeypatch)
        fork, failures = serving.make_worker, [OSError("no process"), None]

        def make_worker():
            if failures and (error := failures.pop(0)):
                raise error
            return fork()

        monkeypatch.setattr(studio, "WorkerProcess", make_worker)
        its = await serving.worker()
        assert serving.studio.trouble is None
        first, second = [await serving.studio.start(PAIR) for _ in range(2)]
        its.tell("progress", {"no": "losses"})
        its.tell("preview", b"a picture")
        (store.run_folder(first.id) / "picture.png").write_bytes(b"")
        with monkeypatch.context() as patch:
            error = TransferError("preview.jpg was not written: no space")
            patch.setattr(kept_runs, "write_atomically", lambda *_: (_ for _ in ()).throw(error))
            its.tell("ended", (0, None))
            await serving.until(lambda: second.state == "running")
        assert (first.state, first.has_picture) == ("done", True)
        assert "no space" in first.warnings[-1]
        assert serving.studio.kept.preview(first) == b"a picture"
        # Somebody deletes the folder of the one that runs.
        third = await serving.studio.start(PAIR)
        store.delete_run(second.id)
        its.tell("ended", (0, None))
        await serving.until(lambda: third.state == "running")
        assert second.has_ended
        serving.studio.delete(second.id)
        assert second.id not in serving.studio.runs

    asyncio.run(body())


def test_a_run_outlives_the_process_that_computes_once(store, monkeypatch):
    async def body():
        serving = Serving(store, monkeypatch)
        first = await serving.worker()
        run = await serving.studio.start(PAIR)
        first.tell("chosen", {"levels": 2, "tile": 512, "precision": "float32"})
        folder = store.run_folder(run.id) / "checkpoint"
        folder.mkdir()
        (folder / "checkpoint-1.json").write_text("{}")
        first.terminate()
        second = await serving.worker(2)
        await serving.until(lambda: run.state == "running")
        assert second.sent == first.sent
        assert run.warnings[-1].endswith(
            "(exit code -9). Is there memory enough? The run went on from its last checkpoint."
        )
        assert "--levels 2 --precision float32 --tile 512" in run.command.replace("\n", " ")
        second.terminate()
        await serving.until(lambda: run.has_ended)
        assert (run.state, run.message[-29:]) == ("failed", " Its last checkpoint is kept.")
        assert store.can_go_on(run.id)

    asyncio.run(body())


@pytest.mark.parametrize("is_killed", [False, True])
def test_stop_and_delete_outlive_the_server(store, monkeypatch, is_killed):
    async def asked(name):
        serving = Serving(store, monkeypatch)
        its = await serving.worker()
        run = await serving.studio.start(PAIR)
        getattr(serving.studio, name)(run.id)
        if is_killed:
            serving.task.cancel()
            return run
        closing = asyncio.create_task(serving.studio.close())
        await serving.until(lambda: its.sent[1:] == [worker.STOP, worker.STOP])
        its.tell("ended", (runner.EXIT_INTERRUPTED, None))
        await closing
        await serving.task
        return run

    async def again():
        serving = Serving(store, monkeypatch)
        its = await serving.worker()
        assert its.sent[1:] == ([worker.STOP] if is_killed else [])
        if is_killed:
            its.tell("ended", (runner.EXIT_INTERRUPTED, None))
        await serving.until(lambda: all(run.state == "stopped" for run in serving.studio.runs.values()))
        return list(serving.studio.runs)

    deleted = asyncio.run(asked("delete"))
    assert is_killed == (store.folder / "runs" / deleted.id).exists()
    stopped = asyncio.run(asked("stop"))
    assert asyncio.run(again()) == [stopped.id]
    assert not (store.folder / "runs" / deleted.id).exists()


def test_a_run_under_way_when_the_server_ends_goes_on(store, monkeypatch):
    async def body():
        serving = Serving(store, monkeypatch)
        its = await serving.worker()
        run = await serving.studio.start(PAIR)
        closing = asyncio.create_task(serving.studio.close())
        await serving.until(lambda: its.sent[1:] == [worker.STOP])
        its.tell("ended", (runner.EXIT_INTERRUPTED, None))
        await closing
        return run.id

    name = asyncio.run(body())
    assert Studio(store).runs[name].state == "waiting"


def test_as_many_runs_wait_as_may(store):
    async def body():
        served = Studio(store)
        found = await asyncio.gather(*[served.start(PAIR) for _ in range(30)], return_exceptions=True)
        assert sum(isinstance(each, Run) for each in found) == studio.MAX_WAITING
        assert sum(isinstance(each, QueueFullError) for each in found) == 30 - studio.MAX_WAITING
        assert len(served.waiting) == studio.MAX_WAITING

    asyncio.run(body())


def request(application, method, path, receive, **headers):
    """The status that an application answers with."""
    sent = []

    async def send(message):
        sent.append(message)

    scope = {
        **{"type": "http", "method": method, "path": path, "raw_path": path.encode()},
        **{"query_string": b"token=x", "http_version": "1.1", "scheme": "http", "root_path": ""},
        "headers": [(b"host", b"localhost")]
        + [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }
    asyncio.run(asyncio.wait_for(application(scope, receive, send), 60))
    return sent[0]["status"]


def test_uploads_that_do_not_come_or_have_no_room(store, monkeypatch):
    async def stalled():
        await asyncio.Event().wait()

    async def not_asked_for():
        raise AssertionError("the body was read")

    monkeypatch.setattr(app, "STALLED_SECONDS", 0.01)
    application = app.make_app(Studio(store), "x")
    options = {"content_type": "image/png"}
    assert request(application, "POST", "/uploads", stalled, **options) == 408
    assert list((store.folder / "uploads").iterdir()) == []
    long = {**options, "content_length": str(2**24)}
    assert request(application, "POST", "/uploads", not_asked_for, **long) == 507


def test_a_preview_that_fails_is_told_and_the_next_one_comes(caplog):
    made, failures = [], [OSError("no room"), None]

    def send(jpeg):
        if error := failures.pop(0):
            raise error
        made.append(jpeg)

    def no_memory():
        raise MemoryError

    def all_of_them():
        found = previews.Previews(send)
        for read in (no_memory, lambda: np.zeros((8, 8, 3)), lambda: np.zeros((8, 8, 3))):
            found.last(read)

    # In a thread, for one that waits would wait for ever.
    thread = threading.Thread(target=all_of_them, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
    assert len(made) == 1
    assert "A preview was not made: MemoryError" in caplog.text
    assert "A preview was not made: OSError: no room" in caplog.text
