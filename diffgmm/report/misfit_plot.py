"""The misfit check as a heat map."""

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DiffgmmError

if TYPE_CHECKING:
    from .misfit import MisfitReport

# Colours end here, so that one large z does not make all others look alike.
LARGEST_Z = 8.0

INCHES_PER_COLUMN = 0.75


def draw_misfit(report: "MisfitReport", ax: Any = None) -> Any:
    """Return axes with z by noise level (rows) and component (columns); * marks adjusted p <= 0.05.

    `cividis` looks the same to people with and without colour blindness, and in grey.
    """
    try:
        import matplotlib.pyplot as plt
    except ModuleNotFoundError:
        raise DiffgmmError(
            "plot needs the package matplotlib: pip install 'diffgmm[plots]'."
        ) from None

    n_levels, n_columns = report.z.shape
    if ax is None:
        width = 2.6 + INCHES_PER_COLUMN * n_columns
        _, ax = plt.subplots(figsize=(width, 3.6), layout="constrained")
    image = ax.imshow(
        np.clip(report.z, 0.0, LARGEST_Z),
        cmap="cividis",
        vmin=0.0,
        vmax=LARGEST_Z,
        aspect="auto",
    )
    for level in range(n_levels):
        for column in range(n_columns):
            z, significant = report.z[level, column], report.p_adjusted[level, column] <= 0.05
            ax.text(
                column,
                level,
                f"{z:.1f}{'*' if significant else ''}",
                ha="center",
                va="center",
                color="black" if z > 0.55 * LARGEST_Z else "white",
                fontweight="bold" if significant else "normal",
            )
    ax.axvline(n_columns - 1.5, color="white", linewidth=3)
    ax.set_xticks(range(n_columns), [*(str(k) for k in range(n_columns - 1)), "all"])
    ax.set_yticks(range(n_levels), [f"{sigma:.2g}" for sigma in report.noise_levels])
    ax.set_xlabel("component")
    ax.set_ylabel("noise level (sd of the columns)")
    ax.set_title(f"Misfit, p = {report.p_value:.3g} (* adjusted p ≤ 0.05)")
    bar = ax.figure.colorbar(image, ax=ax, extend="both")
    bar.set_label("z of the held-out gain")
    return ax
