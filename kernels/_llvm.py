"""How vector code is said to LLVM: vectors, sums in registers, loops, tiles of rows.

`_vectors.py` writes the products of the kernels with it.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import NumbaTypeError

# Rows of a matrix in a tile.
ROWS = 4

DOUBLE, INTEGER, SHORT = ir.DoubleType(), ir.IntType(64), ir.IntType(32)

# A product and a sum become one instruction, in the order written: bits depend on no context.
CONTRACT = ("contract",)


def registers(context):
    """Return the numbers per vector register, and how many of them a tile takes of a block's line.

    16 sums fill half of the 32 registers of AVX-512, 8 half of the 16 of AVX and SSE.
    """
    features = context.codegen().magic_tuple()[2]
    if "+avx512f" in features:
        return 8, 4
    return (4, 2) if "+avx" in features else (2, 2)


class Code:
    """Vector code being written: methods add instructions and return values of the future run."""

    def __init__(self, context, builder, signature, arguments):
        self.builder = builder
        self.lanes, self.vectors = registers(context)
        self.vector = ir.VectorType(DOUBLE, self.lanes)
        self.context = context
        self.arguments = [
            self._argument(kind, value) for kind, value in zip(signature.args, arguments)
        ]

    def _argument(self, kind, value):
        """Return an array with its type, None, or a number as it comes."""
        if isinstance(kind, types.Array):
            return kind, self.context.make_array(kind)(self.context, self.builder, value)
        return None if isinstance(kind, types.NoneType | types.Omitted) else value

    def number(self, n):
        """Return the integer n."""
        return ir.Constant(INTEGER, n)

    def constant(self, value):
        """Return the vector that repeats a number known now."""
        return ir.Constant(self.vector, [value] * self.lanes)

    def plus(self, index, n):
        """Return index + n."""
        return self.builder.add(index, self.number(n), flags=["nsw"])

    def extent(self, array, axis=0):
        """Return the length of an axis."""
        return self.builder.extract_value(array[1].shape, axis)

    def address(self, array, *indices):
        """Return where an entry lies."""
        kind, fields = array
        shape = cgutils.unpack_tuple(self.builder, fields.shape, kind.ndim)
        strides = cgutils.unpack_tuple(self.builder, fields.strides, kind.ndim)
        return cgutils.get_item_pointer2(
            self.context, self.builder, fields.data, shape, strides, kind.layout, indices
        )

    def part(self, array, *leading):
        """Return the function from the last indices to an address, with the first ones given."""
        return lambda *indices: self.address(array, *leading, *indices)

    def _vector_at(self, array, indices):
        """Return the address of an entry and those after it, which must lie side by side."""
        kind, _ = array
        if kind.layout != "C" or kind.dtype != types.float64:
            raise NumbaTypeError(f"vectors need a C-order array of float64, got {kind}.")
        return self.builder.bitcast(self.address(array, *indices), self.vector.as_pointer())

    def load(self, array, *indices):
        """Return the vector that starts at an entry."""
        value = self.builder.load(self._vector_at(array, indices))
        value.align = 8
        return value

    def store(self, value, array, *indices):
        """Write a vector to an entry and those after it."""
        self.builder.store(value, self._vector_at(array, indices)).align = 8

    def everywhere(self, address):
        """Return the vector that repeats one entry."""
        return self.repeated(self.builder.load(address))

    def repeated(self, value):
        """Return the vector that repeats a number."""
        none = ir.Constant(self.vector, ir.Undefined)
        first = self.builder.insert_element(none, value, ir.Constant(SHORT, 0))
        return self.shuffle(first, none, [0] * self.lanes)

    def any_above(self, values, limit):
        """Return whether any lane of some vectors is above that of `limit`, or is NaN."""
        bits = ir.IntType(self.lanes)
        above = bits(0)
        for value in values:
            own = self.builder.fcmp_unordered(">", value, limit)
            above = self.builder.or_(above, self.builder.bitcast(own, bits))
        return self.builder.icmp_unsigned("!=", above, bits(0))

    def shuffle(self, one, other, order):
        """Return the lanes of two vectors in the given order."""
        mask = ir.Constant(ir.VectorType(SHORT, len(order)), order)
        return self.builder.shuffle_vector(one, other, mask)

    def sum(self):
        """Return a new sum, a vector that starts as 0."""
        place = cgutils.alloca_once(self.builder, self.vector)
        self.builder.store(self.constant(0.0), place)
        return place

    def add(self, total, value):
        """Add a vector to a sum."""
        before = self.builder.load(total)
        self.builder.store(self.builder.fadd(before, value, flags=CONTRACT), total)

    def add_product(self, total, one, other):
        """Add the product of two vectors to a sum."""
        self.add(total, self.builder.fmul(one, other, flags=CONTRACT))

    def centred(self, array, mean, *indices):
        """Return the vector that starts at an entry, less the vector `mean`."""
        return self.builder.fsub(self.load(array, *indices), mean, flags=CONTRACT)

    def loop(self, stop, step, start=None):
        """Write what stands in the `with` block for start (0), start + step, ... below `stop`."""
        start = self.number(0) if start is None else start
        return cgutils.for_range_slice(
            self.builder, start, stop, self.number(step), INTEGER, inc=True
        )

    def row_tiles(self, n, write):
        """Call write(first row, number of rows) for tiles of 4 rows and the one of the rest."""
        tiled = self.builder.and_(n, self.number(-ROWS))
        rest = self.builder.and_(n, self.number(ROWS - 1))
        with self.loop(tiled, ROWS) as (a, _):
            write(a, ROWS)
        for rows in range(1, ROWS):
            with self.builder.if_then(self.builder.icmp_signed("==", rest, self.number(rows))):
                write(tiled, rows)

    def deposit(self, sums, addresses):
        """Add the sum over the lanes of each sum to the entry at its address; return these sums.

        Half the lanes of two vectors are added to the other half of both, until every lane is the
        sum of another vector: a third of the instructions of one vector after the other.
        """
        values = [self.builder.load(total) for total in sums]
        values += [None] * (-len(values) % self.lanes)
        width = 1
        while width < self.lanes:
            low = [k if k // width % 2 == 0 else self.lanes + k - width for k in range(self.lanes)]
            high = [k + width for k in low]
            values = [
                u and self.builder.fadd(self.shuffle(u, v or u, low), self.shuffle(u, v or u, high))
                for u, v in zip(values[::2], values[1::2])
            ]
            width *= 2
        added = [
            self.builder.extract_element(
                values[index // self.lanes], ir.Constant(SHORT, index % self.lanes)
            )
            for index in range(len(sums))
        ]
        for value, address in zip(added, addresses):
            before = self.builder.load(address)
            self.builder.store(self.builder.fadd(before, value), address)
        return added
