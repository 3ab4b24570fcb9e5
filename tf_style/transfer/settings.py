"""Everything that a user can choose about a transfer, each setting stated once.

A setting's type hint, default and `setting` say all there is to say of it: the checks below and the
flags of the command line (`commands/flags.py`) follow from them.
"""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any, Literal

from tf_style.errors import InputError
from tf_style.objective.presets import (
    PRESETS,
    Padding,
    Pooling,
    Preset,
    StyleFit,
    StyleStatistic,
    strength_factors,
)
from tf_style.transfer import effects, setting_fields
from tf_style.transfer.setting_fields import (
    LAYERS,
    PATH,
    TEXT,
    THE_PRESETS,
    TRUE_OR_FALSE,
    WEIGHT,
    WEIGHTS,
    Rule,
    each,
    number,
    number_above_0,
    setting,
    whole_number,
)

# What they mean `kept_colours.py` says.
KeepColors = Literal["luminance", "match", "histogram"]
# Likewise `style_blend.py`.
PARTS = ("both", "coarse", "fine")
MAX_LEVELS = 16
# Former names of settings: still taken, and known in what earlier versions stored.
ALIASES = {"pairs": "history"}
# m of L-BFGS. With 40, 500 iterations reached the loss of 10 in 12 percent fewer; in bfloat16 they take
# the memory of 20. 10 is TensorFlow Probability's own default.
DEFAULT_HISTORY = 40
TFP_HISTORY = 10
# The settings whose effect depends on the picture's size.
_BY_SIZE = {"tile", "ray"}
# The settings that are one of these words or else the path of a file.
_WORDS = {"init": ("content", "noise", "style", "student"), "weights": ("embedded", "imagenet")}


