"""The studio in the browser: its page, driven, and the server under it."""

import contextlib
import http.client
import io
import json
import os
import pathlib
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
from students import write_untrained
from studio_server import PATIENCE_S, STYLIZE_WEB, Server, blocks, png

from tf_style import InputError
from tf_style.images import reading, writing
from tf_style.student import stored
from tf_style.web import students
from tf_style.web.app import MAX_ARRIVING, MAX_STREAMS

CHROMIUM = shutil.which("chromium")
SETTINGS = {"size": 64, "iterations": 200}
STYLE_ALONE = {"styles": ["example-style"]}


def has_ended(state):
    return state["state"] in ("done", "stopped", "failed")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    student = write_untrained(tmp_path_factory.mktemp("students") / "small")
    server = Server(tmp_path_factory.mktemp("studio"), "--student", student)
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
    from playwright.sync_api import expect

    expect.set_options(timeout=1000 * PATIENCE_S)
    for name in ("photo", "paint", "mosaic"):
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
        paint(page)
        page.get_by_role("button", name="Change the strength mask").wait_for()
        page.click("#start")
        # It forms, live.
        until(page, "#progress-text", "^Iteration")
        # A slow page leaves some out.
        expect(page.locator("#after")).to_have_attribute("data-version", re.compile("[3-9]|.."))
        first = page.locator(".run button[aria-current='true']").get_attribute("data-run")
        brushes_and_settings_are_as_asked(page, server, tmp_path / "mosaic.png")
        failing = server.ask("POST", "/runs", {"content": server.upload(blocks(7))})[1]
        (server.folder / "uploads" / f"{failing['asked']['content']}.json").unlink()
        # The list is made anew, and what has the focus keeps it.
        page.wait_for_selector(f"[data-run='{failing['id']}']")
        page.focus(f"[data-run='{first}']")
        page.keyboard.press("Enter")
        server.ask("DELETE", f"/runs/{server.ask('POST', '/runs', STYLE_ALONE)[1]['id']}")
        page.wait_for_selector(".run:nth-child(2):last-child")
        assert page.evaluate("document.activeElement.dataset.run") == first
        assert page.locator("#stop").is_enabled()
        page.click("#stop")
        until(page, "#progress-text", "^Stopped: iteration")
        until(page, "#live", "a.png: Failed")
        assert server.ask("DELETE", f"/runs/{failing['id']}")[0] == 204
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
        # The brush covers the columns from 4 to 28, softly at either end. Measured: a tenth.
        assert changed[8:24].mean() < changed[48:].mean() / 4
        # Again from here, with another dial, and then it goes.
        page.click("#again")
        page.wait_for_selector("#init option[data-picture]", state="attached")
        page.select_option("#keep_colors", "luminance")
        page.fill("#setting-iterations", "2")
        page.click("#start")
        until(page, "#progress-text", "^Done: iteration 2 of 2")
        assert "--keep-colors luminance" in page.locator("#command").input_value()
        page.click("#command-details summary")
        page.click("#copy")
        until(page, "#copy", "^Copied$")
        page.evaluate(
            "Object.defineProperty(navigator, 'clipboard', {}), document.execCommand = () => false"
        )
        page.click("#copy")
        until(page, "#copy", "^Copy what is selected$")
        assert page.locator(".run").count() == 2
        page.on("dialog", lambda dialog: dialog.accept())
        page.click("#delete")
        page.wait_for_selector(".run:only-child")
        until(page, "#progress-text", "^Stopped")
        # A student has its own paintings and, without a dial, its own strength; and no iterations.
        page.locator("#strength").fill("0.8")
        page.select_option("#init", "")
        page.select_option("#student", "small")
        assert not page.locator("#styles-section").is_visible()
        for name in ("strength", "setting-iterations", "preset", "deterministic"):
            assert page.locator(f"#{name}").is_disabled()
        assert page.locator("#strength-text").inner_text() == "0.50"
        page.select_option("#student", "")
        assert page.locator("#strength-text").inner_text() == "0.80"
        assert page.locator("#setting-iterations").input_value() == "2"
        page.select_option("#student", "small")
        page.click("#start")
        until(page, "#progress-text", "^Done$")
        page.wait_for_selector("#after[data-version='1']")
        assert " --student " in page.locator("#command").input_value()
        # What is refused is told in one line.
        page.fill("#size", "0")
        page.click("#start")
        until(page, "#refusal", "size is a whole number from 1 to 65535. Received: 0")


