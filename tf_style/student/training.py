"""Trains a student by `keras.Model.fit`; what was cut off goes on at the same bits."""

import dataclasses
import os
import pathlib
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_style.embed.losses import PerceptualLoss
from tf_style.errors import InputError, TransferError
from tf_style.files import going_on_without
from tf_style.images.reading import ImageSource, as_sources
from tf_style.keras_on_tensorflow import keras
from tf_style.student import files, stored
from tf_style.student.network import Network
from tf_style.student.plan import SAVE_EVERY_SECONDS, Plan, known
from tf_style.student.prepare import PreparedTraining, prepare_training
from tf_style.student.progress import TrainingProgress, has_stalled
from tf_style.student.shape import Shape
from tf_style.student.stored import StoredStudent
from tf_style.student.student import Student
from tf_style.student.trained_model import COUNTED, PARTS, TrainedModel
from tf_style.transfer import checkpoint
from tf_style.transfer.devices import check_float32, resolve_device, resolve_precision, run_on

# Steps between two looks at a training, which can end, be saved and be seen there alone.
MAX_ROUND = 10
WARM_UP = 1 / 20


def train_student(
    styles: ImageSource | Sequence[ImageSource],
    photographs: Sequence[ImageSource],
    output: str | os.PathLike,
    *,
    resume: bool = False,
    callback: Callable[[TrainingProgress], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    **plan: Any,
) -> Student:
    """Trains a network that renders photographs in one style or several.

    Args:
      styles: As for `stylize`.
      photographs: Eight images or more; those that cannot be read are left out with a warning.
      output: A new folder, for the student and its training.
      resume: Go on with the training in `output`, which was begun with the same arguments and was cut
        off, to the same bits.
      callback: Called after every few steps.
      should_stop: Asked as often; when true the training ends there.
      **plan: The fields of `Plan`.

    Returns:
      The student.

    Raises:
      InputError: If the request cannot be carried out as it stands.
      TransferError: If the loss is no longer finite, or the student cannot be written.
    """
    asked = Plan(**plan)
    check_float32(asked.precision, resolve_device(asked.device))  # Before all is read.
    with files.held(output):
        earlier = checkpoint.load(files.checkpoints(output)) if resume else None
        if earlier is None:
            files.check_new(output)
        prepared = prepare_training(as_sources(styles), list(photographs), asked)
        training = Training(prepared, output)
        if earlier is not None:
            training.restore(earlier)
        return training.run(callback=callback, should_stop=should_stop)


class Training:
    """A training with state, which is saved in its folder now and then.

    Attributes:
      plan: What was asked for, with what was left open chosen for the device.
      device: Where it runs.
      precision: Of both networks.
      network: The student's.
      round_steps: Steps between two looks at it.
      rounds: How many of those there are.
      history: By round done, the mean of the loss and of its parts in the order of `PARTS`.
    """

    def __init__(
        self,
        prepared: PreparedTraining,
        output: str | os.PathLike,
        *,
        request: Mapping[str, Any] | None = None,
    ):
        """Builds both networks.

        Args:
          prepared: As from `prepare_training`.
          output: The folder, which is the caller's to lock.
          request: What a resumed training needs to know to be prepared again, as JSON can hold it.

        Raises:
          InputError: If TensorFlow sees no such device, or does not compute in float32 there.
        """
        self.device = resolve_device(prepared.plan.device)
        check_float32(prepared.plan.precision, self.device)
        self.plan = plan = prepared.plan.on(self.device)
        self.precision = resolve_precision(plan.precision, self.device)
        self._prepared = prepared
        self._output = pathlib.Path(output)
        steps = known(plan.steps)
        self.round_steps = max(each for each in range(1, MAX_ROUND + 1) if steps % each == 0)
        self.rounds = steps // self.round_steps
        self.history: list[tuple[float, ...]] = []
        with tf.device(self.device):
            self.network = Network(
                Shape(known(plan.channels), plan.blocks, len(prepared.styles)),
                precision=self.precision,
                seed=plan.seed,
            )
            first = PerceptualLoss(
                prepared.styles[0],
                size=None,
                precision=self.precision,
                preset=plan.objective(),
                weights=plan.weights,
            )
            others = [first.with_style(style, size=None) for style in prepared.styles[1:]]
            self._model = TrainedModel(self.network.model, [first, *others])
            warm_up = max(1, int(WARM_UP * steps))
            schedule = keras.optimizers.schedules.CosineDecay(
                0.0,
                decay_steps=max(1, steps - warm_up),
                warmup_target=plan.learning_rate,
                warmup_steps=warm_up,
            )
            self._model.compile(keras.optimizers.Adam(schedule), jit_compile=False)
            self._model.optimizer.build(self._model.trainable_variables)
        self._record = {
            "plan": dataclasses.asdict(plan),
            "request": dict(request or {}),
            "inputs": prepared.fingerprint(),
            "run_on": run_on(self.device, self.precision),
        }

    @property
    def rounds_done(self) -> int:
        """How many rounds have been made."""
        return len(self.history)

    @property
    def has_ended(self) -> bool:
        """Whether nothing is left to do."""
        totals = [losses[0] for losses in self.history]
        return self.rounds_done == self.rounds or has_stalled(totals, self.rounds)

    @property
    def is_written(self) -> bool:
        """Whether the folder holds the student so far."""
        try:
            return stored.load(self._output).steps == self.rounds_done * self.round_steps
        except InputError:
            return False

    def restore(self, found: checkpoint.Checkpoint) -> None:
        """Takes over what was saved; `run` goes on with the same bits.

        Raises:
          InputError: If it is of another training, or of another kind of machine.
        """
        plan = _through_json(self._record["plan"])
        # A file of weights may have moved: what it holds is among the inputs.
        if {**found.request.get("plan", {}), "weights": plan["weights"]} != plan:
            raise InputError("The training that was saved is of other settings.")
        if found.request.get("inputs") != self._record["inputs"]:
            raise InputError("The training that was saved is of other styles, photographs or weights.")
        # One that was begun at a shell and goes on in Python may go on there again.
        self._record["request"] = self._record["request"] or found.request.get("request", {})
        before = found.request.get("run_on", {})
        for name, value in self._record["run_on"].items():
            if before.get(name) != value:
                raise InputError(
                    f"The training was begun with {name} {before.get(name)!r}; here it is {value!r}. "
                    "Only the same goes on to the same student."
                )
        arrays = dict(found.arrays)
        history = arrays.pop("history")
        try:
            self.network.load(_under("network/", arrays))
            for name, variable in self._optimizer_variables().items():
                variable.assign(arrays[name])
        except (KeyError, ValueError) as error:
            raise InputError(f"The training that was saved is another one: {error}") from error
        self.history = [tuple(row) for row in history.tolist()]

    def save(self) -> None:
        """Saves the training so far.

        Raises:
          TransferError: If it cannot be written; what was saved before is as it was.
        """
        arrays = {f"network/{name}": value for name, value in self.network.arrays().items()}
        arrays |= {name: variable.numpy() for name, variable in self._optimizer_variables().items()}
        arrays["history"] = np.array(self.history, np.float64).reshape(-1, 1 + len(PARTS))
        checkpoint.save(files.checkpoints(self._output), arrays, self._record)

    def run(
        self,
        *,
        callback: Callable[[TrainingProgress], None] | None = None,
        should_stop: Callable[[], bool] = lambda: False,
        save_every: float = SAVE_EVERY_SECONDS,
    ) -> Student:
        """Trains until all steps are made, or it no longer improves, or it is asked to stop.

        Args:
          callback: Called after each round.
          should_stop: Asked then too.
          save_every: Seconds between two savings, at the end of a round.

        Returns:
          The student so far, which is written to the folder too.

        Raises:
          TransferError: If the loss is no longer finite, or the student cannot be written. Where a
            checkpoint cannot, there is a warning.
        """
        rounds = _Rounds(self, callback, should_stop, save_every)
        with tf.device(self.device):
            if not self.has_ended:
                try:
                    self._model.fit(
                        self._pieces(self.rounds_done * self.round_steps),
                        initial_epoch=self.rounds_done,
                        epochs=self.rounds,
                        steps_per_epoch=self.round_steps,
                        verbose=0,
                        shuffle=False,
                        callbacks=[rounds],
                    )
                except TransferError:
                    if self.history:  # What was learnt before is a student all the same.
                        stored.save(self.student().stored, self._output)
                    raise
        student = self.student()
        try:
            stored.save(student.stored, self._output)
        finally:
            with going_on_without("this checkpoint"):
                self.save()
        return student

    def student(self) -> Student:
        """The student so far."""
        plan = self.plan
        return Student(
            StoredStudent(
                arrays=self.network.arrays(),
                channels=known(plan.channels),
                blocks=plan.blocks,
                styles=self._prepared.names,
                size=plan.size,
                dial=plan.dial,
                strength=plan.one_strength,
                steps=self.rounds_done * self.round_steps,
                description={
                    "plan": dataclasses.asdict(plan),
                    "inputs": self._record["inputs"],
                    "photographs": len(self._prepared.photographs.pixels),
                },
            ),
            precision=self.precision,
            device=self.device,
        )

    def _pieces(self, first_step: int) -> tf.data.Dataset:
        """The network's inputs of each step from one on."""
        plan, photographs = self.plan, self._prepared.photographs
        batch, crop, count = known(plan.batch), known(plan.crop), len(self._prepared.styles)

        def draw(step: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            random = np.random.default_rng((plan.seed, int(step), 1))
            strength = random.uniform(0.0, 1.0, (batch, 1)) if plan.dial else plan.one_strength
            # One style a step, for what is compared with it has a shape of its own.
            style = np.eye(count, dtype=np.float32)[int(step) % count]
            return (
                photographs.batch(int(step), seed=plan.seed, crop=crop, size=batch),
                np.broadcast_to(np.float32(strength), (batch, 1)),
                np.broadcast_to(style, (batch, count)),
            )

        def inputs(step: tf.Tensor) -> dict[str, tf.Tensor]:
            pieces, strength, styles = tf.numpy_function(draw, [step], [tf.float32] * 3)
            return {
                "photographs": tf.ensure_shape(pieces, [batch, crop, crop, 3]),
                "strength": tf.ensure_shape(strength, [batch, 1]),
                "styles": tf.ensure_shape(styles, [batch, count]),
            }

        steps = tf.data.Dataset.range(first_step, known(plan.steps))
        return steps.map(inputs, num_parallel_calls=2, deterministic=True).prefetch(2)

    def _optimizer_variables(self) -> dict[str, Any]:
        variables = self._model.optimizer.variables
        return {f"optimizer/{index:03d}": variable for index, variable in enumerate(variables)}


class _Rounds(keras.callbacks.Callback):
    """Looks at a training after each round: keeps its losses, saves it, tells of it, ends it."""

    def __init__(
        self,
        training: Training,
        callback: Callable[[TrainingProgress], None] | None,
        should_stop: Callable[[], bool],
        save_every: float,
    ):
        super().__init__()
        self._training, self._callback, self._should_stop = training, callback, should_stop
        self._save_every = save_every
        self._start = self._saved = time.monotonic()
        self._first: tuple[int, float] | None = None
        self._lost = 0  # Steps in a row that were not finite.

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Looks."""
        training = self._training
        told = logs or {}
        losses = tuple(float(told[name]) for name in ("loss", *PARTS))
        counted = int(told[COUNTED])
        self._lost = 0 if counted else self._lost + training.round_steps
        if self._lost >= MAX_ROUND or not (counted or training.history):
            where = "; the student of the steps before is in its folder" if training.history else ""
            raise TransferError(
                f"The training's loss is no longer finite{where}. A lower learning rate may do"
            )
        if not counted:  # The means of nothing are 0.
            losses = training.history[-1]
        if counted < training.round_steps:
            warnings.warn(
                f"{training.round_steps - counted} of {training.round_steps} steps are left out: their "
                "loss or its gradient is not finite",
                stacklevel=2,
            )
        training.history.append(losses)
        now = time.monotonic()
        if self._first is None:  # The first round's time is mostly tracing.
            self._first = training.rounds_done, now
        is_last = training.has_ended or self._should_stop()
        if now - self._saved >= self._save_every and not is_last:
            with going_on_without("this checkpoint"):
                training.save()
            self._saved = now
        if self._callback is not None:
            self._callback(self._progress(losses, now))
        if is_last:
            training._model.stop_training = True

    def _progress(self, losses: Sequence[float], now: float) -> TrainingProgress:
        training = self._training
        rounds, since = self._first or (0, now)
        made = (training.rounds_done - rounds) * training.round_steps
        return TrainingProgress(
            step=training.rounds_done * training.round_steps,
            steps=training.rounds * training.round_steps,
            losses=dict(zip(("loss", *PARTS), losses, strict=True)),
            seconds=now - self._start,
            seconds_per_step=(now - since) / made if made else None,
            student=training.student,
        )


def _under(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)
    }


def _through_json(value: Any) -> Any:
    """What JSON makes of it: lists of tuples."""
    if isinstance(value, dict):
        return {name: _through_json(each) for name, each in value.items()}
    return [_through_json(each) for each in value] if isinstance(value, list | tuple) else value
