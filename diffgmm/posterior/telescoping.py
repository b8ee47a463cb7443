"""The posterior with an unknown number of components K: chains of the telescoping sampler.

A chain's state has room for `Prior.max_components`. What a draw keeps has room for the largest K
that the chain has drawn so far, and grows when the chain draws a larger one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..covariance import Family
from ..data import Data, count_distinct_rows
from ..kernels import telescoping
from ..kernels.allocation import ChainState
from ..kernels.telescoping import ComponentsPrior, TelescopingDraws, TelescopingState
from . import law_of_k
from .densities import N_ANCHORS, log_densities, points_of, spread_rows, weight_entropy
from .families import CovariancePrior
from .gibbs import Chain, Target, new_state, parameter_shapes
from .priors import Prior
from .runs import Settings, run_posterior

# Components with which chains start and are annealed, as many as the authors take: merging two is a
# matter of sweeps, splitting one a matter of luck. With K drawn at high noise one component is left
# of four in five dimensions, and stays alone for good. At most one for every so many rows.
START_COMPONENTS = 10
ROWS_PER_COMPONENT = 5

# Sweeps from one draw to the next: so many that a step sees about this many rows. K_+ changes
# slowly (on the galaxies 0.003 effective draws a sweep), and sweeps over few rows cost little.
ROWS_PER_STEP = 10_000
MOST_SWEEPS = 40

# Components that draws have room for at first.
FIRST_ROOM = 8


@dataclass(frozen=True, eq=False)
class TelescopingTarget:
    """The posterior that chains sample when K is unknown: see `chain_target.ChainTarget`.

    sweeps : from one draw to the next.   fixed : rows, units and the prior of components.
    """

    prior: Prior
    on_k: ComponentsPrior
    sweeps: int
    fixed: Target

    @classmethod
    def of(cls, data: Data, family: Family, prior: Prior) -> "TelescopingTarget":
        """Return the posterior of a mixture under `prior`."""
        most = max(1, min(START_COMPONENTS, data.n_rows // ROWS_PER_COMPONENT))
        k = min(most, prior.max_components, count_distinct_rows(data, most))
        # The concentration is drawn anew in every sweep.
        fixed = Target.of(data, family, prior.replace(concentration=1.0), k)
        on_k = ComponentsPrior(
            law_of_k.log_probabilities(prior),
            prior.dynamic,
            *(prior.alpha_df if law_of_k.has_alpha(prior) else (0.0, 0.0)),
        )
        sweeps = max(1, min(MOST_SWEEPS, ROWS_PER_STEP // data.n_rows))
        return cls(prior, on_k, sweeps, fixed)

    @property
    def data(self) -> Data:
        """The rows."""
        return self.fixed.data

    @property
    def family(self) -> Family:
        """The covariances' family."""
        return self.fixed.family

    @property
    def covariance_prior(self) -> CovariancePrior:
        """The prior of the family's covariances."""
        return self.fixed.covariance_prior

    @property
    def log_jacobian(self) -> float:
        """What the log density of a row loses on the way to the user's units."""
        return self.fixed.log_jacobian

    def with_room(self, state: ChainState) -> TelescopingState:
        """Return the state of a chain from where it is in `fixed`."""
        k = len(state.weights)
        room = new_state(self.prior.max_components, self.data.n_features, self.family)
        for name in ("weights", "means", "factors"):
            getattr(room, name)[:k] = getattr(state, name)
        room.factors[k:] = state.factors[0]  # known ones are never drawn
        room.scale[:] = state.scale
        alpha = np.array([law_of_k.fixed_alpha(self.prior)])
        return TelescopingState(room, np.array([k]), alpha)

    def new_draws(self, n: int, pointwise: np.ndarray, every: int) -> TelescopingDraws:
        """Return room for n draws."""
        room = min(FIRST_ROOM, self.prior.max_components)
        return TelescopingDraws(
            components=np.empty((n, room, self._n_numbers)),
            scale=np.empty((n, math.prod(self._shapes[2]))),
            alpha=np.empty(n),
            n_components=np.empty(n, dtype=np.int64),
            n_filled=np.empty(n, dtype=np.int64),
            log_likelihood=np.empty(n),
            pointwise=pointwise,
            every=every,
            sweeps=self.sweeps,
        )

    def sweep(
        self,
        state: TelescopingState,
        draws: TelescopingDraws,
        noise: np.ndarray,
        bounds: tuple[int, int],
        rng: np.random.Generator,
    ) -> TelescopingDraws:
        """Run the steps from `bounds[0]` up to `bounds[1]`, return where draws went."""
        begin, end = bounds
        while True:
            begin = telescoping.telescope(
                *(self.fixed.rows, self.fixed.kernel_prior, self.on_k),
                *(state, draws, noise, begin, end, rng),
            )
            if begin >= end:
                return draws
            draws = _with_more_room(draws, int(state.n_components[0]))

    @property
    def _shapes(self) -> tuple[tuple[int, ...], ...]:
        return parameter_shapes(1, self.data.n_features, self.family)

    @property
    def _n_numbers(self) -> int:
        """How many numbers a component has."""
        _, means, _, factors = self._shapes
        return 1 + math.prod(means) + math.prod(factors)

    def split(self, components: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return weights, means and factors from what draws keep (..., R, P)."""
        d = self.data.n_features
        factors = components[..., 1 + d :]
        factors = factors.reshape(*components.shape[:-1], *self._shapes[3][1:])
        return components[..., 0], components[..., 1 : 1 + d], factors


def _with_more_room(draws: TelescopingDraws, needed: int) -> TelescopingDraws:
    n, room, numbers = draws.components.shape
    components = np.full((n, max(needed, 2 * room), numbers), np.nan)
    components[:, :room] = draws.components
    return draws._replace(components=components)


@dataclass(frozen=True, eq=False)
class TelescopingPosterior:
    """Draws of C chains with S draws each, in the user's units; labels as sampled.

    R is the largest K; parameters of components beyond a draw's own K are NaN. Components with rows
    come first.

    n_components, n_filled (C, S); alpha (C, S), or None when fixed; weights (C, S, R); means
    (C, S, R, D); covariances, C0, log_prior, log_lik, log_density_anchor, anchors, pointwise, every,
    starts, interrupted, seconds : as in `sample.PosteriorDraws`.
    """

    target: TelescopingTarget
    n_components: np.ndarray
    n_filled: np.ndarray
    alpha: np.ndarray | None
    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray | None
    C0: np.ndarray | None
    log_prior: dict[str, np.ndarray]
    log_lik: np.ndarray
    log_density_anchor: np.ndarray
    anchors: np.ndarray
    pointwise: np.ndarray | None
    every: int
    starts: list[str]
    interrupted: bool
    seconds: float

    @property
    def acceptance_rate(self) -> None:
        """None: no row has a fractional weight."""

    @property
    def split_merge_rate(self) -> None:
        """None: K changes by other moves."""

    @property
    def jump_rate(self) -> None:
        """None: there are no jumps with K unknown."""

    @property
    def ladder(self) -> None:
        """None: there is no noise ladder with K unknown."""

    @property
    def lp(self) -> np.ndarray:
        """Normalised log prior plus log likelihood (C, S)."""
        return self.log_lik + sum(self.log_prior.values())

    @property
    def weight_entropy(self) -> np.ndarray:
        """Entropy of the weights (C, S), in nats."""
        return weight_entropy(np.where(np.isnan(self.weights), 1.0, self.weights))


def sample_telescoping(
    data: Data,
    family: Family,
    prior: Prior,
    settings: Settings,
    sequence: np.random.SeedSequence,
) -> TelescopingPosterior:
    """Sample the posterior of a mixture and of its number of components.

    Raises
    ------
    KeyboardInterrupt
        When Ctrl-C came before every chain had a draw.
    """
    target = TelescopingTarget.of(data, family, prior)
    run = run_posterior(target, settings, sequence)
    return TelescopingPosterior(
        target=target,
        **_collected(target, run.chains, run.n_draws),
        pointwise=run.pointwise,
        every=run.every,
        starts=run.starts,
        interrupted=run.interrupted,
        seconds=run.seconds,
    )


def _collected(target: TelescopingTarget, chains: Sequence[Chain], n_draws: int) -> dict:
    """Return the first `n_draws` of every chain in the user's units."""
    units, prior, own = target.fixed.units, target.prior, target.covariance_prior
    jacobian = target.log_jacobian

    def stacked(name: str) -> np.ndarray:
        return np.stack([getattr(chain.draws, name)[:n_draws] for chain in chains])

    n_components, alpha = stacked("n_components"), stacked("alpha")
    largest = int(n_components.max())
    weights, means, factors = target.split(_components(chains, n_draws, largest))
    anchors = spread_rows(target.data, units, N_ANCHORS)
    at_anchors = _at_anchors(
        (weights, means, factors), n_components, points_of(target.data, units, anchors)
    )
    covariances = own.covariances_of(_filled_up(factors), units.scale)
    if covariances is not None and own.is_labelled:
        covariances[np.isnan(weights)] = np.nan
    C0 = None
    if own.is_free and prior.C0 is None:
        scales = stacked("scale").reshape(len(chains), n_draws, *target._shapes[2])
        C0 = own.scale_of(scales, units.scale)
    means = means * units.scale + units.shift
    drawn = alpha if law_of_k.has_alpha(prior) else None
    return {
        "n_components": n_components,
        "n_filled": stacked("n_filled"),
        "alpha": drawn,
        "weights": weights,
        "means": means,
        "covariances": covariances,
        "C0": C0,
        "log_prior": prior.log_prior(
            weights, means, covariances, C0, n_components=n_components, alpha=drawn
        ),
        "log_lik": stacked("log_likelihood") - target.data.n_rows * jacobian,
        "log_density_anchor": at_anchors - jacobian,
        "anchors": anchors,
    }


def _components(chains: Sequence[Chain], n_draws: int, largest: int) -> np.ndarray:
    """Return what draws keep of components, (C, S, R, P), whatever room each chain has."""
    first = chains[0].draws.components
    out = np.full((len(chains), n_draws, largest, first.shape[2]), np.nan)
    for own, chain in zip(out, chains, strict=True):
        kept = chain.draws.components[:n_draws, :largest]
        own[:, : kept.shape[1]] = kept
    return out


def _filled_up(factors: np.ndarray) -> np.ndarray:
    """Return factors with those of the first component in the place of NaN."""
    return np.where(np.isnan(factors), factors[:, :, :1], factors)


def _at_anchors(
    parameters: tuple[np.ndarray, np.ndarray, np.ndarray], k: np.ndarray, points: np.ndarray
) -> np.ndarray:
    """Return log densities (C, S, A): draws are taken together by their K."""
    out = np.empty((*k.shape, len(points)))
    for own in np.unique(k):
        chosen = k == own
        weights, means, factors = (array[chosen][:, :own] for array in parameters)
        out[chosen] = log_densities(weights, means, factors, points)
    return out
