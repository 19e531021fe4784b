"""Random small nets, placements, machines and rasters: every kind of synapses, delays, loops, outputs, corner cases."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.engine.machine.config import MachineConfig
from norse_export.ir.fixed import ConvSynapses, DenseSynapses, FixedInput, Population, SparseSynapses, Synapses
from norse_export.ir.graph import Edge, Graph, Shape
from norse_export.ir.layers import Flatten, Output
from norse_export.ir.placement import Part, Placement
from norse_export.ir.stages import FixedNode
from norse_export.program.operations import where
from norse_export.program.program import Family, Step

Array = NDArray[Any]


def _one(x: Any, v: Any, *, v_th: Any) -> Step:
    return Step(spike=v + x > v_th, state=(v + x,))


def _two(x: Any, r: Any, v: Any, *, v_th: Any) -> Step:
    z = v + x > v_th
    return Step(spike=z, state=(where(z, v, v + x - r),))


def _silent(x: Any, v: Any) -> Step:
    return Step(state=(v + x,), output=v + x)


FAMILIES = {
    "one": Family("one", _one, ports=("x",), state=("v",)),
    "two": Family("two", _two, ports=("x", "r"), state=("v",)),
    "silent": Family("silent", _silent, ports=("x",), state=("v",)),
}


@dataclass(frozen=True)
class Case:
    graph: Graph[FixedNode]
    placement: Placement
    config: MachineConfig
    spikes: Mapping[str, Array]


def population(kind: str, shape: Shape) -> Population:
    program = FAMILIES[kind].trace()
    numbers = {name: np.ones(shape, np.int64) for name in (*program.parameters, *program.variables)}
    parameters = {name: numbers[name] for name in program.parameters}
    states = {name: numbers[name] for name in program.variables}
    return Population(program=program, shape=shape, parameters=parameters, initial_state=states, dt=1e-3)


def chain(*sizes: int) -> Graph[FixedNode]:
    """Input "in", populations "p0", "p1", ... all to all behind one another, the last one an output."""
    nodes: dict[str, FixedNode] = {"in": FixedInput((sizes[0],))}
    edges, last = [], "in"
    for number, (before, after) in enumerate(pairwise(sizes)):
        weight = np.ones((after, before), np.int8)
        nodes[f"s{number}"] = DenseSynapses(weight, (before,), (after,))
        nodes[f"p{number}"] = population("one", (after,))
        edges += [Edge(last, f"s{number}"), Edge(f"s{number}", f"p{number}")]
        last = f"p{number}"
    nodes["out"] = Output((sizes[-1],))
    return Graph(nodes, (*edges, Edge(last, "out")))


def random_case(seed: int) -> Case:
    return _Maker(np.random.default_rng([seed, 31])).case()


@dataclass
class _Maker:
    rng: np.random.Generator
    nodes: dict[str, FixedNode] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)

    def number(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def case(self) -> Case:
        shapes = {f"in{n}": self.shape() for n in range(self.number(1, 2))}
        populations = [f"p{n}" for n in range(self.number(1, 5))]
        shapes |= {name: self.shape() for name in populations}
        kinds = {name: self.rng.choice(["one", "one", "two"]) for name in populations}
        kinds |= {name: "silent" for name in populations[-2:] if self.chance(0.25)}
        for name, shape in shapes.items():
            low, high = (0, 1) if self.chance(0.5) else (-3, 9)
            self.nodes[name] = population(kinds[name], shape) if name in kinds else FixedInput(shape, low, high)
        senders = [name for name in shapes if kinds.get(name) != "silent"]
        for name in populations:
            for port in self.nodes[name].ports:
                for _ in range(self.number(1, 2)):
                    self.project(name, port, senders, list(shapes))
        for name in shapes:
            self.read_out(name, must=not any(edge.source == name for edge in self.edges))
        graph = Graph(self.nodes, tuple(self.edges))
        config = self.config()
        return Case(graph, self.placement(graph), config, self.spikes(graph))

    def shape(self) -> Shape:
        return (self.number(1, 3), self.number(1, 3), self.number(1, 4)) if self.chance(0.4) else (self.number(1, 30),)

    def project(self, target: str, port: str, senders: list[str], order: list[str]) -> None:
        """Synapses from some sender, sometimes from two, sometimes onto a second port as well."""
        name = f"s{len(self.nodes)}"
        source = senders[self.number(0, len(senders) - 1)]
        back = order.index(source) >= order.index(target)
        shape = self.nodes[source].output_shape
        node = self.synapses(shape, self.nodes[target].input_shape)
        self.nodes[name] = node
        self.edges += [Edge(source, name, "x", self.delay(back=back)), Edge(name, target, port)]
        others = [s for s in senders if s != source and self.nodes[s].output_shape == shape]
        if others and self.chance(0.4):
            late = order.index(others[0]) >= order.index(target)
            self.edges.append(Edge(others[0], name, "x", self.delay(back=late)))
        if self.chance(0.2):
            self.edges.append(Edge(source, name, "x", self.edges[-1].delay_steps + 1 + self.number(0, 1)))
            if len(set(self.edges)) < len(self.edges):
                self.edges.pop()
        if port == "x" and "r" in self.nodes[target].ports and self.chance(0.3):
            self.edges.append(Edge(name, target, "r"))

    def delay(self, *, back: bool) -> int:
        return self.number(1, 3) if back else self.number(0, 2) if self.chance(0.3) else 0

    def synapses(self, shape: Shape, onto: Shape) -> Synapses:
        if len(shape) == 3 and self.chance(0.5) and (conv := self.conv(shape, onto)):
            return conv
        n_in, n_out = math.prod(shape), math.prod(onto)
        if self.chance(0.5):
            return DenseSynapses(self.weights(n_out, n_in), shape, onto)
        starts = np.concatenate([[0], np.cumsum(self.rng.integers(0, 2 * n_out, n_in))])
        targets = [np.sort(self.rng.integers(0, n_out, b - a)) for a, b in pairwise(starts)]
        return SparseSynapses(starts, np.concatenate(targets), self.weights(int(starts[-1])), shape, onto)

    def conv(self, shape: Shape, onto: Shape) -> ConvSynapses | None:
        """Some convolution that leads from one shape to the other, if a few tries find one."""
        for _ in range(30):
            groups = math.gcd(shape[0], onto[0]) if self.chance(0.3) else 1
            kernel = (self.number(1, 3), self.number(1, 3))
            window = {name: (self.number(low, 2), self.number(low, 2)) for name, low in WINDOW.items()}
            sizes = [
                (n + 2 * p - d * (k - 1) - 1) // s + 1
                for n, k, s, p, d in zip(
                    shape[1:], kernel, window["stride"], window["padding"], window["dilation"], strict=True
                )
            ]
            if min(sizes) >= 1 and math.prod(onto) % math.prod(sizes) == 0:
                channels = math.prod(onto) // math.prod(sizes)
                if channels % groups == 0:
                    weight = self.weights(channels, shape[0] // groups, *kernel)
                    return ConvSynapses(weight, shape, onto, groups=groups, **window)
        return None

    def weights(self, *shape: int) -> Array:
        full = self.rng.integers(-8, 8, shape)
        return (full * (self.rng.random(shape) < self.rng.choice([0.2, 0.8, 1.0]))).astype(np.int8)

    def read_out(self, name: str, *, must: bool) -> None:
        """Sometimes an output: of the node, of a layer behind it, or of synapses behind it."""
        if not must and self.chance(0.6):
            return
        shape = self.nodes[name].output_shape
        way = self.number(0, 2)
        if way == 1 and len(shape) == 3:
            self.nodes[f"{name}f"] = Flatten(shape)
            self.edges.append(Edge(name, f"{name}f"))
            name, shape = f"{name}f", (math.prod(shape),)
        node = self.nodes[name]
        if way == 2 and not (isinstance(node, Population) and not node.spikes):
            self.nodes[f"{name}s"] = DenseSynapses(self.weights(2, math.prod(shape)), shape, (2,))
            self.edges.append(Edge(name, f"{name}s"))
            name, shape = f"{name}s", (2,)
        self.nodes[f"{name}o"] = Output(shape)
        self.edges.append(Edge(name, f"{name}o"))

    def config(self) -> MachineConfig:
        cycles = ("axon_cycles", "synapse_latency", "neuron_interval", "neuron_depth", "send_cycles", "router_cycles")
        cycles += ("link_cycles", "host_interval", "barrier_cycles")
        values = {name: 1 if self.chance(0.4) else self.number(1, 5) for name in cycles}
        depths = {f"{name}_queue_depth": self.number(1, 4) for name in ("input", "output", "link")}
        return MachineConfig(
            **values,
            **depths,
            lanes=self.number(1, 8),
            delay_slots=self.number(7, 9),
            barrier_hop_cycles=self.number(0, 2),
            step_cycles=self.number(0, 2),
        )

    def placement(self, graph: Graph[FixedNode]) -> Placement:
        width, height = self.number(1, 5), self.number(1, 4)
        waiting = []
        for name, node in graph.nodes.items():
            if isinstance(node, Population):
                size = math.prod(node.shape)
                cuts = sorted({0, size, *self.rng.integers(0, size + 1, self.number(0, 6)).tolist()})
                places = self.rng.integers(0, width * height, len(cuts) - 1).tolist()
                waiting.append([Part(name, *one) for one in zip(cuts, cuts[1:], places, strict=False)])
        parts = []
        while waiting:
            chosen = self.number(0, len(waiting) - 1)
            parts.append(waiting[chosen].pop(0))
            waiting = [one for one in waiting if one]
        return Placement(width, height, tuple(parts))

    def spikes(self, graph: Graph[FixedNode]) -> dict[str, Array]:
        steps, samples = self.number(1, 3), 2 if self.chance(0.2) else 1
        rasters: dict[str, Array] = {}
        for name, node in graph.nodes.items():
            if isinstance(node, FixedInput | Population) and not (isinstance(node, Population) and not node.spikes):
                shape = (steps, samples, *node.output_shape)
                active = self.rng.random(shape) < self.rng.choice([0.0, 0.1, 0.5, 1.0, 1.0])
                graded = isinstance(node, FixedInput) and node.high > 1
                rasters[name] = (active * self.rng.integers(-3, 10, shape)).astype(np.int32) if graded else active
        return rasters


WINDOW = {"stride": 1, "padding": 0, "dilation": 1}
