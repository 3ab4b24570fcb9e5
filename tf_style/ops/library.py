"""Which code multiplies Gram matrices: this package's own op where it can run, else TensorFlow's."""

import ctypes
import dataclasses
import functools
import importlib
import os
import pathlib
import types
import warnings

import tensorflow as tf

from tf_style.errors import InputError

KERNELS = ("auto", "custom", "stock")
INSTRUCTION_SETS = ("portable", "avx2", "avx512", "avx512bf16")
_REBUILD = "`pip install .`, or `python build_backend/compile_ops.py` in a checkout, builds it"


@dataclasses.dataclass(frozen=True)
class KernelInfo:
    """What `kernel="auto"` takes in this process.

    Attributes:
      kernel: "custom", the op of this package, or "stock", TensorFlow's own ops.
      reason: Why, in one line.
      built_for: TensorFlow's version that the op was built for; None if it was not built.
      instruction_set: What the op runs on this processor: "portable", "avx2", "avx512" or
        "avx512bf16"; None if it is not loaded.
      cuda_architectures: The GPU targets that the op was built for, such as "sm_90"; none without CUDA.
    """

    kernel: str
    reason: str
    built_for: str | None = None
    instruction_set: str | None = None
    cuda_architectures: tuple[str, ...] = ()


def kernel_info() -> KernelInfo:
    """Says which kernel `kernel="auto"` takes outside of XLA's compilation, and why."""
    return _load()[1]


def custom_ops(kernel: str) -> types.ModuleType | None:
    """The op's Python functions if `kernel` means the custom op here and now, else None.

    A function being traced for `jit_compile=True`, itself or within such a function, gets the stock
    ops, for XLA cannot compile the custom one. What cannot be seen while tracing is that a graph is
    compiled later: an exported one, or an inner tf.function that was called outside before, whose
    trace TensorFlow takes again. Ask for "stock" there.

    Args:
      kernel: "auto", "custom" or "stock".

    Returns:
      A module, or None for the stock ops.

    Raises:
      InputError: If the custom op is asked for where it cannot run.
    """
    if kernel not in KERNELS:
        raise InputError(f"kernel must be one of {', '.join(KERNELS)}. Received: kernel={kernel!r}")
    if kernel == "stock":
        return None
    ops, info = _load()
    if _traced_for_xla():
        if kernel == "custom":
            raise InputError(
                "The custom ops cannot be compiled by XLA: leave out jit_compile=True, or take "
                "kernel='auto' or 'stock'. Received: kernel='custom'"
            )
        return None
    if kernel == "custom" and ops is None:
        raise InputError(f"kernel='custom' cannot be had: {info.reason}. Take 'auto' or 'stock'.")
    return ops if kernel == "custom" or info.kernel == "custom" else None


def _traced_for_xla() -> bool:
    # The one place that knows: tf.function marks its graph so before it calls the Python function.
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
    path = pathlib.Path(__file__).parent / build.BINARY
    try:
        ops = tf.load_op_library(str(path))
    except (tf.errors.NotFoundError, tf.errors.FailedPreconditionError) as error:
        reason = f"the custom ops' binary does not load: {error.message}; {_REBUILD}"
        _warn(f"{reason[0].upper()}{reason[1:]}. {_STOCK}")
        return None, KernelInfo("stock", reason, build.TENSORFLOW)
    library = ctypes.CDLL(str(path))
    library.TfStyleInstructionSet.restype = ctypes.c_char_p
    instruction_set = library.TfStyleInstructionSet().decode()
    problem = _gpu_problem(library, build.CUDA_ARCHITECTURES)
    return ops, KernelInfo(
        kernel="stock" if problem else "custom",
        reason=problem or f"the custom ops are built for this TensorFlow, {tf.__version__}",
        built_for=build.TENSORFLOW,
        instruction_set=instruction_set,
        cuda_architectures=tuple(build.CUDA_ARCHITECTURES),
    )


_STOCK = "TensorFlow's own ops take its place: same results, slower."


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


def _gpu_problem(library: ctypes.CDLL, architectures: tuple[str, ...]) -> str:
    """Why the op cannot run on the GPU that TensorFlow uses; empty if it can, or if there is none."""
    if not tf.config.get_visible_devices("GPU"):
        return ""
    if not architectures:
        return "there is a GPU, and the Gram op was built without CUDA"
    library.TfStyleGpuProblem.restype = ctypes.c_char_p
    problem = library.TfStyleGpuProblem().decode()
    return f"the Gram op cannot run on the GPU: {problem}" if problem else ""
