"""Everything that a user can choose about a transfer, with its defaults. Imports no TensorFlow."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal

from tf_style.errors import InputError
from tf_style.network.architecture import find_layer
from tf_style.objective.presets import PRESETS, Preset
from tf_style.transfer.pyramid import MAX_LEVELS

# The fields that, where given, take the place of the preset's.
_PRESET_FIELDS = (
    "content_weight",
    "style_weight",
    "tv_weight",
    "content_layers",
    "style_layers",
    "style_layer_weights",
    "pooling",
    "normalize",
    "padding",
    "init",
    "style_fit",
)
_CHOICES = {
    "preset": tuple(PRESETS),
    "pooling": ("average", "max"),
    "padding": ("replicate", "zero"),
    "size_of": ("long", "short", "area"),
    "style_fit": ("area", "stretch"),
    "optimizer": ("lbfgs", "tfp", "adam"),
    "pair_precision": ("float32", "bfloat16"),
    "precision": ("auto", "float32", "bfloat16"),
}
# The least and the most of each whole number.
_RANGES = {
    "size": (1, 65_535),
    "pairs": (1, 1000),
    "levels": (1, MAX_LEVELS),
    "seed": (0, 2**63 - 1),
    "iterations": (1, 2**31 - 1),
}
MAX_STYLE_SCALE = 1000.0


@dataclasses.dataclass(frozen=True)
class Settings:
    """A transfer's settings. None means: the preset's, or what the comment beside it says.

    Attributes:
      preset: Name of an objective in `PRESETS`; the fields below replace parts of it.
      content_weight: alpha.
      style_weight: beta.
      tv_weight: Weight of the total variation prior, which the paper does not have.
      content_layers: Names as the paper's (`conv4_2`), Caffe's (`relu4_2`) or Keras's
        (`block4_conv2`).
      style_layers: Likewise.
      style_layer_weights: w_l of equation 5, one for each style layer.
      pooling: "average" or "max".
      normalize: Whether to scale the filters to a mean activation of 1 (section 2 of the paper).
      padding: What the first convolution sees beyond the border, "replicate" or "zero" (the paper's).
      weights: "embedded", "imagenet" (downloaded by Keras) or the path of a Keras `.h5` file.
      size: Working size, in pixels.
      size_of: What `size` measures: the "long" or "short" side, or "area" (size * size pixels).
      style_fit: "area" gives the style image the content's area and keeps its aspect; "stretch"
        gives it the content's exact size, as in the paper.
      style_scale: With "area", a factor on the style image's sides.
      style_blend: Weight of each style image; they are divided by their sum.
      init: "content", "noise", "style" or the path of an image.
      seed: Seed of the noise.
      optimizer: "lbfgs", "tfp" (TensorFlow Probability's `lbfgs_minimize`) or "adam".
      pairs: Pairs of steps and gradient differences (m) that approximate L-BFGS's inverse Hessian.
      pair_precision: In which they are kept: "bfloat16" takes half the memory of "float32".
      levels: Working sizes from coarse to fine, each with twice the last one's sides; None for as many
        as serve the picture's size.
      iterations: Iterations of the optimiser in all, of which each level makes half as many as the one
        below; "lbfgs" and "adam" need about one evaluation each.
      precision: Of the network: "float32", "bfloat16", or "auto" for bfloat16 where it is fast.
      device: A TensorFlow device such as "/CPU:0"; None for the first GPU, or else the CPU.
      tile: "auto" to evaluate the loss by tiles, exactly, where the whole picture does not fit in
        memory; "off" never to; or a tile's side in pixels.
      memory: In GiB, what a run may take in all.
      ray: Computes the tiles on a Ray cluster: "local" or its address.
    """

    preset: str = "gatys2016"
    content_weight: float | None = None
    style_weight: float | None = None
    tv_weight: float | None = None
    content_layers: tuple[str, ...] | None = None
    style_layers: tuple[str, ...] | None = None
    style_layer_weights: tuple[float, ...] | None = None
    pooling: Literal["average", "max"] | None = None
    normalize: bool | None = None
    padding: Literal["replicate", "zero"] | None = None
    weights: str = "embedded"
    size: int = 512
    size_of: Literal["long", "short", "area"] = "long"
    style_fit: Literal["area", "stretch"] | None = None
    style_scale: float | None = None  # 1.0
    style_blend: tuple[float, ...] | None = None  # equal parts
    init: str | None = None
    seed: int | None = None  # 0
    optimizer: Literal["lbfgs", "tfp", "adam"] = "lbfgs"
    pairs: int | None = None  # 40
    pair_precision: Literal["float32", "bfloat16"] = "bfloat16"
    levels: int | None = None  # by size
    iterations: int = 200
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    device: str | None = None
    tile: int | Literal["auto", "off"] = "auto"
    memory: float | None = None  # what there is
    ray: str | None = None  # this process

    def __post_init__(self) -> None:
        """Checks each field by itself.

        Raises:
          InputError: If a value is out of range or not one of the choices.
        """
        for field, choices in _CHOICES.items():
            value = getattr(self, field)
            if value is not None and value not in choices:
                raise InputError(f"{field} is one of {', '.join(choices)}. Received: {value!r}")
        for field in ("content_weight", "style_weight", "tv_weight"):
            value = getattr(self, field)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise InputError(f"{field} is a finite number, 0 or more. Received: {value!r}")
        for field in ("style_layer_weights", "style_blend"):
            values = getattr(self, field)
            if values is not None and not (
                all(value >= 0 for value in values) and 0 < sum(values) < math.inf
            ):
                raise InputError(
                    f"{field} are finite numbers, 0 or more and not all 0. Received: {values!r}"
                )
        for field in ("content_layers", "style_layers"):
            names = getattr(self, field)
            if isinstance(names, str):
                raise InputError(f"{field} is a tuple of names. Received: {names!r}")
            if names is not None:
                found = [find_layer(name) for name in names]
                if not found or len(set(found)) < len(found):
                    raise InputError(
                        f"{field} are one or more layers, each named once. Received: {names!r}"
                    )
        for field, (least, most) in _RANGES.items():
            value = getattr(self, field)
            if value is not None and not (hasattr(value, "__index__") and least <= value <= most):
                raise InputError(
                    f"{field} is a whole number from {least} to {most}. Received: {value!r}"
                )
        if self.tile not in ("auto", "off") and not (
            hasattr(self.tile, "__index__") and 16 <= self.tile <= 65_535
        ):
            raise InputError(f"tile is auto, off or 16 to 65535 pixels. Received: {self.tile!r}")
        if self.memory is not None and not 0 < self.memory < math.inf:
            raise InputError(f"memory is a number of GiB above 0. Received: {self.memory!r}")
        if self.style_scale is not None and not 0 < self.style_scale <= MAX_STYLE_SCALE:
            raise InputError(
                f"style_scale is above 0 and at most {MAX_STYLE_SCALE:g}. "
                f"Received: {self.style_scale!r}"
            )

    @property
    def num_pairs(self) -> int:
        """`pairs`, or its default.

        For L-BFGS 40, which at 500 iterations reached the loss of 10 in 12 percent fewer, and in
        bfloat16 take the memory of 20. 10 is TensorFlow Probability's own default.
        """
        return self.pairs or (40 if self.optimizer == "lbfgs" else 10)

    def resolve(
        self, *, has_content: bool, num_styles: int, presets: Mapping[str, Preset] = PRESETS
    ) -> Preset:
        """The objective that these settings mean for given inputs.

        Args:
          has_content: Whether there is a content image; without one the style's texture is
            synthesised.
          num_styles: How many style images there are; with none the content is reconstructed.
          presets: The presets by name; other ones for a stored request, whose presets may have changed.

        Returns:
          The preset with every field that was given in its place; `content_layers` or `style_layers`
          are empty where there is no such image.

        Raises:
          InputError: If the inputs and settings contradict each other, or a setting would have no
            effect.
        """
        preset = presets[self.preset]
        changes = {field: getattr(self, field) for field in _PRESET_FIELDS}
        changes = {field: value for field, value in changes.items() if value is not None}
        preset = dataclasses.replace(preset, **changes)
        if self.init is None and not (has_content and num_styles and preset.style_weight):
            # With one image only, starting from it would leave nothing to do.
            preset = dataclasses.replace(preset, init="noise")
        self._check_inputs(preset, has_content, num_styles)
        if not has_content or preset.content_weight == 0:
            preset = dataclasses.replace(preset, content_layers=())
        if not num_styles or preset.style_weight == 0:
            preset = dataclasses.replace(preset, style_layers=(), style_layer_weights=())
        if not (preset.content_layers or preset.style_layers):
            raise InputError("Content and style have weight 0 or no image: nothing to minimise.")
        return preset

    def _check_inputs(self, preset: Preset, has_content: bool, num_styles: int) -> None:
        given = {
            field.name
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != field.default
        }

        def refuse(field: str, reason: str) -> None:
            if field in given:
                raise InputError(f"{field} would have no effect: {reason}.")

        if not has_content:
            if not num_styles:
                raise InputError("A content image, a style image or both are needed.")
            for field in ("content_weight", "content_layers"):
                refuse(field, "there is no content image")
            if num_styles == 1:
                refuse("style_fit", "a texture has its style image's size")
            if preset.init == "content":
                raise InputError("init is 'content', but there is no content image.")
        elif preset.content_weight == 0:
            refuse("content_layers", "content_weight is 0")
        if not (num_styles and preset.style_weight):
            reason = "style_weight is 0" if num_styles else "there is no style image"
            for field in (
                "style_layers",
                "style_layer_weights",
                "style_fit",
                "style_scale",
                "style_blend",
            ):
                refuse(field, reason)
            if not num_styles:
                refuse("style_weight", reason)
            if preset.init == "content" or (preset.init == "style" and not num_styles):
                raise InputError(
                    f"init is {preset.init!r}, but {reason}: the content is reconstructed, from noise "
                    "or from an image file."
                )
        if num_styles == 1:
            refuse("style_blend", "there is one style image")
            if not has_content and preset.init == "style":
                raise InputError("init is 'style', but without a content image nothing changes it.")
        if self.style_blend is not None and len(self.style_blend) != num_styles:
            raise InputError(
                "style_blend has one number for each style image. "
                f"Received: {len(self.style_blend)} for {num_styles} images"
            )
        if len(preset.layer_weights()) != len(preset.style_layers):
            raise InputError(
                "style_layer_weights has one number for each style layer. Received: "
                f"{len(preset.layer_weights())} for {len(preset.style_layers)} layers"
            )
        if preset.style_fit == "stretch":
            refuse("style_scale", "style_fit 'stretch' sets the style image's size")
        if self.tile == "off":
            refuse("ray", "tile is 'off'")
        if self.optimizer == "adam":
            refuse("pairs", "Adam keeps none")
        if self.optimizer != "lbfgs":
            refuse("pair_precision", "it is L-BFGS's")
        if preset.init != "noise":
            refuse("seed", f"init is {preset.init!r}, and only noise is drawn")


def is_file_name(init: str) -> bool:
    """Whether an `init` names a file rather than one of the three words."""
    return init not in ("content", "noise", "style")


def fields_with_files(settings: Mapping[str, Any]) -> list[str]:
    """Which of some settings, by the names of their fields, are paths of files."""
    words = {"init": ("content", "noise", "style"), "weights": ("embedded", "imagenet")}
    return [name for name in words if settings.get(name) not in (None, *words[name])]
