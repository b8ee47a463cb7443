"""Which rows belong together: membership, co-clustering, and one partition with its uncertainty."""

from itertools import islice
from typing import Any, Unpack

import numpy as np

from .._seeding import Seed, seed_sequence, stream
from ..arguments import check_count
from ..blocks import RowBlocks
from ..errors import InvalidParameterError
from ..posterior import partitions
from ..posterior.mixture_draws import MixtureDraws
from .aligned import read_aligned, read_draws
from .draws import PosteriorMixtures, VariableNames, names_of

# Entries of a result that are kept without being asked for: 200 MB.
MOST_ENTRIES = 25_000_000

# Draws whose shares of all components are multiplied together.
DRAWS_AT_ONCE = 64

# Component numbers (rows x draws) that a partition is estimated from: 200 MB.
MOST_ALLOCATIONS = 100_000_000
PARTITION_DRAWS = 1_000


def membership(idata: Any, X: Any = None, **names: Unpack[VariableNames]) -> Any:
    """Return p(component | row) of every row, averaged over all draws.

    Parameters
    ----------
    idata : arviz.InferenceData, xarray.DataTree or MixtureFit
        Of any library; labels are aligned first where nothing says that they are.
    X : array-like, shape (N, D), optional
        Rows, seen or new; those of `observed_data` when not given.
    **names
        weights, means, covariances, scales, cluster_dim: as in `diffgmm.relabel`.

    Returns
    -------
    xarray.DataArray, dims (obs_id, cluster)
        Rows sum to 1. Its own uncertainty is small where `membership` is near 0 or 1.

    Raises
    ------
    InvalidParameterError, InvalidDataError
        When a variable or the rows are missing, or columns do not fit.
    """
    import xarray

    posterior = read_aligned(idata, names_of(**names), what="membership")
    values, mixtures = posterior.rows(X), posterior.mixtures
    total = np.zeros((len(values), mixtures.n_components))
    mixtures.component(0)

    def work(start: int, stop: int) -> None:
        for own in mixtures.responsibilities(values[start:stop]):
            total[start:stop] += own

    RowBlocks(*values.shape).map(work)
    coords = {"obs_id": np.arange(len(values)), "cluster": posterior.cluster}
    return xarray.DataArray(
        total / mixtures.n_draws, coords, ("obs_id", "cluster"), name="membership"
    )


def co_clustering(
    idata: Any,
    X: Any = None,
    *,
    pairs: Any = None,
    landmarks: Any = None,
    rows: Any = None,
    **names: Unpack[VariableNames],
) -> Any:
    """Return the probability that two rows share a component, averaged over all draws.

    It does not depend on labels. Given the parameters of a draw, rows are independent, so that
    the probability is sum_k p(k | row) p(k | other row): no allocation is drawn.

    Parameters
    ----------
    idata : arviz.InferenceData, xarray.DataTree or MixtureFit
        Of any library.
    X : array-like, shape (N, D), optional
        Those of `observed_data` when not given.
    pairs : array-like of int, shape (P, 2), optional
        Numbers of rows, for chosen pairs.
    landmarks : array-like of int, shape (L,), optional
        Rows that each of `rows` is compared with; all N when neither is given.
    rows : array-like of int, optional
        All N when not given.
    **names
        weights, means, covariances, scales, cluster_dim: as in `diffgmm.relabel`.

    Returns
    -------
    xarray.DataArray
        dims (pair,) for pairs, (obs_id, landmark) otherwise.

    Raises
    ------
    InvalidParameterError
        When the result would have more than 25 million entries, or a row number is out of range.
    """
    import xarray

    posterior = read_draws(idata, names_of(**names))
    values, mixtures = posterior.rows(X), posterior.mixtures
    if pairs is not None:
        if landmarks is not None or rows is not None:
            raise InvalidParameterError("Give pairs, or rows and landmarks, not both.")
        index = _row_numbers("pairs", pairs, len(values), 2)
        together = _of_pairs(mixtures, values, index)
        coords = {
            "pair": np.arange(len(index)),
            "first": ("pair", index[:, 0]),
            "second": ("pair", index[:, 1]),
        }
        return xarray.DataArray(together, coords, ("pair",), name="co_clustering")
    every = np.arange(len(values))
    first = every if rows is None else _row_numbers("rows", rows, len(values), 1)
    second = every if landmarks is None else _row_numbers("landmarks", landmarks, len(values), 1)
    if len(first) * len(second) > MOST_ENTRIES:
        raise InvalidParameterError(
            f"{len(first)} x {len(second)} probabilities are more than {MOST_ENTRIES:,}. "
            "Give pairs, or fewer landmarks or rows."
        )
    block = _of_block(mixtures, values, first, second)
    coords = {"obs_id": first, "landmark": second}
    return xarray.DataArray(block, coords, ("obs_id", "landmark"), name="co_clustering")


