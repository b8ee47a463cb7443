"""Sums of the nonparametric estimate, against their naive twins."""

import numpy as np
import pytest
import reference
import targets

from diffgmm.kernels import npmle

# A sum of some hundred terms whose exponentials have 1e-15 relative error.
RELATIVE = 1e-12


@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize("n", [1, 127, 128, 129])
def test_kernel_sums(n, d, rng):
    points = rng.standard_normal((7, d))
    rows = targets.rows_near(rng, n, points)
    scales, out = rng.random(n), np.full((7, 1 + d), np.nan)
    npmle.kernel_sums(rows, scales, points, 0, 3, out)
    assert np.isnan(out[3:]).all()
    npmle.kernel_sums(rows, scales, points, 3, 7, out)
    x = reference.rows_seen(rows)
    steps = x - points[:, None]
    kernel = scales * np.exp(-0.5 * np.square(steps).sum(axis=2))
    np.testing.assert_allclose(out[:, 0], kernel.sum(axis=1), rtol=RELATIVE)
    sizes = np.einsum("pi,pia->pa", kernel, np.abs(steps))
    moments = np.einsum("pi,pia->pa", kernel, steps)
    assert np.all(np.abs(out[:, 1:] - moments) <= RELATIVE * sizes)


def test_rows_too_far_to_matter_are_zeros(rng):
    points = np.full((2, 3), 1e3)
    rows = targets.rows_near(rng, 130, np.zeros((1, 3)), affine=False)
    out = np.full((2, 4), np.nan)
    npmle.kernel_sums(rows, np.ones(130), points, 0, 2, out)
    np.testing.assert_array_equal(out, 0.0)


@pytest.mark.parametrize("k", [1, 4, 7])
@pytest.mark.parametrize("n", [1, 128, 200])
def test_responsibility_moments(n, k, rng):
    components = targets.components(rng, k, 3, "scalar")
    rows = targets.rows_near(rng, n, components.means)
    gram = np.zeros((k, k))
    half = n // 2
    npmle.responsibility_moments(rows, components, 0, half, gram)
    npmle.responsibility_moments(rows, components, half, n, gram)
    share = reference.responsibilities(rows, components)
    expected = share.T @ share
    np.testing.assert_allclose(np.tril(gram), np.tril(expected), rtol=1e-11, atol=1e-13)
