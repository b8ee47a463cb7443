"""Expected log predictive densities as ArviZ's own objects, which `az.compare` takes: 0.x and 1.x."""

import warnings
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from .inference_data import SAMPLE_DIMS, Group, arviz_generation, arviz_statistics, build

# By ArviZ's own names: 0.x has a pandas Series, 1.x a dataclass.
ELPD, POINTWISE, P = (("elpd_loo", "elpd"), ("loo_i", "elpd_i"), ("p_loo", "p"))


def entry(result: Any, names: tuple[str, str]) -> Any:
    """Return an entry of an ELPDData by its name in the installed ArviZ."""
    return result[names[arviz_generation()]]


def relative_efficiency(posterior: Any) -> float:
    """Return ESS / draws as `az.loo` takes it: the mean over variables; 1 for one chain."""
    if posterior.sizes["chain"] == 1:
        return 1.0
    ess = arviz_statistics().ess(posterior, method="mean")
    values = [np.ravel(ess[name].values) for name in ess.data_vars]
    return float(np.hstack(values).mean()) / (posterior.sizes["chain"] * posterior.sizes["draw"])


def psis_block(log_density: np.ndarray, name: str, first: int, reff: float) -> Any:
    """Return ArviZ's PSIS-LOO of some rows, log densities (chain, draw, B), rows from `first`."""
    own = {"obs_id": np.arange(first, first + log_density.shape[2])}
    group = Group({name: ((*SAMPLE_DIMS, "obs_id"), log_density)})
    block = build({"log_likelihood": group}, own, {})
    scale = {"scale": "log"} if arviz_generation() == 0 else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Pareto k: said once, for all rows, at the end
        return arviz_statistics().loo(block, pointwise=True, reff=reff, **scale)


def joined(blocks: list[Any]) -> Any:
    """Return one ELPDData from those of consecutive blocks of rows."""
    import xarray

    values = xarray.concat([entry(block, POINTWISE) for block in blocks], "obs_id")
    pareto_k = xarray.concat([block["pareto_k"] for block in blocks], "obs_id")
    p = float(sum(entry(block, P) for block in blocks))
    return updated(blocks[0], values, pareto_k, p)


def updated(result: Any, elpd_i: Any, pareto_k: Any, p: float) -> Any:
    """Return a PSIS-LOO result with other pointwise values, and the sums that follow from them."""
    n = elpd_i.size
    changes = {
        ELPD: float(elpd_i.sum()),
        ("se", "se"): standard_error(elpd_i.values),
        P: p,
        ("n_data_points", "n_data_points"): n,
        ("warning", "warning"): bool((pareto_k > result["good_k"]).any()),
        POINTWISE: elpd_i,
        ("pareto_k", "pareto_k"): pareto_k,
    }
    if arviz_generation() == 1:
        own: dict[str, Any] = {new: value for (_, new), value in changes.items()}
        return replace(result, log_weights=None, **own)
    changed = result.copy()
    for (old, _), value in changes.items():
        changed[old] = value
    return changed


def standard_error(elpd_i: np.ndarray) -> float:
    """Return the standard error of the sum; from 1.3 on, ArviZ divides by n - 1."""
    return float(np.sqrt(len(elpd_i) * np.var(elpd_i, ddof=int(_has_subclasses()))))


def _has_subclasses() -> bool:
    """Whether ArviZ is 1.3 or later: with one class of ELPDData for each kind of result."""
    return hasattr(arviz_statistics(), "ELPDDataLOOKFold")


def held_out(elpd_i: np.ndarray, p_i: np.ndarray, n_samples: int, n_folds: int, method: str) -> Any:
    """Return an ELPDData of rows that were held out of the draws that score them.

    Parameters
    ----------
    elpd_i, p_i : ndarray, shape (N,)
        Log predictive density of each row, and how much higher it is when the row is not held out.
    n_samples : int
        Draws that score a row.
    n_folds : int
        Number of fits.
    method : str
        Named when the object is printed (1.x), or in its entry `method` (0.x, whose `az.compare`
        knows no kind but loo and waic).
    """
    import xarray

    n = len(elpd_i)
    coords = {"obs_id": np.arange(n)}
    values = xarray.DataArray(elpd_i, dims="obs_id", coords=coords, name="elpd_i")
    shared = {
        "se": standard_error(elpd_i),
        "n_samples": n_samples,
        "n_data_points": n,
        "warning": False,
        "scale": "log",
    }
    elpd, p = float(elpd_i.sum()), float(p_i.sum())
    if arviz_generation() == 1:
        own = shared | {"elpd": elpd, "p": p, "elpd_i": values, "good_k": None, "n_folds": n_folds}
        if not _has_subclasses():
            return import_module("arviz_stats.utils").ELPDData(kind="loo_kfold", **own)
        own["p_kfold_i"] = xarray.DataArray(p_i, dims="obs_id", coords=coords, name="p_kfold_i")
        return _held_out_class()(method=method, **own)
    # The order that ArviZ prints.
    order = {"elpd_loo": elpd, "se": shared["se"], "p_loo": p} | shared
    order |= {"loo_i": values.rename("loo_i"), "method": method}
    return arviz_statistics().ELPDData(list(order.values()), index=list(order))


@cache
def _held_out_class() -> Any:
    """Return the class for ArviZ 1.x; here, because importing this module must not import ArviZ."""

    @dataclass(kw_only=True, repr=False)
    class ELPDDataHeldOut(arviz_statistics().ELPDDataLOOKFold):  # type: ignore[misc]
        """Log predictive densities of held-out rows, with a word on how they came about."""

        method: str = ""

        def _header(self) -> str:
            return f"Computed by {self.method}."

    return ELPDDataHeldOut


def log_mean_exp(log_values: np.ndarray) -> np.ndarray:
    """Return log mean exp over the first axis: -inf of nothing but -inf."""
    top = log_values.max(axis=0)
    shift = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        return shift + np.log(np.exp(log_values - shift).mean(axis=0))
