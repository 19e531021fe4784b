"""A population on its way to whole numbers: what is known before its scale is chosen, and what a scale makes of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import Finding, UnsupportedError, UsageError, locating
from norse_export.ir.bounds import synapse_sums
from norse_export.ir.fixed import Population
from norse_export.ir.stages import Neuron
from norse_export.passes import integers, steps
from norse_export.passes.calibrate import Link, search
from norse_export.passes.integers import Drive, Observed
from norse_export.passes.linear import with_rows_scaled
from norse_export.passes.lowered import ANY_SPIKE, Lowered, Projection, is_between, is_function
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
from norse_export.program.laws import NAMES, Law

Array = NDArray[Any]
Floats = NDArray[np.float64]


MAX_STATE_BITS = 32
MAX_COARSER = 40  # bits that weights may lose before it is an error
POINTS_WORK, MAX_POINTS = 1 << 18, 16  # of the factors whose weight error is looked at
_WIDTHS = {"weight_bits": "--weight-bits", "state_bits": "--state-bits", "decay_bits": "--decay-bits"}


@dataclass(frozen=True, slots=True)
class QuantiseChoice:
    """How to quantise.

    bits: of the weights of single layers, by their names, instead of the law's. per_channel: a scale for each feature
    map or row. search: of scales, by spike parity on the calibration inputs, or, without any, by the error of the
    weights; otherwise no weight is clipped. seed: of stochastic rounding. precision, chip: a mode and a chip of a
    target that offers several; None: its own choice. given: widths of the law that somebody asked for, by their names,
    be they those that it has by itself.
    """

    law: Law = field(default_factory=Law)
    bits: Mapping[str, int] = field(default_factory=dict)
    per_channel: bool = False
    search: bool = True
    seed: int = 0
    precision: str | None = None
    chip: str | None = None
    given: Collection[str] = ()


def offered(wanted: str | None, option: str, modes: Sequence[str], target: str) -> str | None:
    """A mode of a target: the one that is wanted, else the first; None where the target has none.

    Raises:
        UsageError: the target does not offer it.
    """
    if wanted is None:
        return modes[0] if modes else None
    if wanted not in modes:
        message = f"{target} has no {option.removeprefix('--')} {wanted!r}"
        fix = f"use one of: {', '.join(modes)}" if modes else f"leave {option} out for this target"
        raise UsageError(message, where=option, fix=fix)
    return wanted


def refuse_widths(choice: QuantiseChoice, own: str) -> None:
    """Refuse a choice of widths, for a chip that has its own.

    Raises:
        UsageError: there is one; `own` says which the chip has.
    """
    usual = Law()
    asked = {name for name in _WIDTHS if name in choice.given or getattr(choice.law, name) != getattr(usual, name)}
    given = [option for name, option in _WIDTHS.items() if name in asked]
    given += ["--bits"] * bool(choice.bits) + ["--per-channel"] * choice.per_channel
    if given or choice.law != usual:
        where = ", ".join(given) or "the law"
        raise UsageError(f"the chip has its own {own}", where=where, fix=f"leave {where} out for this target")


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A population before its scale is chosen.

    arriving: at each port of its integer program, what arrives in every step beside spikes, [*shape]. Signs of negative
    gains are in the projections. observed: of a float run.
    """

    name: str
    node: Neuron
    projections: tuple[Projection, ...]
    sources: Mapping[str, tuple[tuple[int, ...], tuple[int, int]]]  # shape and range of what each source sends
    arriving: Mapping[str, Floats]
    bits: Mapping[str, int]
    scales: Scales
    law: Law
    seed: int
    key: int
    observed: Observed | Mapping[str, Floats] | None = None

    @property
    def constant(self) -> Floats:
        """What arrives in every step at all ports together, [*shape]."""
        total: Floats = sum(self.arriving.values(), np.zeros(()))
        return total

    @property
    def channels(self) -> int:
        """How many scales the population has."""
        return len(self.scales.largest)

    @property
    def cells(self) -> int:
        """How many neurons the population has."""
        return prod(self.node.shape)


@dataclass(frozen=True, slots=True, eq=False)
class Built:
    """A population in whole numbers. coarser: bits that its weights lost because the states are narrow."""

    population: Population
    links: Mapping[str, Link]
    prices: tuple[WeightPrice, ...]
    shift: int
    bound: float
    coarser: int
    findings: tuple[Finding, ...]

    @property
    def mute(self) -> bool:
        """Whether no weight is left that is not 0."""
        return bool(self.links) and not any(link.synapses.weight.any() for link in self.links.values())


@dataclass(frozen=True, slots=True)
class Graded:
    """Numbers that a function between neurons sends: their range, and what a 1 of them stands for."""

    low: int
    high: int
    unit: float


