"""What a host program may have set for its whole process: it does not matter, or one line says so."""

import concurrent.futures
import contextlib
import os
import pathlib
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import ops

from tf_style import (
    ContentLoss,
    GramMatrix,
    InputError,
    PerceptualLoss,
    Settings,
    StyleLoss,
    StyleTransfer,
    Stylizer,
    VggFeatures,
    prepare,
)
from tf_style.commands import runner

ROOT = pathlib.Path(__file__).parent.parent
LAYERS = {"content_layers": ("conv1_2",), "style_layers": ("conv1_1",)}
CHOSEN = {**LAYERS, "precision": "float32", "iterations": 2, "levels": 1}
PICTURES = np.random.default_rng(0).uniform(0, 1, (2, 20, 24, 3)).astype(np.float32)
CONTENT, STYLE = PICTURES


@contextlib.contextmanager
def keras_settings(data_format, floatx, policy):
    before = keras.config.image_data_format(), keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_image_data_format(data_format)
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(policy)
    keras.config.set_epsilon(0.1)
    try:
        yield
    finally:
        keras.config.set_image_data_format(before[0])
        keras.config.set_floatx(before[1])
        keras.config.set_dtype_policy(before[2])
        keras.config.set_epsilon(1e-7)


@contextlib.contextmanager
def run_eagerly():
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)


@contextlib.contextmanager
def check_numerics():
    tf.debugging.enable_check_numerics()
    try:
        yield
    finally:
        tf.debugging.disable_check_numerics()


def transferred(**settings) -> np.ndarray:
    inputs = prepare(CONTENT, [STYLE], Settings(size=24, **CHOSEN, **settings))
    return StyleTransfer(inputs).run().image


def in_a_thread() -> np.ndarray:
    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        return threads.submit(transferred).result()


def of_activations(function):
    """A layer or loss, made and used, of what comes from nowhere else."""
    activations = np.random.default_rng(1).uniform(0, 9, (2, 5, 6, 16)).astype(np.float32)
    return function()(activations[:1], activations[1:])


def modelled() -> tf.Tensor:
    inputs = keras.Input((None, None, 3))
    return keras.Model(inputs, GramMatrix()(VggFeatures(("conv1_2",))(inputs)["conv1_2"]))(PICTURES)


EAGER = ("stylize", "thread", "tiles", "adam", "Stylizer")
# What the package makes of two pictures.
WAYS = {
    "stylize": transferred,
    "thread": in_a_thread,
    "tiles": lambda: transferred(tile=16, preset="gatys2016"),
    "adam": lambda: transferred(optimizer="adam"),
    "Stylizer": lambda: Stylizer(STYLE, **CHOSEN)(CONTENT[np.newaxis]),
    "VggFeatures": lambda: VggFeatures(("conv1_2",))(PICTURES)["conv1_2"],
    "model": modelled,
    "ContentLoss": lambda: of_activations(ContentLoss),
    "StyleLoss": lambda: of_activations(StyleLoss),
    "moments": lambda: of_activations(lambda: StyleLoss(statistic="moments")),
    "PerceptualLoss": lambda: PerceptualLoss(STYLE, size=None, **LAYERS)(PICTURES[:1], PICTURES[1:]),
}


@pytest.fixture(scope="module")
def expected():
    with run_eagerly():
        return {name: make() for name, make in WAYS.items()}


@pytest.mark.parametrize(
    ("settings", "left_out", "precision"),
    [
        ([keras_settings("channels_first", "float64", "float64")], EAGER[1:], "float32"),
        ([keras_settings("channels_first", "float16", "mixed_float16"), run_eagerly()], (), "float32"),
        ([keras_settings("channels_last", "bfloat16", "mixed_bfloat16")], EAGER, "bfloat16"),
        # TensorFlow's own check fails at bfloat16 outside of graphs.
        ([check_numerics()], ("thread", "tiles", "adam"), "float32"),
    ],
    ids=["float64", "float16 eagerly", "bfloat16", "checked numerics"],
)
def test_settings_that_do_not_matter(expected, settings, left_out, precision):
    """But that the network's precision follows a global policy of bfloat16."""
    with contextlib.ExitStack() as stack:
        for setting in settings:
            stack.enter_context(setting)
        found = {name: make() for name, make in WAYS.items() if name not in left_out}
        layer = VggFeatures(("conv1_1",))
        assert layer.compute_dtype == precision
        stored = keras.layers.serialize(layer)
    # A stored layer is what it was, whatever is set where it is read.
    assert keras.layers.deserialize(stored).compute_dtype == precision
    for name, value in found.items():
        largest = np.abs(expected[name]).max()
        error = np.abs(np.asarray(tf.cast(value, tf.float32)) - expected[name]).max()
        # bfloat16 has 8 bits, and products of two of its numbers have twice their error; eagerly sums
        # go in another order: measured, 6e-4 of a picture's range.
        is_rounded = precision == "bfloat16" and name in ("VggFeatures", "model")
        assert error <= (2**-6 if is_rounded else 2e-3) * largest, name


