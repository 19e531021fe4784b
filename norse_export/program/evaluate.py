"""A program called on arrays: the same as calling the step that left it, for programs that come from a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.program import operations
from norse_export.program.operations import Instruction, Op, Rounding
from norse_export.program.program import Program

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What one step gives: new state in order, spikes (None without), what is sent on, and the observables."""

    state: tuple[Array, ...]
    spike: Array | None
    output: Array
    observe: Mapping[str, Array]


def evaluate(program: Program, values: Mapping[str, Array], t: int = 0) -> Evaluated:
    """Run one step on arrays.

    values: ports, state variables, random streams and parameters by name; integers as int64. t: number of the step.
    """
    done: list[Any] = []
    for step in program.instructions:
        done.append(_result(step, [done[operand] for operand in step.operands], values, t))
    return Evaluated(
        state=tuple(done[number] for number in program.state),
        spike=None if program.spike is None else done[program.spike],
        output=done[program.output],
        observe={name: done[number] for name, number in program.observe},
    )


def _result(step: Instruction, given: list[Any], values: Mapping[str, Array], t: int) -> Any:
    match step.op:
        case Op.PORT | Op.STATE | Op.PARAMETER | Op.RANDOM:
            return values[step.name]
        case Op.CLOCK:
            return np.int64(t)
        case Op.CONSTANT:
            return step.constants[0]  # a plain int takes the type of what it meets
        case Op.SHIFT_RIGHT:
            return operations.shift_right(given[0], step.constants[0], Rounding(step.rounding or ""), *given[1:])
        case Op.MUL_SHIFT:
            return operations.mul_shift(
                given[0], given[1], step.constants[0], Rounding(step.rounding or ""), *given[2:]
            )
        case Op.SHIFT_LEFT:
            return operations.shift_left(given[0], step.constants[0])
        case Op.SATURATE:
            return operations.saturate(given[0], *step.constants)
        case Op.WRAP:
            return operations.wrap(given[0], step.constants[0])
        case Op.WRAP_ONCE:
            return operations.wrap_once(given[0], *step.constants)
        case _:
            return _PLAIN[step.op](*given)


_PLAIN: dict[Op, Any] = {
    Op.ADD: np.add,
    Op.SUB: np.subtract,
    Op.MUL: np.multiply,
    Op.DIV: np.divide,
    Op.EXP: np.exp,
    Op.MATMUL: operations.matmul,
    Op.NEG: np.negative,
    Op.ABS: np.abs,
    Op.MIN: np.minimum,
    Op.MAX: np.maximum,
    Op.GREATER: np.greater,
    Op.GREATER_EQUAL: np.greater_equal,
    Op.EQUAL: np.equal,
    Op.AND: np.logical_and,
    Op.OR: np.logical_or,
    Op.NOT: np.logical_not,
    Op.WHERE: np.where,
}
