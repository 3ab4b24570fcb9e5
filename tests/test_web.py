"""The studio in the browser: its page, driven, and the server under it."""

import contextlib
import http.client
import io
import json
import os
import re
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image
from studio_server import PATIENCE_S, STYLIZE_WEB, Server, blocks, png

from tf_style.commands import stylize, stylize_run
from tf_style.errors import InputError
from tf_style.transfer.pyramid import Level
from tf_style.web import asked as asking
from tf_style.web import pace, previews
from tf_style.web.store import NotFoundError, QuotaError, Store

CHROMIUM = shutil.which("chromium")
SETTINGS = {"size": 64, "iterations": 150}


def has_ended(state):
    return state["state"] in ("done", "stopped", "failed")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("studio"))
    yield server
    code, errors = server.end(signal.SIGINT)
    assert code == 130
    assert "Traceback" not in errors


@pytest.fixture(scope="module")
def pictures(server):
    """A photograph's and a painting's names."""
    return server.upload(blocks(0)), server.upload(blocks(1))


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("there is no chromium here")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as drive:
        # As root its own sandbox cannot run.
        with drive.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"]) as browser:
            yield browser


@contextlib.contextmanager
def opened(browser, server, **options):
    """The page, which says nothing on its console, and in which axe finds nothing."""
    from axe_playwright_python.sync_playwright import Axe

    with contextlib.closing(browser.new_context(**options)) as context:
        page, told = context.new_page(), []
        page.set_default_timeout(1000 * PATIENCE_S)
        page.on("console", lambda message: told.append(message.text))
        page.on("pageerror", lambda error: told.append(str(error)))
        page.goto(server.address)
        page.wait_for_selector(".examples")
        yield page
        found = Axe().run(page).response["violations"]
        assert [(each["id"], each["nodes"][0]["target"]) for each in found] == []
        # What is refused, and a server that is gone, Chromium tells by itself.
        assert [text for text in told if not text.startswith("Failed to load resource")] == []


def until(page, selector, text):
    from playwright.sync_api import expect

    expect(page.locator(selector)).to_have_text(re.compile(text), timeout=1000 * PATIENCE_S)


def test_the_story_at_a_desk(server, browser, tmp_path):
    for name in ("photo", "paint"):
        (tmp_path / f"{name}.png").write_bytes(png(blocks(len(name) + ord(name[1]))))
    with opened(browser, server, viewport={"width": 1280, "height": 800}) as page:
        page.set_input_files("#content input", tmp_path / "photo.png")
        page.wait_for_selector("#content .chosen")
        page.set_input_files("#styles input", tmp_path / "paint.png")
        page.wait_for_selector("#styles .chosen")
        page.fill("#size", "64")
        page.click("#more summary")
        page.fill("#setting-iterations", "100000")
        # A mask of what to keep: the left half.
        page.click("#strength-mask")
        box = page.locator("#mask-canvas").bounding_box()
        x, y = box["x"] + box["width"] / 4, box["y"]
        page.locator("#brush-width").fill("100")
        page.mouse.move(x, y + 1)
        page.mouse.down()
        page.mouse.move(x, y + box["height"] - 1, steps=4)
        page.mouse.up()
        page.click("#mask-use")
        page.get_by_role("button", name="Change the strength mask").wait_for()
        page.click("#start")
        # It forms, live.
        until(page, "#progress-text", "^Iteration")
        page.wait_for_selector("#after[data-version='3']")
        assert page.locator("#stop").is_enabled()
        page.click("#stop")
        until(page, "#progress-text", "^Stopped: iteration")
        page.wait_for_selector("#curve polyline")
        # Before and after, at the pixels.
        page.locator("#cut").fill("40")
        assert page.locator("#figure").get_attribute("style").count("--cut: 40%") == 1
        page.click("#flip")
        assert page.locator("#flip").get_attribute("aria-pressed") == "true"
        page.click("#zoom")
        assert page.locator("#figure").bounding_box()["width"] == pytest.approx(64)
        with page.expect_download() as download:
            page.click("#download")
        with Image.open(download.value.path()) as made:
            record = json.loads(made.getexif()[270])
            pixels = np.asarray(made)
        assert (record["size"], record["iterations"]) == (64, 100_000)
        assert record["strength_mask"] is not None
        photo = np.asarray(
            Image.open(tmp_path / "photo.png").resize((64, 43), Image.Resampling.LANCZOS)
        )
        changed = np.abs(np.int32(pixels) - photo).mean(axis=(0, 2))
        assert changed[:16].mean() < changed[48:].mean() / 4
        # Again from here, with another dial, and then it goes.
        page.click("#again")
        page.wait_for_selector("#init option[data-picture]", state="attached")
        page.select_option("#keep_colors", "luminance")
        page.fill("#setting-iterations", "2")
        page.click("#start")
        until(page, "#progress-text", "^Done: iteration 2 of 2")
        assert "--keep-colors luminance" in page.locator("#command").input_value()
        assert page.locator(".run").count() == 2
        page.on("dialog", lambda dialog: dialog.accept())
        page.click("#delete")
        page.wait_for_selector(".run:only-child")
        until(page, "#progress-text", "^Stopped")
        # What is refused is told in one line.
        page.fill("#size", "0")
        page.click("#start")
        until(page, "#refusal", "size is a whole number from 1 to 65535. Received: 0")


