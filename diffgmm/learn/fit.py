"""`fit`: rows in, a mixture with its score model out."""

import warnings
from typing import Any, Literal

import numpy as np

from .._seeding import Seed, child_sequence, seed_sequence
from ..arguments import check_count
from ..covariance import Family, family_of
from ..data import Data, check_constant_columns, count_distinct_rows
from ..diffusion import ScoreModel, fit_score_model
from ..errors import ConvergenceWarning, InvalidParameterError
from ..matrices import EIGENVALUE_FLOOR
from ..mixture import GaussianMixture
from ..progress import Progress
from .mixture_fit import MixtureFit, Trace
from .path import ComponentPath, default_numbers, fit_path
from .search import Optimum, Units, search

MODELS = ("mixture", "diffusion")

INTERRUPTED = (
    "The fit was interrupted: this is the best optimum so far, polished no further and without "
    "learned scores. Fit again without interruption for the final one."
)

# Variances within this factor of the floor are at the floor.
COLLAPSED = 1.5


def fit(
    X: Any,
    n_components: int | range | None = None,
    *,
    model: Literal["mixture", "diffusion"] = "mixture",
    covariance_type: str = "full",
    sample_weight: Any = None,
    random_seed: Seed = None,
    progressbar: bool = True,
    cores: int | None = None,
) -> MixtureFit:
    """Fit a Gaussian mixture to rows, and with ``model="diffusion"`` its residual score as well.

    Parameters
    ----------
    X : array-like or table, shape (N, D)
        Finite numbers; column names are kept.
    n_components : int, range or None
        Number of components K. With a range (None: 1 to 15, at least 10 rows each) every number is
        fitted on one path and the one with the smallest BIC is returned; `.path` keeps them all.
    model : {"mixture", "diffusion"}, default "mixture"
        "diffusion" also learns, level by level, where the scores of the noised data differ from
        those of the noised mixture; draws then follow the corrected scores.
    covariance_type : {"full", "tied", "diag", "spherical", "identity"}, default "full"
        "identity" means a known unit covariance in the units of the data.
    sample_weight : array-like, shape (N,), optional
        How often each row counts; integer weights equal repeated rows.
    random_seed : int, sequence of int, Generator or None
        An integer repeats the fit exactly, for any number of cores.
    progressbar : bool, default True
        Show progress on a terminal while noise levels are regressed.
    cores : int, optional
        Threads; every available core by default.

    Returns
    -------
    MixtureFit

    Raises
    ------
    InvalidDataError, InvalidParameterError
        One line: the rule, what was given, the remedy.
    KeyboardInterrupt
        By Ctrl-C before there is an optimum. Later, while the number of components is settled, the
        best optimum so far is returned with a ConvergenceWarning, polished no further.

    References
    ----------
    Gatmiry, Kelner, Lee (2025), arXiv:2404.18869: warm starts that cover, scores by regression.

    Examples
    --------
    >>> import diffgmm
    >>> found = diffgmm.fit(diffgmm.datasets.load_faithful(), 2, random_seed=1)
    >>> found.mixture.weights.round(2)
    array([0.64, 0.36])
    """
    family = family_of(covariance_type)
    if model not in MODELS:
        raise InvalidParameterError(f"model must be 'mixture' or 'diffusion', got {model!r}.")
    data = Data.of(X)
    weights = check_weights(sample_weight, data.n_rows)
    numbers = check_numbers(n_components, data)
    if family.scaling == "feature":
        check_constant_columns(data)
    if weights is not None and model == "diffusion":
        raise InvalidParameterError(
            "sample_weight is not supported with model='diffusion' yet. Use model='mixture'."
        )
    sequence = seed_sequence(random_seed)
    search_seed, score_seed = child_sequence(sequence, 0), child_sequence(sequence, 1)
    found, path = _find(data, numbers, family, np.random.default_rng(search_seed), weights, cores)
    order = np.argsort(-found.weights, kind="stable")
    mixture = GaussianMixture(
        found.weights[order],
        found.means[order],
        family.as_full(found.covariances[order], data.n_features),
        feature_names=data.feature_names,
    )
    units = Units.of(data, family)
    if model == "mixture" or found.interrupted:
        score_model = ScoreModel.silent(mixture, units.shift, units.scale)
    else:
        with Progress(progressbar) as progress:
            score_model = fit_score_model(
                data,
                mixture,
                units.shift,
                units.scale,
                random_seed=score_seed,
                cores=cores,
                on_level=progress.levels("noise levels"),
            )
    trace = Trace(found.trace, found.converged, found.gradient_norm, _why_stopped(found))
    if found.interrupted:
        warnings.warn(INTERRUPTED, ConvergenceWarning, stacklevel=2)
    _warn_if_collapsed(found, family, units, data.n_rows)
    n_rows = float(data.n_rows if weights is None else weights.sum())
    return MixtureFit(mixture, score_model, trace, n_rows, covariance_type, data.name, path)


