"""Play the stored raster on Loihi 2 or in Lava, through lava-dl's netx, and compare it with what norse-export computed.

    python run_on_loihi.py                 Lava's bit-accurate models, on the CPU: u, v and spikes of every layer
    python run_on_loihi.py --hardware      a Loihi 2 chip: v of every layer, and the spikes of the last one
    python run_on_loihi.py --samples 1     the first sample only

Reads model.net and recording.nir of this folder, and nothing else; recording.nir is NIR graph data, in HDF5: the raster
that went in, and for every layer the spikes and states after each step. Exits 0 when everything is equal, 1 when
something differs, 2 when it could not run: Lava or the recording is missing, or the call is wrong.

Needs Python 3.10 with lava-nc and lava-dl, numpy and h5py; with --hardware also Intel's extension lava-loihi, and a
board. Nothing of norse-export is needed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

HERE = Path(__file__).resolve().parent
STATES = ("spikes", "u", "v")
NO_RECORDING = "no raster is stored here: export the model again, without --no-verify"
BOARD = "lava.utils.loihi2_state_probes"  # a module of Intel's extension for the chip


@dataclass
class Recording:
    """What went in, [T, B, *shape], and of each layer in order the name and what is expected: [T, B, n] by state."""

    raster: Any
    names: list[str]
    expected: list[dict[str, Any]]


@dataclass
class Difference:
    """How many values of a state of a layer differ, and the first of them."""

    layer: str
    state: str
    total: int
    differing: int = 0
    first: str = ""


@dataclass
class Done:
    """What the layers did, by "state_layer", one [T, n] for each sample; what netx loaded, by the same names."""

    states: dict[str, list[Any]] = field(default_factory=dict)
    loaded: dict[str, Any] = field(default_factory=dict)


def main() -> int:
    """Parse, run, compare, tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hardware", action="store_true", help="a Loihi 2 chip instead of the CPU")
    parser.add_argument("--samples", type=int, help="how many samples; default: all that are stored")
    parser.add_argument("--net", type=Path, default=HERE / "model.net")
    parser.add_argument("--recording", type=Path, default=HERE / "recording.nir")
    parser.add_argument("--save", type=Path, help="write all that was read to this npz file")
    given = parser.parse_args()
    if given.samples is not None and given.samples < 1:
        parser.error(f"--samples {given.samples}: give 1 or more")
    try:
        recording = read_recording(given.recording)
        done = play(given.net, recording, given.samples, hardware=given.hardware)
        if given.save is not None:
            save(given.save, done)
    except Exception as error:  # whatever went wrong, nothing was compared
        if not isinstance(error, ImportError | OSError | KeyError | ValueError):
            traceback.print_exc()
        sys.stderr.write(f"could not run: {type(error).__name__}: {error}\n")
        return 2
    differences = compare(recording, done, hardware=given.hardware)
    if not differences and given.save is None:
        sys.stderr.write(f"could not run: {given.recording.name} says of no layer what to expect\n")
        return 2
    for one in differences:
        sys.stdout.write(f"layer {one.layer}: {one.differing} of {one.total} {one.state} differ{one.first}\n")
    if not any(np.any(expected.get("spikes", 0)) for expected in recording.expected):
        sys.stdout.write("no layer fires in this recording: that it is equal says little\n")
    total, wrong = sum(one.total for one in differences), sum(one.differing for one in differences)
    sys.stdout.write(f"{'equal' if wrong == 0 else 'DIFFERENT'}: {wrong} of {total} values differ\n")
    return 0 if wrong == 0 else 1


def read_recording(path: Path) -> Recording:
    """Read NIR graph data: the input, and every layer in the order of model.net."""
    if not path.exists():
        raise OSError(f"{path.name}: {NO_RECORDING}")
    with h5py.File(path, "r") as file:
        told = json.loads(file["metadata/loihi"][()].decode("utf-8"))
        raster = _rasters(file["nodes"][told["input"]])["input"]
        shape = tuple(told["input_shape"])
        expected = [_rasters(file["nodes"][name]) if name in file["nodes"] else {} for name in told["layers"]]
    names = list(told["layers"])
    return Recording(raster.reshape(*raster.shape[:2], *shape), names, expected)


