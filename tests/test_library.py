"""Which kernel is taken, and what is said about it."""

import os
import subprocess
import sys
import types

import numpy as np
import pytest
import tensorflow as tf

from tf_style.errors import InputError
from tf_style.ops import library
from tf_style.ops.gram import gram_matrix, kernel_info

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


def test_a_gpu_and_no_cuda_in_the_binary(monkeypatch):
    if kernel_info().built_for is None:
        pytest.skip(kernel_info().reason)
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: [f"the {kind}"])
    assert "built without CUDA" in library._gpu_problem(None, ())


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
