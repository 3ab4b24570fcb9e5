"""Style transfer from pictures to a picture: the parts put together."""

import dataclasses
import gc
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_style.errors import InputError
from tf_style.forks import check_not_forked
from tf_style.images.picture import resize
from tf_style.network.features import Features
from tf_style.objective import ray_pool
from tf_style.objective.objective import PARTS, Objective
from tf_style.objective.temporal import TemporalLoss
from tf_style.objective.tiled import TiledObjective
from tf_style.ops.library import kernel_info
from tf_style.optimize import make_minimizer
from tf_style.optimize.status import Status
from tf_style.transfer import kept_colours, memory
from tf_style.transfer.devices import check_float32, resolve_device, resolve_precision
from tf_style.transfer.enlarge import enlarged
from tf_style.transfer.evaluation_log import EvaluationLog
from tf_style.transfer.level_objectives import LevelObjectives
from tf_style.transfer.margin import with_margin, without_margin
from tf_style.transfer.prepare import LevelInputs, PreparedInputs
from tf_style.transfer.result import Evaluation, Progress, StylizeResult
from tf_style.transfer.settings import fields_with_files
from tf_style.transfer.traced import traced_for

# A call into the graph lasts about this long, so that a callback, and Ctrl-C, are never far away.
SECONDS_PER_CALL = 0.5
MAX_ITERATIONS_PER_CALL = 32
# Of a `StyleTransfer`, what holds the traced graphs.
_GRAPHS = ("_any_size", "objective", "_temporal", "image", "_log", "_minimizer")


