"""Presets against the frameworks themselves: the same .nir file, loaded by the framework's own importer, step by step.

Numbers lie on a power-of-two grid, so that every arithmetic gives the same value and no spike may differ, or are any
numbers in float64. A framework that is not installed is skipped, with the reason.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import torch

from norse_export.files.limits import Limits
from norse_export.formats.nir.hdf5 import document_of, parse
from norse_export.formats.nir.to_graph import graph_of_document
from norse_export.interpret import interpret
from norse_export.ir.layers import Input
from norse_export.passes.discretise import discretise

pytestmark = pytest.mark.filterwarnings("ignore")

STEPS, SAMPLES, INPUTS, N = 60, 4, 3, 5
DT = 1e-4
Rows = np.ndarray[Any, Any]


def framework(name: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module(name)
        except ImportError as error:
            pytest.skip(f"{name.partition('.')[0]} is not installed: {error}")


def each(*values: float) -> Rows:
    return np.resize(np.array(values), N)


def graph(*nodes: nir.NIRNode, weight: Rows, feedback: Rows | None = None) -> nir.NIRGraph:
    """Input -> Affine -> nodes -> Output; feedback: from the last node to itself."""
    names = [f"n{k}" for k in range(len(nodes))]
    bias = np.zeros(N)
    made = {
        "input": nir.Input(np.array([INPUTS])),
        "w": nir.Affine(weight, bias),
        **dict(zip(names, nodes, strict=True)),
    }
    made["output"] = nir.Output(np.array([N]))
    path = list(made)
    edges = list(pairwise(path))
    if feedback is not None:
        made["back"] = nir.Linear(feedback)
        edges += [(names[-1], "back"), ("back", names[-1])]
    return nir.NIRGraph(made, edges)


def grid(seed: int, shape: tuple[int, ...] = (N, INPUTS)) -> Rows:
    """Weights that are multiples of 1/16, in -1/2 .. 1."""
    return np.random.default_rng(seed).integers(-8, 17, shape) / 16


def raster(seed: int, rate: float = 0.5) -> Rows:
    return np.random.default_rng(seed).random((STEPS, SAMPLES, INPUTS)) < rate


def ours(made: nir.NIRGraph, name: str, x: Rows, folder: Path, **said: Any) -> Rows:
    """What the file does, read as a framework, in float64."""
    nir.write(folder / "m.nir", made)
    with (folder / "m.nir").open("rb") as file:
        document = document_of(*parse(file, Limits()))
    loaded = graph_of_document(document, framework=name, **said)
    (name,) = (name for name, node in loaded.graph.nodes.items() if isinstance(node, Input))
    (sent,) = interpret(discretise(loaded.graph), {name: x}, dtype="float64").outputs.values()
    return sent


def stepped(module: Any, x: Rows, dtype: torch.dtype) -> Rows:
    """The framework's module, called once a step with the state that it gave."""
    module, state, sent = module.to(dtype), None, []
    with torch.no_grad():
        for row in torch.as_tensor(x, dtype=dtype):
            out, state = module(row, state)
            sent.append(out.numpy())
    return np.stack(sent)


def equal(found: Rows, theirs: Rows, *, spikes: bool = True) -> None:
    assert found.shape == theirs.shape
    if spikes:
        assert theirs.any(axis=(0, 1)).sum() > N // 2  # most neurons fire
        assert theirs.mean() < 0.9
        assert np.argwhere(found != theirs).tolist() == []
    else:
        assert np.ptp(theirs) > 0
        np.testing.assert_allclose(found, theirs, rtol=0, atol=1e-6)


def lif(tau: Rows, r: Rows, v_threshold: float = 1.0, v_reset: float = 0.0, v_leak: float = 0.0) -> nir.LIF:
    one = np.ones(N)
    return nir.LIF(tau=tau, r=r, v_leak=v_leak * one, v_threshold=v_threshold * one, v_reset=v_reset * one)


def cuba(tau_syn: Rows, tau_mem: Rows, r: Rows, w_in: Rows, v_threshold: float = 1.0, **more: float) -> nir.CubaLIF:
    one = np.ones(N)
    leak, reset = (more.get(name, 0.0) * one for name in ("v_leak", "v_reset"))
    return nir.CubaLIF(
        tau_syn=tau_syn, tau_mem=tau_mem, r=r, v_leak=leak, v_threshold=v_threshold * one, w_in=w_in, v_reset=reset
    )


