"""Vector code against NumPy, for every remainder of the tiles and every width of registers."""

import os
import platform

import numpy as np
import pytest
from numba.core.errors import NumbaTypeError

from diffgmm.kernels import features, gaussian, moments, score
from diffgmm.kernels._compile import BLOCK, aligned_blocks
from diffgmm.kernels._vectors import EXPLICIT

# Tiles have 4 rows: no, one and two full tiles before each remainder.
DIMENSIONS = range(1, 13)

# Sums of at most BLOCK or D^2 terms, each rounded a few times by 1.1e-16.
RELATIVE = 1e-14


def block_of(rng, n):
    block = aligned_blocks(n)
    block[:] = rng.standard_normal(block.shape)
    return block


@pytest.mark.parametrize("d", DIMENSIONS)
def test_log_joint(d, rng):
    k, block, joint = 3, block_of(rng, d), block_of(rng, 3)
    means, constants = rng.standard_normal((k, d)), rng.standard_normal(k)
    factors = np.tril(rng.standard_normal((k, d, d)))
    factors += np.triu(np.full((d, d), np.nan), 1)  # is never read
    largest = np.full(BLOCK, -np.inf)
    kept = block_of(rng, k * d).reshape(k, d, BLOCK)
    gaussian.write_log_joint(constants, means, factors, block, joint, largest, kept)
    white = np.tril(np.nan_to_num(factors)) @ (block - means[:, :, None])
    norms = np.square(white).sum(axis=1)
    expected = constants[:, None] - 0.5 * norms
    sizes = np.square(np.abs(np.tril(np.nan_to_num(factors))) @ np.abs(block - means[:, :, None]))
    assert np.all(np.abs(joint - expected) <= RELATIVE * (1.0 + sizes.sum(axis=1)))
    np.testing.assert_array_equal(largest, joint.max(axis=0))
    bounds = np.abs(np.tril(np.nan_to_num(factors))) @ np.abs(block - means[:, :, None])
    assert np.all(np.abs(kept - white) <= RELATIVE * bounds)
    again = np.full_like(joint, np.nan)
    gaussian.write_log_joint(constants, means, factors, block, again, largest, None)
    np.testing.assert_array_equal(again, joint)


@pytest.mark.parametrize("d", DIMENSIONS)
@pytest.mark.parametrize("rows", [1, 4, 6])
def test_product(rows, d, rng):
    lines, out, gate = block_of(rng, d + 1), block_of(rng, rows), rng.random(BLOCK)
    matrix = rng.standard_normal((rows, d))
    expected = out + gate * (matrix @ lines[:d])
    sizes = np.abs(out) + gate * (np.abs(matrix) @ np.abs(lines[:d]))
    features.add_product(matrix, lines, gate, out)
    assert np.all(np.abs(out - expected) <= RELATIVE * sizes)


