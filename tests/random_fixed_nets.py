"""Random fixed nets: every kind of synapses, widths, delays and deliveries, and the programs of fixed_programs.py.

Every product stays far inside 64 bits, weights of host layers and their inputs are multiples of a power of two, so that
exactly one result is right. Nets are small and hold a lot; most of them fire.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np
from fixed_programs import MIXED, READOUTS, SPIKING, Kind
from numpy.typing import NDArray

from norse_export.ir.fixed import ConvSynapses, Delivery, DenseSynapses, FixedInput, Population, SparseSynapses
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Flatten, Linear, Output, Pool, Scale, Sum
from norse_export.ir.stages import FixedNode

Array = NDArray[Any]
Shape = tuple[int, ...]
MAX_SUM = 2**38  # of what reaches a port: with the widths of the programs, every value stays below 2^62


@dataclass(frozen=True)
class FixedNet:
    """A fixed graph, and rasters for it."""

    graph: Graph[FixedNode]
    inputs: dict[str, Array]


def random_fixed_net(seed: int, *, size: int = 20, steps: int | None = None, samples: int | None = None) -> FixedNet:
    """A net of 1 to 3 spiking populations of at most about `size` neurons, with readouts; see the module."""
    maker = _Maker(np.random.default_rng(seed), size)
    steps = steps or int(maker.rng.integers(4, 11))
    samples = samples or int(maker.rng.choice([1, 2, 3, 5], p=[0.45, 0.35, 0.15, 0.05]))
    inputs = {"input": maker.input("input", steps, samples)}
    if maker.chance(0.15):
        inputs["second"] = maker.input("second", steps, samples)
    for _ in range(maker.rng.choice([1, 2, 3], p=[0.4, 0.4, 0.2])):
        maker.populate(SPIKING[maker.rng.integers(len(SPIKING))])
    if maker.chance(0.5):
        maker.populate(READOUTS[maker.rng.integers(len(READOUTS))])
    maker.finish_ports()
    maker.read_out()
    names, edges = list(maker.nodes), list(maker.edges)
    if maker.chance(0.5):
        maker.rng.shuffle(names)
        maker.rng.shuffle(edges)  # type: ignore[arg-type]
    return FixedNet(Graph({name: maker.nodes[name] for name in names}, tuple(edges)), inputs)


@dataclass(frozen=True)
class _Sender:
    """What may feed synapses: values in [low, high], of a size that is typical where there is one."""

    shape: Shape
    low: int
    high: int
    typical: float


@dataclass(frozen=True)
class _Projection:
    """Synapses from a sender; they reach a port with at most `bound`, typically `typical`."""

    source: str
    node: Any
    delay: int
    bound: int
    typical: float


@dataclass
class _Maker:
    rng: np.random.Generator
    size: int
    nodes: dict[str, Any] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)
    senders: dict[str, _Sender] = field(default_factory=dict)
    sums: dict[tuple[str, str], int] = field(default_factory=dict)  # bound of what arrives at a port so far

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def input(self, name: str, steps: int, samples: int) -> Array:
        """Add an input and give its raster."""
        shape, rate = self.shape(), self.rng.choice([0.05, 0.2, 0.4, 0.9])
        low, high = (0, 1) if self.chance(0.7) else GRADED[self.rng.integers(len(GRADED))]
        values = self.rng.integers(low, high, (steps, samples, *shape), endpoint=True)
        if (low, high) == (0, 1):
            values = np.ones_like(values)
        elif self.chance(0.5):
            values = np.where(self.rng.random(values.shape) < 0.3, self.rng.choice([low, high], values.shape), values)
        raster = np.where(self.rng.random(values.shape) < rate, values, 0)
        self.nodes[name] = FixedInput(shape, low, high)
        self.senders[name] = _Sender(shape, low, high, rate * max(-low, high) / 2 + 0.5)
        kinds = ("bool", "uint8", "float32") if (low, high) == (0, 1) else ("int64", "int32")
        return raster.astype(kinds[self.rng.integers(len(kinds))])

    def shape(self) -> Shape:
        edge = max(3, round(self.size**0.5))
        if self.chance(0.4):
            channels = int(self.rng.choice([1, 2, 4], p=[0.4, 0.4, 0.2]))
            height, width = map(int, self.rng.integers(2, edge + 1, 2))
            return (channels, height, width)
        return (int(self.rng.integers(1, self.size + 1)),) if self.chance(0.9) else (2, int(self.rng.integers(1, 9)))

    def populate(self, kind: Kind) -> None:
        """Put a population behind some sender, mostly the last; its ports may hear others beside."""
        name, names = f"{len(self.senders)}.pop", list(self.senders)
        source = names[-1] if self.chance(0.7) else names[self.rng.integers(len(names))]
        probe = kind(np.random.default_rng(0), 1)
        first = self.project(source, None)
        shape = first.node.output_shape
        if prod(shape) == 1 and kind not in MIXED:
            kind = MIXED[3] if kind in READOUTS else MIXED[self.rng.integers(3)]
            probe = kind(np.random.default_rng(0), 1)
        projections = {probe.family.ports[0]: [first]}
        for port in probe.family.ports:
            given = projections.setdefault(port, [])
            while not given or self.chance(0.2):
                other = names[self.rng.integers(len(names))] if self.chance(0.6) else source
                given.append(self.project(other, shape))
        typical = sum(projection.typical for given in projections.values() for projection in given)
        drawn = kind(self.rng, max(1, int(typical * self.rng.choice([0.3, 1, 3]))))
        unit = {"v": 0.25} if self.chance(0.5) else {"v": self.rng.random(shape)} if self.chance(0.7) else {}
        self.nodes[name] = drawn.population(self.rng, shape, len(self.nodes), unit, mixed=kind in MIXED)
        for port, given in projections.items():
            for projection in given:
                self.connect(projection, name, port)
        if drawn.family.spikes:
            self.senders[name] = _Sender(shape, *drawn.sends, max(1.0, drawn.sends[1] / 4))
        elif self.chance(0.3):
            self.host(name)
        else:
            self.add(f"{name}.out", Output(shape), name)

    def finish_ports(self) -> None:
        """Recurrence: some populations hear themselves, or one behind them, a step or more later."""
        names = [name for name in self.senders if isinstance(self.nodes[name], Population)]
        for target in names:
            if self.chance(0.35):
                source = names[self.rng.integers(len(names))]
                node: Population = self.nodes[target]
                port = node.ports[self.rng.integers(len(node.ports))]
                late = int(self.rng.integers(1, 5))
                self.connect(replace(self.project(source, node.shape), delay=late), target, port)
        for name, node in self.nodes.items():
            if isinstance(node, Population) and node.saturated:
                self._make_positive(name, node)

    def _make_positive(self, name: str, node: Population) -> None:
        """Ports in which sums saturate take weights >= 0 from sources that send nothing below 0, and no wrapping."""
        saturated = dict(node.saturated)
        for port in node.saturated:
            feeding = [edge.source for edge in self.edges if (edge.target, edge.port) == (name, port)]
            sources = [edge.source for edge in self.edges if edge.target in feeding]
            if any(self.senders[source].low < 0 for source in sources):
                del saturated[port]
                continue
            for synapses in feeding:
                old = self.nodes[synapses]
                most = np.iinfo(old.weight.dtype).max
                weight = np.minimum(np.abs(old.weight.astype(np.int64)), most).astype(old.weight.dtype)
                shift = old.delivery.shift if old.delivery.wrap_bits is None else min(0, old.delivery.shift)
                self.nodes[synapses] = replace(old, weight=weight, delivery=Delivery(shift=shift))
        self.nodes[name] = replace(node, saturated=saturated)

    def read_out(self) -> None:
        """Outputs: from synapses, from host layers, of the spikes themselves."""
        spiking = [name for name in self.senders if isinstance(self.nodes[name], Population)]
        last = spiking[-1]
        if self.chance(0.3):
            projection = self.project(last, None)
            name = self.synapses(projection)
            self.add(f"{name}.out", Output(projection.node.output_shape), name)
        if self.chance(0.3):
            self.host(last)
        if not any(isinstance(node, Output) for node in self.nodes.values()) or self.chance(0.2):
            chosen = spiking[self.rng.integers(len(spiking))]
            self.add(f"{chosen}.spikes", Output(self.nodes[chosen].shape), chosen)

    def host(self, source: str) -> None:
        """Layers in floats behind a population; all values are multiples of a power of two, and sums exact."""
        node: Population = self.nodes[source]
        if "v" in node.unit:
            node = self.nodes[source] = replace(node, unit={"v": np.exp2(self.rng.integers(-3, 2, node.shape))})
        shape = node.shape
        if len(shape) == 3 and min(shape[1:]) > 1 and self.chance(0.6):
            pool = Pool(("avg", "sum", "max")[self.rng.integers(3)], shape, (2, 2), (1, 2))
            source, shape = self.add(f"{source}.pool", pool, source), pool.output_shape
        if self.chance(0.3):
            source = self.add(f"{source}.scale", Scale(self.rng.integers(-3, 4, shape) / 2), source)
        if len(shape) > 1:
            flat = Flatten(shape)
            source, shape = self.add(f"{source}.flat", flat, source), flat.output_shape
        outs = int(self.rng.integers(1, 5))
        bias = self.rng.integers(-4, 5, outs) / 4 if self.chance(0.5) else None
        linear = self.add(f"{source}.linear", Linear(self.rng.integers(-4, 5, (outs, *shape)) / 4, bias), source)
        if self.chance(0.3):
            other = self.add(f"{source}.other", Linear(self.rng.integers(-4, 5, (outs, *shape)) / 2), source)
            linear = self.add(f"{source}.sum", Sum((outs,)), linear, other)
        self.add(f"{source}.host", Output((outs,)), linear)

    def add(self, name: str, node: Any, *sources: str) -> str:
        self.nodes[name] = node
        self.edges += [Edge(source, name) for source in sources]
        return name

    def synapses(self, projection: _Projection) -> str:
        name = f"{len(self.nodes)}.syn"
        self.nodes[name] = projection.node
        self.edges.append(Edge(projection.source, name, "x", projection.delay))
        return name

    def connect(self, projection: _Projection, target: str, port: str) -> None:
        """Add a projection onto a port, unless the sum there could become too large."""
        total = self.sums.get((target, port), 0) + projection.bound
        if total <= MAX_SUM:
            self.sums[target, port] = total
            self.edges.append(Edge(self.synapses(projection), target, port))

    def project(self, source: str, target: Shape | None) -> _Projection:
        """Synapses of some kind from a sender to cells of a shape, or of one of their own."""
        sender = self.senders[source]
        node = self._conv(sender, target) if len(sender.shape) == 3 and self.chance(0.7) else None
        if node is None:
            target = target or self.shape()
            node = self._sparse(sender, target) if self.chance(0.35) else self._dense(sender, target)
        weight = np.abs(node.weight.astype(np.int64))
        fan_in = weight.size / prod(node.output_shape)
        if isinstance(node, ConvSynapses):
            fan_in, total = prod(node.weight.shape[1:]), int(weight.sum(axis=(1, 2, 3)).max())
        else:
            total = int(weight.sum(axis=1).max()) if weight.ndim == 2 else int(weight.sum())
        bound = total * max(-sender.low, sender.high)
        typical = float(weight.mean() if weight.size else 0) * sender.typical * max(1.0, 0.5 * fan_in**0.7)
        delivery, bound, typical = self._delivery(bound, typical)
        delay = int(self.rng.choice([0, 1, 2, 3, 4, 5], p=[0.6, 0.15, 0.1, 0.05, 0.05, 0.05]))
        return _Projection(source, replace(node, delivery=delivery), delay, bound, typical)

    def _delivery(self, bound: int, typical: float) -> tuple[Delivery, int, float]:
        wrap_bits, shift = None, 0
        if self.chance(0.2):
            wrap_bits = int(np.clip(int(typical).bit_length() + self.rng.integers(1, 4), 1, 32))
            bound, typical = min(bound, 1 << (wrap_bits - 1)), min(typical, float(1 << (wrap_bits - 1)))
        if self.chance(0.25):
            shift = int(self.rng.choice([-31, -6, -3, -2, -1, 1, 2, 6, 31], p=[0.04, *(0.92 / 7,) * 7, 0.04]))
        while bound * 2.0**shift > MAX_SUM // 8:
            shift -= 1
        bound = bound << shift if shift > 0 else (bound >> -shift) + 1
        return Delivery(wrap_bits=wrap_bits, shift=shift), bound, typical * 2.0**shift

    def _weights(self, *shape: int, fan_in: int = 1, highest: int = 1) -> Array:
        """Weights of 1 to 16 bits, in a type that holds them, or in int32 some that need more."""
        bits = int(self.rng.choice([1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 28, 32], p=[*(0.1,) * 8, 0.09, 0.09, 0.01, 0.01]))
        if bits > 16 and fan_in * highest > 16:
            bits = 16
        types = [name for name in ("int8", "int16", "int32") if np.iinfo(name).bits >= bits]
        dtype = types[0] if self.chance(0.8) else types[self.rng.integers(len(types))]
        if bits == 1:
            return self.rng.choice([-1, 1], shape, p=[0.3, 0.7]).astype(dtype)
        most = (1 << (bits - 1)) - 1
        low = -most if self.chance(0.6) else -(most // 4)
        weight = self.rng.integers(low, most, shape, endpoint=True)
        if self.chance(0.3):
            weight = np.where(self.rng.random(shape) < 0.3, self.rng.choice([-most - 1, -most, most - 1, most]), weight)
        if self.chance(0.3):
            weight = np.where(self.rng.random(shape) < 0.5, 0, weight)
        return weight.astype(dtype)

    def _dense(self, sender: _Sender, target: Shape) -> DenseSynapses:
        taken, highest = prod(sender.shape), max(-sender.low, sender.high)
        weight = self._weights(prod(target), taken, fan_in=taken, highest=highest)
        return DenseSynapses(weight, sender.shape, target)

    def _sparse(self, sender: _Sender, target: Shape) -> SparseSynapses:
        """Some sources without a synapse, some pairs more than once."""
        taken, given = prod(sender.shape), prod(target)
        counts = self.rng.integers(0, min(given, 12) + 2, taken) * (self.rng.random(taken) < 0.85)
        targets = [np.sort(self.rng.integers(0, given, count)) for count in counts]
        weight = self._weights(int(counts.sum()), fan_in=taken, highest=max(-sender.low, sender.high))
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return SparseSynapses(starts, np.concatenate(targets).astype(np.int32), weight, sender.shape, target)

    def _conv(self, sender: _Sender, target: Shape | None) -> ConvSynapses | None:
        """A convolution with any stride, padding, dilation and groups; None if it does not lead to the target."""
        channels, *size = sender.shape
        for _ in range(20 if target else 5):
            groups = int(self.rng.choice([g for g in (1, 2, 4) if channels % g == 0]))
            made = groups * int(self.rng.integers(1, 3))
            kernel = tuple(map(int, self.rng.integers(1, 4, 2)))
            options: dict[str, Any] = {
                "stride": tuple(map(int, self.rng.integers(1, 4, 2))) if self.chance(0.4) else (1, 1),
                "padding": tuple(map(int, self.rng.integers(0, 3, 2))),
                "dilation": tuple(map(int, self.rng.integers(1, 3, 2))) if self.chance(0.4) else (1, 1),
                "groups": groups,
            }
            window = zip(size, kernel, options["stride"], options["padding"], options["dilation"], strict=True)
            out = (made, *((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in window))
            if min(out) < 1 or (target and prod(out) != prod(target)) or prod(out) > 3 * self.size:
                continue
            weight = self._weights(made, channels // groups, *kernel, fan_in=9 * channels, highest=sender.high)
            shape = target or (out if self.chance(0.8) else (prod(out),))
            return ConvSynapses(weight, sender.shape, shape, **options)
        return None


GRADED = ((-1, 1), (0, 7), (-128, 127), (0, 255), (-129, 128), (0, 2**15), (-(2**20), 2**20))
