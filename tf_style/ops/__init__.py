"""The Python faces of `kernels/`."""
