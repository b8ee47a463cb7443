"""`sample`: rows in, the posterior of a mixture out, as InferenceData or DataTree."""

import json
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from .._seeding import Seed, child_sequence, seed_sequence
from ..arguments import check_count
from ..blocks import check_cores
from ..covariance import CovarianceType, Family, family_of
from ..data import Data, check_constant_columns
from ..errors import InvalidParameterError
from ..posterior.families import covariance_prior
from ..posterior.priors import Prior
from ..posterior.sample import PosteriorDraws, Settings, sample_posterior
from .convergence import warn_unless_converged
from .inference_data import DIMENSIONS, Group, build
from .ladder import ladder_statistics

# Values of replicated rows that are kept: beyond it, every second, third, ... draw.
PREDICTIVE_VALUES = 10_000_000

# Names the stream of the replicated rows; chains are numbered from 0.
PREDICTIVE_STREAM = 2**32 - 1

SAMPLE_DIMS = ("chain", "draw")

# What attributes call the methods.
METHODS = {"gibbs": "blocked Gibbs", "diffusion": "noise ladder"}


def sample(  # noqa: PLR0913  the names and the order of PyMC's sample
    X: Any,
    n_components: int | None = None,
    *,
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    cores: int | None = None,
    method: Literal["gibbs", "diffusion"] | None = None,
    init: Literal["auto", "prior"] = "auto",
    prior: Prior | None = None,
    covariance_type: CovarianceType = "full",
    sample_weight: Any = None,
    random_seed: Seed = None,
    progressbar: bool = True,
    compute_log_likelihood: bool = True,
) -> Any:
    """Sample the posterior of a Gaussian mixture; labels are aligned over all chains.

    Parameters
    ----------
    X : array-like or table, shape (N, D)
        Finite numbers; column names are kept.
    n_components : int
        Number of components K.
    draws, tune : int, default 1000
        Draws kept per chain, after `tune` sweeps of warm-up.
    chains : int, default 4
        They start from a fit, a prior draw, a fit to reweighted rows and another optimum, so that
        they can disagree. More chains leave the first ones as they are.
    cores : int, optional
        Threads; every available core by default. The draws do not depend on it.
    method : {"gibbs", "diffusion"}, optional
        "gibbs", the default, is blocked Gibbs: the most draws per second wherever its chains agree.
        "diffusion" is the noise ladder: every chain has a state at each of some 10 to 50 noise
        levels, and neighbours exchange theirs. A sweep costs as many times more and moves between
        modes that Gibbs sampling does not leave; use it when the warning says that chains
        disagree, with some thousand rows at most. Its swap rates should be 0.2 to 0.4, and a chain
        without round trips has only the modes it started in.
    init : {"auto", "prior"}, default "auto"
        Where chains start. "prior": all from draws of the prior, without any fit; so do those of
        "diffusion" always.
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
        of which depends on labels. With "diffusion" also noise_level (chain, level), in standard
        deviations of the features, the last 0; swap_rate (chain, level), from each level to the
        next, nan at the last; round_trips (chain,), states that came from the highest level to
        0 during the draws; log_marginal_likelihood (chain,), each chain's estimate of the evidence
        (`compute_log_evidence` has one with an error). log_likelihood, log_prior, posterior_predictive, observed_data.

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
    """
    _check_method(method, sample_weight)
    family = family_of(covariance_type)
    settings = _settings(draws, tune, chains, cores, progressbar, compute_log_likelihood)
    settings = replace(settings, method=method or "gibbs", init=_check_init(init))
    data = Data.of(X)
    k = _check_n_components(n_components)
    if family.scaling == "feature":
        check_constant_columns(data)
    if prior is None:
        prior = Prior.weakly_informative(data, k, covariance_type=covariance_type)
    _check_prior(prior, data, k, family)
    sequence = seed_sequence(random_seed)
    posterior = sample_posterior(data, family, prior, k, settings, sequence)
    idata = to_arviz(posterior, settings, sequence)
    warn_unless_converged(label_free(posterior))
    return idata


