"""Voronoi cells, and a polynomial in each of them: hard gates beside the soft ones of `features`.

In the cell of centre m at noise level sigma, u = (y - m) / sigma, clipped to [-4, 4], and

    f(y) = m + sum_q B_q phi_q(u),

with phi_q the products of orthonormal Hermite polynomials, He_k / sqrt(k!), in order of their total
degree. Callers sort the rows by cell; kernels then work on blocks of rows of one cell.
"""

from typing import NamedTuple

import numpy as np

from ._compile import BLOCK, aligned_blocks, kernel
from .moments import add_cross_moments

# Coordinates are clipped here: a polynomial is bounded where there were no data to fit it.
CLIP = 4.0


class Products(NamedTuple):
    """The p Hermite products of D features up to a total degree, each made from an earlier one.

    parents : (p,) product q is product parents[q], without the last of its features, times
    lines : (p,) line lines[q] of `polynomials_block`; product 0 is 1 and its entries are not read.
    degree : highest degree.
    """

    parents: np.ndarray
    lines: np.ndarray
    degree: int


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
def polynomials_block(white, degree, out):
    """Write He_m(u_a) / sqrt(m!), m = 1 .. degree, into line a degree + m - 1 of `out`.

    Shapes: white (D, BLOCK); out (D degree, BLOCK).
    Equation: sqrt(m + 1) h_{m+1} = u h_m - sqrt(m) h_{m-1}.
    """
    for a in range(white.shape[0]):
        u, own = white[a], out[a * degree : (a + 1) * degree]
        if degree > 0:
            for i in range(BLOCK):
                own[0, i] = u[i]
        if degree > 1:
            for i in range(BLOCK):
                own[1, i] = (u[i] * u[i] - 1.0) * np.sqrt(0.5)
        for m in range(2, degree):
            grow, fall = 1.0 / np.sqrt(m + 1.0), np.sqrt(m / (m + 1.0))
            for i in range(BLOCK):
                own[m, i] = grow * u[i] * own[m - 1, i] - fall * own[m - 2, i]


@kernel
def products_block(values, order, centre, sigma, products, lines, out):
    """Write phi_q(u_i) of rows `order` into line q of `out`, 0 past the last row.

    Shapes: values (N, D); order (at most BLOCK,); centre (D,); products Products of p;
    lines (D + D degree, BLOCK) scratch; out (p, BLOCK).
    """
    n_features, count = values.shape[1], order.shape[0]
    white, polynomials = lines[:n_features], lines[n_features:]
    for a in range(n_features):
        for i in range(count):
            u = (values[order[i], a] - centre[a]) / sigma
            u = u if u < CLIP else CLIP
            white[a, i] = u if u > -CLIP else -CLIP
        for i in range(count, BLOCK):
            white[a, i] = 0.0
    polynomials_block(white, products.degree, polynomials)
    for i in range(BLOCK):
        out[0, i] = 1.0 if i < count else 0.0
    for q in range(1, out.shape[0]):
        shorter, last, own = out[products.parents[q]], polynomials[products.lines[q]], out[q]
        for i in range(BLOCK):
            own[i] = shorter[i] * last[i]


@kernel
def normal_equations(noised, targets, cells, centres, sigma, products, gram, right):
    """Add sum phi phi' to `gram`, lower triangle, and sum (z - m) phi' to `right`, cell by cell.

    Shapes: noised y and targets z (N, D); cells Sorted into J; centres (J, D); products Products
    of p; gram (J, p, p); right (J, D, p).
    """
    n_features, n_products = right.shape[1:]
    lines = aligned_blocks(n_products + n_features * (2 + products.degree))
    phi, target = lines[:n_products], lines[n_products : n_products + n_features]
    scratch, origin = lines[n_products + n_features :], np.zeros(n_products)
    for j in range(centres.shape[0]):
        for first in range(cells.starts[j], cells.starts[j + 1], BLOCK):
            order = cells.order[first : min(first + BLOCK, cells.starts[j + 1])]
            products_block(noised, order, centres[j], sigma, products, scratch, phi)
            for a in range(n_features):
                for i in range(order.shape[0]):
                    target[a, i] = targets[order[i], a] - centres[j, a]
                for i in range(order.shape[0], BLOCK):
                    target[a, i] = 0.0
            add_cross_moments(phi, origin, phi, gram[j])
            for a in range(n_features):
                for q in range(n_products):
                    total = 0.0
                    for i in range(BLOCK):
                        total += target[a, i] * phi[q, i]
                    right[j, a, q] += total


@kernel
def evaluate(noised, cells, centres, sigma, products, polynomials, out):
    """Write f(y) of every row into `out`.

    Shapes: noised y (N, D); cells Sorted into J; centres (J, D); products Products of p;
    polynomials (J, D, p), the coefficients B with products last; out (N, D).
    """
    n_features, n_products = polynomials.shape[1:]
    lines = aligned_blocks(n_products + 1 + n_features * (1 + products.degree))
    phi, result, scratch = lines[:n_products], lines[n_products], lines[n_products + 1 :]
    for j in range(centres.shape[0]):
        for first in range(cells.starts[j], cells.starts[j + 1], BLOCK):
            order = cells.order[first : min(first + BLOCK, cells.starts[j + 1])]
            products_block(noised, order, centres[j], sigma, products, scratch, phi)
            for a in range(n_features):
                for i in range(BLOCK):
                    result[i] = centres[j, a]
                for q in range(n_products):
                    coefficient = polynomials[j, a, q]
                    for i in range(BLOCK):
                        result[i] += coefficient * phi[q, i]
                for i in range(order.shape[0]):
                    out[order[i], a] = result[i]
