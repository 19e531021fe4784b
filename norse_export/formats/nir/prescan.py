"""Looks over an HDF5 file before any data is read: what it links to, how it stores data, and how much.

HDF5 can point out of the file (external links, external storage, virtual datasets), back into itself (links, shared
objects), and can declare far more than it holds. Only what needs none of that passes. Run it in the limited child
process: a damaged file can make HDF5 itself hang or crash.

No rule of compression ratios: legal arrays of one constant compress 500 to 1000 times. Declared sizes count.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import h5py
import numpy as np
from h5py import h5d, h5g, h5l, h5o, h5pl, h5s, h5t, h5z

from norse_export.errors import Finding, InputFileError, UnsafeFileError
from norse_export.files.limits import Limits

from .declared import Sort
from .names import name_fault

_FILTERS = frozenset({h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE, h5z.FILTER_FLETCHER32, h5z.FILTER_LZF})
_SORTS: Mapping[str, Sort] = {"f": "numbers", "i": "integers", "u": "integers", "b": "truth values"}
_ITEM_BYTES = {"f": (2, 4, 8), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "b": (1,)}
_LINKS = {h5l.TYPE_SOFT: "soft link", h5l.TYPE_EXTERNAL: "external link"}
_SHOWN = 300  # characters of a path that a message repeats
_UNSAFE = frozenset({"link", "shared_object", "external", "virtual", "filter"})
_COPY = "copy the file with h5repack, or write it again with nir"


@dataclass(frozen=True, slots=True)
class Dataset:
    """One dataset that may be read: where it is, and what it declares. `dtype` is native; None for text."""

    path: str
    sort: Sort
    shape: tuple[int, ...]
    dtype: np.dtype[Any] | None
    nbytes: int


@dataclass(frozen=True, slots=True)
class Group:
    """One group and what stands in it, by name, in the order of the file's index."""

    path: str
    members: Mapping[str, Group | Dataset]


_RAISED_BY_H5PY = (OSError, RuntimeError, ValueError, LookupError, TypeError, OverflowError)


