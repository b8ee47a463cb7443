"""`loo` and `reloo`: PSIS-LOO in blocks of rows, and exact refits where it is not to be trusted."""

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from .._seeding import Seed, child_sequence, seed_sequence
from ..data import Data, read_only
from ..errors import InvalidFileError, InvalidParameterError
from ..posterior.mixture_draws import MixtureDraws
from ..posterior.priors import Prior
from ..progress import Progress
from .draws import PosteriorMixtures, posterior_group, read_mixtures
from .elpd import (
    POINTWISE,
    P,
    entry,
    joined,
    log_mean_exp,
    psis_block,
    relative_efficiency,
    updated,
)
from .inference_data import FEWEST_DRAWS, as_tree
from .sample import sample

# Log densities that are in memory at once, rows times draws: 4 MB, and up to 20 times that in ArviZ.
VALUES_PER_BLOCK = 500_000

# Above this Pareto k no number of draws makes PSIS reliable: Vehtari, Simpson, Gelman, Yao, Gabry
# (2024), Journal of Machine Learning Research 25(72).
LARGEST_PARETO_K = 0.7


def loo(idata: Any, X: Any = None, *, reff: float | None = None, progressbar: bool = True) -> Any:
    """Leave-one-out expected log predictive density, without all log densities in memory.

    What `az.loo(idata, pointwise=True)` returns, for any number of rows: log densities are computed
    for a block of rows at a time, smoothed by ArviZ's own PSIS, and forgotten.

    Parameters
    ----------
    idata : arviz.InferenceData or xarray.DataTree
        With weights, means and covariances; a log_likelihood group is not needed, nor used.
    X : array-like, shape (N, D), optional
        The rows that were sampled with; those of `observed_data` when not given.
    reff : float, optional
        Effective sample size per draw; as `az.loo` computes it when not given.
    progressbar : bool, default True
        Show progress on a terminal.

    Returns
    -------
    ELPDData
        Of the installed ArviZ, with pointwise values and Pareto k, for `az.compare`. In nats, per
        unit of the data. A row with a weight w in `constant_data` counts with all its copies: its
        log density times w.

    Warns
    -----
    UserWarning
        When the Pareto k of a row is too large; `reloo` refits without these rows.

    Raises
    ------
    InvalidParameterError, InvalidDataError
        When variables or rows are missing, draws come from method="bootstrap", or are fewer than 25.

    References
    ----------
    Vehtari, Gelman, Gabry (2017), Statistics and Computing 27(5), arXiv:1507.04544; Vehtari, Simpson,
    Gelman, Yao, Gabry (2024), arXiv:1507.02646: Pareto smoothing.
    """
    posterior = read_mixtures(idata)
    group = posterior_group(as_tree(idata))
    _refuse_refits(group)
    if posterior.mixtures.n_draws < FEWEST_DRAWS:
        raise InvalidParameterError(
            f"PSIS-LOO needs {FEWEST_DRAWS} draws or more, got {posterior.mixtures.n_draws}. Sample more "
            "of them, or use diffgmm.kfold."
        )
    values = posterior.rows(X)
    if reff is None:
        reff = relative_efficiency(group)
    shape = (len(posterior.chain), len(posterior.draw))
    blocks = []
    with Progress(progressbar) as progress:
        update = progress.bars(["rows"], len(values))
        for first, log_density in _log_densities(posterior, values, X is None):
            block = psis_block(log_density.reshape(*shape, -1), posterior.name, first, reff)
            blocks.append(block)
            update(0, first + log_density.shape[1])
    result = joined(blocks)
    n_bad = int((result["pareto_k"] > result["good_k"]).sum())
    if n_bad:
        warnings.warn(
            f"The Pareto k of {n_bad} of {len(values)} rows is above {result['good_k']:.2f}, so "
            "that their PSIS-LOO is not reliable. diffgmm.reloo refits without them.",
            UserWarning,
            stacklevel=2,
        )
    return result


def _refuse_refits(group: Any) -> None:
    if group.attrs.get("sample_type") == "independent":
        raise InvalidParameterError(
            "PSIS-LOO needs draws of a posterior, but these are refits to bootstrap data sets. "
            "Use diffgmm.kfold, or diffgmm.elpd_oob after bootstrap='multinomial'."
        )


