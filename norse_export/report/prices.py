"""What whole numbers cost each layer, as text and for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from norse_export.report.columns import one_line, short, table

if TYPE_CHECKING:
    from norse_export.passes.prices import LayerPrice
    from norse_export.passes.scales import WeightPrice

_WEIGHTS = ("weights", "onto", "bits", "scale", "error rms", "error max", "clipped", "zeroed", "of")
_LAYERS = ("layer", "shift", "state bits", "overflow", "spikes before", "after", "differing", "jaccard", "first")


def prices_table(prices: Sequence[LayerPrice], *, verbose: bool = False) -> list[str]:
    """Two tables: of each set of weights its scale and error, of each layer its states and what its spikes became.

    Errors are rms relative to the weights' rms, and the largest in units of the scale, clipped weights left out. The
    second says on which inputs it was measured: those of the comparison behind it may be others.
    """
    weights = [_weights(cost.node, one) for cost in prices for one in cost.projections]
    return [
        *table(_WEIGHTS, weights, right=range(2, len(_WEIGHTS))),
        "",
        _caption(prices),
        *table(_LAYERS, [_layer(cost) for cost in prices], right=range(1, len(_LAYERS) - 1)),
    ]


def _caption(prices: Sequence[LayerPrice]) -> str:
    """On what the table was measured."""
    told = next((cost.measured_on for cost in prices if cost.measured_on), None)
    if told is None and all(cost.cells is None for cost in prices):
        return "layers: not measured, for want of calibration inputs"
    return one_line(f"layers, measured on {told or 'the calibration inputs'}")


def price_document(cost: LayerPrice) -> dict[str, Any]:
    """The price of a layer for JSON."""
    found = {field.name: getattr(cost, field.name) for field in fields(cost)}
    found["projections"] = [{field.name: getattr(one, field.name) for field in fields(one)} for one in cost.projections]
    first = cost.first_divergence
    found["first_divergence"] = None if first is None else {"step": first[0], "sample": first[1], "index": first[2]}
    return found


def _weights(node: str, cost: WeightPrice) -> tuple[object, ...]:
    low, high = cost.scale
    scale = short(low) if low == high else f"{short(low)}..{short(high)}"
    errors = (short(cost.error_rms), short(cost.error_max))
    composed = cost.name if len(cost.layers) < 2 else f"{cost.name} (composed of {', '.join(cost.layers)})"
    return (composed, node, cost.bits, scale, *errors, cost.clipped, cost.zeroed, cost.weights)


def _layer(cost: LayerPrice) -> tuple[object, ...]:
    needed = "?" if cost.bits_needed is None else cost.bits_needed
    bits = f"{needed}/{cost.bits_available}"
    overflow = "impossible" if cost.proven else "counted" if cost.overflows is None else cost.overflows
    if cost.value_error is not None:
        return (
            cost.node,
            cost.shift,
            bits,
            overflow,
            "values",
            "values",
            "-",
            "-",
            _values(cost),
        )
    if cost.cells is None:
        return (cost.node, cost.shift, bits, overflow, "-", "-", "-", "-", "not measured")
    counts = (cost.spikes_before, cost.spikes_after, cost.differing)
    return (cost.node, cost.shift, bits, overflow, *counts, short(cost.jaccard), _first(cost))


def _values(cost: LayerPrice) -> str:
    """How far values are from the model's, in its units and relative to their own size."""
    relative = f"rms error {short(cost.value_error)} of their rms"
    if cost.value_mean_abs is None:
        return relative
    return f"off by {short(cost.value_mean_abs)}, at most {short(cost.value_max_abs)}; {relative}"


def _first(cost: LayerPrice) -> str:
    if cost.first_divergence is None:
        return "-"
    step, sample, index = cost.first_divergence
    return one_line(f"step {step}, sample {sample}, {list(index)}")
