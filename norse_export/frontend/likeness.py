"""What has to be the same in every recording of one model, and when two layers are one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from norse_export.ir.graph import Edge
from norse_export.ir.layers import Scale
from norse_export.ir.neurons import NeuronModel
from norse_export.ir.shaping import Elementwise
from norse_export.ir.stages import ContinuousNode

if TYPE_CHECKING:
    from norse_export.frontend.builder import Builder


def kind_of(node: ContinuousNode) -> str:
    """The kind of a node, as users know it."""
    return node.kind.name if isinstance(node, NeuronModel) else type(node).__name__


def alike(one: ContinuousNode, other: ContinuousNode) -> bool:
    """Whether two layers are one: of the same kind, with the same numbers."""
    if type(one) is not type(other):
        return False
    pairs = [(getattr(one, held.name), getattr(other, held.name)) for held in fields(one)]
    return all(a is b or _same(a, b) for a, b in pairs)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return list(a) == list(b) and all(_same(value, b[name]) for name, value in a.items())
    return type(a) is type(b) and bool(a == b)


def leading_to(edges: Sequence[Edge], ends: Sequence[str]) -> Iterator[str]:
    """These nodes, and all that they depend on."""
    into: dict[str, list[str]] = {}
    for edge in edges:
        into.setdefault(edge.target, []).append(edge.source)
    work = list(ends)
    seen = set[str]()
    while work:
        name = work.pop()
        if name not in seen:
            seen.add(name)
            yield name
            work.extend(into.get(name, ()))


def first_difference(one: Builder, other: Builder) -> str | None:
    """Where two recordings differ, in words: the first node or edge; None where they agree.

    A node that only one of them has, and that feeds nothing, is no difference.
    """
    (nodes, edges), (other_nodes, other_edges) = _structure(one, other), _structure(other, one)
    return _apart(nodes, other_nodes, lambda node: f"node {node[0]!r}") or _apart(
        edges, other_edges, lambda edge: f"the edge {edge.source!r} -> {edge.target!r}"
    )


def _structure(one: Builder, other: Builder) -> tuple[Any, ...]:
    """Names, kinds, shapes and edges of a recording, without the nodes that feed nothing and that `other` lacks."""
    dead = _dead(one, other)
    nodes = tuple(
        (name, kind_of(node), node.input_shape, node.output_shape, _constants(node))
        for name, node in one.nodes.items()
        if name not in dead
    )
    return nodes, tuple(edge for edge in one.edges if edge.target not in dead)


def _dead(one: Builder, other: Builder) -> set[str]:
    """Nodes that only this recording has, and that lead to none that both have, nor to a population or an output."""
    extra = one.nodes.keys() - other.nodes.keys()
    if not extra:
        return set()
    taken_later = {edge.source for edge in other.edges}
    ends = [name for name in one.nodes if name not in extra or name in taken_later]
    return extra - set(leading_to(one.edges, [*ends, *one.ends()]))


def _constants(node: ContinuousNode) -> tuple[bytes, ...]:
    """Constants in the code of the model, which have to be the same at every step."""
    if isinstance(node, Elementwise):
        return tuple(value.tobytes() for value in node.parameters.values())
    return (node.scale.tobytes(),) if isinstance(node, Scale) else ()


def _apart(one: Sequence[Any], other: Sequence[Any], words: Callable[[Any], str]) -> str | None:
    for a, b in zip(one, other, strict=False):
        if a != b:
            return f"{words(a)} against {words(b)}" if words(a) != words(b) else words(a)
    if len(one) != len(other):
        return words((one if len(one) > len(other) else other)[min(len(one), len(other))])
    return None
