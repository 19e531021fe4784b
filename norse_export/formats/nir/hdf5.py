"""Reads a .nir file of any framework into a document, and refuses what no graph can be made of, every fault at once.

`parse` runs in the limited child process, `document_of` in the parent.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, BinaryIO

import h5py
import numpy as np
from numpy.typing import NDArray

from norse_export.errors import Finding, GraphError, InputFileError
from norse_export.files.limits import Limits
from norse_export.formats.hdf5_input import Dataset, Group, at, decoded, name_of, opened, read_array, read_raw
from norse_export.formats.hdf5_prescan import prescan

from .checks import problems_of
from .declared import MAX_INTEGERS, Declared, DeclaredGraph, DeclaredNode, NodePath, Problem, place, problem
from .document import BESIDE, Metadata, NIRDocument, NIRNode, Value
from .packed import Packed, pack, unpack
from .primitives import GRAPH
from .values import value_problems

KNOWN_MAJOR_VERSIONS = (0, 1)
_MAX_FINDINGS = 1000
_EDGES_AT_ONCE = 1 << 14
_REWRITE = "write the file again with nir 1.0.8 or later"


def parse(file: BinaryIO, limits: Limits) -> tuple[Packed, dict[str, NDArray[Any]]]:
    """Read and check a .nir file; give its document in packed form, for `document_of`.

    Shapes are judged from headers first: an array that does not fit its node or its neighbours is never read.

    Raises:
        InputFileError: truncated or corrupt HDF5, or not a NIR file.
        UnsafeFileError, LimitError: as `prescan`; also too many edges, too much metadata.
        GraphError: every fault of the graph at once, in `findings`.
    """
    with opened(file) as hdf5:
        tree = prescan(hdf5, limits)
        reader = _Reader(hdf5, limits)
        root = reader.root(tree, name_of(file))
        declared = reader.graph(root, ())
        reader.problems += problems_of(declared)
        document = reader.document(root, declared, (), {node for p in reader.problems for node in p.nodes})
        version, warnings = reader.version(tree)
        beside = reader.beside(tree)
    if problems := [*reader.problems, *value_problems(document)]:
        raise GraphError.of(_capped([p.finding for p in problems]))
    return pack(NIRDocument(version, document.nodes, document.edges, document.metadata, warnings, beside))


def document_of(parsed: Packed, arrays: Mapping[str, NDArray[Any]]) -> NIRDocument:
    """Give the document that `parse` read."""
    return unpack(parsed, arrays)


def _capped(findings: list[Finding]) -> list[Finding]:
    more = len(findings) - _MAX_FINDINGS
    if more <= 0:
        return findings
    last = Finding("more", "error", "the file", f"and {more} more faults", "mend those listed first")
    return [*findings[:_MAX_FINDINGS], last]


class _Reader:
    """Reads values of a file that was looked over; counts what the limits bound, and collects problems of structure."""

    def __init__(self, hdf5: h5py.File, limits: Limits) -> None:
        self.hdf5, self.limits = hdf5, limits
        self.problems: list[Problem] = []
        self.edges = 0
        self.metadata_bytes = 0

    # What the file declares

    def root(self, tree: Group, where: str) -> Group:
        """Give the group of the graph."""
        root = tree.members.get("node")
        if not isinstance(root, Group) or (found := self._type(root)) is None:
            message = "an HDF5 file, but not a NIR file: /node/type is missing"
            raise InputFileError(message, where=where, fix=_REWRITE)
        if found != GRAPH:
            message = f"the file holds a single {found[:80]!r}, not a {GRAPH}"
            raise InputFileError(message, where=at("/node/type"), fix="write a whole graph, Input to Output")
        return root

    def graph(self, group: Group, path: NodePath) -> DeclaredGraph:
        """Give the declarations of a graph and of its sub-graphs; integers, texts and edges are read."""
        for name in sorted(group.members.keys() - {"type", "nodes", "edges", "metadata"}):
            self._fault("unknown_field", path, f"a graph has no {name!r}", "put anything else into metadata")
        members = group.members.get("nodes")
        if not isinstance(members, Group):
            self._fault("missing_field", path, "the graph has no nodes", _REWRITE)
        nodes: dict[str, DeclaredNode | DeclaredGraph] = {}
        for name, node in members.members.items() if isinstance(members, Group) else ():
            type_ = (self._type(node) or "") if isinstance(node, Group) else ""
            if isinstance(node, Group) and type_ == GRAPH:
                nodes[name] = self.graph(node, (*path, name))
            else:
                nodes[name] = DeclaredNode(type_, self._fields(node) if isinstance(node, Group) else {})
        return DeclaredGraph(nodes, self._edges(group, path))

    def version(self, tree: Group) -> tuple[str, tuple[Finding, ...]]:
        """Give the version of NIR that the file names, and warnings about what is unknown."""
        stored = tree.members.get("version")
        version = self._text(stored) if isinstance(stored, Dataset) and _is_text(stored) else ""
        warnings = [
            Finding("ignored", "warning", at(f"/{name}"), "not part of NIR; it is not read", "remove it")
            for name in sorted(tree.members.keys() - {"node", "version", BESIDE})
        ]
        major = re.match(r"\d{1,9}", version)
        if major is None or int(major[0]) not in KNOWN_MAJOR_VERSIONS:
            message = f"the NIR version of the file, {version[:80]!r}, is unknown; it was read as version 1"
            fix = "compare the outcome with the framework that wrote the file"
            warnings.append(Finding("version", "warning", at("/version"), message, fix))
        return version, tuple(warnings)

    def beside(self, tree: Group) -> str:
        """Give what norse-export wrote beside the graph."""
        stored = tree.members.get(BESIDE)
        if isinstance(stored, Dataset) and _is_text(stored):
            return self._text(stored)
        if stored is not None:
            fix = "remove it, and pass --dt and the other choices; or load the original .nir file again"
            self._fault("metadata", (), f"/{BESIDE} is no text: norse-export's notes about the graph are lost", fix)
        return ""

    def _fields(self, node: Group) -> dict[str, Declared]:
        return {
            name: self._declared(member)
            for name, member in node.members.items()
            if name != "type" and not (name == "metadata" and isinstance(member, Group))
        }

    def _declared(self, member: Group | Dataset) -> Declared:
        if isinstance(member, Group):
            return Declared("a group")
        if _is_text(member):
            return Declared("text", text=self._text(member))
        values = None
        if member.sort == "integers" and math.prod(member.shape) <= MAX_INTEGERS:
            values = tuple(int(k) for k in read_array(self.hdf5, member).reshape(-1))
        return Declared("texts" if member.sort == "text" else member.sort, member.shape, values)

    def _type(self, group: Group) -> str | None:
        stored = group.members.get("type")
        return self._text(stored) if isinstance(stored, Dataset) and _is_text(stored) else None

    def _edges(self, group: Group, path: NodePath) -> tuple[tuple[str, str], ...]:
        stored = group.members.get("edges")
        if not isinstance(stored, Dataset):
            self._fault("missing_field", path, "the graph has no edges", _REWRITE)
            return ()
        if math.prod(stored.shape) == 0:
            return ()
        if stored.sort != "text" or len(stored.shape) != 2 or stored.shape[1] != 2:
            self._fault("field_type", path, "edges are not pairs of names: wrong type", _REWRITE)
            return ()
        self.edges += stored.shape[0]
        self.limits.check("max_edges", self.edges, where=place(path))
        edges: list[tuple[str, str]] = []
        for start in range(0, stored.shape[0], _EDGES_AT_ONCE):
            pairs = read_raw(self.hdf5, stored, slice(start, start + _EDGES_AT_ONCE))
            edges += [(self._name(a, path), self._name(b, path)) for a, b in pairs]
        return tuple(edges)

    def _name(self, raw: bytes, path: NodePath) -> str:
        self.limits.check("max_name_bytes", len(raw), where=f"{place(path)}, edges")
        return decoded(raw, f"{place(path)}, edges")

    def _fault(self, kind: str, path: NodePath, message: str, fix: str) -> None:
        self.problems.append(problem(kind, place(path), message, fix, path))

    # What the file holds

    def document(self, group: Group, declared: DeclaredGraph, path: NodePath, broken: set[NodePath]) -> NIRDocument:
        """Read the arrays of a graph; nodes that are broken are left out."""
        nodes: dict[str, NIRNode | NIRDocument] = {}
        members = group.members.get("nodes")
        for name, stored in members.members.items() if isinstance(members, Group) else ():
            node = declared.nodes[name]
            if not isinstance(stored, Group) or (*path, name) in broken:
                continue
            if isinstance(node, DeclaredGraph):
                nodes[name] = self.document(stored, node, (*path, name), broken)
            else:
                fields = {field: self._value(stored.members[field]) for field in node.fields}
                nodes[name] = NIRNode(node.type, fields, self._metadata_of(stored, (*path, name)))
        return NIRDocument("", nodes, declared.edges, self._metadata_of(group, path))

    def _metadata_of(self, group: Group, path: NodePath) -> Metadata:
        metadata = group.members.get("metadata")
        if isinstance(metadata, Dataset):
            self._fault("field_type", path, "metadata is a dataset, not a group", "give metadata names")
        return self._metadata(metadata) if isinstance(metadata, Group) else {}

    def _metadata(self, group: Group) -> Metadata:
        found: dict[str, Value | Metadata] = {}
        for name, member in group.members.items():
            if isinstance(member, Group):
                found[name] = self._metadata(member)
                continue
            self._count(member.nbytes, member.path)
            found[name] = self._value(member)
        return found

    def _value(self, member: Group | Dataset) -> Value:
        if isinstance(member, Group):
            raise TypeError(f"a group where data were declared: {member.path}")
        if member.sort != "text":
            return _plain(read_array(self.hdf5, member))
        if not member.shape:
            return self._text(member)
        raw = np.asarray(read_raw(self.hdf5, member))
        texts = np.empty(raw.size, dtype=object)
        for k, item in enumerate(raw.reshape(-1)):
            self._count(len(item), member.path)
            texts[k] = decoded(item, at(member.path))
        return texts.reshape(raw.shape)

    def _text(self, member: Dataset) -> str:
        self.limits.check("max_header_bytes", member.nbytes, where=at(member.path))
        raw = read_raw(self.hdf5, member)
        self._count(len(raw), member.path)
        return decoded(raw, at(member.path))

    def _count(self, nbytes: int, path: str) -> None:
        self.metadata_bytes += nbytes
        self.limits.check("max_header_bytes", self.metadata_bytes, where=at(path))


def _is_text(member: Dataset) -> bool:
    return member.sort == "text" and member.shape == ()


def _plain(array: NDArray[Any]) -> Value:
    """Give a scalar of the dtypes that NIR writes Python values with as a Python value, anything else as it is."""
    if array.ndim == 0 and array.dtype in (np.int64, np.float64, np.bool_):
        value: int | float | bool = array.item()
        return value
    return array
