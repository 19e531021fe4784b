"""The integer engine: a fixed graph made ready once, then run on rasters or on lists of events."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.engine.activity import Activity, Counters
from norse_export.engine.calls import address
from norse_export.engine.circuit import Circuit, Task
from norse_export.engine.connections import check_connections
from norse_export.engine.kernels.drive import drive
from norse_export.engine.kernels.memory import execute
from norse_export.engine.packing import Form, Packed, pack
from norse_export.engine.population import PackedPopulation, pack_population
from norse_export.engine.recordings import Events, Given, check_events, given, recordings, sends_values
from norse_export.engine.results import activity_of, run_of
from norse_export.engine.wiring import wired
from norse_export.errors import UsageError
from norse_export.ir.bounds import Sums, all_ranges, synapses_intervals
from norse_export.ir.fixed import ConvSynapses, Delivery, FixedInput, Population, Synapses
from norse_export.ir.graph import Graph
from norse_export.ir.rasters import checked_inputs
from norse_export.ir.run import Run
from norse_export.ir.stages import FixedNode
from norse_export.program.interval import Interval, bits_of, within

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class FixedRun:
    """What a run gave, and what it did."""

    run: Run
    activity: Activity


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """A fixed graph with its packed nodes. Runs change nothing in it: several may go on at once."""

    graph: Graph[FixedNode]
    populations: Mapping[str, PackedPopulation]
    projections: Mapping[str, Mapping[str, Packed]]

    def run(
        self, inputs: Mapping[str, Array], *, states: bool = False, threads: int = 1, first_sample: int = 0
    ) -> FixedRun:
        """Run on rasters [T, B, *shape] of whole numbers.

        Every sample stands alone: the result does not depend on threads, on the batch or on the order of samples,
        but for random numbers, which know a sample by its number, counted from first_sample. states: record every
        state after every step, and what the programs observe.

        Raises:
            UsageError: an input is missing, unknown, of the wrong shape or beyond its range; no thread.
        """
        rasters = checked_inputs(self.graph, inputs)
        ready: dict[str, Given] = {}
        for name, raster in rasters.items():
            node = self.graph.nodes[name]
            ready[name] = given(node, raster) if isinstance(node, FixedInput) else raster
        steps, samples = next(iter(rasters.values())).shape[:2]
        task, counters = self._execute(ready, steps, samples, states=states, threads=threads, first=first_sample)
        return FixedRun(run_of(task, rasters), activity_of(task, counters))

    def run_events(self, inputs: Mapping[str, Events], *, steps: int, samples: int, threads: int = 1) -> FixedRun:
        """Run on spikes that stand in lists already; every input takes 0 and 1, and none feeds the host part.

        Raises:
            UsageError: inputs that are missing, unknown, graded, of the wrong length or with cells they do not have.
        """
        check_events(self.graph, inputs, steps, samples)
        task, counters = self._execute(dict(inputs), steps, samples, states=False, threads=threads, first=0)
        return FixedRun(run_of(task, {}), activity_of(task, counters))

    def _execute(
        self, ready: Mapping[str, Given], steps: int, samples: int, *, states: bool, threads: int, first: int
    ) -> tuple[Task, list[Counters]]:
        if threads < 1:
            raise UsageError(f"{threads} threads", where="threads", fix="use 1 or more")
        kept = recordings(self.graph, self.populations, steps, samples, states=states)
        task = Task(self.graph, self.populations, self.projections, ready, kept, steps, samples, first)
        threads = min(threads, samples)
        bounds = [samples * number // threads for number in range(threads + 1)]
        circuits = [wired(task) for _ in range(threads)]
        parts = list(zip(circuits, bounds, bounds[1:], strict=False))
        if threads == 1:
            _drive(*parts[0])
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(lambda part: _drive(*part), parts))
        return task, [circuit.counters for circuit in circuits]


def compile_network(graph: Graph[FixedNode]) -> Network:
    """Pack the weights of a fixed graph and choose its kernels.

    Raises:
        UnsupportedError: nodes connected as the engine does not have them, or values that 64 bits do not hold.
    """
    check_connections(graph)
    sums, ranges = synapses_intervals(graph), all_ranges(graph)
    populations = {
        name: pack_population(graph, name, node, _arriving(graph, name, node, sums), ranges[name])
        for name, node in graph.nodes.items()
        if isinstance(node, Population)
    }
    projections = {
        name: _pack(graph, name, node, populations, sums[name].exact)
        for name, node in graph.nodes.items()
        if isinstance(node, Synapses)
    }
    return Network(graph, populations, projections)


def _arriving(graph: Graph[FixedNode], name: str, node: Population, sums: Mapping[str, Sums]) -> dict[str, Interval]:
    """Bounds of what is summed at each port: no partial sum leaves them."""
    found = {}
    for port in node.ports:
        parts = [sums[edge.source].delivered for edge in graph.incoming(name, port)]
        found[port] = (sum(min(low, 0) for low, _ in parts), sum(max(high, 0) for _, high in parts))
    return found


def _pack(
    graph: Graph[FixedNode],
    name: str,
    node: Synapses,
    populations: Mapping[str, PackedPopulation],
    exact: Interval,
) -> dict[str, Packed]:
    """Pack a projection for each of its sources; it adds straight to the port where that is all."""
    sources = dict.fromkeys(edge.source for edge in graph.incoming(name))
    targets = graph.outgoing(name)
    alone = len(targets) == 1 and targets[0].target in populations and node.delivery == Delivery()
    direct = alone and not isinstance(node, ConvSynapses)
    values = {source: sends_values(graph, populations, source) for source in sources}
    widths = (16, 32, 64) if isinstance(node, ConvSynapses) else (32, 64)
    own = next(f"int{bits}" for bits in widths if within(exact, bits_of(bits)))
    sum_type = populations[targets[0].target].dtype if direct else own
    form = Form(sum_type, direct, populations[targets[0].target].order if direct else None, any(values.values()))
    orders = {source: populations[source].order if source in populations else None for source in sources}
    return {source: pack(node, form, orders[source], values=values[source]) for source in sources}


def _drive(circuit: Circuit, first: int, last: int) -> None:
    """Run samples first to last - 1 on this thread."""
    tables, rows = [], []
    for calls in (circuit.begins, circuit.calls, circuit.ends):
        numbers = [np.array(call.numbers, np.int64) for call in calls]
        rows.append(numbers)
        table = np.array([(c.function, n.ctypes.data) for c, n in zip(calls, numbers, strict=True)], np.int64)
        tables.append(table)
    sizes = [(table.ctypes.data, len(table)) for table in tables]
    row = np.array([circuit.task.steps, *(number for pair in sizes for number in pair)], np.int64)
    execute(address(drive), row.ctypes.data, first, last)