@pytest.mark.parametrize("d", DIMENSIONS)
def test_pulls(d, rng):
    k, out, gates = 3, block_of(rng, d), np.abs(block_of(rng, 3))
    white = block_of(rng, k * d).reshape(k, d, BLOCK)
    factors = np.tril(rng.standard_normal((k, d, d)))
    unread = factors + np.triu(np.full((d, d), np.nan), 1)
    gates[1, : BLOCK // 2] = 0.0  # whole tiles of it are skipped
    expected = out - np.einsum("ji,jba,jbi->ai", gates, factors, white)
    sizes = np.abs(out) + np.einsum("ji,jba,jbi->ai", gates, np.abs(factors), np.abs(white))
    score.add_pulls(unread, white, gates, out)
    assert np.all(np.abs(out - expected) <= RELATIVE * sizes)


@pytest.mark.parametrize("d", DIMENSIONS)
def test_cross_moments(d, rng):
    block, weighted, mean = block_of(rng, d), block_of(rng, d), rng.standard_normal(d)
    out = np.full((d, d), 7.0)
    moments.add_cross_moments(weighted, mean, block, out)
    centred = block - mean[:, None]
    sizes = 7.0 + np.abs(weighted) @ np.abs(centred).T
    assert np.all(np.abs(np.tril(out - 7.0 - weighted @ centred.T)) <= RELATIVE * sizes)
    np.testing.assert_array_equal(out[np.triu_indices(d, 1)], 7.0)  # is never written


@pytest.mark.parametrize("d", DIMENSIONS)
def test_weighted_moments(d, rng):
    k, block, shares = 3, block_of(rng, d), np.abs(block_of(rng, 3))
    means = rng.standard_normal((k, d))
    shares[1] = 0.0  # skipped
    counts, first, second = np.full(k, 5.0), np.full((k, d), 6.0), np.full((k, d, d), 7.0)
    moments.add_moments(block, means, shares, aligned_blocks(4), counts, first, second)
    for j in range(k):
        centred = block - means[j][:, None]
        np.testing.assert_allclose(counts[j], 5.0 + shares[j].sum(), rtol=RELATIVE)
        sizes = 6.0 + np.abs(centred) @ shares[j]
        assert np.all(np.abs(first[j] - 6.0 - centred @ shares[j]) <= RELATIVE * sizes)
        sizes = 7.0 + shares[j] * np.abs(centred) @ np.abs(centred).T
        error = np.tril(second[j] - 7.0 - shares[j] * centred @ centred.T)
        assert np.all(np.abs(error) <= RELATIVE * sizes)
    assert np.all(second[:, *np.triu_indices(d, 1)] == 7.0)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("d", DIMENSIONS)
def test_diagonal_log_joint(d, shared, rng):
    k, block, joint = 3, block_of(rng, d), block_of(rng, 3)
    means, constants = rng.standard_normal((k, d)), rng.standard_normal(k)
    factors = rng.uniform(0.5, 2.0, k if shared else (k, d))
    largest = np.full(BLOCK, -np.inf)
    gaussian.write_log_joint(constants, means, factors, block, joint, largest, None)
    white = factors.reshape(k, -1)[:, :, None] * (block - means[:, :, None])
    sizes = 1.0 + np.square(white).sum(axis=1)
    expected = constants[:, None] - 0.5 * np.square(white).sum(axis=1)
    assert np.all(np.abs(joint - expected) <= RELATIVE * sizes)
    np.testing.assert_array_equal(largest, joint.max(axis=0))


@pytest.mark.parametrize("k", DIMENSIONS)
def test_exponentials_and_shares(k, rng):
    joint, sums = 300.0 * block_of(rng, k), np.full(BLOCK, np.nan)
    joint[0, :2] = -np.inf  # a weight of 0
    largest = joint.max(axis=0)
    largest[:2] = np.maximum(largest[:2], 0.0)
    expected = np.exp(joint - largest)
    expected[joint - largest < -708.0] = 0.0
    gaussian.exp_block(joint, largest, sums)
    np.testing.assert_allclose(joint, expected, rtol=2e-15)
    np.testing.assert_allclose(sums, expected.sum(axis=0), rtol=RELATIVE)
    gaussian.normalise_block(joint, sums, BLOCK - 3)
    total = joint.sum(axis=0)
    np.testing.assert_allclose(total[expected.sum(axis=0) > 0.0][:-3], 1.0, rtol=RELATIVE)
    assert not joint[:, -3:].any()


@pytest.mark.parametrize("room", [False, True])
@pytest.mark.parametrize("d", DIMENSIONS)
def test_diagonal_moments(d, room, rng):
    k, block, means = 3, block_of(rng, d), rng.standard_normal((3, d))
    shares = np.abs(block_of(rng, k))
    shares[1] = 0.0  # is skipped
    counts, first = np.full(k, 5.0), np.full((k, d), 6.0)
    second = np.full((k, d if room else 0), 7.0)
    moments.add_moments(block, means, shares, aligned_blocks(4), counts, first, second)
    np.testing.assert_allclose(counts, 5.0 + shares.sum(axis=1), rtol=RELATIVE)
    for j in range(k):
        centred = block - means[j][:, None]
        sizes = 6.0 + np.abs(centred) @ shares[j]
        assert np.all(np.abs(first[j] - 6.0 - centred @ shares[j]) <= RELATIVE * sizes)
        if room:
            squares = np.square(centred) @ shares[j]
            np.testing.assert_allclose(second[j], 7.0 + squares, rtol=RELATIVE)


@pytest.mark.usefixtures("compiled")
@pytest.mark.skipif(not EXPLICIT, reason="the run with index checks takes the plain loops")
@pytest.mark.parametrize("wrong", [lambda lines: lines[:, ::2], np.float32])
def test_lines_that_are_no_vectors_are_refused(wrong):
    lines, mean, out = aligned_blocks(2), np.zeros(2), np.zeros((2, 2))
    with pytest.raises(NumbaTypeError, match="C-order array of float64"):
        moments.add_cross_moments(lines, mean, wrong(lines), out)


OTHER_MACHINE = """
import sys
import pytest
from diffgmm.kernels._llvm import registers
from numba.core.registry import cpu_target
assert registers(cpu_target.target_context) == ({lanes}, {vectors})
sys.exit(pytest.main(["-q", "-x", "-k", "[1] or [4] or [11]", {file!r}]))
"""


@pytest.mark.slow  # compiles the kernels again, for older machines
@pytest.mark.usefixtures("compiled")
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="features are of x86")
@pytest.mark.parametrize(
    ("name", "features", "registers"),
    [("nehalem", "+sse4.2", (2, 2)), ("haswell", "+sse4.2,+avx,+avx2,+fma", (4, 2))],
)
def test_registers_of_other_machines(name, features, registers, run_python, tmp_path):
    lanes, vectors = registers
    run_python(
        OTHER_MACHINE.format(lanes=lanes, vectors=vectors, file=os.path.abspath(__file__)),
        NUMBA_CPU_NAME=name,
        NUMBA_CPU_FEATURES=features,
        NUMBA_CACHE_DIR=str(tmp_path),
    )
