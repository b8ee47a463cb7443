"""What warm-up learns: the modes, their shapes and their shares, as one proposal."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
from pymc.step_methods.hmc.quadpotential import QuadPotentialFull

from ..errors import ConvergenceWarning, InvalidParameterError
from ..learn.fit import fit
from ..mixture import GaussianMixture
from ..progress import Progress
from .cover import Mode, find_modes, starts_of
from .labels import Labels, labels_of
from .proposal import Proposal
from .target import Target

# Local draws per mode: steps for the step size, then draws, at least so many and so many per dimension.
LOCAL_TUNE, LOCAL_DRAWS, DRAWS_PER_DIMENSION = 60, 150, 15

# Components of the fitted proposal have at least so many draws per dimension each, and there are at
# most so many more of them than modes.
ROWS_PER_COMPONENT = 8
MORE_COMPONENTS = 8

# Importance draws from the proposal in each round, and rounds of reweighting.
IMPORTANCE_DRAWS, WEIGHT_ROUNDS = 1_000, 3

# The proposal is learned again, from chains started anew, while it accepts less than this.
ENOUGH_ACCEPTANCE, ROUNDS = 0.25, 3

SMALLEST_SHARE = 1e-4


@dataclass(frozen=True, eq=False)
class Learned:
    """A frozen proposal, points distributed about as the target, and what was found on the way.

    acceptance : expected share of proposals that are accepted.
    ess_share : effective share of the importance draws.
    """

    proposal: Proposal
    starts: np.ndarray
    labels: Labels | None
    n_modes: int
    acceptance: float
    ess_share: float


def learn(
    target: Target, n_starts: int, rng: np.random.Generator, nuts: dict, progress: Progress
) -> Learned:
    """Return what is learned of a target from a cover of `n_starts` starts.

    Raises KeyboardInterrupt, with one line, by Ctrl-C.
    """
    try:
        return _learn(target, n_starts, rng, nuts, progress)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            "interrupted while the global proposal was learned: there are no draws yet."
        ) from None


def _learn(
    target: Target, n_starts: int, rng: np.random.Generator, nuts: dict, progress: Progress
) -> Learned:
    labels = labels_of(target, rng)
    canonical = (lambda x: x) if labels is None else labels.canonical
    starts = starts_of(target, n_starts, rng)
    modes = find_modes(target, starts, canonical, progress.bars(["Cover"], len(starts)))
    # Exact where modes are Gaussians, and in many dimensions better than what few draws say.
    best = _tried(target, _laplace(modes), labels, len(modes), rng)
    on_mode, local = progress.bars(["Modes"], len(modes)), []
    for index, mode in enumerate(modes):
        local.append(_local_draws(target, mode, rng, nuts))
        on_mode(0, index + 1)
    draws = np.array([canonical(x) for x in np.concatenate(local)])
    on_round = progress.levels("Mixture")
    for index in range(ROUNDS):
        found = _tried(target, _fit(draws, modes, rng), labels, len(modes), rng)
        best = found if found.acceptance > best.acceptance else best
        if best.acceptance >= ENOUGH_ACCEPTANCE:
            on_round(index, index + 1)
            break
        on_round(index, ROUNDS)
        draws = _more_draws(target, best, draws, rng, nuts, canonical)
    return best


def _tried(
    target: Target,
    mixture: GaussianMixture,
    labels: Labels | None,
    n_modes: int,
    rng: np.random.Generator,
) -> Learned:
    """Return a mixture with the target's shares of its components, and how good a proposal it is."""
    proposal = _weighted(target, mixture, labels, rng)
    points, log_ratios = _importance(target, proposal, labels, rng)
    shares = _normalised(log_ratios)
    return Learned(
        proposal,
        points[rng.choice(len(points), size=len(points), p=shares)],
        labels,
        n_modes,
        _acceptance(log_ratios, shares, rng),
        1.0 / (len(shares) * np.square(shares).sum()),
    )


def _more_draws(target, best, draws, rng, nuts, canonical):
    """Return draws of short chains from points that importance weights like, and the old ones."""
    metric = best.proposal.pooled_covariance
    new = []
    for start in best.starts[:8]:
        mode = Mode(start, 0.0, metric)
        new.append(_local_draws(target, mode, rng, nuts))
    return np.array([canonical(x) for x in np.concatenate([draws, *new])])


