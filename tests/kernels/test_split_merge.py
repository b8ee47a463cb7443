"""Split-merge moves: densities of groups against quadrature, and the joint law of parameters and rows."""

import inspect
import itertools
import math
from dataclasses import replace

import joint_law
import numpy as np
import pytest
import targets
from scipy import special, stats

from diffgmm import Prior
from diffgmm.covariance import FAMILIES
from diffgmm.data import Data
from diffgmm.kernels import division, group_prior, groups, split_merge, sweep
from diffgmm.kernels.bundles import Rows
from diffgmm.posterior.families import covariance_prior
from diffgmm.posterior.gibbs import Moves, Target, conjugate_prior, new_state

# False alarms of one statistical test, over all its cases and statistics.
FALSE_ALARM = 1e-3

N_ROWS = 6
N_STEPS = 4_000
CASES = [("full", 1, 3), ("full", 2, 2), ("diag", 2, 3), ("spherical", 2, 3), ("identity", 1, 3), ("tied", 2, 3)]


def target_for(family, d, k, n_rows=N_ROWS, fixed=False):
    """Return a posterior in the units of its rows, which are to be filled in: rows.values.base.

    fixed : whether C0 is, so that moves reach all parameters without a sweep.
    """
    own = covariance_prior(family)
    rate = {"full": np.eye(d), "tied": np.eye(d), "diag": np.ones(d), "spherical": 1.0}
    shape = 2.0 + d
    hyper = {"c0": shape, "g0": shape, "G0": shape * rate[family]} if own.is_free else {}
    if fixed:
        hyper = {"c0": shape, "C0": 0.5 * shape * rate[family]}
    prior = Prior(m0=np.full(d, 0.5), B0=4.0 * np.eye(d), covariance_type=family, **hyper)
    values = np.linspace(-1.0, 1.0, n_rows)[:, None] * np.ones(d)
    target = Target.of(Data.of(values), FAMILIES[family], prior, k)
    return replace(
        target,
        rows=targets.frozen(Rows(np.array(values), np.zeros(d), np.ones(d), np.empty(0))),
        kernel_prior=conjugate_prior(prior, k),
    )


def start_of(target):
    """Return a chain's state with all components at the origin."""
    k, d = target.n_components, target.data.n_features
    state = new_state(k, d, target.family)
    state.weights[:] = 1.0 / k
    state.factors[:] = 1.0 if state.factors.ndim < 3 else np.eye(d)
    if target.prior.C0 is not None:
        state.scale[:] = target.prior.C0
    elif state.scale.size:
        state.scale[:] = np.eye(d) if state.scale.shape[1] > 1 else 1.0
    return state


# ---- densities of groups


def group_of(target, state, values, rng):
    """Return one group of the rows (n, D) and its prior, the covariance drawn."""
    prior = group_prior.group_prior(target.kernel_prior, state)
    own = np.zeros((1, 5 + 3 * values.shape[1], values.shape[1]))
    for row in values:
        groups.add_row(own, 0, row, 1.0)
    split_merge.widen(state.factors[:1], own)
    groups.refresh(prior, own, 0)
    groups.draw_factor(prior, own, 0, rng)
    groups.refresh(prior, own, 0)
    return prior, own


def log_proposal(prior, own, covariance):
    """Return log q(covariance)."""
    n, d = own[0, groups.COUNT, 0], len(covariance)
    df = prior.df + (n - 1.0) * (d if prior.kind == group_prior.SPHERICAL else 1.0)
    scatter = own[0, groups.SCATTER :][:d]
    scatter = np.tril(scatter) + np.tril(scatter, -1).T
    if prior.kind == group_prior.FULL:
        return stats.invwishart(df, prior.matrices[group_prior.SCALE] + scatter).logpdf(covariance)
    rates, variances = np.diag(prior.matrices[group_prior.SCALE] + scatter), np.diag(covariance)
    if prior.kind == group_prior.SPHERICAL:
        rates, variances = prior.matrices[group_prior.SCALE, :1, 0] + np.trace(scatter), variances[:1]
    return stats.invgamma(df / 2, scale=rates / 2).logpdf(variances).sum()


def log_prior(prior, covariance):
    """Return the log prior density of a covariance."""
    if prior.kind == group_prior.FULL:
        return stats.invwishart(prior.df, prior.matrices[group_prior.SCALE]).logpdf(covariance)
    variances = np.diag(covariance)[: 1 if prior.kind == group_prior.SPHERICAL else None]
    rates = np.diag(prior.matrices[group_prior.SCALE])[: len(variances)]
    return stats.invgamma(prior.df / 2, scale=rates / 2).logpdf(variances).sum()


