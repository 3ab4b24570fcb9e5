"""The photograph's colours kept: what is done to the pictures before a transfer, and after it.

Gatys, Bethge, Hertzmann and Shechtman, "Preserving Color in Neural Artistic Style Transfer" (2016). All
of it is done in gamma-coded sRGB, as there, and the optimiser knows nothing of it. `keep` is

- "luminance": photograph and style are grey, and the style has the photograph's mean and standard
  deviation; the picture that is made gets the photograph's colours.
- "match": the style's colours are mapped to the photograph's mean and covariance.
- "histogram": each channel of the style is given the photograph's histogram.

Pictures are float32 [height, width, 3] on the 0..255 scale, NumPy's, or TensorFlow's with `xp=tf`. What
a style is given may leave that range: else its moments would not be the photograph's.
"""

from typing import Any

import numpy as np

from tf_style.transfer.settings import KeepColors

# Y' of ITU-R BT.601; the colour channels beside it, B - Y' and R - Y', are those of YCbCr and YUV.
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# Of a direction of colour. Rounding to whole levels gives a single colour 1 / 12, and to draw that out
# to a photograph's contrast would be noise.
LEAST_VARIANCE = 1.0


def of_photograph(keep: KeepColors | None, photograph: Any, *, xp: Any = np) -> Any:
    """The photograph as the transfer is to see it; or a batch."""
    return _as_colours(luminance(photograph, xp), xp) if keep == "luminance" else photograph


def of_style(keep: KeepColors | None, style: Any, photograph: Any, *, xp: Any = np) -> Any:
    """A style as the transfer is to see it.

    Args:
      keep: As above; None for nothing.
      style: Of any size.
      photograph: At the size at which the transfer works.
      xp: NumPy or TensorFlow.

    Returns:
      Shaped as the style.
    """
    if keep == "luminance":
        return _as_colours(_like(luminance(style, xp), luminance(photograph, xp), xp), xp)
    if keep == "match":
        return _matched(style, photograph, xp)
    return style if keep is None else _with_histogram(style, photograph, xp)


def of_result(keep: KeepColors | None, picture: Any, photograph: Any, *, xp: Any = np) -> Any:
    """A transfer's picture with the photograph's colours, where they are put back only now; or a batch.

    Under "luminance" it has the picture's Y' and the photograph's B - Y' and R - Y'. A colour outside
    0..255 is made paler until it is inside, with the same Y', where clipping would change that.

    Args:
      keep: As above; None for nothing.
      picture: Within 0..255.
      photograph: Of its size.
      xp: NumPy or TensorFlow.

    Returns:
      The picture, within 0..255.
    """
    if keep != "luminance":
        return picture
    luma = luminance(picture, xp)[..., np.newaxis]
    colour = photograph - luminance(photograph, xp)[..., np.newaxis]
    room = xp.where(colour > 0, 255 - luma, luma) / xp.maximum(xp.abs(colour), np.float32(1e-3))
    red, green, blue = room[..., :1], room[..., 1:2], room[..., 2:]
    share = xp.minimum(xp.minimum(xp.minimum(red, green), blue), np.float32(1.0))
    return luma + share * colour


def luminance(pixels: Any, xp: Any = np) -> Any:
    """Y' [..., height, width] of one picture or a batch."""
    return xp.einsum("...c,c->...", pixels, LUMA)


def _as_colours(grey: Any, xp: Any) -> Any:
    return xp.stack([grey, grey, grey], -1)


def _like(grey: Any, other: Any, xp: Any) -> Any:
    """A plane with the mean and the standard deviation of another; a flat one has the mean alone."""
    mean, variance = _mean_and_variance(grey, xp)
    other_mean, other_variance = _mean_and_variance(other, xp)
    gain = xp.sqrt(other_variance) * _inverse_root(variance, xp)
    return _cast(gain * (_cast(grey, np.float64, xp) - mean) + other_mean, np.float32, xp)


def _inverse_root(variance: Any, xp: Any) -> Any:
    """1 / sqrt(variance), and 0 where there is none."""
    inverse = 1 / xp.sqrt(xp.maximum(variance, LEAST_VARIANCE))
    return xp.where(variance > LEAST_VARIANCE, inverse, 0 * inverse)


def _mean_and_variance(grey: Any, xp: Any) -> tuple[Any, Any]:
    mean, covariance = _mean_and_covariance(grey[..., np.newaxis], xp)
    return mean[0], covariance[0, 0]


def _matched(style: Any, photograph: Any, xp: Any) -> Any:
    """The style under the linear map with symmetric roots, C_photograph^(1/2) C_style^(-1/2).

    Along colours that the style does not have it gains none: of a grey style, a grey or one hue.
    """
    mean, covariance = _mean_and_covariance(style, xp)
    other_mean, other_covariance = _mean_and_covariance(photograph, xp)
    variances, axes = xp.linalg.eigh(covariance)
    inverse_root = xp.einsum("ij,j,kj->ik", axes, _inverse_root(variances, xp), axes)
    variances, axes = xp.linalg.eigh(other_covariance)
    root = xp.einsum("ij,j,kj->ik", axes, xp.sqrt(xp.maximum(variances, 0.0)), axes)
    change = xp.einsum("ij,jk->ik", root, inverse_root)
    matched = xp.einsum("ij,hwj->hwi", change, _cast(style, np.float64, xp) - mean) + other_mean
    return _cast(matched, np.float32, xp)


def _mean_and_covariance(pixels: Any, xp: Any) -> tuple[Any, Any]:
    """Over the positions of [height, width, N]: float64 [N] and [N, N]."""
    pixels = _cast(pixels, np.float64, xp)
    share = 1 / _cast(xp.size(pixels[..., 0]), np.float64, xp)
    mean = share * xp.einsum("hwc->c", pixels)
    centred = pixels - mean
    return mean, share * xp.einsum("hwi,hwj->ij", centred, centred)


def _with_histogram(style: Any, photograph: Any, xp: Any) -> Any:
    """Channel by channel, each value to the photograph's of the same rank; equal ones stay equal."""
    return xp.stack(
        [_of_same_rank(style[..., index], photograph[..., index], xp) for index in range(3)], -1
    )


def _of_same_rank(plane: Any, other: Any, xp: Any) -> Any:
    values, ranked, others = (xp.reshape(each, [-1]) for each in (plane, plane, other))
    ranked, others = xp.sort(ranked), xp.sort(others)
    below, up_to = (xp.searchsorted(ranked, values, side=side) for side in ("left", "right"))
    # The middle of the ranks that equal values have, and the place of the same share of the others.
    share = _cast(below + up_to, np.float64, xp) / _cast(2 * xp.size(ranked), np.float64, xp)
    last = _cast(xp.size(others) - 1, np.float64, xp)
    place = xp.minimum(xp.maximum(share * (last + 1) - 0.5, 0.0), last)
    before = xp.floor(place)
    ends = [
        _taken(others, _cast(each, np.int64, xp), xp) for each in (before, xp.minimum(before + 1, last))
    ]
    between = _cast(place - before, np.float32, xp)
    return xp.reshape(ends[0] + between * (ends[1] - ends[0]), xp.shape(plane))


def _cast(values: Any, dtype: Any, xp: Any) -> Any:
    return np.asarray(values, dtype) if xp is np else xp.cast(values, dtype)


def _taken(values: Any, indices: Any, xp: Any) -> Any:
    return values[indices] if xp is np else xp.gather(values, indices)
