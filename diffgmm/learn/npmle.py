"""The nonparametric maximum likelihood estimate of a mixing distribution, with its certificate."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._seeding import Seed, generator
from ..arguments import check_count
from ..covariance import FAMILIES
from ..data import Data
from ..errors import ConvergenceWarning, InvalidParameterError
from ..kernels.bundles import Rows
from ..mixture import GaussianMixture
from ..progress import Progress
from .atom_weights import DUST, newton_step, on_atoms
from .certificate import Certificate, apart, certify
from .em import Parameters, Problem, expect, run_em

# Atoms at the start: rows no nearer to each other than this, in standard deviations of the noise,
# or as many times farther as leaves no more than so many of them.
SPACING = 1.0
WIDER = 1.25
MOST_STARTING_ATOMS = 1_500

# Most atoms for which a Newton step is taken: its least-squares problem costs the cube, 4 s for
# 1,700 atoms. Above, EM alone moves the weights.
MOST_NEWTON_ATOMS = 2_500

# EM passes in a round, which move the atoms; Newton steps in a round, which weigh them.
PASSES = 20
NEWTON_STEPS = 2

# Mass of the atoms that a round adds, before Newton weighs them.
NEW_MASS = 1e-4

# Rows that ascents of the directional derivative start from, beside the atoms.
STARTS = 2_000


@dataclass(frozen=True, eq=False)
class NPMLE:
    """The best mixing distribution for rows with Gaussian noise of known size, and how good it is.

    Attributes
    ----------
    mixture : GaussianMixture
        Its means are the atoms, its weights their masses, and every covariance is that of the noise.
    noise_scale : ndarray, shape (D,)
        Standard deviations of the noise, in the units of the data.
    log_likelihood : float
        Of all rows, in nats.
    gap : float
        sup over a of D(a) - 1, with D(a) = mean_i N(x_i; a, noise) / p(x_i). No mixing distribution
        whatever has a mean log likelihood per row higher by more than this. The supremum is searched
        by ascent from many starts.
    largest_at : ndarray, shape (D,)
        Where D is largest.
    n_rounds : int
        Rounds of new atoms that were needed.
    converged : bool
        Whether the gap is at most the tolerance.
    """

    mixture: GaussianMixture
    noise_scale: np.ndarray
    log_likelihood: float
    gap: float
    largest_at: np.ndarray
    n_rounds: int
    converged: bool

    def __repr__(self) -> str:
        return (
            f"NPMLE(n_atoms={self.mixture.n_components}, "
            f"log_likelihood={self.log_likelihood:.2f}, gap={self.gap:.2g})"
        )

    def posterior_mean(self, x: Any) -> np.ndarray:
        """Return E[noise-free row | row] of every row, shape (N, D): empirical Bayes denoising."""
        return self.mixture.responsibilities(x) @ self.mixture.means


def npmle(
    X: Any,
    *,
    noise_scale: Any = 1.0,
    tolerance: float = 1e-3,
    max_rounds: int = 50,
    random_seed: Seed = None,
    progressbar: bool = True,
    cores: int | None = None,
) -> NPMLE:
    """Estimate the mixing distribution of rows with Gaussian noise of known size.

    Rows are x_i = u_i + noise with u_i from any distribution, discrete or not. The estimate
    maximises the likelihood over all of them; it has finitely many atoms.

    Parameters
    ----------
    X : array-like or table, shape (N, D)
        Finite numbers; column names are kept.
    noise_scale : float or array-like, shape (D,), default 1.0
        Standard deviation of the noise, of all features or of each, in the units of the data.
    tolerance : float, default 1e-3
        Largest gap to accept, in nats per row.
    max_rounds : int, default 50
        Rounds of new atoms, weights and moves, at most.
    random_seed : int, sequence of int, Generator or None
        An integer repeats the estimate exactly, for any number of cores.
    progressbar : bool, default True
        Show progress on a terminal.
    cores : int, optional
        Threads; every available core by default.

    Returns
    -------
    NPMLE
        With the certificate `gap`; `converged` says whether it is within the tolerance.

    Raises
    ------
    InvalidDataError, InvalidParameterError
        One line: the rule, what was given, the remedy.

    Notes
    -----
    Each round ascends the directional derivative D from many starts, adds its local maxima to the
    atoms, weighs all atoms by Newton steps under the constraint of a distribution, drops those of
    weight 0, and moves the others by EM.

    References
    ----------
    Lindsay (1983), Annals of Statistics 11, 86-94: the optimum and D(a) <= 1.
    Wang (2007), Journal of the Royal Statistical Society B 69, 185-198: the constrained Newton
    method with many new atoms a round.

    Examples
    --------
    >>> import diffgmm
    >>> rows = [[-3.0], [-3.1], [2.9], [3.0], [3.2]]
    >>> found = diffgmm.npmle(rows, tolerance=1e-6, random_seed=1)
    >>> found.mixture.n_components
    2
    """
    data = Data.of(X)
    scale = check_noise_scale(noise_scale, data.n_features)
    tolerance, max_rounds = check_tolerance(tolerance), check_count("max_rounds", max_rounds)
    problem = Problem.of(_standardised(data, scale), FAMILIES["identity"], cores)
    rng = generator(random_seed)
    with Progress(progressbar) as progress:
        parameters, certificate, n_rounds = _solve(
            problem, tolerance, max_rounds, rng, cores, progress.levels("rounds")
        )
    order = np.argsort(-parameters.weights, kind="stable")
    atoms = parameters.means[order] * scale + data.means
    mixture = GaussianMixture(
        parameters.weights[order],
        atoms,
        np.repeat(np.diag(scale**2)[None], len(atoms), axis=0),
        feature_names=data.feature_names,
    )
    log_likelihood = expect(problem, parameters)[0] - np.log(scale).sum()
    return NPMLE(
        mixture,
        scale,
        float(log_likelihood * data.n_rows),
        certificate.gap,
        certificate.largest_at * scale + data.means,
        n_rounds,
        certificate.gap <= tolerance,
    )


def check_noise_scale(noise_scale: Any, n_features: int) -> np.ndarray:
    """Return the standard deviation of the noise of every feature, (D,)."""
    try:
        scale = np.array(noise_scale, float)
    except (TypeError, ValueError):
        scale = np.full(1, np.nan)
    if (
        scale.ndim > 1
        or scale.size not in (1, n_features)
        or not np.all((scale > 0.0) & (scale < np.inf))
    ):
        raise InvalidParameterError(
            f"noise_scale must be one positive number or {n_features} of them, one for each "
            f"feature, got {noise_scale!r}."
        )
    return np.broadcast_to(scale, n_features).copy()


def check_tolerance(tolerance: Any) -> float:
    """Return a positive number."""
    try:
        value = float(tolerance)
    except (TypeError, ValueError):
        value = np.nan
    if not 0.0 < value < np.inf:
        raise InvalidParameterError(f"tolerance must be a positive number, got {tolerance!r}.")
    return value


def _standardised(data: Data, scale: np.ndarray) -> Rows:
    """Return contiguous rows in standard deviations of the noise, around their mean."""
    points = Data.of((data.values - data.means) / scale)
    return points.rows(np.zeros(data.n_features), np.ones(data.n_features))


def _solve(
    problem: Problem,
    tolerance: float,
    max_rounds: int,
    rng: np.random.Generator,
    cores: int | None,
    on_round: Callable[[int, int], None],
) -> tuple[Parameters, Certificate, int]:
    """Return weights and atoms, their certificate, and the number of rounds."""
    points = problem.rows.values
    rows = points[np.sort(rng.permutation(len(points))[:STARTS])]
    parameters = _move(problem, _packing(points, rng))
    best: tuple[Parameters, Certificate, int] | None = None
    try:
        for n_rounds in range(max_rounds + 1):
            certificate = certify(problem, parameters, rows, cores)
            best = parameters, certificate, n_rounds
            if certificate.gap <= tolerance or n_rounds == max_rounds:
                break
            parameters = _with_new_atoms(parameters, certificate)
            if len(parameters.weights) <= MOST_NEWTON_ATOMS:
                for _ in range(NEWTON_STEPS):
                    parameters = newton_step(problem, parameters)
            parameters = _move(problem, parameters)
            on_round(n_rounds, max_rounds)
    except KeyboardInterrupt:
        if best is None:
            raise
        warnings.warn(
            f"Interrupted: the estimate after {best[2]} rounds, with the gap {best[1].gap:.2g}.",
            ConvergenceWarning,
            stacklevel=3,
        )
    assert best is not None
    return best


def _packing(points: np.ndarray, rng: np.random.Generator) -> Parameters:
    """Return equal atoms on rows that are no nearer to each other than SPACING, if not too many."""
    shuffled, spacing = points[rng.permutation(len(points))], SPACING
    while (chosen := apart(shuffled, spacing, MOST_STARTING_ATOMS)) is None:
        spacing *= WIDER
    return on_atoms(np.full(len(chosen), 1.0 / len(chosen)), shuffled[chosen])


def _move(problem: Problem, parameters: Parameters) -> Parameters:
    """Return weights and atoms after some EM passes, without the atoms that lost their mass."""
    moved = run_em(problem, parameters, tolerance=1e-12, max_passes=PASSES).parameters
    kept = moved.weights > DUST
    return on_atoms(moved.weights[kept], moved.means[kept])


def _with_new_atoms(parameters: Parameters, certificate: Certificate) -> Parameters:
    """Return the atoms and, with little mass, the local maxima where D is above 1."""
    new = certificate.maxima[certificate.values > 1.0 + 0.1 * certificate.gap]
    weights = np.concatenate([parameters.weights, np.full(len(new), NEW_MASS / len(new))])
    return on_atoms(weights, np.concatenate([parameters.means, new]))
