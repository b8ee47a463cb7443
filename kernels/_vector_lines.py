"""What happens to the lines of a block, as vector code: exponentials, and all of diagonal covariances.

`_vectors.py` has the products of full covariances. LLVM's own vector code for these short loops
checks each of them for overlapping arrays, stores sums that registers can hold, and on some
machines takes registers of half the width.
"""

import math

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ._compile import BLOCK, LARGEST_EXPONENT
from ._llvm import CONTRACT, INTEGER, Code

# Added to a number below 2^51 in size it leaves the nearest integer in the lowest bits.
TO_INTEGER = 1.5 * 2.0**52


def _columns(code, i):
    """Return the columns at which the vectors of a tile start."""
    return [code.plus(i, code.lanes * v) for v in range(code.vectors)]


def _tiles(code):
    """Write what stands in the `with` block for the first column of every tile."""
    return code.loop(code.number(BLOCK), code.lanes * code.vectors)


def _exp_nonpositive(code, x):
    """Return exp of a vector, by the steps of `_compile.exp_nonpositive`.

    n comes from the bits of a sum, since only AVX-512 turns vectors of float64 into integers.
    """
    builder = code.builder

    def product_sum(one, other, more):
        return builder.fadd(builder.fmul(one, other, flags=CONTRACT), more, flags=CONTRACT)

    lowest, to_integer = code.constant(-LARGEST_EXPONENT), code.constant(TO_INTEGER)
    below = builder.fcmp_ordered("<", x, lowest)
    x = builder.select(below, lowest, x)
    shifted = product_sum(x, code.constant(1.4426950408889634), to_integer)
    # Without flags of its own Numba gives it the caller's, and `reassoc` deletes the rounding.
    n = builder.fsub(shifted, to_integer, flags=CONTRACT)
    r = product_sum(n, code.constant(-0.6931471803691238), x)
    r = product_sum(n, code.constant(-1.9082149292705877e-10), r)
    p = code.constant(1.0 / math.factorial(12))
    for degree in range(11, -1, -1):
        p = product_sum(p, r, code.constant(1.0 / math.factorial(degree)))
    integers = ir.VectorType(INTEGER, code.lanes)
    bits = builder.add(builder.bitcast(shifted, integers), integers([1023] * code.lanes))
    power = builder.bitcast(builder.shl(bits, integers([52] * code.lanes)), code.vector)
    # A product, which is NaN where p is; bits added to those of p need not be.
    value = builder.fmul(p, power, flags=CONTRACT)
    return builder.select(below, code.constant(0.0), value)


@intrinsic
def exp_block(typing_context, log_joint, largest, sums):
    """Replace by exponentials and sum them: see gaussian.exp_block."""

    def generate(context, builder, signature, arguments):
        code = Code(context, builder, signature, arguments)
        log_joint, largest, sums = code.arguments
        with _tiles(code) as (i, _):
            columns = _columns(code, i)
            shifts = [code.load(largest, column) for column in columns]
            totals = [code.sum() for _ in columns]
            with code.loop(code.extent(log_joint), 1) as (j, _):
                for column, shift, total in zip(columns, shifts, totals):
                    value = _exp_nonpositive(code, code.centred(log_joint, shift, j, column))
                    code.store(value, log_joint, j, column)
                    code.add(total, value)
            for column, total in zip(columns, totals):
                code.store(builder.load(total), sums, column)
        return context.get_dummy_value()

    return types.void(log_joint, largest, sums), generate


@intrinsic
def normalise_block(typing_context, lines, factors):
    """Multiply every line by the factors of its columns: see gaussian.normalise_block."""

    def generate(context, builder, signature, arguments):
        code = Code(context, builder, signature, arguments)
        lines, factors = code.arguments
        with _tiles(code) as (i, _):
            columns = _columns(code, i)
            own = [code.load(factors, column) for column in columns]
            with code.loop(code.extent(lines), 1) as (j, _):
                for column, factor in zip(columns, own):
                    value = builder.fmul(code.load(lines, j, column), factor, flags=CONTRACT)
                    code.store(value, lines, j, column)
        return context.get_dummy_value()

    return types.void(lines, factors), generate


