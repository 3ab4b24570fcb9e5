"""What a transfer tells while it runs, and what it ends with."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from tf_style.optimize.status import Status


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """One evaluation of the objective.

    Attributes:
      index: 0 for the first.
      level: Index of the working size, 0 for the coarsest. The losses of one level are not those of
        another.
      time: When it ended, seconds since the epoch.
      loss: The sum of the parts that follow, each with its weight.
      content: The content loss.
      style: The style loss.
      tv: The total variation.
      temporal: In a video, the difference from the frames before.
    """

    index: int
    level: int
    time: float
    loss: float
    content: float
    style: float
    tv: float
    temporal: float = 0.0


@dataclasses.dataclass(frozen=True)
class Progress:
    """What a callback receives between two calls into the graph.

    Attributes:
      iteration: Iterations made, at all levels.
      max_iterations: Iterations that will be made at most.
      evaluations: All evaluations so far, the last one last.
      level: Index of the working size, 0 for the coarsest.
      num_levels: How many there are.
      height: Of the working size, in pixels.
      width: Of the working size, in pixels.
      seconds: Since `run` began.
      read_image: Gives the picture so far, float32 [height, width, 3] of the last level's size, RGB,
        0..1.
    """

    iteration: int
    max_iterations: int
    evaluations: Sequence[Evaluation]
    level: int
    num_levels: int
    height: int
    width: int
    seconds: float
    read_image: Callable[[], np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class StylizeResult:
    """The outcome of a transfer.

    Attributes:
      image: float32 [height, width, 3], sRGB, 0..1.
      alpha: The content's opacity, float32 [height, width], 0..1, or None where it is opaque.
      status: Why the optimisation ended.
      iterations: Iterations made, at all levels.
      evaluations: Every evaluation, the last one last.
      final: The evaluation whose picture this is; an optimiser may have tried and rejected others
        after it. None if there was no evaluation at the last level reached.
      seconds: Of the optimisation, without the preparation.
    """

    image: np.ndarray
    alpha: np.ndarray | None
    status: Status
    iterations: int
    evaluations: Sequence[Evaluation]
    final: Evaluation | None
    seconds: float
