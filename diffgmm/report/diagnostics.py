"""What a mixture needs beyond R-hat: switching, overlap, identifiability, number of modes."""

from typing import Any, Unpack

import numpy as np

from ..arguments import check_count
from ..errors import InvalidParameterError
from ..geometry.modes import find_modes
from ..geometry.overlap import bhattacharyya, misclassification
from ..posterior.mixture_draws import MixtureDraws
from .aligned import read_aligned, read_draws
from .draws import PosteriorMixtures, VariableNames, names_of, posterior_group
from .inference_data import SAMPLE_DIMS, as_tree
from .relabel import CLEAR_ODDS, alignment_of
from .unknown_k import refuse_unknown_k

# Draws that are looked at, evenly spread: what is averaged varies little between draws.
DRAWS = 200

# Points for each pair and draw: the spread over draws is wider than their error.
POINTS_PER_DRAW = 256

PAIR = ("cluster", "cluster_bis")


def label_switching(idata: Any, X: Any = None, **names: Unpack[VariableNames]) -> Any:
    """Return how often the numbering of the components changes among the draws, as they are.

    Parameters
    ----------
    idata : arviz.InferenceData or xarray.DataTree
        Of any library.
    X : array-like, shape (N, D), optional
        Rows, for the alignment; those of `observed_data`, or draws of the mixtures, otherwise.
    **names
        weights, means, covariances, scales, cluster_dim: as in `diffgmm.relabel`.

    Returns
    -------
    xarray.Dataset
        score: the share of draws whose numbering is not the most common one; 0 when labels never
        switch, near 1 - 1 / K! when they switch freely. within (chain,): that share for each
        chain's own most common one. between: the share of chains whose most common numbering is
        not that of most chains. ambiguous: the share of draws whose numbering has odds below 19 : 1
        against an exchange of two components, which no relabelling can settle.

    Raises
    ------
    InvalidParameterError, InvalidDataError
        When a variable is missing, columns of X do not fit, or K is unknown.

    Notes
    -----
    Draws of `diffgmm.sample` are aligned already, so that their score is 0.
    """
    import xarray

    tree, own_names = as_tree(idata), names_of(**names)
    refuse_unknown_k(tree, "label_switching")
    posterior = posterior_group(tree)
    alignment = alignment_of(tree, posterior, own_names, "ecr", None, X)
    shape = (posterior.sizes["chain"], posterior.sizes["draw"])
    numbering = np.unique(alignment.order, axis=0, return_inverse=True)[1].reshape(shape)
    by_chain = np.array([np.bincount(own).argmax() for own in numbering])
    most = np.bincount(numbering.ravel()).argmax()
    variables = {
        "score": ((), float(np.mean(numbering != most))),
        "within": (("chain",), np.mean(numbering != by_chain[:, None], axis=1)),
        "between": ((), float(np.mean(by_chain != np.bincount(by_chain).argmax()))),
        "ambiguous": ((), float(np.mean(alignment.log_odds < np.log(CLEAR_ODDS)))),
    }
    return xarray.Dataset(variables, {"chain": posterior["chain"].values})


def overlap(idata: Any, *, draws: int = DRAWS, **names: Unpack[VariableNames]) -> Any:
    """Return how much every two components overlap, draw by draw.

    Parameters
    ----------
    idata : arviz.InferenceData, xarray.DataTree or MixtureFit
        Of any library; labels are aligned first where nothing says that they are.
    draws : int, default 200
        Draws that are looked at, evenly spread over the chains.
    **names
        weights, means, covariances, scales, cluster_dim: as in `diffgmm.relabel`.

    Returns
    -------
    xarray.Dataset, dims (chain, draw, cluster, cluster_bis)
        bhattacharyya: coefficient, 1 for equal components. misclassification: the probability that
        a row of `cluster` is more probable under `cluster_bis`, weights included (MixSim's omega).
        mean_overlap, max_overlap (chain, draw): of omega + omega' over all pairs, as in MixSim.

    Raises
    ------
    InvalidParameterError, InvalidDataError
        When a variable is missing, K is unknown, or draws is not a positive integer.

    References
    ----------
    Maitra, Melnykov (2010), doi:10.1198/jcgs.2009.08054.
    """
    posterior = read_aligned(idata, names_of(**names), what="overlap")
    return overlap_of(posterior.thinned(check_count("draws", draws)))


def overlap_of(posterior: PosteriorMixtures) -> Any:
    """Return what `overlap` does, of draws that were read."""
    import xarray

    mixtures = posterior.mixtures
    coefficient = bhattacharyya(mixtures.means, mixtures.covariances)
    omega = misclassification(
        mixtures.weights, mixtures.means, mixtures.covariances, n_points=POINTS_PER_DRAW
    )
    pairs = np.triu_indices(mixtures.n_components, 1)
    both = (omega + np.swapaxes(omega, 1, 2))[:, *pairs]
    if not both.size:  # one component
        both = np.zeros((mixtures.n_draws, 1))
    dims = (*SAMPLE_DIMS, *PAIR)
    variables = {
        "bhattacharyya": (dims, _by_chain(posterior, coefficient)),
        "misclassification": (dims, _by_chain(posterior, omega)),
        "mean_overlap": (SAMPLE_DIMS, _by_chain(posterior, both.mean(axis=1))),
        "max_overlap": (SAMPLE_DIMS, _by_chain(posterior, both.max(axis=1))),
    }
    coords = {**_coords(posterior), **dict.fromkeys(PAIR, posterior.cluster)}
    return xarray.Dataset(variables, coords)