@pytest.mark.parametrize("d", [1, 2, 3, 8, 40, 41])  # the last two: more factors than are multiplied
def test_gamma_functions(d):
    """Against SciPy, relative to their size: `reassoc` lets the compiler round otherwise."""
    for x in (0.7, 3.0, 500.0):
        expected = special.gammaln(x + d / 2) - special.gammaln(x)
        assert group_prior.log_gamma_ratio(x, d) == pytest.approx(expected, rel=1e-11)
        df = 2.0 * x + d
        prior = group_prior.GroupPrior(group_prior.FULL, df, 0.0, 0.0, 0.0, np.zeros((8, d, d)))
        expected = 0.5 * df * (0.3 - d * np.log(2.0)) - special.gammaln(0.5 * (df - np.arange(d))).sum()
        assert group_prior.log_constant(prior, df, 0.3) == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("family", list(FAMILIES))
@pytest.mark.parametrize("n", [1, 4])
def test_weight_of_a_group(family, n, rng):
    """log p(Sigma) p(rows | Sigma) / q(Sigma) up to pi^(D (D - 1) / 4), which no ratio has."""
    target = target_for(family, 2, 3)
    state, values = start_of(target), 2.0 * rng.standard_normal((n, 2))
    prior, own = group_of(target, state, values, rng)
    inverse = np.linalg.inv(own[0, groups.SCATTER + 2 :][:2])
    covariance = inverse @ inverse.T
    joint = np.kron(np.ones((n, n)), 4.0 * np.eye(2)) + np.kron(np.eye(n), covariance)
    expected = stats.multivariate_normal(np.full(2 * n, 0.5), joint).logpdf(values.ravel())
    if prior.kind != group_prior.KNOWN:
        expected += log_prior(prior, covariance) - log_proposal(prior, own, covariance)
    assert groups.log_weight(prior, own, 0) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("family", list(FAMILIES))
def test_predictive_density_is_that_of_wide_means(family, rng):
    """The ratio of two weights where the mean's prior is flat; a row inside is left out."""
    target = target_for(family, 2, 3)
    wide = Prior(**{**vars(target.prior), "B0": 1e10 * np.eye(2)})
    target = replace(target, kernel_prior=conjugate_prior(wide, 3))
    state, values = start_of(target), rng.standard_normal((5, 2))
    weights = []
    for n in (4, 5):
        prior, own = group_of(target, state, values[:n], rng)
        weights.append(groups.log_weight(prior, own, 0))
        found = groups.log_predictive(prior, own, 0, values[4], n == 5)
        assert found == pytest.approx(groups.log_predictive(prior, own, 0, values[4], n == 5))
        weights.append(found)
    assert weights[1] == pytest.approx(weights[3], rel=1e-9)
    assert weights[1] - math.log(5.0) == pytest.approx(weights[2] - weights[0], rel=1e-6)


# ---- chains


@pytest.mark.parametrize("family", ["full", "diag", "identity"])
def test_draws_do_not_depend_on_calls(family, rng):
    target = replace(target_for(family, 2, 3, 30), moves=Moves(2, 3))
    target.rows.values.base[:] = 3.0 * rng.standard_normal((30, 2))
    runs = []
    for ends in ([-6, 30], [-6, -3, 0, 1, 1, 17, 30]):
        state, own = start_of(target), np.random.default_rng(2)
        draws = target.new_draws(30, np.empty((10, 30)), 3)
        noise = np.array([1.0, 0.5, 0.0, 0.0, 0.0, 0.0])
        for begin, end in itertools.pairwise(ends):
            target.sweep(state, draws, noise, (begin, end), own)
        runs.append(draws)
    for name in ("parameters", "log_likelihood", "n_filled", "pointwise", "acceptance"):
        np.testing.assert_array_equal(getattr(runs[0], name), getattr(runs[1], name))
    np.testing.assert_allclose(runs[0].pointwise.sum(axis=1), runs[0].log_likelihood[::3], rtol=1e-12)
    assert np.all(runs[0].acceptance[2::3] < 1.0 + 1e-12)


# ---- the joint law: Geweke (2004), doi:10.1198/016214504000001132


