"""What a candidate is worth: the marginal likelihood, exactly for one component, and what it prefers."""

import numpy as np
import pytest
from scipy import integrate, special, stats

import diffgmm
from diffgmm.covariance import FAMILIES
from diffgmm.data import raw_rows
from diffgmm.learn.em import Parameters, Problem, run_em, worth
from diffgmm.learn.marginal_likelihood import PRIOR_ROWS, Prior, occam_factors, prior_of


def one_by_one(x, prior_rows, prior):
    """Return log p(x) under a normal-inverse-Wishart prior, as a product of predictive densities."""
    d = x.shape[1]
    rows, mean, df = prior.mean_rows, prior.centre, prior_rows + d + 1.0
    scale, total = prior_rows * prior.covariance[0].reshape(d, d), 0.0
    for row in x:
        free = df - d + 1.0
        shape = scale * (rows + 1.0) / (rows * free)
        total += stats.multivariate_t(mean, shape, df=free).logpdf(row)
        scale = scale + rows / (rows + 1.0) * np.outer(row - mean, row - mean)
        mean = (rows * mean + row) / (rows + 1.0)
        rows, df = rows + 1.0, df + 1.0
    return total


def of_one(family, x):
    """Return the best mean and covariances of one component and the log likelihood of its rows."""
    mean = x.mean(axis=0)
    covariances = family.from_full(np.cov(x.T, bias=True).reshape(1, x.shape[1], x.shape[1]))
    full = family.as_full(covariances, x.shape[1])[0]
    return mean[None], covariances, stats.multivariate_normal(mean, full).logpdf(x).sum()


@pytest.mark.parametrize("name", list(FAMILIES))
@pytest.mark.parametrize("d", [1, 3])
def test_one_component_has_its_exact_marginal_likelihood(name, d, rng):
    family, n = FAMILIES[name], 15
    x = 1.0 + rng.standard_normal((n, d)) * np.sqrt(1.0 + np.arange(d))
    means, covariances, log_likelihood = of_one(family, x)
    expected_covariance = family.from_full(np.diag(0.5 + np.arange(d))[None])
    prior = Prior(np.full(d, 0.3), 0.7, expected_covariance, 4.0)
    found = log_likelihood - occam_factors(family, np.array([float(n)]), means, covariances, prior)
    found = found[0] + n * np.log(n) - special.gammaln(n + 1.0)  # the share is 1
    if name == "full":
        wanted = one_by_one(x, 4.0, prior)
    elif name == "diag":
        wanted = sum(
            one_by_one(x[:, [j]], 4.0, Prior(prior.centre[[j]], 0.7, prior.covariance[:, j], 4.0))
            for j in range(d)
        )
    elif family.is_shared:  # means are unknown only: rows are jointly normal
        full = family.as_full(covariances, d)[0]
        joint = np.kron(np.eye(n) + np.ones((n, n)) / 0.7, full)
        wanted = stats.multivariate_normal(np.tile(prior.centre, n), joint).logpdf(x.ravel())
    else:  # integrated over the one variance
        variance = np.exp(np.linspace(-6.0, 8.0, 20_001))
        joint = np.eye(n) + np.ones((n, n)) / 0.7
        steps = x - prior.centre
        squares = np.einsum("id,ij,jd->", steps, np.linalg.inv(joint), steps)
        logs = -0.5 * d * (n * np.log(2.0 * np.pi * variance) + np.linalg.slogdet(joint)[1])
        logs += stats.invgamma(3.0, scale=2.0 * prior.covariance[0]).logpdf(variance)
        logs += np.log(variance) - 0.5 * squares / variance
        top = logs.max()
        wanted = top + np.log(integrate.trapezoid(np.exp(logs - top), np.log(variance)))
    assert found == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("name", ["full", "diag", "spherical"])
def test_prior_rows_tell_how_alike_components_are(name, rng):
    family, counts = FAMILIES[name], np.full(6, 200.0)
    means = 4.0 * rng.standard_normal((6, 2))
    alike = family.from_full(np.repeat(np.diag([1.0, 2.0])[None], 6, axis=0))
    unlike = family.from_full(np.exp(rng.uniform(-4.0, 4.0, 6))[:, None, None] * np.eye(2))
    assert prior_of(family, counts, means, alike).n_rows == PRIOR_ROWS[-1]
    assert prior_of(family, counts, means, unlike).n_rows <= 4.0


def test_likelihood_prefers_a_component_on_a_few_rows_and_worth_does_not(rng):
    truth = diffgmm.GaussianMixture([0.5, 0.5], [[0.0, 0.0], [3.0, 3.0]], [np.eye(2)] * 2)
    x = truth.sample(120, rng)
    x[:5] = np.array([[6.0, -2.0]]) + np.linspace(0.0, 1.0, 5)[:, None] * [1.0, 0.5]
    x[:5] += 0.002 * rng.standard_normal((5, 2))
    problem = Problem.of(raw_rows(x), FAMILIES["full"], 1)
    near = run_em(problem, Parameters(truth.weights, truth.means, truth.covariances))
    few = Parameters(
        np.array([5.0, 115.0]) / 120.0,
        np.stack([x[:5].mean(axis=0), x[5:].mean(axis=0)]),
        np.stack([np.cov(x[:5].T) + 1e-6 * np.eye(2), np.cov(x[5:].T)]),
    )
    on_few = run_em(problem, few)
    assert on_few.parameters.weights.min() == pytest.approx(5.0 / 120.0, abs=1e-3)
    assert on_few.log_likelihood > near.log_likelihood + 0.01
    worths = [worth(problem, each.parameters, each.log_likelihood) for each in (near, on_few)]
    assert worths[0] > worths[1] + 0.01