def save(path: Path, done: Done) -> None:
    """Write what was read: "state_layer" [T, B, n], and what netx loaded."""
    arrays: dict[str, Any] = {key: np.stack(runs, 1) for key, runs in done.states.items()} | done.loaded
    np.savez(path, **arrays)


def _rasters(node: Any) -> dict[str, Any]:
    """What is recorded of a node, [T, B, n]; NIR graph data hold [B, T, n]."""
    return {name: np.moveaxis(group["data"][()], 0, 1) for name, group in node["observables"].items()}


def play(net_file: Path, recording: Recording, samples: int | None, *, hardware: bool) -> Done:
    """Run sample after sample, each on a network of its own, which begins at rest."""
    done = Done()
    stored = recording.raster.shape[1]
    for sample in range(min(samples or stored, stored)):
        one = _play_one(net_file, recording.raster[:, sample], hardware=hardware, done=done)
        for key, values in one.items():
            done.states.setdefault(key, []).append(values)
        sys.stderr.write(f"sample {sample + 1} of {min(samples or stored, stored)}\n")
    return done


def _play_one(net_file: Path, raster: Any, *, hardware: bool, done: Done) -> dict[str, Any]:
    """States of every layer, [T, n], n in the order of the exported model: (C, H, W) for images."""
    hdf5 = importlib.import_module("lava.lib.dl.netx.hdf5")
    source = importlib.import_module("lava.proc.io.source")
    conditions = importlib.import_module("lava.magma.core.run_conditions")
    net = hdf5.Network(net_config=str(net_file))
    blocks = [layer for layer in net.layers if getattr(layer, "neuron", None) is not None]
    if not done.loaded:
        done.loaded = _loaded(blocks)
    data = raster.transpose(0, 3, 2, 1) if raster.ndim == 4 else raster.reshape(len(raster), -1)
    sender = source.RingBuffer(data=np.moveaxis(data, 0, -1).astype(np.int32))
    reading = _probed(net, sender, blocks, len(raster)) if hardware else _monitored(net, sender, blocks, len(raster))
    source_port, config, read = reading
    _add(net_file, blocks, source_port)
    net.run(condition=conditions.RunSteps(num_steps=len(raster)), run_cfg=config)
    try:
        return {key: _flat(get(), len(raster)) for key, get in read.items()}
    finally:
        net.stop()


def _monitored(net: Any, sender: Any, blocks: list[Any], steps: int) -> tuple[Any, Any, dict[str, Any]]:
    """On the CPU: monitors of every layer."""
    monitors = importlib.import_module("lava.proc.monitor.process")
    configs = importlib.import_module("lava.magma.core.run_configs")
    sender.s_out.connect(net.inp)
    read = {}
    for number, block in enumerate(blocks):
        for state, variable in zip(STATES, (block.neuron.s_out, block.neuron.u, block.neuron.v), strict=True):
            monitor = monitors.Monitor()
            monitor.probe(variable, steps)
            read[f"{state}_{number}"] = monitor.get_data
    return sender.s_out, configs.Loihi2SimCfg(select_tag="fixed_pt", select_sub_proc_model=True), read


