"""A population of the model as the chip's registers have it: decays, threshold, bias, and what a 1 stands for.

With K the one free scale of a layer, Norse's neuron is Lava's (the integer weight 1 is 2^ALIGN_BITS units of u):

    u = K (i + x)      v = K (v - v_reset) / alpha      du + 1 = 4096 beta      dv = 4096 alpha

so that, with s = 2^ALIGN_BITS / K the weight that an integer 1 stands for: threshold mantissa = (v_th - v_reset) /
(alpha s), bias mantissa = (constant + v_leak - v_reset) / s. Families without a synapse have beta = 1; IF has dv = 0.

A constant at the synapse builds up there over tau_syn, to constant / beta. The chip's bias goes to v, at once, and from
the first step on, which is a few before the first spikes arrive: what that costs shows in the comparison.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import Finding
from norse_export.ir.fixed import Population
from norse_export.ir.stages import Neuron
from norse_export.passes import integers
from norse_export.program.laws import SYNAPTIC

from . import law
from .limits import BIAS_MAX, BIAS_MIN, DECAY_MAX, THRESHOLD_MAX

Floats = NDArray[np.float64]
UNIT = 1 << law.ALIGN_BITS


@dataclass(frozen=True, slots=True, eq=False)
class Registers:
    """What a population asks for. alpha: v is K / alpha times the model's. drive, v_th: [*shape], in the model's units;
    v_th counts from the reset value, and is None for a population that does not spike.
    """

    i_decay: int
    v_decay: int
    alpha: float
    drive: Floats
    v_th: Floats | None

    def smallest_scale(self) -> float:
        """The smallest weight that an integer 1 can stand for: threshold and bias then fill their registers."""
        high, low = max(float(self.drive.max()), 0.0), min(float(self.drive.min()), 0.0)
        threshold = 0.0 if self.v_th is None else float(self.v_th.max()) / self.alpha / THRESHOLD_MAX
        return max(threshold, high / BIAS_MAX, low / BIAS_MIN)

    def population(self, node: Neuron, scale: float) -> Population:
        """The population, where an integer weight of 1 stands for `scale`."""
        readout = self.v_th is None
        threshold = np.asarray(float(THRESHOLD_MAX)) if self.v_th is None else self.v_th / (self.alpha * scale)
        bias, mantissa = np.rint(self.drive / scale).astype(np.int64), np.rint(threshold).astype(np.int64)
        parameters = {
            "u_keep": law.current_keep(np.asarray(self.i_decay - law.CURRENT_DECAY_OFFSET)),
            "v_keep": law.voltage_keep(np.asarray(self.v_decay)),
            "bias": bias << law.ALIGN_BITS,
            "v_th": law.aligned_threshold(mantissa),
        }
        zero = np.zeros((), np.int64)
        units = {"u": np.asarray(scale / UNIT), "v": np.asarray(scale * self.alpha / UNIT)}
        return Population(
            program=(law.LAVA_READOUT if readout else law.LAVA_LIF).trace(),
            shape=node.shape,
            parameters={name: np.broadcast_to(value, node.shape) for name, value in parameters.items()},
            initial_state=dict.fromkeys(("u", "v"), np.broadcast_to(zero, node.shape)),
            dt=node.dt,
            unit={name: np.broadcast_to(value, node.shape) for name, value in units.items()},
        )


def registers_of(node: Neuron, constant: Floats) -> Registers:
    """The registers of a population that `refusals` has nothing against; constant: see `Lowered.constants`."""
    real = {name: compact.astype(np.float64) for name, compact in node.parameters.items()}
    beta = float(real["beta"].flat[0]) if "beta" in real else 1.0
    alpha = float(real["alpha"].flat[0]) if "alpha" in real else 1.0
    reset = real.get("v_reset", np.zeros(()))
    leak = real["v_leak"] - reset if "v_leak" in real else np.zeros(())
    drive = np.broadcast_to(real.get("gain", np.ones(())) * constant / beta + leak, node.shape)
    return Registers(
        i_decay=_decay(beta),
        v_decay=min(_decay(alpha), DECAY_MAX) if "alpha" in real else 0,
        alpha=alpha,
        drive=np.ascontiguousarray(drive),
        v_th=np.ascontiguousarray(real["v_th"] - reset) if "v_th" in real else None,
    )


def refusals(name: str, node: Neuron) -> list[Finding]:
    """Why the chip cannot hold a population."""
    found = integers.refusals(name, node)
    if found:
        return found

    def refuse(kind: str, message: str, fix: str) -> None:
        found.append(Finding(kind, "error", name, message, fix))

    for coefficient, tau in (("alpha", "tau_mem"), ("beta", "tau_syn")):
        if coefficient not in node.parameters:
            continue
        values = node.parameters[coefficient]
        if not _uniform(values):
            refuse("decays", f"{tau} differs between neurons", f"give one {tau} for the layer: it has one register")
        elif not 1 <= _decay(float(values.flat[0])) <= law.DECAY_UNITY:
            message = f"dt/{tau} = {float(values.flat[0]):g}: the chip has parts of 4096, from 1 to 4096"
            refuse("decay_range", message, f"choose another {tau}")
    base = node.parameters.get("v_reset", np.zeros(()))
    if np.any(node.initial_state["v"] != base):
        message = f"the membrane starts at {_told(node.initial_state['v'])}, and is reset to {_told(base)}"
        fix = "let the two be the same: the chip starts at what it resets to (v_leak is where Norse starts)"
        refuse("initial_state", message if node.spikes else f"{message.partition(',')[0]}; the chip's at 0", fix)
    if "i" in node.initial_state and np.any(node.initial_state["i"] != 0):
        refuse("initial_state", f"the current starts at {_told(node.initial_state['i'])}", "start at 0, as the chip")
    if "v_th" in node.parameters and np.any(node.parameters["v_th"] < base):
        refuse("threshold", "the threshold is below the reset value", "give v_th above v_reset")
    return found


def bias_notes(name: str, node: Neuron, registers: Registers) -> list[Finding]:
    """What a user should know of the bias and the decays."""
    found = []
    if integers.family_name(node) in SYNAPTIC and registers.drive.any():
        message = "a bias at the synapse acts on the membrane at once, and not over tau_syn"
        fix = "expect differences in the first steps, or train without biases"
        found.append(Finding("bias_transient", "warning", name, message, fix))
    if "alpha" in node.parameters and _decay(registers.alpha) > DECAY_MAX:
        message = f"dt/tau_mem = {registers.alpha:g} becomes {DECAY_MAX}/4096, the most that the register holds"
        found.append(Finding("decay_range", "warning", name, message, "choose a longer tau_mem"))
    return found


def _decay(coefficient: float) -> int:
    return int(np.rint(coefficient * law.DECAY_UNITY))


def _uniform(values: NDArray[Any]) -> bool:
    return bool(np.all(values == values.flat[0]))


def _told(values: NDArray[Any]) -> str:
    low, high = float(values.min()), float(values.max())
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"
