"""How much memory a transfer takes, and what fits."""

import functools
import math
from collections.abc import Iterable

from tf_style import host
from tf_style.errors import InputError
from tf_style.network.architecture import ConvLayer, find_layer, layers_up_to
from tf_style.objective.tile_plan import RAY_TILE_PX, halo_px
from tf_style.transfer.prepare import PreparedInputs
from tf_style.transfer.settings import Settings

# Python and TensorFlow with the graph, before any picture. Measured, as the next one is, by the peak
# resident size of runs at 256 to 2048 pixels in both precisions.
BASE_BYTES = 730 * 2**20
# The fraction of the activations and gradients counted below that is alive at the peak.
SHARE_AT_ONCE = 0.92
# The weights as TensorFlow's, and packed for either direction with 16 numbers for 9.
WEIGHT_COPIES = 2 + 2 * 16 / 9
# Images of float32 that L-BFGS holds beside two a pair: its position, gradient, direction, a trial's
# position and gradient, and one that is being computed.
IMAGES_BESIDE_PAIRS = 6
# Its position, two moments, the gradient, and what is computed of them.
ADAM_IMAGES = 8
# Copies that TensorFlow Probability's L-BFGS holds of its pairs, measured.
TFP_PAIR_COPIES = 11
# And with tiles: the content and the style, which are cut up on the host, the image and its gradient.
IMAGES_BESIDE_TILES = 4
TILES_PX = (2048, 1536, 1024, 768, 512, 384, 256)
# The fraction of what is available that is left to other processes.
HEADROOM = 0.1
_IMAGE_BYTES = 3 * 4  # A pixel, in float32.
_GIB = 2**30


def estimate(
    inputs: PreparedInputs,
    precision: str,
    *,
    factor: float = 1.0,
    tile_px: int | None = None,
    has_checkpoint: bool = False,
    device: str = "/CPU:0",
) -> int:
    """The most memory, in bytes, that a process takes where it makes this transfer.

    Args:
      inputs: As from `prepare`.
      precision: Of the network, "float32" or "bfloat16".
      factor: On the number of pixels, to ask about another size.
      tile_px: A tile's side, or None for the picture as a whole.
      has_checkpoint: Whether the run is saved now and then.
      device: As from `resolve_device`.

    Returns:
      Bytes; on the CPU within 15 percent of the peak resident size from 256 to 2048 pixels, measured.
    """
    item_bytes = {"float32": 4, "bfloat16": 2}[precision]
    preset = inputs.preset
    margins = 2 * inputs.levels[-1].level.margin
    height, width = (math.sqrt(factor) * side for side in (inputs.height, inputs.width))
    pixels = (height + margins) * (width + margins)
    layers = layers_up_to(preset.layers)
    # ReLU's gradients read every activation; a Gram matrix's comes with its loss, forward, and those
    # of moments are all there when going back begins. A few matrices [N, N], a MiB each, do not matter.
    of_style = _values_per_pixel(map(find_layer, preset.style_layers))
    # Of each region the guided activations are there too.
    kept = _values_per_pixel(layers) + of_style * (1 + len(inputs.levels[-1].regions))
    # Going back, a convolution holds the gradient at its output and at its input.
    moving = 2 * max(_values_per_pixel([layer]) for layer in layers)
    at_once = math.inf if tile_px is None else (tile_px + 2 * halo_px(preset.layers)) ** 2
    evaluation = SHARE_AT_ONCE * item_bytes * (kept + moving) * min(pixels, at_once)
    # A target is computed forward only, but its picture may be the larger one.
    style_pixels = factor * max((style[..., 0].size for style in inputs.levels[-1].styles), default=0)
    style_at_once = min(style_pixels, at_once)
    targets = SHARE_AT_ONCE * item_bytes * _values_per_pixel(layers) * style_at_once
    image = _IMAGE_BYTES * pixels
    optimizer = image * _optimizer_images(inputs.settings)
    if tile_px is not None:
        optimizer += image * IMAGES_BESIDE_TILES
    # What is stored is read out whole, between two evaluations, while what their activations took stays
    # with the process: measured. From a GPU it goes into the host's memory.
    is_copied = has_checkpoint and not device.startswith("/GPU")
    saving = image * _stored_images(inputs.settings) if is_copied else 0
    weights = WEIGHT_COPIES * item_bytes * sum(kernel.size for kernel, _ in inputs.weights.values())
    return int(BASE_BYTES + weights + max(optimizer + evaluation + saving, targets))


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
        return RAY_TILE_PX
    if tile == "off":
        return None
    if tile != "auto":
        return tile
    limit, held = limit_and_held(inputs.settings, device)
    for choice in (None, *TILES_PX):
        if limit is None or estimate(inputs, precision, tile_px=choice) - held <= limit:
            return choice
    return TILES_PX[-1]