@dataclasses.dataclass(frozen=True)
class Settings:
    """A transfer's settings. Each is described by the text beside it.

    A default of None stands for what `unset` says, or else for the preset's. `pairs`, the former name
    of `history`, can still be given and read.

    Raises:
      InputError: If a value is out of range or not one of the choices.
    """

    preset: str = setting(
        "painterly", "weights, layers and network", choices=tuple(PRESETS), effect=effects.always
    )
    content_weight: float | None = setting(
        None,
        "alpha; under painterly relative to the pictures",
        rule=WEIGHT,
        metavar="W",
        effect=effects.with_content,
    )
    style_weight: float | None = setting(
        None, "beta", rule=WEIGHT, metavar="W", effect=effects.with_style
    )
    tv_weight: float | None = setting(
        None,
        "weight of the total variation, which the paper does not have",
        rule=WEIGHT,
        metavar="W",
        effect=effects.always,
    )
    content_layers: tuple[str, ...] | None = setting(
        None,
        "such as conv4_2, or relu4_2 or block4_conv2, which mean the same",
        rule=LAYERS,
        effect=effects.with_content_loss,
    )
    style_layers: tuple[str, ...] | None = setting(
        None, "such as conv1_1,conv2_1", rule=LAYERS, effect=effects.with_style_loss
    )
    style_layer_weights: tuple[float, ...] | None = setting(
        None,
        "w_l of the paper's equation 5, one for each style layer; equal ones for layers other than the "
        "preset's",
        rule=WEIGHTS,
        effect=effects.with_style_loss,
    )
    style_statistic: StyleStatistic | None = setting(
        None,
        "what the style is: Gram matrices, as in the paper, or mean and covariance",
        effect=effects.with_style_loss,
    )
    strength: float | None = setting(
        None,
        "from 0, the photograph, to 1, the style alone",
        rule=number("a number from 0 to 1", lambda value: 0 <= value <= 1),
        unset="0.5, which is the preset as it is",
        metavar="S",
        effect=effects.on_strength,
    )
    pooling: Pooling | None = setting(None, "between blocks", effect=effects.on_pooling)
    normalize: bool | None = setting(
        None,
        "scale each filter to a mean activation of 1, as in section 2 of the paper",
        rule=TRUE_OR_FALSE,
        effect=effects.always,
    )
    padding: Padding | None = setting(
        None,
        "what the first convolution sees beyond the image's border; the paper's is zero",
        effect=effects.always,
    )
    weights: str = setting(
        "embedded",
        f"{', '.join(_WORDS['weights'])} or a Keras .h5 file",
        rule=PATH,
        effect=effects.always,
    )
    size: int = setting(
        512,
        "working size, in pixels",
        rule=whole_number(1, 65_535),
        metavar="PX",
        effect=effects.always,
    )
    size_of: Literal["long", "short", "area"] = setting(
        "long",
        "the side that --size measures; area is for --size squared pixels",
        effect=effects.always,
    )
    style_fit: StyleFit | None = setting(
        None,
        "style image to the content's area, or stretched to its exact size, as in the paper",
        effect=effects.on_style_fit,
    )
    style_scale: float | tuple[float, ...] | None = setting(
        None,
        "factor on the style image's sides, one for all or one for each",
        rule=each(number_above_0("a number above 0 and at most 1000, or a tuple of such", 1000)),
        unset=1.0,
        metavar="FACTOR,...",
        effect=effects.on_style_scale,
    )
    style_blend: tuple[float, ...] | None = setting(
        None,
        "one weight for each style image, of any sum",
        rule=WEIGHTS,
        unset="equal",
        effect=effects.on_style_blend,
    )
    style_part: tuple[str, ...] | None = setting(
        None,
        "of each style image its forms, its brushwork, or both",
        rule=Rule(
            f"a tuple of {', '.join(PARTS)}",
            lambda value: isinstance(value, tuple) and 0 < len(value) and set(value) <= set(PARTS),
        ),
        unset="both",
        effect=effects.on_style_part,
    )
    keep_colors: KeepColors | None = setting(
        None,
        "the photograph's: put back at the end, or the style's matched to them before, by mean and "
        "covariance or by histogram",
        unset="the style's colours",
        effect=effects.on_keep_colors,
    )
    init: str | None = setting(
        None, f"start: {', '.join(_WORDS['init'])} or an image file", rule=PATH, effect=effects.always
    )
    seed: int | None = setting(
        None, "of the noise", rule=whole_number(0, 2**63 - 1), unset=0, effect=effects.on_seed
    )
    optimizer: Literal["lbfgs", "tfp", "adam"] = setting(
        "lbfgs", "tfp: TensorFlow Probability's lbfgs_minimize", effect=effects.always
    )
    history: int | None = setting(
        None,
        "pairs of steps and gradient differences that L-BFGS keeps (m)",
        rule=whole_number(1, 1000),
        unset=f"{DEFAULT_HISTORY}; {TFP_HISTORY} with tfp",
        effect=effects.on_history,
    )
    pair_precision: Literal["float32", "bfloat16"] = setting(
        "bfloat16",
        "in which they are kept; bfloat16 takes half the memory",
        effect=effects.on_pair_precision,
    )
    levels: int | None = setting(
        None,
        "working sizes from coarse to fine",
        rule=whole_number(1, MAX_LEVELS),
        unset="chosen by size",
        effect=effects.always,
    )
    iterations: int = setting(
        200, "of the optimiser, in all", rule=whole_number(1, 2**31 - 1), effect=effects.always
    )
    precision: Literal["auto", "float32", "bfloat16"] = setting(
        "auto", "of the network; auto is bfloat16 where that is fast", effect=effects.always
    )
    device: str | None = setting(
        None,
        "such as /CPU:0 or /GPU:1",
        rule=TEXT,
        unset="the first GPU, or else the CPU",
        effect=effects.always,
    )
    tile: int | Literal["auto", "off"] = setting(
        "auto",
        "evaluate by exact tiles: auto where the memory asks for it, off, or a side in pixels",
        rule=whole_number(16, 65_535, " of pixels"),
        metavar="PX",
        effect=effects.on_tile,
    )
    memory: float | None = setting(
        None,
        "to take at most",
        rule=number_above_0("a number of GiB above 0"),
        unset="all available",
        metavar="GIB",
        effect=effects.always,
    )
    ray: str | None = setting(
        None,
        "compute tiles on a Ray cluster: local or its address",
        rule=TEXT,
        unset="this process",
        metavar="ADDRESS",
        effect=effects.on_ray,
    )

    def __post_init__(self) -> None:
        """Checks each field by itself."""
        setting_fields.check(self)

    @property
    def pairs(self) -> int | None:
        """The former name of `history`."""
        return self.history

    @property
    def num_pairs(self) -> int:
        """`history`, or its default."""
        return self.history or (DEFAULT_HISTORY if self.optimizer == "lbfgs" else TFP_HISTORY)

    @property
    def style_scales(self) -> tuple[float, ...]:
        """`style_scale` as a tuple, of one for all styles or one for each."""
        scale = 1.0 if self.style_scale is None else self.style_scale
        return scale if isinstance(scale, tuple) else (scale,)

    def style_scale_of(self, index: int) -> float:
        """That of one style, by its place among them."""
        scales = self.style_scales
        return scales[0] if len(scales) == 1 else scales[index]

    def resolve(
        self,
        *,
        has_content: bool,
        num_styles: int,
        presets: Mapping[str, Preset] = PRESETS,
        given: Collection[str] | None = None,
        has_masks: bool = False,
        has_strength_mask: bool = False,
    ) -> Preset:
        """The objective that these settings mean for given inputs.

        Args:
          has_content: Whether there is a content image; without one the style's texture is
            synthesised.
          num_styles: How many style images there are; with none the content is reconstructed.
          presets: The presets by name; other ones for a stored request, whose presets may have changed.
          given: The names of the fields that were asked for; None for those that are not the default.
          has_masks: Whether masks say where styles go, or how strongly.
          has_strength_mask: Whether the strength is another from place to place.

        Returns:
          The preset with every field that was given in its place; `content_layers` or `style_layers`
          are empty where there is no such image.

        Raises:
          InputError: If the inputs and settings contradict each other, or a setting would have no
            effect.
        """
        if not (has_content or num_styles):
            raise InputError("A content image, a style image or both are needed.")
        unscaled = self._with_fields(presets[self.preset])
        preset = unscaled
        if self.strength is not None:
            preset = preset.times(*strength_factors(self.strength))
        has_both = has_content and num_styles and preset.style_weight
        if self.init is None and not has_both:
            # With one image only, starting from it would leave nothing to do: right for the photograph.
            init = "content" if self.strength == 0 else "noise"
            preset = dataclasses.replace(preset, init=init)
        whole = preset
        if not has_content or preset.content_weight == 0:
            preset = dataclasses.replace(preset, content_layers=())
        if not num_styles or preset.style_weight == 0:
            preset = dataclasses.replace(preset, style_layers=(), style_layer_weights=())
            if self.tv_weight is None:
                # The preset's is weighed against the style, and would be most of what is left.
                preset = dataclasses.replace(preset, tv_weight=0.0)
        if not (preset.content_layers or preset.style_layers):
            raise InputError("Content and style have weight 0 or no image: nothing to minimise.")
        run = effects.Run(
            settings=self,
            preset=preset,
            unscaled=unscaled,
            has_content=has_content,
            num_styles=num_styles,
            longest_px=self.size if self.size_of == "long" else None,
        )
        setting_fields.check_effects(self, run, self.not_default() if given is None else given)
        self._check_inputs(whole, has_content, num_styles)
        if has_masks and not preset.style_layers:
            reason = effects.with_style_loss(run) or "strength is 0"
            raise InputError(f"Masks would have no effect: {reason}.")
        if has_strength_mask and (reason := effects.on_strength(run)):
            raise InputError(f"strength_mask would have no effect: {reason}.")
        if has_strength_mask and self.strength == 1:
            raise InputError("A strength mask takes a strength below 1: 0.99 is nearly 1.")
        return preset

    def check_size_effects(self, preset: Preset, height: int, width: int) -> None:
        """Refuses settings that would have no effect on a picture of this size.

        Args:
          preset: As from `resolve`.
          height: Of the picture to make, in pixels.
          width: Of the picture to make, in pixels.

        Raises:
          InputError: It says which, and why.
        """
        run = effects.Run(self, preset, preset, True, 1, longest_px=max(height, width))
        setting_fields.check_effects(self, run, _BY_SIZE & self.not_default())

    def why_no_strength(self, preset: Preset, *, has_content: bool, num_styles: int) -> str | None:
        """Why `strength` would have no effect on a preset, or None where it has one."""
        return effects.on_strength(
            effects.Run(self, preset, preset, has_content, num_styles, longest_px=None)
        )

    def not_default(self) -> set[str]:
        """The names of the fields whose value is not the default."""
        fields = dataclasses.fields(self)
        return {field.name for field in fields if getattr(self, field.name) != field.default}

    def _with_fields(self, preset: Preset) -> Preset:
        """A preset with every field that was given in its place."""
        changes = {
            field.name: value
            for field in dataclasses.fields(self)
            if field.metadata["default"] == THE_PRESETS
            and (value := getattr(self, field.name)) is not None
        }
        if changes.get("style_layers", preset.style_layers) != preset.style_layers:
            # The preset's numbers are its own layers'.
            is_by_layer = isinstance(preset.style_layer_weights, tuple)
            changes.setdefault(
                "style_layer_weights", "mean" if is_by_layer else preset.style_layer_weights
            )
        if statistic := changes.pop("style_statistic", None):
            preset = preset.with_style_statistic(statistic)
        return dataclasses.replace(preset, **changes)

    def _check_inputs(self, preset: Preset, has_content: bool, num_styles: int) -> None:
        """Refuses what contradicts itself."""
        if not has_content:
            if preset.init in ("content", "student"):
                raise InputError(f"init is {preset.init!r}, but there is no content image.")
            if preset.init == "style" and num_styles == 1:
                raise InputError("init is 'style', but without a content image nothing changes it.")
        if not (num_styles and preset.style_weight) and self.strength != 0:
            if preset.init == "content" or (preset.init == "style" and not num_styles):
                reason = "style_weight is 0" if num_styles else "there is no style image"
                raise InputError(
                    f"init is {preset.init!r}, but {reason}: the content is reconstructed, from noise "
                    "or from an image file."
                )
        if self.style_blend is not None and len(self.style_blend) != num_styles:
            raise InputError(
                "style_blend has one number for each style image. "
                f"Received: {len(self.style_blend)} for {num_styles} images"
            )
        if self.style_scale is not None and len(self.style_scales) not in (1, num_styles):
            raise InputError(
                "style_scale has one number for all style images, or one for each. "
                f"Received: {len(self.style_scales)} for {num_styles} images"
            )
        if self.style_part is not None:
            if len(self.style_part) != num_styles:
                raise InputError(
                    "style_part has one word for each style image. "
                    f"Received: {len(self.style_part)} for {num_styles} images"
                )
            for part, other in (("coarse", "fine"), ("fine", "coarse")):
                blend = self.style_blend or (1.0,) * num_styles
                if not any(
                    weight
                    for weight, of_style in zip(blend, self.style_part, strict=True)
                    if of_style in ("both", part)
                ):
                    raise InputError(
                        f"A {other} style takes a {part} one beside it, with a weight above 0."
                    )
        if len(preset.layer_weights()) != len(preset.style_layers):
            raise InputError(
                "style_layer_weights has one number for each style layer. Received: "
                f"{len(preset.layer_weights())} for {len(preset.style_layers)} layers"
            )


setting_fields.accept_aliases(Settings, ALIASES)
SETTING_NAMES = frozenset(Settings.__dataclass_fields__)


def is_file_name(init: str) -> bool:
    """Whether an `init` names a file rather than one of the words for it."""
    return init not in _WORDS["init"]


def fields_with_files(settings: Mapping[str, Any]) -> list[str]:
    """Which of some settings, by the names of their fields, are paths of files."""
    return [name for name, words in _WORDS.items() if settings.get(name) not in (None, *words)]
