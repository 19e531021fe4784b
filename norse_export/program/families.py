"""The neuron families, each step written once, in the order of operations of the framework that it comes from.

Names follow NIR. Every step is forward Euler, synapse first, with a strict threshold, as Norse computes it; the order
of the additions is part of the definition, because float sums depend on it. Shapes: all values `[B, *shape]` or
broadcastable; `alpha = dt/tau_mem` and `beta = dt/tau_syn` are dimensionless. `FAMILIES` is the table by name.

Source: norse 1.1.0, norse/torch/functional/{lif,lif_box,leaky_integrator,leaky_integrator_box,iaf}.py.
"""

from __future__ import annotations

from inspect import Parameter, Signature
from typing import Any

from norse_export.program.operations import where
from norse_export.program.program import Family, Step


def _fire(v: Any, i: Any, v_th: Any, v_reset: Any) -> Step:
    z = v > v_th
    state = (where(z, v_reset, v),) if i is None else (where(z, v_reset, v), i)
    return Step(spike=z, state=state)


def _cuba(jump: Any, v: Any, alpha: Any, beta: Any, v_leak: Any) -> tuple[Any, Any]:
    """Membrane and synapse after one step, from the current after the jump."""
    return v + alpha * ((v_leak - v) + jump), jump - beta * jump


def cuba_lif(x: Any, v: Any, i: Any, *, alpha: Any, beta: Any, v_leak: Any, v_th: Any, v_reset: Any) -> Step:
    """Current-based leaky integrate-and-fire: Norse's LIF and LIFCell (lif_feed_forward_step)."""
    v1, i1 = _cuba(i + x, v, alpha, beta, v_leak)
    return _fire(v1, i1, v_th, v_reset)


def cuba_lif_recurrent(
    x: Any, r: Any, v: Any, i: Any, *, alpha: Any, beta: Any, v_leak: Any, v_th: Any, v_reset: Any
) -> Step:
    """Norse's LIFRecurrent and LIFRecurrentCell (lif_step): the jump is (i + x) + r, in this order."""
    v1, i1 = _cuba((i + x) + r, v, alpha, beta, v_leak)
    return _fire(v1, i1, v_th, v_reset)


def cuba_li(x: Any, v: Any, i: Any, *, alpha: Any, beta: Any, v_leak: Any) -> Step:
    """Current-based leaky integrator; sends v: Norse's LI and LICell (li_feed_forward_step)."""
    v1, i1 = _cuba(i + x, v, alpha, beta, v_leak)
    return Step(state=(v1, i1), output=v1)


def lif(x: Any, v: Any, *, alpha: Any, v_leak: Any, v_th: Any, v_reset: Any) -> Step:
    """Leaky integrate-and-fire without a synapse: Norse's LIFBoxCell (lif_box_feed_forward_step, reset_value)."""
    return _fire(v + alpha * ((x + v_leak) - v), None, v_th, v_reset)


def li(x: Any, v: Any, *, alpha: Any, v_leak: Any) -> Step:
    """Leaky integrator without a synapse; sends v: Norse's LIBoxCell (li_box_feed_forward_step)."""
    v1 = v + alpha * ((v_leak - v) + x)
    return Step(state=(v1,), output=v1)


def integrate_and_fire(x: Any, v: Any, *, v_th: Any, v_reset: Any) -> Step:
    """Integrate-and-fire without a leak: Norse's IAF and IAFCell (iaf_feed_forward_step)."""
    return _fire(v + x, None, v_th, v_reset)


CUBA_LIF = Family("cuba_lif", cuba_lif, ports=("x",), state=("v", "i"))
CUBA_LIF_RECURRENT = Family("cuba_lif_recurrent", cuba_lif_recurrent, ports=("x", "r"), state=("v", "i"))
CUBA_LI = Family("cuba_li", cuba_li, ports=("x",), state=("v", "i"))
LIF = Family("lif", lif, ports=("x",), state=("v",))
LI = Family("li", li, ports=("x",), state=("v",))
IF = Family("if", integrate_and_fire, ports=("x",), state=("v",))


def gained(family: Family) -> Family:
    """Give the family whose input is first multiplied by a parameter `gain`: NIR's r and w_in, where they are not 1."""

    def step(x: Any, *state: Any, gain: Any, **parameters: Any) -> Step:
        return family.step(gain * x, *state, **parameters)

    arguments = [
        *(Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in ("x", *family.state)),
        *(Parameter(name, Parameter.KEYWORD_ONLY) for name in ("gain", *family.parameters)),
    ]
    step.__signature__ = Signature(arguments)  # type: ignore[attr-defined]  # read by Family
    return Family(f"{family.name}_gain", step, ports=("x",), state=family.state)


_SINGLE = (CUBA_LIF, CUBA_LI, LIF, LI, IF)
FAMILIES = {family.name: family for family in (*_SINGLE, CUBA_LIF_RECURRENT, *map(gained, _SINGLE))}
