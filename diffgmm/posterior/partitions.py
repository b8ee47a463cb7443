"""One partition for many: the least expected variation of information, and a credible ball.

The search is that of Dahl, Johnson, Müller (2022), doi:10.1080/10618600.2022.2069779: rows enter
one by one, in random order or from random labels or from a draw, then sweeps until nothing moves,
then whole clusters are dissolved where that helps. The loss is that of Meilă (2007); the credible
ball that of Wade, Ghahramani (2018), doi:10.1214/17-BA1073.
"""

from dataclasses import dataclass

import numpy as np

from .._seeding import stream
from ..kernels import partitions as kernels

# Sweeps end by themselves; this is for a draw that alternates by rounding.
MOST_SWEEPS = 200

# Attempts to dissolve a cluster in each run, as in the paper.
DISSOLUTIONS = 10

# Table look-ups that all runs together may take: some seconds. With more rows than that allows,
# runs search among some of them, and the others join the best that they found.
LOOK_UPS = 5e8
FEWEST_ROWS = 2_000
FEWEST_RUNS, MOST_RUNS = 3, 16
SWEEPS_PER_RUN = 24


@dataclass(frozen=True, eq=False)
class Estimate:
    """A partition (N,), clusters numbered by decreasing size, and how far the draws are from it.

    loss : mean of `distances` (S,), the variation of information of each draw, in nats.
    """

    labels: np.ndarray
    distances: np.ndarray

    @property
    def loss(self) -> float:
        """Expected variation of information, in nats."""
        return float(self.distances.mean())


def estimate(
    allocations: np.ndarray, n_clusters: int, sequence: np.random.SeedSequence
) -> Estimate:
    """Return the partition into at most `n_clusters` with the least loss found.

    Parameters
    ----------
    allocations : ndarray of int, shape (N, S), C-order
        Component of each row in each draw.
    n_clusters : int
    sequence : SeedSequence
        Of random orders and starts.
    """
    n, s = allocations.shape
    runs = LOOK_UPS / (SWEEPS_PER_RUN * s * n_clusters)  # of one row
    n_rows = min(n, max(FEWEST_ROWS, int(runs / FEWEST_RUNS)))
    n_runs = int(np.clip(runs / n_rows, FEWEST_RUNS, MOST_RUNS))
    chosen = np.arange(n)
    if n_rows < n:
        chosen = np.sort(stream(sequence, MOST_RUNS).permutation(n)[:n_rows])
    some = np.ascontiguousarray(allocations[chosen])
    best: Estimate | None = None
    for run in range(n_runs):
        labels = _Search(some, n_clusters, stream(sequence, run)).run(run)
        found = Estimate(labels, distances(some, labels))
        if best is None or found.loss < best.loss - 1e-12:
            best = found
    assert best is not None
    if n_rows == n:
        return Estimate(by_size(best.labels), best.distances)
    labels = np.full(n, -1)
    labels[chosen] = best.labels
    labels = _Search(allocations, n_clusters, stream(sequence, MOST_RUNS + 1)).settled(labels)
    return Estimate(by_size(labels), distances(allocations, labels))


