"""The operations on one whole number at a time, from their definitions: Python ints and fractions, no numpy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from norse_export.program.operations import Instruction, Op, Rounding
from norse_export.program.program import Program


def rounded(value: Fraction, rounding: Rounding, part: Fraction = Fraction(0)) -> int:
    """A whole number for a fraction; part: of stochastic rounding the random number in [0, 1)."""
    match rounding:
        case Rounding.FLOOR:
            return math.floor(value)
        case Rounding.TOWARD_ZERO:
            return math.trunc(value)
        case Rounding.HALF_EVEN:
            return round(value)
        case Rounding.STOCHASTIC:
            return math.floor(value + part)


def divided(value: int, bits: int, rounding: Rounding, noise: int | None = None) -> int:
    """value / 2^bits; of the 32 bits of the noise the highest `bits` count."""
    part = Fraction(0) if noise is None else Fraction(noise // 2 ** (32 - bits), 2**bits)
    return rounded(Fraction(value, 2**bits), rounding, part)


def saturated(value: int, low: int, high: int) -> int:
    return sorted((low, value, high))[1]


def wrapped(value: int, bits: int) -> int:
    while value >= 2 ** (bits - 1):
        value -= 2**bits * -(-(value - 2 ** (bits - 1) + 1) // 2**bits)
    while value < -(2 ** (bits - 1)):
        value += 2**bits * -(-(-(2 ** (bits - 1)) - value) // 2**bits)
    return value


def wrapped_once(value: int, low: int, high: int) -> int:
    if low <= value <= high:
        return value
    return value - (high - low + 1) if value > high else value + (high - low + 1)


def calculated(program: Program, given: Mapping[str, int], t: int = 0) -> list[int]:
    """Every value of a program; booleans as 0 and 1."""
    values: list[int] = []
    for step in program.instructions:
        values.append(_one(step, [values[operand] for operand in step.operands], given, t))
    return values


def _one(step: Instruction, a: list[int], given: Mapping[str, int], t: int) -> int:
    match step.op:
        case Op.PORT | Op.STATE | Op.PARAMETER | Op.RANDOM:
            return int(given[step.name])
        case Op.CLOCK:
            return t
        case Op.CONSTANT:
            return step.constants[0]
        case Op.SHIFT_LEFT:
            return a[0] * 2 ** step.constants[0]
        case Op.SHIFT_RIGHT:
            return divided(a[0], step.constants[0], _rounding(step), *a[1:])
        case Op.MUL_SHIFT:
            return divided(a[0] * a[1], step.constants[0], _rounding(step), *a[2:])
        case Op.SATURATE:
            return saturated(a[0], *step.constants)
        case Op.WRAP:
            return wrapped(a[0], step.constants[0])
        case Op.WRAP_ONCE:
            return wrapped_once(a[0], *step.constants)
        case Op.WHERE:
            return a[1] if a[0] else a[2]
        case _:
            return int(_PLAIN[step.op](*a))


def _rounding(step: Instruction) -> Rounding:
    assert step.rounding is not None
    return step.rounding


_PLAIN: dict[Op, Any] = {
    Op.ADD: lambda a, b: a + b,
    Op.SUB: lambda a, b: a - b,
    Op.MUL: lambda a, b: a * b,
    Op.NEG: lambda a: -a,
    Op.ABS: lambda a: a if a >= 0 else -a,
    Op.MIN: lambda a, b: b if b < a else a,
    Op.MAX: lambda a, b: b if b > a else a,
    Op.GREATER: lambda a, b: a > b,
    Op.GREATER_EQUAL: lambda a, b: a >= b,
    Op.EQUAL: lambda a, b: a == b,
    Op.AND: lambda a, b: a and b,
    Op.OR: lambda a, b: a or b,
    Op.NOT: lambda a: not a,
}
