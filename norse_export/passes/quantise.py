"""Discrete graph -> fixed graph under the generic law, with the price of every layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from norse_export.engine import layers
from norse_export.errors import Finding, UnsupportedError, UsageError
from norse_export.ir.fixed import FixedInput
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Conv, Linear
from norse_export.ir.rasters import checked_inputs
from norse_export.ir.stages import DiscreteNode, FixedNode
from norse_export.passes import integers, steps
from norse_export.passes.choose import SEARCH_WORK, Measure, all_heard, chosen
from norse_export.passes.lower import input_ranges, lower
from norse_export.passes.lowered import ANY_SPIKE, InputRange, Lowered
from norse_export.passes.overflow import count_overflows
from norse_export.passes.plans import (
    Built,
    Plan,
    QuantiseChoice,
    built,
    has_own_law,
    offered,
    planned,
)
from norse_export.passes.prices import LayerPrice, Measured, layer_prices, measure, modelled
from norse_export.program.laws import Law

__all__ = ["SEARCH_WORK", "LayerPrice", "QuantiseChoice", "Quantised", "quantise"]

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Quantised:
    """The fixed graph, what each layer cost, and what a user should know.

    measured: runs on the calibration inputs, float and fixed; None without any. skew: by how many steps what each
    population and output sends is late against the model; those that are not named are not late.
    """

    graph: Graph[FixedNode]
    table: tuple[LayerPrice, ...]
    findings: tuple[Finding, ...]
    lowered: Lowered
    measured: Measured | None = None
    skew: Mapping[str, int] = field(default_factory=dict)


def quantise(
    graph: Graph[DiscreteNode],
    choice: QuantiseChoice | None = None,
    calibration: Mapping[str, Array] | None = None,
    *,
    ranges: Mapping[str, InputRange] | None = None,
) -> Quantised:
    """Give weights, thresholds, biases and states as whole numbers, on one scale for each population or channel of it.

    calibration: rasters [T, B, *shape] on which scales are searched and the price is measured. ranges: of the inputs;
    None takes those of the calibration inputs, or 0 and 1.

    Raises:
        UnsupportedError: whatever has no integer form, or no road from spike to spike; every one is a finding.
        UsageError: bits for a layer that the model does not have; calibration inputs that do not fit the model.
    """
    choice = choice or QuantiseChoice()
    offered(choice.precision, "--precision", (), "the generic law")
    offered(choice.chip, "--chip", (), "the generic law")
    if calibration is not None:
        calibration = checked_inputs(graph, calibration)
        ranges = ranges or input_ranges(calibration)
    lowered = lower(graph, ranges, functions=True)
    _refuse(lowered, choice.law)
    _check_names(lowered, choice)
    plans = planned(lowered, choice)
    if calibration is None:
        taken = all_heard(plans, None, searching=choice.search)
        made = {plan.name: built(plan, taken[plan.name].factor) for plan in plans}
    else:
        made = _calibrated(graph, lowered, plans, choice, calibration)
    fixed = _assembled(lowered, made, choice.law)
    measured = None if calibration is None else measure(graph, lowered, fixed, calibration, choice.law)
    overflows = None if calibration is None else count_overflows(fixed, calibration)
    prices = {name: (one.prices, one.shift, one.bound) for name, one in made.items()}
    findings = (*_law_notes(choice.law), *(finding for one in made.values() for finding in one.findings))
    return Quantised(
        fixed, layer_prices(lowered, fixed, prices, choice.law, measured, overflows), findings, lowered, measured
    )


def _refuse(lowered: Lowered, law: Law) -> None:
    findings = []
    for name, node in lowered.populations.items():
        if node.family is not ANY_SPIKE:
            own = has_own_law(node)
            findings += integers.refusals(name, node) if own else steps.refusals(name, node, law)
        elif law.max_spikes > 1:
            message = f"max pooling where a neuron can spike {law.max_spikes} times in a step"
            findings.append(Finding("max_pool", "error", name, message, "use average pooling, or max_spikes = 1"))
    if findings:
        raise UnsupportedError.of(findings)


def _check_names(lowered: Lowered, choice: QuantiseChoice) -> None:
    known = {name for p in lowered.projections for name in (p.name, *p.layers)}
    wrong = [name for name in choice.bits if name not in known]
    if wrong:
        message = f"weight bits for {', '.join(map(repr, wrong))}: no weights have that name"
        raise UsageError(message, where="--bits", fix=f"use --bits LAYER=N with one of: {', '.join(sorted(known))}")
    for name, bits in choice.bits.items():
        if not 1 <= bits <= 16:
            raise UsageError(f"{bits} weight bits", where=f"--bits {name}={bits}", fix="use 1 to 16")
    for p in lowered.projections:
        given = {name: choice.bits[name] for name in dict.fromkeys((p.name, *p.layers)) if name in choice.bits}
        if len(set(given.values())) > 1:
            asked = ", ".join(f"{name!r} {bits}" for name, bits in given.items())
            message = f"the layers {' and '.join(map(repr, p.layers))} become one set of weights, and are given {asked}"
            raise UsageError(message, where=f"--bits {'+'.join(given)}", fix="give one of them, or all the same bits")


def _calibrated(
    graph: Graph[DiscreteNode],
    lowered: Lowered,
    plans: Sequence[Plan],
    choice: QuantiseChoice,
    calibration: Mapping[str, Array],
) -> dict[str, Built]:
    """Every population with the scales that a search finds best."""

    def measure_on(rasters: Mapping[str, Array]) -> Measure:
        model = modelled(graph, lowered, rasters)
        return lambda made: measure(graph, lowered, _assembled(lowered, made, choice.law), rasters, choice.law, model)

    return chosen(graph, plans, calibration, measure_on, searching=choice.search)


def _assembled(lowered: Lowered, made: Mapping[str, Built], law: Law) -> Graph[FixedNode]:
    nodes: dict[str, FixedNode] = {
        name: FixedInput(node.shape, given.low, given.high) for name, (node, given) in lowered.inputs.items()
    }
    edges = []
    for name, one in made.items():
        for projection, link in one.links.items():
            nodes[projection] = link.synapses
            edges.append(Edge(link.source, projection, "x", link.delay_steps + law.delay_steps))
            edges.append(Edge(projection, name, link.port))
        nodes[name] = one.population
    for name, layer in lowered.host.items():
        nodes[name] = layers.rounded(layer, "float64") if isinstance(layer, Linear | Conv) else layer
    return Graph(nodes, (*edges, *lowered.host_edges), lowered.metadata)


def _law_notes(law: Law) -> tuple[Finding, ...]:
    """What the law does otherwise than Norse, beside rounding."""
    other = {
        "subtracts the threshold where the model resets to a value": law.reset == "subtract",
        f"holds a neuron for {law.refractory_steps} steps after a spike": law.refractory_steps > 0,
        f"lets a neuron spike {law.max_spikes} times in a step": law.max_spikes > 1,
        f"delays every projection by {law.delay_steps} steps": law.delay_steps > 0,
    }
    fix = "expect differences beyond those of rounding, or use a law without it"
    return tuple(Finding("law", "warning", "law", f"the law {text}", fix) for text, is_so in other.items() if is_so)