class StyleTransfer:
    """One run of a transfer, with its state: it can be watched, paused, saved and restored.

    `stylize` makes one and runs it; a `Stylizer` is a pure function of tensors instead.

    Attributes:
      inputs: The pictures and weights.
      device: Where it runs.
      precision: Of the network.
      kernel: What computes there: our own operations or TensorFlow's, and why.
      tile_px: The side of a tile at sizes that are larger, or None for none.
      features: The network.
      level: Index of the working size that is under way.
      objective: At this size.
      image: At this size, with the margin, float32 [1, height, width, 3], RGB, on the 0..255 scale and
        not clamped.
    """

    def __init__(
        self,
        inputs: PreparedInputs,
        *,
        like: "StyleTransfer | None" = None,
        content_unit: np.ndarray | None = None,
    ):
        """Builds the network and computes the first level's targets.

        Args:
          inputs: As from `prepare`.
          like: A transfer that has ended. Where this one's objective differs in its pictures alone, it
            goes on with that one's network and graphs, to the same bits: to trace them takes seconds.
            It is of no use any more.
          content_unit: That of an earlier frame of the same video, in place of these pictures' own.

        Raises:
          InputError: If TensorFlow sees no such device, or would round float32 there, or if Ray is
            asked for and has no part in it or does not answer.
        """
        settings = inputs.settings
        self.inputs = inputs
        self.device = resolve_device(settings.device)
        check_float32(settings.precision, self.device)
        self.precision = resolve_precision(settings.precision, self.device)
        self.tile_px = memory.choose_tile(inputs, self.precision, self.device)
        self._objectives = LevelObjectives(inputs, self.tile_px, self.device, self.precision)
        if settings.ray is not None:
            if not any(self._objectives.is_tiled(pictures.level) for pictures in inputs.levels):
                raise InputError(
                    f"ray would have no effect: {inputs.width} x {inputs.height} pixels are evaluated "
                    "as a whole. It takes a larger size, or smaller tiles."
                )
            ray_pool.connect(settings.ray)
        self._traced_for = traced_for(inputs, self.device, self.precision)
        self._any_size: Objective | None = None
        self._temporal: TemporalLoss | None = None
        # Of the first level at which any style has a position, and of all above. Finer ones of a soft
        # photograph see little of it, and would hold on to it the more.
        self._content_unit = None if content_unit is None else tf.constant(content_unit, tf.float32)
        self._evaluations: list[Evaluation] = []
        self._iterations_below = 0
        with tf.device(self.device):
            self.kernel = kernel_info()
            if like is not None and self._can_go_on_with(like):
                for name in ("features", *_GRAPHS):
                    setattr(self, name, vars(like).pop(name))
            else:
                self.features = Features(inputs.preset, inputs.weights, precision=self.precision)
            self._enter(0, _batch(inputs.initial))

    def run(
        self,
        *,
        callback: Callable[[Progress], None] | None = None,
        callback_every: int | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> StylizeResult:
        """Optimises the image, level by level; after an interruption, from where it stands.

        Args:
          callback: Called about twice a second, and after the last iteration.
          callback_every: Called after every so many iterations as well.
          should_stop: Asked as often as `callback` is called; when true the run ends with what it has.

        Returns:
          The result.
        """
        check_not_forked()
        start = time.perf_counter()

        def report() -> None:
            if callback is not None:
                callback(self._progress(time.perf_counter() - start))

        with tf.device(self.device):
            while not self._run_level(report, callback_every, should_stop):
                self._enter(self.level + 1, self._enlarged())
        status = self._minimizer.status
        if status == Status.RUNNING:
            status = Status.INTERRUPTED if self._iterations_left() else Status.MAX_ITERATIONS
        return StylizeResult(
            image=self.read_image(),
            alpha=self.inputs.alpha,
            status=status,
            iterations=self._iterations_below + self._minimizer.iterations,
            evaluations=self._evaluations,
            final=self._final(),
            seconds=time.perf_counter() - start,
        )

    def next_frame(self, inputs: PreparedInputs) -> None:
        """Goes on with the next frame of a video: `run` then makes it, in the same graphs.

        The targets of the styles and the unit of the content loss stay what they are.

        Args:
          inputs: Of that frame, at the last size alone, of the same styles, settings and kinds of
            masks.
        """
        self.inputs = inputs
        self._objectives = dataclasses.replace(self._objectives, inputs=inputs)
        self._evaluations = []
        self._iterations_below = 0
        targets = None if self._any_size is None else self._any_size.style_targets
        with tf.device(self.device):
            self._enter(0, _batch(inputs.initial), targets)

    @property
    def content_unit(self) -> np.ndarray | None:
        """What the content loss is multiplied by where it is relative, float32 [1]."""
        return None if self._content_unit is None else self._content_unit.numpy()

    def state(self) -> dict[str, np.ndarray]:
        """All that the run has come to, as arrays by name: what `restore` goes on from."""
        evaluations = [dataclasses.astuple(evaluation) for evaluation in self._evaluations]
        return {
            "level": np.array(self.level),
            "iterations_below": np.array(self._iterations_below),
            "evaluations": np.array(evaluations, np.float64).reshape(
                -1, len(dataclasses.fields(Evaluation))
            ),
            **{f"minimizer/{key}": value.numpy() for key, value in self._minimizer.state().items()},
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Takes over what `state` returned for the same inputs; `run` goes on with the same bits.

        Raises:
          ValueError: If the state is of a transfer with other sizes or another optimiser.
        """
        of_minimizer = {
            key.removeprefix("minimizer/"): value
            for key, value in state.items()
            if key.startswith("minimizer/")
        }
        level = int(state["level"])
        if not 0 <= level < len(self.inputs.levels):
            raise ValueError(f"The state is of level {level}, and there are {len(self.inputs.levels)}.")
        with tf.device(self.device):
            if self.inputs.preset.content_unit == "relative" and self._content_unit is None:
                # It may be known at one of those between.
                for index in range(self.level + 1, level):
                    self._enter(index, self._black(index))
            if level != self.level:
                self._enter(level, self._black(level))
            self._minimizer.restore(of_minimizer)
        self._iterations_below = int(state["iterations_below"])
        self._evaluations = [
            Evaluation(int(index), int(of_level), *map(float, rest))
            for index, of_level, *rest in state["evaluations"].tolist()
        ]

    def read_image(self) -> np.ndarray:
        """The picture so far, float32 [height, width, 3] of the last level's size, RGB, 0..1.

        The optimisation itself is never clamped, which would spoil the curvature that it learns.
        """
        inputs, picture = self.inputs, self.read_painting()
        if inputs.photograph is None or inputs.painted is None:
            return picture
        photograph = inputs.photograph / np.float32(255)
        picture = photograph + inputs.painted[..., np.newaxis] * (picture - photograph)
        return np.clip(picture, 0.0, 1.0)

    def read_painting(self) -> np.ndarray:
        """As `read_image`, before the photograph is put back where no style goes."""
        picture = without_margin(self.image.numpy()[0], self._margin) / np.float32(255)
        np.clip(picture, 0.0, 1.0, out=picture)
        inputs = self.inputs
        picture = resize(picture, inputs.height, inputs.width)
        if inputs.photograph is None:
            return picture
        keep = inputs.settings.keep_colors
        picture = kept_colours.of_result(keep, 255 * picture, inputs.photograph)
        return np.clip(picture / np.float32(255), 0.0, 1.0)

    def rest(self) -> None:
        """Frees the memory of a run that has ended, but for graphs that a next one may go on with.

        For more than that it is of no use any more.
        """
        for name in ("inputs", "_objectives"):
            vars(self).pop(name, None)
        if self._any_size is None:
            self._leave()
            return
        with tf.device(self.device):
            self._any_size.forget()
            self.image.assign(tf.zeros([1, 1, 1, 3]))
            self._minimizer = self._minimizer.restarted()

    def _can_go_on_with(self, other: "StyleTransfer") -> bool:
        """Whether another's network and graphs are what this one would make."""
        inputs = self.inputs
        return (
            other._any_size is not None
            and not self._objectives.is_tiled(inputs.levels[0].level)
            and not fields_with_files({"weights": inputs.settings.weights})
            and self._traced_for == other._traced_for
        )

    @property
    def _margin(self) -> int:
        return self.inputs.levels[self.level].level.margin

    def _black(self, index: int) -> tf.Tensor:
        level = self.inputs.levels[index].level
        return tf.zeros([1, level.height, level.width, 3])

    def _enter(
        self,
        index: int,
        start: tf.Tensor,
        style_targets: Mapping[str, Sequence[Any]] | None = None,
    ) -> None:
        """Begins a level; what the optimiser knew of the last one's curvature is of no use to it."""
        pictures = self.inputs.levels[index]
        self.level = index
        start = with_margin(start, self._margin, tf)
        earlier = pictures.earlier_frames
        if earlier is not None:
            earlier = earlier.with_margin(self._margin)
        if self._any_size is not None and not self._objectives.is_tiled(pictures.level):
            # The graphs of the level below serve this one too: to trace them takes seconds.
            self._any_size.take_over(self._make_objective(pictures, style_targets))
            if self._temporal is not None and earlier is not None:
                self._temporal.assign(*earlier)
            self.image.assign(start)
            self._minimizer = self._minimizer.restarted()
            return
        self._leave()
        self.objective = self._make_objective(pictures)
        self._any_size = self.objective if isinstance(self.objective, Objective) else None
        self.image = tf.Variable(start, trainable=False, shape=[1, None, None, 3])
        evaluate, num_parts = self.objective.parts_and_gradient, len(PARTS)
        if earlier is not None:
            self._temporal = TemporalLoss(evaluate, *earlier)
            evaluate, num_parts = self._temporal.parts_and_gradient, num_parts + 1
        self._log = EvaluationLog(evaluate, num_parts)
        settings = self.inputs.settings
        self._minimizer = make_minimizer(
            settings.optimizer,
            self._log,
            self.image,
            history=settings.num_pairs,
            pair_dtype=tf.dtypes.as_dtype(settings.pair_precision),
        )

    def _leave(self) -> None:
        """Frees what a level takes that shares no graph with the next."""
        for name in _GRAPHS:
            vars(self).pop(name, None)
        self._any_size = self._temporal = None
        # TensorFlow's graphs are reference cycles, and hold the variables and tensors that they read.
        gc.collect()

    def _make_objective(
        self, pictures: LevelInputs, style_targets: Mapping[str, Sequence[Any]] | None = None
    ) -> Objective | TiledObjective:
        objective = self._objectives.make(
            self.features,
            pictures,
            content_unit=self._content_unit,
            style_targets=style_targets,
            any_size=self._any_size is None,
        )
        unit = objective.content_unit
        if self.inputs.preset.content_unit == "relative" and unit is not None and unit[0] > 0:
            self._content_unit = unit
        return objective

    def _enlarged(self) -> tf.Tensor:
        """Where the next level starts: the picture so far, with what the content has in detail."""
        self._iterations_below += self._minimizer.iterations
        here, above = self.inputs.levels[self.level : self.level + 2]
        size = (above.level.height, above.level.width)
        image = without_margin(self.image, self._margin, tf)
        if here.content is None or above.content is None:
            return tf.image.resize(image, size, "bicubic")
        return enlarged(image, _batch(here.content), _batch(above.content))

    def _run_level(
        self, report: Callable[[], None], every: int | None, should_stop: Callable[[], bool]
    ) -> bool:
        """Optimises at this level, and says whether the whole run has come to its end."""
        minimizer = self._minimizer
        per_call = 1
        is_first = True
        while (left := self._iterations_left()) and minimizer.status == Status.RUNNING:
            if should_stop():
                return True
            count = min(per_call, left)
            if every:
                count = min(count, every - (self._iterations_below + minimizer.iterations) % every)
            start = time.perf_counter()
            minimizer.run(count)
            if not is_first:  # The first call's time is mostly tracing.
                seconds = (time.perf_counter() - start) / count
                per_call = int(np.clip(SECONDS_PER_CALL / seconds, 1, MAX_ITERATIONS_PER_CALL))
            is_first = False
            for moment, *parts in self._log.take().tolist():
                index = len(self._evaluations)
                self._evaluations.append(Evaluation(index, self.level, moment, sum(parts), *parts))
            report()
        return minimizer.status.is_failure or self.level + 1 == len(self.inputs.levels)

    def _iterations_left(self) -> int:
        planned = self.inputs.levels[self.level].level.iterations
        return max(0, planned - self._minimizer.iterations)

    def _final(self) -> Evaluation | None:
        here = [evaluation for evaluation in self._evaluations if evaluation.level == self.level]
        return here[-1 - self._minimizer.evaluations_since] if here else None

    def _progress(self, seconds: float) -> Progress:
        levels = [pictures.level for pictures in self.inputs.levels]
        done = self._iterations_below + self._minimizer.iterations
        above = sum(level.iterations for level in levels[self.level + 1 :])
        return Progress(
            iteration=done,
            max_iterations=done + self._iterations_left() + above,
            evaluations=self._evaluations,
            level=self.level,
            num_levels=len(levels),
            height=levels[self.level].height,
            width=levels[self.level].width,
            seconds=seconds,
            read_image=self.read_image,
        )


def _batch(image: np.ndarray) -> tf.Tensor:
    return tf.constant(image[np.newaxis], tf.float32)
