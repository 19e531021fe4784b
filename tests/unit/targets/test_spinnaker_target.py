"""Target spinnaker: the folder that it writes, its run from that alone, limits, and the script on a chip of ours."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from math import ceil, log2
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from small_nets import cuba_li, cuba_lif, dense, discrete_chain, graph, spikes
from spinnaker_oracle import Neuron, run_network

from norse_export.engine.network import compile_network
from norse_export.errors import ExportError, GraphError, InputFileError, UsageError
from norse_export.formats import safetensors_file
from norse_export.interpret.fixed import summed
from norse_export.ir.fixed import ConvSynapses, FixedInput, Population
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Conv, Flatten, Input, Linear, Output
from norse_export.passes.discretise import discretise
from norse_export.passes.quantise import QuantiseChoice
from norse_export.target import Stage
from norse_export.targets.spinnaker import SpinnakerTarget, write_raster
from norse_export.targets.spinnaker.artefact import KEY, identifier
from norse_export.targets.spinnaker.derive import WORDS, Model, derive
from norse_export.targets.spinnaker.limits import CORES_PER_BOARD, Use, findings, usage
from norse_export.targets.spinnaker.listing import as_run, listed
from norse_export.targets.spinnaker.placing import MONITOR_BYTES, SDRAM_BYTES
from norse_export.targets.spinnaker.target import load

pytestmark = pytest.mark.bulk  # the default suite has the recordings, and whole exports

TARGET = SpinnakerTarget(states=True)
STEPS = 60


def weights(seed: int, n_in: int, n_out: int, scale: float = 1.0) -> Linear:
    return dense(np.random.default_rng(seed), n_in, n_out, scale=scale * 4 / np.sqrt(n_in))


def made() -> Graph[Any]:
    """Convolution, recurrence, a readout and a host layer."""
    generator = np.random.default_rng(3)
    kernel = generator.normal(size=(2, 1, 3, 3)).astype(np.float32)
    nodes = {
        "input": Input((1, 6, 6), "float32"),
        "0.conv": Conv(kernel, (6, 6), None, (2, 1), (1, 0), (1, 1), 1),
        "1": cuba_lif((2, 3, 4)),
        "flat": weights(1, 24, 12),
        "lif": cuba_lif((12,), recurrent=True, v_reset=-0.2),
        "back": weights(2, 12, 12, 0.3),
        "2": weights(3, 12, 3),
        "li": cuba_li((3,)),
        "host": weights(4, 12, 2),
        "output": Output((3,)),
        "other": Output((2,)),
    }
    nodes["flatten"] = Flatten((2, 3, 4))
    names = ["input", "0.conv", "1", "flatten", "flat"]
    edges: list[tuple[Any, ...]] = list(pairwise(names))
    edges += [("flat", "lif", "x"), ("lif", "back", "x", 1), ("back", "lif", "r"), ("lif", "2"), ("2", "li")]
    edges += [("li", "output"), ("lif", "host"), ("host", "other")]
    model = discretise(graph(nodes, edges))
    return TARGET.lower(model, QuantiseChoice(), raster()).graph


def raster(samples: int = 2) -> dict[str, Any]:
    return {"input": spikes(np.random.default_rng(7), STEPS, samples, 1, 6, 6)}


@pytest.fixture(scope="module")
def network() -> Graph[Any]:
    return made()


@pytest.fixture
def folder(network: Graph[Any], tmp_path: Path) -> Path:
    TARGET.emit(network, tmp_path)
    return tmp_path


def test_it_takes_the_fixed_graph_and_writes_a_folder(folder: Path) -> None:
    assert (TARGET.name, TARGET.stage, TARGET.suffix, TARGET.folder) == ("spinnaker", Stage.FIXED, ".spinnaker", True)
    assert TARGET.runners() == ("emulation",)
    assert sorted(path.name for path in folder.iterdir()) == ["deploy.py", "network.safetensors", "report.json"]


def test_the_same_graph_gives_the_same_bytes(network: Graph[Any], folder: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    again.mkdir()
    TARGET.emit(network, again)
    for path in again.iterdir():
        assert path.read_bytes() == (folder / path.name).read_bytes()


def test_what_is_read_back_runs_as_the_graph_does_on_the_engine(network: Graph[Any], folder: Path) -> None:
    expected, actual = compile_network(network).run(raster(), states=True).run, TARGET.run(folder, raster())
    assert "emulation" in actual.ran_by
    assert set(actual.spikes) == {"1", "lif"}
    for kind in ("spikes", "outputs"):
        for name, values in getattr(expected, kind).items():
            assert values.any(), name
            assert np.array_equal(values, getattr(actual, kind)[name]), name
    for kind in ("observables", "final_state"):
        assert set(getattr(actual, kind)) == {"1", "lif", "li"}
        for name, recorded in getattr(expected, kind).items():
            for key, values in recorded.items():
                assert np.array_equal(values, getattr(actual, kind)[name][key]), (name, key)


def test_run_reads_nothing_but_the_network(folder: Path) -> None:
    for name in ("deploy.py", "report.json"):
        (folder / name).unlink()
    assert TARGET.run(folder, raster()).spikes["lif"].any()


def test_the_report_names_what_is_used_and_what_becomes_of_the_weights(folder: Path) -> None:
    report = json.loads((folder / "report.json").read_text())
    assert report["totals"]["cores"] == 4
    assert report["host"] == ["host"]
    layer = report["layers"]["lif"]
    assert layer["late_steps"] == 2
    for told in layer["receptor_types"].values():
        assert told["least_weight"] == 2.0 ** (told["shift"] - 15)
        assert told["largest_sum_seen"] <= told["largest_sum_possible"]
    assert report["layers"]["li"]["read"] == "membrane"


def changed(folder: Path, change: Any) -> None:
    """Write the network again after a change of its description and tensors, with right checksums."""
    path = folder / "network.safetensors"
    raw = path.read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    document = json.loads(header["__metadata__"][KEY])
    start = 8 + int.from_bytes(raw[:8], "little")
    arrays = {}
    for name, entry in header.items():
        if name != "__metadata__":
            first, last = entry["data_offsets"]
            dtype = safetensors_file.DTYPES[entry["dtype"]]
            arrays[name] = np.frombuffer(raw[start + first : start + last], dtype).reshape(entry["shape"]).copy()
    change(document, arrays)
    with path.open("wb") as file:
        safetensors_file.write(file, arrays, {KEY: json.dumps(document)})


@pytest.mark.parametrize(
    "change",
    [
        lambda d, a: d.update(format=99),
        lambda d, a: d["populations"][0].update(model="izhikevich"),
        lambda d, a: d["populations"][0].update(shifts=[99, 0]),
        lambda d, a: d["populations"][0].update(scale=0),
        lambda d, a: d["populations"][0].update(words=[]),
        lambda d, a: d["populations"][0].update(shape=[-1]),
        lambda d, a: d["populations"][0].update(name="input"),
        lambda d, a: d["populations"][0].pop("late") and d["populations"][0].pop("dt"),
        lambda d, a: d["projections"][0].update(delay_steps=0),
        lambda d, a: d["projections"][0].update(delay_steps=10**12),
        lambda d, a: d["projections"][0].update(port="gaba"),
        lambda d, a: d["projections"][0].update(source="nobody"),
        lambda d, a: a["projection.0.weights"].__setitem__(0, 65536),
        lambda d, a: a["projection.0.targets"].__setitem__(0, 10**6),
        lambda d, a: a["projection.0.starts"].__setitem__(0, 5),
        lambda d, a: a["population.0"].__setitem__((0, 3), 0),
        lambda d, a: a.pop("population.0"),
        lambda d, a: d["host"]["edges"].append(["input", "nowhere", "x"]),
        lambda d, a: d["host"]["edges"].append([1, 2]),
        lambda d, a: d["host"]["nodes"].append(["p", {"type": "Population"}]),
        lambda d, a: d.pop("metadata"),
    ],
)
def test_a_damaged_network_is_refused(folder: Path, change: Any) -> None:
    changed(folder, change)
    with pytest.raises(ExportError) as caught:
        TARGET.run(folder, raster())
    assert caught.value.exit_code == 2


def test_a_changed_byte_is_found(folder: Path) -> None:
    path = folder / "network.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    with pytest.raises(InputFileError):
        TARGET.run(folder, raster())


def test_a_folder_without_a_network_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputFileError):
        TARGET.run(tmp_path, raster())


def test_inputs_that_do_not_fit_are_refused(folder: Path) -> None:
    with pytest.raises(UsageError):
        TARGET.run(folder, {"input": np.zeros((3, 1, 5))})


def test_a_graph_of_another_law_is_refused(network: Graph[Any]) -> None:
    foreign = Graph(network.nodes, network.edges, {})
    assert {finding.kind for finding in TARGET.check(foreign)} == {"graph"}
    told = json.loads(network.metadata["spinnaker"])
    told["lif"]["shifts"][0] += 1
    other = Graph(network.nodes, network.edges, {**network.metadata, "spinnaker": json.dumps(told)})
    (finding,) = TARGET.check(other)
    assert finding.where == "lif"


def test_parameters_that_no_words_give_are_refused(network: Graph[Any], tmp_path: Path) -> None:
    node: Any = network.nodes["lif"]
    parameters = {**node.parameters, "exc_init": node.parameters["exc_init"] + 1}
    nodes = {**network.nodes, "lif": replace(node, parameters=parameters)}
    with pytest.raises(GraphError, match="no parameter words"):
        TARGET.emit(Graph(nodes, network.edges, network.metadata), tmp_path)


def test_labels_are_identifiers_of_their_own() -> None:
    labels: list[str] = []
    for name in ("0.conv", "0_conv", 'x"; import os #', "", "ä", "a" * 99, "a" * 98):
        labels.append(identifier(name, labels))
    assert len(set(labels)) == len(labels)
    assert all(label.isidentifier() and label.isascii() for label in labels)


def test_listed_synapses_are_those_of_every_form() -> None:
    generator = np.random.default_rng(0)
    weight = generator.integers(0, 9, (4, 1, 3, 2)).astype(np.int8)
    node = ConvSynapses(weight, (2, 7, 6), (4, 4, 2), (2, 2), (1, 0), (1, 2), 2)
    x = generator.integers(0, 2, (5, 3, 2, 7, 6)).astype(np.int8)
    flat = listed(node)
    assert np.all(flat.weight > 0)
    assert np.array_equal(summed("n", node, x), summed("n", flat, x))
    assert np.array_equal(summed("n", node, x), summed("n", as_run(flat), x))


def check_of(model: Graph[Any]) -> set[tuple[str, str, str]]:
    return {(f.kind, f.severity, f.where) for f in TARGET.check(TARGET.lower(model, QuantiseChoice()).graph)}


def test_the_limits_of_cores_and_delays() -> None:
    for delay, per_core, broken in ((32, 256, False), (33, 128, False), (512, 16, False), (513, 16, True)):
        nodes = {
            "input": Input((4,), "float32"),
            "0": weights(1, 4, 300),
            "lif": cuba_lif((300,)),
            "output": Output((300,)),
        }
        model = discretise(graph(nodes, [("input", "0", "x", delay), ("0", "lif"), ("lif", "output")]))
        use = usage(TARGET.lower(model, QuantiseChoice()).graph)["lif"]
        assert (use.neurons_per_core, use.cores, use.longest_delay) == (per_core, ceil(300 / per_core), delay)
        assert (("capacity", "error", "lif") in check_of(model)) is broken


def test_more_than_a_board_and_full_memories_are_told() -> None:
    board = CORES_PER_BOARD
    one = Use(256 * board, 256, board, 0, 32, 1, 2**20, 2**15)
    told = {cores: {f.kind for f in findings({"1": replace(one, cores=cores)})} for cores in (board, board + 1, 1024)}
    assert told == {board: set(), board + 1: {"boards"}, 1024: {"boards", "routing"}}
    (full,) = findings({"1": replace(one, cores=1, sdram_bytes=SDRAM_BYTES - MONITOR_BYTES + 1)})
    assert (full.kind, full.severity, full.where) == ("capacity", "error", "1")


def test_rows_in_memory_are_counted() -> None:
    model = discrete_chain((10,), Linear(np.ones((300, 10), np.float32)), cuba_lif((300,)))
    use = usage(TARGET.lower(model, QuantiseChoice()).graph)["1"]
    assert use.synapses == 3000
    assert use.row_bytes == 16 + 10 * (3 + 256) * 4
    assert (use.slots, use.ring_bytes) == (32, 2 * 2 * 2 * 256)


# The script, on a chip of ours: what it asks sPyNNaker for is encoded as sPyNNaker does it, and run by the oracle.


class Chip(ModuleType):
    """As much of pyNN.spiNNaker as the script uses."""

    def __init__(self) -> None:
        super().__init__("pyNN.spiNNaker")
        self.populations: list[Any] = []
        self.projections: dict[tuple[str, str], Any] = {}
        self.timestep = 0.0

    def setup(self, timestep: float) -> None:
        self.timestep = timestep
        self.populations, self.projections = [], {}

    def end(self) -> None:
        pass

    def SpikeSourceArray(self, spike_times: Any) -> Any:
        return SimpleNamespace(kind="source", times=spike_times)

    def IF_curr_exp(self, **values: Any) -> Any:
        return SimpleNamespace(kind=Model.IF_CURR_EXP, values=values)

    def IF_curr_delta(self, **values: Any) -> Any:
        return SimpleNamespace(kind=Model.IF_CURR_DELTA, values=values)

    def FromListConnector(self, rows: Any) -> Any:
        return rows

    def Population(self, size: int, cells: Any, label: str, additional_parameters: Any = None) -> Any:
        made = ChipPopulation(size, cells, label, additional_parameters)
        self.populations.append(made)
        return made

    def Projection(self, source: Any, target: Any, rows: Any, receptor_type: str) -> None:
        number = ("excitatory", "inhibitory").index(receptor_type)
        weight, delay = self.projections.setdefault(
            (source.label, target.label), (np.zeros((source.size, target.size)), np.ones((source.size, target.size)))
        )
        for i, j, w, d in rows:
            assert w * (1, -1)[number] > 0
            whole = np.rint(abs(w) * 2.0 ** (15 - target.shifts()[number]))
            assert 0 < whole <= 65535
            weight[i, j] = whole * (1, -1)[number]
            delay[i, j] = np.rint(d / self.timestep)

    def run(self, milliseconds: float) -> None:
        source = next(one for one in self.populations if one.cells.kind == "source")
        steps = round(milliseconds / self.timestep)
        sent = np.zeros((steps, source.size), int)
        for cell, times in enumerate(source.cells.times):
            sent[np.rint(np.asarray(times) / self.timestep).astype(int), cell] = 1
        neurons = {one.label: one for one in self.populations if one is not source}
        records = run_network(
            sent.tolist(),
            {name: one.neurons() for name, one in neurons.items()},
            {
                ("inp" if a == source.label else a, b): (w.astype(int).tolist(), d.astype(int).tolist())
                for (a, b), (w, d) in self.projections.items()
            },
            {name: [32] * one.size for name, one in neurons.items()},
        )
        for name, one in neurons.items():
            one.records = records[name]


class ChipPopulation:
    """A population of the script."""

    def __init__(self, size: int, cells: Any, label: str, more: Any) -> None:
        self.size, self.cells, self.label, self.more = size, cells, label, more
        self.state: dict[str, Any] = {}
        self.recorded: str | None = None
        self.records: Any = None

    def set_max_atoms_per_core(self, neurons: int) -> None:
        assert neurons == 256

    def initialize(self, **values: Any) -> None:
        self.state |= values

    def record(self, what: str) -> None:
        self.recorded = what

    def shifts(self) -> list[int]:
        """As get_ring_buffer_shifts has it."""
        found = []
        for largest in self.more["max_expected_summed_weight"]:
            shift = max(0, ceil(log2(largest)))
            found.append(shift + (2.0**shift <= largest))
        return found

    def neurons(self) -> list[Neuron]:
        theirs = {"tau_syn_E": "tau_syn_exc", "tau_syn_I": "tau_syn_inh"}
        values = {theirs.get(key, key): value for key, value in self.cells.values.items()}
        values |= {"isyn_exc": 0, "isyn_inh": 0, "refract_timer": 0} | self.state
        values |= {"dt": 1.0, "dt_synapse": 1.0, "dt_input": 1.0}
        rows = []
        for cell in range(self.size):
            mine = {key: value[cell] if isinstance(value, list) else value for key, value in values.items()}
            steps = int(mine.pop("refract_timer"))
            raw = {key: round(Decimal(str(value)) * 32768) for key, value in mine.items()} | {"refract_timer": steps}
            rows.append([raw[name] for name in WORDS[self.cells.kind]])
        derived = derive(self.cells.kind, np.array(rows))
        each = [{key: int(value[cell]) for key, value in derived.items()} for cell in range(self.size)]
        return [Neuron(self.cells.kind is Model.IF_CURR_EXP, one, self.shifts()) for one in each]

    def get_data(self, what: str) -> Any:
        assert what == self.recorded
        if what == "v":
            volts = np.array([[record["v_rec"] for record in row] for row in self.records]) / 32768
            segment = SimpleNamespace(filter=lambda name: [SimpleNamespace(magnitude=volts)] if name == "v" else [])
            return SimpleNamespace(segments=[segment])
        fired = np.array([[record["spike"] for record in row] for row in self.records])
        trains = [SimpleNamespace(magnitude=np.flatnonzero(column).astype(float)) for column in fired.T]
        return SimpleNamespace(segments=[SimpleNamespace(spiketrains=trains)])


@pytest.fixture
def chip(monkeypatch: pytest.MonkeyPatch) -> Chip:
    made = Chip()
    monkeypatch.setitem(sys.modules, "pyNN", ModuleType("pyNN"))
    monkeypatch.setitem(sys.modules, "pyNN.spiNNaker", made)
    return made


def script(folder: Path) -> Any:
    """The script of an artefact, as a module."""
    spec = importlib.util.spec_from_file_location("deploy_of_artefact", folder / "deploy.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def recorded(folder: Path) -> Path:
    """The folder with a recording of three samples."""
    TARGET.record(folder, raster(3), TARGET.run(folder, raster(3)))
    return folder


@pytest.mark.parametrize("number", [0, 2])
def test_the_script_deploys_what_the_emulation_runs(
    recorded: Path, chip: Chip, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    assert script(recorded).main(["--sample", str(number)]) == 0
    assert chip.timestep == 1.0
    told = capsys.readouterr().out
    assert "lif: 0 of 720 spikes differ" in told
    assert "li: 0 of 180 membranes differ" in told


def test_the_script_plays_rasters_of_one_s_own(folder: Path, chip: Chip) -> None:
    played = folder / "mine.safetensors"
    write_raster(folder, raster(), played)
    assert script(folder).main(["--raster", str(played), "--sample", "1"]) == 0


@pytest.mark.parametrize("kind", ["spikes.lif", "v.li"])
def test_the_script_finds_a_single_cell_that_differs(recorded: Path, chip: Chip, kind: str) -> None:
    deploy = script(recorded)
    played = recorded / "recording.safetensors"
    metadata, tensors = deploy.read(played)
    wrong = {name: array.copy() for name, array in tensors.items()}
    wrong[kind][40, 0, 2] ^= 1
    with played.open("wb") as file:
        key = next(key for key in metadata if key != "sha256")
        safetensors_file.write(file, wrong, {key: metadata[key]})
    assert deploy.main([]) == 1
    assert deploy.main(["--sample", "1"]) == 0


def test_the_script_ends_with_2_where_it_can_play_nothing(
    folder: Path, chip: Chip, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy = script(folder)

    def refused(*arguments: str) -> str:
        assert deploy.main(list(arguments)) == 2
        return capsys.readouterr().err

    assert "stores no raster" in refused()
    assert "no such file" in refused("--raster", str(folder / "none"))
    assert "no recording" in refused("--raster", str(folder / "network.safetensors"))
    TARGET.record(folder, raster(), TARGET.run(folder, raster()))
    assert "holds 2, from 0 to 1" in refused("--sample", "2")
    assert "holds 2" in refused("--sample", "-1")
    assert "give a name" in refused("--machine", "a\n[Mode]")
    monkeypatch.setitem(sys.modules, "pyNN.spiNNaker", None)
    assert "pip install" in refused()
    with pytest.raises(SystemExit) as wrong:
        deploy.main(["--virtual", "--machine", "here"])
    assert wrong.value.code == 2


def test_a_virtual_run_has_a_configuration_of_its_own(
    recorded: Path, chip: Chip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert script(recorded).main(["--virtual"]) == 0
    assert list(home.iterdir()) == []
    (written,) = tmp_path.glob("spinnaker-*/.spynnaker.cfg")
    assert "virtual_board = True" in written.read_text()


def test_what_the_artefact_holds_is_what_was_lowered(network: Graph[Any], folder: Path) -> None:
    read = load(folder)
    for name, node in network.nodes.items():
        if isinstance(node, Population):
            other: Any = read.graph.nodes[name]
            assert other.program == node.program
            assert other.unit["v"].flat[0] == node.unit["v"].flat[0]
        elif isinstance(node, FixedInput):
            assert read.graph.nodes[name] == node
    kept = {(e.source, e.target) for e in network.edges if e.target in ("output", "other", "host")}
    assert kept <= {(e.source, e.target) for e in read.graph.edges}
    assert Edge("host", "other") in read.graph.edges
