"""The neuron families, each step written once, in the order of operations of the framework that it comes from.

Every step is forward Euler with a strict threshold, as Norse computes it; the order of the additions is part of the
definition, because float sums depend on it. Shapes: all values `[B, *shape]` or broadcastable. Coefficients are
dimensionless: `alpha = dt/tau_mem`, `beta = dt/tau_syn`, `zeta = dt/tau_ada`; a scheme other than forward Euler is
other coefficients in the same step (`ir/schemes.py`). `FAMILIES` is the table by name.

A step is written over its input ports: what arrives at each is added in their order. A family with the port "x" alone
is the feed-forward form, one with "x" and "r" the recurrent form. A `Rule` changes the threshold, the reset, or which
current reaches the membrane, in the families that know it.

Source: norse 1.1.0, norse/torch/functional/{lif,lif_box,leaky_integrator,leaky_integrator_box,iaf,lsnn,lif_refrac,
lif_ex,lif_adex,lif_adex_refrac,lif_mc,lif_mc_refrac,izhikevich,coba_lif}.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from inspect import Parameter, Signature, signature
from typing import Any, Literal

from norse_export.program.counted_steps import (
    SNNTORCH,
    SNNTORCH_READ,
    SPIKINGJELLY,
    leaky_integrator,
    membrane_of,
    synaptic_integrator,
)
from norse_export.program.operations import exp, matmul, maximum, where
from norse_export.program.program import Family, Step

Ports = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """How a step is taken, where families leave a choice.

    threshold: spike when v > v_th, or v >= v_th. reset: to v_reset, to 0 whatever v_reset is, or v - v_th. order:
    whether what arrives reaches the membrane in its own step (synapse_first), or the membrane sees the current of the
    step before (membrane_first).
    """

    threshold: Literal["gt", "ge"] = "gt"
    reset: Literal["value", "zero", "subtract"] = "value"
    order: Literal["synapse_first", "membrane_first"] = "synapse_first"

    @property
    def suffix(self) -> str:
        """What the name of a family says of it: nothing of Norse's own choices."""
        changed = (getattr(self, name) for name in self.__slots__ if getattr(self, name) != getattr(NORSE, name))
        return "".join(f"_{value}" for value in changed)

    def fires(self, v: Any, v_th: Any) -> Any:
        """Whether the membrane is past the threshold."""
        return v > v_th if self.threshold == "gt" else v >= v_th

    def after(self, z: Any, v: Any, v_th: Any, v_reset: Any) -> Any:
        """The membrane after the spikes."""
        if self.reset == "subtract":
            return where(z, v - v_th, v)
        return where(z, v_reset if self.reset == "value" else 0, v)


NORSE = Rule()


def added(value: Any, ports: Ports) -> Any:
    """The value, and what arrives at each port, added in their order."""
    for port in ports:
        value = value + port
    return value


def _cuba(rule: Rule, ports: Ports, v: Any, i: Any, alpha: Any, beta: Any, v_leak: Any) -> tuple[Any, Any]:
    """Membrane and synapse after one step, before the reset."""
    if rule.order == "membrane_first":
        return v + alpha * ((v_leak - v) + i), added(i - beta * i, ports)
    jump = added(i, ports)
    return v + alpha * ((v_leak - v) + jump), jump - beta * jump


def cuba_lif(
    rule: Rule, ports: Ports, v: Any, i: Any, *, alpha: Any, beta: Any, v_leak: Any, v_th: Any, v_reset: Any
) -> Step:
    """Current-based leaky integrate-and-fire: Norse's LIF (lif_feed_forward_step, lif_step)."""
    v1, i1 = _cuba(rule, ports, v, i, alpha, beta, v_leak)
    z = rule.fires(v1, v_th)
    return Step(spike=z, state=(rule.after(z, v1, v_th, v_reset), i1))


def cuba_li(rule: Rule, ports: Ports, v: Any, i: Any, *, alpha: Any, beta: Any, v_leak: Any) -> Step:
    """Current-based leaky integrator; sends v: Norse's LI (li_feed_forward_step, li_step)."""
    v1, i1 = _cuba(rule, ports, v, i, alpha, beta, v_leak)
    return Step(state=(v1, i1), output=v1)


def lif(rule: Rule, ports: Ports, v: Any, *, alpha: Any, v_leak: Any, v_th: Any, v_reset: Any) -> Step:
    """Leaky integrate-and-fire without a synapse: Norse's LIFBox (lif_box_feed_forward_step)."""
    first, *others = ports
    v1 = v + alpha * ((added(first, tuple(others)) + v_leak) - v)
    z = rule.fires(v1, v_th)
    return Step(spike=z, state=(rule.after(z, v1, v_th, v_reset),))


