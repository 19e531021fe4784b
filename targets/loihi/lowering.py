"""Discrete graph -> fixed graph under the law `lava`: integers that 8-bit synapses and registers hold.

Every projection takes one step more than in the model; what loops back to its own layer has that step already, and so
has what leads to a layer whose membrane sees the current of the step before (passes/synapse_first.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.engine import layers
from norse_export.errors import Finding, UnsupportedError
from norse_export.interpret import interpret
from norse_export.ir.fixed import FixedInput
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Conv, Linear
from norse_export.ir.rasters import checked_inputs
from norse_export.ir.stages import DiscreteNode, FixedNode, Neuron
from norse_export.passes.calibrate import some
from norse_export.passes.integers import observe
from norse_export.passes.linear import ConvWeights, with_rows_scaled
from norse_export.passes.lower import input_ranges, lower
from norse_export.passes.lowered import ANY_SPIKE, InputRange, Lowered, Projection
from norse_export.passes.plain import plain, plain_states
from norse_export.passes.plans import QuantiseChoice, offered, refuse_widths
from norse_export.passes.prices import Measured, layer_prices, measure
from norse_export.passes.quantise import SEARCH_WORK, Quantised
from norse_export.passes.synapse_first import constant_current, is_membrane_first
from norse_export.program.laws import Law

from . import law
from .jointly import together
from .limits import NAMES
from .netx import MAX_DELAY
from .notes import artefact_notes, layer_notes
from .parallel import joined
from .precision import Precision
from .refusals import refusals
from .registers import Registers, registers_of
from .scaling import Made, Plan, Seen, activity, choose
from .told import CHIP_KEY, PRECISION_KEY, PRICES_KEY, prices_text
from .weights import as_dense

Array = NDArray[Any]
LAW = (
    "lava (Loihi 2 as lava-nc 0.10.0 has it): weights of 8 bits, {}; u and v of 24 bits; decays of 12, rounded"
    " toward zero; threshold of 17, bias of 13 bits, times 64; spike when v > v_th; reset to 0; one step of delay a"
    " layer"
)
LOOP_STEPS = 1  # from a layer to itself, in the model and on the chip
_CHIP = Law(weight_bits=law.WEIGHT_BITS, state_bits=law.STATE_BITS, decay_bits=law.DECAY_BITS, delay_steps=1)


def lowered_to_chip(
    graph: Graph[DiscreteNode],
    choice: QuantiseChoice,
    calibration: Mapping[str, Array] | None,
    ranges: Mapping[str, InputRange] | None,
) -> Quantised:
    """Give the model as integers of the chip, with the price of every layer.

    Raises:
        UnsupportedError: whatever the chip cannot hold; every one is a finding.
        UsageError: widths that the chip does not have; calibration inputs that do not fit the model.
    """
    precision = _precision(choice)
    if calibration is not None:
        calibration = checked_inputs(graph, calibration)
        ranges = ranges or input_ranges(calibration)
    given = lower(graph, ranges)
    lowered = joined(plain(given))
    late = _Late.of(given)
    if found := _refused(lowered, late):
        raise UnsupportedError.of(found)
    plans = _plans(lowered, precision, late)

    def measured_on(inputs: Mapping[str, Array], layers_made: Mapping[str, Made]) -> Measured:
        skew = {name: late.steps[name] for name in lowered.populations}
        return replace(measure(graph, given, _assembled(lowered, layers_made, late), inputs, _CHIP), skew=skew)

    layers_made = _chosen(graph, given.populations, plans, choice, calibration, measured_on)
    fixed = _assembled(lowered, layers_made, late)
    measured = None if calibration is None else measured_on(calibration, layers_made)
    prices = {plan.name: (layers_made[plan.name].prices(plan), law.ALIGN_BITS, np.inf) for plan in plans}
    table = layer_prices(given, fixed, prices, _CHIP, measured)
    chip = str(offered(choice.chip, "--chip", tuple(NAMES), "loihi"))
    told = {"law": LAW.format(precision), PRECISION_KEY: str(precision), CHIP_KEY: chip, PRICES_KEY: prices_text(table)}
    final = Graph(fixed.nodes, fixed.edges, {**fixed.metadata, **told})
    notes = (note for plan in plans for note in layer_notes(plan, layers_made[plan.name]))
    findings = (*notes, *artefact_notes(final, precision, chip))
    return Quantised(final, table, findings, given, measured, late.skew)


def _precision(choice: QuantiseChoice) -> Precision:
    """The mode. Widths are the chip's; a scale for each channel would need a threshold for each."""
    precision = Precision(str(offered(choice.precision, "--precision", tuple(Precision), "loihi")))
    offered(choice.chip, "--chip", tuple(NAMES), "loihi")
    refuse_widths(choice, "widths: 8 bits of weight, 24 of state, one scale for each layer")
    return precision


