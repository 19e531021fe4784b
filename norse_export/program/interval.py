"""Interval arithmetic on whole numbers: the range of what one instruction gives, from the ranges of its operands.

An interval is a pair of Python ints (least, greatest), both within; a boolean lies in (0, 1). Every result is the
smallest interval that holds all that independent operands can give: roundings are monotonic, so corners decide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import reduce

from norse_export.program.operations import Instruction, Op, Rounding

Interval = tuple[int, int]
BOOLEAN: Interval = (0, 1)
WORD: Interval = (0, 2**32 - 1)  # a random number


def hull(a: Interval | None, b: Interval | None) -> Interval | None:
    """The smallest interval that holds both; None is an empty one."""
    if a is None or b is None:
        return a or b
    return min(a[0], b[0]), max(a[1], b[1])


def covering(*intervals: Interval) -> Interval:
    """The smallest interval that holds all of them; one at least."""
    return min(low for low, _ in intervals), max(high for _, high in intervals)


def meet(a: Interval | None, b: Interval | None) -> Interval | None:
    """What both hold; None where that is nothing."""
    if a is None or b is None:
        return None
    low, high = max(a[0], b[0]), min(a[1], b[1])
    return (low, high) if low <= high else None


def within(a: Interval, b: Interval) -> bool:
    """Whether b holds all of a."""
    return b[0] <= a[0] and a[1] <= b[1]


def bits_of(bits: int) -> Interval:
    """What a two's complement number of that many bits holds."""
    return -(1 << (bits - 1)), (1 << (bits - 1)) - 1


def kept_by(step: Instruction) -> Interval | None:
    """The numbers that a narrowing instruction leaves as they are; None for any other instruction."""
    match step.op:
        case Op.SATURATE | Op.WRAP_ONCE:
            return step.constants[0], step.constants[1]
        case Op.WRAP:
            return bits_of(step.constants[0])
        case _:
            return None


def result(step: Instruction, operands: tuple[Interval, ...]) -> Interval:
    """The range of an instruction that has operands; `where` without regard to what its condition says of them."""
    match step.op:
        case Op.WHERE:
            condition, chosen, otherwise = operands
            if condition[0] == condition[1]:
                return chosen if condition[0] else otherwise
            return min(chosen[0], otherwise[0]), max(chosen[1], otherwise[1])
        case Op.SHIFT_LEFT:
            return operands[0][0] << step.constants[0], operands[0][1] << step.constants[0]
        case Op.SHIFT_RIGHT:
            return _divided(step, operands[0], operands[1:])
        case Op.MUL_SHIFT:
            return _divided(step, product(operands[0], operands[1]), operands[2:])
        case Op.SATURATE:
            low, high = step.constants
            return min(max(operands[0][0], low), high), min(max(operands[0][1], low), high)
        case Op.WRAP:
            return _wrapped(operands[0], step.constants[0])
        case Op.WRAP_ONCE:
            return _wrapped_once(operands[0], *step.constants)
        case _:
            return _PLAIN[step.op](*operands)


def product(a: Interval, b: Interval) -> Interval:
    """The range of a * b."""
    corners = (a[0] * b[0], a[0] * b[1], a[1] * b[0], a[1] * b[1])
    return min(corners), max(corners)


def _divided(step: Instruction, a: Interval, noise: tuple[Interval, ...]) -> Interval:
    bits = step.constants[0]
    if step.rounding is Rounding.STOCHASTIC:
        drawn = noise[0]
        return (a[0] + (drawn[0] >> (32 - bits))) >> bits, (a[1] + (drawn[1] >> (32 - bits))) >> bits
    return divided(a[0], bits, step.rounding), divided(a[1], bits, step.rounding)


def divided(a: int, bits: int, rounding: Rounding | None) -> int:
    """a / 2^bits as a whole number, without a random number."""
    match rounding:
        case Rounding.FLOOR:
            return a >> bits
        case Rounding.TOWARD_ZERO:
            return -(-a >> bits) if a < 0 else a >> bits
        case Rounding.HALF_EVEN:
            low, rest = a >> bits, (a & ((1 << bits) - 1)) * 2
            return low + (rest > 1 << bits or (rest == 1 << bits and low & 1))
        case _:
            raise ValueError(f"rounding {rounding} of a plain number")


def _wrapped(a: Interval, bits: int) -> Interval:
    """The whole range, unless all of a wraps equally often."""
    low, high = bits_of(bits)
    turns = (a[0] - low) >> bits
    if turns != (a[1] - low) >> bits:
        return low, high
    return a[0] - (turns << bits), a[1] - (turns << bits)


def _wrapped_once(a: Interval, low: int, high: int) -> Interval:
    span = high - low + 1
    parts: list[Interval] = []
    if a[0] < low:
        parts.append((a[0] + span, min(a[1], low - 1) + span))
    if a[1] > high:
        parts.append((max(a[0], high + 1) - span, a[1] - span))
    if max(a[0], low) <= min(a[1], high):
        parts.append((max(a[0], low), min(a[1], high)))
    return _hull_of(parts)


def _hull_of(parts: Iterable[Interval]) -> Interval:
    return reduce(lambda a, b: (min(a[0], b[0]), max(a[1], b[1])), parts)


def _abs(a: Interval) -> Interval:
    largest = max(-a[0], a[1])
    return (0 if a[0] <= 0 <= a[1] else min(abs(a[0]), abs(a[1]))), largest


def _decided(never: bool, always: bool) -> Interval:
    return (0, 0) if never else (1, 1) if always else BOOLEAN


_PLAIN: dict[Op, Callable[..., Interval]] = {
    Op.ADD: lambda a, b: (a[0] + b[0], a[1] + b[1]),
    Op.SUB: lambda a, b: (a[0] - b[1], a[1] - b[0]),
    Op.MUL: product,
    Op.NEG: lambda a: (-a[1], -a[0]),
    Op.ABS: _abs,
    Op.MIN: lambda a, b: (min(a[0], b[0]), min(a[1], b[1])),
    Op.MAX: lambda a, b: (max(a[0], b[0]), max(a[1], b[1])),
    Op.GREATER: lambda a, b: _decided(a[1] <= b[0], a[0] > b[1]),
    Op.GREATER_EQUAL: lambda a, b: _decided(a[1] < b[0], a[0] >= b[1]),
    Op.EQUAL: lambda a, b: _decided(meet(a, b) is None, a == b and a[0] == a[1]),
    Op.AND: lambda a, b: (min(a[0], b[0]), min(a[1], b[1])),
    Op.OR: lambda a, b: (max(a[0], b[0]), max(a[1], b[1])),
    Op.NOT: lambda a: (1 - a[1], 1 - a[0]),
}
