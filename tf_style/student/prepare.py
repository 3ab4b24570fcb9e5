"""What a student's training works on: its styles and its photographs. No TensorFlow here."""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from tf_style.errors import InputError
from tf_style.files import shown
from tf_style.images.picture import Picture, resize, working_size
from tf_style.images.reading import ImageSource, as_picture
from tf_style.network.architecture import check_size
from tf_style.network.weights import Weights, load_for
from tf_style.student.photographs import LEAST, Photographs, read_photographs
from tf_style.student.plan import Plan


@dataclasses.dataclass(frozen=True, eq=False)
class PreparedTraining:
    """Styles and photographs, ready to learn from.

    Attributes:
      plan: What was asked for.
      styles: Each uint8 [height, width, 3], at its size in training.
      names: Of the styles, for people.
      photographs: Those to learn from.
      weights: Of the loss's network.
    """

    plan: Plan
    styles: tuple[NDArray[np.uint8], ...]
    names: tuple[str, ...]
    photographs: Photographs
    weights: Weights

    def fingerprint(self) -> dict[str, object]:
        """SHA-256 of all that goes into a training."""
        weights = hashlib.sha256()
        for name, arrays in self.weights.items():
            weights.update(name.encode() + b"".join(array.tobytes() for array in arrays))
        return {
            "styles": [hashlib.sha256(style.tobytes()).hexdigest() for style in self.styles],
            "photographs": self.photographs.sha256,
            "weights": weights.hexdigest(),
        }


def prepare_training(
    styles: Sequence[ImageSource],
    photographs: Sequence[ImageSource],
    plan: Plan,
    *,
    read: Callable[[ImageSource], Picture] = as_picture,
) -> PreparedTraining:
    """Reads what a student is to learn from.

    Args:
      styles: One image or several, as for `stylize`.
      photographs: `LEAST` images or more; those that cannot be read are left out with a warning.
      plan: What was asked for.
      read: Turns each source into a picture.

    Raises:
      InputError: If a style cannot be read or is too narrow, or there are too few photographs.
    """
    if not styles:
        raise InputError("A student learns one style or more. Received: none")
    if len(photographs) < LEAST:  # Before any of them is read.
        read_photographs(photographs, size=plan.size, seed=plan.seed, read=read)
    preset = plan.objective()
    return PreparedTraining(
        plan=plan,
        styles=tuple(_fitted(read(style), plan.size, preset.layers) for style in styles),
        names=tuple(_name(index, style) for index, style in enumerate(styles)),
        weights=load_for(preset, plan.weights),
        photographs=read_photographs(photographs, size=plan.size, seed=plan.seed, read=read),
    )


def _name(index: int, style: ImageSource) -> str:
    """Of a style, for people."""
    if isinstance(style, str | os.PathLike):
        return shown(pathlib.Path(style).name)
    return f"style {index}"


def _fitted(picture: Picture, size: int, layers: Sequence[str]) -> NDArray[np.uint8]:
    height, width = working_size(picture.height, picture.width, size, "area")
    check_size(layers, height, width, "A style image")
    return np.round(255.0 * resize(picture.pixels, height, width)).astype(np.uint8)
