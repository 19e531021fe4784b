"""Target sim: what it writes is placed, read back equal, and runs as the programs say, to the bit."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixed_graphs import every_node, layers, placed, population

from norse_export import registry
from norse_export.engine.machine.config import MachineConfig
from norse_export.engine.machine.load import load as load_machine
from norse_export.errors import CapacityError, ExportError, InputFileError, LimitError, UsageError
from norse_export.files.kind import Kind, kind_of
from norse_export.files.limits import Limits
from norse_export.formats.fixed_file import FixedModel, write_fixed
from norse_export.interpret.fixed import emulate
from norse_export.ir.fixed import DenseSynapses, FixedInput
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Input, Output
from norse_export.ir.placement import check_placement
from norse_export.passes.map import place
from norse_export.target import Stage

SIM: Any = registry.load("sim")
READ = sys.modules[type(SIM).__module__].load
NEURONS = 1024  # of a core: targets/sim/limits.py
INPUTS = {"input": np.random.default_rng(0).integers(-1, 4, (30, 2, 2, 8, 8))}


def emitted(graph: Graph[Any], path: Path, target: Any = SIM) -> Path:
    target.emit(graph, path)
    return path


def test_it_takes_the_fixed_graph_and_writes_one_file(tmp_path: Path) -> None:
    assert (SIM.name, SIM.stage, SIM.suffix, SIM.folder) == ("sim", Stage.FIXED, ".sim", False)
    assert SIM.runners() == ("engine",)
    assert "cycle" in SIM.description
    emitted(every_node(), tmp_path / "m.sim")
    with (tmp_path / "m.sim").open("rb") as file:
        assert kind_of(file) is Kind.FIXED


def test_what_was_emitted_runs_as_the_programs_say(tmp_path: Path) -> None:
    graph = every_node()
    assert SIM.check(graph) == ()
    path = emitted(graph, tmp_path / "m.sim")
    expected = emulate(graph, INPUTS, states=True)
    assert all(0 < raster.mean() < 1 for raster in expected.spikes.values())
    for target in (SIM, replace(SIM, states=True, threads=2)):
        actual = target.run(path, INPUTS)
        assert "engine" in actual.ran_by
        assert bool(actual.observables) is target.states
        for kind in ("spikes", "outputs"):
            found, wanted = getattr(actual, kind), getattr(expected, kind)
            assert list(found) == list(wanted)
            for name, raster in wanted.items():
                assert found[name].dtype == raster.dtype
                assert np.array_equal(found[name], raster)
        for kind in ("final_state", "observables") if target.states else ("final_state",):
            for name, states in getattr(expected, kind).items():
                for key, values in states.items():
                    assert np.array_equal(getattr(actual, kind)[name][key], values), (kind, name, key)


def test_the_file_holds_graph_placement_and_machine(tmp_path: Path) -> None:
    graph = layers(20, 2000, 10)
    model, machine = READ(emitted(graph, tmp_path / "m.sim"))
    assert list(model.graph.nodes) == list(graph.nodes)
    assert machine == MachineConfig()
    check_placement(model.placement, graph)
    assert [part.neurons for part in model.placement.by_population["p0"]] == [1000, 1000]
    assert load_machine(model.graph, model.placement, machine).memory[:, 0].max() <= NEURONS


def test_measured_spikes_change_the_placement_and_no_number(tmp_path: Path) -> None:
    graph = layers(30, 3000, 3000, 10)
    random = np.random.default_rng(0)
    counts = {"p0": np.repeat([0, 0, 9], 1000), "p1": np.repeat([9, 0, 0], 1000)}
    models = []
    for spikes in (None, counts):
        path = emitted(graph, tmp_path / f"{spikes is None}.sim", replace(SIM, spikes=spikes))
        models.append((READ(path)[0], SIM.run(path, {"input": random.integers(0, 2, (5, 1, 30)) * 0 + 1})))
    (one, ran), (other, again) = models
    assert one.placement != other.placement
    assert all(np.array_equal(ran.spikes[name], again.spikes[name]) for name in ran.spikes)


def test_the_machine_is_widened_for_the_graph(tmp_path: Path) -> None:
    nodes = dict(layers(3, 5).nodes)
    nodes["s0"] = DenseSynapses(np.full((5, 3), 2**20, np.int32), (3,), (5,))
    nodes["far"] = DenseSynapses(np.ones((5, 3), np.int8), (3,), (5,))
    edges = (*layers(3, 5).edges, Edge("input", "far", "x", 100), Edge("far", "p0"))
    graph = Graph(nodes, edges)
    assert SIM.check(graph) == ()
    _, machine = READ(emitted(graph, tmp_path / "m.sim"))
    assert (machine.delay_slots, machine.weight_bits) == (128, 22)
    assert machine.word_bits == 7 + 8 * (12 + 22)
    unchanged = asdict(MachineConfig()) | {
        key: getattr(machine, key) for key in ("delay_slots", "weight_bits", "word_bits")
    }
    assert asdict(machine) == unchanged


def test_the_machine_that_is_asked_for_is_written(tmp_path: Path) -> None:
    target = replace(SIM, machine=MachineConfig(lanes=4, axon_cycles=7))
    assert READ(emitted(layers(3, 5), tmp_path / "m.sim", target))[1] == target.machine


def wide(inputs: int, neurons: int) -> Graph[Any]:
    """Dense layers that share one row of memory for all weights."""
    nodes: dict[str, Any] = {"input": FixedInput((inputs,)), "output": Output((neurons,))}
    edges = []
    for number in range(2):
        weight = np.broadcast_to(np.ones((1, inputs), np.int8), (neurons, inputs))
        nodes |= {
            f"s{number}": DenseSynapses(weight, (inputs,), (neurons,)),
            f"p{number}": population("lif", (neurons,)),
        }
        edges += [Edge("input", f"s{number}"), Edge(f"s{number}", f"p{number}")]
    return Graph(nodes, (*edges, Edge("p1", "output")))


def test_everything_that_does_not_fit_is_found_at_once(tmp_path: Path) -> None:
    graph = wide(65537, 2)
    findings = SIM.check(graph)
    assert sorted((finding.kind, finding.where) for finding in findings) == [("capacity", "p0"), ("capacity", "p1")]
    assert all("65537 synapse words for one neuron, a core has 65536" in finding.message for finding in findings)
    with pytest.raises(CapacityError) as caught:
        SIM.emit(graph, tmp_path / "m.sim")
    assert caught.value.exit_code == 4
    assert SIM.check(wide(65536, 2)) == ()


def test_what_no_machine_has_is_found_and_named() -> None:
    graph = layers(3, 5)
    floats = {"floats": Input((3,)), "o2": Output((3,)), **graph.nodes}
    edges = [edge for edge in graph.edges if edge.target != "output"]
    edges += [Edge("p0", "output", "x", 2), Edge("floats", "o2")]
    findings = SIM.check(Graph(floats, tuple(edges)))
    assert {(finding.kind, finding.where) for finding in findings} == {
        ("input", "floats"), ("delay", "edge p0 -> output")
    }  # fmt: skip
    silent = {**graph.nodes, "p0": population("li", (5,)), "s1": DenseSynapses(np.ones((5, 5), np.int8), (5,), (5,))}
    silent["p1"] = population("lif", (5,))
    edges = [*graph.edges, Edge("p0", "s1"), Edge("s1", "p1")]
    (finding,) = SIM.check(Graph(silent, tuple(edges)))
    assert finding.where == "p0 -> s1"
    assert all(finding.fix for finding in findings)


def test_numbers_beyond_64_bits_are_found() -> None:
    graph = layers(3, 5)
    nodes = {**graph.nodes, "input": FixedInput((3,), 0, 2**31 - 1)}
    nodes["s0"] = DenseSynapses(np.full((5, 3), 2**31 - 1, np.int32), (3,), (5,))
    (finding,) = SIM.check(Graph(nodes, graph.edges))
    assert "64 bits" in finding.message


def test_an_artefact_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="no such file"):
        SIM.run(tmp_path / "m.sim", {})
    (tmp_path / "m.sim").write_bytes(b"nothing")
    with pytest.raises(InputFileError):
        SIM.run(tmp_path / "m.sim", {})


@pytest.mark.parametrize("machine", [{"lanes": 0}, {"colour": 1}, {"lanes": "8"}, {"index_bits": 1, "lanes": 1}])
def test_a_machine_that_cannot_be_is_refused(machine: dict[str, Any], tmp_path: Path) -> None:
    with (tmp_path / "m.sim").open("wb") as file:
        write_fixed(file, FixedModel(placed(every_node()).graph, placed(every_node()).placement, machine))
    with pytest.raises(ExportError) as caught:
        SIM.run(tmp_path / "m.sim", INPUTS)
    assert isinstance(caught.value, UsageError | CapacityError)


EMIT = """
import os, sys
from pathlib import Path
sys.path.insert(0, os.environ["TESTS"])
from fixed_graphs import every_node
from norse_export import registry
registry.load("sim").emit(every_node(), Path(sys.argv[1]))
print(*sorted(name for name in sys.modules if name in ("torch", "norse", "nir", "h5py")))
"""


def test_two_processes_emit_the_same_bytes_and_import_no_framework(tmp_path: Path) -> None:
    sums = []
    for seed, file in (("1", "m.sim"), ("2", "another name.sim")):
        formats = str(Path(__file__).parents[1] / "formats")
        made = subprocess.run(
            [sys.executable, "-c", EMIT, file],
            cwd=tmp_path,
            env={**os.environ, "PYTHONHASHSEED": seed, "TZ": f"UTC{seed}", "TESTS": formats},
            check=True,
            capture_output=True,
            text=True,
        )
        assert made.stdout.split() == []
        sums.append(hashlib.sha256((tmp_path / file).read_bytes()).hexdigest())
    assert sums[0] == sums[1]


def test_every_parameter_of_the_machine_is_in_the_file(tmp_path: Path) -> None:
    model, _ = READ(emitted(layers(3, 5), tmp_path / "m.sim"))
    assert list(model.machine) == [one.name for one in fields(MachineConfig)]


def test_what_it_wrote_is_told_by_content_and_read_with_its_mesh_and_machine(tmp_path: Path) -> None:
    graph = layers(20, 30)
    path = emitted(graph, tmp_path / "named.nir")
    (tmp_path / "other.sim").write_bytes(b"\x89HDF\r\n\x1a\n")
    assert SIM.holds(path)
    assert not any(SIM.holds(tmp_path / name) for name in ("other.sim", "missing", "."))
    assert registry.holder(path) == SIM
    assert SIM.recorded(path) is None
    held = SIM.read(path, Limits())
    assert list(held.nodes) == list(graph.nodes)
    assert held.metadata["mesh"] == "1 x 1 cores"
    assert held.metadata["machine.lanes"] == str(MachineConfig().lanes)
    with pytest.raises(LimitError):
        SIM.read(path, Limits(max_bytes=8))


def test_a_graph_that_was_checked_is_placed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    placements, module = [], sys.modules[type(SIM).__module__]
    monkeypatch.setattr(module, "place", lambda *given, **named: placements.append(given) or place(*given, **named))
    target, graph = type(SIM)(), layers(20, 30)
    target.check(graph)
    target.emit(graph, tmp_path / "m.sim")
    assert len(placements) == 1
    target.emit(layers(20, 40), tmp_path / "n.sim")
    replace(target, machine=MachineConfig(lanes=8)).emit(graph, tmp_path / "o.sim")
    assert len(placements) == 3
    assert READ(tmp_path / "n.sim")[0].placement.by_population["p0"][0].neurons == 40


def test_it_tells_how_many_cores_a_graph_takes_and_how_full_they_are() -> None:
    cores, neurons = SIM.limits(layers(20, 2000, 10))
    assert (cores.used, neurons.used, neurons.maximum) == (2, 1010, NEURONS)
    assert cores.maximum >= cores.used
    assert all("README" in limit.source for limit in (cores, neurons))


def test_to_check_and_write_needs_no_compiler() -> None:
    """Neither `targets` nor `check` waits for numba."""
    code = (
        "import sys; from norse_export import registry; registry.load('sim').runners(); print('numba' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
