"""Mixtures of Gaussians, learned with diffusion models, for the Bayesian workflow."""

import importlib
from typing import TYPE_CHECKING, Any

from ._version import __version__ as __version__

if TYPE_CHECKING:
    from . import datasets as datasets
    from .diffusion import ScoreModel as ScoreModel
    from .learn.fit import fit as fit
    from .learn.mixture_fit import MixtureFit as MixtureFit
    from .learn.npmle import NPMLE as NPMLE
    from .learn.npmle import npmle as npmle
    from .learn.path import ComponentPath as ComponentPath
    from .mixture import GaussianMixture as GaussianMixture
    from .posterior.priors import Prior as Prior
    from .report.check import check as check
    from .report.check import compute_misfit as compute_misfit
    from .report.clustering import co_clustering as co_clustering
    from .report.clustering import membership as membership
    from .report.clustering import partition as partition
    from .report.inference_data import load_inference_data as load_inference_data
    from .report.inference_data import save_inference_data as save_inference_data
    from .report.misfit import MisfitReport as MisfitReport
    from .report.plots import plot_denoising_loss as plot_denoising_loss
    from .report.plots import plot_path as plot_path
    from .report.plots import plot_score_field as plot_score_field
    from .report.plots import plot_trajectories as plot_trajectories
    from .report.plots import plot_warm_starts as plot_warm_starts
    from .report.pointwise import compute_log_likelihood as compute_log_likelihood
    from .report.pointwise import compute_log_prior as compute_log_prior
    from .report.posterior_fit import fit_posterior as fit_posterior
    from .report.predictive import sample_posterior_predictive as sample_posterior_predictive
    from .report.prior_predictive import sample_prior_predictive as sample_prior_predictive
    from .report.relabel import relabel as relabel
    from .report.sample import sample as sample

_PLOTS = (
    "plot_denoising_loss",
    "plot_path",
    "plot_score_field",
    "plot_trajectories",
    "plot_warm_starts",
)

# Public names and where they live: imported when first used, so that `import diffgmm` stays quick.
_HOMES = {
    "check": "report.check",
    "co_clustering": "report.clustering",
    "ComponentPath": "learn.path",
    "compute_log_likelihood": "report.pointwise",
    "compute_log_prior": "report.pointwise",
    "compute_misfit": "report.check",
    "fit": "learn.fit",
    "fit_posterior": "report.posterior_fit",
    "GaussianMixture": "mixture",
    "load_inference_data": "report.inference_data",
    "membership": "report.clustering",
    "MisfitReport": "report.misfit",
    "MixtureFit": "learn.mixture_fit",
    "npmle": "learn.npmle",
    "NPMLE": "learn.npmle",
    "partition": "report.clustering",
    "Prior": "posterior.priors",
    "relabel": "report.relabel",
    "sample": "report.sample",
    "sample_posterior_predictive": "report.predictive",
    "sample_prior_predictive": "report.prior_predictive",
    "save_inference_data": "report.inference_data",
    "ScoreModel": "diffusion",
    **dict.fromkeys(_PLOTS, "report.plots"),
}
_SUBMODULES = ("datasets", "errors", "pymc", "sklearn")

__all__ = sorted([*_HOMES, "__version__", "datasets"])


def __getattr__(name: str) -> Any:
    """Import a public name from its home (PEP 562)."""
    if name in _HOMES:
        value = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    elif name in _SUBMODULES:
        value = importlib.import_module(f".{name}", __name__)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted([*__all__, *_SUBMODULES])
