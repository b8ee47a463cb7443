"""`diffgmm.pymc.GaussianMixture`: density, gradient and draws against PyMC's own and SciPy's."""

import numpy as np
import pytest

from diffgmm.errors import InvalidDataError, InvalidParameterError
from diffgmm.report.inference_data import leave_one_out

pm = pytest.importorskip("pymc", reason="needs PyMC: pip install 'diffgmm[pymc]'")
pytensor = pytest.importorskip("pytensor")
pt = pytest.importorskip("pytensor.tensor")
dp = pytest.importorskip("diffgmm.pymc")

from diffgmm.pymc.likelihood_ops import LogLikelihoods  # noqa: E402

K, D = 3, 2
WEIGHTS = np.array([0.5, 0.3, 0.2])
MEANS = np.array([[0.0, 0.0], [3.0, -1.0], [-2.0, 4.0]])
ROOTS = np.array([[[1.0, 0.0], [0.5, 0.8]], [[0.7, 0.0], [-0.2, 1.1]], [[1.5, 0.0], [0.0, 0.4]]])
COVARIANCES = ROOTS @ np.swapaxes(ROOTS, 1, 2)
SIGMAS = np.array([[1.0, 2.0], [0.5, 0.7], [1.5, 0.3]])

# One way to give each spread, and the covariances it means.
SPREADS = {
    "cov": ({"cov": COVARIANCES}, COVARIANCES),
    "chol": ({"chol": ROOTS}, COVARIANCES),
    "tau": ({"tau": np.linalg.inv(COVARIANCES)}, COVARIANCES),
    "tied": ({"chol": ROOTS[0]}, np.repeat(COVARIANCES[:1], K, axis=0)),
    "diag": ({"sigma": SIGMAS}, SIGMAS[:, :, None] ** 2 * np.eye(D)),
    "tied diag": ({"sigma": SIGMAS[:1]}, np.repeat(SIGMAS[:1, :, None] ** 2 * np.eye(D), K, 0)),
    "spherical": ({"sigma": SIGMAS[:, 0]}, SIGMAS[:, :1, None] ** 2 * np.eye(D)),
    "variances": ({"cov": SIGMAS[:, 0] ** 2}, SIGMAS[:, :1, None] ** 2 * np.eye(D)),
    "precisions": ({"tau": SIGMAS[:, 0] ** -2.0}, SIGMAS[:, :1, None] ** 2 * np.eye(D)),
    "identity": ({"sigma": 1.0}, np.repeat(np.eye(D)[None], K, axis=0)),
}


def exact(rows, covariances):
    from scipy.stats import multivariate_normal

    joint = [
        np.log(w) + multivariate_normal(m, c).logpdf(rows)
        for w, m, c in zip(WEIGHTS, MEANS, covariances)
    ]
    return np.logaddexp.reduce(joint, axis=0)


@pytest.mark.parametrize("name", SPREADS)
def test_the_density_of_every_spread(name, rng):
    given, covariances = SPREADS[name]
    rows = 3.0 * rng.standard_normal((20, D))
    mixture = dp.GaussianMixture.dist(WEIGHTS, MEANS, **given, shape=rows.shape)
    np.testing.assert_allclose(pm.logp(mixture, rows).eval(), exact(rows, covariances), rtol=1e-12)


@pytest.mark.parametrize("shape", [(), (4,), (2, 3)])
def test_rows_of_any_batch_shape(shape, rng):
    rows = rng.standard_normal((*shape, D))
    mixture = dp.GaussianMixture.dist(WEIGHTS, MEANS, chol=ROOTS, shape=rows.shape)
    expected = exact(rows.reshape(-1, D), COVARIANCES).reshape(shape)
    np.testing.assert_allclose(pm.logp(mixture, rows).eval(), expected, rtol=1e-12)


