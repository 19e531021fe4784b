"""report.json beside a `.net` file: law, registers, scales, prices, cores and limits, and what is left to the host."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from norse_export.errors import CapacityError
from norse_export.ir.graph import Graph
from norse_export.ir.layers import Output
from norse_export.ir.stages import FixedNode

from .chain import Chain, ChainLayer, i_decay, mantissas, v_decay
from .fit import limits_of
from .host import HostPart, host_part
from .law import SYNAPSE_STEPS
from .limits import CHIPS, ChipLimits
from .notes import memory_bits
from .placing import Placed, place_on
from .registers import UNIT
from .replay import skew_of
from .told import CHIP_KEY, PRECISION_KEY, PRICES_KEY

FORMAT = 2


def write_report(path: Path, graph: Graph[FixedNode], chain: Chain) -> None:
    """Write the report; the same graph, the same bytes."""
    text = json.dumps(report_of(graph, chain), indent=2, ensure_ascii=True, allow_nan=False)
    path.write_text(f"{text}\n", encoding="ascii")


def report_of(graph: Graph[FixedNode], chain: Chain) -> dict[str, Any]:
    """The report as JSON values. skew: by how many steps what each layer and output sends is late."""
    part = host_part(graph, chain)
    told = dict(graph.metadata)
    return {
        "format": FORMAT,
        "target": "loihi",
        "law": told.pop("law", ""),
        "chip": told.pop(CHIP_KEY, ""),
        "precision": told.pop(PRECISION_KEY, ""),
        "dt_seconds": chain.layers[0].population.dt,
        "input": {"name": chain.input_name, "shape": list(chain.input_shape)},
        "skew": dict(skew_of(graph, part)),
        "layers": [_layer(layer, number) for number, layer in enumerate(chain.layers)],
        "prices": json.loads(told.pop(PRICES_KEY, "[]")),
        "on_host": _host(graph, part),
        "chips": [_chip(chain, chip) for chip in CHIPS],
        "metadata": told,
    }


def _host(graph: Graph[FixedNode], part: HostPart) -> list[dict[str, Any]]:
    """What the host computes from the last spikes, exactly, in float64."""
    return [
        {
            "name": name,
            "type": type(node).__name__,
            "from": [edge.source for edge in graph.incoming(name)],
            "shape": list(node.output_shape),
        }
        for name, node in part.nodes.items()
        if not isinstance(node, Output)
    ]


def _chip(chain: Chain, chip: ChipLimits) -> dict[str, Any]:
    """Cores and chips of one kind, where the layers stand, and every limit with its source."""
    try:
        placed = place_on(chain, chip)
    except CapacityError as error:
        return {"chip": chip.name, "fits": False, "why": [asdict(finding) for finding in error.findings]}
    return {
        "chip": chip.name,
        "fits": placed.chips == 1,
        "cores": placed.cores,
        "chips": placed.chips,
        "bound_by": placed.binding if placed.chips > 1 else max(placed.fits, key=lambda fit: fit.cores).binding,
        "limits": [asdict(limit) for limit in limits_of(placed)],
        "layers": _places(placed),
    }


def _places(placed: Placed) -> list[dict[str, Any]]:
    parts: Mapping[str, Any] = placed.placement().by_population
    return [
        {
            "layer": fit.layer,
            "cores": fit.cores,
            "bound_by": fit.binding,
            "fullest_core": dict(fit.needs),
            "places": [
                {"neurons": [part.start, part.stop], "chip": part.core // placed.chip.cores, "core": part.core}
                for part in parts[fit.layer]
            ],
        }
        for fit in placed.fits
    ]


def _layer(layer: ChainLayer, number: int) -> dict[str, Any]:
    threshold, bias = mantissas(layer, "v_th"), mantissas(layer, "bias")
    return {
        "name": layer.name,
        "block": number,
        "late_by_steps": (number + 1) * SYNAPSE_STEPS,
        "readout": not layer.population.spikes,
        "shape": list(layer.population.shape),
        "synapses": layer.forward,
        "weights": [_ends(synapses.weight) for synapses in (layer.synapses, *layer.more)],
        "recurrent_weights": [
            _ends(synapses.weight) for synapses in (layer.recurrent, *layer.more_recurrent) if synapses is not None
        ],
        "synapse_memory_bits": list(memory_bits(layer)),
        "delay_steps": layer.delay_steps,
        "weight_of_1": None if (unit := layer.population.unit.get("u")) is None else float(unit.flat[0]) * UNIT,
        "iDecay": i_decay(layer),
        "vDecay": v_decay(layer),
        "vThMant": _ends(threshold),
        "bias": _ends(bias),
        "starts_at": {name: _ends(values) for name, values in layer.population.initial_state.items()},
    }


def _ends(values: Any) -> list[int]:
    return [int(values.min()), int(values.max())]
