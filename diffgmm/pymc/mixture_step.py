"""A PyMC step that proposes from a frozen mixture: independence Metropolis, exact."""

from typing import Any, ClassVar

import numpy as np
from pymc.step_methods.compound import BlockedStep, Competence

from .labels import Labels
from .proposal import Proposal
from .target import Target


class MixtureProposalStep(BlockedStep):
    """Propose a point from a mixture, anywhere in space, and accept it by Metropolis and Hastings.

    With y ~ q independent of x, the ratio is p(y) q(x) / (p(x) q(y)): p stays invariant whatever
    q is. Where the density does not change when components are renumbered, x is first replaced
    by its copy with components in order, q lives on ordered points alone, and the result gets a
    random numbering: this is the same chain on points up to numbering, and q needs to know one of K!
    copies only.

    Parameters
    ----------
    vars : list
        Value variables; all of the model's.
    target, proposal : Target, Proposal
    starts : ndarray, shape (S, D)
        A chain begins at one of these, drawn at random, whatever point it is given.
    labels : Labels or None
    """

    name = "mixture_proposal"
    default_blocked = True
    stats_dtypes_shapes: ClassVar[dict[str, Any]] = {
        "proposal_acceptance": (np.float64, []),
        "proposal_accepted": (bool, []),
    }

    def __init__(
        self,
        vars: Any = None,
        *,
        target: Target,
        proposal: Proposal,
        starts: np.ndarray,
        labels: Labels | None,
        model: Any = None,
        rng: Any = None,
        blocked: bool = True,
    ):
        self.vars = list(vars)
        self.target, self.proposal, self.starts = target, proposal, starts
        self.labels = labels
        self.rng = np.random.default_rng(rng)
        self.is_new = True

    def set_rng(self, rng: Any) -> None:
        """Begin a chain, as PyMC 5 says it."""
        self.rng, self.is_new = np.random.default_rng(rng), True

    def setup_chain(self, rng: Any, tune: int, draws: int) -> None:
        """Begin a chain, as PyMC 6 says it."""
        self.set_rng(rng)

    def step(self, point: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], list[dict]]:
        """Return the next point and how the proposal fared."""
        if self.is_new:
            self.is_new = False
            x = self.starts[self.rng.integers(len(self.starts))]
            rate, accepted = 1.0, True
        else:
            x, rate, accepted = self._move(self.target.points.flat(point))
        if self.labels is not None:
            x = self.labels.permute(x, self.rng.permutation(self.labels.n_components))
        new = {**point, **self.target.points.point(x)}
        return new, [{"proposal_acceptance": rate, "proposal_accepted": accepted}]

    def _move(self, x: np.ndarray) -> tuple[np.ndarray, float, bool]:
        y = self.proposal.draw(1, self.rng)[0]
        if self.labels is not None:
            if not self.labels.is_canonical(y):
                return x, 0.0, False
            x = self.labels.canonical(x)
        here, there = self.target(x)[0], self.target(y)[0]
        q_here, q_there = self.proposal.log_density(np.stack([x, y]))
        log_ratio = there - here + q_here - q_there
        rate = float(np.exp(min(log_ratio, 0.0))) if np.isfinite(there) else 0.0
        accepted = bool(self.rng.random() < rate)
        return (y if accepted else x), rate, accepted

    @staticmethod
    def competence(var: Any, has_grad: bool) -> Competence:
        """Return that PyMC never chooses this step by itself."""
        return Competence.INCOMPATIBLE
