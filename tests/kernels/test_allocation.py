"""The Gibbs sweep against a naive twin that consumes the same random stream; laws of its draws."""

import itertools
import os

import numpy as np
import pytest
import reference
import targets
from scipy import stats

from diffgmm.covariance import FAMILIES
from diffgmm.kernels import allocation, clean_rows, conjugate, sweep
from diffgmm.kernels.allocation import ChainDraws, ConjugatePrior
from diffgmm.kernels.bundles import Components
from diffgmm.posterior.gibbs import new_state

COMPILED = os.environ.get("NUMBA_DISABLE_JIT") != "1"

# False alarms of one statistical test, over all its statistics.
FALSE_ALARM = 1e-6

N_DRAWS = 20_000 if COMPILED else 400

families = pytest.mark.parametrize("family", list(FAMILIES))


def spd(rng, d):
    root = rng.standard_normal((d, d))
    return root @ root.T / d + 0.5 * np.eye(d)


def hyper_rate_for(rng, d, family):
    """Return G0 as a matrix: of "diag" it is diagonal, of "spherical" one number."""
    if family == "diag":
        return np.diag(rng.uniform(0.5, 2.0, d))
    if family == "spherical":
        return rng.uniform(0.5, 2.0) * np.eye(d)
    return spd(rng, d)


def prior_for(rng, k, d, hyper, family="full"):
    """Return a proper prior; C0 is drawn when `hyper`, else fixed."""
    precision = np.linalg.inv(4.0 * spd(rng, d))
    return ConjugatePrior(
        rng.uniform(0.5, 2.0, k),
        precision,
        precision @ rng.standard_normal(d),
        2.5 + d,
        d + 1.5 if hyper else 0.0,
        hyper_rate_for(rng, d, family) if hyper else np.zeros((d, d)),
    )


def state_for(rng, k, d, family):
    state = new_state(k, d, FAMILIES[family])
    state.weights[:] = rng.dirichlet(np.ones(k))
    state.means[:] = 2.0 * rng.standard_normal((k, d))
    if family in ("full", "tied"):
        state.scale[:] = spd(rng, d)
        covariances = np.stack([spd(rng, d) for _ in range(1 if family == "tied" else k)])
        state.factors[:] = np.tril(np.linalg.inv(np.linalg.cholesky(covariances)))
    elif family == "identity":
        state.factors[:] = 1.0
    else:
        state.scale[:] = rng.uniform(0.5, 2.0, state.scale.shape)
        state.factors[:] = rng.uniform(0.5, 2.0, state.factors.shape)
    return state


