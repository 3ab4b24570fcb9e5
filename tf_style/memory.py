"""How much memory a transfer takes. Imports no TensorFlow."""

from collections.abc import Iterable

from tf_style.architecture import ConvLayer, find_layer, layers_up_to
from tf_style.inputs import Inputs

# Measured: Python and TensorFlow with the graph, before any picture.
BASE_BYTES = 500 * 2**20
# Of the activations and gradients, what the convolutions and the allocator take on top.
OVERHEAD = 1.3
# Images of float32 that L-BFGS holds beside two a pair: its position, gradient, direction, a trial's
# position and gradient, and one that is being computed.
IMAGES_BESIDE_PAIRS = 6


def estimate(inputs: Inputs, precision: str) -> int:
    """The most memory, in bytes, that a process takes that makes this transfer on the CPU.

    Args:
      inputs: As from `prepare`.
      precision: Of the network, "float32" or "bfloat16".

    Returns:
      Bytes. Within 15 percent of the peak resident size from 256 to 2048 pixels, measured.
    """
    item_bytes = {"float32": 4, "bfloat16": 2}[precision]
    preset = inputs.preset
    pixels = inputs.height * inputs.width
    layers = layers_up_to(preset.layers)
    # The rectifications' gradients read every activation; a Gram matrix's comes with its loss, forward.
    kept = _values_per_pixel(layers) + _values_per_pixel(map(find_layer, preset.style_layers))
    # Going back, a convolution holds the gradient at its output and at its input.
    moving = 2 * max(_values_per_pixel([layer]) for layer in layers)
    evaluation = OVERHEAD * item_bytes * (kept + moving) * pixels
    # A target is computed forward only, but its picture may be the larger one.
    style_pixels = max((style[..., 0].size for style in inputs.levels[-1].styles), default=0)
    targets = OVERHEAD * item_bytes * _values_per_pixel(layers) * style_pixels
    images = 2 * inputs.settings.num_pairs + IMAGES_BESIDE_PAIRS
    optimizer = images * 3 * 4 * pixels
    weights = 2 * item_bytes * sum(kernel.size for kernel, _ in inputs.weights.values())
    return int(BASE_BYTES + weights + max(evaluation + optimizer, targets))


def _values_per_pixel(layers: Iterable[ConvLayer]) -> float:
    return sum(layer.channels / layer.stride**2 for layer in layers)