@pytest.mark.parametrize(
    ("change", "back", "message"),
    [
        (tf.compat.v1.disable_v2_tensorshape, tf.compat.v1.enable_v2_tensorshape, "tensorshape"),
        (tf.compat.v1.disable_tensor_equality, tf.compat.v1.enable_tensor_equality, "equality"),
        (
            # What `experimental_enable_numpy_behavior` does beside what cannot be undone.
            lambda: ops.set_dtype_conversion_mode("all"),
            lambda: ops.set_dtype_conversion_mode("off"),
            "dtype_conversion_mode",
        ),
    ],
)
def test_settings_that_are_refused(change, back, message):
    change()
    try:
        for make in (lambda: VggFeatures(("conv1_1",)), lambda: StyleLoss()):
            with pytest.raises(InputError, match=message) as error:
                make()
            assert "\n" not in str(error.value)
    finally:
        back()


def test_graphs_of_version_1_are_refused():
    """As they are everywhere after `disable_eager_execution` and `disable_v2_behavior`."""
    inputs = prepare(CONTENT, [STYLE], Settings(size=24, **CHOSEN))
    with tf.Graph().as_default(), pytest.raises(InputError, match=r"disable_eager_execution\(\)"):
        StyleTransfer(inputs)


def exit_code_in_fork(function) -> int:
    """What a fork of this process ends with: 3 after an InputError about it."""
    child = os.fork()
    if not child:
        code = 1
        signal.alarm(60)  # It must not wait for ever.
        try:
            function()
        except InputError as error:
            code = 3 if "forked after it had run" in str(error) else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_after_tensorflow_has_run_is_refused():
    stylizer = Stylizer(STYLE, **CHOSEN)
    transfer = StyleTransfer(prepare(CONTENT, [STYLE], Settings(size=24, **CHOSEN)))
    contents = tf.constant(CONTENT[np.newaxis])
    layer = VggFeatures(("conv1_1",))
    for function in (
        lambda: stylizer(contents),
        lambda: layer(contents),
        transfer.run,
        lambda: Stylizer(STYLE, **CHOSEN),
    ):
        assert exit_code_in_fork(function) == 3


FORK_FIRST = """
import os, sys
import tensorflow as tf
import tf_style
child = os.fork()
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
tf.config.optimizer.set_jit(True)
tf.config.set_soft_device_placement(False)
tf.experimental.numpy.experimental_enable_numpy_behavior()
tf.data.experimental.enable_debug_mode()
tf.config.experimental.enable_op_determinism()
layers = {"content_layers": ("conv1_2",), "style_layers": ("conv1_1",)}
contents = tf.random.stateless_uniform([1, 16, 20, 3], [0, 0])
made = tf_style.Stylizer(contents[0].numpy(), iterations=2, init="noise", seed=0, **layers)(contents)
from tf_style.serve.decode import decode, encode
again = decode(encode(made[0]), "a picture of a request")
os._exit(0 if made.shape == (1, 16, 20, 3) and again.shape == (16, 20, 3) else 1)
"""


def test_a_fork_before_tensorflow_has_run_works_under_settings_that_last():
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", FORK_FIRST], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_another_backend_of_keras_is_one_line():
    code = "import tf_style.keras_on_tensorflow"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "KERAS_BACKEND": "numpy"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    line = done.stderr.splitlines()[-1]
    assert "InputError: tf_style computes with Keras on TensorFlow: before Keras is imported" in line
    assert 'KERAS_BACKEND to "tensorflow"' in line


def test_programs_choose_the_backend_themselves(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    parser = runner.Parser(prog="any")
    runner.add_messages(parser)
    assert runner.run(parser, lambda _: int(os.environ["KERAS_BACKEND"] != "tensorflow"), []) == 0
