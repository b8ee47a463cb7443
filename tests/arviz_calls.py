"""Every call of ArviZ that the documentation promises, on a real result, by generation."""

import json
import warnings

import numpy as np

import diffgmm

# What a generation does not have, and where it says so.
ABSENT = {
    0: {
        "az.diagnose": "new in ArviZ 1",
        "az.plot_psense_dist": "new in ArviZ 1",
        "to_zarr, az.from_zarr": "ArviZ 0.x refuses Zarr 3; `diffgmm.save_inference_data` writes and reads it",
    },
    1: {
        "az.waic": "removed from ArviZ 1; use `az.loo`",
    },
}
WHERE = {
    "az.diagnose": "https://github.com/arviz-devs/arviz-stats/pull/299",
    "az.plot_psense_dist": "https://github.com/arviz-devs/arviz-plots/pull/93",
    "az.waic": "https://python.arviz.org/en/stable/user_guide/migration_guide.html#model-comparison",
    "to_zarr, az.from_zarr": "https://github.com/arviz-devs/arviz/issues/2486",
}


def with_prior(idata, x):
    """Return the draws with groups of their prior, as ArviZ compares them."""
    prior = diffgmm.Prior.from_json(idata["posterior"].attrs["prior"])
    drawn = diffgmm.sample_prior_predictive(prior, len(x), draws=50, random_seed=1)
    from diffgmm.report.inference_data import as_tree, from_tree

    tree = as_tree(idata).copy()
    tree["prior"] = as_tree(drawn)["prior"].copy()
    return from_tree(tree)


class Calls:
    """The calls, in the order of the page; each returns what must be true."""

    def __init__(self, az, idata, other, x, folder, generation):
        self.az, self.idata, self.other, self.x = az, idata, other, x
        self.folder, self.generation = folder, generation

    def names(self):
        """Return the names of all calls, as on the page."""
        return [*TABLES, *PLOTS]

    def run(self, name):
        """Return "yes", or the reason why not."""
        if name in ABSENT[self.generation]:
            return ABSENT[self.generation][name]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            (TABLES | PLOTS)[name](self)
        return "yes"


def _same_draws(one, other):
    np.testing.assert_array_equal(
        one["posterior"]["weights"].values, other["posterior"]["weights"].values
    )


def _summary(c):
    assert len(c.az.summary(c.idata, var_names=["weights", "means"])) == 6


def _finite(result):
    assert np.isfinite(np.asarray(result["means"].values)).all()


def _loo(c):
    result = c.az.loo(c.idata, pointwise=True)
    assert np.asarray(result.pareto_k).shape == (len(c.x),)


def _compare(c):
    table = c.az.compare({"one": c.other, "two": c.idata})
    assert table.index[0] == "two"
    return table


def _psense(c):
    result = c.az.psens(c.idata) if c.generation == 0 else c.az.psense(c.idata)
    assert np.isfinite(np.asarray(result["weights"].values)).all()


def _psense_summary(c):
    if c.generation == 0:
        c.az.psens(c.idata, component="likelihood")
    else:
        c.az.psense_summary(c.idata)


def _loo_pit(c):
    view = diffgmm.feature_view(c.idata)
    if c.generation == 0:
        u = c.az.loo_pit(view, y="x_waiting")
    else:
        u = c.az.loo_pit(view, var_names=["x_waiting"])["x_waiting"].values
    # Of predictive draws, and so with their noise: 1200 of them, 4.9 standard errors.
    exact = diffgmm.loo_pit(c.idata)["pit"].sel(feature="waiting").values
    assert np.abs(np.asarray(u) - exact).max() < 4.9 * 0.5 / np.sqrt(1200) + 0.02


def _extract(c):
    assert c.az.extract(c.idata, num_samples=10).sizes["sample"] == 10


def _netcdf(c):
    path = str(c.folder / "own.nc")
    if c.generation == 0:
        c.idata.to_netcdf(path)
    else:
        c.idata.to_netcdf(path, engine="h5netcdf")
    _same_draws(c.az.from_netcdf(path), c.idata)


def _zarr(c):
    path = str(c.folder / "own.zarr")
    c.idata.to_zarr(path)
    _same_draws(c.az.from_zarr(path), c.idata)


def _our_files(c):
    for name in ("ours.nc", "ours.zarr"):
        diffgmm.save_inference_data(c.idata, c.folder / name)
        _same_draws(diffgmm.load_inference_data(c.folder / name), c.idata)


TABLES = {
    "az.summary": _summary,
    "az.rhat": lambda c: _finite(c.az.rhat(c.idata)),
    "az.ess": lambda c: _finite(c.az.ess(c.idata)),
    "az.mcse": lambda c: _finite(c.az.mcse(c.idata)),
    "az.loo(pointwise=True)": _loo,
    "az.waic": lambda c: c.az.waic(c.idata),
    "az.compare": _compare,
    "az.psens / az.psense": _psense,
    "az.psens / az.psense_summary": _psense_summary,
    "az.diagnose": lambda c: c.az.diagnose(c.idata),
    "az.loo_pit, by feature_view": _loo_pit,
    "az.extract": _extract,
    "to_netcdf, az.from_netcdf": _netcdf,
    "to_zarr, az.from_zarr": _zarr,
    "diffgmm.save_inference_data, netCDF and Zarr": _our_files,
}


