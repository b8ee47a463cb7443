"""The score of Gatmiry, Kelner and Lee: Voronoi cells, level by level, and no mixture behind them."""

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from ..._seeding import Seed
from ...arguments import check_sigma, check_units
from ...blocks import RowBlocks
from ...data import Data, read_only
from ...errors import InvalidParameterError
from ...files import check_state
from ..score_model import ScoreModel
from .cells import Cells
from .reverse_sde import draw, sde_levels

FORMAT = "diffgmm.VoronoiScore"


@dataclass(frozen=True, eq=False, kw_only=True)
class VoronoiScore:
    """Score and denoiser of noised data by a polynomial in each Voronoi cell, and draws. Immutable.

    The interface is that of `ScoreModel`: inside, everything is in standardised units
    z = (x - shift) / scale, noise levels too; rows, scores and draws are in the user's units.

    cells : L Cells, of decreasing noise levels.
    noise_scale : sigma_0, the standard deviation of a component around its centre.
    spread : (D,) standard deviations of the data.   shift, scale : (D,), in the user's units.
    feature_names : D names.

    Notes
    -----
    At level l, score(y) = (f(y) - y) / (sigma_0^2 + sigma_l^2). Between levels f is linear in
    log(sigma); below the lowest level the score is that of the lowest; above the highest it is the
    score of a normal distribution with the data's means and standard deviations. The score jumps
    from cell to cell and is no gradient: it has draws and no density.

    References
    ----------
    Gatmiry, Kelner, Lee (2025), "Learning mixtures of Gaussians using diffusion models",
    arXiv:2404.18869, Algorithm 1, with the corrections of tutorials/design/0003-scores.md.
    """

    cells: tuple[Cells, ...]
    noise_scale: float
    spread: np.ndarray
    shift: np.ndarray
    scale: np.ndarray
    feature_names: tuple[str, ...]

    def __post_init__(self) -> None:
        for name in ("spread", "shift", "scale"):
            object.__setattr__(self, name, read_only(np.array(getattr(self, name), float)))
        if not self.cells or np.any(np.diff(self.sigmas) >= 0.0):
            raise InvalidParameterError("cells must be those of decreasing noise levels.")
        d = self.cells[0].centres.shape[1]
        check_units(self.shift, self.scale, d)
        check_units(self.shift, self.spread, d)
        if any(own.centres.shape[1] != d for own in self.cells) or not self.noise_scale > 0.0:
            raise InvalidParameterError(
                f"cells must all have {d} features and noise_scale must be positive, got "
                f"{[own.centres.shape[1] for own in self.cells]} and {self.noise_scale!r}."
            )

    def __repr__(self) -> str:
        counts = [len(own) for own in self.cells]
        return (
            f"VoronoiScore(n_features={len(self.shift)}, n_levels={len(counts)}, "
            f"n_cells={counts[0]} to {counts[-1]})"
        )

    @property
    def is_silent(self) -> bool:
        """False: there is no mixture here whose draws these could be."""
        return False

    @cached_property
    def sigmas(self) -> np.ndarray:
        """Noise levels at which there are cells, decreasing, in standardised units."""
        return np.array([own.sigma for own in self.cells])

    @cached_property
    def levels(self) -> np.ndarray:
        """Noise levels at which a draw evaluates the score, decreasing, in standardised units."""
        return sde_levels(float(self.sigmas[0]), float(self.sigmas[-1]))[:-1]

    @property
    def n_score_evaluations(self) -> int:
        """How often a draw evaluates the score."""
        return len(self.levels)

    @property
    def warm_starts(self) -> list[tuple[float, np.ndarray, np.ndarray]]:
        """The tree of warm starts: noise level, centres (J, D) and parents (J,) of every level.

        Centres are in the user's units, parents are rows of the centres of the level above and -1
        at the top.
        """
        return [
            (own.sigma, own.centres * self.scale + self.shift, own.parents.copy())
            for own in self.cells
        ]

    def score(self, x: Any, sigma: float = 0.0) -> np.ndarray:
        """Return the score of rows noised by `sigma`.

        Parameters
        ----------
        x : array-like, shape (N, D)
            Noised rows, in the user's units.
        sigma : float, default 0
            Noise level, in standardised units: noise has the standard deviation sigma * scale.

        Returns
        -------
        ndarray, shape (N, D)
            In 1 / units of x.
        """
        return self._of_rows(x, sigma)[1] / self.scale

    def denoise(self, y: Any, sigma: float) -> np.ndarray:
        """Return E[x | y] for y = x + sigma * scale * noise, shape (N, D), in the user's units."""
        data, score = self._of_rows(y, sigma)
        return data.values + (sigma * sigma * self.scale) * score

    def _of_rows(self, x: Any, sigma: float) -> tuple[Data, np.ndarray]:
        """Return checked rows and their scores in standardised units, (N, D)."""
        sigma = check_sigma(sigma)
        data = Data.of(x, feature_names=self.feature_names)
        out = np.empty(data.values.shape)

        def work(start: int, stop: int) -> None:
            z = (data.values[start:stop] - self.shift) / self.scale
            out[start:stop] = self.standardised_score(z, sigma)

        RowBlocks(*data.values.shape).map(work)
        return data, out

    def standardised_score(self, z: np.ndarray, sigma: float) -> np.ndarray:
        """Return the score of rows z (N, D), everything in standardised units, unchecked."""
        sigmas = self.sigmas
        if sigma > sigmas[0]:
            return -z / (np.square(self.spread) + sigma * sigma)
        sigma = max(sigma, float(sigmas[-1]))
        below = int(np.searchsorted(-sigmas, -sigma))  # the first level <= sigma
        f = self.cells[below].evaluate(z)
        if sigmas[below] < sigma:
            share = np.log(sigma / sigmas[below]) / np.log(sigmas[below - 1] / sigmas[below])
            f += share * (self.cells[below - 1].evaluate(z) - f)
        return (f - z) / (self.noise_scale**2 + sigma * sigma)

    def sample(
        self,
        n: int,
        random_seed: Seed = None,
        *,
        sampler: str | None = None,
        steps: int | None = None,
    ) -> np.ndarray:
        """Return n independent draws by reverse diffusion, shape (n, D), in the user's units.

        By default they follow the reverse SDE and end at the lowest noise level, as in the paper:
        sigmas[-1] * scale is left in them.

        Parameters
        ----------
        n : int
            Number of draws, at least 1.
        random_seed : int, sequence of int, Generator or None
            An integer repeats the draws, whatever the number of threads.
        sampler : str, optional
            "gms", "sde", "predictor-corrector", "heun", "dpm++" or "ode"; see
            `diffgmm.diffusion.draw`.
        steps : int, optional
            Number of steps; each sampler has its own default.
        """
        if sampler is None and steps is None:
            return draw(self, n, random_seed=random_seed)
        from ..samplers import draw as draw_by

        return draw_by(self, n, sampler=sampler or "sde", steps=steps, random_seed=random_seed).values

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and names, ready for JSON."""
        state: dict[str, Any] = {"format": FORMAT, "version": 1}
        for each in fields(self):
            value = getattr(self, each.name)
            state[each.name] = value.tolist() if isinstance(value, np.ndarray) else value
        state["feature_names"] = list(self.feature_names)
        state["cells"] = [own.to_dict() for own in self.cells]
        return state

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> "VoronoiScore":
        """Return the score that `to_dict` described."""
        check_state(state, FORMAT, [each.name for each in fields(cls)])
        return cls(
            cells=tuple(Cells.from_dict(own) for own in state["cells"]),
            noise_scale=float(state["noise_scale"]),
            feature_names=tuple(state["feature_names"]),
            **{name: np.array(state[name], float) for name in ("spread", "shift", "scale")},
        )


def score_model_from_dict(state: dict[str, Any]) -> ScoreModel | VoronoiScore:
    """Return the score model of either kind that its `to_dict` described."""
    if isinstance(state, dict) and state.get("format") == FORMAT:
        return VoronoiScore.from_dict(state)
    return ScoreModel.from_dict(state)
