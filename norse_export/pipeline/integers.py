"""Targets of integers: the fixed graph that they are given, and how what they wrote is compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from norse_export.compare import Comparison, compare
from norse_export.errors import Finding
from norse_export.files.limits import Limits
from norse_export.interpret import checked_inputs
from norse_export.ir.graph import Graph
from norse_export.ir.run import Run
from norse_export.ir.stages import DiscreteNode, FixedNode
from norse_export.pipeline.advice import advice
from norse_export.pipeline.choices import IntegerChoice
from norse_export.pipeline.model import Model, Rasters
from norse_export.pipeline.rasters import Chosen, input_shapes, matched, read_rasters
from norse_export.program.laws import Law
from norse_export.target import Target

if TYPE_CHECKING:
    from norse_export.passes.lowered import InputRange
    from norse_export.passes.prices import LayerPrice
    from norse_export.passes.quantise import QuantiseChoice, Quantised

# What a target of integers is made with, where the user chose something else than the law's own widths.
_WIDTHS = ("weight_bits", "state_bits", "decay_bits")


@dataclass(frozen=True, slots=True)
class Integers:
    """A model in whole numbers, what each layer cost, and what a user should know about it."""

    graph: Graph[FixedNode]
    prices: tuple[LayerPrice, ...]
    findings: tuple[Finding, ...]
    skew: Mapping[str, int]


class Lowering(Protocol):
    """How a target of its own law makes whole numbers: its method `lower`. Without one, the generic law is taken."""

    def __call__(
        self,
        graph: Graph[DiscreteNode],
        choice: QuantiseChoice,
        calibration: Rasters | None,
        *,
        ranges: Mapping[str, InputRange] | None,
    ) -> Quantised:
        """See passes/quantise.py. graph.metadata of what it gives holds "law" in words where it has one of its own."""


def integers_of(
    model: Model,
    target: Target,
    choice: IntegerChoice,
    origin: Mapping[str, str],
    chosen: Chosen | None,
    limits: Limits,
) -> Integers:
    """Quantise a model under the target's law.

    origin: the artefact's metadata beside the law. chosen: the rasters that it will be compared on.

    Raises:
        UnsupportedError: the model has no integer form. UsageError: wrong bits, or rasters that do not fit the model.
    """
    from norse_export.passes.lower import input_ranges
    from norse_export.passes.quantise import quantise

    wanted = _wanted(choice)
    rasters, told = _calibration(model, choice, chosen, limits)
    ranges: dict[str, InputRange] = {}
    for given in (rasters, None if chosen is None else chosen.rasters):
        for name, one in ({} if given is None else input_ranges(given)).items():
            held = ranges.get(name, one)
            ranges[name] = replace(one, low=min(one.low, held.low), high=max(one.high, held.high))
    lowering: Lowering = getattr(target, "lower", quantise)
    made = lowering(model.discrete, wanted, rasters, ranges=ranges or None)
    metadata = {"law": _text(wanted.law), "scales": _scales(choice, told), **made.graph.metadata, **origin}
    graph = Graph(made.graph.nodes, made.graph.edges, metadata)
    message, fix = f"the scales were chosen on {told}", "choose others with --calib"
    note = () if chosen is None else (Finding("calibration", "note", "scales", message, fix),)
    warned = advice(made.table, own_law=hasattr(target, "lower"))
    table = tuple(replace(cost, measured_on=None if cost.cells is None else told) for cost in made.table)
    return Integers(graph, table, (*made.findings, *warned, *note), made.skew)


def _wanted(choice: IntegerChoice) -> QuantiseChoice:
    """How to quantise: the law with the widths that are asked for, and which these are."""
    from norse_export.passes.quantise import QuantiseChoice

    widths = {name: getattr(choice, name) for name in _WIDTHS if getattr(choice, name) is not None}
    return QuantiseChoice(
        law=replace(Law(), **widths),
        bits=choice.layer_bits,
        per_channel=choice.per_channel,
        search=choice.search,
        precision=choice.precision,
        chip=choice.chip,
        given=tuple(widths),
    )


def compared(
    graph: Graph[FixedNode], actual: Run, chosen: Chosen, skew: Mapping[str, int], *, by_engine: bool
) -> tuple[Comparison, Comparison]:
    """What the artefact did, against the same integers run by another execution, and against the model: the price.

    by_engine: the other execution is the engine, of artefacts that ran as a program called on arrays; else the reverse.
    """
    states = bool(actual.observables)
    if by_engine:
        from norse_export.engine.network import compile_network

        other = compile_network(graph).run(chosen.rasters, states=states).run
    else:
        from norse_export.interpret.fixed import emulate

        other = emulate(graph, chosen.rasters, states=states)
    same = compare(other, actual, rung=3, labels=chosen.labels)
    return same, price(chosen.truth.run, actual, chosen.labels, skew)


def price(reference: Run, actual: Run, labels: Any = None, skew: Mapping[str, int] | None = None) -> Comparison:
    """Spikes and outputs of whole numbers against those of the model; states have other units, and are left out.

    skew: by how many steps what each layer and output sends is late; the last steps of the model are then left out.
    """
    late = skew or {}
    most = max(late.values(), default=0)

    def aligned(rasters: Mapping[str, Any], *, delayed: bool) -> dict[str, Any]:
        starts = {name: late.get(name, 0) if delayed else 0 for name in rasters}
        return {name: raster[starts[name] : len(raster) - most + starts[name]] for name, raster in rasters.items()}

    spikes = {name: actual.spikes[name] for name in reference.spikes if name in actual.spikes}
    model = Run(aligned(reference.spikes, delayed=False), aligned(reference.outputs, delayed=False), reference.ran_by)
    integers = Run(aligned(spikes, delayed=True), aligned(actual.outputs, delayed=True), actual.ran_by)
    return replace(compare(model, integers, rung=2, labels=labels, spikes_first=True), skew_steps=most)


def _calibration(
    model: Model, choice: IntegerChoice, chosen: Chosen | None, limits: Limits
) -> tuple[Rasters | None, str]:
    """The rasters on which the scales are chosen, and what they are in words."""
    if choice.calibration is not None:
        given = read_rasters(choice.calibration, limits)
        rasters = checked_inputs(model.discrete, matched(input_shapes(model), given, where="--calib"))
        return rasters, f"the rasters of {choice.calibration.name}"
    if model.stored is not None:
        return model.stored[0], "the rasters stored in the model"
    if chosen is not None:
        return chosen.rasters, f"the rasters that they are judged on ({chosen.summary.origin})"
    return None, "the weights alone, for want of rasters"


def _scales(choice: IntegerChoice, told: str) -> str:
    each = "one for each channel" if choice.per_channel else "one for each layer"
    how = "searched" if choice.search else "from the largest weight"
    bits = ", ".join(f"{name} {number} bits" for name, number in sorted(choice.layer_bits.items()))
    return f"{each}, {how}, on {told}" + (f"; {bits}" if bits else "")


def _text(law: Law) -> str:
    """The law in words, for metadata and reports."""
    parts = [
        f"weights of {law.weight_bits} bits",
        f"states of {law.state_bits}, {law.overflow}",
        f"decays of {law.decay_bits}, rounded {law.rounding.replace('_', ' ')}",
        f"spike when v {'>' if law.strict else '>='} v_th",
        "reset to a value" if law.reset == "value" else "reset by subtraction",
    ]
    return f"generic: {'; '.join(parts)}"
