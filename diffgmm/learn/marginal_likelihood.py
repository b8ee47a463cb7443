"""What a candidate is worth: its marginal likelihood, under a prior that the candidate itself suggests.

Log likelihood prefers components that close in on a few rows, and so does whatever only counts
parameters. The marginal likelihood also asks how much of the prior's space fits as well: a component
unlike all others has to earn its shape. How alike components are is not known beforehand, so it is
estimated with the rest (empirical Bayes): covariances are drawn to the one within components as
strongly as makes the rows most probable.

Up to a constant shared by all candidates with as many components.
"""

from typing import NamedTuple

import numpy as np

from ..covariance import Family

# Fewer rows than this are no rows: logarithms stay finite.
SMALLEST_COUNT = 1e-8

# Prior rows beyond the fewest with which a prior covariance has a mean; the last ones make all
# covariances equal.
PRIOR_ROWS = 2.0 ** np.arange(11)


class Prior(NamedTuple):
    """A normal-inverse-Wishart prior of means and covariances.

    centre : (D,) expected mean.   mean_rows : how many rows the centre counts for.
    covariance : expected covariance, one entry (1, ...) of the family's shape.
    n_rows : how many rows it counts for, beyond the fewest.
    """

    centre: np.ndarray
    mean_rows: float
    covariance: np.ndarray
    n_rows: float


def prior_of(
    family: Family, counts: np.ndarray, means: np.ndarray, covariances: np.ndarray
) -> Prior:
    """Return the prior under which the components of a candidate are most probable.

    Parameters
    ----------
    family : Family
    counts : ndarray, shape (K,)
        Rows of each component.
    means, covariances : ndarray
        Means (K, D) and covariances in the family's shape.

    Notes
    -----
    The centre is the mean of all rows, the covariance that within components, and means spread
    around the centre as far beyond the components' own width as they do here.
    """
    shares = counts / counts.sum()
    centre = shares @ means
    within = np.tensordot(shares, covariances, axes=1)[None]
    inside = np.diagonal(family.as_full(within, means.shape[1])[0])
    between = shares @ np.square(means - centre)
    prior = Prior(centre, float(np.mean(inside / (inside + between))), within, np.inf)
    if family.is_shared:
        return prior
    costs = _covariance_costs(family, counts, means, covariances, prior, PRIOR_ROWS).sum(axis=1)
    return prior._replace(n_rows=float(PRIOR_ROWS[np.argmin(costs)]))


def occam_factors(
    family: Family, counts: np.ndarray, means: np.ndarray, covariances: np.ndarray, prior: Prior
) -> np.ndarray:
    """Return by how much the best parameters overrate each component, (K,), in nats.

    Log likelihood minus their sum approximates the log marginal likelihood: exactly what it would be
    if the rows came with shares in components (Cheeseman, Stutz).

    References
    ----------
    Cheeseman, Stutz (1996), Bayesian classification (AutoClass), equation 8; Chickering, Heckerman
    (1997), Machine Learning 29, section 2.4.
    """
    from scipy.special import gammaln

    counts = np.maximum(counts, SMALLEST_COUNT)
    n_features = means.shape[1]
    shares = counts * np.log(counts) - gammaln(counts + 1.0)
    centres = 0.5 * n_features * np.log1p(counts / prior.mean_rows)
    if family.is_shared:
        factors, _ = family.factors(covariances, n_features)
        steps = means - prior.centre
        if factors.ndim == 3:
            white = np.einsum("kab,kb->ka", factors, steps)
        else:
            white = factors.reshape(len(factors), -1) * steps
        pull = prior.mean_rows * counts / (prior.mean_rows + counts)
        return shares + centres + 0.5 * pull * np.square(white).sum(axis=1)
    rows = np.array([prior.n_rows])
    return shares + centres + _covariance_costs(family, counts, means, covariances, prior, rows)[0]


def _covariance_costs(
    family: Family,
    counts: np.ndarray,
    means: np.ndarray,
    covariances: np.ndarray,
    prior: Prior,
    prior_rows: np.ndarray,
) -> np.ndarray:
    """Return the Occam factors of covariances for every number of prior rows, shape (P, K).

    Equation: -n/2 (log|S| + b log 2e) + log G(v/2) - log G((v + n)/2) - v/2 log|a C| + (v + n)/2
    log|a C + n S + n m / (n + m) d d'| relative to the prior covariance C, with m prior rows of the
    mean, d its step from the centre, v = a + b + 1 and G the gamma function of b x b matrices. A
    matrix is one block (b = D), variances are blocks of their own, a spherical one has n D rows.
    """
    from scipy.special import multigammaln

    counts = np.maximum(counts, SMALLEST_COUNT)
    pull = prior.mean_rows / (prior.mean_rows + counts)
    shape = (-1, *[1] * (covariances.ndim - 1))
    spread = family.spread(means - prior.centre)
    pulled = covariances + pull.reshape(shape) * spread
    n = counts[:, None]
    if covariances.ndim == 3:  # (K, blocks, b)
        root = np.linalg.inv(np.linalg.cholesky(prior.covariance[0]))
        own, drawn = (np.linalg.eigvalsh(root @ c @ root.T)[:, None] for c in (covariances, pulled))
    else:
        own, drawn = (
            (c / prior.covariance).reshape(len(c), -1, 1) for c in (covariances, pulled)
        )
        n = n * means.shape[1] if covariances.ndim == 1 else n
    b = own.shape[2]
    a = prior_rows[:, None, None]
    v = a + b + 1.0
    scatter = np.log(a[..., None] + n[..., None] * drawn).sum(axis=-1)
    costs = (
        -0.5 * n * (np.log(np.maximum(own, np.finfo(float).tiny)).sum(axis=-1) + b * np.log(2.0 * np.e))
        + multigammaln(0.5 * v, b)
        - multigammaln(0.5 * (v + n), b)
        - 0.5 * v * b * np.log(a)
        + 0.5 * (v + n) * scatter
    )
    return costs.sum(axis=-1)
