"""The nonparametric estimate of a mixing distribution: optimal where convex solvers can tell, certified elsewhere."""

import numpy as np
import pytest
from scipy import optimize, stats

import diffgmm
from diffgmm.covariance import FAMILIES
from diffgmm.data import Data
from diffgmm.errors import ConvergenceWarning, InvalidDataError, InvalidParameterError
from diffgmm.learn import atom_weights, certificate
from diffgmm.learn.em import Parameters, Problem, expect

pytestmark = pytest.mark.usefixtures("compiled")


def on_a_circle(rng, n, d=2):
    angle = rng.uniform(0.0, 2.0 * np.pi, n)
    rows = np.zeros((n, d))
    rows[:, 0], rows[:, 1] = np.cos(angle), np.sin(angle)
    return rows


def swiss_roll(rng, n):
    angle = 1.5 * np.pi * (1.0 + 2.0 * rng.random(n))
    return np.c_[angle * np.cos(angle), 10.0 * rng.random(n), angle * np.sin(angle)] / 5.0


def derivative(found, x, points):
    """Return D(a) = mean_i N(x_i; a, noise) / p(x_i) by NumPy."""
    density = found.mixture.log_density(x)
    white = (x[None] - points[:, None]) / found.noise_scale
    kernel = stats.norm.logpdf(white).sum(axis=2) - np.log(found.noise_scale).sum()
    return np.exp(kernel - density).mean(axis=1)


def best_on_a_grid(x, grid):
    """Return the largest mean log likelihood of mixing distributions on a grid, by convex duality.

    The dual of Koenker and Mizera: maximise sum_i log v_i with sum_i v_i N(x_i; a) <= n for every
    point a of the grid. SLSQP solves it; any feasible v bounds the optimum from above.
    """
    kernel = stats.norm.pdf(x[:, None] - grid)
    start = np.full(len(x), 0.5 / kernel.sum(axis=0).max() * len(x))
    found = optimize.minimize(
        lambda v: -np.log(v).sum(),
        start,
        jac=lambda v: -1.0 / v,
        bounds=[(1e-8, None)] * len(x),
        constraints={
            "type": "ineq",
            "fun": lambda v: len(x) - kernel.T @ v,
            "jac": lambda v: -kernel.T,
        },
        method="SLSQP",
        options={"maxiter": 1000, "ftol": 1e-13},
    )
    v = found.x * min(1.0, len(x) / (kernel.T @ found.x).max())
    return -np.log(v).mean()


@pytest.mark.parametrize("seed", range(2))
def test_equals_the_convex_optimum_in_one_dimension(seed):
    """The grid's optimum can only be lower, by the square of its spacing: 0.01^2 / 8."""
    x = 2.0 * np.random.default_rng(seed).standard_t(4, 30)
    grid = np.arange(x.min(), x.max() + 0.01, 0.01)
    found = diffgmm.npmle(x[:, None], tolerance=1e-6, random_seed=seed)
    expected = best_on_a_grid(x, grid)
    assert found.converged
    assert found.log_likelihood / len(x) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "make", "noise"),
    [
        ("circle", lambda rng: on_a_circle(rng, 1_500), 0.1),
        ("circle in five dimensions", lambda rng: on_a_circle(rng, 1_000, 5), 0.1),
        ("swiss roll", lambda rng: swiss_roll(rng, 800), 0.2),
    ],
)
def test_curves_and_surfaces_are_certified(name, make, noise, rng):
    clean = make(rng)
    x = clean + noise * rng.standard_normal(clean.shape)
    found = diffgmm.npmle(x, noise_scale=noise, random_seed=1)
    assert found.converged
    assert found.gap < 1e-3
    # The bound holds against the distribution that made the rows.
    density = np.array(
        [np.log(np.exp(stats.norm.logpdf(row, clean, noise).sum(axis=1)).mean()) for row in x[:300]]
    )
    assert density.mean() < found.mixture.log_density(x[:300]).mean()
    # D at random points and at the atoms, by another formula.
    points = np.concatenate([x[:200], found.mixture.means])
    assert derivative(found, x, points).max() < 1.0 + found.gap + 1e-9
    at_atoms = derivative(found, x, found.mixture.means)
    assert found.mixture.weights @ at_atoms == pytest.approx(1.0, abs=1e-9)
    # Denoised rows are nearer to where they came from than the rows themselves.
    denoised = found.posterior_mean(x)
    assert np.square(denoised - clean).mean() < 0.8 * np.square(x - clean).mean()


def test_the_certificate_sees_a_mixing_distribution_that_lacks_an_atom(rng):
    """The planted fault: two atoms for three groups; the gap bounds what the third would bring."""
    x = np.array([-4.0, 0.0, 5.0])[rng.integers(3, size=400), None] + rng.standard_normal((400, 1))
    problem = Problem.of(Data.of(x).rows(np.zeros(1), np.ones(1)), FAMILIES["identity"], 1)
    poor = Parameters(np.full(2, 0.5), np.array([[-4.0], [5.0]]), np.ones(2))
    found = diffgmm.npmle(x, random_seed=1)
    gap = certificate.certify(problem, poor, x).gap
    deficit = found.log_likelihood / 400 - expect(problem, poor)[0]
    assert gap > 1.0 > found.gap
    assert 0.0 < deficit < gap


