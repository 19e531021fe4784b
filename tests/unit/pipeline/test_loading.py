"""What is said of files that are no models, and of a time step in the wrong unit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from norse_export.errors import GraphError, InputFileError, UsageError
from norse_export.formats.nir.to_document import document_of_graph
from norse_export.formats.nir.write import write
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Input, Output
from norse_export.ir.neurons import CubaLIF
from norse_export.ir.step_choice import StepChoice
from norse_export.pipeline import LoadChoice, load
from norse_export.pipeline.time_step import with_steps

RASTERS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "x.csv": (lambda path: path.write_text("0,0.1,1\n0,0.2,0\n"), "a table of numbers (CSV)"),
    "x.npy": (lambda path: np.save(path, np.zeros((3, 1))), "a numpy array (.npy)"),
    "x.npz": (lambda path: np.savez(path, input=np.zeros((3, 1))), "a numpy archive (.npz)"),
}


@pytest.mark.parametrize("name", RASTERS)
def test_rasters_in_the_place_of_a_model_are_told_where_they_belong(name: str, tmp_path: Path) -> None:
    make, kind = RASTERS[name]
    make(tmp_path / name)
    with pytest.raises(InputFileError) as caught:
        load(tmp_path / name)
    assert caught.value.what == f"{kind} holds rasters or recordings, and no model"
    assert caught.value.where == name
    assert f"--inputs {name}" in caught.value.fix


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A NIR file of another tool, which says no time step; tau is 10 ms."""
    one = np.ones(2)
    lif = nir.LIF(tau=one * 1e-2, r=one, v_leak=one * 0, v_threshold=one, v_reset=one * 0)
    nodes = {"in": nir.Input(np.array([2])), "lif": lif, "out": nir.Output(np.array([2]))}
    nir.write(tmp_path / "foreign.nir", nir.NIRGraph(nodes, [("in", "lif"), ("lif", "out")]))
    return tmp_path / "foreign.nir"


def test_a_time_step_in_milliseconds_is_told_the_unit(foreign: Path) -> None:
    with pytest.raises(GraphError, match="half of dt = 1 s or less") as caught:
        load(foreign, loading=LoadChoice(dt=1.0))
    assert caught.value.where == "lif"
    assert caught.value.fix.startswith("--dt is in seconds: for 1 ms give --dt 0.001; ")
    assert [finding.fix for finding in caught.value.findings] == [caught.value.fix]
    assert load(foreign, loading=LoadChoice(dt=1e-3)).graph.nodes["lif"].dt == 1e-3


def test_a_time_step_that_is_no_number_of_milliseconds_is_not_told_the_unit(foreign: Path) -> None:
    with pytest.raises(GraphError, match=r"half of dt = 0\.04 s or less") as caught:
        load(foreign, loading=LoadChoice(dt=0.04))
    assert "--dt" not in caught.value.fix
    assert caught.value.fix.startswith("give a tau_mem of dt or more, in seconds (not ms)")
    assert caught.value.fix.endswith("or choose a smaller dt")


def test_an_overriding_time_step_in_milliseconds_names_the_node_too(tmp_path: Path) -> None:
    tau = np.float32(1e-2)
    zero = np.float32(0)
    neuron = CubaLIF(shape=(1,), dt=1e-3, tau_mem=tau, tau_syn=tau, v_leak=zero, v_th=np.float32(1), v_reset=zero)
    nodes = {"input": Input((1,)), "0.cell": neuron, "output": Output((1,))}
    path, graph = tmp_path / "m.nir", Graph(nodes, (Edge("input", "0.cell"), Edge("0.cell", "output")))
    write(path, document_of_graph(graph))
    with pytest.raises(GraphError) as caught:
        load(path, loading=LoadChoice(dt=1.0, override=True))
    assert caught.value.where == "0.cell"
    assert "for 1 ms give --dt 0.001" in caught.value.fix
    with pytest.raises(GraphError) as caught:
        with_steps(graph, StepChoice(dt=1.0, override=True))  # as for a model file
    assert caught.value.where == "0.cell"


def test_a_time_constant_that_is_wrong_by_itself_is_not_blamed_on_the_time_step(foreign: Path) -> None:
    import h5py

    with h5py.File(foreign, "r+") as file:
        file["node/nodes/lif/tau"][...] = -1.0
    with pytest.raises((GraphError, UsageError, InputFileError)) as caught:
        load(foreign, loading=LoadChoice(dt=1.0))
    assert "--dt" not in caught.value.fix
