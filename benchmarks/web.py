"""The studio in the browser: faults made on purpose, and what its live preview costs.

python benchmarks/web.py [--write]
"""

import argparse
import concurrent.futures
import contextlib
import http.client
import io
import json
import pathlib
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time

import numpy as np
import results
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from studio_server import Server, blocks, png  # noqa: E402

ASKED = {"content": "example-chelsea", "styles": ["example-style"]}
CLIENTS = 50
UPLOADS = 100
SIZE = 512
# Of each kind.
RUNS = 8
# Runs with previews, and as many without.
NUM_PAIRS = 3


def main() -> None:
    """Prints a table of each."""
    parts = {
        "faults": ("The studio: faults made on purpose", faults),
        "first": ("The studio: the first picture", first_picture),
        "previews": ("The studio: what previews cost", slowdown),
    }
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=parts, help="one of the three")
    parser.add_argument("--write", action="store_true", help="replace the sections in RESULTS.md")
    arguments = parser.parse_args()
    for name, (title, measure) in parts.items():
        if arguments.only in (None, name):
            results.report(title, measure(), write=arguments.write)


def faults() -> list[str]:
    """What is done to a server, and what comes of it."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        server = Server(pathlib.Path(folder) / "studio")
        try:
            for fault in (
                *(tab_closed, many_clients, hostile_uploads, foreign_pages, traversal, two_starts),
                *(worker_killed, server_killed),
            ):
                rows.append(f"| {fault.__doc__.splitlines()[0].rstrip('.')} | {fault(server)} |")
                print(rows[-1], file=sys.stderr)
        finally:
            server.end(signal.SIGINT)
    return ["| what is done | what comes of it |", "|---|---|", *rows]


def start(server: Server, iterations: int, size: int = 64, **others: object) -> str:
    """Starts a run, and returns its name."""
    settings = {"size": size, "iterations": iterations}
    status, run = server.ask("POST", "/runs", {**ASKED, **others, "settings": settings})
    assert status == 201, run
    return run["id"]


def ended(server: Server, run: str) -> dict:
    """A run, once it has ended."""
    return server.wait(run, lambda state: state["state"] not in ("waiting", "running"))


def pixels(server: Server, run: str) -> np.ndarray:
    """The picture of a run."""
    return np.asarray(Image.open(io.BytesIO(server.ask("GET", f"/runs/{run}/picture")[1])))


def tab_closed(server: Server) -> str:
    """A tab is closed mid-run, and opened again."""
    run = start(server, 150)
    for _ in range(2):
        with stream(server, "/events") as lines:
            next(line for line in lines if b'"iteration": ' in line and run.encode() in line)
    state = ended(server, run)
    return f"both times the stream told the run's state; it ended {state['state']}"


def server_killed(server: Server) -> str:
    """The server is killed mid-run (SIGKILL), 3 times at random moments, and started again."""
    straight = start(server, 200)
    ended(server, straight)
    expected = pixels(server, straight)
    moments, same, went_on = random.Random(0), 0, 0
    for _ in range(3):
        run = start(server, 200, checkpoint_every=0)
        checkpoints = server.folder / "runs" / run / "checkpoint"
        server.wait(run, lambda state, folder=checkpoints: list(folder.glob("*.json")))
        time.sleep(moments.uniform(0, 1))
        was_running = server.ask("GET", f"/runs/{run}")[1]["state"] == "running"
        server.end(signal.SIGKILL)
        server.start()
        went_on += was_running
        ended(server, run)
        same += np.array_equal(pixels(server, run), expected)
    return f"{went_on} of 3 were under way; {same} of 3 ended with the same pixels as without"


def worker_killed(server: Server) -> str:
    """The process that computes is killed mid-run, and once more."""
    straight = start(server, 200)
    ended(server, straight)
    states = []
    for kills in (1, 2):
        run = start(server, 200, checkpoint_every=0)
        for count in range(kills):
            server.wait(
                run,
                lambda state, count=count: len(state["warnings"]) == count and state["iteration"] > 20,
            )
            server.kill_worker()
        state = ended(server, run)
        kept = " and its checkpoint kept" if "checkpoint is kept" in (state["message"] or "") else ""
        states.append(state["state"] + kept)
        if kills == 1:
            same = (
                "the same" if np.array_equal(pixels(server, run), pixels(server, straight)) else "other"
            )
    after = ended(server, start(server, 3))
    return f"{states[0]}, with {same} pixels; twice: {states[1]}; the next run ended {after['state']}"


def many_clients(server: Server) -> str:
    """50 clients follow the stream of events."""
    run = start(server, 300)

    def follow(_: int) -> str:
        return server.ask("GET", f"/runs/{run}/events")[1].decode().strip().splitlines()[-1]

    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        last = list(pool.map(follow, range(CLIENTS)))
    done = sum(json.loads(line[6:])["state"] == "done" for line in last)
    return f"{done} of {CLIENTS} were told its end"


def hostile_uploads(server: Server) -> str:
    """100 hostile uploads: cut, with bytes changed, of false sizes, the fuzzer's finds."""
    chance = random.Random(0)
    finds = [path.read_bytes() for path in sorted((ROOT / "tests/corpus/images").iterdir())]
    bodies = finds[: UPLOADS // 2]
    whole = [png(blocks(0)), (ROOT / "examples/coffee.jpg").read_bytes()]
    while len(bodies) < UPLOADS:
        body = bytearray(chance.choice(whole))
        for _ in range(chance.randrange(1, 30)):
            body[chance.randrange(len(body))] = chance.randrange(256)
        bodies.append(bytes(body[: chance.randrange(8, len(body))]))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda body: server.ask("POST", "/uploads", body), bodies))
    counts = {status: sum(each[0] == status for each in answers) for status in (201, 400)}
    others = len(answers) - sum(counts.values())
    left = len(list((server.folder / "uploads").glob("*.part")))
    alive = server.ask("GET", "/studio")[0] == 200
    return (
        f"{counts[400]} refused with a line, {counts[201]} that can be read taken, {others} otherwise; "
        f"{left} partial files left; the server {'answers' if alive else 'is gone'}"
    )


