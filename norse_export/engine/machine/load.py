"""What the machine holds of a placed graph: destination lists, rows of synapse words, neurons by core and round."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.engine.machine.config import MAX_AXONS, MAX_WORDS, MachineConfig
from norse_export.engine.machine.wiring import (
    SYNAPSES,
    Target,
    accumulators,
    check_wiring,
    depths,
    inputs_of,
    read_by_host,
    sources,
)
from norse_export.engine.machine.words import count
from norse_export.errors import CapacityError, Finding
from norse_export.ir.fixed import FixedInput, Population
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.placement import Placement
from norse_export.ir.stages import FixedNode

IntArray = NDArray[np.int64]
WORD_BITS, SIDE_BITS = 20, 6
HOST_BIT = 1 << (WORD_BITS + 2 * SIDE_BITS)  # an entry: words, x, y, host, from the low bits on
_COUNTS = 2**22  # counters at a time while rows are measured


@dataclass(frozen=True, slots=True, eq=False)
class Load:
    """Tables of the machine for one placed graph.

    sources: inputs and populations, in the graph's order. cells [S + 1]: the first cell of each source among all.
    lists [cells + 1]: the first destination of each cell in `entries`; an entry holds words, x, y and host.
    steady: for each source whether it sends every cell in every step (a population that does not spike). depth: the
    round of each. longest: the longest list of a cell of each; of a steady source the sum of all its lists. inputs:
    numbers of the sources that the host injects. firsts [rounds * cores + 1]: the first part of each core in each
    round; parts [P, 5]: source, start, stop, interval from one neuron to the next, latency of one.
    memory [cores, 4]: neurons, accumulators of a slot, axon entries, synapse words.
    """

    config: MachineConfig
    width: int
    height: int
    rounds: int
    sources: tuple[str, ...]
    cells: IntArray
    lists: IntArray
    entries: IntArray
    steady: NDArray[np.bool_]
    depth: IntArray
    longest: IntArray
    inputs: IntArray
    firsts: IntArray
    parts: IntArray
    memory: IntArray

    @property
    def cores(self) -> int:
        """How many cores the mesh has."""
        return self.width * self.height


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The rows of words of one source, by cell, then by core; `cells` is how many cells it has."""

    cells: int
    cell: IntArray
    core: IntArray
    words: IntArray


def load(graph: Graph[FixedNode], placement: Placement, config: MachineConfig) -> Load:
    """Fill the machine's tables.

    Raises:
        GraphError: the placement is not of this graph, or the machine has no wires for an edge.
        CapacityError: the graph does not fit the widths of the machine; every violation is a finding.
    """
    check_wiring(graph, placement, config)
    names, host, depth = sources(graph), read_by_host(graph), depths(graph)
    targets, used = accumulators(graph, placement)
    rows = {name: rows_of(graph, name, placement.cores, config.lanes, targets) for name in names}
    memory = _memory(placement, used, rows)
    _check_tables(memory, rows, sum(rows[name].cells for name in host))
    lists = [_lists(rows[name], placement.width, to_host=name in host) for name in names]
    steady = np.array([_is_steady(graph.nodes[name]) for name in names], np.bool_)
    together = zip(lists, steady, strict=True)
    longest = [lengths.sum() if every else lengths.max(initial=0) for (lengths, _), every in together]
    firsts, parts = _parts(graph, placement, config, names, depth)
    return Load(
        config=config,
        width=placement.width,
        height=placement.height,
        rounds=1 + max(depth.values(), default=0),
        sources=names,
        cells=np.cumsum([0, *(rows[name].cells for name in names)]),
        lists=np.cumsum(np.concatenate([np.zeros(1, np.int64), *(lengths for lengths, _ in lists)])),
        entries=np.concatenate([np.zeros(0, np.int64), *(entries for _, entries in lists)]),
        steady=steady,
        depth=np.array([depth[name] for name in names], np.int64),
        longest=np.array(longest, np.int64),
        inputs=np.array([n for n, name in enumerate(names) if isinstance(graph.nodes[name], FixedInput)], np.int64),
        firsts=firsts,
        parts=parts,
        memory=memory,
    )


