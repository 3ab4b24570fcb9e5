"""What memory this machine still has for this process. Imports no TensorFlow."""

import functools
import math
import os
import pathlib
import resource
import subprocess
import sys
from collections.abc import Iterable

from tf_style.errors import InputError

# Of a limited address space, what is reserved and never used: stacks and arenas of the threads that
# TensorFlow is yet to start, some for all and some for each core; measured on two cores.
RESERVED_BYTES = 384 * 2**20
RESERVED_BYTES_PER_CORE = 80 * 2**20
# And what importing TensorFlow takes of it: 1450 MiB measured, with a reserve.
ADDRESSES_OF_TENSORFLOW = 1500 * 2**20
_GIB = 2**30


def check_import() -> None:
    """Refuses to import TensorFlow where its address space is limited to less than that takes.

    Where it is imported already there is nothing to refuse.

    Raises:
      InputError: It says what there is.
    """
    if "tensorflow" in sys.modules:
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    left = limit - _status("VmSize")
    if limit != resource.RLIM_INFINITY and left < ADDRESSES_OF_TENSORFLOW:
        raise InputError(
            f"TensorFlow alone takes about {ADDRESSES_OF_TENSORFLOW / _GIB:.2f} GiB of memory in all, "
            f"and {left / _GIB:.2f} GiB can be had: raise this process's limit (ulimit -v)"
        )


def available() -> int | None:
    """Bytes that this process can still take: of the machine, its control group, its own limit.

    Returns:
      The least of what can be found out, or None if nothing can.
    """
    found = [*_machine_available(), *_group_available(), *_own_available()]
    return max(0, min(found)) if found else None


def address_space() -> float:
    """Bytes of addresses that this process can have in all and fill; infinite if nobody knows."""
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
            # What was read from files is given up when it is needed.
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


@functools.cache  # TensorFlow takes it all then, and gives it to whatever this process does next.
def gpu_free(device: str) -> int | None:
    """As NVIDIA's own tool says, before TensorFlow takes it all."""
    command = ["nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    index = device.rpartition(":")[2]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    try:
        number = visible.split(",")[int(index)] if visible else index
        done = subprocess.run([*command, "-i", number], capture_output=True, text=True, check=True)
        return int(done.stdout) * 2**20
    except (OSError, subprocess.CalledProcessError, ValueError, IndexError):
        return None  # A GPU of another make; TensorFlow's own error would come.


def _number(path: pathlib.Path) -> int | None:
    lines = _lines(path)
    return int(lines[0]) if lines and lines[0].isdecimal() else None


def _lines(path: str | pathlib.Path) -> list[str]:
    try:
        return pathlib.Path(path).read_text().splitlines()
    except OSError:
        return []