@intrinsic
def write_log_joint(typing_context, log_constants, means, factors, block, log_joint, largest):
    """Write log w_j + log N(row; component j), factors (K, D) or (K,): see gaussian.write_log_joint.

    What all features of a component share multiplies the norm and not each of them.
    """

    def generate(context, builder, signature, arguments):
        code = Code(context, builder, signature, arguments)
        log_constants, means, factors, block, log_joint, largest = code.arguments
        shared = factors[0].ndim == 1

        def multiply(value, factor):
            return builder.fmul(value, factor, flags=CONTRACT)

        with _tiles(code) as (i, _):
            columns = _columns(code, i)
            with code.loop(code.extent(means), 1) as (j, _):
                norms = [code.sum() for _ in columns]
                with code.loop(code.extent(means, 1), 1) as (a, _):
                    mean = code.everywhere(code.address(means, j, a))
                    if not shared:
                        factor = code.everywhere(code.address(factors, j, a))
                    for column, norm in zip(columns, norms):
                        value = code.centred(block, mean, a, column)
                        if not shared:
                            value = multiply(value, factor)
                        code.add_product(norm, value, value)
                half = code.constant(-0.5)
                if shared:
                    factor = code.everywhere(code.address(factors, j))
                    half = multiply(half, multiply(factor, factor))
                constant = code.everywhere(code.address(log_constants, j))
                for column, norm in zip(columns, norms):
                    value = multiply(builder.load(norm), half)
                    value = builder.fadd(constant, value, flags=CONTRACT)
                    code.store(value, log_joint, j, column)
                    before = code.load(largest, column)
                    # Compared in this order NaN is passed over, as in the plain loop.
                    above = builder.fcmp_ordered(">", value, before)
                    code.store(builder.select(above, value, before), largest, column)
        return context.get_dummy_value()

    arguments = (log_constants, means, factors, block, log_joint, largest)
    return types.void(*arguments), generate


def _add_diagonal_tile(code, arrays, j, a, rows, squared):
    """Add the moments of `rows` features from a on to those of component j.

    Two sums for each, since one would wait for itself.
    """
    block, means, responsibility, first, second = arrays
    features = [code.plus(a, r) for r in range(rows)]
    centres = [code.everywhere(code.address(means, j, b)) for b in features]
    totals, squares = [[[code.sum() for _ in range(2)] for _ in features] for _ in range(2)]
    with code.loop(code.number(BLOCK), 2 * code.lanes) as (i, _):
        for half in range(2):
            column = code.plus(i, half * code.lanes)
            weight = code.load(responsibility, j, column)
            for b, centre, total, square in zip(features, centres, totals, squares):
                value = code.centred(block, centre, b, column)
                code.add_product(total[half], weight, value)
                if squared:
                    # Not weight * value once more: sums would have other last bits than without.
                    own = code.builder.fmul(value, value, flags=CONTRACT)
                    code.add_product(square[half], weight, own)
    for moments, out in ((totals, first), (squares, second))[: 1 + squared]:
        for one, other in moments:
            code.add(one, code.builder.load(other))
        code.deposit([one for one, _ in moments], [code.address(out, j, b) for b in features])


@intrinsic
def add_moments(typing_context, block, means, responsibility, counts, first, second, negligible):
    """Add counts, first moments, and squares if there is room: see moments.add_moments."""

    def generate(context, builder, signature, arguments):
        code = Code(context, builder, signature, arguments)
        block, means, responsibility, counts, first, second, negligible = code.arguments
        arrays = block, means, responsibility, first, second
        n = code.extent(means, 1)
        squared = builder.icmp_signed("==", code.extent(second, 1), n)

        with code.loop(code.extent(means), 1) as (j, _):
            sums = [code.sum() for _ in range(code.vectors)]
            with _tiles(code) as (i, _):
                for column, total in zip(_columns(code, i), sums):
                    code.add(total, code.load(responsibility, j, column))
            for total in sums[1:]:
                code.add(sums[0], builder.load(total))
            added = code.deposit(sums[:1], [code.address(counts, j)])[0]
            count = builder.load(code.address(counts, j))
            with builder.if_then(builder.fcmp_ordered(">", added, builder.fmul(negligible, count))):
                with builder.if_else(squared) as (with_squares, without):
                    for branch, own in ((with_squares, True), (without, False)):
                        with branch:
                            code.row_tiles(
                                n,
                                lambda a, rows, own=own: _add_diagonal_tile(
                                    code, arrays, j, a, rows, own
                                ),
                            )
        return context.get_dummy_value()

    arguments = (block, means, responsibility, counts, first, second, negligible)
    return types.void(*arguments), generate
