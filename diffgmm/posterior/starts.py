"""Where chains start: overdispersed on purpose, so that R-hat can see what one start would hide."""

from dataclasses import dataclass

import numpy as np

from .._seeding import stream
from ..data import count_distinct_rows
from ..kernels.allocation import ChainState
from ..learn.candidates import COVER_FACTOR, covered
from ..learn.em import run_prior_passes
from ..learn.search import Optimum, search, subsample
from .gibbs import Target, new_state

FIT, PRIOR, REWEIGHTED, OTHER = "fit", "prior draw", "fit to reweighted rows", "other optimum"
CONTINUED = "continued"

# The first four chains; later ones alternate.
FIRST_CHAINS = (FIT, PRIOR, REWEIGHTED, OTHER)
LATER_CHAINS = (PRIOR, REWEIGHTED)

# Passes from the cover of reweighted rows to a start.
PASSES_OF_REWEIGHTED = 20

# A log weight must be finite.
SMALLEST_WEIGHT = 1e-300


@dataclass(frozen=True, eq=False)
class Start:
    """The parameters at which a chain starts, in the user's units.

    kind : one of the constants above.   covariances : K, as the family keeps them.
    C0 : as in `Prior`, or None to take what the covariances suggest.
    """

    kind: str
    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    C0: np.ndarray | None = None


def choose_starts(
    target: Target,
    chains: int,
    sequence: np.random.SeedSequence,
    cores: int,
    *,
    from_prior: bool = False,
) -> list[Start]:
    """Return one start per chain; start i is the same whatever the number of chains.

    Chain 1 starts from the fit, chain 2 from a prior draw, chain 3 from a fit to rows with
    Dirichlet weights (another cover, another optimum perhaps), chain 4 from the best other
    optimum that the first search met, or a prior draw if it met none; then prior draws and
    reweighted fits alternate. A reweighted fit is what one cover leads to. With fewer distinct rows
    than components, or `from_prior`, all are prior draws.
    """
    n_distinct = count_distinct_rows(target.data, target.n_components)
    can_fit = not from_prior and n_distinct >= target.n_components
    others: list[Optimum] = []
    starts = []
    for index in range(chains):
        kind = start_kind(index) if can_fit else PRIOR
        rng = stream(sequence, index, 1)
        if kind == FIT:
            best, others = _fit(target, rng, cores, 1 if chains > 3 else 0)
            starts.append(_from_optimum(kind, best))
        elif kind == REWEIGHTED:
            starts.append(_reweighted(target, rng, cores))
        elif kind == OTHER and others:
            starts.append(_from_optimum(kind, others[0]))
        else:
            starts.append(prior_start(target, rng))
    return starts


def start_kind(index: int) -> str:
    """Return how chain `index` starts, where a fit is possible."""
    later = index - len(FIRST_CHAINS)
    return FIRST_CHAINS[index] if later < 0 else LATER_CHAINS[later % len(LATER_CHAINS)]


def prior_start(target: Target, rng: np.random.Generator) -> Start:
    """Return a draw of the prior."""
    draw = target.prior.draw(target.n_components, 1, rng)
    covariances = draw["covariances"][0] if "covariances" in draw else None
    return Start(
        PRIOR,
        draw["weights"][0],
        draw["means"][0],
        target.covariance_prior.per_component(covariances, target.n_components),
        draw["C0"][0] if "C0" in draw else None,
    )


def _from_optimum(kind: str, optimum: Optimum) -> Start:
    own = optimum.heaviest_first()
    return Start(kind, own.weights, own.means, own.covariances)


def _fit(
    target: Target, rng: np.random.Generator, cores: int, n_others: int
) -> tuple[Optimum, list[Optimum]]:
    own = target.row_weights
    best, others = search(
        target.data,
        target.n_components,
        target.family,
        seed=rng,
        row_weights=None if own is None else own.values,
        cores=cores,
        n_others=n_others,
    )
    if best.interrupted:  # draws need every start
        raise KeyboardInterrupt
    return best, sorted(others, key=lambda other: -other.log_likelihood)


def _reweighted(target: Target, rng: np.random.Generator, cores: int) -> Start:
    """Return where one cover of reweighted rows leads in a few passes; the chain goes on from there."""
    own, k, family, units = target.row_weights, target.n_components, target.family, target.units
    n_rows = target.data.n_rows
    # A row of weight 2 is two rows: the sum of their two exponential shares.
    shares = rng.standard_exponential(n_rows) if own is None else rng.standard_gamma(own.values)
    weights = shares * (target.n_effective / shares.sum())
    problem = subsample(target.data, units, k, family, rng, weights, cores)
    start, _ = covered(problem, k, rng, COVER_FACTOR)
    start = run_prior_passes(problem, start, PASSES_OF_REWEIGHTED)
    order = np.argsort(-start.weights, kind="stable")
    covariances = family.rescale(start.covariances, units.scale)
    return Start(
        REWEIGHTED,
        start.weights[order],
        start.means[order] * units.scale + units.shift,
        covariances[order],
    )


def state_at(target: Target, start: Start) -> ChainState:
    """Return the state of a chain at its start, in the units of the computation."""
    family, units, d = target.family, target.units, target.data.n_features
    state = new_state(target.n_components, d, family)
    state.weights[:] = np.maximum(start.weights, SMALLEST_WEIGHT)
    state.means[:] = (start.means - units.shift) / units.scale
    covariances = family.rescale(start.covariances, 1.0 / units.scale)
    state.factors[:] = family.factors(covariances, d)[0]
    if family.is_free:
        state.scale[:] = _start_scale(target, start, state)
    return state


def _start_scale(target: Target, start: Start, state: ChainState) -> np.ndarray:
    """Return C0: fixed, as drawn, or its mean given the covariances."""
    own = target.covariance_prior
    given = start.C0 if target.prior.C0 is None else target.prior.C0
    if given is None:
        return own.expected_scale(target.kernel_prior, state.factors)
    return own.kernel_scale(given / own.unit(target.units.scale))
