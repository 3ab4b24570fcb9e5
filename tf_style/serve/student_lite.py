"""A student for TensorFlow Lite, of its built-in operations, with weights in 16 or 8 bits."""

import os
import pathlib
import tempfile
import warnings
from typing import Literal

import numpy as np
import tensorflow as tf

from tf_style.errors import InputError, TransferError
from tf_style.files import check_writable, write_atomically
from tf_style.serve.export import save_model
from tf_style.student.student import Student

WEIGHTS = ("float16", "int8")
SIGNATURE = "stylize"
# The most that the largest difference to the Keras model may be, in levels of 255; more is no student.
# Of a student of few steps it was 0.08 and 2.8, of a random network 0.8 and 19; benchmarks/student.py
# measures it.
MOST_LEVELS = {"float16": 4.0, "int8": 40.0}
# What they are compared on: no multiple of the network's stride.
_TRIAL = (70, 90)


def export_lite(
    student: str | os.PathLike,
    output: str | os.PathLike,
    *,
    weights: Literal["float16", "int8"] = "float16",
) -> float:
    """Writes a `.tflite` file, and compares it with the Keras model.

    Its signature `stylize` takes `photographs`, float32 [1, height, width, 3] in 0..1 of any size;
    `strength`, float32 [1], where the student has a dial; and `styles`, float32 [1, styles] of sum 1,
    where it has several. It returns `stylized`, shaped as the photographs.

    Args:
      student: Its folder.
      output: The file, which may be there and is replaced.
      weights: How the weights are stored. With "float16" all is computed in float32; with "int8" each
        convolution rounds its input to 8 bits too (TensorFlow Lite's dynamic range quantisation).

    Returns:
      The largest difference on a random picture, in levels of 255.

    Raises:
      InputError: If there is no whole student, or the file cannot be written.
      TransferError: If the file's pictures are others.
    """
    if weights not in WEIGHTS:
        raise InputError(f"weights are one of {', '.join(WEIGHTS)}. Received: {weights!r}")
    check_writable(output)
    loaded = Student.load(student, precision="float32", device="/CPU:0")
    stored = loaded.stored
    specs = {"photographs": tf.TensorSpec([1, None, None, 3], tf.float32, "photographs")}
    if stored.dial:
        specs["strength"] = tf.TensorSpec([1], tf.float32, "strength")
    if len(stored.styles) > 1:
        specs["styles"] = tf.TensorSpec([1, len(stored.styles)], tf.float32, "styles")

    def render(photographs, **conditions):
        made = loaded(photographs, conditions.get("strength"), conditions.get("styles"))
        return {"stylized": made}

    traced = tf.function(render, autograph=False).get_concrete_function(**specs)
    holder = tf.Module()
    holder.weights = [variable.value for variable in loaded.network.model.weights]
    with tempfile.TemporaryDirectory() as folder:
        save_model(holder, {SIGNATURE: traced}, pathlib.Path(folder))
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[SIGNATURE])
        data = _converted(converter, weights)
    difference = _difference(data, loaded)
    if not difference <= MOST_LEVELS[weights]:
        raise TransferError(
            f"{output} was not written: its pictures differ from the Keras model's by {difference:.1f} "
            f"levels. Expected at most {MOST_LEVELS[weights]:g}"
        )
    write_atomically(pathlib.Path(output), data)
    return difference


def run_lite(data: bytes, inputs: dict[str, np.ndarray]) -> np.ndarray:
    """What a `.tflite` file's content makes of inputs, by their names; it takes those that it knows."""
    with warnings.catch_warnings():
        # It has a package of its own too, which this one does without.
        warnings.simplefilter("ignore", UserWarning)
        interpreter = tf.lite.Interpreter(model_content=data)
    runner = interpreter.get_signature_runner(SIGNATURE)
    known = {name: np.float32(inputs[name]) for name in runner.get_input_details()}
    return runner(**known)["stylized"]


def _converted(converter: tf.lite.TFLiteConverter, weights: str) -> bytes:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if weights == "float16":
        converter.target_spec.supported_types = [tf.float16]
    return converter.convert()


def _difference(data: bytes, student: Student) -> float:
    """The largest difference to the Keras model on a random picture, in levels.

    With what is taken by default, and where they are inputs each style alone at full strength.
    """
    photographs = np.random.default_rng(0).random((1, *_TRIAL, 3), np.float32)
    stored, count = student.stored, len(student.stored.styles)
    strength = 1.0 if stored.dial else None
    alone = np.eye(count).tolist() if count > 1 else [None]
    largest = 0.0
    for given in [(None, None), *((strength, blend) for blend in alone)]:
        conditions = student.conditions(1, *given)
        inputs = {"photographs": photographs, "styles": conditions["styles"].numpy()}
        inputs["strength"] = conditions["strength"][0].numpy()
        expected = student(tf.constant(photographs), *given).numpy()
        largest = max(largest, float(255 * np.abs(run_lite(data, inputs) - expected).max()))
    return largest
