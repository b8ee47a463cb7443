"""Sweeps that lower the expected variation of information of a partition, one row at a time."""

from ._compile import kernel


@kernel
def count_joint(allocations, labels, joint, sizes):
    """Count the rows of each pair of a draw's component and a cluster; labels of -1 do not count.

    Shapes: allocations (N, S); labels (N,); joint (S, K, L), sizes (L,), both zeroed by the caller.
    """
    for i in range(allocations.shape[0]):
        own = labels[i]
        if own >= 0:
            sizes[own] += 1
            for s in range(allocations.shape[1]):
                joint[s, allocations[i, s], own] += 1


@kernel
def sweep(allocations, rows, labels, joint, sizes, steps, scores):
    """Move each of `rows` to the cluster that lowers the expected loss most; return the moves.

    Shapes: allocations (N, S); rows (M,) row numbers in the order of their turn; labels (N,), -1
    for rows without a cluster; joint (S, K, L); sizes (L,); steps (N,); scores (L,) scratch.
    steps[m] is (m + 1) log(m + 1) - m log m: what a count of m adds when it grows by one. N times
    the loss changes by step(size) - 2 mean over draws step(joint) when a row enters a cluster.
    """
    n_draws, n_clusters = allocations.shape[1], sizes.shape[0]
    n_moves = 0
    for turn in range(rows.shape[0]):
        i = rows[turn]
        old = labels[i]
        if old >= 0:
            sizes[old] -= 1
            for s in range(n_draws):
                joint[s, allocations[i, s], old] -= 1
        for c in range(n_clusters):
            scores[c] = 0.0
        for s in range(n_draws):
            k = allocations[i, s]
            for c in range(n_clusters):
                scores[c] += steps[joint[s, k, c]]
        # An empty cluster has score 0; the old one stays unless another is better.
        best = old
        lowest = steps[sizes[old]] - 2.0 * scores[old] / n_draws if old >= 0 else 0.0
        for c in range(n_clusters):
            value = steps[sizes[c]] - 2.0 * scores[c] / n_draws
            if best < 0 or value < lowest - 1e-10:
                best = c
                lowest = value
        labels[i] = best
        sizes[best] += 1
        for s in range(n_draws):
            joint[s, allocations[i, s], best] += 1
        if best != old:
            n_moves += 1
    return n_moves
