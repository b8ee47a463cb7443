"""The Gibbs sweep against a naive twin that consumes the same random stream; laws of its draws."""

import itertools
import os

import numpy as np
import pytest
import reference
import targets
from scipy import stats

from diffgmm.covariance import FAMILIES
from diffgmm.kernels import allocation, conjugate
from diffgmm.kernels.allocation import ChainDraws, ConjugatePrior
from diffgmm.kernels.bundles import Components
from diffgmm.posterior.gibbs import new_state

COMPILED = os.environ.get("NUMBA_DISABLE_JIT") != "1"

# False alarms of one statistical test, over all its statistics.
FALSE_ALARM = 1e-6

N_DRAWS = 20_000 if COMPILED else 400

families = pytest.mark.parametrize("family", ["full", "identity"])


def spd(rng, d):
    root = rng.standard_normal((d, d))
    return root @ root.T / d + 0.5 * np.eye(d)


def prior_for(rng, k, d, hyper):
    """Return a proper prior; C0 is drawn when `hyper`, else fixed."""
    precision = np.linalg.inv(4.0 * spd(rng, d))
    return ConjugatePrior(
        rng.uniform(0.5, 2.0, k),
        precision,
        precision @ rng.standard_normal(d),
        2.5 + d,
        d + 1.5 if hyper else 0.0,
        spd(rng, d) if hyper else np.zeros((d, d)),
    )


def state_for(rng, k, d, family):
    state = new_state(k, d, FAMILIES[family])
    state.weights[:] = rng.dirichlet(np.ones(k))
    state.means[:] = 2.0 * rng.standard_normal((k, d))
    state.scale[:] = spd(rng, d)
    if family == "full":
        covariances = np.stack([spd(rng, d) for _ in range(k)])
        state.factors[:] = np.tril(np.linalg.inv(np.linalg.cholesky(covariances)))
    else:
        state.factors[:] = 1.0
    return state


