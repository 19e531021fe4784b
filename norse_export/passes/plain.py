"""Neurons of all frameworks in the terms of a few families, where their steps are the same: what chips are asked for.

In real numbers, spike for spike; the order of additions and what is recorded of a state may be another. What stays is
what has no such form, and a chip refuses it by its name. With x what arrives, and alpha = 1 - decay_v:

| family | its step | is |
|---|---|---|
| lif_quotient, lif_share | v + (x - (v - v_leak)) alpha | lif |
| lif_quotient_whole, lif_share_whole | v - (v - v_leak) alpha + x | lif of x / alpha; if, where alpha is 0 |
| leaky_decayed, leaky_..._now | decay_v v + x, reset to 0 before the next | lif of x / alpha; if, where decay_v is 1 |
| leaky_zero | the same, 0 in the step after a spike, whose x is lost | lif_refrac, beta = 1, one step of rest |
| synaptic_zero_now | decay_v v + (decay_i i + x), reset to 0 at once | cuba_lif of x / alpha |
| synaptic_zero | the same, 0 in the step after a spike | lif_refrac, one step of rest |
| leaky_integrator | decay_v v + x, read | li of x / alpha; integrator, where decay_v is 1 |
| synaptic_integrator | decay_v v + (decay_i i + x), read | cuba_li of x / alpha |
| threshold | x | lif with alpha = 1 |
| all with a reset "zero" | | the same with v_reset = 0 |

snnTorch's (leaky, synaptic) need a threshold of 0 or more, and a membrane that begins at or below it: then nothing but
a spike brings it above.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.ir.stages import Neuron
from norse_export.passes.linear import with_rows_scaled
from norse_export.passes.lowered import ELSEWHERE, Lowered, Projection
from norse_export.passes.synapse_first import is_membrane_first, synapse_first
from norse_export.program.forms import Form, form_of

Floats = NDArray[np.float64]
Values = Mapping[str, Floats]


@dataclass(frozen=True, slots=True)
class _Same:
    """A neuron in other terms: its dynamics, parameters and initial state, and what arrives is multiplied by."""

    dynamics: str
    values: Mapping[str, Any]
    factor: Floats | None = None


def plain(lowered: Lowered) -> Lowered:
    """The same network with every population in those terms, none of them membrane first; see synapse_first.py."""
    made = {name: _plain(node) for name, node in lowered.populations.items()}
    factors = {name: factor.reshape(-1) for name, (_, factor) in made.items() if factor is not None}
    populations = MappingProxyType({name: node for name, (node, _) in made.items()})
    projections = tuple(_scaled(lowered, p, factors) for p in lowered.projections)
    constants = {
        name: {
            port: value * factors[name].reshape(value.shape) if name in factors else value for port, value in at.items()
        }
        for name, at in lowered.constants.items()
    }
    return synapse_first(replace(lowered, populations=populations, projections=projections, constants=constants))


def form(node: Neuron) -> Form:
    """The form of a population's family; one that is none of the table keeps its name."""
    return form_of(node.family) or Form(node.family.name)


def plain_states(node: Neuron, made: Neuron, states: Mapping[str, Any]) -> dict[str, Any]:
    """What a population recorded [T, B, *shape], as its plain form `made` would have: membrane and current.

    The current of a plain one is recorded after its decay; those of snnTorch, and of a membrane that is first, before.
    """
    if node.family is made.family:
        return dict(states)
    nothing = np.zeros((1, 1, *node.shape))
    found = {"v": states.get("v", nothing)}
    if "i" in made.family.state:
        beta = made.parameters["beta"].astype(np.float64)
        own = node.parameters["decay_v"].astype(np.float64) if "decay_v" in node.parameters else 0.0
        before_decay = is_membrane_first(node) or "decay_i" in node.parameters
        found["i"] = states.get("i", nothing) * ((1 - beta) / (1 - own) if before_decay else 1.0)
    return found


def peculiarity(node: Neuron) -> str:
    """What a population that has no plain form has, in words; the chips have neurons with a leak and a reset alone."""
    form = form_of(node.family)
    if form is None:
        return "a step of their own"
    if form.rule.reset == "subtract":
        return _BY_SUBTRACTION
    if form.dynamics.endswith("_membrane"):
        return _READ_AND_RESET
    if form.dynamics in _TO_ZERO:
        return _not_plain({**node.parameters, **node.initial_state})
    if form.dynamics.endswith("_integrator"):
        return _leakless(node.parameters)
    return next((what for start, what in _PECULIAR.items() if form.dynamics.startswith(start)), "a step of their own")


