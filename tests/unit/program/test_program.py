"""A family's program: what the symbolic call leaves, and that it computes what the function computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from norse_export.program.families import FAMILIES, LIF, gained, lif
from norse_export.program.operations import Op, where
from norse_export.program.program import Family, Program, Step

ARITHMETIC: dict[Op, Callable[..., Any]] = {
    Op.ADD: lambda a, b: a + b,
    Op.SUB: lambda a, b: a - b,
    Op.MUL: lambda a, b: a * b,
    Op.GREATER: lambda a, b: a > b,
    Op.WHERE: np.where,
}


def evaluate(program: Program, given: dict[str, Any]) -> list[Any]:
    values: list[Any] = []
    for step in program.instructions:
        operands = [values[number] for number in step.operands]
        values.append(ARITHMETIC[step.op](*operands) if step.op in ARITHMETIC else given[step.name])
    return values


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_every_family_has_the_golden_program(family: Family, golden: Callable[[str, str], None]) -> None:
    golden(f"programs/{family.name}.txt", f"{family.trace()}\n")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_the_program_computes_bit_for_bit_what_the_function_computes(family: Family, dtype: str) -> None:
    generator = np.random.default_rng(1)
    names = (*family.ports, *family.state, *family.parameters)
    given = {name: generator.normal(size=(7, 50)).astype(dtype) for name in names}
    step = family.step(
        *(given[name] for name in family.ports + family.state), **{name: given[name] for name in family.parameters}
    )
    program = family.trace()
    values = evaluate(program, given)
    for number, expected in zip(program.state, step.state, strict=True):
        assert values[number].dtype == dtype
        assert values[number].tobytes() == expected.tobytes()
    if step.spike is None:
        assert program.spike is None
    else:
        assert program.spike is not None
        assert 0 < step.spike.sum() < step.spike.size
        np.testing.assert_array_equal(values[program.spike], step.spike)
    np.testing.assert_array_equal(values[program.output], step.spike if step.output is None else step.output)


def test_a_family_knows_its_parameters_in_the_order_of_the_step() -> None:
    assert LIF.parameters == ("alpha", "v_leak", "v_th", "v_reset")
    assert gained(LIF).parameters == ("gain", *LIF.parameters)
    assert [family.spikes for family in FAMILIES.values()] == ["li" not in name.split("_") for name in FAMILIES]


def test_the_table_holds_each_family_under_its_name() -> None:
    assert all(name == family.name for name, family in FAMILIES.items())
    assert len(FAMILIES) == 11


def test_a_program_is_traced_once() -> None:
    assert LIF.trace() is LIF.trace()


def test_a_gain_of_one_changes_nothing() -> None:
    generator = np.random.default_rng(2)
    x, v, v_leak = generator.normal(size=(3, 100)).astype(np.float32)
    parameters = {"alpha": np.float32(0.1), "v_leak": v_leak, "v_th": np.float32(0.5), "v_reset": np.float32(0)}
    plain, multiplied = lif(x, v, **parameters), gained(LIF).step(x, v, gain=np.float32(1), **parameters)
    assert plain.state[0].tobytes() == multiplied.state[0].tobytes()


def named(step: Callable[..., Step], *, ports: tuple[str, ...] = ("x",), state: tuple[str, ...] = ("v",)) -> Family:
    return Family("test", step, ports, state)


def test_a_step_that_takes_other_values_than_declared_is_refused() -> None:
    with pytest.raises(TypeError, match="declared"):
        named(lif, ports=("x", "r"))


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
