"""Graphs taken apart, to be compared in every bit. Not tests."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from norse_export.ir.graph import Graph
from norse_export.ir.neurons import NeuronModel


def parts(node: Any) -> dict[str, Any]:
    """Every field of a node; of a population and of a function every value, too."""
    found = {field.name: getattr(node, field.name) for field in fields(node)}
    values = "values" if isinstance(node, NeuronModel) else "parameters"
    return found | dict(found.pop(values)) if values in found else found


def same(x: Any, y: Any) -> bool:
    """Equal to the bit, of the same type and shape."""
    if isinstance(x, np.ndarray) and isinstance(y, np.ndarray):
        return x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes()
    return type(x) is type(y) and bool(x == y)


def differences(a: Graph[Any], b: Graph[Any]) -> list[str]:
    """Every node, part, edge and metadata in which two graphs differ; arrays bit for bit, with their dtypes."""
    found = [] if list(a.nodes) == list(b.nodes) else [f"nodes {list(a.nodes)} != {list(b.nodes)}"]
    for name in a.nodes.keys() & b.nodes.keys():
        one, other = parts(a.nodes[name]), parts(b.nodes[name])
        if type(a.nodes[name]) is not type(b.nodes[name]):
            found.append(f"{name}: {type(a.nodes[name]).__name__} != {type(b.nodes[name]).__name__}")
            continue
        for part in {**one, **other}:
            x, y = one.get(part), other.get(part)
            if not same(x, y):
                found.append(f"{name}.{part}: {x!r} != {y!r}")
    if a.edges != b.edges:
        found.append(f"edges {a.edges} != {b.edges}")
    if dict(a.metadata) != dict(b.metadata):
        found.append(f"metadata {dict(a.metadata)} != {dict(b.metadata)}")
    return found
