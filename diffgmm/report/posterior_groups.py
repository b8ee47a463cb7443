"""Draws of a posterior as InferenceData or DataTree."""

import json
import warnings
from typing import Any

import numpy as np

from .._seeding import child_sequence
from ..data import Data
from ..posterior.sample import Settings
from .convergence import LABEL_FREE
from .inference_data import (
    DIMENSIONS,
    SAMPLE_DIMS,
    SAMPLE_WEIGHT,
    Group,
    build,
    seed_attrs,
)
from .ladder import ladder_statistics
from .thinning import PREDICTIVE_VALUES, every_nth
from .unknown_k import UNALIGNED, AnyPosterior, method_attrs, parameters_of, whole_mixtures

# Names the stream of the replicated rows; chains are numbered from 0.
PREDICTIVE_STREAM = 2**32 - 1


def to_arviz(
    posterior: AnyPosterior, settings: Settings, sequence: np.random.SeedSequence
) -> Any:
    """Return draws as InferenceData or DataTree, with replicated rows and attributes."""
    data = posterior.target.data
    coords = {
        "feature": list(data.feature_names),
        "feature_bis": list(data.feature_names),
        "anchor": posterior.anchors,
    }
    attrs = _attrs(posterior, settings, sequence)
    groups = _groups(posterior, attrs)
    groups["posterior_predictive"] = _predictive(posterior, settings, sequence)
    groups["observed_data"] = Group({_name(data): (("obs_id", "feature"), data.values)})
    row_weights = posterior.target.fixed.row_weights
    if row_weights is not None:
        groups["constant_data"] = Group({SAMPLE_WEIGHT: (("obs_id",), row_weights.values)})
    return build(groups, coords, attrs)


def _groups(posterior: AnyPosterior, attrs: dict[str, Any]) -> dict[str, Group]:
    parameters, unaligned = parameters_of(posterior)
    statistics = {
        name: (SAMPLE_DIMS + ("anchor",) * (array.ndim - 2), array)
        for name, array in ((name, getattr(posterior, name)) for name in LABEL_FREE)
    }
    if posterior.acceptance_rate is not None:
        statistics["acceptance_rate"] = (SAMPLE_DIMS, posterior.acceptance_rate)
    if posterior.split_merge_rate is not None:
        statistics["split_merge_rate"] = (SAMPLE_DIMS, posterior.split_merge_rate)
    if posterior.jump_rate is not None:
        statistics["jump_rate"] = (SAMPLE_DIMS, posterior.jump_rate)
    if posterior.ladder is not None:
        statistics |= ladder_statistics(posterior.ladder)
    times = {name: attrs[name] for name in ("sampling_time", "tuning_steps")}
    log_prior = {name: (SAMPLE_DIMS, array) for name, array in posterior.log_prior.items()}
    groups = {
        "posterior": Group(parameters, attrs),
        "sample_stats": Group(statistics, times),
        "log_prior": Group(log_prior),
    }
    if unaligned:
        groups[UNALIGNED] = Group(unaligned)
    if posterior.pointwise is not None:
        name, every = _name(posterior.target.data), posterior.every
        pointwise = {name: ((*SAMPLE_DIMS, "obs_id"), posterior.pointwise)}
        kept = np.arange(0, posterior.weights.shape[1], every)
        groups["log_likelihood"] = Group(pointwise, {"thinning": every}, kept)
        if every > 1:
            warnings.warn(
                f"The log likelihood of every row was kept at every {_nth(every)} draw to stay "
                "below 1 GiB. For all draws use draws and chains that fit, or fewer rows.",
                UserWarning,
                stacklevel=5,
            )
    return groups


def _predictive(
    posterior: AnyPosterior, settings: Settings, sequence: np.random.SeedSequence
) -> Group:
    """Return one replicated data set for each draw, or each n-th draw, by the reverse kernel."""
    from ..diffusion.reverse import replicate

    data = posterior.target.data
    n_chains, n_draws = posterior.weights.shape[:2]
    kept, step = every_nth(n_draws, n_chains * data.values.size, PREDICTIVE_VALUES)
    weights, means, covariances = whole_mixtures(posterior)
    weights, means = weights[:, kept], means[:, kept]
    covariances = posterior.target.covariance_prior.as_full(
        None if covariances is None else covariances[:, kept], weights.shape[2], data.n_features
    )
    covariances = np.broadcast_to(covariances, (*means.shape, data.n_features))
    flat_weights, flat_means, flat_covariances = (
        array.reshape(-1, *array.shape[2:]) for array in (weights, means, covariances)
    )
    rows = replicate(
        flat_weights,
        flat_means,
        flat_covariances,
        data.n_rows,
        random_seed=child_sequence(sequence, PREDICTIVE_STREAM),
        cores=settings.cores,
    )
    rows = rows.reshape(n_chains, len(kept), data.n_rows, data.n_features)
    variables = {_name(data): ((*SAMPLE_DIMS, "obs_id", "feature"), rows)}
    return Group(variables, {"thinning": step}, kept)


def _attrs(
    posterior: AnyPosterior, settings: Settings, sequence: np.random.SeedSequence
) -> dict[str, Any]:
    """Return what says how the draws came about: text, numbers and lists only."""
    prior = posterior.target.prior
    note = "set by the user"
    if prior.data_scaled:
        note = "weakly informative, scaled by the data, which so count twice"
    return {
        **method_attrs(posterior),
        "sampling_time": posterior.seconds,
        "tuning_steps": settings.tune,
        "interrupted": int(posterior.interrupted),
        "covariance_type": posterior.target.family.name,
        "prior": prior.to_json(),
        "prior_note": note,
        "starts": json.dumps(posterior.starts),
        **seed_attrs(sequence),
    }


def _name(data: Data) -> str:
    return "x" if data.name in DIMENSIONS else data.name


def _nth(number: int) -> str:
    return {2: "second", 3: "third"}.get(number, f"{number}th")
