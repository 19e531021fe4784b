"""Values that a float family can have: for calling its step on arrays. Not tests."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.program.families import DYNAMICS, FAMILIES, NORSE, Rule, family
from norse_export.program.program import Family

Array = NDArray[Any]
RATES = ("alpha", "beta", "zeta", "gamma", "beta_e", "beta_i")  # dt/tau
COUNTERS = ("rho", "rho_reset")  # whole numbers of steps

EVERY_RULE = [
    Rule(threshold, reset, order)
    for threshold in ("gt", "ge")
    for reset in ("value", "zero", "subtract")
    for order in ("synapse_first", "membrane_first")
]


def knows(name: str, rule: Rule) -> bool:
    """Whether some dynamics have the choices of the rule that are not Norse's."""
    changed = {choice for choice in rule.__slots__ if getattr(rule, choice) != getattr(NORSE, choice)}
    return changed <= set(DYNAMICS[name].choices)


_RULED = [family(name, rule=rule) for name in DYNAMICS for rule in EVERY_RULE if rule != NORSE and knows(name, rule)]
EVERY_FORM = {made.name: made for made in (*FAMILIES.values(), *_RULED)}


def dynamics_name(family: Family) -> str:
    """The name of the equations that a family is a form of."""
    return max((name for name in DYNAMICS if family.name.startswith(name)), key=len)


def values(family: Family, generator: np.random.Generator, samples: int, neurons: int, dtype: Any) -> dict[str, Array]:
    """Ports and states [samples, neurons], parameters [neurons], matrices [neurons, neurons], by name."""
    found = {name: generator.normal(size=(samples, neurons)) for name in (*family.ports, *family.state)}
    found |= {name: generator.normal(size=neurons) for name in family.parameters}
    for name in found:
        if name in RATES:
            found[name] = generator.uniform(0, 1.5, neurons)
        elif name in family.matrices:
            found[name] = generator.normal(size=(neurons, neurons)) / np.sqrt(neurons)
        elif name in COUNTERS:
            found[name] = generator.integers(0, 4, found[name].shape).astype(np.float64)
        elif name in ("delta_t", "tau_steps"):
            found[name] = generator.uniform(0.5, 2, neurons)
    return {name: value.astype(dtype) for name, value in found.items()}


def called(family: Family, given: dict[str, Array]) -> Any:
    """The step, called on arrays."""
    positional = (given[name] for name in (*family.ports, *family.state))
    return family.step(*positional, **{name: given[name] for name in family.parameters})
