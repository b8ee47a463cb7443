"""The products of the kernels as vector code that is written out, not left to the vectoriser.

A tile is 4 rows of a matrix times some vectors of a block's rows. Its sums stay in registers over
all features, which LLVM does not find by itself: it stores and reloads them. Tiles at the end have
1 to 3 rows; tiles on the diagonal of a triangle hold its products only. `Code` says what a tile
does, Python writes it once for each number of rows, and LLVM cuts vectors to what a machine has.

The kernels beside their plain loops call these functions: see `EXPLICIT`. Arrays come as arguments
and no address is known when code is written, so that Numba caches the callers as usual.
"""

from numba import config, types
from numba.extending import intrinsic

from ._compile import BLOCK, PLAIN
from ._llvm import CONTRACT, ROWS, Code

# Plain Python and the run with index checks take the plain loops of the kernels.
EXPLICIT = not (PLAIN or config.BOUNDSCHECK)


def _product_tile(code, matrix, line, a, rows, n, shape):
    """Return sums [row][vector] of matrix[a + row, b] * line(b)[vector] over the features b.

    `matrix` is a function from indices to an address, `line` one from a feature to its vectors. A
    "lower" triangle has the features up to the row's own, an "upper" one those from it on, "full"
    all n.
    """
    sums = [[code.sum() for _ in range(code.vectors)] for _ in range(rows)]

    def add_feature(b, own_rows):
        values = line(b)
        for r in own_rows:
            factor = code.everywhere(matrix(code.plus(a, r), b))
            for total, value in zip(sums[r], values):
                code.add_product(total, factor, value)

    def add_features(start, stop):
        tiled = code.builder.and_(stop, code.number(-ROWS))
        with code.loop(tiled, ROWS, start) as (b, _):
            for q in range(ROWS):
                add_feature(code.plus(b, q), range(rows))
        if shape != "lower":  # where `stop` is the start of a tile
            with code.loop(stop, 1, tiled) as (b, _):
                add_feature(b, range(rows))

    if shape == "full":
        add_features(code.number(0), n)
        return sums
    if shape == "lower":
        add_features(code.number(0), a)
    for q in range(rows):
        add_feature(code.plus(a, q), range(q, rows) if shape == "lower" else range(q + 1))
    if shape == "upper" and rows == ROWS:  # fewer are the last
        add_features(code.plus(a, ROWS), n)
    return sums


def _lines(code, block, leading, column, mean=None):
    """Return the function from a feature to its vectors of a tile, less the entry of `mean`."""

    def line(b):
        places = [(*leading, b, code.plus(column, code.lanes * v)) for v in range(code.vectors)]
        if mean is None:
            return [code.load(block, *place) for place in places]
        centre = code.everywhere(mean(b))
        return [code.centred(block, centre, *place) for place in places]

    return line


@intrinsic
def write_log_joint(
    typing_context, log_constants, means, factors, block, log_joint, largest, white
):
    """Write log w_j + log N(row; component j): see gaussian.write_log_joint."""

    def generate(context, builder, signature, arguments):
        code = Code(context, builder, signature, arguments)
        log_constants, means, factors, block, log_joint, largest, white = code.arguments

        def write_line(j, i):
            factor, line = code.part(factors, j), _lines(code, block, (), i, code.part(means, j))
            norms = [code.sum() for _ in range(code.vectors)]

            def add_norms(a, rows):
                for r, sums in enumerate(_product_tile(code, factor, line, a, rows, a, "lower")):
                    for v, (norm, total) in enumerate(zip(norms, sums)):
                        value = builder.load(total)
                        code.add_product(norm, value, value)
                        if white is not None:
                            code.store(
                                value, white, j, code.plus(a, r), code.plus(i, code.lanes * v)
                            )

            code.row_tiles(code.extent(means, 1), add_norms)
            constant = code.everywhere(code.address(log_constants, j))
            for v, norm in enumerate(norms):
                column = code.plus(i, code.lanes * v)
                half = builder.fmul(builder.load(norm), code.constant(-0.5), flags=CONTRACT)
                value = builder.fadd(constant, half, flags=CONTRACT)
                code.store(value, log_joint, j, column)
                before = code.load(largest, column)
                # Compared in this order NaN is passed over, as in the plain loop.
                above = builder.fcmp_ordered(">", value, before, flags=CONTRACT)
                code.store(builder.select(above, value, before), largest, column)

        with code.loop(code.extent(means), 1) as (j, _):
            with code.loop(code.number(BLOCK), code.lanes * code.vectors) as (i, _):
                write_line(j, i)
        return context.get_dummy_value()

    arguments = (log_constants, means, factors, block, log_joint, largest, white)
    return types.void(*arguments), generate


