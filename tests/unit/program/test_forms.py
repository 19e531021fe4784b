"""A family's form is what it was made with, whatever the family."""

from __future__ import annotations

import pytest

from norse_export.program.families import FAMILIES, Rule, family
from norse_export.program.forms import Form, form_of
from norse_export.program.program import Family, Step


@pytest.mark.parametrize("made", FAMILIES.values(), ids=FAMILIES)
def test_the_form_of_a_family_gives_the_family_again(made: Family) -> None:
    form = form_of(made)
    assert form is not None
    assert form.family is made


def test_a_form_tells_dynamics_rule_gain_and_recurrence_apart() -> None:
    rule = Rule(threshold="ge", reset="subtract", order="membrane_first")
    made = family("cuba_lif", recurrent=True, gain=True, rule=rule)
    assert form_of(made) == Form("cuba_lif", recurrent=True, gain=True, rule=rule)
    assert form_of(family("if", rule=Rule(threshold="ge"))) == Form("if", rule=Rule(threshold="ge"))
    assert form_of(family("lif_refrac", recurrent=True)) == Form("lif_refrac", recurrent=True)


def test_a_family_that_is_none_of_the_table_has_no_form() -> None:
    assert form_of(Family("other", lambda x: Step(state=(), spike=x > 0), ("x",), ())) is None
