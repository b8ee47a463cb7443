"""Scores of noised data: the mixture's own, and a residual learned where data call for it."""

from .evidence import ResidualReport as ResidualReport
from .regression import fit_score_model as fit_score_model
from .regression import refit_score_model as refit_score_model
from .score_model import ScoreModel as ScoreModel
