"""`loo_pit`: rows under the predictive distribution of all the others, by the mixture's own CDF."""

from typing import Any, Unpack

import numpy as np

from ..arguments import check_count
from ..errors import InvalidParameterError
from ..geometry.calibration import predictive_transforms
from .aligned import read_draws
from .draws import VariableNames, names_of
from .inference_data import FEWEST_DRAWS, psis_log_weights

# Draws that are used, evenly spread: beyond them weights of PSIS change little.
DRAWS = 1000

# Rows that are worked on together, so that nothing of size draws x rows is kept.
ROWS_AT_ONCE = 4_096


def loo_pit(
    idata: Any,
    X: Any = None,
    *,
    loo: bool = True,
    draws: int = DRAWS,
    **names: Unpack[VariableNames],
) -> Any:
    """Return probability integral transforms of the rows, each left out of its own prediction.

    They are exact for every draw: the mixture's distribution function is known, so that no
    predictive draws are needed, and several features are no obstacle as they are for `az.loo_pit`.

    Parameters
    ----------
    idata : arviz.InferenceData, xarray.DataTree or MixtureFit
        Of any library. Draws are weighted by Pareto smoothed importance sampling; one draw (a fit)
        cannot leave a row out. A row with a weight is left out with all its copies.
    X : array-like, shape (N, D), optional
        Those of `observed_data` when not given.
    loo : bool, default True
        False: the plain predictive distribution; right for rows that the posterior has not seen.
    draws : int, default 1000
        Draws that are used, evenly spread over the chains.
    **names
        weights, means, covariances, scales, cluster_dim: as in `diffgmm.relabel`.

    Returns
    -------
    xarray.Dataset, dims (obs_id, feature)
        pit: P(feature <= the row's). rosenblatt: the same given the features before it; with
        right predictions independent and uniform. joint (obs_id,): chi-squared distribution
        function of the sum of the squares of their normal quantiles. pareto_k (obs_id,) when rows
        were left out: above 0.7 a row's numbers are not reliable.

    Raises
    ------
    InvalidParameterError, InvalidDataError
        When a variable or the rows are missing, columns do not fit, or there are 2 to 24 draws.

    References
    ----------
    Gelfand, Dey, Chang (1992); Rosenblatt (1952), doi:10.1214/aoms/1177729394; Vehtari, Simpson,
    Gelman, Yao, Gabry (2024), PSIS, Journal of Machine Learning Research 25(72).
    """
    import xarray
    from scipy.special import chdtr, ndtri

    posterior = read_draws(idata, names_of(**names)).thinned(check_count("draws", draws))
    values, mixtures = posterior.rows(X), posterior.mixtures
    leave_out = loo and mixtures.n_draws > 1
    if leave_out and mixtures.n_draws < FEWEST_DRAWS:
        raise InvalidParameterError(
            f"Leaving rows out needs {FEWEST_DRAWS} draws or more, got {mixtures.n_draws}. "
            "Sample more of them, or use loo=False."
        )
    marginal, rosenblatt = np.empty(values.shape), np.empty(values.shape)
    pareto_k = np.empty(len(values))
    for start in range(0, len(values), ROWS_AT_ONCE):
        own = slice(start, start + ROWS_AT_ONCE)
        rows = values[own]
        log_weights = np.zeros((mixtures.n_draws, len(rows)))
        if leave_out:
            log_density = mixtures.log_density(rows)
            if X is None and posterior.sample_weight is not None:
                log_density *= posterior.sample_weight[own]
            log_weights, pareto_k[own] = psis_log_weights(log_density)
        found = predictive_transforms(
            mixtures.weights, mixtures.means, mixtures.covariances, rows, log_weights
        )
        marginal[own], rosenblatt[own] = found.marginal, found.rosenblatt
    edge = np.finfo(float).tiny
    normal = ndtri(np.clip(rosenblatt, edge, 1.0 - np.finfo(float).epsneg))
    variables = {
        "pit": (("obs_id", "feature"), marginal),
        "rosenblatt": (("obs_id", "feature"), rosenblatt),
        "joint": (("obs_id",), chdtr(values.shape[1], np.square(normal).sum(axis=1))),
    }
    if leave_out:
        variables["pareto_k"] = (("obs_id",), pareto_k)
    coords = {"obs_id": np.arange(len(values)), "feature": list(posterior.feature_names)}
    return xarray.Dataset(variables, coords, {"leave_one_out": int(leave_out)})
