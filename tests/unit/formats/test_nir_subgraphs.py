"""Graphs within graphs: laid open with their names, run as one, and written again as they were."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import h5py
import nir
import nir_documents as documents
import numpy as np
import pytest
from graph_parts import differences
from nir_graphs import read

from norse_export.errors import GraphError, LimitError
from norse_export.files.limits import Limits
from norse_export.formats.nir.document import KEPT_KEY, NIRDocument, NIRNode
from norse_export.formats.nir.subgraphs import PORT, laid_open
from norse_export.formats.nir.to_document import document_of_graph
from norse_export.formats.nir.to_graph import graph_of_document
from norse_export.formats.nir.write import write
from norse_export.interpret import interpret
from norse_export.ir.graph import Graph
from norse_export.passes.discretise import discretise

DT = 1e-3
SIZE = {"shape": np.array([2])}


def scale(*values: float) -> NIRNode:
    return NIRNode("Scale", {"scale": np.array(values)})


def graph(edges: str, **nodes: NIRNode | NIRDocument) -> NIRDocument:
    """Nodes by name, edges as "a>b b>c"; nodes called in..., out... are Inputs and Outputs of two cells."""
    links = tuple(tuple(edge.split(">")) for edge in edges.split())
    ends = {end.split(".")[-1]: end for link in links for end in link if "." not in end}
    made: dict[str, Any] = {n: NIRNode("Input", SIZE) for n in ends if n.startswith("in")}
    made |= {n: NIRNode("Output", SIZE) for n in ends if n.startswith("out")}
    return NIRDocument("1.0.8", {**made, **nodes}, links)  # type: ignore[arg-type]


def two_ways() -> NIRDocument:
    """Two inputs, two outputs: out_a = 2 in_a + in_b, out_b = 10 in_b."""
    return graph("in_a>s s>out_a in_b>out_a in_b>t t>out_b", s=scale(2, 2), t=scale(10, 10))


def ran(document: NIRDocument, tmp_path: Path, **rasters: list[list[float]]) -> dict[str, list[Any]]:
    """Through a file, and run: one sample; and the file is written again as it was."""
    write(tmp_path / "a.nir", document)
    loaded = graph_of_document(read(tmp_path / "a.nir"), dt=DT)
    write(tmp_path / "b.nir", document_of_graph(loaded.graph))
    with h5py.File(tmp_path / "a.nir") as a, h5py.File(tmp_path / "b.nir") as b:
        assert documents.identical(nir.serialization.hdf2dict(a["node"]), nir.serialization.hdf2dict(b["node"]))
    assert differences(loaded.graph, graph_of_document(read(tmp_path / "b.nir")).graph) == []
    inputs = {name: np.array(raster, float)[:, np.newaxis] for name, raster in rasters.items()}
    return {name: y[:, 0].tolist() for name, y in interpret(discretise(loaded.graph), inputs).outputs.items()}


def test_several_inputs_and_outputs_of_a_sub_graph_are_named_by_the_edges(tmp_path: Path) -> None:
    document = graph("in>sub.in_a in2>sub.in_b sub.out_a>out sub.out_b>out2 sub.out_b>out", sub=two_ways())
    given = {"in": [[1.0, 2.0]], "in2": [[100.0, 200.0]]}
    assert ran(document, tmp_path, **given) == {"out": [[1102.0, 2204.0]], "out2": [[1000.0, 2000.0]]}
    with_nir = nir.serialization.hdf2dict(h5py.File(tmp_path / "b.nir")["node"])
    assert sorted(with_nir["nodes"]["sub"]["nodes"]) == ["in_a", "in_b", "out_a", "out_b", "s", "t"]


def test_an_edge_to_a_sub_graph_with_several_inputs_has_to_name_one(tmp_path: Path) -> None:
    with pytest.raises(GraphError) as caught:
        write(tmp_path / "m.nir", graph("in>sub sub.out_a>out", sub=two_ways()))
    (finding,) = caught.value.findings
    assert (finding.kind, finding.where) == ("edge_ambiguous", "edge 'in' -> 'sub'")
    assert finding.message.startswith("the sub-graph 'sub' has 2 nodes of type Input")
    assert finding.fix == "name one: 'sub.in_a', 'sub.in_b'"


@pytest.mark.parametrize("end", ["sub.s", "sub.nothing", "sub.", ".in_a", "sub.in_a.x", "in.sub"])
def test_an_edge_into_a_sub_graph_ends_at_its_ports_alone(end: str, tmp_path: Path) -> None:
    document = NIRDocument("1.0.8", graph("in>out", sub=two_ways()).nodes, (("in", "out"), ("in", end)))
    with pytest.raises(GraphError, match="does not exist") as caught:
        write(tmp_path / "m.nir", document)
    assert caught.value.findings[0].kind == "edge_missing_node"


def test_one_edge_under_two_names_is_one_edge_twice(tmp_path: Path) -> None:
    inner = graph("in>s s>out", s=scale(1, 1))
    with pytest.raises(GraphError, match="duplicate edge"):
        write(tmp_path / "m.nir", graph("in>sub in>sub.in sub>out", sub=inner))


def test_names_that_collide_stay_apart(tmp_path: Path) -> None:
    inner = graph("in>s s>out", s=scale(3, 3))
    nodes = {"a": inner, "a.s": scale(5, 5), "a.s_": scale(7, 7)}
    document = graph("in>a a>a.s a.s>a.s_ a.s_>out")
    document = NIRDocument("1.0.8", {**document.nodes, **nodes}, document.edges)
    opened = laid_open(document)
    assert opened.names[("a.s",)] == "a.s"
    assert opened.names["a", "s"] == "a.s__"
    assert ran(document, tmp_path, **{"in": [[1.0, 1.0]]}) == {"out": [[105.0, 105.0]]}


def test_a_sub_graph_may_pass_its_input_on_and_may_be_one_within_another(tmp_path: Path) -> None:
    through = graph("in>out")
    inner = graph("in>through in>s through>out s>out", through=through, s=scale(2, 4))
    document = graph("in>sub sub>out in>out", sub=inner)
    assert ran(document, tmp_path, **{"in": [[1.0, 1.0]]}) == {"out": [[4.0, 6.0]]}
    opened = laid_open(document).document
    assert opened.nodes["sub.through.in"].type == PORT  # type: ignore[union-attr]
    assert ("sub.in", "sub.through.in") in opened.edges


def test_a_loop_through_a_sub_graph_takes_a_step(tmp_path: Path) -> None:
    adds = NIRNode("I", {"r": np.array([1 / DT, 1 / DT])})
    inner = graph("in>i i>out", i=adds)
    document = graph("in>sub sub>back back>sub sub>out", sub=inner, back=scale(1, 0))
    x = [[1.0, 1.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    doubling = [[1.0, 1.0], [2.0, 1.0], [4.0, 1.0], [8.0, 1.0]]
    assert ran(document, tmp_path, **{"in": x}) == {"out": doubling}


def test_a_delay_between_sub_graphs_counts_in_steps_of_dt(tmp_path: Path) -> None:
    late = NIRNode("Delay", {"delay": np.array([0.0, 2 * DT], np.float32)})
    document = graph("in>sub sub>out", sub=graph("in>d d>out", d=late))
    x = [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]
    assert ran(document, tmp_path, **{"in": x}) == {"out": [[1.0, 0.0], [2.0, 0.0], [3.0, 1.0]]}


def nested(depth: int) -> NIRDocument:
    document = graph("in>s s>out", s=scale(1, 1))
    for _ in range(depth):
        document = graph("in>sub sub>out", sub=document)
    return document


def test_limits_of_depth_and_objects_hold_for_sub_graphs(tmp_path: Path) -> None:
    path = tmp_path / "m.nir"
    write(path, nested(3))  # node, nodes, and two groups for each level
    levels = 2 + 2 * 3 + 2
    assert documents.read(path, Limits(max_depth=levels))
    with pytest.raises(LimitError):
        documents.read(path, Limits(max_depth=levels - 1))
    with h5py.File(path) as file:
        count: list[str] = []
        file.visit(count.append)
    assert documents.read(path, Limits(max_objects=len(count)))
    with pytest.raises(LimitError):
        documents.read(path, Limits(max_objects=len(count) - 1))


def loaded_graph(tmp_path: Path) -> Graph[Any]:
    lif = documents.NODES["LIF"][0]
    write(tmp_path / "m.nir", documents.lif_chain(lif=NIRNode("LIF", lif.fields, {"note": "x"})))
    return graph_of_document(read(tmp_path / "m.nir"), dt=DT).graph


def test_a_graph_that_was_changed_is_written_as_it_is(tmp_path: Path) -> None:
    """What was kept of the file it came from is another graph's."""
    graph = loaded_graph(tmp_path)
    assert "norse_export_format" not in document_of_graph(graph).metadata
    nodes = {**graph.nodes, "lif": graph.nodes["lif"].changed(v_th=np.array([7.0] * 3))}
    changed = Graph(nodes, graph.edges, graph.metadata)
    document = document_of_graph(changed)
    assert document.nodes["lif"].fields["v_threshold"].tolist() == [7.0] * 3  # type: ignore[union-attr]
    assert document.nodes["lif"].metadata["note"] == "x"
    assert differences(Graph(nodes, graph.edges), Graph(graph_of_document(document).graph.nodes, graph.edges)) == []


