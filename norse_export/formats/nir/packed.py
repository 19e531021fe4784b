"""A document as plain lists and dicts beside named arrays: the form in which the child process hands it over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import Finding

from .document import Metadata, NIRDocument, NIRNode, Value

Packed = dict[str, Any]


def pack(document: NIRDocument) -> tuple[Packed, dict[str, NDArray[Any]]]:
    """Give the document as JSON-like data and arrays; edges as pairs of node numbers, in an array."""
    arrays: dict[str, NDArray[Any]] = {}
    return _pack_graph(document, arrays), arrays


def unpack(packed: Packed, arrays: Mapping[str, NDArray[Any]]) -> NIRDocument:
    """Give back what `pack` was given."""
    nodes: dict[str, NIRNode | NIRDocument] = {}
    for name, node in packed["nodes"]:
        if "nodes" in node:
            nodes[name] = unpack(node, arrays)
        else:
            fields = {field: _unpack_value(value, arrays) for field, value in node["fields"]}
            nodes[name] = NIRNode(node["type"], fields, unpack_metadata(node["metadata"], arrays))
    names = (*nodes, *packed["ports"])
    return NIRDocument(
        packed["version"],
        nodes,
        tuple((names[a], names[b]) for a, b in arrays[packed["edges"]].tolist()),
        unpack_metadata(packed["metadata"], arrays),
        tuple(Finding(*parts) for parts in packed["warnings"]),
        packed["beside"],
    )


def _pack_graph(document: NIRDocument, arrays: dict[str, NDArray[Any]]) -> Packed:
    ends = dict.fromkeys(end for edge in document.edges for end in edge)
    ports = [end for end in ends if end not in document.nodes]  # of sub-graphs
    number = {name: k for k, name in enumerate((*document.nodes, *ports))}
    edges = np.array([(number[a], number[b]) for a, b in document.edges], dtype=np.int64).reshape(-1, 2)
    return {
        "version": document.version,
        "nodes": [
            [name, _pack_graph(node, arrays) if isinstance(node, NIRDocument) else _pack_node(node, arrays)]
            for name, node in document.nodes.items()
        ],
        "ports": ports,
        "edges": _store(edges, arrays),
        "metadata": pack_metadata(document.metadata, arrays),
        "beside": document.beside,
        "warnings": [[f.kind, f.severity, f.where, f.message, f.fix] for f in document.warnings],
    }


def _pack_node(node: NIRNode, arrays: dict[str, NDArray[Any]]) -> Packed:
    return {
        "type": node.type,
        "fields": [[name, _pack_value(value, arrays)] for name, value in node.fields.items()],
        "metadata": pack_metadata(node.metadata, arrays),
    }


def pack_metadata(metadata: Metadata, arrays: dict[str, NDArray[Any]]) -> list[list[Any]]:
    """Give metadata as JSON-like data, and add its arrays to `arrays`."""
    return [
        [key, {"group": pack_metadata(value, arrays)} if isinstance(value, Mapping) else _pack_value(value, arrays)]
        for key, value in metadata.items()
    ]


def unpack_metadata(packed: list[list[Any]], arrays: Mapping[str, NDArray[Any]]) -> Metadata:
    """Give back what `pack_metadata` was given."""
    return {
        key: unpack_metadata(value["group"], arrays)
        if isinstance(value, dict) and "group" in value
        else _unpack_value(value, arrays)
        for key, value in packed
    }


def _pack_value(value: Value, arrays: dict[str, NDArray[Any]]) -> Any:
    if isinstance(value, float):
        return {"float": value.hex()}
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype == object:
        return {"texts": value.reshape(-1).tolist(), "shape": list(value.shape)}
    return {"array": _store(value, arrays)}


def _unpack_value(packed: Any, arrays: Mapping[str, NDArray[Any]]) -> Value:
    if not isinstance(packed, dict):
        plain: int | bool | str = packed
        return plain
    if "float" in packed:
        return float.fromhex(packed["float"])
    if "texts" in packed:
        texts = np.empty(len(packed["texts"]), dtype=object)
        texts[:] = packed["texts"]
        return texts.reshape(packed["shape"])
    return arrays[packed["array"]]


def _store(array: NDArray[Any], arrays: dict[str, NDArray[Any]]) -> str:
    key = str(len(arrays))
    arrays[key] = array
    return key
