"""What memory this machine still has for this process."""

import functools
import importlib.util
import math
import os
import pathlib
import resource
import subprocess
import sys
from collections.abc import Iterable

from tf_style.errors import InputError

# Address space that the threads that TensorFlow is yet to start will reserve and never fill, for stacks
# and arenas: some for all and some for each core. Measured on two cores.
RESERVED_BYTES = 384 * 2**20
RESERVED_BYTES_PER_CORE = 80 * 2**20
# Address space that importing TensorFlow takes: 1450 MiB measured, and a margin.
TENSORFLOW_ADDRESS_BYTES = 1500 * 2**20
# And OpenCV, which Keras imports where it is installed: 306 MiB measured. Short of it, it crashes.
OPENCV_ADDRESS_BYTES = 330 * 2**20
_GIB = 2**30

# How many processes like this one work beside each other, and what this one may hold of the memory.
_sharers, _share = 1, math.inf


def share_among(count: int) -> None:
    """Keeps this process, from its beginning on, to its part of what it and others like it can take.

    Args:
      count: How many they are. Each would else take all that is free as it begins for its own.
    """
    global _sharers, _share
    left = available()
    _sharers, _share = count, math.inf if left is None else resident() + left // count


def device_kind(device: str) -> str:
    """CPU or GPU, of a name such as "/GPU:0"."""
    return device.removeprefix("/").partition(":")[0]


def check_import() -> None:
    """Refuses to import TensorFlow where the address space is limited to less than that takes.

    Where it is imported already there is nothing to refuse.

    Raises:
      InputError: It says how much there is.
    """
    if "tensorflow" in sys.modules:
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    left = limit - _status("VmSize")
    needed = TENSORFLOW_ADDRESS_BYTES
    if "cv2" not in sys.modules and importlib.util.find_spec("cv2") is not None:
        needed += OPENCV_ADDRESS_BYTES
    if limit != resource.RLIM_INFINITY and left < needed:
        raise InputError(
            f"TensorFlow alone takes about {needed / _GIB:.2f} GiB of memory in all, "
            f"and {left / _GIB:.2f} GiB can be had: raise this process's limit (ulimit -v)"
        )


def available() -> int | None:
    """Memory that this process can still take.

    Returns:
      Bytes: the least that the machine, the control groups, the process's own limit and its share
      leave; None where none of them can be read.
    """
    found = [*_machine_available(), *_group_available(), *_own_available()]
    if _share < math.inf:
        found.append(int(_share) - resident())
    return max(0, min(found)) if found else None


def address_space() -> float:
    """Bytes of address space that this process can have in all and fill; infinite where unknown."""
    left = available()
    return math.inf if left is None else _status("VmSize") + left


def _machine_available() -> Iterable[int]:
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            yield 1024 * int(line.split()[1])


def _group_available() -> Iterable[int]:
    """Of each control group that this process is in, version 2 and 1, up to the root."""
    for line in _lines("/proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root = pathlib.Path("/sys/fs/cgroup" if not controllers else "/sys/fs/cgroup/memory")
        names = ("memory.max", "memory.current", "inactive_file")
        if controllers:
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        folder = root / path.strip("/")
        # Inside a container the path may be the host's, and the group mounted at the root.
        for place in {root, folder, *(parent for parent in folder.parents if root in parent.parents)}:
            limit, usage = (_number(place / name) for name in names[:2])
            if limit is None or usage is None:
                continue
            # The page cache is given up when memory is needed.
            cached = [line.split() for line in _lines(place / "memory.stat")]
            usage -= sum(int(value) for name, value in cached if name == names[2])
            yield limit - usage


def _own_available() -> Iterable[int]:
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        reserved = RESERVED_BYTES + RESERVED_BYTES_PER_CORE * (os.cpu_count() or 1)
        yield limit - _status("VmSize") - reserved


def resident() -> int:
    """Bytes of memory that this process holds."""
    return _status("VmRSS")


def _status(field: str) -> int:
    for line in _lines("/proc/self/status"):
        if line.startswith(f"{field}:"):
            return 1024 * int(line.split()[1])
    return 0


@functools.cache  # Once TensorFlow has started, all of it is taken, by this process.
def gpu_free(device: str) -> int | None:
    """Bytes that are free on a GPU such as "/GPU:0", or None where nvidia-smi does not say."""
    command = ["nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    index = device.rpartition(":")[2]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    try:
        number = visible.split(",")[int(index)] if visible else index
        done = subprocess.run([*command, "-i", number], capture_output=True, text=True, check=True)
        return int(done.stdout) * 2**20 // _sharers
    except (OSError, subprocess.CalledProcessError, ValueError, IndexError):
        return None


def _number(path: pathlib.Path) -> int | None:
    lines = _lines(path)
    return int(lines[0]) if lines and lines[0].isdecimal() else None


def _lines(path: str | pathlib.Path) -> list[str]:
    try:
        return pathlib.Path(path).read_text().splitlines()
    except OSError:
        return []
