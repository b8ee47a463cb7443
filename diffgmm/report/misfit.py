"""What the misfit check found: numbers, sentences, a table and a heat map."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# Level at which cells are marked and named.
LEVEL = 0.05

# Columns of text for a component, and components that fit on a line of a terminal.
CELL_WIDTH = 13
MOST_COLUMNS = 4

LINE_WIDTH = 78


@dataclass(frozen=True, eq=False, kw_only=True)
class MisfitReport:
    """Where a Gaussian mixture does not fit: at which noise level, in which component.

    Attributes
    ----------
    p_value : float
        Of the hypothesis that the rows come from a mixture of this family.
    table : pandas.DataFrame
        One row per noise level and component; the component "all" stands for all of them together,
        the noise level "all" for all levels.
    advice : tuple of str
        What was found and what to do about it.
    noise_levels : ndarray, shape (L,)
        Decreasing, in standard deviations of the columns.
    gain : ndarray, shape (L, K + 1)
        By how much held-out rows become more probable when component k may have another shape, as
        seen at this noise level: nat per row, about 0 when the family is right. The last column
        is that of all components together.
    z : ndarray, shape (L, K + 1)
        The gain in standard deviations above its mean over data sets from the fitted mixture.
    p_adjusted : ndarray, shape (L, K + 1)
        Adjusted for the choice among all cells, by the largest z of each such data set.
    detectable_gain : ndarray, shape (L, K + 1)
        The gain that would be found, at 5 %, in about 80 % of data sets.
    total : tuple of four float
        gain, z, p_adjusted and detectable_gain of everything together.
    smallest_detectable_gain : float
        The detectable gain of a typical (median) component, at the noise level where it is largest.
    n_bootstrap : int
        Data sets drawn from the fitted mixture, refitted and checked like the rows.
    n_bootstrap_max : int
        How many there would have been, had p not been clearly large before.
    n_rows, n_rows_used : int
        Larger data are checked on a random part of the rows.
    covariance_type : str
    of_draws : bool
        Whether draws of a posterior were given: the check then refits the family by maximum
        likelihood, and p is about the family and not about the draws.
    """

    p_value: float
    advice: tuple[str, ...]
    noise_levels: np.ndarray
    gain: np.ndarray
    z: np.ndarray
    p_adjusted: np.ndarray
    detectable_gain: np.ndarray
    total: tuple[float, ...]
    smallest_detectable_gain: float
    n_bootstrap: int
    n_bootstrap_max: int
    n_rows: int
    n_rows_used: int
    covariance_type: str
    of_draws: bool

    @property
    def n_components(self) -> int:
        """Number of components K."""
        return self.gain.shape[1] - 1

    @property
    def table(self) -> Any:
        """Noise level and component against gain, z, p_adjusted and detectable_gain."""
        import pandas

        labels = [*range(self.n_components), "all"]
        levels = [round(float(sigma), 4) for sigma in self.noise_levels]
        index = [(level, label) for level in levels for label in labels] + [("all", "all")]
        names = ("gain", "z", "p_adjusted", "detectable_gain")
        columns = {
            name: np.append(getattr(self, name).ravel(), self.total[i])
            for i, name in enumerate(names)
        }
        rows = pandas.MultiIndex.from_tuples(index, names=["noise_level", "component"])
        return pandas.DataFrame(columns, index=rows)

    def __repr__(self) -> str:
        return self.text()

    def text(self) -> str:
        """Return the report as lines for a terminal."""
        shown = list(range(self.n_components))
        omitted = 0
        if len(shown) > MOST_COLUMNS:
            largest = np.argsort(-self.z[:, :-1].max(axis=0), kind="stable")
            shown, omitted = sorted(largest[:MOST_COLUMNS].tolist()), len(shown) - MOST_COLUMNS
        return "\n".join(
            [self._headline(), "", *self._grid(shown, omitted), "", *self._sentences()]
        )

    def _headline(self) -> str:
        k, kind = self.n_components, self.covariance_type
        name = "1 component" if k == 1 else f"{k} components"
        rows = f"{self.n_rows_used:,} rows"
        if self.n_rows_used < self.n_rows:
            rows = f"a random {self.n_rows_used:,} of {self.n_rows:,} rows"
        verdict = "the mixture does not fit" if self.p_value <= LEVEL else "no misfit found"
        return (
            f"Misfit check of a Gaussian mixture: {name}, {kind} covariance,\n"
            f"{rows}. p = {self.p_value:.3g}: {verdict}."
        )

    def _grid(self, shown: Sequence[int], omitted: int) -> list[str]:
        columns, labels = list(shown), [str(k) for k in shown]
        if self.n_components > 1:
            columns, labels = [*columns, self.n_components], [*labels, "all"]
        lines = [
            "What another shape of a component gains on held-out rows, in 0.001 nat per",
            "row, and its z (* adjusted p of 0.05 or less). Noise levels are in standard",
            "deviations of the columns.",
            "",
            "noise  component",
            "level " + "".join(f"{label} ".rjust(CELL_WIDTH) for label in labels).rstrip(),
        ]
        for level, sigma in enumerate(self.noise_levels):
            cells = (self._cell(level, k) for k in columns)
            line = f"{sigma:5.2f} " + "".join(cell.rjust(CELL_WIDTH) for cell in cells)
            lines.append(line.rstrip())
        if omitted:
            lines.append(f"{omitted} components with smaller z are in `.table`.")
        return lines

    def _cell(self, level: int, k: int) -> str:
        mark = "*" if self.p_adjusted[level, k] <= LEVEL else " "
        z = self.z[level, k]
        return f"{1e3 * self.gain[level, k]:.2f} {z:+.{1 if abs(z) < 99 else 0}f}{mark}"

    def _sentences(self) -> list[str]:
        import textwrap

        lines: list[str] = []
        for sentence in [*self.advice, *self._notes()]:
            lines += textwrap.wrap(
                sentence, LINE_WIDTH, initial_indent="- ", subsequent_indent="  "
            )
        return lines

    def _notes(self) -> list[str]:
        notes = [
            f"p compares with {self.n_bootstrap} data sets drawn from the fitted mixture, refitted "
            "and checked alike"
            + (
                f"; with p clearly not small, the other {self.n_bootstrap_max - self.n_bootstrap} "
                "were not needed."
                if self.n_bootstrap < self.n_bootstrap_max
                else "."
            )
        ]
        if self.of_draws:
            notes.append(
                "The family of mixtures was refitted to the rows, starting from the posterior mean: "
                "p tests the family, not the draws."
            )
        return notes

    def plot(self, ax: Any = None) -> Any:
        """Draw z by noise level and component as a heat map; needs Matplotlib.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        matplotlib.axes.Axes
        """
        from .misfit_plot import draw_misfit

        return draw_misfit(self, ax)

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists, numbers and text, ready for JSON."""
        state = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in state.items()
        }
