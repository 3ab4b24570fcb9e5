"""Figures of a finished picture against its photograph and its painting. NumPy and Pillow only.

Pictures are arrays [height, width, 3] of RGB grey levels, 0..255, of any numeric dtype.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

Floats = NDArray[np.float64]
# Red, green and blue along brightness, red against blue, and green against both; orthonormal rows, as
# in tf_style/optimize/preconditioner.py.
AXES = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])
AXIS_NAMES = ("brightness", "red-blue", "green")
LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
SEED = 0
QUANTILES = 1024  # at which a one-dimensional distance compares two distributions
DIRECTIONS = 128
PATCH_SIDE = 7
PATCHES = 4096
PYRAMID_LEVELS = 3
TILE_SIDE = 32  # of the spectrum in flat areas; a multiple of 8, so that the lines fall upon bins


def luma(picture: ArrayLike) -> Floats:
    """Y' = 0.299 R + 0.587 G + 0.114 B [height, width], 0..255."""
    return np.asarray(picture, np.float64) @ LUMA


def _gaussian(sigma: float, radius: int) -> Floats:
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return kernel / kernel.sum()


def _convolve(plane: Floats, kernel: Floats) -> Floats:
    """Both ways, without what would reach beyond the border."""
    for axis in (0, 1):
        windows = np.lib.stride_tricks.sliding_window_view(plane, len(kernel), axis)
        plane = windows @ kernel
    return plane


def gradient_magnitude(picture: ArrayLike, sigma_px: float = 1.0) -> Floats:
    """Length of luma's gradient, in levels a pixel, after a Gaussian; borders reflect."""
    radius = int(np.ceil(3 * sigma_px))
    padded = np.pad(luma(picture), radius, mode="reflect")
    return np.hypot(*np.gradient(_convolve(padded, _gaussian(sigma_px, radius))))


def edge_correlation(picture: ArrayLike, photograph: ArrayLike) -> float:
    """Pearson's correlation of both pictures' `gradient_magnitude`, over all pixels.

    The Gaussian's sigma is a 128th of the longer side, 2 pixels at 256, so that the same edges count at
    each size. Finer ones are the brush's: with 1 pixel at 256 a cat that was gone outdid a painted one.
    1 where every edge lies as in the photograph, about 0 where none does. Blind to tone and colour.
    0 where a picture has no edge at all.
    """
    sigma_px = max(np.shape(picture)) / 128
    ours, theirs = (gradient_magnitude(image, sigma_px).ravel() for image in (picture, photograph))
    ours, theirs = ours - ours.mean(), theirs - theirs.mean()
    scale = np.linalg.norm(ours) * np.linalg.norm(theirs)
    return float(ours @ theirs / scale) if scale > 1e-6 else 0.0  # Below, all is rounding.


def ms_ssim(picture: ArrayLike, photograph: ArrayLike) -> float:
    """Multi-scale structural similarity of luma, at most 1.

    Wang, Simoncelli and Bovik, "Multiscale structural similarity for image quality assessment" (2003):
    five scales, windows of 11 pixels and sigma 1.5, K1 = 0.01, K2 = 0.03; negative contrast-structure
    terms count as 0, as in `tf.image.ssim_multiscale`. A picture less than 176 pixels high or wide has
    as many scales as hold a window, the exponents then scaled to the same sum.
    """
    exponents = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])
    ours, theirs = luma(picture), luma(photograph)
    num_scales = min(len(exponents), 1 + int(np.log2(max(1, min(ours.shape) / 11))))
    exponents = exponents[:num_scales] * (exponents.sum() / exponents[:num_scales].sum())
    total = 1.0
    for scale, exponent in enumerate(exponents):
        if scale:
            ours, theirs = _halve(ours), _halve(theirs)
        luminance, contrast = _ssim_terms(ours, theirs)
        value = contrast if scale < num_scales - 1 else luminance
        total *= max(value, 0.0) ** exponent
    return float(total)


