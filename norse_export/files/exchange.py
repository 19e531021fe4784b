"""The memory file between parent and child: one layout, written by the child and checked by the parent.

    0   8 bytes   magic
    8   8 bytes   stage, see Stage (little endian, as all here)
    16  8 bytes   length of the document
    24            the document, JSON: {"status": ..., "arrays": [[name, dtype, shape], ...], ...}
    ...           the arrays in that order, C order, each at the next multiple of 64 bytes

Offsets are never transmitted: both sides compute them from dtypes and shapes, so that arrays cannot overlap or reach
outside, and the file must have exactly the length that follows.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAGIC = b"NXCHILD\x01"
HEADER = struct.Struct("<8sQQ")
ALIGNMENT = 64  # a cache line, and the widest vector register
MAX_DIMENSIONS = 64  # numpy 2: NPY_MAXDIMS

# Exit code of the child when the memory file must not become as large as the answer. Source: sysexits.h, EX_CANTCREAT.
NO_ROOM = 73

# dtypes that may pass: fixed size, no pointers, little endian.
DTYPES = frozenset({"|b1", "|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f2", "<f4", "<f8"})

ArrayEntry = tuple[str, str, tuple[int, ...]]  # name, dtype, shape


class Stage(IntEnum):
    """How far the child came. Before PARSING the input file had no influence: what fails there is our bug."""

    NOTHING = 0
    STARTED = 1
    PARSING = 2
    DONE = 3


def write_stage(descriptor: int, stage: Stage, length: int = 0) -> None:
    """Record the stage; `length` is that of the document, in bytes."""
    _write_at(descriptor, memoryview(HEADER.pack(MAGIC, stage, length)), 0)


def read_stage(descriptor: int) -> tuple[Stage, int]:
    """Stage and length of the document; NOTHING for whatever is not a header of ours."""
    data = os.pread(descriptor, HEADER.size, 0)
    if len(data) < HEADER.size:
        return Stage.NOTHING, 0
    magic, stage, length = HEADER.unpack(data)
    known = magic == MAGIC and stage <= max(Stage)
    return (Stage(stage), length) if known else (Stage.NOTHING, 0)


def entry_of(name: str, array: NDArray[Any]) -> ArrayEntry:
    """Name, dtype and shape of an array, as they go into the document.

    Raises:
        TypeError: not an array of a dtype in `DTYPES`.
    """
    dtype = array.dtype.newbyteorder("<").str if isinstance(array, np.ndarray) else type(array).__name__
    if not isinstance(name, str) or dtype not in DTYPES:
        raise TypeError(f"a parser returned {name!r} as {dtype}; arrays of {', '.join(sorted(DTYPES))} can pass")
    return name, dtype, tuple(array.shape)


def layout(entries: Sequence[ArrayEntry], start: int) -> tuple[list[int], int]:
    """Offset of each array, and the end of the last one; `start` is where the document ends."""
    offsets, end = [], start
    for _, dtype, shape in entries:
        offsets.append(-(-end // ALIGNMENT) * ALIGNMENT)
        end = offsets[-1] + prod(shape) * np.dtype(dtype).itemsize
    return offsets, end


def write_result(descriptor: int, document: bytes, entries: Sequence[ArrayEntry], arrays: Mapping[str, Any]) -> None:
    """Write document and arrays, and the stage DONE last of all."""
    start = HEADER.size + len(document)
    offsets, end = layout(entries, start)
    os.ftruncate(descriptor, end)
    _write_at(descriptor, memoryview(document), HEADER.size)
    for (name, dtype, _), offset in zip(entries, offsets, strict=True):
        contiguous = np.ascontiguousarray(arrays[name], dtype=dtype)
        _write_at(descriptor, contiguous.reshape(-1).view(np.uint8).data, offset)
    write_stage(descriptor, Stage.DONE, len(document))


def _write_at(descriptor: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written


def checked_entries(raw: Any) -> list[ArrayEntry]:
    """The list of arrays in a document, checked as if the child were hostile.

    Raises:
        ValueError: anything but a list of unique names with known dtypes and possible shapes.
    """
    entries = list(_entries(raw))
    if len({name for name, _, _ in entries}) != len(entries):
        raise ValueError("an array twice")
    return entries


def _entries(raw: Any) -> Iterator[ArrayEntry]:
    if not isinstance(raw, list):
        raise ValueError("no list of arrays")  # noqa: TRY004 - one class for whatever is wrong with the bytes
    for item in raw:
        match item:
            case [str() as name, str() as dtype, [*shape]] if dtype in DTYPES and len(shape) <= MAX_DIMENSIONS:
                if not all(type(length) is int and 0 <= length < 2**63 for length in shape):
                    raise ValueError(f"array {name!r} has an impossible shape")
                yield name, dtype, tuple(shape)
            case _:
                raise ValueError("an entry that names no array")
