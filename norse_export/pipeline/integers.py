"""Targets of integers: the fixed graph that they are given, and how what they wrote is compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from norse_export.compare import Comparison, compare
from norse_export.errors import Finding
from norse_export.files.limits import Limits
from norse_export.interpret import checked_inputs
from norse_export.ir.graph import Graph
from norse_export.ir.run import Run
from norse_export.ir.stages import FixedNode
from norse_export.pipeline.choices import IntegerChoice
from norse_export.pipeline.model import Model, Rasters
from norse_export.pipeline.rasters import Chosen, input_shapes, matched, read_rasters
from norse_export.program.laws import Law

if TYPE_CHECKING:
    from norse_export.passes.lowered import InputRange
    from norse_export.passes.prices import LayerPrice

# What a target of integers is made with, where the user chose something else than the law's own widths.
_WIDTHS = ("weight_bits", "state_bits", "decay_bits")


@dataclass(frozen=True, slots=True)
class Integers:
    """A model in whole numbers, what each layer cost, and what a user should know about it."""

    graph: Graph[FixedNode]
    prices: tuple[LayerPrice, ...]
    findings: tuple[Finding, ...]


def integers_of(
    model: Model, choice: IntegerChoice, origin: Mapping[str, str], chosen: Chosen | None, limits: Limits
) -> Integers:
    """Quantise a model under the generic law.

    origin: the artefact's metadata beside the law. chosen: the rasters that it will be compared on.

    Raises:
        UnsupportedError: the model has no integer form. UsageError: wrong bits, or rasters that do not fit the model.
    """
    from norse_export.passes.lower import input_ranges
    from norse_export.passes.quantise import QuantiseChoice, quantise

    law = replace(Law(), **{name: getattr(choice, name) for name in _WIDTHS if getattr(choice, name) is not None})
    rasters, told = _calibration(model, choice, chosen, limits)
    ranges: dict[str, InputRange] = {}
    for given in (rasters, None if chosen is None else chosen.rasters):
        for name, one in ({} if given is None else input_ranges(given)).items():
            held = ranges.get(name, one)
            ranges[name] = replace(one, low=min(one.low, held.low), high=max(one.high, held.high))
    wanted = QuantiseChoice(law, choice.layer_bits, choice.per_channel, choice.search)
    made = quantise(model.discrete, wanted, rasters, ranges=ranges or None)
    metadata = {**made.graph.metadata, **origin, "law": _text(law), "scales": _scales(choice, told)}
    graph = Graph(made.graph.nodes, made.graph.edges, metadata)
    message, fix = f"the scales were chosen on {told}", "choose others with --calib"
    note = () if chosen is None else (Finding("calibration", "note", "scales", message, fix),)
    return Integers(graph, made.table, (*made.findings, *note))


def compared(graph: Graph[FixedNode], actual: Run, chosen: Chosen) -> tuple[Comparison, Comparison]:
    """What the artefact did, against the same integers run by another execution, and against the model: the price."""
    from norse_export.interpret.fixed import emulate

    same = compare(
        emulate(graph, chosen.rasters, states=bool(actual.observables)), actual, rung=3, labels=chosen.labels
    )
    return same, price(chosen.truth.run, actual, chosen.labels)


def price(reference: Run, actual: Run, labels: Any = None) -> Comparison:
    """Spikes and outputs of whole numbers against those of the model; states have other units, and are left out."""
    spikes = {name: actual.spikes[name] for name in reference.spikes if name in actual.spikes}
    stripped = Run(reference.spikes, reference.outputs, reference.ran_by)
    return compare(stripped, Run(spikes, actual.outputs, actual.ran_by), rung=2, labels=labels)


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
