"""Input rasters out of files: .npz, .npy, or a CSV without header (input, and for recordings v and spike).

Arrays are `[T, B, ...]`. In an .npz the keys are the input nodes' names, or any key where there is one input; `labels`
is kept apart. `parse` runs in the limited child process; nothing in a file is unpickled.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import InputFileError
from norse_export.files.checked import name_of, open_input
from norse_export.files.child import parse_in_child
from norse_export.files.limits import Limits

Array = NDArray[Any]
_FIX = "give an .npz or .npy written by numpy, or a CSV file of numbers without a header"
_COLUMNS = ("input", "v", "spike")  # of a CSV: the form of the recordings


@dataclass(frozen=True, slots=True)
class InputFile:
    """rasters by key; labels [B] or None; recorded: v and spike [T] of a CSV recording, else empty."""

    rasters: Mapping[str, Array]
    labels: Array | None
    recorded: Mapping[str, Array]


def read_inputs(path: Any, limits: Limits) -> InputFile:
    """Read a file of input rasters.

    Raises:
        InputFileError: missing, corrupt, of another kind, or holding Python objects.
        LimitError: larger than the limits.
    """
    with open_input(path) as file:
        parsed = parse_in_child("norse_export.formats.inputs:parse", file, name=str(path), limits=limits)
    arrays = dict(parsed.arrays)
    if parsed.document["kind"] == "csv":
        rasters = {"input": arrays.pop("input")[:, np.newaxis, np.newaxis]}
        return InputFile(rasters, None, arrays)
    labels = arrays.pop("labels", None)
    if not arrays:
        raise InputFileError("the file holds no raster", where=str(path), fix=_FIX)
    return InputFile(arrays, labels, {})


def parse(file: BinaryIO, limits: Limits) -> tuple[dict[str, str], dict[str, Array]]:
    """Read the arrays of a file; the kind is told by its first bytes."""
    where = name_of(file)
    magic = file.read(6)
    file.seek(0)
    try:
        if magic == b"\x93NUMPY":
            return {"kind": "npy"}, {"input": _array(file, limits, where)}
        if magic[:4] == b"PK\x03\x04":
            return {"kind": "npz"}, _archive(file, limits, where)
        return {"kind": "csv"}, _columns(file, limits, where)
    except (ValueError, EOFError, zipfile.BadZipFile, UnicodeDecodeError) as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputFileError(f"corrupt, or not a file of numbers: {first}", where=where, fix=_FIX) from error


def _archive(file: BinaryIO, limits: Limits, where: str) -> dict[str, Array]:
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        limits.check("max_objects", len(members), where=where)
        limits.check("max_bytes", sum(member.file_size for member in members), where=where)
        if len({member.filename for member in members}) != len(members):
            raise InputFileError("two arrays of one name", where=where, fix=_FIX)
        arrays = {}
        for member in members:
            limits.check("max_name_bytes", len(member.filename.encode()), where=where)
            with archive.open(member) as stored:
                arrays[member.filename.removesuffix(".npy")] = _array(io.BufferedReader(stored), limits, where)
        return arrays


def _array(file: Any, limits: Limits, where: str) -> Array:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran_order, dtype = read(file)
    if dtype.kind not in "biuf":
        raise InputFileError(f"an array of dtype {dtype}, not of numbers", where=where, fix=_FIX)
    size = int(np.prod(shape, dtype=object)) * dtype.itemsize
    limits.check("max_bytes", size, where=where)
    data = file.read(size)
    if len(data) != size:
        raise InputFileError("truncated", where=where, fix="copy the file again")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran_order else "C")


def _columns(file: BinaryIO, limits: Limits, where: str) -> dict[str, Array]:
    limits.check("max_bytes", file.seek(0, io.SEEK_END), where=where)
    file.seek(0)
    data = file.read()
    table = np.loadtxt(io.StringIO(data.decode("utf-8")), delimiter=",", ndmin=2, dtype=np.float64)
    if table.size == 0 or table.shape[1] > len(_COLUMNS):
        message = (
            f"a table of {table.shape[0]} rows and {table.shape[1]} columns; the columns are {', '.join(_COLUMNS)}"
        )
        raise InputFileError(message, where=where, fix=_FIX)
    return {name: np.ascontiguousarray(column) for name, column in zip(_COLUMNS, table.T, strict=False)}