def li(rule: Rule, ports: Ports, v: Any, *, alpha: Any, v_leak: Any) -> Step:
    """Leaky integrator without a synapse; sends v: Norse's LIBox (li_box_feed_forward_step)."""
    v1 = v + alpha * added(v_leak - v, ports)
    return Step(state=(v1,), output=v1)


def integrate_and_fire(rule: Rule, ports: Ports, v: Any, *, v_th: Any, v_reset: Any) -> Step:
    """Integrate-and-fire without a leak: Norse's IAF (iaf_feed_forward_step, iaf_step)."""
    v1 = added(v, ports)
    z = rule.fires(v1, v_th)
    return Step(spike=z, state=(rule.after(z, v1, v_th, v_reset),))


def integrator(rule: Rule, ports: Ports, v: Any) -> Step:
    """Integrator without leak and threshold; sends v: nir.I."""
    v1 = added(v, ports)
    return Step(state=(v1,), output=v1)


def threshold(rule: Rule, ports: Ports, *, v_th: Any) -> Step:
    """A spike wherever what arrives is past the threshold; without a state: nir.Threshold."""
    first, *others = ports
    return Step(spike=rule.fires(added(first, tuple(others)), v_th), state=())


def lsnn(
    rule: Rule,
    ports: Ports,
    v: Any,
    i: Any,
    b: Any,
    *,
    alpha: Any,
    beta: Any,
    zeta: Any,
    v_leak: Any,
    v_th: Any,
    v_reset: Any,
    b_spike: Any,
) -> Step:
    """LIF whose threshold b rises by b_spike with each spike, and decays to v_th: Norse's LSNN (lsnn_step).

    The membrane sees the current of the step before: what arrives takes a step longer than in `cuba_lif`.
    """
    v1, i1 = v + alpha * ((v_leak - v) + i), added(i - beta * i, ports)
    b1 = b + zeta * (v_th - b)
    z = rule.fires(v1, b1)
    return Step(spike=z, state=(where(z, v_reset, v1), i1, where(z, b1 + b_spike, b1)))


def _at_rest(rho: Any, rho_reset: Any, z: Any) -> Any:
    """The steps of rest that are left: rho_reset after a spike, else one less."""
    return where(z, rho_reset, maximum(where(rho > 0, rho - 1, rho), 0))


def lif_refrac(rule: Rule, ports: Ports, v: Any, i: Any, rho: Any, *, rho_reset: Any, **parameters: Any) -> Step:
    """`cuba_lif` that rests for rho_reset steps after a spike, its current going on: LIFRefrac (lif_refrac_step)."""
    return _resting(cuba_lif(rule, ports, v, i, **parameters), v, rho, rho_reset)


def _resting(step: Step, v: Any, rho: Any, rho_reset: Any) -> Step:
    resting = rho > 0
    z = step.spike & ~resting
    v1, *others = step.state
    return Step(spike=z, state=(where(resting, v, v1), *others, _at_rest(rho, rho_reset, z)))


def lif_ex(
    rule: Rule,
    ports: Ports,
    v: Any,
    i: Any,
    *,
    alpha: Any,
    beta: Any,
    v_leak: Any,
    v_th: Any,
    v_reset: Any,
    delta_t: Any,
) -> Step:
    """Exponential LIF: Norse's LIFEx (lif_ex_step)."""
    jump = added(i, ports)
    v1 = v + alpha * (((v_leak - v) + delta_t * exp((v - v_th) / delta_t)) + jump)
    z = rule.fires(v1, v_th)
    return Step(spike=z, state=(where(z, v_reset, v1), jump - beta * jump))


def lif_adex(
    rule: Rule,
    ports: Ports,
    v: Any,
    i: Any,
    a: Any,
    *,
    alpha: Any,
    beta: Any,
    zeta: Any,
    v_leak: Any,
    v_th: Any,
    v_reset: Any,
    delta_t: Any,
    a_v: Any,
    a_spike: Any,
) -> Step:
    """Exponential LIF with an adaptation current a: Norse's LIFAdEx (lif_adex_step)."""
    jump = added(i, ports)
    v1 = v + alpha * ((((v_leak - v) + delta_t * exp((v - v_th) / delta_t)) + jump) - a)
    a1 = a + zeta * (a_v * (v - v_leak) - a)
    z = rule.fires(v1, v_th)
    return Step(spike=z, state=(where(z, v_reset, v1), jump - beta * jump, where(z, a1 + a_spike, a1)))


