"""Voronoi cells, and a polynomial in each of them: hard gates beside the soft ones of `features`.

In the cell of centre m at noise level sigma, u = (y - m) / sigma, clipped to [-4, 4], and

    f(y) = m + sum_q B_q phi_q(u),

with phi_q the products of orthonormal Hermite polynomials of `features`. Callers sort the rows by
cell; kernels then work on blocks of rows of one cell.
"""

from typing import NamedTuple

import numpy as np

from ._compile import BLOCK, aligned_blocks, kernel
from .features import add_product, hermite_block, hermite_table
from .moments import add_cross_moments
from .regression import add_outer

# Coordinates are clipped here: a polynomial is bounded where there were no data to fit it.
CLIP = 4.0


class Sorted(NamedTuple):
    """Rows in the order of their cells.

    order : (N,) row numbers.
    starts : (J + 1,); cell j has the rows order[starts[j] : starts[j + 1]].
    """

    order: np.ndarray
    starts: np.ndarray


@kernel
def nearest(values, centres, out):
    """Write the number of the nearest centre of every row into `out`, the first of equals.

    Shapes: values (N, D); centres (J, D); out (N,) integer.
    """
    n_rows, n_features = values.shape
    lines = aligned_blocks(n_features + 3)
    block, distance = lines[:n_features], lines[n_features]
    least, cell = lines[n_features + 1], lines[n_features + 2]
    for first in range(0, n_rows, BLOCK):
        count = min(BLOCK, n_rows - first)
        for a in range(n_features):
            for i in range(count):
                block[a, i] = values[first + i, a]
        for i in range(BLOCK):
            least[i] = np.inf
            cell[i] = 0.0
        for j in range(centres.shape[0]):
            for i in range(BLOCK):
                distance[i] = 0.0
            for a in range(n_features):
                centre = centres[j, a]
                for i in range(BLOCK):
                    distance[i] += (block[a, i] - centre) * (block[a, i] - centre)
            for i in range(BLOCK):
                closer = distance[i] < least[i]
                least[i] = distance[i] if closer else least[i]
                cell[i] = j if closer else cell[i]
        for i in range(count):
            out[first + i] = int(cell[i])


@kernel
def products_block(values, order, centre, sigma, table, lines, out):
    """Write phi_q(u_i) of rows `order` into line q of `out`, 0 past the last row.

    Shapes: values (N, D); order (at most BLOCK,); centre (D,); table (p, 3) of `hermite_table`;
    lines (D + 1, BLOCK) scratch; out (p, BLOCK).
    """
    n_features, count = values.shape[1], order.shape[0]
    white, gate = lines[:n_features], lines[n_features]
    for a in range(n_features):
        for i in range(count):
            u = (values[order[i], a] - centre[a]) / sigma
            u = u if u < CLIP else CLIP
            white[a, i] = u if u > -CLIP else -CLIP
        for i in range(count, BLOCK):
            white[a, i] = 0.0
    for i in range(BLOCK):
        gate[i] = 1.0 if i < count else 0.0
    hermite_block(white, gate, table, out)


@kernel
def normal_equations(noised, targets, cells, centres, sigma, gram, right):
    """Add sum phi phi' to `gram`, lower triangle, and sum (z - m) phi' to `right`, cell by cell.

    Shapes: noised y and targets z (N, D); cells Sorted into J; centres (J, D); gram (J, p, p);
    right (J, D, p).
    """
    n_features, n_products = right.shape[1:]
    lines = aligned_blocks(n_products + 2 * n_features + 1)
    phi, target = lines[:n_products], lines[n_products : n_products + n_features]
    scratch, origin = lines[n_products + n_features :], np.zeros(n_products)
    table = hermite_table(n_features, n_products)
    for j in range(centres.shape[0]):
        for first in range(cells.starts[j], cells.starts[j + 1], BLOCK):
            order = cells.order[first : min(first + BLOCK, cells.starts[j + 1])]
            products_block(noised, order, centres[j], sigma, table, scratch, phi)
            for a in range(n_features):
                for i in range(order.shape[0]):
                    target[a, i] = targets[order[i], a] - centres[j, a]
                for i in range(order.shape[0], BLOCK):
                    target[a, i] = 0.0
            add_cross_moments(phi, origin, phi, gram[j])
            add_outer(target, phi, right[j])


@kernel
def evaluate(noised, cells, centres, sigma, polynomials, out):
    """Write f(y) of every row into `out`.

    Shapes: noised y (N, D); cells Sorted into J; centres (J, D); polynomials (J, D, p), the
    coefficients B with products last; out (N, D).
    """
    n_features, n_products = polynomials.shape[1:]
    lines = aligned_blocks(n_products + 2 * n_features + 2)
    phi, ones = lines[:n_products], lines[n_products]
    result = lines[n_products + 1 : n_products + 1 + n_features]
    scratch = lines[n_products + 1 + n_features :]
    table = hermite_table(n_features, n_products)
    for i in range(BLOCK):
        ones[i] = 1.0
    for j in range(centres.shape[0]):
        for first in range(cells.starts[j], cells.starts[j + 1], BLOCK):
            order = cells.order[first : min(first + BLOCK, cells.starts[j + 1])]
            products_block(noised, order, centres[j], sigma, table, scratch, phi)
            for a in range(n_features):
                for i in range(BLOCK):
                    result[a, i] = centres[j, a]
            add_product(polynomials[j], phi, ones, result)
            for a in range(n_features):
                for i in range(order.shape[0]):
                    out[order[i], a] = result[a, i]