def label_free(posterior: PosteriorDraws) -> dict[str, np.ndarray]:
    """Return the quantities of each draw that do not depend on labels, (C, S) or (C, S, A)."""
    return {
        "lp": posterior.lp,
        "log_lik": posterior.log_lik,
        "n_filled": posterior.n_filled,
        "weight_entropy": posterior.weight_entropy,
        "log_density_anchor": posterior.log_density_anchor,
    }


def to_arviz(
    posterior: PosteriorDraws, settings: Settings, sequence: np.random.SeedSequence
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


def parameter_dims(covariance_type: str) -> dict[str, tuple[str, ...]]:
    """Return the dimensions of every parameter after chain and draw."""
    own = covariance_prior(covariance_type)
    return {
        "weights": ("cluster",),
        "means": ("cluster", "feature"),
        "covariances": own.dims,
        "C0": own.scale_dims,
    }


def _groups(posterior: PosteriorDraws, attrs: dict[str, Any]) -> dict[str, Group]:
    shapes = parameter_dims(posterior.target.family.name)
    arrays = {name: getattr(posterior, name) for name in shapes}
    parameters = {
        name: (SAMPLE_DIMS + shapes[name], array)
        for name, array in arrays.items()
        if array is not None
    }
    statistics = {
        name: (SAMPLE_DIMS + ("anchor",) * (array.ndim - 2), array)
        for name, array in label_free(posterior).items()
    }
    if posterior.ladder is not None:
        statistics |= ladder_statistics(posterior.ladder)
    times = {name: attrs[name] for name in ("sampling_time", "tuning_steps")}
    log_prior = {name: (SAMPLE_DIMS, array) for name, array in posterior.log_prior.items()}
    groups = {
        "posterior": Group(parameters, attrs),
        "sample_stats": Group(statistics, times),
        "log_prior": Group(log_prior),
    }
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
    posterior: PosteriorDraws, settings: Settings, sequence: np.random.SeedSequence
) -> Group:
    """Return one replicated data set for each draw, or each n-th draw, by the reverse kernel."""
    from ..diffusion.reverse import replicate

    data = posterior.target.data
    n_chains, n_draws = posterior.weights.shape[:2]
    step = -(-n_chains * n_draws * data.values.size // PREDICTIVE_VALUES)
    kept = np.arange(0, n_draws, step)
    weights, means = posterior.weights[:, kept], posterior.means[:, kept]
    covariances = posterior.covariances
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
    posterior: PosteriorDraws, settings: Settings, sequence: np.random.SeedSequence
) -> dict[str, Any]:
    """Return what says how the draws came about: text, numbers and lists only."""
    prior = posterior.target.prior
    note = "set by the user"
    if prior.data_scaled:
        note = "weakly informative, scaled by the data, which so count twice"
    return {
        "inference_method": METHODS[settings.method],
        "sampling_time": posterior.seconds,
        "tuning_steps": settings.tune,
        "interrupted": int(posterior.interrupted),
        "n_components": posterior.target.n_components,
        "covariance_type": posterior.target.family.name,
        "labels": "aligned over all draws and chains" if posterior.aligned else "as sampled",
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


def _check_method(method: Any, sample_weight: Any) -> None:
    if method not in (None, *METHODS):
        names = ", ".join(map(repr, METHODS))
        raise InvalidParameterError(f"method must be {names} or None so far, got {method!r}.")
    if sample_weight is not None:
        raise InvalidParameterError(
            "sample_weight is not supported by sample yet. Leave it out, or use fit."
        )


def _check_init(init: Any) -> str:
    if init not in ("auto", "prior"):
        raise InvalidParameterError(f"init must be 'auto' or 'prior', got {init!r}.")
    return str(init)


def _check_n_components(n_components: Any) -> int:
    if n_components is None:
        raise InvalidParameterError("n_components must be given: sampling it is not supported yet.")
    return check_count("n_components", n_components)


def _check_prior(prior: Any, data: Data, n_components: int, family: Family) -> None:
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
    if prior.n_components not in (None, n_components):
        raise InvalidParameterError(
            f"The prior is for n_components={prior.n_components}, but n_components="
            f"{n_components} was asked for."
        )
