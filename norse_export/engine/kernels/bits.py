"""What numba has no word for: flags as the bits of one number, the lowest bit, and lines of memory asked for early."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from norse_export.engine.kernels.memory import JIT, view

FLAGS = 64  # looked at together
_I8, _I32, _I64 = (ir.IntType(bits) for bits in (8, 32, 64))


def _lowered_flags(_typing: Any, address: Any) -> Any:
    def lower(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        several = ir.VectorType(_I8, FLAGS)
        bytes_ = builder.load(builder.inttoptr(arguments[0], several.as_pointer()), align=1)
        return builder.bitcast(builder.icmp_unsigned("!=", bytes_, ir.Constant(several, None)), _I64)

    return types.uint64(types.int64), lower


def _lowered_lowest(_typing: Any, number: Any) -> Any:
    def lower(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), lower


def emit_prefetch(builder: Any, address: Any) -> None:
    """Emit a request for the line of memory at an address, which is going to be read."""
    pointer = _I8.as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [pointer, _I32, _I32, _I32])
    insert: Any = cgutils.get_or_insert_function
    function = insert(builder.module, kind, "llvm.prefetch.p0")
    builder.call(function, [builder.inttoptr(address, pointer), _I32(0), _I32(3), _I32(1)])


def _lowered_prefetch(_typing: Any, address: Any) -> Any:
    def lower(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        emit_prefetch(builder, arguments[0])
        return context.get_dummy_value()

    return types.void(types.int64), lower


def _flags(address: int) -> Any:
    return np.packbits(view(address, FLAGS, np.uint8) != 0, bitorder="little").view(np.uint64)[0]


def _lowest(number: Any) -> int:
    return (int(number) & -int(number)).bit_length() - 1


def _prefetch(address: int) -> None:
    pass


flags_at: Any = intrinsic(_lowered_flags) if JIT else _flags  # (address): bit k says whether byte k is not 0
lowest_bit: Any = intrinsic(_lowered_lowest) if JIT else _lowest  # (number other than 0)
prefetch: Any = intrinsic(_lowered_prefetch) if JIT else _prefetch  # (address)
