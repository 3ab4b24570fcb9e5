"""The frames of a video by optimisation, each from the last one."""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from tf_style.errors import TransferError
from tf_style.images.picture import Picture
from tf_style.optimize.status import Status
from tf_style.transfer.masks import Masks
from tf_style.transfer.prepare import PreparedInputs
from tf_style.transfer.transfer import StyleTransfer
from tf_style.video.frame_inputs import FrameInputs
from tf_style.video.history import History, Outlook
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
        inputs: FrameInputs,
        *,
        make_transfer: Callable[..., StyleTransfer] = StyleTransfer,
        should_stop: Callable[[], bool] = lambda: False,
    ):
        """Takes what all frames have in common.

        Args:
          inputs: The styles and the settings.
          make_transfer: Makes a `StyleTransfer`; one that looks at the memory, say.
          should_stop: As of `StyleTransfer.run`.
        """
        self._inputs, self._make_transfer, self._should_stop = inputs, make_transfer, should_stop
        self._history = History()
        self._shot = Shot()
        # The shot's first frame, and what was prepared of it.
        self._first: tuple[Picture, Masks | None] | None = None
        self._first_inputs: PreparedInputs | None = None
        self._transfer: StyleTransfer | None = None

    def make(self, source: Picture, masks: Masks | None = None) -> MadeFrame | None:
        """As `FrameMaker.make`."""
        places = self._inputs.places(source, masks)
        outlook = self._history.outlook(source.pixels, places)
        inputs = None if outlook is None else self._next_inputs(source, masks, outlook)
        if inputs is None:
            transfer = self._begin_shot(source, masks)
        else:
            transfer = self._go_on(inputs)
        self._transfer = transfer
        result = transfer.run(should_stop=self._should_stop)
        if result.status == Status.INTERRUPTED:
            return None
        if result.status.is_failure or result.final is None:
            raise TransferError(f"A frame was not made: {result.status.text}.")
        if inputs is None:
            unit = transfer.content_unit
            self._shot = Shot(result.final.loss, None if unit is None else float(unit[0]))
        painting = None
        if transfer.inputs.painted is not None:
            painting = _levels(transfer.read_painting())
        made = MadeFrame(_levels(result.image), inputs is None, self._shot, painting)
        self._history.add(source.pixels, made.goes_on_from, places)
        return made

    def take_over(self, source: Picture, made: MadeFrame, masks: Masks | None = None) -> None:
        """As `FrameMaker.take_over`."""
        if made.begins_shot:
            self._history.clear()
            self._first, self._first_inputs = (source, masks), None
        self._shot = made.shot
        self._history.add(source.pixels, made.goes_on_from, self._inputs.places(source, masks))

    def _begin_shot(self, source: Picture, masks: Masks | None) -> StyleTransfer:
        self._history.clear()
        self._first = source, masks
        self._first_inputs = self._inputs.first(source, masks)
        return self._make_transfer(self._first_inputs, like=self._transfer)

    def _next_inputs(
        self, source: Picture, masks: Masks | None, outlook: Outlook
    ) -> PreparedInputs | None:
        """The inputs of a frame that goes on.

        None where its masks have other regions than before, or it is the first in which a style has a
        place: until then there is no unit of the content loss, and no loss to hold it by.
        """
        if self._first_inputs is None:  # It was made earlier.
            if self._first is None:
                raise ValueError("The first frame that was taken over begins no shot.")
            self._first_inputs = self._inputs.first(*self._first)
        first = self._first_inputs
        inputs = self._inputs.next(source, masks, first=first, shot=self._shot, outlook=outlook)
        before, here = (
            (len(each.levels[0].regions), each.levels[0].content_weights is None)
            for each in (first, inputs)
        )
        is_first = not _has_place(first) and _has_place(inputs)
        return inputs if before == here and not is_first else None

    def _go_on(self, inputs: PreparedInputs) -> StyleTransfer:
        if self._transfer is not None:
            self._transfer.next_frame(inputs)
            return self._transfer
        unit = self._shot.content_unit
        return self._make_transfer(
            inputs, content_unit=None if unit is None else np.array([unit], np.float32)
        )


def _has_place(inputs: PreparedInputs) -> bool:
    """Whether any style goes anywhere."""
    return inputs.painted is None or bool(inputs.painted.any())


def _levels(picture: np.ndarray) -> np.ndarray:
    return np.rint(255 * picture).astype(np.uint8)
