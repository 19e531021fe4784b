"""Discrete graph -> fixed graph under the chip's law: parameters, 16-bit weights, delays."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.engine import layers
from norse_export.errors import Finding, UnsupportedError, UsageError
from norse_export.interpret import checked_inputs, interpret
from norse_export.ir.fixed import FixedInput, Synapses
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Conv, Linear
from norse_export.ir.stages import DiscreteNode, FixedNode
from norse_export.passes import lower as generic
from norse_export.passes.calibrate import some
from norse_export.passes.linear import ConvWeights, as_sparse, with_rows_scaled
from norse_export.passes.lowered import ANY_SPIKE, InputRange, Lowered
from norse_export.passes.prices import Measured, layer_prices, measure
from norse_export.passes.quantise import SEARCH_WORK, QuantiseChoice, Quantised
from norse_export.passes.scales import WeightPrice
from norse_export.program.laws import Law

from .derive import FRACTION_BITS
from .law import PORTS, RING_MAX, population
from .parameters import Mapped, mapped, never_firing, reach, refusals
from .projections import silent
from .schedule import LEAST_DELAY, Schedule, schedule
from .weights import (
    MARGIN,
    MOST,
    Rows,
    default_shift,
    largest_possible,
    largest_sum,
    one_sign,
    per_one,
    price,
    shift_for,
    sums_possible,
)

Array = NDArray[Any]
METADATA = "spinnaker"
INHIBITORY = PORTS[1]
LAW = (
    "SpiNNaker, IF_curr_exp and IF_curr_delta of sPyNNaker 7.4.1, bit for bit: s16.15, floor, sums of 16-bit weights "
    "saturate; a step is 1 ms; layers are late by their depth"
)
LIMIT = 2**15  # of a step's numbers: half of what wraps
MOST_SCALE = 256  # beyond, the chip's rounding is nothing beside that of the weights
BURST = 100  # spikes of one source in a step. Source: sPyNNaker warns from there on (pull request 1220)
_WIDE = Law(state_bits=32)


@dataclass(frozen=True, slots=True, eq=False)
class Weighed:
    """What leads to a population, by receptor type: weights, shifts, and the largest sums on the calibration inputs."""

    rows: Mapping[str, Sequence[Rows]]
    shifts: Mapping[str, int]
    seen: Mapping[str, float]

    def synapses(self, port: str) -> list[tuple[Rows, Synapses]]:
        """The synapses of a receptor type in whole numbers."""
        return [(one, one.whole(per_one(self.shifts[port]))) for one in self.rows[port]]


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
    _check_choice(choice)
    if calibration is not None:
        calibration = checked_inputs(graph, calibration)
        ranges = ranges or generic.input_ranges(calibration)
    lowered = generic.lower(graph, ranges)
    _refuse(lowered)
    plan = schedule(lowered)
    sent = None if calibration is None or not choice.search else _sent(graph, lowered, calibration)
    chips, findings = _mapped(lowered, plan)
    weighed = _weighed(lowered, plan, chips, sent)
    fixed = _assembled(lowered, plan, chips, weighed)
    findings += _saturations(weighed)
    measured: Measured | None = None
    if calibration is not None:
        measured = replace(measure(graph, lowered, fixed, calibration, _WIDE), skew=plan.sent)
        findings += _bursts(calibration, measured)
    prices = {name: (_prices(own), max(own.shifts.values()), inf) for name, own in weighed.items()}
    table = layer_prices(lowered, fixed, prices, _WIDE, measured)
    return Quantised(fixed, table, tuple(findings), lowered, measured, plan.sent)


def _check_choice(choice: QuantiseChoice) -> None:
    if choice.law.reset == "subtract":
        message, fix = "a reset by subtraction: the chip resets to a value", "train with a reset to a value"
        raise UnsupportedError(message, where="law", fix=fix, kind="reset")
    if choice.law != Law() or choice.bits or choice.per_channel:
        raise UsageError(
            "the chip's widths are its own: 16 bits of weight, one scale for each receptor type of a layer",
            where="--weight-bits, --bits, --state-bits, --decay-bits, --per-channel",
            fix="leave them out for this target",
        )


def _refuse(lowered: Lowered) -> None:
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


def _sent(graph: Graph[DiscreteNode], lowered: Lowered, calibration: Mapping[str, Array]) -> dict[str, Array]:
    """What every source sends in the float model, on as many of the calibration inputs as take a bearable time."""
    work = 1
    for p in lowered.projections:
        wide = isinstance(p.weights, ConvWeights)
        cells = np.prod(lowered.shape(p.target)) * p.weights.weight[0].size if wide else p.weights.weight.size
        work = max(work, int(cells))
    few = some(calibration, work, SEARCH_WORK)
    return {**few, **interpret(graph, few).spikes}


def _mapped(lowered: Lowered, plan: Schedule) -> tuple[dict[str, Mapped], list[Finding]]:
    """Parameters of every population, and warnings.

    Raises:
        UnsupportedError: one that the chip cannot hold; every one is a finding.
    """
    made, findings = {}, []
    for name, node in lowered.populations.items():
        made[name], found = mapped(name, node, _constant(lowered, name), plan.late[name])
        findings += found
    if errors := [finding for finding in findings if finding.severity == "error"]:
        raise UnsupportedError.of(errors)
    return made, findings


def _weighed(
    lowered: Lowered, plan: Schedule, chips: dict[str, Mapped], sent: Mapping[str, Array] | None
) -> dict[str, Weighed]:
    """Weights and shifts of every population; with calibration inputs `chips` become those of the scale that fits.

    Raises:
        UnsupportedError: sums beyond the chip's numbers; every one is a finding.
    """
    made, findings = {}, []
    for name, chip in chips.items():
        made[name] = _on_scale(lowered, name, chip, sent)
        if sent is not None and (scale := _scale(made[name], chip)) > 1:
            chips[name], _ = mapped(name, lowered.populations[name], _constant(lowered, name), plan.late[name], scale)
            made[name] = _on_scale(lowered, name, chips[name], sent)
        if chip.readout and _reach(made[name], chips[name]) <= LIMIT:
            chips[name] = never_firing(chips[name])
        if max(made[name].shifts.values()) > MOST:
            message = "its sums of weights do not fit the chip, whose numbers end at 65536"
            findings.append(Finding("range", "error", name, message, "scale the layer's weights and threshold down"))
    if findings:
        raise UnsupportedError.of(findings)
    return made


def _on_scale(lowered: Lowered, name: str, chip: Mapped, sent: Mapping[str, Array] | None) -> Weighed:
    rows = {port: _rows(lowered, name, chip.factor, port) for port in PORTS}
    seen = {port: largest_sum(rows[port], sent) for port in PORTS if sent is not None and rows[port]}
    return Weighed(rows, {port: _shift(rows[port], seen.get(port)) for port in PORTS}, seen)


def _scale(weighed: Weighed, chip: Mapped) -> int:
    """The largest power of two up to MOST_SCALE with which no step can come to numbers that wrap, whatever arrives."""
    farthest = max(_reach(weighed, chip), 2.0**-FRACTION_BITS)
    return 1 << int(np.clip(np.floor(np.log2(LIMIT / farthest)), 0, MOST_SCALE.bit_length() - 1))


def _reach(weighed: Weighed, chip: Mapped) -> float:
    """The largest number of a step; sums end where ring buffers are full."""
    sums = []
    for port in PORTS:
        rows = weighed.rows[port]
        filled = inf
        if port in weighed.seen:  # 16 bits hold less than twice what they must
            filled = 2 * max(MARGIN * weighed.seen[port], *(one.largest for one in rows))
        sums.append(min(sums_possible(rows), filled))
    return reach(chip, (sums[0], sums[1]))


def _constant(lowered: Lowered, name: str) -> Array:
    total: Any = sum(lowered.constants.get(name, {}).values(), np.zeros(lowered.populations[name].shape))
    return np.asarray(total)


def _rows(lowered: Lowered, name: str, factor: Array, port: str) -> list[Rows]:
    """The weights of one receptor type onto a population, in the chip's terms; those that are all 0 are left out."""
    found, target = [], lowered.populations[name].shape
    for p in lowered.onto(name):
        source = lowered.shape(p.source)
        weights = one_sign(with_rows_scaled(p.weights, factor, source), -1 if port == INHIBITORY else 1)
        if isinstance(weights, ConvWeights) and weights.input_shape != source:
            weights = as_sparse(weights, source)
        if np.any(weights.weight):
            found.append(Rows(p.name, p.source, p.delay_steps, weights, (source, target)))
    return found


