"""Random straight-line programs of integers with many conditions, and the ranges of what they are given."""

from __future__ import annotations

import numpy as np

from norse_export.program.interval import Interval
from norse_export.program.operations import FLOOR, HALF_EVEN, STOCHASTIC, TOWARD_ZERO, Instruction, Op
from norse_export.program.program import Program

PORTS, STATES, PARAMETERS = ("x", "y"), ("v", "w"), ("k", "c")
_NUMBERS = (Op.ADD, Op.SUB, Op.NEG, Op.ABS, Op.MIN, Op.MAX)
_UNARY = (Op.NEG, Op.ABS, Op.NOT)
_COMPARISONS = (Op.GREATER, Op.GREATER_EQUAL, Op.EQUAL)
_TRUTHS = (Op.AND, Op.OR, Op.NOT)
_NARROWING = (Op.SATURATE, Op.WRAP, Op.WRAP_ONCE)


def random_program(rng: np.random.Generator, length: int = 24, *, narrow: bool = False) -> Program:
    """Ports, states and parameters as above, the clock, a random stream `r`; narrow: states are narrowed at the end."""
    steps = [
        *(Instruction(Op.PORT, name=name) for name in PORTS),
        *(Instruction(Op.STATE, name=name) for name in STATES),
        Instruction(Op.CLOCK),
        Instruction(Op.RANDOM, name="r"),
        *(Instruction(Op.PARAMETER, name=name) for name in PARAMETERS),
    ]
    numbers = [number for number in range(len(steps)) if steps[number].op not in (Op.RANDOM, Op.CLOCK)]
    truths: list[int] = []

    def number() -> int:
        recent = numbers[-4:] if rng.random() < 0.6 else numbers
        return int(rng.choice(recent))

    def put(step: Instruction, kind: list[int]) -> int:
        steps.append(step)
        kind.append(len(steps) - 1)
        return kind[-1]

    put(Instruction(Op.GREATER, (number(), number())), truths)
    for _ in range(length):
        roll = rng.random()
        if roll < 0.2:
            op = rng.choice(np.array(_NUMBERS, object))
            put(Instruction(op, (number(),) if op in _UNARY else (number(), number())), numbers)
        elif roll < 0.4:
            op = rng.choice(np.array(_COMPARISONS, object))
            put(Instruction(op, (number(), number())), truths)
        elif roll < 0.5:
            op = rng.choice(np.array(_TRUTHS, object))
            some = [int(rng.choice(truths)) for _ in range(1 if op in _UNARY else 2)]
            put(Instruction(op, tuple(some)), truths)
        elif roll < 0.75:
            put(Instruction(Op.WHERE, (int(rng.choice(truths[-3:])), number(), number())), numbers)
        elif roll < 0.8:
            put(Instruction(Op.CONSTANT, constants=(int(rng.integers(-9, 10)),)), numbers)
        elif roll < 0.9:
            put(_divided(rng, number(), number()), numbers)
        else:
            put(_narrowed(rng, number()), numbers)
    state = [put(_narrowed(rng, number()), numbers) if narrow else number() for _ in STATES]
    return Program(tuple(steps), tuple(state), truths[-1], truths[-1], (("last", numbers[-1]),))


def _divided(rng: np.random.Generator, a: int, b: int) -> Instruction:
    bits = int(rng.integers(0, 6))
    rounding = (FLOOR, TOWARD_ZERO, HALF_EVEN, STOCHASTIC)[rng.integers(4)]
    op = (Op.MUL_SHIFT, Op.SHIFT_RIGHT, Op.SHIFT_LEFT)[rng.integers(3)]
    if op is Op.SHIFT_LEFT:
        return Instruction(op, (a,), constants=(bits % 3,))
    noise = (5,) if rounding is STOCHASTIC else ()  # number 5 is the random stream
    operands = (a, b) if op is Op.MUL_SHIFT else (a,)
    return Instruction(op, (*operands, *noise), constants=(bits,), rounding=rounding)


def _narrowed(rng: np.random.Generator, a: int) -> Instruction:
    op = _NARROWING[rng.integers(3)]
    if op is Op.WRAP:
        return Instruction(op, (a,), constants=(int(rng.integers(1, 9)),))
    low = int(rng.integers(-60, 5))
    return Instruction(op, (a,), constants=(low, low + int(rng.integers(0, 90))))


def random_interval(rng: np.random.Generator) -> Interval:
    low = int(rng.integers(-20, 15))
    return low, low + int(rng.choice([0, 1, 2, 7, 40]))


def random_inside(rng: np.random.Generator, range_: Interval) -> int:
    """An end of the range, a third of the time each, or something within."""
    roll = rng.random()
    return range_[0] if roll < 1 / 3 else range_[1] if roll < 2 / 3 else int(rng.integers(range_[0], range_[1] + 1))
