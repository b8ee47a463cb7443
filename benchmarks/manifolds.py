"""Continuous mixtures that `zoo.continuous` does not have: curves, surfaces and bodies plus noise.

`manifolds()` returns {name: sample}; sample(n, rng) returns n rows (n, D), D = 2, 3 or 5.
"""

import numpy as np


def _noised(rows, sigma, rng):
    return rows + sigma * rng.standard_normal(rows.shape)


def _in_ball(n, d, rng):
    u = rng.standard_normal((n, d))
    return u * rng.random((n, 1)) ** (1.0 / d) / np.linalg.norm(u, axis=1, keepdims=True)


def figure_eight(n, rng):
    """A closed curve that crosses itself."""
    angle = rng.uniform(0.0, 2.0 * np.pi, n)
    return _noised(np.c_[4.0 * np.sin(angle), 2.0 * np.sin(2.0 * angle)], 0.25, rng)


def two_spirals(n, rng):
    """Two arms that wind around each other."""
    angle = np.pi * (0.5 + 2.5 * np.sqrt(rng.random(n)))
    arm = np.where(rng.random(n) < 0.5, 1.0, -1.0)
    return _noised((arm * 0.5 * angle)[:, None] * np.c_[np.cos(angle), np.sin(angle)], 0.2, rng)


def filaments(n, rng):
    """Six segments between fixed points of the plane, like a road map; three times as thick once."""
    ends = np.array([[-5, -3], [-1, 3], [4, 4], [5, -2], [0, -4], [-4, 2], [1, 0]], float)
    pairs = np.array([[0, 6], [1, 6], [6, 2], [6, 3], [4, 3], [5, 1]])
    which, share = rng.integers(len(pairs), size=n), rng.random((n, 1))
    rows = (1.0 - share) * ends[pairs[which, 0]] + share * ends[pairs[which, 1]]
    return rows + np.where(which == 0, 0.45, 0.15)[:, None] * rng.standard_normal((n, 2))


def discs(n, rng):
    """Four discs of different size and weight, two of them touching."""
    centres = np.array([[-4.0, 0.0], [0.0, 0.0], [3.0, 3.0], [3.0, -4.0]])
    radii = np.array([2.0, 2.0, 1.0, 0.5])
    which = rng.choice(4, n, p=[0.4, 0.3, 0.2, 0.1])
    return _noised(centres[which] + radii[which, None] * _in_ball(n, 2, rng), 0.1, rng)


def helix(n, rng):
    """A helix of three turns in space."""
    angle = rng.uniform(0.0, 6.0 * np.pi, n)
    return _noised(np.c_[3 * np.cos(angle), 3 * np.sin(angle), 0.4 * angle], 0.25, rng)


def sphere(n, rng):
    """A sphere in space."""
    u = rng.standard_normal((n, 3))
    return _noised(4.0 * u / np.linalg.norm(u, axis=1, keepdims=True), 0.3, rng)


def torus(n, rng):
    """A torus in space, uniform in its two angles."""
    long, short = rng.uniform(0.0, 2.0 * np.pi, (2, n))
    radius = 4.0 + 1.5 * np.cos(short)
    return _noised(
        np.c_[radius * np.cos(long), radius * np.sin(long), 1.5 * np.sin(short)], 0.2, rng
    )


def loop_d5(n, rng):
    """A closed curve in five dimensions."""
    a = rng.uniform(0.0, 2.0 * np.pi, n)
    rows = np.c_[3 * np.cos(a), 3 * np.sin(a), 2 * np.cos(2 * a), 2 * np.sin(2 * a), np.cos(3 * a)]
    return _noised(rows, 0.3, rng)


def sheet_d5(n, rng):
    """A bent sheet in five dimensions."""
    u, v = rng.uniform(-1.0, 1.0, (2, n))
    rows = np.c_[4 * u, 3 * v, 2 * u * v, 2 * (u**2 - v**2), np.sin(3.0 * u)]
    return _noised(rows, 0.2, rng)


def sticks_d5(n, rng):
    """Three segments along different axes of five dimensions, and a ball."""
    which, rows = rng.integers(4, size=n), 1.5 * _in_ball(n, 5, rng)
    for axis in range(3):
        own = which == axis
        rows[own] = 0.0
        rows[own, axis] = rng.uniform(2.0, 7.0, own.sum())
    return _noised(rows, 0.3, rng)


def manifolds():
    """Return {name: sample} of every target here."""
    functions = (figure_eight, two_spirals, filaments, discs, helix, sphere, torus)
    functions += (loop_d5, sheet_d5, sticks_d5)
    return {function.__name__: function for function in functions}
