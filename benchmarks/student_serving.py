"""Seconds and memory of a student's pictures: from the shell, and behind KServe's server."""

import base64
import concurrent.futures
import io
import itertools
import json
import pathlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from PIL import Image

from tf_style.student import memory, stored

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import peak_memory  # noqa: E402

PHOTO = ROOT / "examples" / "chelsea.jpg"
SECONDS = 20.0
BATCHES = (1, 4, 8)


def report(student: pathlib.Path, folder: pathlib.Path, *, sizes: tuple[int, ...]) -> list[str]:
    """Two tables.

    Args:
      student: Its folder.
      folder: Where exports and pictures go.
      sizes: Of the pictures' longer side, in pixels.
    """
    lines = ["| px | precision | s from the shell | MiB at most | expected |", f"|{'---|' * 5}"]
    for size, precision in itertools.product(sizes, ("bfloat16", "float32")):
        output = folder / f"shell-{size}.png"
        command = [sys.executable, str(ROOT / "bin" / "stylize"), "--quiet", "--student", str(student)]
        command += ["--content", str(PHOTO), "--size", str(size), "--output", str(output)]
        command += ["--precision", precision]
        start = time.perf_counter()
        done, peak = peak_memory.run(command)
        seconds = time.perf_counter() - start
        if done.returncode:
            sys.exit(done.stderr)
        with Image.open(output) as made:
            expected = memory.estimate(stored.load(student), made.height, made.width, None, precision)
        lines.append(
            f"| {size} | {precision} | {seconds:.1f} | {peak / 2**20:.0f} | {expected / 2**20:.0f} |"
        )
    lines += ["", "| px | pictures a request | clients | s a request | pictures a second | MiB |"]
    lines.append(f"|{'---|' * 6}")
    for size in sizes:
        model = folder / f"serving-{size}"
        if not model.exists():
            command = [sys.executable, str(ROOT / "bin" / "stylize-export"), "--student", str(student)]
            subprocess.run([*command, "--output", str(model), "--size", str(size)], check=True)
        with serving(max(model.iterdir())) as (address, process):
            for batch in BATCHES:
                for clients in (1, 2):
                    seconds, rate = measure(address, photo(size), batch, clients)
                    held = resident(process.pid) / 2**20
                    lines.append(
                        f"| {size} | {batch} | {clients} | {seconds:.2f} | {rate:.2f} | {held:.0f} |"
                    )
    return lines


def photo(size: int) -> str:
    """The photograph as JPEG of that size, in base 64."""
    file = io.BytesIO()
    with Image.open(PHOTO) as image:
        image.resize((size, round(size * image.height / image.width))).save(file, "JPEG", quality=95)
    return base64.b64encode(file.getvalue()).decode()


@contextmanager
def serving(model: pathlib.Path) -> Iterator[tuple[str, subprocess.Popen]]:
    """KServe's server in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "kserve_server.py"), str(model), str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}/v1/models/stylize"
    try:
        while True:
            if process.poll() is not None:
                sys.exit("the server ended")
            try:
                if httpx.get(address).status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.2)
        yield address, process
    finally:
        process.kill()
        process.wait()


def measure(address: str, picture: str, batch: int, clients: int) -> tuple[float, float]:
    """Seconds of a request, and pictures a second, over some time."""
    body = json.dumps({"instances": [{"b64": picture}] * batch})

    def ask() -> float:
        start = time.perf_counter()
        httpx.post(f"{address}:predict", content=body, timeout=600).raise_for_status()
        return time.perf_counter() - start

    ask()  # Warms up.
    start = time.perf_counter()

    def go_on() -> list[float]:
        seconds = []
        while time.perf_counter() - start < SECONDS or not seconds:
            seconds.append(ask())
        return seconds

    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        each = [
            second
            for future in [pool.submit(go_on) for _ in range(clients)]
            for second in future.result()
        ]
    total = time.perf_counter() - start
    return sum(each) / len(each), batch * len(each) / total


def resident(pid: int) -> int:
    """Bytes that a process holds."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return 1024 * int(line.split()[1])
    return 0
