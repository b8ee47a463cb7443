"""Bridge sampling: the evidence from draws of the posterior and of a normal law fitted to them.

Meng and Wong (1996), Statistica Sinica 6, 831-860. The posterior of a mixture of K exchangeable
components has K! copies of everything. Draws are renumbered to match one pivot, which leaves one of
K! domains of equal mass (Frühwirth-Schnatter 2004, doi:10.1111/j.1368-423X.2004.00125.x, has the
trouble of doing without); log K! is added, and points of the normal law outside the domain count 0.
"""

import math
from dataclasses import dataclass

import numpy as np

from ..errors import InvalidParameterError
from .densities import spread_rows
from .gibbs import Target
from .laws import log_normal
from .mixture_draws import MixtureDraws
from .relabelling import SMALLEST_PROBABILITY, match

# Reference rows for the numbering, as in the alignment of labels.
N_REFERENCE_ROWS = 200

# Rounds of the fixed point; it converges in a handful.
MOST_ROUNDS = 1_000
TOLERANCE = 1e-12

# Batches per chain for the error of means over correlated draws.
N_BATCHES = 20

# Probabilities may not be so small that their logarithms overflow a sum.
NOWHERE = -math.inf


@dataclass(frozen=True, eq=False)
class Parameters:
    """S draws in the user's units, as in `PosteriorDraws`; None for what is known or fixed.

    weights (S, K); means (S, K, D).
    """

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray | None = None
    C0: np.ndarray | None = None

    def select(self, index: np.ndarray) -> "Parameters":
        """Return the draws numbered `index`."""
        arrays = (self.weights, self.means, self.covariances, self.C0)
        return Parameters(*(None if a is None else a[index] for a in arrays))  # type: ignore[arg-type]


