"""Geweke's test of a sampler (2004, doi:10.1198/016214504000001132): the joint law of parameters and rows.

Parameters drawn from the prior, and a chain that draws rows given parameters and moves parameters
given rows, have the same law of parameters and rows, if the moves keep the posterior.
"""

import numpy as np
from scipy import stats

N_BATCHES = 40


def z_scores(direct, chain, n_batches=N_BATCHES):
    """Return |differences| of means in standard errors, of the statistics that vary.

    direct : means and variances of means over independent draws, two arrays (Q,).
    chain : statistics of successive steps (S, Q); its means over batches are taken as independent.
    """
    mean, variance = direct
    batches = chain.reshape(n_batches, -1, chain.shape[1]).mean(axis=1)
    error = np.sqrt(batches.var(axis=0, ddof=1) / n_batches + variance)
    varies = error > 1e-10
    return np.abs((batches.mean(axis=0) - mean)[varies] / error[varies])


def limit(n_statistics, false_alarm, n_batches=N_BATCHES):
    """Return what the largest of so many z exceeds with this probability at most (Bonferroni)."""
    return stats.t(n_batches - 1).isf(false_alarm / (2 * n_statistics))
