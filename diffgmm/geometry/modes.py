"""Modes of the density of a Gaussian mixture: there may be fewer than components, or more."""

from dataclasses import dataclass

import numpy as np

# Steps of one ascent; Newton's steps end most of them after a dozen.
MOST_STEPS = 500

# Lengths in standard deviations at the place: a step that ends an ascent, and modes that are one.
SMALLEST_STEP = 1e-7
SAME_MODE = 1e-2

# Numbers in one gathered array of precisions: 16 MB.
VALUES_AT_ONCE = 2_000_000


@dataclass(frozen=True, eq=False)
class Modes:
    """Modes of one mixture, by decreasing density.

    places : (M, D).   log_density : (M,), in nats.
    masses : (M,), weight of the components whose means ascend to the mode.
    """

    places: np.ndarray
    log_density: np.ndarray
    masses: np.ndarray


def find_modes(weights: np.ndarray, means: np.ndarray, covariances: np.ndarray) -> list[Modes]:
    """Return the modes of S mixtures by ascent from means and from between each two of them.

    Parameters
    ----------
    weights : ndarray, shape (S, K)
    means : ndarray, shape (S, K, D)
    covariances : ndarray, shape (S, K, D, D)

    Returns
    -------
    list of S Modes

    Notes
    -----
    Every critical point lies on the ridgeline (sum_k a_k P_k)^-1 sum_k a_k P_k m_k, a on the
    simplex, P_k = S_k^-1: ascents start at its corners, at the middles of its edges and at its
    centre. A step is the fixed-point (mean-shift) step, which never descends, or Newton's where the
    density is locally concave and Newton's is higher. In one dimension and for equal covariances
    all modes lie within the hull of the means; elsewhere a mode that none of these starts reaches
    is missed.

    References
    ----------
    Carreira-Perpiñán (2000), doi:10.1109/34.888716; Ray, Lindsay (2005),
    doi:10.1214/009053605000000417, theorem 1.
    """
    k, d = means.shape[1:]
    precisions = np.linalg.inv(covariances)
    with np.errstate(divide="ignore"):
        constants = np.log(weights) + 0.5 * np.linalg.slogdet(precisions)[1]
    starts = _starts(means, precisions)
    size = max(1, VALUES_AT_ONCE // (starts.shape[1] * k * d * d))
    found: list[Modes] = []
    for first in range(0, len(means), size):
        own = slice(first, first + size)
        ends = _ascend(starts[own], constants[own], means[own], precisions[own])
        for s, (places, log_density, is_mode, metric) in enumerate(zip(*ends)):
            found.append(_distinct(places, log_density, is_mode, metric, weights[first + s]))
    constant = 0.5 * d * np.log(2.0 * np.pi)
    return [Modes(own.places, own.log_density - constant, own.masses) for own in found]


def _starts(means: np.ndarray, precisions: np.ndarray) -> np.ndarray:
    """Return the means, the ridgeline's points between each two, and its centre: (S, P, D)."""
    pulls = np.einsum("skab,skb->ska", precisions, means)
    first, second = np.triu_indices(means.shape[1], 1)
    matrices = precisions[:, first] + precisions[:, second]
    between = np.linalg.solve(matrices, (pulls[:, first] + pulls[:, second])[..., None])[..., 0]
    centre = np.linalg.solve(precisions.sum(axis=1), pulls.sum(axis=1)[..., None])[..., 0]
    return np.concatenate([means, between, centre[:, None]], axis=1)


def _ascend(
    starts: np.ndarray, constants: np.ndarray, means: np.ndarray, precisions: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return where ascents end (S, P, D), log density (S, P), whether modes, and the metric."""
    s, p, d = starts.shape
    owner = np.repeat(np.arange(s), p)
    x = starts.reshape(-1, d).copy()
    active = np.arange(s * p)
    for _ in range(MOST_STEPS):
        own = owner[active]
        here = _Local(x[active], constants[own], means[own], precisions[own])
        moved = here.next(constants[own], means[own], precisions[own])
        step = moved - x[active]
        length = np.einsum("pa,pab,pb->p", step, here.metric, step)
        x[active] = moved
        active = active[length > SMALLEST_STEP**2]
        if not len(active):
            break
    end = _Local(x, constants[owner], means[owner], precisions[owner])
    return (
        x.reshape(s, p, d),
        end.log_density.reshape(s, p),
        end.is_concave.reshape(s, p),
        end.metric.reshape(s, p, d, d),
    )


class _Local:
    """Log density at points (P, D), each of its own mixture, with gradient and curvature."""

    def __init__(
        self, x: np.ndarray, constants: np.ndarray, means: np.ndarray, precisions: np.ndarray
    ) -> None:
        self.x = x
        gap = means - x[:, None]
        pull = np.einsum("pkab,pkb->pka", precisions, gap)
        joint = constants - 0.5 * np.einsum("pka,pka->pk", gap, pull)
        top = joint.max(axis=1, keepdims=True)
        share = np.exp(joint - top)
        self.log_density = top[:, 0] + np.log(share.sum(axis=1))
        share /= share.sum(axis=1, keepdims=True)
        # The mean precision, in which distances are measured and the fixed-point step is taken.
        self.metric = np.einsum("pk,pkab->pab", share, precisions)
        self.gradient = np.einsum("pk,pka->pa", share, pull)
        self.hessian = np.einsum("pk,pka,pkb->pab", share, pull, pull) - self.metric
        self.hessian -= self.gradient[:, :, None] * self.gradient[:, None, :]

    @property
    def is_concave(self) -> np.ndarray:
        """Whether the Hessian is negative definite, (P,)."""
        return np.linalg.eigvalsh(self.hessian)[:, -1] < 0.0

    def next(self, constants: np.ndarray, means: np.ndarray, precisions: np.ndarray) -> np.ndarray:
        """Return the points of the next step, (P, D)."""
        shifted = self.x + np.linalg.solve(self.metric, self.gradient[..., None])[..., 0]
        concave = np.flatnonzero(self.is_concave)
        if not len(concave):
            return shifted
        step = np.linalg.solve(self.hessian[concave], self.gradient[concave][..., None])[..., 0]
        newton = self.x[concave] - step
        tried, plain = (
            _Local(points, constants[concave], means[concave], precisions[concave]).log_density
            for points in (newton, shifted[concave])
        )
        better = tried >= plain
        shifted[concave[better]] = newton[better]
        return shifted


def _distinct(
    places: np.ndarray,
    log_density: np.ndarray,
    is_mode: np.ndarray,
    metric: np.ndarray,
    weights: np.ndarray,
) -> Modes:
    """Return the modes without repetition, highest first, with the weight that ascends to each."""
    kept: list[int] = []
    home = np.full(len(places), -1)
    for p in np.argsort(-log_density, kind="stable"):
        if not is_mode[p]:
            continue
        gaps = places[kept] - places[p]
        near = np.einsum("ma,ab,mb->m", gaps, metric[p], gaps) < SAME_MODE**2
        home[p] = int(np.argmax(near)) if near.any() else len(kept)
        if not near.any():
            kept.append(int(p))
    own = home[: len(weights)]
    masses = np.bincount(own[own >= 0], weights[own >= 0], minlength=len(kept))
    return Modes(places[kept], log_density[kept], masses)
