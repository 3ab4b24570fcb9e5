"""What the frames made so far say of the next one: where it starts, and what it is held to."""

import collections
import dataclasses
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tf_style.video.flow import FloatArray, flow, grey, warp
from tf_style.video.reliability import likeness, reliability

# Masks, as from `masks.planes`.
Places = Sequence[NDArray[np.uint16]]
# How many frames back. The farther ones count where the nearer do not show a place: it was hidden for a
# moment. Ruder et al. look 1, 10, 20 and 40 back.
OFFSETS = (1, 4, 12)
# Less than this part of a frame that the last one shows too, and it is another shot. Measured on the
# scenes of benchmarks/video_scenes.py, of four photographs: 0.92 and more in a shot, 0.78 with noise of
# 15 levels; 0.06 and less across a cut, 0.39 and less between a photograph and a flat frame.
CUT_BELOW = 0.4
# Of the share of the earlier frames that show a place, in its weight: what has come into view is not
# done yet. Measured behind the occluder by benchmarks/video.py --constant history.POWER=2: the frames
# were 11 percent farther from the painting than made alone; so, 10, at 1.04 times the warping error.
POWER = 4
# What moves is held so much less than what stands still, where every change is seen. What a picture is
# made of changes with motion, and a style that is held cannot follow. Measured in a pan by
# benchmarks/video.py --constant history.MOVING=0.02: the last frames were a sixth farther from the
# painting than made alone; so, a twelfth, and the warping error is still a ninth of theirs.
MOVING = 0.003
# Up to about so many pixels a frame, a place stands still; and up to about so many levels a frame, the
# light does: in a fade a frame has to follow it.
STILL_PX = 0.5
STILL_LEVELS = 2.0
# Over which what was done to colours is carried to places that no frame has shown, in pixels; and over
# which a change of light is even, where noise and what flow is off by are not.
_SPREAD_PX = 12.0


@dataclasses.dataclass(frozen=True, eq=False)
class Outlook:
    """What is known of a frame before it is made.

    Attributes:
      target: The earlier frames where they are now, float32 [height, width, 3], 0..255.
      weights: How firmly the frame is to be held to the target, float32 [height, width], 0..1: not at
        all where they do not show a place or at the edges of motion, little where it moves or the light
        changes, and less where few of them show it, for it is not done yet.
      start: The target, and where there is none the source in the colours around it, likewise 0..255.
    """

    target: FloatArray
    weights: FloatArray
    start: FloatArray


class History:
    """The last frames of a shot, as they were and as they were made."""

    def __init__(self, offsets: Sequence[int] = OFFSETS, *, holds_motion: bool = False):
        """No frame yet.

        Args:
          offsets: How many frames back to look, ascending.
          holds_motion: Whether what moves is held as firmly as what stands still.
        """
        self._offsets, self._holds_motion = tuple(offsets), holds_motion
        self._frames: collections.deque = collections.deque(maxlen=max(self._offsets))

    def add(self, source: NDArray[Any], made: NDArray[np.uint8], places: Places = ()) -> None:
        """Adds a frame.

        Args:
          source: float [height, width, 3], RGB, 0..1.
          made: uint8 [height, width, 3].
          places: Its masks, as from `masks.planes`.
        """
        self._frames.append((_levels(source), made, places))

    def clear(self) -> None:
        """Forgets all: another shot begins."""
        self._frames.clear()

    def outlook(self, source: NDArray[Any], places: Places = ()) -> Outlook | None:
        """What the frames so far say of the next one.

        As by equation 9 of Ruder et al., a frame farther back has what the nearer ones leave.

        Departure: where the light changes, as in a fade, a frame is held as loosely as where it moves;
        theirs would hold it to the light before. The target itself stays: a painting is brighter by far
        less than its photograph is, so that adding the change made fades into photographs.

        Args:
          source: float [height, width, 3], RGB, 0..1.
          places: Its masks, as for `add`.

        Returns:
          None where there is no frame, or the last one is of another shot.
        """
        if not self._frames:
            return None
        # Compared as the earlier ones are kept: what rounding takes away is no change of light.
        levels = _levels(source)
        here = grey(levels / 255)
        known, weights, shown, still = (np.zeros(here.shape, np.float32) for _ in range(4))
        target = np.zeros(levels.shape, np.float32)
        # Where a shot is younger than that, its first frame is the farthest.
        offsets = list(dict.fromkeys(min(offset, len(self._frames)) for offset in self._offsets))
        for offset in offsets:
            earlier, made, its_places = self._frames[-offset]
            there = grey(earlier / 255)
            to_earlier = flow(here, there)
            alike = likeness(here, warp(there, to_earlier))
            visible, trusted = reliability(to_earlier, flow(there, here))
            visible, trusted = alike * visible, alike * trusted
            if offset == offsets[0] and visible.mean() < CUT_BELOW:
                return None
            # Where another style goes now, or none did, what was painted shows nothing of the present.
            agreement = _agreement(places, its_places, to_earlier)
            visible, trusted = agreement * visible, agreement * trusted
            left = np.maximum(visible - known, 0)
            target += left[..., np.newaxis] * warp(made, to_earlier)
            known += left
            weights += left * trusted
            if offset == offsets[0]:
                light = _spread(levels - warp(earlier, to_earlier), np.asarray(visible, np.float32))
                change = np.abs(light).max(axis=-1) / STILL_LEVELS
                motion = 0 if self._holds_motion else np.sum(np.square(to_earlier / STILL_PX), axis=-1)
                still = np.exp(-motion - np.square(change))
            shown += visible / len(offsets)
        target /= np.maximum(known, 1e-6)[..., np.newaxis]
        new = levels + _spread(target - levels, known)
        start = np.asarray(new + known[..., np.newaxis] * (target - new), np.float32)
        firmness = MOVING + (1 - MOVING) * still
        weights = np.asarray(weights * firmness * shown**POWER, np.float32)
        return Outlook(target, weights, start)


def _levels(source: NDArray[Any]) -> NDArray[np.uint8]:
    """In a fourth of the memory."""
    return np.rint(255 * source).astype(np.uint8)


def _agreement(here: Places, earlier: Places, to_earlier: FloatArray) -> FloatArray:
    """How far the masks of two frames agree, float32 [height, width], 0..1; other ones, nowhere."""
    if len(here) != len(earlier):
        return np.zeros(to_earlier.shape[:2], np.float32)
    agreement = np.ones(to_earlier.shape[:2], np.float32)
    for mask, its_mask in zip(here, earlier, strict=True):
        difference = np.abs(mask - warp(its_mask, to_earlier)) / np.float32(255)
        agreement = np.minimum(agreement, 1 - difference)
    return np.maximum(agreement, 0)


def _spread(change: FloatArray, weights: FloatArray) -> FloatArray:
    """A change of colours carried from where it is known to everywhere."""

    def smooth(plane: NDArray[Any]) -> FloatArray:
        blurred = cv2.GaussianBlur(
            np.asarray(plane, np.float32), (0, 0), _SPREAD_PX, borderType=cv2.BORDER_REPLICATE
        )
        return np.asarray(blurred, np.float32)

    # A little everywhere, that places far from all others have the mean.
    weights = weights + np.float32(1e-4)
    return smooth(change * weights[..., np.newaxis]) / smooth(weights)[..., np.newaxis]
