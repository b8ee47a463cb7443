"""What degree the scores of two components need: one polynomial, or one in each Voronoi cell.

python benchmarks/degrees.py

Two components of equal weight at -rho and rho, in standard deviations of the noised components.
Their posterior mean is f(y) = rho tanh(rho y). The table holds the root mean squared error, under the
mixture, of the best polynomial of degree m, and of the best two of them in the two cells of the
centres: no rows, no noise, only quadrature, with the Hermite polynomials of `kernels/features.py`.
Published figures of an independent computation stand beside it in brackets; `*` marks those that differ
by more than 10 % and by more than the rounding of their last digit. Then the same with the kernel's
clip at 4 standard deviations, which is the only difference of what is fitted from what is tabled.
"""

from decimal import Decimal

import numpy as np

from diffgmm.kernels._compile import BLOCK, aligned_blocks
from diffgmm.kernels.features import hermite_block, hermite_table

SINGLE, CELLS = (1, 3, 5, 9, 17), (0, 1, 2, 3)

PUBLISHED = {
    0.5: ("0.032 0.0081 0.0026 0.0004 2e-5", "0.12 0.024 0.0018 0.0017"),
    1.0: ("0.22 0.11 0.061 0.024 0.005", "0.29 0.14 0.049 0.011"),
    1.5: ("0.50 0.30 0.20 0.11 0.04", "0.34 0.24 0.13 0.063"),
    2.0: ("0.72 0.46 0.33 0.20 0.097", "0.29 0.24 0.17 0.11"),
    3.0: ("0.93 0.54 0.38 0.24 0.13", "0.11 0.10 0.096 0.083"),
    4.0: ("0.97 0.47 0.29 0.15 0.08", "0.021 0.021 0.021 0.021"),
}

# Nodes of the trapezoidal rule, none of them on the edge of the cells at 0: doubling them changes no
# digit that is printed.
NODES = 20_000


def hermite(u, degree):
    """Return He_m(u) / sqrt(m!), m = 0 .. degree, (N, degree + 1), from the kernel."""
    columns, table = np.ones((len(u), degree + 1)), hermite_table(1, degree + 1)
    for first in range(0, len(u), BLOCK):
        own = u[first : first + BLOCK]
        white, out = aligned_blocks(1), aligned_blocks(degree + 1)
        white[0, : len(own)] = own
        hermite_block(white, np.ones(BLOCK), table, out)
        columns[first : first + len(own)] = out[:, : len(own)].T
    return columns


def squared_error(u, f, weights, degree):
    """Return the least weighted squared error of a polynomial of this degree."""
    root = np.sqrt(weights)
    orthonormal, _ = np.linalg.qr(root[:, None] * hermite(u, degree))
    target = root * f
    return np.sum((target - orthonormal @ (orthonormal.T @ target)) ** 2)


def problem(rho):
    """Return nodes y, f(y) and weights of the mixture."""
    y = np.linspace(-rho - 12.0, rho + 12.0, NODES)
    weights = np.exp(-0.5 * (y - rho) ** 2) + np.exp(-0.5 * (y + rho) ** 2)
    return y, rho * np.tanh(rho * y), weights / weights.sum()


def single(rho, degree):
    """Return the error of one polynomial about 0."""
    return np.sqrt(squared_error(*problem(rho), degree))


def in_cells(rho, degree, clip=np.inf):
    """Return the error of one polynomial in each of the two cells, about its centre."""
    y, f, weights = problem(rho)
    own = y > 0.0
    u = np.clip(y[own] - rho, -clip, clip)
    return np.sqrt(2.0 * squared_error(u, f[own], weights[own], degree))  # both cells alike


def agrees(error, text):
    """Return whether an error is the published one, to 10 % or to its last digit."""
    rounding = 0.5 * 10.0 ** Decimal(text).as_tuple().exponent
    return abs(error - float(text)) <= max(0.1 * float(text), rounding)


def row(rho, errors, published):
    """Return a line: computed errors, published ones in brackets, a mark where they disagree."""
    cells = []
    for error, text in zip(errors, published.split(), strict=True):
        mark = " " if agrees(error, text) else "*"
        cells.append(f"{error:9.2g} ({text:>6s}){mark}")
    return f"{rho:4.1f} " + "".join(cells)


def report():
    """Print the two tables."""
    print("one polynomial of degree " + "           ".join(map(str, SINGLE)))
    for rho, (published, _) in PUBLISHED.items():
        print(row(rho, [single(rho, m) for m in SINGLE], published))
    print("\none polynomial per cell, of degree " + "           ".join(map(str, CELLS)))
    for rho, (_, published) in PUBLISHED.items():
        print(row(rho, [in_cells(rho, m) for m in CELLS], published))
    print("\nthe same, clipped at 4 standard deviations as the kernel does")
    for rho, (_, published) in PUBLISHED.items():
        print(row(rho, [in_cells(rho, m, clip=4.0) for m in CELLS], published))


if __name__ == "__main__":
    report()
