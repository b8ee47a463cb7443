"""A fit and its refits to bootstrap data sets as InferenceData or DataTree."""

import time
import warnings
from typing import Any

import numpy as np

from .._seeding import Seed, child_sequence, seed_sequence
from ..covariance import Family, family_of
from ..data import Data
from ..diffusion import ScoreModel, VoronoiScore
from ..errors import InvalidDataError, InvalidParameterError
from ..learn.fit import check_weights
from ..learn.mixture_fit import MixtureFit
from ..learn.refit import bootstrap_refits, refit_stream
from ..learn.resampling import Bootstrap, row_counts
from ..progress import Progress
from .inference_data import (
    SAMPLE_DIMS,
    SAMPLE_WEIGHT,
    Group,
    build,
    seed_attrs,
)
from .thinning import PREDICTIVE_VALUES, every_nth

# Bytes of row counts that are kept whole; beyond them draws are thinned, with a warning.
COUNTS_BYTES = 2**30

ESTIMATE = "maximum likelihood"
METHODS = {
    "dirichlet": "weighted likelihood bootstrap",
    "multinomial": "nonparametric bootstrap",
    "diffusion": "parametric bootstrap",
}
ROWS = {
    "dirichlet": "Dirichlet-weighted rows",
    "multinomial": "rows drawn with replacement",
    "diffusion": "rows made by the fit's diffusion sampler",
}
NOTE = (
    "independent refits to {rows}, each started from the fit; not draws of a posterior under a "
    "prior, and R-hat of them is 1 by construction"
)


def fit_to_arviz(fit: MixtureFit) -> Any:
    """Return a fit as the installed ArviZ knows it: one draw of one chain, the estimate.

    It holds no uncertainty: R-hat, effective sample sizes and intervals of it mean nothing.
    """
    attrs = _attrs(fit, ESTIMATE)
    return build(_groups([fit], [fit.log_likelihood], attrs), _coords(fit), attrs)


def refits_to_arviz(  # noqa: PLR0913  the arguments of MixtureFit.to_arviz
    fit: MixtureFit,
    X: Any,
    *,
    draws: int,
    bootstrap: Bootstrap = "dirichlet",
    chains: int = 1,
    sample_weight: Any = None,
    random_seed: Seed = None,
    cores: int | None = None,
    progressbar: bool = True,
) -> Any:
    """Return `draws` refits of each chain as the installed ArviZ knows them."""
    if isinstance(fit.score_model, VoronoiScore):
        raise InvalidParameterError(
            "Refits need a score with soft gates: fit with gating='soft', or call to_arviz() "
            "without rows."
        )
    data = Data.of(X, feature_names=tuple(fit.mixture.feature_names or ()))
    row_weights = check_weights(sample_weight, data.n_rows)
    weights = np.ones(data.n_rows) if row_weights is None else row_weights
    if not np.isclose(weights.sum(), fit.n_rows):
        raise InvalidDataError(
            f"X must be the rows that were fitted: they were {fit.n_rows:g} (the sum of their "
            f"weights), X has {weights.sum():g}. Give the same X and sample_weight as to fit."
        )
    sequence = seed_sequence(random_seed)
    began = time.perf_counter()
    with Progress(progressbar) as progress:
        update = progress.bars(["refits"], draws * chains)
        refits = bootstrap_refits(
            fit,
            data,
            draws,
            bootstrap=bootstrap,
            chains=chains,
            row_weights=row_weights,
            random_seed=child_sequence(sequence, 0),
            cores=cores,
            on_draw=lambda done: update(0, done),
        )
    note = NOTE.format(rows=ROWS[bootstrap])
    attrs = _attrs(fit, METHODS[bootstrap]) | {"sample_type": "independent", "note": note}
    attrs["sampling_time"] = time.perf_counter() - began
    attrs["interrupted"] = int(len(refits) < draws * chains)
    attrs |= seed_attrs(sequence)
    log_lik = [float(weights @ own.mixture.log_density(data.values)) for own in refits]
    groups = _groups(refits, log_lik, attrs, chains)
    groups["posterior_predictive"] = _predictive(refits, data, child_sequence(sequence, 1), chains)
    if bootstrap == "multinomial":
        groups["bootstrap"] = _counts(len(refits), weights, child_sequence(sequence, 0), chains)
    groups["observed_data"] = Group({fit.name: (("obs_id", "feature"), data.values)})
    if row_weights is not None:
        groups["constant_data"] = Group({SAMPLE_WEIGHT: (("obs_id",), row_weights)})
    return build(groups, _coords(fit), attrs)


def _coords(fit: MixtureFit) -> dict[str, list[str]]:
    names = list(fit.mixture.feature_names or ())
    return {"feature": names, "feature_bis": names}


