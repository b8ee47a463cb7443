"""Sequential Monte Carlo down the noise: particles from the prior to the posterior, and the evidence.

Del Moral, Doucet, Jasra (2006), doi:10.1111/j.1467-9868.2006.00553.x, with the noise level in the
place of a temperature: at level s the rows' likelihood is that of the mixture with covariances
Sigma + s^2 I. Particles are weighted by the ratio of two levels' likelihoods, resampled, and moved
by Gibbs sweeps at the new level, each a draw of the reverse kernel and a conjugate update. The mean
weights multiply to an estimate of the evidence, without bias when the levels are fixed beforehand.
"""

import math
from dataclasses import dataclass

import numpy as np

from ..kernels import ladder
from .gibbs import Target, new_state
from .laws import log_dirichlet
from .starts import SMALLEST_WEIGHT, prior_start, state_at

# A step down the noise goes as far as this share of the particles stays effective: a distance
# (see `distance_of`) of 0.83, at which half of all exchanges of two such levels would be accepted.
EFFECTIVE_SHARE = 0.5

# How far, as a share of its square, a step's distance may be from the wanted one.
STEP_TOLERANCE = 0.3
MOST_TRIALS = 12

# Where the search for the first level starts, in standard deviations of the data times
# sqrt(n): the rows say little there about the mean of all of them. It doubles while they say much.
FIRST_NOISE = 4.0

# A trial step of this much in log noise also asks whether the noise can end at once.
LONG_STEP = 0.25

# Names the stream of the particles that place the levels; chains and runs are numbered from 0.
PLACING_STREAM = 2**32 - 2

# Added concentration above rung 1: at most this, and at most so many rows of each component.
MOST_EXTRA = 20.0
EXTRA_SHARE = 0.05


def added_concentration(target: Target) -> float:
    """Return the concentration that rungs with noise add to the prior's."""
    return min(MOST_EXTRA, EXTRA_SHARE * target.data.n_rows / target.n_components)


def distance_of(log_weights: np.ndarray) -> float:
    """Return the distance of two levels, the standard deviation of a normal log weight.

    Then a share exp(-distance^2) of the particles stays effective, and an exchange is accepted with
    probability 2 Phi(-distance / sqrt(2)). It adds up over steps, as a length does.
    """
    weights = np.exp(log_weights - log_weights.max())
    effective = weights.sum() ** 2 / np.square(weights).sum()
    return math.sqrt(max(-math.log(effective / len(weights)), 0.0))


@dataclass(frozen=True, eq=False)
class Passage:
    """What is left of one run of particles.

    levels : (T,), falling to 0.   distances : (T,), each from the level before, the prior at first.
    states : (T, P), parameters of one particle at each level.   particles : (M, P), at level 0.
    log_evidence : estimate, in the user's units.
    """

    levels: np.ndarray
    distances: np.ndarray
    states: np.ndarray
    particles: np.ndarray
    log_evidence: float


