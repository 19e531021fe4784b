"""The calls of one thread of a run, in order, and the memory that they share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.engine.activity import Counters
from norse_export.engine.calls import Call, call
from norse_export.engine.kernels import events, ports
from norse_export.engine.kernels.memory import SLOT, aligned
from norse_export.engine.packing import Order, Packed
from norse_export.engine.population import PackedPopulation
from norse_export.engine.recordings import Events, Given, Recordings, sends_values
from norse_export.ir.graph import Graph
from norse_export.ir.stages import FixedNode

Array = NDArray[Any]
SPARE = 8  # cells behind the last one of each list, so that a scan may write a word of cells at a time


@dataclass(frozen=True, slots=True)
class Source:
    """The ring of lists of events of an input or a population: see kernels/events.py."""

    slots: int
    mask: int
    ring: int


@dataclass(frozen=True, slots=True)
class Task:
    """What a run is of: all that its threads share."""

    graph: Graph[FixedNode]
    populations: Mapping[str, PackedPopulation]
    projections: Mapping[str, Mapping[str, Packed]]
    given: Mapping[str, Given]
    recordings: Recordings
    steps: int
    samples: int
    first_sample: int

    def has_values(self, name: str) -> bool:
        """Whether an input or a population can send other numbers than 0 and 1."""
        return sends_values(self.graph, self.populations, name)


@dataclass(slots=True)
class Circuit:
    """Calls and memory of one thread. What addresses stand for is in `kept`, in the task or in its network."""

    task: Task
    counters: Counters = field(default_factory=Counters)
    begins: list[Call] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    ends: list[Call] = field(default_factory=list)
    kept: list[Array] = field(default_factory=list)
    sources: dict[str, Source] = field(default_factory=dict)
    sums: dict[tuple[str, str], int] = field(default_factory=dict)
    states: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def reserve(self, size: int, dtype: Any) -> int:
        """Address of new memory for `size` elements, zeros; whole lines."""
        array = aligned(size, dtype)
        self.kept.append(array)
        return int(array.ctypes.data)

    def source(self, name: str) -> None:
        """Reserve a ring for the largest delay; what would arrive behind the last step need not be kept."""
        task = self.task
        delays = [edge.delay_steps for edge in task.graph.outgoing(name)]
        size = 1 << min(max(delays, default=0), task.steps).bit_length()
        slots = self.reserve(size * SLOT, np.int64)
        cells = prod(task.graph.nodes[name].output_shape) + SPARE
        listed = isinstance(task.given.get(name), Events)
        ring = 0 if listed else self.reserve(size * cells * (1 + task.has_values(name)), np.int32)
        self.sources[name] = Source(slots, size - 1, ring)
        self.begins.append(call(ports.clear, address=slots, words=size * SLOT))

    def input(self, name: str) -> None:
        """List the events of an input."""
        task, source, given = self.task, self.sources[name], self.task.given[name]
        sent = self.counters.address("sent", name, task.steps)
        shared = {"samples": task.samples, "slots": source.slots, "mask": source.mask, "sent": sent}
        if isinstance(given, Events):
            addresses = {"starts": given.starts.ctypes.data, "indices": given.indices.ctypes.data}
            self.calls.append(call(events.given_events, **shared, **addresses))
            return
        kernel = events.raster_values if task.has_values(name) else events.raster_events
        raster = {"raster": given.ctypes.data, "size": prod(given.shape[2:]), "ring": source.ring}
        self.calls.append(call(kernel, **shared, **raster))

    def record(self, calls: list[Call], source: int, size: int, order: Order, target: Array, dtype: str) -> None:
        """Copy `size` values in the engine's order to the recording, in every call."""
        types = {"source_type": dtype, "target_type": target.dtype.name}
        numbers = {"samples": self.task.samples, "source": source, "size": size, "target": target.ctypes.data}
        numbers["order"] = 0 if order is None else order.ctypes.data
        calls.append(call(ports.record, types, **numbers))
