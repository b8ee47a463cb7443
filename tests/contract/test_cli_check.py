"""`diffgmm check`: what it prints and saves, and how it ends."""

import json

import numpy as np
import pytest
from test_cli import here, run  # noqa: F401  a fixture

import diffgmm

QUICK = ("--bootstrap", "19", "--seed", "1")


@pytest.fixture
def table(here):  # noqa: F811
    """Write rows.npy, a fit and a posterior of it."""
    rows = np.random.default_rng(3).gamma(6.0, size=(300, 1))
    np.save("rows.npy", rows)
    diffgmm.fit(rows, 1, random_seed=1).save("fit.json")
    idata = diffgmm.sample(rows, 1, draws=200, tune=100, chains=2, random_seed=1)
    diffgmm.save_inference_data(idata, "posterior.nc")
    return rows


@pytest.mark.parametrize("fitted", ["fit.json", "posterior.nc"])
def test_it_prints_the_report(table, fitted):
    code, out, err = run("check", "rows.npy", fitted, *QUICK)
    assert (code, err) == (0, "")
    assert "p = 0.05: the mixture does not fit." in out
    assert "Component 0 is not Gaussian at scale" in out
    assert ("not the draws" in out) == (fitted == "posterior.nc")
    assert max(map(len, out.splitlines())) <= 80


def test_it_saves_report_and_plot(table, here, optional):  # noqa: F811
    optional("matplotlib").use("Agg")
    code, out, _ = run("check", "rows.npy", "fit.json", *QUICK, "-o", "r.json", "--plot", "r.png")
    assert code == 0
    assert "Saved r.json.\nSaved r.png." in out
    assert json.loads((here / "r.json").read_text())["p_value"] == 0.05
    assert (here / "r.png").read_bytes()[1:4] == b"PNG"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rows.npy", "fit.txt"], "Cannot read 'fit.txt': its name must end in .json, .nc, .zarr."),
        (["rows.npy", "no.json"], "Cannot read 'no.json': No such file or directory."),
        (
            ["rows.npy", "fit.json", "-o", "r.txt"],
            "Cannot write 'r.txt': its name must end in .json.",
        ),
        (
            ["rows.npy", "fit.json", "--plot", "r.gif"],
            "Cannot write 'r.gif': its name must end in .png or .pdf or .svg.",
        ),
        (
            ["rows.npy", "fit.json", "--bootstrap", "5"],
            "n_bootstrap must be an integer of at least 19, so that p can reach 0.05, got 5.",
        ),
    ],
)
def test_bad_input_is_one_line(table, arguments, message):
    assert run("check", *arguments) == (2, "", f"diffgmm: {message}\n")
