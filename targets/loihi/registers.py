"""A population of the model as the chip's registers have it: decays, threshold, bias, and what a 1 stands for.

With K the one free scale of a layer, Norse's neuron is Lava's (the integer weight 1 is 2^ALIGN_BITS units of u):

    u = K (i + x)      v = K (v - v_reset) / alpha      du + 1 = 4096 beta      dv = 4096 alpha

so that, with s = 2^ALIGN_BITS / K the weight that an integer 1 stands for: threshold mantissa = (v_th - v_reset) /
(alpha s), bias mantissa = (constant + v_leak - v_reset) / s. Families without a synapse have beta = 1; IF has dv = 0.
A spike at the threshold itself is one above the next smaller whole number. Families and rules are those of
passes/plain.py.

A constant at the synapse builds up there over tau_syn, to constant / beta. The chip's bias goes to v, at once and all
of it. The two agree by a shift of variables: with u = K (i + x - constant / beta), the sum u + bias is the model's
current in every step. So the current has to start at -constant / beta, and not at 0.

Nor does the chip start when the model does: a layer's first spikes arrive `late` steps after the chip began, and its
bias acts from the beginning. Its states therefore start where these steps, without spikes, lead to the model's initial
state: u(0) = u / keep_u^late, and v(0) from the same recurrence, solved backwards. So every v_reset, v_leak, v0 and i0
is exact up to the rounding of the states, as long as 24 bits hold where that begins and it passes no threshold.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import Finding
from norse_export.ir.fixed import Population
from norse_export.ir.graph import Shape
from norse_export.ir.stages import Neuron
from norse_export.passes.plain import form

from . import law
from .law import IntArray
from .limits import BIAS_MAX, BIAS_MIN, DECAY_MAX, THRESHOLD_MAX
from .refusals import decay_register

Floats = NDArray[np.float64]
UNIT = 1 << law.ALIGN_BITS
STATE_MAX = law.STATE_RANGE - 1
START_OFF = 1000
_LEAST = 1e-300  # of a power of what is kept: nothing divides by 0


@dataclass(frozen=True, slots=True, eq=False)
class Registers:
    """What a population asks for. alpha: v is K / alpha times the model's. The rest is [*shape], in the model's units.

    drive: the bias. held: the part of it that builds up at the synapse. i0, v0: where current and membrane start. v_th
    is None for a population that does not spike; it and v0 count from the reset value. fires_at: the threshold itself
    is a spike, too.
    """

    i_decay: int
    v_decay: int
    alpha: float
    drive: Floats
    held: Floats
    i0: Floats
    v0: Floats
    v_th: Floats | None
    fires_at: bool = False

    def smallest_scale(self) -> float:
        """The smallest weight that an integer 1 can stand for: threshold and bias then fill their registers."""
        high, low = max(float(self.drive.max()), 0.0), min(float(self.drive.min()), 0.0)
        threshold = 0.0 if self.v_th is None else float(self.v_th.max()) / self.alpha / THRESHOLD_MAX
        return max(threshold, high / BIAS_MAX, low / BIAS_MIN)

    def population(self, node: Neuron, scale: float, late: int = 0) -> Population:
        """The population, where an integer weight of 1 stands for `scale`; late: by how many steps spikes arrive so."""
        readout = self.v_th is None
        bias, mantissa = np.rint(self.drive / scale).astype(np.int64), self._threshold(scale)
        parameters = {
            "u_keep": law.current_keep(np.asarray(self.i_decay - law.CURRENT_DECAY_OFFSET)),
            "v_keep": law.voltage_keep(np.asarray(self.v_decay)),
            "bias": bias << law.ALIGN_BITS,
            "v_th": law.aligned_threshold(mantissa),
        }
        initial = dict(
            zip(("u", "v"), self._chip_start(scale, late, bias << law.ALIGN_BITS, parameters["v_th"]), strict=True)
        )
        units = {"u": np.asarray(scale / UNIT), "v": np.asarray(scale * self.alpha / UNIT)}
        return Population(
            program=(law.LAVA_READOUT if readout else law.LAVA_LIF).trace(),
            shape=node.shape,
            parameters={name: np.broadcast_to(value, node.shape) for name, value in parameters.items()},
            initial_state={name: np.broadcast_to(value, node.shape) for name, value in initial.items()},
            dt=node.dt,
            unit={name: np.broadcast_to(value, node.shape) for name, value in units.items()},
        )

    def _threshold(self, scale: float) -> IntArray:
        """The mantissa: v > 64 mantissa is the chip's spike, for whole v.

        Where membranes are whole multiples of 64, because nothing of them decays by parts, the test is exact; else the
        nearest mantissa is taken.
        """
        if self.v_th is None:
            return np.asarray(THRESHOLD_MAX)
        real = self.v_th / (self.alpha * scale)
        if {self.i_decay, self.v_decay} <= {0, law.DECAY_UNITY}:
            return (np.ceil(real) - 1 if self.fires_at else np.floor(real)).astype(np.int64)
        least = (np.ceil(real * UNIT) - 1) / UNIT if self.fires_at else real
        return np.rint(least).astype(np.int64)

    @property
    def keeps(self) -> tuple[float, float]:
        """What a step leaves of u and of v."""
        return 1 - self.i_decay / law.DECAY_UNITY, 1 - self.v_decay / law.DECAY_UNITY

    def model_start(self, scale: float) -> tuple[Floats, Floats]:
        """u and v that stand for the model's initial state, [*shape]; u is 0 where nothing of it is kept."""
        keep_u, _ = self.keeps
        u = np.zeros_like(self.held) if keep_u == 0 else (self.i0 / keep_u - self.held) * UNIT / scale
        return u, self.v0 * UNIT / (scale * self.alpha)

    def _chip_start(self, scale: float, late: int, bias: IntArray, v_th: IntArray) -> tuple[IntArray, IntArray]:
        """u and v before the chip's first step, as near as 24 bits and the threshold allow, [*shape].

        bias, v_th: in units of the states.
        """
        (keep_u, keep_v), (u, v) = self.keeps, self.model_start(scale)
        u = np.clip(u / max(keep_u**late, _LEAST), -STATE_MAX, STATE_MAX)
        gained = np.zeros(())
        for step in range(1, late + 1):
            gained = gained * keep_v + u * keep_u**step + bias
        v = (v - gained) / max(keep_v**late, _LEAST)
        if late:  # what is above the threshold after the first step would be a spike of the chip's own
            v = np.minimum(v, (v_th - bias - u * keep_u) / keep_v)
        return _whole(u), _whole(np.clip(v, -STATE_MAX, STATE_MAX))