def _row_numbers(name: str, given: Any, n_rows: int, n_dims: int) -> np.ndarray:
    index = np.asarray(given)
    fits = index.ndim == n_dims and index.size > 0 and index.dtype.kind in "iu"
    if not fits or (n_dims == 2 and index.shape[1] != 2):
        shape = "(P, 2)" if n_dims == 2 else "(L,)"
        raise InvalidParameterError(
            f"{name} must be row numbers of shape {shape}, got {index.dtype} of shape {index.shape}."
        )
    if index.min() < 0 or index.max() >= n_rows:
        raise InvalidParameterError(
            f"{name} must be row numbers from 0 to {n_rows - 1}, got {index.min()} to "
            f"{index.max()}."
        )
    return index.astype(np.int64)


def _of_pairs(mixtures: MixtureDraws, values: np.ndarray, index: np.ndarray) -> np.ndarray:
    out = np.zeros(len(index))
    mixtures.component(0)

    def work(start: int, stop: int) -> None:
        rows, places = np.unique(index[start:stop], return_inverse=True)
        places = places.reshape(-1, 2)
        for own in mixtures.responsibilities(np.ascontiguousarray(values[rows])):
            out[start:stop] += np.einsum("pk,pk->p", own[places[:, 0]], own[places[:, 1]])

    RowBlocks(len(index), values.shape[1]).map(work)
    return np.where(index[:, 0] == index[:, 1], 1.0, np.minimum(out / mixtures.n_draws, 1.0))


def _of_block(
    mixtures: MixtureDraws, values: np.ndarray, first: np.ndarray, second: np.ndarray
) -> np.ndarray:
    out = np.zeros((len(first), len(second)))
    mixtures.component(0)
    others = np.ascontiguousarray(values[second])

    def work(start: int, stop: int) -> None:
        rows = np.ascontiguousarray(values[first[start:stop]])
        both = zip(mixtures.responsibilities(rows), mixtures.responsibilities(others))
        # One product of many draws side by side: draw by draw, memory is all that would be busy.
        while together := [(one.copy(), two.copy()) for one, two in islice(both, DRAWS_AT_ONCE)]:
            left, right = (np.concatenate(part, axis=1) for part in zip(*together))
            out[start:stop] += left @ right.T

    RowBlocks(len(first), values.shape[1]).map(work)
    out /= mixtures.n_draws
    np.minimum(out, 1.0, out=out)
    out[first[:, None] == second] = 1.0
    return out