def identifiability(
    idata: Any, X: Any = None, *, draws: int = DRAWS, **names: Unpack[VariableNames]
) -> Any:
    """Return, for every component, whether the rows tell it from none and from its neighbour.

    Parameters
    ----------
    idata : arviz.InferenceData, xarray.DataTree or MixtureFit
        Of any library; labels are aligned first where nothing says that they are.
    X : array-like, shape (N, D), optional
        Those of `observed_data` when not given.
    draws : int, default 200
        Draws that are looked at, evenly spread over the chains.
    **names
        weights, means, covariances, scales, cluster_dim: as in `diffgmm.relabel`.

    Returns
    -------
    xarray.Dataset, dims (cluster,)
        empty: probability that no row belongs to the component; its parameters then come from the
        prior alone. coincidence: mean Bhattacharyya coefficient with the component nearest in that
        sense, named in nearest. one_mode: share of draws in which these two, with their weights,
        have one mode between them.

    Raises
    ------
    InvalidParameterError, InvalidDataError
        When a variable or the rows are missing, columns of X do not fit, or K is unknown.

    Notes
    -----
    An overfitted mixture is not identified in two ways: a component without weight, and two
    components at one place (Frühwirth-Schnatter 2006, section 1.3).
    """
    posterior = read_aligned(idata, names_of(**names), X, what="identifiability")
    return identifiability_of(posterior.thinned(check_count("draws", draws)), posterior.rows(X))


def identifiability_of(posterior: PosteriorMixtures, values: np.ndarray) -> Any:
    """Return what `identifiability` does, of draws that were read and rows (N, D)."""
    import xarray

    mixtures = posterior.mixtures
    k = mixtures.n_components
    coefficient = bhattacharyya(mixtures.means, mixtures.covariances)
    mean = coefficient.mean(axis=0) - 2.0 * np.eye(k)
    nearest = mean.argmax(axis=1) if k > 1 else np.zeros(1, dtype=int)
    variables = {
        "empty": _emptiness(mixtures, values),
        "nearest": posterior.cluster[nearest],
        "coincidence": mean.max(axis=1) if k > 1 else np.zeros(1),
        "one_mode": np.array([_share_with_one_mode(mixtures, i, nearest[i]) for i in range(k)]),
    }
    dims = {name: (("cluster",), array) for name, array in variables.items()}
    return xarray.Dataset(dims, {"cluster": posterior.cluster})


def n_modes(
    idata: Any, *, draws: int = DRAWS, min_mass: float = 0.0, **names: Unpack[VariableNames]
) -> Any:
    """Return the number of modes of the mixture's density in each draw; labels play no part.

    Parameters
    ----------
    idata : arviz.InferenceData, xarray.DataTree or MixtureFit
        Of any library.
    draws : int, default 200
        Draws that are looked at, evenly spread over the chains.
    min_mass : float, default 0
        Modes to which components of less weight than this ascend do not count.
    **names
        weights, means, covariances, scales, cluster_dim: as in `diffgmm.relabel`.

    Returns
    -------
    xarray.DataArray, dims (chain, draw)
        Modes are found by ascent from the means and from between each two of them.

    Raises
    ------
    InvalidParameterError, InvalidDataError
        When a variable is missing, or draws or min_mass is outside its range.

    References
    ----------
    Carreira-Perpiñán (2000), doi:10.1109/34.888716; Ray, Lindsay (2005),
    doi:10.1214/009053605000000417.
    """
    import xarray

    is_number = isinstance(min_mass, (int, float, np.number)) and not isinstance(min_mass, bool)
    if not (is_number and 0.0 <= min_mass < 1.0):
        raise InvalidParameterError(f"min_mass must be from 0 to below 1, got {min_mass!r}.")
    posterior = read_draws(idata, names_of(**names)).thinned(check_count("draws", draws))
    mixtures = posterior.mixtures
    found = find_modes(mixtures.weights, mixtures.means, mixtures.covariances)
    counts = np.array([int((own.masses >= min_mass).sum()) for own in found])
    return xarray.DataArray(
        _by_chain(posterior, counts), _coords(posterior), SAMPLE_DIMS, name="n_modes"
    )


def _by_chain(posterior: PosteriorMixtures, array: np.ndarray) -> np.ndarray:
    """Return an array (S, ...) as (chain, draw, ...)."""
    return array.reshape(len(posterior.chain), len(posterior.draw), *array.shape[1:])


def _coords(posterior: PosteriorMixtures) -> dict[str, np.ndarray]:
    return {"chain": posterior.chain, "draw": posterior.draw}


def _emptiness(mixtures: MixtureDraws, values: np.ndarray) -> np.ndarray:
    """Return the probability that no row belongs to each component, (K,)."""
    total = np.zeros(mixtures.n_components)
    for own in mixtures.responsibilities(values):
        with np.errstate(divide="ignore"):
            total += np.exp(np.log1p(-np.minimum(own, 1.0)).sum(axis=0))
    return total / mixtures.n_draws


def _share_with_one_mode(mixtures: MixtureDraws, i: int, j: int) -> float:
    """Return the share of draws in which components i and j have one mode between them."""
    if i == j:
        return 0.0
    pair = [i, j]
    weights = np.maximum(mixtures.weights[:, pair], np.finfo(float).tiny)
    weights = weights / weights.sum(axis=1, keepdims=True)
    found = find_modes(weights, mixtures.means[:, pair], mixtures.covariances[:, pair])
    return float(np.mean([len(own.places) < 2 for own in found]))