def _attrs(fit: MixtureFit, method: str) -> dict[str, Any]:
    return {
        "inference_method": method,
        "covariance_type": fit.covariance_type,
        "n_components": fit.mixture.n_components,
    }


def _by_chain(array: np.ndarray, chains: int) -> np.ndarray:
    """Return an array (S, ...) of refits as (chain, draw, ...): refit i is of chain i % chains."""
    return np.swapaxes(array.reshape(-1, chains, *array.shape[1:]), 0, 1)


def _groups(
    fits: list[MixtureFit], log_lik: list[float], attrs: dict[str, Any], chains: int = 1
) -> dict[str, Group]:
    """Return posterior and sample_stats of fits, one a draw, and what the residual learned."""
    family = family_of(fits[0].covariance_type)
    draws = {
        "weights": (("cluster",), np.array([own.mixture.weights for own in fits])),
        "means": (("cluster", "feature"), np.array([own.mixture.means for own in fits])),
        **_covariances(fits, family),
    }
    variables = {
        name: (SAMPLE_DIMS + dims, _by_chain(array, chains))
        for name, (dims, array) in draws.items()
    }
    statistics = {"log_lik": (SAMPLE_DIMS, _by_chain(np.array(log_lik), chains))}
    groups = {"posterior": Group(variables, attrs), "sample_stats": Group(statistics)}
    if getattr(fits[0].score_model, "report", None) is not None:
        groups["diffusion"] = _diffusion(fits[0])
    return groups


def _covariances(fits: list[MixtureFit], family: Family) -> dict[str, Any]:
    """Return the covariances in the natural shape of their family; identity has none."""
    if not family.is_free:
        return {}
    array = np.array([family.from_full(own.mixture.covariances) for own in fits])
    if family.is_shared:
        return {"covariances": (("feature", "feature_bis"), array[:, 0])}
    return {"covariances": (("cluster", "feature", "feature_bis")[: array.ndim - 1], array)}


def _diffusion(fit: MixtureFit) -> Group:
    """Return noise levels, held-out gains and the residual's degree, by level and component."""
    model = fit.score_model
    assert isinstance(model, ScoreModel)
    assert model.report is not None
    report = model.report
    cells = ("level", "cluster")
    variables = {
        "sigma": (("level",), model.sigmas),
        "gain": (cells, report.gains),
        "z": (cells, report.z),
        "p_value": (cells, report.p_values),
        "active": (cells, model.active),
        "degree": (("level",), report.degrees),
        "ridge": (("level",), report.ridges),
    }
    attrs = {
        "p_value": report.p_value,
        "n_score_evaluations": model.n_score_evaluations,
        "units": "sigma in standardised units; gain as a share of the denoising error",
    }
    return Group(variables, attrs)


def _predictive(
    fits: list[MixtureFit], data: Data, seed: np.random.SeedSequence, chains: int
) -> Group:
    """Return replicated rows, each draw's by its own diffusion sampler."""
    kept, step = every_nth(len(fits) // chains, chains * data.values.size, PREDICTIVE_VALUES)
    index = _refits_of(kept, chains)
    rows = [fits[i].sample(data.n_rows, child_sequence(seed, int(i))) for i in index]
    variables = {
        data.name: ((*SAMPLE_DIMS, "obs_id", "feature"), _by_chain(np.array(rows), chains))
    }
    return Group(variables, {"thinning": step}, kept)


def _counts(n_refits: int, weights: np.ndarray, seed: np.random.SeedSequence, chains: int) -> Group:
    """Return how often each refit had each row: those with 0 are out of its bag."""
    kept, step = every_nth(n_refits // chains, chains * 2 * len(weights), COUNTS_BYTES)
    index = _refits_of(kept, chains)
    if len(index) < n_refits:
        warnings.warn(
            f"Which rows were in the bag is kept for {len(index)} of {n_refits} draws, to stay "
            "below 1 GiB. elpd_oob uses these.",
            UserWarning,
            stacklevel=4,
        )
    counts = np.empty((len(index), len(weights)), dtype=np.uint16)
    for own, i in zip(counts, index, strict=True):
        # Drawn again from the stream of the refit, rather than kept in 8 bytes each.
        own[:] = np.minimum(row_counts(weights, refit_stream(seed, int(i), chains)), 65_535)
    variables = {"counts": ((*SAMPLE_DIMS, "obs_id"), _by_chain(counts, chains))}
    return Group(variables, {"thinning": step}, kept)


def _refits_of(kept: np.ndarray, chains: int) -> np.ndarray:
    """Return the numbers of the refits that are these draws of the chains."""
    return (kept[:, None] * chains + np.arange(chains)).ravel()
