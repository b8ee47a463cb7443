"""How every kernel of this package is compiled, and the three pieces that all of them share."""

import math
import os

import numpy as np
from numba import config, njit, types
from numba.extending import intrinsic

# `nnan` and `ninf` are left out on purpose: with them LLVM may delete the
# isfinite checks that turn a diverged draw into an error message.
FASTMATH = frozenset({"reassoc", "contract", "arcp", "nsz"})

# No kernel is passed on as a C callback, and the code for that would take a twentieth of all
# compilation.
OPTIONS = {"cache": True, "nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}

# Rows per block: 16 AVX-512 vectors per feature. 64 rows lose 10 to 25 %, 256 leave the first-level
# cache from D = 16 on.
BLOCK = 128

# Where exp leaves the normal range of float64; below it is 0 here.
LARGEST_EXPONENT = 708.0

# Whether kernels run as plain Python.
PLAIN = bool(config.DISABLE_JIT) or os.environ.get("NUMBA_DISABLE_JIT") == "1"

# A line on which cache lines and AVX-512 vectors start.
ALIGNMENT = 64


def kernel(function):
    """Compile `function`: cached, GIL-free, NumPy division rules."""
    return njit(**OPTIONS, fastmath=set(FASTMATH))(function)


def kernel_part(function):
    """Compile `function` inside its callers, and not once more by itself.

    For functions that branch on no `ndim` (those branches are chosen for arguments only), and that
    have one caller or are short themselves.
    """
    return njit(**OPTIONS, fastmath=set(FASTMATH), inline="always")(function)


def _exact(function):
    """Compile without `reassoc`, which would delete the rounding tricks of `exp_nonpositive`."""
    return njit(**OPTIONS, fastmath={"contract"})(function)


if PLAIN:

    def _power_of_two(n):
        """Return 2.0 ** n for integer-valued n, NaN for NaN: the plain-Python twin."""
        return n if math.isnan(n) else math.ldexp(1.0, int(n))

    def _allocate(n):
        """Return (n, BLOCK) uninitialised numbers from a 64-byte line on: the plain twin."""
        padded = np.empty(n * BLOCK + ALIGNMENT // 8)
        offset = (-(padded.ctypes.data >> 3)) & (ALIGNMENT // 8 - 1)
        return padded[offset : offset + n * BLOCK].reshape(n, BLOCK)

else:

    @intrinsic
    def _power_of_two(typing_context, n):
        """Return 2.0 ** n for integer-valued n in [-1022, 1023], by its exponent bits."""
        from llvmlite import ir

        def generate(context, builder, signature, arguments):
            integer = ir.IntType(64)
            bits = builder.fptosi(arguments[0], integer)
            bits = builder.add(bits, ir.Constant(integer, 1023))
            bits = builder.shl(bits, ir.Constant(integer, 52))
            return builder.bitcast(bits, ir.DoubleType())

        return types.float64(types.float64), generate

    @intrinsic
    def _allocate(typing_context, n):
        """Return (n, BLOCK) uninitialised numbers from a 64-byte line on.

        NumPy's functions do the same with a padded array; they take 0.4 s to compile and more
        in every caller.
        """
        from numba.core import cgutils
        from numba.core.imputils import impl_ret_new_ref
        from numba.np.arrayobj import make_array, populate_array

        kind = types.Array(types.float64, 2, "C")

        def generate(context, builder, signature, arguments):
            shape = arguments[0], context.get_constant(types.intp, BLOCK)
            line = context.get_constant(types.intp, 8 * BLOCK)
            memory = context.nrt.meminfo_alloc_aligned(
                builder,
                size=builder.mul(arguments[0], line),
                align=context.get_constant(types.uint32, ALIGNMENT),
            )
            array = make_array(kind)(context, builder)
            populate_array(
                array,
                data=builder.bitcast(context.nrt.meminfo_data(builder, memory), array.data.type),
                shape=cgutils.pack_array(builder, shape),
                strides=(line, context.get_constant(types.intp, 8)),
                itemsize=context.get_constant(types.intp, 8),
                meminfo=memory,
            )
            return impl_ret_new_ref(context, builder, kind, array._getvalue())

        return kind(types.intp), generate


@_exact
def exp_nonpositive(x):
    """Return exp(x) for x <= 0, in a form that LLVM vectorises.

    Shapes: a scalar.
    At most 1e-15 relative error on [-708, 0], 0 below, NaN stays NaN. exp(x) = 2^n exp(r) with
    |r| <= log(2) / 2 and a Taylor polynomial of degree 12 for exp(r) (remainder below 2e-16).
    """
    clipped = -LARGEST_EXPONENT if x < -LARGEST_EXPONENT else x
    n = np.floor(clipped * 1.4426950408889634 + 0.5)
    # log(2) in two parts, so that r is exact to the last bit.
    r = clipped - n * 0.6931471803691238 - n * 1.9082149292705877e-10
    p = 2.08767569878681e-09
    p = p * r + 2.505210838544172e-08
    p = p * r + 2.755731922398589e-07
    p = p * r + 2.7557319223985893e-06
    p = p * r + 2.48015873015873e-05
    p = p * r + 0.0001984126984126984
    p = p * r + 0.001388888888888889
    p = p * r + 0.008333333333333333
    p = p * r + 0.041666666666666664
    p = p * r + 0.16666666666666666
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    value = p * _power_of_two(n)
    return 0.0 if x < -LARGEST_EXPONENT else value


@kernel
def aligned_blocks(n):
    """Return n zeroed lines of one value per row of a block, starting on a 64-byte line.

    Shapes: returns (n, BLOCK).
    Two dimensions on purpose: with block[a, i] LLVM proves that i is not negative and loads
    vectors; with block[a * BLOCK + i] Numba's wraparound of negative indices turns loads into
    gathers, four times slower.
    """
    lines = _allocate(n)
    for a in range(n):
        for i in range(BLOCK):
            lines[a, i] = 0.0
    return lines
