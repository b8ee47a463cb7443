"""The telescoping sweep: its parts against SciPy, and the joint law of parameters and rows."""

import itertools
import math
import os
from dataclasses import replace

import faults
import joint_law
import numpy as np
import pytest
import targets
from scipy import special, stats

from diffgmm import Prior
from diffgmm.covariance import FAMILIES
from diffgmm.data import Data
from diffgmm.kernels import telescoping
from diffgmm.kernels.bundles import Rows
from diffgmm.kernels.telescoping import ComponentsPrior
from diffgmm.posterior.families import covariance_prior
from diffgmm.posterior.gibbs import conjugate_prior, new_state
from diffgmm.posterior.telescoping import TelescopingTarget

COMPILED = os.environ.get("NUMBA_DISABLE_JIT") != "1"

# False alarms of one statistical test, over all its statistics.
FALSE_ALARM = 1e-3

MOST = 12


def on_k(dynamic=True, alpha_df=(6.0, 3.0), most=MOST):
    log_p = -1.5 * np.log(np.arange(1.0, most + 1))
    return ComponentsPrior(log_p - special.logsumexp(log_p), dynamic, *alpha_df)


def target_for(family, n_rows, d, dynamic=True, sweeps=1):
    """Return a posterior in the units of its rows, which are to be filled in: rows.values.base."""
    own = covariance_prior(family)
    rate = {"full": np.eye(d), "tied": np.eye(d), "diag": np.ones(d), "spherical": 1.0}
    shape = 2.0 + d
    hyper = {"c0": shape, "g0": shape, "G0": shape * rate[family]} if own.is_free else {}
    prior = Prior(
        m0=np.zeros(d),
        B0=4.0 * np.eye(d),
        covariance_type=family,
        max_components=MOST,
        dynamic=dynamic,
        concentration=1.0 if dynamic else 0.7,
        **hyper,
    )
    values = np.linspace(-1.0, 1.0, n_rows)[:, None] * np.ones(d)
    target = TelescopingTarget.of(Data.of(values), FAMILIES[family], prior)
    fixed = replace(
        target.fixed,
        rows=targets.frozen(Rows(np.array(values), np.zeros(d), np.ones(d), np.empty(0))),
        kernel_prior=conjugate_prior(prior.replace(concentration=1.0), 1),
    )
    return replace(target, fixed=fixed, sweeps=sweeps)


def start_of(target):
    """Return a chain's state with two components at the origin."""
    state = new_state(2, target.data.n_features, target.family)
    state.weights[:] = 0.5
    state.factors[:] = 1.0 if state.factors.ndim < 3 else np.eye(target.data.n_features)
    if state.scale.size:
        state.scale[:] = np.eye(len(state.scale)) if state.scale.shape[1] > 1 else 1.0
    return target.with_room(state)


# ---- parts


@pytest.mark.parametrize("dynamic", [True, False])
def test_probability_of_an_allocation(dynamic):
    counts, k, alpha = np.array([3.0, 1.0, 6.0, 0.0]), 4, 0.8
    e = telescoping.concentration_of(on_k(dynamic), alpha, k)
    assert e == (0.2 if dynamic else 0.8)
    expected = special.gammaln(k * e) - special.gammaln(k * e + 10)
    expected += np.sum(special.gammaln(counts + e) - special.gammaln(e))
    assert telescoping.log_partition(counts, 3, e, k) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("width", [MOST, 5])
def test_number_of_components_given_the_partition(width, rng):
    """Whole law, and the chain of windows: the same stationary law."""
    counts, prior, alpha = np.array([4.0, 2.0, 1.0]), on_k(), 1.3
    k = np.arange(3, MOST + 1)
    log_w = prior.log_probabilities[2:] + special.gammaln(k + 1) - special.gammaln(k - 2)
    log_w += [telescoping.log_partition(counts, 3, alpha / own, own) for own in k]
    expected = np.exp(log_w - special.logsumexp(log_w))
    n, drawn = (3_000 if COMPILED else 300), np.zeros(MOST + 1)
    own, scratch = 3, np.empty(width)
    for _ in range(n):
        for _ in range(1 if width == MOST else 30):  # windows of 5 forget slowly
            lowest = 1 if width == MOST else own - int(width * rng.random())
            own = telescoping.draw_n_components(prior, counts, 3, alpha, lowest, scratch, rng)
        drawn[own] += 1
    assert drawn[:3].sum() == 0
    observed, wanted, rare = drawn[3:], n * expected, n * expected < 10
    pairs = [
        np.append(own[~rare], [own[rare].sum()] if rare.any() else []) for own in (observed, wanted)
    ]
    assert stats.chisquare(*pairs).pvalue > FALSE_ALARM


