"""Target loihi: the folder that it writes; the .net file against a checklist and against files that lava-dl wrote."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from small_nets import cuba_li, cuba_lif, discrete_chain, graph, spikes

from norse_export.errors import InputFileError
from norse_export.ir.fixed import ConvSynapses, DenseSynapses, FixedInput, Population
from norse_export.ir.graph import Graph
from norse_export.ir.layers import Conv, Flatten, Input, Linear, Output
from norse_export.passes.discretise import discretise
from norse_export.passes.plans import QuantiseChoice
from norse_export.targets.loihi import LoihiTarget, emulate_net
from norse_export.targets.loihi.chain import chain_of
from norse_export.targets.loihi.fit import axon_bits, demands, fits_on
from norse_export.targets.loihi.limits import LOIHI1, LOIHI2

pytestmark = pytest.mark.bulk  # the default suite has the recordings, and whole exports

TARGET = LoihiTarget()
FILES = ["host.safetensors", "model.net", "recording.npz", "report.json", "run_on_loihi.py"]


def normal(*shape: int, scale: float = 1.0) -> Any:
    return (scale * np.random.default_rng(shape[0]).normal(size=shape)).astype(np.float32)


def fixed(model: Graph[Any]) -> Graph[Any]:
    return TARGET.lower(model, QuantiseChoice(search=False), None, ranges=None).graph


def dense_net() -> Graph[Any]:
    first = Linear(normal(8, 6, scale=3.0), np.full(8, 0.1, np.float32))
    return fixed(discrete_chain((6,), first, cuba_lif((8,)), Linear(normal(4, 8, scale=3.0)), cuba_lif((4,))))


def image_net() -> Graph[Any]:
    conv = Conv(normal(3, 2, 3, 3, scale=2.0), (6, 5), normal(3, scale=0.1), stride=(2, 1), padding=(1, 0))
    flat = 3 * 3 * 3
    last = (Flatten((3, 3, 3)), Linear(normal(4, flat, scale=2.0)), cuba_lif((4,)), Linear(normal(2, 4)), cuba_li((2,)))
    return fixed(discrete_chain((2, 6, 5), conv, cuba_lif((3, 3, 3)), *last))


def recurrent_net() -> Graph[Any]:
    nodes: Any = {"input": Input((6,), "float32"), "in": Linear(normal(8, 6, scale=3.0))}
    nodes |= {"lif": cuba_lif((8,), recurrent=True), "rec": Linear(normal(8, 8)), "output": Output((8,))}
    edges = [("input", "in"), ("in", "lif", "x"), ("lif", "rec"), ("rec", "lif", "r", 1), ("lif", "output")]
    return fixed(discretise(graph(nodes, edges)))


NETS = {"dense": dense_net, "images": image_net, "recurrent": recurrent_net}


@pytest.fixture(params=NETS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    TARGET.emit(NETS[request.param](), tmp_path)
    return tmp_path


def structure(path: Path) -> dict[str, dict[str, tuple[str, int]]]:
    """For each type of layer the datasets in it: dtype, and number of axes."""
    found: dict[str, dict[str, tuple[str, int]]] = {}
    with h5py.File(path) as file:
        for layer in file["layer"].values():
            fields: dict[str, tuple[str, int]] = {}

            def visit(name: str, item: Any, fields: dict[str, tuple[str, int]] = fields) -> None:
                if isinstance(item, h5py.Dataset):
                    assert not item.attrs
                    fields[name] = (str(item.dtype), item.ndim)

            layer.visititems(visit)
            found.setdefault(layer["type"][0].decode(), {}).update(fields)
    return found


def test_the_folder_holds_these_files(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == FILES


def test_a_net_file_has_the_fields_of_files_that_lava_dl_wrote(tmp_path: Path, shared: Path) -> None:
    """Types of layers, names, dtypes and axes are those of the goldens: nothing more, and only optional ones less."""
    goldens: dict[str, dict[str, tuple[str, int]]] = {}
    for path in sorted((shared / "goldens" / "loihi" / "netx").glob("*.net")):
        for sort, fields in structure(path).items():
            goldens.setdefault(sort, {}).update(fields)
    seen = set()
    for name, make in NETS.items():
        path = tmp_path / name
        path.mkdir()
        TARGET.emit(make(), path)
        for sort, fields in structure(path / "model.net").items():
            seen.add(sort)
            assert fields.items() <= goldens[sort].items()
            assert goldens[sort].keys() - fields.keys() <= {"bias", "delay"}
    assert seen == {"input", "conv", "flatten", "dense", "dense_rec"}


def test_a_net_file_passes_the_checklist(folder: Path) -> None:
    with h5py.File(folder / "model.net") as file:
        layers = file["layer"]
        assert list(file) == ["layer"]
        assert sorted(layers, key=int) == [str(number) for number in range(len(layers))]
        for number in range(len(layers)):
            layer = layers[str(number)]
            sort = layer["type"][0].decode()
            assert layer["type"].dtype == "S10"
            assert layer["shape"].dtype == np.int64
            assert ("neuron" in layer) == (sort not in ("input", "flatten"))
            if "neuron" not in layer:
                assert set(layer) == {"type", "shape"}
                continue
            check_layer(layer, sort)


def check_layer(layer: Any, sort: str) -> None:
    for name in {"weight", "weight_rec", "bias"} & set(layer):
        values = layer[name][()]
        assert values.dtype == np.float32
        assert np.array_equal(values, np.rint(values))
        if name == "bias":
            assert -4096 <= values.min() <= values.max() <= 4095
        else:
            assert -256 <= values.min() <= values.max() <= 255
            mixed = values.min() < 0 < values.max()
            assert not mixed or np.all(values % 2 == 0) or -128 <= values.min() <= values.max() <= 127
            assert values.any()
    n_out = layer["weight"].shape[0]
    assert layer["shape"][0] == n_out
    neuron = layer["neuron"]
    assert set(neuron) == {"type", "iDecay", "vDecay", "vThMant", "refDelay", "gradedSpike"}  # no messageBits
    assert neuron["type"][()] == b"CUBA"
    assert 1 <= neuron["iDecay"][()] <= 4096
    assert 0 <= neuron["vDecay"][()] <= 4095
    assert 0 <= np.min(neuron["vThMant"][()]) <= np.max(neuron["vThMant"][()]) <= 131071
    assert (sort == "dense_rec") == ("weight_rec" in layer)
    if sort == "conv":
        assert all(layer[name].shape == (2,) for name in ("stride", "padding", "dilation"))
        assert layer["groups"].shape == ()


@pytest.mark.parametrize("name", NETS)
def test_the_same_graph_gives_the_same_bytes(name: str, tmp_path: Path) -> None:
    for place in ("one", "other"):
        (tmp_path / place).mkdir()
        TARGET.emit(NETS[name](), tmp_path / place)
    for file in FILES:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes()


def test_the_net_alone_does_what_the_recording_says(folder: Path) -> None:
    """`emulate_net` reads model.net and nothing else."""
    recording = np.load(folder / "recording.npz")
    raster = recording["input"]
    images = raster.ndim == 4
    found = emulate_net(folder / "model.net", raster.transpose(0, 3, 2, 1) if images else raster)
    assert raster.any()
    assert any(name.startswith("spikes") for name in recording.files)
    for name in recording.files:
        if name == "input":
            continue
        kind, number = name.split("_")
        states = found[int(number)]["s" if kind == "spikes" else "v"]
        states = states.transpose(0, 3, 2, 1) if states.ndim == 4 else states
        assert np.array_equal(states, recording[name])
        assert states.any()


def test_run_reads_the_net_file(tmp_path: Path) -> None:
    """A weight changed in model.net alone changes what runs."""
    TARGET.emit(dense_net(), tmp_path)
    inputs = {"input": spikes(np.random.default_rng(0), 40, 2, 6, rate=0.5)}
    before = TARGET.run(tmp_path, inputs)
    with h5py.File(tmp_path / "model.net", "r+") as file:
        file["layer/0/weight"][...] = file["layer/0/weight"][...][::-1]
    after = TARGET.run(tmp_path, inputs)
    assert not np.array_equal(before.spikes["1"], after.spikes["1"])
    assert "model.net" in after.ran_by


def test_states_are_recorded_where_asked_for(tmp_path: Path) -> None:
    TARGET.emit(dense_net(), tmp_path)
    inputs = {"input": spikes(np.random.default_rng(0), 10, 1, 6)}
    assert not TARGET.run(tmp_path, inputs).observables
    assert set(replace(TARGET, states=True).run(tmp_path, inputs).observables["1"]) == {"u", "v"}


def test_files_of_two_exports_are_refused(tmp_path: Path) -> None:
    for name, make in NETS.items():
        (tmp_path / name).mkdir()
        TARGET.emit(make(), tmp_path / name)
    shutil.copy(tmp_path / "recurrent" / "model.net", tmp_path / "dense" / "model.net")
    with pytest.raises(InputFileError, match="1 layers with neurons"):
        TARGET.run(tmp_path / "dense", {"input": np.zeros((3, 1, 6))})


@pytest.mark.parametrize("file", ["host.safetensors", "model.net"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "gone"])
def test_a_damaged_file_is_refused(file: str, damage: str, tmp_path: Path) -> None:
    TARGET.emit(dense_net(), tmp_path)
    path = tmp_path / file
    data = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    else:
        data[0] ^= 0xFF
        path.write_bytes(data[: len(data) // 2] if damage == "cut" else data)
    with pytest.raises(InputFileError) as caught:
        TARGET.run(tmp_path, {"input": np.zeros((3, 1, 6))})
    assert caught.value.fix


def test_the_report_names_registers_and_cores(tmp_path: Path) -> None:
    TARGET.emit(image_net(), tmp_path)
    report = json.loads((tmp_path / "report.json").read_text())
    assert [(layer["name"], layer["late_by_steps"], layer["readout"]) for layer in report["layers"]] == [
        ("1", 1, False),
        ("4", 2, False),
        ("6", 3, True),
    ]
    with h5py.File(tmp_path / "model.net") as file:
        assert report["layers"][0]["iDecay"] == file["layer/1/neuron/iDecay"][()]
    assert [(chip["chip"], chip["cores"]) for chip in report["chips"]] == [("Loihi 2", 3), ("Loihi 1", 3)]
    assert report["metadata"]["law"].startswith("lava")


def test_synapse_memory_is_counted_as_nengo_loihi_counts_it() -> None:
    """reference figures: 784 -> 512 dense takes 4608 bits an axon and 4 cores; 1024 -> 1024 takes 9."""
    assert axon_bits(512) == 4608
    for n_in, n_out, cores in ((784, 512, 4), (1024, 1024, 9)):
        weight = np.ones((n_out, n_in), np.float32)
        chain, _ = chain_of(fixed(discrete_chain((n_in,), Linear(weight), cuba_lif((n_out,)))))
        assert chain is not None
        (demand,) = demands(chain)
        fit = fits_on(demand, LOIHI1)
        assert (fit.cores, fit.binding) == (cores, "synapse memory")
        assert fits_on(demand, LOIHI2).by_limit["axons in"] is None


def test_fan_out_of_a_convolution_is_that_of_its_synapses() -> None:
    graph_made = image_net()
    chain, _ = chain_of(graph_made)
    assert chain is not None
    conv = chain.layers[0].synapses
    assert isinstance(conv, ConvSynapses)
    demand = demands(chain)[0]
    taps = sum(
        0 <= y * 2 + i - 1 < 6 and 0 <= x + j < 5
        for y in range(3)
        for x in range(3)
        for i in range(3)
        for j in range(3)
    )
    assert demand.synapses == 3 * 2 * taps
    assert demand.fan_in == 2 * 9


def test_a_layer_that_no_core_holds_is_named_with_exit_4() -> None:
    made = dense_net()
    lif = made.nodes["1"]
    assert isinstance(lif, Population)
    n_in = 40_000
    first = DenseSynapses(np.full((8, n_in), 2, np.int8), (n_in,), (8,))
    wide = Graph({**made.nodes, "input": FixedInput((n_in,)), "0": first}, made.edges, made.metadata)
    found = [finding for finding in TARGET.check(wide) if finding.severity == "error"]
    assert [(finding.kind, finding.where) for finding in found] == [("capacity", "1")]
    assert "synapse memory" in found[0].message


# A Lava that is none: it runs model.net by `emulate_net`, behind the names that the script uses.
STUB = """
import sys, types
import numpy as np
from norse_export.targets.loihi import emulate_net
SPOIL = {spoil}
class Port:
    def __init__(self, run): self.run = run
    def connect(self, other): other.data = self.run
