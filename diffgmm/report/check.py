"""`check`: whether a Gaussian mixture fits at all, and where it does not."""

import json
from typing import Any

import numpy as np

from .._seeding import Seed, child_sequence, seed_sequence, stream
from ..arguments import is_integer
from ..blocks import check_cores
from ..covariance import Family, family_of
from ..data import Data, check_constant_columns
from ..errors import InvalidDataError, InvalidParameterError
from ..learn.check import FEWEST_NULL_SETS, check_family
from ..learn.mixture_fit import MixtureFit
from ..learn.search import Optimum, Units
from ..progress import Progress
from .advice import advise
from .draws import read_mixtures
from .inference_data import Group, add_group, as_tree
from .misfit import MisfitReport
from .unknown_k import refuse_unknown_k

# Rows that the check looks at: larger data are checked on a random part of them.
MOST_ROWS = 20_000

# With fewer, a fold has no rows to speak of.
FEWEST_ROWS = 30

# Nats per row that a refit gains over a mixture that was made from other rows.
OTHER_ROWS = 1e-3


def check(
    fit_or_idata: Any,
    X: Any = None,
    *,
    n_bootstrap: int = 199,
    random_seed: Seed = None,
    progressbar: bool = True,
    cores: int | None = None,
) -> MisfitReport:
    """Test whether rows come from a Gaussian mixture of this family, and say where they do not.

    At several noise levels, each component may have another shape: the residual score of a
    polynomial log density ratio (degree 4), fitted by denoising score matching. What it gains on
    held-out rows is compared with data sets drawn from the mixture, refitted and checked alike.

    Parameters
    ----------
    fit_or_idata : MixtureFit, InferenceData or DataTree
        What `diffgmm.fit` or `diffgmm.sample` returned. Of a diffusion fit the mixture is checked,
        not what was learned beside it.
    X : array-like or table, shape (N, D)
        The rows it was made from; InferenceData hold them in `observed_data`.
    n_bootstrap : int, default 199
        Data sets from the fitted mixture, at least 19. The check stops after 39 or 99 when p is
        clearly not small.
    random_seed : int, sequence of int, Generator or None
        An integer repeats the report, for any number of cores.
    progressbar : bool, default True
        Show progress on a terminal.
    cores : int, optional
        Threads; every available core by default.

    Returns
    -------
    MisfitReport
        `.p_value`, `.table`, `.advice`, `.plot()`; it prints as text.

    Raises
    ------
    InvalidDataError, InvalidParameterError
        One line: the rule, what was given, the remedy.

    Notes
    -----
    The mixture is first refitted to the rows by EM from where it is. For posterior draws that
    starts at the posterior mean: p tests the family, not the draws. Rows count once each; row
    weights are not supported.

    References
    ----------
    Chewi, Kalavasis, Mehrotra, Montasser (2025), arXiv:2504.05161, lemma 1: gains of denoising are
    gains of log density.
    Davison, Hinkley (1997), Bootstrap Methods and their Application, section 4.4: the p value.

    Examples
    --------
    >>> import diffgmm
    >>> X = diffgmm.datasets.load_faithful()
    >>> found = diffgmm.fit(X, 1, random_seed=1)
    >>> report = diffgmm.check(found, X, n_bootstrap=19, random_seed=1, progressbar=False)
    >>> report.p_value
    0.05
    """
    if not is_integer(n_bootstrap) or n_bootstrap < FEWEST_NULL_SETS:
        raise InvalidParameterError(
            f"n_bootstrap must be an integer of at least {FEWEST_NULL_SETS}, so that p can reach "
            f"0.05, got {n_bootstrap!r}."
        )
    n_threads, sequence = check_cores(cores), seed_sequence(random_seed)
    mixture, family, names, X = _subject(fit_or_idata, X)
    data = Data.of(X, feature_names=names)
    if data.n_rows < FEWEST_ROWS:
        raise InvalidDataError(
            f"check needs at least {FEWEST_ROWS} rows, got {data.n_rows}. Use more rows."
        )
    if family.scaling == "feature":
        check_constant_columns(data)
    units = Units.of(data, family)
    order = stream(sequence, 0).permutation(data.n_rows)[:MOST_ROWS]
    values = np.ascontiguousarray((data.values[order] - units.shift) / units.scale)
    with Progress(progressbar) as progress:
        update = progress.bars(["data sets from the mixture"], int(n_bootstrap))
        result = check_family(
            values,
            family,
            units.from_user(mixture, family),
            n_bootstrap=int(n_bootstrap),
            sequence=child_sequence(sequence, 1),
            cores=n_threads,
            on_done=lambda done: update(0, done),
        )
    of_draws = not isinstance(fit_or_idata, MixtureFit)
    advice = advise(result, values, family, data.feature_names)
    if result.moved > OTHER_ROWS and not of_draws:
        advice += (
            f"The mixture given was not the best for these rows: EM gained {result.moved:.2g} nat per "
            "row. If they are not the rows it was fitted to, or had weights, this is about the refit.",
        )
    return MisfitReport(
        p_value=result.p_value,
        advice=advice,
        noise_levels=result.sigmas,
        gain=result.gains,
        z=result.z,
        p_adjusted=result.p_adjusted,
        detectable_gain=result.detectable,
        total=result.total,
        smallest_detectable_gain=result.smallest_detectable_gain,
        n_bootstrap=result.n_bootstrap,
        n_bootstrap_max=int(n_bootstrap),
        n_rows=data.n_rows,
        n_rows_used=len(values),
        covariance_type=family.name,
        of_draws=of_draws,
    )


