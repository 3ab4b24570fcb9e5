"""Which device and which precision, on machines with GPUs that are not there."""

import pytest
import tensorflow as tf

from tf_style.errors import InputError
from tf_style.transfer.devices import check_float32, resolve_device, resolve_precision


@pytest.fixture
def two_gpus(monkeypatch):
    """Two of compute capability 9.0, of which TensorFlow sees both."""
    seen = {"GPU": ["one", "another"], "CPU": ["the CPU"]}
    monkeypatch.setattr(tf.config, "get_visible_devices", seen.get)
    monkeypatch.setattr(
        tf.config.experimental, "get_device_details", lambda gpu: {"compute_capability": (9, 0)}
    )


def test_devices_are_those_that_tensorflow_sees(two_gpus):
    assert resolve_device(None) == "/GPU:0"
    assert resolve_device("gpu:1") == "/GPU:1"
    assert resolve_device("/device:CPU:0") == "/CPU:0"
    with pytest.raises(InputError, match="GPU:0, GPU:1, CPU:0. Received: 'GPU:2'"):
        resolve_device("GPU:2")


def test_float32_on_a_gpu_is_float32_or_refused(two_gpus, tensor_float_32):
    check_float32("auto", "/GPU:1")
    assert resolve_precision("auto", "/GPU:1") == "bfloat16"
    check_float32("float32", "/CPU:0")
    with pytest.raises(InputError, match=r"enable_tensor_float_32_execution\(False\) first"):
        check_float32("float32", "/GPU:1")
    tf.config.experimental.enable_tensor_float_32_execution(False)
    check_float32("float32", "/GPU:1")
