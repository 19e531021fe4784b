"""Norse's neurons as parameter words of the chip: the same step, up to the rounding of its decays.

    Norse       j = i + x       v1 = v + alpha ((v_leak - v) + j)     spike v1 > v_th      i' = (1 - beta) j
    the chip    s = s + w init  v1 = a - (a - v) exp_tc               spike v1 >= v_thresh  s' = s decay
                                a = R (exc - inh + i_offset) + v_rest

A step of the model is one of 1 ms on the chip, whatever its dt: time constants enter by their ratio to it alone. So
exp_tc = 1 - alpha, decay = 1 - beta, R = 1 (cm = tau_m), v_rest = v_leak, weights divided by init; v_thresh is the
least number above v_th, or, where the model fires at its threshold, not below it. Time constants are chosen so that the
chip derives the decays nearest to these (times.py): 15 bits of alpha, 32 of beta; currents make up for half of what
alpha is off. A neuron without a synapse (LIFBox) is an IF_curr_delta; so is one without a leak (IAF): counting.py.

Rest after a spike (LIFRefrac) is tau_refrac, a step of rest a step of the chip: in both the membrane is held, the
current goes on, and nothing fires; the chip would, were its reset not below its threshold.

A constant c that Norse adds to j in every step (the biases of the layers before) is i_offset = c / beta, less a current
c (1 - beta) / beta in the first step that decays like any other: c, c (1 + (1 - beta)), ... as in Norse. A layer whose
input is late by `hold` steps waits for it, its membrane held by the refractory counter, its currents larger by what
decays in these steps.

Membranes and currents are on the chip `scale` times what they are in the model, weights and thresholds with them: the
chip rounds down to 2^-15, and in each step, which for a threshold of 1 would cost more than the weights' 16 bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import Finding
from norse_export.ir.stages import Neuron
from norse_export.passes.plain import form

from . import times
from .derive import ONE, UNIT_BITS, WORDS, IntArray, Model
from .refusals import MODELS, error
from .times import LARGEST

Floats = NDArray[np.float64]
# Of what the chip's alpha is off, currents take so much: all of it keeps the strength of an input, none of it the final
# value of a membrane. Chosen: half of each; dense networks are best at 0.6 to 1, the digits and the tutorial's at 0.4.
LIFT = 0.5
_COARSE = 0.01  # relative error of a coefficient that a user is told of


@dataclass(frozen=True, slots=True, eq=False)
class Mapped:
    """A population in the chip's terms: parameter words [N, W] as in derive.WORDS, what weights are multiplied by [N].

    readout: v is read instead of spikes. scale: what 1 in the model's units is on the chip. counts: membranes are
    counted in least units, of which 1 in the model's units is `scale`: see counting.py.
    """

    model: Model
    words: IntArray
    factor: Floats
    readout: bool
    scale: int = 1
    counts: bool = False


def mapped(name: str, node: Neuron, constant: Floats, hold: int, scale: int = 1) -> tuple[Mapped, list[Finding]]:
    """The chip's parameters of leaky neurons that `refusals` has nothing against.

    constant: what the current is raised by in every step beside spikes, [*shape], in the model's units. hold: the first
    steps, in which the neurons wait. scale: what 1 in the model's units is on the chip.
    """
    own = form(node)
    model, flat = MODELS[own.dynamics], {key: value.reshape(-1) for key, value in real_values(node).items()}
    tau_m = times.each(times.membrane_time, 1 - flat["alpha"])
    lift = scale * _lift(flat["alpha"], tau_m, LIFT)
    gain, c = flat.get("gain", np.ones(constant.size)) * lift, constant.reshape(-1) * lift
    flat |= {key: flat[key] * scale for key in ("v", "v_leak", "v_th", "v_reset") if key in flat}
    flat |= {key: flat[key] * lift for key in ("i",) if key in flat}
    words: dict[str, Any] = {"v": _raw(flat["v"]), "v_rest": _raw(flat["v_leak"])}
    words |= {"tau_m": tau_m, "cm": tau_m, "dt": ONE, "dt_synapse": ONE, "dt_input": ONE}
    words["v_thresh"] = least_firing(flat["v_th"] * ONE, own.rule.threshold) if "v_th" in flat else LARGEST
    words["v_reset"] = _raw(flat["v_reset"]) if "v_reset" in flat else words["v_rest"]
    factor, net = gain, np.zeros(gain.size)
    if model is Model.IF_CURR_EXP:
        tau = times.each(times.synaptic_time, 1 - flat["beta"])
        keep = times.each(times.decay, tau) / 2**UNIT_BITS
        factor = gain / (times.each(times.initial, tau) / 2**UNIT_BITS)
        words |= {"tau_syn_exc": tau, "tau_syn_inh": tau}
        net = _held(flat["i"] - c * keep / (1 - keep), keep, hold)
        c = c / (1 - keep)
    words |= {"i_offset": _raw(c), "isyn_exc": _raw(np.maximum(net, 0)), "isyn_inh": _raw(np.maximum(-net, 0))}
    words["tau_refrac"] = flat.get("rho_reset", np.zeros(1)) * ONE
    words["refract_timer"] = _waiting(words, flat.get("rho", np.zeros(1)), hold)
    findings = [*_out_of_range(name, words), *firing_at_rest(name, words)]
    if not findings:
        findings += _coarse(name, flat["alpha"], tau_m)
    return Mapped(model, table_of(model, words, gain.size), factor, not node.spikes, scale), findings


def least_firing(threshold: Floats, rule: str) -> Floats:
    """The least whole number that is past a threshold: above it, or, by the rule "ge", not below it."""
    return np.ceil(threshold) if rule == "ge" else np.floor(threshold) + 1


def table_of(model: Model, words: Mapping[str, Any], neurons: int) -> IntArray:
    """The words [N, W] in the order of derive.WORDS; 0 for what is no number of the chip, which has been refused."""
    table = np.stack([np.broadcast_to(np.float64(words[key]), neurons) for key in WORDS[model]], axis=1)
    return np.where(np.isfinite(table) & (np.abs(table) <= LARGEST), table, 0).astype(np.int64)


def _waiting(words: Mapping[str, Any], rest: Floats, hold: int) -> Any:
    """Steps for which the membrane is held at first: until the input arrives, and as long as the model's own rests.

    Where nothing moves before the input arrives, nothing has to be held.
    """
    still = (words["v"] == words["v_rest"]) & (words["v"] < words["v_thresh"]) & (words["i_offset"] == 0)
    still &= (words["isyn_exc"] == 0) & (words["isyn_inh"] == 0) & (rest <= 0)
    return np.where(still, 0, hold + np.ceil(np.maximum(rest, 0)))


def firing_at_rest(name: str, words: Mapping[str, Any]) -> Iterator[Finding]:
    """Refusals of neurons that the chip would have fire while they rest, for it compares then, too."""
    if np.any((words["v"] >= words["v_thresh"]) & (words["refract_timer"] > 0)):
        message = "an initial membrane potential above the threshold: it would fire while it waits for its input"
        yield error("initial_state", name, message, "start the layer below its threshold")
    if np.any((words["v_reset"] >= words["v_thresh"]) & (words["tau_refrac"] > 0)):
        message = (
            "a reset that is not below the threshold: the chip compares at rest, too, and would fire in every step"
        )
        yield error("refractory", name, message, "train with v_reset below v_th")


def reach(chip: Mapped, sums: tuple[float, float]) -> float:
    """The largest number that a step of these neurons can come to, on the chip's scale, or somewhat more.

    sums: of weights, the largest that arrive in one step, exc and inh.
    """
    words = {key: chip.words[:, column] for column, key in enumerate(WORDS[chip.model])}
    currents = np.zeros(len(chip.words))
    for port, largest in zip(("exc", "inh"), sums, strict=True):
        if chip.model is Model.IF_CURR_EXP:
            tau = words[f"tau_syn_{port}"]
            largest = largest * times.each(times.initial, tau) / (2**UNIT_BITS - times.each(times.decay, tau))
        currents = currents + largest + words[f"isyn_{port}"] / ONE
    still = sum(np.abs(words[key]) / ONE for key in ("v", "v_rest", "i_offset", "v_reset"))
    held = np.abs(words["v_thresh"]) / ONE if not chip.readout else 0.0
    return float(np.max(2 * (currents + still) + held))


def never_firing(chip: Mapped) -> Mapped:
    """Neurons that are read by their membranes, with a threshold that `reach` says is far: half of the largest number.

    Then it can be proved that no membrane wraps, which the largest number as a threshold does not allow.
    """
    words = chip.words.copy()
    words[:, WORDS[chip.model].index("v_thresh")] = LARGEST // 2 + 1
    return replace(chip, words=words)


def words_of(model: Model, parameters: Mapping[str, Any], initial: Mapping[str, Any]) -> IntArray:
    """The words [N, W] of neurons by what the chip derives from them: the least time constants that give it."""
    flat = {key: np.asarray(value).reshape(-1) for key, value in parameters.items()}
    words: dict[str, Any] = {key: flat[key] for key in ("v_rest", "i_offset", "v_reset", "v_thresh")}
    words |= {"tau_m": times.each(times.least_membrane_time, flat["exp_tc"]), "tau_refrac": flat["t_refract"] * ONE}
    words |= {"cm": words["tau_m"], "dt": ONE, "dt_synapse": ONE, "dt_input": ONE}
    for key, state in (("v", "v"), ("refract_timer", "refractory"), ("isyn_exc", "i_exc"), ("isyn_inh", "i_inh")):
        words[key] = np.asarray(initial[state]).reshape(-1)
    for port in ("exc", "inh"):
        if f"{port}_decay" in flat:
            words[f"tau_syn_{port}"] = times.each(times.least_synaptic_time, flat[f"{port}_decay"])
    size = words["v"].size
    return np.stack([np.broadcast_to(words[key], size) for key in WORDS[model]], axis=1).astype(np.int64)


def real_values(node: Neuron) -> dict[str, Floats]:
    """Parameters and initial states, in float64."""
    given = {**node.parameters, **node.initial_state}
    return {key: np.asarray(value).astype(np.float64) for key, value in given.items()}


def _lift(alpha: Floats, tau_m: IntArray, power: float) -> Floats:
    """What currents are multiplied by because the chip's alpha, of 15 bits, is not the model's."""
    got = 1 - times.each(times.kept, tau_m) / ONE
    return np.asarray((alpha / got) ** power, np.float64)


def _held(net: Floats, keep: Floats, hold: int) -> Floats:
    """A current that is `net` after it has decayed for `hold` steps; infinite where none of it would be left."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.where(net == 0, 0.0, net * keep ** -float(hold))


def _raw(value: Floats) -> Floats:
    """In s16.15, to the nearest; still as floats: it may be beyond 32 bits."""
    return np.rint(value * ONE)


def _out_of_range(name: str, words: Mapping[str, Any]) -> Iterator[Finding]:
    for key, raw in words.items():
        values = np.asarray(raw, np.float64)
        if not np.all(np.abs(values) <= LARGEST):
            worst = float(np.max(np.abs(np.nan_to_num(values, nan=np.inf)))) / ONE
            message = f"{key} would be {worst:g}; a parameter of the chip is less than 65536"
            yield error("range", name, message, "scale the layer's weights, thresholds and biases down")


def _coarse(name: str, alpha: Floats, tau: Any) -> Iterator[Finding]:
    """A warning where the chip's decay is far from the model's."""
    got = 1 - times.each(times.kept, tau) / ONE
    off = np.max(np.abs(got / alpha - 1))
    if off > _COARSE:
        message = f"alpha = dt/tau_mem differs by up to {100 * off:.1f} % on the chip, whose decays have 15 bits"
        yield Finding("decay_coarse", "warning", name, message, "use a shorter tau_mem, or a longer dt")
