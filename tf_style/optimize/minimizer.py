"""What every minimiser has in common, and how their states in variables are read and assigned."""

from collections.abc import Callable, Mapping
from typing import Protocol

import tensorflow as tf

from tf_style.optimize.status import Status

# From a position to the loss, a scalar, and its gradient, shaped as the position.
Evaluate = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


class Minimizer(Protocol):
    """Minimises a function of one tf.Variable, the position, which it updates in place."""

    @property
    def status(self) -> Status:
        """Running, or why it ended."""
        ...

    @property
    def iterations(self) -> int:
        """Iterations made so far; the evaluation of the start is none."""
        ...

    @property
    def value(self) -> float:
        """The loss at the position; infinite before the first evaluation."""
        ...

    @property
    def evaluations_since(self) -> int:
        """Evaluations made after that of the position: of steps that were rejected."""
        ...

    def run(self, num_iterations: int) -> None:
        """Makes iterations in the graph, fewer if the minimisation ends, and updates the position.

        Args:
          num_iterations: How many at most; the start is evaluated before the first.
        """
        ...

    def restarted(self) -> "Minimizer":
        """A minimiser of the same from the position's present value, which may be of another size.

        It takes this one's place: what that has learnt is lost, and it is not used again.
        """
        ...

    def state(self) -> dict[str, tf.Tensor]:
        """The whole state by name, in dtypes that NumPy has: a checkpoint."""
        ...

    def restore(self, state: Mapping[str, tf.Tensor]) -> None:
        """Takes over what `state` returned, as tensors or arrays; `run` goes on with the same bits.

        Raises:
          ValueError: If the state is of another kind of minimiser, or its tensors of other shapes.
        """
        ...


def read_all(variables: Mapping[str, tf.Variable]) -> dict[str, tf.Tensor]:
    """The values of variables, bfloat16 as the bits in uint16: .npz files have no bfloat16."""
    return {
        name: tf.bitcast(variable, tf.uint16)
        if variable.dtype == tf.bfloat16
        else tf.identity(variable)
        for name, variable in variables.items()
    }


def assign_all(variables: Mapping[str, tf.Variable], state: Mapping[str, tf.Tensor]) -> None:
    """Assigns variables the values of a state, as from `read_all`, all or none.

    Raises:
      ValueError: If the state has other names or shapes.
    """
    check_shapes(state, {name: variable.read_value().shape for name, variable in variables.items()})
    for name, variable in variables.items():
        is_bfloat16 = variable.dtype == tf.bfloat16
        variable.assign(tf.bitcast(state[name], tf.bfloat16) if is_bfloat16 else state[name])


def check_shapes(state: Mapping[str, tf.Tensor], expected: Mapping[str, tf.TensorShape]) -> None:
    """Compares the names and shapes of a state with those expected.

    Raises:
      ValueError: If they differ.
    """
    received = {name: tf.TensorShape(value.shape) for name, value in state.items()}
    if received != expected:
        raise ValueError(
            f"The state must hold the {len(expected)} tensors of this minimiser in their shapes. "
            f"Received: {len(received)} tensors, position of shape {received.get('position')}"
        )
