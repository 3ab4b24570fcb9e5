"""The model that `keras.Model.fit` trains: a student with its losses."""

from collections.abc import Sequence

import tensorflow as tf

from tf_style.embed.losses import PerceptualLoss
from tf_style.keras_on_tensorflow import keras
from tf_style.objective.presets import strength_factors

# The parts of the loss, in the order in which `PerceptualLoss.parts` has them.
PARTS = ("content", "style", "tv")


class TrainedModel(keras.Model):
    """The network with the loss of each style, as `fit` takes it."""

    def __init__(self, network: keras.Model, losses: Sequence[PerceptualLoss]):
        """Takes a student's model, and the loss of each of its styles."""
        super().__init__(network.input, network.output, name="training")
        self._style_losses = tuple(losses)
        self._parts = [keras.metrics.Mean(name) for name in PARTS]

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The mean of the pieces' losses, at the strengths and in the style that they are to have."""
        photographs = x["photographs"]
        made = [
            lambda loss=loss: loss.parts(photographs, y_pred)  # The style that they all have.
            for loss in self._style_losses
        ]
        parts = (
            made[0]()
            if len(made) == 1
            else tf.switch_case(tf.argmax(x["styles"][0], output_type=tf.int32), made)
        )
        parts *= tf.stack(strength_factors(x["strength"][:, 0]), axis=1)
        for metric, part in zip(self._parts, tf.unstack(parts, axis=1), strict=True):
            metric.update_state(part)
        return tf.reduce_mean(tf.reduce_sum(parts, axis=1))