def instead(node: Neuron, neurons: str) -> str:
    """The remedy for neurons that a chip does not have: what to change of them in the user's framework, or `neurons`.

    It is one for what is peculiar to them, so that whoever follows it does not come to the same refusal again.
    """
    framework, form = node.made_of.partition(" ")[0], form_of(node.family)
    if framework == "snnTorch":
        read = form is not None and not node.family.spikes
        remedy = (_OF_MEMBRANES if read else _OF_SPIKES).get(peculiarity(node), f"use {_ZERO}")
    elif framework == "SpikingJelly":
        remedy = _OF_SPIKINGJELLY.get(peculiarity(node), "use IFNode, LIFNode or ParametricLIFNode with a v_reset")
    else:
        by_rule = form is not None and form.rule.reset == "subtract"
        remedy = "use a reset to a value" if by_rule else f"use {neurons}"
    return f"{remedy}; or {ELSEWHERE}"


def _scaled(lowered: Lowered, projection: Projection, factors: Mapping[str, Floats]) -> Projection:
    if projection.target not in factors:
        return projection
    weights = with_rows_scaled(projection.weights, factors[projection.target], lowered.shape(projection.source))
    return replace(projection, weights=weights)


def _plain(node: Neuron) -> tuple[Neuron, Floats | None]:
    """The population, and by what that arrives is multiplied, [*shape]."""
    form = form_of(node.family)
    if form is None:
        return node, None
    given = {**node.parameters, **node.initial_state}
    values = {name: value.astype(np.float64) for name, value in given.items() if name not in node.family.matrices}
    rule = _RULES.get(form.dynamics)
    same = rule(values) if rule is not None else None
    zero = form.rule.reset == "zero"
    if same is None and not zero:
        return node, None
    same = same or _Same(form.dynamics, given)
    if zero:
        form = replace(form, rule=replace(form.rule, reset="value"))
        same = replace(same, values={**same.values, "v_reset": np.zeros(())})
    return _made(node, form, same), same.factor


def _made(node: Neuron, form: Form, same: _Same) -> Neuron:
    family = replace(form, dynamics=same.dynamics).family

    def spread(names: tuple[str, ...]) -> dict[str, Any]:
        return {name: np.broadcast_to(np.asarray(same.values[name]), node.shape) for name in names}

    return replace(node, family=family, parameters=spread(family.parameters), initial_state=spread(family.state))


def _share(values: Values) -> _Same:
    alpha = values["share"] if "share" in values else 1 / values["tau_steps"]
    return _Same("lif", {**values, "alpha": alpha})


def _whole(values: Values) -> _Same | None:
    same = _share(values)
    if not np.any(same.values["alpha"]):
        return _Same("if", values)
    return None if np.any(same.values["alpha"] == 0) else replace(same, factor=1 / same.values["alpha"])


def _leaky(values: Values) -> _Same | None:
    """snnTorch's membrane, reset to 0 before it moves again."""
    alpha = 1 - values["decay_v"]
    if not _below_threshold(values):
        return None
    if not np.any(alpha):
        return _Same("if", {**values, **_AT_ZERO})
    return None if np.any(alpha == 0) else _Same("lif", {**values, "alpha": alpha, **_AT_ZERO}, 1 / alpha)


def _leaky_late(values: Values) -> _Same | None:
    """The same, held at 0 in the step after its spike."""
    same = _leaky(values)
    if same is None or same.factor is None:
        return None
    return replace(same, dynamics="lif_refrac", values={**same.values, **_ONE_STEP, **_NO_CURRENT})


def _synaptic(values: Values) -> _Same | None:
    """With a current: jump is snnTorch's i, of which a step leaves decay_i to the next."""
    same = _leaky(values)
    if same is None or same.factor is None:
        return None
    current = values["decay_i"] * values["i"] * same.factor
    beta = 1 - values["decay_i"]
    return replace(same, dynamics="cuba_lif", values={**same.values, "beta": beta, "i": current})


def _synaptic_late(values: Values) -> _Same | None:
    same = _synaptic(values)
    return same and replace(same, dynamics="lif_refrac", values={**same.values, **_ONE_STEP})


def _read(values: Values) -> _Same | None:
    """snnTorch's membrane that nothing resets, and that is read."""
    alpha = 1 - values["decay_v"]
    if not np.any(alpha):
        return _Same("integrator", values)
    return None if np.any(alpha == 0) else _Same("li", {**values, "alpha": alpha, **_AT_ZERO}, 1 / alpha)


