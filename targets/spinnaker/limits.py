"""What the chip and a board hold, and how much of it a network takes, as sPyNNaker will count it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, prod
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import Finding
from norse_export.ir.fixed import DenseSynapses, FixedInput, Population, Synapses
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.stages import FixedNode

from . import memory, placing
from .derive import Model
from .listing import listed
from .memory import DTCM_BYTES, Rows
from .placing import MONITOR_BYTES, SDRAM_BYTES

# Source: SpiNNMachine 7.4.1, version_spin1 and version_48; sPyNNaker 7.4.1, its population table's fields.
NEURONS_PER_CORE = 256  # a row of the population table names neurons in 8 bits
CHIPS_PER_BOARD = len(placing.CHIPS)
CORES_PER_BOARD = sum(map(placing.cores_of, placing.CHIPS))  # for applications
ROUTER_ENTRIES = 1023  # of a chip
MOST_SOURCES = 65535  # of a core: the population table counts them in 16 bits
_LEAST_PER_CORE = 16  # neurons of a core below which delays are refused. Chosen: half the chip would stand idle
DECIDES = "sPyNNaker decides"  # of what is not foretold


@dataclass(frozen=True, slots=True)
class Use:
    """What a population takes. slots: delay slots for which its ring buffers have room. row_bytes: region of synaptic
    rows of each of its cores. ring_bytes, dtcm_bytes: of a full core's own memory. sdram_bytes: of each core, planned
    for memory.PLANNED_STEPS; of a population of sources, for a raster in which all of them send at once.
    routing_entries: of a router on a chip that holds the whole network.
    """

    neurons: int
    neurons_per_core: int
    cores: int
    synapses: int
    slots: int
    longest_delay: int
    row_bytes: int
    ring_bytes: int
    dtcm_bytes: int = 0
    sdram_bytes: int = 0
    sdram_bytes_per_step: int = 0
    routing_entries: int = 0


def usage(graph: Graph[FixedNode], spikes: Mapping[str, int] | None = None) -> dict[str, Use]:
    """What each population takes; inputs too, which have cores alone.

    spikes: of each input, how many of its sources send in the fullest step of the raster to be played; None: all.
    """
    per_core, onto = {}, {}
    found, numbers, number = {}, {}, 0
    for name, node in graph.nodes.items():
        if isinstance(node, FixedInput):
            size = prod(node.shape)
            per_core[name] = size
            found[name] = _sources(size, (spikes or {}).get(name, size))
        elif isinstance(node, Population):
            per_core[name], onto[name] = _onto(graph, name)
    for name, node in graph.nodes.items():
        if isinstance(node, Population):
            found[name] = _population(node, onto[name], per_core[name], per_core)
    for name in found:
        numbers[name], number = number, number + found[name].cores
    return {
        name: replace(one, routing_entries=placing.entries(_targets(name, one, onto, numbers)))
        for name, one in found.items()
    }


def totals(use: Mapping[str, Use]) -> dict[str, int | str]:
    """What a whole network takes: cores, chips, boards, synapses, bytes of SDRAM, entries of the fullest router.

    chips and routing entries are those of sPyNNaker's own placement where it is foretold, else its to decide.
    """
    placed = place(use)
    chips = {chip for cores in placed or () for chip in cores}
    cores = sum(one.cores for one in use.values())
    return {
        "cores": cores,
        "chips": len(chips) if placed is not None else DECIDES,
        "boards": 1 if placed is not None else max(2, ceil(cores / CORES_PER_BOARD)),
        "synapses": sum(one.synapses for one in use.values()),
        "row_bytes": sum(one.row_bytes * one.cores for one in use.values()),
        "sdram_bytes": sum(one.sdram_bytes * one.cores for one in use.values()),
        "routing_entries": sum(one.routing_entries for one in use.values()) if len(chips) == 1 else DECIDES,
    }


def place(use: Mapping[str, Use]) -> list[list[placing.Chip]] | None:
    """The chip of each core of each population; None: more than one board."""
    return placing.place([[one.sdram_bytes] * one.cores for one in use.values()])


def fullest(raster: NDArray[Any]) -> int:
    """Spikes in the fullest step of a raster [T, *shape]."""
    return int(np.count_nonzero(raster.reshape(len(raster), -1), axis=1).max(initial=0))


def findings(use: Mapping[str, Use]) -> list[Finding]:
    """Every limit that is broken, and what a user should know."""
    found = []
    for name, one in use.items():
        if one.longest_delay > one.slots:
            message = f"a delay of {one.longest_delay} steps; the ring buffers of a core have {one.slots}"
            found.append(_capacity(name, message, "use shorter delays, or fewer layers between branches that meet"))
        if one.sdram_bytes > SDRAM_BYTES - MONITOR_BYTES:
            message = f"{one.sdram_bytes} bytes of memory for one core; a chip has {SDRAM_BYTES - MONITOR_BYTES}"
            found.append(_capacity(name, message, "make the layers that feed it smaller or sparser"))
        if one.dtcm_bytes > DTCM_BYTES:
            message = f"at least {one.dtcm_bytes} bytes of a core's own memory; it has {DTCM_BYTES}"
            found.append(_capacity(name, message, "make the layers that feed it smaller"))
        if not one.slots and one.neurons > MOST_SOURCES:
            message = f"{one.neurons} sources on one core; the population table counts {MOST_SOURCES}"
            found.append(_capacity(name, message, "make the input smaller, or give the model several inputs"))
    whole = totals(use)
    cores = sum(one.cores for one in use.values())
    if cores > ROUTER_ENTRIES:
        message = f"{cores} cores send spikes; a router has {ROUTER_ENTRIES} entries before they are merged"
        fix = "make the network smaller, or look at the routing tables of a virtual run"
        found.append(Finding("routing", "warning", "network", message, fix))
    if whole["boards"] != 1 and not any(one.kind == "capacity" for one in found):
        message = f"{cores} cores: at least {whole['boards']} boards of {CHIPS_PER_BOARD} chips"
        found.append(Finding("boards", "warning", "network", message, "make the network smaller, or use more boards"))
    return found


def _capacity(where: str, message: str, fix: str) -> Finding:
    return Finding("capacity", "error", where, message, fix)


def _sources(neurons: int, most: int) -> Use:
    """Spike sources, all of them on one core."""
    planned = memory.of_sources(most)
    sdram = {"sdram_bytes": planned.planned, "sdram_bytes_per_step": planned.step}
    return Use(neurons, neurons, 1, 0, 0, 0, 0, 0, **sdram)


@dataclass(frozen=True, slots=True, eq=False)
class _Incoming:
    """One projection onto a population: source, delay, synapses of each source on each core of the target [S, C]."""

    source: str
    sources: int
    delay_steps: int
    lengths: NDArray[Any]


def _onto(graph: Graph[FixedNode], name: str) -> tuple[int, list[_Incoming]]:
    """Neurons of a full core of a population, and the projections onto it in the order in which they are made.

    Cores are as full as leaves their ring buffers enough delay slots. Projections without a synapse are not made.
    """
    neurons = prod(graph.nodes[name].output_shape)
    into: list[tuple[Edge, Synapses]] = []
    for edge in graph.incoming(name):
        synapses = cast(Synapses, graph.nodes[edge.source])
        if np.any(synapses.weight):
            into.append((graph.incoming(edge.source)[0], synapses))
    longest, most = max((edge.delay_steps for edge, _ in into), default=1), NEURONS_PER_CORE
    while memory.most_slots(min(most, neurons)) < longest and most > _LEAST_PER_CORE:
        most //= 2
    return most, [
        _Incoming(edge.source, prod(synapses.input_shape), edge.delay_steps, _lengths(synapses, most))
        for edge, synapses in into
    ]


def _lengths(node: Synapses, per_core: int) -> NDArray[Any]:
    """How many synapses each source has on each core [S, C]."""
    neurons = prod(node.output_shape)
    if isinstance(node, DenseSynapses):
        firsts = np.arange(0, neurons, per_core)
        dense: NDArray[Any] = np.add.reduceat(node.weight != 0, firsts, axis=0, dtype=np.int64).T
        return dense
    synapses, cores = listed(node), ceil(neurons / per_core)
    sources = len(synapses.starts) - 1
    cells = np.repeat(np.arange(sources), np.diff(synapses.starts)) * cores + synapses.targets // per_core
    return np.bincount(cells, minlength=sources * cores).reshape(sources, cores)


def _population(node: Population, into: Sequence[_Incoming], per_core: int, of_all: Mapping[str, int]) -> Use:
    neurons, longest = prod(node.shape), max((one.delay_steps for one in into), default=1)
    cores, full = ceil(neurons / per_core), min(neurons, per_core)
    rows = [
        Rows(one.source, one.sources, min(one.sources, of_all[one.source]), int(one.lengths.max(initial=0)))
        for one in into
    ]
    model = Model.IF_CURR_DELTA if "scale_factor" in node.parameters else Model.IF_CURR_EXP
    planned = memory.of_neurons(model, full, rows, membranes=not node.spikes)
    return Use(
        neurons=neurons,
        neurons_per_core=per_core,
        cores=cores,
        synapses=sum(int(one.lengths.sum()) for one in into),
        slots=memory.most_slots(full),
        longest_delay=longest,
        row_bytes=memory.of_rows(rows),
        ring_bytes=memory.ring_bytes(full, longest),
        dtcm_bytes=memory.dtcm(model, full, rows, longest),
        sdram_bytes=planned.planned,
        sdram_bytes_per_step=planned.step,
    )


def _targets(
    name: str, use: Use, onto: Mapping[str, Sequence[_Incoming]], first: Mapping[str, int]
) -> tuple[frozenset[int], ...]:
    """For each core of a population the cores that it has synapses on."""
    found: list[set[int]] = [set() for _ in range(use.cores)]
    for target, into in onto.items():
        for one in into:
            if one.source == name:
                firsts = np.arange(0, one.sources, use.neurons_per_core)
                core, on = np.nonzero(np.add.reduceat(one.lengths, firsts, axis=0))
                for number, where in zip(core.tolist(), on.tolist(), strict=True):
                    found[number].add(first[target] + where)
    return tuple(map(frozenset, found))
