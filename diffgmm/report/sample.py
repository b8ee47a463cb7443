"""`sample`: rows in, the posterior of a mixture out, as InferenceData or DataTree."""

import json
import warnings
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from .._seeding import Seed, child_sequence, seed_sequence
from ..arguments import check_count
from ..blocks import check_cores
from ..covariance import CovarianceType, Family, family_of
from ..data import Data, check_constant_columns
from ..errors import InvalidParameterError
from ..posterior.priors import Prior
from ..posterior.sample import Settings, sample_posterior
from ..posterior.telescoping import sample_telescoping
from .convergence import warn_unless_converged
from .inference_data import DIMENSIONS, SAMPLE_DIMS, Group, build
from .unknown_k import (
    UNALIGNED,
    AnyPosterior,
    check_for_unknown_k,
    method_attrs,
    parameters_of,
    whole_mixtures,
)

# Values of replicated rows that are kept: beyond it, every second, third, ... draw.
PREDICTIVE_VALUES = 10_000_000

# Names the stream of the replicated rows; chains are numbered from 0.
PREDICTIVE_STREAM = 2**32 - 1

# What must have converged with K unknown: of lp the dimension changes with K.
WATCHED_WITHOUT_K = ("log_lik", "n_filled", "log_density_anchor")


def sample(  # noqa: PLR0913  the names and the order of PyMC's sample
    X: Any,
    n_components: int | None = None,
    *,
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    cores: int | None = None,
    method: Literal["gibbs"] | None = None,
    prior: Prior | None = None,
    covariance_type: CovarianceType = "full",
    sample_weight: Any = None,
    random_seed: Seed = None,
    progressbar: bool = True,
    compute_log_likelihood: bool = True,
) -> Any:
    """Sample the posterior of a Gaussian mixture, and of its number of components if not given.

    With K given labels are aligned over all chains.

    Parameters
    ----------
    X : array-like or table, shape (N, D)
        Finite numbers; column names are kept.
    n_components : int, optional
        Number of components K; unknown, with the prior of `Prior`, when not given.
    draws, tune : int, default 1000
        Draws kept per chain, after `tune` sweeps of warm-up. With K unknown a draw, and a step of the
        warm-up, has up to 40 sweeps, as `sweeps_per_draw` in the attributes says: K changes slowly.
    chains : int, default 4
        They start from a fit, a prior draw, a fit to reweighted rows and another optimum, so that
        they can disagree. More chains leave the first ones as they are.
    cores : int, optional
        Threads; every available core by default. The draws do not depend on it.
    method : {"gibbs"}, optional
        Blocked Gibbs; with K unknown the telescoping sampler.
    prior : Prior, optional
        In the units of the data; `Prior.weakly_informative(X)` by default.
    covariance_type : {"full", "tied", "diag", "spherical", "identity"}
        As in scikit-learn; "identity" means a known unit covariance in the units of the data.
    sample_weight : optional
        Not supported yet.
    random_seed : int, sequence of int, Generator or None
        An integer repeats the draws.
    progressbar : bool, default True
        Show one bar per chain on a terminal.
    compute_log_likelihood : bool, default True
        Keep the log likelihood of every row at every draw, for `az.loo`.

    Returns
    -------
    arviz.InferenceData (ArviZ 0.x) or xarray.DataTree (ArviZ 1.x)
        posterior: weights (chain, draw, cluster), means (chain, draw, cluster, feature),
        covariances (chain, draw, cluster, feature, feature_bis), tied (..., feature, feature_bis),
        diag (..., cluster, feature), spherical (..., cluster), and C0 unless the prior fixes it.
        sample_stats: lp and log_lik in nats, n_filled, weight_entropy and log_density_anchor, none
        of which depends on labels. log_likelihood, log_prior, posterior_predictive, observed_data.
        With K unknown the posterior has n_components (K), n_filled (those with rows), alpha, C0 and a
        tied covariance; the parameters of every draw are in unaligned_posterior, components with
        rows first, NaN beyond the draw's K: `condition_on_k` aligns those of one K.

    Warns
    -----
    ConvergenceWarning
        When chains disagree (R-hat) or their draws are too alike (ESS), in label-free quantities.
    UserWarning
        When Ctrl-C ended the run early, or the pointwise log likelihood was thinned.

    Raises
    ------
    InvalidDataError, InvalidParameterError
        One line: the rule, what was given, the remedy.

    Examples
    --------
    >>> import diffgmm
    >>> X = diffgmm.datasets.load_faithful()
    >>> idata = diffgmm.sample(X, 2, draws=500, random_seed=1, progressbar=False)
    >>> idata["posterior"]["weights"].mean(("chain", "draw")).values.round(2)
    array([0.64, 0.36])

    References
    ----------
    Frühwirth-Schnatter, Malsiner-Walli, Grün (2021), Bayesian Analysis 16(4), 1279-1307,
    doi:10.1214/21-BA1294: the telescoping sampler.
    """
    _check_method(method, sample_weight, n_components)
    family = family_of(covariance_type)
    settings = _settings(draws, tune, chains, cores, progressbar, compute_log_likelihood)
    data = Data.of(X)
    k = None if n_components is None else check_count("n_components", n_components)
    if family.scaling == "feature":
        check_constant_columns(data)
    if prior is None:
        prior = Prior.weakly_informative(data, k, covariance_type=covariance_type)
    _check_prior(prior, data, k, family)
    sequence = seed_sequence(random_seed)
    posterior: AnyPosterior
    if k is None:
        posterior = sample_telescoping(data, family, prior, settings, sequence)
        watched = {name: label_free(posterior)[name] for name in WATCHED_WITHOUT_K}
    else:
        posterior = sample_posterior(data, family, prior, k, settings, sequence)
        watched = label_free(posterior)
    idata = to_arviz(posterior, settings, sequence)
    warn_unless_converged(watched)
    return idata


