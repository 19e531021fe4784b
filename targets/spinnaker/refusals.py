"""Which neurons the chip has, and why it does not have the others: two models, and what their parameters can be.

Neurons are looked at in the terms of passes/plain.py, which leaves what has none of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from norse_export.errors import Finding
from norse_export.ir.stages import Neuron
from norse_export.passes.plain import form, instead, peculiarity

from .derive import ONE, UNIT_BITS, Model
from .times import MOST_SYNAPTIC, decay

MODELS = {  # of each kind of neuron's dynamics, whether recurrent or not
    "cuba_lif": Model.IF_CURR_EXP,
    "lif_refrac": Model.IF_CURR_EXP,
    "cuba_li": Model.IF_CURR_EXP,
    "lif": Model.IF_CURR_DELTA,
    "li": Model.IF_CURR_DELTA,
    "if": Model.IF_CURR_DELTA,
}
COUNTED = "if"  # membranes without a leak: counting.py
_NEURONS = "LIF, LIFRefrac, LIFBox or IAF, and LI or LIBox as readouts"
_NO_MODEL = "IF_curr_exp and IF_curr_delta have none of it"
# Source: sPyNNaker 7.4.1, neuron_model_izh_impl.h, input_type_conductance.h.
_NOT_THE_SAME = {
    "izhikevich": "IZK_curr_exp takes a step by the midpoint (Runge-Kutta) with 0.040009 for 0.04, and a longer one"
    " after a spike, where the model takes one of forward Euler",
    "coba_lif": "IF_cond_exp decays towards its target by an exponential, the model takes a step of forward Euler",
}


def refusals(name: str, node: Neuron) -> list[Finding]:
    """Why the chip does not have these neurons: every reason."""
    found, own = [], form(node)
    if own.dynamics not in MODELS or own.rule.reset == "subtract":
        message = f"{node.in_words} have {peculiarity(node)}: "
        message += _NOT_THE_SAME.get(own.dynamics, _NO_MODEL)
        found.append(error("family", name, message, instead(node, _NEURONS)))
    for field, values in (*node.parameters.items(), *node.initial_state.items()):
        if not np.all(np.isfinite(values)):
            message = f"{field} holds NaN or infinite numbers"
            found.append(error("nan", name, message, "train again, or repair the model's parameters"))
    return found or [*_decays(name, node), *_gains(name, node)]


def error(kind: str, where: str, message: str, fix: str) -> Finding:
    """A finding that refuses a model."""
    return Finding(kind, "error", where, message, fix)


def _decays(name: str, node: Neuron) -> list[Finding]:
    """Decays that the chip does not derive from any time constant."""
    found = []
    for field, tau in (("alpha", "tau_mem"), ("beta", "tau_syn")):
        values = node.parameters.get(field, np.ones(1))
        if np.any(values > 1) or np.any(values < 0):
            message = f"{field} = dt/{tau} = {_worst(values):g}: a decay of the chip is 0 to 1"
            found.append(error(field, name, message, f"train with {tau} >= dt"))
        elif field == "alpha" and np.any(np.rint((1 - values.astype(np.float64)) * ONE) >= ONE):
            message = f"alpha = dt/tau_mem = {values.min():g}: below 2^-16, the chip's membrane stands still"
            found.append(error(field, name, message, "use tau_mem < 65536 dt"))
        elif field == "beta" and np.any(1 - values.astype(np.float64) > decay(MOST_SYNAPTIC) / 2**UNIT_BITS):
            message = f"beta = dt/tau_syn = {values.min():g}: from tau_syn = 32768 dt on the chip's currents vanish"
            found.append(error("tau_syn", name, message, "use tau_syn < 32768 dt"))
    return found


def _gains(name: str, node: Neuron) -> list[Finding]:
    if not np.any(node.parameters.get("gain", np.ones(1)) == 0):
        return []
    message = "the gain of an input is 0: nothing that arrives changes the neuron"
    return [error("gain", name, message, "give a gain (r, w_in) other than 0, or remove the neurons")]


def _worst(values: Any) -> float:
    return float(values.max() if values.max() > 1 else values.min())
