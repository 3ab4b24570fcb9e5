"""Which kernel is taken, and what is said about it."""

import contextlib
import os
import subprocess
import sys
import types

import numpy as np
import pytest
import tensorflow as tf

from tf_style.errors import InputError
from tf_style.ops import library
from tf_style.ops.gram import gram_loss, gram_matrix, kernel_info
from tf_style.ops.moments import moments
from tf_style.ops.multi_vector import multi_axpy, multi_dot

MINOR = ".".join(tf.__version__.split(".")[:2])


@pytest.fixture
def build_info(monkeypatch):
    """Stands in for what the build wrote; None for a checkout in which nothing was built."""

    def replace(**fields):
        module = None
        if fields:
            defaults = {"TENSORFLOW": tf.__version__, "BINARY": "none.so", "CUDA_ARCHITECTURES": ()}
            module = types.SimpleNamespace(**(defaults | {"PROBLEM": ""} | fields))
        monkeypatch.setitem(sys.modules, "tf_style.ops._build_info", module)

    library._load.cache_clear()
    yield replace
    library._load.cache_clear()


def check_stock_in_its_place():
    result = gram_matrix(tf.ones([1, 3, 2]))
    np.testing.assert_array_equal(result, np.full([1, 2, 2], 3.0))
    with pytest.raises(InputError, match="kernel='custom' cannot be had: "):
        gram_matrix(tf.ones([1, 3, 2]), kernel="custom")


def test_nothing_was_built(build_info):
    build_info()
    assert kernel_info().kernel == "stock"
    assert "not built" in kernel_info().reason
    check_stock_in_its_place()


def test_built_without_the_op_on_request(build_info):
    build_info(TENSORFLOW="")
    assert kernel_info().reason == "the custom ops were not built: as asked"
    check_stock_in_its_place()


def test_a_build_that_could_not_make_the_op_warns_once(build_info):
    build_info(TENSORFLOW="", PROBLEM="there is no C++ compiler 'g++' on the PATH")
    with pytest.warns(RuntimeWarning, match="not built: there is no C.. compiler") as record:
        check_stock_in_its_place()
    assert len(record) == 1


def test_built_for_another_tensorflow(build_info):
    build_info(TENSORFLOW="2.3.4")
    running = tf.__version__.replace(".", r"\.")
    expected = rf"built for TensorFlow 2\.3\.4, and this is {running}; .*compile_ops"
    with pytest.warns(RuntimeWarning, match=expected) as record:
        check_stock_in_its_place()
    assert len(record) == 1
    assert kernel_info().built_for == "2.3.4"


def test_another_patch_version_will_do(build_info):
    build_info(TENSORFLOW=f"{MINOR}.99")
    with pytest.warns(RuntimeWarning, match="does not load"):  # And not that it is another version.
        kernel_info()


def test_the_binary_is_gone(build_info):
    build_info(BINARY="gone.so")
    with pytest.warns(RuntimeWarning, match=r"does not load: .*gone\.so") as record:
        check_stock_in_its_place()
    assert len(record) == 1


@pytest.fixture
def with_gpu(monkeypatch):
    """A machine on which TensorFlow sees a GPU, and ops that were built without CUDA."""
    if library.custom_ops("auto") is None:
        pytest.skip(kernel_info().reason)
    build = sys.modules["tf_style.ops._build_info"]
    monkeypatch.setattr(build, "CUDA_ARCHITECTURES", ())
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: [f"the {kind}"])
    library._problem_of_gpu.cache_clear()
    yield
    library._problem_of_gpu.cache_clear()


def test_a_gpu_and_no_cuda_in_the_binary(with_gpu):
    assert "built without CUDA" in library._gpu_problem()
    assert kernel_info().kernel == "stock"
    assert "built without CUDA" in kernel_info().reason
    assert kernel_info().instruction_set in library.INSTRUCTION_SETS
    with tf.device("/CPU:0"):
        assert kernel_info().kernel == "custom"


@pytest.mark.parametrize(
    ("architectures", "fitting", "others"),
    [
        (("sm_80", "sm_90"), [(8, 0), (8, 9), (9, 0)], [(7, 5), (10, 0), (12, 0)]),
        (("sm_80", "compute_90"), [(8, 6), (9, 0), (12, 0)], [(7, 5)]),
        (("sm_90a", "sm_120"), [(9, 0), (12, 0), (12, 1)], [(8, 0), (10, 0)]),
    ],
)
def test_which_gpus_a_binary_is_for(with_gpu, monkeypatch, architectures, fitting, others):
    """As CUDA's manual says: machine code within a major version, PTX from its own on."""
    kinds = dict.fromkeys([(9, 0), (12, 0)], "compute") if "compute_90" in architectures else {}
    build = sys.modules["tf_style.ops._build_info"]
    monkeypatch.setattr(build, "CUDA_ARCHITECTURES", architectures)
    for capability in [*fitting, *others, None]:
        monkeypatch.setattr(
            tf.config.experimental,
            "get_device_details",
            lambda _, capability=capability: {"compute_capability": capability} if capability else {},
        )
        library._problem_of_gpu.cache_clear()
        if capability in fitting:
            assert library._code_for(capability, architectures) == kinds.get(capability, "sm")
        else:
            assert "were built for sm_" in library._gpu_problem()


