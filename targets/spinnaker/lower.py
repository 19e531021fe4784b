"""Discrete graph -> fixed graph under the chip's law: parameters, 16-bit weights, delays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.engine import layers
from norse_export.errors import Finding, UnsupportedError
from norse_export.interpret import checked_inputs, interpret
from norse_export.ir.fixed import FixedInput, Synapses
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Conv, Linear
from norse_export.ir.stages import DiscreteNode, FixedNode
from norse_export.passes import lower as generic
from norse_export.passes.calibrate import some
from norse_export.passes.linear import ConvWeights
from norse_export.passes.lowered import ANY_SPIKE, InputRange, Lowered
from norse_export.passes.plain import form, plain
from norse_export.passes.plans import offered, refuse_widths
from norse_export.passes.prices import Measured, layer_prices, measure
from norse_export.passes.quantise import SEARCH_WORK, QuantiseChoice, Quantised
from norse_export.passes.scales import WeightPrice
from norse_export.program.laws import Law

from .choose import Seen, Weighed, all_chosen
from .counting import lowest_of
from .law import PORTS, RING_MAX, population
from .parameters import Mapped
from .projections import silent
from .refusals import COUNTED, refusals
from .saturation import saturated_cells
from .schedule import LEAST_DELAY, Schedule, schedule
from .weights import Rows, largest_possible, price

Array = NDArray[Any]
METADATA = "spinnaker"
LAW = (
    "SpiNNaker, IF_curr_exp and IF_curr_delta of sPyNNaker 7.4.1, bit for bit: s16.15, floor, sums of 16-bit weights "
    "saturate; a step is 1 ms; layers are late by their depth"
)
BURST = 100  # spikes of one source in a step. Source: sPyNNaker warns from there on (pull request 1220)
_WIDE = Law(state_bits=32)


def lower(
    graph: Graph[DiscreteNode],
    choice: QuantiseChoice | None = None,
    calibration: Mapping[str, Array] | None = None,
    *,
    ranges: Mapping[str, InputRange] | None = None,
) -> Quantised:
    """Give a network as the chip computes it; see passes/quantise.py for the arguments and for what is given back.

    choice.search: whether the shifts of the weights are calibrated; else they are those that sPyNNaker takes by itself.

    Raises:
        UnsupportedError: whatever the chip does not have; every one is a finding.
        UsageError: widths that the chip does not have; calibration inputs that do not fit the model.
    """
    choice = choice or QuantiseChoice()
    check_choice(choice)
    if calibration is not None:
        calibration = checked_inputs(graph, calibration)
        ranges = ranges or generic.input_ranges(calibration)
    given = generic.lower(graph, ranges)
    lowered = plain(given)
    refuse(lowered)
    plan = schedule(lowered)
    seen = None if calibration is None or not choice.search else _seen(graph, lowered, calibration)
    chips, weighed, findings = all_chosen(lowered, plan, seen)
    fixed = _assembled(lowered, plan, chips, weighed)
    findings += [*_saturations(weighed), *_silences(weighed)]
    measured: Measured | None = None
    if calibration is not None:
        measured = replace(measure(graph, given, fixed, calibration, _WIDE), skew=plan.sent)
        findings += _bursts(calibration, measured)
        sent = {**calibration, **measured.after.spikes}
        full = saturated_cells(fixed, some(sent, _work(lowered), SEARCH_WORK))
        fixed, found = _with_counts(fixed, full)
        findings += found
    prices = {name: (_prices(own), max(own.shifts.values()), inf) for name, own in weighed.items()}
    table = layer_prices(given, fixed, prices, _WIDE, measured)
    return Quantised(fixed, table, tuple(findings), given, measured, plan.sent)


def check_choice(choice: QuantiseChoice) -> None:
    """Refuse what the chip leaves nothing to choose of.

    Raises:
        UsageError: widths, which are the chip's own. UnsupportedError: a reset by subtraction.
    """
    offered(choice.precision, "--precision", (), "spinnaker")
    if choice.law.reset == "subtract":
        message, fix = "a reset by subtraction: the chip resets to a value", "train with a reset to a value"
        raise UnsupportedError(message, where="law", fix=fix, kind="reset")
    refuse_widths(choice, "widths: 16 bits of weight, one scale for each receptor type of a layer")


def refuse(lowered: Lowered) -> None:
    """What no chip of the family has.

    Raises:
        UnsupportedError: every one is a finding.
    """
    findings = []
    for name, (_, given) in lowered.inputs.items():
        if (given.low, given.high, given.unit) != (0, 1, 1.0):
            message = f"the input holds {given.low} to {given.high} times {given.unit:g}: a spike is 0 or 1"
            findings.append(Finding("input_counts", "error", name, message, "encode the input into single spikes"))
    for name, node in lowered.populations.items():
        if node.family is ANY_SPIKE:
            message = "max pooling of spikes: no neuron of the chip does it exactly"
            findings.append(Finding("max_pool", "error", name, message, "use average pooling"))
        else:
            findings += refusals(name, node)
    for p in lowered.projections:
        if not np.all(np.isfinite(p.weights.weight)):
            message = "weights hold NaN or infinite numbers"
            findings.append(Finding("nan", "error", p.name, message, "train again, or repair the model's weights"))
    if findings:
        raise UnsupportedError.of(findings)


def _seen(graph: Graph[DiscreteNode], lowered: Lowered, calibration: Mapping[str, Array]) -> Seen:
    """What the float model does, on as many of the calibration inputs as take a bearable time."""
    few = some(calibration, _work(lowered), SEARCH_WORK)
    counted = [name for name, node in lowered.populations.items() if form(node).dynamics == COUNTED]
    run = interpret(graph, few, states=bool(counted))
    lowest = {name: lowest_of(run.observables[name]["v"], run.spikes[name]) for name in counted}
    return Seen({**few, **run.spikes}, lowest)


def _work(lowered: Lowered) -> int:
    """What the largest projection takes in a step of a sample, in products."""
    work = 1
    for p in lowered.projections:
        wide = isinstance(p.weights, ConvWeights)
        cells = np.prod(lowered.shape(p.target)) * p.weights.weight[0].size if wide else p.weights.weight.size
        work = max(work, int(cells))
    return work


def _assembled(
    lowered: Lowered, plan: Schedule, chips: Mapping[str, Mapped], weighed: Mapping[str, Weighed]
) -> Graph[FixedNode]:
    nodes: dict[str, FixedNode] = {name: FixedInput(node.shape) for name, (node, _) in lowered.inputs.items()}
    edges: list[Edge] = []
    told: dict[str, dict[str, Any]] = {}
    taken = {*lowered.inputs, *lowered.populations, *lowered.host}
    for name, chip in chips.items():
        own, shape = weighed[name], lowered.populations[name].shape
        told[name] = _told(chip, own, plan.late[name])
        nodes[name] = population(
            chip.model,
            chip.words,
            list(own.shifts.values()),
            shape=shape,
            dt=lowered.populations[name].dt,
            readout=chip.readout,
            scale=chip.scale,
            counts=chip.counts,
        )
        for port in PORTS:
            for one, synapses in own.synapses(port):
                _connect(nodes, edges, taken, one, synapses, plan.delays[one.name], (name, port))
            if not own.rows[port]:
                source = next(iter(lowered.inputs))
                nothing = _free(f"{name}.{port}.nothing", taken)
                nodes[nothing] = silent(lowered.shape(source), shape)
                edges += [Edge(source, nothing, "x", LEAST_DELAY), Edge(nothing, name, port)]
    for name, layer in lowered.host.items():
        nodes[name] = layers.rounded(layer, "float64") if isinstance(layer, Linear | Conv) else layer
    steps = sorted({node.dt for node in lowered.populations.values()})
    metadata = {
        **lowered.metadata,
        "law": LAW,
        "dt": ", ".join(map(repr, steps)),
        "skew": json.dumps(dict(plan.sent)),
        METADATA: json.dumps(told),
    }
    return Graph(nodes, (*edges, *plan.host_edges), metadata)


def _told(chip: Mapped, own: Weighed, late: int) -> dict[str, Any]:
    """What the artefact and its report say of a population beside its words."""
    return {
        "model": str(chip.model),
        "readout": chip.readout,
        "shifts": list(own.shifts.values()),
        "scale": chip.scale,
        "counts": chip.counts,
        "late": late,
        "seen": [own.seen.get(port) for port in PORTS],
        "weights": [own.counts(port) for port in PORTS],
    }


def _connect(
    nodes: dict[str, FixedNode],
    edges: list[Edge],
    taken: set[str],
    rows: Rows,
    synapses: Synapses,
    delay_steps: int,
    onto: tuple[str, str],
) -> None:
    """Add the synapses of one receptor type and their edges."""
    name = _free(f"{rows.name}.{onto[1]}", taken)
    nodes[name] = synapses
    edges += [Edge(rows.source, name, "x", delay_steps), Edge(name, *onto)]


def _free(name: str, taken: set[str]) -> str:
    """The name, with a number where it is taken."""
    free = next(n for n in (name, *(f"{name} ({k})" for k in range(2, len(taken) + 3))) if n not in taken)
    taken.add(free)
    return free


def _prices(weighed: Weighed) -> tuple[WeightPrice, ...]:
    return tuple(
        price(one, synapses, weighed.shifts[port], label=f"{one.name}.{port}")
        for port in PORTS
        for one, synapses in weighed.synapses(port)
    )


def _with_counts(
    graph: Graph[FixedNode], full: Mapping[str, tuple[int, int]]
) -> tuple[Graph[FixedNode], list[Finding]]:
    """The graph with what saturated on the calibration inputs in its metadata, and warnings."""
    told = json.loads(graph.metadata[METADATA])
    findings = []
    for name, counts in full.items():
        told[name]["saturated"] = counts
        if any(counts):
            message = f"{sum(counts)} sums of weights saturated on the calibration inputs"
            fix = "calibrate on inputs as busy as these from the start (--calib)"
            findings.append(Finding("saturated", "warning", name, message, fix))
    return Graph(graph.nodes, graph.edges, {**graph.metadata, METADATA: json.dumps(told)}), findings


def _silences(weighed: Mapping[str, Weighed]) -> list[Finding]:
    """A warning for each layer to which the calibration inputs sent nothing."""
    message = "no spike reached it on the calibration inputs: its shifts are those that sPyNNaker takes by itself"
    fix = "calibrate on inputs on which every layer before it fires (--calib)"
    silent = [name for name, own in weighed.items() if own.seen and not any(own.seen.values())]
    return [Finding("calibration_silent", "warning", name, message, fix) for name in silent]


def _saturations(weighed: Mapping[str, Weighed]) -> list[Finding]:
    """A note for each ring buffer that some raster could fill."""
    findings = []
    for name, own in weighed.items():
        for port in PORTS:
            worst = largest_possible([synapses for _, synapses in own.synapses(port)])
            if worst > RING_MAX:
                message = f"{port}: if every source fired at once, sums of weights would saturate"
                message += f" (at {RING_MAX / worst:.0%} of that sum); such cells are counted when it runs"
                fix = "give calibration inputs as busy as any (--calib)"
                findings.append(Finding("saturation", "note", name, message, fix))
    return findings


def _bursts(calibration: Mapping[str, Array], measured: Measured) -> list[Finding]:
    """Warnings of more spikes at once than the chip's network surely carries: times are not part of the law."""
    findings = []
    for name, raster in {**calibration, **measured.before.spikes}.items():
        most = int(raster.reshape(*raster.shape[:2], -1).astype(bool).sum(axis=2).max(initial=0))
        if most > BURST:
            message = f"up to {most} spikes in one step: beyond {BURST}, packets may be late or lost on the chip"
            fix = "spread the activity, or run slower than real time (time_scale_factor in .spynnaker.cfg)"
            findings.append(Finding("burst", "warning", name, message, fix))
    return findings