def statistics(state, values):
    """Return functions of one joint draw of parameters and rows that have moments."""
    weights, means = state.weights, state.means
    spread = np.log(state.factors.reshape(len(weights), -1)[:, 0])
    log_scale = 0.0 if not state.scale.size else math.log(state.scale.flat[0])
    return [
        log_scale,
        log_scale**2,
        float(weights @ spread),
        float(spread.mean()),
        float(np.square(spread).mean()),
        float(np.square(weights).sum()),
        float(weights.min()),
        float(weights @ means[:, 0]),
        float(np.abs(means[:, 0]).mean()),
        float(weights @ np.abs(means[:, 0] - weights @ means[:, 0])),
        math.tanh(values[:, 0].mean()) ** 2,
        math.log1p(np.abs(values[:, 0] - values[1, 0]).sum()),
        math.log1p(np.ptp(values[:, 0])) * float(np.square(weights).sum()),
    ]


def rows_of(state, n, rng):
    """Return n rows of the mixture of a state."""
    owner = rng.choice(len(state.weights), size=n, p=state.weights / state.weights.sum())
    normals = rng.standard_normal((n, state.means.shape[1]))
    if state.factors.ndim == 3:
        inverses = np.linalg.inv(state.factors)
        return state.means[owner] + np.einsum("nab,nb->na", inverses[owner], normals)
    return state.means[owner] + normals / state.factors[owner].reshape(n, -1)


def from_prior(target, n, seed):
    """Return means and variances of the statistics over independent draws."""
    rng, out = np.random.default_rng(seed), []
    k, d = target.n_components, target.data.n_features
    draws = target.prior.draw(k, n, np.random.default_rng(seed + 1))
    own = target.covariance_prior
    for s in range(n):
        state = start_of(target)
        state.weights[:], state.means[:] = draws["weights"][s], draws["means"][s]
        if own.is_free:
            covariances = own.per_component(draws["covariances"][s], k)
            state.factors[:] = target.family.factors(covariances, d)[0]
            state.scale[:] = own.kernel_scale(draws["C0"][s] if "C0" in draws else target.prior.C0)
        out.append(statistics(state, rows_of(state, target.data.n_rows, rng)))
    return np.mean(out, axis=0), np.var(out, axis=0, ddof=1) / n


def successive(target, n, seed, move):
    """Return the statistics of n steps: rows given parameters, then a move and a sweep given the rows."""
    rng, state = np.random.default_rng(seed), start_of(target)
    values, out = target.rows.values.base, []
    scratch = sweep.scratch_for(state)
    for _ in range(n):
        values[:] = rows_of(state, target.data.n_rows, rng)
        out.append(statistics(state, values))
        for _ in range(3):
            move(target.rows, target.kernel_prior, state, rng)
        if target.prior.C0 is None:
            sweep.sweep(target.rows, target.kernel_prior, state, 0.0, np.empty(0), scratch, rng)
    return np.array(out)


def z_scores(target, seed, move, n=N_STEPS):
    """Return the differences between both laws in standard errors, of what varies."""
    return joint_law.z_scores(
        from_prior(target, 4 * n, seed), successive(target, n, seed + 2, move)
    )


def limit_of(z):
    """Return what the largest z exceeds with probability FALSE_ALARM in any of the cases."""
    return joint_law.limit(len(z), FALSE_ALARM / len(CASES))


@pytest.mark.statistical
@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize(("family", "d", "k"), CASES)
def test_joint_law_of_parameters_and_rows(family, d, k):
    """Draws of the prior, and a chain that draws rows and moves in turn, have the same law."""
    z = z_scores(target_for(family, d, k), 100, split_merge.split_merge)
    assert len(z) >= 8
    assert z.max() < limit_of(z)


def without_division():
    """The probability of a division is forgotten."""
    return {"divide": lambda *arguments: 0.0 * division.divide(*arguments)}


def without_the_empty_side():
    """Divisions with an empty side count as if they were drawn row by row."""

    def divide(*arguments):
        own = division.divide(*arguments)
        parts, n = arguments[2], arguments[3]
        empty = n > 0 and not parts.labels[2, :n].any()
        return math.log(max(math.exp(own) - division.EMPTY, 1e-300)) if empty else own

    return {"divide": divide}


def without_selection():
    """Three components take part if the first has two rows: the opposite move is chosen otherwise."""
    source = inspect.getsource(MOVE).removeprefix("@kernel\n")
    names = dict(vars(split_merge))
    exec(source.replace("rng.random() < 0.5", "groups[a, COUNT, 0] == 2.0", 1), names)
    return {"move_components": names["move_components"]}


