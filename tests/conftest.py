"""What tests of operations share."""

import os

import pytest
import tensorflow as tf

from tf_style.ops.library import kernel_info


@pytest.fixture(scope="module")
def exact_float32():
    """GPUs may otherwise round what they multiply to 11 bits."""
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    yield
    tf.config.experimental.enable_tensor_float_32_execution(before)


@pytest.fixture
def tensor_float_32():
    """As a program has it by default, whatever a test before has left."""
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(True)
    yield
    tf.config.experimental.enable_tensor_float_32_execution(before)


@pytest.fixture(params=["custom", "stock"])
def kernel(request):
    """Each of the two that run here."""
    if request.param == "custom" and kernel_info().kernel != "custom":
        if os.environ.get("TF_STYLE_BUILD_OPS") == "1":
            pytest.fail(f"TF_STYLE_BUILD_OPS=1, and {kernel_info().reason}")
        pytest.skip(kernel_info().reason)
    return request.param
