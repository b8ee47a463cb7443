"""`initvals`: starts for the common ways of writing a mixture."""

import numpy as np
import pytest

from diffgmm.errors import ConvergenceWarning, InvalidParameterError

pm = pytest.importorskip("pymc", reason="needs PyMC: pip install 'diffgmm[pymc]'")
pt = pytest.importorskip("pytensor.tensor")
dp = pytest.importorskip("diffgmm.pymc")

CENTRES = np.array([[-4.0, 0.0], [0.0, 3.0], [5.0, 5.0]])
N = 240

# Means of 80 rows have standard errors of 0.11; reweighting doubles the variance. 0.8 is 5 of them.
NEAR = 0.8


@pytest.fixture
def rows(rng):
    return np.repeat(CENTRES, N // 3, axis=0) + rng.standard_normal((N, 2))


def ours(rows):
    w = pm.Dirichlet("w", np.ones(3))
    mu = pm.Normal("mu", 0.0, 10.0, shape=(3, 2))
    dp.GaussianMixture("y", w, mu, sigma=pm.HalfNormal("sigma", 3.0, shape=3), observed=rows)


def ordered(rows):
    w = pm.Dirichlet("w", np.ones(3))
    increasing = pm.distributions.transforms.ordered
    mu = pm.Normal("mu", 0.0, 10.0, shape=3, transform=increasing, initval=[-1.0, 0.0, 1.0])
    pm.NormalMixture("y", w, mu, sigma=pm.HalfNormal("sigma", 3.0, shape=3), observed=rows[:, 0])


def normals(rows):
    w = pm.Dirichlet("w", np.ones(3))
    mu = pm.Normal("mu", 0.0, 10.0, shape=3)
    pm.Mixture("y", w, [pm.Normal.dist(mu[k], 1.0) for k in range(3)], observed=rows[:, 0])


def list_of_mvnormals(rows):
    w = pm.Dirichlet("w", np.ones(3))
    mu = pm.Normal("mu", 0.0, 10.0, shape=(3, 2))
    sd = pm.Exponential.dist(1.0, shape=2)
    chol = [pm.LKJCholeskyCov(f"chol{k}", n=2, eta=2.0, sd_dist=sd)[0] for k in range(3)]
    parts = [pm.MvNormal.dist(mu[k], chol=chol[k]) for k in range(3)]
    pm.Mixture("y", w, parts, observed=rows)


def batch_of_mvnormals(rows):
    w = pm.Dirichlet("w", np.ones(3))
    mu = pm.Normal("mu", 0.0, 10.0, shape=(3, 2))
    pm.Mixture("y", w, pm.MvNormal.dist(mu, cov=np.eye(2)), observed=rows)


@pytest.mark.parametrize("write", [ours, ordered, normals, list_of_mvnormals, batch_of_mvnormals])
def test_starts_are_near_the_truth_and_differ_by_chain(write, rows):
    with pm.Model() as model:
        write(rows)
        starts = dp.initvals(chains=2, random_seed=1)
    assert len(starts) == 2
    for start in starts:
        assert set(start) == {rv.name for rv in model.free_RVs}
        means = start["mu"].reshape(3, -1)
        assert np.abs(means - CENTRES[:, : means.shape[1]]).max() < NEAR
        assert start["w"].sum() == pytest.approx(1.0)
    assert np.abs(starts[0]["mu"] - starts[1]["mu"]).max() > 1e-3


def test_later_chains_are_numbered_as_the_first():
    """Means that differ in the second feature only: sorting by the first would be a toss."""
    from diffgmm import GaussianMixture
    from diffgmm.pymc.initvals import _order

    def mixture(means):
        return GaussianMixture([0.5, 0.5], means, [np.eye(2)] * 2)

    first = mixture([[0.0, -5.0], [0.1, 5.0]])
    np.testing.assert_array_equal(_order(first, None), [0, 1])
    later = mixture([[0.0, 5.1], [0.1, -4.9]])
    np.testing.assert_array_equal(_order(later, None), [0, 1])
    np.testing.assert_array_equal(_order(later, first), [1, 0])


def test_seeds_repeat(rows):
    with pm.Model():
        batch_of_mvnormals(rows)
        first, again, other = (dp.initvals(chains=2, random_seed=seed)[1] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first["mu"], again["mu"])
    assert np.abs(first["mu"] - other["mu"]).max() > 1e-3


def test_a_model_without_a_mixture_is_refused():
    with pm.Model():
        pm.Normal("y", pm.Normal("m"), 1.0, observed=np.zeros(3))
        with pytest.raises(InvalidParameterError) as caught:
            dp.initvals()
    assert str(caught.value) == (
        "The model has no observed mixture of Gaussians that is recognised: write it as "
        "diffgmm.pymc.GaussianMixture, pm.NormalMixture, or pm.Mixture of pm.Normal or pm.MvNormal."
    )


def test_means_that_cannot_be_reached_are_said(rows):
    with pm.Model():
        mu = pm.Uniform("mu", 20.0, 21.0, shape=(3, 2))
        dp.GaussianMixture("y", np.full(3, 1.0 / 3.0), mu, sigma=1.0, observed=rows)
        with pytest.warns(ConvergenceWarning, match="The model's means cannot reach those of the"):
            dp.initvals(chains=1, random_seed=1)
