"""A program from a file is accepted if a step could have left it, and refused with the place if not."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from norse_export.errors import GraphError
from norse_export.program.check import _SIGNATURES, MAX_INSTRUCTIONS, check_program
from norse_export.program.families import FAMILIES
from norse_export.program.laws import NAMES, Law, integer_family
from norse_export.program.operations import (
    FLOOR,
    HALF_EVEN,
    MAX_BITS,
    STOCHASTIC,
    TOWARD_ZERO,
    Instruction,
    Op,
    equal,
    maximum,
    minimum,
    mul_shift,
    saturate,
    shift_left,
    shift_right,
    where,
    wrap,
    wrap_once,
)
from norse_export.program.program import Family, Program, Step

REAL = {Op.DIV, Op.EXP, Op.MATMUL}


def everything(x: Any, v: Any, t: Any, r: Any, *, k: Any) -> Step:
    """A step with every operation in it."""
    a = shift_left(wrap(x + v, 20), 3) - mul_shift(v, k, 12, TOWARD_ZERO) * k
    b = wrap_once(shift_right(a, 2, HALF_EVEN), -8, 7) + shift_right(a, 32, STOCHASTIC, r) + mul_shift(a, k, 1, FLOOR)
    c = saturate(minimum(maximum(abs(-b), t), 99), -5, 5)
    z = ((c > 1) & (b >= 2)) | ~equal(a, v)
    return Step(spike=z, state=(where(equal(z, c > 0), c, b),), observe={"c": c, "z": where(z, z, ~z)})


PROGRAM = Family("everything", everything, ("x",), ("v",), clock=True, random=("r",)).trace()


def changed(number: int, **fields: Any) -> Program:
    steps = list(PROGRAM.instructions)
    steps[number] = replace(steps[number], **fields)
    return replace(PROGRAM, instructions=tuple(steps))


def first(op: Op, rounding: Any = None) -> int:
    return next(
        n for n, s in enumerate(PROGRAM.instructions) if s.op is op and (rounding is None or s.rounding is rounding)
    )


def refused(program: Program, text: str) -> None:
    with pytest.raises(GraphError, match=text) as caught:
        check_program(program)
    assert caught.value.where.startswith("program")
    assert "export the model again" in caught.value.fix


def test_the_program_of_every_operation_is_accepted() -> None:
    check_program(PROGRAM)
    assert {step.op for step in PROGRAM.instructions} | REAL == set(Op)
    assert set(Op) - REAL == set(_SIGNATURES)


@pytest.mark.parametrize("name", NAMES)
def test_the_programs_of_the_generic_law_are_accepted(name: str) -> None:
    for rounding, overflow, strict, reset, rest, spikes in product(
        (FLOOR, TOWARD_ZERO, HALF_EVEN, STOCHASTIC), ("saturate", "wrap"), (True, False), ("value", "subtract"),
        (0, 3), (1, 2),
    ):  # fmt: skip
        law = Law(
            rounding=rounding, overflow=overflow, strict=strict, reset=reset, refractory_steps=rest, max_spikes=spikes
        )  # type: ignore[arg-type]
        check_program(integer_family(name, law, 5).trace())


def test_programs_of_float_families_are_accepted_where_whole_numbers_have_their_operations() -> None:
    for family in FAMILIES.values():
        real = {step.op for step in family.trace().instructions} & REAL
        if not real:
            check_program(family.trace())
            continue
        with pytest.raises(GraphError, match="which only steps of real numbers have") as caught:
            check_program(family.trace())
        assert {finding.message.split(",")[0] for finding in caught.value.findings} == real


def test_the_float_families_of_whole_operations_are_all_but_those_of_exponentials_quotients_and_matrices() -> None:
    real = {name for name, made in FAMILIES.items() if {step.op for step in made.trace().instructions} & REAL}
    assert real == {name for name in FAMILIES if name.startswith(("lif_ex", "lif_adex", "lif_mc", "lif_quotient"))}


@pytest.mark.parametrize("number", range(len(PROGRAM.instructions)))
def test_each_instruction_is_checked(number: int) -> None:
    step = PROGRAM.instructions[number]
    refused(changed(number, operands=(*step.operands, 0)), "operands and")
    refused(changed(number, constants=(*step.constants, 0)), "constants")
    refused(changed(number, name="" if step.name else "x2"), "a name")
    refused(changed(number, rounding=None if step.rounding else FLOOR), "a rounding|operands")
    for position in range(len(step.operands)):
        for wrong in (number, number + 1, -1, 10**9):
            operands = (*step.operands[:position], wrong, *step.operands[position + 1 :])
            refused(changed(number, operands=operands), "do not all stand before it")


@pytest.mark.parametrize(
    ("number", "constants", "text"),
    [
        (first(Op.CONSTANT), (2**MAX_BITS + 1,), "beyond 62 bits"),
        (first(Op.CONSTANT), (-(2**MAX_BITS) - 1,), "beyond 62 bits"),
        (first(Op.CONSTANT), (True,), "a number that is none"),
        (first(Op.CONSTANT), (1.0,), "a number that is none"),
        (first(Op.SHIFT_LEFT), (MAX_BITS + 1,), "by 63 bits"),
        (first(Op.SHIFT_LEFT), (-1,), "by -1 bits"),
        (first(Op.SHIFT_RIGHT, HALF_EVEN), (MAX_BITS + 1,), "by 63 bits"),
        (first(Op.SHIFT_RIGHT, STOCHASTIC), (33,), "by 33 bits"),
        (first(Op.MUL_SHIFT), (-1,), "by -1 bits"),
        (first(Op.WRAP), (0,), "wrap to 0 bits"),
        (first(Op.WRAP), (MAX_BITS + 1,), "wrap to 63 bits"),
        (first(Op.SATURATE), (6, 5), "empty range: 6 to 5"),
        (first(Op.WRAP_ONCE), (8, 7), "empty range: 8 to 7"),
    ],
)
def test_constants_and_widths_are_in_range(number: int, constants: tuple[Any, ...], text: str) -> None:
    refused(changed(number, constants=constants), text)


def test_limits_themselves_are_accepted() -> None:
    check_program(changed(first(Op.CONSTANT), constants=(2**MAX_BITS,)))
    check_program(changed(first(Op.SHIFT_RIGHT, STOCHASTIC), constants=(32,)))
    check_program(changed(first(Op.WRAP), constants=(1,)))
    check_program(changed(first(Op.SATURATE), constants=(5, 5)))


def test_numbers_and_truth_values_are_told_apart() -> None:
    truth, number = first(Op.GREATER), first(Op.ADD)
    end = len(PROGRAM.instructions)
    for op, operands, text in (
        (Op.ADD, (number, truth), "truth value as operand 1"),
        (Op.AND, (truth, number), "number as operand 1"),
        (Op.NOT, (number,), "number as operand 0"),
        (Op.WHERE, (number, number, number), "number as operand 0"),
        (Op.WHERE, (truth, number, truth), "truth value as operand 2"),
        (Op.EQUAL, (truth, number), "number as operand 1"),
    ):
        refused(replace(PROGRAM, instructions=(*PROGRAM.instructions, Instruction(op, operands))), f"%{end}|{text}")
    refused(replace(PROGRAM, state=(truth,)), "a state that is a truth value")


@pytest.mark.parametrize(
    ("program", "text"),
    [
        (replace(PROGRAM, instructions=(*PROGRAM.instructions, PROGRAM.instructions[0])), "come first"),
        (replace(PROGRAM, instructions=(PROGRAM.instructions[1], PROGRAM.instructions[0], *PROGRAM.instructions[2:])),
         "come first"),
        (changed(1, name="x"), "two things: 'x'"),
        (replace(PROGRAM, instructions=(*PROGRAM.instructions[:3], Instruction(Op.CLOCK), *PROGRAM.instructions[3:])),
         "two clocks"),
        (replace(PROGRAM, state=()), "0 state values"),
        (replace(PROGRAM, state=(10**6,)), "does not have"),
        (replace(PROGRAM, output=-1), "does not have"),
        (replace(PROGRAM, spike=10**6), "does not have"),
        (replace(PROGRAM, observe=(("a", 10**6),)), "does not have"),
        (replace(PROGRAM, observe=(("a", 0), ("a", 1))), "an observable without"),
        (replace(PROGRAM, observe=(("", 0),)), "an observable without"),
        (replace(PROGRAM, instructions=(Instruction(Op.CLOCK),) * (MAX_INSTRUCTIONS + 1)), "4097 instructions"),
    ],
)  # fmt: skip
def test_the_parts_belong_together(program: Program, text: str) -> None:
    refused(program, text)


def test_every_violation_is_a_finding() -> None:
    steps = list(PROGRAM.instructions)
    for number in (first(Op.WRAP), first(Op.SATURATE)):
        steps[number] = replace(steps[number], constants=())
    with pytest.raises(GraphError) as caught:
        check_program(replace(PROGRAM, instructions=tuple(steps), state=()))
    assert len(caught.value.findings) == 3
