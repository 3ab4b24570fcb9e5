"""How far a student's training is. No TensorFlow here."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

# A training no longer improves where the mean loss over a window of rounds has not fallen by this part
# for a number of them; both are shares of all rounds.
LEAST_GAIN = 1e-3
WINDOW, PATIENCE = 1 / 20, 1 / 5
LEAST_WINDOW, LEAST_PATIENCE = 5, 10


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingProgress:
    """What a training tells now and then.

    Attributes:
      step: Steps made.
      steps: At most.
      losses: The mean over the last steps of the `loss` and its parts, `content`, `style` and `tv`.
      seconds: Since this process began to train.
      seconds_per_step: Without the first ones; None where there are no others.
      student: Returns the student so far.
    """

    step: int
    steps: int
    losses: Mapping[str, float]
    seconds: float
    seconds_per_step: float | None
    student: Callable[[], Any]

    @property
    def seconds_left(self) -> float | None:
        """What all steps would still take."""
        if self.seconds_per_step is None:
            return None
        return (self.steps - self.step) * self.seconds_per_step


def has_stalled(losses: Sequence[float], rounds: int) -> bool:
    """Whether a training has not improved for long.

    Args:
      losses: Of each round so far.
      rounds: Of the whole training.
    """
    window = max(LEAST_WINDOW, int(WINDOW * rounds))
    patience = max(LEAST_PATIENCE, int(PATIENCE * rounds))
    if len(losses) < window + patience:
        return False
    means = np.convolve(losses, np.ones(window) / window, "valid")
    before, since = means[:-patience], means[-patience:]
    return bool(since.min() > (1.0 - LEAST_GAIN) * before.min())
