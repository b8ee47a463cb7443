"""`fit_posterior`: draws in, a mixture with names out."""

import numpy as np
import pytest
import xarray as xr

import diffgmm
from diffgmm.errors import InvalidParameterError


@pytest.fixture
def idata(rng):
    """Two modes in mu, correlated with tau; weights that sum to 1; a constant; text."""
    low = rng.random((2, 500)) < 0.3
    mu = np.where(low, -3.0, 3.0)[..., None] + rng.standard_normal((2, 500, 2))
    dims = ("chain", "draw")
    data = xr.Dataset(
        {
            "mu": ((*dims, "group"), mu),
            "tau": (dims, mu[..., 0] + 0.1 * rng.standard_normal((2, 500))),
            "w": ((*dims, "cluster"), rng.dirichlet([3.0, 4.0, 5.0], size=(2, 500))),
            "one": (dims, np.ones((2, 500))),
            "word": (dims, np.full((2, 500), "a")),
        },
        coords={"group": ["a", "b"]},
    )
    return xr.DataTree.from_dict({"/posterior": data})


@pytest.mark.statistical
def test_names_modes_and_correlations(idata):
    """A share of 0.3 in 1000 draws has a standard error of 0.0145: 0.065 is 4.5 of them.

    Between the modes lie 0.023, known to 0.005; a single normal would have 0.25 there.
    """
    found = diffgmm.fit_posterior(idata, ["mu", "tau"], random_seed=1)
    assert found.feature_names == ("mu[a]", "mu[b]", "tau")
    tau = found.marginal("tau").sample(20_000, random_seed=1)[:, 0]
    assert abs(np.mean(tau < 0.0) - 0.3) < 0.065
    assert np.mean(np.abs(tau) < 1.0) < 0.05
    at_three = found.condition({"mu[a]": 3.0, "mu[b]": 3.0})
    assert abs(at_three.weights @ at_three.means[:, 0] - 3.0) < 0.1


def test_what_is_fixed_by_the_rest_is_left_out(idata):
    found = diffgmm.fit_posterior(idata, ["w", "one", "tau"], n_components=1)
    assert found.feature_names == ("w[0]", "w[1]", "tau")


def test_seeds_repeat(idata):
    first, again = (diffgmm.fit_posterior(idata, "tau", random_seed=2) for _ in range(2))
    np.testing.assert_array_equal(first.means, again.means)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["nu"],
            "The posterior has no variable 'nu' for var_names; it has "
            "['mu', 'one', 'tau', 'w', 'word'].",
        ),
        ([], "var_names must name at least one variable of the posterior."),
        (["one"], "Nothing varies over the draws of one."),
        (["word"], "The variable 'word' must be numbers."),
    ],
)
def test_what_cannot_be_fitted_is_refused(names, message, idata):
    with pytest.raises(InvalidParameterError) as caught:
        diffgmm.fit_posterior(idata, names)
    assert str(caught.value) == message


def test_draws_that_are_not_finite_are_refused(idata):
    idata["posterior"]["tau"][0, 0] = np.inf
    with pytest.raises(InvalidParameterError) as caught:
        diffgmm.fit_posterior(idata, "tau")
    assert str(caught.value) == "The draws must be finite."
