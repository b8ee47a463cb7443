"""The evidence p(rows | model) by particles: independent runs over fixed noise levels."""

import itertools
import math

import numpy as np

from .._seeding import stream
from ..progress import Progress
from .gibbs import Target, run_chains
from .smc import PLACING_STREAM, Particles

# One run chooses the levels, so many others pass them. Their mean has a standard error from so many
# that its t statistic has a standard deviation of 1.05.
N_RUNS = 24
PARTICLES = 64
SWEEPS = 10


def log_evidence_smc(
    target: Target, sequence: np.random.SeedSequence, cores: int, progressbar: bool = False
) -> tuple[float, float]:
    """Return the log evidence in the user's units and its standard error.

    Each run's estimate of the evidence has no bias, since its levels were chosen by another run;
    so has their mean.
    """
    placing = Particles(target, PARTICLES, SWEEPS, stream(sequence, PLACING_STREAM))
    with Progress(progressbar) as progress:
        on_level = progress.levels("choosing noise levels")
        if run_chains([placing], 1, lambda index, done: on_level(done - 1, None)).interrupted:
            raise KeyboardInterrupt
        levels = placing.passage().levels
        on_level(len(levels) - 1, len(levels))
        runs = [
            Particles(target, PARTICLES, SWEEPS, stream(sequence, index), levels)
            for index in range(N_RUNS)
        ]
        passed = itertools.count(1)  # its next is atomic, and threads ask for it
        update = progress.bars([f"noise levels of {N_RUNS} runs"], N_RUNS * len(levels))
        if run_chains(runs, cores, lambda index, done: update(0, next(passed))).interrupted:
            raise KeyboardInterrupt
    logs = np.array([run.passage().log_evidence for run in runs])
    top = float(logs.max())
    shares = np.exp(logs - top)
    error = shares.std(ddof=1) / math.sqrt(N_RUNS) / shares.mean()
    return top + math.log(shares.mean()), float(error)