def test_rows_that_are_numbers(rng):
    rows = rng.standard_normal(7)
    ours = dp.GaussianMixture.dist(WEIGHTS, MEANS[:, 0], sigma=SIGMAS[:, 0], shape=7)
    theirs = pm.NormalMixture.dist(WEIGHTS, MEANS[:, 0], sigma=SIGMAS[:, 0], shape=7)
    np.testing.assert_allclose(pm.logp(ours, rows).eval(), pm.logp(theirs, rows).eval(), rtol=1e-12)


def model_of(kind, rows, ours):
    """Return a model with free weights, means and spread, written with our distribution or PyMC's."""
    with pm.Model() as model:
        w = pm.Dirichlet("w", np.ones(K))
        mu = pm.Normal("mu", 0.0, 5.0, shape=(K, D))
        if kind == "sigma":
            sigma = pm.HalfNormal("sigma", 2.0, shape=(K, D))
            given, roots = {"sigma": sigma}, [pt.diag(sigma[k]) for k in range(K)]
        else:
            spread = pm.Exponential.dist(1.0, shape=D)
            packed = [pm.LKJCholeskyCov(f"L{k}", n=D, eta=2.0, sd_dist=spread) for k in range(K)]
            roots = [one[0] for one in packed]
            chol = pt.stack(roots)
            cov = pt.matmul(chol, chol.transpose(0, 2, 1))
            given = {"chol": chol} if kind == "chol" else {kind: cov}
        if ours:
            dp.GaussianMixture("y", w, mu, **given, observed=rows)
        elif kind == "tau":
            parts = [pm.MvNormal.dist(mu[k], tau=cov[k]) for k in range(K)]
            pm.Mixture("y", w, parts, observed=rows)
        else:
            parts = [pm.MvNormal.dist(mu[k], chol=roots[k]) for k in range(K)]
            pm.Mixture("y", w, parts, observed=rows)
    return model


def value_and_gradient(model, rng):
    function = model.logp_dlogp_function(ravel_inputs=True)
    function.set_extra_values({})
    point = model.initial_point()
    x = np.concatenate([np.ravel(value) for value in point.values()])
    return function(x + 0.3 * rng.standard_normal(len(x)))


@pytest.mark.slow  # PyMC needs half a minute for each of its own models
@pytest.mark.parametrize("kind", ["sigma", "chol", "cov", "tau"])
def test_a_model_has_the_density_and_gradient_of_pymcs_own(kind, rng):
    rows = 2.0 * rng.standard_normal((15, D))
    seed = rng.integers(1000)
    ours, theirs = (
        value_and_gradient(model_of(kind, rows, own), np.random.default_rng(seed))
        for own in (True, False)
    )
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-10)
    np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-8, atol=1e-8)


def test_density_and_gradient_are_those_of_pymcs_mixture(rng):
    rows, values = rng.standard_normal(25), (WEIGHTS, MEANS[:, 0], SIGMAS[:, 0])
    inputs = pt.dvector("w"), pt.dvector("mu"), pt.dvector("sigma")
    results = []
    for kind in (dp.GaussianMixture, pm.NormalMixture):
        w, mu, sigma = inputs
        total = pm.logp(kind.dist(w, mu, sigma=sigma, shape=25), rows).sum()
        # Weights are bound to their sum: only differences of their derivatives are defined.
        by_w, *others = pytensor.grad(total, inputs)
        outputs = [total, by_w[1:] - by_w[0], *others]
        results.append(pytensor.function(inputs, outputs)(*values))
    for ours, theirs in zip(*results):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10)


def graph_of_sum_and_gradient(rows, scale=1.0):
    log_w, mu, sigma = pt.dvector("log_w"), pt.dmatrix("mu"), pt.dvector("sigma")
    mixture = dp.GaussianMixture.dist(pt.exp(log_w), mu, sigma=sigma, shape=rows.shape)
    total = scale * pm.logp(mixture, pt.as_tensor(rows)).sum()
    return [log_w, mu, sigma], [total, *pytensor.grad(total, [log_w, mu, sigma])]