def _local_draws(
    target: Target, mode: Mode, rng: np.random.Generator, nuts: dict[str, Any]
) -> np.ndarray:
    """Return draws of a NUTS chain that starts at a mode, with the mode's covariance as metric."""
    step = nuts_step(target, mode.covariance, rng, nuts)
    n = max(LOCAL_DRAWS, DRAWS_PER_DIMENSION * target.n_dims)
    point, out = target.points.point(mode.x), np.empty((n, target.n_dims))
    for i in range(-LOCAL_TUNE, n):
        if i == 0:
            step.stop_tuning()
        point, _ = step.step(point)
        if i >= 0:
            out[i] = target.points.flat(point)
    return out


def nuts_step(
    target: Target, covariance: np.ndarray, rng: np.random.Generator, nuts: dict[str, Any]
) -> Any:
    """Return PyMC's NUTS with a fixed metric and the target's compiled function."""
    potential = QuadPotentialFull(covariance, rng=rng.spawn(1)[0])
    step = pm.NUTS(
        target.model.value_vars,
        model=target.model,
        potential=potential,
        logp_dlogp_func=target.logp_dlogp,
        initial_point=target.points.point(target.start),
        rng=rng.spawn(1)[0],
        **nuts,
    )
    return step


def _fit(draws: np.ndarray, modes: list[Mode], rng: np.random.Generator) -> GaussianMixture:
    """Return a mixture fitted to draws; the Laplace approximations where draws are too few."""
    most = len(draws) // (ROWS_PER_COMPONENT * draws.shape[1])
    if most < len(modes):
        return _laplace(modes)
    numbers = range(len(modes), min(most, len(modes) + MORE_COMPONENTS) + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # any proposal is exact
        found = fit(draws, numbers, random_seed=rng, progressbar=False, cores=1)
    if found.trace.interrupted:  # Ctrl-C is for all of what is learned
        raise KeyboardInterrupt
    return found.mixture


def _laplace(modes: list[Mode]) -> GaussianMixture:
    evidence = np.array([mode.log_evidence for mode in modes])
    weights = np.maximum(np.exp(evidence - evidence.max()), SMALLEST_SHARE)
    return GaussianMixture(
        weights / weights.sum(),
        np.array([mode.x for mode in modes]),
        np.array([0.5 * (mode.covariance + mode.covariance.T) for mode in modes]),
    )


def _importance(
    target: Target, proposal: Proposal, labels: Labels | None, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return draws of the proposal and log target / proposal; -inf where components are unordered."""
    points = proposal.draw(IMPORTANCE_DRAWS, rng)
    log_target = np.array(
        [target(x)[0] if labels is None or labels.is_canonical(x) else -np.inf for x in points]
    )
    return points, log_target - proposal.log_density(points)


def _normalised(log_ratios: np.ndarray) -> np.ndarray:
    """Return importance weights that sum to 1; -inf has none, NaN is refused."""
    largest = log_ratios.max()
    if not np.isfinite(largest):
        raise InvalidParameterError(
            "The global proposal cannot be weighed: log densities of the model at its draws must be "
            f"finite for some of them and never NaN, but the largest ratio is {largest}. Look at "
            "model.debug(), reparametrise the model, or use pm.sample."
        )
    shares = np.exp(log_ratios - largest)
    return shares / shares.sum()


def _weighted(
    target: Target, mixture: GaussianMixture, labels: Labels | None, rng: np.random.Generator
) -> Proposal:
    """Return the proposal whose components have the shares of the target, by importance draws."""
    proposal = Proposal(mixture)
    for _ in range(WEIGHT_ROUNDS if mixture.n_components > 1 else 0):
        points, log_ratios = _importance(target, proposal, labels, rng)
        # One draw that weighs all must not take a component's share away.
        limit = np.log(IMPORTANCE_DRAWS) / 2.0 + np.logaddexp.reduce(log_ratios)
        limit -= np.log(IMPORTANCE_DRAWS)
        shares = _normalised(np.minimum(log_ratios, limit))
        weights = np.maximum(shares @ proposal.responsibilities(points), SMALLEST_SHARE)
        proposal = proposal.with_weights(weights / weights.sum())
    return proposal


def _acceptance(log_ratios: np.ndarray, shares: np.ndarray, rng: np.random.Generator) -> float:
    """Return the expected acceptance: x about as the target, y as the proposal."""
    at = rng.choice(len(shares), size=len(shares), p=shares)
    return float(np.mean(np.exp(np.minimum(log_ratios - log_ratios[at], 0.0))))
