"""What a graph declares before any array is read: sorts and shapes of fields, integers and texts.

The reader fills it from the headers of an HDF5 file, the writer from a document; both are then checked alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from norse_export.errors import Finding
from norse_export.formats.hdf5_input import Sort

from .document import NIRDocument, NIRNode, Value

NodePath = tuple[str, ...]  # names of nested nodes, the outermost first

# No shape, stride or padding of NIR has more entries than numpy has axes.
MAX_INTEGERS = 32


@dataclass(frozen=True, slots=True)
class Declared:
    """One field. `values` and `text` are there for a few integers and for one text; arrays stay unread."""

    sort: Sort
    shape: tuple[int, ...] = ()
    values: tuple[int, ...] | None = None
    text: str | None = None

    def integers(self) -> tuple[int, ...]:
        """Give the integers of a field that was found to hold some."""
        return self.values or ()


@dataclass(frozen=True, slots=True)
class DeclaredNode:
    """One node: the type as the file names it, and its fields."""

    type: str
    fields: Mapping[str, Declared]

    def integers(self, field: str) -> tuple[int, ...]:
        """Give the integers of one field."""
        return self.fields[field].integers()


@dataclass(frozen=True, slots=True)
class DeclaredGraph:
    """A graph or sub-graph; edges by name, in order, not checked."""

    nodes: Mapping[str, DeclaredNode | DeclaredGraph]
    edges: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """A finding, and the nodes that it makes pointless to read further."""

    finding: Finding
    nodes: tuple[NodePath, ...] = ()


def problem(kind: str, where: str, message: str, fix: str, *nodes: NodePath) -> Problem:
    """Give an error as a problem of these nodes."""
    return Problem(Finding(kind, "error", where, message, fix), nodes)


def place(path: NodePath) -> str:
    """Name a node for a message; names are quoted, so that none can break out of the line."""
    return f"node {'/'.join(path)!r}" if path else "the graph"


def declare(document: NIRDocument) -> DeclaredGraph:
    """Give what a document in memory declares."""
    return DeclaredGraph(
        {
            name: declare(node) if isinstance(node, NIRDocument) else _declare_node(node)
            for name, node in document.nodes.items()
        },
        document.edges,
    )


def _declare_node(node: NIRNode) -> DeclaredNode:
    return DeclaredNode(node.type, {name: declare_value(value) for name, value in node.fields.items()})


def declare_value(value: Value) -> Declared:
    """Give the sort and the shape of a value in memory, its integers if they are few, and its text."""
    if isinstance(value, str):
        return Declared("text", text=value)
    array = np.asarray(value)
    sorts: Mapping[str, Sort] = {"f": "numbers", "i": "integers", "u": "integers", "b": "truth values", "O": "texts"}
    sort = sorts.get(array.dtype.kind, "a group")
    few = sort == "integers" and array.size <= MAX_INTEGERS
    return Declared(sort, array.shape, tuple(int(k) for k in array.reshape(-1)) if few else None)
