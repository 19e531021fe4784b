"""A graph checks itself: edges, ports, shapes, loops; and orders itself."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest
from small_nets import cuba_lif, graph

from norse_export.errors import Finding, GraphError
from norse_export.ir.graph import Edge, Graph, components
from norse_export.ir.layers import Input, Linear, Output, Sum

NODES: dict[str, Any] = {
    "input": Input((3,)),
    "lif": cuba_lif((3,)),
    "back": Linear(np.zeros((3, 3), np.float32)),
    "output": Output((3,)),
}
EDGES = [("input", "lif"), ("lif", "output"), ("lif", "back", "x", 1), ("back", "lif")]


def findings(nodes: dict[str, Any], edges: Sequence[tuple[Any, ...]]) -> tuple[Finding, ...]:
    with pytest.raises(GraphError) as caught:
        graph(nodes, edges)
    assert caught.value.exit_code == 2
    for finding in caught.value.findings:
        assert finding.severity == "error"
        assert finding.where
        assert finding.fix
    return caught.value.findings


def test_a_loop_with_a_delay_is_a_graph() -> None:
    assert graph(NODES, EDGES).order == ("input", "back", "lif", "output")


@pytest.mark.parametrize(
    ("edge", "kind", "where", "message"),
    [
        (("lif", "nowhere"), "edge", "edge lif -> nowhere", "the edge names 'nowhere', which is no node"),
        (("nowhere", "lif"), "edge", "edge nowhere -> lif", "the edge names 'nowhere', which is no node"),
        (("lif", "back", "r", 1), "edge", "edge lif -> back", "'back' has no input port 'r'"),
        (("lif", "input"), "edge", "edge lif -> input", "'input' has no input port 'x'"),
        (("lif", "back", "x", -1), "edge", "edge lif -> back", "the delay is -1 steps"),
        (("input", "lif"), "edge", "edge input -> lif", "duplicate edge: its input would count twice"),
    ],
)
def test_an_impossible_edge_is_named(edge: tuple[Any, ...], kind: str, where: str, message: str) -> None:
    (finding,) = findings(NODES, [*EDGES, edge])
    assert (finding.kind, finding.where, finding.message) == (kind, where, message)


def test_the_same_edge_with_another_delay_is_no_duplicate() -> None:
    assert len(graph(NODES, [*EDGES, ("input", "lif", "x", 2)]).edges) == 5


def test_a_port_without_an_edge_is_named() -> None:
    nodes = {**NODES, "lif": cuba_lif((3,), recurrent=True)}
    (finding,) = findings(nodes, EDGES)
    assert (finding.kind, finding.where) == ("unconnected", "lif")
    assert finding.message == "nothing is connected to its input 'r'"


def test_shapes_that_differ_along_an_edge_are_named() -> None:
    (finding,) = findings({**NODES, "output": Output((4,))}, EDGES)
    assert (finding.kind, finding.where) == ("shape", "lif -> output")
    assert finding.message == "shape mismatch: 'lif' sends (3,), 'output' takes (4,)"


def test_the_feature_shape_is_compared_and_not_the_size() -> None:
    (finding,) = findings({"input": Input((2, 3)), "output": Output((6,))}, [("input", "output")])
    assert finding.kind == "shape"


@pytest.mark.parametrize("length", [1, 2, 5])
def test_a_loop_without_a_delay_is_named(length: int) -> None:
    names = [f"sum{number}" for number in range(length)]
    nodes: dict[str, Any] = {"input": Input((3,)), **{name: Sum((3,)) for name in names}, "output": Output((3,))}
    loop = list(zip(names, [*names[1:], names[0]], strict=True))
    edges = [("input", names[0]), *loop, (names[-1], "output")]
    (finding,) = findings(nodes, edges)
    assert (finding.kind, finding.where) == ("loop", names[0])
    assert finding.message.startswith("a cycle without a delay")
    assert all(name in finding.message for name in names)
    for number in range(length):
        delayed = [(*edge, "x", 1) if edge == loop[number] else edge for edge in edges]
        assert set(graph(nodes, delayed).order) == set(nodes)


def test_every_finding_is_given_at_once() -> None:
    nodes = {**NODES, "lost": Sum((3,))}
    found = findings(nodes, [*EDGES, ("lif", "nowhere"), ("input", "lif")])
    assert [finding.kind for finding in found] == ["edge", "edge", "unconnected"]
    nodes = {**NODES, "a": Sum((3,)), "output": Output((4,))}
    assert [finding.kind for finding in findings(nodes, [*EDGES, ("a", "a")])] == ["shape", "loop"]


def test_edges_of_a_port_stand_in_their_order() -> None:
    built = graph(NODES, [("back", "lif"), ("input", "lif", "x", 3), *EDGES[1:3], ("input", "lif")])
    assert [(edge.source, edge.delay_steps) for edge in built.incoming("lif", "x")] == [
        ("back", 0),
        ("input", 3),
        ("input", 0),
    ]
    assert built.incoming("lif", "r") == ()
    assert [edge.target for edge in built.outgoing("lif")] == ["output", "back"]


def test_a_graph_cannot_be_changed() -> None:
    built = graph(NODES, EDGES)
    with pytest.raises(TypeError):
        built.nodes["other"] = Sum((3,))  # type: ignore[index]
    with pytest.raises(FrozenInstanceError):
        built.edges = ()  # type: ignore[misc]
    given = dict(NODES)
    built = graph(given, EDGES)
    given.clear()
    assert len(built.nodes) == 4


def test_map_replaces_nodes_and_keeps_edges_and_metadata() -> None:
    built = Graph(NODES, graph(NODES, EDGES).edges, {"a": "b"})
    mapped = built.map(lambda name, node: Sum((3,)) if name == "back" else node)
    assert isinstance(mapped.nodes["back"], Sum)
    assert mapped.nodes["lif"] is NODES["lif"]
    assert mapped.edges == built.edges
    assert mapped.metadata == {"a": "b"}


def reachable(edges: Sequence[Edge], start: str) -> set[str]:
    found: set[str] = set()
    work = [start]
    while work:
        for edge in edges:
            if edge.source == work[-1] and edge.target not in found:
                found.add(edge.target)
                work.append(edge.target)
                break
        else:
            work.pop()
    return found


@pytest.mark.parametrize("seed", range(40))
def test_components_and_order_agree_with_reachability(seed: int) -> None:
    generator = random.Random(seed)  # noqa: S311
    names = [f"n{number}" for number in range(generator.randint(1, 8))]
    nodes: dict[str, Any] = {"input": Input((1,)), **{name: Sum((1,)) for name in names}}
    edges = [Edge("input", name) for name in names]
    for _ in range(generator.randint(0, 14)):
        source, target = generator.choice(names), generator.choice(names)
        delay = 0 if names.index(source) < names.index(target) else generator.randint(1, 3)
        if (edge := Edge(source, target, "x", delay)) not in edges:
            edges.append(edge)
    shuffled = list(nodes.items())
    generator.shuffle(shuffled)
    built = Graph(dict(shuffled), tuple(edges))
    groups = components(built)
    reach = {name: reachable(edges, name) for name in nodes}
    assert sorted(name for group in groups for name in group) == sorted(nodes)
    for number, group in enumerate(groups):
        assert list(group) == sorted(group, key=list(built.nodes).index)
        for a in group:
            assert all(a == b or (b in reach[a] and a in reach[b]) for b in group)
            assert not any(b in reach[a] for earlier in groups[:number] for b in earlier)
    position = {name: number for number, name in enumerate(built.order)}
    assert all(position[edge.source] < position[edge.target] for edge in edges if not edge.delay_steps)


def test_a_long_chain_needs_no_recursion() -> None:
    length = 20_000
    nodes: dict[str, Any] = {"input": Input((1,)), **{str(number): Sum((1,)) for number in range(length)}}
    names = list(nodes)
    order = graph(nodes, list(itertools.pairwise(names))).order
    assert order == tuple(names)
