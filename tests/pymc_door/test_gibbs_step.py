"""`MixtureGibbs` inside pm.sample against the package's own Gibbs sampler, and what it refuses."""

import numpy as np
import pytest

from diffgmm.errors import InvalidParameterError

pm = pytest.importorskip("pymc", reason="needs PyMC: pip install 'diffgmm[pymc]'")
dp = pytest.importorskip("diffgmm.pymc")

CENTRES = np.array([[-3.0, 0.0], [3.0, 1.0]])


def rows_of(rng, n=80):
    return CENTRES[rng.integers(0, 2, n)] + rng.standard_normal((n, 2))


def model_of(rows, prior_sd=5.0):
    with pm.Model() as model:
        w = pm.Dirichlet("w", np.array([2.0, 2.0]))
        mu = pm.Normal("mu", 0.0, prior_sd, shape=(2, 2))
        dp.GaussianMixture("y", w, mu, sigma=1.0, observed=rows)
    return model


@pytest.mark.statistical
def test_the_step_leaves_the_posterior_invariant(rng):
    """Means of 500 nearly independent draws against the package's own sampler with 4000.

    Both have autocorrelation times of about 1 here, so 5 standard errors of their difference give
    false alarms in 3e-6 of 6 numbers. Means that ignore the prior (a planted fault) are off by
    0.3 posterior sds with prior_sd = 0.5, which is 6 standard errors.
    """
    import diffgmm

    rows = rows_of(rng, 30)
    model = model_of(rows, prior_sd=0.5)
    step = dp.MixtureGibbs([model["w"], model["mu"]], model=model, rng=1)
    point = model.initial_point()
    point["mu"] = CENTRES.copy()
    draws = []
    for _ in range(600):
        point, stats = step.step(point)
        whole = np.append(point["w_simplex__"], -point["w_simplex__"].sum())
        w = np.exp(whole) / np.exp(whole).sum()
        draws.append(np.append(w[0], point["mu"].ravel()))
    assert stats[0]["fewest_rows"] > 0
    prior = diffgmm.Prior.weakly_informative(rows, 2, covariance_type="identity").replace(
        concentration=np.array([2.0, 2.0]), m0=np.zeros(2), B0=0.25 * np.eye(2)
    )
    exact = diffgmm.sample(
        rows,
        2,
        prior=prior,
        covariance_type="identity",
        draws=2000,
        tune=200,
        chains=2,
        cores=1,
        random_seed=1,
        progressbar=False,
        compute_log_likelihood=False,
    )
    posterior = exact["posterior"]
    means = posterior["means"].values.reshape(-1, 2, 2)
    order = np.argsort(means[:, :, 0], axis=1)
    means = np.take_along_axis(means, order[:, :, None], axis=1)
    weights = np.take_along_axis(posterior["weights"].values.reshape(-1, 2), order, axis=1)
    expected = np.column_stack([weights[:, 0], means.reshape(-1, 4)])
    ours = np.array(draws[100:])
    error = (ours.mean(axis=0) - expected.mean(axis=0)) / expected.std(axis=0)
    assert np.abs(error).max() < 5.0 * np.sqrt(1.0 / 500 + 1.0 / 4000)


def test_it_works_beside_nuts_in_pm_sample(rng):
    rows = rows_of(rng)
    with pm.Model():
        w = pm.Dirichlet("w", np.ones(2))
        mu = pm.Normal("mu", 0.0, 5.0, shape=(2, 2))
        sigma = pm.HalfNormal("sigma", 1.0)
        dp.GaussianMixture("y", w, mu, sigma=sigma, observed=rows)
        idata = pm.sample(
            60,
            tune=60,
            chains=1,
            cores=1,
            step=[dp.MixtureGibbs([w, mu])],
            initvals={"mu": CENTRES},
            random_seed=1,
            progressbar=False,
            nuts_sampler="pymc",
            compute_convergence_checks=False,
        )
    means = idata["posterior"]["mu"].values[0]
    assert np.abs(means.mean(axis=0) - CENTRES).max() < 1.0
    assert len(np.unique(means[:, 0, 0])) == 60
    assert len(np.unique(idata["posterior"]["sigma"].values)) > 30
    assert "fewest_rows" in idata["sample_stats"]


RULE = (
    "MixtureGibbs needs diffgmm.pymc.GaussianMixture with w from a Dirichlet and mu from a Normal, "
    "both given directly and with constant parameters; "
)


def test_what_is_not_conjugate_is_refused(rng):
    rows = rows_of(rng, 10)
    with pm.Model() as model:
        w = pm.Dirichlet("w", np.ones(2))
        centre = pm.Normal("centre")
        mu = pm.Normal("mu", centre, 5.0, shape=(2, 2))
        dp.GaussianMixture("y", w, mu, sigma=1.0, observed=rows)
        with pytest.raises(InvalidParameterError) as caught:
            dp.MixtureGibbs([w, mu])
        assert str(caught.value) == RULE + "a parameter of 'mu' is a variable of the model."
        with pytest.raises(InvalidParameterError) as caught:
            dp.MixtureGibbs([w])
        assert str(caught.value) == RULE + "got ['w']."
    with model_of(rows) as model:
        pm.Normal("more", model["mu"][0, 0], 1.0)
        with pytest.raises(InvalidParameterError) as caught:
            dp.MixtureGibbs([model["w"], model["mu"]])
    assert str(caught.value) == RULE + "'more' depends on them besides. Leave the block to NUTS."
    with pm.Model():
        w = pm.Dirichlet("w", np.ones(2))
        mu = pm.StudentT("mu", nu=3.0, mu=0.0, sigma=1.0, shape=(2, 2))
        dp.GaussianMixture("y", w, mu, sigma=1.0, observed=rows)
        with pytest.raises(InvalidParameterError) as caught:
            dp.MixtureGibbs([w, mu])
    assert str(caught.value) == RULE + "got 'dirichlet' for 'w' and 't' for 'mu'."
    with pm.Model():
        w = pm.Dirichlet("w", np.ones(2), default_transform=None)
        mu = pm.Normal("mu", 0.0, 5.0, shape=(2, 2))
        dp.GaussianMixture("y", w, mu, sigma=1.0, observed=rows)
        with pytest.raises(InvalidParameterError) as caught:
            dp.MixtureGibbs([w, mu])
    assert str(caught.value) == RULE + "'w' has not PyMC's own transform of weights."
