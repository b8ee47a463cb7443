"""`sample`: NUTS with a learned global proposal, for models whose posterior has several modes."""

import warnings
from typing import Any

import numpy as np
import pymc as pm

from .._seeding import Seed, seed_sequence
from ..arguments import check_count
from ..errors import ConvergenceWarning, InvalidParameterError
from ..progress import Progress
from ..report.relabel import relabel
from .labels import names_in_posterior
from .learning import Learned, learn, nuts_step
from .mixture_step import MixtureProposalStep
from .target import Target

FEWEST_STARTS = 64

# Below this share of accepted proposals, chains seldom change modes.
LOW_ACCEPTANCE = 0.02


def sample(  # noqa: PLR0913  the interface of pm.sample
    model: Any = None,
    *,
    draws: int = 1000,
    tune: int = 500,
    chains: int = 4,
    cores: int | None = None,
    random_seed: Seed = None,
    progressbar: bool = True,
    var_names: Any = None,
    initvals: Any = None,
    n_starts: int = FEWEST_STARTS,
    target_accept: float = 0.8,
    **kwargs: Any,
) -> Any:
    """Draw from the posterior of any continuous PyMC model, all of its modes included.

    Modes are looked for from a cover of starts; short NUTS chains learn their shapes, importance
    draws their shares. The mixture of Gaussians and t distributions so learned is frozen. Then
    every chain alternates a NUTS trajectory with a proposal from the mixture that is accepted by
    Metropolis and Hastings: the posterior stays invariant whatever the mixture is.

    Parameters
    ----------
    model : pymc.Model, optional
        The one on the context stack by default.
    draws, tune, chains, cores, progressbar, var_names, initvals
        As in `pm.sample`. `tune` sets the step size only: the metric comes from the mixture.
        Bars of the cover, the modes and the mixture come first, on a terminal.
        `initvals` is one dict, where the cover starts.
    random_seed : int, sequence of int, Generator or None
    n_starts : int, default 64
        Size of the cover, at least 64.
    target_accept : float, default 0.8
        Of NUTS.
    **kwargs
        Passed on to `pm.sample`.

    Returns
    -------
    arviz.InferenceData or xarray.DataTree
        As from `pm.sample`; `sample_stats` has proposal_acceptance and proposal_accepted besides,
        and the attributes of `posterior` say what was learned. Where the model contains one mixture
        and its prior does not tell components apart, labels are aligned (`diffgmm.relabel`).

    Raises
    ------
    InvalidParameterError
        When the model has discrete variables or none at all, or no density at the proposal's draws.
    KeyboardInterrupt
        By Ctrl-C before there are draws. Later, the draws so far are returned, as by `pm.sample`.

    Warns
    -----
    ConvergenceWarning
        When proposals are hardly ever accepted, so that chains stay where they start.

    Notes
    -----
    No cover is sure to find every mode: what none of the starts leads to is not visited.

    References
    ----------
    Tierney (1994), doi:10.1214/aos/1176325750, section 2.4; Andrieu, Thoms (2008),
    doi:10.1007/s11222-008-9110-y, on proposals learned from chains.
    """
    model = pm.modelcontext(model)
    draws, chains = check_count("draws", draws), check_count("chains", chains)
    if check_count("n_starts", n_starts) < FEWEST_STARTS:
        raise InvalidParameterError(f"n_starts must be at least {FEWEST_STARTS}, got {n_starts}.")
    rng = np.random.default_rng(seed_sequence(random_seed))
    target = Target(model, initvals)
    with model:
        nuts: dict[str, Any] = {"target_accept": target_accept}
        with Progress(bool(progressbar)) as progress:
            learned = learn(target, n_starts, rng, nuts, progress)
        _warn_if_useless(learned)
        steps = [
            MixtureProposalStep(
                model.value_vars,
                target=target,
                proposal=learned.proposal,
                starts=learned.starts,
                labels=learned.labels,
            ),
            nuts_step(target, learned.proposal.pooled_covariance, rng, nuts),
        ]
        idata = pm.sample(
            draws,
            tune=tune,
            chains=chains,
            cores=cores,
            step=steps,
            nuts_sampler="pymc",
            initvals=initvals,
            random_seed=int(rng.integers(2**31)),
            progressbar=progressbar,
            var_names=var_names,
            # Raw labels would make them warn of nothing.
            **{"compute_convergence_checks": learned.labels is None, **kwargs},
        )
    if learned.labels is not None:
        idata = _aligned(model, idata)
    idata["posterior"].attrs.update(
        {
            "sampler": "NUTS with a mixture as independence proposal",
            "n_starts": n_starts,
            "n_modes": learned.n_modes,
            "n_components": learned.proposal.mixture.n_components,
            "expected_proposal_acceptance": learned.acceptance,
        }
    )
    return idata


def _warn_if_useless(learned: Learned) -> None:
    if learned.acceptance < LOW_ACCEPTANCE:
        warnings.warn(
            f"The learned proposal would be accepted in {learned.acceptance:.1%} of cases, so "
            f"chains will seldom change between the {learned.n_modes} modes that were found: "
            "their weights are not reliable. Reparametrise the model, or compare more chains.",
            ConvergenceWarning,
            stacklevel=3,
        )


def _aligned(model: Any, idata: Any) -> Any:
    names = names_in_posterior(model, idata)
    if names is None:
        return idata
    return relabel(idata, **names)
