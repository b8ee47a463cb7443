"""`fit`: rows in, a mixture with its score model out."""

import warnings
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from .._seeding import Seed, child_sequence, seed_sequence, stream
from ..arguments import check_count
from ..covariance import Family, family_of
from ..data import Data, check_constant_columns, count_distinct_rows
from ..diffusion import ScoreModel, VoronoiScore, fit_score_model, fit_voronoi_score
from ..diffusion.voronoi import noise_scale_of
from ..errors import ConvergenceWarning, InvalidParameterError
from ..matrices import EIGENVALUE_FLOOR
from ..mixture import GaussianMixture
from ..progress import Progress
from .gates import FEWEST_ROWS, GateChoice, choose_gates
from .mixture_fit import MixtureFit, Trace
from .path import ComponentPath, default_numbers, fit_path
from .search import Optimum, Units, search

MODELS = ("mixture", "diffusion")
GATINGS = ("soft", "voronoi")

# The key of the stream that chooses the gates.
GATES = 2

INTERRUPTED = (
    "The fit was interrupted: this is the best optimum so far, polished no further and without "
    "learned scores. Fit again without interruption for the final one."
)

# Variances within this factor of the floor are at the floor.
COLLAPSED = 1.5


def fit(  # noqa: PLR0913
    X: Any,
    n_components: int | range | None = None,
    *,
    model: Literal["mixture", "diffusion"] = "mixture",
    gating: Literal["soft", "voronoi"] = "soft",
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
        With None and ``model="diffusion"``, held-out denoising loss may choose another number of
        gates, up to 64; `.gates` says which and why.
    model : {"mixture", "diffusion"}, default "mixture"
        "diffusion" also learns, level by level, where the scores of the noised data differ from
        those of the noised mixture; draws then follow the corrected scores.
    gating : {"soft", "voronoi"}, default "soft"
        How polynomials share the space when model="diffusion". "soft": by the responsibilities of
        the mixture, as a residual beside its score. "voronoi": in Voronoi cells found level by
        level, without the mixture, as Gatmiry, Kelner and Lee do; draws come from their reverse SDE
        and `log_density` stays that of the mixture.
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
    _check_gating(gating, model)
    data = Data.of(X)
    weights = check_weights(sample_weight, data.n_rows)
    if weights is not None and gating == "voronoi":
        raise InvalidParameterError(
            "sample_weight is not supported with gating='voronoi' yet. Use gating='soft'."
        )
    counted = _counted(data, weights)
    numbers = check_numbers(n_components, counted)
    choose = model == "diffusion" and n_components is None and counted.n_rows >= FEWEST_ROWS
    if family.scaling == "feature":
        check_constant_columns(data)
    sequence = seed_sequence(random_seed)
    search_seed, score_seed = child_sequence(sequence, 0), child_sequence(sequence, 1)
    found, path, gates = _find(
        data,
        numbers,
        family,
        np.random.default_rng(search_seed),
        weights,
        cores,
        stream(sequence, GATES) if choose else None,
    )
    found = found.heaviest_first()
    mixture = GaussianMixture(
        found.weights,
        found.means,
        family.as_full(found.covariances, data.n_features),
        feature_names=data.feature_names,
    )
    units = Units.of(data, family)
    score_model: ScoreModel | VoronoiScore = ScoreModel.silent(mixture, units.shift, units.scale)
    try:
        if model == "diffusion" and not found.interrupted and gating == "voronoi":
            score_model = _voronoi(data, mixture, family, score_seed, cores, progressbar)
        elif model == "diffusion" and not found.interrupted:
            with Progress(progressbar) as progress:
                score_model = fit_score_model(
                    data,
                    mixture,
                    units.shift,
                    units.scale,
                    random_seed=score_seed,
                    cores=cores,
                    row_weights=weights,
                    on_level=progress.levels("noise levels"),
                )
    except KeyboardInterrupt:
        found = replace(found, interrupted=True)
    trace = Trace(found.trace, found.converged, found.gradient_norm, _why_stopped(found))
    if found.interrupted:
        warnings.warn(INTERRUPTED, ConvergenceWarning, stacklevel=2)
    _warn_if_collapsed(found, family, units, data.n_rows)
    n_rows = float(data.n_rows if weights is None else weights.sum())
    return MixtureFit(mixture, score_model, trace, n_rows, covariance_type, data.name, path, gates)


def _check_gating(gating: Any, model: str) -> None:
    if gating not in GATINGS:
        raise InvalidParameterError(f"gating must be 'soft' or 'voronoi', got {gating!r}.")
    if gating == "voronoi" and model == "mixture":
        raise InvalidParameterError(
            "gating='voronoi' is a way to learn scores, and model='mixture' learns none. "
            "Use model='diffusion'."
        )


def _voronoi(
    data: Data,
    mixture: GaussianMixture,
    family: Family,
    seed: np.random.SeedSequence,
    cores: int | None,
    progressbar: bool,
) -> VoronoiScore:
    """Return the Voronoi score, its noise as wide as the mixture's components at their thinnest."""
    scale = data.scales
    if family.scaling != "feature":  # cells are round: in common units round components stay round
        scale = np.full(data.n_features, np.sqrt(np.mean(np.square(scale))))
    with Progress(progressbar) as progress:
        return fit_voronoi_score(
            data,
            n_components=mixture.n_components,
            noise_scale=noise_scale_of(mixture, data, scale),
            scale=scale,
            random_seed=seed,
            cores=cores,
            on_level=progress.levels("noise levels"),
        )


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
    gates_rng: np.random.Generator | None,
) -> tuple[Optimum, ComponentPath | None, GateChoice | None]:
    """Return the optimum asked for, and the path and the gates that chose its number of components."""
    options: dict[str, Any] = {"row_weights": weights, "cores": cores}
    if len(numbers) == 1:
        return search(data, numbers[0], family, seed=rng, **options)[0], None, None
    path = fit_path(data, numbers, family, rng=rng, **options)
    chosen, gates = path.best(), None
    if gates_rng is not None:
        try:
            gates, optimum = choose_gates(data, family, chosen, rng=gates_rng, **options)
        except KeyboardInterrupt:
            return replace(path.optimum(chosen), interrupted=True), path, None
        if optimum is not None:
            return optimum, path, gates
    also = [path.optimum(chosen)]
    found, _ = search(data, chosen, family, seed=rng, also=also, **options)
    return found, path, gates


def _counted(data: Data, weights: np.ndarray | None) -> Data:
    """Return the rows that count: those of weight 0 carry no component."""
    if weights is None or weights.min() > 0.0:
        return data
    return Data.of(data.values[weights > 0.0], feature_names=data.feature_names)


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
    if not np.all(np.isfinite(weights)) or weights.min() < 0.0 or not 0.0 < weights.sum() < np.inf:
        raise InvalidParameterError(
            "sample_weight must be finite, not negative and not all zero."
        )
    return weights
