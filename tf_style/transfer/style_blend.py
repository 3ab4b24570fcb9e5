"""What each style weighs against the others, at the style layers of a working size.

A coarse style has the forms and a fine one the brushwork: the layers that see more of the picture, or
less, than a stroke. As a coarse size's pixels are larger, only its first layers are the brushwork's.
Gatys et al., "Controlling Perceptual Factors in Neural Style Transfer" (CVPR 2017), section 6, has both
in layers. Departure: they make a style image of two by an optimisation first, at one size; here each
size has its own layers of either, and no picture is in between.
"""

import math

from tf_style.network.architecture import receptive_field_px
from tf_style.objective.presets import Preset
from tf_style.objective.regions import Blend
from tf_style.transfer.settings import Settings

# A stroke, over the side of a square of as many pixels as the picture has. By eye on two pairs of
# paintings at 256 pixels, among 1/32, whose fine style has little but colours left, 1/16 and 1/8, whose
# coarse one has few forms.
STROKE = 1 / 16


def blend_at_size(
    settings: Settings, preset: Preset, num_styles: int, height: int, width: int
) -> Blend:
    """The weights of the styles.

    Args:
      settings: They have the weights, and what of each style is meant.
      preset: It has the style layers.
      num_styles: How many there are.
      height: Of the working size, in pixels.
      width: Likewise.

    Returns:
      One weight for each style, or such by layer where a style is coarse or fine.
    """
    weights = settings.style_blend or (1.0,) * num_styles
    parts = settings.style_part or ("both",) * num_styles
    if set(parts) == {"both"}:
        return weights
    stroke_px = STROKE * math.sqrt(height * width)
    sides = {name: receptive_field_px(name) for name in preset.style_layers}
    blend = {}
    for name, side in sides.items():
        # However small the picture, there are both.
        is_fine = side < max(sides.values()) and (side <= stroke_px or side == min(sides.values()))
        blend[name] = tuple(
            weight if part in ("both", "fine" if is_fine else "coarse") else 0.0
            for weight, part in zip(weights, parts, strict=True)
        )
    return blend
