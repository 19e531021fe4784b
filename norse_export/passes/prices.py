"""What quantisation cost, layer by layer: the table of the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil, isfinite, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export import metrics
from norse_export.interpret import interpret
from norse_export.ir.bounds import all_ranges
from norse_export.ir.fixed import Population
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Output
from norse_export.ir.run import Run
from norse_export.ir.stages import DiscreteNode, FixedNode
from norse_export.passes.calibrate import run_fixed
from norse_export.passes.lowered import Lowered, is_between, is_function
from norse_export.passes.scales import WeightPrice
from norse_export.program.laws import Law
from norse_export.program.operations import Op
from norse_export.program.ranges import Ranges

Array = NDArray[Any]
_TAP = "values of "  # names of outputs that are there for the measurement only
NARROWING = (Op.SATURATE, Op.WRAP, Op.WRAP_ONCE)


@dataclass(frozen=True, slots=True)
class LayerPrice:
    """What one population cost.

    projections: its weights. shift: bits of the state below a weight of 1. bits_needed: of a state that holds whatever
    spikes can bring about; None where nothing bounds it (no leak). proven: no state ever leaves bits_available;
    otherwise overflow is counted when the network runs. The rest is measured on the calibration inputs, None without
    any: cells (neurons x steps x samples), spikes of the float and of the fixed network, cells that differ, and
    first_divergence: step, sample, index. value_error: of a population that does not spike, the rms error of its
    values relative to their rms; value_max_abs, value_mean_abs: its largest and its mean error, in the model's units.
    overflows: values that the width of a state changed; 0 where that is impossible, None where it was not counted.
    measured_on: the calibration inputs, in words.
    """

    node: str
    family: str
    neurons: int
    projections: tuple[WeightPrice, ...]
    shift: int
    bits_needed: int | None
    bits_available: int
    proven: bool
    cells: int | None = None
    spikes_before: int | None = None
    spikes_after: int | None = None
    differing: int | None = None
    jaccard: float | None = None
    first_divergence: tuple[int, int, tuple[int, ...]] | None = None
    value_error: float | None = None
    value_max_abs: float | None = None
    value_mean_abs: float | None = None
    overflows: int | None = None
    measured_on: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """Runs of the float and the fixed network on the same rasters.

    values: what each population that does not spike sent, in both, in the model's units. skew: by how many steps each
    layer is late, where the law delays every projection. It explains all of that delay in a network that is one chain
    without biases, which do not wait; elsewhere the delay costs spikes of its own.
    """

    before: Run
    after: Run
    values: Mapping[str, tuple[Array, Array]]
    skew: Mapping[str, int]


def measure(
    graph: Graph[DiscreteNode],
    lowered: Lowered,
    fixed: Graph[FixedNode],
    inputs: Mapping[str, Array],
    law: Law,
    model: Run | None = None,
) -> Measured:
    """Run both networks; model: what `modelled` gave for the same rasters, None: it is run."""
    depth: dict[str, int] = {}
    for name in lowered.populations:
        depth[name] = 1 + max((depth.get(p.source, 0) for p in lowered.onto(name)), default=0)
    taps = _taps(lowered)
    before = modelled(graph, lowered, inputs) if model is None else model
    after = run_fixed(_tapped(fixed, taps), inputs)
    return Measured(
        before=_without(before, taps),
        after=_without(after, taps),
        values={name: (before.outputs[tap], after.outputs[tap]) for tap, name in taps.items()},
        skew={name: law.delay_steps * number for name, number in depth.items()},
    )


def modelled(graph: Graph[DiscreteNode], lowered: Lowered, inputs: Mapping[str, Array]) -> Run:
    """The float model's run, with an output for each population that does not spike."""
    return interpret(_tapped(graph, _taps(lowered)), inputs)


def _taps(lowered: Lowered) -> dict[str, str]:
    return {
        _TAP + name: name for name, node in lowered.populations.items() if not node.spikes and not is_function(node)
    }


