"""The misfit check: gains of held-out rows against those of data sets from the fitted mixture."""

import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from .._seeding import stream
from ..covariance import Family
from ..data import raw_rows
from ..diffusion.misfit import HeldOutGains, held_out_gains
from ..diffusion.spectrum import Spectrum
from .em import Parameters, Problem, run_em

# The level of the check, in the texts and for the smallest detectable gain.
LEVEL = 0.05

# Standard normal quantile of the power with which the smallest detectable gain is found: 80 %.
POWER_QUANTILE = 0.8416

# EM stops when so many nats, of all rows together, are left to gain: far below the chi-square
# fluctuations of a likelihood, and the same share of them at every size of the data.
TOLERANCE = 0.05
MAX_PASSES = 200

# Noise pairs per row: as many as make about 8,000 in all, at most 4.
N_PAIRS = 8_000
MOST_PAIRS = 4

# With fewer null data sets p cannot reach 0.05.
FEWEST_NULL_SETS = 19

# After so many null data sets the check ends if so many had a larger statistic: p is then above
# 0.2 or so, and with all 199 it would be below 0.05 once in a thousand times at most.
EARLY_ENDS = {39: 8, 99: 16}


@dataclass(frozen=True, eq=False)
class FamilyCheck:
    """What held-out rows say about the family of a fitted mixture, by noise level and component.

    p_value : of everything together, from the largest z.
    sigmas : (L,) noise levels, decreasing, in standardised units.
    gains : (L, K + 1) what a residual beside the component gains on held-out rows, in nat per row;
        about 0 when the family is right. The last column is that of all components together.
    z : (L, K + 1) gains in standard deviations above their means over the null data sets.
    p_adjusted : (L, K + 1) share of null data sets whose largest z is above.
    detectable : (L, K + 1) the gain that is found at 5 % with a power of about 80 %.
    total : gain, z, adjusted p and detectable gain of all levels and components together.
    n_bootstrap : null data sets drawn; fewer than asked for when p was clearly not small.
    parameters : the mixture refitted to the rows, in standardised units.
    moved : nats per row that the refit gained over the mixture given.
    """

    p_value: float
    sigmas: np.ndarray
    gains: np.ndarray
    z: np.ndarray
    p_adjusted: np.ndarray
    detectable: np.ndarray
    total: tuple[float, ...]
    n_bootstrap: int
    parameters: Parameters
    moved: float

    @property
    def smallest_detectable_gain(self) -> float:
        """What misfit of a typical component must be worth, at whichever noise level it shows."""
        return float(np.median(self.detectable[:, :-1], axis=1).max())


