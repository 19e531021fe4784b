"""Neurons without a leak (IAF) as IF_curr_delta: membranes are counts, of which the chip's leak takes none.

The most that the chip keeps of a membrane in a step is exp_tc = 1 - LEAK / 2^15 (derive.py), in raw numbers

    v1 = a - floor((a - v) exp_tc) = v + ceil((a - v) LEAK / 2^15)          a = v_rest + I, R = 1

With I = n 2^15 / LEAK this is v + n, exactly, as long as v_rest <= v < v_rest + WINDOW, WINDOW = 2^15 / LEAK: the leak
rounds to nothing there. So a membrane is a number of counts, 2^k to 1 in the model's units, v_rest is below all that is
reached and v_thresh within a window of it. Weights are whole numbers of counts, shifted by SHIFT.

Whatever is a whole number of counts in the model (weights, thresholds, resets, biases) is exact, and so is the network.
A membrane that falls below v_rest comes back up by one count a step, by two beyond another window, and so on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import Finding
from norse_export.ir.stages import Neuron
from norse_export.passes.plain import form

from . import times
from .derive import LEAK, ONE, WORDS, Model
from .law import RING_MAX
from .parameters import Mapped, firing_at_rest, least_firing, real_values, table_of
from .refusals import error

Floats = NDArray[np.float64]
WINDOW = ONE // LEAK  # counts
SHIFT = (ONE // LEAK).bit_length() - 1  # of the ring buffers: a weight of one count is one count of the membrane
MOST_BITS = 30  # of counts in a 1 of the model's units
_LARGEST_BIAS = 1 << 16  # counts: with two full ring buffers below 2^31
_BELOW = 0.25  # of the span from the lowest membrane that was seen up to the threshold: what is left below it


@dataclass(frozen=True, slots=True)
class Lowest:
    """The lowest membranes of a population in a run: of all, and of those that fired after it."""

    of_all: float
    of_fired: float


@dataclass(frozen=True, slots=True, eq=False)
class Arriving:
    """What arrives at a population, in the model's units: every weight, the largest sum of them in a step.

    inhibited: whether anything lowers a membrane.
    """

    weights: Floats
    largest_sum: float
    inhibited: bool


def lowest_of(v: Floats, spikes: NDArray[Any]) -> Lowest:
    """The lowest membranes of a recording [T, B, *shape]; a membrane counts as fired until its next spike."""
    since = np.full(v.shape[1:], np.inf)
    fired = np.full(v.shape[1:], np.inf)
    for now, sent in zip(v, spikes, strict=True):
        fired = np.where(sent, np.minimum(fired, since), fired)
        since = np.where(sent, now, np.minimum(since, now))
    return Lowest(float(v.min(initial=np.inf)), float(fired.min(initial=np.inf)))


def counted(
    name: str, node: Neuron, constant: Floats, hold: int, arriving: Arriving, lowest: Lowest | None
) -> tuple[Mapped, list[Finding]]:
    """The chip's parameters of neurons without a leak; see `parameters.mapped` for further arguments.

    lowest: in the float model on the calibration inputs; None: nothing was run.
    """
    flat = {key: value.reshape(-1) for key, value in real_values(node).items()}
    gain, c = flat.get("gain", np.ones(constant.size)), constant.reshape(-1)
    bits, low = _window(flat, c, arriving, lowest)
    if bits < 1:
        message = "its thresholds, weights or biases do not fit the chip, whose numbers end at 65536"
        return _nothing(node), [error("range", name, message, "scale the layer's weights and threshold down")]
    one = 2.0**bits
    tau = times.least_membrane_time(ONE - LEAK)
    words: dict[str, Any] = {"tau_m": tau, "cm": tau, "dt": ONE, "dt_input": ONE}
    words |= {"isyn_exc": 0, "isyn_inh": 0, "tau_refrac": 0}
    words |= {"v": np.rint(flat["v"] * one), "v_reset": np.rint(flat["v_reset"] * one), "v_rest": np.floor(low * one)}
    words |= {"v_thresh": least_firing(flat["v_th"] * one, form(node).rule.threshold)}
    words |= {"i_offset": np.rint(c * one) * (1 << SHIFT)}
    still = (words["i_offset"] == 0) & (words["v"] < words["v_thresh"])
    words["refract_timer"] = np.where(still, 0, hold)
    findings = [*firing_at_rest(name, words)]
    if arriving.inhibited or np.any(c < 0):
        findings.append(_creeping(name, low, one, lowest))
    scale = 1 << (bits - LEAK.bit_length() + 1)
    table = table_of(Model.IF_CURR_DELTA, words, gain.size)
    return Mapped(Model.IF_CURR_DELTA, table, gain * scale, readout=False, scale=scale, counts=True), findings


def _window(flat: dict[str, Floats], c: Floats, arriving: Arriving, lowest: Lowest | None) -> tuple[int, float]:
    """Bits of counts in a 1 of the model's units, and the bottom of the window.

    As low as any membrane was seen, where all numbers are whole in such counts. Else as low as those that fired later:
    what is far below and stays there may creep, and counts are finer.
    """
    base, top = float(min(flat["v"].min(), flat["v_reset"].min())), float(flat["v_th"].max())
    if not arriving.inhibited and not np.any(c < 0):
        lows = [base]
    elif lowest is None:
        lows = [base - abs(top - base)]
    else:
        ends = [min(base, end) for end in (lowest.of_all, lowest.of_fired)]
        lows = [end - _BELOW * (top - end) for end in ends]
    found = [(_bits(top - low, arriving.largest_sum, float(np.abs(c).max())), low) for low in lows]
    numbers = (arriving.weights, c, flat["v"], flat["v_reset"], flat["v_th"])
    exact = all(np.all(np.rint(values * 2.0 ** found[0][0]) == values * 2.0 ** found[0][0]) for values in numbers)
    return found[0] if exact else found[-1]


def _nothing(node: Neuron) -> Mapped:
    """What stands for neurons that are refused."""
    size = int(np.prod(node.shape))
    words = np.zeros((size, len(WORDS[Model.IF_CURR_DELTA])), np.int64)
    return Mapped(Model.IF_CURR_DELTA, words, np.ones(size), readout=False, counts=True)


def _bits(span: float, largest_sum: float, bias: float) -> int:
    """How many bits of counts a 1 has: as many as the window, the ring buffers and the bias leave."""
    room = [(WINDOW - 1) / span if span > 0 else np.inf]
    room += [limit / value for limit, value in ((RING_MAX, largest_sum), (_LARGEST_BIAS, bias)) if value > 0]
    return int(min(np.floor(np.log2(min(room))), MOST_BITS))


def _creeping(name: str, low: float, one: float, lowest: Lowest | None) -> Finding:
    """A note of where membranes are no longer exact."""
    message = f"a membrane below {low:g} rises by {1 / one:g} a step: the chip's leak begins there"
    if lowest is not None:
        message += f"; the lowest on the calibration inputs was {lowest.of_all:g}"
    return Finding("creep", "note", name, message, "calibrate on inputs as inhibiting as any (--calib)")