class Watched:
    def __init__(self, net, number, key): self.net, self.number, self.key = net, number, key
class Neuron: pass
class Block: pass
class Inp: data = None
class Network:
    def __init__(self, net_config):
        self.path, self.inp, self.layers = net_config, Inp(), []
        import h5py
        with h5py.File(net_config) as file:
            count = sum("neuron" in layer for layer in file["layer"].values())
        for number in range(count):
            block = Block(); block.neuron = Neuron()
            block.neuron.s_out, block.neuron.v = Watched(self, number, "s"), Watched(self, number, "v")
            self.layers.append(block)
    def run(self, condition, run_cfg):
        data = np.moveaxis(self.inp.data, -1, 0)
        assert condition == len(data)
        self.states = emulate_net(self.path, data)
        self.states[0]["v"][5] += SPOIL
    def stop(self): pass
class RingBuffer:
    def __init__(self, data): self.s_out = Port(data)
class Monitor:
    def probe(self, watched, steps): self.watched = watched
    def get_data(self):
        w = self.watched
        return {{"process": {{w.key: w.net.states[w.number][w.key].astype(float)}}}}
def module(name, **values):
    parts = name.split(".")
    for n in range(1, len(parts) + 1):
        made = ".".join(parts[:n])
        if made not in sys.modules:
            sys.modules[made] = types.ModuleType(made); sys.modules[made].__path__ = []
    sys.modules[name].__dict__.update(values)
module("lava.proc.io.source", RingBuffer=RingBuffer)
module("lava.proc.monitor.process", Monitor=Monitor)
module("lava.magma.core.run_conditions", RunSteps=lambda num_steps: num_steps)
module("lava.magma.core.run_configs", Loihi2SimCfg=lambda **k: k, Loihi2HwCfg=lambda **k: k)
module("lava.lib.dl.netx.hdf5", Network=Network)
import runpy
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize("spoil", [0, 1])
def test_the_script_says_whether_all_is_equal(spoil: int, folder: Path) -> None:
    stub = folder.parent / f"stub_{folder.name}.py"
    stub.write_text(STUB.format(spoil=spoil))
    ended = subprocess.run([sys.executable, stub, folder / "run_on_loihi.py"], capture_output=True, text=True)
    assert ended.returncode == spoil, ended.stderr
    assert ("equal\n" in ended.stdout) == (spoil == 0)
    if spoil:
        assert "the first in step 5" in ended.stdout


def test_the_script_says_what_is_missing(folder: Path) -> None:
    script = folder / "run_on_loihi.py"
    ended = subprocess.run([sys.executable, "-I", script], capture_output=True, text=True)
    assert ended.returncode == 2
    assert "No module named 'lava'" in ended.stderr