def names_of(function):
    return [type(node.op).__name__ for node in function.maker.fgraph.toposort()]


@pytest.mark.parametrize("scale", [1.0, -2.5, None])
def test_sum_and_gradient_are_one_pass_and_equal_to_the_plain_graph(scale, rng):
    """With the plain sum, a multiple of it, and a multiple that is known at run time only."""
    rows = rng.standard_normal((30, D))
    factor = pt.dscalar("factor")
    inputs, outputs = graph_of_sum_and_gradient(rows, factor if scale is None else scale)
    inputs = [*inputs, factor]
    from pytensor.compile.mode import Mode

    fused, plain = (
        pytensor.function(inputs, outputs, mode=mode, on_unused_input="ignore")
        for mode in (Mode(linker="py", optimizer="fast_run"), None)
    )
    assert names_of(fused).count("Likelihood") == 1
    assert "LogLikelihoods" not in names_of(fused)
    assert "LogLikelihoods" in names_of(plain)  # else this compares nothing
    values = np.log(WEIGHTS), MEANS, SIGMAS[:, 0], 3.0
    for one, other in zip(fused(*values), plain(*values)):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-12)


def test_numba_compiles_what_python_computes(rng):
    rows = rng.standard_normal((30, D))
    inputs, outputs = graph_of_sum_and_gradient(rows)
    compiled = pytensor.function(inputs, outputs, mode="NUMBA")
    plain = pytensor.function(inputs, outputs)
    values = np.log(WEIGHTS), MEANS, SIGMAS[:, 0]
    for one, other in zip(compiled(*values), plain(*values)):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-12)


def test_the_cache_of_compiled_code_follows_the_kernels_source(monkeypatch, tmp_path):
    from diffgmm.pymc import likelihood_ops

    before = likelihood_ops.kernel_version()
    assert before == likelihood_ops.KERNEL_VERSION
    (tmp_path / "likelihood.py").write_text("changed = True\n")
    monkeypatch.setattr(likelihood_ops.kernels, "__file__", str(tmp_path / "likelihood.py"))
    assert likelihood_ops.kernel_version() != before


def test_a_weighted_sum_has_the_gradient_of_its_terms(rng):
    rows, weights = rng.standard_normal((10, D)), rng.standard_normal(10)
    mu = pt.dmatrix("mu")
    mixture = dp.GaussianMixture.dist(WEIGHTS, mu, chol=ROOTS, shape=rows.shape)
    terms = pm.logp(mixture, rows)
    together = pytensor.grad((terms * weights).sum(), mu).eval({mu: MEANS})
    one_by_one = sum(
        w * pytensor.grad(pm.logp(mixture, rows)[i], mu).eval({mu: MEANS})
        for i, w in enumerate(weights[:3])
    )
    three = pytensor.grad((terms[:3] * weights[:3]).sum(), mu).eval({mu: MEANS})
    np.testing.assert_allclose(three, one_by_one, rtol=1e-10)
    assert not np.allclose(together, three)


def test_a_free_variable_has_the_score_as_gradient(rng):
    from diffgmm import GaussianMixture

    with pm.Model() as model:
        dp.GaussianMixture("x", WEIGHTS, MEANS, cov=COVARIANCES)
    function = model.logp_dlogp_function(ravel_inputs=True)
    function.set_extra_values({})
    x = rng.standard_normal(D)
    value, gradient = function(x)
    mixture = GaussianMixture(WEIGHTS, MEANS, COVARIANCES)
    assert value == pytest.approx(mixture.log_density(x[None])[0], rel=1e-12)
    np.testing.assert_allclose(gradient, mixture.score(x[None])[0], rtol=1e-10)


