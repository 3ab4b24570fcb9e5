"""The sizes that a Stylizer makes pictures and styles of in a graph, and which of them it can take."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from tf_style.errors import InputError
from tf_style.network.architecture import min_side_px
from tf_style.objective.presets import Preset
from tf_style.transfer import pyramid
from tf_style.transfer.settings import Settings

MAX_PIXELS = 100_000_000


class Requirement(NamedTuple):
    """Something that must hold of a picture's size or of a style's.

    Attributes:
      holds: A scalar bool.
      subject: 0 for the picture, 1 for the first style, and so on.
      size: int32 [2], what is required of: height and width at a working size.
      text: What does not hold otherwise, to follow the subject's name.
    """

    holds: tf.Tensor
    subject: int
    size: tf.Tensor
    text: str


class WorkingSizes:
    """Sizes as int32 [2], height and width, that may be known only when the graph runs."""

    def __init__(self, preset: Preset, settings: Settings, *, has_size: bool):
        """Takes the objective and the settings, and whether pictures are resized at all."""
        self._preset = preset
        self._settings = settings
        self._has_size = has_size

    def of_picture(self, own: tf.Tensor) -> tf.Tensor:
        """That of a picture whose own size is given."""
        if not self._has_size:
            return own
        height, width = tf.unstack(tf.cast(own, tf.float32))
        side = {
            "long": tf.maximum(height, width),
            "short": tf.minimum(height, width),
            "area": tf.sqrt(height * width),
        }[self._settings.size_of]
        return _scaled(own, self._settings.size / side)

    def of_style(self, own: tf.Tensor, picture: tf.Tensor, index: int) -> tf.Tensor:
        """That of a style, by its place among them, for a picture at a working size."""
        if self._preset.style_fit == "stretch":
            return picture
        height, width = tf.unstack(tf.cast(picture, tf.float32))
        side = tf.round(tf.sqrt(height * width) * self._settings.style_scale_of(index))
        height, width = tf.unstack(tf.cast(own, tf.float32))
        return _scaled(own, tf.maximum(1.0, side) / tf.sqrt(height * width))

    def levels(self, picture: tf.Tensor, iterations: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """The sizes from coarse to fine of a picture at its working size.

        Args:
          picture: Its size.
          iterations: A scalar: there are no more sizes than these.

        Returns:
          How many there are, a scalar float64, and float64 [2, MAX_LEVELS]: heights and widths, the
          largest first.
        """
        height, width = tf.unstack(tf.cast(picture, tf.float64))
        sides = tf.stack([pyramid.sides(side, self._preset, tf) for side in (height, width)])
        if self._settings.levels == 1:
            return tf.ones([], tf.float64), sides
        iterations = tf.cast(iterations, tf.float64)
        count = pyramid.count_levels(height, width, self._preset, iterations=iterations, xp=tf)
        return count, sides

    def margin(self, pictures: tf.Tensor) -> int | tf.Tensor:
        """What they have around them while they are optimised, in pixels; a scalar."""
        height, width = pictures.shape[1:3]
        if height is not None and width is not None:
            return pyramid.margin(height, width, self._preset)
        return tf.minimum(tf.reduce_min(tf.shape(pictures)[1:3]), self._preset.margin_px)

    def requirements(
        self, picture: tf.Tensor, styles: Sequence[tf.Tensor], iterations: Any
    ) -> Iterator[Requirement]:
        """What must hold for a picture to be made.

        Args:
          picture: Its working size.
          styles: The styles' own sizes.
          iterations: As for `levels`.

        Yields:
          The requirements, the picture's first.
        """
        yield from self._requirements(0, picture, picture)
        count, sides = self.levels(picture, iterations)
        coarsest = tf.cast(sides[:, tf.cast(count, tf.int32) - 1], tf.int32)
        for index, own in enumerate(styles):
            smallest, largest = (self.of_style(own, size, index) for size in (coarsest, picture))
            yield from self._requirements(index + 1, smallest, largest)

    def _requirements(
        self, subject: int, smallest: tf.Tensor, largest: tf.Tensor
    ) -> Iterator[Requirement]:
        least = min_side_px(self._preset.layers)
        text = f"is too small: the deepest layer used needs {least} pixels in each direction"
        yield Requirement(tf.reduce_min(smallest) >= least, subject, smallest, text)
        is_small = largest[0] <= MAX_PIXELS // tf.maximum(largest[1], 1)
        text = f"is too large: at most {MAX_PIXELS} pixels in all are worked on"
        yield Requirement(is_small, subject, largest, text)


def require(requirements: Iterable[Requirement]) -> list[tf.Operation]:
    """Refuses what does not hold: eagerly at once, in a graph when it runs.

    Returns:
      In a graph the assertions to depend on; eagerly none.

    Raises:
      InputError: Eagerly.
    """
    assertions = []
    for holds, subject, size, text in requirements:
        text = f"A {'style image' if subject else 'picture'} {text}."
        if not tf.executing_eagerly():
            assertions.append(tf.debugging.Assert(holds, [text, "Received: height and width", size]))
        elif not bool(holds):
            height, width = size.numpy()
            raise InputError(f"{text} Received: {width} x {height} pixels at a working size")
    return assertions


def _scaled(size: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    sides = tf.round(tf.cast(size, tf.float32) * factor)
    # A side beyond all limits must remain one as a whole number.
    return tf.cast(tf.clip_by_value(sides, 1.0, float(MAX_PIXELS)), tf.int32)
