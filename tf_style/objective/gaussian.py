"""The distance between two normal distributions, by products of matrices in float32.

With means m, m' and covariances C, C' the squared Wasserstein-2 distance is

    E = |m - m'|**2 + tr(C + C' - 2 (S C S)**(1/2)),  S = C'**(1/2)        (Dowson and Landau 1982)

and dE/dC = 1 - T, where T = S (S C S)**(-1/2) S is the map that transports the one covariance to the
other, T C T = C'. S C S has the squares of the spectrum, and in float32 its small eigenvalues are lost.
So with C = L L^T the trace is taken of the polar factor of X = L^T S, whose singular values are the
square roots of the eigenvalues of S C S:

    X = W P,  W orthogonal:  tr (S C S)**(1/2) = tr P = tr(W^T X),  T = L**(-T) W S.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from tf_style.ops.library import used_device_type

# Directions of the target's covariance that are compared one by one, those of most variance. The rest
# of 512 channels has 1 to 3 percent of the variance of paintings, and is compared by its sum; a picture
# made with all of them looks the same, and takes twice the time over the roots.
MAX_DIRECTIONS = 256
# Both covariances' diagonals are raised by this part of the target's mean variance, and of their own:
# so neither is singular, with fewer positions than channels, or flat.
RIDGE = 1e-3
OWN_RIDGE = 1e-4
# Variances are of activations, whose size is about 1 to 100: this is for pictures of one colour.
LEAST_VARIANCE = 1e-8
# Singular values of X, as parts of the largest, that the iteration takes to 1; smaller ones come near.
LEAST_SINGULAR_VALUE = 1e-4


class GaussianTarget(NamedTuple):
    """A batch of normal distributions, in the form in which others are compared with them.

    Attributes:
      mean: [batch, N].
      axes: [batch, N, N], the covariance's eigenvectors in columns, the largest variance first.
      variances: [batch, k], along the first k axes, with the ridge.
      rest: [batch], the sum of the variances along the others, with the ridge.
      ridge: [batch], what another covariance's diagonal is raised by, beside its own part.
    """

    mean: tf.Tensor
    axes: tf.Tensor
    variances: tf.Tensor
    rest: tf.Tensor
    ridge: tf.Tensor


def gaussian_target(
    mean: tf.Tensor, covariance: tf.Tensor, rank: int | tf.Tensor | None = None
) -> GaussianTarget:
    """Prepares distributions to compare others with.

    Args:
      mean: float64 [batch, N].
      covariance: float64 [batch, N, N], symmetric; eigenvalues below 0 are rounding and taken as 0.
      rank: At most so many eigenvalues are above 0, a scalar int32 tensor where that is known only when
        the graph runs; what others come to is rounding, and taken as 0. None for N.

    Returns:
      The target, in float64: to be cast to the dtype of what is compared with it.
    """
    channels = covariance.shape[-1]
    rank = channels if rank is None else rank
    most = min(MAX_DIRECTIONS, channels)
    if tf.is_tensor(rank):
        num_directions = tf.clip_by_value(rank, 1, most)
    else:
        num_directions = max(1, min(most, rank))
    values, vectors = tf.linalg.eigh(covariance)
    values, vectors = tf.maximum(values[:, ::-1], 0.0), vectors[:, :, ::-1]
    # Hundreds of roundings would add up to a part of the ridge.
    values = tf.where(tf.range(channels) < rank, values, 0.0)
    average = tf.reduce_sum(values, axis=1) / channels
    ridge = RIDGE * average + LEAST_VARIANCE
    own = ridge + OWN_RIDGE * average
    variances = values[:, :num_directions] + own[:, tf.newaxis]
    rest = tf.reduce_sum(values[:, num_directions:], axis=1) + own
    return GaussianTarget(mean, vectors, variances, rest, ridge)


def distance_and_derivative(
    mean: tf.Tensor, covariance: tf.Tensor, target: GaussianTarget
) -> tuple[tf.Tensor, tf.Tensor]:
    """The squared distance of normal distributions from a target's, and its derivative.

    Args:
      mean: float32 [batch, N].
      covariance: float32 [batch, N, N], symmetric, positive semidefinite but for rounding.
      target: Of the same batch, or of one distribution for all.

    Returns:
      E, float32 [batch], and dE/dC, float32 [batch, N, N], symmetric. dE/dm is 2 (m - m').
    """
    return distances_and_derivatives([(mean, covariance, target)])[0]


def distances_and_derivatives(
    compared: Sequence[tuple[tf.Tensor, tf.Tensor, GaussianTarget]],
) -> list[tuple[tf.Tensor, tf.Tensor]]:
    """The same of several, as of an objective's layers, whose numbers of channels may differ.

    On a GPU, where a small product takes no longer than its launch, their transports are one batch.

    Args:
      compared: Of each, as for `distance_and_derivative`, all of the same batch.

    Returns:
      Of each what that returns.
    """
    on_gpu = used_device_type() == "GPU"
    transports_of = _transports_together if on_gpu and len(compared) > 1 else _transports
    if not (on_gpu and tf.config.experimental.tensor_float_32_execution_enabled()):
        return _distances_and_derivatives(compared, transports_of)
    # With TensorFloat-32 the factors of products have 10 bits, of which the iteration would fail.
    exact = tf.nest.map_structure(lambda each: tf.cast(each, tf.float64), list(compared))
    found = _distances_and_derivatives(exact, transports_of)
    return tf.nest.map_structure(lambda each: tf.cast(each, tf.float32), found)


class _AlongAxes(NamedTuple):
    """A covariance along the axes of the one it is compared with.

    Attributes:
      first: [batch, k, k], along those that are compared one by one, with the ridge.
      rest: [batch], the sum of the variances along the others, with the ridge.
    """

    first: tf.Tensor
    rest: tf.Tensor


def _distances_and_derivatives(
    compared: Sequence[tuple[tf.Tensor, tf.Tensor, GaussianTarget]],
    transports_of: Callable[[list[tf.Tensor], list[tf.Tensor]], list[tuple[tf.Tensor, tf.Tensor]]],
) -> list[tuple[tf.Tensor, tf.Tensor]]:
    along = [_along_axes(covariance, target) for _, covariance, target in compared]
    deviations = [tf.sqrt(target.variances) for _, _, target in compared]
    transports = transports_of([each.first for each in along], deviations)
    return [
        _distance_and_derivative(mean, target, of_axes, *transport)
        for (mean, _, target), of_axes, transport in zip(compared, along, transports, strict=True)
    ]


def _along_axes(covariance: tf.Tensor, target: GaussianTarget) -> _AlongAxes:
    k = _last_side(target.variances)
    first, others = target.axes[:, :, :k], target.axes[:, :, k:]
    ridge = target.ridge + OWN_RIDGE / covariance.shape[-1] * tf.linalg.trace(covariance)
    turned = tf.matmul(covariance, target.axes)
    inner = tf.matmul(first, turned[:, :, :k], transpose_a=True)
    inner = tf.linalg.set_diag(inner, tf.linalg.diag_part(inner) + ridge[:, tf.newaxis])
    rest = tf.maximum(tf.reduce_sum(others * turned[:, :, k:], axis=[1, 2]), 0.0) + ridge
    return _AlongAxes(inner, rest)


def _transport(covariance: tf.Tensor, deviations: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """What takes normal distributions to others along whose axes they are given.

    Args:
      covariance: C, [..., k, k].
      deviations: S's diagonal, [..., k].

    Returns:
      tr (S C S)**(1/2), [...], and T, [..., k, k].
    """
    root = tf.linalg.cholesky(covariance)
    x = tf.linalg.matrix_transpose(root) * deviations[..., tf.newaxis, :]
    polar = polar_factor(x)
    fidelity = tf.reduce_sum(polar * x, axis=[-2, -1])
    transport = tf.linalg.triangular_solve(root, polar * deviations[..., tf.newaxis, :], adjoint=True)
    return fidelity, (transport + tf.linalg.matrix_transpose(transport)) / 2.0


def _transports(
    covariances: list[tf.Tensor], deviations: list[tf.Tensor]
) -> list[tuple[tf.Tensor, tf.Tensor]]:
    """`_transport` of several, one by one."""
    return [_transport(*each) for each in zip(covariances, deviations, strict=True)]


def _transports_together(
    covariances: list[tf.Tensor], deviations: list[tf.Tensor]
) -> list[tuple[tf.Tensor, tf.Tensor]]:
    """`_transport` of several at once, all brought to the most directions that there can be."""
    sides = [_last_side(each) for each in deviations]
    most = MAX_DIRECTIONS

    def padded(each: tf.Tensor, rank: int) -> tf.Tensor:
        beside = most - _last_side(each)
        return tf.pad(each, [[0, 0], *[[0, beside]] * (rank - 1)])

    # Variances of 1 beside them, which a root needs, to be taken to 0: that adds to no sum and no norm.
    ones = tf.linalg.diag(1.0 - tf.sequence_mask(sides, most, covariances[0].dtype))
    stacked = tf.stack([padded(each, 3) for each in covariances]) + ones[:, tf.newaxis]
    batch = tf.shape(covariances[0])[0]
    to = tf.stack([tf.broadcast_to(padded(each, 2), [batch, most]) for each in deviations])
    found = zip(*(tf.unstack(each, num=len(sides)) for each in _transport(stacked, to)), strict=True)
    return [
        (fidelity, transport[:, :side, :side])
        for (fidelity, transport), side in zip(found, sides, strict=True)
    ]


def _distance_and_derivative(
    mean: tf.Tensor,
    target: GaussianTarget,
    along: _AlongAxes,
    fidelity: tf.Tensor,
    transport: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    k = _last_side(target.variances)
    first = target.axes[:, :, :k]
    distance = (
        tf.reduce_sum(tf.square(mean - target.mean), axis=1)
        + (tf.linalg.trace(along.first) + tf.reduce_sum(target.variances, axis=1) - 2.0 * fidelity)
        + tf.square(tf.sqrt(along.rest) - tf.sqrt(target.rest))
    )
    # Along the other axes the same for all, which is where their sum of variances is raised or lowered.
    along_others = tf.sqrt(target.rest / along.rest)
    excess = tf.linalg.set_diag(transport, tf.linalg.diag_part(transport) - along_others[:, tf.newaxis])
    derivative = -tf.matmul(first, tf.matmul(excess, first, transpose_b=True))
    # The ridges go with the trace.
    of_ridge = tf.cast(k + 1, transport.dtype) - tf.linalg.trace(transport) - along_others
    of_ridge *= OWN_RIDGE / mean.shape[-1]
    diagonal = tf.linalg.diag_part(derivative) + (1.0 - along_others + of_ridge)[:, tf.newaxis]
    return distance, tf.linalg.set_diag(derivative, diagonal)


def polar_factor(x: tf.Tensor) -> tf.Tensor:
    """The orthogonal factor W of X = W P, P symmetric and positive semidefinite.

    Newton and Schulz's iteration, two products each time, scaled so that the bounds of the singular
    values, 1 and a known least one, are mapped alike: a small one grows by up to 2.6 and not by 1.5.

    Args:
      x: float32 [..., k, k]. Singular values below `LEAST_SINGULAR_VALUE` of the largest come near 1
        only.

    Returns:
      float32 [..., k, k].

    Reference:
      Chen and Chow, "A Stable Scaling of Newton-Schulz for Improving the Sign Function Computation of a
      Hermitian Matrix" (2014); Higham, "Functions of Matrices" (2008), section 8.3.
    """
    w = x / tf.maximum(tf.norm(x, axis=[-2, -1], keepdims=True), 1e-30)
    for scale in _SCALES:
        squares = tf.matmul(w, w, transpose_a=True)
        identity = tf.eye(_last_side(x), dtype=x.dtype)
        w = tf.matmul(w, 1.5 * scale * identity - 0.5 * scale**3 * squares)
    return w


def _last_side(x: tf.Tensor) -> int | tf.Tensor:
    return tf.shape(x)[-1] if x.shape[-1] is None else x.shape[-1]


def _scales() -> list[float]:
    """Of each iteration, until the least singular value is 1 in float32."""
    scales, least = [], LEAST_SINGULAR_VALUE
    while least < 1 - 1e-7:
        scale = (3.0 / (1.0 + least + least**2)) ** 0.5
        scales.append(scale)
        least = scale * least * (3.0 - (scale * least) ** 2) / 2.0
    return scales


_SCALES = _scales()