def _ssim_terms(ours: Floats, theirs: Floats) -> tuple[float, float]:
    """Means of the whole of SSIM and of its contrast and structure."""
    kernel, c1, c2 = _gaussian(1.5, 5), (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_ours, mean_theirs = _convolve(ours, kernel), _convolve(theirs, kernel)
    covariance = _convolve(ours * theirs, kernel) - mean_ours * mean_theirs
    variances = _convolve(ours**2 + theirs**2, kernel) - mean_ours**2 - mean_theirs**2
    contrast = (2 * covariance + c2) / (variances + c2)
    luminance = (2 * mean_ours * mean_theirs + c1) / (mean_ours**2 + mean_theirs**2 + c1)
    return float((luminance * contrast).mean()), float(contrast.mean())


def _halve(plane: Floats) -> Floats:
    """Means of 2 by 2 pixels [..., height // 2, width // 2, ...] over the first two axes."""
    height, width = plane.shape[0] // 2 * 2, plane.shape[1] // 2 * 2
    plane = plane[:height, :width]
    return (plane[::2, ::2] + plane[1::2, ::2] + plane[::2, 1::2] + plane[1::2, 1::2]) / 4


def sliced_wasserstein(a: Floats, b: Floats, directions: int = DIRECTIONS) -> float:
    """Mean Wasserstein-1 distance of two point sets' projections on random unit vectors.

    Rabin, Peyré, Delon and Bernot, "Wasserstein barycenter and its application to texture mixing"
    (2011). One dimension's distance is the mean difference of the quantiles.

    Args:
      a: [points, dimensions].
      b: [other points, dimensions].
      directions: How many, the same ones each time.
    """
    vectors = np.random.default_rng(SEED).normal(size=(a.shape[1], directions))
    vectors /= np.linalg.norm(vectors, axis=0)
    return float(np.abs(_quantiles(a @ vectors) - _quantiles(b @ vectors)).mean())


def _quantiles(values: Floats) -> Floats:
    """`QUANTILES` evenly spaced ones of each column; the values themselves where they are as many."""
    values = np.sort(values, axis=0)  # far faster than np.quantile with as many places
    places = (np.arange(QUANTILES) + 0.5) / QUANTILES * len(values) - 0.5
    places = np.clip(places, 0, len(values) - 1)
    below = np.floor(places).astype(int)
    above = np.minimum(below + 1, len(values) - 1)
    share = (places - below)[:, np.newaxis]
    return values[below] * (1 - share) + values[above] * share


def colour_distance(picture: ArrayLike, painting: ArrayLike) -> float:
    """`sliced_wasserstein` of all pixels' RGB, on a scale of 0..1."""
    ours, theirs = (np.asarray(image, np.float64).reshape(-1, 3) / 255 for image in (picture, painting))
    return sliced_wasserstein(ours, theirs)


def patch_distance(picture: ArrayLike, painting: ArrayLike) -> float:
    """Mean over an RGB pyramid's levels of `sliced_wasserstein` of patches, on a scale of 0..1.

    After Karras, Aila, Laine and Lehtinen, "Progressive growing of GANs" (2018), section 5, but of
    the pyramid of means, not of its differences, and without normalising colours, which matter here:
    4096 random patches of 7 by 7 pixels from each of three levels, each half the size of the last one.
    A level smaller than a patch is left out. The painting should have the picture's area.
    """
    ours, theirs = (np.asarray(image, np.float64) / 255 for image in (picture, painting))
    distances = []
    for level in range(PYRAMID_LEVELS):
        if level:
            ours, theirs = _halve(ours), _halve(theirs)
        if min(*ours.shape[:2], *theirs.shape[:2]) < PATCH_SIDE:
            break
        distances.append(sliced_wasserstein(_patches(ours), _patches(theirs)))
    if not distances:
        raise ValueError(f"Expected at least {PATCH_SIDE} pixels. Received: {ours.shape}.")
    return float(np.mean(distances))


def _patches(image: Floats) -> Floats:
    windows = np.lib.stride_tricks.sliding_window_view(image, (PATCH_SIDE, PATCH_SIDE), (0, 1))
    rng = np.random.default_rng(SEED)
    rows, columns = (rng.integers(0, count, PATCHES) for count in windows.shape[:2])
    return windows[rows, columns].reshape(PATCHES, -1)


def noise(picture: ArrayLike, lowest: float = 0.4) -> tuple[float, float, float]:
    """Root mean square of what is finer than `lowest` cycles a pixel, along each of `AXES`, in levels.

    Over the whole picture under a Hann window, whose own power is divided out. A frequency is the
    length of (vertical, horizontal), so up to 0.71. Grey noise of 1 level has 3**0.5 along brightness.
    """
    planes = np.asarray(picture, np.float64) @ AXES.T
    height, width = planes.shape[:2]
    window = np.outer(_hann(height), _hann(width))
    spectra = np.fft.fft2((planes - planes.mean((0, 1))) * window[..., np.newaxis], axes=(0, 1))
    fine = np.hypot(np.fft.fftfreq(height)[:, np.newaxis], np.fft.fftfreq(width)) >= lowest
    power = (np.abs(spectra[fine]) ** 2).sum(0) / (height * width * (window**2).sum())
    brightness, red_blue, green = np.sqrt(power)
    return float(brightness), float(red_blue), float(green)


def _hann(length: int) -> Floats:
    return np.sin(np.pi * (np.arange(length) + 0.5) / length) ** 2


def flat_peaks(picture: ArrayLike, photograph: ArrayLike) -> dict[str, float]:
    """How far the power at 1/2, 1/4 and 1/8 cycle a pixel stands out where the photograph is flat.

    The network's strides leave dots there. Of the photograph's tiles of 32 pixels, every 8 pixels, the
    tenth with the least mean `gradient_magnitude` is flat. The picture's power spectra in those tiles,
    under a Hann window, are summed over `AXES` and averaged. The figure at f is the largest ratio, at
    (0, f), (f, 0), (f, f) and (f, -f), of the power to the geometric mean of a square ring two bins
    away, which lies beyond the window's own width; 1 means no peak.

    Args:
      picture: At least 32 pixels high and wide.
      photograph: Of the same shape.
    """
    planes = np.asarray(picture, np.float64) @ AXES.T
    tiles = (TILE_SIDE, TILE_SIDE)
    steps = (slice(None, None, 8), slice(None, None, 8))
    slopes = np.lib.stride_tricks.sliding_window_view(gradient_magnitude(photograph), tiles)[steps]
    slopes = slopes.mean((-2, -1))
    flat = slopes <= np.quantile(slopes, 0.1)
    windows = np.lib.stride_tricks.sliding_window_view(planes, tiles, (0, 1))[steps][flat]
    windows = windows - windows.mean((-2, -1), keepdims=True)
    window = np.outer(_hann(TILE_SIDE), _hann(TILE_SIDE))
    power = (np.abs(np.fft.fft2(windows * window)) ** 2).sum(1).mean(0)
    ring = [(y, x) for y in range(-2, 3) for x in range(-2, 3) if max(abs(y), abs(x)) == 2]
    peaks = {}
    for period in (2, 4, 8):
        f = TILE_SIDE // period
        ratios = []
        for y, x in ((0, f), (f, 0), (f, f), (f, -f)):
            around = [power[(y + dy) % TILE_SIDE, (x + dx) % TILE_SIDE] for dy, dx in ring]
            # A tile that is one colour throughout has no power anywhere, and no peak.
            floor = np.exp(np.log(np.maximum(around, 1e-12)).mean())
            ratios.append(max(power[y, x], 1e-12) / floor)
        peaks[f"1/{period}"] = float(max(ratios))
    return peaks


def clipped_share(picture: ArrayLike) -> float:
    """The share of pixels, 0 to 1, of which any colour is 0 or 255."""
    picture = np.asarray(picture)
    return float(((picture <= 0) | (picture >= 255)).any(-1).mean())


def gram_distance(ours: Sequence[Floats], theirs: Sequence[Floats]) -> float:
    """Mean over layers of the Gram matrices' |G/M - A/M'| / |A/M'|, Frobenius norms.

    Args:
      ours: Activations [positions, channels] of each layer.
      theirs: The painting's, at the same layers.
    """
    ratios = []
    for a, b in zip(ours, theirs, strict=True):
        gram, target = (f.T.astype(np.float64) @ f / len(f) for f in (a, b))
        ratios.append(np.linalg.norm(gram - target) / np.linalg.norm(target))
    return float(np.mean(ratios))


def moments_distance(ours: Sequence[Floats], theirs: Sequence[Floats]) -> float:
    """Mean over layers of the Wasserstein-2 distance of the activations' Gaussians, relative.

    W**2 = |m - m'|**2 + tr(C + C' - 2 (S C S)**(1/2)) with S = C'**(1/2), divided by
    |m'|**2 + tr C', of which the root is taken. Arguments as for `gram_distance`. In float64.
    """
    ratios = []
    for a, b in zip(ours, theirs, strict=True):
        target, wanted = moments(b)
        square = squared_distance(moments(a), (target, wanted))
        ratios.append(np.sqrt(max(square, 0.0) / ((target**2).sum() + np.trace(wanted))))
    return float(np.mean(ratios))


def squared_distance(ours: tuple[Floats, Floats], theirs: tuple[Floats, Floats]) -> float:
    """W**2 as above of two Gaussians, each its mean and covariance."""
    (mean, covariance), (target, wanted) = ours, theirs
    # The trace of (S C S)**(1/2) is the sum of the singular values of C**(1/2) S.
    middle = np.linalg.svd(_square_root(covariance) @ _square_root(wanted), compute_uv=False)
    return ((mean - target) ** 2).sum() + np.trace(covariance + wanted) - 2 * middle.sum()


def moments(features: Floats) -> tuple[Floats, Floats]:
    """Mean and covariance of activations [positions, channels]."""
    features = features.astype(np.float64)
    mean = features.mean(0)
    return mean, (features - mean).T @ (features - mean) / len(features)


def _square_root(matrix: Floats) -> Floats:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def scores(picture: ArrayLike, photograph: ArrayLike, painting: ArrayLike) -> Mapping[str, float]:
    """All figures that need no network, by the heads of the table's columns.

    The photograph is resized to the picture's size where a tool has rounded a side otherwise.
    """
    height, width = np.shape(picture)[:2]
    if np.shape(photograph)[:2] != (height, width):
        resized = Image.fromarray(np.asarray(photograph, np.uint8)).resize((width, height))
        photograph = np.asarray(resized)
    peaks = flat_peaks(picture, photograph)
    return {
        "edges": edge_correlation(picture, photograph),
        "MS-SSIM": ms_ssim(picture, photograph),
        "patches": patch_distance(picture, painting),
        "colours": colour_distance(picture, painting),
        **{f"noise {name}": value for name, value in zip(AXIS_NAMES, noise(picture), strict=True)},
        **{f"peak {frequency}": value for frequency, value in peaks.items()},
        "clipped": clipped_share(picture),
    }
