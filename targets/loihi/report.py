"""report.json beside a `.net` file: registers, scales, cores, and what is left to the host."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from norse_export.ir.graph import Graph
from norse_export.ir.layers import Output
from norse_export.ir.stages import FixedNode

from .chain import Chain, ChainLayer, i_decay, mantissas, v_decay
from .fit import demands, fits_on
from .host import host_part
from .limits import CHIPS
from .registers import UNIT

FORMAT = 1


def write_report(path: Path, graph: Graph[FixedNode], chain: Chain) -> None:
    """Write the report; the same graph, the same bytes."""
    text = json.dumps(report_of(graph, chain), indent=2, ensure_ascii=True, allow_nan=False)
    path.write_text(f"{text}\n", encoding="ascii")


def report_of(graph: Graph[FixedNode], chain: Chain) -> dict[str, Any]:
    """The report as JSON values."""
    part = host_part(graph, chain)
    return {
        "format": FORMAT,
        "target": "loihi",
        "metadata": dict(graph.metadata),
        "input": {"name": chain.input_name, "shape": list(chain.input_shape)},
        "layers": [_layer(layer, number) for number, layer in enumerate(chain.layers)],
        "on_host": [name for name, node in part.nodes.items() if not isinstance(node, Output)],
        "chips": [
            {
                "chip": chip.name,
                "source": chip.source,
                "cores_of_a_chip": chip.cores,
                "cores": sum(fits_on(demand, chip).cores for demand in demands(chain)),
                "layers": [asdict(fits_on(demand, chip)) for demand in demands(chain)],
            }
            for chip in CHIPS
        ],
    }


def _layer(layer: ChainLayer, number: int) -> dict[str, Any]:
    threshold, bias = mantissas(layer, "v_th"), mantissas(layer, "bias")
    return {
        "name": layer.name,
        "block": number,
        "late_by_steps": number + 1,
        "readout": not layer.population.spikes,
        "shape": list(layer.population.shape),
        "synapses": layer.forward,
        "weights": [int(layer.synapses.weight.min()), int(layer.synapses.weight.max())],
        "weight_of_1": float(layer.population.unit["u"].flat[0]) * UNIT,
        "iDecay": i_decay(layer),
        "vDecay": v_decay(layer),
        "vThMant": [int(threshold.min()), int(threshold.max())],
        "bias": [int(bias.min()), int(bias.max())],
    }
