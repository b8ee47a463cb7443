"""Voronoi cells at one noise level, with a polynomial in each: a piecewise polynomial denoiser."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from ...data import read_only
from ...errors import InvalidParameterError
from ...files import check_state
from ...kernels import voronoi
from ...kernels.voronoi import Sorted

FORMAT = "diffgmm.Cells"


@dataclass(frozen=True, eq=False, kw_only=True)
class Cells:
    """The cells of J centres at one noise level, in standardised units. Immutable.

    sigma : noise level.
    deviation : sqrt(sigma^2 + sigma_0^2), the unit of the polynomials; sigma_0 is the components'
        own noise.
    centres : (J, D).
    parents : (J,); the cell of the level above in which each centre was found, or -1 at the top.
    counts : (J,); noised copies of rows in the cell, divided by the number of copies of a row.
    degrees : (J,); degree of each polynomial.
    coefficients : (J, D, p); beyond a cell's own degree they are 0.
    """

    sigma: float
    deviation: float
    centres: np.ndarray
    parents: np.ndarray
    counts: np.ndarray
    degrees: np.ndarray
    coefficients: np.ndarray

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, np.ndarray):
                object.__setattr__(self, each.name, read_only(value.copy()))
        centres, coefficients = self.centres, self.coefficients
        lines = (self.parents, self.counts, self.degrees)
        if (
            centres.ndim != 2
            or coefficients.ndim != 3
            or coefficients.shape[:2] != centres.shape
            or not coefficients.size
            or any(own.shape != (len(centres),) for own in lines)
        ):
            raise InvalidParameterError(
                "centres, coefficients and parents, counts, degrees must have shapes (J, D), "
                f"(J, D, p) and (J,), got {centres.shape}, {coefficients.shape} and "
                f"{[own.shape for own in lines]}."
            )
        if not (np.isfinite(centres).all() and np.isfinite(coefficients).all()):
            raise InvalidParameterError("centres and coefficients must be finite.")

    def __len__(self) -> int:
        return len(self.centres)

    def evaluate(self, y: np.ndarray) -> np.ndarray:
        """Return f(y) = y + deviation^2 score(y) of noised rows y (N, D): (N, D).

        It estimates E[mu | y], the mean of the component's centre, when every component is normal
        around its centre with standard deviation sigma_0.
        """
        out = np.empty_like(y)
        cells = sort_rows(y, self.centres)
        voronoi.evaluate(y, cells, self.centres, self.deviation, self.coefficients, out)
        return out

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists, ready for JSON."""
        state: dict[str, Any] = {"format": FORMAT, "version": 1}
        for each in fields(self):
            value = getattr(self, each.name)
            state[each.name] = value.tolist() if isinstance(value, np.ndarray) else value
        return state

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> "Cells":
        """Return the cells that `to_dict` described."""
        check_state(state, FORMAT, [each.name for each in fields(cls)])
        return cls(
            sigma=float(state["sigma"]),
            deviation=float(state["deviation"]),
            parents=np.array(state["parents"], int),
            degrees=np.array(state["degrees"], int),
            **{
                name: np.array(state[name], float) for name in ("centres", "counts", "coefficients")
            },
        )


def nearest_centres(y: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return the number of the centre (J, D) nearest to every row y (N, D): (N,)."""
    labels = np.empty(len(y), int)
    voronoi.nearest(y, centres, labels)
    return labels


def sort_rows(y: np.ndarray, centres: np.ndarray) -> Sorted:
    """Return rows y (N, D) in the order of the Voronoi cells of `centres` (J, D)."""
    labels = nearest_centres(y, centres)
    counts = np.bincount(labels, minlength=len(centres))
    return Sorted(np.argsort(labels, kind="stable"), np.concatenate([[0], np.cumsum(counts)]))