def check(inputs: PreparedInputs, *, has_checkpoint: bool = False) -> None:
    """Refuses a transfer that would not fit where it would run. Imports TensorFlow, which knows where.

    Args:
      inputs: As from `prepare`.
      has_checkpoint: Whether the run is saved now and then.

    Raises:
      InputError: It says what would fit.
    """
    from tf_style.transfer.devices import resolve_device, resolve_precision

    device = resolve_device(inputs.settings.device)
    precision = resolve_precision(inputs.settings.precision, device)
    check_fits(inputs, precision, device, has_checkpoint=has_checkpoint)


def check_fits(
    inputs: PreparedInputs, precision: str, device: str, *, has_checkpoint: bool = False
) -> None:
    """Refuses a transfer that would not fit.

    Args:
      inputs: As from `prepare`.
      precision: Of the network.
      device: As from `resolve_device`.
      has_checkpoint: Whether the run is saved now and then.

    Raises:
      InputError: It says what would fit.
    """
    limit, held = limit_and_held(inputs.settings, device)
    needed_for = functools.partial(
        estimate,
        inputs,
        precision,
        # Tiles make no difference to what a checkpoint takes, so their choice need not know of it.
        tile_px=choose_tile(inputs, precision, device),
        has_checkpoint=has_checkpoint,
        device=device,
    )
    needed = needed_for()
    if limit is None or needed - held <= limit:
        return
    factor = 1.0
    while factor > 1e-4 and needed_for(factor=factor) - held > limit:
        factor *= 0.95
    size = int(inputs.settings.size * factor**0.5)
    advice = f"--size {size} would fit" if factor > 1e-4 else "nothing would fit"
    raise InputError(
        f"{inputs.width} x {inputs.height} pixels in {precision} need about {needed / _GIB:.2f} GiB of "
        f"memory in all, and {(limit + held) / _GIB:.2f} GiB can be had: {advice}, or "
        "--no-memory-check to go on"
    )


def limit_and_held(settings: Settings, device: str) -> tuple[int | None, int]:
    """What can still be taken, None where nobody knows, and what of an estimate is taken already.

    Args:
      settings: Their `memory` is a limit too.
      device: As from `resolve_device`.
    """
    # On a GPU the process's own part stays in the host's memory; here it has part of what it needs.
    is_gpu = device.startswith("/GPU")
    held = BASE_BYTES if is_gpu else host.resident()
    limit = host.gpu_free(device) if is_gpu else host.available()
    if limit is not None:
        limit = int(limit * (1 - HEADROOM))
    if settings.memory is not None:
        own = int(settings.memory * _GIB) - held
        limit = own if limit is None else min(limit, own)
    return limit, held


def _optimizer_images(settings: Settings) -> float:
    """How many images of float32 the optimiser takes while it works."""
    if settings.optimizer == "adam":
        return ADAM_IMAGES
    if settings.optimizer == "tfp":
        return 2 * settings.num_pairs * TFP_PAIR_COPIES + IMAGES_BESIDE_PAIRS
    return _lbfgs_pairs(settings) + IMAGES_BESIDE_PAIRS


def _stored_images(settings: Settings) -> float:
    """How many images of float32 a checkpoint holds: what the minimisers' `state` returns."""
    if settings.optimizer == "adam":
        return 4  # The last good position, Keras's variable and its two moments.
    if settings.optimizer == "tfp":
        return 2 * settings.num_pairs + 4  # The position, the start, and tfp's position and gradient.
    return _lbfgs_pairs(settings) + 2  # The position and its gradient.


def _lbfgs_pairs(settings: Settings) -> float:
    return 2 * settings.num_pairs * (0.5 if settings.pair_precision == "bfloat16" else 1)


def _values_per_pixel(layers: Iterable[ConvLayer]) -> float:
    return sum(layer.channels / layer.stride**2 for layer in layers)
