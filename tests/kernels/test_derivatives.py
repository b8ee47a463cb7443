"""Derivatives of learned scores against central differences and closed forms."""

import numpy as np
import pytest
import reference_diffusion
import targets

from diffgmm.data import raw_rows
from diffgmm.diffusion.polynomials import exponents, slopes
from diffgmm.kernels import derivatives, features
from diffgmm.kernels.features import CLIP

families = pytest.mark.parametrize("family", targets.FAMILIES)

# Central differences of step 1e-5 of values near 10 and third derivatives near 1e3.
DIFFERENCE = 1e-5
CLOSE = 2e-6


def case(rng, k, d, family, degree):
    """Return components, pulls and polynomials (K, D, p); pulls are those of the score."""
    components = targets.components(rng, k, d, family)
    p = 0 if degree < 0 else len(targets.products(d, degree))
    factors = components.factors
    pulls = -np.ascontiguousarray(np.swapaxes(factors, 1, 2) if factors.ndim == 3 else factors)
    return components, pulls, 0.3 * rng.standard_normal((k, d, p))


def score(x, components, pulls, polynomials):
    out = np.full(x.shape, np.nan)
    features.score(raw_rows(x), components, pulls, polynomials, 0, len(x), out)
    return out


def whole(factors, d):
    """Return factors as matrices (K, D, D)."""
    if factors.ndim == 3:
        return factors
    return factors.reshape(len(factors), -1, 1) * np.eye(d)


def differences(x, *model):
    """Return the Jacobian by central differences, (N, D, D)."""
    columns = []
    for a in range(x.shape[1]):
        step = DIFFERENCE * np.eye(x.shape[1])[a]
        rise = score(x + step, *model) - score(x - step, *model)
        columns.append(rise / (2.0 * DIFFERENCE))
    return np.stack(columns, axis=2)


def away_from_the_clip(x, components):
    """Return the rows whose whitened coordinates all keep their side of the clip."""
    u = np.abs(reference_diffusion.white(x, components))
    return x[(np.abs(u - CLIP) > 1e-3).all(axis=(0, 2))]


@families
@pytest.mark.parametrize(("d", "degree"), [(1, 5), (2, -1), (2, 3), (3, 2), (5, 1), (4, 0)])
def test_jacobian_and_divergence_are_those_of_the_score(family, d, degree, rng):
    components, pulls, polynomials = case(rng, 3, d, family, degree)
    x = targets.rows_near(rng, 200, components.means)
    x = away_from_the_clip(x.values * 1.0, components)
    steepness = slopes(np.swapaxes(polynomials, 1, 2))
    by_target = np.ascontiguousarray(np.swapaxes(steepness, 2, 3))
    jacobian = np.full((len(x), d, d), np.nan)
    derivatives.jacobian(
        raw_rows(x), components, pulls, polynomials, by_target, 0, len(x), jacobian
    )
    expected = differences(x, components, pulls, polynomials)
    np.testing.assert_allclose(jacobian, expected, rtol=CLOSE, atol=CLOSE * np.abs(expected).max())

    metric, factors = rng.uniform(0.5, 2.0, d), whole(components.factors, d)
    traces = (
        metric,
        np.einsum("jba,jba,a->j", factors, factors, metric),
        np.ascontiguousarray(np.einsum("jbqa,jba,a->jbq", steepness, factors, metric)),
    )
    out = np.full((len(x), d), np.nan), np.full(len(x), np.nan)
    derivatives.score_and_divergence(
        raw_rows(x), components, pulls, polynomials, traces, 0, len(x), out
    )
    np.testing.assert_allclose(out[0], score(x, components, pulls, polynomials), rtol=1e-9, atol=1e-9)
    trace = np.einsum("naa,a->n", jacobian, metric)
    np.testing.assert_allclose(out[1], trace, rtol=1e-9, atol=1e-9 * np.abs(trace).max())


def test_beyond_the_clip_the_polynomial_does_not_change(rng):
    """Far along feature 0, in units of one standard normal, only feature 1 moves the residual."""
    components = targets.components(rng, 1, 2, "full")._replace(
        means=np.zeros((1, 2)), factors=np.eye(2)[None]
    )
    polynomials = rng.standard_normal((1, 2, 10))
    by_target = np.ascontiguousarray(np.swapaxes(slopes(np.swapaxes(polynomials, 1, 2)), 2, 3))
    out = np.empty((1, 2, 2))
    rows = raw_rows(np.array([[9.0, 0.5]]))
    derivatives.jacobian(rows, components, 0.0 * components.factors, polynomials, by_target, 0, 1, out)
    np.testing.assert_array_equal(out[0, :, 0], [0.0, 0.0])
    assert np.abs(out[0, :, 1]).min() > 0.0


@pytest.mark.parametrize(("d", "degree"), [(1, 5), (2, 4), (3, 3), (6, 2)])
def test_products_come_by_degree_and_each_once(d, degree):
    powers = exponents(d, len(targets.products(d, degree)))
    assert powers.tolist() == targets.products(d, degree).tolist()
    assert len({tuple(own) for own in powers}) == len(powers)
    assert (np.diff(powers.sum(axis=1)) >= 0).all()
