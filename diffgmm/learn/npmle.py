"""The nonparametric maximum likelihood estimate of a mixing distribution, with its certificate."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._seeding import Seed, generator
from ..arguments import check_count
from ..blocks import check_cores
from ..covariance import FAMILIES, LOG_2PI, components_of
from ..data import Data
from ..errors import InvalidParameterError
from ..kernels import gaussian
from ..kernels import npmle as kernels
from ..kernels.bundles import Rows
from ..mixture import GaussianMixture
from ..progress import Progress
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

# Up to so many atoms that problem is solved as it stands; above, first by dropping whatever turns
# negative, ten times sooner. Steps are halved until the likelihood does not fall.
FEW_ATOMS = 300
SHORTEST_STEP = 1e-2

# Added to the unit diagonal of that problem's matrix, so that atoms side by side can be told apart.
JITTER = 1e-13

# Mass of the atoms that a round adds, before Newton weighs them. A lost atom has less than DUST.
NEW_MASS = 1e-4
DUST = 1e-9

# Ascents of the directional derivative: from the atoms and so many rows, short ones, then long ones
# from the best. A step of mean shift is over-relaxed: 1 never descends, 2 would not converge.
STARTS = 2_000
SHORT_ASCENT = 12
LONG_ASCENT = 60
LONG_STARTS = 200
OVER_RELAXATION = 1.8
POINTS_PER_TASK = 128

# Maxima nearer than this to a higher one, in standard deviations of the noise, are the same.
SAME_MAXIMUM = 0.2

# Beyond exp(700) there is no float64: the derivative far from every atom is cut off there.
LARGEST_LOG = 700.0


@dataclass(frozen=True, eq=False)
class NPMLE:
    """The best mixing distribution for rows with Gaussian noise of known size, and how good it is.

    mixture : GaussianMixture; its means are the atoms, its weights their masses, and every
        covariance is that of the noise.
    noise_scale : (D,) standard deviations of the noise, in the units of the data.
    log_likelihood : of all rows, in nats.
    gap : sup over a of D(a) - 1, with D(a) = mean_i N(x_i; a, noise) / p(x_i). No mixing
        distribution whatever has a mean log likelihood per row higher by more than this. The
        supremum is searched by ascent from many starts.
    largest_at : (D,) where D is largest.
    n_rounds : rounds of new atoms that were needed.
    converged : whether the gap is at most the tolerance.
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


@dataclass(frozen=True, eq=False)
class _Certificate:
    """Local maxima of D found, highest first: (M, D) and their values (M,)."""

    maxima: np.ndarray
    values: np.ndarray

    @property
    def gap(self) -> float:
        """How far the largest value is above 1."""
        return max(float(self.values[0]) - 1.0, 0.0)

    @property
    def largest_at(self) -> np.ndarray:
        """Where D is largest, (D,)."""
        return self.maxima[0]


def _solve(
    problem: Problem,
    tolerance: float,
    max_rounds: int,
    rng: np.random.Generator,
    cores: int | None,
    on_round: Callable[[int, int], None],
) -> tuple[Parameters, "_Certificate", int]:
    """Return weights and atoms, their certificate, and the number of rounds."""
    points = problem.rows.values
    rows = points[np.sort(rng.permutation(len(points))[:STARTS])]
    parameters = _move(problem, _packing(points, rng))
    for n_rounds in range(max_rounds + 1):
        certificate = certify(problem, parameters, rows, cores)
        if certificate.gap <= tolerance or n_rounds == max_rounds:
            break
        parameters = _with_new_atoms(parameters, certificate)
        if len(parameters.weights) <= MOST_NEWTON_ATOMS:
            for _ in range(NEWTON_STEPS):
                parameters = newton_step(problem, parameters)
        parameters = _move(problem, parameters)
        on_round(n_rounds, max_rounds)
    return parameters, certificate, n_rounds


def _packing(points: np.ndarray, rng: np.random.Generator) -> Parameters:
    """Return equal atoms on rows that are no nearer to each other than SPACING, if not too many."""
    shuffled, spacing = points[rng.permutation(len(points))], SPACING
    while (chosen := _apart(shuffled, spacing, MOST_STARTING_ATOMS)) is None:
        spacing *= WIDER
    return _parameters(np.full(len(chosen), 1.0 / len(chosen)), shuffled[chosen])


def _apart(points: np.ndarray, spacing: float, most: int) -> list[int] | None:
    """Return which points to keep so that none are nearer to each other, or None if above `most`.

    A point is kept when no point before it that is kept is nearer than `spacing`.
    """
    free = np.ones(len(points), bool)
    chosen: list[int] = []
    while free.any():
        if len(chosen) == most:
            return None
        index = int(np.argmax(free))
        chosen.append(index)
        free &= np.square(points - points[index]).sum(axis=1) > spacing**2
        free[index] = False
    return chosen


def _parameters(weights: np.ndarray, atoms: np.ndarray) -> Parameters:
    return Parameters(weights / weights.sum(), np.ascontiguousarray(atoms), np.ones(len(weights)))


def _move(problem: Problem, parameters: Parameters) -> Parameters:
    """Return weights and atoms after some EM passes, without the atoms that lost their mass."""
    moved = run_em(problem, parameters, tolerance=1e-12, max_passes=PASSES).parameters
    kept = moved.weights > DUST
    return _parameters(moved.weights[kept], moved.means[kept])


def _with_new_atoms(parameters: Parameters, certificate: _Certificate) -> Parameters:
    """Return the atoms and, with little mass, the local maxima where D is above 1."""
    new = certificate.maxima[certificate.values > 1.0 + 0.1 * certificate.gap]
    weights = np.concatenate([parameters.weights, np.full(len(new), NEW_MASS / len(new))])
    return _parameters(weights, np.concatenate([parameters.means, new]))


