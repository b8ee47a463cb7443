"""`prior_from_idata`: modes, correlations, transforms and dims survive; misfits are said."""

import numpy as np
import pytest
import xarray as xr

from diffgmm.errors import ConvergenceWarning, InvalidParameterError

pm = pytest.importorskip("pymc", reason="needs PyMC: pip install 'diffgmm[pymc]'")
dp = pytest.importorskip("diffgmm.pymc")

LOG = pm.distributions.transforms.log


def idata_of(coords=None, **variables):
    data = xr.Dataset(variables, coords=coords)
    return xr.DataTree.from_dict({"/posterior": data})


@pytest.fixture
def two_modes(rng):
    """Two correlated variables: mu with 30 % at -3, log sigma = 0.3 mu + noise of sd 0.2."""
    low = rng.random((4, 500)) < 0.3
    mu = np.where(low, -3.0, 3.0) + rng.standard_normal((4, 500))
    sigma = np.exp(0.3 * mu + 0.2 * rng.standard_normal((4, 500)))
    return idata_of(mu=(("chain", "draw"), mu), sigma=(("chain", "draw"), sigma))


@pytest.mark.statistical
def test_modes_correlations_and_transforms_survive(two_modes):
    """Shares from 2000 and 4000 draws: 0.05 is 4 standard errors of their difference.

    Between the modes lie 0.023, known to 0.004; a single normal would have 0.25 there.
    """
    with pm.Model():
        new = dp.prior_from_idata(
            two_modes, ["mu", "sigma"], transforms={"sigma": LOG}, random_seed=1, check=False
        )
        mu, sigma = pm.draw([new["mu"], new["sigma"]], 4_000, random_seed=1)
    assert np.all(sigma > 0.0)
    assert abs(np.mean(mu < 0.0) - 0.3) < 0.05
    assert np.mean(np.abs(mu) < 1.0) < 0.04
    assert np.corrcoef(mu, np.log(sigma))[0, 1] > 0.95


def test_dims_and_shapes_survive(rng):
    values = rng.standard_normal((2, 200, 2, 3))
    coords = {"group": ["a", "b"], "feature": ["x", "y", "z"]}
    idata = idata_of(coords, beta=(("chain", "draw", "group", "feature"), values))
    with pm.Model() as model:
        new = dp.prior_from_idata(idata, ["beta"], n_components=1, random_seed=1, check=False)
        assert pm.draw(new["beta"], random_seed=1).shape == (2, 3)
    assert model.named_vars_to_dims["beta"] == ("group", "feature")
    assert list(model.coords["feature"]) == ["x", "y", "z"]


def test_transforms_come_from_the_earlier_model_and_its_density_is_compared(rng):
    """Draws of one of two modes only: the earlier density has another, heavier part."""
    with pm.Model() as earlier:
        sigma = pm.HalfNormal("sigma", 1.0)
        pm.Normal("x", 0.0, sigma)
    draws = 0.1 * rng.standard_normal((2, 300))
    idata = idata_of(
        sigma=(("chain", "draw"), np.exp(0.05 * rng.standard_normal((2, 300)))),
        x=(("chain", "draw"), draws),
    )
    with pm.Model(), pytest.warns(ConvergenceWarning, match="Pareto k ="):
        dp.prior_from_idata(idata, ["sigma", "x"], model=earlier, n_components=1, random_seed=1)


def test_draws_that_are_no_such_mixture_are_said(rng):
    idata = idata_of(x=(("chain", "draw"), rng.exponential(size=(2, 400))))
    with pm.Model(), pytest.warns(ConvergenceWarning, match="misfit check, p ="):
        dp.prior_from_idata(idata, ["x"], n_components=1, random_seed=1)


def test_wrong_arguments_are_refused(two_modes):
    with pm.Model() as model:
        for names, message in (
            ("mu", "var_names must be a list of names, got 'mu'."),
            ([], "var_names must be a list of names, got []."),
            (
                ["nu"],
                "The posterior has no variable 'nu' for var_names; it has ['mu', 'sigma'].",
            ),
        ):
            with pytest.raises(InvalidParameterError) as caught:
                dp.prior_from_idata(two_modes, names)
            assert str(caught.value) == message
        with pytest.raises(InvalidParameterError) as caught:
            dp.prior_from_idata(two_modes, ["mu"], model=model)
        assert str(caught.value) == (
            "The model has no free variable 'mu': give its transform in transforms, None for an "
            "unconstrained one."
        )
        with (
            np.errstate(invalid="ignore"),
            pytest.raises(InvalidParameterError) as caught,
        ):
            dp.prior_from_idata(two_modes, ["mu"], transforms={"mu": LOG})
        assert str(caught.value) == (
            "The draws of 'mu' are not finite on the unconstrained space: give the right transform "
            "for it."
        )