def test_a_newton_step_raises_the_likelihood_and_drops_atoms(rng):
    x = rng.standard_normal((500, 2))
    problem = Problem.of(Data.of(x).rows(np.zeros(2), np.ones(2)), FAMILIES["identity"], 1)
    start = Parameters(np.full(400, 1.0 / 400.0), x[:400].copy(), np.ones(400))
    for few in (1_000, 10):  # by least squares, and by dropping
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(atom_weights, "FEW_ATOMS", few)
            moved = atom_weights.newton_step(problem, start)
        assert expect(problem, moved)[0] > expect(problem, start)[0] + 0.1
        assert len(moved.weights) < 100
        assert moved.weights.sum() == pytest.approx(1.0, abs=1e-12)


def test_two_groups_of_rows_are_two_atoms():
    x = np.array([[-6.0], [-6.0], [5.0], [5.0], [5.0]])
    found = diffgmm.npmle(x, tolerance=1e-8, random_seed=0)
    np.testing.assert_allclose(found.mixture.weights, [0.6, 0.4], atol=1e-6)
    np.testing.assert_allclose(found.mixture.means, [[5.0], [-6.0]], atol=1e-6)
    assert found.log_likelihood == pytest.approx(found.mixture.log_density(x).sum(), abs=1e-9)


def test_units_and_names_are_the_users(rng):
    pandas = pytest.importorskip("pandas")
    x = on_a_circle(rng, 300) + 0.2 * rng.standard_normal((300, 2))
    scale, shift = np.array([1e-3, 1e4]), np.array([5.0, -1e6])
    plain = diffgmm.npmle(x, noise_scale=0.2, random_seed=1)
    table = pandas.DataFrame(x * scale + shift, columns=["width", "height"])
    moved = diffgmm.npmle(table, noise_scale=0.2 * scale, random_seed=1)
    assert moved.mixture.feature_names == ("width", "height")
    jacobian = 300 * np.log(scale).sum()
    # two estimates within 1e-3 nat per row of the best
    assert moved.log_likelihood == pytest.approx(plain.log_likelihood - jacobian, abs=300 * 1e-3)
    covariances = moved.mixture.covariances
    expected = np.broadcast_to(np.diag((0.2 * scale) ** 2), covariances.shape)
    np.testing.assert_allclose(covariances, expected)


def test_seeds_and_cores(rng):
    x = 3.0 * on_a_circle(rng, 17_000) + rng.standard_normal((17_000, 2))  # two chunks
    one, two, other = (
        diffgmm.npmle(x, random_seed=seed, cores=cores, max_rounds=1)
        for seed, cores in ((1, 1), (1, 2), (2, 1))
    )
    np.testing.assert_array_equal(one.mixture.means, two.mixture.means)
    assert one.gap == two.gap
    assert not np.array_equal(one.mixture.means[0], other.mixture.means[0])


def test_too_few_rounds_are_said(rng):
    x = on_a_circle(rng, 500) + 0.1 * rng.standard_normal((500, 2))
    found = diffgmm.npmle(x, noise_scale=0.1, tolerance=1e-9, max_rounds=1, random_seed=1)
    assert not found.converged
    assert found.n_rounds == 1
    assert found.gap > 1e-9


def test_a_row_far_from_all_others_gets_an_atom(rng):
    x = np.concatenate([rng.standard_normal((200, 1)), [[1e4]]])
    found = diffgmm.npmle(x, random_seed=1)
    assert found.converged
    assert np.abs(found.mixture.means - 1e4).min() < 1e-6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"noise_scale": 0.0},
            "noise_scale must be one positive number or 2 of them, one for each feature, got 0.0.",
        ),
        (
            {"noise_scale": [1.0, 2.0, 3.0]},
            "noise_scale must be one positive number or 2 of them, one for each feature, "
            "got [1.0, 2.0, 3.0].",
        ),
        ({"tolerance": -1.0}, "tolerance must be a positive number, got -1.0."),
        ({"max_rounds": 0}, "max_rounds must be a positive integer, got 0."),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(InvalidParameterError) as raised:
        diffgmm.npmle(np.eye(2), **arguments)
    assert str(raised.value) == message


def test_bad_rows():
    with pytest.raises(InvalidDataError, match="X must not have missing values"):
        diffgmm.npmle([[np.nan]])


def test_ctrl_c_returns_the_last_certified_estimate(monkeypatch, rng):
    from diffgmm.learn import npmle as module

    rounds = []

    def certify(*arguments):
        rounds.append(1)
        if len(rounds) == 3:
            raise KeyboardInterrupt
        return original(*arguments)

    original = module.certify
    monkeypatch.setattr(module, "certify", certify)
    with pytest.warns(ConvergenceWarning, match=r"^Interrupted: the estimate after 1 rounds"):
        found = diffgmm.npmle(rng.normal(size=(200, 2)) * 3.0, tolerance=1e-12, random_seed=0)
    assert not found.converged
    assert found.gap > 0.0
