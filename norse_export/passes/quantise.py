"""Discrete graph -> fixed graph under the generic law, with the price of every layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.engine import layers
from norse_export.errors import Finding, UnsupportedError, UsageError
from norse_export.interpret import interpret
from norse_export.ir.bounds import synapse_sums
from norse_export.ir.fixed import FixedInput, Population
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Conv, Linear
from norse_export.ir.rasters import checked_inputs
from norse_export.ir.stages import DiscreteNode, FixedNode, Neuron
from norse_export.passes import integers
from norse_export.passes.calibrate import Link, response, search, some, work_of
from norse_export.passes.integers import Drive, Observed
from norse_export.passes.linear import with_rows_scaled
from norse_export.passes.lower import ANY_SPIKE, InputRange, Lowered, Projection, input_ranges, lower
from norse_export.passes.prices import LayerPrice, Measured, layer_prices, measure
from norse_export.passes.scales import (
    Scales,
    WeightPrice,
    channels,
    find_scales,
    price,
    squared_errors,
    synapses,
    whole_weights,
)
from norse_export.program.laws import Law

Array = NDArray[Any]
Floats = NDArray[np.float64]
SEARCH_WORK = 1 << 28  # products of one measure of a search


@dataclass(frozen=True, slots=True)
class QuantiseChoice:
    """How to quantise.

    bits: of the weights of single layers, by their names, instead of the law's. per_channel: a scale for each feature
    map or row. search: of scales, by spike parity on the calibration inputs, or, without any, by the error of the
    weights; otherwise no weight is clipped. seed: of stochastic rounding.
    """

    law: Law = field(default_factory=Law)
    bits: Mapping[str, int] = field(default_factory=dict)
    per_channel: bool = False
    search: bool = True
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Quantised:
    """The fixed graph, what each layer cost, and what a user should know.

    measured: runs on the calibration inputs, float and fixed; None without any.
    """

    graph: Graph[FixedNode]
    table: tuple[LayerPrice, ...]
    findings: tuple[Finding, ...]
    lowered: Lowered
    measured: Measured | None = None


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
    if calibration is not None:
        calibration = checked_inputs(graph, calibration)
        ranges = ranges or input_ranges(calibration)
    lowered = lower(graph, ranges)
    _refuse(lowered, choice.law)
    plans = [_plan(lowered, name, choice, key) for key, name in enumerate(lowered.populations)]
    _check_names(lowered, choice)
    if calibration is None:
        built = {plan.name: _built(plan, _least_error(plan) if choice.search else _unclipped(plan)) for plan in plans}
    else:
        built = _calibrated(graph, lowered, plans, choice, calibration)
    fixed = _assembled(lowered, built, choice.law)
    findings = tuple(finding for made in built.values() for finding in made.findings)
    measured = None if calibration is None else measure(graph, lowered, fixed, calibration, choice.law)
    prices = {name: (made.prices, made.shift, made.bound) for name, made in built.items()}
    table = layer_prices(lowered, fixed, prices, choice.law, measured)
    return Quantised(fixed, table, (*_law_notes(choice.law), *findings), lowered, measured)


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """A population before its scale is chosen. constant: [*shape]. signs of negative gains are in the projections."""

    name: str
    node: Neuron
    projections: tuple[Projection, ...]
    sources: Mapping[str, tuple[tuple[int, ...], tuple[int, int]]]  # shape and range of what each source sends
    constant: Floats
    bits: Mapping[str, int]
    scales: Scales
    law: Law
    seed: int
    key: int
    observed: Observed | None = None

    @property
    def channels(self) -> int:
        return len(self.scales.largest)

    @property
    def cells(self) -> int:
        return prod(self.node.shape)


@dataclass(frozen=True, slots=True, eq=False)
class _Built:
    """A population in whole numbers."""

    population: Population
    links: Mapping[str, Link]
    prices: tuple[WeightPrice, ...]
    shift: int
    bound: float
    findings: tuple[Finding, ...]


def _refuse(lowered: Lowered, law: Law) -> None:
    findings = []
    for name, node in lowered.populations.items():
        if node.family is not ANY_SPIKE:
            findings += integers.refusals(name, node)
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
        raise UsageError(message, where="bits", fix=f"use one of: {', '.join(sorted(known))}")
    for name, bits in choice.bits.items():
        if not 1 <= bits <= 16:
            raise UsageError(f"{bits} weight bits", where=f"bits of {name}", fix="use 1 to 16")


def _plan(lowered: Lowered, name: str, choice: QuantiseChoice, key: int) -> _Plan:
    node, projections = lowered.populations[name], lowered.onto(name)
    if node.family is not ANY_SPIKE and (signs := integers.signs(node)) is not None:
        projections = tuple(
            replace(p, weights=with_rows_scaled(p.weights, signs, lowered.shape(p.source))) for p in projections
        )
    constant = np.zeros(())
    for value in lowered.constants.get(name, {}).values():
        constant = constant + value.astype(np.float64)
    bits = {p.name: _bits_of(p, choice) for p in projections}
    pool = node.family is ANY_SPIKE
    count = channels(projections, node.shape, per_channel=choice.per_channel and not pool)
    if pool:
        scales = Scales(np.ones(1), dict.fromkeys(bits, 0), True, (1.0, 1.0))
        bits = dict.fromkeys(bits, 2)
    else:
        scales = find_scales(projections, bits, count, prod(node.shape))
    sources = {p.source: (lowered.shape(p.source), _sends(lowered, p.source, choice.law)) for p in projections}
    return _Plan(name, node, projections, sources, constant, bits, scales, choice.law, choice.seed, key)


def _bits_of(projection: Projection, choice: QuantiseChoice) -> int:
    """The bits of the projection by its own name, or the most of its layers' that are given, or the law's."""
    if projection.name in choice.bits:
        return choice.bits[projection.name]
    given = [choice.bits[name] for name in projection.layers if name in choice.bits]
    return max(given, default=choice.law.weight_bits)


def _sends(lowered: Lowered, source: str, law: Law) -> tuple[int, int]:
    if source in lowered.inputs:
        given = lowered.inputs[source][1]
        return given.low, given.high
    return 0, 1 if lowered.populations[source].family is ANY_SPIKE else law.max_spikes


def _unclipped(plan: _Plan) -> Floats:
    return np.full(plan.channels, 1.0)


def _least_error(plan: _Plan) -> Floats:
    """The factors with the least error of the weights."""
    if plan.scales.exact:
        return _unclipped(plan)

    def of(factor: Floats) -> tuple[Floats, Floats]:
        total = _weight_errors(plan, factor)
        return total, total

    return search(plan.scales.factors, plan.channels, of)[0]


def _weight_errors(plan: _Plan, factor: Floats) -> Floats:
    """Squared errors of all weights of each channel, [channels]."""
    total = np.zeros(plan.channels)
    for p in plan.projections:
        scale = plan.scales.largest * factor * 2.0 ** plan.scales.exponents[p.name]
        total += squared_errors(p, scale, plan.bits[p.name], plan.node.shape)
    return total


def _built(plan: _Plan, factor: Floats) -> _Built:
    """The population with the scales times factor [channels]; coarser ones where the states would not fit."""
    base = plan.scales.largest * factor
    if plan.node.family is ANY_SPIKE:
        links, prices, _ = _links(plan, base)
        node = plan.node
        pool = Population(program=ANY_SPIKE.trace(), shape=node.shape, parameters={}, initial_state={}, dt=node.dt)
        return _Built(pool, links, prices, 0, 0.0, ())
    coarser = 0
    while True:
        links, prices, reach = _links(plan, base * 2.0**coarser)
        scale = np.repeat(base * 2.0**coarser, plan.cells // plan.channels).reshape(plan.node.shape)
        drive = Drive(scale, plan.constant, reach)
        fit = integers.fit(plan.node, drive, plan.law, plan.observed)
        if fit.shift >= 0:
            break
        coarser -= fit.shift
        if coarser > 40:
            message = f"states of {plan.law.state_bits} bits hold no threshold, reset or bias together with the weights"
            raise UnsupportedError(message, where=plan.name, fix="use more state bits, or rescale the layer")
    made = integers.population(plan.node, drive, plan.law, fit.shift, seed=plan.seed, key=plan.key)
    findings = integers.lost_decays(plan.name, plan.node, made, plan.law)
    if coarser:
        message = f"states of {plan.law.state_bits} bits are too narrow: weights lose {coarser} bits"
        findings.append(Finding("state_bits", "warning", plan.name, message, "use a law of more state bits"))
    return _Built(made, links, prices, fit.shift, fit.bound, tuple(findings))


def _links(plan: _Plan, base: Floats) -> tuple[dict[str, Link], tuple[WeightPrice, ...], Floats]:
    """The projections in whole numbers of base [channels], their prices, and the largest sum at each neuron."""
    links, prices = {}, []
    low, high = np.zeros(plan.cells), np.zeros(plan.cells)
    for p in plan.projections:
        bits, exponent = plan.bits[p.name], plan.scales.exponents[p.name]
        scale, (source, sends) = base * 2.0**exponent, plan.sources[p.source]
        whole = whole_weights(p, scale, bits, plan.node.shape)
        prices.append(price(p, whole, scale, bits, exponent, plan.node.shape))
        made = synapses(whole, bits, exponent, source, plan.node.shape)
        port = "x"  # integers have one port: their sums have no order
        links[p.name] = Link(p.source, port, p.delay_steps, made)
        sums = synapse_sums(made, sends)
        low, high = low + sums.low, high + sums.high
    return links, tuple(prices), np.maximum(-low, high).reshape(plan.node.shape)


def _calibrated(
    graph: Graph[DiscreteNode],
    lowered: Lowered,
    plans: list[_Plan],
    choice: QuantiseChoice,
    calibration: Mapping[str, Array],
) -> dict[str, _Built]:
    """Every population with the scales that a search finds best, each by itself on the float model's spikes."""
    first = {plan.name: _built(plan, _unclipped(plan)) for plan in plans}
    work = max(work_of(list(made.links.values())) for made in first.values())
    few = some(calibration, work, SEARCH_WORK)
    float_run = interpret(graph, few, states=True)
    sent: dict[str, Array] = {**few, **float_run.spikes}
    for plan in plans:
        if plan.node.family is ANY_SPIKE:
            made = first[plan.name]
            sent[plan.name] = response(made.population, list(made.links.values()), sent)
    built = {}
    for plan in plans:
        if plan.node.family is ANY_SPIKE:
            built[plan.name] = first[plan.name]
            continue
        states = dict(float_run.observables[plan.name])
        seen = replace(plan, observed=integers.observe(plan.node, states))
        searched = choice.search and not plan.scales.exact
        truth = sent[plan.name] if plan.node.spikes else states["v"]
        factor = _best(seen, sent, truth) if searched else _unclipped(plan)
        built[plan.name] = _built(seen, factor)
    return built


def _best(plan: _Plan, sent: Mapping[str, Array], truth: Array) -> Floats:
    """The factors with the fewest cells that differ from the float model's, or the least error of values."""

    def of(factor: Floats) -> tuple[Floats, Floats]:
        made = _built(plan, factor)
        got = response(made.population, list(made.links.values()), sent)
        wrong = got != truth if plan.node.spikes else np.square(got - truth)
        return wrong.sum(axis=(0, 1)).reshape(plan.channels, -1).sum(axis=1), _weight_errors(plan, factor)

    return search(plan.scales.factors, plan.channels, of)[0]


def _assembled(lowered: Lowered, built: Mapping[str, _Built], law: Law) -> Graph[FixedNode]:
    nodes: dict[str, FixedNode] = {
        name: FixedInput(node.shape, given.low, given.high) for name, (node, given) in lowered.inputs.items()
    }
    edges = []
    for name, made in built.items():
        for projection, link in made.links.items():
            nodes[projection] = link.synapses
            edges.append(Edge(link.source, projection, "x", link.delay_steps + law.delay_steps))
            edges.append(Edge(projection, name, link.port))
        nodes[name] = made.population
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