def certify(
    problem: Problem, parameters: Parameters, rows: np.ndarray, cores: int | None = None
) -> _Certificate:
    """Return the distinct local maxima of D that ascents from the atoms and from `rows` find."""
    points, n = problem.rows.values, len(problem.rows.values)
    components, log_density = components_of(*parameters, problem.family), np.empty(n)
    problem.blocks.map(
        lambda start, stop: gaussian.log_density(problem.rows, components, start, stop, log_density)
    )
    constant = 0.5 * points.shape[1] * LOG_2PI + np.log(n)
    scales = np.exp(np.minimum(-log_density - constant, LARGEST_LOG))
    starts = np.concatenate([parameters.means, rows])
    best, values = _ascend(problem, scales, starts, SHORT_ASCENT, cores)
    top = np.argsort(-values)[:LONG_STARTS]
    best[top], values[top] = _ascend(problem, scales, best[top], LONG_ASCENT, cores)
    return _Certificate(*_distinct(best, values))


def _ascend(
    problem: Problem, scales: np.ndarray, starts: np.ndarray, n_steps: int, cores: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the best point of each ascent of D by over-relaxed mean shift, and its value."""
    where, best, values = starts.copy(), starts.copy(), np.full(len(starts), -np.inf)
    sums = np.empty((len(starts), 1 + starts.shape[1]))
    firsts = range(0, len(starts), POINTS_PER_TASK)

    def look(first: int) -> None:
        stop = min(first + POINTS_PER_TASK, len(where))
        kernels.kernel_sums(problem.rows, scales, where, first, stop, sums)

    # Points are what the threads share out; each looks at every row.
    with ThreadPoolExecutor(check_cores(cores)) as pool:
        for _ in range(n_steps):
            list(pool.map(look, firsts))
            higher = sums[:, 0] > values
            best[higher], values[higher] = where[higher], sums[higher, 0]
            with np.errstate(invalid="ignore", divide="ignore"):
                shift = np.where(sums[:, :1] > 0.0, sums[:, 1:] / sums[:, :1], 0.0)
            where = where + OVER_RELAXATION * shift
    return best, values


def _distinct(points: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return points with no higher one near by, highest first, and their values."""
    order = np.argsort(-values, kind="stable")
    points, values = points[order], values[order]
    chosen = _apart(points, SAME_MAXIMUM, len(points) + 1)
    return points[chosen], values[chosen]


def newton_step(problem: Problem, parameters: Parameters) -> Parameters:
    """Return the atoms under the weights of a constrained Newton step, those of weight 0 dropped.

    With S_ij = N(x_i; a_j, I) / p(x_i), the mean log likelihood at weights v is, to second order,
    that of the current ones plus 2 g'v - v'Hv / 2 - 3 / 2, g_j = mean_i S_ij and H = S'S / n.
    """
    weights = parameters.weights
    value, (counts, _, _) = expect(problem, parameters)
    n, k = problem.n_effective, len(weights)
    components = components_of(*parameters, problem.family)

    def work(start, stop, sums):
        kernels.responsibility_moments(problem.rows, components, start, stop, sums[0])
        return 0.0

    lower = problem.blocks.sum(work, ((k, k),))[1][0]
    gram = np.tril(lower) + np.tril(lower, -1).T
    hessian, gradient = gram / (n * np.outer(weights, weights)), counts / (n * weights)
    for optimum in (_dropping, _least_squares) if k > FEW_ATOMS else (_least_squares,):
        goal, step = _newton_goal(hessian, gradient, optimum), 1.0
        while step > SHORTEST_STEP:
            tried = (1.0 - step) * weights + step * goal
            kept = tried > DUST
            candidate = _parameters(tried[kept], parameters.means[kept])
            if expect(problem, candidate)[0] >= value:
                return candidate
            step *= 0.5
    return parameters


def _newton_goal(hessian: np.ndarray, gradient: np.ndarray, optimum) -> np.ndarray:
    """Return v >= 0 with sum 1 that minimises v'Hv / 2 - 2 g'v, (K,).

    Wang (2007): with P = S - 2, the same v up to its sum minimises |Pv|^2 / n + (1'v - 1)^2 over
    v >= 0, a least-squares problem with the matrix H - 2 (g1' + 1g') + 5 and the right-hand side 1.
    """
    normal = hessian - 2.0 * (gradient[:, None] + gradient) + 5.0
    # Scaled to a unit diagonal: atoms of one row have entries of n, the others of 1.
    root = np.sqrt(np.diagonal(normal))
    normal = normal / np.outer(root, root) + JITTER * np.eye(len(root))
    goal = optimum(normal, 1.0 / root) / root
    return goal / goal.sum()


def _least_squares(normal: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return v >= 0 with the least v'Qv - 2 r'v, for Q (K, K) and r (K,)."""
    from scipy.optimize import nnls
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        lower = np.linalg.cholesky(normal)
        return nnls(lower.T, np.linalg.solve(lower, right), maxiter=10 * len(right))[0]


def _dropping(normal: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return nearly that: whoever turns negative is out for good.

    What is dropped too early comes back as a maximum of D.
    """
    from threadpoolctl import threadpool_limits

    kept, solution = np.arange(len(right)), np.full(1, -1.0)
    with threadpool_limits(1):
        while True:
            solution = np.linalg.solve(normal[np.ix_(kept, kept)], right[kept])
            if solution.min() > 0.0:
                break
            kept = kept[solution > 0.0]
    result = np.zeros(len(right))
    result[kept] = solution
    return result