@pytest.mark.statistical
@pytest.mark.parametrize("name", ["cov", "chol", "tau", "diag", "identity"])
def test_draws_have_the_moments_of_their_components(name):
    """Means and covariances of components too far apart to be confused, and their weights.

    18 numbers within 5 standard errors: false alarms in 5e-5 of all five runs. A factor of the
    precision that is not transposed (a planted fault) is 20 of them off.
    """
    given, covariances = SPREADS[name]
    n, means = 20_000, 50.0 * MEANS
    draws = pm.draw(dp.GaussianMixture.dist(WEIGHTS, means, **given, shape=(n, D)), random_seed=3)
    assert draws.shape == (n, D)
    own = np.argmin(np.square(draws[:, None] - means).sum(axis=2), axis=1)
    for k in range(K):
        share = np.mean(own == k) - WEIGHTS[k]
        assert abs(share) < 5.0 * np.sqrt(WEIGHTS[k] * (1.0 - WEIGHTS[k]) / n)
        step = draws[own == k] - means[k]
        for values, expected in ((step, 0.0), (step[:, :, None] * step[:, None], covariances[k])):
            error = (values.mean(axis=0) - expected) / (values.std(axis=0) / np.sqrt(len(step)))
            assert np.abs(error).max() < 5.0


def test_draws_of_numbers_and_of_one_row():
    scalar = dp.GaussianMixture.dist(WEIGHTS, MEANS[:, 0], sigma=1.0, shape=5)
    assert pm.draw(scalar, random_seed=1).shape == (5,)
    assert pm.draw(dp.GaussianMixture.dist(WEIGHTS, MEANS, sigma=1.0), random_seed=1).shape == (D,)


@pytest.mark.filterwarnings("ignore:Estimated shape parameter:UserWarning")  # made-up draws
def test_log_likelihood_and_predictive_draws_of_a_posterior(rng):
    import arviz

    rows = MEANS[rng.integers(0, K, 40)] + rng.standard_normal((40, D))
    coords = {"cluster": list("abc"), "feature": ["x", "y"], "obs_id": np.arange(40)}
    with pm.Model(coords=coords):
        mu = pm.Normal("mu", 0.0, 5.0, dims=("cluster", "feature"))
        dp.GaussianMixture("y", WEIGHTS, mu, sigma=1.0, observed=rows, dims=("obs_id", "feature"))
        draws = MEANS + 0.1 * rng.standard_normal((2, 30, K, D))
        dims = {"mu": ["cluster", "feature"]}
        if int(arviz.__version__.split(".")[0]) == 0:
            idata = arviz.from_dict(posterior={"mu": draws}, dims=dims, coords=coords)
        else:
            idata = arviz.from_dict({"posterior": {"mu": draws}}, dims=dims, coords=coords)
        idata = pm.compute_log_likelihood(idata, progressbar=False)
        predictive = pm.sample_posterior_predictive(idata, progressbar=False, random_seed=1)
    pointwise = idata["log_likelihood"]["y"]
    assert pointwise.dims == ("chain", "draw", "obs_id")
    from diffgmm import GaussianMixture

    mixture = GaussianMixture(WEIGHTS, draws[1, 4], np.repeat(np.eye(D)[None], K, axis=0))
    np.testing.assert_allclose(pointwise.values[1, 4], mixture.log_density(rows), rtol=1e-10)
    assert np.isfinite(leave_one_out(idata).elpd)
    assert predictive["posterior_predictive"]["y"].shape == (2, 30, 40, D)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "Give exactly one of cov, chol, sigma and tau, got none."),
        (
            {"cov": COVARIANCES, "sigma": 1.0},
            "Give exactly one of cov, chol, sigma and tau, got cov and sigma.",
        ),
        (
            {"sigma": np.ones((2, K, D))},
            "sigma must have at most 2 dimensions, got 3. Batches of mixtures are not supported: "
            "write one GaussianMixture for each.",
        ),
        (
            {"w": [0.5, 0.6, 0.2], "sigma": 1.0},
            "Weights must not be negative and must sum to 1, got [0.5, 0.6, 0.2].",
        ),
        (
            {"w": [np.nan, 0.5, 0.5], "sigma": 1.0},
            "Weights must not be negative and must sum to 1, got [nan, 0.5, 0.5].",
        ),
        ({"w": [], "sigma": 1.0}, "w has 0 components and mu has 3."),
        ({"w": [0.5, 0.5], "sigma": 1.0}, "w has 2 components and mu has 3."),
        (
            {"sigma": np.ones((2, 2))},
            "sigma has the shape (2, 2), but mu asks for (3, 2).",
        ),
        ({"chol": np.eye(3)}, "chol has the shape (3, 3), but mu asks for (3, 2, 2)."),
        (
            {"w": 1.0, "sigma": 1.0},
            "w and mu must have shapes (K,) and (K, D), or (K,) and (K,), got 0 and 2 dimensions.",
        ),
        ({"w": "abc", "sigma": 1.0}, "w must be numbers or a PyMC variable, got 'abc'."),
    ],
)
def test_wrong_parameters_are_refused(arguments, message):
    arguments = {"w": WEIGHTS, **arguments}
    with pytest.raises(InvalidParameterError) as caught:
        dp.GaussianMixture.dist(arguments.pop("w"), MEANS, **arguments)
    assert str(caught.value) == message


