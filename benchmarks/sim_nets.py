"""The fixed graphs of the performance goals: the nets of the speed limit's kernel, with its law as a program.

The law: i = trunc(i ku / 4096) + (sum << 6); v = trunc(v kv / 4096) + i; spike when v > v_th, then v = 0; `trunc` is
toward zero. The limit (limit.py) stands in the folder `limit` of the shared data.
"""

from __future__ import annotations

import importlib
import os
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from norse_export.engine.recordings import Events
from norse_export.ir.fixed import ConvSynapses, DenseSynapses, FixedInput, Population, SparseSynapses
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Output
from norse_export.ir.stages import FixedNode
from norse_export.program.operations import TOWARD_ZERO, mul_shift, shift_left, where
from norse_export.program.program import Family, Step

WORKLOADS: dict[str, dict[str, int]] = {"W1b1": {"T": 10_000}, "W1b64": {}, "W2": {}, "W3": {}, "W4": {}, "W5": {}}


def limit_module() -> Any:
    """The module `limit`, from the folder that NORSE_EXPORT_SHARED names; None where there is none."""
    shared = os.environ.get("NORSE_EXPORT_SHARED")
    folder = Path(shared or ".") / "limit"
    if shared is None or not (folder / "limit.py").is_file():
        return None
    sys.path.insert(0, str(folder))
    return importlib.import_module("limit")


def _step(x: Any, v: Any, i: Any, *, ku: Any, kv: Any, v_th: Any) -> Step:
    current = mul_shift(i, ku, 12, TOWARD_ZERO) + shift_left(x, 6)
    membrane = mul_shift(v, kv, 12, TOWARD_ZERO) + current
    spike = membrane > v_th
    return Step(spike=spike, state=(where(spike, 0, membrane), current))


LAW = Family("limit", _step, ports=("x",), state=("v", "i"))


def _population(net: dict[str, Any], v_th: int, shape: tuple[int, ...]) -> Population:
    parameters = {"ku": np.int64(net["ku"]), "kv": np.int64(net["kv"]), "v_th": np.int64(v_th)}
    rest = {"v": np.int64(0), "i": np.int64(0)}
    return Population(program=LAW.trace(), shape=shape, parameters=parameters, initial_state=rest, dt=1e-3)


def _dense(net: dict[str, Any]) -> Graph[FixedNode]:
    """input -> h (-> h) -> o."""
    sizes = [*net["w0"].shape, net["w1"].shape[1]]
    a, b, c = ((size,) for size in sizes)
    nodes: dict[str, FixedNode] = {
        "input": FixedInput(a),
        "w0": DenseSynapses(np.ascontiguousarray(net["w0"].T), a, b),
        "h": _population(net, net["vth0"], b),
        "w1": DenseSynapses(np.ascontiguousarray(net["w1"].T), b, c),
        "o": _population(net, net["vth1"], c),
        "output": Output(c),
    }
    edges = [Edge("input", "w0"), Edge("w0", "h"), Edge("h", "w1"), Edge("w1", "o"), Edge("o", "output")]
    if "wr" in net:
        nodes["wr"] = DenseSynapses(np.ascontiguousarray(net["wr"].T), b, b)
        edges += [Edge("h", "wr", delay_steps=1), Edge("wr", "h")]
    return Graph(nodes, tuple(edges))


def _conv(net: dict[str, Any]) -> Graph[FixedNode]:
    """input [3, 28, 28] -> two convolutions of 7 x 7 -> a readout of raw sums."""
    shapes = [(3, 28, 28), (6, 22, 22), (12, 16, 16)]
    made = (10,)
    nodes: dict[str, FixedNode] = {
        "input": FixedInput(shapes[0]),
        "k0": ConvSynapses(net["k0"], shapes[0], shapes[1]),
        "h": _population(net, net["vth0"], shapes[1]),
        "k1": ConvSynapses(net["k1"], shapes[1], shapes[2]),
        "o": _population(net, net["vth1"], shapes[2]),
        "w2": DenseSynapses(net["w2"], shapes[2], made),
        "output": Output(made),
    }
    names = ["input", "k0", "h", "k1", "o", "w2", "output"]
    return Graph(nodes, tuple(Edge(a, b) for a, b in pairwise(names)))


def _sparse(net: dict[str, Any]) -> Graph[FixedNode]:
    """input -> h -> h, 100 targets a neuron; the input's weight and factor are one weight of 16 bits.

    The spikes are the result: there is no output, whose 10 million numbers would be floats.
    """
    targets, inputs = net["targets"], net["input_targets"]
    n, k = targets.shape
    taken, fan = inputs.shape
    strength = np.full(inputs.size, net["input_weight"] * net["input_factor"], np.int16)
    nodes: dict[str, FixedNode] = {
        "input": FixedInput((taken,)),
        "w": SparseSynapses(np.arange(taken + 1) * fan, inputs.reshape(-1), strength, (taken,), (n,)),
        "h": _population(net, net["vth0"], (n,)),
        "wr": SparseSynapses(np.arange(n + 1) * k, targets.reshape(-1), net["weights"].reshape(-1), (n,), (n,)),
    }
    edges = (Edge("input", "w"), Edge("w", "h"), Edge("h", "wr", delay_steps=1), Edge("wr", "h"))
    return Graph(nodes, edges)


def graph_of(limit: Any) -> Graph[FixedNode]:
    """The fixed graph of one workload of the limit."""
    return {"dense": _dense, "conv": _conv, "sparse": _sparse}[limit.kind](limit.net)


def events_of(limit: Any) -> Events:
    """The input's events, as the limit has them."""
    return Events(limit.ptr, limit.idx)


def listed_net(cells: int, fan_out: int, neurons: int) -> Graph[FixedNode]:
    """input -> h, each of the input's cells with `fan_out` listed synapses of 8 bits."""
    rng = np.random.default_rng(cells)
    targets = np.sort(rng.integers(0, neurons, (cells, fan_out)), axis=1).reshape(-1)
    weight = rng.integers(-127, 128, targets.size).astype(np.int8)
    nodes: dict[str, FixedNode] = {
        "input": FixedInput((cells,)),
        "w": SparseSynapses(np.arange(cells + 1) * fan_out, targets, weight, (cells,), (neurons,)),
        "h": _population({"ku": 3277, "kv": 3686}, 2**26, (neurons,)),
    }
    return Graph(nodes, (Edge("input", "w"), Edge("w", "h")))
