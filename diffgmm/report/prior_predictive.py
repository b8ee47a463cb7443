"""`sample_prior_predictive`: parameters and rows from a prior, before any data are seen."""

from typing import Any

import numpy as np

from .._seeding import Seed, child_sequence, generator, seed_sequence
from ..arguments import check_count
from ..errors import InvalidParameterError
from ..posterior.families import covariance_prior
from ..posterior.priors import Prior
from .inference_data import SAMPLE_DIMS, Group, build
from .posterior_groups import PREDICTIVE_STREAM
from .thinning import PREDICTIVE_VALUES, every_nth
from .unknown_k import UNALIGNED_PRIOR, check_for_unknown_k, prior_attrs, split_by_labels

PARAMETER_STREAM = 0


def sample_prior_predictive(
    prior: Prior, n: int, *, draws: int = 500, random_seed: Seed = None
) -> Any:
    """Draw parameters from a prior and rows from the mixtures that they make.

    Parameters
    ----------
    prior : Prior
        With its number of components set, or unknown.
    n : int
        Rows N of each draw.
    draws : int, default 500
        Draws S, all in one chain.
    random_seed : int, sequence of int, Generator or None
        An integer repeats the draws. More rows leave the parameters as they are.

    Returns
    -------
    arviz.InferenceData (ArviZ 0.x) or xarray.DataTree (ArviZ 1.x)
        prior: the parameters, as in the posterior of `diffgmm.sample`; prior_predictive: `x` (chain,
        draw, obs_id, feature), of every second, third, ... draw beyond 10,000,000 values. With K
        unknown the parameters of components are in `unaligned_prior`, NaN beyond the draw's own K.

    Raises
    ------
    InvalidParameterError
        One line: the rule, what was given, the remedy.

    Examples
    --------
    >>> import diffgmm
    >>> X = diffgmm.datasets.load_faithful()
    >>> prior = diffgmm.Prior.weakly_informative(X, 2)
    >>> idata = diffgmm.sample_prior_predictive(prior, 272, draws=100, random_seed=1)
    >>> idata["prior_predictive"]["x"].shape
    (1, 100, 272, 2)
    """
    if not isinstance(prior, Prior):
        raise InvalidParameterError(f"prior must be a diffgmm.Prior, got {type(prior).__name__}.")
    k, n, draws = prior.n_components, check_count("n", n), check_count("draws", draws)
    if k is None:
        check_for_unknown_k(prior)
    sequence = seed_sequence(random_seed)
    parameters = prior.draw(k, draws, child_sequence(sequence, PARAMETER_STREAM))
    arrays = {name: array[None] for name, array in parameters.items()}
    free, labelled = split_by_labels(arrays, prior.covariance_type)
    kept, step = every_nth(draws, n * prior.n_features, PREDICTIVE_VALUES)
    rows = _rows(prior, parameters, kept, n, child_sequence(sequence, PREDICTIVE_STREAM))
    attrs = {
        "inference_method": "prior draws",
        "covariance_type": prior.covariance_type,
        "prior": prior.to_json(),
        **(prior_attrs(prior) if k is None else {"n_components": k}),
    }
    predictive = {"x": ((*SAMPLE_DIMS, "obs_id", "feature"), rows[None])}
    groups = {"prior": Group({**labelled, **free}, attrs)}
    if k is None:
        groups = {"prior": Group(free, attrs), UNALIGNED_PRIOR: Group(labelled)}
    groups["prior_predictive"] = Group(predictive, {"thinning": step}, kept)
    names = [f"x{a}" for a in range(prior.n_features)]
    return build(groups, {"feature": names, "feature_bis": names}, attrs)


def _rows(
    prior: Prior,
    parameters: dict[str, np.ndarray],
    kept: np.ndarray,
    n: int,
    sequence: np.random.SeedSequence,
) -> np.ndarray:
    """Return n rows of each kept draw, (S', N, D)."""
    rng, d = generator(sequence), prior.n_features
    own = covariance_prior(prior.covariance_type)
    weights, means = np.nan_to_num(parameters["weights"]), parameters["means"]
    rows = np.empty((len(kept), n, d))
    for out, s in zip(rows, kept, strict=True):
        used = ~np.isnan(parameters["weights"][s])
        covariances = None
        if own.is_free:
            covariances = parameters["covariances"][s]
            covariances = covariances[used] if own.is_labelled else covariances
        roots = np.linalg.cholesky(own.as_full(covariances, int(used.sum()), d))
        owner = rng.choice(weights.shape[1], size=n, p=weights[s] / weights[s].sum())
        normals = rng.standard_normal((n, d))
        out[:] = means[s][owner]
        for j, root in enumerate(roots):
            chosen = owner == j
            out[chosen] += normals[chosen] @ root.T
    return rows
