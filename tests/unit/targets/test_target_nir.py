"""Target nir: what it writes is read by nir, read back equal, and runs as the model does, to the bit."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import nir
import numpy as np
import pytest
from graph_parts import differences
from nir_graphs import MODELS, traced

from norse_export import registry
from norse_export.errors import InputFileError, UnsupportedError
from norse_export.files.limits import Limits
from norse_export.formats.nir.load import load_nir
from norse_export.interpret import interpret
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Input, Output, Pool
from norse_export.passes.discretise import discretise
from norse_export.target import Stage, Target

TARGET: Target = registry.load("nir")
SLOW = ("recurrent", "residual", "per_neuron", "float64", "normalised", "even_by_odd", "conv1d", "lift")


def test_it_takes_the_continuous_graph_and_writes_one_file() -> None:
    assert (TARGET.name, TARGET.stage, TARGET.suffix, TARGET.folder) == ("nir", Stage.CONTINUOUS, ".nir", False)
    assert TARGET.runners()
    assert "NIR" in TARGET.description


@pytest.mark.parametrize("name", SLOW)
def test_what_was_emitted_runs_bit_identically(name: str, tmp_path: Path) -> None:
    model = traced(name)
    assert TARGET.check(model.graph) == ()
    path = tmp_path / "m.nir"
    TARGET.emit(model.graph, path)
    expected = interpret(discretise(model.graph), model.inputs)
    actual = TARGET.run(path, model.inputs)
    assert any(raster.any() and not raster.all() for raster in expected.spikes.values())
    assert list(actual.spikes) == list(expected.spikes)
    for kind in ("spikes", "outputs"):
        for node, raster in getattr(expected, kind).items():
            assert getattr(actual, kind)[node].dtype == raster.dtype
            assert np.array_equal(getattr(actual, kind)[node], raster), node
    for node, state in expected.final_state.items():
        for variable, values in state.items():
            assert np.array_equal(actual.final_state[node][variable], values), (node, variable)


def test_load_gives_the_graph_that_was_emitted(tmp_path: Path) -> None:
    graph = traced("recurrent").graph
    TARGET.emit(graph, tmp_path / "m.nir")
    with (tmp_path / "m.nir").open("rb") as file:
        loaded, findings = load_nir(file, name="m.nir", limits=Limits())
    assert differences(graph, loaded) == []
    assert findings == ()


def test_every_model_is_read_by_nir_with_type_check(tmp_path: Path) -> None:
    for name in MODELS:
        graph = traced(name).graph
        TARGET.emit(graph, tmp_path / f"{name}.nir")
        nodes = nir.read(tmp_path / f"{name}.nir").nodes
        for node, made in graph.nodes.items():
            sender = nodes.get(f"{node}.crop", nodes[node])
            assert tuple(sender.output_type["output"]) == made.output_shape, (name, node)


def max_pool() -> Graph[object]:
    nodes = {"input": Input((1, 4, 4)), "p": Pool("max", (1, 4, 4), (2, 2), (2, 2)), "output": Output((1, 2, 2))}
    return Graph(nodes, (Edge("input", "p"), Edge("p", "output")))  # type: ignore[arg-type]


def test_what_nir_cannot_express_is_found_by_check_and_refused_by_emit(tmp_path: Path) -> None:
    (finding,) = TARGET.check(max_pool())
    assert (finding.kind, finding.where, finding.severity) == ("pool_max", "p", "error")
    with pytest.raises(UnsupportedError, match="max pooling") as caught:
        TARGET.emit(max_pool(), tmp_path / "m.nir")
    assert caught.value.exit_code == 3
    assert list(tmp_path.iterdir()) == []


def test_an_artefact_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="no such file"):
        TARGET.run(tmp_path / "m.nir", {})
    (tmp_path / "m.nir").write_bytes(b"no HDF5")
    with pytest.raises(InputFileError):
        TARGET.run(tmp_path / "m.nir", {})


EMIT = """
import sys
import numpy as np
from pathlib import Path
from norse_export import registry
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Conv, Flatten, Input, Linear, Output, Sum
from norse_export.ir.neurons import CubaLIF

weights = np.random.default_rng(0)
def random(*shape): return weights.normal(size=shape).astype(np.float32)
nodes = {
    "input": Input((2, 5, 5)),
    "conv": Conv(random(4, 1, 1, 2), (5, 5), random(4), groups=2),
    "flat": Flatten((4, 5, 4)),
    "lif": CubaLIF(shape=(80,), dt=1e-3, tau_mem=np.array(0.01), tau_syn=np.array(0.005), v_leak=random(80),
                   v_th=random(80), v_reset=random(80), recurrent=True),
    "rec": Linear(random(80, 80)),
    "sum": Sum((80,)),
    "output": Output((80,)),
}
edges = (Edge("input", "conv"), Edge("conv", "flat"), Edge("flat", "lif"), Edge("lif", "rec", delay_steps=1),
         Edge("rec", "lif", "r"), Edge("lif", "sum"), Edge("flat", "sum"), Edge("sum", "output"))
registry.load("nir").emit(Graph(nodes, edges, {name: name for name in {"a", "b", "c"}}), Path(sys.argv[1]))
print(*sorted(name for name in sys.modules if name in ("torch", "norse", "nir")))
"""


def test_two_processes_emit_the_same_bytes_and_import_no_framework(tmp_path: Path) -> None:
    sums = []
    for seed, folder, file in (("1", "a", "m.nir"), ("2", "b c", "another name.nir")):
        (tmp_path / folder).mkdir()
        made = subprocess.run(
            [sys.executable, "-c", EMIT, file],
            cwd=tmp_path / folder,
            env={**os.environ, "PYTHONHASHSEED": seed, "TZ": f"UTC{seed}"},
            check=True,
            capture_output=True,
            text=True,
        )
        assert made.stdout.split() == []
        sums.append(hashlib.sha256((tmp_path / folder / file).read_bytes()).hexdigest())
    assert sums[0] == sums[1]
    assert nir.read(tmp_path / "a" / "m.nir").nodes.keys() >= {"conv", "lif"}