def paint(page, *, right=False):
    """Paints a half of the picture, and uses the mask."""
    box = page.locator("#mask-canvas").bounding_box()
    x, y = box["x"] + box["width"] * (0.75 if right else 0.25), box["y"]
    page.locator("#brush-width").fill("100")
    page.mouse.move(x, y + 1)
    page.mouse.down()
    page.mouse.move(x, y + box["height"] - 1, steps=4)
    page.mouse.up()
    page.click("#mask-use")


def brushes_and_settings_are_as_asked(page, server, mosaic):
    """While another run is under way, so that none of these begins."""

    def started():
        before = set(server.runs())
        page.click("#start")
        page.wait_for_selector(".run .plain")
        (name,) = set(server.runs()) - before
        asked = server.ask("GET", f"/runs/{name}")[1]["asked"]
        server.ask("POST", f"/runs/{name}/stop")
        page.wait_for_selector(".run .plain", state="detached")
        return name, asked

    def halves(mask):
        with Image.open(io.BytesIO(server.ask("GET", f"/uploads/{mask}/preview")[1])) as image:
            grey = np.asarray(image.convert("L"))
        # Far from the soft edge; a JPEG's white is white but for a level or two.
        return [float(grey[:, part].mean()) > 127 for part in (slice(0, 20), slice(-20, None))]

    page.set_input_files("#styles input[type=file]", mosaic)
    page.get_by_role("button", name="Where paint.png goes").click()
    paint(page, right=True)
    # At once the next one: neither is forgotten.
    page.get_by_role("button", name="Which part of mosaic.png").click()
    paint(page)
    _, asked = started()
    assert [halves(mask) for mask in asked["content_mask"]] == [[False, True], [True, False]]
    assert asked["style_mask"][0] is None
    assert halves(asked["style_mask"][1]) == [True, False]
    assert halves(asked["strength_mask"]) == [False, True]
    for name in ("Where paint.png goes", "Which part of mosaic.png"):
        page.get_by_role("button", name=name).click()
        page.click("#mask-remove")
    page.get_by_role("button", name="Weight of paint.png by place").click()
    paint(page)
    page.check("#deterministic")
    page.select_option("#bit_depth", "16")
    name, asked = started()
    assert [halves(mask) for mask in asked["blend_mask"]] == [[True, False]]
    assert (asked["deterministic"], asked["bit_depth"]) == (True, 16)
    assert "content_mask" not in asked
    # All of it comes back from a run's settings.
    page.get_by_role("button", name="Remove the painting mosaic.png").click()
    page.uncheck("#deterministic")
    page.click(f"[data-run='{name}']")
    page.click("#reuse")
    page.get_by_role("button", name="Weight of paint.png by place", exact=True).wait_for()
    assert started()[1] == asked
    for each in server.runs():
        if server.ask("GET", f"/runs/{each}")[1]["state"] == "stopped":
            server.ask("DELETE", f"/runs/{each}")
    page.wait_for_selector(".run:only-child")


