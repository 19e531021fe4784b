"""Writes a document as a .nir file: the same document, the same bytes, laid out as nir 1.0.8 lays it out.

Nodes and fields are sorted by name, edges stand in the document's order; nothing is compressed, and nothing of the
time, the path or the machine goes in. Arrays are written from where they are, without a copy. Plain `nir.read` reads
the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from norse_export.errors import Finding, GraphError
from norse_export.formats.hdf5_names import name_fault
from norse_export.formats.hdf5_output import writing_hdf5

from .checks import problems_of
from .declared import NodePath, declare, place
from .document import BESIDE, Metadata, NIRDocument, Value
from .primitives import GRAPH
from .values import value_problems

_TEXT = h5py.string_dtype()
_STORED_KINDS = "fiub"
_MAX_ITEM_BYTES = 8


def write(path: Path, document: NIRDocument) -> None:
    """Write `document` to `path`, which is made or emptied first; an error of the file system comes as OSError.

    Raises:
        GraphError: a name that cannot be read back, a value of a type that cannot be stored, or whatever `parse` would
            refuse; every fault at once, before anything is written.
    """
    faults = list(_document_faults(document))
    faults = faults or [p.finding for p in problems_of(declare(document))]
    faults = faults or [p.finding for p in value_problems(document)]
    if faults:
        raise GraphError.of(faults)
    with writing_hdf5(path) as hdf5:
        _write_graph(hdf5.create_group("node"), document)
        if document.version:
            _write_value(hdf5, "version", document.version)
        if document.beside:
            _write_value(hdf5, BESIDE, document.beside)


def _write_graph(group: h5py.Group, document: NIRDocument) -> None:
    # nir.write: pairs of variable-length UTF-8, shape [n, 2]
    edges = np.array(document.edges, dtype=object).reshape(-1, 2)
    group.create_dataset("edges", data=edges, dtype=_TEXT, track_times=False)
    if document.metadata:
        _write_metadata(group.create_group("metadata"), document.metadata)
    nodes = group.create_group("nodes")
    for name, node in sorted(document.nodes.items()):
        member = nodes.create_group(name)
        if isinstance(node, NIRDocument):
            _write_graph(member, node)
            continue
        for field, value in sorted(node.fields.items()):
            _write_value(member, field, value)
        if node.metadata:
            _write_metadata(member.create_group("metadata"), node.metadata)
        _write_value(member, "type", node.type)
    _write_value(group, "type", GRAPH)


def _write_metadata(group: h5py.Group, metadata: Metadata) -> None:
    for key, value in sorted(metadata.items()):
        if isinstance(value, Mapping):
            _write_metadata(group.create_group(key), value)
        else:
            _write_value(group, key, value)


def _write_value(group: h5py.Group, name: str, value: Value) -> None:
    is_text = isinstance(value, str) or (isinstance(value, np.ndarray) and value.dtype == object)
    group.create_dataset(name, data=value, dtype=_TEXT if is_text else None, track_times=False)


def _document_faults(document: NIRDocument, path: NodePath = ()) -> Iterator[Finding]:
    """Names and values that HDF5 cannot hold and give back."""
    for name, node in document.nodes.items():
        here = (*path, name)
        if fault := name_fault(name):
            yield Finding("name", "error", place(here), fault, "rename the module in the model")
        if isinstance(node, NIRDocument):
            yield from _document_faults(node, here)
            continue
        yield from _entry_faults(node.fields, f"{place(here)}, field")
        yield from _entry_faults(node.metadata, f"{place(here)}, metadata")
    yield from _entry_faults(document.metadata, f"{place(path)}, metadata")


def _entry_faults(entries: Metadata, where: str) -> Iterator[Finding]:
    for key, value in entries.items():
        at = f"{where} {key!r}"
        if fault := name_fault(key) if isinstance(key, str) else "the name is not text":
            yield Finding("name", "error", at, fault, "rename the entry")
        if isinstance(value, Mapping):
            yield from _entry_faults(value, at)
        elif not _is_storable(value):
            holding = f"array of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
            fix = "give a float, an integer of 64 bits, a truth value, a text, an array of them, or a dict"
            yield Finding("metadata", "error", at, f"a value of type {holding} cannot be stored", fix)


def _is_storable(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        if value.dtype == object:
            return all(isinstance(item, str) and _is_storable(item) for item in value.reshape(-1))
        return value.dtype.kind in _STORED_KINDS and value.dtype.itemsize <= _MAX_ITEM_BYTES
    if isinstance(value, str):
        return "\0" not in value and not any("\ud800" <= letter <= "\udfff" for letter in value)
    return isinstance(value, float) or (isinstance(value, int) and -(2**63) <= value < 2**63)
