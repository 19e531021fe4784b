"""Norse's neurons as parameter words of the chip: the same step, up to the rounding of its decays.

    Norse       j = i + x       v1 = v + alpha ((v_leak - v) + j)     spike v1 > v_th      i' = (1 - beta) j
    the chip    s = s + w init  v1 = a - (a - v) exp_tc               spike v1 >= v_thresh  s' = s decay
                                a = R (exc - inh + i_offset) + v_rest

A step of the model is one of 1 ms on the chip, whatever its dt: time constants enter by their ratio to it alone. So
exp_tc = 1 - alpha, decay = 1 - beta, R = 1 (cm = tau_m), v_rest = v_leak, no refractory time, weights divided by init;
v_thresh is the least number above v_th. Time constants are chosen so that the chip derives the decays nearest to these
(derive.py): 15 bits of alpha, 32 of beta; currents make up for half of what alpha is off. A neuron without a synapse
(LIFBox) is an IF_curr_delta.

A constant c that Norse adds to j in every step (the biases of the layers before) is i_offset = c / beta, less a current
c (1 - beta) / beta in the first step that decays like any other: c, c (1 + (1 - beta)), ... as in Norse. A layer whose
input is late by `hold` steps waits for it, its membrane held by the refractory counter, its currents larger by what
decays in these steps.

Membranes and currents are on the chip `scale` times what they are in the model, weights and thresholds with them: the
chip rounds down to 2^-15, and in each step, which for a threshold of 1 would cost more than the weights' 16 bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import Finding
from norse_export.ir.stages import Neuron

from .derive import ONE, UNIT_BITS, WORDS, IntArray, Model, divided, expk, expulr

Floats = NDArray[np.float64]
MODELS = {  # families that have the chip's step
    "cuba_lif": Model.IF_CURR_EXP,
    "cuba_lif_recurrent": Model.IF_CURR_EXP,
    "cuba_li": Model.IF_CURR_EXP,
    "lif": Model.IF_CURR_DELTA,
    "li": Model.IF_CURR_DELTA,
}
LARGEST = 2**31 - 1  # raw, of a parameter
_LEAST_TIME = ONE // 11  # a time constant with which both decays are 0: derive.EXP_LEAST
_MOST_SYNAPTIC = ONE << 15  # tau_syn = 32768 dt: beyond, dt / tau_syn is 0, and so is the decay (expulr(0))
# Of what the chip's alpha is off, currents take so much: all of it keeps the strength of an input, none of it the final
# value of a membrane. Chosen: half of each; dense networks are best at 0.6 to 1, the digits and the tutorial's at 0.4.
LIFT = 0.5
_COARSE = 0.01  # relative error of a coefficient that a user is told of


@dataclass(frozen=True, slots=True, eq=False)
class Mapped:
    """A population in the chip's terms: parameter words [N, W] as in derive.WORDS, what weights are multiplied by [N].

    readout: v is read instead of spikes. scale: what 1 in the model's units is on the chip.
    """

    model: Model
    words: IntArray
    factor: Floats
    readout: bool
    scale: int = 1


def model_for(node: Neuron) -> Model | None:
    """The chip's model of a family; None: it has none."""
    return MODELS.get(_family(node))


def refusals(name: str, node: Neuron) -> list[Finding]:
    """Why the chip does not have these neurons: every reason."""
    found = []
    family = _family(node)
    if family == "if":
        message = "integrate-and-fire without a leak: the membranes of IF_curr_exp and IF_curr_delta always leak"
        found.append(_error("no_leak", name, message, "use LIF neurons; a long tau_mem comes near"))
    elif family not in MODELS:
        message = f"neurons of family {node.family.name}: no model of the chip has their step"
        found.append(_error("family", name, message, f"use one of: {', '.join(MODELS)}"))
    for field, values in (*node.parameters.items(), *node.initial_state.items()):
        if not np.all(np.isfinite(values)):
            message = f"{field} holds NaN or infinite numbers"
            found.append(_error("nan", name, message, "train again, or repair the model's parameters"))
    if found:
        return found
    for field, tau in (("alpha", "tau_mem"), ("beta", "tau_syn")):
        values = node.parameters.get(field, np.ones(1))
        if np.any(values > 1) or np.any(values < 0):
            message = f"{field} = dt/{tau} = {_worst(values):g}: a decay of the chip is 0 to 1"
            found.append(_error(field, name, message, f"train with {tau} >= dt"))
        elif field == "alpha" and np.any(_raw(1 - values.astype(np.float64)) >= ONE):
            message = f"alpha = dt/tau_mem = {values.min():g}: below 2^-16, the chip's membrane stands still"
            found.append(_error(field, name, message, "use tau_mem < 65536 dt"))
        elif field == "beta" and np.any(1 - values.astype(np.float64) > _decay(_MOST_SYNAPTIC) / 2**UNIT_BITS):
            message = f"beta = dt/tau_syn = {values.min():g}: from tau_syn = 32768 dt on the chip's currents vanish"
            found.append(_error("tau_syn", name, message, "use tau_syn < 32768 dt"))
    if np.any(node.parameters.get("gain", np.ones(1)) == 0):
        message = "the gain of an input is 0: nothing that arrives changes the neuron"
        found.append(_error("gain", name, message, "give a gain (r, w_in) other than 0, or remove the neurons"))
    return found


