"""RESULTS.md: one section for each benchmark, replaced by its next run."""

import os
import pathlib
import platform
import re
import shutil
import subprocess
from collections.abc import Sequence

RESULTS = pathlib.Path(__file__).resolve().parent / "RESULTS.md"


def replace_section(title: str, text: str, path: pathlib.Path = RESULTS) -> None:
    """Writes the section `## title`, in place of the one that is there or at the end."""
    title += os.environ.get("RESULTS_ON", "")
    before = path.read_text() if path.exists() else "# Results\n"
    section = f"## {title}\n\n{text.strip()}\n"
    found = re.search(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", before, re.DOTALL | re.MULTILINE)
    if found:
        after = before[: found.start()] + section + "\n" + before[found.end() :]
    else:
        after = before.rstrip("\n") + "\n\n" + section
    path.write_text(after.rstrip("\n") + "\n")


def report(title: str, lines: Sequence[str], *, write: bool) -> None:
    """Prints a benchmark's lines after the machine's, and with `write` makes them its section."""
    text = "\n".join([f"{machine()}.", "", *lines])
    print(text)
    if write:
        replace_section(title, text)


def machine() -> str:
    """One line about this machine, and how busy it is."""
    name = platform.processor() or platform.machine()
    cpu_info = pathlib.Path("/proc/cpuinfo")
    if cpu_info.exists() and (model := re.search(r"model name\s*: (.*)", cpu_info.read_text())):
        name = model[1]
    load = f", load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    cores = len(os.sched_getaffinity(0))
    return f"{name}, {cores} cores{_gpu()}, Python {platform.python_version()}{load}"


def _gpu() -> str:
    """The GPU, where there is one."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(command, capture_output=True, text=True)
    return f", {', '.join(done.stdout.split(chr(10))).strip(', ')}" if done.returncode == 0 else ""
