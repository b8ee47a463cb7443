"""`kfold` and `elpd_oob`: rows scored by draws that have not seen them, for `az.compare`."""

from typing import Any

import numpy as np

from .._seeding import Seed, child_sequence, seed_sequence, stream
from ..arguments import check_count
from ..data import Data, read_only
from ..errors import InvalidParameterError
from ..learn.fit import check_weights
from ..posterior.mixture_draws import MixtureDraws
from ..progress import Progress
from .draws import posterior_group, read_mixtures
from .elpd import held_out, log_mean_exp
from .inference_data import SAMPLE_DIMS, as_tree
from .sample import sample

# Log densities that are in memory at once, rows times draws: 16 MB.
VALUES_PER_BLOCK = 2_000_000

# The stream that shuffles rows into folds; those of the fits are numbered from 0.
FOLDS = 2**32 - 2


def kfold(
    X: Any,
    n_components: int | None = None,
    *,
    k: int = 10,
    sample_weight: Any = None,
    random_seed: Seed = None,
    progressbar: bool = True,
    **options: Any,
) -> Any:
    """K-fold cross-validation: every row is scored by draws given the rows of the other folds.

    Parameters
    ----------
    X : array-like or table, shape (N, D)
    n_components : int
        Number of components.
    k : int, default 10
        Number of folds, of equal size within one row, shuffled; N leaves one row out at a time.
    sample_weight : array-like, shape (N,), optional
        A row's score is that of all its copies: its log density times its weight.
    random_seed : int, sequence of int, Generator or None
        An integer repeats folds and draws. The folds depend on it, N and k only, so that models
        with one seed are compared on the same folds.
    progressbar : bool, default True
        Show one bar over the fits on a terminal.
    **options
        Handed to `diffgmm.sample`: method, draws, tune, chains, cores, prior, covariance_type,
        bootstrap. A prior that is not given is scaled by the rows of the other folds alone.

    Returns
    -------
    ELPDData
        Of the installed ArviZ, for `az.compare`, with pointwise values. In nats, per unit of the
        data. `p` compares with draws given all rows.

    Raises
    ------
    InvalidDataError, InvalidParameterError
        One line: the rule, what was given, the remedy.
    KeyboardInterrupt
        By Ctrl-C: rows without a score cannot be compared.

    References
    ----------
    Vehtari, Gelman, Gabry (2017), Statistics and Computing 27(5), section 2.3, arXiv:1507.04544.

    Examples
    --------
    >>> import diffgmm
    >>> x = diffgmm.datasets.load_faithful()
    >>> scores = diffgmm.kfold(x, 2, k=3, draws=500, tune=500, random_seed=1, progressbar=False)
    >>> scores["n_data_points"]
    272
    """
    data = Data.of(X)
    weights = check_weights(sample_weight, data.n_rows)
    k = check_count("k", k)
    if not 2 <= k <= data.n_rows:
        raise InvalidParameterError(
            f"k must be a number of folds from 2 to the number of rows {data.n_rows}, got {k}."
        )
    sequence = seed_sequence(random_seed)
    shuffled = stream(sequence, FOLDS).permutation(data.n_rows)
    folds = [*np.array_split(shuffled, k), np.arange(0)]  # the last fit sees all rows: for p
    elpd_i, lppd_i = np.empty(data.n_rows), np.empty(data.n_rows)
    n_samples = 0
    with Progress(progressbar) as progress:
        update = progress.bars(["fits"], k + 1)
        for index, fold in enumerate(folds):
            seed = child_sequence(sequence, index)
            own = _draws_without(data, weights, fold, n_components, seed, options)
            if len(fold):
                elpd_i[fold] = _scores(own, data.values, weights, fold)
            else:
                lppd_i[:] = _scores(own, data.values, weights, np.arange(data.n_rows))
            n_samples = own.n_draws
            update(0, index + 1)
    return held_out(elpd_i, lppd_i - elpd_i, n_samples, k, f"{k}-fold cross-validation")


