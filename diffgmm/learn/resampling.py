"""Bootstrap data sets: rows reweighted, drawn again with replacement, or made by the fit's sampler."""

from collections.abc import Callable
from typing import Literal

import numpy as np

from ..data import Data, read_only
from .mixture_fit import MixtureFit

Bootstrap = Literal["dirichlet", "multinomial", "diffusion"]

# Rows with their weights, in the place of the rows that were fitted.
Resampled = tuple[Data, np.ndarray]


def dirichlet(fit: MixtureFit, data: Data, base: np.ndarray, rng: np.random.Generator) -> Resampled:
    """Return the rows with weights from Dirichlet(base) (Rubin 1981): none is left out."""
    # A row of weight 2 is two rows: the sum of their two exponential shares.
    shares = rng.standard_gamma(base)
    return data, shares * (base.sum() / shares.sum())


def multinomial(
    fit: MixtureFit, data: Data, base: np.ndarray, rng: np.random.Generator
) -> Resampled:
    """Return how often each row is drawn, with replacement (Efron 1979)."""
    return data, row_counts(base, rng) * (base.sum() / _n_rows(base))


def diffusion(fit: MixtureFit, data: Data, base: np.ndarray, rng: np.random.Generator) -> Resampled:
    """Return new rows from the fit's reverse diffusion: the parametric bootstrap."""
    n = _n_rows(base)
    made = Data(read_only(fit.sample(n, rng)), data.feature_names, data.name)
    return made, np.full(n, base.sum() / n)


RESAMPLERS: dict[str, Callable[[MixtureFit, Data, np.ndarray, np.random.Generator], Resampled]] = {
    "dirichlet": dirichlet,
    "multinomial": multinomial,
    "diffusion": diffusion,
}


def row_counts(base: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return how often each of the rows, with weights `base` (N,), is drawn: integers (N,)."""
    return rng.multinomial(_n_rows(base), base / base.sum())


def _n_rows(base: np.ndarray) -> int:
    """Return how many rows the weights stand for."""
    return max(1, round(float(base.sum())))
