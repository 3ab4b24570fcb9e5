"""Where the network runs, in which precision it is fast there, and whether a transfer can run."""

import os
import pathlib

import tensorflow as tf

from tf_style.errors import InputError
from tf_style.transfer import memory
from tf_style.transfer.prepare import Inputs

# An evaluation by tiles is one operation that calls functions of others, and waits for them.
THREADS_FOR_TILES = 2


def resolve_device(name: str | None) -> str:
    """The device to run on.

    Args:
      name: A TensorFlow device such as "/CPU:0" or "GPU:1"; None for the first GPU that TensorFlow
        sees, or else the CPU.

    Returns:
      A name that `tf.device` takes, "/CPU:0" or "/GPU:n".

    Raises:
      InputError: If TensorFlow sees no such device.
    """
    devices = [
        device.name.removeprefix("/physical_device:")
        for kind in ("GPU", "CPU")
        for device in tf.config.list_physical_devices(kind)
    ]
    if name is None:
        return f"/{devices[0]}"
    wanted = name.upper().removeprefix("/").removeprefix("DEVICE:")
    if ":" not in wanted:
        wanted += ":0"
    if wanted not in devices:
        raise InputError(
            f"device is one that TensorFlow sees: {', '.join(devices)}. Received: {name!r}"
        )
    return f"/{wanted}"


def resolve_precision(precision: str, device: str) -> str:
    """The precision of the network on a device.

    Args:
      precision: "float32", "bfloat16", or "auto" for bfloat16 where the hardware multiplies it fast.
      device: As from `resolve_device`.

    Returns:
      "float32" or "bfloat16".
    """
    if precision != "auto":
        return precision
    return "bfloat16" if _has_fast_bfloat16(device) else "float32"


def check_memory(inputs: Inputs) -> None:
    """Refuses a transfer that would not fit in memory where it would run.

    Raises:
      InputError: It says what would fit.
    """
    device = resolve_device(inputs.settings.device)
    memory.check(inputs, resolve_precision(inputs.settings.precision, device), device)


def provide_threads() -> None:
    """Makes TensorFlow run the operations at once that tiles need; for programs, before its first one.

    On a machine of one core it would run one at a time.
    """
    if num_inter_op_threads() < THREADS_FOR_TILES:
        tf.config.threading.set_inter_op_parallelism_threads(THREADS_FOR_TILES)


def num_inter_op_threads() -> int:
    """How many operations TensorFlow runs at once, as it decides that itself."""
    configured = tf.config.threading.get_inter_op_parallelism_threads()
    in_environment = os.environ.get("TF_NUM_INTEROP_THREADS", "")
    if configured == 0 and in_environment.isdecimal():
        configured = int(in_environment)
    if configured == 0 and hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return configured or os.cpu_count() or 1


def _has_fast_bfloat16(device: str) -> bool:
    if device.startswith("/GPU"):
        gpu = tf.config.list_physical_devices("GPU")[int(device.rpartition(":")[2])]
        capability = tf.config.experimental.get_device_details(gpu).get("compute_capability")
        return capability is not None and capability >= (8, 0)
    # The kernel lists what it lets programs use, inside containers too; elsewhere float32 is safe.
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return False
    for line in cpuinfo.read_text().splitlines():
        if line.startswith("flags"):
            return not {"avx512_bf16", "amx_bf16"}.isdisjoint(line.split())
    return False
