"""Style transfer from pictures to a picture: the parts put together."""

import dataclasses
import time
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tf_style.devices import resolve_device, resolve_precision
from tf_style.evaluations import EvaluationLog
from tf_style.inputs import ImageSource, Inputs, prepare
from tf_style.lbfgs import Status
from tf_style.objective import PARTS, Features, Objective
from tf_style.optimizers import make_minimizer
from tf_style.settings import Settings

# A call into the graph lasts about this long, so that a callback, and Ctrl-C, are never far away.
SECONDS_PER_CALL = 0.5
MAX_ITERATIONS_PER_CALL = 32


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """One evaluation of the objective.

    Attributes:
      index: 0 for the first.
      level: Index of the working size, 0 for the first.
      time: When it ended, seconds since the epoch.
      loss: The sum of the parts that follow, each with its weight.
      content: The content loss.
      style: The style loss.
      tv: The total variation.
    """

    index: int
    level: int
    time: float
    loss: float
    content: float
    style: float
    tv: float


@dataclasses.dataclass(frozen=True)
class Progress:
    """What a callback receives between two calls into the graph.

    Attributes:
      iteration: Iterations made.
      max_iterations: Iterations that will be made at most.
      evaluations: All evaluations so far, the last one last.
      height: Of the picture, in pixels.
      width: Of the picture, in pixels.
      seconds: Since `run` began.
      read_image: Gives the picture so far, float32 [height, width, 3], RGB, 0..1.
    """

    iteration: int
    max_iterations: int
    evaluations: Sequence[Evaluation]
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
      iterations: Iterations made.
      evaluations: Every evaluation, the last one last.
      seconds: Of the optimisation, without the preparation.
    """

    image: np.ndarray
    alpha: np.ndarray | None
    status: Status
    iterations: int
    evaluations: Sequence[Evaluation]
    seconds: float


class StyleTransfer:
    """A transfer whose parts can be looked at: the inputs, the network, the objective, the image."""

    def __init__(self, inputs: Inputs, settings: Settings):
        """Builds the network and computes the targets.

        Args:
          inputs: As from `prepare`.
          settings: The ones that `inputs` was prepared with.

        Raises:
          InputError: If TensorFlow sees no such device.
        """
        self.inputs = inputs
        self.settings = settings
        self.device = resolve_device(settings.device)
        self.precision = resolve_precision(settings.precision, self.device)
        with tf.device(self.device):
            self.features = Features(inputs.preset, inputs.weights, precision=self.precision)
            self.objective = Objective(
                self.features,
                inputs.preset,
                content=None if inputs.content is None else _batch(inputs.content),
                styles=[_batch(style) for style in inputs.styles],
                blend=settings.style_blend,
            )
            self.image = tf.Variable(_batch(inputs.initial), trainable=False)

    def run(
        self,
        *,
        callback: Callable[[Progress], None] | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> StylizeResult:
        """Optimises the image, from where it stands.

        Args:
          callback: Called about twice a second, and after the last iteration.
          should_stop: Asked as often; when true the run ends with what it has.

        Returns:
          The result.
        """
        start = time.perf_counter()
        max_iterations = self.settings.iterations
        evaluations: list[Evaluation] = []
        log = EvaluationLog(self.objective.parts_and_gradient, len(PARTS))
        with tf.device(self.device):
            minimizer = make_minimizer(self.settings.optimizer, log, self.image)
            iterations_per_call = 1
            while (
                minimizer.status == Status.RUNNING
                and minimizer.iterations < max_iterations
                and not should_stop()
            ):
                left = max_iterations - minimizer.iterations
                call_start = time.perf_counter()
                minimizer.run(min(iterations_per_call, left))
                if evaluations:  # The first call's time is mostly tracing.
                    per_iteration = (time.perf_counter() - call_start) / iterations_per_call
                    iterations_per_call = int(
                        np.clip(SECONDS_PER_CALL / per_iteration, 1, MAX_ITERATIONS_PER_CALL)
                    )
                for moment, *parts in log.take().tolist():
                    evaluations.append(Evaluation(len(evaluations), 0, moment, sum(parts), *parts))
                if callback is not None:
                    callback(
                        Progress(
                            iteration=minimizer.iterations,
                            max_iterations=max_iterations,
                            evaluations=evaluations,
                            height=self.image.shape[1],
                            width=self.image.shape[2],
                            seconds=time.perf_counter() - start,
                            read_image=self.read_image,
                        )
                    )
        status = minimizer.status
        if status == Status.RUNNING:
            status = (
                Status.MAX_ITERATIONS if minimizer.iterations >= max_iterations else Status.INTERRUPTED
            )
        return StylizeResult(
            image=self.read_image(),
            alpha=self.inputs.alpha,
            status=status,
            iterations=minimizer.iterations,
            evaluations=evaluations,
            seconds=time.perf_counter() - start,
        )

    def read_image(self) -> np.ndarray:
        """The picture so far, float32 [height, width, 3], RGB, 0..1.

        The optimisation itself is never clamped, which would spoil the curvature that it learns.
        """
        return np.clip(self.image.numpy()[0] / 255.0, 0.0, 1.0)


def stylize(
    content: ImageSource | None,
    styles: ImageSource | Sequence[ImageSource],
    *,
    callback: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    **settings,
) -> StylizeResult:
    """Renders the content of one image in the style of others.

    Args:
      content: A path, the bytes of an image file, an open one, or an array [height, width, 3] of uint8,
        uint16 or floats in 0..1; None to synthesise the style's texture.
      styles: One such image or several; an empty list to reconstruct the content from its layer.
      callback: Called about twice a second with a `Progress`.
      should_stop: Asked as often; when true the run ends with what it has.
      **settings: The fields of `Settings`.

    Returns:
      The picture, and how it came about.

    Raises:
      InputError: If the request cannot be carried out as it stands.

    Reference:
      Gatys, Ecker and Bethge, "Image Style Transfer Using Convolutional Neural Networks", CVPR 2016.
    """
    chosen = Settings(**settings)
    if not isinstance(styles, Sequence) or isinstance(styles, str | bytes):
        styles = [styles]
    return StyleTransfer(prepare(content, styles, chosen), chosen).run(
        callback=callback, should_stop=should_stop
    )


def _batch(image: np.ndarray) -> tf.Tensor:
    return tf.constant(image[np.newaxis], tf.float32)
