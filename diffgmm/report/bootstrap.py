"""`sample(method="bootstrap")`: one refit per draw, in place of a posterior under a prior."""

from typing import Any

from .._seeding import Seed, child_sequence, seed_sequence
from ..arguments import check_count
from ..errors import InvalidParameterError
from ..learn.fit import fit
from ..learn.resampling import Bootstrap
from .fit_draws import refits_to_arviz
from .relabel import relabel


def sample_bootstrap(  # noqa: PLR0913  the arguments of sample
    X: Any,
    n_components: int | None,
    *,
    draws: int,
    chains: int,
    bootstrap: Bootstrap,
    prior: Any,
    covariance_type: str,
    sample_weight: Any,
    random_seed: Seed,
    cores: int | None,
    progressbar: bool,
) -> Any:
    """Return refits to bootstrap data sets, (chain, draw), with aligned labels.

    The arguments are those of `diffgmm.sample`. Every refit starts from the fit to all rows, so that
    draws show the uncertainty around that optimum and not that of the search for it.

    Raises
    ------
    InvalidDataError, InvalidParameterError
        One line: the rule, what was given, the remedy.
    """
    if n_components is None:
        raise InvalidParameterError(
            "n_components must be given with method='bootstrap': a number that the fit chose would "
            "hide its own uncertainty."
        )
    if prior is not None:
        raise InvalidParameterError(
            "prior has no part in method='bootstrap', whose draws are maximum likelihood refits. "
            "Leave it out, or use method='gibbs'."
        )
    draws, chains = check_count("draws", draws), check_count("chains", chains)
    sequence = seed_sequence(random_seed)
    shared: dict[str, Any] = {"sample_weight": sample_weight, "cores": cores}
    shared["progressbar"] = progressbar
    found = fit(
        X,
        check_count("n_components", n_components),
        covariance_type=covariance_type,
        random_seed=child_sequence(sequence, 0),
        **shared,
    )
    if found.trace.interrupted:  # refits would start from anywhere
        raise KeyboardInterrupt
    idata = refits_to_arviz(
        found,
        X,
        draws=draws,
        bootstrap=bootstrap,
        chains=chains,
        random_seed=child_sequence(sequence, 1),
        **shared,
    )
    return relabel(idata)
