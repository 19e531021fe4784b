"""Input rasters out of files: .npz, .npy, or a CSV without header (input, and for recordings v and spike).

Arrays are `[T, B, ...]`. In an .npz the keys are the input nodes' names, or any key where there is one input; `labels`
is kept apart. `parse` runs in the limited child process; nothing in a file is unpickled.
"""

from __future__ import annotations

import io
import math
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import InputFileError
from norse_export.files.budget import declare_bytes
from norse_export.files.checked import name_of, open_input
from norse_export.files.child import parse_in_child
from norse_export.files.limits import Limits

Array = NDArray[Any]
_FIX = "give an .npz or .npy written by numpy, or a CSV file of numbers without a header"
_COLUMNS = ("input", "v", "spike")  # of a CSV: the form of the recordings
_LABELS = "labels"
_BYTES_PER_CHARACTER = 8  # a number takes two characters or more, and is held twice while the table grows
# Stored or deflated, as numpy.savez and savez_compressed write; the flag of an encrypted member (APPNOTE.TXT 4.4.4).
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
# Widest numbers that any part of this package computes with; numpy's long double is not among them.
_WIDEST_BYTES = 8
_CHUNK_BYTES = 2**20
# Version of numpy's format -> width of the header's length, and its reader. 3 differs in the encoding of names alone.
_VERSIONS = {
    (1, 0): (2, np.lib.format.read_array_header_1_0),
    (2, 0): (4, np.lib.format.read_array_header_2_0),
    (3, 0): (4, np.lib.format.read_array_header_2_0),
}
# What the libraries raise on bytes that are no such file: zip and deflate, numpy's header (Python source), CSV.
_CORRUPT = (
    ValueError, EOFError, TypeError, SyntaxError, OverflowError, NotImplementedError, tokenize.TokenError,
    zipfile.BadZipFile, zlib.error, struct.error,
)  # fmt: skip


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
    labels = arrays.pop(_LABELS, None)
    if not arrays:
        raise InputFileError("the file holds no raster", where=str(path), fix=_FIX)
    if labels is not None and labels.ndim != 1:
        message = f"labels of shape {labels.shape}, one for each sample is needed"
        raise InputFileError(message, where=str(path), fix="give labels of shape [B]")
    return InputFile(arrays, labels, {})


def parse(file: BinaryIO, limits: Limits) -> tuple[dict[str, str], dict[str, Array]]:
    """Read the arrays of a file; the kind is told by its first bytes."""
    where = name_of(file)
    magic = file.read(6)
    file.seek(0)
    try:
        if magic == b"\x93NUMPY":
            return {"kind": "npy"}, {"input": _array(file, _size_of(file), limits, where)}
        if magic[:4] in (b"PK\x03\x04", b"PK\x05\x06"):  # the second is a zip without members
            return {"kind": "npz"}, _archive(file, limits, where)
        return {"kind": "csv"}, _columns(file, limits, where)
    except _CORRUPT as error:
        first = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise InputFileError(f"corrupt, or not a file of numbers: {first}", where=where, fix=_FIX) from error


def _archive(file: BinaryIO, limits: Limits, where: str) -> dict[str, Array]:
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        limits.check("max_objects", len(members), where=where)
        total = sum(member.file_size for member in members)
        limits.check("max_bytes", total, where=where)
        declare_bytes(total)
        names = [_key(member, where) for member in members]
        if len(set(names)) != len(names):
            raise InputFileError("two arrays of one name", where=where, fix=_FIX)
        arrays = {}
        for name, member in zip(names, members, strict=True):
            limits.check("max_name_bytes", len(name.encode("utf-8", "surrogatepass")), where=where)
            with archive.open(member) as stored:
                arrays[name] = _array(cast(BinaryIO, stored), member.file_size, limits, f"{where}: {name}")
        return arrays


def _key(member: zipfile.ZipInfo, where: str) -> str:
    """The name of an array, as numpy.savez was given it."""
    if member.flag_bits & _ENCRYPTED or member.compress_type not in _COMPRESSIONS:
        message = f"{member.filename[:40]!r} is encrypted, or compressed as numpy does not"
        raise InputFileError(message, where=where, fix=_FIX)
    if not member.filename.endswith(".npy") or member.filename == ".npy":
        raise InputFileError(f"{member.filename[:40]!r} is no array of numpy", where=where, fix=_FIX)
    return member.filename.removesuffix(".npy")


def _array(file: BinaryIO, available: int, limits: Limits, where: str) -> Array:
    """One array in numpy's format, of `available` bytes with its header."""
    version = np.lib.format.read_magic(file)
    if version not in _VERSIONS:
        raise InputFileError(f"version {version} of numpy's format is unknown", where=where, fix=_FIX)
    width, read_header = _VERSIONS[version]
    prefix = file.read(width)
    limits.check("max_header_bytes", int.from_bytes(prefix, "little"), where=where)
    header = prefix + file.read(int.from_bytes(prefix, "little"))
    shape, fortran_order, dtype = read_header(io.BytesIO(header))
    if dtype.kind not in "biuf" or dtype.itemsize > _WIDEST_BYTES or dtype.subdtype is not None:
        raise InputFileError(f"an array of dtype {dtype}, not of numbers", where=where, fix=_FIX)
    if any(size < 0 for size in shape):
        raise InputFileError(f"an array of shape {shape}", where=where, fix=_FIX)
    size = math.prod(shape) * dtype.itemsize
    limits.check("max_bytes", size, where=where)
    if size != available - np.lib.format.MAGIC_LEN - len(header):
        raise InputFileError("truncated, or with something behind its end", where=where, fix="copy the file again")
    data = np.empty(size, np.uint8)
    for start in range(0, size, _CHUNK_BYTES):
        part = data[start : start + _CHUNK_BYTES]
        part[:] = np.frombuffer(file.read(part.size), np.uint8)  # ValueError where the member is shorter
    return _native(data.view(dtype).reshape(shape, order="F" if fortran_order else "C"), where)


def _native(array: Array, where: str) -> Array:
    if array.dtype == np.bool_ and array.size and array.view(np.uint8).max() > 1:
        raise InputFileError("a truth value that is neither 0 nor 1", where=where, fix=_FIX)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _size_of(file: BinaryIO) -> int:
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    return size


def _columns(file: BinaryIO, limits: Limits, where: str) -> dict[str, Array]:
    size = _size_of(file)
    limits.check("max_bytes", size, where=where)
    declare_bytes(_BYTES_PER_CHARACTER * size)
    text = io.TextIOWrapper(file, encoding="utf-8")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of an empty table, which is refused below
            table = np.loadtxt(text, delimiter=",", ndmin=2, dtype=np.float64)
    finally:
        text.detach()  # else it would close the file
    if table.size == 0 or table.shape[1] > len(_COLUMNS):
        message = (
            f"a table of {table.shape[0]} rows and {table.shape[1]} columns; the columns are {', '.join(_COLUMNS)}"
        )
        raise InputFileError(message, where=where, fix=_FIX)
    return {name: np.ascontiguousarray(column) for name, column in zip(_COLUMNS, table.T, strict=False)}
