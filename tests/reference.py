"""The paper's equations in NumPy float64, from the page, and a network small enough for them."""

import numpy as np
import scipy.linalg

from tf_style.objective import gaussian


def gram(features: np.ndarray) -> np.ndarray:
    """Equation 3, for F of shape [M, N] (the paper's transposed)."""
    return features.T @ features


def content_loss(features: np.ndarray, target: np.ndarray) -> float:
    """Equation 1."""
    return 0.5 * np.sum((features - target) ** 2)


def content_gradient(features: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Equation 2."""
    return np.where(features > 0, features - target, 0.0)


def layer_style_loss(features: np.ndarray, target_gram: np.ndarray) -> float:
    """E_l of equation 4, its normalisation included."""
    positions, channels = features.shape
    difference = gram(features) - target_gram
    return np.sum(difference**2) / (4.0 * channels**2 * positions**2)


def layer_style_gradient(features: np.ndarray, target_gram: np.ndarray) -> np.ndarray:
    """Equation 6."""
    positions, channels = features.shape
    difference = gram(features) - target_gram
    gradient = features @ difference / (channels**2 * positions**2)
    return np.where(features > 0, gradient, 0.0)


def gaussian_distance(mean, covariance, target_mean, target_covariance) -> float:
    """The textbook's squared Wasserstein-2 distance, with the ridges, by SciPy's square roots."""
    channels = len(mean)
    average, own = np.trace(target_covariance) / channels, np.trace(covariance) / channels
    ridge = gaussian.RIDGE * average + gaussian.LEAST_VARIANCE
    a = target_covariance + (ridge + gaussian.OWN_RIDGE * average) * np.eye(channels)
    c = covariance + (ridge + gaussian.OWN_RIDGE * own) * np.eye(channels)
    root = scipy.linalg.sqrtm(a).real
    cross = scipy.linalg.sqrtm(root @ c @ root).real
    return np.sum((mean - target_mean) ** 2) + np.trace(a + c - 2 * cross)


class Network:
    """Two layers of 1 x 1 filters, average pooling between them: simple to backpropagate by hand."""

    def __init__(self, channels: tuple[int, int], seed: int):
        generator = np.random.default_rng(seed)
        self.filters = (
            generator.normal(size=(3, channels[0])) / 60.0,
            generator.normal(size=channels),
        )

    def activations(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """From [height, width, 3] to [height, width, n1] and [height / 2, width / 2, n2]."""
        first = np.maximum(image @ self.filters[0], 0.0)
        return first, np.maximum(_pool(first) @ self.filters[1], 0.0)

    def image_gradient(self, image: np.ndarray, gradients: list[np.ndarray]) -> np.ndarray:
        """Back from dL/dF of both layers, zero already where F is."""
        first, _ = self.activations(image)
        pooled = gradients[1] @ self.filters[1].T / 4.0
        from_second = np.repeat(np.repeat(pooled, 2, axis=0), 2, axis=1) * (first > 0)
        return (gradients[0] + from_second) @ self.filters[0].T


def _pool(features: np.ndarray) -> np.ndarray:
    height, width, channels = features.shape
    return features.reshape(height // 2, 2, width // 2, 2, channels).mean(axis=(1, 3))


def inverse_hessian(pairs: list[tuple[np.ndarray, np.ndarray]], initial: np.ndarray) -> np.ndarray:
    """The dense matrix that L-BFGS applies implicitly: Nocedal and Wright's equations 7.19 and 7.20.

    Args:
      pairs: Steps s and gradient differences y, oldest first.
      initial: The matrix to begin with, up to the factor that the newest pair gives it.
    """
    s, y = pairs[-1]
    inverse = (s @ y) / (y @ initial @ y) * initial
    for s, y in pairs:
        rho = 1.0 / (y @ s)
        v = np.eye(len(s)) - rho * np.outer(y, s)
        inverse = v.T @ inverse @ v + rho * np.outer(s, s)
    return inverse