@pytest.mark.parametrize("text", ["", "[]", "{}", "[1, 2]", "[" * 5000, '[{"nodes": 3}, {}]', "null", '[{}, {"0": 1}]'])
def test_a_damaged_note_of_the_file_is_no_harm(text: str, tmp_path: Path) -> None:
    graph = loaded_graph(tmp_path)
    damaged = Graph(graph.nodes, graph.edges, {**graph.metadata, KEPT_KEY: text})
    assert "norse_export_format" in document_of_graph(damaged).metadata


def test_what_stands_beside_a_graph_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "m.nir"
    write(path, document_of_graph(loaded_graph(tmp_path)))
    with h5py.File(path, "r+") as file:
        del file["norse_export"]
        file["norse_export"] = "[1"
    with pytest.raises(GraphError, match="what norse-export wrote beside the graph is damaged") as caught:
        graph_of_document(read(path))
    assert caught.value.fix


def test_the_file_of_nirs_paper_is_written_again_as_it_was(tmp_path: Path) -> None:
    shared = os.environ.get("NORSE_EXPORT_SHARED")
    if shared is None:
        pytest.skip("NORSE_EXPORT_SHARED is not set: it names the folder of recordings")
    original = Path(shared) / "recordings" / "nir_paper" / "lif_norse.nir"
    loaded = graph_of_document(read(original), dt=1e-4)
    write(tmp_path / "again.nir", document_of_graph(loaded.graph))
    with h5py.File(original) as a, h5py.File(tmp_path / "again.nir") as b:
        assert documents.identical(nir.serialization.hdf2dict(a["node"]), nir.serialization.hdf2dict(b["node"]))
        assert a["version"][()] == b["version"][()]
    assert nir.read(tmp_path / "again.nir").to_dict().keys() == nir.read(original).to_dict().keys()
    assert differences(loaded.graph, graph_of_document(read(tmp_path / "again.nir")).graph) == []
