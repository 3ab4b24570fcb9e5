"""Painted styles, each a module with a function `paint(seed)`. NumPy and Pillow only."""
