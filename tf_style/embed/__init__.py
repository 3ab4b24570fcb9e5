"""The transfer as a function of tensors, and as Keras layers and losses."""

# All are registered with Keras whichever of them is asked for: a stored model may hold the others.
from tf_style.embed import layers, losses  # noqa: F401