def _either(old, new):
    """Return a call by the name and the arguments of each generation."""

    def call(c):
        name, settings = (old, new)[c.generation]
        assert getattr(c.az, name)(c.idata, **settings) is not None

    return call


WEIGHTS = {"var_names": ["weights"]}
PARAMETERS = {"var_names": ["weights", "means"]}


def _ppc(c):
    if c.generation == 0:
        c.az.plot_ppc(c.idata, num_pp_samples=10, random_seed=1)
    else:
        c.az.plot_ppc_dist(c.idata, num_samples=10)


def _khat(c):
    loo = c.az.loo(c.idata, pointwise=True)
    c.az.plot_khat(loo)


def _prior_posterior(c):
    both = with_prior(c.idata, c.x)
    plot = c.az.plot_dist_comparison if c.generation == 0 else c.az.plot_prior_posterior
    plot(both, var_names=["weights"])


def _plot_loo_pit(c):
    view = diffgmm.feature_view(c.idata)
    if c.generation == 0:
        c.az.plot_loo_pit(view, y="x_waiting")
    else:
        c.az.plot_loo_pit(view, var_names=["x_waiting"])


def _ppc_pit(c):
    view = diffgmm.feature_view(c.idata)
    if c.generation == 0:
        c.az.plot_bpv(view, var_names=["x_waiting"])
    else:
        c.az.plot_ppc_pit(view, var_names=["x_waiting"])


PLOTS = {
    "az.plot_trace": _either(("plot_trace", WEIGHTS), ("plot_trace", WEIGHTS)),
    "az.plot_trace / az.plot_trace_dist": _either(
        ("plot_trace", PARAMETERS), ("plot_trace_dist", WEIGHTS)
    ),
    "az.plot_rank": _either(("plot_rank", WEIGHTS), ("plot_rank", WEIGHTS)),
    "az.plot_forest": _either(("plot_forest", PARAMETERS), ("plot_forest", PARAMETERS)),
    "az.plot_pair": _either(("plot_pair", WEIGHTS), ("plot_pair", WEIGHTS)),
    "az.plot_posterior / az.plot_dist": _either(
        ("plot_posterior", WEIGHTS), ("plot_dist", WEIGHTS)
    ),
    "az.plot_ppc / az.plot_ppc_dist": _ppc,
    "az.plot_khat": _khat,
    "az.plot_compare": lambda c: c.az.plot_compare(_compare(c)),
    "az.plot_dist_comparison / az.plot_prior_posterior": _prior_posterior,
    "az.plot_psense_dist": lambda c: c.az.plot_psense_dist(c.idata, var_names=["weights"]),
    "az.plot_loo_pit, by feature_view": _plot_loo_pit,
    "az.plot_bpv / az.plot_ppc_pit, by feature_view": _ppc_pit,
}


def results(az, folder, generation):
    """Return {call: "yes" or the reason} of draws of Old Faithful."""
    import matplotlib.pyplot as plt

    x = diffgmm.datasets.load_faithful()
    settings = {"draws": 300, "tune": 300, "random_seed": 1, "progressbar": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        idata, other = (diffgmm.sample(x, k, **settings) for k in (2, 1))
    calls = Calls(az, idata, other, np.asarray(x.data), folder, generation)
    found = {}
    for name in calls.names():
        found[name] = calls.run(name)
        plt.close("all")
    return found


# ---- the page

START, END = "<!-- calls, by tutorials/make_arviz_table.py", "-->"
HEAD = """# ArviZ on what `diffgmm` returns

The test `tests/contract/test_arviz_calls.py` makes every call below on draws of `diffgmm.sample`
(Old Faithful, two components), with ArviZ 0.23 on Python 3.11 (`InferenceData`) and with ArviZ 1 on
later versions (`DataTree`), and fails when this page says anything else. `no` is a limit of that
ArviZ, with its reason and a link. Summary, LOO, sensitivity and forest plot are tested on every
family of covariances, summary and predictive checks on the draws of every method. The column of the
installed ArviZ is written by `python tutorials/make_arviz_table.py`.

A row with several features has one log likelihood, which `az.loo_pit` and the PIT plots do not
expect: `diffgmm.feature_view(idata)` gives them a variable for each feature. `diffgmm.loo_pit` and
`diffgmm.plot_pit` need no view, and are exact for every draw.

Aligned labels make R-hat and ESS of parameters meaningful where components are apart. Those of
`sample_stats` (`lp`, `log_lik`, ...) never depend on labels: `diffgmm.summary(idata)` shows them.

"""


def page(found):
    """Return the page of {generation: {call: result}}."""
    lines = ["| call | ArviZ 0.23 | ArviZ 1 |", "|---|---|---|"]
    for name in [*TABLES, *PLOTS]:
        cells = []
        for generation in (0, 1):
            own = found.get(str(generation), {}).get(name, "not run")
            yes = own in ("yes", "not run")
            cells.append(own if yes else f"no: {own} ([ArviZ]({WHERE[name]}))")
        lines.append(f"| `{name}` | {cells[0]} | {cells[1]} |")
    content = json.dumps(found, indent=0, sort_keys=True, ensure_ascii=False)
    return HEAD + "\n".join(lines) + f"\n\n{START}\n{content}\n{END}\n"


def read_page(text):
    """Return what `page` was made from."""
    if START not in text:
        return {}
    return json.loads(text.split(START, 1)[1].rsplit(END, 1)[0])
