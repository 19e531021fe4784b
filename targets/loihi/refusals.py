"""Which neurons netx and the chip have, and why they do not have the others: Lava's LIF, and what its registers hold.

Neurons are looked at in the terms of passes/plain.py, which leaves what has none of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import Finding
from norse_export.ir.stages import Neuron
from norse_export.passes.plain import form, instead, peculiarity

from . import law

DYNAMICS = ("cuba_lif", "cuba_li", "lif", "li", "if")
_NEURONS = "LIF, LIFBox or IAF, and LI or LIBox as readouts"
# Sources: lava-dl 0.6.0, netx/hdf5.py; lava-nc 0.10.0, proc/lif/models.py, proc/atrlif/models.py.
_WHY = {
    "lif_refrac": "netx does not read refDelay, and Lava's LIFRefractory has no model in whole numbers",
    "lsnn": "netx makes no neurons with a threshold of their own, and those that Lava has (ATRLIF) take another step",
}
_LIF_ALONE = "netx makes Lava's LIF of a layer, which has none of it"


def decay_register(coefficient: float) -> int:
    """What a step takes of a state, in parts of 4096."""
    return int(np.rint(coefficient * law.DECAY_UNITY))


def refusals(name: str, node: Neuron) -> list[Finding]:
    """Why the chip cannot hold a population."""
    found: list[Finding] = []

    def refuse(kind: str, message: str, fix: str) -> None:
        found.append(Finding(kind, "error", name, message, fix))

    own = form(node)
    if own.dynamics not in DYNAMICS or own.rule.reset == "subtract":
        why = _WHY.get(own.dynamics, _LIF_ALONE)
        refuse("family", f"{node.in_words} have {peculiarity(node)}: {why}", instead(node, _NEURONS))
        return found
    if np.any(node.parameters.get("alpha", np.ones(1)) == 0):
        message = "alpha = dt/tau_mem is 0: nothing that arrives changes the membrane"
        refuse("alpha", message, "give a finite tau_mem, or remove the neurons")
    if np.any(node.parameters.get("gain", np.ones(1)) == 0):
        message = "the gain of an input is 0: nothing that arrives changes the neuron"
        refuse("gain", message, "give a gain (r, w_in) other than 0, or remove the neurons")
    if found:
        return found
    for coefficient, tau in (("alpha", "tau_mem"), ("beta", "tau_syn")):
        if coefficient not in node.parameters:
            continue
        values = node.parameters[coefficient]
        if not _uniform(values):
            refuse("decays", f"{tau} differs between neurons", f"give one {tau} for the layer: it has one register")
        elif not 1 <= decay_register(float(values.flat[0])) <= law.DECAY_UNITY:
            message = f"dt/{tau} = {float(values.flat[0]):g}: a decay of the chip is 1 to 4096 parts of 4096"
            refuse("decay_range", message, f"train with a {tau} of dt to 4096 dt")
    base = node.parameters.get("v_reset", np.zeros(()))
    if "v_th" in node.parameters and np.any(node.parameters["v_th"] < base):
        refuse("threshold", "the threshold is below the reset value", "give v_th above v_reset")
    elif own.rule.threshold == "ge" and np.any(node.parameters["v_th"] == base):
        refuse("threshold", "the threshold is the reset value, and fires: in every step", "give v_th above v_reset")
    elif "v_th" in node.parameters and np.any(node.initial_state["v"] > node.parameters["v_th"]):
        message = f"the membrane starts at {_told(node.initial_state['v'])}, above the threshold"
        refuse("initial_state", message, "start at or below v_th: the chip would spike before the first input arrives")
    return found


def _uniform(values: NDArray[Any]) -> bool:
    return bool(np.all(values == values.flat[0]))


def _told(values: NDArray[Any]) -> str:
    low, high = float(values.min()), float(values.max())
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"