@dataclass(frozen=True, slots=True)
class _Late:
    """By how many steps each input, population and host node is late on the chip, one for each layer before it.

    first: populations whose membrane sees the current of the step before: the step of delay that every projection onto
    them has in the model is the chip's own.
    """

    steps: Mapping[str, int]
    first: frozenset[str]

    @classmethod
    def of(cls, lowered: Lowered) -> _Late:
        """Of a network before its neurons became plain ones."""
        first = frozenset(name for name, node in lowered.populations.items() if is_membrane_first(node))
        late = dict.fromkeys(lowered.inputs, 0)
        for name in lowered.populations:
            sources = [p.source for p in lowered.onto(name) if p.source != name]
            own = 0 if name in first else law.SYNAPSE_STEPS
            late[name] = own + max((late.get(source, 0) for source in sources), default=0)
        waiting = list(lowered.host)
        while waiting:
            name = waiting.pop(0)
            before = [edge.source for edge in lowered.host_edges if edge.target == name]
            if all(source in late for source in before):
                late[name] = max((late[source] for source in before), default=0)
            else:
                waiting.append(name)
        return cls(late, first)

    @property
    def skew(self) -> dict[str, int]:
        """Those that are late."""
        return {name: steps for name, steps in self.steps.items() if steps}

    def on_chip(self, source: str, target: str, delay_steps: int) -> int:
        """The delay on the chip of a projection of a plain network, in steps."""
        return delay_steps + (0 if source == target or target in self.first else law.SYNAPSE_STEPS)


def _refused(lowered: Lowered, late: _Late) -> list[Finding]:
    found = []
    for name, (_, given) in lowered.inputs.items():
        if given != InputRange():
            message = f"an input of {given.low} to {given.high} in units of {given.unit:g}; synapses take spikes"
            found.append(Finding("graded_input", "error", name, message, "encode the input into spikes of 0 and 1"))
    for name, node in lowered.populations.items():
        if node.family is ANY_SPIKE:
            message = "max pooling over spikes: the chip adds spikes up, and takes no maximum"
            found.append(Finding("max_pool", "error", name, message, "use average or sum pooling"))
            continue
        found += refusals(name, node)
        if not lowered.onto(name):
            found.append(Finding("no_input", "error", name, "no spikes reach this layer", "remove it"))
    return found + [finding for p in lowered.projections for finding in _delay_refused(lowered, p, late)]


def _delay_refused(lowered: Lowered, p: Projection, late: _Late) -> list[Finding]:
    loops = any(other.source == other.target for other in lowered.onto(p.target))
    steps = late.on_chip(p.source, p.target, p.delay_steps) - law.SYNAPSE_STEPS
    if p.source == p.target and p.target in late.first:
        message = (
            f"a loop of {p.delay_steps} steps: the layer sees its own spikes a step later, as its membrane is first"
        )
        fix = f"train with the synapse first, or export to another target: netx has loops of {LOOP_STEPS} step"
        return [Finding("delay", "error", p.name, message, fix)]
    if steps in ([0] if loops else range(MAX_DELAY + 1)):
        return []
    message = f"a delay of {p.delay_steps} steps from {p.source!r} to {p.target!r}"
    fix = f"use 0 to {MAX_DELAY} steps, none before a recurrent layer, and {LOOP_STEPS} within it"
    return [Finding("delay", "error", p.name, message, fix)]


