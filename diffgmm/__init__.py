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
    from .report.calibration import loo_pit as loo_pit
    from .report.check import check as check
    from .report.check import compute_misfit as compute_misfit
    from .report.clustering import co_clustering as co_clustering
    from .report.clustering import membership as membership
    from .report.clustering import partition as partition
    from .report.condition_on_k import condition_on_k as condition_on_k
    from .report.crossval import elpd_oob as elpd_oob
    from .report.crossval import kfold as kfold
    from .report.diagnostics import identifiability as identifiability
    from .report.diagnostics import label_switching as label_switching
    from .report.diagnostics import n_modes as n_modes
    from .report.diagnostics import overlap as overlap
    from .report.evidence import LogEvidence as LogEvidence
    from .report.evidence import compute_log_evidence as compute_log_evidence
    from .report.feature_view import feature_view as feature_view
    from .report.inference_data import load_inference_data as load_inference_data
    from .report.inference_data import save_inference_data as save_inference_data
    from .report.loo import loo as loo
    from .report.loo import reloo as reloo
    from .report.misfit import MisfitReport as MisfitReport
    from .report.page import save_report as save_report
    from .report.plots import plot_co_clustering as plot_co_clustering
    from .report.plots import plot_components as plot_components
    from .report.plots import plot_denoising_loss as plot_denoising_loss
    from .report.plots import plot_density as plot_density
    from .report.plots import plot_membership as plot_membership
    from .report.plots import plot_misfit as plot_misfit
    from .report.plots import plot_n_components as plot_n_components
    from .report.plots import plot_path as plot_path
    from .report.plots import plot_pit as plot_pit
    from .report.plots import plot_ppc_clusters as plot_ppc_clusters
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
    from .report.summary import Summary as Summary
    from .report.summary import summary as summary

_PLOTS = (
    "plot_co_clustering",
    "plot_components",
    "plot_denoising_loss",
    "plot_density",
    "plot_membership",
    "plot_misfit",
    "plot_n_components",
    "plot_path",
    "plot_pit",
    "plot_ppc_clusters",
    "plot_score_field",
    "plot_trajectories",
    "plot_warm_starts",
)

# Public names and where they live: imported when first used, so that `import diffgmm` stays quick.
_HOMES = {
    "check": "report.check",
    "co_clustering": "report.clustering",
    "ComponentPath": "learn.path",
    "compute_log_evidence": "report.evidence",
    "compute_log_likelihood": "report.pointwise",
    "compute_log_prior": "report.pointwise",
    "compute_misfit": "report.check",
    "condition_on_k": "report.condition_on_k",
    "elpd_oob": "report.crossval",
    "feature_view": "report.feature_view",
    "fit": "learn.fit",
    "fit_posterior": "report.posterior_fit",
    "GaussianMixture": "mixture",
    "identifiability": "report.diagnostics",
    "kfold": "report.crossval",
    "label_switching": "report.diagnostics",
    "load_inference_data": "report.inference_data",
    "LogEvidence": "report.evidence",
    "loo": "report.loo",
    "loo_pit": "report.calibration",
    "membership": "report.clustering",
    "MisfitReport": "report.misfit",
    "MixtureFit": "learn.mixture_fit",
    "n_modes": "report.diagnostics",
    "NPMLE": "learn.npmle",
    "npmle": "learn.npmle",
    "overlap": "report.diagnostics",
    "partition": "report.clustering",
    "Prior": "posterior.priors",
    "relabel": "report.relabel",
    "reloo": "report.loo",
    "sample": "report.sample",
    "sample_posterior_predictive": "report.predictive",
    "sample_prior_predictive": "report.prior_predictive",
    "save_inference_data": "report.inference_data",
    "save_report": "report.page",
    "ScoreModel": "diffusion",
    "Summary": "report.summary",
    "summary": "report.summary",
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