def foreign_pages(server: Server) -> str:
    """Wrong Host, Origin, Sec-Fetch-Site or token, with each method and path."""
    headers = [
        {"host": "evil.example"},
        {"host": f"localhost.evil.example:{server.port}"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"sec_fetch_site": "cross-site"},
        {"token": False},
        {"token": False, "authorization": "Bearer wrong"},
    ]
    run = start(server, 3)
    ended(server, run)
    before = server.ask("GET", "/runs")
    requests = [
        ("GET", "/runs"),
        ("GET", "/events"),
        ("GET", f"/runs/{run}/picture"),
        ("POST", "/runs"),
        ("POST", "/uploads"),
        ("POST", f"/runs/{run}/stop"),
        ("DELETE", f"/runs/{run}"),
    ]
    codes = [server.ask(*request, b"{}", **each)[0] for request in requests for each in headers]
    refused = sum(code in (401, 403, 421) for code in codes)
    is_same = server.ask("GET", "/runs") == before
    return f"{refused} of {len(codes)} refused; {'nothing' if is_same else 'something'} changed"


def traversal(server: Server) -> str:
    """Paths out of the folder, in addresses and in JSON."""
    outside = ["../token", "..%2ftoken", "%2e%2e/token", "..%252ftoken", "....//token", "/etc/passwd"]
    places = ["/static/{}", "/uploads/{}/preview", "/runs/{}/picture", "/runs/{}", "/{}"]
    answers = [server.ask("GET", place.format(path)) for place in places for path in outside]
    leaks = sum(server.token.encode() in bytes(str(body), "utf-8") for _, body in answers)
    asked = [{**ASKED, "content": path} for path in outside]
    asked += [{**ASKED, "settings": {"init": path}} for path in outside]
    statuses = [server.ask("POST", "/runs", each)[0] for each in asked]
    refused = sum(400 <= status < 500 for status in [*statuses, *(status for status, _ in answers)])
    return f"{refused} of {len(statuses) + len(answers)} refused, {leaks} leaked"


