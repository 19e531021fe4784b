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

from .derive import FRACTION_BITS
from .law import PORTS
from .parameters import Mapped, mapped, never_firing, reach
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


def all_mapped(lowered: Lowered, plan: Schedule) -> tuple[dict[str, Mapped], list[Finding]]:
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


def all_weighed(
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
        if weighed.seen.get(port):  # 16 bits hold less than twice what they must
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
    if not seen:  # no calibration inputs, or no spike on them came to it: nothing is known of its sums
        return default_shift(rows)
    return shift_for(MARGIN * seen, max(one.largest for one in rows))
