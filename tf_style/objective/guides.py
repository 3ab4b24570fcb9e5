"""Where in a picture a statistic is taken: weights over the positions of each layer.

Gatys et al., "Controlling Perceptual Factors in Neural Style Transfer" (CVPR 2017), section 4: with a
guide t, of mean square 1 over a layer's positions, the activations t * F stand for F. Departures: a
guide is weighted down where a position's receptive field reaches over the border of its region, by how
much of it lies on either side, where their "inside" is in or out; and a region counts by its share of
the picture, where each of theirs counts the same.

Masks are [batch, height, width, 1] in 0..1, NumPy's, or TensorFlow's with `xp=tf`.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tf_style.network.architecture import ConvLayer, find_layer, layers_up_to

# Positions' weights in all, below which a layer says nothing of a region: its moments would be those of
# a position.
LEAST_POSITIONS = 4.0


@dataclasses.dataclass(frozen=True, eq=False)
class Guide:
    """A mask as it is used at each layer.

    Attributes:
      roots: By layer t, [batch, height, width, 1]; 0 where the region has no such position.
      has: By layer whether the region has positions there, 1.0 or 0.0, [batch].
      share: The mask's mean, [batch].
    """

    roots: Mapping[str, Any]
    has: Mapping[str, Any]
    share: Any


def guide(mask: Any, layers: Sequence[str], *, xp: Any = np) -> Guide:
    """The guide of a mask.

    Args:
      mask: [batch, height, width, 1].
      layers: That are guided.
      xp: NumPy or TensorFlow.

    Returns:
      It, float32.
    """
    roots, has = {}, {}
    for name, weights in layer_weights(mask, layers, xp=xp).items():
        count = xp.einsum("bhwc->b", xp.ones_like(weights))
        total = xp.einsum("bhwc->b", weights)
        has[name] = xp.where(total >= LEAST_POSITIONS, xp.ones_like(total), xp.zeros_like(total))
        gain = has[name] * count / xp.maximum(total, LEAST_POSITIONS)
        roots[name] = xp.sqrt(xp.einsum("bhwc,b->bhwc", weights, gain))
    share = xp.einsum("bhwc->b", mask) / xp.einsum("bhwc->b", xp.ones_like(mask))
    return Guide(roots, has, share)


def layer_weights(mask: Any, layers: Sequence[str], *, xp: Any = np) -> dict[str, Any]:
    """A mask at layers, without what sees over its border.

    A position's receptive field, its convolutions' 3 x 3 windows taken as means, sees a mean m of the
    mask and a variance v, and has the weight m - v / max(m, 1 - m): where the mask is even, m; where it
    is 0 and 1, so that v is m (1 - m), what is inside less what is outside, and 0 where that is more.

    Args:
      mask: As for `guide`.
      layers: By any of their names.
      xp: NumPy or TensorFlow.

    Returns:
      By each name as given [batch, height / stride, width / stride, 1].
    """
    of_layer = {}
    for layer, mean, square in _seen(mask, layers, xp):
        weights = mean - (square - mean * mean) / xp.maximum(mean, 1 - mean)
        of_layer[layer] = xp.maximum(weights, np.float32(0))
    return {name: of_layer[find_layer(name)] for name in layers}


def layer_means(mask: Any, layers: Sequence[str], *, xp: Any = np) -> dict[str, Any]:
    """What a position of each layer sees of a mask on average; arguments and shapes as above."""
    of_layer = {layer: mean for layer, mean, _ in _seen(mask, layers, xp)}
    return {name: of_layer[find_layer(name)] for name in layers}


def _seen(mask: Any, layers: Sequence[str], xp: Any) -> Iterator[tuple[ConvLayer, Any, Any]]:
    """Each layer, with the mean of the mask and of its square in each position's receptive field."""
    mean, square, block = mask, mask * mask, 1
    for layer in layers_up_to(list(layers)):
        if layer.block > block:
            mean, square, block = _pooled(mean, xp), _pooled(square, xp), layer.block
        mean, square = _of_neighbours(mean, xp), _of_neighbours(square, xp)
        yield layer, mean, square


def _of_neighbours(plane: Any, xp: Any) -> Any:
    """The mean of 3 x 3 positions; the border's continue beyond it."""
    padded = xp.pad(plane, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="symmetric")
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    return (rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]) / np.float32(9)


def _pooled(plane: Any, xp: Any) -> Any:
    """The mean of 2 x 2 positions, and nothing of what is left over at the end."""
    height, width = (xp.shape(plane)[axis] // 2 * 2 for axis in (1, 2))
    even, odd = plane[:, 0:height:2], plane[:, 1:height:2]
    rows = even + odd
    return (rows[:, :, 0:width:2] + rows[:, :, 1:width:2]) / np.float32(4)
