"""A population in whole numbers under the generic law: units, parameters, and the shift of what arrives.

The unit of the current is s / 2^shift, s being what a weight of 1 stands for (times the size of the neuron's gain); the
unit of the membrane is alpha times that. All else follows (program/laws.py), rounded half to even, but for the
threshold: Norse's test v > v_th is, for whole v, the same as v > floor(v_th), and as v >= floor(v_th) + 1.

The shift is the largest with which nothing can leave state_bits, whatever spikes arrive. Where that is below
PROVEN_ENOUGH, and so rounding of the decays would cost as much as that of the weights, it is the largest up to ENOUGH
with which the parameters fit with a margin of 2 and what was observed on the calibration inputs with one of 4 (without
any, the threshold, and a sixteenth of the worst that can happen with none): overflow is then counted when the network
runs. Where states are so narrow that this leaves little of the weights, larger shifts may be measured, too. A threshold
that nothing can reach sets no limit. Sums before they are narrowed stay below 2^31 too, unless states have more than 30
bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import Finding
from norse_export.ir.fixed import Population
from norse_export.ir.stages import Neuron
from norse_export.passes.lowered import ELSEWHERE
from norse_export.program.laws import NAMES, SYNAPTIC, Law, integer_family

Array = NDArray[Any]
Floats = NDArray[np.float64]
PROVEN_ENOUGH, ENOUGH = 4, 6  # bits below a weight of 1: decays then round to less than a 16th, a 64th of it
MAX_SHIFT = 16
MAX_DECAY_BITS = 16
_MIN_SHIFT = -40  # below 0: the weights must become coarser
_MARGIN, _OBSERVED_MARGIN, _ASSUMED = 2, 4, 1 / 16
_WORD = 2**31


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """The largest |current| after the jump and |membrane| before the reset of each neuron, [*shape], in its units."""

    current: Floats
    membrane: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Drive:
    """What reaches a population. All [*shape].

    scale: what a weight of 1 stands for. constant: what arrives in every step beside spikes, in the model's units.
    reach: the largest sum of weights, in whole numbers.
    """

    scale: Floats
    constant: Floats
    reach: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """The chosen shift (below 0: the scale has to be 2^-shift times larger) and the bound of every state.

    bound: the largest |state| that spikes can bring about, in whole numbers; infinite without a leak.
    """

    shift: int
    bound: float


def family_name(node: Neuron) -> str:
    """The name of the family as the law knows it."""
    return node.family.name.removesuffix("_gain").removesuffix("_recurrent")


def refusals(name: str, node: Neuron) -> list[Finding]:
    """Why a population has no integer form."""
    found = []
    family = family_name(node)
    if family not in NAMES:
        message = f"{node.in_words} have no integer form"
        found.append(Finding("family", "error", name, message, ELSEWHERE))
    if np.any(node.parameters.get("alpha", np.ones(1)) == 0):
        message = "alpha = dt/tau_mem is 0: nothing that arrives changes the membrane"
        found.append(Finding("alpha", "error", name, message, "give a finite tau_mem, or remove the neurons"))
    if np.any(node.parameters.get("gain", np.ones(1)) == 0):
        message = "the gain of an input is 0: nothing that arrives changes the neuron"
        found.append(
            Finding("gain", "error", name, message, "give a gain (r, w_in) other than 0, or remove the neurons")
        )
    return found


def signs(node: Neuron) -> Floats | None:
    """The sign of each neuron's gain, [N], where one is negative: it goes into the weights."""
    gain = node.parameters.get("gain")
    return None if gain is None or np.all(gain > 0) else np.sign(gain.astype(np.float64)).reshape(-1)


def fit(node: Neuron, drive: Drive, law: Law, observed: Observed | None, loosened: int = 0) -> Fit:
    """Choose the shift.

    loosened: bits by which it may be larger than what is safe, where less than PROVEN_ENOUGH bits are: states may then
    overflow, and only the parameters have to fit.
    """
    chosen = _safe(node, drive, law, observed)
    if chosen.shift < PROVEN_ENOUGH:
        for shift in range(min(chosen.shift + loosened, ENOUGH), chosen.shift, -1):
            if (risky := _loose(node, drive, law, shift)) is not None:
                return risky
    return chosen


def _safe(node: Neuron, drive: Drive, law: Law, observed: Observed | None) -> Fit:
    proven = _largest(node, drive, law, None, proven=True)
    if proven is None or proven.shift < PROVEN_ENOUGH:
        seen = _largest(node, drive, law, observed, proven=False)
        if seen is not None and (proven is None or seen.shift > proven.shift):
            return seen
    if proven is None:
        return Fit(_MIN_SHIFT, np.inf)
    return proven