@contextmanager
def reading_hdf5() -> Iterator[None]:
    """Turn whatever h5py raises on a damaged file into InputFileError."""
    try:
        yield
    except _RAISED_BY_H5PY as error:
        reason = str(error).strip("'\"").splitlines()
        raise InputFileError(
            f"truncated or corrupt HDF5: {reason[0][:200] if reason else type(error).__name__}",
            where="the file",
            fix="copy or download the file again, or write it again with nir",
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
    with reading_hdf5():
        hdf5 = h5py.File(file, "r")
    try:
        yield hdf5
    finally:
        hdf5.close()


def prescan(hdf5: h5py.File, limits: Limits) -> Group:
    """Walk the whole file and give what it declares; nothing is read but headers.

    Raises:
        UnsafeFileError: a link that is not hard, an object linked twice, external or virtual storage, another filter.
        LimitError: too deep, too many objects, too many declared bytes, a name too long.
        InputFileError: a damaged file, a type that is not float, integer, text or truth value, an impossible name.
    """
    walk = _Walk(limits)
    with reading_hdf5():
        root = h5g.open(hdf5.id, b"/")
        walk.addresses.add(h5o.get_info(root).addr)
        tree = walk.group(root, "", 0)
    if walk.findings:
        unsafe = any(finding.kind in _UNSAFE for finding in walk.findings)
        raise (UnsafeFileError if unsafe else InputFileError).of(walk.findings)
    return tree


@dataclass(slots=True)
class _Walk:
    """Where the walk stands: what was found, and what was counted."""

    limits: Limits
    findings: list[Finding] = field(default_factory=list)
    addresses: set[int] = field(default_factory=set)
    objects: int = 0
    nbytes: int = 0

    def group(self, group: h5g.GroupID, path: str, depth: int) -> Group:
        self.limits.check("max_objects", self.objects + group.get_num_objs(), where=_at(path))
        members: dict[str, Group | Dataset] = {}
        for raw in group:
            name = raw.decode("utf-8", "surrogateescape")
            where = f"{path}/{name}"
            self.limits.check("max_name_bytes", len(raw), where=_at(where))
            if fault := name_fault(name):
                self._found("name", where, fault, "rename it")
            elif (link := group.links.get_info(raw)).type != h5l.TYPE_HARD:
                message = f"an {_LINKS.get(link.type, 'user-defined link')}".replace("an soft", "a soft")
                self._found("link", where, f"{message}, where only data may stand", _COPY)
            elif member := self._member(group, raw, where, depth + 1):
                members[name] = member
        return Group(path or "/", members)

    def _member(self, group: h5g.GroupID, name: bytes, path: str, depth: int) -> Group | Dataset | None:
        self.limits.check("max_depth", depth, where=_at(path))
        self.objects += 1
        self.limits.check("max_objects", self.objects, where=_at(path))
        member = h5o.open(group, name)
        address = h5o.get_info(member).addr
        if address in self.addresses:
            self._found("shared_object", path, "an object that is linked twice (a cycle, or shared)", _COPY)
            return None
        self.addresses.add(address)
        if isinstance(member, h5g.GroupID):
            return self.group(member, path, depth)
        if isinstance(member, h5d.DatasetID):
            return self._dataset(member, path)
        self._found("hdf5_type", path, "a named type, where only groups and data may stand", _COPY)
        return None

    def _dataset(self, dataset: h5d.DatasetID, path: str) -> Dataset | None:
        creation = dataset.get_create_plist()
        if creation.get_layout() == h5d.VIRTUAL:  # before its extent is asked for, which can open other files
            self._found("virtual", path, "a virtual dataset, whose data are in other files", _COPY)
            return None
        if creation.get_external_count():
            self._found("external", path, "external storage: the data are in another file", _COPY)
            return None
        filters = {creation.get_filter(k)[0] for k in range(creation.get_nfilters())}
        if unknown := sorted(filters - _FILTERS):
            self._found("filter", path, f"data packed with filter {unknown[0]}", "pack with gzip, lzf or not at all")
            return None
        kind = _kind(dataset.get_type())
        if kind is None or dataset.get_space().get_simple_extent_type() == h5s.NULL:
            message = "the type of the data is none of float, integer, text, truth value"
            self._found("hdf5_type", path, message, "store numbers or text")
            return None
        return self._declared(dataset, path, *kind)

    def _declared(self, dataset: h5d.DatasetID, path: str, sort: Sort, dtype: np.dtype[Any] | None) -> Dataset | None:
        shape = tuple(int(n) for n in dataset.shape)
        item = int(dataset.get_type().get_size())
        creation = dataset.get_create_plist()
        chunk = math.prod(creation.get_chunk()) if creation.get_layout() == h5d.CHUNKED else 0
        nbytes = math.prod(shape) * item
        self.nbytes += max(nbytes, chunk * item)
        self.limits.check("max_bytes", self.nbytes, where=_at(path))
        if nbytes and not dataset.get_storage_size():
            self._found("hdf5", path, "truncated or corrupt HDF5: declared, but its data were never written", _COPY)
            return None
        return Dataset(path, sort, shape, dtype, nbytes)

    def _found(self, kind: str, path: str, message: str, fix: str) -> None:
        self.findings.append(Finding(kind, "error", _at(path), message, fix))


def _at(path: str) -> str:
    return f"HDF5 object {path[:_SHOWN] or '/'!r}"


def _kind(type_id: h5t.TypeID) -> tuple[Sort, np.dtype[Any] | None] | None:
    """Give sort and native dtype of a stored type; None for types that are refused."""
    if isinstance(type_id, h5t.TypeStringID):
        return "text", None
    if not isinstance(type_id, h5t.TypeFloatID | h5t.TypeIntegerID | h5t.TypeEnumID):
        return None
    dtype = type_id.dtype.newbyteorder("=")
    if dtype.itemsize not in _ITEM_BYTES.get(dtype.kind, ()) or (
        isinstance(type_id, h5t.TypeEnumID) and dtype.kind != "b"
    ):
        return None
    return _SORTS[dtype.kind], dtype