@pytest.mark.parametrize("kind", ["nan", "masked", "shared"])
def test_missing_entries_are_refused(kind):
    rows = np.zeros((4, D))
    rows[1, 0] = rows[1, 1] = rows[3, 1] = np.nan
    with pm.Model():
        observed = {
            "nan": rows,
            "masked": np.ma.masked_invalid(rows),
            "shared": pytensor.shared(rows),
        }[kind]
        with pytest.raises(InvalidDataError) as caught:
            dp.GaussianMixture("y", WEIGHTS, MEANS, sigma=1.0, observed=observed)
    assert str(caught.value) == (
        "observed has missing entries in 2 of 4 rows, which GaussianMixture does not support yet. "
        "Drop or fill these rows."
    )


@pytest.mark.parametrize("rows", [np.zeros((4, 3)), np.zeros((4, 1)), np.zeros(4)])
def test_rows_with_other_features_are_refused(rows):
    with pm.Model(), pytest.raises(InvalidDataError) as caught:
        dp.GaussianMixture("y", WEIGHTS, MEANS, sigma=1.0, observed=rows)
    assert str(caught.value) == f"Rows must have the 2 features of mu, got the shape {rows.shape}."


@pytest.mark.parametrize("mode", ["FAST_COMPILE", "NUMBA"])
@pytest.mark.parametrize("changed", ["rows", "w", "sigma"])
def test_sizes_that_stop_fitting_are_refused(changed, mode):
    """Kernels do not look: they would read past the end of an array."""
    rows, w, sigma = pt.dmatrix("rows"), pt.dvector("w"), pt.dmatrix("sigma")
    function = pytensor.function(
        [rows, w, sigma], LogLikelihoods("sigma")(rows, pt.log(w), MEANS, sigma), mode=mode
    )
    arrays = {"rows": np.zeros((4, D)), "w": WEIGHTS, "sigma": SIGMAS}
    assert np.all(np.isfinite(function(**arrays)))
    arrays[changed] = arrays[changed][..., :1]
    with pytest.raises(ValueError, match="means \\(K, D\\) and spread must fit together"):
        function(**arrays)


def test_weights_off_the_simplex_have_no_density():
    w = pt.dvector("w")
    mixture = dp.GaussianMixture.dist(w, MEANS, sigma=1.0, shape=(1, D))
    logp = pm.logp(mixture, np.zeros((1, D)))
    with pytest.raises(Exception, match="sum of weights = 1"):
        logp.eval({w: np.array([0.5, 0.6, 0.2])})
