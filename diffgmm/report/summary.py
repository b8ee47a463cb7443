"""`summary`: what a person looks at first, in a terminal or a notebook."""

import math
import textwrap
from dataclasses import dataclass
from html import escape
from typing import Any, Unpack

from ..arguments import check_count
from .aligned import read_aligned
from .diagnostics import DRAWS as DIAGNOSTIC_DRAWS
from .diagnostics import identifiability_of
from .draws import PosteriorMixtures, VariableNames, names_of
from .inference_data import LeaveOneOut, as_tree, leave_one_out
from .numbers import INTERVAL, interval, number
from .summary_advice import advise
from .summary_numbers import component_quantities, convergence_of, frame, misfit_table, n_filled
from .tables import TextTable

LINE_WIDTH = 88

# Draws from which sizes and memberships are computed, evenly spread.
DRAWS = 1000

# Finer sizes say nothing: twice the value of the last digit shown.
TENTH_OF_A_ROW = 0.2


@dataclass(frozen=True, eq=False, kw_only=True)
class Summary:
    """Components, convergence, fit and advice; prints as text, and as HTML in a notebook.

    Attributes
    ----------
    table : pandas.DataFrame
        One row per component: weight, size (expected number of rows, copies included), overlap (probability of
        misclassification between the two, either way) with the nearest component, entropy (of the
        membership of its rows, in nats), mean and standard deviation of every feature. Columns
        ending in _low and _high are the ends of 94 % equal-tailed intervals.
    convergence : pandas.DataFrame
        R-hat and bulk ESS of quantities that do not depend on labels; of a single chain R-hat is
        NaN. Empty for independent draws.
    n_filled : dict
        Posterior probability of each number of components that have rows (K+).
    elpd : LeaveOneOut or None
        Expected log density of new rows by PSIS-LOO, when there is a group log_likelihood of 25
        draws or more.
    misfit : pandas.DataFrame or None
        By noise level, when `compute_misfit` has been called.
    advice : tuple of str
    """

    headline: str
    table: Any
    convergence: Any
    n_filled: dict[int, float]
    elpd: LeaveOneOut | None
    misfit: Any
    advice: tuple[str, ...]
    feature_names: tuple[str, ...]
    parts: tuple[TextTable, ...]
    lines: tuple[str, ...]

    def __repr__(self) -> str:
        return self.text()

    def text(self) -> str:
        """Return the summary as lines for a terminal."""
        blocks = [self.headline, *(part.text() for part in self.parts), "\n".join(self.lines)]
        wrapped = [
            line
            for sentence in self.advice
            for line in textwrap.wrap(
                sentence, LINE_WIDTH, initial_indent="- ", subsequent_indent="  "
            )
        ]
        return "\n\n".join(block for block in (*blocks, "\n".join(wrapped)) if block)

    def _repr_html_(self) -> str:
        paragraphs = "".join(f"<p>{escape(line)}</p>" for line in (self.headline, *self.lines))
        tables = "".join(part.html() for part in self.parts)
        advice = "".join(f"<li>{escape(sentence)}</li>" for sentence in self.advice)
        return f"<div>{paragraphs}{tables}<ul>{advice}</ul></div>"


def summary(
    idata: Any, X: Any = None, *, draws: int = DRAWS, **names: Unpack[VariableNames]
) -> Summary:
    """Return components with their uncertainty, label-free convergence, fit and advice.

    Parameters
    ----------
    idata : arviz.InferenceData, xarray.DataTree or MixtureFit
        Of any library; labels are aligned first where nothing says that they are.
    X : array-like, shape (N, D), optional
        Those of `observed_data` when not given. Without rows, sizes and entropies are left out.
    draws : int, default 1000
        Draws from which sizes and memberships are computed, evenly spread over the chains.
    **names
        weights, means, covariances, scales, cluster_dim: as in `diffgmm.relabel`.

    Returns
    -------
    Summary
        `.table`, `.convergence`, `.n_filled`, `.elpd`, `.misfit`, `.advice`.

    Raises
    ------
    InvalidParameterError, InvalidDataError
        When a variable is missing or columns do not fit.

    Examples
    --------
    >>> import diffgmm
    >>> X = diffgmm.datasets.load_faithful()
    >>> idata = diffgmm.sample(X, 2, draws=500, random_seed=1, progressbar=False)
    >>> diffgmm.summary(idata).table["weight"].round(2).tolist()
    [0.64, 0.36]
    """
    import pandas

    posterior = read_aligned(idata, names_of(**names), X, what="summary")
    tree = as_tree(idata)
    groups = getattr(tree, "children", {})
    attrs = tree["posterior"].attrs if "posterior" in groups else {}
    rows = None if X is None and posterior.observed is None else posterior.rows(X)
    row_weights = posterior.sample_weight if X is None else None
    quantities = component_quantities(posterior, rows, row_weights, check_count("draws", draws))
    convergence = convergence_of(groups, posterior, rows, attrs)
    filled = n_filled(groups)
    one = "log_likelihood" in groups and len(tree["log_likelihood"].data_vars) == 1
    elpd = leave_one_out(idata) if one else None
    misfit = misfit_table(tree) if "misfit" in groups else None
    identified = None
    if rows is not None:
        identified = identifiability_of(posterior.thinned(DIAGNOSTIC_DRAWS), rows)
    table = frame(posterior, quantities)
    return Summary(
        headline=_headline(posterior, rows, attrs),
        table=table,
        convergence=pandas.DataFrame.from_dict(
            convergence, orient="index", columns=["r_hat", "ess_bulk"]
        ),
        n_filled=filled,
        elpd=elpd,
        misfit=misfit,
        advice=advise(
            table,
            convergence,
            n_chains=len(posterior.chain),
            identified=identified,
            elpd=elpd,
            misfit=None if misfit is None else tree["misfit"].attrs,
            attrs=attrs,
            remedy="compute_misfit(idata)" if groups else "check(fit, X)",
        ),
        feature_names=posterior.feature_names,
        parts=tuple(_parts(posterior, quantities, convergence, misfit)),
        lines=tuple(_lines(filled, elpd)),
    )