def test_a_run_outlives_its_tab_and_its_server(server, pictures, browser, tmp_path):
    content, style = pictures
    phone = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "color_scheme": "dark"}
    asked = {"content": content, "styles": [style], "settings": SETTINGS, "checkpoint_every": 0}
    with opened(browser, server, **phone) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        tab = page.context.new_page()
        tab.goto(server.address)
        run = server.ask("POST", "/runs", asked)[1]["id"]
        after = server.ask("POST", "/runs", asked)[1]["id"]
        until(tab, f"[data-run='{after}']", "Waits: it is next")
        tab.click(f"[data-run='{run}']")
        until(tab, "#progress-text", "^Iteration")
        tab.close()
        server.wait(run, lambda state: list((server.folder / "runs" / run).glob("*/checkpoint-1.json")))
        assert server.ask("GET", f"/runs/{run}")[1]["state"] == "running"
        assert server.end(signal.SIGKILL)[0] == -signal.SIGKILL
        until(page, "#status", "does not answer")
        server.start()
        assert server.ask("DELETE", f"/runs/{after}")[0] == 204
        until(page, "#status", "Loading|Painting")
        page.reload()
        until(page, "#progress-text", "^Done: iteration 150 of 150")
        page.click("#command-details summary")
        command = shlex.split(page.locator("#command").input_value())
        with page.expect_download() as download:
            page.click("#download")
        made = np.asarray(Image.open(download.value.path()))
    assert command[0] == "stylize"
    command[command.index("--output") + 1] = str(tmp_path / "same.png")
    subprocess.run(
        [sys.executable, STYLIZE_WEB.parent / command[0], "--quiet", *command[1:]], check=True
    )
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "same.png")), made)


def test_events_end_with_the_run(server, pictures):
    content, style = pictures
    asked = {"content": content, "styles": [style], "settings": {"size": 64, "iterations": 3}}
    run = server.ask("POST", "/runs", asked)[1]["id"]
    _, text = server.ask("GET", f"/runs/{run}/events")
    states = [json.loads(line[6:]) for line in text.decode().splitlines() if line.startswith("data: ")]
    assert states[0]["state"] in ("waiting", "running")
    assert (states[-1]["state"], states[-1]["iteration"]) == ("done", 3)
    assert sum(len(state["losses"]) for state in states) >= 3
    status, preview = server.ask("GET", f"/runs/{run}/preview")
    assert status == 200
    assert Image.open(io.BytesIO(preview)).size == (64, 43)
    assert server.ask("DELETE", f"/runs/{run}")[0] == 204
    assert server.ask("GET", f"/runs/{run}")[0] == 404
    assert not (server.folder / "runs" / run).exists()


@pytest.mark.parametrize(
    ("status", "options"),
    [
        (401, {"token": False}),
        (401, {"token": False, "authorization": "Bearer x"}),
        (421, {"host": "evil.example"}),
        (421, {"host": "127.0.0.1.evil.example:80"}),
        (421, {"host": "user@127.0.0.1"}),
        (403, {"origin": "http://evil.example"}),
        (403, {"origin": "null"}),
        (403, {"origin": "http://127.0.0.1:1"}),
        (403, {"sec_fetch_site": "cross-site"}),
        (403, {"sec_fetch_site": "same-site"}),
    ],
)
def test_who_may_not_ask(server, pictures, status, options):
    before = server.ask("GET", "/runs")
    asked = {"content": pictures[0], "styles": [pictures[1]], "settings": SETTINGS}
    assert server.ask("POST", "/runs", asked, **options)[0] == status
    assert server.ask("GET", "/events", **options)[0] == status
    assert server.ask("POST", "/uploads", png(blocks(9)), **options)[0] == status
    assert server.ask("GET", "/runs") == before


