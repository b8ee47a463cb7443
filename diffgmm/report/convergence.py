"""Whether chains agree, judged by quantities that do not depend on labels."""

import warnings
from collections.abc import Mapping

import numpy as np

from ..errors import ConvergenceWarning
from .inference_data import rhat_and_ess

# Vehtari, Gelman, Simpson, Carpenter, Bürkner (2021), doi:10.1214/20-BA1221.
LARGEST_RHAT = 1.01
SMALLEST_ESS_PER_CHAIN = 100

# Fewer accepted moves than this make draws scarce, whatever else holds.
SMALLEST_ACCEPTANCE = 0.1

# Chance alone makes R-hats of 1.03 out of the smallest effective sample size that is accepted.
DISAGREEMENT = 1.05

# What else to do about chains in different modes. The noise ladder takes neither row weights nor an
# unknown K; a chain of it that makes no round trip keeps the modes that its particles found.
USE_LADDER = "raise tune and draws, or use method='diffusion'"
MORE_SWEEPS = "raise tune and draws"
GIVE_K = "raise tune and draws, or give n_components"
LEAVE_LADDER = (
    "with few round_trips raise tune and draws, or use method='gibbs', whose chains start at fits"
)

# What sample_stats have that does not depend on labels.
LABEL_FREE = ("lp", "log_lik", "n_filled", "weight_entropy", "log_density_anchor")

# Relative to its size, what changes less than this changes by rounding alone.
ROUNDING = 1e-12


def varying(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays (C, S, ...) that changed: what never did has no R-hat and no ESS.

    So does the number of filled components in easy data, and the weights' entropy of one component.
    """
    return {
        name: array
        for name, array in arrays.items()
        if np.all(np.ptp(array, axis=(0, 1)) > ROUNDING * max(1.0, float(np.abs(array).max())))
    }


def warn_unless_moving(acceptance_rate: np.ndarray | None) -> None:
    """Warn when few of the moves under fractional row weights, rates (C, S), are accepted."""
    if acceptance_rate is None or acceptance_rate.mean() >= SMALLEST_ACCEPTANCE:
        return
    warnings.warn(
        f"Fractional weights of rows let only {acceptance_rate.mean():.1%} of moves be accepted. "
        "Raise draws, round the weights to integers, or use fewer components.",
        ConvergenceWarning,
        stacklevel=4,
    )


def remedy_of(method: str, row_weights: np.ndarray | None) -> str:
    """Return what else to do about chains in different modes, with K given."""
    if method == "diffusion":
        return LEAVE_LADDER
    return USE_LADDER if row_weights is None else MORE_SWEEPS


def warn_unless_converged(
    arrays: Mapping[str, np.ndarray], remedy: str = USE_LADDER, stacklevel: int = 4
) -> None:
    """Warn when chains disagree or their draws are too alike.

    Parameters
    ----------
    arrays : dict of ndarray, shape (C, S, ...)
        Label-free quantities: parameters of a mixture may have R-hats of 2 for no other reason
        than their numbering.
    remedy : str
        What else to do about chains in different modes.
    stacklevel : int
    """
    n_chains, n_draws = next(iter(arrays.values())).shape[:2]
    if n_draws < SMALLEST_ESS_PER_CHAIN:
        message = (
            f"{n_draws} draws per chain are too few to judge convergence. Use draws=100 or more."
        )
        warnings.warn(message, ConvergenceWarning, stacklevel=stacklevel)
        return
    results = rhat_and_ess(varying(arrays))
    rhat = {name: float(np.max(result)) for name, (result, _) in results.items()}
    ess = {name: float(np.min(result)) for name, (_, result) in results.items()}
    worst = max(rhat, key=rhat.__getitem__, default="")
    if n_chains > 1 and worst and not rhat[worst] <= LARGEST_RHAT:
        message = f"R-hat of {worst} is {rhat[worst]:.3f}, above {LARGEST_RHAT}: "
        if rhat[worst] > DISAGREEMENT:
            message += (
                "chains are in different modes or have not mixed. Look at sample_stats by chain, "
                f"{remedy}."
            )
        else:
            message += "there are too few draws to tell that chains agree. Raise draws."
        warnings.warn(message, ConvergenceWarning, stacklevel=stacklevel)
        return  # an effective sample size then says the same once more
    least = min(ess, key=ess.__getitem__, default="")
    if least and not ess[least] >= SMALLEST_ESS_PER_CHAIN * n_chains:
        message = (
            f"The effective sample size of {least} is {ess[least]:.0f}, below "
            f"{SMALLEST_ESS_PER_CHAIN} per chain. Raise draws."
        )
        warnings.warn(message, ConvergenceWarning, stacklevel=stacklevel)
