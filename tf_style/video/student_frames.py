"""The frames of a video by a student: each in one pass, and smoothed over time."""

import numpy as np

from tf_style.images.picture import Picture
from tf_style.student.student import Student
from tf_style.transfer import kept_colours
from tf_style.transfer.masks import Masks
from tf_style.transfer.settings import Settings
from tf_style.video.history import History
from tf_style.video.options import VideoOptions
from tf_style.video.shot import MadeFrame, Shot


class StudentFrames:
    """As `FrameMaker`: what the student makes of a frame is mixed with the earlier ones, warped.

        x = (s + w c t) / (1 + w c)

    minimises |x - s|^2 + w c |x - t|^2, the temporal loss with the student's picture s in place of the
    objective.
    """

    def __init__(
        self, student: Student, settings: Settings, options: VideoOptions, *, tile_px: int | None = None
    ):
        """Takes what all frames have in common.

        Args:
          student: Who makes them.
          settings: Those of a student have an effect.
          options: Their `temporal_weight` is w.
          tile_px: As of `Student.render`.
        """
        self._student, self._settings, self._tile_px = student, settings, tile_px
        self._weight = options.temporal_weight
        # What it makes of two frames is alike, so that their mean is hardly blurred. Measured by
        # benchmarks/video.py --student: a quarter to a third of the warping error, 0.7 to 1.5
        # percent farther from the painting; held as loosely as the optimiser's frames, nearly all of
        # the error.
        self._history = History(holds_motion=True)

    def make(self, source: Picture, masks: Masks | None = None) -> MadeFrame | None:
        """As `FrameMaker.make`."""
        picture = self._render(source.pixels)
        outlook = self._history.outlook(source.pixels)
        if outlook is None:
            self._history.clear()
        else:
            pull = np.float32(self._weight) * outlook.weights[..., np.newaxis]
            picture = (picture + pull * outlook.target) / (1 + pull)
        made = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
        self._history.add(source.pixels, made)
        return MadeFrame(made, outlook is None, Shot())

    def take_over(self, source: Picture, made: MadeFrame, masks: Masks | None = None) -> None:
        """As `FrameMaker.take_over`."""
        if made.begins_shot:
            self._history.clear()
        self._history.add(source.pixels, made.pixels)

    def _render(self, photograph: np.ndarray) -> np.ndarray:
        """The student's picture, float32 [height, width, 3], 0..255."""
        settings = self._settings
        made = 255 * self._student.render(
            photograph,
            strength=settings.strength,
            style_blend=settings.style_blend,
            tile_px=self._tile_px,
        )
        if settings.keep_colors is None:
            return made
        return kept_colours.of_result(settings.keep_colors, made, 255 * photograph)