def _log_densities(
    posterior: PosteriorMixtures, values: np.ndarray, own_rows: bool
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the number of a block's first row and its log densities (S, B), times row weights."""
    mixtures = posterior.mixtures
    size = max(1, VALUES_PER_BLOCK // mixtures.n_draws)
    for first in range(0, len(values), size):
        log_density = mixtures.log_density(values[first : first + size])
        if own_rows and posterior.sample_weight is not None:
            log_density *= posterior.sample_weight[first : first + size]
        yield first, log_density


def reloo(  # noqa: PLR0913  the arguments of sample
    idata: Any,
    loo: Any = None,
    *,
    k_threshold: float = LARGEST_PARETO_K,
    draws: int | None = None,
    tune: int = 1000,
    chains: int | None = None,
    cores: int | None = None,
    random_seed: Seed = None,
    progressbar: bool = True,
) -> Any:
    """Replace PSIS-LOO by an exact refit for the rows whose Pareto k is too large.

    Parameters
    ----------
    idata : arviz.InferenceData or xarray.DataTree
        From `diffgmm.sample`: its attributes hold the prior, `observed_data` the rows.
    loo : ELPDData, optional
        With pointwise values, of these draws; `diffgmm.loo(idata)` when not given.
    k_threshold : float, default 0.7
        Rows with a larger Pareto k are left out, each in turn, and scored by a posterior given all
        others; -inf refits without every single row.
    draws, chains : int, optional
        Of each refit; as many as idata has by default.
    tune, cores, random_seed, progressbar
        Of each refit, as in `sample`.

    Returns
    -------
    ELPDData
        As `loo`, with the refitted rows' own values and a Pareto k of 0, as ArviZ's reloo has it.

    Warns
    -----
    UserWarning
        After Ctrl-C: rows that were not yet refitted keep their PSIS values.

    Raises
    ------
    InvalidParameterError
        When the attributes hold no prior, draws come from `condition_on_k`, or `loo` is not one of
        these draws with pointwise values.

    References
    ----------
    Vehtari, Gelman, Gabry (2017), Statistics and Computing 27(5), arXiv:1507.04544.
    """
    posterior = read_mixtures(idata)
    group = posterior_group(as_tree(idata))
    prior = _prior_of(group)
    if "conditioned_on" in group.attrs:
        raise InvalidParameterError(
            "reloo would refit with K fixed, under another prior of the weights than that of draws from "
            "condition_on_k. Use the draws before it, or sample with n_components."
        )
    values = posterior.rows(None)
    if loo is None:
        loo = _quiet_loo(idata)
    pareto_k, elpd_i = _pointwise(loo, len(values))
    refit = {"covariance_type": prior.covariance_type, "tune": tune, "cores": cores}
    refit |= {"draws": draws or len(posterior.draw)}
    refit |= {"chains": chains or len(posterior.chain)}
    sequence = seed_sequence(random_seed)
    bad = np.flatnonzero(pareto_k.values > k_threshold)
    gained = 0.0
    with Progress(progressbar) as progress:
        update = progress.bars(["rows left out"], len(bad))
        for done, row in enumerate(bad):
            try:
                seed = child_sequence(sequence, int(row))
                exact = _without(posterior, group, prior, int(row), seed, refit)
            except KeyboardInterrupt:
                warnings.warn(
                    f"Interrupted: {done} of {len(bad)} rows are refitted, the others keep their "
                    "PSIS-LOO.",
                    UserWarning,
                    stacklevel=2,
                )
                break
            gained += exact - float(elpd_i[row])
            elpd_i[row], pareto_k[row] = exact, 0.0
            update(0, done + 1)
    return updated(loo, elpd_i, pareto_k, float(entry(loo, P)) - gained)


def _without(
    posterior: PosteriorMixtures,
    group: Any,
    prior: Prior,
    row: int,
    seed: np.random.SeedSequence,
    refit: dict[str, Any],
) -> float:
    """Return the log predictive density of a row under the posterior given all others."""
    values = posterior.rows(None)
    others = Data(
        read_only(np.delete(values, row, axis=0)), posterior.feature_names, posterior.name
    )
    k = group.attrs.get("n_components")  # none: it is unknown
    weights, weight = posterior.sample_weight, 1.0
    if weights is not None:
        weights, weight = np.delete(weights, row), weights[row]
    with warnings.catch_warnings():
        # Of ESS: a mean over all draws needs less than quantiles do.
        warnings.simplefilter("ignore")
        idata = sample(
            others,
            None if k is None else int(k),
            prior=prior,
            sample_weight=weights,
            random_seed=seed,
            progressbar=False,
            compute_log_likelihood=False,
            **refit,
        )
    if posterior_group(as_tree(idata)).attrs.get("interrupted"):
        raise KeyboardInterrupt
    mixtures: MixtureDraws = read_mixtures(idata).mixtures
    return float(log_mean_exp(weight * mixtures.log_density(values[row : row + 1]))[0])


def _quiet_loo(idata: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Pareto k, about which something is done here
        return loo(idata, progressbar=False)


def _prior_of(group: Any) -> Prior:
    try:
        return Prior.from_json(group.attrs["prior"])
    except (KeyError, InvalidFileError):
        raise InvalidParameterError(
            "The attributes of the posterior hold no diffgmm.Prior: only draws of diffgmm.sample "
            "from a posterior do. Refit with the library that made the draws."
        ) from None


def _pointwise(result: Any, n_rows: int) -> tuple[Any, Any]:
    """Return copies of Pareto k and log predictive density of every row."""
    try:
        pareto_k, elpd_i = result["pareto_k"].copy(), entry(result, POINTWISE).copy()
    except (AttributeError, KeyError, TypeError):
        raise InvalidParameterError(
            "loo must be an ELPDData with pointwise values and Pareto k, as diffgmm.loo or "
            f"az.loo(..., pointwise=True) return it, got {type(result).__name__}."
        ) from None
    if elpd_i.shape != (n_rows,):
        raise InvalidParameterError(
            f"loo must be that of idata's {n_rows} rows, but has {elpd_i.size}."
        )
    return pareto_k, elpd_i
