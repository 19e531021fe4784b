"""Metadata that other tools put into a .nir file: kept as one text in the graph's metadata, and written out again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import GraphError

from .document import Metadata, NIRDocument
from .notes import PREFIX
from .packed import pack_metadata, unpack_metadata

FOREIGN_KEY = "nir_metadata"
# Texts of dtypes that an array may have. A table, since np.dtype evaluates much more than names.
_DTYPES: Mapping[str, np.dtype[Any]] = {
    dtype.str: dtype
    for name in ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
    for dtype in (np.dtype(f"<{name}"), np.dtype(f">{name}"))
}
_MAX_DEPTH = 32  # groups within groups, as in a .nir file
_DAMAGE = (ValueError, TypeError, LookupError, AttributeError, RecursionError, OverflowError)


@dataclass(frozen=True, slots=True)
class Foreign:
    """Metadata of others: of the graph, and of nodes by name."""

    graph: Metadata = field(default_factory=dict)
    nodes: Mapping[str, Metadata] = field(default_factory=dict)

    @classmethod
    def of(cls, document: NIRDocument) -> Foreign:
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
        bits = {key: [a.dtype.str, list(a.shape), a.tobytes().hex()] for key, a in arrays.items()}
        return json.dumps([graph, nodes, bits], sort_keys=True)

    @classmethod
    def unpacked(cls, text: str | None) -> Foreign:
        """Give what `packed` gave as a text.

        Raises:
            GraphError: the text is nothing that `packed` gives.
        """
        if text is None:
            return cls()
        try:
            return _parsed(text)
        except _DAMAGE as error:
            raise GraphError(
                f"the metadata {FOREIGN_KEY!r} is damaged: {error or type(error).__name__}",
                where="the graph",
                fix="load the original .nir file again",
                kind="metadata",
            ) from error


def _parsed(text: str) -> Foreign:
    graph, nodes, bits = json.loads(text)
    arrays = {key: _array(*parts) for key, parts in bits.items()}
    found = {name: unpack_metadata(metadata, arrays) for name, metadata in nodes.items()}
    foreign = Foreign(unpack_metadata(graph, arrays), found)
    for metadata in (foreign.graph, *found.values()):
        _check(metadata)
    return foreign


def _array(dtype: str, shape: list[int], digits: str) -> NDArray[Any]:
    if dtype not in _DTYPES:
        raise ValueError(f"an array of {dtype[:40]!r}")
    return np.frombuffer(bytes.fromhex(digits), _DTYPES[dtype]).reshape(shape)


def _check(metadata: Metadata) -> None:
    if _theirs(metadata).keys() != metadata.keys():
        raise ValueError(f"names that begin with {PREFIX} are ours")
    depth, level = 1, [metadata]
    while level := [value for group in level for value in group.values() if isinstance(value, Mapping)]:
        depth += 1
        if depth > _MAX_DEPTH:
            raise ValueError(f"nested deeper than {_MAX_DEPTH}")


def _theirs(metadata: Metadata) -> Metadata:
    return {key: value for key, value in metadata.items() if not key.startswith(PREFIX)}