def _headline(posterior: PosteriorMixtures, rows: Any, attrs: Any) -> str:
    mixtures, n_chains = posterior.mixtures, len(posterior.chain)
    kind = f", {attrs['covariance_type']} covariance" if "covariance_type" in attrs else ""
    k, d = mixtures.n_components, mixtures.n_features
    size = "" if rows is None else f", {len(rows):,} rows"
    first = f"Gaussian mixture: {_count(k, 'component')}{kind}, {_count(d, 'feature')}{size}."
    if mixtures.n_draws == 1:
        return f"{first} One estimate, without uncertainty."
    method = attrs.get("inference_method", attrs.get("inference_library", ""))
    by = f" by {method}" if method else ""
    return f"{first} {_count(n_chains, 'chain')} of {len(posterior.draw):,} draws{by}."


def _count(n: int, word: str) -> str:
    return f"{n} {word}{'' if n == 1 else 's'}"


def _parts(
    posterior: PosteriorMixtures,
    quantities: dict[str, Any],
    convergence: dict[str, tuple[float, float]],
    misfit: Any,
) -> list[TextTable]:
    many = posterior.mixtures.n_draws > 1
    brackets = f", [{100 * INTERVAL:.0f} % interval]" if many else ""
    parts = [
        _components_table(posterior, quantities, brackets),
        _features_table(posterior, quantities, brackets),
    ]
    if convergence:
        rows = [
            [name, "-" if math.isnan(r) else f"{r:.3f}", f"{e:,.0f}"]
            for name, (r, e) in convergence.items()
        ]
        title = "Convergence, by quantities that do not depend on labels"
        parts.append(TextTable(title, ("quantity", "R-hat", "bulk ESS"), rows))
    if misfit is not None:
        rows = [
            [f"{level:.2g}", number(1e3 * own.gain_all, 0.02), number(own.z_all, 0.2)]
            + [str(own.worst_component), number(own.z_worst, 0.2), f"{own.p_adjusted:.2g}"]
            for level, own in zip(misfit.index, misfit.itertuples())
        ]
        header = ("noise level", "gain", "z", "worst component", "its z", "smallest adjusted p")
        title = "Misfit by scale: held-out gain in 0.001 nat per row; levels in sd of the columns"
        parts.append(TextTable(title, header, rows))
    return parts


def _components_table(
    posterior: PosteriorMixtures, quantities: dict[str, Any], brackets: str
) -> TextTable:
    header, columns, finest = ["component", "weight"], [quantities["weight"]], [0.0]
    if "size" in quantities:
        header, columns = [*header, "size (rows)"], [*columns, quantities["size"]]
        finest.append(TENTH_OF_A_ROW)
    if "overlap" in quantities:
        header, columns = [*header, "overlap"], [*columns, quantities["overlap"]]
        finest.append(0.0)
    rows = [
        [str(label), *(interval(column[:, k], step) for column, step in zip(columns, finest))]
        for k, label in enumerate(posterior.cluster)
    ]
    if "overlap" in quantities:
        header.append("with")
        rows = [[*row, str(own)] for row, own in zip(rows, quantities["nearest"])]
    if "entropy" in quantities:
        header.append("entropy (nat)")
        rows = [[*row, f"{own:.3f}"] for row, own in zip(rows, quantities["entropy"])]
    return TextTable(f"Components{brackets}", header, rows)


def _features_table(
    posterior: PosteriorMixtures, quantities: dict[str, Any], brackets: str
) -> TextTable:
    rows = [
        [
            str(label) if d == 0 else "",
            feature,
            interval(quantities["mean"][:, k, d]),
            interval(quantities["sd"][:, k, d]),
        ]
        for k, label in enumerate(posterior.cluster)
        for d, feature in enumerate(posterior.feature_names)
    ]
    return TextTable(f"Features{brackets}", ("component", "feature", "mean", "sd"), rows, left=(1,))


def _lines(filled: dict[int, float], elpd: LeaveOneOut | None) -> list[str]:
    lines = []
    if filled:
        shares = ", ".join(f"{k} ({100 * share:.3g} %)" for k, share in filled.items())
        lines.append(f"K+ (components with rows): {shares}.")
    if elpd is not None:
        lines.append(
            f"elpd_loo {number(elpd.elpd, 0.1 * elpd.se)}, SE {number(elpd.se, 0.1 * elpd.se)}; "
            f"Pareto k above {elpd.good_k:.2f}: {elpd.n_bad:,} of {elpd.n_rows:,} rows."
        )
    return lines