class Coordinates:
    """Parameters as vectors without constraints, and their posterior density there.

    Log ratios of weights, means, logarithms of variances; of matrices the Cholesky factor with
    logarithms of its diagonal.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self._own = target.covariance_prior
        self._matrices = "feature_bis" in self._own.scale_dims
        k, d = target.n_components, target.data.n_features
        draw = {name: value[0] for name, value in target.prior.draw(k, 1, 0).items()}
        self._shapes = {name: np.shape(value) for name, value in draw.items() if name != "weights"}
        self._lower = np.tril_indices(d)

    def vectors(self, draws: Parameters) -> tuple[np.ndarray, np.ndarray]:
        """Return vectors (S, P) and the log of what densities are multiplied by there (S,)."""
        logs = np.log(draws.weights)
        parts, jacobian = [logs[:, :-1] - logs[:, -1:]], logs.sum(axis=1)
        for name in self._shapes:
            value = getattr(draws, name)
            if name == "means":
                parts.append(value.reshape(len(value), -1))
            elif self._matrices:
                roots = np.linalg.cholesky(value)
                own = self._diagonal(roots)
                jacobian += self._log_volume(own)
                roots = roots.copy()
                self._diagonal(roots)[...] = np.log(own)
                parts.append(roots[..., *self._lower].reshape(len(value), -1))
            else:
                parts.append(np.log(value).reshape(len(value), -1))
                jacobian += parts[-1].sum(axis=1)
        return np.concatenate(parts, axis=1), jacobian

    def draws(self, vectors: np.ndarray) -> Parameters:
        """Return the parameters at vectors (S, P)."""
        n, k = len(vectors), self.target.n_components
        ratios = np.concatenate([vectors[:, : k - 1], np.zeros((n, 1))], axis=1)
        weights = np.exp(ratios - ratios.max(axis=1, keepdims=True))
        values = {"weights": np.maximum(weights / weights.sum(axis=1, keepdims=True), 1e-300)}
        at = k - 1
        for name, shape in self._shapes.items():
            if name != "means" and self._matrices:
                lead, size = shape[:-2], len(self._lower[0])
                count = math.prod(lead) * size
                roots = np.zeros((n, *shape))
                roots[..., *self._lower] = vectors[:, at : at + count].reshape(n, *lead, size)
                own = self._diagonal(roots)
                own[...] = np.exp(own)
                values[name] = roots @ np.swapaxes(roots, -1, -2)
            else:
                count = math.prod(shape)
                value = vectors[:, at : at + count].reshape(n, *shape)
                values[name] = value if name == "means" else np.exp(value)
            at += count
        return Parameters(**values)

    def _diagonal(self, roots: np.ndarray) -> np.ndarray:
        """Return the diagonals of matrices, as a view that can be written."""
        return np.einsum("...aa->...a", roots)

    def _log_volume(self, diagonal: np.ndarray) -> np.ndarray:
        """Return log |d matrix / d vector| given the factor's diagonal (S, ..., D), summed: (S,)."""
        d = diagonal.shape[-1]
        powers = d - np.arange(d) + 1.0
        return (math.log(2.0) + powers * np.log(diagonal)).reshape(len(diagonal), -1).sum(axis=1)

    def mixtures(self, draws: Parameters) -> MixtureDraws:
        """Return the mixtures of draws."""
        k, d = self.target.n_components, self.target.data.n_features
        full = self._own.as_full(draws.covariances, k, d)
        return MixtureDraws(
            draws.weights, draws.means, np.broadcast_to(full, (len(draws.weights), k, d, d))
        )

    def log_posterior(self, draws: Parameters) -> np.ndarray:
        """Return log prior plus log likelihood (S,), in the user's units."""
        prior = self.target.prior
        total = np.zeros(len(draws.weights))
        for own in prior.log_prior(
            draws.weights, draws.means, draws.covariances, draws.C0
        ).values():
            total = total + own
        values = self.target.data.values
        for chunk in np.array_split(np.arange(len(total)), -(-len(total) * len(values) // 2**22)):
            total[chunk] += self.mixtures(draws.select(chunk)).log_density(values).sum(axis=1)
        return total


class Numbering:
    """Which of the K! numberings of each draw is the one next to a pivot.

    The pivot: mean membership probabilities of aligned draws at some rows.
    """

    def __init__(self, coordinates: Coordinates, draws: Parameters) -> None:
        target = coordinates.target
        rows = spread_rows(target.data, target.units, N_REFERENCE_ROWS)
        self._points = np.asarray(target.data.values[rows], dtype=float)
        self._coordinates = coordinates
        reference = self._probabilities(draws).mean(axis=0, dtype=float).T
        self._logs = np.log(np.maximum(reference, SMALLEST_PROBABILITY))

    def _probabilities(self, draws: Parameters) -> np.ndarray:
        mixtures = self._coordinates.mixtures(draws)
        return mixtures.probabilities(self._points, np.arange(len(draws.weights)))

    def order(self, draws: Parameters) -> np.ndarray:
        """Return the order (S, K) that puts each draw next to the pivot."""
        chunks = np.array_split(np.arange(len(draws.weights)), -(-len(draws.weights) // 512))
        # sum over rows of p(j | row) log q(l | row): the largest is Stephens' order.
        gains = [self._probabilities(draws.select(c)) @ self._logs for c in chunks]
        return np.concatenate([match(gain) for gain in gains])

    def apply(self, draws: Parameters) -> Parameters:
        """Return draws in the order next to the pivot."""
        order, rows = self.order(draws), np.arange(len(draws.weights))[:, None]
        covariances = draws.covariances
        if covariances is not None and self._coordinates.target.covariance_prior.is_labelled:
            covariances = covariances[rows, order]
        return Parameters(
            draws.weights[rows, order], draws.means[rows, order], covariances, draws.C0
        )

    def contains(self, draws: Parameters) -> np.ndarray:
        """Whether each draw is in the domain already (S,)."""
        return np.all(self.order(draws) == np.arange(draws.weights.shape[1]), axis=1)


def bridge(
    target: Target, draws: Parameters, n_chains: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Return the log evidence and its standard error.

    Parameters
    ----------
    target : Target
    draws : Parameters
        Aligned, chain after chain. The first half of each chain fits the normal law and the pivot,
        the second is used with as many draws of that law.
    n_chains : int
    rng : Generator

    Raises
    ------
    InvalidParameterError
        When there are fewer draws than a normal law of so many parameters needs.
    """
    coordinates = Coordinates(target)
    k = target.n_components
    index = np.arange(len(draws.weights)).reshape(n_chains, -1)
    half = index.shape[1] // 2
    fitted, own = index[:, :half].ravel(), index[:, half:].ravel()
    symmetric = k > 1 and target.prior.is_exchangeable
    numbering = Numbering(coordinates, draws.select(fitted)) if symmetric else None
    if numbering is not None:
        draws = numbering.apply(draws)
    vectors, jacobian = coordinates.vectors(draws)
    n_parameters = vectors.shape[1]
    if len(fitted) < 2 * n_parameters or half < N_BATCHES:
        raise InvalidParameterError(
            f"Bridge sampling of {n_parameters} parameters needs {4 * n_parameters} draws and "
            f"{2 * N_BATCHES} in each chain, got {n_chains} chains of {index.shape[1]}. Draw more, "
            "or use method='smc'."
        )
    centre, spread = vectors[fitted].mean(axis=0), np.atleast_2d(np.cov(vectors[fitted].T))
    proposals = rng.multivariate_normal(centre, spread, size=len(own), method="cholesky")
    log_own = coordinates.log_posterior(draws.select(own)) + jacobian[own]
    log_own -= log_normal(vectors[own], centre, spread)
    log_proposed = _at_proposals(coordinates, numbering, proposals)
    log_proposed -= log_normal(proposals, centre, spread)
    log_z, error = fixed_point(log_own.reshape(n_chains, -1), log_proposed)
    return log_z + (math.lgamma(k + 1) if symmetric else 0.0), error


def _at_proposals(
    coordinates: Coordinates, numbering: Numbering | None, vectors: np.ndarray
) -> np.ndarray:
    """Return the log posterior density at vectors (S, P), -inf outside the domain."""
    draws = coordinates.draws(vectors)
    inside = np.ones(len(vectors), dtype=bool) if numbering is None else numbering.contains(draws)
    out = np.full(len(vectors), NOWHERE)
    if not inside.any():
        return out
    own = draws.select(np.flatnonzero(inside))
    out[inside] = coordinates.log_posterior(own) + coordinates.vectors(own)[1]
    return out


def fixed_point(log_own: np.ndarray, log_proposed: np.ndarray) -> tuple[float, float]:
    """Return the log of the normalising constant p / q of Meng and Wong, and its standard error.

    Parameters
    ----------
    log_own : ndarray, shape (C, S)
        log p - log q at draws of p, correlated within chains.
    log_proposed : ndarray, shape (M,)
        The same at independent draws of q.

    Notes
    -----
    The error is that of Frühwirth-Schnatter (2004), with batch means for correlated draws.
    """
    share = log_own.size / (log_own.size + log_proposed.size)
    top = float(np.median(log_own))
    own, proposed = np.exp(log_own - top), np.exp(log_proposed - top)
    ratio = 1.0
    for _ in range(MOST_ROUNDS):
        numerator = (proposed / (share * proposed + (1.0 - share) * ratio)).mean()
        denominator = (1.0 / (share * own + (1.0 - share) * ratio)).mean()
        before, ratio = ratio, float(numerator / denominator)
        if ratio == 0.0 or abs(ratio - before) < TOLERANCE * ratio:
            break
    if ratio == 0.0:
        return NOWHERE, math.inf
    at_proposed = proposed / (share * proposed + (1.0 - share) * ratio)
    at_own = 1.0 / (share * own + (1.0 - share) * ratio)
    n = at_own.shape[1] // N_BATCHES * N_BATCHES
    batches = at_own[:, :n].reshape(len(at_own) * N_BATCHES, -1).mean(axis=1)
    squares = at_proposed.var(ddof=1) / len(at_proposed) / at_proposed.mean() ** 2
    squares += batches.var(ddof=1) / len(batches) / at_own.mean() ** 2
    return top + math.log(ratio), math.sqrt(squares)
