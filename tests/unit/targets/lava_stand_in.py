"""A Lava that is none: packages of its names, in which netx.hdf5.Network runs a net by `emulate_net`.

`installed` writes them, and an interpreter that imports them: what talks to Lava can be tested without it.
"""

from __future__ import annotations

import sys
from pathlib import Path

VERSIONS = {"lava-nc": "0.10.0", "lava-dl": "0.6.0"}

_STUB = """
import h5py
import numpy as np

from norse_export.targets.loihi import emulate_net
from norse_export.files.limits import Limits
from norse_export.targets.loihi.netx import load_net
from pathlib import Path

SPOIL = {spoil!r}  # layer, state, step: one more there; or what goes wrong


class Port:
    shape = (1,)

    def __init__(self, run=None):
        self.run = run

    def connect(self, other):
        other.data = self.run

    def transpose(self, axes):
        return self

    flatten = reshape = lambda self, *shape: self


class Watched(Port):
    init = 0

    def __init__(self, net, number, key):
        super().__init__()
        self.net, self.number, self.key = net, number, key


class Register:
    def __init__(self, init):
        self.init = init


class Holder:
    pass


class Process:
    def __init__(self, **options):
        self.proc_params = options
        self.s_in, self.a_out = Holder(), Port()


class SignMode:
    MIXED, INHIBITORY = 1, 3


class Network:
    def __init__(self, net_config):
        if SPOIL == "load":
            raise RuntimeError("no such net")
        self.path, self.inp, self.layers = net_config, Holder(), []
        for number, layer in enumerate(load_net(Path(net_config), Limits(), additions=False).layers):
            block = Holder()
            block.neuron, block.synapse = Holder(), _synapses(layer.forward)
            block.neuron.a_in = Holder()
            block.neuron.a_in.shape = (1,)
            for name, key in (("s_out", "s"), ("u", "u"), ("v", "v")):
                setattr(block.neuron, name, Watched(self, number, key))
            if layer.recurrent is not None:
                block.synapse_rec = _synapses(layer.recurrent)
            _registers(block.neuron, layer)
            self.layers.append(block)

    def run(self, condition, run_cfg):
        data = np.moveaxis(self.inp.data, -1, 0)
        assert condition == len(data)
        self.states = emulate_net(self.path, data)
        if isinstance(SPOIL, tuple):
            layer, state, step = SPOIL
            self.states[layer][state].reshape(condition, -1)[step, 0] += 1
        if SPOIL == "stop":
            raise RuntimeError("1 Exception(s) occurred")

    def stop(self):
        pass


def _synapses(projection):
    process = Process(weight_exp=projection.weight_exp, num_weight_bits=projection.num_weight_bits)
    weight = projection.weight
    if projection.sort == "conv":
        weight = weight[:, :, ::-1, ::-1].transpose(0, 3, 2, 1)
    process.weights = Register(weight + 2 if SPOIL == "weights" else weight)
    return process


def _registers(neuron, layer):
    of = layer.neurons.parameters
    neuron.du, neuron.dv = Register(4095 - of["u_keep"]), Register(4096 - of["v_keep"] + (SPOIL == "registers"))
    neuron.vth, neuron.bias_exp = Register(np.asarray(of["v_th"] >> 6).T), Register(6)
    neuron.bias_mant = Register(np.asarray(of["bias"] >> 6).T)


class RingBuffer:
    def __init__(self, data):
        self.s_out = Port(data)


class Monitor:
    def probe(self, watched, steps):
        self.watched = watched

    def get_data(self):
        one = self.watched
        return {{"process": {{one.key: one.net.states[one.number][one.key].astype(float)}}}}


def RunSteps(num_steps):
    return num_steps


def Loihi2SimCfg(**options):
    return options


Dense = DelayDense = Sparse = Conv = Process
"""
_MODULES = {
    "lava.proc.io.source": "RingBuffer",
    "lava.proc.monitor.process": "Monitor",
    "lava.magma.core.run_conditions": "RunSteps",
    "lava.magma.core.run_configs": "Loihi2SimCfg",
    "lava.lib.dl.netx.hdf5": "Network",
    "lava.utils.weightutils": "SignMode",
    "lava.proc.dense.process": "Dense, DelayDense",
    "lava.proc.sparse.process": "Sparse",
    "lava.proc.conv.process": "Conv",
}


def installed(folder: Path, *, spoil: tuple[int, str, int] | str = "", without: str = "") -> Path:
    """The interpreter.

    spoil: layer, state and step of a wrong value; or "load", "stop", "weights", "registers". without: a module less.
    """
    packages = folder / "packages"
    packages.mkdir(parents=True)
    (packages / "lava_stub.py").write_text(_STUB.format(spoil=spoil))
    for module, names in _MODULES.items():
        if module == without:
            continue
        path = packages.joinpath(*module.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"from lava_stub import {names}\n")
    for name, version in VERSIONS.items():
        info = packages / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{packages}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return python
