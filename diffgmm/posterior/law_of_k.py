"""The prior of the number of components K, and of what depends on it: `Prior` with K unknown.

Frühwirth-Schnatter, Malsiner-Walli, Grün (2021), doi:10.1214/21-BA1294: K - 1 is beta-negative-
binomial, alpha is F distributed, weights | K ~ Dirichlet(alpha / K).
"""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from . import laws
from .families import covariance_prior

if TYPE_CHECKING:
    from .priors import Prior

# Nodes of the Gauss-Jacobi rule over alpha: probabilities for 400 rows are right to 3e-9.
ALPHA_NODES = 32


def full_log_probabilities(prior: "Prior", n: int) -> np.ndarray:
    """Return log p(K) of K = 1, ..., n (n,), before anything is cut off."""
    if prior.k_probabilities is not None:
        out = np.full(n, -np.inf)
        own = prior.k_probabilities[:n]
        with np.errstate(divide="ignore"):
            out[: len(own)] = np.log(own / prior.k_probabilities.sum())
        return out
    a, b, c = prior.k_bnb
    lgamma = np.vectorize(math.lgamma)
    x = np.arange(n)
    constant = math.lgamma(b + c) - math.lgamma(b) - math.lgamma(c) - math.lgamma(a)
    constant += math.lgamma(a + b)
    return constant + lgamma(a + x) - lgamma(x + 1.0) + lgamma(c + x) - lgamma(a + b + c + x)


def log_probabilities(prior: "Prior") -> np.ndarray:
    """Return log p(K) of K = 1, ..., max_components."""
    out = full_log_probabilities(prior, prior.max_components)
    return out - np.log(np.exp(out).sum())


def tail_mass(prior: "Prior") -> float:
    """Return the probability of more than max_components, which is cut off."""
    kept = np.exp(full_log_probabilities(prior, prior.max_components)).sum()
    return max(0.0, float(1.0 - kept))


def has_alpha(prior: "Prior") -> bool:
    """Whether alpha is drawn."""
    return prior.dynamic and prior.alpha is None


def fixed_alpha(prior: "Prior") -> float:
    """Return what stands for alpha when it is not drawn, 1 when it is."""
    if not prior.dynamic:
        return float(prior.concentration)
    return 1.0 if prior.alpha is None else prior.alpha


def log_alpha(prior: "Prior", alpha: np.ndarray) -> np.ndarray:
    """Return the log density of alpha, an F law."""
    a, b = 0.5 * prior.alpha_df[0], 0.5 * prior.alpha_df[1]
    constant = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(a / b)
    return constant + (a - 1.0) * np.log(alpha) - (a + b) * np.log1p(a / b * alpha)


def draw(prior: "Prior", n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return n draws of n_components, alpha unless it is fixed, and weights, NaN beyond K."""
    cumulative = np.cumsum(np.exp(log_probabilities(prior)))
    k = 1 + np.searchsorted(cumulative[:-1], rng.random(n) * cumulative[-1], side="right")
    draws: dict[str, np.ndarray] = {"n_components": k}
    alpha = np.full(n, fixed_alpha(prior))
    if has_alpha(prior):
        df1, df2 = prior.alpha_df
        alpha = draws["alpha"] = rng.f(df1, df2, size=n)
    draws["weights"] = np.full((n, k.max()), np.nan)
    for out, own, a in zip(draws["weights"], k, alpha, strict=True):
        e = a / own if prior.dynamic else a
        out[:own] = laws.draw_dirichlet(np.full(own, e), 1, rng)[0]
    return draws


def log_dirichlet(weights: np.ndarray, concentration: np.ndarray) -> np.ndarray:
    """Return the log density of weights (S, K) under S symmetric Dirichlet laws (S,)."""
    lgamma = np.vectorize(math.lgamma, otypes=[float])
    k = weights.shape[1]
    logs = np.log(np.maximum(weights, laws.SMALLEST_WEIGHT)).sum(axis=1)
    return lgamma(k * concentration) - k * lgamma(concentration) + (concentration - 1.0) * logs


def log_prior(
    prior: "Prior", parameters: tuple[Any, ...], n_components: Any, alpha: Any
) -> dict[str, np.ndarray]:
    """Return `Prior.log_prior` with K unknown: draws are taken together by their K."""
    weights, means, covariances, C0 = parameters
    k = np.asarray(n_components)
    lead, flat_k = k.shape, k.ravel().astype(int)
    labelled = covariance_prior(prior.covariance_type).is_labelled
    flat = [
        None if array is None else np.asarray(array).reshape(k.size, *np.shape(array)[k.ndim :])
        for array in (weights, means, covariances, C0, alpha)
    ]
    out: dict[str, np.ndarray] = {}
    of_k = log_probabilities(prior)

    def put(name: str, index: np.ndarray, values: np.ndarray) -> None:
        out.setdefault(name, np.full(k.size, -np.inf))[index] = values

    for own in np.unique(flat_k):
        index = np.flatnonzero(flat_k == own)
        w, m, s, scale, a = (None if array is None else array[index] for array in flat)
        assert w is not None
        assert m is not None
        if not 0 < own <= prior.max_components:
            continue
        put("n_components", index, np.full(len(index), of_k[own - 1]))
        if has_alpha(prior):
            assert a is not None
            put("alpha", index, log_alpha(prior, a))
        else:
            a = np.full(len(index), fixed_alpha(prior))
        put("weights", index, log_dirichlet(w[:, :own], a / own if prior.dynamic else a))
        if s is not None and labelled:
            s = s[:, :own]
        for name, values in prior.log_prior_of_components(m[:, :own], s, scale).items():
            put(name, index, values)
    return {name: values.reshape(lead) for name, values in out.items()}


def alpha_rule(prior: "Prior") -> tuple[np.ndarray, np.ndarray]:
    """Return values of alpha and their probabilities, exact for an F law and smooth functions.

    alpha = (df2 / df1) x / (1 - x) with x ~ beta(df1 / 2, df2 / 2).
    """
    from scipy.special import roots_jacobi

    if not has_alpha(prior):
        return np.array([fixed_alpha(prior)]), np.ones(1)
    df1, df2 = prior.alpha_df
    nodes, weights = roots_jacobi(ALPHA_NODES, 0.5 * df2 - 1.0, 0.5 * df1 - 1.0)
    x = 0.5 * (1.0 + nodes)
    return df2 / df1 * x / (1.0 - x), weights / weights.sum()


def filled_components(prior: "Prior", n: int) -> np.ndarray:
    """Return the probabilities (max_components + 1,) that 0, 1, ... components have one of n rows.

    Polya's urn for every K and alpha at once, as in `laws.filled_components`.
    """
    alpha, probabilities = alpha_rule(prior)
    k = np.arange(1, prior.max_components + 1)
    sizes = k[:, None] if prior.dynamic else np.ones((len(k), 1))
    e = (alpha / sizes)[:, :, None]
    total = k[:, None, None] * e
    most = min(prior.max_components, n)
    left = np.maximum(k[:, None, None] - np.arange(most + 1), 0)
    states = np.zeros((len(k), len(alpha), most + 1))
    states[:, :, 0] = 1.0
    for i in range(n):
        moved = states * (left * e / (total + i))
        states -= moved
        states[:, :, 1:] += moved[:, :, :-1]
    out = np.zeros(prior.max_components + 1)
    out[: most + 1] = np.einsum(
        "kam,a,k->m", states, probabilities, np.exp(log_probabilities(prior))
    )
    return out
