"""Pictures of fits and draws, by matplotlib. Each takes a fit or InferenceData and returns its axes."""

from .co_clustering import plot_co_clustering as plot_co_clustering
from .components import plot_components as plot_components
from .denoising_loss import plot_denoising_loss as plot_denoising_loss
from .density import plot_density as plot_density
from .membership import plot_membership as plot_membership
from .misfit import plot_misfit as plot_misfit
from .n_components import plot_n_components as plot_n_components
from .path import plot_path as plot_path
from .pit import plot_pit as plot_pit
from .ppc_clusters import plot_ppc_clusters as plot_ppc_clusters
from .score_field import plot_score_field as plot_score_field
from .trajectories import plot_trajectories as plot_trajectories
from .warm_starts import plot_warm_starts as plot_warm_starts
