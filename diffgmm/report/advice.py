"""Sentences on a misfit check that a person can act on, each with the number behind it."""

from collections.abc import Sequence

import numpy as np

from ..covariance import Family, components_of
from ..data import raw_rows
from ..kernels import gaussian
from ..learn.check import LEVEL, FamilyCheck
from ..learn.em import Parameters
from ..learn.remedies import HeldOutDifference, free_covariances, split_component

# Components whose split is tried, those with the largest z.
MOST_SPLITS = 3

# A remedy is called one above so many standard errors; a shape has its word from so many on.
CLEAR = 2.0
CLEAR_SHAPE = 4.0


def advise(
    check: FamilyCheck, values: np.ndarray, family: Family, feature_names: Sequence[str]
) -> tuple[str, ...]:
    """Return what the check found and what would help, tried on held-out rows.

    Parameters
    ----------
    check : FamilyCheck
    values : ndarray, shape (N, D)
        The rows that were checked, in random order, in standardised units.
    family : Family
    feature_names : sequence of str
    """
    if check.p_value > LEVEL:
        return (_silence(check, len(values)),)
    sentences: list[str] = []
    z, p = check.z[:, :-1], check.p_adjusted[:, :-1]
    found = [int(k) for k in np.argsort(-z.max(axis=0), kind="stable") if p[:, k].min() <= LEVEL]
    for k in found[:MOST_SPLITS]:
        sentences.append(
            _where(check, k) + _shape(values, family, check.parameters, k, feature_names)
        )
        sentences.append(_split_sentence(k, split_component(values, family, check.parameters, k)))
    if len(found) > MOST_SPLITS:
        others = sorted(found[MOST_SPLITS:])
        names = ", ".join(map(str, others))
        subject = f"Component {names} misfits" if len(others) == 1 else f"Components {names} misfit"
        sentences.append(f"{subject} as well; change the worst first.")
    if not found:
        sentences.append(_all_together(check))
    if family.name != "full":
        full = free_covariances(values, family, check.parameters)
        sentences.append(_family_sentence(family.name, full))
    sentences.append(
        "Where no such change is wanted, fit(..., model='diffusion') learns what is missing beside "
        "the mixture."
    )
    return tuple(sentences)


def _silence(check: FamilyCheck, n_rows: int) -> str:
    return (
        f"No misfit was found. That is no proof of a good fit: in {n_rows:,} rows, misfit of one "
        f"component is found in four of five cases only if it is worth about "
        f"{check.smallest_detectable_gain:.2g} nat per row or more."
    )


def _where(check: FamilyCheck, k: int) -> str:
    significant = check.p_adjusted[:, k] <= LEVEL
    level = int(np.argmax(np.where(significant, check.gains[:, k], -np.inf)))
    return (
        f"Component {k} is not Gaussian at scale {check.sigmas[level]:.2g}: another shape for it gains "
        f"{check.gains[level, k]:.2g} nat per row on held-out rows "
        f"(z = {check.z[level, k]:.1f}, adjusted p = {check.p_adjusted[level, k]:.2g})."
    )


def _all_together(check: FamilyCheck) -> str:
    level = int(np.argmax(check.z[:, -1]))
    return (
        "No single component stands out, but all together are not Gaussian, most clearly at scale "
        f"{check.sigmas[level]:.2g} (z = {check.z[level, -1]:.1f}). More components or another family "
        "of covariances may help; compare them by held-out log density (fit(X, None).path)."
    )


def _shape(
    values: np.ndarray,
    family: Family,
    parameters: Parameters,
    k: int,
    feature_names: Sequence[str],
) -> str:
    """Return a sentence on skewness and tails along the component's axes, or nothing."""
    components = components_of(*parameters, family)
    gates = np.empty((len(values), len(parameters.weights)))
    gaussian.responsibilities(raw_rows(values), components, 0, len(values), gates)
    d = values.shape[1]
    eigenvalues, vectors = np.linalg.eigh(family.as_full(parameters.covariances, d)[k])
    white = (values - parameters.means[k]) @ vectors / np.sqrt(eigenvalues)
    gate = gates[:, k] / gates[:, k].sum()
    # z of Hermite moments: under the component their standard deviations are known.
    size = np.sqrt(1.0 / np.square(gate).sum())
    skewness = size * (gate @ (white**3 - 3.0 * white)) / np.sqrt(6.0)
    tails = size * (gate @ (white**4 - 6.0 * white**2 + 3.0)) / np.sqrt(24.0)

    def along(moments: np.ndarray) -> str:
        axis = int(np.argmax(np.abs(moments)))
        return repr(feature_names[int(np.argmax(np.abs(vectors[:, axis])))])

    words = []
    if np.abs(skewness).max() > CLEAR_SHAPE:
        words.append(f"it is skewed (mainly along {along(skewness)})")
    if tails.max() > CLEAR_SHAPE:
        words.append(f"it has heavier tails than a Gaussian (mainly along {along(tails)})")
    if tails.min() < -CLEAR_SHAPE:
        words.append(
            f"it is flatter than a Gaussian, as two groups in one are (mainly along {along(-tails)})"
        )
    return f" Its shape: {'; '.join(words)}." if words else ""


def _split_sentence(k: int, split: HeldOutDifference) -> str:
    gain = f"{split.mean:+.2g} ± {split.error:.1g} nat per row"
    if split.mean > CLEAR * split.error:
        return (
            f"Splitting component {k} in two raises held-out log density by {split.mean:.2g} ± "
            f"{split.error:.1g} nat per row: fit one component more."
        )
    return (
        f"Splitting component {k} in two does not clearly help (held-out log density {gain}): one "
        "component more is not the remedy."
    )


def _family_sentence(name: str, full: HeldOutDifference) -> str:
    if full.mean > CLEAR * full.error:
        return (
            f"covariance_type='full' instead of {name!r} raises held-out log density by "
            f"{full.mean:.2g} ± {full.error:.1g} nat per row."
        )
    return (
        f"covariance_type='full' instead of {name!r} does not clearly help (held-out log density "
        f"{full.mean:+.2g} ± {full.error:.1g} nat per row)."
    )
