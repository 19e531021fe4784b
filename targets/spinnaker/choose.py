"""Parameters, scales and shifts of every population: what is chosen before the graph is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import Finding, UnsupportedError
from norse_export.ir.fixed import Synapses
from norse_export.passes.linear import ConvWeights, as_sparse, with_rows_scaled
from norse_export.passes.lowered import Lowered
from norse_export.passes.plain import form
from norse_export.passes.synapse_first import constant_current

from .counting import SHIFT, Arriving, Lowest, counted
from .derive import FRACTION_BITS
from .law import PORTS
from .parameters import Mapped, mapped, never_firing, reach
from .refusals import COUNTED, error
from .schedule import Schedule
from .weights import MARGIN, MOST, Rows, default_shift, largest_sum, one_sign, per_one, shift_for, sums_possible

Array = NDArray[Any]
INHIBITORY = PORTS[1]
LIMIT = 2**15  # of a step's numbers: half of what wraps
MOST_SCALE = 256  # beyond, the chip's rounding is nothing beside that of the weights


@dataclass(frozen=True, slots=True, eq=False)
class Weighed:
    """What leads to a population, by receptor type: weights, shifts, and the largest sums on the calibration inputs."""

    rows: Mapping[str, Sequence[Rows]]
    shifts: Mapping[str, int]
    seen: Mapping[str, float]

    def synapses(self, port: str) -> list[tuple[Rows, Synapses]]:
        """The synapses of a receptor type in whole numbers."""
        return [(one, one.whole(per_one(self.shifts[port]))) for one in self.rows[port]]

    def counts(self, port: str) -> tuple[int, int]:
        """How many weights there are of a receptor type, and how many of them have become 0; shared ones count once."""
        made = self.synapses(port)
        real = sum(int(np.count_nonzero(one.weights.weight)) for one, _ in made)
        return real, real - sum(int(np.count_nonzero(whole.weight)) for _, whole in made)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the float model did on calibration inputs: what each source sent; lowest membranes of those that count."""

    sent: Mapping[str, Array]
    lowest: Mapping[str, Lowest]


def all_chosen(
    lowered: Lowered, plan: Schedule, seen: Seen | None
) -> tuple[dict[str, Mapped], dict[str, Weighed], list[Finding]]:
    """Parameters of every population, its weights and shifts, and what a user should know.

    Raises:
        UnsupportedError: one that the chip cannot hold; every one is a finding.
    """
    chips, weighed = dict[str, Mapped](), dict[str, Weighed]()
    findings: list[Finding] = []
    for name, node in lowered.populations.items():
        if form(node).dynamics == COUNTED:
            chips[name], found = _counting(lowered, plan, name, seen)
        else:
            chips[name], found = mapped(name, node, constant_current(lowered, name), plan.late[name])
        findings += found
    if any(finding.severity == "error" for finding in findings):
        raise UnsupportedError.of([finding for finding in findings if finding.severity == "error"])
    for name, chip in chips.items():
        if chip.counts:
            weighed[name] = _on_scale(lowered, name, chip, seen)
        else:
            chips[name], weighed[name] = _leaky(lowered, plan, name, chip, seen)
        if max(weighed[name].shifts.values()) > MOST:
            message = "its sums of weights do not fit the chip, whose numbers end at 65536"
            findings.append(error("range", name, message, "scale the layer's weights and threshold down"))
    if errors := [finding for finding in findings if finding.severity == "error"]:
        raise UnsupportedError.of(errors)
    return chips, weighed, findings


def _leaky(lowered: Lowered, plan: Schedule, name: str, chip: Mapped, seen: Seen | None) -> tuple[Mapped, Weighed]:
    """A population with its weights; with calibration inputs on the largest scale on which both fit."""
    weighed = _on_scale(lowered, name, chip, seen)
    node, constant = lowered.populations[name], constant_current(lowered, name)
    scale = 1 if seen is None else _scale(weighed, chip)
    while scale >= 1:
        chip, _ = mapped(name, node, constant, plan.late[name], scale)
        weighed = _on_scale(lowered, name, chip, seen)
        if max(weighed.shifts.values()) <= MOST:
            break
        scale //= 2
    if chip.readout and _reach(weighed, chip) <= LIMIT:
        chip = never_firing(chip)
    return chip, weighed


def _counting(lowered: Lowered, plan: Schedule, name: str, seen: Seen | None) -> tuple[Mapped, list[Finding]]:
    """A population without a leak: what it comes to has to be known before its counts are chosen."""
    node = lowered.populations[name]
    gain = np.broadcast_to(np.float64(node.parameters.get("gain", 1.0)), node.shape).reshape(-1)
    rows = {port: _rows(lowered, name, gain, port) for port in PORTS}
    largest = 0.0
    for own in rows.values():
        sums = largest_sum(own, seen.sent) if seen is not None and own else 0.0
        largest = max([largest, MARGIN * sums or sums_possible(own), *(one.largest for one in own)])
    weights = np.concatenate([one.weights.weight.reshape(-1) for own in rows.values() for one in own] or [np.zeros(1)])
    arriving = Arriving(weights, largest, inhibited=bool(rows[INHIBITORY]))
    lowest = None if seen is None else seen.lowest[name]
    return counted(name, node, constant_current(lowered, name), plan.late[name], arriving, lowest)


def _on_scale(lowered: Lowered, name: str, chip: Mapped, seen: Seen | None) -> Weighed:
    rows = {port: _rows(lowered, name, chip.factor, port) for port in PORTS}
    sums = {port: largest_sum(rows[port], seen.sent) for port in PORTS if seen is not None and rows[port]}
    shifts = dict.fromkeys(PORTS, SHIFT) if chip.counts else {p: _shift(rows[p], sums.get(p)) for p in PORTS}
    return Weighed(rows, shifts, sums)


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
        if weighed.seen.get(port):  # 16 bits hold less than twice what they must
            filled = 2 * max(MARGIN * weighed.seen[port], *(one.largest for one in rows))
        sums.append(min(sums_possible(rows), filled))
    return reach(chip, (sums[0], sums[1]))


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
    if not seen:  # no calibration inputs, or no spike on them came to it: nothing is known of its sums
        return default_shift(rows)
    return shift_for(MARGIN * seen, max(one.largest for one in rows))
