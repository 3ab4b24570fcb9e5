"""The optimisers by name, with one interface: `run(num_iterations)`, `status`, `iterations`."""

from collections.abc import Callable
from typing import Protocol

import tensorflow as tf

from tf_style.optimize.lbfgs import Status

Evaluate = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


class Minimizer(Protocol):
    """What `Lbfgs` and the two below have in common."""

    @property
    def status(self) -> Status:
        """Running, or why it ended."""
        ...

    @property
    def iterations(self) -> int:
        """Iterations made so far."""
        ...

    @property
    def value(self) -> float:
        """The loss at the position; infinite before the first iteration."""
        ...

    def run(self, num_iterations: int) -> None:
        """Makes iterations in one call into the graph, and updates the position."""
        ...