def _probed(net: Any, sender: Any, blocks: list[Any], steps: int) -> tuple[Any, Any, dict[str, Any]]:
    """On the chip: probes of v, and the spikes that leave the last layer."""
    adapters = importlib.import_module("lava.proc.embedded_io.spike")
    sinks = importlib.import_module("lava.proc.io.sink")
    configs = importlib.import_module("lava.magma.core.run_configs")
    probes = importlib.import_module(BOARD)
    into, out_of = adapters.PyToNxAdapter(shape=net.inp.shape), adapters.NxToPyAdapter(shape=net.out.shape)
    sink = sinks.RingBuffer(shape=net.out.shape, buffer=steps)
    sender.s_out.connect(into.inp)
    into.out.connect(net.inp)
    net.out.connect(out_of.inp)
    out_of.out.connect(sink.a_in)
    watched = [probes.StateProbe(block.neuron.v) for block in blocks]
    read: dict[str, Any] = {f"v_{n}": (lambda probe=probe: probe.time_series) for n, probe in enumerate(watched)}
    read[f"spikes_{len(blocks) - 1}"] = lambda: np.moveaxis(sink.data.get(), -1, 0)
    return into.out, configs.Loihi2HwCfg(callback_fxs=watched), read


def _add(net_file: Path, blocks: list[Any], source: Any) -> None:
    """What the file holds beside what netx reads: where states start, and second arrays of synapses; source: a port."""
    with h5py.File(net_file, "r") as file:
        layers = [file["layer"][str(number)] for number in range(len(file["layer"]))]
        layers = [layer for layer in layers if layer["type"][0] not in (b"input", b"flatten")]
        for key, group in file.get("additions", {}).items():
            number = int(key)
            neuron = blocks[number].neuron
            for state in ("u", "v"):
                if state in group:
                    values = group[state][()]
                    getattr(neuron, state).init = values.T if values.ndim == 3 else values  # (W, H, C) in Lava
            before = blocks[number - 1].neuron.s_out if number else source
            for one in group.get("synapses", {}).values():
                _connect(one, layers[number], neuron.s_out if one["recurrent"][()] else before, neuron.a_in)


def _connect(one: Any, layer: Any, sender: Any, target: Any) -> None:
    """One more array of synapses, as a process of Lava; layer: of the file, with window and delay."""
    modes = importlib.import_module("lava.utils.weightutils").SignMode
    weights, exponent = one["weight"][()].astype(np.int64), int(one["weight_exp"][()])
    mode = modes.INHIBITORY if one["type"][0] == b"inhibitory" else modes.MIXED
    options = {"weight_exp": exponent, "num_weight_bits": 8, "sign_mode": mode}
    if weights.ndim == 4 and exponent == 0:
        window = {name: tuple(int(n) for n in layer[name][()][::-1]) for name in ("stride", "padding", "dilation")}
        kernel = weights[:, :, ::-1, ::-1].transpose(0, 3, 2, 1)
        convolution = importlib.import_module("lava.proc.conv.process").Conv
        process = convolution(weight=kernel, input_shape=sender.shape, groups=int(layer["groups"][()]), **window)
        sender.connect(process.s_in)
        process.a_out.connect(target)
        return
    if weights.ndim == 4:
        listed = _listed(weights, layer, sender.shape[::-1], target.shape[::-1])
        process = importlib.import_module("lava.proc.sparse.process").Sparse(weights=listed, **options)
    elif "delay" in layer and not one["recurrent"][()]:
        late = importlib.import_module("lava.proc.dense.process").DelayDense
        process = late(weights=weights, delays=np.full(weights.shape, int(layer["delay"][()])), max_delay=62, **options)
    else:
        process = importlib.import_module("lava.proc.dense.process").Dense(weights=weights, **options)
    images = len(sender.shape) == 3
    (sender.transpose([2, 1, 0]).flatten() if images else sender).connect(process.s_in)
    sums = process.a_out
    (sums.reshape(target.shape[::-1]).transpose([2, 1, 0]) if len(target.shape) == 3 else sums).connect(target)


