"""Minimisers of a function of one tf.Variable."""
