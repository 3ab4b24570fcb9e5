"""The transfer as a function of tensors, and as Keras layers and losses."""
