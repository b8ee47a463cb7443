"""`sample`: rows in, the posterior of a mixture out, as InferenceData or DataTree."""

import json
import warnings
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from .._seeding import Seed, child_sequence, seed_sequence
from ..arguments import check_count
from ..blocks import check_cores
from ..covariance import CovarianceType, family_of
from ..data import Data, check_constant_columns
from ..errors import InvalidParameterError
from ..learn.fit import check_weights
from ..posterior.priors import Prior
from ..posterior.sample import Settings, sample_posterior
from ..posterior.telescoping import sample_telescoping
from .bootstrap import Bootstrap, sample_bootstrap
from .continuing import Earlier, batches, check_target_ess, is_enough, label_free_of
from .convergence import LABEL_FREE, warn_unless_converged, warn_unless_moving
from .default_prior import prior_or_default
from .inference_data import DIMENSIONS, SAMPLE_DIMS, SAMPLE_WEIGHT, Group, build, seed_attrs
from .unknown_k import UNALIGNED, AnyPosterior, method_attrs, parameters_of, whole_mixtures

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
    method: Literal["gibbs", "bootstrap"] | None = None,
    bootstrap: Bootstrap = "dirichlet",
    prior: Prior | None = None,
    covariance_type: CovarianceType = "full",
    sample_weight: Any = None,
    random_seed: Seed = None,
    progressbar: bool = True,
    compute_log_likelihood: bool = True,
    target_ess: float | None = None,
    continue_from: Any = None,
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
    method : {"gibbs", "bootstrap"}, optional
        Blocked Gibbs, with K unknown the telescoping sampler; or one refit per draw (maximum
        likelihood, no prior): independent draws that are not those of a posterior under a prior,
        without warm-up, log_likelihood and R-hat.
    bootstrap : {"dirichlet", "multinomial", "diffusion"}, default "dirichlet"
        What each refit of method="bootstrap" sees: Dirichlet-weighted rows, rows drawn with
        replacement (then `elpd_oob` scores the rows left out), or rows made by the fit's diffusion
        sampler (parametric bootstrap).
    prior : Prior, optional
        In the units of the data; `Prior.weakly_informative(X)` by default.
    covariance_type : {"full", "tied", "diag", "spherical", "identity"}
        As in scikit-learn; "identity" means a known unit covariance in the units of the data.
    sample_weight : array-like, shape (N,), optional
        How often each row counts: its log density times its weight. Integer weights are repeated
        rows, in law. Others need a Metropolis step, whose acceptance_rate is in sample_stats.
    random_seed : int, sequence of int, Generator or None
        An integer repeats the draws.
    progressbar : bool, default True
        Show one bar per chain on a terminal.
    compute_log_likelihood : bool, default True
        Keep the log likelihood of every row at every draw, for `az.loo`.
    target_ess : float, optional
        Stop before `draws` as soon as the smallest bulk effective sample size of the label-free
        quantities, over all chains, is this large. It is looked at after 250 draws of each chain,
        500, 1000 and so on.
    continue_from : arviz.InferenceData or xarray.DataTree, optional
        Earlier draws of the same X by Gibbs sampling. Their chains go on from their last states,
        without warm-up and under their prior; all draws are returned, the earlier ones first,
        numbered on and with aligned labels.

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
        With sample_weight, constant_data keeps it, and log_likelihood and log_lik have each row's
        log density times its weight: `az.loo` then leaves out a row with all its copies.

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
    _check_method(method)
    if method == "bootstrap":
        options = {"covariance_type": covariance_type, "sample_weight": sample_weight}
        options |= {"random_seed": random_seed, "cores": cores, "progressbar": progressbar}
        return sample_bootstrap(
            X, n_components, draws=draws, chains=chains, bootstrap=bootstrap, prior=prior, **options
        )
    family = family_of(covariance_type)
    settings = _settings(draws, tune, chains, cores, progressbar, compute_log_likelihood)
    target_ess = check_target_ess(target_ess)
    data = Data.of(X)
    row_weights = check_weights(sample_weight, data.n_rows)
    if family.scaling == "feature":
        check_constant_columns(data)
    base = seed_sequence(random_seed)
    if n_components is None and continue_from is None:
        _check_for_unknown_k(row_weights, target_ess)
        prior = prior_or_default(prior, data, None, covariance_type)
        unknown = sample_telescoping(data, family, prior, settings, base)
        idata = to_arviz(unknown, settings, base)
        watched = label_free_of(idata)
        warn_unless_converged({name: watched[name] for name in WATCHED_WITHOUT_K})
        return idata
    idata, earlier = continue_from, None
    if continue_from is not None:
        earlier = Earlier.of(continue_from, data, n_components, family)
        earlier.check(prior, row_weights)
        prior, row_weights = earlier.prior, earlier.row_weights
        n_components = earlier.n_components
    k = check_count("n_components", n_components)
    prior = prior_or_default(prior, data, k, covariance_type)
    for size in batches(settings.draws, target_ess, earlier):
        own, sequence, starts = replace(settings, draws=size), base, None
        if idata is not None:
            earlier = Earlier.of(idata, data, k, family)
            own, sequence, starts = earlier.settings(own), earlier.sequence(base), earlier.starts
        posterior = sample_posterior(data, family, prior, k, own, sequence, row_weights, starts)
        new = to_arviz(posterior, own, sequence)
        idata = new if earlier is None else earlier.followed_by(new)
        if posterior.interrupted or is_enough(idata, target_ess):
            break
    warn_unless_moving(posterior.acceptance_rate)
    warn_unless_converged(label_free_of(idata))
    return idata


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
        **seed_attrs(sequence),
    }


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


def _check_method(method: Any) -> None:
    if method not in (None, "gibbs", "bootstrap"):
        raise InvalidParameterError(f"method must be 'gibbs', 'bootstrap' or None, got {method!r}.")


def _check_for_unknown_k(row_weights: np.ndarray | None, target_ess: float | None) -> None:
    if row_weights is not None:
        raise InvalidParameterError(
            "sample_weight needs n_components: with K unknown rows count once each. "
            "Give n_components, or leave sample_weight out."
        )
    if target_ess is not None:
        raise InvalidParameterError(
            "target_ess needs n_components: a chain with K unknown is not continued. "
            "Give n_components, or raise draws."
        )