def _add_gated(code, tile, gate, place, out):
    """Add the gated sums of a tile, whose first row and column are at `place`, to `out`."""
    a, i = place
    for r, sums in enumerate(tile):
        for v, total in enumerate(sums):
            own = code.plus(a, r), code.plus(i, code.lanes * v)
            product = code.builder.fmul(gate(own[1]), code.builder.load(total), flags=CONTRACT)
            value = code.builder.fadd(code.load(out, *own), product, flags=CONTRACT)
            code.store(value, out, *own)


@intrinsic
def add_product(typing_context, matrix, lines, gate, out):
    """Add gate_i M x_i: see features.add_product."""

    def generate(context, builder, signature, arguments):
        code = Code(context, builder, signature, arguments)
        matrix, lines, gate, out = code.arguments
        n = code.extent(matrix, 1)
        with code.loop(code.number(BLOCK), code.lanes * code.vectors) as (i, _):

            def add_rows(a, rows):
                line = _lines(code, lines, (), i)
                tile = _product_tile(code, code.part(matrix), line, a, rows, n, "full")
                _add_gated(code, tile, lambda column: code.load(gate, column), (a, i), out)

            code.row_tiles(code.extent(matrix), add_rows)
        return context.get_dummy_value()

    return types.void(matrix, lines, gate, out), generate


@intrinsic
def add_pulls(typing_context, factors, white, gates, out, negligible):
    """Add -sum_j gate_ij W_j' u_ij: see score.add_pulls."""

    def generate(context, builder, signature, arguments):
        code = Code(context, builder, signature, arguments)
        factors, white, gates, out, negligible = code.arguments
        n, columns = code.extent(factors, 1), [code.lanes * v for v in range(code.vectors)]

        def add_tile(j, i):
            line = _lines(code, white, (j,), i)

            def gate(column):
                return builder.fneg(code.load(gates, j, column))

            def add_rows(a, rows):
                tile = _product_tile(code, transposed(j), line, a, rows, n, "upper")
                _add_gated(code, tile, gate, (a, i), out)

            code.row_tiles(n, add_rows)

        def transposed(j):
            return lambda a, b: code.address(factors, j, b, a)

        limit = code.repeated(negligible)
        with code.loop(code.extent(factors), 1) as (j, _):
            with code.loop(code.number(BLOCK), code.lanes * code.vectors) as (i, _):
                lines = [code.load(gates, j, code.plus(i, column)) for column in columns]
                with builder.if_then(code.any_above(lines, limit)):
                    add_tile(j, i)
        return context.get_dummy_value()

    return types.void(factors, white, gates, out, negligible), generate


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
                return [code.load(weighted, code.plus(a, r), i) for r in range(rows)]

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

            def weigh(i, centred):
                weight = code.load(responsibility, j, i)
                weighted = [builder.fmul(weight, value, flags=CONTRACT) for value in centred]
                for r, value in enumerate(weighted):
                    code.add(totals[r], value)
                    code.store(value, lines, code.number(r), i)
                return weighted

            def read(i, _):
                return [code.load(lines, code.number(r), i) for r in range(rows)]

            _moment_tile(code, weigh, mean, block, out, a, a, (rows, rows))
            code.deposit(totals, [code.address(first, j, code.plus(a, r)) for r in range(rows)])
            with code.loop(a, ROWS) as (b, _):
                _moment_tile(code, read, mean, block, out, a, b, (rows, ROWS))

        with code.loop(code.extent(means), 1) as (j, _):
            total = code.sum()
            with code.loop(code.number(BLOCK), code.lanes) as (i, _):
                code.add(total, code.load(responsibility, j, i))
            added = code.deposit([total], [code.address(counts, j)])[0]
            count = builder.load(code.address(counts, j))
            with builder.if_then(builder.fcmp_ordered(">", added, builder.fmul(negligible, count))):
                code.row_tiles(code.extent(means, 1), lambda a, rows: add_rows(j, a, rows))
        return context.get_dummy_value()

    arguments = (block, means, responsibility, lines, counts, first, second, negligible)
    return types.void(*arguments), generate