def _draws_without(
    data: Data,
    weights: np.ndarray | None,
    fold: np.ndarray,
    n_components: int | None,
    seed: np.random.SeedSequence,
    options: dict[str, Any],
) -> MixtureDraws:
    """Return draws given all rows but those of a fold."""
    values = np.delete(data.values, fold, axis=0)
    idata = sample(
        Data(read_only(values), data.feature_names, data.name),
        n_components,
        sample_weight=None if weights is None else np.delete(weights, fold),
        random_seed=seed,
        progressbar=False,
        **{"compute_log_likelihood": False, **options},
    )
    if posterior_group(as_tree(idata)).attrs.get("interrupted"):
        raise KeyboardInterrupt
    return read_mixtures(idata).mixtures


def _scores(
    mixtures: MixtureDraws, values: np.ndarray, weights: np.ndarray | None, rows: np.ndarray
) -> np.ndarray:
    """Return the log predictive density of some rows, each with all its copies, (len(rows),)."""
    out = np.empty(len(rows))
    for own in _blocks(len(rows), mixtures.n_draws):
        log_density = mixtures.log_density(np.ascontiguousarray(values[rows[own]]))
        if weights is not None:
            log_density *= weights[rows[own]]
        out[own] = log_mean_exp(log_density)
    return out


def _blocks(n_rows: int, n_draws: int) -> list[slice]:
    size = max(1, VALUES_PER_BLOCK // n_draws)
    return [slice(first, first + size) for first in range(0, n_rows, size)]


def elpd_oob(idata: Any, X: Any = None) -> Any:
    """Out-of-bag expected log predictive density: each row scored by the refits that left it out.

    Parameters
    ----------
    idata : arviz.InferenceData or xarray.DataTree
        From ``diffgmm.sample(method="bootstrap", bootstrap="multinomial")``; a row is out of 37 % of
        the bags.
    X : array-like, shape (N, D), optional
        The rows that were sampled with; those of `observed_data` when not given.

    Returns
    -------
    ELPDData
        Of the installed ArviZ, for `az.compare`, with pointwise values. In nats, per unit of the
        data. A row with a weight w in `constant_data` counts with all its copies.

    Raises
    ------
    InvalidParameterError
        When draws are no refits to rows drawn with replacement, or a row is in every bag.

    Notes
    -----
    A refit sees 63 % of the distinct rows, some of them more than once, so that scores are somewhat
    lower than those of leave-one-out, the more so the more parameters there are (Efron, Tibshirani
    1997, Journal of the American Statistical Association 92, the .632+ bootstrap).
    """
    posterior = read_mixtures(idata)
    tree = as_tree(idata)
    if "bootstrap" not in tree.children:
        raise InvalidParameterError(
            "Only rows drawn with replacement are left out of some draws. Sample with "
            "method='bootstrap', bootstrap='multinomial', or use diffgmm.kfold."
        )
    group = tree["bootstrap"].to_dataset()
    counts = group["counts"].transpose(*SAMPLE_DIMS, "obs_id")
    kept = np.isin(posterior.draw, counts["draw"].values)
    index = np.flatnonzero(np.tile(kept, len(posterior.chain)))
    mixtures = posterior.mixtures.select(index)
    out_of_bag = counts.values.reshape(len(index), -1) == 0
    n_missing = int((~out_of_bag.any(axis=0)).sum())
    if n_missing:
        raise InvalidParameterError(
            f"Every row must be left out by a draw, but {n_missing} are in all {len(index)} bags. "
            "Raise draws."
        )
    values, weights = posterior.rows(X), posterior.sample_weight
    elpd_i, lppd_i = np.empty(len(values)), np.empty(len(values))
    for own in _blocks(len(values), mixtures.n_draws):
        log_density = mixtures.log_density(values[own])
        if weights is not None:
            log_density *= weights[own]
        lppd_i[own] = log_mean_exp(log_density)
        share = out_of_bag[:, own].mean(axis=0)
        log_density[~out_of_bag[:, own]] = -np.inf
        elpd_i[own] = log_mean_exp(log_density) - np.log(share)
    n_samples = round(float(out_of_bag.sum(axis=0).mean()))
    method = "the draws whose bag a row is not in"
    return held_out(elpd_i, lppd_i - elpd_i, n_samples, len(index), method)
