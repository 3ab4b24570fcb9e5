"""When a setting has no effect: functions that give the reason, or None where it has one.

Each field of `Settings` names one of them.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

from tf_style.network.architecture import layers_up_to
from tf_style.objective.presets import Preset


@dataclasses.dataclass(frozen=True)
class Run:
    """What the effect of a setting depends on.

    Attributes:
      settings: The settings.
      preset: What they mean, with the layers that are used alone.
      unscaled: The same before `strength`.
      has_content: Whether there is a content image.
      num_styles: How many style images there are.
      longest_px: The longer side of the picture to make, or None where it is not known yet.
    """

    settings: Any
    preset: Preset
    unscaled: Preset
    has_content: bool
    num_styles: int
    longest_px: int | None


Effect = Callable[[Run], str | None]


def always(run: Run) -> str | None:
    """Has an effect on every run."""
    return None


def with_content(run: Run) -> str | None:
    """Needs a content image."""
    return None if run.has_content else "there is no content image"


def with_content_loss(run: Run) -> str | None:
    """Needs a content image that counts. At the end of `strength` it stands, as in the middle."""
    if reason := with_content(run):
        return reason
    return (
        "content_weight is 0" if run.preset.content_weight == 0 and run.settings.strength != 1 else None
    )


def with_style(run: Run) -> str | None:
    """Needs a style image."""
    return None if run.num_styles else "there is no style image"


def with_style_loss(run: Run) -> str | None:
    """Needs a style image that counts. At the end of `strength` it stands, as in the middle."""
    if reason := with_style(run):
        return reason
    return "style_weight is 0" if run.preset.style_weight == 0 and run.settings.strength != 0 else None


def on_strength(run: Run) -> str | None:
    """Needs a content and a style whose weights are left to it."""
    reasons = {
        "there is no content image": not run.has_content,
        "there is no style image": not run.num_styles,
        "content_weight, which is given, says how much of the content stays": (
            run.settings.content_weight is not None
        ),
        f"the content_weight of {run.settings.preset} is 0": run.unscaled.content_weight == 0,
        "style_weight is 0": run.unscaled.style_weight == 0,
    }
    return next((reason for reason, is_so in reasons.items() if is_so), None)


def on_keep_colors(run: Run) -> str | None:
    """Needs a photograph and a style."""
    return with_content(run) or with_style_loss(run)


def on_style_fit(run: Run) -> str | None:
    """A texture of one style has its size anyway."""
    if not run.has_content and run.num_styles == 1:
        return "a texture has its style image's size"
    return with_style_loss(run)


def on_style_scale(run: Run) -> str | None:
    """Needs a style that keeps its proportions."""
    if reason := with_style_loss(run):
        return reason
    is_stretched = run.preset.style_fit == "stretch"
    return "style_fit 'stretch' sets the style image's size" if is_stretched else None


def on_style_part(run: Run) -> str | None:
    """Needs several styles, and layers for either part."""
    if reason := on_style_blend(run):
        return reason
    return "there is one style layer" if len(run.preset.style_layers) == 1 else None


def on_style_blend(run: Run) -> str | None:
    """Needs several styles."""
    if reason := with_style_loss(run):
        return reason
    return "there is one style image" if run.num_styles == 1 else None


def on_pooling(run: Run) -> str | None:
    """Needs a layer of the second block or a later one."""
    deepest = layers_up_to(run.preset.layers)[-1]
    return (
        f"no layer after the first pooling is used, {deepest.name} at most"
        if deepest.stride == 1
        else None
    )


def on_seed(run: Run) -> str | None:
    """Needs noise to start from."""
    init = run.preset.init
    return None if init == "noise" else f"init is {init!r}, and only noise is drawn"


def on_history(run: Run) -> str | None:
    """Needs L-BFGS of either kind."""
    return "Adam keeps none" if run.settings.optimizer == "adam" else None


def on_pair_precision(run: Run) -> str | None:
    """Needs our own L-BFGS."""
    return None if run.settings.optimizer == "lbfgs" else "it is L-BFGS's"


def on_tile(run: Run) -> str | None:
    """A side in pixels needs a picture that is cut."""
    tile = run.settings.tile
    return None if isinstance(tile, str) else _whole(run, tile)


def on_ray(run: Run) -> str | None:
    """Needs tiles to compute."""
    from tf_style.objective.tile_plan import RAY_TILE_PX

    tile = run.settings.tile
    if tile == "off":
        return "tile is 'off'"
    return _whole(run, RAY_TILE_PX if tile == "auto" else tile)


def _whole(run: Run, tile_px: int) -> str | None:
    # What it imports takes a moment, and `--help` needs none of it.
    from tf_style.objective.tile_plan import is_cut

    longest, preset = run.longest_px, run.preset
    if longest is None or is_cut(longest + 2 * preset.margin_px, tile_px, preset.layers):
        return None
    return (
        f"a picture of {longest} pixels a side is evaluated as a whole. It takes a larger size, or "
        "smaller tiles"
    )
