"""exp_nonpositive: its error bound, its edges, and that both survive inside other kernels."""

import numpy as np
import pytest

from diffgmm.kernels._compile import ALIGNMENT, BLOCK, aligned_blocks, exp_nonpositive, kernel
from diffgmm.kernels.gaussian import exp_block

LIMIT = 1e-15  # relative, promised by the docstring
N_POINTS = 2_000_000
N_POINTS_PLAIN = 10_000

needs_long_double = pytest.mark.skipif(
    np.finfo(np.longdouble).eps > 1e-18, reason="long double is no wider than double here"
)


@kernel
def exp_each(x, out):
    """Write exp_nonpositive of every element: the function inside a `reassoc` caller."""
    for i in range(x.shape[0]):
        out[i] = exp_nonpositive(x[i])


@kernel
def exp_of_difference(x, y, out):
    """Write exp_nonpositive(x - y): what a caller with `reassoc` could try to rearrange."""
    for i in range(x.shape[0]):
        out[i] = exp_nonpositive(x[i] - y[i]) * 1.0


@pytest.fixture
def exponents(rng):
    """Return exponents on [-708, 0]: a grid, random and tiny ones, the seams of the reduction."""
    plain = not hasattr(exp_each, "signatures")
    n = N_POINTS_PLAIN if plain else N_POINTS
    seams = -(np.arange(1021) + 0.5) * np.log(2.0)
    parts = [
        np.linspace(-708.0, 0.0, n // 2),
        rng.uniform(-2.0, 0.0, n // 4),
        -(10.0 ** rng.uniform(-320.0, 2.85, n // 4)),
        *(np.nextafter(seams, direction) for direction in (-np.inf, np.inf)),
        [-708.0, np.nextafter(-708.0, 0.0), -5e-324, -0.0, 0.0],
    ]
    return np.concatenate(parts)


def largest_error(values, exponents):
    """Return the largest relative error of `values` as exponentials."""
    exact = np.exp(exponents.astype(np.longdouble))
    return float(np.max(np.abs(values.astype(np.longdouble) - exact) / exact))


@needs_long_double
def test_error_is_within_the_promise(exponents):
    out = np.full_like(exponents, np.nan)
    exp_each(exponents, out)
    assert largest_error(out, exponents) <= LIMIT


@needs_long_double
def test_error_survives_a_caller_that_may_rearrange(exponents, rng):
    shift = rng.choice([0.0, 1.0, -1e3, 1e6], exponents.size)
    x = exponents + shift
    difference = x - shift
    keep = (difference >= -708.0) & (difference <= 0.0)
    out = np.full_like(exponents, np.nan)
    exp_of_difference(x, shift, out)
    assert largest_error(out[keep], difference[keep]) <= LIMIT


@needs_long_double
def test_error_survives_in_the_real_kernel(exponents):
    rows = exponents[: exponents.size // BLOCK * BLOCK].reshape(-1, BLOCK)
    joint, sums = rows.copy(), np.full(BLOCK, np.nan)
    exp_block(joint, np.zeros(BLOCK), sums)
    assert largest_error(joint.ravel(), rows.ravel()) <= LIMIT
    # n additions of positive terms lose at most n roundings of 1.1e-16
    np.testing.assert_allclose(sums, joint.sum(axis=0), rtol=len(rows) * 1.2e-16)


@needs_long_double
def test_the_error_measure_sees_one_lost_bit(exponents):
    out = np.exp(exponents) * (1.0 + 1.5e-15)
    assert largest_error(out, exponents) > LIMIT


def test_edges_are_exact():
    x = np.array([0.0, -0.0, np.nextafter(-708.0, -np.inf), -709.0, -1e6, -1e300, -np.inf])
    out = np.full_like(x, np.nan)
    exp_each(x, out)
    np.testing.assert_array_equal(out, [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0])


def test_the_last_normal_number_is_kept():
    out = np.full(1, np.nan)
    exp_each(np.array([-708.0]), out)
    assert out[0] == pytest.approx(3.307553003638408e-308, rel=LIMIT, abs=0.0)


@pytest.mark.parametrize("n", [1, 7, 8, 64])  # scalar loop, its remainder, and vectors
def test_nan_stays_nan(n):
    x = np.full(n, -1.0)
    x[n // 2] = np.nan
    out = np.zeros(n)
    exp_each(x, out)
    np.testing.assert_array_equal(np.isnan(out), np.isnan(x))


def test_nan_stays_nan_in_the_real_kernel():
    joint, sums = np.full((2, BLOCK), -1.0), np.zeros(BLOCK)
    joint[1, 5] = np.nan
    exp_block(joint, np.zeros(BLOCK), sums)
    assert np.flatnonzero(np.isnan(sums)).tolist() == [5]
    assert np.flatnonzero(np.isnan(joint)).tolist() == [BLOCK + 5]


@pytest.mark.usefixtures("compiled")
def test_the_callable_works_from_python_too():
    assert exp_nonpositive(-1.0) == pytest.approx(0.36787944117144233, rel=LIMIT)


@pytest.mark.parametrize("n", [1, 2, 9, 100])
def test_blocks_are_zero_and_start_on_a_line(n):
    for _ in range(20):  # the allocator decides where the memory starts
        blocks = aligned_blocks(n)
        assert blocks.shape == (n, BLOCK)
        assert blocks.ctypes.data % ALIGNMENT == 0
        assert not blocks.any()
        blocks += 1.0  # the next one may get this memory, and must be zero again
