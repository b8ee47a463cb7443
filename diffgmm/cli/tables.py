"""What people read: components with their intervals, R-hat and ESS, the expected log density."""

from typing import Any

import numpy as np
import xarray
from rich import box
from rich.console import Console
from rich.table import Table

from ..data import Data
from ..mixture import GaussianMixture
from ..report.convergence import varying
from ..report.inference_data import FEWEST_DRAWS, leave_one_out, rhat_and_ess
from ..report.numbers import INTERVAL, estimate, interval, number

# Rows of the table of components; the file has all of them.
MOST_ROWS = 60

WIDEST_NAME = 24

# Numbers of components with smaller probabilities share a line.
SMALLEST_SHARE = 0.005

# Draws per chain from which R-hat and ESS can be computed at all.
SHORTEST = 4


def console() -> Console:
    """Return where tables go: colours and bold only on a terminal, names as they are."""
    return Console(markup=False, highlight=False, emoji=False)


def show(out: Console, table: Table) -> None:
    """Print a table; unlike Rich, do not wrap its title to the table's own width."""
    title, caption = table.title, table.caption
    table.title = table.caption = None
    out.print(title, style="bold")
    out.print(table)
    if caption:
        out.print(caption)


def posterior_table(posterior: Any) -> Table:
    """Return a table of weights, means and standard deviations with equal-tailed intervals."""
    weights = _draws(posterior["weights"])
    means = _draws(posterior["means"])
    sds = _standard_deviations(posterior)
    names = [str(name) for name in posterior["feature"].values]
    kind = f"{100 * INTERVAL:.0f} % equal-tailed interval (quantiles of the draws)"
    table = _components_table(f"Posterior mean and {kind}", sds is not None)
    for k in range(weights.shape[1]):
        for d, name in enumerate(names):
            first = [str(k), interval(weights[:, k])] if d == 0 else ["", ""]
            sd = [] if sds is None else [estimate(sds[:, k, d])]
            _add_row(table, [*first, name, interval(means[:, k, d]), *sd], d == len(names) - 1)
    return _shortened(table, weights.shape[1] * len(names))


def n_components_table(posterior: Any) -> Table:
    """Return a table of the posterior probabilities of the number of components."""
    table = _table("Posterior probability of the number of components")
    table.add_column("Number", justify="right")
    table.add_column("With rows", justify="right")
    table.add_column("In all", justify="right")
    counts = [
        np.bincount(_draws(posterior[name]).astype(int)) for name in ("n_filled", "n_components")
    ]
    shares = [own / own.sum() for own in counts]
    last = max(int(np.flatnonzero(own >= SMALLEST_SHARE)[-1]) for own in shares)
    for k in range(1, last + 1):
        own = [share[k] if k < len(share) else 0.0 for share in shares]
        table.add_row(str(k), *(f"{p:.3f}" for p in own))
    beyond = [share[last + 1 :].sum() for share in shares]
    if max(beyond) > 0.0:
        table.add_row("more", *(f"{p:.3f}" for p in beyond))
    return table


def mixture_table(mixture: GaussianMixture) -> Table:
    """Return a table of one mixture's weights, means and standard deviations."""
    table = _components_table("Maximum likelihood estimate", True)
    sds = np.sqrt(np.diagonal(mixture.covariances, axis1=1, axis2=2))
    for k, weight in enumerate(mixture.weights):
        for d, name in enumerate(mixture.feature_names or ()):
            sd = sds[k, d]
            first = [str(k), f"{weight:.3f}"] if d == 0 else ["", ""]
            row = [*first, name, number(mixture.means[k, d], 0.02 * sd), number(sd, 0.02 * sd)]
            _add_row(table, row, d == mixture.n_features - 1)
    return _shortened(table, mixture.n_components * mixture.n_features)


