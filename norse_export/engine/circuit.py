"""The calls of a run in their order, and the memory and counters that they share; all addresses are still open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.engine.calls import Call, Late, Number, Symbol, call
from norse_export.engine.kernels import events, ports
from norse_export.engine.kernels.memory import LINE, SLOT, SPARE
from norse_export.engine.packing import Order, Packed
from norse_export.engine.population import PackedPopulation
from norse_export.engine.recordings import INDICES, KEPT_CELLS, KEPT_STARTS, RASTER, STARTS, Kind, has_values
from norse_export.engine.script import COUNTERS, MEMORY
from norse_export.ir.fixed import FixedInput
from norse_export.ir.graph import Graph
from norse_export.ir.stages import FixedNode

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Nodes:
    """A fixed graph and its packed nodes; a projection is packed for each of its sources."""

    graph: Graph[FixedNode]
    populations: Mapping[str, PackedPopulation]
    projections: Mapping[str, Mapping[str, Packed]]

    def has_values(self, name: str) -> bool:
        """Whether an input or a population can send other numbers than 0 and 1."""
        node = self.graph.nodes[name]
        return has_values(node) if isinstance(node, FixedInput) else self.populations[name].values


@dataclass(frozen=True, slots=True)
class Source:
    """The ring of lists of events of an input or a population: see kernels/events.py."""

    slots: Late
    mask: int
    ring: Late


@dataclass(slots=True)
class Circuit:
    """Calls and memory of one thread.

    listed: inputs come as lists of events. keeps: all events are kept (listed.py). recorded: what is recorded, by its
    symbol. bytes: of memory reserved so far. kept: arrays whose addresses stand in calls, and that nothing else keeps.
    """

    nodes: Nodes
    steps: int
    samples: int
    listed: bool
    keeps: bool
    recorded: Mapping[Symbol, Kind]
    begins: list[Call] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    ends: list[Call] = field(default_factory=list)
    bytes: int = 0
    counters: dict[Symbol, range] = field(default_factory=dict)
    kept: list[Array] = field(default_factory=list)
    sources: dict[str, Source] = field(default_factory=dict)
    sums: dict[tuple[str, str], Late] = field(default_factory=dict)
    states: dict[str, tuple[Late, ...]] = field(default_factory=dict)

    def reserve(self, size: int, dtype: str) -> Late:
        """Address of memory for `size` elements, zeros; whole lines, and one of them spare."""
        start = self.bytes
        self.bytes += (-(-size * np.dtype(dtype).itemsize // LINE) + 1) * LINE
        return Late(MEMORY, start)

    def counter(self, kind: str, *names: str, size: int = 1) -> Late:
        """Address of `size` counters."""
        start = sum(map(len, self.counters.values()))
        self.counters[kind, *names] = range(start, start + size)
        return Late(COUNTERS, 8 * start)

    def source(self, name: str) -> None:
        """Reserve a ring for the largest delay; what would arrive behind the last step need not be kept."""
        graph = self.nodes.graph
        delays = [edge.delay_steps for edge in graph.outgoing(name)]
        size = 1 << min(max(delays, default=0), self.steps).bit_length()
        slots = self.reserve(size * SLOT, "int64")
        cells = prod(graph.nodes[name].output_shape) + SPARE
        listed = self.listed and isinstance(graph.nodes[name], FixedInput)
        ring = self.reserve(0 if listed else size * cells * (1 + self.nodes.has_values(name)), "int32")
        self.sources[name] = Source(slots, size - 1, ring)
        self.begins.append(call(ports.clear, address=slots, words=size * SLOT))

    def input(self, name: str) -> None:
        """List the events of an input."""
        source, sent = self.sources[name], self.counter("sent", name, size=self.steps)
        shared: dict[str, Number] = {"samples": self.samples, "slots": source.slots, "mask": source.mask, "sent": sent}
        if self.listed:
            addresses = {"starts": Late((STARTS, name)), "indices": Late((INDICES, name))}
            self.calls.append(call(events.given_events, **shared, **addresses))
            return
        kernel = events.raster_values if self.nodes.has_values(name) else events.raster_events
        size = prod(self.nodes.graph.nodes[name].output_shape)
        shared |= {"raster": Late((RASTER, name)), "size": size, "ring": source.ring, **self.keeping(name)}
        self.calls.append(call(kernel, **shared))

    @property
    def kept_sizes(self) -> dict[str, int]:
        """Cells of each source whose events are kept."""
        return {name: prod(self.nodes.graph.nodes[name].output_shape) for name in self.sources} if self.keeps else {}

    def keeping(self, name: str) -> dict[str, Number]:
        """Where the events of a source are kept: see kernels/events.py."""
        sizes, room = self.kept_sizes, self.steps * self.samples
        if name not in sizes:
            return dict.fromkeys(("steps", "starts", "kept", "place"), 0)
        number = list(sizes).index(name)
        starts = Late(KEPT_STARTS, 8 * number * self.samples * (self.steps + 1))
        place = room * sum(list(sizes.values())[:number])
        return {"steps": self.steps, "starts": starts, "kept": Late(KEPT_CELLS), "place": place}

    def record(self, calls: list[Call], source: Late, order: Order, target: Symbol, dtype: str) -> None:
        """Copy values in the engine's order to a recording, in every call."""
        kind = self.recorded[target]
        numbers: dict[str, Number] = {"samples": self.samples, "source": source, "size": kind.cells}
        places = 0 if order is None else order.ctypes.data
        types = {"source_type": dtype, "target_type": kind.dtype}
        calls.append(call(ports.record, types, **numbers, target=Late(target), order=places))