def _tapped(graph: Graph[Any], taps: Mapping[str, str]) -> Graph[Any]:
    """The graph with one more output for each node that is tapped."""
    outputs = {tap: Output(graph.nodes[name].output_shape) for tap, name in taps.items()}
    edges = (*graph.edges, *(Edge(name, tap) for tap, name in taps.items()))
    return Graph({**graph.nodes, **outputs}, edges, graph.metadata)


def _without(run: Run, taps: Mapping[str, str]) -> Run:
    return replace(run, outputs={name: sent for name, sent in run.outputs.items() if name not in taps})


def layer_prices(
    lowered: Lowered,
    fixed: Graph[FixedNode],
    prices: Mapping[str, tuple[tuple[WeightPrice, ...], int, float]],
    law: Law,
    measured: Measured | None,
    overflows: Mapping[str, int] | None = None,
) -> tuple[LayerPrice, ...]:
    """The table, in the order of the populations. prices: of each its weights', its shift, and the bound of its states.

    overflows: of those that were counted.
    Max pooling and functions between neurons are left out: what they cost is seen in the neurons behind them.
    """
    ranges = all_ranges(fixed)
    table = []
    for name, node in lowered.populations.items():
        population = fixed.nodes[name]
        if is_between(node) or not isinstance(population, Population):
            continue
        weights, shift, bound = prices[name]
        proven, needed = held(population, ranges[name])
        table.append(
            LayerPrice(
                node=name,
                family=node.family.name,
                neurons=prod(node.shape),
                projections=weights,
                shift=shift,
                bits_needed=needed if proven else ceil(bound).bit_length() + 1 if isfinite(bound) else None,
                bits_available=law.state_bits,
                proven=proven,
                overflows=0 if proven else (overflows or {}).get(name),
                **({} if measured is None else _cost(name, population, measured)),
            )
        )
    return tuple(table)


def held(population: Population, ranges: Ranges) -> tuple[bool, int]:
    """Whether no narrowing ever changes a value, and the bits of the widest value that is narrowed."""
    instructions = population.program.instructions
    narrowing = [number for number, step in enumerate(instructions) if step.op in NARROWING]
    reach = [ranges.values[instructions[number].operands[0]] for number in narrowing]
    bits = max((max(high, -low - 1).bit_length() + 1 for low, high in reach), default=1)
    return set(narrowing) <= ranges.proven and not ranges.diverged, bits


def _cost(name: str, population: Population, measured: Measured) -> dict[str, Any]:
    """What was measured of a layer, in the fields of LayerPrice."""
    late = measured.skew[name]
    if not population.spikes:
        truth, values = measured.values[name]
        truth, values = truth[: len(truth) - late].astype(np.float64), values[late:]
        size, wrong = (float(np.sqrt(np.mean(np.square(x)))) for x in (truth, values - truth))
        apart = np.abs(values - truth)
        return {
            "cells": truth.size,
            "value_error": wrong / size if size else wrong,
            "value_max_abs": float(apart.max()),
            "value_mean_abs": float(apart.mean()),
        }
    before, after = measured.before.spikes[name], measured.after.spikes[name]
    before, after = before[: len(before) - late], after[late:]
    differs = before != after
    return {
        "cells": before.size,
        "spikes_before": int(before.sum(dtype=np.int64)),
        "spikes_after": int(after.sum(dtype=np.int64)),
        "differing": int(np.count_nonzero(differs)),
        "jaccard": metrics.jaccard(before, after),
        "first_divergence": _first(differs),
    }


def _first(differs: Array) -> tuple[int, int, tuple[int, ...]] | None:
    """Step, sample and index of the first cell, by step; None without one."""
    if not differs.any():
        return None
    step, sample, *index = (int(n) for n in np.unravel_index(int(np.argmax(differs)), differs.shape))
    return step, sample, tuple(index)
