"""Lists the cells of a raster that fire, and measures lists. compiled.py compiles the text of this file."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from norse_export.engine.machine.jit import Jit

Array = NDArray[Any]
_numba: Any = numba  # of many of whose names a type checker does not know
_jit = Jit(globals().get("CACHE"))

# For each byte the numbers of its bits that are set, from the low ones on, and how many they are.
_PLACES = np.array([([b for b in range(8) if byte >> b & 1] + [0] * 8)[:8] for byte in range(256)], np.int32)
_COUNTS = np.array([byte.bit_count() for byte in range(256)], np.uint64)


@_jit.part
def _expand(byte: int, base: int, cell: Array, filled: Any) -> Any:
    """List the bits of a byte that are set, without a branch on each, which would be guessed wrong too often."""
    entry, base32 = np.uint64(byte & 0xFF), np.int32(base)
    for bit in range(8):
        cell[filled + np.uint64(bit)] = base32 + _PLACES[entry, bit]
    return filled + _COUNTS[entry]


@_jit.entry(_numba.uint8[::1], _numba.boolean, _numba.int64, _numba.int64, _numba.int64[:, ::1], _numba.int32[::1])
def extract(bits: Array, sparse: bool, size: int, start: int, first: Array, cell: Array) -> None:
    """List the cells of a raster [T, B, size] that fire, from `start` on, sample by sample.

    Those of step t of sample b go to cell[first[b, t] : first[b, t + 1]]; first [B, T + 1].

    bits: the raster, a bit for each of `size` cells of a row, low ones first, without gaps between rows; with `sparse`
    bytes of zeros are skipped. cell has 8 places to spare.
    """
    filled, samples = np.uint64(start), first.shape[0]
    for sample in range(samples):
        first[sample, 0] = filled
        for step in range(first.shape[1] - 1):
            begin = (step * samples + sample) * size
            end = begin + size
            low, high = begin // 8, (end - 1) // 8
            first_mask, last_mask = 0xFF << (begin % 8), 0xFF >> (7 - (end - 1) % 8)
            if low == high:
                filled = _expand(int(bits[low]) & first_mask & last_mask, low * 8 - begin, cell, filled)
            else:
                filled = _expand(int(bits[low]) & first_mask, low * 8 - begin, cell, filled)
                for place in range(low + 1, high):
                    if not (sparse and bits[place] == 0):
                        filled = _expand(int(bits[place]), place * 8 - begin, cell, filled)
                filled = _expand(int(bits[high]) & last_mask, high * 8 - begin, cell, filled)
            first[sample, step + 1] = filled


@_jit.entry(_numba.int64[:, :, ::1], _numba.int64[::1], _numba.boolean[::1], _numba.int64[::1], _numba.int64[:, ::1])
def most(first: Array, longest: Array, steady: Array, depth: Array, found: Array) -> None:
    """Bound the flits of each round by the longest list of a cell of each source.

    first [S, B, T + 1]: where events stand; longest, steady, depth [S]: see load.py. found [2, rounds]: zeros; the
    first row becomes the largest sum over the sources of a round.
    """
    for sample in range(first.shape[1]):
        for step in range(first.shape[2] - 1):
            for source in range(first.shape[0]):
                fired = first[source, sample, step + 1] - first[source, sample, step]
                found[1, depth[source]] += longest[source] * (1 if steady[source] else fired)
            for number in range(found.shape[1]):
                found[0, number] = max(found[0, number], found[1, number])
                found[1, number] = 0