def check_family(
    values: np.ndarray,
    family: Family,
    start: Parameters,
    *,
    n_bootstrap: int,
    sequence: np.random.SeedSequence,
    cores: int,
    on_done: Callable[[int], None] = lambda done: None,
) -> FamilyCheck:
    """Return the check of `family` on rows, with the null drawn from the refitted mixture.

    Parameters
    ----------
    values : ndarray, shape (N, D)
        Rows in random order, in standardised units.
    family, start
        Covariance family, and the parameters that EM starts from.
    n_bootstrap : int
        Null data sets at most.
    sequence : SeedSequence
        Each null data set has its own stream: the result does not depend on `cores`.
    cores : int
        Threads; each works on whole data sets.
    on_done : callable
        Called with the number of null data sets that are done.

    Notes
    -----
    Rows and null data sets are treated alike: EM from the mixture that is at hand (for rows the one
    given, for null data sets the one they were drawn from), the same noise, the same folds.
    """
    from threadpoolctl import threadpool_limits

    n, d = values.shape
    n_pairs = int(np.clip(-(-N_PAIRS // n), 1, MOST_PAIRS))
    noise = stream(sequence, 0).standard_normal((n_pairs, d, n))
    with threadpool_limits(1):
        fitted, moved = _refit(values, family, start)
        observed = _gains(values, noise, family, fitted)
        cells = [observed.cells]

        def replicate(index: int) -> np.ndarray:
            rows = draw_rows(fitted, family, n, stream(sequence, 1, index))
            refitted, _ = _refit(rows, family, fitted)
            return _gains(rows, noise, family, refitted).cells

        with ThreadPoolExecutor(cores, thread_name_prefix="diffgmm") as pool:
            try:
                for stop in sorted({*(b for b in EARLY_ENDS if b < n_bootstrap), n_bootstrap}):
                    for own in pool.map(replicate, range(len(cells) - 1, stop)):
                        cells.append(own)
                        on_done(len(cells) - 1)
                    largest = standardised(np.array(cells)).max(axis=1)
                    exceeding = int((largest[1:] >= largest[0]).sum())
                    if exceeding >= EARLY_ENDS.get(stop, stop + 1):
                        break
            except KeyboardInterrupt:
                pool.shutdown(wait=False, cancel_futures=True)
                if len(cells) - 1 < FEWEST_NULL_SETS:
                    raise
                warnings.warn(
                    f"Interrupted: p compares with the {len(cells) - 1} null data sets that are "
                    f"done, of {n_bootstrap}.",
                    UserWarning,
                    stacklevel=4,
                )
    return _summary(observed, np.array(cells), fitted, moved)


def draw_rows(
    parameters: Parameters, family: Family, n: int, rng: np.random.Generator
) -> np.ndarray:
    """Return n rows (n, D) of a mixture, in random order."""
    weights, means, covariances = parameters
    full = family.as_full(covariances, means.shape[1])
    component = rng.choice(len(weights), size=n, p=weights / weights.sum())
    rows = rng.standard_normal((n, means.shape[1]))
    for k, root in enumerate(np.linalg.cholesky(full)):
        own = component == k
        rows[own] = rows[own] @ root.T + means[k]
    return rows


def _refit(values: np.ndarray, family: Family, start: Parameters) -> tuple[Parameters, float]:
    """Return where EM from `start` ends, and the nats per row that it gained."""
    problem = Problem.of(raw_rows(values), family, 1)
    result = run_em(problem, start, tolerance=TOLERANCE / len(values), max_passes=MAX_PASSES)
    return result.parameters, result.log_likelihood - result.trace[0]


def _gains(
    values: np.ndarray, noise: np.ndarray, family: Family, parameters: Parameters
) -> HeldOutGains:
    weights, means, covariances = parameters
    spectrum = Spectrum.of(weights, means, family.as_full(covariances, means.shape[1]))
    return held_out_gains(values, noise, spectrum)


def standardised(cells: np.ndarray) -> np.ndarray:
    """Return every data set's cells (B + 1, C) in mean and standard deviation of all the others.

    The data set looked at is left out alike for all: under the null they stay exchangeable.
    """
    n_others = len(cells) - 1
    centred = cells - cells.mean(axis=0)
    size = np.abs(centred).max(axis=0)
    centred = centred / np.where(size > 0.0, size, 1.0)
    mean = (centred.sum(axis=0) - centred) / n_others
    variance = ((centred**2).sum(axis=0) - centred**2) / n_others - mean**2
    # Rounding is all there is in a cell that never changed.
    deviation = np.where(variance > 1e-12, np.sqrt(np.maximum(variance, 1e-12)), np.inf)
    return (centred - mean) / deviation


def _summary(
    observed: HeldOutGains, cells: np.ndarray, fitted: Parameters, moved: float
) -> FamilyCheck:
    z = standardised(cells)
    largest, null = z.max(axis=1), cells[1:]
    n = len(null)
    above = 1 + (largest[1:, None] >= z[0]).sum(axis=0)
    critical = np.quantile(largest[1:], 1.0 - LEVEL)
    detectable = null.mean(axis=0) + (critical + POWER_QUANTILE) * null.std(axis=0)
    parts = np.array([cells[0], z[0], above / (n + 1), detectable])
    shape = (4, *observed.gains.shape)
    gains, z_of_cells, p_adjusted, detectable = parts[:, :-1].reshape(shape)
    total = (*map(float, parts[:, -1]),)
    return FamilyCheck(
        p_value=float(parts[2].min()),
        sigmas=observed.sigmas,
        gains=gains,
        z=z_of_cells,
        p_adjusted=p_adjusted,
        detectable=detectable,
        total=total,
        n_bootstrap=n,
        parameters=fitted,
        moved=moved,
    )
