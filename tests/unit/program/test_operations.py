"""Operations on arrays are numpy's; on symbols they are recorded, and everything else is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from norse_export.program.operations import Instruction, Op, Symbol, Tape, matmul, where


def symbols() -> tuple[Tape, Symbol, Symbol, Symbol]:
    tape = Tape()
    return tape, *(tape.record(Op.PORT, name=name) for name in "abc")


def test_where_on_arrays_chooses_elementwise_and_keeps_the_float_type() -> None:
    chosen = where(np.array([True, False]), np.float32([1, 2]), np.float32([3, 4]))
    assert chosen.dtype == np.float32
    assert chosen.tolist() == [1, 4]


def test_operations_are_recorded_in_order_with_their_operands_in_order() -> None:
    tape, a, b, c = symbols()
    where(a > b, a - b, a + b * c)
    assert tape.instructions[3:] == [
        Instruction(Op.GREATER, (0, 1)),
        Instruction(Op.SUB, (0, 1)),
        Instruction(Op.MUL, (1, 2)),
        Instruction(Op.ADD, (0, 5)),
        Instruction(Op.WHERE, (3, 4, 6)),
    ]


def test_less_than_is_greater_with_its_operands_swapped() -> None:
    tape, a, b, _ = symbols()
    a < b  # noqa: B015
    assert tape.instructions[-1] == Instruction(Op.GREATER, (1, 0))


OUTSIDE: dict[str, Callable[[Any, Any], Any]] = {
    "constant on the right": lambda a, b: a + 1.0,
    "constant on the left": lambda a, b: 1.0 + a,
    "numpy number on the left": lambda a, b: np.float32(2) * a,
    "array on the left": lambda a, b: np.ones(3) * a,
    "array on the right": lambda a, b: a - np.ones(3),
    "array compared": lambda a, b: np.ones(3) > a,
    "numpy function": lambda a, b: np.exp(a),
    "less": lambda a, b: a < 1.5,
    "division by a fraction": lambda a, b: a / 2.0,
    "division of a constant": lambda a, b: 1 / a,
    "whole division": lambda a, b: a // b,
    "matrix product": lambda a, b: a @ b,
    "product with a plain matrix": lambda a, b: matmul(np.eye(3), a),
    "power": lambda a, b: a**2,
    "equality": lambda a, b: a == b,
    "inequality": lambda a, b: a != b,
    "at least a fraction": lambda a, b: a >= 0.5,
    "branch": lambda a, b: a if a > b else b,
    "logical and": lambda a, b: a and b,
    "where with a constant": lambda a, b: where(a > b, a, 0.0),
    "where with a plain condition": lambda a, b: where(True, a, b),
    "where with an array as condition": lambda a, b: where(np.array([True]), a, b),
    "builtin max": lambda a, b: max(a, b),
    "membership": lambda a, b: a in (b,),
}


@pytest.mark.parametrize("step", OUTSIDE.values(), ids=OUTSIDE)
def test_what_is_no_operation_of_the_set_is_a_type_error(step: Callable[[Any, Any], Any]) -> None:
    _, a, b, _ = symbols()
    with pytest.raises(TypeError):
        step(a, b)


def test_a_symbol_of_another_step_is_refused() -> None:
    _, a, _, _ = symbols()
    _, foreign, _, _ = symbols()
    with pytest.raises(TypeError, match="of the step it stands in"):
        a + foreign
