"""Where the network runs, and in which precision it is fast there."""

import pathlib
import platform

import tensorflow as tf

from tf_style import host
from tf_style._version import NUMERICS
from tf_style.errors import InputError
from tf_style.ops.library import kernel_info


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
    # TensorFlow numbers those that it sees, not those that there are.
    devices = [
        f"{kind}:{index}"
        for kind in ("GPU", "CPU")
        for index in range(len(tf.config.get_visible_devices(kind)))
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

    Raises:
      InputError: If it is another word.
    """
    if precision not in ("auto", "float32", "bfloat16"):
        raise InputError(f"precision is auto, float32 or bfloat16. Received: {precision!r}")
    if precision != "auto":
        return precision
    return "bfloat16" if _has_fast_bfloat16(device) else "float32"


def run_on(device: str, precision: str) -> dict[str, str]:
    """What the bits of a run depend on beside its request and its inputs.

    Args:
      device: As from `resolve_device`.
      precision: Of the network.
    """
    with tf.device(device):
        kernel = kernel_info()
    return {
        "device": host.device_kind(device),
        "precision": precision,
        "kernel": kernel.kernel,
        "instruction_set": kernel.instruction_set or "",
        "tensorflow": tf.__version__,
        "machine": platform.machine(),
        "numerics": str(NUMERICS),
    }


def check_float32(precision: str, device: str) -> None:
    """Refuses float32 where TensorFlow would round it to TensorFloat-32.

    Args:
      precision: As asked for.
      device: As from `resolve_device`.

    Raises:
      InputError: It says what to do.
    """
    is_rounded = tf.config.experimental.tensor_float_32_execution_enabled()
    if precision == "float32" and device.startswith("/GPU") and is_rounded:
        raise InputError(
            "precision='float32' on a GPU takes "
            "tf.config.experimental.enable_tensor_float_32_execution(False) first: products round "
            "their factors to 10 bits. Or take precision='auto'"
        )


def _has_fast_bfloat16(device: str) -> bool:
    if device.startswith("/GPU"):
        gpu = tf.config.get_visible_devices("GPU")[int(device.rpartition(":")[2])]
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
