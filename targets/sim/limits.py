"""What the reference machine holds. It is a machine on paper: every number is chosen here, and README.md says why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from norse_export.engine.machine.config import MAX_AXONS, MAX_SIDE, MachineConfig
from norse_export.engine.machine.wiring import weight_bits
from norse_export.ir.fixed import Synapses
from norse_export.ir.graph import Graph
from norse_export.passes.map import CoreLimits

NEURONS = 1024  # of a core. Chosen: as many as Loihi's have (Davies et al., IEEE Micro 38(1), 2018)
WORDS = 2**16  # of synapses of a core. Chosen: 2 MiB of 256-bit words; a neuron may then have as many dense inputs
MESH = MAX_SIDE  # in each direction; the fields of a flit, docs/reference_machine.md section 3


def core_limits(config: MachineConfig) -> CoreLimits:
    """What a core of a machine with these parameters holds, and how many of them there may be."""
    return CoreLimits(
        width=MESH,
        height=MESH,
        neurons=NEURONS,
        words=WORDS,
        axons=MAX_AXONS,
        accumulators=config.accumulators,
        lanes=config.lanes,
    )


def machine_for(graph: Graph[Any], config: MachineConfig) -> MachineConfig:
    """The machine, widened where the graph has longer delays or wider weights than it was configured for."""
    delays = [edge.delay_steps for edge in graph.edges if isinstance(graph.nodes[edge.target], Synapses)]
    slots = max(config.delay_slots, 1 << max(delays, default=0).bit_length())
    bits = max(
        [config.weight_bits, *(weight_bits(node) for node in graph.nodes.values() if isinstance(node, Synapses))]
    )
    needed = (slots - 1).bit_length() + config.lanes * (config.index_bits + bits)
    return replace(config, delay_slots=slots, weight_bits=bits, word_bits=max(config.word_bits, needed))
