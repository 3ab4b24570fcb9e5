"""A feed-forward network that learns a style once, and renders it in one pass."""
