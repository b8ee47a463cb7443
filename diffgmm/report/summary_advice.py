"""Sentences of a summary that a person can act on, each with the number behind it."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from .convergence import DISAGREEMENT, LARGEST_RHAT, SMALLEST_ESS_PER_CHAIN
from .inference_data import LeaveOneOut

# A component is said to be empty, and two to be one, from these shares of the draws on.
OFTEN_EMPTY = 0.05
MOSTLY_ONE = 0.5

# Probability of misclassification between two components that is worth a sentence.
LARGE_OVERLAP = 0.15

AMBIGUOUS = 0.05

# The limit of Pareto k for 2,200 draws and more; with fewer it is lower.
LARGEST_GOOD_K = 0.7

# Pairs that are named one by one.
MOST_NAMED = 3


def advise(
    table: Any,
    convergence: Mapping[str, tuple[float, float]],
    *,
    n_chains: int,
    identified: Any,
    elpd: LeaveOneOut | None,
    misfit: Mapping[str, Any] | None,
    attrs: Mapping[str, Any],
    remedy: str,
) -> tuple[str, ...]:
    """Return what is wrong or uncertain, the worst first, and what to do about it.

    `remedy` is the call that checks whether a Gaussian mixture fits.
    """
    sentences = _on_chains(convergence, n_chains)
    if attrs.get("interrupted", 0):
        sentences.append("Sampling was interrupted: these are the draws that were done by then.")
    if attrs.get("sample_type") == "independent":
        sentences.append(
            "Draws are independent refits, not draws of a posterior under a prior: they have no R-hat."
        )
    ambiguous = float(attrs.get("alignment_ambiguous", 0.0))
    if ambiguous > AMBIGUOUS:
        sentences.append(
            f"In {100 * ambiguous:.0f} % of the draws another numbering of the components fits nearly "
            "as well: read what does not depend on labels (co_clustering, partition, n_modes)."
        )
    if identified is not None:
        sentences += _on_components(table, identified)
    if elpd is not None and elpd.n_bad:
        rows = "look at these rows, or refit without them."
        if elpd.good_k < LARGEST_GOOD_K:  # what draws are too few for
            rows = f"the limit is low because draws are few. Raise draws, then {rows}"
        sentences.append(
            f"{elpd.n_bad} of {elpd.n_rows} rows have a Pareto k above {elpd.good_k:.2f}: elpd_loo is "
            f"not reliable there; {rows}"
        )
    if misfit is not None:
        sentences += list(json.loads(misfit["advice"]))
    found = bool(sentences)
    if misfit is None:
        sentences.append(
            f"Whether a Gaussian mixture fits these rows at all has not been checked: diffgmm.{remedy}."
        )
    if not found:
        sentences.insert(0, "No problem was seen in what is shown here.")
    return tuple(sentences)


def _on_chains(convergence: Mapping[str, tuple[float, float]], n_chains: int) -> list[str]:
    if not convergence:
        return []
    worst = max(convergence, key=lambda name: convergence[name][0])
    rhat = convergence[worst][0]
    if n_chains > 1 and not rhat <= LARGEST_RHAT:
        start = f"R-hat of {worst} is {rhat:.3f}, above {LARGEST_RHAT}: "
        if rhat <= DISAGREEMENT:
            return [f"{start}there are too few draws to tell that chains agree. Raise draws."]
        return [
            f"{start}chains have not mixed or are in different modes. Nothing below can be trusted "
            "before that is settled: raise tune and draws, and compare the chains."
        ]
    least = min(convergence, key=lambda name: convergence[name][1])
    ess = convergence[least][1]
    if not ess >= SMALLEST_ESS_PER_CHAIN * n_chains:
        return [
            f"The effective sample size of {least} is {ess:.0f}, below {SMALLEST_ESS_PER_CHAIN} per "
            "chain: intervals are rough. Raise draws."
        ]
    return []


def _on_components(table: Any, identified: Any) -> list[str]:
    labels = identified["cluster"].values
    empty = identified["empty"].values
    sentences = [
        f"Component {labels[k]} has no row in {100 * empty[k]:.0f} % of the draws: its parameters then "
        "come from the prior alone. One component fewer may do."
        for k in np.argsort(-empty, kind="stable")[:MOST_NAMED]
        if empty[k] > OFTEN_EMPTY
    ]
    one, nearest = identified["one_mode"].values, identified["nearest"].values
    places: dict[Any, int] = {label: k for k, label in enumerate(labels.tolist())}
    pairs: dict[tuple[int, ...], float] = {}
    for k in np.flatnonzero(one > MOSTLY_ONE).tolist():
        pairs[tuple(sorted((k, places[nearest[k].item()])))] = float(one[k])
    shares = sorted(pairs.items(), key=lambda item: -item[1])
    for (i, j), share in shares[:MOST_NAMED]:
        sentences.append(
            f"Components {labels[i]} and {labels[j]} have one mode between them in {100 * share:.0f} % "
            "of the draws: together they may describe one group that is not Gaussian. Read groups "
            "from partition rather than from components."
        )
    if len(shares) > MOST_NAMED:
        sentences.append(f"So have {len(shares) - MOST_NAMED} other pairs.")
    merged = {k for pair in pairs for k in pair}
    return sentences + _on_overlap(table, labels, merged)


def _on_overlap(table: Any, labels: np.ndarray, merged: set[int]) -> list[str]:
    """Return a sentence on the largest overlap among components that are apart otherwise."""
    if "overlap" not in table:
        return []
    size = table["overlap"].to_numpy(copy=True)
    size[sorted(merged)] = 0.0
    k = int(size.argmax())
    if size[k] < LARGE_OVERLAP:
        return []
    return [
        f"Components {labels[k]} and {table['nearest'].iloc[k]} overlap by {size[k]:.2f} (sum of the two "
        "probabilities of misclassification): use membership, not the most probable component."
    ]