def without_the_mean():
    """The density of a group forgets where the prior has its mean."""

    def log_gain(prior, concentration, parts, j, to, rng):
        own = split_merge_log_gain(prior, concentration, parts, j, to, rng)
        for i, sign in ((j, 1.0), (to, -1.0)):
            if parts.groups[i, groups.COUNT, 0] > 0.0:
                shift = parts.groups[i, groups.CENTRE] - prior.matrices[group_prior.MEAN, 0]
                own += sign * 0.5 * float(shift @ prior.matrices[group_prior.PRECISION] @ shift)
        return own

    return {"log_gain": log_gain}


split_merge_log_gain = split_merge.log_gain
MOVE = getattr(split_merge.move_components, "py_func", split_merge.move_components)


# ---- the law of allocations, enumerated


ENUMERATED = np.array([-2.0, -1.2, 0.7, 2.0, 2.4])


def log_marginal(prior, values):
    """Return the log density of one group's rows by quadrature over its variance."""
    n, log_v = len(values), np.linspace(-12.0, 14.0, 2_000)
    v = np.exp(log_v)
    own = stats.invgamma(prior.c0, scale=prior.C0[0, 0]).logpdf(v) + log_v
    if n:
        spread = ((values - values.mean()) ** 2).sum()
        own += -0.5 * (n - 1) * np.log(2 * np.pi * v) - 0.5 * math.log(n) - 0.5 * spread / v
        own += stats.norm(prior.m0[0], np.sqrt(prior.B0[0, 0] + v / n)).logpdf(values.mean())
    return special.logsumexp(own) + math.log(log_v[1] - log_v[0])


def law_of_counts(prior, values, k):
    """Return {numbers of rows of the components: probability}."""
    law, marginals = {}, {}
    for labels in itertools.product(range(k), repeat=len(values)):
        total, chosen = 0.0, np.array(labels)
        for j in range(k):
            key = tuple(chosen == j)
            if key not in marginals:
                marginals[key] = log_marginal(prior, values[chosen == j])
            total += marginals[key] + math.lgamma(1.0 + sum(key))
        counts = tuple(np.bincount(chosen, minlength=k))
        law[counts] = law.get(counts, 0.0) + math.exp(total)
    norm = sum(law.values())
    return {counts: value / norm for counts, value in law.items()}


def largest_z(k, move, seed=3, n=20_000):
    """Return the largest standardised difference from the law of counts, and its limit."""
    target = target_for("full", 1, k, len(ENUMERATED), fixed=True)
    target.rows.values.base[:, 0] = ENUMERATED
    law, state, rng = law_of_counts(target.prior, ENUMERATED, k), start_of(target), np.random.default_rng(seed)
    found = np.empty((n, k), dtype=int)
    for i in range(n):
        move(target.rows, target.kernel_prior, state, rng)
        found[i] = state.counts
    z = []
    for counts, p in law.items():
        means = np.all(found == counts, axis=1).reshape(joint_law.N_BATCHES, -1).mean(axis=1)
        # the error of independent draws at least: a state that is rare may not have been seen
        error = max(means.std(ddof=1) / math.sqrt(joint_law.N_BATCHES), math.sqrt(p * (1 - p) / n))
        z.append(abs(means.mean() - p) / error if p * n > 50 else 0.0)
    return max(z), joint_law.limit(len(z), FALSE_ALARM / 4)  # four cases


@pytest.mark.statistical
@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("alone", [False, True])
def test_law_of_allocations(k, alone, monkeypatch):
    """Moves alone, without and with those of single rows, against every allocation of five rows."""
    move = split_merge.split_merge
    if alone:
        monkeypatch.setattr(split_merge, "move_one_by_one", lambda *arguments: None)
        move = split_merge.split_merge.py_func
    z, limit = largest_z(k, move)
    assert z < limit


FAULTS = [without_division, without_the_empty_side, without_selection, without_the_mean]


@pytest.mark.statistical
@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("fault", FAULTS)
def test_the_law_of_allocations_shows_planted_faults(fault, monkeypatch):
    """Split-merge moves alone, their outer loops in Python."""
    monkeypatch.setattr(split_merge, "move_one_by_one", lambda *arguments: None)
    monkeypatch.setattr(split_merge, "move_components", MOVE)
    for name, wrong in fault().items():
        monkeypatch.setattr(split_merge, name, wrong)
    z, limit = largest_z(3, split_merge.split_merge.py_func)
    assert z > limit
