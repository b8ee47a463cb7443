"""Scores of noised data: the mixture's own, and a residual learned where data call for it."""

from .regression import fit_score_model as fit_score_model
from .regression import refit_score_model as refit_score_model
from .samplers import Draws as Draws
from .samplers import draw as draw
from .score_model import ScoreModel as ScoreModel
from .significance import ResidualReport as ResidualReport
from .voronoi import VoronoiScore as VoronoiScore
from .voronoi import fit_voronoi_score as fit_voronoi_score
from .voronoi import score_model_from_dict as score_model_from_dict