def _plans(lowered: Lowered, precision: Precision, late: _Late) -> list[Plan]:
    images = {name for name, (node, _) in lowered.inputs.items() if len(node.shape) == 3}
    plans = []
    for name, node in lowered.populations.items():
        registers = registers_of(node, constant_current(lowered, name))
        projections = tuple(_with_gain(lowered, p, node) for p in lowered.onto(name))
        if (
            len(projections) == 1
            and projections[0].source in images
            and _is_image(lowered, projections[0], registers, late)
        ):
            images.add(name)
        else:
            projections = tuple(
                replace(p, weights=as_dense(p.weights, lowered.shape(p.source), prod(node.shape), name))
                for p in projections
            )
        sources = {p.source: lowered.shape(p.source) for p in projections}
        plans.append(Plan(name, node, registers, projections, sources, precision, late.steps[name]))
    return plans


def _with_gain(lowered: Lowered, projection: Projection, node: Neuron) -> Projection:
    gain = node.parameters.get("gain")
    if gain is None:
        return projection
    rows = gain.astype(np.float64).reshape(-1)
    return replace(projection, weights=with_rows_scaled(projection.weights, rows, lowered.shape(projection.source)))


def _is_image(lowered: Lowered, projection: Projection, registers: Registers, late: _Late) -> bool:
    """Whether a .net file can hold the layer as a convolution: bias and threshold are then those of feature maps."""
    weights, shape = projection.weights, lowered.shape(projection.target)
    ends = (projection.source, projection.target)
    if late.on_chip(*ends, projection.delay_steps) > law.SYNAPSE_STEPS:  # netx reads no delay of a convolution
        return False
    if not isinstance(weights, ConvWeights) or weights.input_shape != lowered.shape(projection.source):
        return False
    if weights.map_shape != shape:
        return False
    values = [registers.drive] + ([] if registers.v_th is None else [registers.v_th])
    flat = [value.reshape(value.shape[0], -1) for value in values]
    return all(bool(np.all(value == value[:, :1])) for value in flat)


def _chosen(
    graph: Graph[DiscreteNode],
    given: Mapping[str, Neuron],
    plans: list[Plan],
    choice: QuantiseChoice,
    calibration: Mapping[str, Array] | None,
    measured_on: Callable[[Mapping[str, Array], Mapping[str, Made]], Measured],
) -> dict[str, Made]:
    """Every layer with the best scale: first by itself on the float model's spikes, then in the whole network."""
    if calibration is None:
        return {plan.name: choose(plan, None, searching=choice.search) for plan in plans}
    work = max(sum(p.weights.weight.size for p in plan.projections) * 16 + 64 * prod(plan.node.shape) for plan in plans)
    few = some(calibration, work, SEARCH_WORK)
    run = interpret(graph, few, states=True)
    sent = {**few, **run.spikes}
    chosen, ready = {}, []
    for plan in plans:
        states = plain_states(given[plan.name], plan.node, run.observables.get(plan.name, {}))
        truth = states["v"] if plan.readout else sent[plan.name]
        seen = Seen({p.source: sent[p.source] for p in plan.projections}, truth, observe(plan.node, states))
        ready.append(replace(plan, active={p.name: activity(p.weights, sent[p.source]) for p in plan.projections}))
        chosen[plan.name] = choose(ready[-1], seen, searching=choice.search)
    if not choice.search or len(plans) < 2:
        return chosen

    return together(ready, chosen, partial(measured_on, few))


def _assembled(lowered: Lowered, made: Mapping[str, Made], late: _Late) -> Graph[FixedNode]:
    nodes: dict[str, FixedNode] = {name: FixedInput(node.shape) for name, (node, _) in lowered.inputs.items()}
    edges = []
    for name, one in made.items():
        for projection, links in one.links.items():
            for number, link in enumerate(links):
                array = f"{projection} ({number + 1})" if number else projection
                nodes[array] = link.synapses
                edges.append(Edge(link.source, array, "x", late.on_chip(link.source, name, link.delay_steps)))
                edges.append(Edge(array, name, link.port))
        nodes[name] = one.started
    for name, layer in lowered.host.items():
        nodes[name] = layers.rounded(layer, "float64") if isinstance(layer, Linear | Conv) else layer
    return Graph(nodes, (*edges, *lowered.host_edges), lowered.metadata)
