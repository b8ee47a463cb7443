"""Steps without allocations: coordinates, their prior, one pass, and laws of the chain."""

import itertools
import os

import joint_law
import numpy as np
import pytest
import reference
from scipy import stats
from test_allocation import (
    draws_for,
    families,
    hyper_rate_for,
    prior_for,
    rows_for,
    state_for,
)

from diffgmm.covariance import FAMILIES
from diffgmm.data import read_only
from diffgmm.kernels import allocation, coordinates, marginal_step, sweep
from diffgmm.kernels.bundles import Components, Rows
from diffgmm.kernels.marginal_step import N_NUMBERS, Position, Reference
from diffgmm.posterior.densities import log_constants
from diffgmm.posterior.families import covariance_prior

COMPILED = os.environ.get("NUMBA_DISABLE_JIT") != "1"

# False alarms of one statistical test, over all its statistics.
FALSE_ALARM = 1e-6

hypers = pytest.mark.parametrize("hyper", [False, True], ids=["C0 fixed", "C0 drawn"])


def n_different(state):
    second = state.second
    return second.shape[0] if second.shape[1] > 0 else 0


def parameters_of(state):
    return state.weights, state.means, state.factors


def n_coordinates(state):
    k, d = state.means.shape
    per_factor = {3: d * (d + 1) // 2, 2: d, 1: 1}[state.factors.ndim]
    return k - 1 + k * d + n_different(state) * per_factor


def point_of(state):
    out = np.full(n_coordinates(state), np.nan)
    coordinates.write_coordinates(*parameters_of(state), n_different(state), out)
    return out


def position_for(state, n_rows=0):
    p = n_coordinates(state)
    own = (array.copy() for array in parameters_of(state))
    return Position(np.zeros(N_NUMBERS), np.empty((2, n_rows)), np.empty(p), np.empty(p), *own)


# ---- coordinates


@families
@pytest.mark.parametrize(("k", "d"), [(1, 1), (3, 1), (2, 3)])
def test_parameters_come_back_from_their_coordinates(family, k, d, rng):
    state = state_for(rng, k, d, family)
    other = [np.full(array.shape, np.nan) for array in parameters_of(state)]
    if n_different(state) == 0:
        other[2][:] = state.factors  # known
    coordinates.write_parameters(point_of(state), n_different(state), *other)
    for one, own in zip(other, parameters_of(state), strict=True):
        np.testing.assert_allclose(one, own, rtol=1e-12, atol=1e-14)


def log_prior_of_parameters(family, prior, state):
    """Return the log prior of weights, means and covariances, C0 integrated out where drawn."""
    d = state.means.shape[1]
    m0 = np.linalg.solve(prior.mean_precision, prior.mean_linear)
    total = stats.dirichlet.logpdf(state.weights, prior.concentration)
    normal = stats.multivariate_normal(m0, np.linalg.inv(prior.mean_precision))
    total += normal.logpdf(state.means).sum()
    own, c0 = covariance_prior(family), 0.5 * prior.covariance_df
    if not own.is_free:
        return total
    covariances = own.covariances_of(state.factors[None, None], np.ones(d))[0, 0]
    scale = own.scale_of(state.scale[None, None], np.ones(d))[0, 0]
    total += own.log_density(covariances, c0, scale)
    if prior.hyper_df > 0.0:
        # Bayes: p(covariances) = p(covariances | C0) p(C0) / p(C0 | covariances), for any C0.
        rate = {"diag": np.diag(prior.hyper_rate), "spherical": prior.hyper_rate[0, 0]}
        rate, g0 = rate.get(family, prior.hyper_rate), 0.5 * prior.hyper_df
        total += own.log_density_scale(scale, g0, rate)
        m = n_different(state)
        if state.factors.ndim == 3:
            rate = rate + np.einsum("kba,kbc->ac", state.factors[:m], state.factors[:m])
        else:
            rate = rate + np.square(state.factors).sum(axis=0)
        total -= own.log_density_scale(scale, g0 + m * c0, rate)
    return total


def log_jacobian(family, state):
    """Return log |d parameters / d coordinates|, of differences: weights but the last, covariances."""
    start, m, d = point_of(state), n_different(state), state.means.shape[1]

    def free(point):
        weights, means, factors = (array.copy() for array in parameters_of(state))
        coordinates.write_parameters(point, m, weights, means, factors)
        parts = [weights[:-1], means.ravel()]
        if m > 0 and factors.ndim == 3:
            matrices = np.linalg.inv(np.swapaxes(factors[:m], 1, 2) @ factors[:m])
            parts += [matrix[np.tril_indices(d)] for matrix in matrices]
        elif m > 0:
            parts.append(factors.ravel() ** -2.0)
        return np.concatenate(parts)

    step = 1e-5
    lines = [(free(start + e) - free(start - e)) / (2 * step) for e in step * np.eye(len(start))]
    return np.linalg.slogdet(np.array(lines))[1]


@families
@hypers
@pytest.mark.parametrize(("k", "d"), [(1, 1), (3, 1), (2, 3)])
def test_prior_of_coordinates_has_its_jacobian(family, hyper, k, d, rng):
    """Differences of it between two states are those of scipy's densities and a numeric Jacobian."""
    prior = prior_for(rng, k, d, hyper, family)
    values = []
    scale = state_for(rng, k, d, family).scale
    for _ in range(2):
        state = state_for(rng, k, d, family)
        state.scale[:] = scale
        work = np.full((5, d, d), np.nan)
        own = (*parameters_of(state), n_different(state))
        direct = log_prior_of_parameters(family, prior, state) + log_jacobian(family, state)
        values.append((coordinates.log_prior(prior, scale, *own, work), direct))
    (one, direct), (other, other_direct) = values
    # Differences of second order with steps of 1e-5.
    assert one - other == pytest.approx(direct - other_direct, abs=1e-6)


# ---- one pass


@families
@pytest.mark.parametrize("n", [1, 130, 300])
def test_a_pass_returns_the_log_likelihood(family, n, rng):
    state = state_for(rng, 3, 2, family)
    rows = rows_for(rng, state, n)
    components = Components(
        log_constants(state.weights, state.factors, 2), state.means, state.factors
    )
    expected = reference.log_density(rows, components)
    for pointwise in (np.empty(0), np.full(n, np.nan)):
        own = (*parameters_of(state), pointwise)
        value, filled = marginal_step.log_likelihood_and_filled(rows, *own, rng)
        assert value == pytest.approx(expected.sum(), rel=1e-10)
        assert 1 <= filled <= min(n, 3)
    np.testing.assert_allclose(pointwise, expected, rtol=1e-10)


def test_filled_components_have_the_law_of_the_allocation(rng):
    """Chi-square of the number that is filled, beside the allocations of Gibbs sweeps."""
    n, repeats = 150, 4_000 if COMPILED else 200
    state = state_for(rng, 4, 1, "full")
    state.weights[:] = [0.97, 0.02, 0.005, 0.005]
    state.means[:], state.factors[:] = [[0.0], [0.1], [-0.1], [0.3]], 1.0
    rows = rows_for(rng, state, n)
    own, other = np.zeros(5), np.zeros(5)
    components = Components(
        log_constants(state.weights, state.factors, 1), state.means, state.factors
    )
    for _ in range(repeats):
        _, filled = marginal_step.log_likelihood_and_filled(
            rows, *parameters_of(state), np.empty(0), rng
        )
        own[filled] += 1
        state.counts[:] = 0.0
        nothing, work = np.empty(0), np.empty((5, 1, 1))
        allocation.allocate(rows, components, state, state.factors, 0.0, nothing, work, rng)
        other[np.count_nonzero(state.counts)] += 1
    seen = own + other > 0
    assert seen.sum() >= 3
    assert stats.chi2_contingency([own[seen], other[seen]]).pvalue > FALSE_ALARM


# ---- the chain


def law_of_sweeps(rows, prior, state, rng):
    """Return proposals with the mean and covariance of the coordinates of some Gibbs sweeps."""
    points = []
    for _ in range(400 if COMPILED else 60):
        draws = draws_for(state, 0, len(rows.values), None)
        sweep.gibbs(rows, prior, state, draws, np.zeros(1), -1, 0, rng)
        points.append(point_of(state))
    covariance = np.cov(np.transpose(points[20:])) + 1e-3 * np.eye(len(points[0]))
    return Reference(np.mean(points[20:], axis=0), np.linalg.cholesky(covariance), 5.0, 2)


@families
def test_draws_do_not_depend_on_how_sweeps_are_divided(family, rng):
    prior = prior_for(rng, 2, 2, True, family)
    start = state_for(rng, 2, 2, family)
    start.means[:] = [[-5.0, 0.0], [5.0, 1.0]]
    rows = rows_for(rng, start, 200)
    law = law_of_sweeps(rows, prior, start, rng)._replace(period=4)
    runs = []
    for ends in ([-5, 240], [-5, -3, -1, 0, 1, 1, 4, 17, 240]):
        state = state_for(rng, 2, 2, family)
        state.everything[:] = start.everything
        draws, own = draws_for(state, 240, 200, 3), np.random.default_rng(2)
        position = position_for(state, 200)
        for begin, end in itertools.pairwise(ends):
            marginal_step.gibbs_and_steps(rows, prior, state, draws, law, position, begin, end, own)
        runs.append(draws)
    for one, other in zip(*runs, strict=True):
        np.testing.assert_array_equal(one, other)
    one = runs[0]
    # Steps were taken and refused, and what is recorded belongs to the draw.
    moved = np.any(np.diff(one.parameters[:, :2], axis=0) != 0.0, axis=1)
    by_steps = moved[np.arange(239) % 4 != 0]
    assert 0 < by_steps.sum() < len(by_steps)
    np.testing.assert_allclose(one.pointwise.sum(axis=1), one.log_likelihood[::3], rtol=1e-12)
    k, d = start.means.shape
    for s in range(60):
        start.everything[:] = one.parameters[s]
        components = Components(
            log_constants(start.weights, start.factors, d), start.means, start.factors
        )
        expected = reference.log_density(rows, components).sum()
        assert one.log_likelihood[s] == pytest.approx(expected, rel=1e-10)
        assert 1 <= one.n_filled[s] <= k


def test_wild_proposals_are_refused(rng):
    """Proposals that overflow leave the state as it is."""
    prior, state = prior_for(rng, 3, 2, True), state_for(rng, 3, 2, "full")
    rows, draws = rows_for(rng, state, 50), draws_for(state, 200, 50)
    law = Reference(point_of(state), 1e3 * np.eye(n_coordinates(state)), 1.0, 10**9)
    before = state.everything.copy()
    marginal_step.gibbs_and_steps(
        rows, prior, state, draws, law, position_for(state, 50), 1, 200, rng
    )
    assert np.isfinite(draws.parameters[1:]).all()
    assert np.isfinite(draws.log_likelihood[1:]).all()
    np.testing.assert_array_equal(state.weights, before[:3])


# ---- the joint law: Geweke (2004), doi:10.1198/016214504000001132

N_ROWS = 5
N_STEPS = 20_000 if COMPILED else 300
N_BATCHES = 36
K, D = 2, 2


def statistics(family, state, values):
    """Return functions of one joint draw of parameters and rows that have moments."""
    spread = np.log(np.abs(state.factors.reshape(K, -1)[:, [0, -1]]))
    scale = np.log(state.scale.ravel()[[0, -1]]) if state.scale.size else np.zeros(2)
    w, m = state.weights[0], state.means[0]
    ratio = state.factors[0, 1, 0] / state.factors[0, 1, 1] if state.factors.ndim == 3 else 0.0
    return [
        w,
        w * w,
        *m,
        *np.square(m),
        *spread.ravel(),
        *np.square(spread[0]),
        *scale,
        np.tanh(ratio),
        np.tanh(ratio) ** 2,
        np.tanh(values[0, 0]) * m[0],
        np.log1p(np.abs(values[:, 0] - values[1, 0]).sum()),
    ]


def write_from_prior(family, prior, state, rng):
    """Write a draw of the prior into a state."""
    m0 = np.linalg.solve(prior.mean_precision, prior.mean_linear)
    state.weights[:] = rng.dirichlet(prior.concentration)
    state.means[:] = rng.multivariate_normal(m0, np.linalg.inv(prior.mean_precision), K)
    own = covariance_prior(family)
    if not own.is_free:
        return
    if prior.hyper_df > 0.0:
        rate = {"diag": np.diag(prior.hyper_rate), "spherical": prior.hyper_rate[0, 0]}
        rate = rate.get(family, prior.hyper_rate)
        state.scale[:] = own.kernel_scale(own.draw_scale(0.5 * prior.hyper_df, rate, 1, rng)[0])
    scale = own.scale_of(state.scale[None, None], np.ones(D))[0]
    covariances = own.draw(0.5 * prior.covariance_df, scale, (1, K), rng)[0]
    state.factors[:] = FAMILIES[family].factors(own.per_component(covariances, K), D)[0]


def rows_of(state, rng):
    owner = rng.choice(K, size=N_ROWS, p=state.weights)
    roots = [np.linalg.inv(reference.whitening(f, D)) for f in state.factors]
    normals = rng.standard_normal((N_ROWS, D))
    return state.means[owner] + np.einsum("nab,nb->na", np.array(roots)[owner], normals)


def geweke(family, prior, fixed_scale, assumed, seed):
    """Return |z| of every statistic: steps under the prior `assumed`, rows drawn, beside `prior`."""
    rng = np.random.default_rng(seed)
    state = state_for(rng, K, D, family)
    if prior.hyper_df == 0.0:
        state.scale[:] = fixed_scale
    direct, points = [], []
    for _ in range(N_STEPS // 4):
        write_from_prior(family, prior, state, rng)
        points.append(point_of(state))
        direct.append(statistics(family, state, rows_of(state, rng)))
    root = np.linalg.cholesky(np.cov(np.transpose(points)))
    law = Reference(np.mean(points, axis=0), root, 5.0, 2)
    values = rows_of(state, rng)
    rows = Rows(*map(read_only, (values, np.zeros(D), np.ones(D), np.empty(0))))
    position, draws, chain = position_for(state), draws_for(state, 0, N_ROWS, None), []
    for n in range(N_STEPS):
        values[:] = rows_of(state, rng)
        position.numbers[:] = 0.0  # other rows: nothing is known
        marginal_step.gibbs_and_steps(
            rows, assumed, state, draws, law, position, -2 - n, -1 - n, rng
        )
        chain.append(statistics(family, state, values))
    chain, direct = np.array(chain)[N_STEPS // 10 :], np.array(direct)
    direct = direct.mean(axis=0), direct.var(axis=0, ddof=1) / len(direct)
    return joint_law.z_scores(direct, chain, N_BATCHES)


CASES = [("full", True), ("full", False), ("tied", True), ("diag", True), ("diag", False)]
CASES += [("spherical", True), ("identity", False)]


def case_of(family, hyper):
    rng = np.random.default_rng(5)
    prior = prior_for(rng, K, D, hyper, family)._replace(
        concentration=np.array([1.5, 2.5]),
        covariance_df=6.0,
        hyper_df=5.0 if hyper else 0.0,
        hyper_rate=hyper_rate_for(rng, D, family) if hyper else np.zeros((D, D)),
    )
    return prior, state_for(rng, K, D, family).scale


def limit(z):
    """Return what the largest z exceeds with probability FALSE_ALARM."""
    return joint_law.limit(len(z), FALSE_ALARM, N_BATCHES)


@pytest.mark.skipif(not COMPILED, reason="too slow as plain Python")
@pytest.mark.statistical
@pytest.mark.parametrize(("family", "hyper"), CASES)
def test_steps_keep_the_joint_law_of_parameters_and_rows(family, hyper):
    prior, scale = case_of(family, hyper)
    z = geweke(family, prior, scale, prior, 1)
    assert z.max() < limit(z)


@pytest.mark.skipif(not COMPILED, reason="too slow as plain Python")
@pytest.mark.statistical
@pytest.mark.parametrize("fault", ["weights", "spread"])
def test_a_forgotten_jacobian_is_seen(fault):
    """Without it, log ratios have the concentration less 1, and a log precision one degree less."""
    prior, scale = case_of("diag", False)
    faulty = prior._replace(concentration=prior.concentration - 1.0)
    if fault == "spread":
        faulty = prior._replace(covariance_df=prior.covariance_df - 1.0)
    z = geweke("diag", prior, scale, faulty, 1)
    assert z.max() > limit(z)


@pytest.mark.usefixtures("compiled")
def test_steps_compile_once_per_kind_of_factor(rng):
    for family in FAMILIES:
        for n, k, d in ((5, 1, 1), (200, 3, 2)):
            state = state_for(rng, k, d, family)
            rows, draws = rows_for(rng, state, n), draws_for(state, 2, n)
            prior = prior_for(rng, k, d, True, family)
            p = n_coordinates(state)
            own = Reference(np.zeros(p), np.eye(p), 5.0, 2), position_for(state, n)
            marginal_step.gibbs_and_steps(rows, prior, state, draws, *own, 0, 2, rng)
    assert len(marginal_step.gibbs_and_steps.signatures) <= 3
