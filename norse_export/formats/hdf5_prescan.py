"""Looks over an HDF5 file before any data is read: what it links to, how it stores data, and how much.

HDF5 can point out of the file (external links, external storage, virtual datasets), back into itself (links, shared
objects), and can declare far more than it holds. Only what needs none of that passes. Run it in the limited child
process: a damaged file can make HDF5 itself hang or crash.

No rule of compression ratios: legal arrays of one constant compress 500 to 1000 times. Declared sizes count.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np
from h5py import h5d, h5g, h5l, h5o, h5s, h5t, h5z

from norse_export.errors import Finding, InputFileError, UnsafeFileError
from norse_export.files import budget
from norse_export.files.limits import Limits

from .hdf5_input import SMALL_BYTES, Dataset, Group, Sort, at, read_open, reading_hdf5
from .hdf5_names import name_fault

_FILTERS = frozenset({h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE, h5z.FILTER_FLETCHER32, h5z.FILTER_LZF})
_SORTS: Mapping[str, Sort] = {"f": "numbers", "i": "integers", "u": "integers", "b": "truth values"}
_ITEM_BYTES = {"f": (2, 4, 8), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "b": (1,)}
_LINKS = {h5l.TYPE_SOFT: "a soft link", h5l.TYPE_EXTERNAL: "an external link"}
_UNSAFE = frozenset({"link", "shared_object", "external", "virtual", "filter"})
_COPY = "copy the file with h5repack, or write it again with nir"


def prescan(hdf5: h5py.File, limits: Limits) -> Group:
    """Walk the whole file and give what it declares; nothing is read but headers, and numbers of some bytes.

    In the child process, memory for what is declared is asked for.

    Raises:
        UnsafeFileError: a link that is not hard, an object linked twice, external or virtual storage, another filter.
        LimitError: too deep, too many objects, too many declared bytes, a name too long.
        InputFileError: a damaged file, a type that is not float, integer, text or truth value, an impossible name.
    """
    walk = _Walk(limits)
    with reading_hdf5("the HDF5 file"):
        root = h5g.open(hdf5.id, b"/")
        walk.addresses.add(h5o.get_info(root).addr)
        tree = walk.group(root, "", 0)
    if walk.findings:
        unsafe = any(finding.kind in _UNSAFE for finding in walk.findings)
        raise (UnsafeFileError if unsafe else InputFileError).of(walk.findings)
    budget.declare_bytes(walk.nbytes)
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
        links: list[tuple[bytes, int, int]] = []
        room = self.limits.max_objects - self.objects

        def list_one(name: bytes, link: h5l.LinkInfo) -> bool | None:
            links.append((name, link.type, link.u))
            return True if len(links) > room else None  # one too many: it is seen below

        group.links.iterate(list_one, info=True)
        self.limits.check("max_objects", self.objects + len(links), where=at(path))
        members: dict[str, Group | Dataset] = {}
        for raw, link, address in links:
            name = raw.decode("utf-8", "surrogateescape")
            where = f"{path}/{name}"
            if len(raw) > self.limits.max_name_bytes:
                self.limits.check("max_name_bytes", len(raw), where=at(where))
            if fault := name_fault(name):
                self._found("name", where, fault, "rename it")
            elif link != h5l.TYPE_HARD:
                self._found("link", where, f"{_LINKS.get(link, 'a user-defined link')}, where data should stand", _COPY)
            elif member := self._member(group, raw, address, where, depth + 1):
                members[name] = member
        return Group(path or "/", members)

    def _member(self, group: h5g.GroupID, name: bytes, address: int, path: str, depth: int) -> Group | Dataset | None:
        if depth > self.limits.max_depth:
            self.limits.check("max_depth", depth, where=at(path))
        self.objects += 1
        if self.objects > self.limits.max_objects:
            self.limits.check("max_objects", self.objects, where=at(path))
        if address in self.addresses:
            self._found("shared_object", path, "an object that is linked twice (a cycle, or shared)", _COPY)
            return None
        self.addresses.add(address)
        member = h5o.open(group, name)
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
        type_id, space = dataset.get_type(), dataset.get_space()
        kind = _kind(type_id)
        if kind is None or space.get_simple_extent_type() == h5s.NULL:
            message = "the type of the data is none of float, integer, text, truth value"
            self._found("hdf5_type", path, message, "store numbers or text")
            return None
        shape = tuple(int(n) for n in space.get_simple_extent_dims())
        chunked = creation.get_layout() == h5d.CHUNKED
        chunk = math.prod(creation.get_chunk()) if chunked else 0
        nbytes = math.prod(shape) * int(type_id.get_size())
        self.nbytes += max(nbytes, chunk * int(type_id.get_size()))
        if self.nbytes > self.limits.max_bytes:
            self.limits.check("max_bytes", self.nbytes, where=at(path))
        if nbytes and not dataset.get_storage_size():
            self._found("hdf5", path, "truncated or corrupt HDF5: declared, but its data were never written", _COPY)
            return None
        content = None
        if kind[0] != "text" and nbytes <= SMALL_BYTES and not chunked:
            with reading_hdf5(at(path)):
                content = read_open(dataset, shape, kind[1])
        return Dataset(path, *kind, shape, nbytes, content)

    def _found(self, kind: str, path: str, message: str, fix: str) -> None:
        self.findings.append(Finding(kind, "error", at(path), message, fix))


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
