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


def _product_tile(code, matrix, mean, block, column, a, rows, stop, triangular):
    """Return sums [row][vector] of matrix[a + row, b] * (block[b] - mean[b]) over b < stop.

    `matrix` and `mean` are functions from indices to addresses; `mean` may be None. A tile of a
    triangle goes on to the diagonal, from b = stop = a.
    """
    sums = [[code.sum() for _ in range(code.vectors)] for _ in range(rows)]

    def add_feature(b, own_rows):
        places = [(b, code.plus(column, code.lanes * v)) for v in range(code.vectors)]
        if mean is None:
            lines = [code.load(block, *place) for place in places]
        else:
            centre = code.everywhere(mean(b))
            lines = [code.centred(block, centre, *place) for place in places]
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
                code.store(value, log_joint, j, column)
                before = code.load(largest, column)
                # Compared in this order NaN is passed over, as in the plain loop.
                above = builder.fcmp_ordered(">", value, before, flags=CONTRACT)
                code.store(builder.select(above, value, before), largest, column)

        with code.loop(code.extent(means), 1) as (j, _):
            with code.loop(code.number(BLOCK), code.lanes * code.vectors) as (i, _):
                write_line(j, i)
        return context.get_dummy_value()

    return types.void(log_constants, means, factors, block, log_joint, largest), generate


def _write_gated_product(code, matrix, mean, block, gate, out):
    """Add gate_i M (x_i - m) to column i of `out`, without m where `mean` is None."""
    with code.loop(code.number(BLOCK), code.lanes * code.vectors) as (i, _):

        def add_rows(a, rows):
            stop = code.extent(matrix, 1)
            tile = _product_tile(code, code.part(matrix), mean, block, i, a, rows, stop, False)
            for r, line in enumerate(tile):
                for v in range(code.vectors):
                    place = code.plus(a, r), code.plus(i, code.lanes * v)
                    weight = code.load(gate, place[1])
                    value = code.builder.load(line[v])
                    product = code.builder.fmul(weight, value, flags=CONTRACT)
                    total = code.builder.fadd(code.load(out, *place), product, flags=CONTRACT)
                    code.store(total, out, *place)

        code.row_tiles(code.extent(matrix), add_rows)


@intrinsic
def add_matrix_product(typing_context, matrix, mean, block, gate, out):
    """Add gate_i M (x_i - m): see score.add_matrix_product."""

    def generate(context, builder, signature, arguments):
        code = Code(context, builder, signature, arguments)
        matrix, mean, block, gate, out = code.arguments
        _write_gated_product(code, matrix, code.part(mean), block, gate, out)
        return context.get_dummy_value()

    return types.void(matrix, mean, block, gate, out), generate


@intrinsic
def add_product(typing_context, matrix, lines, gate, out):
    """Add gate_i M x_i: see features.add_product."""

    def generate(context, builder, signature, arguments):
        code = Code(context, builder, signature, arguments)
        matrix, lines, gate, out = code.arguments
        _write_gated_product(code, matrix, None, lines, gate, out)
        return context.get_dummy_value()

    return types.void(matrix, lines, gate, out), generate


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