def diagnostics_table(statistics: Any) -> Table:
    """Return a table of R-hat and bulk ESS of the quantities that do not depend on labels."""
    arrays = {
        name: variable.values
        for name, variable in statistics.data_vars.items()
        if variable.dims[:2] == ("chain", "draw") and variable.shape[1] >= SHORTEST
    }
    table = _table("Convergence, by quantities that do not depend on labels")
    table.add_column("Quantity")
    for name in ("Mean", "Sd", "R-hat", "Bulk ESS"):
        table.add_column(name, justify="right")
    results = rhat_and_ess(moved) if (moved := varying(arrays)) else {}
    for name, array in arrays.items():
        sd = float(array.std())
        moments = [number(value, 0.1 * sd) for value in (float(array.mean()), sd)]
        label = name
        if array.ndim > 2:
            label, moments = f"{name} (worst of {array[0, 0].size})", ["", ""]
        # What never changed has neither.
        rhat, ess = results.get(name, (np.nan, np.nan))
        worst = [f"{np.max(rhat):.3f}", f"{np.min(ess):,.0f}"]
        table.add_row(label, *moments, *("-" if text == "nan" else text for text in worst))
    return table


def comparison_table(data: Data, draws: np.ndarray) -> Table:
    """Return a table of the rows' and the draws' means, standard deviations and quantiles."""
    table = _table("Rows and diffusion draws")
    table.add_column("Feature", overflow="fold", max_width=WIDEST_NAME)
    for name in ("Mean", "Sd", "10 %", "50 %", "90 %"):
        table.add_column(name, justify="right")
    for d, feature in enumerate(data.feature_names):
        for label, values in ((f"{feature}, rows", data.values), (f"{feature}, draws", draws)):
            column = np.asarray(values[:, d], dtype=float)
            sd = float(column.std())
            summary = [column.mean(), sd, *np.quantile(column, [0.1, 0.5, 0.9])]
            table.add_row(label, *(number(value, 0.1 * sd) for value in summary))
    return table


def residual_line(score_model: Any, p_value: float) -> str:
    """Return a line on what the learned scores add to the mixture's own."""
    evidence = f"overall test of held-out rows: p = {p_value:.2g}"
    if score_model.is_silent:
        return f"Learned scores: the residual is silent ({evidence}); the mixture's own stand."
    n_active, n_cells = int(score_model.active.sum()), score_model.active.size
    return (
        f"Learned scores: the residual is active in {n_active} of {n_cells} cells (noise level, "
        f"component); {evidence}."
    )


def expected_log_density(idata: Any) -> str:
    """Return a line on the expected log density of new rows, by PSIS-LOO."""
    loo = leave_one_out(idata)
    if loo is None:
        return f"elpd_loo needs {FEWEST_DRAWS} draws of all chains together, or more."
    return (
        f"elpd_loo {number(loo.elpd, 0.1 * loo.se)}, SE {number(loo.se, 0.1 * loo.se)}; "
        f"Pareto k above {loo.good_k:.2f}: {loo.n_bad:,} of {loo.n_rows:,} rows."
    )


def _table(title: str) -> Table:
    return Table(
        title=title,
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )


def _components_table(title: str, with_sd: bool) -> Table:
    table = _table(title)
    table.add_column("Component")
    table.add_column("Weight", no_wrap=True)
    table.add_column("Feature", overflow="fold", max_width=WIDEST_NAME)
    table.add_column("Mean")
    if with_sd:
        table.add_column("Sd", justify="right")
    return table


def _add_row(table: Table, row: list[str], is_last: bool) -> None:
    if table.row_count < MOST_ROWS:
        table.add_row(*row, end_section=is_last)


def _shortened(table: Table, n_rows: int) -> Table:
    if n_rows > MOST_ROWS:
        table.caption = f"{n_rows - MOST_ROWS} more rows are in the file."
    return table


def _standard_deviations(posterior: Any) -> np.ndarray | None:
    """Return draws of standard deviations (S, K, D), whatever the covariance family stores."""
    if "covariances" not in posterior:
        return None
    means, variances = posterior["means"], posterior["covariances"]
    if "feature_bis" in variances.dims:
        diagonal = np.diagonal(variances.values, axis1=-2, axis2=-1)
        variances = xarray.DataArray(diagonal, dims=variances.dims[:-1])
    return np.sqrt(_draws(variances.broadcast_like(means).transpose(*means.dims)))


def _draws(variable: Any) -> np.ndarray:
    """Return the draws of all chains as (S, ...)."""
    values = np.asarray(variable.values)
    return values.reshape(-1, *values.shape[2:])
