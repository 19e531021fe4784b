"""Artefacts of SpiNNaker without their model: told by content, read, and the rasters that they hold."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_nets import cuba_li, cuba_lif, dense, discrete_chain, spikes

from norse_export.errors import ExportError, InputFileError, LimitError
from norse_export.files.limits import Limits
from norse_export.formats import safetensors_file
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Linear, Output, Sum
from norse_export.passes.quantise import QuantiseChoice
from norse_export.pipeline.recorded import is_recording, read_recording
from norse_export.targets.spinnaker import SpinnakerTarget

TARGET = SpinnakerTarget(states=True)
STEPS, SAMPLES = 40, 10


def rasters(samples: int = SAMPLES) -> dict[str, Any]:
    return {"input": spikes(np.random.default_rng(7), STEPS, samples, 8)}


def model() -> Graph[Any]:
    generator = np.random.default_rng(0)
    layers = [dense(generator, 8, 6, scale=3), cuba_lif((6,)), dense(generator, 6, 3, scale=3), cuba_li((3,))]
    return discrete_chain((8,), *layers)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    TARGET.emit(TARGET.lower(model(), QuantiseChoice(), rasters()).graph, tmp_path)
    return tmp_path


def recorded(folder: Path, target: SpinnakerTarget = TARGET) -> Path:
    target.record(folder, rasters(), target.run(folder, rasters()))
    return folder


def test_a_folder_is_told_by_its_content(folder: Path, tmp_path: Path) -> None:
    assert TARGET.holds(folder)
    assert not TARGET.holds(folder / "network.safetensors")
    assert not TARGET.holds(folder / "none")
    for number, content in enumerate([b"", b"\0" * 100, b"{}"]):
        other = tmp_path / str(number)
        other.mkdir()
        assert not TARGET.holds(other)
        (other / "network.safetensors").write_bytes(content)
        assert not TARGET.holds(other)
    (tmp_path / "fifo").mkdir()
    os.mkfifo(tmp_path / "fifo" / "network.safetensors")
    assert not TARGET.holds(tmp_path / "fifo")


def test_what_is_read_says_its_law_its_step_and_how_late_it_is(folder: Path) -> None:
    graph = TARGET.read(folder, Limits())
    assert "IF_curr_exp" in graph.metadata["law"]
    assert float(graph.metadata["dt"]) == 1e-3
    assert json.loads(graph.metadata["skew"]) == {"1": 1, "3": 3, "output": 3}


def test_limits_are_kept(folder: Path) -> None:
    with pytest.raises(LimitError):
        TARGET.read(folder, Limits(max_bytes=100))


def test_the_first_samples_are_kept_and_given_back(folder: Path) -> None:
    assert TARGET.recorded(folder) is None
    stored: Any = TARGET.recorded(recorded(folder))
    assert set(stored) == {"input"}
    assert np.array_equal(stored["input"], rasters()["input"][:, :8].astype(bool))


def test_what_is_expected_is_graph_data_with_all_states(folder: Path) -> None:
    path = recorded(folder) / "expected.nir"
    assert is_recording(path, Limits())
    read, run = read_recording(path, Limits()), TARGET.run(folder, rasters())
    assert np.array_equal(read.run.spikes["1"], run.spikes["1"][:, :8])
    assert np.array_equal(read.run.outputs["output"], run.outputs["output"][:, :8])
    for held, names in ((read.run.observables["1"], ("v", "i_exc", "i_inh")), (read.values["3"], ("v_rec", "exc"))):
        node = "1" if "v_rec" not in names else "3"
        for name in names:
            assert np.array_equal(held[name], run.observables[node][name][:, :8]), name


def content(folder: Path) -> Mapping[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_same_run_gives_the_same_bytes(folder: Path) -> None:
    first = content(recorded(folder))
    assert content(recorded(folder)) == first
    assert set(first) == {"deploy.py", "expected.nir", "network.safetensors", "recording.safetensors", "report.json"}


def test_membranes_to_read_are_there_without_states_too(folder: Path) -> None:
    recorded(folder)
    with_states = (folder / "recording.safetensors").read_bytes()
    recorded(folder, SpinnakerTarget())
    assert (folder / "recording.safetensors").read_bytes() == with_states


def test_a_recording_of_another_network_or_format_is_refused(folder: Path) -> None:
    path = recorded(folder) / "recording.safetensors"
    key = "norse_export_spinnaker_recording"
    good = {"input.input": np.zeros((4, 2, 8), bool)}
    wrong: list[tuple[Any, Any]] = [
        ({"input.input": np.zeros((4, 2, 7), bool)}, {key: '{"format": 1}'}),
        ({"input.input": np.zeros((4, 2, 8), np.int8)}, {key: '{"format": 1}'}),
        ({"input.other": np.zeros((4, 2, 8), bool)}, {key: '{"format": 1}'}),
        (good, {key: '{"format": 2}'}),
        (good, {}),
    ]
    for arrays, metadata in wrong:
        with path.open("wb") as file:
            safetensors_file.write(file, arrays, metadata)
        with pytest.raises(InputFileError):
            TARGET.recorded(folder)
    path.write_bytes(b"nothing")
    with pytest.raises(ExportError):
        TARGET.recorded(folder)


def test_names_that_hdf5_has_no_place_for_are_labels(tmp_path: Path) -> None:
    named = {"1": "a/b", "3": "li"}
    plain = model()
    nodes = {named.get(name, name): node for name, node in plain.nodes.items()}
    edges = tuple(Edge(named.get(e.source, e.source), named.get(e.target, e.target), e.port) for e in plain.edges)
    TARGET.emit(TARGET.lower(Graph(nodes, edges), QuantiseChoice(), rasters()).graph, tmp_path)
    read = read_recording(recorded(tmp_path) / "expected.nir", Limits())
    assert set(read.run.spikes) == {"a_b"}


def test_layers_of_different_depth_meet_on_the_host(tmp_path: Path) -> None:
    """The host adds a layer of depth 1 and one of depth 2, each through weights, and the input: equally late."""
    generator = np.random.default_rng(1)
    plain = discrete_chain((8,), dense(generator, 8, 6, scale=3), cuba_lif((6,)), dense(generator, 6, 6, scale=3))
    nodes: dict[str, Any] = {name: plain.nodes[name] for name in ("input", "0", "2")}
    nodes |= {"first": plain.nodes["1"], "second": plain.nodes["1"], "sum": Sum((2,)), "output": Output((2,))}
    nodes |= {name: Linear(generator.normal(size=(2, n))) for name, n in (("a", 6), ("b", 6), ("c", 8))}
    edges = [Edge("input", "0"), Edge("0", "first"), Edge("first", "2"), Edge("2", "second")]
    edges += [Edge("first", "a"), Edge("second", "b"), Edge("input", "c")]
    edges += [Edge(name, "sum") for name in "abc"] + [Edge("sum", "output")]
    graph = Graph(nodes, tuple(edges))
    made = TARGET.lower(graph, QuantiseChoice(), rasters())
    TARGET.emit(made.graph, tmp_path)
    run = TARGET.run(tmp_path, rasters())
    assert made.skew["output"] == 2
    sent = {"a": run.spikes["first"][1:-1], "b": run.spikes["second"][2:], "c": rasters()["input"][:-2]}
    wanted = sum(sent[name] @ nodes[name].weight.T for name in "abc")
    assert np.allclose(run.outputs["output"][2:], wanted)
