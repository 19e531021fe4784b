"""Graphs as NIR documents and back: exact physics, everything restored, files of others under named assumptions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
from graph_parts import differences, same
from nir_graphs import F32, MODELS, chain, lif, ones, read, round_trip, traced, written

from norse_export.errors import ExportError, GraphError, UnsupportedError, UsageError
from norse_export.formats.nir.document import NIRDocument, NIRNode
from norse_export.formats.nir.to_document import document_of_graph
from norse_export.formats.nir.to_graph import graph_of_document
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Conv, Flatten, Input, Linear, Output, Pool, Scale, Sum
from norse_export.ir.neurons import IF, LI, LIF, SAME_DT, CubaLI, CubaLIF, NeuronModel
from norse_export.ir.shaping import Elementwise

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


def test_flatten_to_the_last_axis_ends_at_minus_one() -> None:
    for end in (-1, 2):
        node = document_of_graph(chain(Flatten((2, 3, 4), 1, end))).nodes["n0"]
        assert isinstance(node, NIRNode)
        assert (node.fields["start_dim"], node.fields["end_dim"]) == (1, -1)


def test_a_sum_is_a_scale_of_ones() -> None:
    node = document_of_graph(chain(Sum((2, 2)))).nodes["n0"]
    assert isinstance(node, NIRNode)
    assert node.type == "Scale"
    assert same(np.asarray(node.fields["scale"]), ones(2, 2))


def test_same_graph_gives_the_same_bytes(tmp_path: Path) -> None:
    graph = traced("recurrent").graph
    (tmp_path / "b").mkdir()
    written(Graph(graph.nodes, graph.edges, {"a": "1", "b": "2"}), tmp_path / "a.nir")
    written(Graph(graph.nodes, graph.edges, {"b": "2", "a": "1"}), tmp_path / "b" / "c.nir")
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
        "both": Elementwise("product", (1, 2, 2)),
        "out": Output((3,)),
        "seen": Output((1, 2, 2)),
    }
    edges = (
        Edge("input", "a/b"), Edge("a/b", ""), Edge("", "lif"), Edge("lif", "li", delay_steps=2), Edge("li", "out"),
        Edge("lif", "out"), Edge("lif", "out", delay_steps=1), Edge("input", "max"), Edge("max", "seen"),
        Edge("input", "both"), Edge("input", "both", "y"), Edge("both", "seen"),
    )  # fmt: skip
    with pytest.raises(UnsupportedError) as caught:
        document_of_graph(Graph(nodes, edges))
    assert caught.value.exit_code == 3
    assert [(finding.kind, finding.where) for finding in caught.value.findings] == [
        ("name", "a/b"), ("name", ""), ("tau", "lif"), ("tau", "lif"), ("tau", "li"), ("pool_max", "max"),
        ("layer", "both"), ("edge_parallel", "input -> both"),
    ]  # fmt: skip
    messages = [finding.message for finding in caught.value.findings]
    assert "tau_mem[1] is infinite" in messages[2]
    assert all(finding.fix for finding in caught.value.findings)


def test_a_loop_of_two_steps_has_nodes_that_delay(tmp_path: Path) -> None:
    nodes = {"input": Input((3,)), "a": lif(), "b": lif(), "output": Output((3,))}
    edges = [Edge("input", "a"), Edge("a", "b"), Edge("b", "a", delay_steps=1), Edge("b", "output")]
    assert document_of_graph(Graph(nodes, tuple(edges)))
    edges[1] = Edge("a", "b", delay_steps=1)
    two = Graph(nodes, tuple(edges))
    document = document_of_graph(two)
    late = {name: node for name, node in document.nodes.items() if name not in two.nodes}
    assert {name: node.fields["delay"].tolist() for name, node in late.items()} == {  # type: ignore[union-attr]
        "a.delay": [1e-3] * 3, "b.delay": [1e-3] * 3,
    }  # fmt: skip
    assert differences(two, round_trip(two, tmp_path / "m.nir").graph) == []


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
    assert node.get("w_in") is None


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
    assert same(cuba["alpha"], np.full(3, 0.05, F32))
    assert (cuba.get("w_in"), integrating.get("r")) == (
        None,
        None,
    )  # as in Norse: added as it is, with any dt
    assert np.array_equal(cuba.gain, [1.0] * 3)
    assert np.array_equal(integrating.gain, [1.0] * 3)
    assert loaded.graph.metadata["dt_override"] == "0.001 -> 0.0005"
    assert loaded.graph.metadata.get("assumed_dt") is None


TAUS: dict[str, Any] = {"shape": (3,), "dt": 1e-3, "tau_mem": np.array(0.01), "tau_syn": np.array(0.007),
                        "v_leak": F32(0)}  # fmt: skip
MEMBRANE: dict[str, Any] = {"shape": (3,), "dt": 1e-3, "tau_mem": np.array(0.01), "v_leak": F32(0), "v_th": F32(1),
                            "v_reset": F32(0)}  # fmt: skip


def test_override_gives_the_graph_that_a_change_of_dt_gives() -> None:
    """As for a model file: only dt and the coefficients change."""
    nodes = [lif(recurrent=False), CubaLI(**TAUS), LIF(**MEMBRANE), LI(shape=(3,), dt=1e-3, tau_mem=np.array(0.01),
             v_leak=F32(0)), IF(shape=(3,), dt=1e-3, v_th=F32(1), v_reset=F32(0))]  # fmt: skip
    expected = chain(*(node.changed(dt=2e-3, **dict.fromkeys(node.kind.rates)) for node in nodes))
    loaded = graph_of_document(document_of_graph(chain(*nodes)), dt=2e-3, override=True).graph
    assert loaded.metadata["dt_override"] == "0.001 -> 0.002"
    assert differences(replace(loaded, metadata={}), expected) == []


def test_override_keeps_the_gains_of_a_recurrent_population() -> None:
    nodes = {"input": Input((3,)), "n": lif(recurrent=True), "output": Output((3,))}
    edges = (Edge("input", "n"), Edge("n", "n", "r", delay_steps=1), Edge("n", "output"))
    loaded = graph_of_document(document_of_graph(Graph(nodes, edges)), dt=2e-3, override=True)
    node: Any = loaded.graph.nodes["n"]
    assert (node.recurrent, node.get("w_in"), node.dt) == (True, None, 2e-3)


def test_override_keeps_gains_that_are_physics() -> None:
    """A w_in or r of its own in our file, one that was changed since, and those of a file without our metadata."""
    own = [lif(w_in=np.array(5.0)), IF(shape=(3,), dt=1e-3, v_th=F32(1), v_reset=F32(0), r=np.array(1000.0))]
    document = document_of_graph(chain(*own))
    meant = document_of_graph(chain(lif(), IF(shape=(3,), dt=1e-3, v_th=F32(1), v_reset=F32(0))))
    for given, fields in (
        (document, ([5.0] * 3, [1000.0] * 3)),
        (with_fields(meant, n0={"w_in": np.full(3, 4.0)}, n1={"r": np.full(3, 7.0)}), ([4.0] * 3, [7.0] * 3)),
        (without_notes(meant), ([5.0] * 3, [1000.0] * 3)),
    ):
        nodes: Any = graph_of_document(given, dt=2e-3, override=True).graph.nodes
        assert (nodes["n0"]["w_in"].tolist(), nodes["n1"]["r"].tolist()) == fields


def with_fields(document: NIRDocument, **changes: dict[str, Any]) -> NIRDocument:
    nodes: dict[str, Any] = dict(document.nodes)
    for name, fields in changes.items():
        nodes[name] = replace(nodes[name], fields={**nodes[name].fields, **fields})
    return replace(document, nodes=nodes)


def without_notes(document: NIRDocument) -> NIRDocument:
    nodes: Any = {name: replace(node, metadata={}) for name, node in document.nodes.items()}
    return replace(document, nodes=nodes, metadata={})


def test_every_step_that_was_overridden_is_told_once_in_order() -> None:
    document = document_of_graph(chain(lif(), lif(dt=5e-4), lif(), lif(dt=2e-3)))
    loaded = graph_of_document(document, dt=2e-3, override=True)
    assert loaded.graph.metadata["dt_override"] == "0.001, 0.0005 -> 0.002"


def test_steps_within_the_shared_tolerance_are_the_same() -> None:
    document = document_of_graph(chain(lif()))
    assert graph_of_document(document, dt=1e-3 * (1 + 0.9 * SAME_DT)).graph.nodes["n0"].dt == 1e-3  # type: ignore[union-attr]
    with pytest.raises(UsageError):
        graph_of_document(document, dt=1e-3 * (1 + 1.1 * SAME_DT))


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
    assert isinstance(neuron := loaded.graph.nodes["0"], NeuronModel)
    assert neuron.kind is CubaLIF
    assert neuron.ports == ("x",)
    assert neuron["alpha"] is not None
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
        ("", {"norse_export_threshold": "le"}, UnsupportedError, "threshold 'le'"),
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
