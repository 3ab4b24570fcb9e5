"""Scenes with known motion, for `video.py`: a crop moves over a photograph."""

import pathlib
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Frames = list[NDArray[np.uint8]]
_OCCLUDER = pathlib.Path(__file__).resolve().parent.parent / "examples" / "coffee.jpg"


def make(photograph: pathlib.Path, side: int, count: int) -> Mapping[str, Frames]:
    """Scenes by name, each of some frames of `side` x 3/4 `side` pixels."""
    with Image.open(photograph) as image:
        whole = image.convert("RGB").resize((2 * side, 3 * side // 2), Image.Resampling.LANCZOS)
    with Image.open(_OCCLUDER) as image:
        square = np.asarray(image.convert("RGB").resize((side // 4, side // 4)))
    scenes: dict[str, Callable[[int], NDArray[np.uint8]]] = {
        "pan": lambda index: _crop(whole, side, side / 6 + 1.5 * index, side / 5 + 0.5 * index),
        "zoom": lambda index: _crop(whole, side, None, None, 1.5 / 1.01**index),
        "occluder": lambda index: _with(
            square,
            _crop(whole, side, side / 6 + index, side / 5),
            side // 10 + 3 * index,
            side // 3,
        ),
        "cut": lambda index: (
            _crop(whole, side, side / 6 + index, side / 5)
            if index < count // 2
            else _crop(whole.transpose(Image.Transpose.ROTATE_180), side, index, side / 2)
        ),
        "still": lambda index: _crop(whole, side, side / 6, side / 5),
    }
    return {name: [frame(index) for index in range(count)] for name, frame in scenes.items()}


def _crop(
    whole: Image.Image, side: int, left: float | None, top: float | None, scale: float = 1.0
) -> NDArray[np.uint8]:
    """A part of a picture, at its middle where no place is named, read between its pixels."""
    width, height = scale * side, scale * side * 3 // 4
    left = (whole.width - width) / 2 if left is None else left
    top = (whole.height - height) / 2 if top is None else top
    box = (left, top, left + width, top + height)
    return np.asarray(whole.resize((side, side * 3 // 4), Image.Resampling.BICUBIC, box=box))


def _with(
    square: NDArray[np.uint8], frame: NDArray[np.uint8], left: int, top: int
) -> NDArray[np.uint8]:
    framed = frame.copy()
    visible = square[:, : max(0, frame.shape[1] - left)]
    framed[top : top + len(square), left : left + visible.shape[1]] = visible
    return framed
