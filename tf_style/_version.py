"""The version of this package and of the TensorFlow that it is made for."""

__version__ = "0.1.0"

# Raised when a change makes the same request end at other bits. 1: the preconditioner favoured fine
# colour.
NUMERICS = 5

TENSORFLOW_RANGE = ">=2.21,<2.22"
