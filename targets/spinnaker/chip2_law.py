"""SpiNNaker 2: a NIR document, and the neurons that py-spinnaker2's reader of NIR makes of it.

What the reader documents (its class ConversionConfig and its functions convert_LIF and convert_CubaLIF), with
integrator FORWARD, reset ZERO, scale_weights False and conn_delay 1, for the fields of a node and a step of dt:

    CubaLIF   a = dt/tau_mem   b = dt/tau_syn   scale = 1 / (a r b w_in)   i_offset = a v_leak scale + bias / b
    LIF       a = dt/tau       scale = 1 / (a r)                           i_offset = a v_leak scale + bias
    both      alpha_decay = 1 - a     exc_decay = inh_decay = 1 - b        threshold = v_threshold scale
    a step    j = i + W x     v1 = alpha_decay v + j + i_offset     a spike where v1 > threshold, then v = 0
              i = exc_decay j (CubaLIF; a LIF has no i)             v = 0 and i = 0 before the first step

Weights are whole numbers of 8 bits; membranes are in their unit. A spike of step t arrives in step t + 1.

Assumed, for no text says so: the order within a step (that of SpiNNaker's IF_curr_exp), the strict comparison, that the
membrane is recorded after its update and before its reset. The chip computes in float32, in an order that is not
documented. Here a decay has 24 bits, as a float32 has, and a membrane as many bits below the weights' unit as its range
leaves of 31, at most 16; products are rounded to nearest. So the last bits of a membrane are not those of the chip. No
vendor code was available to check any of this against.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from inspect import Parameter, Signature
from math import floor, log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import UnsupportedError
from norse_export.formats.nir.document import NIRNode
from norse_export.ir.fixed import Population
from norse_export.ir.graph import Shape
from norse_export.program.operations import HALF_EVEN, mul_shift, saturate, shift_left, where
from norse_export.program.program import Family, Step

Floats = NDArray[np.float64]
CONFIG = {
    "integrator": "IntegratorMethod.FORWARD",
    "reset": "ResetMethod.ZERO",
    "scale_weights": False,
    "conn_delay": 1,
    "output_record": ["spikes", "v"],
}
LAW = (
    "SpiNNaker 2, py-spinnaker2's NIR reader as documented (forward Euler, reset to zero, weights of 8 bits, delays of "
    "1); layers are late by their depth; no vendor code was available to check it against"
)
NOT_CHECKED = "no vendor code was available; assumed: order within a step, strict threshold, when v is recorded"
LARGEST_WEIGHT = 127
NEVER = 1e9  # threshold of neurons that are read by their membranes
DECAY_BITS = 24
_STATE = 2**31 - 1
_MOST_FRACTION, _REACH_BITS = 16, 30


@cache
def _family(kind: str, fraction: int, *, readout: bool) -> Family:
    synaptic = kind == "CubaLIF"

    def step(x: Any, v: Any, i: Any = 0, **p: Any) -> Step:
        j = saturate(i + shift_left(x, fraction), -_STATE, _STATE) if synaptic else shift_left(x, fraction)
        kept = mul_shift(v, p["alpha_decay"], DECAY_BITS, HALF_EVEN)
        v1 = saturate(kept + j + p["i_offset"], -_STATE, _STATE)
        left = (mul_shift(j, p["syn_decay"], DECAY_BITS, HALF_EVEN),) if synaptic else ()
        if readout:
            return Step(state=(v1, *left), output=v1, observe={"v_rec": v1})
        spike = v1 > p["threshold"]
        return Step(state=(where(spike, 0, v1), *left), spike=spike, observe={"v_rec": v1})

    state = ("v", "i") if synaptic else ("v",)
    names = ["alpha_decay", "i_offset"] + ["syn_decay"] * synaptic + ["threshold"] * (not readout)
    arguments = [Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in ("x", *state)]
    arguments += [Parameter(name, Parameter.KEYWORD_ONLY) for name in names]
    step.__signature__ = Signature(arguments)  # type: ignore[attr-defined]  # read by Family
    return Family(f"spinnaker2_{kind}", step, ports=("x",), state=state)


def population(
    name: str, node: NIRNode, bias: Floats, total: Floats, *, shape: Shape, dt: float, readout: bool, scale: float
) -> Population:
    """The neurons of a NIR node, LIF or CubaLIF, of N fields.

    bias [N]: of the layer before them. total [N]: the sum of |weights| at each. dt in seconds. readout: membranes are
    read instead of spikes. scale: what a weight of 1 in the model's units is here.

    Raises:
        UnsupportedError: numbers beyond 30 bits.
    """
    real = _converted(node, bias, total, dt)
    reach = max(real.reach, 1.0 if readout else float(np.max(np.abs(real.threshold))), 1.0)
    if not reach < 2**_REACH_BITS:
        message = f"membranes of up to {reach:g} times the least weight"
        raise UnsupportedError(message, where=name, fix="use shorter time constants, or fewer weights", kind="range")
    fraction = min(_MOST_FRACTION, _REACH_BITS - 1 - floor(log2(reach)))
    family = _family(node.type, fraction, readout=readout)
    raw = {"alpha_decay": real.alpha_decay * 2**DECAY_BITS, "i_offset": real.offset * 2.0**fraction}
    raw |= {} if real.syn_decay is None else {"syn_decay": real.syn_decay * 2**DECAY_BITS}
    raw |= {} if readout else {"threshold": real.threshold * 2.0**fraction}
    unit = {"v": real.factor / scale * 2.0**-fraction, "i": np.full(real.factor.shape, 2.0**-fraction / scale)}
    return Population(
        program=family.trace(),
        shape=shape,
        parameters={key: np.rint(value).astype(np.int64).reshape(shape) for key, value in raw.items()},
        initial_state={key: np.zeros(shape, np.int64) for key in family.state},
        dt=dt,
        unit={key: unit[key].reshape(shape) for key in family.state},
    )


@dataclass(frozen=True, slots=True)
class _Converted:
    """A node as the reader converts it, in the unit of its weights, all [N]; see above.

    syn_decay: None for a LIF. factor: 1 / scale. reach: how far any membrane can come.
    """

    alpha_decay: Floats
    syn_decay: Floats | None
    factor: Floats
    offset: Floats
    threshold: Floats
    reach: float


def _converted(node: NIRNode, bias: Floats, total: Floats, dt: float) -> _Converted:
    given = {key: np.asarray(value, np.float64).reshape(-1) for key, value in node.fields.items()}
    synaptic = node.type == "CubaLIF"
    a = dt / given["tau_mem" if synaptic else "tau"]
    left, factor, offset, arriving = None, a * given["r"], bias, total
    if synaptic:
        b = dt / given["tau_syn"]
        left, factor, offset, arriving = 1 - b, factor * (b * given["w_in"]), bias / b, total / b
    offset = offset + a * given["v_leak"] / factor
    reach = float(np.max((arriving + np.abs(offset)) / a))
    return _Converted(1 - a, left, factor, offset, given["v_threshold"] / factor, reach)


def fields(kind: str, values: Mapping[str, Floats]) -> dict[str, Floats]:
    """NIR's fields of a node, of values [N] in the unit of its weights: dt, a, b, v_leak, v_threshold.

    The gains are 1 in the reader's terms: r = 1, and w_in = tau_syn/dt.
    """
    ones = np.ones_like(values["a"])
    levels = {"r": ones, "v_leak": values["v_leak"], "v_threshold": values["v_threshold"], "v_reset": 0 * ones}
    if kind == "LIF":
        return {"tau": values["dt"] / values["a"], **levels}
    return {
        "tau_mem": values["dt"] / values["a"],
        "tau_syn": values["dt"] / values["b"],
        "w_in": 1 / values["b"],
        **levels,
    }
