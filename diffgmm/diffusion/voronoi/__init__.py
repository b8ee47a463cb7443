"""Scores by Voronoi cells, faithful to Gatmiry, Kelner and Lee: `gating="voronoi"`."""

from .fitting import fit_voronoi_score as fit_voronoi_score
from .noise_scale import noise_scale_of as noise_scale_of
from .score import VoronoiScore as VoronoiScore
from .score import score_model_from_dict as score_model_from_dict
