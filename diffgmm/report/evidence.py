"""`compute_log_evidence`: the log marginal likelihood of a model, with its standard error."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .._seeding import Seed, generator, seed_sequence
from ..blocks import check_cores
from ..covariance import family_of
from ..data import Data
from ..errors import InvalidFileError, InvalidParameterError
from ..posterior.bridge import Parameters, bridge
from ..posterior.evidence import log_evidence_smc
from ..posterior.gibbs import Target
from ..posterior.priors import Prior
from .draws import observed_rows, posterior_group, variable, weights_of_rows
from .inference_data import SAMPLE_DIMS, as_tree


@dataclass(frozen=True)
class LogEvidence:
    """An estimate of the log marginal likelihood log p(X | model), with its error.

    Attributes
    ----------
    log_evidence : float
        In nats, of densities per unit of the data.
    std_error : float
        Of log_evidence, Monte Carlo error only.
    method : str
        How it was computed: "bridge" or "smc".
    """

    log_evidence: float
    std_error: float
    method: str


def compute_log_evidence(
    idata: Any,
    X: Any = None,
    *,
    method: Literal["bridge", "smc"] = "bridge",
    cores: int | None = None,
    random_seed: Seed = None,
    progressbar: bool = True,
) -> LogEvidence:
    """Return the log marginal likelihood of the model that was sampled, with its standard error.

    The difference of two is the log Bayes factor. It depends on the prior more than the posterior
    does: under `Prior.weakly_informative` compare with care.

    Parameters
    ----------
    idata : arviz.InferenceData or xarray.DataTree
        From `diffgmm.sample`: its attributes hold the prior and the family.
    X : array-like, shape (N, D), optional
        The rows that were sampled from; those of `observed_data` when not given.
    method : {"bridge", "smc"}
        "bridge", bridge sampling from the draws: fast, and right when aligned draws are about
        normal after a change of coordinates and their chains agree. "smc": particles down the noise
        ladder, which need no draws; for some thousand rows at most.
    cores : int, optional
        Threads; every available core by default. The result does not depend on it.
    random_seed : int, sequence of int, Generator or None
    progressbar : bool, default True
        Show the progress of "smc" on a terminal.

    Returns
    -------
    LogEvidence
        log_evidence, std_error, method. An error above 1 says that it is not known.

    Raises
    ------
    InvalidParameterError
        When the attributes hold no prior, rows had weights, or there are too few draws.

    References
    ----------
    Meng and Wong (1996), Statistica Sinica 6, 831-860; Del Moral, Doucet and Jasra (2006),
    doi:10.1111/j.1467-9868.2006.00553.x.

    Examples
    --------
    >>> import diffgmm
    >>> X = diffgmm.datasets.load_galaxies()
    >>> idata = diffgmm.sample(X, 1, random_seed=1, progressbar=False)
    >>> round(diffgmm.compute_log_evidence(idata, random_seed=1).log_evidence)
    -247
    """
    if method not in ("bridge", "smc"):
        raise InvalidParameterError(f"method must be 'bridge' or 'smc', got {method!r}.")
    tree = as_tree(idata)
    posterior = posterior_group(tree)
    means = variable(posterior, "means", "means")
    values = X
    if values is None:
        values, _ = observed_rows(tree, means.shape[-1])
        if values is None:
            raise InvalidParameterError("There is no group observed_data with the rows. Give X.")
    target = _target(posterior, Data.of(values), means.sizes["cluster"])
    if weights_of_rows(tree) is not None:
        raise InvalidParameterError(
            "The evidence of rows with a sample_weight is not defined: their weighted likelihood is "
            "no density. Sample without sample_weight, or give repeated rows."
        )
    if method == "smc":
        sequence = seed_sequence(random_seed)
        estimate = log_evidence_smc(target, sequence, check_cores(cores), progressbar)
    else:
        draws = _draws(posterior)
        estimate = bridge(target, draws, posterior.sizes["chain"], generator(random_seed))
    return LogEvidence(float(estimate[0]), float(estimate[1]), method)


def _target(posterior: Any, data: Data, n_components: int) -> Target:
    try:
        prior = Prior.from_json(posterior.attrs["prior"])
    except (KeyError, InvalidFileError):
        raise InvalidParameterError(
            "The attributes of the posterior hold no diffgmm.Prior: only draws of diffgmm.sample do."
        ) from None
    return Target.of(data, family_of(prior.covariance_type), prior, n_components)


def _draws(posterior: Any) -> Parameters:
    arrays = {}
    for name in ("weights", "means", "covariances", "C0"):
        if name in posterior.data_vars:
            array = posterior[name].transpose(*SAMPLE_DIMS, ...).values
            arrays[name] = np.asarray(array, dtype=float).reshape(-1, *array.shape[2:])
    return Parameters(**arrays)
