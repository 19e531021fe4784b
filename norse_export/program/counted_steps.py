"""Steps of the frameworks that count time in steps and not in seconds: snnTorch and SpikingJelly.

Each is written in the order of operations of its framework, because float sums depend on it. Shapes: all values
`[B, *shape]` or broadcastable. `decay_v` and `decay_i` are what is left of membrane and current after one step
(snnTorch's beta and alpha); `tau_steps` is a time constant in steps; `share` is that of the way to rest in one
step. What arrives is added port by port. families.py holds the table.

snnTorch's neurons are reset in the step after their spike: what decides on it is the membrane that the last step left.
With reset_delay=False they are reset in the step of the spike, and a membrane that is past its threshold after that is
not reset again: so its Leaky and Synaptic have it, in all its cases.

Source: snntorch 1.0.0, snntorch/_neurons/{leaky,rleaky,synaptic,rsynaptic,alpha}.py; spikingjelly 2.0.0,
spikingjelly/_ops/{lif,plif}/{cpu,reference}.py and _ops/reset.py.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Literal

from norse_export.program.operations import where
from norse_export.program.program import Step

Ports = tuple[Any, ...]
StepFunction = Callable[..., Step]
Reset = Literal["subtract", "zero", "decayed", "none"]


def _added(value: Any, ports: Ports) -> Any:
    for port in ports:
        value = value + port
    return value


def _at_once(z: Any, r: Any, v1: Any, reset: Reset, v_th: Any) -> Any:
    """The membrane with the reset of this step, less that of the last: v1 - (z - r) times what is taken away."""
    if reset == "subtract":
        return where(z, where(r, v1, v1 - v_th), where(r, v1 + v_th, v1))
    return where(z, where(r, v1, 0), where(r, v1 + v1, v1))


def leaky(reset: Reset, *, delayed: bool = True) -> StepFunction:
    """snnTorch's Leaky and RLeaky. zero: all that the step gives, as RLeaky; decayed: what decays, as Leaky."""

    def step(rule: Any, ports: Ports, v: Any, *, decay_v: Any, v_th: Any) -> Step:
        r = v > v_th
        v1 = _added(decay_v * (where(r, 0, v) if reset == "decayed" else v), ports)
        if reset == "subtract":
            v1 = where(r, v1 - v_th, v1)
        elif reset == "zero":
            v1 = where(r, 0, v1)
        z = v1 > v_th
        return Step(spike=z, state=(v1 if delayed else _at_once(z, r, v1, reset, v_th),))

    return step


def synaptic(reset: Reset, *, delayed: bool = True) -> StepFunction:
    """snnTorch's Synaptic and RSynaptic: the current is never reset."""

    def step(rule: Any, ports: Ports, v: Any, i: Any, *, decay_v: Any, decay_i: Any, v_th: Any) -> Step:
        r = v > v_th
        i1 = _added(decay_i * i, ports)
        v1 = decay_v * v + i1
        if reset == "subtract":
            v1 = where(r, v1 - v_th, v1)
        elif reset == "zero":
            v1 = where(r, 0, v1)
        z = v1 > v_th
        return Step(spike=z, state=(v1 if delayed else _at_once(z, r, v1, reset, v_th), i1))

    return step


def alpha_function(reset: Reset) -> StepFunction:
    """snnTorch's Alpha: an excitatory and an inhibitory current of the same input; scale is its tau_alpha."""

    def step(
        rule: Any, ports: Ports, v: Any, i_e: Any, i_i: Any, *, decay_e: Any, decay_i: Any, scale: Any, v_th: Any
    ) -> Step:
        first, *others = ports
        r, x = v > v_th, _added(first, tuple(others))
        e1, i1 = decay_e * i_e + x, decay_i * i_i - x
        v1 = scale * (e1 + i1)
        if reset == "subtract":
            v1, e1, i1 = where(r, v1 + i_i, v1), where(r, e1 - v_th, e1), where(r, 0, i1)
        elif reset == "zero":
            v1, e1, i1 = where(r, 0, v1), where(r, 0, e1), where(r, 0, i1)
        return Step(spike=v1 > v_th, state=(v1, e1, i1))

    return step


def membrane_of(step: StepFunction) -> StepFunction:
    """The same step, which sends the membrane that it leaves."""

    @wraps(step)
    def read(*given: Any, **parameters: Any) -> Step:
        made = step(*given, **parameters)
        return Step(state=made.state, output=made.state[0])

    return read