def test_the_device_in_use_decides(with_gpu):
    """And not whether there is a GPU."""
    assert library.used_device_type() == "GPU"
    assert library.custom_ops("auto") is None
    with tf.device("/CPU:0"):
        assert library.used_device_type() == "CPU"
        assert library.custom_ops("custom") is not None
        with tf.device("/GPU:0"):
            assert library.custom_ops("auto") is None


def types_traced(scope, inner_scope):
    """The device types seen by a function traced within one scope, and by one called within another."""
    types = []

    @tf.function
    def inner():
        types.append(library.used_device_type())

    @tf.function
    def outer():
        types.append(library.used_device_type())
        with inner_scope:
            inner()

    with scope:
        outer()
    return types


def test_functions_know_the_device_around_them(with_gpu):
    anywhere, cpu = contextlib.nullcontext(), tf.device("/CPU:0")
    assert types_traced(anywhere, anywhere) == ["GPU", "GPU"]
    assert types_traced(cpu, anywhere) == ["CPU", "CPU"]
    assert types_traced(anywhere, cpu) == ["GPU", "CPU"]


def test_functions_of_datasets_are_on_the_cpu(with_gpu):
    types = []

    @tf.function
    def inner(x):
        types.append(library.used_device_type())
        return x

    def outer(x):
        types.append(library.used_device_type())
        return inner(x)

    assert list(tf.data.Dataset.range(2).map(outer).as_numpy_iterator()) == [0, 1]
    assert types == ["CPU", "CPU"]


def test_custom_is_an_error_where_it_cannot_run(with_gpu):
    q = tf.ones([1, 4])
    for run in (
        lambda: gram_matrix(tf.ones([1, 3, 2]), kernel="custom"),
        lambda: gram_loss(tf.ones([1, 3, 2]), tf.eye(2)[tf.newaxis], 1.0, kernel="custom"),
        lambda: moments(tf.ones([1, 3, 2]), kernel="custom"),
        lambda: multi_dot(q, [q], kernel="custom"),
        lambda: multi_axpy(q, tf.ones([1, 1], tf.float64), [q], kernel="custom"),
    ):
        with pytest.raises(InputError, match="cannot be had: .* built without CUDA"):
            run()


def test_the_functions_agree_on_a_machine_with_a_gpu(with_gpu):
    """By the stock ops, and within tf.device by the custom ones."""
    q = tf.constant([[1.0, 2.0]])
    for scope, kernel in ((None, "auto"), ("/CPU:0", "custom")):
        with tf.device(scope):
            np.testing.assert_array_equal(gram_matrix(tf.ones([1, 3, 2]), kernel=kernel)[0, 0], [3, 3])
            np.testing.assert_array_equal(moments(tf.ones([1, 3, 2]), kernel=kernel)[1], [[1, 1]])
            np.testing.assert_array_equal(multi_dot(q, [q, 2 * q], kernel=kernel), [[5, 10]])


@pytest.mark.parametrize("limit", ["portable", "avx2", "avx512"])
def test_the_instruction_set_can_be_limited(limit):
    if kernel_info().kernel != "custom":
        pytest.skip(kernel_info().reason)
    program = (
        "import tensorflow as tf; from tf_style.ops.gram import gram_matrix, kernel_info\n"
        "assert gram_matrix(tf.ones([1, 9, 5]))[0, 4, 4] == 9\n"
        "print(kernel_info().instruction_set)"
    )
    sets = library.INSTRUCTION_SETS
    best = min(limit, kernel_info().instruction_set, key=sets.index)
    environment = {**os.environ, "TF_STYLE_MAX_ISA": limit}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == best


def test_an_unknown_instruction_set_is_an_error(monkeypatch):
    monkeypatch.setenv("TF_STYLE_MAX_ISA", "avx3")
    with pytest.raises(InputError, match="TF_STYLE_MAX_ISA must be one of .* Received: 'avx3'"):
        library._check_instruction_set_limit()


def test_scratch_memory_that_is_not_there_is_an_error_of_the_op():
    """And no end of the process, as a failed allocation in a thread of the pool would be."""
    if library.custom_ops("auto") is None:
        pytest.skip(kernel_info().reason)
    program = """
import resource, sys
import tensorflow as tf
from tf_style.ops import library
ops = library.custom_ops("custom")
def pack(filter):
    return ops.tf_style_pack_filter(filter=filter, T=tf.float32, for_gradient=True)
pack(tf.zeros([3, 3, 1024, 1024]))
filter = tf.zeros([3, 3, 1536, 1536])
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
failures = 0
# What comes out takes 144 MiB, and scratch 81 and more: one fails, then the other. TensorFlow waits
# for ten seconds each time.
for extra in (60, 150, 1000):
    resource.setrlimit(resource.RLIMIT_AS, (size + extra * 2**20, resource.RLIM_INFINITY))
    try:
        pack(filter)
    except tf.errors.ResourceExhaustedError:
        failures += 1
    else:
        sys.exit(42 if failures == 2 else 1)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 42, done.stderr[-2000:]
