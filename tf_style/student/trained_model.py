"""The model that `keras.Model.fit` trains: a student with its losses."""

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from tf_style.embed.losses import PerceptualLoss
from tf_style.keras_on_tensorflow import keras
from tf_style.objective.presets import strength_factors
from tf_style.student.margin import with_margin, without_margin
from tf_style.student.shape import STRIDE

# The parts of the loss, in the order in which `PerceptualLoss.parts` has them.
PARTS = ("content", "style", "tv")
# What `fit` tells beside the losses: how many steps they are of.
COUNTED = "counted"
# Of the pattern's mean square, relative to the loss. Measured on the Starry Night at 256 pixels after
# 3600 steps, by the peaks of benchmarks/student.py: without it the power at 1/4 cycle a pixel was 17
# to 23 times that around it; with a period of 4 pixels, 0.8 to 1.6 times, at a loss 2 percent lower,
# but 2 to 6 times at 1/8 cycle, which 300 more steps with a period of 8 took down to 2 to 4.
GRID_WEIGHT = 500.0
# Side in pixels of the parts in which a pattern is looked for; it may be another in the next.
GRID_PART_PX = 96
# Of a texture as fine as the network's deepest layers hold, and of what ReLUs make of that.
PERIOD_PX = 2 * STRIDE


def grid_pattern(pictures: tf.Tensor) -> tf.Tensor:
    """The mean square of what is locked to the network's grid in pictures; in what is painted, none is.

    A texture almost as fine as the network's deepest layers hold has one of two places on their grid,
    and the ReLUs make of it what repeats twice as often: dots, which no style loss minds.

    Args:
      pictures: [batch, side, side, 3] in 0..1, the side a multiple of 16.
    """
    # What has not that period is taken away: what is left repeats, or is a mean of nothing.
    fine = pictures - tf.nn.avg_pool2d(pictures, PERIOD_PX, 1, "SAME")
    batch, side, _, channels = fine.shape
    part = min(GRID_PART_PX, side)
    count = side // part
    fine = fine[:, : count * part, : count * part]
    split = [count, part // PERIOD_PX, PERIOD_PX]
    places = tf.reduce_mean(tf.reshape(fine, [batch, *split, *split, channels]), axis=[2, 5])
    places -= tf.reduce_mean(places, axis=[2, 4], keepdims=True)
    return tf.reduce_mean(tf.square(places))


class TrainedModel(keras.Model):
    """The network with the loss of each style, as `fit` takes it."""

    def __init__(self, network: keras.Model, losses: Sequence[PerceptualLoss]):
        """Takes a student's model, and the loss of each of its styles."""
        super().__init__(network.input, network.output, name="training")
        self._style_losses = tuple(losses)
        self._means = [keras.metrics.Mean(name) for name in ("loss", *PARTS)]
        self._counted = keras.metrics.Sum(COUNTED)

    def train_step(self, data: tuple[Mapping[str, tf.Tensor]]) -> dict[str, Any]:
        """One step of the optimiser; one whose loss or gradient is not finite changes little.

        Its gradient counts as 0, and it not at all among the losses: a single NaN in a weight would
        be the end of the training, and of what is saved of it. All others count alike, whatever their
        gradient's norm: pieces with little in them, whose variances instance normalisation divides by,
        have 10 times the others', and would be all that is learnt.
        """
        inputs, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        weights = [variable.value for variable in self.trainable_variables]
        with tf.GradientTape() as tape:
            pictures = self._rendered(inputs)
            parts = self._parts(inputs, pictures)
            loss = tf.reduce_sum(parts)
            total = loss + GRID_WEIGHT * tf.stop_gradient(loss) * grid_pattern(pictures)
        gradients = tape.gradient(total, weights)
        is_finite = tf.reduce_all(
            [tf.reduce_all(tf.math.is_finite(each)) for each in (loss, *gradients)]
        )
        norm = tf.maximum(tf.linalg.global_norm(gradients), 1e-30)
        gradients = [tf.where(is_finite, each / norm, tf.zeros_like(each)) for each in gradients]
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        count = tf.cast(is_finite, tf.float32)
        for metric, value in zip(self._means, (loss, *tf.unstack(parts)), strict=True):
            metric.update_state(tf.where(is_finite, value, 0.0), sample_weight=count)
        self._counted.update_state(count)
        return {metric.name: metric.result() for metric in (*self._means, self._counted)}

    def _rendered(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """The pieces' pictures, as `Student` makes them but for what is out of 0..1."""
        photographs = inputs["photographs"]
        made = self({**inputs, "photographs": with_margin(photographs)}, training=True)
        return without_margin(made, *photographs.shape[1:3])

    def _parts(self, inputs: Mapping[str, tf.Tensor], pictures: tf.Tensor) -> tf.Tensor:
        """The parts of the pieces' loss, at their strengths and in the style that all have: [3]."""
        made = [
            lambda loss=loss: loss.parts(inputs["photographs"], pictures) for loss in self._style_losses
        ]
        parts = (
            made[0]()
            if len(made) == 1
            else tf.switch_case(tf.argmax(inputs["styles"][0], output_type=tf.int32), made)
        )
        factors = tf.stack(strength_factors(inputs["strength"][:, 0]), axis=1)
        return tf.reduce_mean(parts * factors, axis=0)