def leaky_integrator(rule: Any, ports: Ports, v: Any, *, decay_v: Any) -> Step:
    """snnTorch's Leaky without a reset, whose membrane is read: decay_v v + x."""
    v1 = _added(decay_v * v, ports)
    return Step(state=(v1,), output=v1)


def synaptic_integrator(rule: Any, ports: Ports, v: Any, i: Any, *, decay_v: Any, decay_i: Any) -> Step:
    """snnTorch's Synaptic without a reset, whose membrane is read."""
    i1 = _added(decay_i * i, ports)
    v1 = decay_v * v + i1
    return Step(state=(v1, i1), output=v1)


def lif_quotient(rule: Any, ports: Ports, v: Any, *, tau_steps: Any, v_leak: Any, v_th: Any, v_reset: Any) -> Step:
    """SpikingJelly's LIFNode whose input decays: v + (x - (v - v_leak)) / tau."""
    first, *others = ports
    v1 = v + (_added(first, tuple(others)) - (v - v_leak)) / tau_steps
    z = rule.fires(v1, v_th)
    return Step(spike=z, state=(rule.after(z, v1, v_th, v_reset),))


def lif_quotient_whole(
    rule: Any, ports: Ports, v: Any, *, tau_steps: Any, v_leak: Any, v_th: Any, v_reset: Any
) -> Step:
    """SpikingJelly's LIFNode whose input arrives whole (decay_input=False): (v - (v - v_leak) / tau) + x."""
    v1 = _added(v - (v - v_leak) / tau_steps, ports)
    z = rule.fires(v1, v_th)
    return Step(spike=z, state=(rule.after(z, v1, v_th, v_reset),))


def lif_share(rule: Any, ports: Ports, v: Any, *, share: Any, v_leak: Any, v_th: Any, v_reset: Any) -> Step:
    """SpikingJelly's ParametricLIFNode whose input decays: v + (x - (v - v_leak)) share."""
    first, *others = ports
    v1 = v + (_added(first, tuple(others)) - (v - v_leak)) * share
    z = rule.fires(v1, v_th)
    return Step(spike=z, state=(rule.after(z, v1, v_th, v_reset),))


def lif_share_whole(rule: Any, ports: Ports, v: Any, *, share: Any, v_leak: Any, v_th: Any, v_reset: Any) -> Step:
    """SpikingJelly's ParametricLIFNode whose input arrives whole: (v - (v - v_leak) share) + x."""
    v1 = _added(v - (v - v_leak) * share, ports)
    z = rule.fires(v1, v_th)
    return Step(spike=z, state=(rule.after(z, v1, v_th, v_reset),))


#: snnTorch's steps by the names of their families, each with its state variables.
SNNTORCH: dict[str, tuple[StepFunction, tuple[str, ...]]] = {
    "leaky_subtract": (leaky("subtract"), ("v",)),
    "leaky_zero": (leaky("zero"), ("v",)),
    "leaky_decayed": (leaky("decayed"), ("v",)),
    "leaky_none": (leaky("none"), ("v",)),
    "leaky_subtract_now": (leaky("subtract", delayed=False), ("v",)),
    "leaky_zero_now": (leaky("zero", delayed=False), ("v",)),
    "leaky_decayed_now": (leaky("decayed", delayed=False), ("v",)),
    "synaptic_subtract": (synaptic("subtract"), ("v", "i")),
    "synaptic_zero": (synaptic("zero"), ("v", "i")),
    "synaptic_none": (synaptic("none"), ("v", "i")),
    "synaptic_subtract_now": (synaptic("subtract", delayed=False), ("v", "i")),
    "synaptic_zero_now": (synaptic("zero", delayed=False), ("v", "i")),
    "alpha_subtract": (alpha_function("subtract"), ("v", "i_e", "i_i")),
    "alpha_zero": (alpha_function("zero"), ("v", "i_e", "i_i")),
    "alpha_none": (alpha_function("none"), ("v", "i_e", "i_i")),
}
#: Those of which the membrane is read in the place of the spikes: the name of the family that spikes -> that of the one
#: that sends its membrane. Without a reset there is no threshold either.
SNNTORCH_READ = {name: f"{name}_membrane" for name in SNNTORCH if not name.startswith("alpha")} | {
    "leaky_none": "leaky_integrator",
    "synaptic_none": "synaptic_integrator",
}
#: SpikingJelly's; its IFNode is the family "if".
SPIKINGJELLY: dict[str, tuple[StepFunction, tuple[str, ...]]] = {
    step.__name__: (step, ("v",)) for step in (lif_quotient, lif_quotient_whole, lif_share, lif_share_whole)
}