def planned(lowered: Lowered, choice: QuantiseChoice) -> list[Plan]:
    """Every population, before its scale is chosen; functions, whose scale is not searched, tell what they send."""
    plans: dict[str, Plan] = {}
    graded: dict[str, Graded] = {}
    keys = {name: key for key, name in enumerate(lowered.populations)}

    def plan(name: str) -> None:
        if name in plans:
            return
        for p in lowered.onto(name):
            if p.source in lowered.populations and is_function(lowered.populations[p.source]):
                plan(p.source)
        plans[name] = made = plan_of(lowered, name, choice, keys[name], graded)
        if is_function(made.node):
            with locating(name):
                population, (low, high) = steps.function(made.node, _drive(made, unclipped(made)), made.law)
            graded[name] = Graded(low, high, float(population.unit["spike"].reshape(-1)[0]))

    for name in lowered.populations:
        plan(name)
    return list(plans.values())


def _drive(plan: Plan, base: Floats) -> steps.Reached:
    """What drives a population whose step is translated, for factors of its scales."""
    _, _, reach = _links(plan, plan.scales.largest * base, priced=False)
    return _reached(plan, plan.scales.largest * base, reach)


def plan_of(
    lowered: Lowered, name: str, choice: QuantiseChoice, key: int, graded: Mapping[str, Graded] | None = None
) -> Plan:
    """What is known of a population from the float model; key: of its random numbers; graded: what functions send."""
    graded = graded or {}
    node, projections = lowered.populations[name], lowered.onto(name)
    projections = tuple(
        replace(p, weights=replace(p.weights, weight=p.weights.weight * graded[p.source].unit))
        if p.source in graded
        else p
        for p in projections
    )
    if not is_between(node) and (signs := integers.signs(node)) is not None:
        projections = tuple(
            replace(p, weights=with_rows_scaled(p.weights, signs, lowered.shape(p.source))) for p in projections
        )
    arriving: dict[str, Floats] = {}
    for port, value in lowered.constants.get(name, {}).items():
        arrived = integer_port(node, port)
        arriving[arrived] = arriving.get(arrived, np.zeros(())) + value.astype(np.float64)
    bits = {p.name: _bits_of(p, choice) for p in projections}
    pool = node.family is ANY_SPIKE
    count = channels(projections, node.shape, per_channel=choice.per_channel and not is_between(node))
    if pool:
        scales = Scales(np.ones(1), dict.fromkeys(bits, 0), True, (1.0, 1.0))
        bits = dict.fromkeys(bits, 2)
    else:
        scales = find_scales(projections, bits, count, prod(node.shape))
        scales = replace(scales, exact=scales.exact or is_function(node))  # none is searched
    sources = {p.source: (lowered.shape(p.source), _sends(lowered, p.source, choice.law, graded)) for p in projections}
    return Plan(name, node, projections, sources, arriving, bits, scales, choice.law, choice.seed, key)


def has_own_law(node: Neuron) -> bool:
    """Whether the law has a step for the family; any other step is translated."""
    return integers.family_name(node) in NAMES


def is_translated(node: Neuron) -> bool:
    """Whether the integer program of neurons is translated from that of their family."""
    return not has_own_law(node) and not is_between(node)


def integer_port(node: Neuron, port: str) -> str:
    """The port of the integer program at which what is sent to a port of the family arrives."""
    return "x" if has_own_law(node) or node.family is ANY_SPIKE else steps.port_of(node, port)


def observed_of(node: Neuron, states: Mapping[str, Array]) -> Observed | Mapping[str, Floats]:
    """What a float run that recorded its states, [T, B, *shape] each, says of the widths that they need."""
    return integers.observe(node, dict(states)) if has_own_law(node) else steps.observe(node, states)


def _bits_of(projection: Projection, choice: QuantiseChoice) -> int:
    """The bits that are given for the projection by its own name or that of any of its layers, or the law's."""
    given = (choice.bits[name] for name in (projection.name, *projection.layers) if name in choice.bits)
    return next(given, choice.law.weight_bits)


def _sends(lowered: Lowered, source: str, law: Law, graded: Mapping[str, Graded]) -> tuple[int, int]:
    if source in graded:
        return graded[source].low, graded[source].high
    if source in lowered.inputs:
        given = lowered.inputs[source][1]
        return given.low, given.high
    return 0, 1 if lowered.populations[source].family is ANY_SPIKE else law.max_spikes


def unclipped(plan: Plan) -> Floats:
    """The factors with which no weight is clipped."""
    return np.full(plan.channels, 1.0)


def least_error(plan: Plan) -> Floats:
    """The factors with the least error of the weights."""
    if plan.scales.exact:
        return unclipped(plan)
    return search(plan.scales.factors, plan.channels, partial(weight_errors, plan), points=points_of(plan))