def test_steps_of_alpha_have_their_law(rng):
    """One long chain against quadrature of the F density times the allocation's probability."""
    counts, prior, k = np.array([5.0, 3.0]), on_k(), 4
    log_alpha = np.linspace(-12.0, 12.0, 4001)
    alpha = np.exp(log_alpha)
    log_p = stats.f(6, 3).logpdf(alpha) + log_alpha
    log_p += [telescoping.log_partition(counts, 2, a / k, k) for a in alpha]
    p = np.exp(log_p - log_p.max())
    mean = (p @ log_alpha) / p.sum()
    draws, a = np.empty(40_000 if COMPILED else 2_000), 1.0
    for i in range(len(draws)):
        a = telescoping.draw_alpha(prior, counts, 2, k, a, rng)
        draws[i] = math.log(a)
    batches = draws.reshape(40, -1).mean(axis=1)
    error = batches.std(ddof=1) / np.sqrt(40)
    assert abs(batches.mean() - mean) < stats.t(39).isf(FALSE_ALARM / 2) * error


@pytest.mark.parametrize("family", list(FAMILIES))
def test_components_with_rows_come_first(family, rng):
    target = target_for(family, 6, 2)
    room = start_of(target).room
    for array in (room.weights, room.means, room.factors, room.first):
        array[:] = rng.uniform(1.0, 2.0, array.shape)
    room.counts[:] = [0, 3, 0, 1, 2, 0, *np.zeros(MOST - 6)]
    if family != "tied":
        room.second[:] = rng.uniform(1.0, 2.0, room.second.shape)
    before = [array.copy() for array in (room.weights, room.means, room.factors, room.second)]
    assert telescoping.put_filled_first(room, 6) == 3
    np.testing.assert_array_equal(room.counts[:6], [3, 1, 2, 0, 0, 0])
    after = (room.weights, room.means, room.factors, room.second)
    for old, new in zip(before, after, strict=True):
        if len(old) == 1:
            np.testing.assert_array_equal(new, old)
            continue
        np.testing.assert_array_equal(new[:3], old[[1, 3, 4]])
        assert sorted(new[3:6].tolist()) == sorted(old[[0, 2, 5]].tolist())
        np.testing.assert_array_equal(new[6:], old[6:])