def population(node: Neuron, drive: Drive, law: Law, shift: int, *, seed: int, key: int) -> Population:
    """The population with whole parameters."""
    real = _parameters(node, drive, law, shift)
    family = integer_family(family_name(node), law, shift)
    program = family.trace()
    whole = {name: _whole(value, law) for name, value in real.items() if name not in ("v_keep", "i_keep", "v_th")}
    whole |= {name: np.rint(real[name]).astype(np.int64) for name in ("v_keep", "i_keep") if name in real}
    if "v_th" in real:
        below = np.floor(real["v_th"]) + (0 if law.strict else 1)
        whole["v_th"] = np.clip(below, -law.state_max - 1, law.state_max).astype(np.int64)
    initial = {"v": whole["v0"], "i": whole.get("i0"), "refractory": np.zeros((), np.int64)}
    units = _units(node, drive, shift)
    return Population(
        program=program,
        shape=node.shape,
        parameters={name: _spread(whole[name], node) for name in program.parameters},
        initial_state={name: _spread(initial[name], node) for name in program.variables},
        dt=node.dt,
        seed=seed,
        key=key,
        unit={name: _spread(units[name], node) for name in program.variables if name in units},
    )


def lost_decays(name: str, node: Neuron, population: Population, law: Law) -> list[Finding]:
    """Warnings of coefficients that decay_bits round to nothing."""
    found = []
    for parameter, coefficient in (("v_keep", "alpha"), ("i_keep", "beta")):
        if parameter not in population.parameters or coefficient not in node.parameters:
            continue
        real = node.parameters[coefficient]
        if np.any((population.parameters[parameter] == 1 << law.decay_bits) & (real != 0)):
            least = real[real != 0].min()
            message = f"{coefficient} = {least:g} is no more than half of 2^-{law.decay_bits}: no decay is left"
            bits = min(MAX_DECAY_BITS, ceil(-log2(float(least))))
            fix = f"use --decay-bits {bits}" if bits > law.decay_bits else "train it with a shorter time constant"
            found.append(Finding("decay_lost", "warning", name, message, fix))
    return found


def observe(node: Neuron, states: dict[str, Array]) -> Observed:
    """The largest values of a float run that recorded its states after each step, [T, B, *shape] each.

    A membrane that was reset is not in the recording: its bound follows from the state before and the current.
    """
    parameters = {name: value.astype(np.float64) for name, value in node.parameters.items()}
    v = _peak(states["v"], node.initial_state["v"])
    alpha, leak = parameters.get("alpha", np.zeros(())), np.abs(parameters.get("v_leak", np.zeros(())))
    current = np.zeros(node.shape)
    if "i" in states:
        kept = np.abs(1 - parameters["beta"])
        current = np.where(kept > 1e-3, _peak(states["i"], node.initial_state["i"]) / np.maximum(kept, 1e-3), 0.0)
    fired = np.abs(1 - alpha) * v + alpha * (current + leak)
    return Observed(current, np.maximum(v, fired))


def _peak(recorded: Array, initial: Array) -> Floats:
    peak: Floats = np.maximum(np.abs(recorded).max(axis=(0, 1)), np.abs(initial)).astype(np.float64)
    return peak


def _units(node: Neuron, drive: Drive, shift: int) -> dict[str, Floats]:
    """What a 1 of each state stands for, in the model's units."""
    gain = np.abs(node.parameters.get("gain", np.ones(())).astype(np.float64))
    i = drive.scale * gain / 2.0**shift
    return {"i": i, "v": i * node.parameters.get("alpha", np.ones(())).astype(np.float64)}


def _parameters(node: Neuron, drive: Drive, law: Law, shift: int) -> dict[str, Floats]:
    """Parameters and initial states in units of the law, not yet rounded; those that the family has."""
    family, unit = family_name(node), _units(node, drive, shift)
    real = {name: value.astype(np.float64) for name, value in node.parameters.items()}
    one, bias = 2.0**law.decay_bits, drive.constant * _sign(real) / drive.scale * 2.0**shift
    found = {"v0": node.initial_state["v"].astype(np.float64) / unit["v"]}
    leak = real.get("v_leak", np.zeros(())) / unit["i"]
    if family in SYNAPTIC:
        found |= {"i0": node.initial_state["i"].astype(np.float64) / unit["i"]}
        found |= {"i_keep": one * (1 - real["beta"]), "i_bias": bias, "v_bias": leak}
    else:
        found["v_bias"] = bias + leak
    if "alpha" in real:
        found["v_keep"] = one * (1 - real["alpha"])
    return found | {name: real[name] / unit["v"] for name in ("v_th", "v_reset") if name in real}


def _sign(real: dict[str, Floats]) -> Floats:
    signs: Floats = np.sign(real.get("gain", np.ones(())))
    return signs


