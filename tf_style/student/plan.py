"""What can be chosen about a student's training, each field stated once. No TensorFlow here."""

import dataclasses
from typing import Any, Literal

from tf_style.errors import InputError
from tf_style.objective.presets import PRESETS, Preset
from tf_style.transfer import effects, setting_fields
from tf_style.transfer.setting_fields import (
    LAYERS,
    PATH,
    TEXT,
    TRUE_OR_FALSE,
    number_above_0,
    setting,
    whole_number,
)
from tf_style.transfer.settings import SETTING_NAMES, Settings

# What two cores do in an hour for one style, and what a GPU does in a few.
ON_CPU = {"crop": 192, "batch": 1, "channels": 24, "steps": 6000}
ON_GPU = {"crop": 256, "batch": 8, "channels": 32, "steps": 40_000}
SAVE_EVERY_SECONDS = 30.0
# The strength that is the preset itself.
OWN_STRENGTH = 0.5


def _by_device(name: str) -> str:
    return f"{ON_CPU[name]} on a CPU, {ON_GPU[name]} on a GPU"


@dataclasses.dataclass(frozen=True)
class Plan:
    """A student's training. Each field is described by the text beside it.

    Those that `Settings` has too choose the objective, and mean the same.

    Raises:
      InputError: If a value is out of range or not one of the choices.
    """

    size: int = setting(
        512,
        "the styles are resized to as many pixels as a square of this side: the strokes' size, in the "
        "pictures to come too",
        rule=whole_number(32, 4096),
        metavar="PX",
        effect=effects.always,
    )
    crop: int | None = setting(
        None,
        "side of the pieces of photographs to learn from, a multiple of 16, at most the size",
        rule=setting_fields.Rule(
            "a multiple of 16 from 32 to 2048",
            lambda value: hasattr(value, "__index__") and 32 <= value <= 2048 and value % 16 == 0,
        ),
        unset=_by_device("crop"),
        metavar="PX",
        effect=effects.always,
    )
    batch: int | None = setting(
        None,
        "pieces a step",
        rule=whole_number(1, 256),
        unset=_by_device("batch"),
        effect=effects.always,
    )
    channels: int | None = setting(
        None,
        "of the network's first layer; a picture's time goes with its square",
        rule=whole_number(4, 256),
        unset=_by_device("channels"),
        effect=effects.always,
    )
    blocks: int = setting(5, "residual blocks", rule=whole_number(1, 20), effect=effects.always)
    steps: int | None = setting(
        None,
        "of the training",
        rule=whole_number(1, 10_000_000),
        unset=_by_device("steps"),
        effect=effects.always,
    )
    learning_rate: float = setting(
        1e-3,
        "Adam's at its highest, after a twentieth of the steps; then it falls to 0 by a cosine",
        rule=number_above_0("a number above 0 and at most 1", 1.0),
        effect=effects.always,
    )
    dial: bool = setting(
        False,
        "learn every strength, not one: wants more steps",
        rule=TRUE_OR_FALSE,
        effect=effects.always,
    )
    strength: float | None = setting(
        None,
        "the one to learn, above 0, the photograph, to 1, the style alone",
        rule=Settings.__dataclass_fields__["strength"].metadata["rule"],
        unset=f"{OWN_STRENGTH}, the preset as it is",
        metavar="S",
        effect=effects.always,
    )
    preset: str = setting(
        "painterly",
        "weights, layers and network of the loss",
        choices=tuple(PRESETS),
        effect=effects.always,
    )
    content_weight: float | None = dataclasses.field(
        default=None, metadata=Settings.__dataclass_fields__["content_weight"].metadata
    )
    style_weight: float | None = dataclasses.field(
        default=None, metadata=Settings.__dataclass_fields__["style_weight"].metadata
    )
    style_layers: tuple[str, ...] | None = setting(
        None, "such as conv1_1,conv2_1", rule=LAYERS, effect=effects.always
    )
    style_statistic: Literal["gram", "moments"] | None = setting(
        None,
        "what the style is: Gram matrices, as in the paper, or mean and covariance",
        effect=effects.always,
    )
    weights: str = setting(
        "embedded", "embedded, imagenet or a Keras .h5 file", rule=PATH, effect=effects.always
    )
    seed: int = setting(
        0,
        "of the first weights and of the pieces",
        rule=whole_number(0, 2**31 - 1),
        effect=effects.always,
    )
    precision: Literal["auto", "float32", "bfloat16"] = setting(
        "auto", "of both networks; auto is bfloat16 where that is fast", effect=effects.always
    )
    device: str | None = setting(
        None,
        "such as /CPU:0 or /GPU:1",
        rule=TEXT,
        unset="the first GPU, or else the CPU",
        effect=effects.always,
    )

    def __post_init__(self) -> None:
        """Checks each field by itself, and those that exclude each other."""
        setting_fields.check(self)
        if self.dial and self.strength is not None:
            raise InputError("strength would have no effect: the dial learns every one.")
        if self.crop is not None and self.crop > self.size:
            raise InputError(f"crop is at most size, {self.size}. Received: {self.crop}")
        if self.one_strength == 0:
            raise InputError("A student learns a strength above 0, which is the photograph itself.")
        self.objective()  # Refuses what contradicts itself.

    @property
    def one_strength(self) -> float:
        """The strength that is learnt without a dial, and the default of one."""
        return OWN_STRENGTH if self.strength is None else float(self.strength)

    def objective(self) -> Preset:
        """What is minimised, at the strength that is the preset itself.

        Raises:
          InputError: If the fields contradict each other, or there is no content or no style in it.
        """
        names = (SETTING_NAMES & FIELD_NAMES) - {"strength", "size", "seed", "device", "precision"}
        settings = Settings(**{name: getattr(self, name) for name in names})
        preset = settings.resolve(has_content=True, num_styles=1)
        if not (preset.content_layers and preset.style_layers):
            raise InputError("A student learns from a content and a style whose weights are above 0.")
        return preset

    def on(self, device: str) -> "Plan":
        """The same with what was left open chosen for a device, as from `resolve_device`."""
        chosen: dict[str, Any] = dict(ON_GPU if device.startswith("/GPU") else ON_CPU)
        chosen["crop"] = min(chosen["crop"], self.size // 16 * 16)
        if not self.dial:
            chosen["strength"] = self.one_strength
        left = {name: value for name, value in chosen.items() if getattr(self, name) is None}
        return dataclasses.replace(self, **left)


FIELD_NAMES = frozenset(field.name for field in dataclasses.fields(Plan))


def known(value: int | None) -> int:
    """A field that `Plan.on` has chosen."""
    if value is None:
        raise ValueError("A plan is made for a device by `Plan.on` first.")
    return value


def read_plan(stored: dict[str, Any]) -> Plan:
    """The inverse of `dataclasses.asdict`, also by way of JSON, which has lists for tuples."""
    values: dict[str, Any] = {}
    for name, value in stored.items():
        values[name] = tuple(value) if isinstance(value, list) else value
    return Plan(**values)