class _Search:
    """One run: labels, the counts that go with them, and moves that lower the loss."""

    def __init__(self, allocations: np.ndarray, n_clusters: int, rng: np.random.Generator) -> None:
        n, s = allocations.shape
        self.allocations, self.n_clusters, self.rng = allocations, n_clusters, rng
        counts = np.arange(n + 1.0)
        self.steps = np.diff(entropy_terms(counts))
        self.shape = (s, int(allocations.max()) + 1, n_clusters)
        self.scores = np.empty(n_clusters)

    def run(self, number: int) -> np.ndarray:
        """Return labels after a search whose kind of start depends on its number."""
        n = len(self.allocations)
        labels = np.full(n, -1)
        if number % 3 == 1:
            draw = self.allocations[:, self.rng.integers(self.shape[0])]
            labels = np.unique(draw, return_inverse=True)[1] % self.n_clusters
        elif number % 3 == 2:
            labels = self.rng.integers(self.n_clusters, size=n)
        return self._dissolved(self.settled(labels.astype(np.int64)))

    def settled(self, labels: np.ndarray) -> np.ndarray:
        """Sweep until nothing moves."""
        joint, sizes = np.zeros(self.shape, dtype=np.int32), np.zeros(self.n_clusters, np.int64)
        kernels.count_joint(self.allocations, labels, joint, sizes)
        for _ in range(MOST_SWEEPS):
            rows = self.rng.permutation(len(labels))
            if not self._sweep(rows, labels, joint, sizes):
                break
        return labels

    def _sweep(
        self, rows: np.ndarray, labels: np.ndarray, joint: np.ndarray, sizes: np.ndarray
    ) -> int:
        return kernels.sweep(self.allocations, rows, labels, joint, sizes, self.steps, self.scores)

    def _dissolved(self, labels: np.ndarray) -> np.ndarray:
        """Give the rows of one cluster after the other new places, and keep what is better."""
        loss = distances(self.allocations, labels).mean()
        clusters = self.rng.permutation(np.unique(labels))[:DISSOLUTIONS]
        for cluster in clusters:
            trial = labels.copy()
            trial[labels == cluster] = -1
            new = self.settled(trial)
            own = distances(self.allocations, new).mean()
            if own < loss - 1e-12:
                labels, loss = new, own
        return labels


def entropy_terms(counts: np.ndarray) -> np.ndarray:
    """Return m log m, 0 for 0."""
    return counts * np.log(np.maximum(counts, 1.0))


def joint_counts(allocations: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the rows of each pair of a draw's component and a cluster, (S, K, L)."""
    shape = (allocations.shape[1], int(allocations.max()) + 1, int(labels.max()) + 1)
    joint, sizes = np.zeros(shape, dtype=np.int32), np.zeros(shape[2], dtype=np.int64)
    kernels.count_joint(allocations, labels, joint, sizes)
    return joint


def distances(allocations: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the variation of information of each draw (S,) to a partition (N,), in nats."""
    joint = joint_counts(allocations, labels)
    own = entropy_terms(joint.sum(axis=2)).sum(axis=1)
    other = entropy_terms(joint[0].sum(axis=0)).sum()
    both = entropy_terms(joint).sum(axis=(1, 2))
    return np.maximum(own + other - 2.0 * both, 0.0) / len(labels)


def by_size(labels: np.ndarray) -> np.ndarray:
    """Return labels 0, 1, ... by decreasing size; of equal sizes the one with the first row."""
    _, first, inverse, counts = np.unique(
        labels, return_index=True, return_inverse=True, return_counts=True
    )
    rank = np.empty(len(counts), dtype=np.int64)
    rank[np.lexsort((first, -counts))] = np.arange(len(counts))
    return rank[inverse]


def agreement(allocations: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return for each row the probability of sharing a component with another of its cluster, (N,).

    NaN for a row that is a cluster of its own.
    """
    joint = joint_counts(allocations, labels)
    others = np.bincount(labels)[labels] - 1.0
    draws, together = np.arange(joint.shape[0]), np.empty(len(labels))
    for i, own in enumerate(labels):
        together[i] = joint[draws, allocations[i], own].mean() - 1.0
    return np.where(others > 0.0, together / np.maximum(others, 1.0), np.nan)


def credible_ball(
    allocations: np.ndarray, distance: np.ndarray, probability: float
) -> tuple[float, dict[str, int]]:
    """Return the radius that holds `probability` of the draws, and the draws on the ball's edge.

    Returns
    -------
    radius : float
        In nats.
    edges : dict
        Numbers of draws in the ball: horizontal, farthest of all; vertical_upper, farthest of
        those with the fewest clusters; vertical_lower, of those with the most.
    """
    ranked = np.sort(distance)
    radius = float(ranked[int(np.ceil(probability * len(ranked) - 1e-9)) - 1])
    inside = np.flatnonzero(distance <= radius)
    filled = np.array([len(np.unique(allocations[:, s])) for s in inside])

    def farthest(among: np.ndarray) -> int:
        return int(among[np.argmax(distance[among])])

    return radius, {
        "horizontal": farthest(inside),
        "vertical_upper": farthest(inside[filled == filled.min()]),
        "vertical_lower": farthest(inside[filled == filled.max()]),
    }