def compute_misfit(
    idata: Any,
    X: Any = None,
    *,
    n_bootstrap: int = 199,
    random_seed: Seed = None,
    progressbar: bool = True,
    cores: int | None = None,
) -> Any:
    """Check the family of an InferenceData and keep the report in it, as the group `misfit`.

    Parameters
    ----------
    idata : InferenceData or DataTree
        What `diffgmm.sample` returned; the group is added in place, or replaced.
    X, n_bootstrap, random_seed, progressbar, cores
        As in `check`.

    Returns
    -------
    The same InferenceData or DataTree
        `misfit` has gain, z, p_adjusted and detectable_gain by noise level and cluster, the same of
        all clusters together (names ending in `_all`), and in its attributes p_value and advice.

    Raises
    ------
    InvalidDataError, InvalidParameterError
        As `check` does.
    """
    if isinstance(idata, MixtureFit):
        raise InvalidParameterError(
            "compute_misfit needs InferenceData or a DataTree, got MixtureFit. Use check."
        )
    report = check(
        idata,
        X,
        n_bootstrap=n_bootstrap,
        random_seed=random_seed,
        progressbar=progressbar,
        cores=cores,
    )
    add_group(idata, "misfit", _group(report), {"noise_level": report.noise_levels})
    return idata


def _group(report: MisfitReport) -> Group:
    variables: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
    for name in ("gain", "z", "p_adjusted", "detectable_gain"):
        array = getattr(report, name)
        variables[name] = (("noise_level", "cluster"), array[:, :-1])
        variables[f"{name}_all"] = (("noise_level",), array[:, -1])
    attrs = {
        "p_value": report.p_value,
        "p_value_of": "the family of mixtures, not the draws",
        "advice": json.dumps(report.advice),
        "total": list(report.total),
        "smallest_detectable_gain": report.smallest_detectable_gain,
        "n_bootstrap": report.n_bootstrap,
        "n_bootstrap_max": report.n_bootstrap_max,
        "n_rows": report.n_rows,
        "n_rows_used": report.n_rows_used,
        "covariance_type": report.covariance_type,
        "units": "gain in nat per row; noise_level in standard deviations of the columns",
    }
    return Group(variables, attrs)


def _subject(fit_or_idata: Any, X: Any) -> tuple[Optimum, Family, tuple[str, ...], Any]:
    """Return mixture, family, names of features, and rows."""
    if isinstance(fit_or_idata, MixtureFit):
        if X is None:
            raise InvalidParameterError("check needs the rows that the fit was made from: give X.")
        family, mixture = family_of(fit_or_idata.covariance_type), fit_or_idata.mixture
        covariances = family.from_full(mixture.covariances)
        optimum = _optimum(mixture.weights, mixture.means, covariances)
        return optimum, family, tuple(mixture.feature_names or ()), X
    if not hasattr(as_tree(fit_or_idata), "children"):
        raise InvalidParameterError(
            "check needs a MixtureFit, or InferenceData or a DataTree with a posterior, got "
            f"{type(fit_or_idata).__name__}."
        )
    refuse_unknown_k(as_tree(fit_or_idata), "check")
    posterior = read_mixtures(fit_or_idata)
    draws, attrs = posterior.mixtures, fit_or_idata["posterior"].attrs
    draws.component(0)  # says in one line when covariances are none
    family = family_of(str(attrs.get("covariance_type", "full")))
    weights, covariances = draws.weights.mean(axis=0), draws.covariances.mean(axis=0)
    optimum = _optimum(
        weights / weights.sum(), draws.means.mean(axis=0), family.from_full(covariances)
    )
    if X is None and posterior.observed is None:
        raise InvalidParameterError("check needs rows: give X, there is no observed_data.")
    return optimum, family, posterior.feature_names, posterior.observed if X is None else X


def _optimum(weights: np.ndarray, means: np.ndarray, covariances: np.ndarray) -> Optimum:
    return Optimum(weights, means, covariances, np.nan, np.zeros(0), True, np.nan)