def label_free(posterior: AnyPosterior) -> dict[str, np.ndarray]:
    """Return the quantities of each draw that do not depend on labels, (C, S) or (C, S, A)."""
    return {
        "lp": posterior.lp,
        "log_lik": posterior.log_lik,
        "n_filled": posterior.n_filled,
        "weight_entropy": posterior.weight_entropy,
        "log_density_anchor": posterior.log_density_anchor,
    }


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
    return build(groups, coords, attrs)


def _groups(posterior: AnyPosterior, attrs: dict[str, Any]) -> dict[str, Group]:
    parameters, unaligned = parameters_of(posterior)
    statistics = {
        name: (SAMPLE_DIMS + ("anchor",) * (array.ndim - 2), array)
        for name, array in label_free(posterior).items()
    }
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
                stacklevel=4,
            )
    return groups


def _predictive(
    posterior: AnyPosterior, settings: Settings, sequence: np.random.SeedSequence
) -> Group:
    """Return one replicated data set for each draw, or each n-th draw, by the reverse kernel."""
    from ..diffusion.reverse import replicate

    data = posterior.target.data
    n_chains, n_draws = posterior.weights.shape[:2]
    step = -(-n_chains * n_draws * data.values.size // PREDICTIVE_VALUES)
    kept = np.arange(0, n_draws, step)
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
        # Text: entropy has 128 bits, files have integers of 64.
        "random_seed": json.dumps(_entropy(sequence)),
        "random_seed_key": json.dumps(list(sequence.spawn_key)),
    }


def _entropy(sequence: np.random.SeedSequence) -> Any:
    entropy: Any = sequence.entropy
    return [int(part) for part in entropy] if isinstance(entropy, Sequence) else int(entropy)


def _name(data: Data) -> str:
    return "x" if data.name in DIMENSIONS else data.name


def _nth(number: int) -> str:
    return {2: "second", 3: "third"}.get(number, f"{number}th")


def _settings(
    draws: int,
    tune: int,
    chains: int,
    cores: int | None,
    progressbar: bool,
    compute_log_likelihood: bool,
) -> Settings:
    if isinstance(tune, bool) or not isinstance(tune, (int, np.integer)) or tune < 0:
        raise InvalidParameterError(f"tune must be a non-negative integer, got {tune!r}.")
    return Settings(
        check_count("draws", draws),
        int(tune),
        check_count("chains", chains),
        check_cores(cores),
        bool(progressbar),
        bool(compute_log_likelihood),
    )


def _check_method(method: Any, sample_weight: Any, n_components: Any) -> None:
    if method not in (None, "gibbs"):
        raise InvalidParameterError(f"method must be 'gibbs' or None so far, got {method!r}.")
    if sample_weight is not None and n_components is None:
        raise InvalidParameterError(
            "sample_weight needs n_components: with K unknown rows count once each. "
            "Give n_components, or leave sample_weight out."
        )
    if sample_weight is not None:
        raise InvalidParameterError(
            "sample_weight is not supported by sample yet. Leave it out, or use fit."
        )


def _check_prior(prior: Any, data: Data, n_components: int | None, family: Family) -> None:
    if not isinstance(prior, Prior):
        raise InvalidParameterError(
            f"prior must be a diffgmm.Prior or None, got {type(prior).__name__}."
        )
    if prior.covariance_type != family.name:
        raise InvalidParameterError(
            f"The prior is for covariance_type={prior.covariance_type!r}, but "
            f"covariance_type={family.name!r} was asked for."
        )
    if prior.n_features != data.n_features:
        raise InvalidParameterError(
            f"The prior is for {prior.n_features} features, but X has {data.n_features} columns."
        )
    if n_components is None:
        check_for_unknown_k(prior)
    elif prior.n_components not in (None, n_components):
        raise InvalidParameterError(
            f"The prior is for n_components={prior.n_components}, but n_components="
            f"{n_components} was asked for."
        )
