"""What chains, their starts and their warm-up need of the posterior that they sample."""

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..covariance import Family
from ..data import Data
from ..kernels.allocation import ChainState, ConjugatePrior
from ..learn.search import Units

if TYPE_CHECKING:
    from .families import CovariancePrior
    from .priors import Prior


class ChainTarget(Protocol):
    """A posterior, in the units of the computation; `units` is the map to the user's.

    n_components : K, or with K unknown that of the fits at which chains start.
    kernel_prior : the prior of the components.
    """

    @property
    def data(self) -> Data:
        """The rows."""

    @property
    def family(self) -> Family:
        """The covariances' family."""

    @property
    def units(self) -> Units:
        """The map to the user's units."""

    @property
    def prior(self) -> "Prior":
        """The prior, in the user's units."""

    @property
    def n_components(self) -> int:
        """Number of components."""

    @property
    def kernel_prior(self) -> ConjugatePrior:
        """What the kernel needs of the prior."""

    @property
    def covariance_prior(self) -> "CovariancePrior":
        """The prior of the family's covariances."""

    @property
    def log_jacobian(self) -> float:
        """What the log density of a row loses on the way to the user's units."""

    def noise_levels(self, n: int) -> np.ndarray:
        """Return n falling noise levels."""

    def draw_prior(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Return one draw of the prior, in the user's units."""

    def with_room(self, state: ChainState) -> Any:
        """Return the state of a chain from the parameters of some components."""

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
