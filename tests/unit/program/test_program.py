"""A family's program: what the symbolic call leaves, and that it computes what the function computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from family_values import EVERY_FORM, EVERY_RULE, called, dynamics_name, knows, values

from norse_export.program.families import DYNAMICS, FAMILIES, Rule, family
from norse_export.program.operations import Op, where
from norse_export.program.program import Family, Program, Step

LIF = FAMILIES["lif"]
ARITHMETIC: dict[Op, Callable[..., Any]] = {
    Op.ADD: lambda a, b: a + b,
    Op.SUB: lambda a, b: a - b,
    Op.MUL: lambda a, b: a * b,
    Op.DIV: lambda a, b: a / b,
    Op.EXP: np.exp,
    Op.MATMUL: lambda matrix, a: a @ matrix.T,
    Op.MAX: lambda a, b: np.where(a > b, a, b),
    Op.GREATER: lambda a, b: a > b,
    Op.GREATER_EQUAL: lambda a, b: a >= b,
    Op.AND: lambda a, b: a & b,
    Op.NOT: lambda a: ~a,
    Op.WHERE: np.where,
}


def evaluate(program: Program, given: dict[str, Any]) -> list[Any]:
    done: list[Any] = []
    for step in program.instructions:
        operands = [done[number] for number in step.operands]
        if step.op is Op.CONSTANT:
            done.append(step.constants[0])
        else:
            done.append(ARITHMETIC[step.op](*operands) if step.op in ARITHMETIC else given[step.name])
    return done


@pytest.mark.parametrize("made", EVERY_FORM.values(), ids=EVERY_FORM)
def test_every_family_has_the_golden_program(made: Family, golden: Callable[[str, str], None]) -> None:
    golden(f"programs/{made.name}.txt", f"{made.trace()}\n")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("made", EVERY_FORM.values(), ids=EVERY_FORM)
def test_the_program_computes_bit_for_bit_what_the_function_computes(made: Family, dtype: str) -> None:
    given = values(made, np.random.default_rng(1), 7, 50, dtype)
    step, program = called(made, given), made.trace()
    found = evaluate(program, given)
    for number, expected in zip(program.state, step.state, strict=True):
        assert found[number].dtype == dtype
        assert found[number].tobytes() == expected.tobytes()
    if step.spike is None:
        assert program.spike is None
    else:
        assert program.spike is not None
        assert 0 < step.spike.sum() < step.spike.size
        np.testing.assert_array_equal(found[program.spike], step.spike)
    np.testing.assert_array_equal(found[program.output], step.spike if step.output is None else step.output)


def test_a_family_knows_its_parameters_in_the_order_of_the_step() -> None:
    assert LIF.parameters == ("alpha", "v_leak", "v_th", "v_reset")
    assert family("lif", gain=True).parameters == ("gain", *LIF.parameters)
    assert [made.spikes for made in FAMILIES.values()] == [
        not {"li", "integrator", "membrane"} & set(name.split("_")) for name in FAMILIES
    ]
    refractory = ("alpha", "beta", "v_leak", "v_th", "v_reset", "rho_reset")
    assert FAMILIES["lif_refrac"].parameters == refractory  # those of the step within it first


def test_the_table_holds_each_family_under_its_name() -> None:
    assert all(name == made.name for name, made in FAMILIES.items())
    assert len(DYNAMICS) == 47
    forms = {name: sorted(made.name for made in FAMILIES.values() if dynamics_name(made) == name) for name in DYNAMICS}
    gained = {"cuba_lif", "cuba_li", "lif", "li", "if", "integrator"}
    single = {"cuba_li", "li", "integrator", "coba_lif"}  # no recurrent form: no spikes, or ports of its own
    single |= {name for name in DYNAMICS if name.endswith(("_integrator", "_membrane"))}
    for name, found in forms.items():
        wanted = {name, *([f"{name}_gain"] * (name in gained)), *([f"{name}_recurrent"] * (name not in single))}
        assert set(found) == wanted


def test_a_form_is_made_once() -> None:
    assert family("lsnn", recurrent=True) is FAMILIES["lsnn_recurrent"]
    assert family("lif", rule=Rule(reset="subtract")) is family("lif", rule=Rule(reset="subtract"))
    assert family("lif", rule=Rule()) is FAMILIES["lif"]


@pytest.mark.parametrize("name", DYNAMICS)
@pytest.mark.parametrize("rule", EVERY_RULE, ids=lambda rule: rule.suffix or "_norse")
def test_a_rule_names_the_family_and_one_that_the_dynamics_do_not_know_is_refused(name: str, rule: Rule) -> None:
    if knows(name, rule):
        assert family(name, rule=rule).name == f"{name}{rule.suffix}"
        return
    with pytest.raises(ValueError, match=f"{name} has no choice of (threshold|reset|order)"):
        family(name, rule=rule)


def test_the_choices_of_a_rule_are_those_that_they_are_named_for() -> None:
    at_threshold, level = np.float32([1, 1.5, 0.5]), np.float32(1)
    given = {"alpha": np.float32(1), "v_leak": np.float32(0), "v_th": level, "v_reset": np.float32(-1)}
    strict, reached = (
        family("lif", rule=Rule(threshold=kind)).step(at_threshold, 0 * at_threshold, **given) for kind in ("gt", "ge")
    )
    assert strict.spike.tolist() == [False, True, False]
    assert reached.spike.tolist() == [True, True, False]
    assert reached.state[0].tolist() == [-1, -1, 0.5]
    subtracted = family("lif", rule=Rule(reset="subtract")).step(at_threshold, 0 * at_threshold, **given)
    assert subtracted.state[0].tolist() == [1, 0.5, 0.5]


def test_membrane_first_sees_an_input_a_step_later() -> None:
    x = np.float32([0, 1, 0, 0])
    given = {"alpha": np.float32(0.5), "beta": np.float32(0.5), "v_leak": np.float32(0)}
    sent = {}
    for order in ("synapse_first", "membrane_first"):
        state: Any = (np.float32(0), np.float32(0))
        made, sent[order] = family("cuba_li", rule=Rule(order=order)), []
        for value in x:
            step = made.step(value, *state, **given)
            state = step.state
            sent[order].append(float(step.output))
    assert sent["synapse_first"] == [0, 0.5, 0.5, 0.375]
    assert sent["membrane_first"] == [0, 0, 0.5, 0.5]


def test_a_program_is_traced_once() -> None:
    assert LIF.trace() is LIF.trace()


def test_a_gain_of_one_changes_nothing() -> None:
    generator = np.random.default_rng(2)
    x, v, v_leak = generator.normal(size=(3, 100)).astype(np.float32)
    parameters = {"alpha": np.float32(0.1), "v_leak": v_leak, "v_th": np.float32(0.5), "v_reset": np.float32(0)}
    plain = LIF.step(x, v, **parameters)
    multiplied = FAMILIES["lif_gain"].step(x, v, gain=np.float32(1), **parameters)
    assert plain.state[0].tobytes() == multiplied.state[0].tobytes()


def named(step: Callable[..., Step], *, ports: tuple[str, ...] = ("x",), state: tuple[str, ...] = ("v",)) -> Family:
    return Family("test", step, ports, state)


def test_a_step_that_takes_other_values_than_declared_is_refused() -> None:
    with pytest.raises(TypeError, match="declared"):
        named(LIF.step, ports=("x", "r"))


WRONG: dict[str, Callable[[Any, Any], Step]] = {
    "a state too few": lambda x, v: Step(state=(), output=v),
    "a state too many": lambda x, v: Step(state=(v, x), output=v),
    "a constant as state": lambda x, v: Step(state=(0.0,), output=v),
    "a bool as state": lambda x, v: Step(state=(True,), output=v),
    "an array as state": lambda x, v: Step(state=(np.zeros(2),), output=v),
    "nothing sent": lambda x, v: Step(state=(v,)),
    "a constant sent": lambda x, v: Step(state=(v,), output=1.0),
    "a plain bool as spike": lambda x, v: Step(state=(v,), spike=True),
    "a constant observed": lambda x, v: Step(state=(v,), output=v, observe={"v": 1.0}),
}


@pytest.mark.parametrize("step", WRONG.values(), ids=WRONG)
def test_a_step_that_gives_what_is_no_value_of_it_is_refused(step: Callable[[Any, Any], Step]) -> None:
    with pytest.raises(TypeError, match="family test: step gives"):
        named(step).trace()


def test_what_is_observed_stands_in_the_program() -> None:
    def step(x: Any, v: Any) -> Step:
        z = x > v
        return Step(state=(where(z, x, v),), spike=z, observe={"before": v})

    program = named(step).trace()
    assert program.observe == (("before", 1),)
    assert program.output == program.spike == 2


def test_a_whole_number_as_state_is_a_constant_of_the_program() -> None:
    program = named(lambda x, v: Step(state=(-3,), output=v + x)).trace()
    assert [step.constants for step in program.instructions if step.op is Op.CONSTANT] == [(-3,)]
    assert program.instructions[program.state[0]].op is Op.CONSTANT