def _shift(rows: Sequence[Rows], seen: float | None) -> int:
    if not rows:
        return 0
    if seen is None:
        return default_shift(rows)
    return shift_for(MARGIN * seen, max(one.largest for one in rows))


def _assembled(
    lowered: Lowered, plan: Schedule, chips: Mapping[str, Mapped], weighed: Mapping[str, Weighed]
) -> Graph[FixedNode]:
    nodes: dict[str, FixedNode] = {name: FixedInput(node.shape) for name, (node, _) in lowered.inputs.items()}
    edges: list[Edge] = []
    told = {}
    taken = {*lowered.inputs, *lowered.populations, *lowered.host}
    for name, chip in chips.items():
        own, shape = weighed[name], lowered.populations[name].shape
        told[name] = {"model": str(chip.model), "readout": chip.readout, "shifts": list(own.shifts.values())}
        told[name] |= {"scale": chip.scale, "late": plan.late[name], "seen": [own.seen.get(port) for port in PORTS]}
        nodes[name] = population(
            chip.model,
            chip.words,
            list(own.shifts.values()),
            shape=shape,
            dt=lowered.populations[name].dt,
            readout=chip.readout,
            scale=chip.scale,
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
    metadata = {**lowered.metadata, "law": LAW, METADATA: json.dumps(told)}
    return Graph(nodes, (*edges, *lowered.host_edges), metadata)


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
            findings.append(Finding("burst", "warning", name, message, "spread the activity, or slow the chip down"))
    return findings
