"""Metadata of a graph and of its nodes as one text.

So the metadata of other tools is kept in our graph's metadata, and written out again; and so our own notes stand beside
the graph of another tool's file, which stays as it was.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import GraphError

from .document import FOREIGN_KEY, Metadata, NIRDocument
from .notes import PREFIX
from .packed import pack_metadata, unpack_metadata

# Texts of dtypes that an array may have. A table, since np.dtype evaluates much more than names.
_DTYPES: Mapping[str, np.dtype[Any]] = {
    dtype.str: dtype
    for name in ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
    for dtype in (np.dtype(f"<{name}"), np.dtype(f">{name}"))
}
_MAX_DEPTH = 32  # groups within groups, as in a .nir file
_VALUES = (np.ndarray, int, float, str, Mapping)
_DAMAGE = (ValueError, TypeError, LookupError, AttributeError, RecursionError, OverflowError)


@dataclass(frozen=True, slots=True)
class Entries:
    """Metadata of the graph, and of nodes by name."""

    graph: Metadata = field(default_factory=dict)
    nodes: Mapping[str, Metadata] = field(default_factory=dict)

    @classmethod
    def of_others(cls, document: NIRDocument) -> Entries:
        """Take from a document all metadata that is not ours."""
        nodes = {name: theirs for name, node in document.nodes.items() if (theirs := _theirs(node.metadata))}
        return cls(_theirs(document.metadata), nodes)

    def packed(self) -> str | None:
        """Give it as a text, from which `unpacked` gives it back bit for bit; None where there is none."""
        if not self.graph and not self.nodes:
            return None
        arrays: dict[str, NDArray[Any]] = {}
        graph = pack_metadata(self.graph, arrays)
        nodes = {name: pack_metadata(metadata, arrays) for name, metadata in self.nodes.items()}
        return json.dumps([graph, nodes, bits_of(arrays)], sort_keys=True)

    @classmethod
    def unpacked(cls, text: str | None) -> Entries:
        """Give what `packed` gave as a text, of the metadata of others.

        Raises:
            GraphError: the text is nothing that `packed` gives.
        """
        if text is None:
            return cls()
        try:
            found = _parsed(text)
            for metadata in (found.graph, *found.nodes.values()):
                if _theirs(metadata).keys() != metadata.keys():
                    raise ValueError(f"names that begin with {PREFIX} are ours")
        except _DAMAGE as error:
            raise damaged(f"the metadata {FOREIGN_KEY!r}", error) from error
        return found

    @classmethod
    def beside(cls, text: str) -> Entries:
        """Give what `packed` gave as a text, of our own notes beside a graph; an empty text: none.

        Raises:
            GraphError: the text is nothing that `packed` gives.
        """
        try:
            found = _parsed(text) if text else cls()
            if any(_theirs(metadata) for metadata in (found.graph, *found.nodes.values())):
                raise ValueError(f"a name there that does not begin with {PREFIX}")
        except _DAMAGE as error:
            raise damaged("what norse-export wrote beside the graph", error) from error
        return found


def damaged(what: str, error: Exception) -> GraphError:
    """The error for a text that is none of ours."""
    message = f"{what} is damaged: {error or type(error).__name__}"
    return GraphError(message, where="the graph", fix="load the original .nir file again", kind="metadata")


def _parsed(text: str) -> Entries:
    graph, nodes, bits = json.loads(text)
    arrays = arrays_of(bits)
    found = {name: unpack_metadata(metadata, arrays) for name, metadata in nodes.items()}
    entries = Entries(unpack_metadata(graph, arrays), found)
    for metadata in (entries.graph, *found.values()):
        _check(metadata)
    return entries


def bits_of(arrays: Mapping[str, NDArray[Any]]) -> dict[str, list[Any]]:
    """Give arrays as JSON: dtype, shape, and every byte."""
    return {key: [a.dtype.str, list(a.shape), a.tobytes().hex()] for key, a in arrays.items()}


def arrays_of(bits: Any) -> dict[str, NDArray[Any]]:
    """Give back what `bits_of` was given; an array of a type that NIR does not have is a ValueError."""
    return {key: _array(*parts) for key, parts in bits.items()}


def dtype_of(name: str) -> np.dtype[Any]:
    """The type of arrays with this name; another than NIR's is a ValueError."""
    if name not in _DTYPES:
        raise ValueError(f"an array of {name[:40]!r}")
    return _DTYPES[name]


def _array(dtype: str, shape: list[int], digits: str) -> NDArray[Any]:
    return np.frombuffer(bytes.fromhex(digits), dtype_of(dtype)).reshape(shape)


def _check(metadata: Metadata) -> None:
    depth, level = 1, [metadata]
    while level:
        if depth > _MAX_DEPTH:
            raise ValueError(f"nested deeper than {_MAX_DEPTH}")
        for name, value in (entry for group in level for entry in group.items()):
            if not isinstance(name, str) or not isinstance(value, _VALUES):
                raise TypeError(f"{name!r} of type {type(value).__name__}")
        level = [value for group in level for value in group.values() if isinstance(value, Mapping)]
        depth += 1


def _theirs(metadata: Metadata) -> Metadata:
    return {key: value for key, value in metadata.items() if not key.startswith(PREFIX)}