def registers_of(node: Neuron, constant: Floats) -> Registers:
    """The registers of a population that `refusals` has nothing against; constant: see `constant_current`."""
    real, own = {name: compact.astype(np.float64) for name, compact in node.parameters.items()}, form(node)
    beta = float(real["beta"].flat[0]) if "beta" in real else 1.0
    alpha = float(real["alpha"].flat[0]) if "alpha" in real else 1.0
    reset = real.get("v_reset", np.zeros(()))
    leak = real["v_leak"] - reset if "v_leak" in real else np.zeros(())
    held, synaptic = constant / beta, "i" in node.initial_state
    start = {name: values.astype(np.float64) for name, values in node.initial_state.items()}
    spread = partial(_spread, shape=node.shape)
    return Registers(
        i_decay=decay_register(beta),
        v_decay=min(decay_register(alpha), DECAY_MAX) if "alpha" in real else 0,
        alpha=alpha,
        drive=spread(held + leak),
        held=spread(held if synaptic else np.zeros(())),
        i0=spread(start["i"] if synaptic else np.zeros(())),
        v0=spread(start["v"] - reset),
        v_th=np.ascontiguousarray(real["v_th"] - reset) if "v_th" in real else None,
        fires_at=own.rule.threshold == "ge",
    )


def decay_notes(name: str, node: Neuron, registers: Registers) -> list[Finding]:
    """What a user should know of the decays."""
    if "alpha" in node.parameters and decay_register(registers.alpha) > DECAY_MAX:
        message = f"dt/tau_mem = {registers.alpha:g} becomes {DECAY_MAX}/4096, the most that the register holds"
        return [Finding("decay_range", "warning", name, message, "choose a longer tau_mem")]
    return []


def start_notes(name: str, registers: Registers, population: Population, scale: float, late: int) -> list[Finding]:
    """Whether the steps before the first spikes lead to the model's initial state; told where they do not.

    The law itself is asked. What moves the next step by less than a thousandth of the threshold is as good as there.
    """
    a, parameters = np.zeros((), np.int64), population.parameters
    u, v = population.initial_state["u"], population.initial_state["v"]
    fired = np.zeros((), bool)
    for _ in range(late):
        step = law.lava_lif(a, u, v, **parameters)
        (u, v), fired = step.state, fired | step.spike
    wanted, keeps = registers.model_start(scale), registers.keeps
    moved = [np.abs(found - aim) * keep for found, aim, keep in zip((u, v), wanted, keeps, strict=True)]
    off = sum(moved) > parameters["v_th"] / START_OFF + UNIT
    if not np.any(off | fired):
        return []
    message = (
        f"{int(np.count_nonzero(off | fired))} of {off.size} neurons do not start where the model's do: the {late}"
        " steps before their first spikes would have to begin beyond 24 bits or the threshold"
    )
    return [Finding("initial_state", "warning", name, message, "expect differences in the first steps")]


def _spread(values: Floats, shape: Shape) -> Floats:
    return np.ascontiguousarray(np.broadcast_to(values, shape))


def _whole(values: Floats) -> IntArray:
    return np.rint(values).astype(np.int64)