# -- snnTorch: steps of 0.1 ms, a reset to zero, spikes above the threshold

SNNTORCH: dict[str, Callable[[], nir.NIRGraph]] = {
    "lif as it writes them": lambda: graph(lif(each(8, 4, 2) * DT, each(8, 4, 2)), weight=grid(1)),
    "lif of r = 1": lambda: graph(lif(each(8) * DT, each(1), 0.125), weight=grid(2)),
    "lif whose v_reset it does not look at": lambda: graph(lif(each(4) * DT, each(4), v_reset=0.5), weight=grid(3)),
    "synaptic": lambda: graph(cuba(each(2) * DT, each(4) * DT, each(4), each(2)), weight=grid(4)),
    "synaptic of w_in = 1": lambda: graph(cuba(each(2) * DT, each(8) * DT, each(8), each(1), 0.5), weight=grid(5)),
    "two layers": lambda: graph(
        lif(each(8) * DT, each(8), 0.5), nir.Affine(grid(6, (N, N)), np.zeros(N)), lif(each(4) * DT, each(4)),
        weight=grid(7),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SNNTORCH)
def test_snntorch_spikes_alike(name: str, tmp_path: Path) -> None:
    importer = framework("snntorch.import_nir")
    made, x = SNNTORCH[name](), raster(11)
    found = ours(made, "snntorch", x, tmp_path)
    equal(found, stepped(importer.import_from_nir(nir.read(tmp_path / "m.nir")), x, torch.float32))


def test_snntorch_spikes_alike_with_any_numbers_in_float64(tmp_path: Path) -> None:
    importer, generator = framework("snntorch.import_nir"), np.random.default_rng(5)
    made = graph(lif(each(7.3) * DT, each(3.1), 0.5), weight=generator.normal(0.3, 0.5, (N, INPUTS)))
    module = importer.import_from_nir(made)
    # what snnTorch stores in float32 is the file's number, rounded; the file is given those
    rounded = module.get_submodule("w").weight.detach().double().numpy()
    made = graph(lif(each(7.3) * DT, each(3.1), 0.5), weight=rounded)
    x = raster(12)
    equal(ours(made, "snntorch", x, tmp_path), stepped(importer.import_from_nir(made), x, torch.float64))


def test_a_file_that_snntorch_wrote_is_read_as_it_runs_without_its_delay(tmp_path: Path) -> None:
    snn, exporter = framework("snntorch"), framework("snntorch.export_nir")
    linear = torch.nn.Linear(INPUTS, N)
    neuron = snn.Leaky(
        beta=torch.full((N,), 0.75), threshold=torch.tensor(1.0).expand(N), reset_mechanism="zero", init_hidden=True,
        reset_delay=False,
    )  # fmt: skip
    with torch.no_grad():
        linear.weight.copy_(torch.as_tensor(grid(8)))
        linear.bias.fill_(0.0625)
    net = torch.nn.Sequential(linear, neuron)
    made = exporter.export_to_nir(net, torch.zeros(1, INPUTS), ignore_dims=[0])
    x = raster(13)
    neuron.reset_mem()
    with torch.no_grad():
        theirs = np.stack([net(row).numpy() for row in torch.as_tensor(x, dtype=torch.float32)])
    equal(ours(made, "snntorch", x, tmp_path), theirs)


def test_a_recurrent_file_that_snntorch_wrote_is_read_as_it_runs(tmp_path: Path) -> None:
    """snnTorch 1.0.0 writes it, and fails to load it again; so its own model is what runs."""
    snn, exporter = framework("snntorch"), framework("snntorch.export_nir")
    linear = torch.nn.Linear(INPUTS, N)
    neuron = snn.RLeaky(
        beta=torch.full((N,), 0.75), linear_features=N, reset_mechanism="zero", init_hidden=True, reset_delay=False
    )
    with torch.no_grad():
        linear.weight.copy_(torch.as_tensor(grid(8)))
        linear.bias.zero_()
        neuron.recurrent.weight.copy_(torch.as_tensor(grid(9, (N, N)) - 0.25))
        neuron.recurrent.bias.fill_(0.0625)
    net = torch.nn.Sequential(linear, neuron)
    made, x = exporter.export_to_nir(net, torch.zeros(1, INPUTS), ignore_dims=[0]), raster(14)
    neuron.reset_mem()
    with torch.no_grad():
        theirs = np.stack([net(row).numpy() for row in torch.as_tensor(x, dtype=torch.float32)])
    equal(ours(made, "snntorch", x, tmp_path), theirs)


# -- SpikingJelly: steps of 0.1 ms, a reset to v_reset, spikes at the threshold, a start at v_reset

SPIKINGJELLY: dict[str, Callable[[], nir.NIRGraph]] = {
    "if": lambda: graph(
        nir.IF(r=each(1 / DT), v_threshold=each(1.0), v_reset=each(0.25)), weight=grid(21)
    ),
    "lif": lambda: graph(lif(each(4) * DT, each(1), 0.125), weight=grid(22)),
    "lif that does not decay its input": lambda: graph(lif(each(4) * DT, each(4), 1.0), weight=grid(23)),
    "lif of another v_reset": lambda: graph(
        lif(each(4) * DT, each(4), 1.0, v_reset=-0.5, v_leak=-0.5), weight=grid(24)
    ),
    "cuba": lambda: graph(cuba(each(2) * DT, each(4) * DT, each(4), each(2)), weight=grid(25)),
    "cuba that starts at v_reset": lambda: graph(
        cuba(each(2) * DT, each(4) * DT, each(4), each(2), v_reset=0.5), weight=grid(26)
    ),
    "feedback": lambda: graph(
        lif(each(4) * DT, each(4), 1.0), weight=grid(27), feedback=grid(28, (N, N)) - 0.25
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SPIKINGJELLY)
def test_spikingjelly_spikes_alike(name: str, tmp_path: Path) -> None:
    importer = framework("spikingjelly.activation_based.nir_exchange.from_nir")
    made, x = SPIKINGJELLY[name](), raster(31)
    found = ours(made, "spikingjelly", x, tmp_path)
    equal(found, stepped(importer.import_from_nir(tmp_path / "m.nir", dtype=torch.float64), x, torch.float64))


def test_a_file_that_spikingjelly_wrote_is_read_as_it_runs(tmp_path: Path) -> None:
    exporter = framework("spikingjelly.activation_based.nir_exchange.to_nir")
    neuron = framework("spikingjelly.activation_based.neuron")
    linear = torch.nn.Linear(INPUTS, N, bias=True).double()
    with torch.no_grad():
        linear.weight.copy_(torch.as_tensor(grid(29)))
        linear.bias.zero_()
    net = torch.nn.Sequential(linear, neuron.LIFNode(tau=2.0, v_threshold=0.5, v_reset=0.0))
    made, x = exporter.export_to_nir(net, torch.zeros(1, INPUTS, dtype=torch.float64)), raster(32)
    net[1].reset()
    with torch.no_grad():
        theirs = np.stack([net(row).numpy() for row in torch.as_tensor(x, dtype=torch.float64)])
    equal(ours(made, "spikingjelly", x, tmp_path), theirs)


# -- sinabs: time constants in steps, exponential, a reset by subtraction, spikes at the threshold


@pytest.fixture
def no_samna(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sinabs brings samna for its chips, which downloads more of itself where it is imported: here it cannot be."""
    monkeypatch.setitem(sys.modules, "samna", None)


def sinabs_runs(made: nir.NIRGraph, x: Rows) -> Rows:
    importer = framework("sinabs.nir")
    module = importer.from_nir(made, batch_size=SAMPLES).double()
    flat = torch.as_tensor(np.swapaxes(x, 0, 1).reshape(SAMPLES * STEPS, INPUTS), dtype=torch.float64)
    with torch.no_grad():
        out = module(flat)[0]
    return np.swapaxes(out.numpy().reshape(SAMPLES, STEPS, N), 0, 1)


def small(seed: int) -> Rows:
    """Weights so small that no step takes a membrane to twice its threshold."""
    return np.abs(np.random.default_rng(seed).integers(1, 5, (N, INPUTS))) / 16


@pytest.mark.usefixtures("no_samna")
def test_sinabs_spikes_alike_where_no_step_holds_two_spikes(tmp_path: Path) -> None:
    x = raster(41)
    for node in (
        nir.IF(r=np.ones(N), v_threshold=np.ones(N)),
        nir.LIF(tau=np.float32(each(5, 9, 20)).astype(float), r=np.ones(N), v_leak=np.zeros(N), v_threshold=np.ones(N)),
    ):
        made = graph(node, weight=small(42))
        theirs = sinabs_runs(graph(node, weight=small(42)), x)
        assert theirs.max() == 1
        equal(ours(made, "sinabs", x, tmp_path), theirs)


@pytest.mark.usefixtures("no_samna")
def test_sinabs_leaky_integrators_are_alike(tmp_path: Path) -> None:
    node = nir.LI(tau=each(5, 9, 20), r=np.ones(N), v_leak=np.zeros(N))
    made, x = graph(node, weight=grid(43)), raster(44)
    found = ours(made, "sinabs", x, tmp_path)
    equal(found, sinabs_runs(made, x), spikes=False)


@pytest.mark.usefixtures("no_samna")
def test_sinabs_sends_several_spikes_where_it_is_told_that_it_does(tmp_path: Path) -> None:
    made, x = graph(nir.IF(r=np.ones(N), v_threshold=0.25 * np.ones(N)), weight=small(42)), raster(41)
    theirs, found = sinabs_runs(made, x), ours(made, "sinabs", x, tmp_path)
    assert theirs.max() > 1
    assert found.max() == 1


# -- Norse: steps of 1 ms, a reset to zero, r of LIF and IF not looked at


NORSE: dict[str, Callable[[], nir.NIRGraph]] = {
    "if": lambda: graph(nir.IF(r=each(1), v_threshold=each(1.0)), weight=grid(51)),
    "lif": lambda: graph(lif(each(4) * 1e-3, each(1), 0.125), weight=grid(52)),
    "lif whose r and v_reset it does not look at": lambda: graph(
        lif(each(4) * 1e-3, each(7), 0.125, v_reset=0.5), weight=grid(53)
    ),
    "cuba": lambda: graph(cuba(each(2) * 1e-3, each(4) * 1e-3, each(2), each(2), 0.25), weight=grid(54)),
}  # fmt: skip


@pytest.mark.parametrize("name", NORSE)
def test_norse_spikes_alike(name: str, tmp_path: Path) -> None:
    norse = framework("norse.torch")
    made, x = NORSE[name](), raster(61)
    found = ours(made, "norse", x, tmp_path)
    equal(found, stepped(norse.from_nir(nir.read(tmp_path / "m.nir"), ignore_warnings=True), x, torch.float32))


# -- Lava: steps of 0.1 ms, a reset to zero; its LIF in real numbers, as a process

LAVA_PYTHON = "NORSE_EXPORT_LAVA_PYTHON"
LAVA_SCRIPT = """
import sys
import numpy as np
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.io.sink import RingBuffer as Sink
from lava.proc.io.source import RingBuffer as Source
from lava.proc.lif.process import LIF
current, tau, dt, vth = np.load(sys.argv[1]), float(sys.argv[2]), 1e-4, float(sys.argv[3])
source = Source(data=current * (dt / tau))
lif = LIF(shape=(current.shape[0],), du=1.0, dv=dt / tau, vth=vth, bias_mant=0, bias_exp=0)
sink = Sink(shape=(current.shape[0],), buffer=current.shape[1])
source.s_out.connect(lif.a_in)
lif.s_out.connect(sink.a_in)
lif.run(condition=RunSteps(num_steps=current.shape[1]), run_cfg=Loihi2SimCfg(select_tag="floating_pt"))
np.save(sys.argv[4], sink.data.get())
lif.stop()
"""


def test_lava_spikes_alike(tmp_path: Path) -> None:
    """The current that arrives is given to Lava: its own synapses take a step each."""
    if LAVA_PYTHON not in os.environ:
        pytest.skip(f"{LAVA_PYTHON} names no Python 3.10 with lava-nc, which takes no later one")
    weight, x = grid(71), raster(72)
    made = graph(lif(each(8) * DT, each(3), 0.125, v_reset=0.5), weight=weight)
    found = ours(made, "lava", x, tmp_path)
    current = (x[:, 0].astype(float) @ weight.T).T
    np.save(tmp_path / "current.npy", current)
    files = [tmp_path / "current.npy", str(8 * DT), "0.125", tmp_path / "spikes.npy"]
    subprocess.run([os.environ[LAVA_PYTHON], "-W", "ignore", "-c", LAVA_SCRIPT, *files], check=True, timeout=300)
    equal(found[:, :1], np.load(tmp_path / "spikes.npy").T[:, None])
