"""The products of the kernels as vector code that is written out, not left to the vectoriser.

A tile is 4 rows of a matrix times some vectors of a block's rows. Its sums stay in registers over
all features, which LLVM does not find by itself: it stores and reloads them. Tiles at the end have
1 to 3 rows; tiles on the diagonal of a triangle hold its products only. `Code` says what a tile
does, Python writes it once for each number of rows, and LLVM cuts vectors to what a machine has.

The kernels beside their plain loops call these functions: see `EXPLICIT`. Arrays come as arguments
and no address is known when code is written, so that Numba caches the callers as usual.
"""

from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from ._compile import BLOCK, PLAIN

# Plain Python and the run with index checks take the plain loops of the kernels.
EXPLICIT = not (PLAIN or config.BOUNDSCHECK)

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
        """Return an array with its type, or a number as it comes."""
        if isinstance(kind, types.Array):
            return kind, self.context.make_array(kind)(self.context, self.builder, value)
        return value

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
        """Return where an entry lies; strides are respected."""
        kind, fields = array
        shape = cgutils.unpack_tuple(self.builder, fields.shape, kind.ndim)
        strides = cgutils.unpack_tuple(self.builder, fields.strides, kind.ndim)
        return cgutils.get_item_pointer2(
            self.context, self.builder, fields.data, shape, strides, kind.layout, indices
        )

    def part(self, array, *leading):
        """Return the function from the last indices to an address, with the first ones given."""
        return lambda *indices: self.address(array, *leading, *indices)

    def load(self, address):
        """Return the vector that starts at an entry."""
        value = self.builder.load(self.builder.bitcast(address, self.vector.as_pointer()))
        value.align = 8
        return value

    def store(self, value, address):
        """Write a vector to where an entry lies."""
        target = self.builder.bitcast(address, value.type.as_pointer())
        self.builder.store(value, target).align = 8

    def everywhere(self, address):
        """Return the vector that repeats one entry."""
        none = ir.Constant(self.vector, ir.Undefined)
        first = self.builder.insert_element(none, self.builder.load(address), ir.Constant(SHORT, 0))
        return self.shuffle(first, none, [0] * self.lanes)

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

    def centred(self, array, mean, row, column):
        """Return array[row, column : column + lanes] - mean, for a vector `mean`."""
        values = self.load(self.address(array, row, column))
        return self.builder.fsub(values, mean, flags=CONTRACT)

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
        values += [self.constant(0.0)] * (-len(values) % self.lanes)
        width = 1
        while width < self.lanes:
            low = [k if k // width % 2 == 0 else self.lanes + k - width for k in range(self.lanes)]
            high = [k + width for k in low]
            values = [
                self.builder.fadd(self.shuffle(u, v, low), self.shuffle(u, v, high))
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


def _product_tile(code, matrix, mean, block, column, a, rows, stop, triangular):
    """Return sums [row][vector] of matrix[a + row, b] * (block[b] - mean[b]) over b < stop.

    `matrix` and `mean` are functions from indices to addresses. A tile of a triangle goes on to
    the diagonal, from b = stop = a.
    """
    sums = [[code.sum() for _ in range(code.vectors)] for _ in range(rows)]

    def add_feature(b, own_rows):
        centre = code.everywhere(mean(b))
        lines = [
            code.centred(block, centre, b, code.plus(column, code.lanes * v))
            for v in range(code.vectors)
        ]
        for r in own_rows:
            factor = code.everywhere(matrix(code.plus(a, r), b))
            for v in range(code.vectors):
                code.add_product(sums[r][v], factor, lines[v])

    tiled = code.builder.and_(stop, code.number(-ROWS))
    with code.loop(tiled, ROWS) as (b, _):
        for q in range(ROWS):
            add_feature(code.plus(b, q), range(rows))
    if triangular:
        for q in range(rows):
            add_feature(code.plus(a, q), range(q, rows))
    else:
        with code.loop(stop, 1, tiled) as (b, _):
            add_feature(b, range(rows))
    return sums


@intrinsic
def write_log_joint(typing_context, log_constants, means, factors, block, log_joint, largest):
    """Write log w_j + log N(row; component j): see gaussian.write_log_joint."""

    def generate(context, builder, signature, arguments):
        code = Code(context, builder, signature, arguments)
        log_constants, means, factors, block, log_joint, largest = code.arguments

        def write_line(j, i):
            factor, mean = code.part(factors, j), code.part(means, j)
            norms = [code.sum() for _ in range(code.vectors)]

            def add_norms(a, rows):
                for line in _product_tile(code, factor, mean, block, i, a, rows, a, True):
                    for norm, total in zip(norms, line):
                        white = builder.load(total)
                        code.add_product(norm, white, white)

            code.row_tiles(code.extent(means, 1), add_norms)
            constant = code.everywhere(code.address(log_constants, j))
            for v, norm in enumerate(norms):
                column = code.plus(i, code.lanes * v)
                half = builder.fmul(builder.load(norm), code.constant(-0.5), flags=CONTRACT)
                value = builder.fadd(constant, half, flags=CONTRACT)
                code.store(value, code.address(log_joint, j, column))
                place = code.address(largest, column)
                before = code.load(place)
                # Compared in this order NaN is passed over, as in the plain loop.
                above = builder.fcmp_ordered(">", value, before, flags=CONTRACT)
                code.store(builder.select(above, value, before), place)

        with code.loop(code.extent(means), 1) as (j, _):
            with code.loop(code.number(BLOCK), code.lanes * code.vectors) as (i, _):
                write_line(j, i)
        return context.get_dummy_value()

    return types.void(log_constants, means, factors, block, log_joint, largest), generate


@intrinsic
def add_matrix_product(typing_context, matrix, mean, block, gate, out):
    """Add gate_i M (x_i - m): see score.add_matrix_product."""

    def generate(context, builder, signature, arguments):
        code = Code(context, builder, signature, arguments)
        matrix, mean, block, gate, out = code.arguments
        n = code.extent(mean)
        with code.loop(code.number(BLOCK), code.lanes * code.vectors) as (i, _):

            def add_rows(a, rows):
                tile = _product_tile(
                    code, code.part(matrix), code.part(mean), block, i, a, rows, n, False
                )
                for r, line in enumerate(tile):
                    for v in range(code.vectors):
                        column = code.plus(i, code.lanes * v)
                        weight = code.load(code.address(gate, column))
                        product = builder.fmul(weight, builder.load(line[v]), flags=CONTRACT)
                        place = code.address(out, code.plus(a, r), column)
                        code.store(builder.fadd(code.load(place), product, flags=CONTRACT), place)

            code.row_tiles(n, add_rows)
        return context.get_dummy_value()

    return types.void(matrix, mean, block, gate, out), generate


def _moment_tile(code, weigh, mean, block, out, a, b, shape):
    """Add the sums over rows of w (x - m)' to one tile of `out`, a triangle where a is b.

    `weigh` returns the vectors of w at a place of the block, given those of x - m. `mean` and
    `out` are functions from indices to addresses.
    """
    rows, columns = shape
    pairs = [(r, c) for r in range(rows) for c in range(columns) if c <= r or a is not b]
    sums = [code.sum() for _ in pairs]
    centres = [code.everywhere(mean(code.plus(b, c))) for c in range(columns)]
    with code.loop(code.number(BLOCK), code.lanes) as (i, _):
        centred = [code.centred(block, m, code.plus(b, c), i) for c, m in enumerate(centres)]
        weighted = weigh(i, centred)
        for total, (r, c) in zip(sums, pairs):
            code.add_product(total, weighted[r], centred[c])
    code.deposit(sums, [out(code.plus(a, r), code.plus(b, c)) for r, c in pairs])


@intrinsic
def add_cross_moments(typing_context, weighted, mean, block, out):
    """Add sum_i weighted_i (x_i - m)': see moments.add_cross_moments."""

    def generate(context, builder, signature, arguments):
        code = Code(context, builder, signature, arguments)
        weighted, mean, block, out = code.arguments
        n, mean, out = code.extent(mean), code.part(mean), code.part(out)

        def add_rows(a, rows):
            def read(i, _):
                return [code.load(code.address(weighted, code.plus(a, r), i)) for r in range(rows)]

            _moment_tile(code, read, mean, block, out, a, a, (rows, rows))
            with code.loop(a, ROWS) as (b, _):
                _moment_tile(code, read, mean, block, out, a, b, (rows, ROWS))

        code.row_tiles(n, add_rows)
        return context.get_dummy_value()

    return types.void(weighted, mean, block, out), generate


@intrinsic
def add_moments(
    typing_context, block, means, responsibility, lines, counts, first, second, negligible
):
    """Add counts, first and second moments: see moments.add_moments.

    The tile on the diagonal weighs its rows and leaves them in `lines` for the other tiles.
    """

    def generate(context, builder, signature, arguments):
        code = Code(context, builder, signature, arguments)
        block, means, responsibility, lines, counts, first, second, negligible = code.arguments

        def add_rows(j, a, rows):
            mean, out = code.part(means, j), code.part(second, j)
            totals = [code.sum() for _ in range(rows)]
            places = [code.part(lines, code.number(r)) for r in range(rows)]

            def weigh(i, centred):
                weight = code.load(code.address(responsibility, j, i))
                weighted = [builder.fmul(weight, value, flags=CONTRACT) for value in centred]
                for total, value, place in zip(totals, weighted, places):
                    code.add(total, value)
                    code.store(value, place(i))
                return weighted

            def read(i, _):
                return [code.load(place(i)) for place in places]

            _moment_tile(code, weigh, mean, block, out, a, a, (rows, rows))
            code.deposit(totals, [code.address(first, j, code.plus(a, r)) for r in range(rows)])
            with code.loop(a, ROWS) as (b, _):
                _moment_tile(code, read, mean, block, out, a, b, (rows, ROWS))

        with code.loop(code.extent(means), 1) as (j, _):
            total = code.sum()
            with code.loop(code.number(BLOCK), code.lanes) as (i, _):
                code.add(total, code.load(code.address(responsibility, j, i)))
            added = code.deposit([total], [code.address(counts, j)])[0]
            count = builder.load(code.address(counts, j))
            with builder.if_then(builder.fcmp_ordered(">", added, builder.fmul(negligible, count))):
                code.row_tiles(code.extent(means, 1), lambda a, rows: add_rows(j, a, rows))
        return context.get_dummy_value()

    arguments = (block, means, responsibility, lines, counts, first, second, negligible)
    return types.void(*arguments), generate
