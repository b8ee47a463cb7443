"""`fit_posterior`: the posterior draws of any library as a mixture of Gaussians with names."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._seeding import Seed
from ..errors import InvalidParameterError
from ..learn.fit import fit
from ..mixture import GaussianMixture
from .draws import posterior_group, variable
from .inference_data import SAMPLE_DIMS, as_tree

# More draws than this do not change the fit.
MOST_DRAWS = 20_000

# Standard deviations of an entry, given those before it, that are rounding of single-precision draws.
SMALLEST_LEFT = 1e-5


def fit_posterior(
    idata: Any,
    var_names: str | Sequence[str] | None = None,
    *,
    n_components: int | range | None = None,
    random_seed: Seed = None,
    cores: int | None = None,
) -> GaussianMixture:
    """Fit a mixture of Gaussians to posterior draws, of all chains together.

    Parameters
    ----------
    idata : arviz.InferenceData or xarray.DataTree
        Of any library.
    var_names : str or sequence of str, optional
        Variables of `posterior`, together at most a few dozen numbers; all by default. Entries that
        are the same in every draw (zeros of a triangular matrix) or are fixed by those before them
        (the last of weights that sum to 1, the upper half of a covariance) are left out.
    n_components : int, range or None
        As in `diffgmm.fit`: the smallest BIC of 1 to 15 by default.
    random_seed : int, sequence of int, Generator or None
    cores : int, optional
        Threads; every available core by default.

    Returns
    -------
    GaussianMixture
        Its features are named as by ArviZ: `mu[0, x]` with the labels of the dims. Density, draws,
        marginals and conditionals of the posterior follow in closed form.

    Raises
    ------
    InvalidParameterError
        When a variable is missing, not a number, or nothing in it varies.

    Notes
    -----
    The draws count as independent, so slowly mixing chains give more components than they earn.
    """
    names, table = posterior_table(idata, var_names)
    found = fit(
        thinned(table),
        n_components,
        random_seed=random_seed,
        progressbar=False,
        cores=cores,
    ).mixture
    return GaussianMixture(
        found.weights, found.means, found.covariances, feature_names=tuple(names)
    )


def thinned(table: np.ndarray) -> np.ndarray:
    """Return every so many-th draw (S', P), at most 20,000: all that a fit needs."""
    return np.ascontiguousarray(table[:: -(-len(table) // MOST_DRAWS)])


def posterior_table(
    idata: Any, var_names: str | Sequence[str] | None
) -> tuple[list[str], np.ndarray]:
    """Return the names and the draws (S, P) of what varies in the posterior."""
    posterior = posterior_group(as_tree(idata))
    if var_names is None:
        var_names = [str(name) for name in posterior.data_vars]
    chosen = [var_names] if isinstance(var_names, str) else list(var_names)
    if not chosen:
        raise InvalidParameterError("var_names must name at least one variable of the posterior.")
    n_draws = posterior.sizes["chain"] * posterior.sizes["draw"]
    names: list[str] = []
    columns = []
    for name in chosen:
        array = variable(posterior, name, "var_names").transpose(*SAMPLE_DIMS, ...)
        if array.dtype.kind not in "fiu":
            raise InvalidParameterError(f"The variable {name!r} must be numbers.")
        names.extend(_labels(array))
        columns.append(np.asarray(array.values, dtype=float).reshape(n_draws, -1))
    table = np.concatenate(columns, axis=1)
    if not np.all(np.isfinite(table)):
        raise InvalidParameterError("The draws must be finite.")
    varies = np.ptp(table, axis=0) > 0.0
    if not varies.any():
        raise InvalidParameterError(f"Nothing varies over the draws of {', '.join(chosen)}.")
    free = np.flatnonzero(varies)[_independent(table[:, varies])]
    return [names[index] for index in free], table[:, free]


def _independent(table: np.ndarray) -> np.ndarray:
    """Return whether each column is no linear combination of those before it."""
    standard = (table - table.mean(axis=0)) / table.std(axis=0)
    left = np.abs(np.diagonal(np.linalg.qr(standard, mode="r"))) / np.sqrt(len(table))
    free = np.zeros(table.shape[1], dtype=bool)
    free[: len(left)] = left > SMALLEST_LEFT
    return free


def _labels(array: Any) -> list[str]:
    """Return a name for each entry, with the labels of its coordinates."""
    dims = [dim for dim in array.dims if dim not in SAMPLE_DIMS]
    if not dims:
        return [str(array.name)]
    labels = [[str(value) for value in array[dim].values.tolist()] for dim in dims]
    sizes = [array.sizes[dim] for dim in dims]
    return [
        f"{array.name}[{', '.join(own[i] for own, i in zip(labels, index))}]"
        for index in np.ndindex(*sizes)
    ]