def _why_stopped(found: Optimum) -> str:
    if found.interrupted:
        return "interrupted: the best optimum so far"
    if found.converged:
        return "converged: less than 1e-6 nats per row are left to gain"
    return "stopped at the largest number of passes; more rows or fewer components may help"


def _warn_if_collapsed(found: Optimum, family: Family, units: Units, n_rows: int) -> None:
    """Say which components have shrunk onto a point or a plane, where likelihood has no bound."""
    scaled = family.rescale(found.covariances, 1.0 / units.scale)
    smallest = np.linalg.eigvalsh(family.as_full(scaled, len(units.scale)))[:, 0]
    for k in np.flatnonzero(smallest < COLLAPSED * EIGENVALUE_FLOOR):
        warnings.warn(
            f"A component with weight {found.weights[k]:.3g} (about "
            f"{found.weights[k] * n_rows:.0f} rows) has collapsed onto a point or a plane, as "
            "repeated rows make it do; its likelihood has no maximum. Use fewer components, "
            "another covariance_type, or a prior (diffgmm.sample).",
            ConvergenceWarning,
            stacklevel=3,
        )


def _find(
    data: Data,
    numbers: range,
    family: Family,
    rng: np.random.Generator,
    weights: np.ndarray | None,
    cores: int | None,
) -> tuple[Optimum, ComponentPath | None]:
    """Return the optimum asked for, and the path that chose its number of components."""
    if len(numbers) == 1:
        return search(data, numbers[0], family, seed=rng, row_weights=weights, cores=cores)[0], None
    path = fit_path(data, numbers, family, rng=rng, row_weights=weights, cores=cores)
    chosen = path.best()
    also = [path.optimum(chosen)]
    found, _ = search(
        data, chosen, family, seed=rng, row_weights=weights, cores=cores, also=also
    )
    return found, path


def check_numbers(n_components: Any, data: Data) -> range:
    """Return the numbers of components to try."""
    if n_components is None:
        numbers = default_numbers(data.n_rows)
        return range(1, check_n_components(numbers[-1], data, enough=True) + 1)
    if isinstance(n_components, range):
        if len(n_components) == 0 or n_components[0] < 1 or n_components.step != 1:
            raise InvalidParameterError(
                "n_components as a range must be increasing by 1 and start at 1 or above, "
                f"got {n_components!r}."
            )
        check_n_components(n_components[-1], data)
        return n_components
    k = check_n_components(n_components, data)
    return range(k, k + 1)


def check_n_components(n_components: Any, data: Data, *, enough: bool = False) -> int:
    """Return K, or say why there cannot be so many components for these rows.

    With `enough`, the largest possible number is returned instead.
    """
    k = check_count("n_components", n_components)
    if enough:
        return min(k, count_distinct_rows(data, k))
    if k > data.n_rows:
        raise InvalidParameterError(
            f"n_components must not exceed the number of rows, got {k} components for "
            f"{data.n_rows} rows."
        )
    distinct = count_distinct_rows(data, k)
    if k > distinct:
        raise InvalidParameterError(
            f"n_components must not exceed the number of distinct rows, got {k} components for "
            f"{distinct} distinct rows."
        )
    return k


def check_weights(sample_weight: Any, n_rows: int) -> np.ndarray | None:
    """Return row weights (N,) or None."""
    if sample_weight is None:
        return None
    try:
        weights = np.asarray(sample_weight, dtype=float)
    except (TypeError, ValueError):
        raise InvalidParameterError("sample_weight must be numbers, one for each row.") from None
    if weights.shape != (n_rows,):
        raise InvalidParameterError(
            f"sample_weight must have one number for each of {n_rows} rows, "
            f"got shape {weights.shape}."
        )
    if not np.all(np.isfinite(weights)) or weights.min() < 0.0 or weights.sum() <= 0.0:
        raise InvalidParameterError(
            "sample_weight must be finite, not negative and not all zero."
        )
    return weights
