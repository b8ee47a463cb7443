"""The Gaussian mixture as a value: densities, scores, denoising and draws in closed form."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ._seeding import Seed, generator
from .arguments import (
    check_count,
    check_feature_names,
    check_shapes,
    check_weights,
    finite_array,
    is_integer,
    normalised,
    positive_definite,
)
from .blocks import RowBlocks
from .covariance import FAMILIES, components_of
from .data import LARGEST_VALUE, Data, raw_rows
from .errors import InvalidParameterError
from .kernels import gaussian, score
from .kernels.bundles import Components

FORMAT = "diffgmm.GaussianMixture"
VERSION = 1


@dataclass(frozen=True, eq=False)
class GaussianMixture:
    """A mixture of K Gaussians in D dimensions, sum_k w_k N(m_k, S_k). Immutable.

    Parameters
    ----------
    weights : array-like, shape (K,)
        Not negative, sum 1.
    means : array-like, shape (K, D)
        In the units of the data.
    covariances : array-like, shape (K, D, D)
        Symmetric positive definite, in squared units of the data.
    feature_names : sequence of str, optional
        D names; `x0`, `x1`, ... when not given.

    Raises
    ------
    InvalidParameterError
        When shapes disagree, weights are not a distribution, or a covariance is not positive
        definite.

    Examples
    --------
    >>> mixture = GaussianMixture([0.5, 0.5], [[-1.0], [1.0]], [[[1.0]], [[1.0]]])
    >>> mixture.score([[0.0]])
    array([[0.]])
    """

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    feature_names: tuple[str, ...] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        weights, means, covariances = (
            finite_array(name, getattr(self, name)) for name in ("weights", "means", "covariances")
        )
        check_shapes(weights, means, covariances)
        check_weights(weights)
        given = self.feature_names
        if given is None or (isinstance(given, tuple) and not given):
            given = tuple(f"x{index}" for index in range(means.shape[1]))
        names = check_feature_names(given, means.shape[1])
        covariances = positive_definite(covariances)
        for name, value in (
            ("weights", normalised(weights)),
            ("means", means),
            ("covariances", covariances),
        ):
            value.flags.writeable = False
            object.__setattr__(self, name, value)
        object.__setattr__(self, "feature_names", names)

    def __repr__(self) -> str:
        names = list(self.feature_names)
        return f"GaussianMixture(n_components={self.n_components}, features={names})"

    @property
    def n_components(self) -> int:
        """Number of components K."""
        return len(self.weights)

    @property
    def n_features(self) -> int:
        """Number of features D."""
        return self.means.shape[1]

    @cached_property
    def _components(self) -> Components:
        return components_of(self.weights, self.means, self.covariances, FAMILIES["full"])

    def _values(self, x: Any) -> np.ndarray:
        return Data.of(x, feature_names=self.feature_names).values

    def log_density(self, x: Any) -> np.ndarray:
        """Return the log density of every row, in nats.

        Parameters
        ----------
        x : array-like, shape (N, D)

        Returns
        -------
        ndarray, shape (N,)
            -inf where float64 cannot hold the density's logarithm.
        """
        values = self._values(x)
        out, rows = np.empty(len(values)), raw_rows(values)
        RowBlocks(*values.shape).map(
            lambda start, stop: gaussian.log_density(rows, self._components, start, stop, out)
        )
        return out

    def responsibilities(self, x: Any) -> np.ndarray:
        """Return p(component | row), shape (N, K); rows sum to 1."""
        values = self._values(x)
        out, rows = np.empty((len(values), self.n_components)), raw_rows(values)
        RowBlocks(*values.shape).map(
            lambda start, stop: gaussian.responsibilities(rows, self._components, start, stop, out)
        )
        return out

    def predict(self, x: Any) -> np.ndarray:
        """Return the most probable component of every row, shape (N,)."""
        values = self._values(x)
        out = np.empty(len(values), dtype=np.int64)

        def work(start: int, stop: int) -> None:
            rows, own = raw_rows(values[start:stop]), np.empty((stop - start, self.n_components))
            gaussian.responsibilities(rows, self._components, 0, stop - start, own)
            out[start:stop] = own.argmax(axis=1)

        RowBlocks(*values.shape).map(work)
        return out

    def score(self, x: Any, sigma: float = 0.0) -> np.ndarray:
        """Return the gradient of the log density after adding noise of sd `sigma`.

        Parameters
        ----------
        x : array-like, shape (N, D)
            Noised rows, in the units of the data.
        sigma : float, default 0
            Standard deviation of isotropic noise, in the units of the data.

        Returns
        -------
        ndarray, shape (N, D)
            sum_k r_k(x) S_k^-1 (m_k - x) with S_k = covariance_k + sigma^2 I, in 1 / units of x.
        """
        components, values = self.noised(sigma)._components, self._values(x)
        out, rows = np.empty(values.shape), raw_rows(values)
        RowBlocks(*values.shape).map(
            lambda start, stop: score.mixture_score(rows, components, start, stop, out)
        )
        return out

    def denoise(self, y: Any, sigma: float) -> np.ndarray:
        """Return E[x | y] for y = x + sigma * noise, shape (N, D): y + sigma^2 score(y, sigma).

        References
        ----------
        Tweedie's formula; Gatmiry, Kelner, Lee (2025), arXiv:2404.18869, section 1.
        """
        gradient = self.score(y, sigma)
        return self._values(y) + float(sigma) ** 2 * gradient

    def noised(self, sigma: float) -> "GaussianMixture":
        """Return the mixture of x + sigma * noise: covariances grow by sigma^2 I.

        Parameters
        ----------
        sigma : float
            Standard deviation of the noise, in the units of the data; not negative.
        """
        try:
            valid = 0.0 <= (number := float(sigma)) < LARGEST_VALUE
        except (TypeError, ValueError):
            valid = False
        if not valid:
            raise InvalidParameterError(
                f"sigma must be a number, not negative and below 1e150, got {sigma!r}."
            )
        sigma = number
        if sigma == 0.0:
            return self
        noise = sigma * sigma * np.eye(self.n_features)
        return GaussianMixture(
            self.weights, self.means, self.covariances + noise, feature_names=self.feature_names
        )

    def sample(self, n: int, random_seed: Seed = None) -> np.ndarray:
        """Return n independent draws in random order, shape (n, D).

        Parameters
        ----------
        n : int
            Number of draws, at least 1.
        random_seed : int, sequence of int, Generator or None
            An integer repeats the draws.
        """
        n = check_count("n", n)
        rng = generator(random_seed)
        component = rng.choice(self.n_components, size=n, p=self.weights)
        draws = rng.standard_normal((n, self.n_features))
        cholesky = np.linalg.cholesky(self.covariances)
        for k in range(self.n_components):
            own = component == k
            draws[own] = draws[own] @ cholesky[k].T + self.means[k]
        return draws

    def marginal(self, features: Any) -> "GaussianMixture":
        """Return the mixture of some features, named or numbered, in the order given."""
        index = self._feature_index(features)
        return GaussianMixture(
            self.weights,
            self.means[:, index],
            self.covariances[:, index][:, :, index],
            feature_names=tuple(self.feature_names[i] for i in index),
        )

    def condition(self, given: dict[str | int, float]) -> "GaussianMixture":
        """Return the mixture of the other features when some are known.

        Parameters
        ----------
        given : dict
            Value of each known feature, by name or number, in the units of the data.
        """
        if not isinstance(given, dict):
            raise InvalidParameterError(
                f"condition needs a dictionary of features and their values, got {given!r}."
            )
        known = self._feature_index(list(given))
        rest = [i for i in range(self.n_features) if i not in known]
        if not rest:
            raise InvalidParameterError("condition must leave at least one feature unknown.")
        try:
            value = np.array([float(v) for v in given.values()])
        except (TypeError, ValueError):
            value = np.array([np.nan])
        if not np.all(np.abs(value) < LARGEST_VALUE):
            raise InvalidParameterError(
                f"condition needs finite numbers below 1e150 in size, got {given!r}."
            )
        s_kk = self.covariances[:, known][:, :, known]
        s_rk = self.covariances[:, rest][:, :, known]
        gain = np.swapaxes(np.linalg.solve(s_kk, np.swapaxes(s_rk, 1, 2)), 1, 2)
        step = value - self.means[:, known]
        means = self.means[:, rest] + np.einsum("krg,kg->kr", gain, step)
        covariances = self.covariances[:, rest][:, :, rest] - gain @ np.swapaxes(s_rk, 1, 2)
        with np.errstate(over="ignore"):
            log_weights = self._log_joint_of(known, value)
        if log_weights.max() == -np.inf:
            raise InvalidParameterError(
                f"condition needs values that some component can reach, got {given!r}."
            )
        weights = np.exp(log_weights - log_weights.max())
        return GaussianMixture(
            weights / weights.sum(),
            means,
            0.5 * (covariances + np.swapaxes(covariances, 1, 2)),
            feature_names=tuple(self.feature_names[i] for i in rest),
        )

    def _log_joint_of(self, index: list[int], value: np.ndarray) -> np.ndarray:
        part = self.marginal(index)._components
        white = np.einsum("kab,kb->ka", part.factors, value - part.means)
        return part.log_constants - 0.5 * np.square(white).sum(axis=1)

    def _feature_index(self, features: Any) -> list[int]:
        many = isinstance(features, Iterable) and not isinstance(features, str)
        features = list(features) if many else [features]
        index = []
        for feature in features:
            if isinstance(feature, str) and feature in self.feature_names:
                index.append(self.feature_names.index(feature))
            elif is_integer(feature) and 0 <= feature < self.n_features:
                index.append(int(feature))
            else:
                raise InvalidParameterError(
                    f"features must be among {list(self.feature_names)} or numbers below "
                    f"{self.n_features}, got {feature!r}."
                )
        if len(set(index)) != len(index) or not index:
            raise InvalidParameterError(
                f"features must be distinct and not empty, got {features!r}."
            )
        return index

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and names, ready for JSON."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "weights": self.weights.tolist(),
            "means": self.means.tolist(),
            "covariances": self.covariances.tolist(),
            "feature_names": list(self.feature_names),
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> "GaussianMixture":
        """Return the mixture that `to_dict` described."""
        from .files import check_state

        parts = ("weights", "means", "covariances", "feature_names")
        check_state(state, FORMAT, parts, VERSION)
        return cls(
            state["weights"],
            state["means"],
            state["covariances"],
            feature_names=tuple(state["feature_names"]),
        )

    def save(self, path: str | Path) -> None:
        """Write the mixture as JSON; numbers survive to the last bit."""
        from .files import write_text

        write_text(path, json.dumps(self.to_dict(), indent=1))

    @classmethod
    def load(cls, path: str | Path) -> "GaussianMixture":
        """Read a mixture that `save` wrote."""
        from .files import read_json

        return cls.from_dict(read_json(path))