class Particles:
    """M particles on their way from the prior to the posterior; one batch of work is one level.

    target : Target.   n_particles, n_sweeps : how many, and their sweeps at each level.
    levels : (T,) to pass, or None to choose them on the way.
    """

    def __init__(
        self,
        target: Target,
        n_particles: int,
        n_sweeps: int,
        rng: np.random.Generator,
        levels: np.ndarray | None = None,
    ) -> None:
        self.target, self.n_sweeps_each, self.rng, self._given = target, n_sweeps, rng, levels
        self.extra = added_concentration(target)
        self._state = new_state(target.n_components, target.data.n_features, target.family)
        starts = (prior_start(target, rng) for _ in range(n_particles))
        self._particles = np.stack([state_at(target, start).everything for start in starts])
        k = target.n_components
        concentration = target.kernel_prior.concentration + self.extra
        weights = rng.standard_gamma(np.tile(concentration, (n_particles, 1)))
        weights = np.maximum(weights / weights.sum(axis=1, keepdims=True), SMALLEST_WEIGHT)
        self._particles[:, :k] = weights
        # At infinite noise the rows say nothing, and only the concentration differs.
        self._log_density = log_dirichlet(weights, concentration)
        self._log_density -= log_dirichlet(weights, target.kernel_prior.concentration)
        self._levels: list[float] = []
        self._distances: list[float] = []
        self._states: list[np.ndarray] = []
        self._log_evidence = -target.data.n_rows * target.log_jacobian
        self._step = 0.5

    @property
    def is_done(self) -> bool:
        """Whether level 0 is passed."""
        return bool(self._levels) and self._levels[-1] == 0.0

    @property
    def n_sweeps(self) -> int:
        """Levels so far."""
        return len(self._levels)

    def compile(self) -> None:
        """Compile what `run_batch` calls."""
        nothing = self._particles[:0]
        rows, prior = self.target.rows, self.target.kernel_prior
        ladder.log_densities(rows, prior, self._state, nothing, 1.0, self.extra, np.empty(0))
        ladder.move(rows, prior, self._state, nothing, 1.0, self.extra, 1, self.rng)

    def run_batch(self) -> None:
        """Pass one level."""
        if self._given is None:
            level, log_density = self._next_level()
        else:
            level = float(self._given[len(self._levels)])
            log_density = self._log_densities(level)
        log_weights = log_density - self._log_density
        top = log_weights.max()
        weights = np.exp(log_weights - top)
        self._log_evidence += float(top + math.log(weights.mean()))
        self._particles = self._particles[systematic(weights / weights.sum(), self.rng)]
        ladder.move(
            self.target.rows,
            self.target.kernel_prior,
            self._state,
            self._particles,
            level,
            self.extra,
            self.n_sweeps_each,
            self.rng,
        )
        self._log_density = self._log_densities(level)
        self._levels.append(level)
        self._distances.append(distance_of(log_weights))
        self._states.append(self._particles[self.rng.integers(len(weights))].copy())

    def passage(self) -> Passage:
        """Return what is left at the end."""
        return Passage(
            np.array(self._levels),
            np.array(self._distances),
            np.stack(self._states),
            self._particles,
            self._log_evidence,
        )

    def _log_densities(self, level: float) -> np.ndarray:
        out = np.empty(len(self._particles))
        rows, prior = self.target.rows, self.target.kernel_prior
        ladder.log_densities(rows, prior, self._state, self._particles, level, self.extra, out)
        return out

    def _highest(self) -> float:
        """Return a level at which the weights of prior draws hardly differ."""
        level = float(self.target.noise_levels(1)[0]) * FIRST_NOISE
        level *= math.sqrt(self.target.data.n_rows)
        while distance_of(self._log_densities(level) - self._log_density) ** 2 > -math.log(
            EFFECTIVE_SHARE
        ):
            level *= 2.0
        return level

    def _next_level(self) -> tuple[float, np.ndarray]:
        """Return the level that keeps `EFFECTIVE_SHARE` of the particles, and their likelihoods."""
        wanted = -math.log(EFFECTIVE_SHARE)
        before = self._levels[-1] if self._levels else self._highest()
        step, low, high = self._step, 0.0, math.inf
        for trial in range(MOST_TRIALS):
            if trial == 0 and step > LONG_STEP and self._levels:
                log_density = self._log_densities(0.0)
                ratio = distance_of(log_density - self._log_density) ** 2 / wanted
                if ratio < 1.0 + STEP_TOLERANCE:
                    return 0.0, log_density
            level = before * math.exp(-step)
            log_density = self._log_densities(level)
            ratio = distance_of(log_density - self._log_density) ** 2 / wanted
            if abs(ratio - 1.0) < STEP_TOLERANCE:
                break
            low, high = (step, high) if ratio < 1.0 else (low, step)
            # The squared distance grows about as the square of the step.
            step *= min(max(math.sqrt(1.0 / max(ratio, 1e-3)), 0.2), 5.0)
            if not low < step < high:
                step = 0.5 * (low + high)
        self._step = step
        return level, log_density


def systematic(weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return indices (M,), index m on average M weights_m times, by one uniform number."""
    points = (rng.random() + np.arange(len(weights))) / len(weights)
    return np.minimum(np.searchsorted(np.cumsum(weights), points), len(weights) - 1)
