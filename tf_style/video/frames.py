"""The frames of a video by optimisation, each from the last one."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from tf_style.errors import TransferError
from tf_style.images.picture import Picture
from tf_style.optimize.status import Status
from tf_style.transfer import kept_colours
from tf_style.transfer.masks import Masks
from tf_style.transfer.prepare import EarlierFrames, PreparedInputs, prepare
from tf_style.transfer.result import Progress
from tf_style.transfer.settings import Settings
from tf_style.transfer.transfer import StyleTransfer
from tf_style.video.flow import grey
from tf_style.video.history import History, Outlook
from tf_style.video.options import VideoOptions
from tf_style.video.shot import MadeFrame, Shot


class FrameMaker(Protocol):
    """Makes frames in order; some may have been made before."""

    def make(self, source: Picture, masks: Masks | None = None) -> MadeFrame | None:
        """The next frame.

        Args:
          source: It, at the size to make.
          masks: Of it.

        Returns:
          The frame, or None if it was to stop.

        Raises:
          InputError: If masks do not fit.
          TransferError: If it cannot be made.
        """
        ...

    def take_over(self, source: Picture, made: MadeFrame, masks: Masks | None = None) -> None:
        """Goes on as if it had just made this frame.

        Args:
          source: As for `make`.
          made: What `make` returned.
          masks: As for `make`.
        """
        ...


class FrameStylizer:
    """As `FrameMaker`.

    The first frame of a shot is made as a picture is, coarse to fine. Another starts from the last one,
    warped, is held to the earlier ones where they show the same (Ruder et al., 2016), and makes few
    iterations at its full size, in the same graphs, with the same targets of the styles.

    Departure: where no earlier frame shows a place, it starts from the source in the colours around it;
    Ruder et al. warp what is elsewhere.
    """

    def __init__(
        self,
        styles: Sequence[Any],
        settings: Settings,
        options: VideoOptions,
        *,
        make_transfer: Callable[..., StyleTransfer] = StyleTransfer,
        callback: Callable[[Progress], None] | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ):
        """Takes what all frames have in common.

        Args:
          styles: Pictures, as for `prepare`.
          settings: Of each frame; its size is the source's.
          options: How frames go on.
          make_transfer: Makes a `StyleTransfer`; one that looks at the memory, say.
          callback: As of `StyleTransfer.run`.
          should_stop: Likewise.
        """
        self._styles, self._settings, self._options = styles, settings, options
        self._make_transfer = make_transfer
        self._callback, self._should_stop = callback, should_stop
        self._history = History()
        self._shot = Shot()
        # The shot's first frame, and what was prepared of it.
        self._first: tuple[Picture, Masks | None] | None = None
        self._first_inputs: PreparedInputs | None = None
        self._transfer: StyleTransfer | None = None

    def make(self, source: Picture, masks: Masks | None = None) -> MadeFrame | None:
        """As `FrameMaker.make`."""
        here = grey(source.pixels)
        outlook = self._history.outlook(here, 255 * source.pixels)
        if outlook is None:
            self._history.clear()
            self._first = source, masks
            self._first_inputs = self._prepare_first()
            self._transfer = self._make_transfer(self._first_inputs, like=self._transfer)
        else:
            self._enter_next(source, masks, outlook)
        transfer = self._transfer
        if transfer is None:
            raise ValueError("There is no transfer to run.")
        result = transfer.run(callback=self._callback, should_stop=self._should_stop)
        if result.status == Status.INTERRUPTED:
            return None
        if result.status.is_failure or result.final is None:
            raise TransferError(f"A frame was not made: {result.status.text}.")
        if outlook is None:
            unit = transfer.content_unit
            self._shot = Shot(result.final.loss, None if unit is None else float(unit[0]))
        made = MadeFrame(np.rint(255 * result.image).astype(np.uint8), outlook is None, self._shot)
        self._history.add(here, made.pixels)
        return made

    def take_over(self, source: Picture, made: MadeFrame, masks: Masks | None = None) -> None:
        """As `FrameMaker.take_over`."""
        if made.begins_shot:
            self._history.clear()
            self._first, self._first_inputs = (source, masks), None
        self._shot = made.shot
        self._history.add(grey(source.pixels), made.pixels)

    def _prepare_first(self) -> PreparedInputs:
        if self._first is None:
            raise ValueError("A shot has begun before its first frame.")
        source, masks = self._first
        return prepare_first(source, self._styles, self._settings, masks)

    def _enter_next(self, source: Picture, masks: Masks | None, outlook: Outlook) -> None:
        first = self._first_inputs = self._first_inputs or self._prepare_first()
        iterations = self._options.frame_iterations
        settings = dataclasses.replace(self._settings, levels=1, iterations=iterations)
        inputs = prepare(
            source,
            self._styles,
            _at_size_of(source, settings),
            masks=masks,
            objective=dataclasses.replace(first.preset, init="content"),
            like=first,
        )
        # As what is optimised has them, which may be grey.
        keep = settings.keep_colors
        start, target = (
            kept_colours.of_photograph(keep, each) for each in (outlook.start, outlook.target)
        )
        weights = self._shot.weights(outlook.weights, self._options.temporal_weight)
        inputs = dataclasses.replace(
            inputs, initial=start, earlier_frames=EarlierFrames(target, weights)
        )
        if self._transfer is None:
            unit = self._shot.content_unit
            self._transfer = self._make_transfer(
                inputs, content_unit=None if unit is None else np.array([unit], np.float32)
            )
        else:
            self._transfer.next_frame(inputs)


def prepare_first(
    source: Picture, styles: Sequence[Any], settings: Settings, masks: Masks | None = None
) -> PreparedInputs:
    """The inputs of a shot's first frame; arguments as for `FrameStylizer`.

    Raises:
      InputError: If pictures, masks and settings do not fit together.
    """
    inputs = prepare(source, styles, _at_size_of(source, settings), masks=masks)
    return dataclasses.replace(inputs, earlier_frames=EarlierFrames.none())


def _at_size_of(source: Picture, settings: Settings) -> Settings:
    return dataclasses.replace(settings, size=max(source.height, source.width), size_of="long")