def points_of(plan: Plan) -> int:
    """How many factors of a stretch are looked at: few where there are many weights, whose error is smooth."""
    return int(np.clip(POINTS_WORK // sum(p.weights.weight.size for p in plan.projections), 1, MAX_POINTS))


def weight_errors(plan: Plan, factor: Floats) -> Floats:
    """Squared errors of all weights of each channel, [channels]."""
    total = np.zeros(plan.channels)
    for p in plan.projections:
        scale = plan.scales.largest * factor * 2.0 ** plan.scales.exponents[p.name]
        total += squared_errors(p, scale, plan.bits[p.name], plan.node.shape)
    return total


def built(plan: Plan, factor: Floats, *, loosened: int = 0, priced: bool = True) -> Built:
    """The population with the scales times factor [channels]; coarser ones where the states would not fit.

    loosened: see integers.fit.
    """
    base = plan.scales.largest * factor
    if plan.node.family is ANY_SPIKE:
        links, prices, _ = _links(plan, base, priced=False)
        node = plan.node
        pool = Population(program=ANY_SPIKE.trace(), shape=node.shape, parameters={}, initial_state={}, dt=node.dt)
        return Built(pool, links, prices, 0, 0.0, 0, ())
    if is_function(plan.node):
        links, prices, reach = _links(plan, base, priced=priced)
        with locating(plan.name):
            function, _ = steps.function(plan.node, _reached(plan, base, reach), plan.law, key=plan.key)
        return Built(function, links, prices, steps.FUNCTION_BITS, 0.0, 0, ())
    if not has_own_law(plan.node):
        return _translated(plan, base, loosened, priced=priced)
    coarser = 0
    observed = plan.observed if isinstance(plan.observed, Observed) else None
    while True:
        links, prices, reach = _links(plan, base * 2.0**coarser, priced=priced)
        scale = np.repeat(base * 2.0**coarser, plan.cells // plan.channels).reshape(plan.node.shape)
        drive = Drive(scale, plan.constant, reach)
        fit = integers.fit(plan.node, drive, plan.law, observed, loosened)
        if fit.shift >= 0:
            break
        coarser -= fit.shift
        if coarser > MAX_COARSER:
            message = f"states of {plan.law.state_bits} bits hold no threshold, reset or bias together with the weights"
            fix = "rescale the layer: its threshold, reset or bias is too large for its weights"
            raise UnsupportedError(message, where=plan.name, fix=fix)
    made = integers.population(plan.node, drive, plan.law, fit.shift, seed=plan.seed, key=plan.key)
    findings = integers.lost_decays(plan.name, plan.node, made, plan.law)
    if coarser:
        message = f"states of {plan.law.state_bits} bits are too narrow: weights lose {bit_count(coarser)}"
        fix = f"use {wider(plan.law, coarser)}"
        findings.append(Finding("state_bits", "warning", plan.name, message, fix))
    return Built(made, links, prices, fit.shift, fit.bound, coarser, tuple(findings))


def _translated(plan: Plan, base: Floats, loosened: int, *, priced: bool) -> Built:
    """A population whose step is translated from that of its family."""
    links, prices, reach = _links(plan, base, priced=priced)
    drive = _reached(plan, base, reach)
    observed = None if isinstance(plan.observed, Observed) else plan.observed
    with locating(plan.name):
        made = steps.population(plan.node, drive, plan.law, observed, loosened=loosened, seed=plan.seed, key=plan.key)
    findings = tuple(replace(finding, where=plan.name) for finding in made.findings)
    return Built(made.population, links, prices, made.bits, made.bound, 0, findings)


def _reached(plan: Plan, base: Floats, reach: Floats) -> steps.Reached:
    each = np.repeat(base, plan.cells // plan.channels).reshape(plan.node.shape)
    scale = base[0] + np.zeros(()) if plan.channels == 1 else each  # one number, so that one parameter serves all
    sign = integers.signs(plan.node)
    turned = 1.0 if sign is None else sign.reshape(plan.node.shape)
    return steps.Reached(scale, {port: value * turned for port, value in plan.arriving.items()}, reach)


def wider(law: Law, bits: int) -> str:
    """The option for states that are so many bits wider, in words."""
    if law.state_bits == MAX_STATE_BITS:
        return "smaller thresholds"
    return f"--state-bits {min(MAX_STATE_BITS, law.state_bits + bits)}"


def bit_count(bits: int) -> str:
    """`1 bit`, `2 bits`."""
    return "1 bit" if bits == 1 else f"{bits} bits"


def _links(plan: Plan, base: Floats, *, priced: bool) -> tuple[dict[str, Link], tuple[WeightPrice, ...], Floats]:
    """The projections in whole numbers of base [channels], their prices, and the largest sum at each neuron."""
    links, prices = {}, []
    low, high = np.zeros(plan.cells), np.zeros(plan.cells)
    for p in plan.projections:
        bits, exponent = plan.bits[p.name], plan.scales.exponents[p.name]
        scale, (source, sends) = base * 2.0**exponent, plan.sources[p.source]
        whole = whole_weights(p, scale, bits, plan.node.shape)
        if priced:
            prices.append(price(p, whole, scale, bits, exponent, plan.node.shape))
        made = synapses(whole, bits, exponent, source, plan.node.shape)
        links[p.name] = Link(p.source, integer_port(plan.node, p.port), p.delay_steps, made)
        sums = synapse_sums(made, sends)
        low, high = low + sums.low, high + sums.high
    return links, tuple(prices), np.maximum(-low, high).reshape(plan.node.shape)
