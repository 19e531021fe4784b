"""The integer engine: a fixed graph made ready once, then run on rasters or on lists of events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.engine.activity import Activity
from norse_export.engine.calls import Symbol
from norse_export.engine.circuit import Circuit, Nodes
from norse_export.engine.connections import check_connections
from norse_export.engine.listed import Listed
from norse_export.engine.population import packed_populations
from norse_export.engine.projections import packed_projections
from norse_export.engine.recordings import (
    INDICES,
    KEPT_CELLS,
    KEPT_STARTS,
    RASTER,
    STARTS,
    Events,
    Kind,
    check_events,
    readable,
    recorded,
)
from norse_export.engine.results import activity_of, run_of
from norse_export.engine.script import Script, played, script_of
from norse_export.engine.wiring import FIRST_SAMPLE, wire
from norse_export.errors import UsageError
from norse_export.ir.bounds import all_ranges, synapses_intervals
from norse_export.ir.fixed import FixedInput
from norse_export.ir.graph import Graph
from norse_export.ir.rasters import checked_inputs
from norse_export.ir.run import Run
from norse_export.ir.stages import FixedNode

Array = NDArray[Any]
KEPT_PLANS = 8


@dataclass(frozen=True, slots=True)
class FixedRun:
    """What a run gave, and what it did; events: who fired, where that was asked for."""

    run: Run
    activity: Activity
    events: Listed | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """All of a run that depends on its size alone."""

    script: Script
    recorded: Mapping[Symbol, Kind]
    counters: Mapping[Symbol, range]
    kept: Mapping[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """A fixed graph with its packed nodes. Several runs may go on at once; plans of the last sizes are kept."""

    nodes: Nodes
    _plans: dict[tuple[int, int, bool, bool, bool], _Plan] = field(default_factory=dict)

    @property
    def graph(self) -> Graph[FixedNode]:
        """The graph that the network was made of."""
        return self.nodes.graph

    @property
    def memory_bytes(self) -> int:
        """Bytes of packed weights and their tables, of parameters and of initial states."""
        packed = [each for by_source in self.nodes.projections.values() for each in by_source.values()]
        arrays = [array for each in packed for array in each.arrays]
        for population in self.nodes.populations.values():
            arrays += [population.initial, *population.arrays]
        return sum(array.nbytes for array in arrays)

    def run(
        self,
        inputs: Mapping[str, Array],
        *,
        states: bool = False,
        events: bool = False,
        threads: int = 1,
        first_sample: int = 0,
    ) -> FixedRun:
        """Run on rasters [T, B, *shape] of whole numbers.

        Every sample stands alone: the result does not depend on threads, on the batch or on the order of samples,
        but for random numbers, which know a sample by its number, counted from first_sample. states: record every
        state after every step, and what the programs observe. events: list who fired, too, in addresses for four
        bytes of every cell of every step, of which memory is taken for those that fire.

        Raises:
            UsageError: an input is missing, unknown, of the wrong shape or beyond its range; no thread.
        """
        rasters = checked_inputs(self.graph, inputs)
        steps, samples = next(iter(rasters.values())).shape[:2]
        nodes = self.graph.nodes
        ready: dict[Symbol, Array] = {
            (RASTER, name): readable(node, raster)
            for name, raster in rasters.items()
            if isinstance(node := nodes[name], FixedInput)
        }
        plan = self._plan(steps, samples, states=states, listed=False, events=events)
        return self._played(plan, ready, rasters, steps, samples, threads, first_sample)

    def run_events(
        self, inputs: Mapping[str, Events], *, steps: int, samples: int, threads: int = 1, first_sample: int = 0
    ) -> FixedRun:
        """Run on spikes that stand in lists already; every input takes 0 and 1, and none feeds the host part.

        Raises:
            UsageError: inputs that are missing, unknown, graded, of the wrong length or with cells they do not have.
        """
        check_events(self.graph, inputs, steps, samples)
        ready: dict[Symbol, Array] = {(STARTS, name): given.starts for name, given in inputs.items()}
        ready |= {(INDICES, name): given.indices for name, given in inputs.items()}
        plan = self._plan(steps, samples, states=False, listed=True, events=False)
        return self._played(plan, ready, {}, steps, samples, threads, first_sample)

    def _plan(self, steps: int, samples: int, *, states: bool, listed: bool, events: bool) -> _Plan:
        size = (steps, samples, states, listed, events)
        plan = self._plans.get(size)
        if plan is None:
            kinds = recorded(self.graph, self.nodes.populations, states=states)
            circuit = Circuit(self.nodes, steps, samples, listed, events, kinds)
            wire(circuit)
            counters = sum(map(len, circuit.counters.values()))
            parts = (circuit.begins, circuit.calls, circuit.ends)
            script = script_of(parts, circuit.bytes, counters, (self.nodes, *circuit.kept))
            plan = _Plan(script, kinds, circuit.counters, circuit.kept_sizes)
            for old in list(self._plans)[: 1 - KEPT_PLANS]:
                self._plans.pop(old, None)
            self._plans[size] = plan
        return plan

    def _played(
        self,
        plan: _Plan,
        ready: Mapping[Symbol, Array],
        rasters: Mapping[str, Array],
        steps: int,
        samples: int,
        threads: int,
        first_sample: int,
    ) -> FixedRun:
        if threads < 1:
            raise UsageError(f"{threads} threads", where="threads", fix="use 1 or more")
        arrays = {
            symbol: np.empty((1 if kind.end else steps, samples, kind.cells), kind.dtype)
            for symbol, kind in plan.recorded.items()
        }
        known: dict[Symbol, Array | int] = {**ready, **arrays, FIRST_SAMPLE: first_sample}
        kept = None
        if plan.kept:
            names, sizes = tuple(plan.kept), tuple(plan.kept.values())
            starts = np.empty((len(names), samples, steps + 1), np.int64)
            kept = Listed(names, sizes, starts, np.empty(steps * samples * sum(sizes), np.int32))
            known |= {KEPT_STARTS: kept.starts, KEPT_CELLS: kept.cells}
        neurons = sum(packed.size for packed in self.nodes.populations.values())
        counted = played(plan.script, known, steps, samples, threads, neurons)
        activity = activity_of(self.nodes, plan.counters, counted, steps, samples)
        return FixedRun(run_of(self.nodes, arrays, rasters), activity, kept)


def compile_network(graph: Graph[FixedNode], *, general_below: int = 64) -> Network:
    """Pack the weights of a fixed graph and choose its kernels.

    general_below: populations of fewer neurons do without a kernel of their own variant, which would have to be
    compiled; the results are the same.

    Raises:
        UnsupportedError: nodes connected as the engine does not have them, or values that 64 bits do not hold.
    """
    check_connections(graph)
    sums = synapses_intervals(graph)
    populations = packed_populations(graph, sums, all_ranges(graph), general_below)
    return Network(Nodes(graph, populations, packed_projections(graph, populations, sums)))
