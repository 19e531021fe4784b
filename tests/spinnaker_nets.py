"""Networks for SpiNNaker's memory: dense ones, and one with whatever its rows, tables and words can hold."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from small_nets import cuba_li, cuba_lif, discrete_chain, graph, spikes

from norse_export.ir.layers import Conv, Flatten, Input, Linear, Output
from norse_export.ir.neurons import LIF
from norse_export.passes.discretise import discretise
from norse_export.passes.quantise import QuantiseChoice
from norse_export.targets.spinnaker import SpinnakerTarget

TARGET = SpinnakerTarget()
STEPS = 60
Rasters = Mapping[str, NDArray[Any]]


def weights(seed: int, n_in: int, n_out: int, deviation: float = 2.0) -> Linear:
    """Normal weights with the deviation divided by the root of the fan-in."""
    matrix = np.random.default_rng(seed).normal(size=(n_out, n_in)) * deviation / np.sqrt(n_in)
    return Linear(matrix.astype(np.float32))


def dense_net(path: Path, *sizes: int) -> Rasters:
    """Write the artefact of a dense network into an empty folder; rasters for it."""
    nodes: list[Any] = []
    for seed, (n_in, n_out) in enumerate(pairwise(sizes)):
        nodes += [weights(seed, n_in, n_out), cuba_lif((n_out,))]
    return _written(path, discrete_chain((sizes[0],), *nodes), {"input": (sizes[0],)})


def mixed_net(path: Path) -> Rasters:
    """The same for two inputs, convolution, recurrence over two cores, delays up to a whole turn of the ring buffers,

    parameters of each neuron, neurons without a synapse, a readout.
    """
    kernel = np.random.default_rng(3).normal(size=(4, 1, 3, 3)).astype(np.float32)
    box = {"tau_mem": np.float32(0.01), "v_leak": np.float32(0), "v_th": np.float32(1), "v_reset": np.float32(0)}
    nodes = {
        "image": Input((1, 9, 9), "float32"),
        "beside": Input((300,), "float32"),
        "conv": Conv(kernel, (9, 9), None, (1, 1), (1, 1), (1, 1), 1),
        "first": cuba_lif((4, 9, 9)),
        "flat": Flatten((4, 9, 9)),
        "in": weights(1, 324, 280),
        "loop": cuba_lif((280,), recurrent=True, v_th=np.linspace(0.5, 1.1, 280).astype(np.float32)),
        "back": weights(2, 280, 280, 0.5),
        "late": weights(4, 300, 280),
        "to box": weights(5, 280, 40, 8.0),
        "box": LIF(shape=(40,), r=np.float32(1), dt=1e-3, **box),
        "out": weights(6, 40, 10),
        "li": cuba_li((10,)),
        "output": Output((10,)),
    }
    names = ["image", "conv", "first", "flat", "in", "loop", "to box", "box", "out", "li", "output"]
    edges: list[tuple[Any, ...]] = [one for one in pairwise(names) if one != ("in", "loop")]
    edges += [("in", "loop", "x"), ("loop", "back", "x", 1), ("back", "loop", "r")]
    edges += [("beside", "late", "x", 30), ("late", "loop", "x")]
    return _written(path, discretise(graph(nodes, edges)), {"image": (1, 9, 9), "beside": (300,)})


def _written(path: Path, model: Any, inputs: Mapping[str, tuple[int, ...]]) -> Rasters:
    generator = np.random.default_rng(5)
    rasters = {name: spikes(generator, STEPS, 2, *shape, rate=0.1) for name, shape in inputs.items()}
    TARGET.emit(TARGET.lower(model, QuantiseChoice(), rasters).graph, path)
    return rasters


def small_net(path: Path) -> Rasters:
    """The same for a few neurons: recurrent ones with parameters of their own, and others of one kind."""
    nodes = {
        "input": Input((6,), "float32"),
        "in": weights(1, 6, 5),
        "own": cuba_lif((5,), recurrent=True, v_th=np.linspace(0.5, 1.1, 5).astype(np.float32)),
        "back": weights(2, 5, 5, 0.5),
        "out": weights(3, 5, 3),
        "same": cuba_lif((3,)),
        "output": Output((3,)),
    }
    edges: list[tuple[Any, ...]] = [("input", "in"), ("in", "own", "x"), ("own", "back", "x", 1), ("back", "own", "r")]
    edges += [("own", "out"), ("out", "same"), ("same", "output")]
    return _written(path, discretise(graph(nodes, edges)), {"input": (6,)})
