"""What can be chosen about a video beside its frames' settings. No TensorFlow here."""

import dataclasses

from tf_style.transfer import effects, setting_fields
from tf_style.transfer.setting_fields import number, setting, whole_number


@dataclasses.dataclass(frozen=True)
class VideoOptions:
    """How a frame goes on from those before it. Each field is described by the text beside it.

    Raises:
      InputError: If a value is out of range.
    """

    frame_iterations: int = setting(
        25,
        "of the optimiser for each frame but a shot's first, which has --iterations",
        rule=whole_number(1, 100_000),
        effect=effects.always,
    )
    temporal_weight: float = setting(
        1.0,
        "what holds a frame to those before it: 0 for nothing",
        rule=number("a number from 0 to 1e6", lambda value: 0 <= value <= 1e6),
        metavar="W",
        effect=effects.always,
    )

    def __post_init__(self) -> None:
        """Checks each field by itself."""
        setting_fields.check(self)


OPTION_NAMES = frozenset(VideoOptions.__dataclass_fields__)
