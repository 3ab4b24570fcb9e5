"""How much memory a transfer takes, and what fits. Imports no TensorFlow."""

import math
from collections.abc import Iterable

from tf_style import host
from tf_style.errors import InputError
from tf_style.network.architecture import ConvLayer, find_layer, layers_up_to
from tf_style.objective.tile_plan import halo_px
from tf_style.transfer.prepare import PreparedInputs
from tf_style.transfer.settings import Settings

# Measured, as the next one is, by the peak resident size of runs at 256 to 2048 pixels in both
# precisions: Python and TensorFlow with the graph, before any picture.
BASE_BYTES = 730 * 2**20
# Of the activations and gradients that are counted below, how many are there at once.
SHARE_AT_ONCE = 0.92
# The weights are there as TensorFlow's, and packed for either direction with 16 numbers for 9.
FORMS_OF_WEIGHTS = 2 + 2 * 16 / 9
# Images of float32 that L-BFGS holds beside two a pair: its position, gradient, direction, a trial's
# position and gradient, and one that is being computed.
IMAGES_BESIDE_PAIRS = 6
# Its position, two moments, the gradient, and what is computed of them.
IMAGES_OF_ADAM = 8
# Copies that TensorFlow Probability's L-BFGS holds of its pairs, measured.
COPIES_OF_TFP = 11
# And with tiles: the content and the style, which are cut up on the host, the image and its gradient.
IMAGES_BESIDE_TILES = 4
# Few, large tiles: what a tile's halo costs is in proportion to 1 / side.
RAY_TILE_PX = 512
TILES_PX = (2048, 1536, 1024, 768, 512, 384, 256)
# Of what there is, the part that others may take meanwhile.
RESERVE = 0.1
_GIB = 2**30


def estimate(
    inputs: PreparedInputs, precision: str, *, factor: float = 1.0, tile_px: int | None = None
) -> int:
    """The most memory, in bytes, that a process takes that makes this transfer on the CPU.

    Args:
      inputs: As from `prepare`.
      precision: Of the network, "float32" or "bfloat16".
      factor: On the number of pixels, to ask about another size.
      tile_px: A tile's side, or None for the picture as a whole.

    Returns:
      Bytes. Within 15 percent of the peak resident size from 256 to 2048 pixels, measured.
    """
    item_bytes = {"float32": 4, "bfloat16": 2}[precision]
    preset = inputs.preset
    pixels = factor * inputs.height * inputs.width
    layers = layers_up_to(preset.layers)
    # The rectifications' gradients read every activation; a Gram matrix's comes with its loss, forward.
    kept = _values_per_pixel(layers) + _values_per_pixel(map(find_layer, preset.style_layers))
    # Going back, a convolution holds the gradient at its output and at its input.
    moving = 2 * max(_values_per_pixel([layer]) for layer in layers)
    at_once = math.inf if tile_px is None else (tile_px + 2 * halo_px(preset.layers)) ** 2
    evaluation = SHARE_AT_ONCE * item_bytes * (kept + moving) * min(pixels, at_once)
    # A target is computed forward only, but its picture may be the larger one.
    style_pixels = factor * max((style[..., 0].size for style in inputs.levels[-1].styles), default=0)
    style_at_once = min(style_pixels, at_once)
    targets = SHARE_AT_ONCE * item_bytes * _values_per_pixel(layers) * style_at_once
    images = _optimizer_images(inputs.settings)
    if tile_px is not None:
        images += IMAGES_BESIDE_TILES
    optimizer = images * 3 * 4 * pixels
    weights = FORMS_OF_WEIGHTS * item_bytes * sum(kernel.size for kernel, _ in inputs.weights.values())
    return int(BASE_BYTES + weights + max(evaluation + optimizer, targets))


def choose_tile(inputs: PreparedInputs, precision: str, device: str) -> int | None:
    """A tile's side in pixels, or None to evaluate the picture as a whole.

    Args:
      inputs: As from `prepare`.
      precision: Of the network.
      device: As from `resolve_device`.

    Returns:
      What the settings say, or with "auto" the largest that fits in memory; where nothing does, the
      smallest, which `check` refuses.
    """
    tile = inputs.settings.tile
    if inputs.settings.ray is not None and tile == "auto":
        # The workers' memory is not known here; this side leaves even small ones room.
        return RAY_TILE_PX
    if tile == "off":
        return None
    if tile != "auto":
        return tile
    limit, held = _limit_and_held(inputs, device)
    for choice in (None, *TILES_PX):
        if limit is None or estimate(inputs, precision, tile_px=choice) - held <= limit:
            return choice
    return TILES_PX[-1]


def check(inputs: PreparedInputs) -> None:
    """Refuses a transfer that would not fit where it would run. Imports TensorFlow, which knows where.

    Args:
      inputs: As from `prepare`.

    Raises:
      InputError: It says what would fit.
    """
    from tf_style.transfer.devices import resolve_device, resolve_precision

    device = resolve_device(inputs.settings.device)
    check_fits(inputs, resolve_precision(inputs.settings.precision, device), device)


def check_fits(inputs: PreparedInputs, precision: str, device: str) -> None:
    """Refuses a transfer that would not fit.

    Args:
      inputs: As from `prepare`.
      precision: Of the network.
      device: As from `resolve_device`.

    Raises:
      InputError: It says what would fit.
    """
    limit, held = _limit_and_held(inputs, device)
    tile_px = choose_tile(inputs, precision, device)
    needed = estimate(inputs, precision, tile_px=tile_px)
    if limit is None or needed - held <= limit:
        return
    factor = 1.0
    while factor > 1e-4 and (
        estimate(inputs, precision, factor=factor, tile_px=tile_px) - held > limit
    ):
        factor *= 0.95
    size = int(inputs.settings.size * factor**0.5)
    advice = f"--size {size} would fit" if factor > 1e-4 else "nothing would fit"
    raise InputError(
        f"{inputs.width} x {inputs.height} pixels in {precision} need about {needed / _GIB:.2f} GiB of "
        f"memory in all, and {(limit + held) / _GIB:.2f} GiB can be had: {advice}, or "
        "--no-memory-check to go on"
    )


def _limit_and_held(inputs: PreparedInputs, device: str) -> tuple[int | None, int]:
    """What can still be taken, None where nobody knows, and what of the estimate is taken already."""
    # On a GPU the process's own part stays in the host's memory; here it has part of what it needs.
    is_gpu = device.startswith("/GPU")
    held = BASE_BYTES if is_gpu else host.resident()
    limit = host.gpu_free(device) if is_gpu else host.available()
    if limit is not None:
        limit = int(limit * (1 - RESERVE))
    if inputs.settings.memory is not None:
        own = int(inputs.settings.memory * _GIB) - held
        limit = own if limit is None else min(limit, own)
    return limit, held


def _optimizer_images(settings: Settings) -> float:
    """How many images of float32 the optimiser's state takes."""
    if settings.optimizer == "adam":
        return IMAGES_OF_ADAM
    if settings.optimizer == "tfp":
        return 2 * settings.num_pairs * COPIES_OF_TFP + IMAGES_BESIDE_PAIRS
    return 2 * settings.num_pairs * (0.5 if settings.pair_precision == "bfloat16" else 1) + (
        IMAGES_BESIDE_PAIRS
    )


def _values_per_pixel(layers: Iterable[ConvLayer]) -> float:
    return sum(layer.channels / layer.stride**2 for layer in layers)
