"""A score in standardised units, its evaluations counted: what every sampler receives."""

from copy import copy
from dataclasses import is_dataclass, replace
from typing import Any

import numpy as np

from ...errors import SamplingDivergedError
from ...mixture import GaussianMixture
from ..schedule import SIGMA_MAX
from ..spectrum import Spectrum

# Where a score without a mixture starts, in standard deviations of the data. From 2 to 2.5 on a
# Gaussian with the data's mean and covariance and the noised data can hardly be told apart.
TELEPORT = 2.5

# Step of central differences, in standard deviations of the noise, where no exact Jacobian is
# known. Both errors of a smooth score, of the formula and of rounding, are near 1e-8 of it.
DIFFERENCE = 1e-4


class StandardisedScore:
    """The score of a model in standardised units z = (x - shift) / scale; it counts evaluations.

    Parameters
    ----------
    model : ScoreModel, or any object with `score(x, sigma)`
        Arrays `shift` and `scale` (D,), when a frozen dataclass has them, are replaced by zeros and
        ones. `jacobian(x, sigma)` and `score_and_divergence(x, sigma)` are used where they exist.
    n_features : int
    start : GaussianMixture, optional
        Law of the data at the start, in standardised units; the model's own mixture when it has
        one, else N(0, I).

    Attributes
    ----------
    model : the model in standardised units.
    start : Spectrum of the mixture whose noised draws the samplers start from.
    start_weights : (K,), its weights.
    n_evaluations : how often the score, or score and Jacobian together, was asked for.
    """

    def __init__(self, model: Any, n_features: int, start: GaussianMixture | None = None) -> None:
        self.model: Any = model
        if is_dataclass(model) and hasattr(model, "shift"):
            ones = np.ones(n_features)
            self.model = replace(model, shift=np.zeros(n_features), scale=ones)  # type: ignore[type-var]
        self.n_evaluations = 0
        if start is not None:
            self.start = Spectrum.of(start.weights, start.means, start.covariances)
            self.start_weights = start.weights.copy()
        elif self.has_mixture:
            self.start, self.start_weights = self.model.spectrum, self.model.weights.copy()
        else:
            spread = getattr(self.model, "spread", np.ones(n_features))
            means, covariances = np.zeros((1, n_features)), np.diag(np.square(spread))[None]
            self.start_weights = np.ones(1)
            self.start = Spectrum.of(self.start_weights, means, covariances)

    @property
    def has_mixture(self) -> bool:
        """Whether the score is that of a mixture and a residual beside it."""
        return hasattr(self.model, "spectrum")

    @property
    def top(self) -> float:
        """Lowest noise level from which on there is no residual; where samplers start."""
        if not self.has_mixture:
            return TELEPORT * float(getattr(self.model, "spread", np.ones(1)).max())
        return highest_level(self.model)

    @property
    def smallest_deviation(self) -> float:
        """Smallest standard deviation of any component, in any direction, and at least 0.01.

        Without a mixture the model's own `noise_scale` where it has one, else that of the start.
        """
        own = float(getattr(self.model, "noise_scale", np.sqrt(self.start.values.min())))
        return max(own, 0.01)

    def fresh(self) -> "StandardisedScore":
        """Return the same score with a counter of its own, for another thread."""
        other = copy(self)
        other.n_evaluations = 0
        return other

    def score(self, z: np.ndarray, sigma: float) -> np.ndarray:
        """Return the score at rows z (N, D), noised by `sigma`: (N, D)."""
        self.n_evaluations += 1
        return self.model.score(checked(z, sigma), sigma)

    def denoise(self, z: np.ndarray, sigma: float) -> np.ndarray:
        """Return E[x | z] by Tweedie's formula, (N, D)."""
        return z + sigma * sigma * self.score(z, sigma)

    def jacobian(self, z: np.ndarray, sigma: float) -> np.ndarray:
        """Return the derivatives d score_a / d z_b at every row, (N, D, D).

        Exact where the model knows them. Otherwise by central differences: 2 D evaluations.
        """
        if hasattr(self.model, "jacobian"):
            self.n_evaluations += 1
            return self.model.jacobian(checked(z, sigma), sigma)
        step = DIFFERENCE * (sigma or 1.0)
        columns = []
        for direction in step * np.eye(z.shape[1]):
            rise = self.score(z + direction, sigma) - self.score(z - direction, sigma)
            columns.append(rise / (2.0 * step))
        return np.stack(columns, axis=2)

    def score_and_divergence(self, z: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
        """Return score (N, D) and the trace of its Jacobian (N,)."""
        if hasattr(self.model, "score_and_divergence"):
            self.n_evaluations += 1
            return self.model.score_and_divergence(checked(z, sigma), sigma)
        return self.score(z, sigma), np.trace(self.jacobian(z, sigma), axis1=1, axis2=2)

    def noised_mixture(self, sigma: float) -> GaussianMixture | None:
        """Return the law at noise level `sigma` where it is known: no residual. Else None."""
        if not self.has_mixture or not self.model.is_silent:
            return None
        return mixture_at(self.model, sigma)


def highest_level(model: Any) -> float:
    """Return the lowest noise level of a score model from which on it has no residual."""
    if model.is_silent:
        return SIGMA_MAX
    first = int(np.flatnonzero(np.any(model.active, axis=1))[0])
    return float(model.sigmas[max(first - 1, 0)])


def mixture_at(model: Any, sigma: float) -> GaussianMixture:
    """Return a score model's mixture, in its standardised units, noised by `sigma`."""
    return GaussianMixture(model.weights, model.means, model.covariances).noised(sigma)


def checked(z: np.ndarray, sigma: float) -> np.ndarray:
    """Return rows z (N, D), or say that some have diverged on the way to noise level `sigma`."""
    if not np.isfinite(z).all():
        bad = int((~np.isfinite(z)).any(axis=1).sum())
        raise SamplingDivergedError(
            f"{bad} draws of a chunk became infinite or NaN before the noise level sigma = "
            f"{sigma:.4g} (standardised). Take more steps, or sampler='mixture'."
        )
    return z
