"""inspect: what it says about each kind of file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import norse.torch as snn
import numpy as np
import pytest
import torch

import norse_export
from norse_export import cli
from norse_export.errors import UsageError
from norse_export.report.results import InspectResult
from norse_export.report.schema import schema


def counts(result: InspectResult) -> dict[str, int]:
    """Parameters of each node that has some."""
    return {node.name: node.parameters for node in result.nodes if node.parameters}


def saved(folder: Path, *layers: Any, shape: tuple[int, ...]) -> Path:
    """A model file; every layer of the model fires on the stored raster."""
    torch.manual_seed(0)
    model = snn.SequentialState(*layers).eval()
    with torch.no_grad():
        for layer in model:
            if hasattr(layer, "weight"):
                layer.weight.copy_(8 * layer.weight.abs())
    norse_export.save(model, folder / "model.pt", (torch.rand(30, 2, *shape) < 0.5).float())
    return folder / "model.pt"


def exported(model: Path) -> Path:
    """The same network as a .nir file."""
    path = model.with_suffix(".nir")
    assert norse_export.export(model, ["nir"], out=path).error is None
    return path


def test_a_parameter_is_counted_once_and_what_follows_from_others_is_not(tmp_path: Path) -> None:
    model = saved(tmp_path, torch.nn.Conv2d(1, 6, 3), snn.LIFCell(), shape=(1, 5, 5))
    assert counts(norse_export.inspect(model)) == {"0": 60, "1": 5}


def test_what_a_folded_normalisation_leaves_for_the_bounds_is_not_counted(tmp_path: Path) -> None:
    model = saved(tmp_path, torch.nn.Conv2d(1, 6, 3), torch.nn.BatchNorm2d(6), snn.LIFCell(), shape=(1, 5, 5))
    assert counts(norse_export.inspect(model)) == {"0": 60, "2": 5}


def test_a_model_and_its_nir_file_have_the_same_number_of_parameters(tmp_path: Path) -> None:
    thresholds = torch.linspace(0.5, 1.0, 7)
    layers = (
        torch.nn.Linear(4, 7),
        snn.LIFCell(snn.LIFParameters(v_th=thresholds)),
        torch.nn.Linear(7, 6, bias=False),
        snn.IAFCell(),
        torch.nn.Linear(6, 3),
        snn.LIFBoxCell(),
        torch.nn.Linear(3, 2),
        snn.LICell(),
    )
    model = saved(tmp_path, *layers, shape=(4,))
    expected = {"0": 35, "1": 4 + 7, "2": 42, "3": 2, "4": 21, "5": 4, "6": 8, "7": 3}
    assert counts(norse_export.inspect(model)) == expected
    assert counts(norse_export.inspect(exported(model))) == expected


def test_a_nir_file_of_another_tool_has_its_physics_counted_and_not_its_gains(tmp_path: Path) -> None:
    import nir

    per_neuron = np.linspace(0.01, 0.02, 4)
    shared = np.full(4, 1.0)
    lif = nir.LIF(tau=per_neuron, r=shared, v_leak=shared * 0, v_threshold=shared, v_reset=shared * 0)
    nodes = {"in": nir.Input(np.array([4])), "lif": lif, "out": nir.Output(np.array([4]))}
    nir.write(tmp_path / "other.nir", nir.NIRGraph(nodes, [("in", "lif"), ("lif", "out")]))
    assert counts(norse_export.inspect(tmp_path / "other.nir")) == {"lif": 4 + 3}


def test_a_trace_is_shown_with_what_was_recorded_of_each_node(tmp_path: Path) -> None:
    parameters = snn.LIFParameters(tau_mem_inv=torch.tensor(50.0))
    model = saved(tmp_path, torch.nn.Conv2d(1, 6, 3), snn.LIFCell(parameters, dt=0.002), shape=(1, 5, 4))
    ran = norse_export.run(model, trace=tmp_path / "trace.h5")
    result = norse_export.inspect(tmp_path / "trace.h5")
    assert (result.kind, result.dt, result.edges) == ("recorded trace", (0.002,), ())
    assert (result.sha256, result.bytes) == (ran.trace.sha256, ran.trace.bytes)
    assert result.provenance == {"ran_by": ran.ran_by}
    nodes = {node.name: node for node in result.nodes}
    lif = nodes.pop("1")
    assert (lif.input_shape, lif.output_shape, lif.parameters, lif.dt) == ((6, 3, 2), (6, 3, 2), 0, 0.002)
    assert lif.type == "i, spikes, v"
    assert lif.details == {
        "i": "float32 [30, 2, 6, 3, 2]",
        "spikes": "bool [30, 2, 6, 3, 2]",
        "v": "float32 [30, 2, 6, 3, 2]",
    }
    assert sorted((node.type, node.output_shape) for node in nodes.values()) == [
        ("input", (1, 5, 4)),
        ("output", (6, 3, 2)),
    ]


def test_a_pickled_module_is_shown_as_its_graph_where_its_input_is_told(tmp_path: Path) -> None:
    torch.save(torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Flatten(1)), tmp_path / "m.pt")
    lying = norse_export.inspect(tmp_path / "m.pt")
    assert [node.name for node in lying.nodes] == ["(root)", "0", "1"]
    traced = norse_export.inspect(tmp_path / "m.pt", loading=norse_export.LoadChoice(input_shape=(3,)))
    assert [edge.target for edge in traced.edges] == ["0", "1", "output"]
    assert {node.name: node.input_shape for node in traced.nodes}["0"] == (3,)


def test_a_trace_takes_nothing_that_describes_a_model(tmp_path: Path) -> None:
    norse_export.run(saved(tmp_path, torch.nn.Linear(3, 2), snn.LIFCell(), shape=(3,)), trace=tmp_path / "trace.h5")
    with pytest.raises(UsageError, match="recorded trace") as caught:
        norse_export.inspect(tmp_path / "trace.h5", loading=norse_export.LoadChoice(dt=0.01))
    assert caught.value.where == "trace.h5"
    assert "--dt" in caught.value.fix


@pytest.mark.parametrize("what", ["module", "state_dict"])
def test_a_shape_that_a_torch_save_file_does_not_say_is_a_dash_and_null(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 2))
    torch.save(model if what == "module" else {**model.state_dict(), "gain": torch.tensor(1.0)}, tmp_path / "m.pt")
    assert cli.main(["inspect", str(tmp_path / "m.pt")]) == 0
    rows = [line.split()[:5] for line in capsys.readouterr().out.splitlines()]
    assert cli.main(["inspect", str(tmp_path / "m.pt"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, schema())
    shapes = {node["name"]: (node["input_shape"], node["output_shape"]) for node in document["result"]["nodes"]}
    if what == "module":
        assert ["0", "Linear", "-", "-", "8"] in rows
        assert shapes == {"(root)": (None, None), "0": (None, None)}
    else:
        assert ["0.weight", "float32", "-", "2x3", "6"] in rows
        assert ["gain", "float32", "-", "scalar", "1"] in rows
        assert shapes == {"0.weight": (None, [2, 3]), "0.bias": (None, [2]), "gain": (None, [])}


@pytest.mark.parametrize("target", ["nir", "onnx", "sim"])
def test_the_class_of_the_user_s_framework_is_told_of_a_model_and_of_what_is_made_of_it(
    target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = saved(tmp_path, torch.nn.Linear(4, 7), snn.LIFBoxCell(), torch.nn.Linear(7, 2), snn.LIBoxCell(), shape=(4,))
    artefact = tmp_path / "artefact"
    assert norse_export.export(model, [target], out=artefact).error is None
    for file in (model, artefact):
        result = norse_export.inspect(file)
        found = {node.name: node.made_of for node in result.nodes if node.made_of is not None}
        assert found == {"1": "Norse LIFBoxCell", "3": "Norse LIBoxCell"}
        assert "classes" not in result.provenance
    assert cli.main(["inspect", str(artefact)]) == 0
    header, *rows = capsys.readouterr().out.splitlines()[3:]
    assert "  made of  " in header
    row = next(row for row in rows if row.startswith("1 "))
    assert "  Norse LIFBoxCell  " in row


def test_a_file_that_does_not_say_the_classes_is_shown_without(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from norse_export.formats.nir.document import NIRDocument, NIRNode
    from norse_export.formats.nir.write import write

    shape = np.array([2])
    nodes = {"in": NIRNode("Input", {"shape": shape}), "out": NIRNode("Output", {"shape": shape})}
    write(tmp_path / "a.nir", NIRDocument("1.0.8", nodes, (("in", "out"),)))
    assert cli.main(["inspect", str(tmp_path / "a.nir")]) == 0
    assert "made of" not in capsys.readouterr().out


@pytest.mark.parametrize("target", ["onnx", "nir"])
def test_an_artefact_of_floats_has_the_parameters_of_its_model_biases_among_them(target: str, tmp_path: Path) -> None:
    layers = (torch.nn.Conv2d(1, 6, 3), snn.LIFBoxCell(), torch.nn.Flatten(1), torch.nn.Linear(54, 2), snn.LICell())
    model, artefact = saved(tmp_path, *layers, shape=(1, 5, 5)), tmp_path / "artefact"
    assert norse_export.export(model, [target], out=artefact).error is None
    expected = counts(norse_export.inspect(model))
    assert (expected["0"], expected["3"]) == (60, 110)
    assert counts(norse_export.inspect(artefact)) == expected
