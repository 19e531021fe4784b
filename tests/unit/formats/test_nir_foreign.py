"""Files of other frameworks: read under assumptions that are named, or refused with every finding."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
from graph_parts import differences, same
from nir_graphs import F32, chain, lif, ones, read, round_trip, written

from norse_export.errors import ExportError, GraphError, UnsupportedError, UsageError
from norse_export.files.limits import Limits
from norse_export.formats.nir.document import KEPT_KEY, NIRDocument, NIRNode
from norse_export.formats.nir.entries import Entries
from norse_export.formats.nir.load import load_nir
from norse_export.formats.nir.to_document import document_of_graph
from norse_export.formats.nir.to_graph import graph_of_document
from norse_export.interpret import interpret
from norse_export.ir.graph import Edge
from norse_export.ir.layers import Linear, Scale
from norse_export.ir.step_choice import StepChoice
from norse_export.passes.discretise import discretise


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
    assert neuron["tau_mem"].dtype == F32
    assert np.array_equal(neuron["alpha"], 1e-4 / np.full(3, F32(0.01), np.float64))
    assert np.allclose(neuron.gain, 1e-4 / 0.005)
    assert not neuron["v_reset"].any()
    assert np.array_equal(neuron["v0"], neuron["v_leak"])
    assert graph.nodes["in"].dtype == "float64"  # type: ignore[union-attr]
    assert graph.nodes["in"].output_shape == (3,)


def test_what_is_assumed_is_named(tmp_path: Path) -> None:
    document = by_nir(tmp_path / "m.nir", {**ends(), "n": nir_cuba()}, [("in", "n"), ("n", "out")])
    loaded = graph_of_document(document, dt=1e-4)
    taken = {"dt": "0.0001", "scheme": "euler", "order": "synapse-first", "threshold": "gt", "reset": "value",
             "loop_delay_steps": "1"}  # fmt: skip
    assert loaded.assumptions == taken
    told = {name: text for name, text in loaded.graph.metadata.items() if name != KEPT_KEY}
    assert told == {f"assumed_{name}": value for name, value in taken.items()}
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
    assert np.array_equal(neuron["v_reset"], [0, 0])
    assert np.array_equal(neuron["w_in"], [1, 1])


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
    assert neuron["v_th"].dtype == np.float64
    assert neuron["r"].dtype == F32


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


def nested(depth: int) -> str:
    return "[[" + '["a", {"group": [' * (depth - 1) + "]}]" * (depth - 1) + "], {}, {}]"


DAMAGED = [
    "", "[", "[1, 2]", "null", "[[], {}]", "[[], [], {}]", "[[1], {}, {}]", nested(33), nested(400), nested(9999),
    '[[["x", {"float": "0x1p99999"}]], {}, {}]',
    '[[], {"n0": [["x", {"float": "0x1p99999"}]]}, {}]',
    '[[["x", {"array": "0"}]], {}, {}]',
    '[[["x", {"texts": ["a"], "shape": [2]}]], {}, {}]',
    '[[["norse_export_format", 1]], {}, {}]',
    '[[], {"n0": [["norse_export_recurrent", 1]]}, {}]',
    *(
        f'[[], {{}}, {{"0": [{dtype}, {shape}, "{digits}"]}}]'
        for dtype, shape, digits in (
            ('"|O"', "[1]", "00" * 8), ('"f4(1"', "[1]", "00" * 4), ('"f4,"', "[1]", "00" * 4), ('"("', "[1]", ""),
            ('"<M8[s]"', "[1]", "00" * 8), ('"float64"', "[1]", "00" * 8), ("[]", "[1]", ""), ("7", "[1]", ""),
            ('"<f4"', "[2]", "00" * 4), ('"<f4"', "[-1, 0]", ""), ('"<f4"', f"[{2**70}]", "00" * 4),
            ('"<f4"', f"[0, {2**62}, {2**62}]", ""), ('"<f4"', "[1]", "0"), ('"<f4"', "[1]", "zz"),
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize("text", DAMAGED, ids=range(len(DAMAGED)))
def test_kept_metadata_that_is_damaged_is_refused(text: str) -> None:
    with pytest.raises(GraphError, match=r"is damaged: .") as caught:
        document_of_graph(chain(lif(), metadata={"nir_metadata": text}))
    assert (caught.value.exit_code, caught.value.where) == (2, "the graph")
    assert caught.value.fix


@pytest.mark.parametrize("text", [
    '[[["x", null]], {}, {}]', f'[[["x", {2**70}]], {{}}, {{}}]', '[[["x", ["a"]]], {}, {}]', '[[["a/b", 1]], {}, {}]',
    '[[["x", {"texts": [{}], "shape": [1]}]], {}, {}]', '[[], {"n0": [["x", "\\ud800"]]}, {}]',
])  # fmt: skip
def test_kept_metadata_that_no_file_can_hold_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(GraphError):
        written(chain(lif(), metadata={"nir_metadata": text}), tmp_path / "m.nir")


def test_groups_are_kept_to_the_depth_of_a_file() -> None:
    assert Entries.unpacked(nested(32)).graph.keys() == {"a"}


def test_arrays_of_every_kind_are_kept() -> None:
    arrays = {name: np.zeros((2, 0, 3), name) for name in ("b1", "i1", "u8", "f2", ">f4")}
    arrays |= {f"{name}s": np.arange(2).astype(name) for name in arrays}
    kept = Entries.unpacked(Entries(arrays, {"n": {"x": np.array(1.5)}}).packed())
    assert kept.graph.keys() == arrays.keys()
    assert all(same(kept.graph[name], array) for name, array in arrays.items())
    assert same(kept.nodes["n"]["x"], np.array(1.5))


def test_kept_metadata_cannot_be_smuggled_in_by_a_file(tmp_path: Path) -> None:
    """Its name is ours: a file that stores it as metadata of the model would speak for another tool."""
    document = written(chain(lif(), metadata={"a": "b"}), tmp_path / "m.nir")
    metadata = {**document.metadata, "norse_export_metadata": '{"nir_metadata": "[[], {}, {}]"}'}
    with pytest.raises(GraphError, match="'nir_metadata'") as caught:
        graph_of_document(replace(document, metadata=metadata))
    assert caught.value.exit_code == 2


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
        graph, _ = load_nir(file, name=path.name, limits=Limits(), choice=StepChoice(dt=1e-4))
    run = interpret(discretise(graph), {"input": columns[:, :1, np.newaxis]}, states=True)
    (population,) = run.spikes
    assert columns.shape == (1000, 3)
    assert np.count_nonzero(columns[:, 2]) == 4
    assert np.array_equal(run.spikes[population][:, 0, 0], columns[:, 2] != 0)
    assert np.abs(run.observables[population]["v"][:, 0, 0] - columns[:, 1]).max() <= 1e-6