def mapped(name: str, node: Neuron, constant: Floats, hold: int, scale: int = 1) -> tuple[Mapped, list[Finding]]:
    """The chip's parameters of neurons that `refusals` has nothing against.

    constant: what arrives in every step beside spikes, [*shape], in the model's units. hold: the first steps, in which
    the neurons wait. scale: what 1 in the model's units is on the chip.
    """
    model, flat = MODELS[_family(node)], {key: value.reshape(-1) for key, value in _real(node).items()}
    tau_m = _each(_membrane_time, 1 - flat["alpha"])
    lift = scale * _lift(flat["alpha"], tau_m, LIFT)
    gain = flat.get("gain", np.ones(constant.size)) * lift
    c = constant.reshape(-1) * gain
    flat |= {key: flat[key] * scale for key in ("v", "v_leak", "v_th", "v_reset") if key in flat}
    flat |= {key: flat[key] * lift for key in ("i",) if key in flat}
    words: dict[str, Any] = {"v": _raw(flat["v"]), "v_rest": _raw(flat["v_leak"]), "tau_refrac": 0}
    words |= {"tau_m": tau_m}
    words |= {"cm": words["tau_m"], "dt": ONE, "dt_synapse": ONE, "dt_input": ONE}
    words["v_thresh"] = np.floor(flat["v_th"] * ONE) + 1 if "v_th" in flat else LARGEST
    words["v_reset"] = _raw(flat["v_reset"]) if "v_reset" in flat else words["v_rest"]
    findings: list[Finding] = []
    factor = gain
    net = np.zeros(gain.size)
    if model is Model.IF_CURR_EXP:
        tau = _each(_synaptic_time, 1 - flat["beta"])
        keep = _each(_decay, tau) / 2**UNIT_BITS
        factor = gain / (_each(_initial, tau) / 2**UNIT_BITS)
        words |= {"tau_syn_exc": tau, "tau_syn_inh": tau}
        net = _held(flat["i"] - c * keep / (1 - keep), keep, hold)
        c = c / (1 - keep)
    words |= {"i_offset": _raw(c), "isyn_exc": _raw(np.maximum(net, 0)), "isyn_inh": _raw(np.maximum(-net, 0))}
    at_rest = (words["v"] == words["v_rest"]) & (words["i_offset"] == 0) & (_raw(net) == 0)
    at_rest &= words["v"] < words["v_thresh"]
    words["refract_timer"] = np.where(at_rest, 0, hold)
    findings += _out_of_range(name, words)
    if np.any((words["v"] >= words["v_thresh"]) & (words["refract_timer"] > 0)):
        message = "an initial membrane potential above the threshold: it would fire while it waits for its input"
        findings.append(_error("initial_state", name, message, "start the layer below its threshold"))
    if not findings:
        findings += _coarse(name, flat["alpha"], words["tau_m"])
    table = np.stack([np.broadcast_to(words[key], gain.shape) for key in WORDS[model]], axis=1)
    table = np.where(np.isfinite(table) & (np.abs(table) <= LARGEST), table, 0).astype(np.int64)
    return Mapped(model, table, factor, not node.spikes, scale), findings


def reach(chip: Mapped, sums: tuple[float, float]) -> float:
    """The largest number that a step of these neurons can come to, on the chip's scale, or somewhat more.

    sums: of weights, the largest that arrive in one step, exc and inh.
    """
    words = {key: chip.words[:, column] for column, key in enumerate(WORDS[chip.model])}
    currents = np.zeros(len(chip.words))
    for port, largest in zip(("exc", "inh"), sums, strict=True):
        if chip.model is Model.IF_CURR_EXP:
            tau = words[f"tau_syn_{port}"]
            largest = largest * _each(_initial, tau) / (2**UNIT_BITS - _each(_decay, tau))
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
    words |= {"tau_m": _each(_least_membrane_time, flat["exp_tc"]), "tau_refrac": flat["t_refract"] * ONE}
    words |= {"cm": words["tau_m"], "dt": ONE, "dt_synapse": ONE, "dt_input": ONE}
    for key, state in (("v", "v"), ("refract_timer", "refractory"), ("isyn_exc", "i_exc"), ("isyn_inh", "i_inh")):
        words[key] = np.asarray(initial[state]).reshape(-1)
    for port in ("exc", "inh"):
        if f"{port}_decay" in flat:
            words[f"tau_syn_{port}"] = _each(_least_synaptic_time, flat[f"{port}_decay"])
    size = words["v"].size
    return np.stack([np.broadcast_to(words[key], size) for key in WORDS[model]], axis=1).astype(np.int64)