def _largest(node: Neuron, drive: Drive, law: Law, observed: Observed | None, *, proven: bool) -> Fit | None:
    """The largest shift that is proved safe, or the largest up to ENOUGH that has a margin.

    What has to be held shrinks by at most a half with each shift, so that shifts that are surely too large are skipped.
    """
    shift = MAX_SHIFT if proven else ENOUGH
    if proven and _held(node, drive, law, observed, _MIN_SHIFT + 1, proven=True)[0] > law.state_max:
        return None  # rounding alone, which adds up to that much, leaves the states
    while shift > _MIN_SHIFT:
        held, fit = _held(node, drive, law, observed, shift, proven=proven)
        over = held / law.state_max
        if over <= 1 and fit is not None:
            return fit
        if not np.isfinite(over):
            return None
        shift -= max(1, ceil(log2(over))) if over > 1 else 1
    return None


def _held(
    node: Neuron, drive: Drive, law: Law, observed: Observed | None, shift: int, *, proven: bool
) -> tuple[float, Fit | None]:
    """The largest number that states have to hold with that shift, margins included; no fit: sums leave a word."""
    real, unit = _parameters(node, drive, law, shift), _units(node, drive, shift)
    j, v = _bounds(real, drive.reach * 2.0**shift, law)
    if proven:
        held = [v, j]
    elif observed is None:
        held = [np.where(np.isfinite(worst), worst * _ASSUMED, 0.0) for worst in (v, j)]
    else:
        held = [_OBSERVED_MARGIN * observed.membrane / unit["v"], _OBSERVED_MARGIN * observed.current / unit["i"]]
    if "v_th" in real:
        margin = _OBSERVED_MARGIN if observed is None and not proven else _MARGIN
        held.append(np.where(np.abs(real["v_th"]) > v, 0.0, margin * np.abs(real["v_th"])))
    held += [_MARGIN * np.abs(real[name]) for name in ("v_reset", "v0", "i0", "v_bias", "i_bias") if name in real]
    fit = Fit(shift, float(max(np.max(v), np.max(j)))) if _in_word(real, drive, law, shift) else None
    return max(float(np.max(values)) for values in held), fit


def _loose(node: Neuron, drive: Drive, law: Law, shift: int) -> Fit | None:
    """That shift, if the parameters fit, and a membrane that is cut off at its width can still pass the threshold."""
    real = _parameters(node, drive, law, shift)
    j, v = _bounds(real, drive.reach * 2.0**shift, law)
    held = [np.abs(real[name]) for name in ("v_reset", "v0", "i0", "v_bias", "i_bias") if name in real]
    if "v_th" in real:
        held.append(np.where(np.abs(real["v_th"]) > v, 0.0, np.abs(real["v_th"]) + 1))
    fits = _in_word(real, drive, law, shift) and max(float(np.max(values)) for values in held) <= law.state_max
    return Fit(shift, float(max(np.max(v), np.max(j)))) if fits else None


def _in_word(real: dict[str, Floats], drive: Drive, law: Law, shift: int) -> bool:
    """Whether sums fit in a word before they are narrowed."""
    summed = drive.reach * 2.0**shift + law.state_max + np.abs(real["v_bias"]) + np.abs(real.get("i_bias", 0.0))
    return law.state_bits > 30 or float(np.max(summed)) < _WORD


def _bounds(real: dict[str, Floats], arriving: Floats, law: Law) -> tuple[Floats, Floats]:
    """The largest |current| and |membrane| that can come about, in whole numbers; |arriving| in each step.

    Each rounding adds less than 1.
    """
    j = arriving + np.abs(real["i_bias"]) + 1 if "i_bias" in real else arriving
    if "i_keep" in real:
        j = _steady(j + 1, np.abs(real["i0"]) + 1, np.abs(np.rint(real["i_keep"])) / 2.0**law.decay_bits)
    keep = np.abs(np.rint(real["v_keep"])) / 2.0**law.decay_bits if "v_keep" in real else np.ones(())
    start = np.maximum(np.abs(real["v0"]), np.abs(real.get("v_reset", np.zeros(())))) + 1
    return j, _steady(j + np.abs(real["v_bias"]) + 2, start, keep)


def _steady(added: Floats, start: Floats, keep: Floats) -> Floats:
    """The largest of x' = keep x + added, from |x| = start."""
    with np.errstate(divide="ignore"):
        steady = np.where(keep < 1, added / np.maximum(1 - keep, 0), np.inf)
    return np.maximum(steady, start * keep + added)


def _whole(value: Floats, law: Law) -> NDArray[np.int64]:
    return np.clip(np.rint(value), -law.state_max - 1, law.state_max).astype(np.int64)


def _spread(value: Any, node: Neuron) -> Array:
    """The array over the population; a constant stays one number in memory."""
    array = np.asarray(value)
    if array.size and np.all(array == array.flat[0]):
        array = array.flat[0]
    return np.broadcast_to(array, node.shape)