def draws_for(state, n_draws, n_rows, every=1):
    n_pointwise = 0 if every is None else -(-n_draws // every)
    return ChainDraws(
        np.full((n_draws, len(state.everything)), np.nan),
        np.full(n_draws, np.nan),
        np.full(n_draws, -1),
        np.full((n_pointwise, n_rows), np.nan),
        every or 1,
        np.ones(n_draws),
        np.full(n_draws, np.nan),
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


def naive_precision(family, df, scale, own, rng):
    """Return the whitening factor of a new covariance given centred rows, one array per component.

    The sums of squares and df of a covariance that components share are those of all rows.
    """
    centred = np.concatenate(own)
    n, d = centred.shape
    if family in ("full", "tied"):
        return naive_whitening(df + n, 2.0 * scale + centred.T @ centred, rng)
    if family == "diag":
        squares = np.square(centred).sum(axis=0)
        pairs = zip(scale[:, 0], squares, strict=True)
        precisions = [naive_gamma(df / 2 + n / 2, rng) / (c + s / 2) for c, s in pairs]
        return np.sqrt(precisions)
    squares = np.square(centred).sum()
    return np.sqrt(naive_gamma(df / 2 + n * d / 2, rng) / (scale[0, 0] + squares / 2))


def naive_scale(family, prior, precisions, rng):
    """Return C0 given the precisions (D, D) of the different components."""
    total = np.sum(precisions, axis=0)
    df = prior.hyper_df + len(precisions) * prior.covariance_df
    if family in ("full", "tied"):
        factor = naive_whitening(df, 2.0 * (prior.hyper_rate + total), rng)
        return factor.T @ factor
    rates = np.diag(prior.hyper_rate + total)[: 1 if family == "spherical" else None]
    return np.array([[naive_gamma(df / 2, rng) / rate] for rate in rates])


def naive_echelon_root(matrix, most):
    """Return R (D, r) with R R' = matrix: Cholesky's columns, those of zero pivots left out."""
    left, columns = np.array(matrix), []
    for a in range(len(left)):
        if len(columns) < most and left[a, a] > 1e-15 * matrix[a, a]:
            columns.append(left[:, a] / np.sqrt(left[a, a]))
            left = left - np.outer(columns[-1], columns[-1])
    return np.array(columns).reshape(-1, len(matrix)).T


def naive_clean_rows(family, clean, noise, centred, owner, rng):
    """Return clean rows less their means that have the moments which the kernel draws, (N, D).

    As `clean_rows.draw_clean_moments` says, lines of rotated rows are drawn, here turned back.
    """
    d = centred.shape[1]
    gains = [np.linalg.inv(np.linalg.cholesky(np.linalg.inv(own))) for own in clean]
    out, shared = np.zeros(centred.shape), family == "tied"
    for group in [np.unique(owner)] if shared else np.unique(owner)[:, None]:
        rows = np.flatnonzero(np.isin(owner, group))
        member, gain = owner[rows, None] == group, gains[group[0]]
        basis, r = np.linalg.qr(member.astype(float), mode="complete")
        basis[:, : len(group)] *= np.sign(np.diagonal(r))
        turned = basis.T @ centred[rows]
        lines, left = np.zeros(turned.shape), len(rows) - len(group)
        for c in range(len(group)):
            normals = [rng.standard_normal() for _ in range(d)]
            lines[c] = gain.T @ (gain @ turned[c] / noise**2 + normals)
        rest, more = turned[len(group) :], lines[len(group) :]
        scatter = rest.T @ rest
        if family in ("full", "tied"):
            root, n_lines = naive_echelon_root(scatter, min(d, left)), min(d, left)
            white = np.zeros((n_lines, d))
            for c in range(n_lines):
                white[c] = [rng.standard_normal() for _ in range(d)]
                if c < root.shape[1]:
                    white[c] += gain @ root[:, c] / noise**2
            more[:n_lines] = white @ gain
            left -= n_lines
            for c in range(min(d, left)):
                white = np.zeros(d)
                white[c] = np.sqrt(2.0 * naive_gamma(0.5 * (left - c), rng))
                white[c + 1 :] = [rng.standard_normal() for _ in range(d - c - 1)]
                more[n_lines + c] = white @ gain
        elif family in ("diag", "spherical"):
            blocks = np.arange(d)[:, None] if family == "diag" else np.arange(d)[None]
            for own in blocks:
                n_lines, g, total = len(own) * left, gain[own[0], own[0]], 0.0
                if n_lines > 0:
                    root = np.sqrt(np.diagonal(scatter)[own].sum())
                    total = (g * root / noise**2 + rng.standard_normal()) ** 2
                if n_lines > 1:
                    total += 2.0 * naive_gamma(0.5 * (n_lines - 1), rng)
                more[:1, own[0]] = g * np.sqrt(total)
        out[rows] = basis @ lines
    return out


def naive_sweep(family, rows, prior, state, noise, rng, block=128):
    """Return the log likelihood of the state and its components' counts; draw the next state."""
    k, d = state.means.shape
    components, clean = naive_components(state, noise)
    x = reference.rows_seen(rows)
    log_likelihood = reference.log_density(rows, components).sum()
    share = reference.responsibilities(rows, components)
    owner, seen = np.empty(len(x), int), x
    for first in range(0, len(x), block):
        part = range(first, min(first + block, len(x)))
        uniform = [rng.random() for _ in part]
        for i, u in zip(part, uniform, strict=True):
            owner[i] = np.sum(np.cumsum(share[i])[:-1] <= u)
    if noise > 0.0:
        centred = x - state.means[owner]
        seen = state.means[owner] + naive_clean_rows(family, clean, noise, centred, owner, rng)
    counts = np.bincount(owner, minlength=k).astype(float)
    gammas = [naive_gamma(a, rng) for a in prior.concentration + counts]
    state.weights[:] = gammas / np.sum(gammas)
    precisions = []
    centred = [seen[owner == j] - state.means[j] for j in range(k)]
    for j in range(k):
        own = seen[owner == j]
        shared = family == "tied"
        if family != "identity" and (j == 0 or not shared):
            rows_of = centred if shared else [centred[j]]
            factor = naive_precision(family, prior.covariance_df, state.scale, rows_of, rng)
            state.factors[slice(None) if shared else j] = factor
        factor = reference.whitening(state.factors[j], d)
        precision = factor.T @ factor
        total = prior.mean_precision + counts[j] * precision
        linear = prior.mean_linear + precision @ own.sum(axis=0)
        root = np.linalg.cholesky(total)
        normals = np.array([rng.standard_normal() for _ in range(d)])
        centre = np.linalg.solve(total, linear)
        share = conjugate.MEAN_SHARE
        state.means[j] = centre + share * (state.means[j] - centre)
        state.means[j] += np.sqrt(1.0 - share**2) * np.linalg.solve(root.T, normals)
        precisions.append(precision)
    if prior.hyper_df > 0.0 and family != "identity":
        different = precisions[:1] if family == "tied" else precisions
        state.scale[:] = naive_scale(family, prior, different, rng)
    return log_likelihood, counts


# ---- the sweep


@families
@pytest.mark.parametrize("hyper", [False, True], ids=["C0 fixed", "C0 drawn"])
@pytest.mark.parametrize(("n", "k", "d"), [(1, 1, 1), (130, 2, 2), (30, 6, 1), (9, 3, 4), (129, 3, 5)])
def test_sweeps_equal_their_naive_twin(family, hyper, n, k, d, rng):
    """Three annealed sweeps, two at noise 0, three recorded draws."""
    prior = prior_for(rng, k, d, hyper, family)
    state = state_for(rng, k, d, family)
    rows = rows_for(rng, state, n)
    before = rows.values.copy()
    noise = np.array([3.0, 0.5, 0.1, 0.0, 0.0])
    own, other = np.random.default_rng(1), np.random.default_rng(1)
    twin = state_for(np.random.default_rng(0), k, d, family)
    twin.everything[:] = state.everything
    draws = draws_for(state, 3, n)
    sweep.gibbs(rows, prior, state, draws, noise, -5, 3, own)
    for level in noise:
        naive_sweep(family, rows, prior, twin, level, other)
    for s in range(3):
        # A sweep amplifies rounding by the condition of its matrices, below 1e3 here.
        np.testing.assert_allclose(draws.parameters[s], twin.everything, rtol=1e-8, atol=1e-10)
        components, _ = naive_components(twin, 0.0)
        np.testing.assert_allclose(
            draws.pointwise[s], reference.log_density(rows, components), rtol=1e-8
        )
        log_likelihood, counts = naive_sweep(family, rows, prior, twin, 0.0, other)
        assert draws.log_likelihood[s] == pytest.approx(log_likelihood, rel=1e-8)
        assert draws.n_filled[s] == np.count_nonzero(counts)
    np.testing.assert_allclose(state.everything, twin.everything, rtol=1e-8, atol=1e-10)
    np.testing.assert_array_equal(rows.values, before)


@families
def test_draws_do_not_depend_on_how_sweeps_are_divided(family, rng):
    prior = prior_for(rng, 3, 2, True, family)
    start = state_for(rng, 3, 2, family)
    rows = rows_for(rng, start, 40)
    noise = np.array([1.0, 0.5, 0.0, 0.0])
    runs = []
    for ends in ([-4, 6], [-4, -3, -1, 0, 1, 1, 4, 6]):
        state = state_for(rng, 3, 2, family)
        state.everything[:] = start.everything
        draws, own = draws_for(state, 6, 40), np.random.default_rng(2)
        for begin, end in itertools.pairwise(ends):
            sweep.gibbs(rows, prior, state, draws, noise, begin, end, own)
        runs.append(draws)
    for one, other in zip(*runs, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("every", [None, 1, 3])
def test_pointwise_densities_are_kept_at_every_nth_draw(every, rng):
    prior, state = prior_for(rng, 2, 2, True), state_for(rng, 2, 2, "full")
    rows = rows_for(rng, state, 20)
    draws = draws_for(state, 7, 20, every)
    sweep.gibbs(rows, prior, state, draws, np.zeros(0), 0, 7, np.random.default_rng(3))
    assert np.isfinite(draws.pointwise).all()
    if every is not None:
        kept = draws.log_likelihood[::every]
        np.testing.assert_allclose(draws.pointwise.sum(axis=1), kept, rtol=1e-13)


@families
def test_nothing_becomes_nan(family, rng):
    """Empty components, far rows, duplicates, a weight that underflows."""
    prior = prior_for(rng, 8, 2, True, family)._replace(concentration=np.full(8, 1e-3))
    state = state_for(rng, 8, 2, family)
    state.weights[0] = 1e-300
    values = np.zeros((20, 2))
    values[:3] = 1e3
    rows = targets.frozen(rows_for(rng, state, 20)._replace(values=values))
    draws = draws_for(state, 50, 20)
    sweep.gibbs(rows, prior, state, draws, np.full(5, 0.3), -5, 50, np.random.default_rng(4))
    assert np.isfinite(draws.parameters).all()
    assert np.isfinite(draws.log_likelihood).all()
    assert draws.n_filled.min() >= 1
    assert draws.n_filled.max() <= 8


@pytest.mark.usefixtures("compiled")
def test_a_sweep_compiles_once_per_kind_of_factor(rng):
    for family in FAMILIES:
        for n, k, d in ((5, 1, 1), (200, 3, 2)):
            state = state_for(rng, k, d, family)
            rows, draws = rows_for(rng, state, n), draws_for(state, 2, n)
            prior = prior_for(rng, k, d, True, family)
            sweep.gibbs(rows, prior, state, draws, np.zeros(1), -1, 2, rng)
    # One code for full and tied, one for spherical and identity.
    assert len(sweep.gibbs.signatures) <= 3


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


@pytest.mark.parametrize("k", [3, allocation.MOST_MASKED + 1])
@pytest.mark.parametrize("shape", ["full", "shared", "diagonal", "one", "none"])
def test_allocated_rows_are_added(shape, k, rng):
    d, count = 4, 100
    block = rng.standard_normal((d, allocation.BLOCK))
    means, owner = rng.standard_normal((k, d)), rng.integers(0, k, allocation.BLOCK)
    counts, first = np.full(k, 1.0), np.full((k, d), 2.0)
    shapes = {"full": (k, d, d), "shared": (1, d, d), "diagonal": (k, d), "one": (k, 1)}
    second = np.full(shapes.get(shape, (k, 0)), 3.0)
    allocation.add_allocated(block, means, owner.astype(float), count, counts, first, second)
    share = np.eye(k)[owner[:count]]
    centred = block.T[:count] - means[:, None, :]
    expected = reference.moments(share, centred)
    np.testing.assert_array_equal(counts, expected[0] + 1.0)
    np.testing.assert_allclose(first, expected[1] + 2.0, rtol=1e-12)
    matrices = expected[2].sum(axis=0, keepdims=True) if shape == "shared" else expected[2]
    if second.ndim == 3:
        lower = np.tril_indices(d)
        np.testing.assert_allclose(
            second[:, lower[0], lower[1]], matrices[:, lower[0], lower[1]] + 3.0, rtol=1e-12
        )
    elif shape != "none":
        squares = np.diagonal(matrices, axis1=1, axis2=2)
        squares = squares if shape == "diagonal" else squares.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(second, squares + 3.0, rtol=1e-12)


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
    clean_rows.write_noised(state.factors, noise, np.empty((4, d, d)), noised, gains)
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


def clean_moments(family, n, noise, drawn_noise, rng):
    """Return one number of clean moments, by the kernel and by drawing every clean row, (2, M)."""
    k, d = 2, 3
    state = state_for(rng, k, d, family)
    owner = np.repeat([0, 1], [n, n + 1])
    centred = rng.standard_normal((len(owner), d)) + 0.5
    noised, gains = np.empty_like(state.factors), np.empty_like(state.factors)
    clean_rows.write_noised(state.factors, noise, np.empty((4, d, d)), noised, gains)
    roots = [np.linalg.cholesky(own) for own in naive_components(state, drawn_noise)[1]]
    moved = np.empty_like(centred)
    for j, root in enumerate(roots):
        moved[owner == j] = centred[owner == j] @ root @ root.T / drawn_noise**2
    statistics = np.bincount(owner).astype(float), np.empty((k, d)), np.empty_like(state.second)
    block, line = np.zeros((d, allocation.BLOCK)), np.zeros(allocation.BLOCK)
    line[: len(owner)] = owner
    n_draws = N_DRAWS // 4
    out, side = np.empty((2, n_draws)), rng.standard_normal(d)
    for m in range(n_draws):
        normals = rng.standard_normal(centred.shape)
        rows = moved + np.stack([roots[j] @ own for j, own in zip(owner, normals, strict=True)])
        for i, own in enumerate([centred, rows]):
            for array in statistics:
                array[:] = 0.0
            block[:, : len(owner)] = own.T
            zeros = np.zeros((k, d))
            allocation.add_allocated(block, zeros, line.copy(), len(owner), *statistics)
            if i == 0:
                work = np.empty((4, d, d))
                clean_rows.draw_clean_moments(gains, noise, *statistics, work, rng)
            _, first, second = statistics
            if second.ndim == 3:
                products = np.tril(second[0]) + np.tril(second[0], -1).T
                out[i, m] = side @ products @ side + first[0] @ side
            else:
                out[i, m] = second[0].sum() + first[0] @ side
    return out


@families
@pytest.mark.parametrize("n", [1, 3, 12])
def test_clean_moments_have_the_law_of_clean_rows(family, n, rng):
    """A linear and a quadratic function of clean rows, by Kolmogorov and Smirnov."""
    out = clean_moments(family, n, 0.7, 0.7, rng)
    assert stats.ks_2samp(*out).pvalue > FALSE_ALARM / (3 * len(FAMILIES))


@pytest.mark.skipif(not COMPILED, reason="too few draws as plain Python")
@families
def test_clean_moments_of_another_noise_are_caught(family, rng):
    out = clean_moments(family, 12, 0.7, 1.2, rng)
    assert stats.ks_2samp(*out).pvalue < FALSE_ALARM / (3 * len(FAMILIES))


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
        conjugate.draw_from_precision(precision, linear.copy(), rng, work, out)
        values[s] = out
    root = np.linalg.cholesky(precision)
    normals = (values - np.linalg.solve(precision, linear)) @ root
    for v in np.concatenate([np.eye(d), np.ones((1, d)) / np.sqrt(d)]):
        assert_law(normals @ v, stats.norm.cdf, 4)


@pytest.mark.parametrize("share", [-0.9, 0.4])
def test_overrelaxation_leaves_the_law_and_correlates(share, rng):
    """Pairs of exact draws: the second has the law of the first, and the stated correlation."""
    d = 2
    precision, linear = spd(rng, d), rng.standard_normal(d)
    old, new, work = np.empty(d), np.empty(d), np.empty((d, d))
    pairs = np.empty((N_DRAWS, 2, d))
    for s in range(N_DRAWS):
        conjugate.draw_from_precision(precision, linear.copy(), rng, work, old)
        conjugate.overrelax(precision, linear.copy(), share, old, rng, work, new)
        pairs[s] = old, new
    root = np.linalg.cholesky(precision)
    normals = (pairs - np.linalg.solve(precision, linear)) @ root
    for a in range(d):
        assert_law(normals[:, 1, a], stats.norm.cdf, 2 * d)
        # What is left of the second after the first is independent of it.
        rest = (normals[:, 1, a] - share * normals[:, 0, a]) / np.sqrt(1.0 - share**2)
        assert_law((rest + normals[:, 0, a]) / np.sqrt(2.0), stats.norm.cdf, 2 * d)


@pytest.mark.parametrize("family", ["full", "tied", "diag", "spherical"])
def test_covariances_given_rows_follow_their_laws(family, rng):
    """Kolmogorov and Smirnov on a pivot of every component; a forgotten factor 2 is caught."""
    k, d, df = 3, 2, 5.0
    state = state_for(rng, k, d, family)
    state.counts[:] = [4.0, 0.0, 7.0]
    roots = rng.standard_normal((len(state.second), d, d))
    sums = roots @ np.swapaxes(roots, 1, 2) + np.eye(d)
    state.second[:] = sums if state.second.ndim == 3 else rng.uniform(0.5, 9.0, state.second.shape)
    work, pivots = np.empty((3, d, d)), np.empty((N_DRAWS, k, d))
    n = np.full(k, state.counts.sum()) if family == "tied" else state.counts
    for s in range(N_DRAWS):
        for j in range(k):
            arguments = (df, state.scale, j, state.counts, state.second, work, rng)
            conjugate.draw_covariance(*arguments, state.factors)
            if family in ("full", "tied"):
                # v' Sigma^-1 v / v' (2 C0 + S)^-1 v ~ chi2(df)
                total = 2.0 * state.scale + state.second[min(j, len(state.second) - 1)]
                precision = state.factors[j].T @ state.factors[j]
                pivots[s, j] = np.diag(precision) / np.diag(np.linalg.inv(total))
            else:
                # (2 C0 + S) / variance ~ chi2(df)
                total = 2.0 * state.scale[:, 0] + state.second[j]
                pivots[s, j] = np.square(state.factors[j]) * total
    for j in range(k):
        law = stats.chi2(df + n[j] * (d if family == "spherical" else 1))
        for a in range(d):
            assert_law(pivots[:, j, a], law.cdf, 4 * k * d)
            if COMPILED:  # the planted fault
                assert (
                    stats.kstest(pivots[:, j, a], stats.chi2(law.args[0] + 1.0).cdf).pvalue < 1e-9
                )
    if family == "tied":
        np.testing.assert_array_equal(state.factors, np.tile(state.factors[0], (k, 1, 1)))


@pytest.mark.parametrize("family", ["full", "tied", "diag", "spherical"])
def test_means_and_scales_without_rows_follow_the_prior(family, rng):
    """Sweeps over components without rows leave the joint prior of covariances and C0 as it is."""
    k, d = 2, 2
    prior = prior_for(rng, k, d, True, family)
    state = state_for(rng, k, d, family)
    state.counts[:], state.first[:], state.second[:] = 0.0, 0.0, 0.0
    work, root = np.empty((5, d, d)), np.empty((1, d, d))
    n_draws = N_DRAWS // 10
    scales, means = np.empty((n_draws, *state.scale.shape)), np.empty((n_draws, d))
    for s in range(n_draws):
        for _ in range(10):  # thinned: tests of laws take draws as independent
            conjugate.draw_components(prior, state, work, root, rng)
        scales[s], means[s] = state.scale, state.means[0]
    if family in ("full", "tied"):
        # v' C0 v / v' rate^-1 v ~ chi2(2 g0), rate = 2 G0
        rate = np.linalg.inv(2.0 * prior.hyper_rate)
        pivots = np.diagonal(scales, axis1=1, axis2=2) / np.diag(rate)
    else:
        pivots = 2.0 * scales[:, :, 0] * np.diag(prior.hyper_rate)[: scales.shape[1]]
    for own in pivots.T:
        assert_law(own, stats.chi2(prior.hyper_df).cdf, 16)
        if COMPILED:  # the planted fault
            assert stats.kstest(own, stats.chi2(prior.hyper_df + 1.0).cdf).pvalue < 1e-9
    covariance = np.linalg.inv(prior.mean_precision)
    centre = covariance @ prior.mean_linear
    for a in range(d):
        assert_law(means[:, a], stats.norm(centre[a], np.sqrt(covariance[a, a])).cdf, 16)
