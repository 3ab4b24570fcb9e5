"""A trained student: pictures in its styles, each in one pass of its network."""

import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tf_style.embed.pixel_range import check_pictures, check_scale
from tf_style.errors import InputError
from tf_style.student import memory, stored, tiles
from tf_style.student.margin import with_margin, without_margin
from tf_style.student.network import Network
from tf_style.student.stored import StoredStudent
from tf_style.transfer.devices import resolve_device, resolve_precision


class Student:
    """A network that renders pictures in the styles that it has learnt.

    Attributes:
      stored: What it is.
      network: The network, with its weights.
      device: Where it runs.
      precision: Of the network, "float32" or "bfloat16".
    """

    def __init__(self, stored: StoredStudent, *, precision: str = "auto", device: str | None = None):
        """Builds the network.

        Args:
          stored: As from `stored.load`.
          precision: "float32", "bfloat16", or "auto" for bfloat16 where that is fast.
          device: A TensorFlow device; None for the first GPU, or else the CPU.

        Raises:
          InputError: If there is no such device, or the weights are another network's.
        """
        self.stored = stored
        self.device = resolve_device(device)
        self.precision = resolve_precision(precision, self.device)
        with tf.device(self.device):
            self.network = Network(stored.shape, precision=self.precision)
            try:
                self.network.load(stored.arrays)
            except ValueError as error:
                raise InputError(f"The student's weights are another network's: {error}") from error
        # Run eagerly, Keras keeps each layer's output until the picture is there.
        self._whole = tf.function(
            self._rendered,
            input_signature=[
                tf.TensorSpec([1, None, None, 3]),
                tf.TensorSpec([1, 1]),
                tf.TensorSpec([1, len(stored.styles)]),
            ],
            autograph=False,
        )

    @classmethod
    def load(cls, path: str | os.PathLike, **options) -> "Student":
        """Reads a student by its folder.

        Args:
          path: As `train_student` or `stylize-train` wrote it.
          **options: As for `Student`.

        Raises:
          InputError: If there is none that is whole.
        """
        return cls(stored.load(path), **options)

    def __call__(
        self,
        pictures: tf.Tensor,
        strength: float | tf.Tensor | None = None,
        style_blend: Sequence[float] | tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Renders pictures, eagerly or in a graph.

        Args:
          pictures: float32 [batch, height, width, 3], RGB, 0..1, of any size from `MIN_SIDE_PX`.
          strength: From 0, the photograph, to 1; None for the one that was learnt, or 0.5. A tensor is
            [batch].
          style_blend: A weight for each style, of any sum; None for equal parts. A tensor is
            [batch, styles], of sum 1.

        Returns:
          Likewise, in 0..1.

        Raises:
          InputError: If the student has learnt one strength or one style, and another is asked for; or
            if pictures are no floats, or eagerly in 0..255, or more than can be padded at once.
        """
        pictures = tf.convert_to_tensor(pictures)
        check_scale(pictures)
        pictures = tf.cast(pictures, tf.float32)
        count, height, width, _ = pictures.shape
        if None not in (count, height, width):
            memory.check_at_once(self.stored, height, width, None, count=count)
        conditions = self.conditions(tf.shape(pictures)[0], strength, style_blend)
        return self._rendered(pictures, conditions["strength"], conditions["styles"])

    def conditions(self, count, strength=None, style_blend=None) -> dict[str, tf.Tensor]:
        """The network's inputs beside the pictures, for so many of them; arguments as for a call."""
        if not tf.is_tensor(strength):
            strength = tf.fill([count], tf.constant(self.stored.resolve_strength(strength)))
        if not tf.is_tensor(style_blend):
            weights = tf.constant([self.stored.resolve_blend(style_blend)])
            style_blend = tf.repeat(weights, count, axis=0)
        return {"strength": strength[:, tf.newaxis], "styles": style_blend}

    def render(
        self,
        picture: np.ndarray,
        *,
        strength: float | None = None,
        style_blend: Sequence[float] | None = None,
        tile_px: int | None = None,
    ) -> np.ndarray:
        """Renders one picture, by tiles where they are asked for.

        Args:
          picture: float [height, width, 3], RGB, 0..1.
          strength: As for a call.
          style_blend: Likewise.
          tile_px: A tile's side in pixels; None for the picture as a whole.

        Returns:
          float32 of its shape, 0..1.

        Raises:
          InputError: As for a call, or if the picture is too small, or no floats in 0..1.
        """
        picture = _checked(picture)
        memory.check_at_once(self.stored, *picture.shape[:2], tile_px)
        with tf.device(self.device):
            conditions = self.conditions(1, strength, style_blend)
            if tile_px is None:
                batch = tf.constant(picture[np.newaxis])
                return self._whole(batch, conditions["strength"], conditions["styles"])[0].numpy()
            return tiles.render(self.network, picture, conditions, tile_px)

    def _rendered(self, pictures: tf.Tensor, strength: tf.Tensor, styles: tf.Tensor) -> tf.Tensor:
        made = self.network.model(
            {"photographs": with_margin(pictures), "strength": strength, "styles": styles}
        )
        made = without_margin(made, tf.shape(pictures)[1], tf.shape(pictures)[2])
        made = tf.clip_by_value(made, 0.0, 1.0)
        made.set_shape(pictures.shape)
        return made


def _checked(picture: np.ndarray) -> np.ndarray:
    """A picture in float32.

    Raises:
      InputError: If it is none, or not in 0..1, or too small.
    """
    picture = np.asarray(picture)
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype.kind != "f":
        raise InputError(
            "A picture is floats [height, width, 3] in 0..1. "
            f"Received: shape={picture.shape}, dtype={picture.dtype}"
        )
    stored.check_picture(*picture.shape[:2])
    picture = np.float32(picture)
    check_pictures(picture)
    return picture
