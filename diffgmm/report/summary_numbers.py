"""The numbers of a summary: components with their draws, convergence, K+, misfit by scale."""

from typing import Any

import numpy as np

from .convergence import LABEL_FREE, varying
from .diagnostics import DRAWS as DIAGNOSTIC_DRAWS
from .diagnostics import overlap_of
from .draws import PosteriorMixtures
from .inference_data import rhat_and_ess
from .numbers import interval_tails

# Rows whose log likelihood stands for that of all, and rows whose density is followed on its own,
# where a posterior has no such quantities itself.
ROWS = 1000
ANCHORS = 5

# Draws per chain from which R-hat and ESS can be computed at all.
SHORTEST = 4


def component_quantities(
    posterior: PosteriorMixtures, rows: Any, row_weights: Any, draws: int
) -> dict[str, Any]:
    """Return draws of every quantity of the components, (S, K) or (S, K, D), and their neighbours."""
    mixtures = posterior.mixtures
    sds = np.sqrt(np.diagonal(mixtures.covariances, axis1=-2, axis2=-1))
    out: dict[str, Any] = {"weight": mixtures.weights, "mean": mixtures.means, "sd": sds}
    if mixtures.n_components > 1:
        found = overlap_of(posterior.thinned(DIAGNOSTIC_DRAWS))
        omega = found["misclassification"].values
        omega = omega.reshape(-1, *omega.shape[2:])
        both = omega + np.swapaxes(omega, 1, 2)
        nearest = (both.mean(axis=0) - 4.0 * np.eye(len(posterior.cluster))).argmax(axis=1)
        out["overlap"] = both[:, np.arange(len(nearest)), nearest]
        out["nearest"] = posterior.cluster[nearest]
    if rows is not None:
        out["size"], out["entropy"] = _memberships(posterior.thinned(draws), rows, row_weights)
    return out


def _memberships(
    posterior: PosteriorMixtures, rows: np.ndarray, row_weights: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return expected numbers of rows (S, K), and the entropy of the rows' mean membership (K,)."""
    mixtures = posterior.mixtures
    copies = np.ones(len(rows)) if row_weights is None else row_weights
    sizes, mean = np.empty(mixtures.weights.shape), np.zeros((len(rows), mixtures.n_components))
    for s, own in enumerate(mixtures.responsibilities(rows)):
        sizes[s] = copies @ own
        mean += own
    mean /= mixtures.n_draws
    logs = np.log(mean, where=mean > 0.0, out=np.zeros_like(mean))
    entropy = -(mean * logs).sum(axis=1)
    share = copies @ mean
    weighted = np.divide((copies * entropy) @ mean, share, where=share > 0.0, out=np.zeros_like(share))
    return sizes, weighted


def convergence_of(
    groups: Any, posterior: PosteriorMixtures, rows: Any, attrs: Any
) -> dict[str, tuple[float, float]]:
    """Return worst R-hat and smallest bulk ESS of label-free quantities; of independent draws none."""
    shape = (len(posterior.chain), len(posterior.draw))
    if attrs.get("sample_type") == "independent" or shape[1] < SHORTEST:
        return {}
    arrays = {}
    if "sample_stats" in groups:
        found = groups["sample_stats"].data_vars
        arrays = {name: np.asarray(found[name].values) for name in LABEL_FREE if name in found}
    if "log_lik" not in arrays:
        arrays |= _label_free(posterior, rows, shape)
    fitting = {name: array for name, array in arrays.items() if array.shape[:2] == shape}
    results = rhat_and_ess(moved) if (moved := varying(fitting)) else {}
    return {name: (float(np.max(r)), float(np.min(e))) for name, (r, e) in results.items()}


def _label_free(
    posterior: PosteriorMixtures, rows: Any, shape: tuple[int, int]
) -> dict[str, np.ndarray]:
    """Return log likelihood, entropy of the weights and log density at some rows, of each draw."""
    mixtures = posterior.mixtures
    w = mixtures.weights
    logs = np.log(w, where=w > 0.0, out=np.zeros_like(w))
    arrays: dict[str, np.ndarray] = {"weight_entropy": -(w * logs).sum(axis=1).reshape(shape)}
    if rows is not None:
        chosen = np.unique(np.linspace(0, len(rows) - 1, ROWS).astype(int))
        log_density = mixtures.log_density(rows[chosen])
        arrays["log_lik"] = log_density.sum(axis=1).reshape(shape)
        some = np.linspace(0, len(chosen) - 1, ANCHORS).astype(int)
        arrays["log_density_anchor"] = log_density[:, some].reshape(*shape, -1)
    return arrays


def n_filled(groups: Any) -> dict[int, float]:
    """Return the posterior probability of each number of components with rows."""
    for group in ("sample_stats", "posterior"):
        if group in groups and "n_filled" in groups[group].data_vars:
            values, counts = np.unique(groups[group]["n_filled"].values, return_counts=True)
            return {int(v): float(c) for v, c in zip(values, counts / counts.sum())}
    return {}


def misfit_table(tree: Any) -> Any:
    """Return gain and z of all components together and the worst one's, by noise level."""
    import pandas

    group = tree["misfit"].to_dataset()
    worst = group["z"].argmax("cluster")
    columns = {
        "gain_all": group["gain_all"],
        "z_all": group["z_all"],
        "worst_component": group["cluster"][worst],
        "z_worst": group["z"].max("cluster"),
        "p_adjusted": np.minimum(group["p_adjusted"].min("cluster"), group["p_adjusted_all"]),
    }
    index = pandas.Index(group["noise_level"].values, name="noise_level")
    return pandas.DataFrame({name: np.asarray(part) for name, part in columns.items()}, index=index)


def frame(posterior: PosteriorMixtures, quantities: dict[str, Any]) -> Any:
    """Return a data frame of the components, with the ends of intervals."""
    import pandas

    columns: dict[str, np.ndarray] = {}

    def add(name: str, draws: np.ndarray) -> None:
        columns[name] = draws.mean(axis=0)
        columns[f"{name}_low"], columns[f"{name}_high"] = np.quantile(
            draws, interval_tails(), axis=0
        )

    for name in ("weight", "size", "overlap"):
        if name in quantities:
            add(name, quantities[name])
    for name in ("nearest", "entropy"):
        if name in quantities:
            columns[name] = quantities[name]
    for name in ("mean", "sd"):
        for d, feature in enumerate(posterior.feature_names):
            add(f"{name}_{feature}", quantities[name][:, :, d])
    return pandas.DataFrame(columns, index=pandas.Index(posterior.cluster, name="cluster"))
