"""What a frame's optimisation works on. No TensorFlow here."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tf_style.images.picture import Picture
from tf_style.transfer import kept_colours
from tf_style.transfer.masks import Masks
from tf_style.transfer.prepare import EarlierFrames, PreparedInputs, prepare
from tf_style.transfer.settings import Settings
from tf_style.video.history import Outlook
from tf_style.video.masks import planes
from tf_style.video.options import VideoOptions
from tf_style.video.shot import Shot


@dataclasses.dataclass(frozen=True, eq=False)
class FrameInputs:
    """What all frames of a video have in common.

    Attributes:
      styles: Their pictures, as for `prepare`.
      settings: Of each frame, whose size is the source's.
      options: How frames go on from each other.
    """

    styles: Sequence[Picture | None]
    settings: Settings
    options: VideoOptions

    def first(
        self, source: Picture, masks: Masks | None = None, *, may_be_empty: bool = True
    ) -> PreparedInputs:
        """Those of a shot's first frame.

        Args:
          source: The frame, at the size to make.
          masks: Of it.
          may_be_empty: As for `prepare`.

        Raises:
          InputError: If pictures, masks and settings do not fit together.
        """
        inputs = prepare(
            source,
            self.styles,
            _at_size_of(source, self.settings),
            masks=masks,
            may_be_empty=may_be_empty,
        )
        return _with_earlier(inputs, EarlierFrames.none())

    def next(
        self,
        source: Picture,
        masks: Masks | None,
        *,
        first: PreparedInputs,
        shot: Shot,
        outlook: Outlook,
    ) -> PreparedInputs:
        """Those of another one: at its full size alone, from what the earlier ones show.

        Args:
          source: The frame, at the size to make.
          masks: Of it.
          first: The shot's first frame's.
          shot: Its numbers.
          outlook: What the earlier frames say.

        Raises:
          InputError: If pictures, masks and settings do not fit together.
        """
        iterations = self.options.frame_iterations
        settings = dataclasses.replace(self.settings, levels=1, iterations=iterations)
        inputs = prepare(
            source,
            self.styles,
            _at_size_of(source, settings),
            masks=masks,
            objective=dataclasses.replace(first.preset, init="content"),
            like=first,
            may_be_empty=True,
        )
        # As what is optimised has it, which may be grey.
        target, start = (
            kept_colours.of_photograph(settings.keep_colors, each)
            for each in (outlook.target, outlook.start)
        )
        weights = shot.weights(outlook.weights, self.options.temporal_weight)
        inputs = _with_earlier(inputs, EarlierFrames(target, weights))
        return dataclasses.replace(inputs, initial=start)

    def places(self, source: Picture, masks: Masks | None) -> list[NDArray[np.uint16]]:
        """The masks of a frame, as from `masks.planes`."""
        return planes(masks, source.height, source.width, num_styles=len(self.styles))


def _with_earlier(inputs: PreparedInputs, earlier: EarlierFrames) -> PreparedInputs:
    levels = tuple(dataclasses.replace(each, earlier_frames=earlier) for each in inputs.levels)
    return dataclasses.replace(inputs, levels=levels)


def _at_size_of(source: Picture, settings: Settings) -> Settings:
    return dataclasses.replace(settings, size=max(source.height, source.width), size_of="long")
