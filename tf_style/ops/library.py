"""Loads the compiled ops of `kernels/` and decides, call by call, between them and TensorFlow's own."""

import ctypes
import dataclasses
import functools
import importlib
import os
import pathlib
import types
import warnings
from collections.abc import Sequence

import tensorflow as tf

from tf_style.errors import InputError

KERNELS = ("auto", "custom", "stock")
INSTRUCTION_SETS = ("portable", "avx2", "avx512", "avx512bf16")
_REBUILD = "`pip install .`, or `python build_backend/compile_ops.py` in a checkout, builds it"


@dataclasses.dataclass(frozen=True)
class KernelInfo:
    """Which ops `kernel="auto"` takes for Gram matrices and L-BFGS's sums on the device in use.

    Attributes:
      kernel: "custom", this package's, or "stock", TensorFlow's own.
      reason: Why, in one line.
      built_for: The version of TensorFlow that the ops were built for; None if they were not built.
      instruction_set: What the ops run on this processor: "portable", "avx2", "avx512" or
        "avx512bf16"; None if they are not loaded.
      cuda_architectures: The GPU targets that the ops were built for, such as "sm_90"; none without
        CUDA.
    """

    kernel: str
    reason: str
    built_for: str | None = None
    instruction_set: str | None = None
    cuda_architectures: tuple[str, ...] = ()


def kernel_info() -> KernelInfo:
    """Says which ops `kernel="auto"` takes, and why.

    The answer is for the device that an op made here would run on: within `tf.device`, that one. It
    leaves out XLA's compilation, which always gets the stock ops.
    """
    ops, info = _load()
    problem = _gpu_problem() if ops is not None and used_device_type() == "GPU" else ""
    return dataclasses.replace(info, kernel="stock", reason=problem) if problem else info


def custom_ops(
    kernel: str, *, has_gpu_kernel: bool = False, problem: str = ""
) -> types.ModuleType | None:
    """The compiled ops if `kernel` means them here and now, else None.

    A function being traced for `jit_compile=True`, itself or within such a function, gets the stock
    ops, because XLA cannot compile the custom ones. What tracing cannot see is that a graph is compiled
    later: an exported one, or an inner tf.function that was traced outside before and is not traced
    again. Ask for "stock" there.

    Args:
      kernel: "auto", "custom" or "stock".
      has_gpu_kernel: Whether the op has a kernel for GPUs, too.
      problem: Why the op cannot take the inputs at hand; empty if it can.

    Returns:
      A module of the ops' Python functions, or None for the stock ops.

    Raises:
      InputError: If the custom ops are asked for where they cannot run.
    """
    if kernel not in KERNELS:
        raise InputError(f"kernel must be one of {', '.join(KERNELS)}. Received: kernel={kernel!r}")
    if kernel == "stock":
        return None
    ops, info = _load()
    if ops is None:
        problem = info.reason
    problem = problem or _problem_here(has_gpu_kernel)
    if kernel == "custom" and problem:
        raise InputError(f"kernel='custom' cannot be had: {problem}. Take 'auto' or 'stock'.")
    return None if problem else ops


def loaded_ops() -> types.ModuleType:
    """The compiled ops, for the gradient of one that is in use."""
    ops, info = _load()
    if ops is None:
        raise InputError(f"the custom ops cannot be had: {info.reason}")
    return ops


def used_device_type() -> str:
    """The type of the device, "CPU" or "GPU", that an op made here will run on.

    TensorFlow places an op that has kernels for both on the device of the innermost `tf.device` around
    it, inside or outside of the function being traced; else on the CPU in functions of tf.data; else on
    a GPU if it sees one.
    """
    if scope := _device_scope():
        return tf.DeviceSpec.from_string(scope).device_type
    if _in_tf_data():
        return "CPU"
    return "GPU" if tf.config.get_visible_devices("GPU") else "CPU"


def _device_scope() -> str | None:
    """The innermost `tf.device` around what is made here."""
    # There is no public API for it.
    from tensorflow.python.eager import context

    return context.context().device_name


def _in_tf_data() -> bool:
    graph = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
    while graph is not None:
        # Nothing else than the name tells the functions of `Dataset.map` and its like from others.
        if getattr(graph, "name", "").startswith("Dataset_"):
            return True
        graph = getattr(graph, "outer_graph", None)
    return False


def _problem_here(has_gpu_kernel: bool) -> str:
    if _traced_for_xla():
        return "XLA cannot compile the custom ops; leave out jit_compile=True"
    if used_device_type() == "CPU":
        return ""
    return _gpu_problem() if has_gpu_kernel else "this op has a kernel for the CPU only"


def _traced_for_xla() -> bool:
    # There is no public API for this: tf.function marks its graph before it calls the Python function.
    from tensorflow.python.ops import control_flow_util

    return not tf.executing_eagerly() and control_flow_util.GraphOrParentsInXlaContext(
        tf.compat.v1.get_default_graph()
    )


