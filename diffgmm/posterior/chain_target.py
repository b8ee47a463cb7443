"""What chains need of the posterior that they sample."""

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..data import Data
from ..kernels.allocation import ChainState

if TYPE_CHECKING:
    from .gibbs import Target


class ChainTarget(Protocol):
    """A posterior, in the units of the computation."""

    @property
    def data(self) -> Data:
        """The rows."""

    @property
    def fixed(self) -> "Target":
        """The posterior with K fixed in which chains start and warm up."""

    @property
    def log_jacobian(self) -> float:
        """What the log density of a row loses on the way to the user's units."""

    def with_room(self, state: ChainState) -> Any:
        """Return the state of a chain from where it is in `fixed`."""

    def new_draws(self, n: int, pointwise: np.ndarray, every: int) -> Any:
        """Return room for n draws, with `log_likelihood` (n,)."""

    def sweep(
        self,
        state: Any,
        draws: Any,
        noise: np.ndarray,
        bounds: tuple[int, int],
        rng: np.random.Generator,
    ) -> Any:
        """Run the sweeps from `bounds[0]` up to `bounds[1]`, return where draws went."""
