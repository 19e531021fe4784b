"""Graphs as NIR documents and back: exact physics, everything restored, files of others under named assumptions."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
from nir_graphs import MODELS, differences, read, same, traced, written

from norse_export.errors import ExportError, GraphError, UnsupportedError, UsageError
from norse_export.files.limits import Limits
from norse_export.formats.nir.document import NIRDocument, NIRNode
from norse_export.formats.nir.load import load_nir
from norse_export.formats.nir.to_document import document_of_graph
from norse_export.formats.nir.to_graph import LoadedGraph, graph_of_document
from norse_export.interpret import interpret
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Conv, Flatten, Input, Linear, Output, Pool, Scale, Sum
from norse_export.ir.neurons import IF, LI, LIF, CubaLI, CubaLIF
from norse_export.passes.discretise import discretise

F32 = np.float32


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, F32)


def chain(*nodes: Any, names: str | None = None, metadata: Mapping[str, str] | None = None) -> Graph[Any]:
    """Nodes one after the other, between an Input and an Output."""
    inner = dict(zip((names or " ".join(f"n{k}" for k in range(len(nodes)))).split(), nodes, strict=True))
    every = {"input": Input(nodes[0].input_shape), **inner, "output": Output(nodes[-1].output_shape)}
    keys = list(every)
    return Graph(every, tuple(Edge(a, b) for a, b in pairwise(keys)), metadata or {})


def lif(n: int = 3, **fields: Any) -> CubaLIF:
    values: dict[str, Any] = {
        "shape": (n,), "dt": 1e-3, "tau_mem": np.array(0.01), "tau_syn": np.array(0.005),
        "v_leak": F32(0), "v_th": F32(1), "v_reset": F32(0),
    }  # fmt: skip
    return CubaLIF(**{**values, **fields})


def round_trip(graph: Graph[Any], path: Path) -> LoadedGraph:
    return graph_of_document(written(graph, path))


# What is written


def test_current_based_neurons_get_the_gain_that_adds_an_input_as_it_is() -> None:
    node = document_of_graph(chain(lif(tau_syn=np.array([0.005, 0.002, 0.003])))).nodes["n0"]
    assert isinstance(node, NIRNode)
    assert same(node.fields["w_in"], np.array([0.005, 0.002, 0.003]) / 1e-3)
    assert same(np.asarray(node.fields["r"]), ones(3))
    assert same(np.asarray(node.fields["tau_mem"]), np.full(3, 0.01))


def test_integrate_and_fire_gets_a_rate_of_one_over_dt() -> None:
    node = document_of_graph(chain(IF(shape=(2,), dt=5e-4, v_th=F32(1), v_reset=F32(0.25)))).nodes["n0"]
    assert isinstance(node, NIRNode)
    assert same(np.asarray(node.fields["r"]), np.full(2, 2000.0))
    assert same(np.asarray(node.fields["v_reset"]), np.full(2, 0.25, F32))


def test_metadata_says_what_nir_has_no_field_for() -> None:
    graph = chain(lif(v0=F32(0.5), i0=np.array([0.0, 1.0, 2.0], F32)), metadata={"model": "m"})
    document = document_of_graph(graph)
    noted = {key.removeprefix("norse_export_"): value for key, value in document.metadata.items()}
    edges = [["input", "n0", "x", 0], ["n0", "output", "x", 0]]
    assert noted == {
        "format": 1,
        "scheme": "euler",
        "order": "synapse-first",
        "threshold": "gt",
        "reset": "value",
        "loop_delay_steps": 1,
        "edges": json.dumps(edges, separators=(",", ":")),
        "metadata": '{"model":"m"}',
    }
    metadata = document.nodes["n0"].metadata
    assert metadata["norse_export_dt"] == 1e-3
    assert metadata["norse_export_dtype"] == "float32"
    assert metadata["norse_export_index"] == 1
    assert metadata["norse_export_v0"] == 0.5
    assert same(metadata["norse_export_i0"], np.array([0.0, 1.0, 2.0], F32))


def test_metadata_holds_plain_values_only() -> None:
    for name in MODELS:
        document = document_of_graph(traced(name).graph)
        for metadata in (document.metadata, *(node.metadata for node in document.nodes.values())):
            for key, value in metadata.items():
                plain = isinstance(value, (int, float, str)) or (isinstance(value, np.ndarray) and value.ndim > 0)
                assert plain, (name, key, value)


def test_flatten_counts_axes_without_batch_and_from_the_front() -> None:
    node = document_of_graph(chain(Flatten((2, 3, 4), -3, -2))).nodes["n0"]
    assert isinstance(node, NIRNode)
    assert {key: np.asarray(value).tolist() for key, value in node.fields.items()} == {
        "input_type": [2, 3, 4],
        "start_dim": 0,
        "end_dim": 1,
    }


def test_a_sum_is_a_scale_of_ones() -> None:
    node = document_of_graph(chain(Sum((2, 2)))).nodes["n0"]
    assert isinstance(node, NIRNode)
    assert node.type == "Scale"
    assert same(np.asarray(node.fields["scale"]), ones(2, 2))


def test_same_graph_gives_the_same_bytes(tmp_path: Path) -> None:
    graph = traced("recurrent").graph
    (tmp_path / "b").mkdir()
    written(graph, tmp_path / "a.nir")
    written(Graph(graph.nodes, graph.edges, dict(reversed(graph.metadata.items()))), tmp_path / "b" / "c.nir")
    assert (tmp_path / "a.nir").read_bytes() == (tmp_path / "b" / "c.nir").read_bytes()


# What is read back


@pytest.mark.parametrize("name", MODELS)
def test_a_traced_model_is_read_back_equal(name: str, tmp_path: Path) -> None:
    graph = traced(name).graph
    loaded = round_trip(graph, tmp_path / "m.nir")
    assert differences(graph, loaded.graph) == []
    assert loaded.findings == ()
    assert loaded.assumptions == {}


@pytest.mark.parametrize("name", MODELS)
def test_nir_reads_it_with_type_check_and_can_write_it_again(name: str, tmp_path: Path) -> None:
    graph = traced(name).graph
    written(graph, tmp_path / "m.nir")
    read_by_nir = nir.read(tmp_path / "m.nir")
    assert set(graph.nodes) <= set(read_by_nir.nodes)
    nir.write(tmp_path / "again.nir", read_by_nir)
    assert differences(graph, graph_of_document(read(tmp_path / "again.nir")).graph) == []


NODES: dict[str, Any] = {
    "initial state": lif(v0=np.array([0.1, 0.2, -0.0], F32), i0=np.array(0.3, np.float64)),
    "negative zero": lif(v0=np.array([0.0, -0.0, 0.0], F32), i0=F32(-0.0)),
    "gain": lif(r=F32(2), w_in=np.array([1.0, 2.0, 3.0])),
    "unit gain given": lif(w_in=np.array(5.0)),
    "float64 coefficient": lif(
        dtype="float64", alpha=np.nextafter(0.1, 1), beta=np.array([0.2, 0.2, np.nextafter(0.2, 1)])
    ),
    "float32 tau": lif(tau_mem=np.array([0.01, 0.02, 0.03], F32), dtype="float64"),
    "cuba_li": CubaLI(shape=(2, 2), dt=1e-4, tau_mem=np.full((2, 2), 0.01), tau_syn=np.array(0.02), v_leak=F32(0.1)),
    "lif": LIF(shape=(3,), dt=1e-3, tau_mem=np.array(0.01), v_leak=F32(0), v_th=F32(1), v_reset=F32(0), r=F32(3)),
    "li": LI(shape=(3,), dt=1e-3, tau_mem=np.array(0.01), v_leak=F32(1), v0=F32(0)),
    "if": IF(shape=(3,), dt=1e-3, v_th=np.array(1.0), v_reset=F32(0), r=np.array(500.0)),
    "if unit rate given": IF(shape=(3,), dt=1e-3, v_th=F32(1), v_reset=F32(0), r=np.array(1000.0)),
    "linear": Linear(ones(2, 3)),
    "affine": Linear(ones(2, 3), ones(2) * F32(-0.0), folded=ones(2) * 3),
    "folded alike": Linear(ones(2, 3), ones(2), folded=ones(2).astype(np.float64)),
    "conv": Conv(ones(2, 1, 3, 3), (5, 6), stride=(2, 1), padding=(1, 0), dilation=(1, 2)),
    "conv, zero bias": Conv(ones(2, 1, 3, 3), (5, 6), bias=ones(2) * 0),
    "conv1d": Conv(ones(2, 3, 3), (7,), ones(2), (2,), (1,), (2,), folded=ones(2)),
    "conv1d groups": Conv(ones(4, 1, 3), (7,), None, (2,), (1,), (2,), groups=4),
    "conv rectangular": Conv(ones(2, 1, 1, 4), (5, 6), folded=ones(2)),
    "conv all": Conv(ones(4, 2, 2, 3).astype(np.float64), (5, 6), ones(4), (1, 1), (2, 1), (3, 1), groups=2),
    "avg": Pool("avg", (2, 7, 8), (2, 3), (1, 2), (1, 0)),
    "sum": Pool("sum", (2, 7, 8), (3, 3), (3, 3)),
    "flatten": Flatten((2, 3, 4), 1, -1),
    "flatten, counted from behind": Flatten((2, 3, 4), -2, -2),
    "scale": Scale(np.array([1.0, 2.0])),
    "scale of ones": Scale(ones(2)),
    "sum node": Sum((2, 3)),
}  # fmt: skip


@pytest.mark.parametrize("name", NODES)
def test_every_node_is_read_back_equal(name: str, tmp_path: Path) -> None:
    graph = chain(NODES[name])
    assert differences(graph, round_trip(graph, tmp_path / "m.nir").graph) == []
    again = tmp_path / "again.nir"
    nir.write(again, nir.read(tmp_path / "m.nir"))
    assert differences(graph, graph_of_document(read(again)).graph) == []


def test_the_users_order_ports_and_metadata_are_kept(tmp_path: Path) -> None:
    nodes = {
        "z": Input((3,)),
        "10": Linear(ones(3, 3)),
        "2.lif": lif(recurrent=True),
        "a": Linear(ones(3, 3)),
        "sum": Sum((3,)),
        "out put": Output((3,)),
    }
    edges = (
        Edge("10", "2.lif"), Edge("z", "10"), Edge("2.lif", "a", delay_steps=1), Edge("a", "2.lif", "r"),
        Edge("z", "sum"), Edge("2.lif", "sum"), Edge("10", "sum"), Edge("sum", "out put"),
    )  # fmt: skip
    graph = Graph(nodes, edges, {"b": "ü\n\0", "a/": ""})
    assert differences(graph, round_trip(graph, tmp_path / "m.nir").graph) == []


def test_a_node_that_only_feeds_itself_is_read_back(tmp_path: Path) -> None:
    graph = Graph(
        {"input": Input((3,)), "n": lif(), "output": Output((3,))},
        (Edge("input", "n"), Edge("n", "n", delay_steps=1), Edge("n", "output")),
    )
    assert differences(graph, round_trip(graph, tmp_path / "m.nir").graph) == []


def test_a_crop_whose_name_is_taken_gets_another(tmp_path: Path) -> None:
    graph = chain(Conv(ones(1, 1, 1, 2), (3, 3)), Scale(ones(1, 3, 2)), names="c c.crop")
    document = written(graph, tmp_path / "m.nir")
    assert "c.crop_" in document.nodes
    assert differences(graph, graph_of_document(document).graph) == []


# What NIR cannot express


def test_everything_nir_cannot_express_is_named_at_once() -> None:
    inf = np.array([0.01, np.inf, 0.01])
    nodes = {
        "input": Input((1, 2, 2)),
        "a/b": Flatten((1, 2, 2)),
        "": Linear(ones(3, 4)),
        "lif": lif(tau_mem=inf, tau_syn=inf),
        "li": LI(shape=(3,), dt=1e-3, tau_mem=np.array(np.inf), v_leak=F32(0)),
        "max": Pool("max", (1, 2, 2), (1, 1), (1, 1)),
        "out": Output((3,)),
        "seen": Output((1, 2, 2)),
    }
    edges = (
        Edge("input", "a/b"), Edge("a/b", ""), Edge("", "lif"), Edge("lif", "li", delay_steps=2), Edge("li", "out"),
        Edge("lif", "out"), Edge("lif", "out", delay_steps=1), Edge("input", "max"), Edge("max", "seen"),
    )  # fmt: skip
    with pytest.raises(UnsupportedError) as caught:
        document_of_graph(Graph(nodes, edges))
    assert caught.value.exit_code == 3
    assert [(finding.kind, finding.where) for finding in caught.value.findings] == [
        ("name", "a/b"), ("name", ""), ("tau", "lif"), ("tau", "lif"), ("tau", "li"), ("pool_max", "max"),
        ("edge_parallel", "lif -> out"), ("delay", "lif -> li"), ("delay", "lif -> out"),
    ]  # fmt: skip
    messages = [finding.message for finding in caught.value.findings]
    assert "tau_mem[1] is infinite" in messages[2]
    assert all(finding.fix for finding in caught.value.findings)


def test_a_loop_of_two_steps_is_refused() -> None:
    nodes = {"input": Input((3,)), "a": lif(), "b": lif(), "output": Output((3,))}
    edges = [Edge("input", "a"), Edge("a", "b"), Edge("b", "a", delay_steps=1), Edge("b", "output")]
    assert document_of_graph(Graph(nodes, tuple(edges)))
    edges[1] = Edge("a", "b", delay_steps=1)
    with pytest.raises(UnsupportedError, match="a delay of 1 steps from 'a' to 'b'"):
        document_of_graph(Graph(nodes, tuple(edges)))


def test_a_graph_without_ends_or_axes_is_refused() -> None:
    with pytest.raises(UnsupportedError) as caught:
        document_of_graph(Graph({"input": Input(())}, ()))
    assert [finding.kind for finding in caught.value.findings] == ["no_output", "shape"]
    with pytest.raises(UnsupportedError, match="no input"):
        document_of_graph(Graph({}, ()))


# dt


def test_a_time_step_that_agrees_is_taken_from_the_file() -> None:
    document = document_of_graph(chain(lif()))
    node: Any = graph_of_document(document, dt=1e-3 * (1 + 5e-10)).graph.nodes["n0"]
    assert node.dt == 1e-3
    assert node.w_in is None


def test_a_time_step_that_differs_is_refused() -> None:
    document = document_of_graph(chain(lif(), lif(dt=2e-3)))
    with pytest.raises(UsageError) as caught:
        graph_of_document(document, dt=1e-3 * (1 + 2e-9))
    assert [finding.where for finding in caught.value.findings] == ["n0", "n1"]
    assert "0.002" in caught.value.findings[1].message
    assert "--override" in caught.value.fix
    assert caught.value.exit_code == 2


def test_override_takes_the_physics_with_another_step() -> None:
    document = document_of_graph(chain(lif(alpha=F32(0.1)), IF(shape=(3,), dt=1e-3, v_th=F32(1), v_reset=F32(0))))
    loaded = graph_of_document(document, dt=5e-4, override=True)
    cuba: Any = loaded.graph.nodes["n0"]
    integrating: Any = loaded.graph.nodes["n1"]
    assert same(cuba.alpha, np.full(3, 0.05, F32))
    assert np.array_equal(cuba.gain, [0.5] * 3)
    assert np.array_equal(integrating.gain, [0.5] * 3)
    assert loaded.graph.metadata["overridden_dt"] == "n0: 0.001, n1: 0.001"
    assert loaded.graph.metadata.get("assumed_dt") is None


@pytest.mark.parametrize("dt", [0.0, -1e-3, float("nan"), float("inf")])
def test_an_impossible_time_step_is_refused(dt: float) -> None:
    with pytest.raises(UsageError, match="dt = "):
        graph_of_document(document_of_graph(chain(lif())), dt=dt)


# Files of ours that were changed


def changed_document(document: NIRDocument, name: str = "", **changes: Any) -> NIRDocument:
    """Give a document with fields of one node, or of itself, changed; metadata is named with its prefix."""
    target = document.nodes[name] if name else document
    fields = dict(getattr(target, "fields", {}))
    metadata = dict(target.metadata)
    for key, value in changes.items():
        place = metadata if key.startswith("norse_export") else fields
        if value is None:
            del place[key]
        else:
            place[key] = value
    if isinstance(target, NIRNode):
        return replace(document, nodes={**document.nodes, name: NIRNode(target.type, fields, metadata)})
    return replace(document, metadata=metadata)


def test_fields_count_more_than_metadata() -> None:
    original = document_of_graph(chain(lif(), IF(shape=(3,), dt=1e-3, v_th=F32(1), v_reset=F32(0))))
    document = changed_document(original, "n0", w_in=np.full(3, 2.5))
    document = changed_document(document, "n1", r=np.full(3, 10.0))
    loaded = graph_of_document(document)
    cuba: Any = loaded.graph.nodes["n0"]
    integrating: Any = loaded.graph.nodes["n1"]
    assert np.array_equal(cuba.gain, [0.5] * 3)
    assert np.allclose(integrating.gain, 0.01)
    assert [(f.severity, f.where) for f in loaded.findings] == [("warning", "n0"), ("warning", "n1")]
    assert "w_in was changed" in loaded.findings[0].message


def test_a_changed_convolution_is_taken_as_it_stands() -> None:
    document = document_of_graph(chain(Conv(ones(2, 1, 1, 3), (5, 5)), Conv(ones(2, 2, 1, 2), (5, 3))))
    for name in ("n0", "n1"):
        weight = np.array(document.nodes[name].fields["weight"])  # type: ignore[union-attr]
        weight[0, 0, 0, 0] = 7
        document = changed_document(document, name, weight=weight)
    loaded = graph_of_document(document)
    assert [node.kernel for node in loaded.graph.nodes.values() if isinstance(node, Conv)] == [(3, 3), (3, 3), (2, 2)]
    assert [f.where for f in loaded.findings if "convolution was changed" in f.message] == ["n0", "n1"]


def test_without_its_fields_a_rewritten_convolution_is_no_original() -> None:
    document = document_of_graph(chain(Conv(ones(2, 1, 1, 3), (5, 5))))
    loaded = graph_of_document(changed_document(document, "n0", input_shape=None))
    assert isinstance(conv := loaded.graph.nodes["n0"], Conv)
    assert conv.kernel == (3, 3)
    loaded = graph_of_document(changed_document(document, "n0", stride=np.array([1.0, 1.0])))
    assert loaded.findings[0].severity == "warning"


def test_a_changed_bias_a_changed_sum_and_other_axes_are_kept() -> None:
    document = document_of_graph(chain(Conv(ones(2, 1, 3, 3), (5, 5)), Sum((2, 3, 3)), Flatten((2, 3, 3), -3)))
    document = changed_document(document, "n0", bias=ones(2))
    document = changed_document(document, "n1", scale=ones(2, 3, 3) * 2)
    document = changed_document(document, "n2", start_dim=1)
    document = changed_document(document, "output", shape=np.array([2, 9]))
    nodes = graph_of_document(document).graph.nodes
    assert isinstance(conv := nodes["n0"], Conv)
    assert conv.bias is not None
    assert isinstance(nodes["n1"], Scale)
    assert nodes["n2"].output_shape == (2, 9)


def test_a_node_that_was_added_makes_order_and_delays_be_found_anew() -> None:
    graph = traced("recurrent").graph
    document = document_of_graph(graph)
    nodes = {**document.nodes, "more": NIRNode("Output", {"shape": np.array([10])})}
    loaded = graph_of_document(replace(document, nodes=nodes, edges=(*document.edges, ("2", "more"))))
    assert any("found anew" in finding.message for finding in loaded.findings)
    assert [edge for edge in loaded.graph.edges if edge.delay_steps] == [
        Edge("0", "0.recurrent_weights", delay_steps=1)
    ]
    assert isinstance(neuron := loaded.graph.nodes["0"], CubaLIF)
    assert neuron.ports == ("x",)
    assert neuron.alpha is not None
    assert neuron.dt == 1e-3


@pytest.mark.parametrize(
    "edges",
    ["[]", '{"a": 1}', '[["input", "n0"]]', '[["input","n0","x",true],["n0","output","x",0]]',
     '[["input","n0","x",-1],["n0","output","x",0]]'],
)  # fmt: skip
def test_edges_in_the_metadata_that_are_not_the_files_are_not_believed(edges: str) -> None:
    document = changed_document(document_of_graph(chain(lif())), norse_export_edges=edges)
    loaded = graph_of_document(document)
    assert loaded.graph.edges == (Edge("input", "n0"), Edge("n0", "output"))
    assert any("found anew" in finding.message for finding in loaded.findings)


@pytest.mark.parametrize(
    ("name", "changes", "error", "named"),
    [
        ("", {"norse_export_format": 2}, UnsupportedError, "later norse-export"),
        ("", {"norse_export_scheme": "exact"}, UnsupportedError, "scheme 'exact'"),
        ("", {"norse_export_threshold": "ge"}, UnsupportedError, "threshold 'ge'"),
        ("", {"norse_export_loop_delay_steps": 2}, UnsupportedError, "loops of 2 steps"),
        ("", {"norse_export_format": "1"}, GraphError, "norse_export_format is not an integer"),
        ("", {"norse_export_scheme": 1.0}, GraphError, "norse_export_scheme is not a text"),
        ("", {"norse_export_edges": "[["}, GraphError, "norse_export_edges is not JSON"),
        ("", {"norse_export_metadata": "[1]"}, GraphError, "no list of texts"),
        ("", {"norse_export_x": {"a": 1}}, GraphError, "norse_export_x is not a value"),
        ("n0", {"norse_export_dt": "x"}, GraphError, "norse_export_dt is not a finite number"),
        ("n0", {"norse_export_dt": float("nan")}, GraphError, "norse_export_dt is not a finite number"),
        ("n0", {"norse_export_dt": 0.0}, GraphError, "norse_export_dt is not a finite number above 0"),
        ("n0", {"norse_export_dt": 5e-324}, GraphError, "is not dt/tau_mem"),
        ("n0", {"norse_export_v0": 1e300}, GraphError, "v0[] is inf"),
        ("n0", {"norse_export_dtype": "float16"}, GraphError, "norse_export_dtype is not float32 or float64"),
        ("n0", {"norse_export_v0": np.ones(2, F32)}, GraphError, "v0 has shape (2,)"),
        ("n0", {"norse_export_v0": np.ones(3, np.int64)}, GraphError, "norse_export_v0 is not a finite number"),
        ("n0", {"norse_export_alpha": 0.5}, GraphError, "is not dt/tau_mem"),
        ("n0", {"norse_export_index": "1"}, GraphError, "norse_export_index is not an integer"),
    ],
)
def test_metadata_of_ours_that_is_wrong_is_refused(
    name: str, changes: dict[str, Any], error: type[ExportError], named: str
) -> None:
    document = changed_document(document_of_graph(chain(lif())), name, **changes)
    with pytest.raises(error) as caught:
        graph_of_document(document)
    assert named in caught.value.what
    assert caught.value.where == (name or "the graph")
    assert caught.value.fix


# Files of others


def by_nir(path: Path, nodes: Mapping[str, Any], edges: list[tuple[str, str]], **options: Any) -> NIRDocument:
    nir.write(path, nir.NIRGraph(dict(nodes), edges, type_check=False, **options))
    return read(path)


def nir_cuba(n: int = 3, **fields: Any) -> nir.CubaLIF:
    values = {"tau_syn": ones(n) * F32(0.005), "tau_mem": ones(n) * F32(0.01), "r": ones(n), "v_leak": ones(n) * 0,
              "v_threshold": ones(n)}  # fmt: skip
    return nir.CubaLIF(**{**values, **fields})


def ends(n: int = 3, m: int = 3) -> dict[str, Any]:
    return {"in": nir.Input(np.array([n], np.int32)), "out": nir.Output(np.array([m]))}


def test_a_recurrent_file_of_another_framework_is_read(tmp_path: Path) -> None:
    weight = np.arange(9, dtype=F32).reshape(3, 3)
    nodes = {
        **ends(), "10": nir.Linear(weight), "9": nir.Linear(weight + 1), "lif.1": nir_cuba(),
        "lif.2": nir_cuba(w_in=2.0), "rec.1": nir.Linear(weight + 2), "rec.2": nir.Affine(weight + 3, ones(3)),
    }  # fmt: skip
    edges = [
        ("in", "10"), ("10", "lif.1"), ("lif.1", "rec.1"), ("rec.1", "lif.1"), ("lif.1", "9"), ("9", "lif.2"),
        ("lif.2", "rec.2"), ("rec.2", "lif.2"), ("lif.2", "out"), ("10", "9"),
    ]  # fmt: skip
    loaded = graph_of_document(by_nir(tmp_path / "m.nir", nodes, edges), dt=1e-4)
    graph = loaded.graph
    assert list(graph.nodes) == ["in", "10", "lif.1", "9", "lif.2", "out", "rec.1", "rec.2"]
    assert [edge for edge in graph.edges if edge.delay_steps] == [
        Edge("lif.1", "rec.1", delay_steps=1),
        Edge("lif.2", "rec.2", delay_steps=1),
    ]
    assert [edge.source for edge in graph.incoming("lif.1")] == ["10", "rec.1"]
    assert [edge.source for edge in graph.incoming("9")] == ["10", "lif.1"]
    neuron: Any = graph.nodes["lif.1"]
    assert neuron.dtype == "float64"
    assert neuron.tau_mem.dtype == F32
    assert np.array_equal(neuron.alpha, 1e-4 / np.full(3, F32(0.01), np.float64))
    assert np.allclose(neuron.gain, 1e-4 / 0.005)
    assert not neuron.v_reset.any()
    assert np.array_equal(neuron.v0, neuron.v_leak)
    assert graph.nodes["in"].dtype == "float64"  # type: ignore[union-attr]
    assert graph.nodes["in"].output_shape == (3,)


def test_what_is_assumed_is_named(tmp_path: Path) -> None:
    document = by_nir(tmp_path / "m.nir", {**ends(), "n": nir_cuba()}, [("in", "n"), ("n", "out")])
    loaded = graph_of_document(document, dt=1e-4)
    taken = {"dt": "0.0001", "scheme": "euler", "order": "synapse-first", "threshold": "gt", "reset": "value",
             "loop_delay_steps": "1"}  # fmt: skip
    assert loaded.assumptions == taken
    assert loaded.graph.metadata == {f"assumed_{name}": value for name, value in taken.items()}
    (note,) = loaded.findings
    assert (note.severity, note.kind) == ("note", "assumed")
    assert "dt 0.0001" in note.message
    again = round_trip(loaded.graph, tmp_path / "again.nir")
    assert differences(loaded.graph, again.graph) == []
    assert again.assumptions == {}


def test_without_a_time_step_dt_is_asked_for_by_name(tmp_path: Path) -> None:
    nodes = {**ends(), "a": nir_cuba(), "b": nir_cuba()}
    document = by_nir(tmp_path / "m.nir", nodes, [("in", "a"), ("a", "b"), ("b", "out")])
    with pytest.raises(UsageError) as caught:
        graph_of_document(document)
    assert [finding.where for finding in caught.value.findings] == ["a", "b"]
    assert "--dt" in caught.value.fix
    assert caught.value.exit_code == 2


def test_without_neurons_no_time_step_is_needed(tmp_path: Path) -> None:
    document = by_nir(tmp_path / "m.nir", {**ends(), "s": nir.Scale(ones(3))}, [("in", "s"), ("s", "out")])
    assert "dt" not in graph_of_document(document).assumptions


def test_old_files_without_v_reset_and_w_in_are_read() -> None:
    fields = {"tau_syn": ones(2), "tau_mem": ones(2), "r": ones(2), "v_leak": ones(2), "v_threshold": ones(2)}
    nodes = {
        "in": NIRNode("Input", {"shape": np.array([2])}),
        "n": NIRNode("CubaLIF", fields),
        "out": NIRNode("Output", {"shape": np.array([2])}),
    }
    neuron: Any = graph_of_document(NIRDocument("", nodes, (("in", "n"), ("n", "out"))), dt=0.1).graph.nodes["n"]
    assert np.array_equal(neuron.v_reset, [0, 0])
    assert np.array_equal(neuron.w_in, [1, 1])


def test_single_numbers_are_spread_over_the_neurons() -> None:
    nodes = {
        "in": NIRNode("Input", {"shape": np.array([2, 3])}),
        "scale": NIRNode("Scale", {"scale": 2.0}),
        "n": NIRNode("LIF", {"tau": 0.01, "r": np.array(1, F32), "v_leak": 0.0, "v_threshold": 1, "v_reset": 0.0}),
        "out": NIRNode("Output", {"shape": np.array([2, 3])}),
    }
    edges = (("in", "scale"), ("scale", "n"), ("n", "out"))
    graph = graph_of_document(NIRDocument("1.0", nodes, edges), dt=1e-3).graph
    assert graph.nodes["n"].input_shape == (2, 3)
    assert isinstance(scale := graph.nodes["scale"], Scale)
    assert same(scale.scale, np.full((2, 3), 2.0))
    neuron: Any = graph.nodes["n"]
    assert neuron.v_th.dtype == np.float64
    assert neuron.r.dtype == F32


def convolution(**fields: Any) -> nir.Conv2d:
    values = {"input_shape": (8, 9), "weight": ones(4, 2, 3, 3), "stride": 1, "padding": 0, "dilation": 1, "groups": 1,
              "bias": ones(4)}  # fmt: skip
    return nir.Conv2d(**{**values, **fields})


def test_sizes_follow_from_what_arrives(tmp_path: Path) -> None:
    nodes = {
        "in": nir.Input(np.array([2, 8, 9])),
        "conv": convolution(input_shape=(99, 1), weight=ones(4, 1, 3, 5), groups=2),
        "if": nir.IF(ones(4, 6, 5), ones(4, 6, 5)),
        "pool": nir.SumPool2d(np.array([2, 1]), np.array([2, 1]), np.array([0, 0])),
        "flat": nir.Flatten({"input": np.array([4, 3, 5])}, 0), "out": nir.Output(np.array([60])),
    }  # fmt: skip
    edges = [("in", "conv"), ("conv", "if"), ("if", "pool"), ("pool", "flat"), ("flat", "out")]
    document = by_nir(tmp_path / "m.nir", nodes, edges)
    without = {key: value for key, value in document.nodes["flat"].fields.items() if key != "input_type"}  # type: ignore[union-attr]
    assert len(without) == 2
    document = replace(document, nodes={**document.nodes, "flat": NIRNode("Flatten", without)})
    graph = graph_of_document(document, dt=1e-3).graph
    assert {name: node.output_shape for name, node in graph.nodes.items()} == {
        "in": (2, 8, 9), "conv": (4, 6, 5), "if": (4, 6, 5), "pool": (4, 3, 5), "flat": (60,), "out": (60,),
    }  # fmt: skip


def torch_conv(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, **window: Any) -> np.ndarray:
    import torch

    convolve = torch.nn.functional.conv1d if weight.ndim == 3 else torch.nn.functional.conv2d
    result: np.ndarray = convolve(torch.tensor(x), torch.tensor(weight), torch.tensor(bias), **window).numpy()
    return result


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 3), (4, 2), (2,), (5,)])
@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_paddings_by_name_are_read_as_torch_has_them(padding: str, kernel: Any, dilation: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    weight = rng.integers(-4, 5, (3, 2, *kernel)).astype(F32)
    x = rng.integers(-4, 5, (2, 2, 14, 15)[: 2 + len(kernel)]).astype(F32)
    kind = nir.Conv1d if len(kernel) == 1 else nir.Conv2d
    expected = torch_conv(x, weight, ones(3), padding=padding, dilation=dilation)
    size = x.shape[2] if len(kernel) == 1 else x.shape[2:]
    nodes = {
        "in": nir.Input(np.array(x.shape[1:])),
        "c": kind(size, weight, 1, padding, dilation, 1, ones(3)),
        "out": nir.Output(np.array(expected.shape[1:])),
    }
    document = by_nir(tmp_path / "m.nir", nodes, [("in", "c"), ("c", "out")])
    graph = discretise(graph_of_document(document).graph)
    run = interpret(graph, {"in": x[np.newaxis].astype(np.float64)})
    assert np.array_equal(run.outputs["out"][0], expected)


def test_integers_and_halves_keep_their_values(tmp_path: Path) -> None:
    weights = {"a": np.array([[3, -4]], np.int8), "b": np.array([[0.1]], np.float16), "c": np.array([[2**53]])}
    nodes = {**ends(2, 1), **{name: nir.Linear(weight) for name, weight in weights.items()}}
    edges = [("in", "a"), ("a", "b"), ("b", "c"), ("c", "out")]
    graph = graph_of_document(by_nir(tmp_path / "m.nir", nodes, edges)).graph
    for name, dtype in (("a", np.float64), ("b", F32), ("c", np.float64)):
        assert isinstance(layer := graph.nodes[name], Linear)
        assert layer.weight.dtype == dtype
        assert np.array_equal(layer.weight, weights[name])
    nodes["c"] = nir.Linear(np.array([[2**53 + 1]]))
    with pytest.raises(GraphError, match="which no float64 holds exactly"):
        graph_of_document(by_nir(tmp_path / "n.nir", nodes, edges))


def test_primitives_that_are_not_taken_are_all_named(tmp_path: Path) -> None:
    inner = nir.NIRGraph(ends(), [("in", "out")], type_check=False)
    nodes = {**ends(), "i": nir.I(ones(3)), "t": nir.Threshold(ones(3)), "d": nir.Delay(ones(3)), "sub": inner}
    edges = [("in", "i"), ("i", "t"), ("t", "d"), ("d", "sub"), ("sub", "out")]
    with pytest.raises(UnsupportedError) as caught:
        graph_of_document(by_nir(tmp_path / "m.nir", nodes, edges))
    found = {finding.where: finding.message for finding in caught.value.findings}
    assert set(found) == {"i", "t", "d", "sub"}
    assert "primitive Delay" in found["d"]
    assert "NIRGraph" in found["sub"]
    assert caught.value.exit_code == 3


def document(edges: str, **nodes: tuple[str, dict[str, Any]]) -> NIRDocument:
    """A small document: nodes by name, edges as "a>b b>c"."""
    made = {name: NIRNode(kind, fields) for name, (kind, fields) in nodes.items()}
    return NIRDocument("1.0", made, tuple(tuple(edge.split(">")) for edge in edges.split()))  # type: ignore[misc]


IN, OUT = ("Input", {"shape": np.array([3])}), ("Output", {"shape": np.array([3])})
DENSE = ("Linear", {"weight": ones(3, 3)})
POOL = {"kernel_size": np.array([2, 2]), "stride": np.array([2, 2]), "padding": np.array([0, 0])}
CONV = {"weight": ones(3, 3, 3, 3), "stride": 1, "padding": 0, "dilation": 1, "groups": 1, "bias": ones(3)}
IMPOSSIBLE: dict[str, tuple[Callable[[], NIRDocument], type[ExportError], list[tuple[str, str]]]] = {
    "a loop without a neuron": (
        lambda: document("i>a a>b b>a b>o", i=IN, o=OUT, a=DENSE, b=DENSE),
        GraphError,
        [("a", "a cycle without a neuron: the loop through 'a', 'b'")],
    ),
    "sizes that do not fit": (
        lambda: document("i>a a>o", i=IN, o=OUT, a=("Linear", {"weight": ones(4, 3)})),
        GraphError,
        [("a -> o", "shape mismatch: 'a' sends (4,), 'o' takes (3,)")],
    ),
    "a pool on a line": (
        lambda: document("i>p p>o", i=IN, o=OUT, p=("AvgPool2d", POOL)),
        GraphError,
        [("i -> p", "pooling needs (channels, height, width), got (3,)")],
    ),
    "a convolution on a line": (
        lambda: document("i>c c>o", i=IN, o=OUT, c=("Conv2d", CONV)),
        GraphError,
        [("i -> c", "shape mismatch: Conv2d takes 3 axes, [3] arrives")],
    ),
    "a convolution of unknown size": (
        lambda: document("i>o c>o", i=IN, o=OUT, c=("Conv2d", CONV)),
        GraphError,
        [("c", "the size of the input of this Conv2d is not known")],
    ),
    "neurons of unknown number": (
        lambda: document("i>o n>o", i=IN, o=OUT, n=("LI", {"tau": 0.1, "r": 1.0, "v_leak": 0.0})),
        GraphError,
        [("n", "the number of neurons of this LI is not known")],
    ),
    "a step of two time constants": (
        lambda: document("i>n n>o", i=IN, o=OUT, n=("LI", {"tau": ones(3) / 200, "r": ones(3), "v_leak": ones(3)})),
        GraphError,
        [("n", "tau_mem[0] = 0.005 s is half of dt")],
    ),
    "same padding with a stride": (
        lambda: document(
            "i>c c>o",
            i=("Input", {"shape": np.array([3, 5, 5])}),
            o=OUT,
            c=("Conv2d", {**CONV, "padding": "same", "stride": 2}),
        ),
        UnsupportedError,
        [("c", "padding 'same' with stride [2, 2] has no defined size")],
    ),
    "a weight of three axes": (
        lambda: document("i>a a>o", i=IN, o=OUT, a=("Linear", {"weight": ones(2, 3, 3)})),
        UnsupportedError,
        [("a", "Linear with a weight of shape [2, 3, 3]")],
    ),
    "several at once": (
        lambda: document(
            "i>p i>a p>q q>o a>b b>a", i=IN, o=OUT, a=DENSE, b=DENSE, p=("AvgPool2d", POOL), q=("AvgPool2d", POOL)
        ),
        GraphError,
        [("a", "a cycle without a neuron"), ("i -> p", "pooling needs")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_impossible_graphs_are_refused_with_every_finding(name: str) -> None:
    make, error, findings = IMPOSSIBLE[name]
    with pytest.raises(error) as caught:
        graph_of_document(make(), dt=0.01)
    assert [finding.where for finding in caught.value.findings] == [where for where, _ in findings]
    for finding, (_, message) in zip(caught.value.findings, findings, strict=True):
        assert message in finding.message
        assert finding.fix


def test_metadata_of_other_tools_is_kept(tmp_path: Path) -> None:
    theirs = {
        "author": "them",
        "seed": 3,
        "rate": 0.1,
        "on": True,
        "list": np.array([1.5, np.nan]),
        "deep": {"a": {"b": 1}},
    }
    linear = nir.Linear(ones(3, 3), metadata={"layer": "first", "x": np.arange(6).reshape(2, 3)})
    document = by_nir(tmp_path / "m.nir", {**ends(), "a": linear}, [("in", "a"), ("a", "out")], metadata=theirs)
    graph = graph_of_document(document).graph
    again = written(graph, tmp_path / "again.nir")
    kept = {key: value for key, value in again.metadata.items() if not key.startswith("norse_export_")}
    assert kept.keys() == theirs.keys()
    for key, value in kept.items():
        assert same(value, document.metadata[key]) or key == "deep"
    assert kept["deep"]["a"]["b"] == 1  # type: ignore[index, call-overload]
    assert same(again.nodes["a"].metadata["x"], np.arange(6).reshape(2, 3))
    assert differences(graph, graph_of_document(again).graph) == []


@pytest.mark.parametrize("text", ["", "[", "[1, 2]", '[{}, {"0": ["|O", [1], ""]}]', '[{"nodes": 1}, {}]', "null"])
def test_kept_metadata_that_is_damaged_is_refused(text: str) -> None:
    with pytest.raises(GraphError, match="is damaged"):
        document_of_graph(chain(lif(), metadata={"nir_metadata": text}))


# The recording of the NIR paper


@pytest.fixture
def recordings() -> Path:
    shared = os.environ.get("NORSE_EXPORT_SHARED")
    if not shared:
        pytest.skip("NORSE_EXPORT_SHARED is not set: the recordings are not here")
    return Path(shared) / "recordings" / "nir_paper"


def test_norses_own_recording_is_reproduced(recordings: Path) -> None:
    """Compared are v after the update and the reset, and the output spikes, at each of 1000 steps."""
    columns = np.loadtxt(recordings / "lif_norse.csv", delimiter=",")
    path = recordings / "lif_norse.nir"
    with path.open("rb") as file:
        graph, _ = load_nir(file, name=path.name, limits=Limits(), dt=1e-4)
    run = interpret(discretise(graph), {"input": columns[:, :1, np.newaxis]}, states=True)
    (population,) = run.spikes
    assert columns.shape == (1000, 3)
    assert np.count_nonzero(columns[:, 2]) == 4
    assert np.array_equal(run.spikes[population][:, 0, 0], columns[:, 2] != 0)
    assert np.abs(run.observables[population]["v"][:, 0, 0] - columns[:, 1]).max() <= 1e-6
