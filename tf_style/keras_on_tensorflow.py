"""Keras, which can have other backends, on TensorFlow: all of this package imports it from here."""

from tf_style.errors import InputError

_NEEDED = (
    "tf_style computes with Keras on TensorFlow: before Keras is imported, set the environment's "
    'KERAS_BACKEND to "tensorflow", or "backend" in ~/.keras/keras.json.'
)

try:
    import keras
except ModuleNotFoundError as error:
    if error.name == "keras":
        raise
    # The backend that is asked for, which Keras imports first, may not be installed.
    raise InputError(f"{_NEEDED} Received: {error}") from error

if keras.backend.backend() != "tensorflow":
    raise InputError(f"{_NEEDED} Received: {keras.backend.backend()!r}")

__all__ = ["keras"]
