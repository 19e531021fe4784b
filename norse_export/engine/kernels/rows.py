"""Sums of rows of weights, a tile of columns at a time, whose sums stay in vector registers for all rows.

A compiler does not find this by itself, so the tile is written in LLVM's vectors, whose widths LLVM fits to the
machine. Rows of int8 are summed in 16 bits, at most 255 at a time; the others in the type of the sums.
"""

# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, disallow-untyped-decorators=False
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from norse_export.engine.kernels.bits import emit_prefetch
from norse_export.engine.kernels.memory import JIT, jitted, view

AHEAD = 4  # rows between the one that is added and the one that is fetched
BYTES = 64  # of a vector of sums
_I32, _I64 = ir.IntType(32), ir.IntType(64)


def tile_of(vectors: int) -> Callable[..., None]:
    """A function that adds `vectors` vectors of columns of the listed rows to the sums.

    Its arguments: address of the columns in row 0, bytes from row to row, address of the rows' numbers (int32), how
    many, address of the sums, type of the weights, type of the sums.
    """

    def lowered(
        _typing: Any, weights: Any, stride: Any, cells: Any, count: Any, sums: Any, weight: Any, total: Any
    ) -> Any:
        wide = total.dtype.bitwidth
        lane = 16 if weight.dtype.bitwidth == 8 else wide

        def lower(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            _emit(builder, arguments[:5], vectors, (weight.dtype.bitwidth, lane, wide))
            return context.get_dummy_value()

        return types.void(*([types.int64] * 5), weight, total), lower

    return intrinsic(lowered) if JIT else _plain(vectors)


def _emit(builder: Any, arguments: Any, vectors: int, bits: tuple[int, int, int]) -> None:
    """The loop over the rows, with one register for each vector of sums."""
    weights, stride, cells, count, sums = arguments
    lanes = BYTES * 8 // bits[1]
    given, kept, wide = (ir.VectorType(ir.IntType(width), lanes) for width in bits)
    held = [cgutils.alloca_once_value(builder, ir.Constant(kept, None)) for _ in range(vectors)]
    numbers = builder.inttoptr(cells, _I32.as_pointer())
    last = builder.sub(count, _I64(1))
    with cgutils.for_range(builder, count, intp=_I64) as loop:
        row = _row(builder, weights, stride, numbers, loop.index)
        later = builder.add(loop.index, _I64(AHEAD))
        later = builder.select(builder.icmp_signed("<", later, count), later, last)
        next_row = _row(builder, weights, stride, numbers, later)
        size = lanes * bits[0] // 8
        for offset in range(0, vectors * size, 64):
            emit_prefetch(builder, builder.add(next_row, _I64(offset)))
        for number, register in enumerate(held):
            pointer = builder.inttoptr(builder.add(row, _I64(number * size)), given.as_pointer())
            value = builder.load(pointer, align=1)
            value = value if bits[0] == bits[1] else builder.sext(value, kept)
            builder.store(builder.add(builder.load(register), value), register)
    for number, register in enumerate(held):
        pointer = builder.inttoptr(builder.add(sums, _I64(number * lanes * bits[2] // 8)), wide.as_pointer())
        value = builder.load(register)
        value = value if bits[1] == bits[2] else builder.sext(value, wide)
        builder.store(builder.add(builder.load(pointer, align=1), value), pointer, align=1)


def _row(builder: Any, weights: Any, stride: Any, numbers: Any, index: Any) -> Any:
    """Address of a row of the list."""
    number = builder.sext(builder.load(builder.gep(numbers, [index])), _I64)
    return builder.add(weights, builder.mul(number, stride))


def _plain(vectors: int) -> Callable[..., None]:
    def tile(weights, stride, cells, count, sums, weight_type, sum_type):
        width = vectors * lanes(weight_type, sum_type)
        total = view(sums, width, sum_type)
        for number in view(cells, count, np.int32):
            total += view(weights + stride * int(number), width, weight_type)

    return tile


def lanes(weight_type: Any, sum_type: Any) -> int:
    """How many columns a vector of sums holds."""
    return BYTES // (2 if np.dtype(weight_type).itemsize == 1 else np.dtype(sum_type).itemsize)


_eight: Any = tile_of(8)
_two: Any = tile_of(2)
_one: Any = tile_of(1)
MOST = 255  # rows of int8 whose sum 16 bits hold


@jitted
def add_rows(weights, stride, width, cells, count, sums, weight_type, sum_type):
    """Add the listed rows to the sums; `width` fills whole vectors."""
    item, step = view(weights, 1, weight_type).itemsize, view(sums, 1, sum_type).itemsize
    lane = 32 if item == 1 else 64 // step
    for first in range(0, count, MOST):
        listed, few = cells + 4 * first, min(MOST, count - first)
        column = 0
        while column + 8 * lane <= width:
            _eight(weights + item * column, stride, listed, few, sums + step * column, weight_type, sum_type)
            column += 8 * lane
        while column + 2 * lane <= width:
            _two(weights + item * column, stride, listed, few, sums + step * column, weight_type, sum_type)
            column += 2 * lane
        while column < width:
            _one(weights + item * column, stride, listed, few, sums + step * column, weight_type, sum_type)
            column += lane