def lif_adex_refrac(
    rule: Rule, ports: Ports, v: Any, i: Any, a: Any, rho: Any, *, rho_reset: Any, **parameters: Any
) -> Step:
    """`lif_adex` that rests for rho_reset steps after a spike: LIFAdExRefrac (lif_adex_refrac_step)."""
    return _resting(lif_adex(rule, ports, v, i, a, **parameters), v, rho, rho_reset)


def lif_mc(rule: Rule, ports: Ports, v: Any, i: Any, *, step: Any, g: Any, **parameters: Any) -> Step:
    """`cuba_lif` whose membranes, after their reset, are coupled by the conductances g: LIFMC (lif_mc_step).

    step: dt in seconds. g: [N, N], in 1/s.
    """
    done = cuba_lif(rule, ports, v, i, **parameters)
    v1, i1 = done.state
    return Step(spike=done.spike, state=(v1 + step * matmul(g, v1), i1))


def lif_mc_refrac(
    rule: Rule,
    ports: Ports,
    v: Any,
    i: Any,
    rho: Any,
    *,
    alpha: Any,
    beta: Any,
    v_leak: Any,
    v_th: Any,
    v_reset: Any,
    rho_reset: Any,
    g: Any,
) -> Step:
    """Coupled compartments, whose leak and input rest after a spike: LIFMCRefrac (lif_mc_refrac_step).

    The membrane sees the current of the step before. A neuron at rest can fire: g, [N, N] and dimensionless, goes on.
    """
    dv = where(rho > 0, 0, alpha * ((v_leak - v) + i))
    v1, i1 = v + (dv + matmul(g, v)), added(i - beta * i, ports)
    z = rule.fires(v1, v_th)
    return Step(spike=z, state=(where(z, v_reset, v1), i1, _at_rest(rho, rho_reset, z)))


def izhikevich(
    rule: Rule,
    ports: Ports,
    v: Any,
    u: Any,
    *,
    alpha: Any,
    zeta: Any,
    square: Any,
    linear: Any,
    constant: Any,
    u_v: Any,
    v_th: Any,
    v_reset: Any,
    u_spike: Any,
) -> Step:
    """Izhikevich's quadratic neuron: izhikevich_feed_forward_step, izhikevich_recurrent_step.

    With their names: alpha = tau_inv dt, zeta = tau_inv dt a, u_v = b, v_reset = c, u_spike = d, square = sq,
    linear = mn, constant = bias.
    """
    v1 = v + alpha * added(((square * (v * v) + linear * v) + constant) - u, ports)
    u1 = u + zeta * (u_v * v - u)
    z = rule.fires(v1, v_th)
    return Step(spike=z, state=(where(z, v_reset, v1), where(z, u1 + u_spike, u1)))


def coba_lif(
    rule: Rule,
    ports: Ports,
    v: Any,
    g_e: Any,
    g_i: Any,
    *,
    gamma: Any,
    beta_e: Any,
    beta_i: Any,
    g_l: Any,
    v_rest: Any,
    e_e: Any,
    e_i: Any,
    v_th: Any,
    v_reset: Any,
) -> Step:
    """Conductance-based LIF (coba_lif_step); ports: what the excitatory and the inhibitory conductance jump by.

    gamma = dt/c_m, beta_e and beta_i = dt/tau of the conductances.
    """
    excited, inhibited = (g + port for g, port in zip((g_e, g_i), ports, strict=True))
    g_e1, g_i1 = excited - beta_e * excited, inhibited - beta_i * inhibited
    v1 = v + gamma * ((g_l * (v_rest - v) + g_e1 * (e_e - v)) + g_i1 * (e_i - v))
    z = rule.fires(v1, v_th)
    return Step(spike=z, state=(where(z, v_reset, v1), g_e1, g_i1))


@dataclass(frozen=True, slots=True)
class Dynamics:
    """The equations of families: `step(rule, ports, *state, **parameters)`.

    parameters: in the order in which a family declares them. ports: of the feed-forward form. choices: fields of `Rule`
    that the step knows. matrices: parameters that are [N, N]; all others have a value for each neuron. read: what they
    send is the membrane, whatever threshold they have.
    """

    name: str
    step: Callable[..., Step]
    state: tuple[str, ...]
    parameters: tuple[str, ...]
    ports: tuple[str, ...] = ("x",)
    choices: tuple[str, ...] = ()
    matrices: tuple[str, ...] = ()
    read: bool = False


