"""What a user should know of the price of whole numbers, with the options that help."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from norse_export.errors import Finding

if TYPE_CHECKING:
    from norse_export.passes.prices import LayerPrice
    from norse_export.passes.scales import WeightPrice

LEAST_JACCARD = 0.5  # of a layer's spikes; below it, more of them are wrong than right
OUTLIER = 8  # times the weight that 99 % are smaller than
MANY = 0.1  # of the weights other than 0
MAX_WEIGHT_BITS, MAX_STATE_BITS = 16, 32


def advice(prices: Sequence[LayerPrice], *, own_law: bool) -> tuple[Finding, ...]:
    """Warnings of layers that lost much; own_law: the target chose the widths, so that no option changes them."""
    found: list[Finding] = []
    for cost in prices:
        found += _outliers(cost, own_law=own_law)
        found += _overflows(cost, own_law=own_law)
        found += _spikes(cost, own_law=own_law)
    return tuple(found)


def _outliers(cost: LayerPrice, *, own_law: bool) -> Iterator[Finding]:
    for one in cost.projections:
        if one.outlier <= OUTLIER or one.zeroed <= MANY * one.nonzero:
            continue
        message = (
            f"one weight is {one.outlier:.3g} times as large as that which 99 % are smaller than, and takes the range:"
            f" {one.zeroed} of {one.nonzero} weights became 0"
        )
        fix = "clip the weight in the model" if own_law else f"use --per-channel, {_more_bits(one)}, or clip the weight"
        yield Finding("outlier", "warning", one.name, message, fix)


def _overflows(cost: LayerPrice, *, own_law: bool) -> Iterator[Finding]:
    if not cost.overflows:
        return
    message = (
        f"{cost.overflows} states left their {cost.bits_available} bits on the calibration inputs, and were cut off"
    )
    bits = min(MAX_STATE_BITS, cost.bits_needed or cost.bits_available + 2)
    fix = "use a model of smaller currents" if own_law else f"use --state-bits {max(bits, cost.bits_available + 1)}"
    yield Finding("overflow", "warning", cost.node, message, fix)


def _spikes(cost: LayerPrice, *, own_law: bool) -> Iterator[Finding]:
    if cost.jaccard is None or cost.jaccard >= LEAST_JACCARD:
        return
    message = f"of its spikes and the model's, only the share {cost.jaccard:.2f} is in both (Jaccard)"
    fix = "calibrate on inputs like those that it will see (--calib)"
    if not own_law:
        options = [*(_more_bits(one) for one in cost.projections if one.bits < MAX_WEIGHT_BITS), "--per-channel"]
        options += [] if cost.proven else [f"--state-bits {min(MAX_STATE_BITS, cost.bits_available + 4)}"]
        fix = f"use {', '.join(dict.fromkeys(options))}, or {fix}"
    yield Finding("spikes_lost", "warning", cost.node, message, fix)


def _more_bits(one: WeightPrice) -> str:
    return f"--bits {one.name}={min(MAX_WEIGHT_BITS, 2 * max(2, one.bits))}"
