"""The misfit check as a heat map."""

from typing import Any, Protocol

import numpy as np

from ..errors import DiffgmmError

# Colours reach at least this z, so that chance does not look like misfit.
LARGEST_Z = 8.0

INCHES_PER_COLUMN = 0.75


class Cells(Protocol):
    """What the heat map needs: a MisfitReport, or the group `misfit`."""

    @property
    def p_value(self) -> float: ...  # noqa: D102
    @property
    def noise_levels(self) -> np.ndarray: ...  # noqa: D102
    @property
    def z(self) -> np.ndarray: ...  # noqa: D102
    @property
    def p_adjusted(self) -> np.ndarray: ...  # noqa: D102
    @property
    def n_components(self) -> int: ...  # noqa: D102


def draw_misfit(report: Cells, ax: Any = None, figsize: tuple[float, float] | None = None) -> Any:
    """Return axes with z by noise level (rows) and component (columns); * marks adjusted p <= 0.05.

    `cividis` looks the same to people with and without colour blindness, and in grey.
    """
    try:
        import matplotlib.pyplot as plt
        from matplotlib.colors import PowerNorm
        from matplotlib.ticker import MaxNLocator
    except ModuleNotFoundError:
        raise DiffgmmError(
            "plot needs the package matplotlib: pip install 'diffgmm[plots]'."
        ) from None

    shown = slice(None) if report.n_components > 1 else slice(1)
    z_shown, p_shown = report.z[:, shown], report.p_adjusted[:, shown]
    n_levels, n_columns = z_shown.shape
    # Square roots: a z of 100 must not make one of 5 look like none.
    norm = PowerNorm(0.5, vmin=0.0, vmax=max(LARGEST_Z, float(z_shown.max())), clip=True)
    if ax is None:
        width = max(4.2, 2.6 + INCHES_PER_COLUMN * n_columns)
        _, ax = plt.subplots(figsize=figsize or (width, 3.6), layout="constrained")
    image = ax.imshow(z_shown, cmap="cividis", norm=norm, aspect="auto")
    for level in range(n_levels):
        for column in range(n_columns):
            z, significant = z_shown[level, column], p_shown[level, column] <= 0.05
            ax.text(
                column,
                level,
                f"{z + 0.0:.1f}{'*' if significant else ''}".replace("-0.0", "0.0"),
                ha="center",
                va="center",
                color="black" if norm(z) > 0.6 else "white",
                fontweight="bold" if significant else "normal",
            )
    labels = [str(k) for k in range(report.n_components)]
    if report.n_components > 1:
        ax.axvline(n_columns - 1.5, color="white", linewidth=3)
        labels.append("all")
    ax.set_xticks(range(n_columns), labels)
    ax.set_yticks(range(n_levels), [f"{sigma:.2g}" for sigma in report.noise_levels])
    ax.set_xlabel("component")
    ax.set_ylabel("noise level (sd of the columns)")
    ax.set_title(f"Misfit, p = {report.p_value:.3g} (* adjusted p ≤ 0.05)")
    bar = ax.figure.colorbar(image, ax=ax, extend="min")
    bar.locator = MaxNLocator(4)  # square roots crowd the upper end
    bar.update_ticks()
    bar.set_label("z of the held-out gain")
    return ax