def partition(
    idata: Any,
    X: Any = None,
    *,
    max_clusters: int | None = None,
    probability: float = 0.95,
    random_seed: Seed = None,
    **names: Unpack[VariableNames],
) -> Any:
    """Return the partition of the rows with the least expected variation of information.

    It does not depend on labels, and may have fewer clusters than there are components.

    Parameters
    ----------
    idata : arviz.InferenceData, xarray.DataTree or MixtureFit
        Of any library.
    X : array-like, shape (N, D), optional
        Those of `observed_data` when not given.
    max_clusters : int, optional
        The number of components when not given.
    probability : float, default 0.95
        Of the credible ball, between 0 and 1.
    random_seed : int, sequence of int, Generator or None
        Of the allocations and of the search.
    **names
        weights, means, covariances, scales, cluster_dim: as in `diffgmm.relabel`.

    Returns
    -------
    xarray.Dataset
        partition (obs_id,): clusters 0, 1, ... by decreasing size. agreement (obs_id,): the mean
        probability that the row shares a component with another of its cluster. expected_vi and
        radius, in nats: the draws' mean distance, and the one that holds `probability` of them.
        horizontal, vertical_upper, vertical_lower (obs_id,): the partition farthest away within
        that ball, the one with the fewest clusters, and the one with the most. Attributes say how
        many draws were used: at most 1,000, evenly spread, fewer for more than 100,000 rows.

    Raises
    ------
    InvalidParameterError, InvalidDataError
        When a variable or the rows are missing, or an argument is out of range.

    References
    ----------
    Dahl, Johnson, Müller (2022), SALSO, doi:10.1080/10618600.2022.2069779; Wade, Ghahramani
    (2018), credible balls, doi:10.1214/17-BA1073.
    """
    if not (isinstance(probability, (int, float)) and 0.0 < probability < 1.0):
        raise InvalidParameterError(
            f"probability must be a number between 0 and 1, got {probability!r}."
        )
    posterior = read_draws(idata, names_of(**names))
    values, mixtures = posterior.rows(X), posterior.mixtures
    n_clusters = mixtures.n_components
    if max_clusters is not None:
        n_clusters = min(check_count("max_clusters", max_clusters), len(values))
    sequence = seed_sequence(random_seed)
    most = min(mixtures.n_draws, PARTITION_DRAWS, max(1, MOST_ALLOCATIONS // len(values)))
    chosen = np.unique(np.linspace(0, mixtures.n_draws - 1, most).astype(int))
    allocations = draw_allocations(mixtures.select(chosen), values, sequence)
    found = partitions.estimate(allocations, n_clusters, sequence)
    radius, edges = partitions.credible_ball(allocations, found.distances, probability)
    variables = {
        "partition": ("obs_id", found.labels),
        "agreement": ("obs_id", partitions.agreement(allocations, found.labels)),
        "expected_vi": ((), found.loss),
        "radius": ((), radius),
        **{
            name: ("obs_id", partitions.by_size(allocations[:, s].astype(np.int64)))
            for name, s in edges.items()
        },
    }
    return _partition_dataset(variables, posterior, len(chosen), probability)


def _partition_dataset(
    variables: dict[str, Any], posterior: PosteriorMixtures, n_draws: int, probability: float
) -> Any:
    import xarray

    n_rows = len(variables["partition"][1])
    attrs = {"loss": "variation of information", "units": "nats", "n_draws": n_draws}
    attrs |= {"probability": probability}
    return xarray.Dataset(variables, {"obs_id": np.arange(n_rows)}, attrs)


def draw_allocations(
    mixtures: MixtureDraws, values: np.ndarray, sequence: np.random.SeedSequence
) -> np.ndarray:
    """Return a component for each row and draw, (N, S), drawn from p(component | row)."""
    kind = np.uint8 if mixtures.n_components <= 256 else np.uint16
    out = np.empty((len(values), mixtures.n_draws), dtype=kind)
    mixtures.component(0)

    def work(start: int, stop: int) -> None:
        rng = stream(sequence, 2**32 - 1, start)  # the search numbers its streams from 0
        for s, own in enumerate(mixtures.responsibilities(values[start:stop])):
            cumulative = np.cumsum(own, axis=1)
            uniform = rng.random(stop - start) * cumulative[:, -1]
            out[start:stop, s] = (uniform[:, None] >= cumulative[:, :-1]).sum(axis=1)

    RowBlocks(*values.shape).map(work)
    return out