def two_starts(server: Server) -> str:
    """Two starts at once."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(lambda _: start(server, 60), range(2)))
    states = sorted(run["state"] for run in server.ask("GET", "/runs")[1]["runs"] if run["id"] in runs)
    same = [ended(server, run)["state"] for run in runs] == ["done", "done"]
    equal = np.array_equal(pixels(server, runs[0]), pixels(server, runs[1]))
    return (
        f"at first {' and '.join(states)}, then {'both done' if same else 'not both done'}; "
        f"pixels {'equal' if equal else 'differ'}"
    )


@contextlib.contextmanager
def stream(server: Server, path: str):
    """The lines of a stream of events."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    connection.request("GET", f"{path}?token={server.token}")
    with contextlib.closing(connection):
        yield connection.getresponse()


def first_picture() -> list[str]:
    """From a click on Start to a picture on the screen that an iteration has changed."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    if chromium is None:
        return ["There is no chromium here to measure the first picture with."]
    seconds: dict[str, list[float]] = {"default": [], "another strength": []}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as drive:
        server = Server(pathlib.Path(folder) / "studio")
        browser = drive.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(120_000)
        page.goto(server.address)
        page.wait_for_selector("#status[data-state='ready']")
        page.get_by_role("button", name="Example: chelsea").click()
        page.get_by_role("button", name="Example: style").click()
        page.fill("#size", str(SIZE))
        for index in range(2 * RUNS):
            kind = "default" if index < RUNS else "another strength"
            page.locator("#strength").fill(str(0.5 if index < RUNS else 0.3 + index / 100))
            begin = time.perf_counter()
            page.click("#start")
            page.wait_for_selector("#after:not([data-version])", state="attached")
            page.wait_for_selector("#after[data-version]")
            seconds[kind].append(time.perf_counter() - begin)
            page.click("#stop")
            page.wait_for_selector("#status[data-state='ready']")
        browser.close()
        server.end(signal.SIGINT)
    lines = [f"Seconds from a click on Start to a changed picture on the screen, at {SIZE} pixels:", ""]
    lines += ["| settings | median | most | runs |", "|---|---|---|---|"]
    for kind, times in seconds.items():
        middle = statistics.median(times)
        lines.append(f"| {kind} | {middle:.1f} | {max(times):.1f} | {len(times)} |")
    return lines


def slowdown() -> list[str]:
    """A run with and without previews, in turn, in one process."""
    from tf_style.objective.presets import PRESETS
    from tf_style.transfer.prepare import prepare
    from tf_style.transfer.settings import Settings
    from tf_style.transfer.transfer import StyleTransfer
    from tf_style.web.previews import Previews

    count = 0

    def sent(jpeg: bytes) -> None:
        nonlocal count
        count += 1

    previews = Previews(sent)
    examples = ROOT / "examples"
    # One size, so that all iterations take as long.
    settings = Settings(size=SIZE, iterations=12, levels=1)
    pictures = str(examples / "chelsea.jpg"), [str(examples / "style.jpg")]
    inputs = prepare(*pictures, settings, objective=PRESETS["painterly"])
    transfer, took, used = None, {True: [], False: []}, {True: [], False: []}
    for index in range(1 + 2 * NUM_PAIRS):
        with_previews = index % 2 == 0
        transfer = StyleTransfer(inputs, like=transfer)
        wall, cpu = time.perf_counter(), time.process_time()
        transfer.run(
            callback=(lambda state: previews.offer(state.read_image)) if with_previews else None
        )
        if index:
            took[with_previews].append(time.perf_counter() - wall)
            used[with_previews].append(time.process_time() - cpu)
    lines = [f"A run of 12 iterations at {SIZE} pixels with and without previews, {count} in all:", ""]
    lines += ["| | with | without | more |", "|---|---|---|---|"]
    for name, values in (("seconds", took), ("processor seconds", used)):
        with_, without = statistics.median(values[True]), statistics.median(values[False])
        lines.append(f"| {name} | {with_:.2f} | {without:.2f} | {with_ / without - 1:+.1%} |")
    return lines


if __name__ == "__main__":
    main()
