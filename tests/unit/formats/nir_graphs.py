"""Small graphs and traced Norse models for tests of what is written as NIR, and equality of graphs to the bit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import norse.torch as snn
import numpy as np
import torch
from torch import nn

from norse_export.files.limits import Limits
from norse_export.formats.nir.document import NIRDocument
from norse_export.formats.nir.hdf5 import document_of, parse
from norse_export.formats.nir.to_document import document_of_graph
from norse_export.formats.nir.to_graph import LoadedGraph, graph_of_document
from norse_export.formats.nir.write import write
from norse_export.frontend.trace import trace
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Input, Output
from norse_export.ir.neurons import CubaLIF, NeuronModel

F32 = np.float32


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, F32)


def chain(*nodes: Any, names: str | None = None, metadata: Mapping[str, str] | None = None) -> Graph[Any]:
    """Nodes one after the other, between an Input and an Output."""
    inner = dict(zip((names or " ".join(f"n{k}" for k in range(len(nodes)))).split(), nodes, strict=True))
    every = {"input": Input(nodes[0].input_shape), **inner, "output": Output(nodes[-1].output_shape)}
    keys = list(every)
    return Graph(every, tuple(Edge(a, b) for a, b in pairwise(keys)), metadata or {})


def lif(n: int = 3, **fields: Any) -> NeuronModel:
    values: dict[str, Any] = {
        "shape": (n,), "dt": 1e-3, "tau_mem": np.array(0.01), "tau_syn": np.array(0.005),
        "v_leak": F32(0), "v_th": F32(1), "v_reset": F32(0),
    }  # fmt: skip
    return CubaLIF(**{**values, **fields})


def round_trip(graph: Graph[Any], path: Path) -> LoadedGraph:
    return graph_of_document(written(graph, path))


def written(graph: Graph[Any], path: Path) -> NIRDocument:
    """Write a graph, and read the file back as a document, in this process."""
    write(path, document_of_graph(graph))
    return read(path)


def read(path: Path) -> NIRDocument:
    with path.open("rb") as file:
        return document_of(*parse(file, Limits()))


def raster(*shape: int, rate: float = 0.3, seed: int = 0) -> torch.Tensor:
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < rate).float()


def _lif(**levels: Any) -> Any:
    return snn.LIFParameters(**{name: torch.as_tensor(value) for name, value in levels.items()})


class Residual(nn.Module):
    """x + a(x): an addition whose order counts."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.l = nn.Linear(20, 20), snn.LIFCell(_lif(v_th=0.1))
        self.b, self.l2 = nn.Linear(20, 20), snn.LIFCell(_lif(v_th=0.1))

    def forward(self, x: torch.Tensor, state: Any = None) -> Any:
        s1, s2 = state or (None, None)
        h, s1 = self.l(self.a(x), s1)
        h2, s2 = self.l2(self.b(h + x) + h, s2)
        return h2, (s1, s2)


def _normalised() -> nn.Module:
    norm = nn.BatchNorm2d(4)
    with torch.no_grad():
        norm.running_mean.uniform_(-0.1, 0.1)
        norm.running_var.uniform_(0.02, 0.1)
    return snn.SequentialState(
        nn.Conv2d(2, 4, 3, padding=1, groups=2), norm, snn.LIFCell(), nn.Conv2d(4, 4, (3, 1)),
        snn.LIFCell(_lif(v_th=0.1)), nn.LPPool2d(1, 2), nn.Flatten(), nn.Linear(48, 3),
    )  # fmt: skip


def _scaled(conv: nn.Module, factor: float) -> nn.Module:
    with torch.no_grad():
        conv.weight *= factor
    return conv


def _per_neuron() -> nn.Module:
    return snn.SequentialState(
        nn.Linear(20, 15),
        snn.LIFCell(
            _lif(
                v_th=torch.linspace(0.05, 0.2, 15),
                tau_mem_inv=torch.linspace(50.0, 400.0, 15),
                tau_syn_inv=torch.linspace(100.0, 900.0, 15),
                v_reset=torch.linspace(-0.1, 0.0, 15),
                v_leak=0.01,
            ),
            dt=5e-4,
        ),
        nn.Linear(15, 5),
        snn.LICell(dt=2e-3),
    )


FLAT, MAPS = (50, 4, 20), (20, 3, 2, 8, 8)
MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "lif": (lambda: snn.SequentialState(_scaled(nn.Linear(20, 15), 4), snn.LIFCell(), nn.Linear(15, 5)), FLAT),
    "recurrent": (
        lambda: snn.SequentialState(snn.LIFRecurrentCell(20, 30), nn.Linear(30, 10), snn.LICell()),
        FLAT,
    ),
    "recurrent_root": (lambda: snn.LIFRecurrent(20, 30), FLAT),
    "root": (lambda: snn.LIFCell(_lif(v_th=0.01)), FLAT),
    "iaf": (lambda: snn.SequentialState(nn.Linear(20, 15), snn.IAFCell(), nn.Linear(15, 5), snn.LIBoxCell()), FLAT),
    "box": (
        lambda: snn.SequentialState(
            nn.Linear(20, 15),
            snn.LIFBoxCell(snn.LIFBoxParameters(tau_mem_inv=torch.tensor(500.0), v_th=torch.tensor(0.1))),
        ),
        FLAT,
    ),
    "residual": (Residual, FLAT),
    "per_neuron": (_per_neuron, FLAT),
    "float64": (lambda: snn.SequentialState(nn.Linear(20, 15), snn.LIFCell(_lif(v_th=0.1))).double(), FLAT),
    "lift": (
        lambda: snn.SequentialState(
            snn.Lift(nn.Conv2d(2, 4, 3, padding=1)), snn.LIF(_lif(v_th=0.1)), snn.Lift(nn.AvgPool2d(2)),
            nn.Flatten(2), nn.Linear(64, 5), snn.LI(),
        ),
        MAPS,
    ),
    "normalised": (_normalised, MAPS),
    "even_by_odd": (
        lambda: snn.SequentialState(
            nn.Conv2d(2, 4, (1, 4), bias=False), snn.LIFCell(_lif(v_th=0.05)),
            nn.Conv2d(4, 8, (8, 1), groups=4), snn.LIFCell(_lif(v_th=0.01)), nn.Flatten(), nn.Linear(40, 3),
        ),
        MAPS,
    ),
    "conv1d": (
        lambda: snn.SequentialState(
            nn.Conv1d(4, 8, 3, stride=2, dilation=2, groups=2), snn.LIFCell(_lif(v_th=0.05)), nn.Flatten(),
            nn.Linear(48, 3),
        ),
        (20, 3, 4, 16),
    ),
}  # fmt: skip


def traced(name: str) -> Any:
    """The model of that name, traced on a random raster; weights from a fixed seed."""
    make, shape = MODELS[name]
    torch.manual_seed(0)
    model = make().eval()
    x = raster(*shape)
    return trace(model, x.double() if name == "float64" else x)
