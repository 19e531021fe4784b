"""Delays in .nir files: nodes of type Delay, edges that are written as such, and what is no whole number of steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
from graph_parts import differences
from nir_graphs import chain, lif, read, round_trip, written

from norse_export.errors import GraphError, UsageError
from norse_export.formats.nir.document import NIRDocument, NIRNode
from norse_export.formats.nir.to_document import document_of_graph
from norse_export.formats.nir.to_graph import graph_of_document
from norse_export.formats.nir.write import write
from norse_export.ir.delay import Delay
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Input, Output
from norse_export.ir.neurons import Integrator, Threshold

DT = 1e-3
F32 = np.float32


def late() -> Graph[Any]:
    """Delays in front, on the way, twice between the same two, and on a loop."""
    nodes = {"input": Input((3,)), "a": lif(), "b": lif(), "output": Output((3,))}
    edges = (
        Edge("input", "a", delay_steps=1), Edge("a", "b", delay_steps=3), Edge("b", "b", delay_steps=2),
        Edge("b", "output"), Edge("a", "output", delay_steps=1), Edge("a", "b"), Edge("b", "a", delay_steps=1),
    )  # fmt: skip
    return Graph(nodes, edges)


def test_edges_with_delays_are_nodes_in_the_file_and_edges_again(tmp_path: Path) -> None:
    graph = late()
    loaded = round_trip(graph, tmp_path / "m.nir")
    assert differences(graph, loaded.graph) == []
    assert loaded.findings == ()
    seen = nir.read(tmp_path / "m.nir")  # with type check
    delays = {name: node.delay.tolist() for name, node in seen.nodes.items() if isinstance(node, nir.Delay)}
    assert delays == {
        "input.delay": [DT] * 3, "a.delay": [3 * DT] * 3, "b.delay": [2 * DT] * 3, "a.delay_": [DT] * 3,
    }  # fmt: skip
    assert ("b", "a") in seen.edges  # that a loop takes one step is understood


def edited(document: NIRDocument, name: str, **fields: Any) -> NIRDocument:
    node = document.nodes[name]
    assert isinstance(node, NIRNode)
    return replace(
        document, nodes={**document.nodes, name: NIRNode(node.type, {**node.fields, **fields}, node.metadata)}
    )


def test_a_delay_that_was_changed_in_the_file_counts(tmp_path: Path) -> None:
    document = edited(written(late(), tmp_path / "m.nir"), "a.delay", delay=np.array([0.001, 0.004, 0.004]))
    loaded = graph_of_document(document)
    node = loaded.graph.nodes["a.delay"]
    assert isinstance(node, Delay)
    assert node.steps.tolist() == [1, 4, 4]
    (warning,) = loaded.findings
    assert (warning.severity, warning.kind) == ("warning", "metadata")


def delaying(delay: np.ndarray) -> NIRDocument:
    size = {"shape": np.array([delay.size])}
    nodes = {"in": NIRNode("Input", size), "d": NIRNode("Delay", {"delay": delay}), "out": NIRNode("Output", size)}
    return NIRDocument("1.0.8", nodes, (("in", "d"), ("d", "out")))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_whole_steps_up_to_the_rounding_of_their_dtype(dtype: type) -> None:
    steps = np.array([0, 1, 3, 7, 50, 333])
    node = graph_of_document(delaying((steps * DT).astype(dtype)), dt=DT).graph.nodes["d"]
    assert isinstance(node, Delay)
    assert node.steps.tolist() == steps.tolist()


def test_no_whole_number_of_steps_is_refused_by_name() -> None:
    with pytest.raises(GraphError, match=r"delay\[1\] = 0.0025 s is 2.5 steps of dt = 0.001 s") as caught:
        graph_of_document(delaying(np.array([0.001, 0.0025])), dt=DT)
    assert (caught.value.findings[0].kind, caught.value.where) == ("delay", "d")
    assert graph_of_document(delaying(np.array([0.001, 0.0025])), dt=DT / 2)


def test_a_delay_without_a_time_step_asks_for_one() -> None:
    with pytest.raises(UsageError, match="does not say with which time step") as caught:
        graph_of_document(delaying(np.array([0.001])))
    assert caught.value.where == "d"


def test_integrators_thresholds_and_delays_of_a_graph_come_back(tmp_path: Path) -> None:
    graph = chain(
        Integrator(shape=(3,), dt=DT, r=np.array([100, 200, 300], F32), v0=np.array([0.5, 0, 0], F32)),
        Integrator(shape=(3,), dt=DT),  # adds its input as it is: r = 1/dt
        Delay(np.array([0, 1, 2]) * DT, DT),
        Threshold(shape=(3,), dt=DT, v_th=np.array([0.1, 0.2, 0.3], F32)),
    )
    assert differences(graph, round_trip(graph, tmp_path / "m.nir").graph) == []
    document = document_of_graph(graph)
    assert [document.nodes[f"n{k}"].type for k in range(4)] == ["I", "I", "Delay", "Threshold"]  # type: ignore[union-attr]
    assert document.nodes["n1"].fields["r"].tolist() == [1 / DT] * 3  # type: ignore[union-attr]
    assert nir.read(tmp_path / "m.nir").nodes["n3"].threshold.tolist() == np.array([0.1, 0.2, 0.3], F32).tolist()


def test_the_step_that_a_loop_takes_in_a_delay_comes_back(tmp_path: Path) -> None:
    size = {"shape": np.array([2])}
    nodes = {
        "in": NIRNode("Input", size), "i": NIRNode("I", {"r": np.ones(2)}), "out": NIRNode("Output", size),
        "d": NIRNode("Delay", {"delay": np.array([0, 2 * DT])}),
    }  # fmt: skip
    document = NIRDocument("1.0.8", nodes, (("d", "i"), ("i", "d"), ("i", "out"), ("in", "i")))
    write(tmp_path / "first.nir", document)
    graph = graph_of_document(read(tmp_path / "first.nir"), dt=DT).graph
    assert graph.nodes["d"].steps.tolist() == [1, 2]  # type: ignore[union-attr]
    assert differences(graph, round_trip(graph, tmp_path / "m.nir").graph) == []
    ours = Graph(graph.nodes, graph.edges)
    assert differences(ours, round_trip(ours, tmp_path / "ours.nir").graph) == []
