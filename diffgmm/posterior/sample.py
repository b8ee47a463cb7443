"""Rows and a prior in, aligned draws of the parameters out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..covariance import Family
from ..data import Data
from .densities import N_ANCHORS, log_densities, points_of, spread_rows, weight_entropy
from .gibbs import Chain, Target, parameter_shapes, split
from .labels import alignment
from .ladder import LadderReport
from .moves import with_moves
from .priors import Prior
from .runs import PosteriorRun, Settings, go_on, run_posterior
from .starts import Start
from .warm_up import ANNEALED_SHARE, COMPARED_SHARE

# A kernel's block: more would cost as much as twice as many.
N_REFERENCE_ROWS = 128


@dataclass(frozen=True, eq=False)
class PosteriorDraws:
    """Draws of C chains with S draws each, in the user's units.

    weights (C, S, K); means (C, S, K, D).
    covariances : (C, S, K, D, D), tied (C, S, D, D), diag (C, S, K, D), spherical (C, S, K), or None
    when known.   C0 : (C, S, D, D), diag (C, S, D), spherical (C, S), or None when fixed.
    log_prior : each parameter's normalised log prior density (C, S).
    log_lik : (C, S), allocations summed out.   lp : (C, S), log_lik plus all of log_prior.
    n_filled : (C, S), components with a row in that draw's allocation.
    weight_entropy : (C, S).   log_density_anchor : (C, S, A) at the rows `anchors` (A,).
    pointwise : weighted log density of each row (C, S', N) at draws 0, every, 2 every, ..., or None.
    acceptance_rate : (C, S) after each draw, of the component that is least likely to move; None when
    there is nothing to reject.
    split_merge_rate : (C, S) probability with which the move after each draw was taken, NaN after most;
    None when there are no moves.   jump_rate : (C, S) share of the jumps proposed after each draw that was
    taken, NaN where there were none; None without any.
    starts : where each chain started, and whether its rival took over.
    aligned : whether labels were.   interrupted : whether Ctrl-C ended the run early.
    seconds : of all sweeps, warm-up included, starts and compilation apart.
    ladder : what the noise ladder says about itself, None without one.
    run : the chains themselves, to go on with.
    """

    target: Target
    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray | None
    C0: np.ndarray | None
    log_prior: dict[str, np.ndarray]
    log_lik: np.ndarray
    n_filled: np.ndarray
    log_density_anchor: np.ndarray
    anchors: np.ndarray
    pointwise: np.ndarray | None
    acceptance_rate: np.ndarray | None
    split_merge_rate: np.ndarray | None
    jump_rate: np.ndarray | None
    every: int
    starts: list[str]
    aligned: bool
    interrupted: bool
    seconds: float
    ladder: LadderReport | None = None
    run: PosteriorRun | None = None

    @property
    def lp(self) -> np.ndarray:
        """Normalised log prior plus log likelihood (C, S)."""
        return self.log_lik + sum(self.log_prior.values())

    @property
    def weight_entropy(self) -> np.ndarray:
        """Entropy of the weights (C, S), in nats."""
        return weight_entropy(self.weights)


def sample_posterior(
    data: Data,
    family: Family,
    prior: Prior,
    n_components: int,
    settings: Settings,
    sequence: np.random.SeedSequence,
    row_weights: np.ndarray | None = None,
    starts: list[Start] | None = None,
) -> PosteriorDraws:
    """Sample the posterior of a mixture; labels are aligned over all chains.

    With weights (N,) of the rows the target is sum_i w_i log p(x_i | theta) plus the log prior.
    Chains begin at `starts`, one each, or where `choose_starts` says.

    Raises
    ------
    KeyboardInterrupt
        When Ctrl-C came before every chain had a draw.
    """
    target = Target.of(data, family, prior, n_components, row_weights)
    target = with_early_moves(target, settings, starts)
    return _draws_of(run_posterior(target, settings, sequence, starts))


def with_early_moves(target: Target, settings: Settings, starts: list[Start] | None) -> Target:
    """Return a target that has moves whatever the warm-up says, where the settings ask for them.

    Of themselves they do where all chains start at draws of the prior; `starts` that are handed over
    may be anything.
    """
    from_prior = settings.init == "prior" and starts is None
    if settings.method != "gibbs" or not (from_prior or settings.moves):
        return target
    return with_moves(target, int((1.0 - ANNEALED_SHARE - COMPARED_SHARE) * settings.tune))


def more_draws(posterior: PosteriorDraws, settings: Settings) -> PosteriorDraws:
    """Return `settings.draws` more draws of the same chains, moves and steps included."""
    assert posterior.run is not None
    return _draws_of(go_on(posterior.run, settings))


def _draws_of(run: PosteriorRun) -> PosteriorDraws:
    """Return what the chains of a run drew, aligned and in the user's units."""
    target = run.target.fixed
    pointwise = run.pointwise
    if pointwise is not None and target.row_weights is not None:
        pointwise -= target.log_jacobian * (target.row_weights.values - 1.0)
    return replace(
        _collect(target, run.chains, run.n_draws),
        pointwise=pointwise,
        every=run.every,
        starts=run.starts,
        interrupted=run.interrupted,
        seconds=run.seconds,
        ladder=run.ladder,
        run=run,
    )


def _collect(target: Target, chains: Sequence[Chain], n_draws: int) -> PosteriorDraws:
    """Return the first `n_draws` of every chain, aligned and in the user's units."""
    jacobian = target.log_jacobian
    units, prior = target.units, target.prior
    everything = np.stack([chain.draws.parameters[:n_draws] for chain in chains])
    shapes = parameter_shapes(target.n_components, target.data.n_features, target.family)
    weights, means, scales, factors = split(everything, shapes)
    acceptance = np.stack([chain.draws.acceptance[:n_draws] for chain in chains])
    taken = np.stack([chain.draws.jumps[:n_draws] for chain in chains])
    log_lik = np.stack([chain.draws.log_likelihood[:n_draws] for chain in chains])
    log_lik -= target.n_effective * jacobian

    anchors = spread_rows(target.data, units, N_ANCHORS)
    flat_weights, flat_means, flat_factors = (
        array.reshape(-1, *array.shape[2:]) for array in (weights, means, factors)
    )
    at_anchors = log_densities(
        flat_weights, flat_means, flat_factors, points_of(target.data, units, anchors)
    )
    at_anchors -= jacobian

    own = target.covariance_prior
    covariances = own.covariances_of(factors, units.scale)
    C0 = own.scale_of(scales, units.scale) if own.is_free and prior.C0 is None else None
    means = means * units.scale + units.shift
    log_prior = prior.log_prior(weights, means, covariances, C0)
    if prior.is_exchangeable:
        rows = spread_rows(target.data, units, N_REFERENCE_ROWS)
        points = points_of(target.data, units, rows)
        lp = log_lik + sum(log_prior.values())
        order = alignment(
            prior, flat_weights, flat_means, flat_factors, points=points, lp=lp.ravel()
        )
        order = order.reshape(weights.shape)
        weights, means = permute(weights, order), permute(means, order)
        if covariances is not None and own.is_labelled:
            covariances = permute(covariances, order)
    return PosteriorDraws(
        target=target,
        weights=weights,
        means=means,
        covariances=covariances,
        C0=C0,
        log_prior=log_prior,
        log_lik=log_lik,
        n_filled=np.stack([chain.draws.n_filled[:n_draws] for chain in chains]),
        log_density_anchor=at_anchors.reshape(*weights.shape[:2], -1),
        anchors=anchors,
        pointwise=None,
        acceptance_rate=acceptance if target.is_corrected else None,
        split_merge_rate=acceptance if target.moves else None,
        jump_rate=taken if np.isfinite(taken).any() else None,
        every=1,
        starts=[],
        aligned=prior.is_exchangeable,
        interrupted=False,
        seconds=0.0,
    )


def permute(array: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return array (C, S, K, ...) with the components of each draw in `order` (C, S, K)."""
    index = order.reshape(*order.shape, *[1] * (array.ndim - 3))
    return np.take_along_axis(array, index, axis=2)