def test_a_run_outlives_its_tab_and_its_server(server, pictures, browser, tmp_path):
    content, style = pictures
    phone = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "color_scheme": "dark"}
    settings = {**SETTINGS, "keep_colors": "luminance", "style_scale": 0.7}
    asked = {"content": content, "styles": [style], "settings": settings}
    asked |= {"bit_depth": 16, "checkpoint_every": 0}
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
        server.wait(run, lambda state: state["iteration"] >= 80)
        assert server.ask("GET", f"/runs/{run}")[1]["state"] == "running"
        assert server.end(signal.SIGKILL)[0] == -signal.SIGKILL
        until(page, "#status", "does not answer")
        server.start()
        # A call into the graph is one iteration at first and 32 at most, and each is told and saved:
        # a run that began again would tell 1 to 33 first, even if its first event were missed.
        told = (state["iteration"] for state in server.events(run))
        assert next(iteration for iteration in told if iteration) > 40
        assert server.ask("DELETE", f"/runs/{after}")[0] == 204
        until(page, "#status", "Loading|Painting")
        page.reload()
        until(page, "#progress-text", "^Done: iteration 200 of 200")
        page.click("#command-details summary")
        command = shlex.split(page.locator("#command").input_value())
        with page.expect_download() as download:
            page.click("#download")
        made = reading.read(download.value.path()).pixels
    assert command[0] == "stylize"
    command[command.index("--output") + 1] = str(tmp_path / "same.png")
    subprocess.run(
        [sys.executable, STYLIZE_WEB.parent / command[0], "--quiet", *command[1:]], check=True
    )
    np.testing.assert_array_equal(reading.read(tmp_path / "same.png").pixels, made)


def test_events_end_with_the_run(server, pictures):
    content, style = pictures
    asked = {"content": content, "styles": [style], "settings": {"size": 64, "iterations": 3}}
    run = server.ask("POST", "/runs", asked)[1]["id"]
    states = list(server.events(run))
    assert states[0]["state"] in ("waiting", "running")
    assert (states[-1]["state"], states[-1]["iteration"]) == ("done", 3)
    assert sum(len(state["losses"]) for state in states) >= 3
    status, preview = server.ask("GET", f"/runs/{run}/preview")
    assert status == 200
    picture = reading.read(server.folder / "runs" / run / "picture.png").pixels
    assert preview == writing.preview(picture, side_px=1024)
    assert not (server.folder / "runs" / run / "checkpoint").exists()
    assert server.ask("POST", f"/runs/{run}/stop")[0] == 409
    uploads = set((server.folder / "uploads").iterdir())
    assert server.ask("GET", f"/uploads/run-{run}/preview")[0] == 404
    assert set((server.folder / "uploads").iterdir()) == uploads
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


def test_students_are_known_by_their_folders_or_files(tmp_path):
    folder = write_untrained(tmp_path / "small")
    for suffix in (".json", ".npz"):
        shutil.copy(folder / f"student{suffix}", folder / f"mosaic{suffix}")
    (folder / "student.npz").unlink()
    (known,) = students.read([folder / "mosaic.json"]).items()
    assert known[0] == "mosaic"
    assert stored.load(known[1].path).styles == known[1].styles
    whole = write_untrained(tmp_path / "other" / "mosaic")
    assert list(students.read([whole])) == list(students.read([whole / "student.json"])) == ["mosaic"]
    with pytest.raises(InputError, match="Two students are called mosaic"):
        students.read([whole, folder / "mosaic.json"])


def test_a_student_makes_the_picture(server, pictures):
    asked = {"content": pictures[0], "student": "small", "settings": {"size": 64}}
    run = server.wait(server.ask("POST", "/runs", asked)[1]["id"], has_ended)
    assert (run["state"], run["has_picture"]) == ("done", True)
    with Image.open(server.folder / "runs" / run["id"] / "picture.png") as picture:
        assert json.loads(picture.getexif()[270])["student"] == "small"
    assert server.ask("POST", "/runs", {**asked, "student": "../small"})[0] == 404
    status, answer = server.ask("POST", "/runs", {**asked, "styles": [pictures[1]]})
    assert (status, answer["error"][:34]) == (400, "--style would have no effect: the ")