def rows_of(graph: Graph[FixedNode], source: str, cores: int, lanes: int, targets: Mapping[Edge, Target]) -> Rows:
    """Measure the rows of a source onto these inputs: for each delay as many words as the fullest bank needs."""
    size = math.prod(graph.nodes[source].output_shape)
    onto = [edge for edge in graph.outgoing(source) if isinstance(graph.nodes[edge.target], SYNAPSES)]
    delays = sorted({edge.delay_steps for edge in onto})
    stride = max(1, _COUNTS // max(1, cores * len(delays) * lanes))
    found = []
    for start in range(0, size, stride):
        stop = min(start + stride, size)
        counts = np.zeros((stop - start, cores, max(1, len(delays)), lanes), np.int32)
        for edge in onto:
            node: Any = graph.nodes[edge.target]
            for into in graph.outgoing(edge.target):
                if into in targets:
                    count(node, (start, stop), targets[into], delays.index(edge.delay_steps), counts)
        words = counts.max(axis=3).sum(axis=2, dtype=np.int64)
        cell, core = np.nonzero(words)
        found.append((cell + start, core, words[cell, core]))
    cell, core, all_words = (np.concatenate(one) for one in zip(*found, strict=True))
    return Rows(size, cell, core, all_words)


def _lists(rows: Rows, width: int, *, to_host: bool) -> tuple[IntArray, IntArray]:
    """Number of destinations of each cell, and the destinations: cores rising, then the host."""
    y, x = np.divmod(rows.core, width)
    entries = rows.words | (x << WORD_BITS) | (y << (WORD_BITS + SIDE_BITS))
    cell = rows.cell
    if to_host:
        cell = np.concatenate([cell, np.arange(rows.cells)])
        entries = np.concatenate([entries, np.full(rows.cells, HOST_BIT)])
        order = np.argsort(cell, kind="stable")
        cell, entries = cell[order], entries[order]
    return np.bincount(cell, minlength=rows.cells), entries


def _parts(
    graph: Graph[FixedNode],
    placement: Placement,
    config: MachineConfig,
    names: tuple[str, ...],
    depth: Mapping[str, int],
) -> tuple[IntArray, IntArray]:
    rounds = 1 + max(depth.values(), default=0)
    numbers = np.zeros(rounds * placement.cores, np.int64)
    parts = []
    for step in range(rounds):
        for core, here in placement.by_core.items():
            for part in here:
                if depth[part.population] == step:
                    inputs = max(1, len(inputs_of(graph, part.population)))
                    interval, latency = max(config.neuron_interval, inputs), inputs - 1 + config.neuron_depth
                    parts.append((names.index(part.population), part.start, part.stop, interval, latency))
                    numbers[step * placement.cores + core] += 1
    return np.cumsum(np.concatenate([np.zeros(1, np.int64), numbers])), np.array(parts, np.int64).reshape(-1, 5)


def _memory(placement: Placement, used: IntArray, rows: Mapping[str, Rows]) -> IntArray:
    memory = np.zeros((placement.cores, 4), np.int64)
    for part in placement.parts:
        memory[part.core, 0] += part.neurons
    memory[:, 1] = used
    for one in rows.values():
        memory[:, 2] += np.bincount(one.core, minlength=placement.cores)
        np.add.at(memory[:, 3], one.core, one.words)
    return memory


def _check_tables(memory: IntArray, rows: Mapping[str, Rows], read: int) -> None:
    findings = []
    for core, axons in enumerate(memory[:, 2]):
        if axons > MAX_AXONS:
            message = f"{axons} source cells lead to the core, its axon table has {MAX_AXONS} entries"
            findings.append(Finding("machine", "error", f"core {core}", message, "spread its neurons over more cores"))
    for name, one in rows.items():
        if one.words.max(initial=0) > MAX_WORDS:
            message = f"a cell with {one.words.max()} synapse words on one core, a row has at most {MAX_WORDS}"
            findings.append(Finding("machine", "error", name, message, "spread its targets over more cores"))
    if read > MAX_AXONS:
        message = f"the host reads {read} cells, a flit can name {MAX_AXONS}"
        findings.append(Finding("machine", "error", "outputs", message, "put a smaller layer in front of the outputs"))
    if findings:
        raise CapacityError.of(findings)


def _is_steady(node: FixedNode) -> bool:
    return isinstance(node, Population) and not node.spikes
