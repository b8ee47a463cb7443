"""What a fit returns: the mixture, its learned scores, and how the fit went."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .._seeding import Seed
from ..arguments import check_count
from ..diffusion import ScoreModel, VoronoiScore, score_model_from_dict
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

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended the fit."""
        return self.message.startswith("interrupted")


@dataclass(frozen=True, eq=False)
class MixtureFit:
    """A fitted mixture, its learned scores, and how the fit went.

    Attributes
    ----------
    mixture : GaussianMixture
        In the units of the data.
    score_model : ScoreModel or VoronoiScore
        Silent (the mixture's own scores) unless the residual earned its place; a VoronoiScore after
        ``gating="voronoi"``.
    trace : Trace
        How the search and EM went.
    n_rows : float
        Rows fitted, or the sum of their weights.
    covariance_type, name : str
        As given.
    path : ComponentPath or None
        When the number of components was chosen here.
    gates : GateChoice or None
        When held-out denoising loss had a say in that number.
    """

    mixture: GaussianMixture
    score_model: ScoreModel | VoronoiScore
    trace: Trace
    n_rows: float
    covariance_type: str
    name: str = "x"
    path: ComponentPath | None = None
    gates: GateChoice | None = None

    def __repr__(self) -> str:
        residual = "silent" if self.score_model.is_silent else "active"
        if isinstance(self.score_model, VoronoiScore):
            residual = "voronoi"
        return (
            f"MixtureFit(n_components={self.mixture.n_components}, n_rows={self.n_rows}, "
            f"log_likelihood={self.log_likelihood:.2f}, residual={residual})"
        )

    @property
    def log_likelihood(self) -> float:
        """Log likelihood of the fitted rows, in nats."""
        return float(self.trace.log_likelihood[-1] * self.n_rows)

    def sample(
        self,
        n: int,
        random_seed: Seed = None,
        *,
        sampler: str | None = None,
        steps: int | None = None,
    ) -> np.ndarray:
        """Return n draws of data by reverse diffusion, shape (n, D).

        With a silent residual they are exact draws from the mixture; after gating="voronoi" they
        come from the reverse SDE of the Voronoi score, without the mixture.

        Parameters
        ----------
        n : int
            Number of draws, at least 1.
        random_seed : int, sequence of int, Generator or None
            An integer repeats the draws.
        sampler : str, optional
            "mixture" (the default), "gms", "sde" (the default with gating="voronoi"),
            "predictor-corrector", "heun", "dpm++" or "ode"; see `diffgmm.diffusion.draw`.
            `log_density` is that of the draws of "ode".
        steps : int, optional
            Number of steps; each sampler has its own default.
        """
        return self.score_model.sample(n, random_seed, sampler=sampler, steps=steps)

    def log_density(self, x: Any) -> np.ndarray:
        """Return the log density at rows `x`, shape (N,), in nats.

        The mixture's, exactly, where the residual is silent, as it always is for model="mixture".
        Where it is active, the density of the probability-flow ODE: of the draws of sampler="ode",
        from which those of the default sampler differ slightly. A score with gating="voronoi" has
        jumps and no density; then it is the mixture's.
        """
        if self.score_model.is_silent or isinstance(self.score_model, VoronoiScore):
            return self.mixture.log_density(x)
        return self.score_model.log_density(x)

    def to_arviz(
        self,
        X: Any = None,
        *,
        draws: int = 200,
        sample_weight: Any = None,
        random_seed: Seed = None,
        cores: int | None = None,
        progressbar: bool = True,
    ) -> Any:
        """Return the fit as InferenceData (ArviZ 0.x) or DataTree (1.x).

        Without rows it holds one draw, the estimate. With the rows that were fitted, every draw is
        an independent refit to Dirichlet-weighted rows (weighted likelihood bootstrap), mixture and
        residual both, with replicated rows by its own diffusion sampler. That is no posterior under
        a prior: there is no group log_likelihood, so that nobody runs PSIS-LOO on it.

        Parameters
        ----------
        X : array-like or table, shape (N, D), optional
            The rows that were fitted.
        draws : int, default 200
            Number of refits.
        sample_weight : array-like, shape (N,), optional
            As given to `fit`.
        random_seed : int, sequence of int, Generator or None
            An integer repeats the refits, for any number of cores.
        cores : int, optional
            Threads; every available core by default.
        progressbar : bool, default True
            Show progress on a terminal.

        Returns
        -------
        arviz.InferenceData or xarray.DataTree
            posterior: weights (chain, draw, cluster), means and covariances as `sample` has them.
            With rows also posterior_predictive (chain, draw, obs_id, feature) and observed_data;
            group diffusion (level, cluster) where a residual was looked for.

        Raises
        ------
        InvalidDataError, InvalidParameterError
            When X are not the rows that were fitted, or after gating="voronoi".

        Warns
        -----
        UserWarning
            After Ctrl-C: the refits that were done are returned, if there are any.

        References
        ----------
        Newton, Raftery (1994), Journal of the Royal Statistical Society B 56(1), 3-48.
        """
        from ..report.fit_draws import fit_to_arviz, refits_to_arviz

        if X is None:
            return fit_to_arviz(self)
        draws = check_count("draws", draws)
        return refits_to_arviz(
            self,
            X,
            draws=draws,
            sample_weight=sample_weight,
            random_seed=random_seed,
            cores=cores,
            progressbar=progressbar,
        )

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
            score_model_from_dict(state["score_model"]),
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