def test_every_answer_has_its_headers(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    paths = {"/": 401, f"/?token={server.token}": 200, "/static/app.js": 200}
    paths |= {"/static/../../store.py": 404, f"/nothing?token={server.token}": 404, "/runs": 401}
    for path, status in paths.items():
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        assert "default-src 'none'; script-src 'self'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert (path, answer.status) == (path, status)
    connection.close()


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"content": "\ud800"}, 400, "no JSON that can be used"),
        ({"settings": {"strength": 10**400}}, 400, "1000000000.* is no finite number"),
        ({"settings": {"strength": True}}, 400, "strength is a number from 0 to 1"),
        ({"settings": {"size": True}}, 400, "size is a whole number"),
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
    assert re.search(message, answer["error"])


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


def test_too_many_at_once(server):
    with contextlib.ExitStack() as held:

        def hold(method, path, **headers):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
            held.callback(connection.close)
            connection.putrequest(method, f"{path}?token={server.token}")
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            return connection

        for _ in range(MAX_STREAMS):
            assert hold("GET", "/events").getresponse().status == 200
        assert server.ask("GET", "/events")[0] == 503
        for _ in range(MAX_ARRIVING):
            hold("POST", "/uploads", **{"content-type": "image/png", "content-length": "9"})
        server.until(lambda: server.ask("POST", "/uploads", png(blocks(0)))[0] == 429)
    # They are gone, and others are let in.
    server.until(lambda: server.ask("POST", "/uploads", png(blocks(0)))[0] == 201)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)

    def is_let_in():
        connection.request("GET", f"/events?token={server.token}")
        status = connection.getresponse().status
        connection.close()
        return status == 200

    server.until(is_let_in)


def test_two_servers_do_not_share_a_folder(server):
    command = [sys.executable, STYLIZE_WEB, "--no-browser", "--folder", server.folder]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "is in use by process" in done.stderr


def test_the_next_free_port(server, tmp_path):
    """And the browser, whose command line all users can see, is not told the token there."""
    browser, told = tmp_path / "browser", tmp_path / "told"
    browser.write_text(f'#!/bin/sh\necho "$@" > {told}.part && mv {told}.part {told}\n')
    browser.chmod(0o700)
    command = [sys.executable, STYLIZE_WEB, "--folder", tmp_path / "kept"]
    command += ["--port", str(server.port), "--quiet"]
    environment = {**os.environ, "BROWSER": f"{browser} %s"}
    with subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, text=True, env=environment
    ) as second:
        address = second.stdout.readline().strip()
        server.until(told.exists)
        page = pathlib.Path(told.read_text().strip().removeprefix("file://"))
        assert address in page.read_text()
        second.terminate()
    port = int(re.search(r":(\d+)/", address)[1])
    assert server.port < port < server.port + 100
    assert second.returncode == 143
    assert not page.exists()


def test_the_process_that_computes_may_end(server, pictures):
    """Killed in a run, and by itself after a deterministic one."""
    content, style = pictures
    asked = {"content": content, "styles": [style], "settings": {**SETTINGS, "iterations": 100_000}}
    run = server.ask("POST", "/runs", {**asked, "checkpoint_every": 0})[1]["id"]
    server.wait(run, lambda state: state["iteration"] > 40)
    server.kill_worker()
    state = server.wait(run, lambda state: state["warnings"] and state["iteration"] > 40)
    assert "The run went on from its last checkpoint" in state["warnings"][0]
    # The next one is the last that its process makes.
    asked = {**asked, "settings": {"size": 64, "iterations": 2}, "deterministic": True}
    last = server.ask("POST", "/runs", asked)[1]["id"]
    assert server.ask("DELETE", f"/runs/{run}")[0] == 204
    server.until(lambda: server.ask("GET", f"/runs/{run}")[0] == 404)
    assert not (server.folder / "runs" / run).exists()
    state = server.wait(last, has_ended)
    assert (state["state"], state["has_picture"]) == ("done", True)
    assert "--deterministic" in state["command"]
    server.until(lambda: server.ask("GET", "/studio")[1]["ready"] is False)
