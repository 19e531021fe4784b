"""Random small networks: layers of every kind, every neuron family, branches, sums, delays and loops.

All numbers are on a grid of powers of two, and so short that every sum is exact in float64, in any order. With
`fine=True` weights, parameters and rasters are ordinary floats instead.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.ir.graph import Edge, Graph, Shape
from norse_export.ir.layers import Conv, Flatten, Input, Linear, Output, Pool, Scale, Sum
from norse_export.ir.neurons import IF, LI, LIF, CubaLI, CubaLIF, NeuronModel
from norse_export.ir.stages import ContinuousNode

Array = NDArray[Any]
DT = 2.0**-10


@dataclass(frozen=True)
class Net:
    """A continuous graph, and rasters for it."""

    graph: Graph[ContinuousNode]
    inputs: dict[str, Array]


def random_net(seed: int, *, fine: bool = False, dtype: str = "float32", steps: int = 5, samples: int = 2) -> Net:
    """A network of 3 to 8 nodes between its input and its outputs."""
    maker = _Maker(np.random.default_rng(seed), fine, dtype)
    shape: Shape = (2, 4, 4) if maker.chance(0.4) else (int(maker.generator.integers(1, 5)),)
    maker.add("input", Input(shape, dtype))  # type: ignore[arg-type]
    for _ in range(maker.generator.integers(3, 9)):
        maker.grow()
    maker.loop_back()
    sent = {edge.source for edge in maker.edges}
    for name in [name for name in maker.nodes if name not in sent]:
        maker.add(f"out{name}", Output(maker.nodes[name].output_shape), name)
    names = list(maker.nodes)
    if maker.chance(0.5):
        maker.generator.shuffle(names)
    graph = Graph({name: maker.nodes[name] for name in names}, tuple(maker.edges))
    return Net(graph, {"input": maker.raster(steps, samples, *shape)})


@dataclass
class _Maker:
    generator: np.random.Generator
    fine: bool
    dtype: str
    nodes: dict[str, ContinuousNode] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)

    def chance(self, p: float) -> bool:
        return bool(self.generator.random() < p)

    def pick(self, *choices: Any) -> Any:
        return choices[self.generator.integers(len(choices))]

    def numbers(self, *shape: int, scale: float = 1.0) -> Array:
        """Weights: quarters between -2 and 2, or normal."""
        if self.fine:
            return (scale * self.generator.normal(size=shape)).astype(self.dtype)
        return (self.generator.integers(-8, 9, size=shape) / 4).astype(self.dtype)

    def raster(self, *shape: int) -> Array:
        spikes = self.generator.random(shape) < 0.5
        return (spikes * self.generator.normal(size=shape) if self.fine else spikes).astype(self.dtype)

    def add(self, name: str, node: ContinuousNode, *sources: str, delay: int = 0) -> str:
        self.nodes[name] = node
        self.edges += [Edge(source, name, "x", delay) for source in dict.fromkeys(sources)]
        return name

    def grow(self) -> None:
        """Put a node behind some node, mostly the last; a quarter of the edges are delayed."""
        names = [name for name, node in self.nodes.items() if not isinstance(node, Output)]
        source = names[-1] if self.chance(0.7) else self.pick(*names)
        name, shape = str(len(self.nodes)), self.nodes[source].output_shape
        delay = self.pick(1, 2, 3) if self.chance(0.25) else 0
        kinds = [self.neuron] * 4 + [self.scale]
        kinds += [self.conv, self.pool, self.flatten] if len(shape) == 3 else [self.linear, self.linear]
        if self.chance(0.2):
            others = [other for other in names if other != source and self.nodes[other].output_shape == shape]
            self.add(name, Sum(shape), source, *others[:2])
        elif len(shape) == 1 and self.chance(0.2):
            self.recurrent(name, shape, source)
        else:
            self.add(name, self.pick(*kinds)(shape), source, delay=delay)

    def linear(self, shape: Shape) -> Linear:
        n_out = int(self.generator.integers(1, 5))
        return Linear(self.numbers(n_out, shape[0]), self.numbers(n_out) if self.chance(0.5) else None)

    def conv(self, shape: Shape) -> ContinuousNode:
        groups = self.pick(*[g for g in (1, 2) if shape[0] % g == 0])
        kernel = tuple(min(self.pick(1, 2, 3), size) for size in shape[1:])
        weight = self.numbers(2, shape[0] // groups, *kernel, scale=0.7)
        bias = self.numbers(2) if self.chance(0.5) else None
        stride, padding = (self.pick(1, 2), self.pick(1, 2)), (self.pick(0, 1), self.pick(0, 1))
        return Conv(weight, shape[1:], bias, stride, padding, groups=groups)

    def pool(self, shape: Shape) -> ContinuousNode:
        kernel: Any = tuple(min(2, size) for size in shape[1:])
        return Pool(self.pick("avg", "sum", "max"), shape, kernel, (self.pick(1, 2), self.pick(1, 2)))

    def flatten(self, shape: Shape) -> ContinuousNode:
        return Flatten(shape)

    def scale(self, shape: Shape) -> ContinuousNode:
        return Scale(self.numbers(*shape))

    def neuron(self, shape: Shape) -> ContinuousNode:
        start = {"v0": self.numbers(*shape)} if self.chance(0.5) else {}
        return self.pick(*self.families())(shape=shape, dt=DT, dtype=self.dtype, **start)

    def families(self) -> list[Any]:
        """Every family, a third of them with a gain that is not 1."""
        gain: dict[str, Any] = {"r": np.float64(self.pick(2, 0.5))} if self.chance(0.3) else {}
        leak = {"v_leak": self.pick(0.0, 0.5)}
        fire = {"v_th": self.pick(0.25, 0.5, 1.0), "v_reset": self.pick(0.0, 0.0, -0.5)}
        levels = {name: np.dtype(self.dtype).type(value) for name, value in (leak | fire).items()}
        only_leak, only_fire = ({name: levels[name] for name in part} for part in (leak, fire))
        mem, syn = {"tau_mem": self.tau()}, {"tau_syn": self.tau()}
        rate = {"r": np.float64(2 / DT)} if gain else {}
        return [
            lambda **common: CubaLIF(**common, **mem, **syn, **levels, **gain),
            lambda **common: CubaLI(**common, **mem, **syn, **only_leak, **gain),
            lambda **common: LIF(**common, **mem, **levels, **gain),
            lambda **common: LI(**common, **mem, **only_leak, **gain),
            lambda **common: IF(**common, **only_fire, **rate),
        ]

    def tau(self) -> Any:
        if self.fine:
            return np.float64(DT / np.dtype(self.dtype).type(self.generator.uniform(0.05, 1.2)))
        return np.float64(DT * self.pick(1, 2))

    def recurrent(self, name: str, shape: Shape, source: str) -> None:
        """Norse's recurrent cell: a second port, fed by the spikes of some step before."""
        fire = {"v_th": 0.5, "v_reset": 0.0, "v_leak": 0.0}
        levels = {key: np.dtype(self.dtype).type(value) for key, value in fire.items()}
        common = {"shape": shape, "dt": DT, "dtype": self.dtype, "tau_mem": self.tau(), "tau_syn": self.tau()}
        self.add(name, CubaLIF(**common, **levels, recurrent=True), source)
        self.nodes[f"{name}w"] = Linear(self.numbers(shape[0], shape[0]))
        back = self.pick((1, 0), (0, 1), (2, 0), (1, 2))
        self.edges += [Edge(name, f"{name}w", "x", back[0]), Edge(f"{name}w", name, "r", back[1])]

    def loop_back(self) -> None:
        """Sometimes a later node of spikes feeds a sum in front of it, one to three steps later."""
        spiking = [name for name, node in self.nodes.items() if isinstance(node, NeuronModel) and node.spikes]
        sums = [name for name, node in self.nodes.items() if isinstance(node, Sum)]
        pairs = [(a, b) for a in spiking for b in sums if self.nodes[a].output_shape == self.nodes[b].input_shape]
        if pairs and self.chance(0.7):
            source, target = self.pick(*pairs)
            edge = Edge(source, target, "x", self.pick(1, 2, 3))
            if edge not in self.edges:
                self.edges.append(edge)
