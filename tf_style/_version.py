"""The version of this package and of the TensorFlow that it is made for."""

__version__ = "0.1.0"

TENSORFLOW_RANGE = ">=2.21,<2.22"
