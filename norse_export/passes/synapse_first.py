"""Populations whose membrane sees the current of the step before, as ones that see what arrives at once: a step later.

With j' = (1 - beta) j + x, the membrane of the one sees in step t + 1 what that of the other sees in step t. So

    membrane first:  v1 = v + alpha ((v_leak - v) + i)             i' = i - beta i + x(t)
    is               v1 = v + alpha ((v_leak - v) + j)             j = i + x(t - 1),  i' = j - beta j

in every step, spike and membrane: chips whose neurons take what arrives first have the order, too, as a delay. What
arrives in every step is missing in the first one only; the current starts lower by as much.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from norse_export.ir.stages import Neuron
from norse_export.passes.lowered import Lowered
from norse_export.program.families import NORSE
from norse_export.program.forms import Form, form_of

LATER_STEPS = 1  # of what arrives at a population that updates its membrane first


def is_membrane_first(node: Neuron) -> bool:
    """Whether a rule has the membrane updated before what arrives is added."""
    form = form_of(node.family)
    return form is not None and form.rule.order != NORSE.order


def synapse_first(lowered: Lowered) -> Lowered:
    """The same network without populations that update their membranes first: what leads to them is a step later.

    Their current is then another number, that of before its decay: membranes and spikes are the same.
    """
    later = {name for name, node in lowered.populations.items() if is_membrane_first(node)}
    if not later:
        return lowered
    populations = {
        name: _changed(lowered, name, node) if name in later else node for name, node in lowered.populations.items()
    }
    projections = tuple(
        replace(p, delay_steps=p.delay_steps + LATER_STEPS) if p.target in later else p for p in lowered.projections
    )
    return replace(lowered, populations=MappingProxyType(populations), projections=projections)


def constant_current(lowered: Lowered, name: str) -> NDArray[np.float64]:
    """What a population adds to its current in every step beside the projections, float64 [*shape]: gains included."""
    node = lowered.populations[name]
    total: NDArray[np.float64] = np.zeros(node.shape)
    for port, constant in lowered.constants.get(name, {}).items():
        gain = node.parameters.get("gain") if port == node.ports[0] else None
        total = total + constant.astype(np.float64) * (1.0 if gain is None else gain.astype(np.float64))
    return total


def _changed(lowered: Lowered, name: str, node: Neuron) -> Neuron:
    form = form_of(node.family) or Form(node.family.name)
    rule = replace(form.rule, order=NORSE.order)
    start = node.initial_state["i"].astype(np.float64) - constant_current(lowered, name)
    return replace(
        node,
        family=replace(form, rule=rule).family,
        parameters=dict(node.parameters),
        initial_state={**node.initial_state, "i": start},
    )
