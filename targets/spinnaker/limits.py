"""What the chip and a board hold, and how much of it a network takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, prod
from typing import Any

import numpy as np

from norse_export.errors import Finding
from norse_export.ir.fixed import DenseSynapses, FixedInput, Population, SparseSynapses
from norse_export.ir.graph import Graph
from norse_export.ir.stages import FixedNode

from .law import PORTS
from .listing import listed

# Source: SpiNNMachine 7.4.1, version_spin1 and version_48; sPyNNaker 7.4.1, its population table's fields.
NEURONS_PER_CORE = 256  # a row of the population table names neurons in 8 bits
CORES_PER_CHIP = 16  # of 18: one is the monitor, one the extra monitor
CHIPS_PER_BOARD = 48
SDRAM_BYTES = 123_469_792  # of a chip, for applications
DTCM_BYTES = 65536  # of a core
RING_INDEX_BITS = 14  # of a cell of the ring buffers: delay slot, receptor type, neuron
ROUTER_ENTRIES = 1023  # of a chip
# Source: sPyNNaker 7.4.1, synapse_io and the layout of its rows (measured on SDRAM images, tests/goldens/spinnaker).
ROW_HEADER_WORDS, WORD_BYTES, RING_BYTES = 3, 4, 2
# Assumed: sPyNNaker cuts long lists of spike sources later than this.
SOURCES_PER_CORE = 256
_LEAST_PER_CORE = 16  # neurons of a core below which delays are refused. Chosen: half the chip would stand idle


@dataclass(frozen=True, slots=True)
class Use:
    """What a population takes. slots: of its ring buffers. row_bytes: synaptic rows of the core with the most.

    ring_bytes: of its DTCM, on a full core.
    """

    neurons: int
    neurons_per_core: int
    cores: int
    synapses: int
    slots: int
    longest_delay: int
    row_bytes: int
    ring_bytes: int


def usage(graph: Graph[FixedNode]) -> dict[str, Use]:
    """What each population takes; inputs too, which have cores alone."""
    found = {}
    for name, node in graph.nodes.items():
        if isinstance(node, FixedInput):
            size = prod(node.shape)
            found[name] = Use(size, SOURCES_PER_CORE, ceil(size / SOURCES_PER_CORE), 0, 0, 0, 0, 0)
        elif isinstance(node, Population):
            found[name] = _population(graph, name, prod(node.shape))
    return found


def totals(use: Mapping[str, Use]) -> dict[str, int]:
    """Cores, chips, boards, synapses and bytes of SDRAM of a whole network."""
    cores = sum(one.cores for one in use.values())
    chips = ceil(cores / CORES_PER_CHIP)
    return {
        "cores": cores,
        "chips": chips,
        "boards": ceil(chips / CHIPS_PER_BOARD),
        "synapses": sum(one.synapses for one in use.values()),
        "row_bytes": sum(one.row_bytes * one.cores for one in use.values()),
    }


def findings(use: Mapping[str, Use]) -> list[Finding]:
    """Every limit that is broken, and what a user should know."""
    found = []
    for name, one in use.items():
        if one.longest_delay > one.slots:
            message = f"a delay of {one.longest_delay} steps; the ring buffers of a core have {one.slots}"
            found.append(_capacity(name, message, "use shorter delays, or fewer layers between branches that meet"))
        if one.row_bytes > SDRAM_BYTES:
            message = f"{one.row_bytes} bytes of synapses for one core; a chip has {SDRAM_BYTES}"
            found.append(_capacity(name, message, "make the layers that feed it smaller or sparser"))
    whole = totals(use)
    if whole["cores"] > ROUTER_ENTRIES:
        message = f"{whole['cores']} cores send spikes; a router has {ROUTER_ENTRIES} entries before they are merged"
        fix = "make the network smaller, or look at the routing tables of a virtual run"
        found.append(Finding("routing", "warning", "network", message, fix))
    if whole["boards"] > 1:
        message = f"{whole['cores']} cores on {whole['chips']} chips: at least {whole['boards']} boards"
        found.append(Finding("boards", "warning", "network", message, "make the network smaller, or use more boards"))
    return found


def _capacity(where: str, message: str, fix: str) -> Finding:
    return Finding("capacity", "error", where, message, fix)


def _population(graph: Graph[FixedNode], name: str, neurons: int) -> Use:
    into = [edge.source for port in PORTS for edge in graph.incoming(name, port)]
    delays = {edge.source: graph.incoming(edge.source)[0].delay_steps for edge in graph.incoming(name)}
    longest = max((delays[one] for one in into if _count(graph.nodes[one])), default=1)
    per_core = NEURONS_PER_CORE
    while _slots(per_core) < longest and per_core > _LEAST_PER_CORE:
        per_core //= 2
    cores = ceil(neurons / per_core)
    return Use(
        neurons=neurons,
        neurons_per_core=per_core,
        cores=cores,
        synapses=sum(_count(graph.nodes[one]) for one in into),
        slots=_slots(per_core),
        longest_delay=longest,
        row_bytes=sum(_row_bytes(graph.nodes[one], per_core, cores) for one in into),
        ring_bytes=RING_BYTES * _slots(per_core) * len(PORTS) * per_core,
    )


def _slots(neurons: int) -> int:
    """Delay slots of the ring buffers of a core with so many neurons (a power of two) and two receptor types."""
    return 1 << (RING_INDEX_BITS - (neurons * len(PORTS)).bit_length() + 1)


def _count(node: Any) -> int:
    """Synapses of a projection as rows hold them: those that are not 0."""
    match node:
        case DenseSynapses() | SparseSynapses():
            return int(np.count_nonzero(node.weight))
        case _:
            return int(np.count_nonzero(listed(node).weight))


def _row_bytes(node: Any, per_core: int, cores: int) -> int:
    """Rows of a projection on the core with the most: one for each source, all as long as the longest."""
    synapses = listed(node)
    sources = len(synapses.starts) - 1
    source = np.repeat(np.arange(sources), np.diff(synapses.starts))[synapses.weight != 0]
    core = (synapses.targets // per_core)[synapses.weight != 0]
    lengths = np.bincount(source * cores + core, minlength=sources * cores).reshape(sources, cores)
    longest = int(lengths.max(initial=0))
    return sources * (ROW_HEADER_WORDS + longest) * WORD_BYTES if longest else 0