def _listed(kernel: Any, layer: Any, taken: Any, sent: Any) -> Any:
    """A convolution from images [C, H, W] to others as a sparse matrix [N_out, N_in]."""
    sparse = importlib.import_module("scipy.sparse")
    stride, padding, dilation = (layer[name][()] for name in ("stride", "padding", "dilation"))
    groups, (c_out, c_in) = int(layer["groups"][()]), kernel.shape[:2]
    out, into = np.arange(np.prod(sent)).reshape(sent), np.arange(np.prod(taken)).reshape(taken)
    values, rows, columns = [], [], []
    for o, i, y, x in np.argwhere(kernel):
        found = []
        for axis, tap in enumerate((y, x)):
            reached = np.arange(sent[1 + axis]) * stride[axis] - padding[axis] + tap * dilation[axis]
            found.append((np.flatnonzero((reached >= 0) & (reached < taken[1 + axis])), reached))
        (down, from_y), (right, from_x) = found
        source = into[i + c_in * (o * groups // c_out)]
        rows.append(out[o][np.ix_(down, right)].ravel())
        columns.append(source[np.ix_(from_y[down], from_x[right])].ravel())
        values.append(np.full(rows[-1].size, kernel[o, i, y, x]))
    where = (np.concatenate(rows), np.concatenate(columns))
    return sparse.csr_matrix((np.concatenate(values), where), shape=(out.size, into.size))


def _loaded(blocks: list[Any]) -> dict[str, Any]:
    """What netx made of the file: weights as Lava is given them, and registers."""
    found = {}
    for number, block in enumerate(blocks):
        for part, name in ((block.synapse, "synapse"), (getattr(block, "synapse_rec", None), "recurrent")):
            if part is None:
                continue
            weights = part.weights if hasattr(part, "weights") else part.weight
            found[f"{name}.weight_{number}"] = _value(weights)
            for key, default in (("weight_exp", 0), ("num_weight_bits", 8)):
                value = part.proc_params.get(key)
                found[f"{name}.{key}_{number}"] = np.asarray(default if value is None else value)
        for key in ("du", "dv", "vth", "bias_mant", "bias_exp"):
            found[f"{key}_{number}"] = _value(getattr(block.neuron, key))
    return found


def _value(variable: Any) -> Any:
    return np.asarray(getattr(variable, "init", variable))


def _flat(data: Any, steps: int) -> Any:
    """The one array of a monitor's data as whole numbers [T, n]; images, (W, H, C) in Lava, as (C, H, W)."""
    while isinstance(data, dict):
        data = next(iter(data.values()))
    array = np.asarray(data)
    if array.ndim > 1 and array.shape[0] != steps and array.shape[-1] == steps:
        array = np.moveaxis(array, -1, 0)
    array = array.transpose(0, 3, 2, 1) if array.ndim == 4 else array
    return array.reshape(steps, -1).astype(np.int64)


def compare(recording: Recording, done: Done, *, hardware: bool) -> list[Difference]:
    """Every recorded state that was read, layer by layer; the first difference by step.

    A chip's probe reads a code, and no potential, where a neuron spikes: there v is not compared.
    """
    found = []
    for number, (name, expected) in enumerate(zip(recording.names, recording.expected, strict=True)):
        for state in STATES:
            runs = done.states.get(f"{state}_{number}")
            if runs is None or state not in expected:
                continue
            actual, wanted = np.stack(runs, 1), expected[state][:, : len(runs)].astype(np.int64)
            if actual.shape != wanted.shape:
                found.append(Difference(name, state, wanted.size, wanted.size, f": shape {actual.shape}"))
                continue
            differs = actual != wanted
            if hardware and state == "v" and "spikes" in expected:
                differs &= expected["spikes"][:, : len(runs)] == 0
            one = Difference(name, state, wanted.size, int(differs.sum()))
            if one.differing:
                step, sample, neuron = (int(n) for n in np.argwhere(differs)[0])
                one.first = (
                    f", the first in step {step}, sample {sample}, neuron {neuron}: expected"
                    f" {wanted[step, sample, neuron]}, got {actual[step, sample, neuron]}"
                )
            found.append(one)
    return found


if __name__ == "__main__":
    sys.exit(main())
