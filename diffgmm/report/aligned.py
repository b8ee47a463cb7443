"""Draws of a mixture in one numbering, whatever library they come from; a fit is one draw."""

from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import InvalidParameterError
from ..learn.mixture_fit import MixtureFit
from ..mixture import GaussianMixture
from ..posterior.mixture_draws import MixtureDraws
from .draws import Names, PosteriorMixtures, posterior_group, read_mixtures
from .inference_data import as_tree
from .relabel import alignment_of
from .unknown_k import refuse_unknown_k


def read_draws(subject: Any, names: Names) -> PosteriorMixtures:
    """Return draws with labels as they are, for what does not depend on them.

    Parameters
    ----------
    subject : InferenceData, DataTree, MixtureFit or GaussianMixture
        With an unknown number of components, too.
    names : Names
    """
    if isinstance(subject, (MixtureFit, GaussianMixture)):
        return _one_draw(subject)
    if not hasattr(as_tree(subject), "children"):
        raise InvalidParameterError(
            f"InferenceData, a DataTree or a MixtureFit is needed, got {type(subject).__name__}."
        )
    posterior = read_mixtures(subject, names)
    posterior.mixtures.component(0)  # says in one line when covariances are none
    return posterior


def read_aligned(subject: Any, names: Names, X: Any = None, *, what: str) -> PosteriorMixtures:
    """Return draws with one numbering of the components, those of a fit as well.

    Draws that say how their labels came about (diffgmm's do, and `relabel`'s) are left alone; of
    others each draw is permuted first, as `relabel` does.

    Parameters
    ----------
    subject : InferenceData, DataTree, MixtureFit or GaussianMixture
    names : Names
    X : array-like, shape (N, D), optional
        Rows, for the alignment.
    what : str
        Who needs it: draws with an unknown number of components are refused in its name.
    """
    tree = as_tree(subject)
    refuse_unknown_k(tree, what)
    posterior = read_draws(subject, names)
    mixtures = posterior.mixtures
    if mixtures.n_components == 1 or mixtures.n_draws == 1:
        return posterior
    group = posterior_group(tree)
    if "labels" in group.attrs:
        return posterior
    order = alignment_of(tree, group, names, "ecr", None, X).order
    every = np.arange(mixtures.n_draws)[:, None]
    aligned = MixtureDraws(
        mixtures.weights[every, order],
        mixtures.means[every, order],
        mixtures.covariances[every, order],
    )
    return replace(posterior, mixtures=aligned)


def _one_draw(fit: MixtureFit | GaussianMixture) -> PosteriorMixtures:
    mixture = fit.mixture if isinstance(fit, MixtureFit) else fit
    return PosteriorMixtures(
        MixtureDraws(mixture.weights[None], mixture.means[None], mixture.covariances[None]),
        chain=np.zeros(1, dtype=int),
        draw=np.zeros(1, dtype=int),
        cluster=np.arange(mixture.n_components),
        feature_names=tuple(mixture.feature_names or ()),
        observed=None,
        name=fit.name if isinstance(fit, MixtureFit) else "x",
    )
