"""A mode of the posterior with allocations summed out, and a normal law that resembles it there."""

from typing import NamedTuple

import numpy as np

from .coordinates import Coordinates

# Step of differences: coordinates are logarithms or in units of the data's spread.
STEP = 1e-4

# Newton steps, and how many nats one must promise to be worth another.
MOST_STEPS, ENOUGH = 10, 0.01

# A Newton step is halved so often before it is given up.
MOST_HALVINGS = 10


class Mode(NamedTuple):
    """Coordinates (P,) of a mode, and minus the Hessian of the log posterior there (P, P)."""

    centre: np.ndarray
    curvature: np.ndarray


def find_mode(own: Coordinates, start: np.ndarray) -> Mode | None:
    """Return the mode that Newton's method finds from the coordinates `start`, or None.

    Directions in which the posterior bends upwards are followed as if it bent down as much.
    """
    rows, here = own.target.rows, start
    value, gradient = own.value_and_gradient(here, rows)
    for _ in range(MOST_STEPS):
        curvature = _curvature(own, here)
        if not np.all(np.isfinite(curvature)):
            return None
        roots, vectors = np.linalg.eigh(curvature)
        size = np.maximum(np.abs(roots), 1e-8 * np.abs(roots).max())
        move = vectors @ ((vectors.T @ gradient) / size)
        promise = gradient @ move
        for _ in range(MOST_HALVINGS):
            value_there, gradient_there = own.value_and_gradient(here + move, rows)
            if value_there > value - ENOUGH:
                break
            move = 0.5 * move
        else:
            return None
        here, value, gradient = here + move, value_there, gradient_there
        if promise < ENOUGH:
            return Mode(here, curvature) if roots[0] > 0.0 else None
    return None


def _curvature(own: Coordinates, point: np.ndarray) -> np.ndarray:
    """Return minus the Hessian (P, P), from differences of gradients."""
    rows = own.some_rows
    _, here = own.value_and_gradient(point, rows)
    out = [
        (here - own.value_and_gradient(point + move, rows)[1]) / STEP
        for move in STEP * np.eye(len(point))
    ]
    return 0.5 * (np.array(out) + np.array(out).T)


def widened(own: Coordinates, mode: Mode) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean (P,) and the root (P, P), lower triangular, of a normal law.

    It resembles the posterior around its mode better than the mode's curvature does: gradients are
    taken one standard deviation to both sides along every column of the root. Half their
    differences are curvature as it is on average; their sums say how far the mean is off the mode.
    """
    rows = own.some_rows
    root = np.linalg.cholesky(np.linalg.inv(mode.curvature))
    _, here = own.value_and_gradient(mode.centre, rows)
    curvature, skew = np.empty(root.shape), np.zeros(len(root))
    for p, move in enumerate(root.T):
        _, up = own.value_and_gradient(mode.centre + move, rows)
        _, down = own.value_and_gradient(mode.centre - move, rows)
        curvature[p] = 0.5 * (down - up) @ root
        skew += 0.5 * (up + down) - here
    roots, vectors = np.linalg.eigh(0.5 * (curvature + curvature.T))
    if not roots[0] > 0.0:
        return mode.centre, root
    inverse = (vectors / roots) @ vectors.T
    mean = mode.centre + root @ (inverse @ (root.T @ skew))
    return mean, np.linalg.cholesky(root @ inverse @ root.T)