def _dynamics(step: Callable[..., Step], *state: str, over: Callable[..., Step] | None = None, **more: Any) -> Dynamics:
    """Dynamics named as their step. over: the step that the further keyword arguments are of."""
    own = [p.name for p in signature(step).parameters.values() if p.kind is Parameter.KEYWORD_ONLY]
    inner = (
        ()
        if over is None
        else tuple(p.name for p in signature(over).parameters.values() if p.kind is Parameter.KEYWORD_ONLY)
    )
    return Dynamics(more.pop("name", step.__name__), step, state, (*inner, *own), **more)


_ALL_CHOICES = ("threshold", "reset", "order")
DYNAMICS = {
    dynamics.name: dynamics
    for dynamics in (
        _dynamics(cuba_lif, "v", "i", choices=_ALL_CHOICES),
        _dynamics(cuba_li, "v", "i", choices=("order",)),
        _dynamics(lif, "v", choices=("threshold", "reset")),
        _dynamics(li, "v"),
        _dynamics(integrate_and_fire, "v", name="if", choices=("threshold", "reset")),
        _dynamics(integrator, "v"),
        _dynamics(threshold, choices=("threshold",)),
        _dynamics(lsnn, "v", "i", "b"),
        _dynamics(lif_refrac, "v", "i", "rho", over=cuba_lif),
        _dynamics(lif_ex, "v", "i"),
        _dynamics(lif_adex, "v", "i", "a"),
        _dynamics(lif_adex_refrac, "v", "i", "a", "rho", over=lif_adex),
        _dynamics(lif_mc, "v", "i", over=cuba_lif, matrices=("g",)),
        _dynamics(lif_mc_refrac, "v", "i", "rho", matrices=("g",)),
        _dynamics(izhikevich, "v", "u"),
        _dynamics(coba_lif, "v", "g_e", "g_i", ports=("e", "i")),
        *(_dynamics(step, *state, name=name) for name, (step, state) in SNNTORCH.items()),
        *(
            _dynamics(membrane_of(step), *state, name=f"{name}_membrane", read=True)
            for name, (step, state) in SNNTORCH.items()
            if SNNTORCH_READ.get(name) == f"{name}_membrane"
        ),
        _dynamics(leaky_integrator, "v"),
        _dynamics(synaptic_integrator, "v", "i"),
        *(
            _dynamics(step, *state, name=name, choices=("threshold", "reset"))
            for name, (step, state) in SPIKINGJELLY.items()
        ),
    )
}
RECURRENT_PORT = "r"


def family(name: str, *, recurrent: bool = False, gain: bool = False, rule: Rule = NORSE) -> Family:
    """The family of some dynamics, in one of its forms; each is made once.

    recurrent: a second port, r, whose sum is added behind the first. gain: what arrives at x is first multiplied by a
    parameter `gain`: NIR's r and w_in, where they are not 1.

    Raises:
        KeyError: no dynamics of that name. ValueError: a choice that these dynamics do not know.
    """
    return _family(name, recurrent, gain, rule)


@cache
def _family(name: str, recurrent: bool, gain: bool, rule: Rule) -> Family:
    dynamics = DYNAMICS[name]
    for choice in rule.__slots__:
        if getattr(rule, choice) != getattr(NORSE, choice) and choice not in dynamics.choices:
            raise ValueError(f"{name} has no choice of {choice}")
    ports = (*dynamics.ports, RECURRENT_PORT) if recurrent else dynamics.ports

    def step(*given: Any, **parameters: Any) -> Step:
        arriving, state = given[: len(ports)], given[len(ports) :]
        if gain:
            arriving = (parameters.pop("gain") * arriving[0], *arriving[1:])
        return dynamics.step(rule, arriving, *state, **parameters)

    names = (*(("gain",) if gain else ()), *dynamics.parameters)
    arguments = [
        *(Parameter(argument, Parameter.POSITIONAL_OR_KEYWORD) for argument in (*ports, *dynamics.state)),
        *(Parameter(argument, Parameter.KEYWORD_ONLY) for argument in names),
    ]
    step.__signature__ = Signature(arguments)  # type: ignore[attr-defined]  # read by Family
    form = f"{name}{rule.suffix}{'_recurrent' if recurrent else ''}{'_gain' if gain else ''}"
    return Family(form, step, ports, dynamics.state, matrices=dynamics.matrices)


def _forms() -> list[Family]:
    """Every family of Norse's rule: feed-forward and recurrent, and with a gain where NIR has one."""
    own = [name for name in DYNAMICS if name != "coba_lif"]
    gained = ("cuba_lif", "cuba_li", "lif", "li", "if", "integrator")
    recurrent = [family(name, recurrent=True) for name in own if family(name).spikes]
    return [*map(family, DYNAMICS), *recurrent, *(family(name, gain=True) for name in gained)]


FAMILIES = {made.name: made for made in _forms()}
