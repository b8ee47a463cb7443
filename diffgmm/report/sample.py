"""`sample`: rows in, the posterior of a mixture out, as InferenceData or DataTree."""

from dataclasses import replace
from typing import Any, Literal

import numpy as np

from .._seeding import Seed, seed_sequence
from ..arguments import check_count
from ..covariance import CovarianceType, Family, family_of
from ..data import Data, check_constant_columns
from ..learn.fit import check_weights
from ..posterior.priors import Prior
from ..posterior.runs import Settings
from ..posterior.sample import more_draws, sample_posterior
from ..posterior.telescoping import sample_telescoping
from .bootstrap import Bootstrap, sample_bootstrap
from .continuing import (
    Earlier,
    acceptance_rate_of,
    batches,
    check_target_ess,
    interrupted,
    is_enough,
    label_free_of,
)
from .convergence import GIVE_K, remedy_of, warn_unless_converged, warn_unless_moving
from .default_prior import prior_or_default
from .posterior_groups import to_arviz
from .sample_arguments import (
    check_bootstrap,
    check_continued,
    check_for_ladder,
    check_for_unknown_k,
    check_init,
    check_method,
    settings_of,
)

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
    method: Literal["gibbs", "diffusion", "bootstrap"] | None = None,
    init: Literal["auto", "prior"] = "auto",
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
        With more than 2,000 rows and no sample_weight, chains from prior draws begin with 500 more
        sweeps at falling noise over that many random rows, three times, and go on from the best;
        `tune=0` leaves it out. With few rows for each component and chains that stay apart, each chain
        runs some 2,400 sweeps more to learn how to jump between modes, or 16,000.
    chains : int, default 4
        They start from a fit, a prior draw, a fit to reweighted rows and another optimum, so that
        they can disagree. More chains leave the first ones as they are.
    cores : int, optional
        Threads; every available core by default. The draws do not depend on it.
    method : {"gibbs", "diffusion", "bootstrap"}, optional
        "gibbs", the default, is blocked Gibbs, with K unknown the telescoping sampler: the most
        draws per second wherever its chains agree.
        "diffusion" is the noise ladder: every chain has a state at each of some 10 to 50 noise
        levels (96 at most), and neighbours exchange theirs. A sweep costs as many times more and moves between
        modes that Gibbs sampling does not leave; use it when the warning says that chains
        disagree, with some thousand rows at most. Its swap rates should be 0.2 to 0.4, and a chain
        without round trips has only the modes it started in.
        "bootstrap" is one refit per draw (maximum likelihood, no prior): independent draws that
        are not those of a posterior under a prior, without warm-up, log_likelihood and R-hat.
    init : {"auto", "prior"}, default "auto"
        Where chains start. "prior": all from draws of the prior, without any fit; so do those of
        "diffusion" always.
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
        Show one bar per chain on a terminal, and one for what comes before the chains.
    compute_log_likelihood : bool, default True
        Keep the log likelihood of every row at every draw, for `az.loo`.
    target_ess : float, optional
        Stop before `draws` as soon as the smallest bulk effective sample size of the label-free
        quantities, over all chains, is this large. It is looked at after 250 draws of each chain,
        500, 1000 and so on.
    continue_from : arviz.InferenceData or xarray.DataTree, optional
        Earlier draws of the same X by Gibbs sampling. Their chains go on from their last states
        under their prior, after sweeps that find what they mix by (half of `draws`, at most `tune`);
        all draws are returned, the earlier ones first,
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
        With "diffusion" sample_stats also has noise_level (chain, level), in standard deviations of
        the features, the last 0; swap_rate (chain, level), from each level to the next, nan at the
        last; round_trips (chain,), states that came from the highest level to 0 during the draws;
        log_marginal_likelihood (chain,), each chain's estimate of the evidence
        (`compute_log_evidence` has one with an error).
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
    doi:10.1214/21-BA1294: the telescoping sampler. Hukushima, Nemoto (1996),
    doi:10.1143/JPSJ.65.1604: replica exchange. Newton, Raftery (1994), Journal of the Royal
    Statistical Society B 56(1), 3-48: the weighted likelihood bootstrap.
    """
    check_method(method)
    check_init(init)
    target_ess = check_target_ess(target_ess)
    check_bootstrap(method, bootstrap, init, target_ess, continue_from)
    if method == "bootstrap":
        options = {"covariance_type": covariance_type, "sample_weight": sample_weight}
        options |= {"random_seed": random_seed, "cores": cores, "progressbar": progressbar}
        return sample_bootstrap(
            X, n_components, draws=draws, chains=chains, bootstrap=bootstrap, prior=prior, **options
        )
    family = family_of(covariance_type)
    settings = settings_of(draws, tune, chains, cores, progressbar, compute_log_likelihood)
    settings = replace(settings, method=method or "gibbs", init=init)
    data = Data.of(X)
    row_weights = check_weights(sample_weight, data.n_rows)
    if family.scaling == "feature":
        check_constant_columns(data)
    if method == "diffusion":
        check_for_ladder(n_components, row_weights, target_ess, continue_from)
    base = seed_sequence(random_seed)
    if n_components is None and continue_from is None:
        check_for_unknown_k(row_weights, target_ess)
        prior = prior_or_default(prior, data, None, covariance_type)
        return _without_k(data, family, prior, settings, base)
    earlier = None
    if continue_from is not None:
        check_continued(init)
        earlier = Earlier.of(continue_from, data, n_components, family)
        earlier.check(prior, row_weights)
        prior, row_weights = earlier.prior, earlier.row_weights
        n_components = earlier.n_components
    k = check_count("n_components", n_components)
    prior = prior_or_default(prior, data, k, covariance_type)
    return _with_k(
        data, family, prior, k, settings, base, row_weights, earlier, continue_from, target_ess
    )


def _with_k(  # noqa: PLR0913  what sample found out
    data: Data,
    family: Family,
    prior: Prior,
    k: int,
    settings: Settings,
    base: np.random.SeedSequence,
    row_weights: np.ndarray | None,
    earlier: Earlier | None,
    idata: Any,
    target_ess: float | None,
) -> Any:
    """Return draws of a mixture of k components, after those of `idata` unless it is None.

    Ctrl-C keeps the batches before.
    """
    given, posterior = idata, None
    for size in batches(settings.draws, target_ess, earlier):
        own, sequence, starts = replace(settings, draws=size), base, None
        if idata is not None:
            earlier = Earlier.of(idata, data, k, family)
            own, sequence, starts = earlier.settings(own), earlier.sequence(base), earlier.starts
        try:
            if posterior is None:
                posterior = sample_posterior(
                    data, family, prior, k, own, sequence, row_weights, starts
                )
            else:
                posterior = more_draws(posterior, own)
        except KeyboardInterrupt:
            if idata is given:  # nothing new to keep
                raise
            idata = interrupted(idata)
            break
        new = to_arviz(posterior, own, sequence)
        idata = new if earlier is None else earlier.followed_by(new)
        if posterior.interrupted or is_enough(idata, target_ess):
            break
    warn_unless_moving(acceptance_rate_of(idata))
    warn_unless_converged(label_free_of(idata), remedy_of(settings.method, row_weights))
    return idata


def _without_k(
    data: Data, family: Family, prior: Prior, settings: Settings, sequence: np.random.SeedSequence
) -> Any:
    """Return draws of the mixture and of its number of components."""
    posterior = sample_telescoping(data, family, prior, settings, sequence)
    idata = to_arviz(posterior, settings, sequence)
    watched = label_free_of(idata)
    warn_unless_converged({name: watched[name] for name in WATCHED_WITHOUT_K}, GIVE_K)
    return idata
