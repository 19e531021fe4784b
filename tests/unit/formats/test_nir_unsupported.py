"""What NIR cannot express is found in one look over the graph, however dense, and without making what is too large."""

from __future__ import annotations

import sys
from itertools import product
from typing import Any

import pytest
from nir_graphs import lif

from norse_export.formats.nir import unsupported as module
from norse_export.formats.nir.unsupported import unsupported
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Input, Output


def graph(neurons: int, *edges: Edge) -> Graph[Any]:
    """An input, an output, and neurons of one value called "0", "1", ..., the first and last of which they join."""
    names = [str(k) for k in range(neurons)]
    nodes = {"input": Input((1,)), **{name: lif(1) for name in names}, "output": Output((1,))}
    fed = [Edge("input", name) for name in names]
    return Graph(nodes, (*fed, *edges, Edge(names[-1], "output")))


def all_to_all(neurons: int) -> Graph[Any]:
    """Every neuron feeds every one, itself too: those behind it at once, the others one step later."""
    pairs = product(range(neurons), repeat=2)
    return graph(neurons, *(Edge(str(a), str(b), delay_steps=int(a >= b)) for a, b in pairs))


def calls(function: Any, *arguments: Any) -> int:
    """How many Python functions were entered during a call."""
    entered = 0

    def count(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal entered
        entered += event == "call"

    sys.setprofile(count)
    try:
        function(*arguments)
    finally:
        sys.setprofile(None)
    return entered


def test_delays_of_a_dense_graph_are_judged_without_a_search_for_each() -> None:
    dense = all_to_all(120)
    assert sum(edge.delay_steps for edge in dense.edges) == 120 * 121 / 2
    assert unsupported(dense) == ()
    assert calls(unsupported, dense) < 6 * len(dense.edges)  # a search for each delay: 21


@pytest.mark.parametrize("at_once", [1, 2, 4096])
def test_only_a_delay_that_closes_an_instant_way_back_is_understood(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TARGETS_IN_A_SWEEP", at_once)
    edges = [
        Edge("0", "1"), Edge("1", "2"), Edge("2", "0", delay_steps=1), Edge("2", "1", delay_steps=1),
        Edge("2", "2", delay_steps=1), Edge("0", "2", delay_steps=1), Edge("2", "3", delay_steps=1),
        Edge("3", "0", delay_steps=1), Edge("3", "3", delay_steps=2),
    ]  # fmt: skip
    found = unsupported(graph(4, *edges))
    # "2 -> 3 -> 0 -> ..." is one component with the rest, but each loop through 3 takes two steps
    expected = ["0 -> 2", "2 -> 3", "3 -> 0", "3 -> 3"]
    assert [(finding.kind, finding.where) for finding in found] == [("delay", where) for where in expected]