def draws_for(state, n_draws, n_rows, every=1):
    n_pointwise = 0 if every is None else -(-n_draws // every)
    return ChainDraws(
        np.full((n_draws, len(state.everything)), np.nan),
        np.full(n_draws, np.nan),
        np.full(n_draws, -1),
        np.full((n_pointwise, n_rows), np.nan),
        every or 1,
    )


def rows_for(rng, state, n):
    return targets.rows_near(rng, n, state.means, affine=False)


# ---- the naive twin


def naive_gamma(shape, rng):
    boosted = shape if shape >= 1.0 else shape + 1.0
    d = boosted - 1.0 / 3.0
    while True:
        x, u = rng.standard_normal(), rng.random()
        v = (1.0 + x / np.sqrt(9.0 * d)) ** 3
        if v > 0.0 and np.log(1.0 - u) < 0.5 * x**2 + d * (1.0 - v + np.log(v)):
            break
    return d * v if shape >= 1.0 else d * v * (1.0 - rng.random()) ** (1.0 / shape)


def naive_whitening(df, scale, rng):
    """Return T L^-1 with scale = L L' and T'T ~ Wishart(df, I)."""
    d = len(scale)
    t = np.zeros((d, d))
    for a in range(d):
        t[a, :a] = [rng.standard_normal() for _ in range(a)]
        t[a, a] = np.sqrt(2.0 * naive_gamma(0.5 * (df - d + 1 + a), rng))
    return t @ np.linalg.inv(np.linalg.cholesky(scale))


def naive_components(state, noise):
    """Return what the densities at a noise level need, and posterior covariances of clean rows."""
    d = state.means.shape[1]
    factors = np.stack([reference.whitening(f, d) for f in state.factors])
    covariances = np.linalg.inv(np.swapaxes(factors, 1, 2) @ factors)
    noised = covariances + noise**2 * np.eye(d)
    white = np.linalg.inv(np.linalg.cholesky(noised))
    constants = (
        np.log(state.weights) - 0.5 * np.linalg.slogdet(noised)[1] - 0.5 * d * reference.LOG_2PI
    )
    clean = covariances @ np.linalg.inv(noised) * noise**2
    return Components(constants, state.means, white), clean


def naive_sweep(rows, prior, state, noise, rng, block=128):
    """Return the log likelihood of the state and its components' counts; draw the next state."""
    k, d = state.means.shape
    components, clean = naive_components(state, noise)
    x = reference.rows_seen(rows)
    log_likelihood = reference.log_density(rows, components).sum()
    share = reference.responsibilities(rows, components)
    owner, seen = np.empty(len(x), int), np.empty_like(x)
    for first in range(0, len(x), block):
        part = range(first, min(first + block, len(x)))
        uniform = [rng.random() for _ in part]
        for i, u in zip(part, uniform, strict=True):
            owner[i] = np.sum(np.cumsum(share[i])[:-1] <= u)
        for i in part:
            j, seen[i] = owner[i], x[i]
            if noise > 0.0:
                root = np.linalg.inv(np.linalg.cholesky(np.linalg.inv(clean[j])))
                step = root @ (x[i] - state.means[j]) / noise**2
                normals = np.array([rng.standard_normal() for _ in range(d)])
                seen[i] = state.means[j] + root.T @ (step + normals)
    counts = np.bincount(owner, minlength=k).astype(float)
    gammas = [naive_gamma(a, rng) for a in prior.concentration + counts]
    state.weights[:] = gammas / np.sum(gammas)
    precisions = []
    for j in range(k):
        own = seen[owner == j]
        if state.factors.ndim == 3:
            centred = own - state.means[j]
            scale = 2.0 * state.scale + centred.T @ centred
            state.factors[j] = naive_whitening(prior.covariance_df + counts[j], scale, rng)
        factor = reference.whitening(state.factors[j], d)
        precision = factor.T @ factor
        total = prior.mean_precision + counts[j] * precision
        linear = prior.mean_linear + precision @ own.sum(axis=0)
        root = np.linalg.cholesky(total)
        normals = np.array([rng.standard_normal() for _ in range(d)])
        state.means[j] = np.linalg.solve(root.T, np.linalg.solve(root, linear) + normals)
        precisions.append(precision)
    if prior.hyper_df > 0.0:
        rate = 2.0 * (prior.hyper_rate + np.sum(precisions, axis=0))
        factor = naive_whitening(prior.hyper_df + k * prior.covariance_df, rate, rng)
        state.scale[:] = factor.T @ factor
    return log_likelihood, counts


# ---- the sweep


@families
@pytest.mark.parametrize("hyper", [False, True], ids=["C0 fixed", "C0 drawn"])
@pytest.mark.parametrize(("n", "k", "d"), [(1, 1, 1), (130, 2, 2), (30, 6, 1), (129, 3, 5)])
def test_sweeps_equal_their_naive_twin(family, hyper, n, k, d, rng):
    """Three annealed sweeps, two at noise 0, three recorded draws."""
    prior = prior_for(rng, k, d, hyper)
    state = state_for(rng, k, d, family)
    rows = rows_for(rng, state, n)
    before = rows.values.copy()
    noise = np.array([3.0, 0.5, 0.1, 0.0, 0.0])
    own, other = np.random.default_rng(1), np.random.default_rng(1)
    twin = state_for(np.random.default_rng(0), k, d, family)
    twin.everything[:] = state.everything
    draws = draws_for(state, 3, n)
    allocation.gibbs(rows, prior, state, draws, noise, -5, 3, own)
    for level in noise:
        naive_sweep(rows, prior, twin, level, other)
    for s in range(3):
        # A sweep amplifies rounding by the condition of its matrices, below 1e3 here.
        np.testing.assert_allclose(draws.parameters[s], twin.everything, rtol=1e-8, atol=1e-10)
        components, _ = naive_components(twin, 0.0)
        np.testing.assert_allclose(
            draws.pointwise[s], reference.log_density(rows, components), rtol=1e-8
        )
        log_likelihood, counts = naive_sweep(rows, prior, twin, 0.0, other)
        assert draws.log_likelihood[s] == pytest.approx(log_likelihood, rel=1e-8)
        assert draws.n_filled[s] == np.count_nonzero(counts)
    np.testing.assert_allclose(state.everything, twin.everything, rtol=1e-8, atol=1e-10)
    np.testing.assert_array_equal(rows.values, before)


@families
def test_draws_do_not_depend_on_how_sweeps_are_divided(family, rng):
    prior = prior_for(rng, 3, 2, True)
    start = state_for(rng, 3, 2, family)
    rows = rows_for(rng, start, 40)
    noise = np.array([1.0, 0.5, 0.0, 0.0])
    runs = []
    for ends in ([-4, 6], [-4, -3, -1, 0, 1, 1, 4, 6]):
        state = state_for(rng, 3, 2, family)
        state.everything[:] = start.everything
        draws, own = draws_for(state, 6, 40), np.random.default_rng(2)
        for begin, end in itertools.pairwise(ends):
            allocation.gibbs(rows, prior, state, draws, noise, begin, end, own)
        runs.append(draws)
    for one, other in zip(*runs, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("every", [None, 1, 3])
def test_pointwise_densities_are_kept_at_every_nth_draw(every, rng):
    prior, state = prior_for(rng, 2, 2, True), state_for(rng, 2, 2, "full")
    rows = rows_for(rng, state, 20)
    draws = draws_for(state, 7, 20, every)
    allocation.gibbs(rows, prior, state, draws, np.zeros(0), 0, 7, np.random.default_rng(3))
    assert np.isfinite(draws.pointwise).all()
    if every is not None:
        kept = draws.log_likelihood[::every]
        np.testing.assert_allclose(draws.pointwise.sum(axis=1), kept, rtol=1e-13)


@families
def test_nothing_becomes_nan(family, rng):
    """Empty components, far rows, duplicates, a weight that underflows."""
    prior = prior_for(rng, 8, 2, True)._replace(concentration=np.full(8, 1e-3))
    state = state_for(rng, 8, 2, family)
    state.weights[0] = 1e-300
    values = np.zeros((20, 2))
    values[:3] = 1e3
    rows = targets.frozen(rows_for(rng, state, 20)._replace(values=values))
    draws = draws_for(state, 50, 20)
    allocation.gibbs(rows, prior, state, draws, np.full(5, 0.3), -5, 50, np.random.default_rng(4))
    assert np.isfinite(draws.parameters).all()
    assert np.isfinite(draws.log_likelihood).all()
    assert draws.n_filled.min() >= 1
    assert draws.n_filled.max() <= 8


@pytest.mark.usefixtures("compiled")
def test_a_sweep_compiles_once_per_family(rng):
    for family in ("full", "identity"):
        for n, k, d in ((5, 1, 1), (200, 3, 2)):
            state = state_for(rng, k, d, family)
            rows, draws = rows_for(rng, state, n), draws_for(state, 2, n)
            prior = prior_for(rng, k, d, True)
            allocation.gibbs(rows, prior, state, draws, np.zeros(1), -1, 2, rng)
    assert len(allocation.gibbs.signatures) <= 2


# ---- its parts


@pytest.mark.parametrize("k", [1, 2, 5])
def test_components_are_chosen_by_cumulative_shares(k, rng):
    block = allocation.BLOCK
    joint = rng.uniform(0.0, 1.0, (k, block))
    joint[:, 0] = 0.0  # a row that no component explains
    joint[0, 1] = 0.0
    sums, uniforms = joint.sum(axis=0), rng.random(block)
    uniforms[1] = 0.0
    choice = np.full(block, np.nan)
    expected = [np.sum(np.cumsum(joint[:-1, i]) <= uniforms[i] * sums[i]) for i in range(block)]
    allocation.choose_components(joint, sums, uniforms, np.empty(block), choice)
    np.testing.assert_array_equal(choice, expected)
    assert choice[0] == k - 1
    assert choice[1] == (1 if k > 1 else 0)


@pytest.mark.parametrize("shape", ["full", "diagonal", "none"])
def test_allocated_rows_are_added(shape, rng):
    k, d, count = 3, 4, 100
    block = rng.standard_normal((d, allocation.BLOCK))
    means, owner = rng.standard_normal((k, d)), rng.integers(0, k, allocation.BLOCK)
    counts, first = np.full(k, 1.0), np.full((k, d), 2.0)
    second = np.full({"full": (k, d, d), "diagonal": (k, d), "none": (k, 0)}[shape], 3.0)
    allocation.add_allocated(block, means, owner.astype(float), count, counts, first, second)
    share = np.eye(k)[owner[:count]]
    centred = block.T[:count] - means[:, None, :]
    expected = reference.moments(share, centred)
    np.testing.assert_array_equal(counts, expected[0] + 1.0)
    np.testing.assert_allclose(first, expected[1] + 2.0, rtol=1e-12)
    if shape == "full":
        lower = np.tril_indices(d)
        np.testing.assert_allclose(
            second[:, lower[0], lower[1]], expected[2][:, lower[0], lower[1]] + 3.0, rtol=1e-12
        )
    elif shape == "diagonal":
        diagonal = np.diagonal(expected[2], axis1=1, axis2=2)
        np.testing.assert_allclose(second, diagonal + 3.0, rtol=1e-12)


@pytest.mark.parametrize("d", [1, 2, 3, 5, 9])
def test_small_factorisations(d, rng):
    matrix, out = spd(rng, d), np.full((d, d), np.nan)
    lower = np.tril(matrix) + np.triu(np.full((d, d), np.nan), 1)  # the upper triangle is not read
    conjugate.cholesky(lower, out)
    np.testing.assert_allclose(out, np.linalg.cholesky(matrix), rtol=1e-12, atol=1e-14)
    inverse = np.full((d, d), np.nan)
    conjugate.invert_lower(out, inverse)
    np.testing.assert_allclose(inverse @ out, np.eye(d), atol=1e-12)
    assert not np.triu(inverse, 1).any()
    conjugate.cholesky(matrix, matrix)  # in place
    np.testing.assert_array_equal(matrix, out)


def test_a_singular_matrix_gives_no_nan():
    out = np.empty((2, 2))
    conjugate.cholesky(np.array([[1.0, 1.0], [1.0, 1.0 - 1e-16]]), out)
    assert np.isfinite(out).all()
    assert out[1, 1] > 0.0


@pytest.mark.parametrize("noise", [1e-3, 0.5, 30.0])
def test_clean_rows_are_those_of_the_reverse_kernel(noise, rng):
    """Gains against the textbook: Cov = S_0 S^-1 noise^2 and mean m + S_0 S^-1 (x - m)."""
    k, d = 2, 3
    state = state_for(rng, k, d, "full")
    noised, gains = np.empty((k, d, d)), np.empty((k, d, d))
    allocation.write_noised(state.factors, noise, np.empty((4, d, d)), noised, gains)
    components, clean = naive_components(state, noise)
    np.testing.assert_allclose(noised, components.factors, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(np.swapaxes(gains, 1, 2) @ gains, clean, rtol=1e-7, atol=1e-12)


# ---- laws of the draws


def assert_law(values, distribution, n_tests=1):
    """Compare with a law by Kolmogorov and Smirnov; an error of 0.03 in probability is found."""
    assert stats.kstest(values, distribution).pvalue > FALSE_ALARM / n_tests


@pytest.mark.parametrize("shape", [0.05, 0.3, 1.0, 2.7, 80.0])
def test_gamma_draws(shape, rng):
    values = np.array([conjugate.draw_gamma(shape, rng) for _ in range(N_DRAWS)])
    assert_law(values, stats.gamma(shape).cdf, 5)


@pytest.mark.parametrize("d", [1, 2, 4])
def test_inverse_wishart_draws(d, rng):
    """For any v, v' Sigma^-1 v / v' scale^-1 v ~ chi2(df); so has v' Sigma v a law."""
    df, scale = d + 1.5, spd(rng, d)
    work, factor, values = np.empty((2, d, d)), np.empty((d, d)), np.empty((N_DRAWS, d, d))
    for s in range(N_DRAWS):
        conjugate.draw_whitening(df, scale, rng, work, factor)
        values[s] = factor.T @ factor
    exact = np.linalg.inv(scale)
    for v in np.concatenate([np.eye(d), rng.standard_normal((2, d))]):
        ratio = np.einsum("a,sab,b->s", v, values, v) / (v @ exact @ v)
        assert_law(ratio, stats.chi2(df).cdf, 3 * (d + 2))
        # 1 / v' Sigma v, the precision left when everything else is known: df - D + 1 degrees
        left = (v @ scale @ v) / np.einsum("a,sab,b->s", v, np.linalg.inv(values), v)
        assert_law(left, stats.chi2(df - d + 1).cdf, 3 * (d + 2))


def test_weights_are_dirichlet(rng):
    concentration, counts = np.array([0.5, 1.0, 2.0]), np.array([3.0, 0.0, 10.0])
    out, values = np.empty(3), np.empty((N_DRAWS, 3))
    for s in range(N_DRAWS):
        conjugate.draw_weights(concentration, counts, rng, out)
        values[s] = out
    np.testing.assert_allclose(values.sum(axis=1), 1.0, rtol=1e-14)
    a = concentration + counts
    for j in range(3):
        assert_law(values[:, j], stats.beta(a[j], a.sum() - a[j]).cdf, 3)


def test_normal_draws_from_a_precision(rng):
    d = 3
    precision, linear = spd(rng, d), rng.standard_normal(d)
    out, work, values = np.empty(d), np.empty((d, d)), np.empty((N_DRAWS, d))
    for s in range(N_DRAWS):
        conjugate.draw_from_precision(precision, linear, rng, work, out)
        values[s] = out
    root = np.linalg.cholesky(precision)
    normals = (values - np.linalg.solve(precision, linear)) @ root
    for v in np.concatenate([np.eye(d), np.ones((1, d)) / np.sqrt(d)]):
        assert_law(normals @ v, stats.norm.cdf, 4)
