"""A fit and its refits to reweighted rows as InferenceData or DataTree."""

from typing import Any

import numpy as np

from .._seeding import Seed, child_sequence, seed_sequence
from ..covariance import Family, family_of
from ..data import Data
from ..diffusion import ScoreModel, VoronoiScore
from ..errors import InvalidDataError, InvalidParameterError
from ..learn.fit import check_weights
from ..learn.mixture_fit import MixtureFit
from ..learn.refit import dirichlet_refits
from ..progress import Progress
from .inference_data import SAMPLE_DIMS, Group, build

# Values of posterior_predictive that are kept; beyond them draws are thinned, and `thinning` says so.
PREDICTIVE_VALUES = 10_000_000

ESTIMATE = "maximum likelihood"
BOOTSTRAP = "weighted likelihood bootstrap"

NOTE = (
    "independent refits to Dirichlet-weighted rows, each started from the fit; not draws of a "
    "posterior under a prior, and R-hat of them is 1 by construction"
)


def fit_to_arviz(fit: MixtureFit) -> Any:
    """Return a fit as the installed ArviZ knows it: one draw of one chain, the estimate.

    It holds no uncertainty: R-hat, effective sample sizes and intervals of it mean nothing.
    """
    attrs = _attrs(fit, ESTIMATE)
    return build(_groups([fit], [fit.log_likelihood], attrs), _coords(fit), attrs)


def refits_to_arviz(
    fit: MixtureFit,
    X: Any,
    *,
    draws: int,
    sample_weight: Any = None,
    random_seed: Seed = None,
    cores: int | None = None,
    progressbar: bool = True,
) -> Any:
    """Return `draws` refits to Dirichlet-weighted rows as the installed ArviZ knows them."""
    if isinstance(fit.score_model, VoronoiScore):
        raise InvalidParameterError(
            "Refits need a score with soft gates: fit with gating='soft', or call to_arviz() "
            "without rows."
        )
    data = Data.of(X, feature_names=tuple(fit.mixture.feature_names or ()))
    row_weights = check_weights(sample_weight, data.n_rows)
    n_rows = float(data.n_rows if row_weights is None else row_weights.sum())
    if not np.isclose(n_rows, fit.n_rows):
        raise InvalidDataError(
            f"X must be the rows that were fitted: they were {fit.n_rows:g} (the sum of their "
            f"weights), X has {n_rows:g}. Give the same X and sample_weight as to fit."
        )
    sequence = seed_sequence(random_seed)
    with Progress(progressbar) as progress:
        update = progress.bars(["refits"], draws)
        refits = dirichlet_refits(
            fit,
            data,
            draws,
            row_weights=row_weights,
            random_seed=child_sequence(sequence, 0),
            cores=cores,
            on_draw=lambda done: update(0, done),
        )
    attrs = _attrs(fit, BOOTSTRAP) | {"sample_type": "independent", "note": NOTE}
    attrs["interrupted"] = int(len(refits) < draws)
    weights = np.ones(data.n_rows) if row_weights is None else row_weights
    groups = _groups(
        refits, [float(weights @ own.mixture.log_density(data.values)) for own in refits], attrs
    )
    groups["posterior_predictive"] = _predictive(refits, data, child_sequence(sequence, 1))
    groups["observed_data"] = Group({fit.name: (("obs_id", "feature"), data.values)})
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


def _groups(fits: list[MixtureFit], log_lik: list[float], attrs: dict[str, Any]) -> dict[str, Group]:
    """Return posterior and sample_stats of fits, one a draw, and what the residual learned."""
    family = family_of(fits[0].covariance_type)
    draws = {
        "weights": (("cluster",), np.array([own.mixture.weights for own in fits])),
        "means": (("cluster", "feature"), np.array([own.mixture.means for own in fits])),
        **_covariances(fits, family),
    }
    variables = {name: (SAMPLE_DIMS + dims, array[None]) for name, (dims, array) in draws.items()}
    statistics: dict[str, Any] = {"log_lik": (SAMPLE_DIMS, np.array([log_lik]))}
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


def _predictive(fits: list[MixtureFit], data: Data, seed: np.random.SeedSequence) -> Group:
    """Return replicated rows, each draw's by its own diffusion sampler."""
    step = -(-len(fits) * data.values.size // PREDICTIVE_VALUES)
    kept = np.arange(0, len(fits), step)
    rows = [fits[i].sample(data.n_rows, child_sequence(seed, int(i))) for i in kept]
    variables = {data.name: ((*SAMPLE_DIMS, "obs_id", "feature"), np.array([rows]))}
    return Group(variables, {"thinning": step}, kept)
