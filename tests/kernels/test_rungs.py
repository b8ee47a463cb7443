"""Densities on rungs of the noise ladder against scipy."""

import numpy as np
import pytest
from scipy import special, stats

from diffgmm import Prior
from diffgmm.covariance import family_of
from diffgmm.data import Data
from diffgmm.kernels import ladder
from diffgmm.posterior.gibbs import Target
from diffgmm.posterior.starts import prior_start, state_at


@pytest.mark.parametrize("rung", [0.0, 0.4, 1.0, 1.7, 30.0])
def test_log_density_on_a_rung(rung, rng):
    x = rng.standard_normal((150, 2)) * [1.0, 30.0]
    target = Target.of(Data.of(x), family_of("full"), Prior.weakly_informative(x), 3)
    state = state_at(target, prior_start(target, rng))
    prior, extra, scratch = target.kernel_prior, 7.0, ladder.scratch_for(state)
    found = ladder.log_density(target.rows, prior, state, rung, extra, scratch)
    covariances = np.linalg.inv(np.swapaxes(state.factors, 1, 2) @ state.factors)
    covariances = covariances + max(rung - 1.0, 0.0) ** 2 * np.eye(2)
    rows = (x - target.units.shift) / target.units.scale
    logs = [
        np.log(w) + stats.multivariate_normal(m, c).logpdf(rows)
        for w, m, c in zip(state.weights, state.means, covariances, strict=True)
    ]
    expected = special.logsumexp(logs, axis=0).sum()
    weights = state.weights / state.weights.sum()
    expected += stats.dirichlet(np.full(3, 1.0 + extra * min(rung, 1.0))).logpdf(weights)
    expected -= stats.dirichlet(np.ones(3)).logpdf(weights)
    np.testing.assert_allclose(found, expected, rtol=1e-10)
