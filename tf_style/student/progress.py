"""How far a student's training is. No TensorFlow here."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

# A training no longer improves where the mean loss over a share of all rounds is by this part below
# that of neither of the two shares before. The pieces' losses differ by far more than a training gains
# in so long: of shorter spans, or of the lesser of the two, chance decides.
LEAST_GAIN = 1e-3
SPAN, LEAST_SPAN = 1 / 5, 10


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
    span = max(LEAST_SPAN, int(SPAN * rounds))
    if len(losses) < 3 * span:
        return False
    *before, last = np.mean(np.reshape(losses[-3 * span :], (3, span)), axis=1)
    return bool(last > (1.0 - LEAST_GAIN) * max(before))