@pytest.mark.parametrize("family", ["full", "diag", "identity"])
def test_draws_do_not_depend_on_calls_or_room(family, rng):
    """Steps divided anyhow, draws that have room for few components at first."""
    target = target_for(family, 9, 2, sweeps=3)
    target.fixed.rows.values.base[:] = 3.0 * rng.standard_normal((9, 2))
    runs = []
    for ends in ([-4, 30], [-4, -3, 0, 1, 1, 17, 30]):
        state, own = start_of(target), np.random.default_rng(2)
        draws = target.new_draws(30, np.empty((10, 9)), 3)
        draws = draws._replace(components=draws.components[:, :1].copy())
        for begin, end in itertools.pairwise(ends):
            noise = np.array([1.0, 0.5, 0.0, 0.0])
            draws = target.sweep(state, draws, noise, (begin, end), own)
        runs.append(draws)
    one, other = runs
    largest = one.n_components.max()
    assert largest > 1
    np.testing.assert_array_equal(one.components[:, :largest], other.components[:, :largest])
    for name in ("scale", "alpha", "n_components", "n_filled", "log_likelihood", "pointwise"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    np.testing.assert_allclose(one.pointwise.sum(axis=1), one.log_likelihood[::3], rtol=1e-12)
    weights = target.split(one.components)[0]
    np.testing.assert_array_equal(np.isfinite(weights).sum(axis=1), one.n_components)
    np.testing.assert_allclose(np.nansum(weights, axis=1), 1.0, rtol=1e-12)
    assert np.all((one.n_filled >= 1) & (one.n_filled <= one.n_components))


# ---- the joint law: Geweke (2004), doi:10.1198/016214504000001132


N_ROWS = 6
N_STEPS = 4_000
CASES = [
    ("full", 1, True),
    ("full", 2, False),
    ("tied", 2, True),
    ("diag", 2, True),
    ("spherical", 2, True),
    ("identity", 1, True),
]


def statistics(k, alpha, scale, weights, means, factors, values):
    """Return functions of one joint draw of parameters and rows that have moments."""
    spread = np.log(factors.reshape(len(weights), -1)[:, 0])
    log_scale = 0.0 if not scale.size else math.log(scale.flat[0])
    mean = values[:, 0].mean()
    return [
        math.log(k),
        1.0 / k,
        math.log(alpha),
        log_scale,
        log_scale**2,
        float(weights @ spread),
        float(spread.mean()),
        float(np.square(weights).sum()),
        float(weights @ means[:, 0]),
        float(np.abs(means[:, 0]).mean()),
        math.tanh(mean) ** 2,
        math.log1p(np.abs(values[:, 0] - values[1, 0]).sum()),
        math.log1p(abs(values[0, 0])) * math.log(k),
    ]


def rows_of(weights, means, factors, n, rng):
    """Return n rows of a mixture given whitening factors."""
    d = means.shape[1]
    owner = rng.choice(len(weights), size=n, p=weights / weights.sum())
    normals = rng.standard_normal((n, d))
    if factors.ndim == 3:
        return means[owner] + np.einsum("nab,nb->na", np.linalg.inv(factors)[owner], normals)
    return means[owner] + normals / factors[owner].reshape(n, -1)


def from_prior(target, n, seed):
    """Return means and variances of the statistics over independent draws."""
    rng, family = np.random.default_rng(seed), target.family.name
    draws = target.prior.draw(None, n, seed + 1)
    out = []
    for s in range(n):
        k = draws["n_components"][s]
        weights, means = draws["weights"][s, :k], draws["means"][s, :k]
        if family == "identity":
            factors = np.ones(k)
        elif family in ("full", "tied"):
            covariances = draws["covariances"][s]
            covariances = covariances[:k] if family == "full" else covariances[None]
            factors = np.linalg.inv(np.linalg.cholesky(covariances))
            factors = np.broadcast_to(factors, (k, *factors.shape[1:]))
        else:
            factors = draws["covariances"][s, :k] ** -0.5
        scale = np.ravel(draws["C0"][s]) if "C0" in draws else np.empty(0)
        alpha = draws["alpha"][s] if "alpha" in draws else float(target.prior.concentration)
        values = rows_of(weights, means, factors, N_ROWS, rng)
        out.append(statistics(k, alpha, scale, weights, means, factors, values))
    return np.mean(out, axis=0), np.var(out, axis=0, ddof=1) / n


def successive(target, n, seed, telescope):
    """Return the statistics of n steps: rows given parameters, one sweep given the rows."""
    rng = np.random.default_rng(seed)
    state, draws = start_of(target), target.new_draws(1, np.empty((0, N_ROWS)), 1)
    draws = draws._replace(components=np.empty((1, MOST, draws.components.shape[2])))
    values, room = target.fixed.rows.values.base, state.room
    out = []
    for _ in range(n):
        k = int(state.n_components[0])
        parts = room.weights[:k], room.means[:k], room.factors[:k]
        values[:] = rows_of(*parts, N_ROWS, rng)
        alpha = state.alpha[0]
        out.append(statistics(k, alpha, room.scale, *parts, values))
        telescope(
            target.fixed.rows,
            target.fixed.kernel_prior,
            target.on_k,
            state,
            draws,
            np.empty(0),
            0,
            1,
            rng,
        )
    return np.array(out)


def z_scores(target, seed, telescope, n=N_STEPS):
    """Return the differences between both laws in standard errors, of what varies."""
    return joint_law.z_scores(
        from_prior(target, n, seed), successive(target, n, seed + 2, telescope)
    )


def limit_of(z):
    """Return what the largest z exceeds with probability FALSE_ALARM in any of the cases."""
    return joint_law.limit(len(z), FALSE_ALARM / len(CASES))


@pytest.mark.statistical
@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize(("family", "d", "dynamic"), CASES)
def test_joint_law_of_parameters_and_rows(family, d, dynamic):
    """Draws of the prior, and a chain that draws rows and sweeps in turn, have the same law."""
    z = z_scores(target_for(family, N_ROWS, d, dynamic), 100, telescoping.telescope)
    assert len(z) >= 8
    assert z.max() < limit_of(z)


def plant_scale_of_all(monkeypatch):
    """C0 counts K components, not the filled ones."""
    right, first, k = telescoping.draw_components, telescoping.put_filled_first, []

    def remember(room, n_components):
        k[:] = [n_components]
        return first(room, n_components)

    def wrong(prior, own, work, root, rng):
        more = (k[0] - len(own.weights)) * prior.covariance_df
        right(prior._replace(hyper_df=prior.hyper_df + more), own, work, root, rng)

    monkeypatch.setattr(telescoping, "put_filled_first", remember)
    monkeypatch.setattr(telescoping, "draw_components", wrong)


@pytest.mark.statistical
@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("fault", [faults.without_factorials, faults.without_jacobian, None])
def test_the_joint_law_shows_planted_faults(fault, monkeypatch):
    """The same sweep, its loop in Python: z of 10 to 40 where 5 is the limit."""
    if fault is None:
        plant_scale_of_all(monkeypatch)
        telescope = telescoping.telescope.py_func
    else:
        telescope = faults.telescope_with(fault, compiled=lambda function: function)
    z = z_scores(target_for("full", N_ROWS, 1), 100, telescope, 3_000)
    assert z.max() > limit_of(z)
