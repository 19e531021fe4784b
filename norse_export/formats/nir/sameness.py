"""Whether two graphs are the same, to the bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.ir.graph import Graph
from norse_export.ir.stages import ContinuousNode


def same_graph(a: Graph[ContinuousNode], b: Graph[ContinuousNode]) -> bool:
    """Whether nodes, their order, and edges in their order are the same; metadata do not count."""
    return list(a.nodes) == list(b.nodes) and a.edges == b.edges and all(same(a.nodes[n], b.nodes[n]) for n in a.nodes)


def same(a: Any, b: Any) -> bool:
    """Whether two nodes, or what stands in them, are the same: types, shapes, and every bit of an array."""
    if a is b or type(a) is not type(b):
        return a is b
    if isinstance(a, np.ndarray):
        return same_array(a, b)
    if isinstance(a, Mapping):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if is_dataclass(a) and type(a).__eq__ is object.__eq__:
        return all(same(getattr(a, field.name), getattr(b, field.name)) for field in fields(a))
    return bool(a == b)


def same_array(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Whether two arrays have one dtype and shape, and hold the same bits: zeros of both signs differ."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    bits = f"u{a.dtype.itemsize}"
    return bool(np.array_equal(np.ascontiguousarray(a).view(bits), np.ascontiguousarray(b).view(bits)))
