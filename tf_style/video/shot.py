"""What the frames of a shot have in common, as it is kept beside each of them. No TensorFlow here."""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tf_style.errors import InputError

# A difference of so many grey levels everywhere costs, with a weight of 1, what the loss of the shot's
# first frame is at its end.
UNIT_LEVELS = 10.0


@dataclasses.dataclass(frozen=True)
class Shot:
    """A shot's numbers.

    Attributes:
      loss: Of its first frame at its end, so that a temporal weight means the same under each preset;
        0 where there is none.
      content_unit: As of `StyleTransfer`, or None where there is none.
    """

    loss: float = 0.0
    content_unit: float | None = None

    def weights(self, trust: NDArray[np.float32], temporal_weight: float) -> NDArray[np.float32]:
        """What a square of a difference costs at each position, float32 [height, width].

        The mean over positions and colours stands for equation 7's 1 / D.

        Args:
          trust: float32 [height, width], 0..1, as of `Outlook`.
          temporal_weight: As of `VideoOptions`.
        """
        scale = temporal_weight * self.loss / (UNIT_LEVELS**2 * 3 * trust.size)
        return trust * np.float32(scale)

    @classmethod
    def read(cls, values: Any) -> "Shot":
        """From what `dataclasses.asdict` made, through JSON.

        Raises:
          InputError: If it is something else.
        """
        try:
            unit = values["content_unit"]
            return cls(float(values["loss"]), None if unit is None else float(unit))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"These are no numbers of a shot: {values!r}") from error


@dataclasses.dataclass(frozen=True, eq=False)
class MadeFrame:
    """A frame that is done: all that the next ones go on from.

    Attributes:
      pixels: uint8 [height, width, 3], RGB: what is shown.
      begins_shot: Whether it was made without those before it.
      shot: The shot that it is in.
      painting: The same before the photograph was put back where masks leave it, or None for no masks.
    """

    pixels: NDArray[np.uint8]
    begins_shot: bool
    shot: Shot
    painting: NDArray[np.uint8] | None = None

    @property
    def goes_on_from(self) -> NDArray[np.uint8]:
        """What the next frames start from, and are held to.

        In whole levels, as it is kept, so that they are the same whether it is still in memory or was
        read again; and without the photograph, which they would put back once more, and again.
        """
        return self.pixels if self.painting is None else self.painting
