"""Reading of an HDF5 file that was looked over: groups and datasets as declared, and their content on request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

import h5py
import numpy as np
from h5py import h5d, h5pl, h5s, h5t
from numpy.typing import NDArray

from norse_export.errors import InputFileError

# What a dataset holds; "texts" is a list of them.
Sort = Literal["numbers", "integers", "truth values", "text", "texts", "a group"]

_RAISED_BY_H5PY = (OSError, RuntimeError, ValueError, LookupError, TypeError, OverflowError)
# A dataset of numbers up to this size, in one piece, is read when it is looked over: opening it again takes far longer.
SMALL_BYTES = 256
_BYTES_TEXT = h5t.py_create(np.dtype(object, metadata={"vlen": bytes}))  # as h5py.string_dtype, without decoding
_SHOWN = 300  # characters of a path that a message repeats
_FIX = "copy or download the file again, or write it again with nir"


@dataclass(frozen=True, slots=True)
class Dataset:
    """One dataset that may be read: where it is, and what it declares. `dtype` is native; None for text.

    content: what it holds, where that was small enough to be read at once.
    """

    path: str
    sort: Sort
    dtype: np.dtype[Any] | None
    shape: tuple[int, ...]
    nbytes: int
    content: NDArray[Any] | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """One group and what stands in it, by name, in the order of the file's index."""

    path: str
    members: Mapping[str, Group | Dataset]


@contextmanager
def reading_hdf5(where: str) -> Iterator[None]:
    """Turn whatever h5py raises on a damaged file into InputFileError; `where` is the file, or the place in it."""
    try:
        yield
    except _RAISED_BY_H5PY as error:
        reason = str(error).strip("'\"").splitlines()
        raise InputFileError(
            f"truncated or corrupt HDF5: {reason[0][:200] if reason else type(error).__name__}",
            where=where,
            fix=_FIX,
            kind="hdf5",
        ) from error


@contextmanager
def opened(file: BinaryIO) -> Iterator[h5py.File]:
    """Open an HDF5 file through the open file itself (no path is followed), without plugins.

    Raises:
        InputFileError: HDF5 cannot open it.
    """
    while h5pl.size():
        h5pl.remove(0)
    with reading_hdf5(name_of(file)):
        hdf5 = h5py.File(file, "r")
    try:
        yield hdf5
    finally:
        with suppress(*_RAISED_BY_H5PY):  # nothing was written
            hdf5.close()


def name_of(file: BinaryIO) -> str:
    """The file's name for messages."""
    name = getattr(file, "name", None)
    return name if isinstance(name, str) else "the file"


def at(path: str) -> str:
    """Name an object of the file for a message."""
    return f"HDF5 object {path[:_SHOWN] or '/'!r}"


def read_array(hdf5: h5py.File, member: Dataset) -> NDArray[Any]:
    """Read a dataset of numbers or truth values, in its own dtype and native byte order."""
    with reading_hdf5(at(member.path)):
        array = member.content
        if array is None:
            array = read_open(h5d.open(hdf5.id, member.path.encode()), member.shape, member.dtype)
        if array.dtype == np.bool_ and array.size and array.view(np.uint8).max() > 1:
            raise ValueError("truth values other than 0 and 1")
    return array


def read_open(dataset: h5d.DatasetID, shape: tuple[int, ...], dtype: np.dtype[Any] | None) -> NDArray[Any]:
    """Read an open dataset of numbers or truth values."""
    array = np.empty(shape, dtype=dtype)
    if array.size:
        dataset.read(h5s.ALL, h5s.ALL, array)
    return array


def read_raw(hdf5: h5py.File, member: Dataset, rows: Any = ()) -> Any:
    """Read texts as bytes: one, all, or some rows."""
    with reading_hdf5(at(member.path)):
        dataset = h5d.open(hdf5.id, member.path.encode())
        if member.shape or not dataset.get_type().is_variable_str():
            return h5py.Dataset(dataset)[rows]
        text = np.empty((), dtype=object)  # what h5py.Dataset does here, in a fifth of the time
        dataset.read(h5s.ALL, h5s.ALL, text, _BYTES_TEXT)
        return text[()]


def decoded(raw: bytes, where: str) -> str:
    """Give stored bytes as text."""
    try:
        return bytes(raw).decode("utf-8")
    except UnicodeDecodeError:
        raise InputFileError("corrupt: a text is not UTF-8", where=where, fix=_FIX, kind="hdf5") from None
