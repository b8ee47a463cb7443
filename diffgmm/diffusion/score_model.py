"""The score model: a Gaussian mixture's exact score and a learned residual beside it."""

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from .._seeding import Seed
from ..arguments import check_sigma
from ..blocks import RowBlocks
from ..covariance import FAMILIES, components_of
from ..data import Data
from ..errors import InvalidParameterError
from ..files import check_state
from ..kernels import features, score
from ..kernels.bundles import Rows
from ..mixture import GaussianMixture
from . import derivatives
from .schedule import visited_levels
from .significance import ResidualReport
from .spectrum import Spectrum

FORMAT = "diffgmm.ScoreModel"


@dataclass(frozen=True, eq=False, kw_only=True)
class ScoreModel:
    """Score and denoiser of noised data, and draws by reverse diffusion. Immutable.

    Inside, everything is in standardised units z = (x - shift) / scale. Noise levels are too:
    sigma = 0.5 is noise with half of `scale` as standard deviation in every feature. Rows, scores
    and draws that go in or come out are in the user's units.

    Attributes
    ----------
    weights, means, covariances : ndarray, shapes (K,), (K, D), (K, D, D)
    shift, scale : ndarray, shape (D,)
        In the user's units.
    feature_names : tuple of str
    sigmas : ndarray, shape (L,)
        Noise levels of the residual, decreasing.
    coefficients : ndarray, shape (L, K, p, D)
        The denoiser's residual at level l is
        sigma_l sum_j p(j | y) sum_q coefficients[l, j, q] phi_q(u_j), see `kernels.features`.
    active : ndarray of bool, shape (L, K)
        Cells that are not active have coefficients 0.
    report : ResidualReport or None
        What held-out rows said about every cell; None for a model that was made silent.
    """

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    shift: np.ndarray
    scale: np.ndarray
    feature_names: tuple[str, ...]
    sigmas: np.ndarray
    coefficients: np.ndarray
    active: np.ndarray
    report: ResidualReport | None

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, np.ndarray):
                value = value.copy()
                value.flags.writeable = False
                object.__setattr__(self, each.name, value)
        n_levels, n_components, n_features = len(self.sigmas), *self.means.shape
        if self.active.shape != (n_levels, n_components) or (
            self.coefficients.shape[:2] + self.coefficients.shape[3:]
            != (n_levels, n_components, n_features)
        ):
            raise InvalidParameterError(
                "active and coefficients must have shapes (L, K) and (L, K, p, D) with "
                f"(L, K, D) = {(n_levels, n_components, n_features)}, got {self.active.shape} and "
                f"{self.coefficients.shape}."
            )

    @classmethod
    def silent(cls, mixture: GaussianMixture, shift: np.ndarray, scale: np.ndarray) -> "ScoreModel":
        """Return the score model of `mixture` (in the user's units) without any residual."""
        shift, scale = np.array(shift, float), np.array(scale, float)
        k, d = mixture.means.shape
        return cls(
            weights=mixture.weights,
            means=(mixture.means - shift) / scale,
            covariances=mixture.covariances / (scale[:, None] * scale),
            shift=shift,
            scale=scale,
            feature_names=tuple(mixture.feature_names or ()),
            sigmas=np.zeros(0),
            coefficients=np.zeros((0, k, 0, d)),
            active=np.zeros((0, k), bool),
            report=None,
        )

    def __repr__(self) -> str:
        k, d = self.means.shape
        cells = f"{int(self.active.sum())} of {self.active.size} cells active"
        return f"ScoreModel(n_components={k}, n_features={d}, {cells})"

    @property
    def is_silent(self) -> bool:
        """Whether the residual is 0 everywhere: then draws are exact draws of the mixture."""
        return not self.active.any()

    @property
    def n_score_evaluations(self) -> int:
        """How often a draw evaluates the score."""
        return len(self.levels)

    @cached_property
    def levels(self) -> np.ndarray:
        """Noise levels that a draw visits, decreasing, in standardised units."""
        return visited_levels(self.sigmas, np.any(self.active, axis=1))

    @cached_property
    def spectrum(self) -> Spectrum:
        """The mixture in the eigenbasis of its components, in standardised units."""
        return Spectrum.of(self.weights, self.means, self.covariances)

    def coefficients_at(self, sigma: float) -> np.ndarray:
        """Return the residual's coefficients at any noise level, (K, p, D), with p = 0 for none.

        coefficients / sigma, those of the score, are linear in log(sigma) between levels and
        constant below the lowest; above the highest level there is no residual.
        """
        k, d = self.means.shape
        if self.is_silent or sigma > self.sigmas[0]:
            return np.zeros((k, 0, d))
        below = int(np.searchsorted(-self.sigmas, -sigma))  # the first level <= sigma
        lower = self.coefficients[min(below, len(self.sigmas) - 1)]
        if below < len(self.sigmas):
            blended = lower if self.sigmas[below] == sigma else self._between(below, sigma)
        else:
            blended = lower * (sigma / self.sigmas[-1])
        return blended if blended.any() else np.zeros((k, 0, d))

    def _between(self, below: int, sigma: float) -> np.ndarray:
        above = below - 1
        high, low = self.sigmas[above], self.sigmas[below]
        share = np.log(sigma / low) / np.log(high / low)
        return sigma * (
            share * self.coefficients[above] / high + (1.0 - share) * self.coefficients[below] / low
        )

    def score(self, x: Any, sigma: float = 0.0) -> np.ndarray:
        """Return the score of rows noised by `sigma`: the mixture's, exact, plus the residual.

        Parameters
        ----------
        x : array-like, shape (N, D)
            Noised rows, in the user's units.
        sigma : float, default 0
            Noise level, in standardised units: noise has the standard deviation sigma * scale.

        Returns
        -------
        ndarray, shape (N, D)
            In 1 / units of x.
        """
        out = self._gated(x, check_sigma(sigma), mixture=True)
        out /= self.scale
        return out

    def residual(self, x: Any, sigma: float = 0.0) -> np.ndarray:
        """Return what `score` adds to the mixture's own score, shape (N, D), in 1 / units of x."""
        return self._gated(x, check_sigma(sigma), mixture=False) / self.scale

    def denoise(self, y: Any, sigma: float) -> np.ndarray:
        """Return E[x | y] for y = x + sigma * scale * noise, shape (N, D), in the user's units."""
        sigma = check_sigma(sigma)
        y = Data.of(y, feature_names=self.feature_names)
        return y.values + (sigma * sigma * self.scale) * self._gated(y, sigma, mixture=True)

    def score_and_divergence(self, x: Any, sigma: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        """Return the score of rows noised by `sigma` and its divergence, both exact.

        Parameters
        ----------
        x : array-like, shape (N, D)
            Noised rows, in the user's units.
        sigma : float, default 0
            Noise level, in standardised units.

        Returns
        -------
        score : ndarray, shape (N, D)
            In 1 / units of x.
        divergence : ndarray, shape (N,)
            sum_a d score_a / d x_a. Where a whitened coordinate is clipped, the residual does not
            change with it.
        """
        out = derivatives.score_and_divergence(self, self._rows(x), check_sigma(sigma))
        return out[0] / self.scale, out[1]

    def jacobian(self, x: Any, sigma: float = 0.0) -> np.ndarray:
        """Return the Jacobian of the score of rows noised by `sigma`, shape (N, D, D).

        Entry [n, a, b] is d score_a / d x_b at row n, in 1 / (units of a times units of b). It is
        symmetric while the residual is silent; a learned score need not be a gradient.
        The posterior covariance of clean rows follows from it: Cov[x | y] = noise (I + J noise),
        with the noise's covariance diag((sigma scale)^2).

        Parameters
        ----------
        x : array-like, shape (N, D)
            Noised rows, in the user's units.
        sigma : float, default 0
            Noise level, in standardised units.
        """
        out = derivatives.jacobian(self, self._rows(x), check_sigma(sigma))
        return out / (self.scale[:, None] * self.scale)

    def _rows(self, x: Any) -> Rows:
        """Return rows as kernels see them, standardised."""
        data = Data.of(x, feature_names=self.feature_names)
        return data.rows(self.shift, self.scale)

    def _gated(self, x: Any, sigma: float, mixture: bool) -> np.ndarray:
        """Return score or residual in standardised units, shape (N, D)."""
        data = Data.of(x, feature_names=self.feature_names)
        polynomials = self.score_polynomials(sigma)
        if polynomials.shape[2] == 0 and not mixture:
            return np.zeros(data.values.shape)
        rows, out = data.rows(self.shift, self.scale), np.empty(data.values.shape)
        if polynomials.shape[2] == 0:
            self._write_mixture_score(rows, sigma, out)
            return out
        components, pulls = self.spectrum.components(sigma), self.spectrum.pulls(sigma)
        RowBlocks(*data.values.shape).map(
            lambda start, stop: features.score(
                rows, components, -pulls if mixture else 0.0 * pulls, polynomials, start, stop, out
            )
        )
        return out

    def _write_mixture_score(self, rows: Rows, sigma: float, out: np.ndarray) -> None:
        """Write the mixture's score in standardised units; triangular factors are the quickest."""
        noised = self.covariances + sigma * sigma * np.eye(len(self.scale))
        components = components_of(self.weights, self.means, noised, FAMILIES["full"])
        RowBlocks(*out.shape).map(
            lambda start, stop: score.mixture_score(rows, components, start, stop, out)
        )

    def score_polynomials(self, sigma: float) -> np.ndarray:
        """Return the coefficients of the residual of the score, features last: (K, D, p)."""
        reference = sigma
        if not self.is_silent:
            reference = max(sigma, float(self.sigmas[-1]))  # constant below the lowest level
        coefficients = self.coefficients_at(reference)
        return np.ascontiguousarray(np.swapaxes(coefficients, 1, 2)) / (reference or 1.0)

    def sample(
        self,
        n: int,
        random_seed: Seed = None,
        *,
        sampler: str | None = None,
        steps: int | None = None,
    ) -> np.ndarray:
        """Return n independent draws by reverse diffusion, shape (n, D), in the user's units.

        Parameters
        ----------
        n : int
            Number of draws, at least 1.
        random_seed : int, sequence of int, Generator or None
            An integer repeats the draws, whatever the number of threads.
        sampler : str, optional
            "mixture" (the default), "gms", "sde", "predictor-corrector", "heun", "dpm++", "ode"; see
            `diffgmm.diffusion.draw`, which also returns the number of score evaluations.
        steps : int, optional
            Number of steps; each sampler has its own default.
        """
        from .samplers import draw

        return draw(self, n, sampler=sampler or "mixture", steps=steps, random_seed=random_seed).values

    def log_density(self, x: Any) -> np.ndarray:
        """Return the log density at rows `x`, shape (N,), in nats.

        Of the probability-flow ODE, the law of sampler="ode"; the mixture's exactly where the
        residual is silent. See `diffgmm.diffusion.density`, and `.likelihood` for a second estimator.
        """
        from .density import log_density

        return log_density(self, x)

    def with_residual(
        self,
        sigmas: np.ndarray,
        coefficients: np.ndarray,
        active: np.ndarray,
        report: ResidualReport | None,
    ) -> "ScoreModel":
        """Return the same mixture with another residual; the arrays are described in the class."""
        return replace(self, sigmas=sigmas, coefficients=coefficients, active=active, report=report)

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and names, ready for JSON."""
        state: dict[str, Any] = {"format": FORMAT, "version": 1}
        for each in fields(self):
            value = getattr(self, each.name)
            state[each.name] = value.tolist() if isinstance(value, np.ndarray) else value
        state["feature_names"] = list(self.feature_names)
        state["n_polynomials"] = self.coefficients.shape[2]
        state["report"] = None if self.report is None else self.report.to_dict()
        return state

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> "ScoreModel":
        """Return the model that `to_dict` described."""
        check_state(state, FORMAT, [*(each.name for each in fields(cls)), "n_polynomials"])
        arrays = {
            name: np.array(state[name], float)
            for name in ("weights", "means", "covariances", "shift", "scale", "sigmas")
        }
        n_levels, (k, d) = len(arrays["sigmas"]), arrays["means"].shape
        shape = (n_levels, k, int(state["n_polynomials"]), d)
        report = state["report"]
        return cls(
            **arrays,
            feature_names=tuple(state["feature_names"]),
            coefficients=np.array(state["coefficients"], float).reshape(shape),
            active=np.array(state["active"], bool).reshape(n_levels, k),
            report=None if report is None else ResidualReport.from_dict(report),
        )
