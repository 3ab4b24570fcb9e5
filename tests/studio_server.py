"""stylize-web in a process of its own, and pictures for it, for tests and `benchmarks/web.py`."""

import contextlib
import http.client
import io
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import numpy as np
from PIL import Image

STYLIZE_WEB = pathlib.Path(__file__).resolve().parent.parent / "bin" / "stylize-web"
# Nothing is timed by it: what hangs would else hang whoever asks.
PATIENCE_S = 120


class Server:
    """The server.

    Attributes:
      folder: What it keeps.
      address: As it prints it.
      token: Of the address.
      port: Where it listens, also when it is started again.
    """

    def __init__(self, folder, *flags):
        self.folder, self._flags = folder, flags
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.start()

    def start(self):
        command = [sys.executable, STYLIZE_WEB, "--no-browser", "--quiet"]
        command += ["--folder", self.folder, "--port", str(self.port), *self._flags]
        self.process = subprocess.Popen(
            list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.address = self.process.stdout.readline().strip()
        self.token = self.address.partition("token=")[2]

    def end(self, number):
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, errors

    def ask(self, method, path, body=None, *, token=True, **headers):
        """The status and what was answered."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, dict | list):
            body, headers["content-type"] = json.dumps(body), "application/json"
        elif body is not None:
            headers.setdefault("content-type", "image/png")
        if token:
            headers["authorization"] = f"Bearer {self.token}"
        with contextlib.closing(connection):
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            data = answer.read()
        is_json = answer.headers.get("content-type") == "application/json"
        return answer.status, json.loads(data) if is_json else data

    def upload(self, pixels, **query):
        words = "".join(f"&{name}={value}" for name, value in query.items())
        status, answer = self.ask("POST", f"/uploads?name=a.png{words}", png(pixels))
        assert status == 201, answer
        return answer["id"]

    def wait(self, run, holds):
        """A run's state, once something holds of it."""
        state = {}

        def is_so():
            state.update(self.ask("GET", f"/runs/{run}")[1])
            return holds(state)

        self.until(is_so)
        return state

    def until(self, holds):
        for _ in range(10 * PATIENCE_S):
            if holds():
                return
            time.sleep(0.1)
        raise AssertionError(self.ask("GET", "/studio"))

    def runs(self):
        """The names of all."""
        return [run["id"] for run in self.ask("GET", "/runs")[1]["runs"]]

    def events(self, run):
        """What is told of a run, as it is told."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            connection.request("GET", f"/runs/{run}/events?token={self.token}")
            for line in connection.getresponse():
                if line.startswith(b"data: "):
                    yield json.loads(line[6:])

    def kill_worker(self):
        """Kills the process that computes, as a machine does that lacks memory."""
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                is_its = f" {self.process.pid} " in (process / "stat").read_text().partition(")")[2]
                if is_its and b"spawn_main" in (process / "cmdline").read_bytes():
                    os.kill(int(process.name), signal.SIGKILL)


def png(pixels):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def blocks(seed):
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (8, 12, 3), np.uint8).repeat(12, 0).repeat(12, 1)