def _read_synaptic(values: Values) -> _Same | None:
    same = _read(values)
    if same is None or same.factor is None:
        return None
    current = values["decay_i"] * values["i"] * same.factor
    return replace(same, dynamics="cuba_li", values={**same.values, "beta": 1 - values["decay_i"], "i": current})


def _threshold(values: Values) -> _Same:
    return _Same("lif", {**values, "alpha": np.ones(()), "v": np.zeros(()), **_AT_ZERO})


def _below_threshold(values: Values) -> bool:
    return bool(np.all(values["v_th"] >= 0) and np.all(values["v"] <= values["v_th"]))


def _not_plain(values: Mapping[str, Any]) -> str:
    """Why snnTorch's neurons with a reset to 0 have no plain form."""
    if np.any(values["v_th"] < 0):
        return _BELOW_ZERO
    return _BEGINS_ABOVE if np.any(values["v"] > values["v_th"]) else _leakless(values)


def _leakless(values: Mapping[str, Any]) -> str:
    return _NO_LEAK if np.all(values["decay_v"] == 1) else _LEAK_OF_SOME


_TO_ZERO = ("leaky_decayed", "leaky_decayed_now", "leaky_zero", "leaky_zero_now", "synaptic_zero", "synaptic_zero_now")
_BY_SUBTRACTION = "a reset by subtraction"
_READ_AND_RESET = "a membrane that is read, and reset"
_READ_WITHOUT_LEAK = "a membrane without a leak that is read and never reset"
_BELOW_ZERO = "a threshold below 0"
_BEGINS_ABOVE = "a membrane that begins above its threshold"
_NO_LEAK = "no leak of the membrane"
_LEAK_OF_SOME = "no leak in some of the neurons"
_PECULIAR = {  # by how the name of the dynamics begins, the longer ones first
    "lsnn": "a threshold that rises with every spike",
    "lif_refrac": "a rest after every spike",
    "lif_ex": "a membrane that is driven by an exponential of itself",
    "lif_adex": "a membrane that is driven by an exponential of itself, and an adaptation current",
    "lif_mc": "membranes that are coupled to one another",
    "izhikevich": "a quadratic membrane, and a recovery variable",
    "coba_lif": "conductances",
    "integrator": _READ_WITHOUT_LEAK,
    "leaky_subtract": _BY_SUBTRACTION,
    "leaky_none": "no reset",
    "synaptic_subtract": _BY_SUBTRACTION,
    "synaptic_none": "no reset",
    "lif_share_whole": _LEAK_OF_SOME,
    "lif_quotient_whole": _LEAK_OF_SOME,
    "alpha": "two currents of one input, whose difference the membrane is",
}
# What to change of neurons that a chip does not have, by what is peculiar to them; first snnTorch's.
_ZERO = "Leaky or Synaptic with reset_mechanism='zero' and reset_delay=False"
_OF_SPIKES = {
    _BELOW_ZERO: "use a threshold of 0 or more",
    _BEGINS_ABOVE: "start the membrane at the threshold or below",
    _NO_LEAK: "use Leaky or Synaptic with reset_mechanism='zero', reset_delay=False and beta below 1",
    _LEAK_OF_SOME: "use one beta below 1 for all neurons of the layer",
}
_OF_MEMBRANES = {
    _READ_AND_RESET: "use reset_mechanism='none' with beta below 1 where the membrane is the output, or return the "
    f"spikes, of {_ZERO}",
    _READ_WITHOUT_LEAK: "use beta below 1",
    _NO_LEAK: "use beta below 1",
    _LEAK_OF_SOME: "use one beta below 1 for all neurons of the layer",
}
_OF_SPIKINGJELLY = {_LEAK_OF_SOME: "give all neurons of the layer a leak, or none of them"}
_AT_ZERO = {"v_leak": np.zeros(()), "v_reset": np.zeros(())}
_ONE_STEP = {"rho_reset": np.ones(()), "rho": np.zeros(())}
_NO_CURRENT = {"beta": np.ones(()), "i": np.zeros(())}  # nothing of it is kept
_RULES: Mapping[str, Callable[[Values], _Same | None]] = {
    "lif_quotient": _share,
    "lif_share": _share,
    "lif_quotient_whole": _whole,
    "lif_share_whole": _whole,
    "leaky_decayed": _leaky,
    "leaky_decayed_now": _leaky,
    "leaky_zero_now": _leaky,
    "leaky_zero": _leaky_late,
    "synaptic_zero_now": _synaptic,
    "synaptic_zero": _synaptic_late,
    "leaky_integrator": _read,
    "synaptic_integrator": _read_synaptic,
    "threshold": _threshold,
}
