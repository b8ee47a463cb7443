"""What a fit returns: the mixture, its learned scores, and how the fit went."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .._seeding import Seed
from ..diffusion import ScoreModel
from ..files import check_state, read_json, write_json
from ..mixture import GaussianMixture
from .gates import GateChoice
from .path import ComponentPath

FORMAT = "diffgmm.MixtureFit"


@dataclass(frozen=True, eq=False)
class Trace:
    """How a fit went.

    log_likelihood : mean log likelihood per row on the way, in nats; the last one is the fit's.
    converged : whether less than the tolerance was left to gain.
    gradient_norm : length of the gradient of the mean log likelihood where the fit ended, with
        means in standard deviations and covariances relative to themselves.
    message : why it stopped.
    """

    log_likelihood: np.ndarray
    converged: bool
    gradient_norm: float
    message: str


@dataclass(frozen=True, eq=False)
class MixtureFit:
    """A fitted mixture, its learned scores, and how the fit went.

    mixture : GaussianMixture, in the units of the data.
    score_model : ScoreModel; silent (the mixture's own scores) unless the residual earned its place.
    trace : Trace.
    n_rows : number of rows fitted, or the sum of their weights.
    covariance_type, name : as given.
    path : ComponentPath when the number of components was chosen here, else None.
    gates : GateChoice when held-out denoising loss had a say in that number, else None.
    """

    mixture: GaussianMixture
    score_model: ScoreModel
    trace: Trace
    n_rows: float
    covariance_type: str
    name: str = "x"
    path: ComponentPath | None = None
    gates: GateChoice | None = None

    def __repr__(self) -> str:
        residual = "silent" if self.score_model.is_silent else "active"
        return (
            f"MixtureFit(n_components={self.mixture.n_components}, n_rows={self.n_rows}, "
            f"log_likelihood={self.log_likelihood:.2f}, residual={residual})"
        )

    @property
    def log_likelihood(self) -> float:
        """Log likelihood of the fitted rows, in nats."""
        return float(self.trace.log_likelihood[-1] * self.n_rows)

    def sample(self, n: int, random_seed: Seed = None) -> np.ndarray:
        """Return n draws of data by reverse diffusion, shape (n, D).

        With a silent residual they are exact draws from the mixture.

        Parameters
        ----------
        n : int
            Number of draws, at least 1.
        random_seed : int, sequence of int, Generator or None
            An integer repeats the draws.
        """
        return self.score_model.sample(n, random_seed)

    def log_density(self, x: Any) -> np.ndarray:
        """Return the log density of the mixture at rows `x`, shape (N,), in nats.

        The residual score, where active, changes the draws but not this density.
        """
        return self.mixture.log_density(x)

    def to_arviz(self) -> Any:
        """Return the fit as InferenceData (ArviZ 0.x) or DataTree (1.x): one draw, the estimate."""
        from ..report.inference_data import fit_to_arviz

        return fit_to_arviz(self)

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists, numbers and names, ready for JSON."""
        return {
            "format": FORMAT,
            "version": 1,
            "mixture": self.mixture.to_dict(),
            "score_model": self.score_model.to_dict(),
            "trace": {
                "log_likelihood": self.trace.log_likelihood.tolist(),
                "converged": self.trace.converged,
                "gradient_norm": self.trace.gradient_norm,
                "message": self.trace.message,
            },
            "n_rows": self.n_rows,
            "covariance_type": self.covariance_type,
            "name": self.name,
            "path": None if self.path is None else self.path.to_dict(),
            "gates": None if self.gates is None else self.gates.to_dict(),
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> "MixtureFit":
        """Return the fit that `to_dict` described."""
        parts = ("mixture", "score_model", "trace", "n_rows", "covariance_type", "name", "path")
        check_state(state, FORMAT, parts)
        trace = state["trace"]
        return cls(
            GaussianMixture.from_dict(state["mixture"]),
            ScoreModel.from_dict(state["score_model"]),
            Trace(**(trace | {"log_likelihood": np.array(trace["log_likelihood"])})),
            state["n_rows"],
            state["covariance_type"],
            state["name"],
            None if state["path"] is None else ComponentPath.from_dict(state["path"]),
            None if state.get("gates") is None else GateChoice.from_dict(state["gates"]),
        )

    def save(self, path: str | Path) -> None:
        """Write the fit as JSON; numbers survive to the last bit."""
        write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: str | Path) -> "MixtureFit":
        """Read a fit that `save` wrote."""
        return cls.from_dict(read_json(path))