@functools.cache
def _load() -> tuple[types.ModuleType | None, KernelInfo]:
    try:
        build = importlib.import_module("tf_style.ops._build_info")
    except ModuleNotFoundError:
        return None, KernelInfo("stock", f"the custom ops were not built; {_REBUILD}")
    if not build.TENSORFLOW:
        if build.PROBLEM:
            _warn(f"The custom ops were not built: {build.PROBLEM}. {_STOCK}")
        return None, KernelInfo(
            "stock", f"the custom ops were not built: {build.PROBLEM or 'as asked'}"
        )
    if _minor(build.TENSORFLOW) != _minor(tf.__version__):
        reason = (
            f"the custom ops were built for TensorFlow {build.TENSORFLOW}, and this is "
            f"{tf.__version__}; {_REBUILD}"
        )
        _warn(f"{reason[0].upper()}{reason[1:]}. {_STOCK}")
        return None, KernelInfo("stock", reason, build.TENSORFLOW)
    _check_instruction_set_limit()
    path = _path(build)
    try:
        ops = tf.load_op_library(path)
    except (tf.errors.NotFoundError, tf.errors.FailedPreconditionError) as error:
        reason = f"the custom ops' binary does not load: {error.message}; {_REBUILD}"
        _warn(f"{reason[0].upper()}{reason[1:]}. {_STOCK}")
        return None, KernelInfo("stock", reason, build.TENSORFLOW)
    library = ctypes.CDLL(path)
    library.TfStyleInstructionSet.restype = ctypes.c_char_p
    return ops, KernelInfo(
        kernel="custom",
        reason=f"the custom ops are built for this TensorFlow, {tf.__version__}",
        built_for=build.TENSORFLOW,
        instruction_set=library.TfStyleInstructionSet().decode(),
        cuda_architectures=tuple(build.CUDA_ARCHITECTURES),
    )


_STOCK = "TensorFlow's own ops take their place: same results, slower."


def _path(build: types.ModuleType) -> str:
    return str(pathlib.Path(__file__).parent / build.BINARY)


def _warn(text: str) -> None:
    warnings.warn(text, RuntimeWarning, stacklevel=2)


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]


def _check_instruction_set_limit() -> None:
    limit = os.environ.get("TF_STYLE_MAX_ISA")
    if limit is not None and limit not in INSTRUCTION_SETS:
        raise InputError(
            f"TF_STYLE_MAX_ISA must be one of {', '.join(INSTRUCTION_SETS)}. Received: {limit!r}"
        )


def _gpu_problem() -> str:
    """Why the ops cannot run on the GPU that is used here; empty if they can."""
    gpus = tf.config.get_visible_devices("GPU")
    index = tf.DeviceSpec.from_string(_device_scope() or "/GPU:0").device_index or 0
    return _problem_of_gpu(gpus[index] if index < len(gpus) else None)


@functools.cache
def _problem_of_gpu(gpu: tf.config.PhysicalDevice | None) -> str:
    """The same of one of TensorFlow's, None where the one that is asked for is not there."""
    build = importlib.import_module("tf_style.ops._build_info")
    if not build.CUDA_ARCHITECTURES:
        return "the device is a GPU, and the ops were built without CUDA"
    details = {} if gpu is None else tf.config.experimental.get_device_details(gpu)
    capability = details.get("compute_capability")
    found = None if capability is None else _code_for(capability, build.CUDA_ARCHITECTURES)
    if found is None:
        return (
            f"the GPU has compute capability {capability and '.'.join(map(str, capability))}, and the "
            f"ops were built for {', '.join(build.CUDA_ARCHITECTURES)}"
        )
    # Neither this nor the above makes a context on a device, which would take memory of it.
    library = ctypes.CDLL(_path(build))
    library.TfStyleGpuDriverProblem.restype = ctypes.c_char_p
    library.TfStyleGpuDriverProblem.argtypes = [ctypes.c_bool]
    problem = library.TfStyleGpuDriverProblem(found == "compute").decode()
    return f"the ops cannot run on the GPU: {problem}" if problem else ""


def _code_for(capability: tuple[int, int], architectures: Sequence[str]) -> str | None:
    """What of a binary a GPU runs: "sm", machine code, or "compute", PTX; None for nothing.

    Args:
      capability: The GPU's compute capability.
      architectures: nvcc's names: machine code for "sm_80" runs on 8.0 and later ones of the same first
        number, and PTX, "compute_80", on all later ones.
    """

    def runs(name: str) -> bool:
        kind, _, number = name.partition("_")
        built_for = divmod(int(number.rstrip("af")), 10)
        if not number.isdecimal():  # sm_90a is for 9.0 alone.
            return capability == built_for
        return capability >= built_for and (kind == "compute" or capability[0] == built_for[0])

    kinds = {name.partition("_")[0] for name in architectures if runs(name)}
    return max(kinds, default=None)  # Machine code, where there is both.