def _family(node: Neuron) -> str:
    return node.family.name.removesuffix("_gain")


def _real(node: Neuron) -> dict[str, Floats]:
    """Parameters and initial states, in float64."""
    given = {**node.parameters, **node.initial_state}
    return {key: np.asarray(value).astype(np.float64) for key, value in given.items()}


def _lift(alpha: Floats, tau_m: IntArray, power: float) -> Floats:
    """What currents are multiplied by because the chip's alpha, of 15 bits, is not the model's."""
    got = 1 - _each(_kept, tau_m) / ONE
    return np.asarray((alpha / got) ** power, np.float64)


def _held(net: Floats, keep: Floats, hold: int) -> Floats:
    """A current that is `net` after it has decayed for `hold` steps; infinite where none of it would be left."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.where(net == 0, 0.0, net * keep ** -float(hold))


def _raw(value: Floats) -> Floats:
    """In s16.15, to the nearest; still as floats: it may be beyond 32 bits."""
    return np.rint(value * ONE)


def _worst(values: Any) -> float:
    return float(values.max() if values.max() > 1 else values.min())


def _error(kind: str, where: str, message: str, fix: str) -> Finding:
    return Finding(kind, "error", where, message, fix)


def _out_of_range(name: str, words: dict[str, Any]) -> Iterator[Finding]:
    for key, raw in words.items():
        values = np.asarray(raw, np.float64)
        if not np.all(np.abs(values) <= LARGEST):
            worst = float(np.max(np.abs(np.nan_to_num(values, nan=np.inf)))) / ONE
            message = f"{key} would be {worst:g}; a parameter of the chip is less than 65536"
            yield _error("range", name, message, "scale the layer's weights, thresholds and biases down")


def _coarse(name: str, alpha: Floats, tau: Any) -> Iterator[Finding]:
    """A warning where the chip's decay is far from the model's."""
    got = 1 - _each(_kept, tau) / ONE
    error = np.max(np.abs(got / alpha - 1))
    if error > _COARSE:
        message = f"alpha = dt/tau_mem differs by up to {100 * error:.1f} % on the chip, whose decays have 15 bits"
        yield Finding("decay_coarse", "warning", name, message, "use a shorter tau_mem, or a longer dt")


def _each(rule: Callable[[Any], int], values: Any) -> IntArray:
    """The rule for each value; equal ones are looked up once."""
    kinds, place = np.unique(np.asarray(values), return_inverse=True)
    return np.array([rule(kind) for kind in kinds.tolist()], np.int64)[place].reshape(np.shape(values))


@cache
def _kept(tau_m: int) -> int:
    return expk(-divided(ONE, tau_m))


@cache
def _decay(tau_syn: int) -> int:
    return expulr(-divided(ONE, tau_syn))


@cache
def _initial(tau_syn: int) -> int:
    mask = (1 << UNIT_BITS) - 1
    return (divided(tau_syn, ONE) * (mask - _decay(tau_syn)) >> 15) & mask


def _membrane_time(keep: float) -> int:
    return _nearest(_kept, keep * ONE, LARGEST)


def _synaptic_time(keep: float) -> int:
    return _nearest(_decay, keep * 2**UNIT_BITS, _MOST_SYNAPTIC)


def _least_membrane_time(exp_tc: int) -> int:
    return _least(_kept, exp_tc, LARGEST)


def _least_synaptic_time(decay: int) -> int:
    return _least(_decay, decay, _MOST_SYNAPTIC)


def _nearest(rule: Callable[[int], int], wanted: float, most: int) -> int:
    """The least time constant that gives the number nearest to the one that is wanted."""
    above = _least(rule, wanted, most)
    below = max(above - 1, _LEAST_TIME)
    return above if abs(rule(above) - wanted) <= abs(rule(below) - wanted) else _least(rule, rule(below), most)


def _least(rule: Callable[[int], int], wanted: float, most: int) -> int:
    """The least time constant for which a rule that rises with it gives at least what is wanted, or the most."""
    low, high = _LEAST_TIME, most
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if rule(middle) >= wanted else (middle + 1, high)
    return low
