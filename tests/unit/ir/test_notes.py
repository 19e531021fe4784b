"""What metadata say of nodes by their names: taken where it fits the graph, and otherwise as if it were not there."""

from __future__ import annotations

import json

import pytest

from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Input, Output
from norse_export.ir.notes import CLASSES, named

NODES, EDGES = {"input": Input((1,)), "output": Output((1,))}, (Edge("input", "output"),)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"input": "a", "output": "b"}', {"input": "a", "output": "b"}),
        ('{"output": "b", "gone": "c"}', {"output": "b"}),
        ('["input", 3]', {"input": ""}),
        ('{"input": 3}', {"input": "3"}),
        ("{", {}),
        ("3", {}),
        ("null", {}),
        ("[" * 100_000, {}),
    ],
)
def test_only_what_is_said_of_nodes_of_the_graph_counts(text: str, expected: dict[str, str]) -> None:
    assert named(Graph(NODES, EDGES, {CLASSES: text}), CLASSES) == expected


def test_a_graph_without_the_text_says_nothing() -> None:
    assert named(Graph(NODES, EDGES, {"other": json.dumps({"input": "a"})}), CLASSES) == {}
