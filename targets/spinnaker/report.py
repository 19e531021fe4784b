"""report.json: what a network takes of the chip, and what became of the weights and sums of each layer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from norse_export.ir.bounds import all_ranges
from norse_export.ir.fixed import Population
from norse_export.ir.graph import Graph
from norse_export.ir.stages import FixedNode
from norse_export.program.operations import Op
from norse_export.program.ranges import Ranges

from .artefact import told
from .law import PORTS, RING_MAX
from .limits import Use, totals
from .lower import LAW, METADATA
from .weights import largest_possible, per_one

_NOT_MODELLED = "timing, lost or late packets, and everything else that a chip does beside these neurons' arithmetic"
# For which rasters the memory of spike sources is counted.
_ANY, _PLAYED = "rasters in whose fullest step every source sends", "the first sample of recording.safetensors"


def document(graph: Graph[FixedNode], use: Mapping[str, Use]) -> dict[str, Any]:
    """The report as JSON."""
    return {
        "law": LAW,
        "not_modelled": _NOT_MODELLED,
        **_taken(use, _ANY),
        "layers": _layers(graph),
        "host": [name for name, node in graph.nodes.items() if _on_host(node)],
        "metadata": {key: text for key, text in graph.metadata.items() if key != METADATA},
    }


def recorded(document: dict[str, Any], use: Mapping[str, Use]) -> dict[str, Any]:
    """The report of an artefact that holds rasters; use: with those that deploy.py plays first."""
    return document | _taken(use, _PLAYED)


def _taken(use: Mapping[str, Use], rasters: str) -> dict[str, Any]:
    return {
        "totals": totals(use),
        "memory_of_sources": rasters,
        "use": {name: asdict(one) for name, one in use.items()},
    }


def _on_host(node: FixedNode) -> bool:
    return type(node).__name__ in ("Linear", "Conv", "Pool", "Scale", "Sum", "Flatten")


def _one(told: Any, key: str, number: int) -> Any:
    """A pair's entry; None where nothing was measured."""
    return told[key][number] if key in told else None


def _layers(graph: Graph[FixedNode]) -> dict[str, Any]:
    """Of each population its shifts, least weight, sums in its ring buffers, and how near it comes to wrapping.

    scale: what 1 in the model's units is on the chip; weights are on that scale. counts: membranes are counts, LEAK
    times as many of the chip's least units as the scale says (counting.py). largest_sum_seen, saturated_cells: on
    the calibration inputs, of the float model and of what was exported. weights: those of a convolution are shared, and
    count once; zeroed_weights: so many of them are 0 on the chip. wrap_margin_bits: the bits of 32 that no value of a
    step uses, whatever spikes arrive; None: a value may wrap.
    """
    ranges = all_ranges(graph)
    seen = json.loads(graph.metadata[METADATA])
    return {
        name: {
            "model": str(own.model),
            "read": "membrane" if own.readout else "spikes",
            "scale": own.scale,
            "counts": own.counts,
            "late_steps": own.late,
            "receptor_types": {
                port: _receptor(graph, (name, port), own.shifts[number], seen[name], number)
                for number, port in enumerate(PORTS)
            },
            "wrap_margin_bits": _margin(node, ranges[name]),
        }
        for name, own in told(graph).items()
        if isinstance(node := graph.nodes[name], Population)
    }


def _receptor(
    graph: Graph[FixedNode], onto: tuple[str, str], shift: int, seen: Mapping[str, Any], number: int
) -> dict[str, Any]:
    """The sums and weights of one receptor type. onto: population and port. seen: what was told of the population."""
    synapses: Any = [graph.nodes[edge.source] for edge in graph.incoming(*onto)]
    largest, sums = largest_possible(synapses), seen["seen"][number]
    return {
        "shift": shift,
        "least_weight": 1 / per_one(shift),
        "max_expected_summed_weight": 0.75 * 2.0**shift,
        "largest_sum_possible": largest,
        "largest_sum_seen": None if sums is None else round(sums * per_one(shift)),
        "saturates": "never" if largest <= RING_MAX else "counted",
        "saturated_cells": _one(seen, "saturated", number),
        "weights": _one(seen, "weights", number)[0],
        "zeroed_weights": _one(seen, "weights", number)[1],
    }


def _margin(node: Population, ranges: Ranges) -> int | None:
    """The bits of 32 that no value of a step uses; None: a value may wrap."""
    steps = node.program.instructions
    wraps = [n for n, step in enumerate(steps) if step.op is Op.WRAP]
    reach = [ranges.values[steps[n].operands[0]] for n in wraps]
    bits = max((max(high, -low - 1).bit_length() + 1 for low, high in reach), default=1)
    return 32 - bits if set(wraps) <= ranges.proven and not ranges.diverged else None
