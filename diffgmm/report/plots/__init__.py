"""Pictures of fits and draws, by matplotlib. Each takes a fit and returns its axes."""

from .denoising_loss import plot_denoising_loss as plot_denoising_loss
from .path import plot_path as plot_path
from .score_field import plot_score_field as plot_score_field
from .trajectories import plot_trajectories as plot_trajectories
from .warm_starts import plot_warm_starts as plot_warm_starts
