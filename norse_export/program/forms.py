"""A family taken apart again: whose dynamics it has, in which form, under which rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import get_args, get_type_hints

from norse_export.program.families import DYNAMICS, NORSE, Dynamics, Rule, family
from norse_export.program.program import Family


@dataclass(frozen=True, slots=True)
class Form:
    """What `families.family` was called with; dynamics: its name, a key of DYNAMICS."""

    dynamics: str
    recurrent: bool = False
    gain: bool = False
    rule: Rule = NORSE

    @property
    def family(self) -> Family:
        """The family of that form."""
        return family(self.dynamics, recurrent=self.recurrent, gain=self.gain, rule=self.rule)


def form_of(made: Family) -> Form | None:
    """The form of a family of the table; None for a family that was made elsewhere."""
    return _forms().get(made.name)


@cache
def _forms() -> Mapping[str, Form]:
    found = (
        Form(dynamics.name, recurrent, gain, rule)
        for dynamics in DYNAMICS.values()
        for recurrent, gain, rule in product((False, True), (False, True), _rules(dynamics))
    )
    return {form.family.name: form for form in found}


def _rules(dynamics: Dynamics) -> Iterator[Rule]:
    """Every rule that the dynamics know."""
    possible = {name: get_args(kind) for name, kind in get_type_hints(Rule).items() if name in dynamics.choices}
    for values in product(*possible.values()):
        yield Rule(**dict(zip(possible, values, strict=True)))
