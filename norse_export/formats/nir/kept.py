"""How another tool's file was made, kept in the metadata of its graph, so that it can be written again as it was.

Sub-graphs, names, dtypes, single numbers in the place of arrays, fields that are missing, the order of edges: all that
the graph does not hold stands in one text. The parameters themselves do not: they are those of the graph's nodes, with
the dtype that they had. Only what the graph holds in another form, as a kernel with padding "same", is kept bit by bit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import ExportError
from norse_export.ir.graph import Graph
from norse_export.ir.stages import ContinuousNode

from .checks import problems_of
from .declared import NodePath, declare
from .document import KEPT_KEY, NIRDocument, NIRNode, Value
from .entries import arrays_of, bits_of, dtype_of
from .fields import Fields, node_fields
from .packed import pack, unpack
from .primitives import PRIMITIVES, Kind
from .sameness import same_array
from .subgraphs import laid_open
from .values import value_problems

_DAMAGE = (ValueError, TypeError, LookupError, AttributeError, RecursionError, OverflowError)
_Change = Callable[[NodePath, NIRNode], NIRNode]


def kept(document: NIRDocument, nodes: Mapping[str, ContinuousNode]) -> str:
    """Give a text from which `restored` makes the document again; nodes: those of its graph."""
    names = laid_open(document).names

    def without_parameters(path: NodePath, node: NIRNode) -> NIRNode:
        given = _fields_of(nodes.get(names[path]))
        return _with(node, {name: _form(name, node, given) for name in node.fields})

    packed, arrays = pack(_changed(document, (), without_parameters))
    return json.dumps([packed, bits_of(arrays)], separators=(",", ":"))


def restored(graph: Graph[ContinuousNode]) -> NIRDocument | None:
    """Give the document that a graph was read from, with the graph's parameters; None where nothing sound was kept.

    It may mean another graph than this one: whoever asks has to read it and compare.
    """
    text = graph.metadata.get(KEPT_KEY)
    if text is None:
        return None
    try:
        packed, bits = json.loads(text)
        document = unpack(packed, arrays_of(bits))
        names = laid_open(document).names

        def with_parameters(path: NodePath, node: NIRNode) -> NIRNode:
            given = _fields_of(graph.nodes[names[path]])
            return _with(node, {name: _parameter(name, node, given) for name in node.fields})

        document = _changed(document, (), with_parameters)
        sound = not problems_of(declare(document)) and not any(value_problems(document))
    except (*_DAMAGE, ExportError):
        return None
    return document if sound else None


def _changed(document: NIRDocument, path: NodePath, change: _Change) -> NIRDocument:
    nodes = {
        name: _changed(node, (*path, name), change) if isinstance(node, NIRDocument) else change((*path, name), node)
        for name, node in document.nodes.items()
    }
    return NIRDocument(document.version, nodes, document.edges, document.metadata)


def _with(node: NIRNode, fields: Mapping[str, Value]) -> NIRNode:
    return NIRNode(node.type, fields, node.metadata)


def _fields_of(node: ContinuousNode | None) -> Fields:
    return {} if node is None else node_fields(node)[1]


def _is_parameter(name: str, node: NIRNode) -> bool:
    return PRIMITIVES[node.type].fields[name].kind is Kind.NUMBERS


def _form(name: str, node: NIRNode, given: Fields) -> Value:
    """The name of a parameter's dtype, where the graph gives every bit of it back; else the value itself."""
    value = node.fields[name]
    if not isinstance(value, np.ndarray) or not value.ndim or not _is_parameter(name, node) or name not in given:
        return value
    return value.dtype.str if same_array(_cast(given[name], value.dtype), value) else value


def _parameter(name: str, node: NIRNode, given: Fields) -> Value:
    value = node.fields[name]
    if not isinstance(value, str) or not _is_parameter(name, node):
        return value
    return _cast(given[name], dtype_of(value))


def _cast(value: Value, dtype: np.dtype[Any]) -> NDArray[Any]:
    with np.errstate(all="ignore"):  # what comes out as another number is seen where it is compared
        return np.asarray(value).astype(dtype)
