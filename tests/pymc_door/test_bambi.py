"""Bambi's models are PyMC's: `model.backend.model` is what diffgmm.pymc takes."""

import numpy as np
import pytest

bmb = pytest.importorskip("bambi", reason="needs Bambi: pip install bambi")
pm = pytest.importorskip("pymc", reason="needs PyMC: pip install 'diffgmm[pymc]'")
dp = pytest.importorskip("diffgmm.pymc")

import diffgmm  # noqa: E402
from diffgmm.datasets import load_faithful  # noqa: E402


@pytest.fixture
def model():
    """Waiting time by duration of the eruption, built and not sampled."""
    import pandas as pd

    data = pd.DataFrame(np.asarray(load_faithful().data), columns=["eruptions", "waiting"])
    model = bmb.Model("waiting ~ eruptions", data)
    model.build()
    return model


@pytest.mark.statistical
def test_sample_prior_and_fitted_posterior(model):
    """Means of 400 draws within 5 of their standard errors of least squares; priors are wide.

    Draws of two chains have at least 100 effective ones here, so an error is below 0.1 sd: 0.5 sd is
    5 of them. A prior centre (slope 0) would be 30 sd away.
    """
    backend = model.backend.model
    idata = dp.sample(
        backend, draws=200, tune=50, chains=2, cores=1, random_seed=1, progressbar=False
    )
    rows = np.asarray(load_faithful().data)
    design = np.column_stack([np.ones(len(rows)), rows[:, 0]])
    exact, (left,), _, _ = np.linalg.lstsq(design, rows[:, 1], rcond=None)
    covariance = left / (len(rows) - 2) * np.linalg.inv(design.T @ design)
    posterior = idata["posterior"]
    slope = np.asarray(posterior["eruptions"].values).mean()
    assert abs(slope - exact[1]) < 0.5 * np.sqrt(covariance[1, 1])

    mixture = diffgmm.fit_posterior(idata, "eruptions", n_components=1, random_seed=1, cores=1)
    assert mixture.feature_names == ("eruptions",)
    assert mixture.means[0, 0] == pytest.approx(slope, rel=1e-6)

    with pm.Model() as following:
        names = dp.prior_from_idata(
            idata, ["eruptions", "sigma"], model=backend, check=False, random_seed=1
        )
    assert set(names) == {"eruptions", "sigma"}
    drawn = np.array(pm.draw(names["eruptions"], 400, random_seed=1))
    assert abs(drawn.mean() - slope) < 0.5 * np.sqrt(covariance[1, 1])
    assert following.free_RVs