def test_every_answer_has_its_headers(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    for path in ("/", f"/?token={server.token}", "/static/app.js", "/static/../../store.py"):
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        assert "default-src 'none'; script-src 'self'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.status == {0: 401, 1: 404}.get(path.find("/.."), answer.status) or path != "/"
    connection.close()


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"settings": []}, 400, "settings is of the wrong type"),
        ({"settings": {"weights": "/etc/passwd"}}, 400, "settings has weights"),
        ({"settings": {"init": "/etc/passwd"}}, 404, "There is no picture '/etc/passwd'"),
        ({"content": "../../etc/passwd"}, 404, "There is no picture"),
        ({"content": "example-../style"}, 404, "There is no picture"),
        ({"content": "run-../.."}, 404, "There is no run"),
        ({"styles": ["example-style"], "settings": {"size": "big"}}, 400, "size is a whole number"),
        ({"styles": ["example-style"], "output": "/tmp/x.png"}, 400, "A run has no output"),
        ({"checkpoint_every": -1}, 400, "checkpoint_every is a number of seconds from 0"),
        ({}, 400, "A content image, a style image or both are needed"),
        ([], 400, "asked for by a JSON object"),
        (
            {"content": "example-coffee", "styles": ["example-style"], "settings": {"seed": 3}},
            400,
            "seed would have no effect",
        ),
    ],
)
def test_runs_that_cannot_be(server, body, status, message):
    found, answer = server.ask("POST", "/runs", body)
    assert (found, list(answer)) == (status, ["error"])
    assert message in answer["error"]


def test_hostile_uploads(server):
    bodies = [b"", b"<svg onload=alert(1)>", png(blocks(0))[:99], b"II*\0" + bytes(9)]
    # A header of 2**28 pixels, and nothing else.
    header = b"IHDR" + struct.pack(">IIBBBBB", 2**14, 2**14, 8, 2, 0, 0, 0)
    bodies.append(b"\x89PNG\r\n\x1a\n\0\0\0\r" + header + struct.pack(">I", zlib.crc32(header)))
    before = set((server.folder / "uploads").iterdir())
    for body in bodies:
        status, answer = server.ask("POST", "/uploads", body)
        assert status == 400, answer
        assert str(server.folder) not in answer["error"]
    assert set((server.folder / "uploads").iterdir()) == before
    status, answer = server.ask("POST", "/uploads", b"a=b", content_type="text/plain")
    assert status == 415
    status, answer = server.ask("POST", "/uploads", b"x", content_length=str(2**40))
    assert status == 413
    assert server.ask("GET", "/uploads/..%2F..%2Ftoken/preview")[0] == 404


def test_two_servers_do_not_share_a_folder(server):
    command = [sys.executable, STYLIZE_WEB, "--no-browser", "--folder", server.folder]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "is in use by process" in done.stderr


def test_the_next_free_port(server, tmp_path):
    command = [sys.executable, STYLIZE_WEB, "--no-browser", "--folder", tmp_path]
    command += ["--port", str(server.port), "--quiet"]
    with subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True) as second:
        port = int(re.search(r":(\d+)/", second.stdout.readline())[1])
        second.terminate()
    assert server.port < port < server.port + 100
    assert second.returncode == 143


def test_the_time_that_is_left(monkeypatch):
    now = 0.0
    monkeypatch.setattr(pace.time, "monotonic", lambda: now)
    levels = [Level(10, 10, 4, (1.0, 1.0, 1.0)), Level(20, 20, 3, (1.0, 1.0, 1.0))]
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
]


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "studio", quota_bytes=2**24)


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
    store.delete_unused({first.id}, older_than=0)
    assert store.find(first.id) == first
    store.delete_unused(set(), older_than=0)
    with pytest.raises(NotFoundError):
        store.find(first.id)
    (store.folder / "large").write_bytes(bytes(2**24))
    with pytest.raises(QuotaError, match="delete pictures"):
        store.check_room()
