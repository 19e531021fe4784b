"""Arrays and functions by their address: what lets one compiled loop serve every network.

Without the JIT the same names are plain Python, so that every kernel can be run, and read, without a compiler.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

_numba: Any = numba  # of many of whose names a type checker does not know
JIT = not _numba.config.DISABLE_JIT
_SIGNATURE = types.void(types.int64, types.int64, types.int64)  # (address of its numbers, step, sample)
LINE = 64  # bytes: arrays begin at such a boundary, and rows of weights are multiples of it
SPARE = 8  # cells behind the last one of each list of events
SLOT = 3  # numbers that describe one list of events: see events.py

_kept: list[Any] = []  # kernels live as long as the process: their addresses are handed about


def jitted(function: Callable[..., Any]) -> Any:
    """Compile a function when it is called from compiled code, and for that alone; whole numbers wrap."""
    options = {"nogil": True, "error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return _numba.njit(**options)(function)


def entry_point(cache: bool) -> Callable[[Callable[[int, int, int], None]], int]:
    """Decorator: compile a function of (address of its numbers, step, sample) and give its address in its place."""

    def decorate(function: Callable[[int, int, int], None]) -> int:
        if JIT:
            kernel: Any = _numba.cfunc(_SIGNATURE, cache=cache, error_model="numpy")(function)
            _kept.append(kernel)
            return int(kernel.address)
        _kept.append(function)
        return len(_kept) - 1

    return decorate


def execute(kernel: int, row: int, t: int, sample: int) -> None:
    """Call the kernel at an address from Python; other threads of Python run meanwhile."""
    if JIT:
        number = ctypes.c_int64
        ctypes.CFUNCTYPE(None, number, number, number)(kernel)(row, t, sample)
    else:
        _kept[kernel](row, t, sample)


def _lowered_pointer(_typing: Any, address: Any) -> Any:
    def lower(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.int64), lower


def _lowered_call(_typing: Any, function: Any, row: Any, t: Any, sample: Any) -> Any:
    def lower(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        word = arguments[1].type
        kind = ir.FunctionType(ir.VoidType(), [word, word, word])
        builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), arguments[1:])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64, types.int64), lower


def _call(function: int, row: int, t: int, sample: int) -> None:
    _kept[function](row, t, sample)


def _view(address: int, size: int, dtype: Any) -> Any:
    if size <= 0:
        return np.empty(0, dtype)
    memory = (ctypes.c_byte * (int(size) * np.dtype(dtype).itemsize)).from_address(int(address))
    return np.frombuffer(memory, dtype)


_pointer: Any = intrinsic(_lowered_pointer)
call: Any = intrinsic(_lowered_call) if JIT else _call  # (function, row, t, sample): the kernel at an address


def _compiled_view(address: int, size: int, dtype: Any) -> Any:
    return _numba.carray(_pointer(address), (size,), dtype)


view: Any = jitted(_compiled_view) if JIT else _view  # (address, size, dtype): the array of so many elements there


@jitted
def slot_of(slots: int, number: int) -> Any:
    """The description of one list of events."""
    return view(slots + 8 * SLOT * number, SLOT, np.int64)


def aligned(size: int, dtype: Any) -> NDArray[Any]:
    """An array of zeros that begins at a LINE boundary and has at least another LINE of memory behind it."""
    item = np.dtype(dtype).itemsize
    raw = np.zeros(size * item + 2 * LINE, np.uint8)
    start = -raw.ctypes.data % LINE
    return raw[start : start + size * item].view(dtype)


def padded(size: int, item: int = 1) -> int:
    """The smallest number of elements of `item` bytes that fills whole lines and holds `size`."""
    return -(-size * item // LINE) * LINE // item
