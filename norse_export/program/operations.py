"""The closed set of operations a neuron step may use, and what records them.

A step is a plain function of values. On arrays the operations below are numpy's own, so calling the step is the
interpreter. On `Symbol`s the same call leaves a straight-line list of `Instruction`s: the one form from which every
other execution (error bounds, compiled kernels, ranges, documentation) is derived.

`/`, `exp` and `matmul` are of real numbers alone; a step of integers has none of them.

Integers are exact: a sum or product of integers is that of whole numbers, whatever its size, and ranges.py proves that
64 bits hold it. What narrows or rounds is an operation of its own, with its width and its rounding in its name and
arguments; there is no other place for either. Arrays of integers are int64.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar

import numpy as np

MAX_BITS = 62  # of a width: two such numbers still have a sum that int64 holds


class Op(StrEnum):
    """Name of an operation; the operands are given in order."""

    PORT = "port"
    STATE = "state"
    PARAMETER = "parameter"
    CLOCK = "clock"
    RANDOM = "random"
    CONSTANT = "constant"
    ADD = "add"
    SUB = "sub"
    MUL = "mul"
    DIV = "div"
    EXP = "exp"
    MATMUL = "matmul"
    NEG = "neg"
    ABS = "abs"
    MIN = "min"
    MAX = "max"
    GREATER = "greater"
    GREATER_EQUAL = "greater_equal"
    EQUAL = "equal"
    AND = "and"
    OR = "or"
    NOT = "not"
    WHERE = "where"
    SHIFT_LEFT = "shift_left"
    SHIFT_RIGHT = "shift_right"
    MUL_SHIFT = "mul_shift"
    SATURATE = "saturate"
    WRAP = "wrap"
    WRAP_ONCE = "wrap_once"


COMPARED = (Op.GREATER, Op.GREATER_EQUAL, Op.EQUAL)
LOGICAL = (Op.AND, Op.OR, Op.NOT)
TRUTHS = (*COMPARED, *LOGICAL)  # whose values are truth values


class Rounding(StrEnum):
    """How a number that is divided by a power of two becomes a whole one."""

    FLOOR = "floor"
    TOWARD_ZERO = "toward_zero"
    HALF_EVEN = "half_even"
    STOCHASTIC = "stochastic"  # floor of the sum with a random number below the divisor


FLOOR, TOWARD_ZERO, HALF_EVEN, STOCHASTIC = Rounding


@dataclass(frozen=True, slots=True)
class Instruction:
    """One operation on earlier values.

    operands: their numbers. name: of ports, states, parameters, random streams. constants: of a constant its value; of
    a shift its amount; of `saturate` and `wrap_once` low and high; of `wrap` the bits. rounding: of a shift to the
    right.
    """

    op: Op
    operands: tuple[int, ...] = ()
    name: str = ""
    constants: tuple[int, ...] = ()
    rounding: Rounding | None = None

    @property
    def structure(self) -> tuple[object, ...]:
        """All but the numbers: what two programs that one kernel serves have in common."""
        return (self.op, self.operands, len(self.constants), self.rounding)


@dataclass(slots=True)
class Tape:
    """What a symbolic call has recorded so far."""

    instructions: list[Instruction] = field(default_factory=list)

    def record(
        self,
        op: Op,
        *operands: Any,
        name: str = "",
        constants: tuple[int, ...] = (),
        rounding: Rounding | None = None,
    ) -> Symbol:
        """Append one instruction and give the symbol of its value; a plain int among the operands is a constant."""
        numbers = tuple(self._symbol(op, operand).number for operand in operands)
        self.instructions.append(Instruction(op, numbers, name, constants, rounding))
        return Symbol(self, len(self.instructions) - 1)

    def _symbol(self, op: Op, operand: Any) -> Symbol:
        if type(operand) is int:
            return self.record(Op.CONSTANT, constants=(operand,))
        if not isinstance(operand, Symbol) or operand.tape is not self:
            raise TypeError(f"{op} takes values of the step it stands in, got {operand!r}")
        return operand


@dataclass(frozen=True, slots=True, eq=False)
class Symbol:
    """A value of a step that is being traced. Only the operations below exist; anything else is a TypeError."""

    tape: Tape
    number: int
    __array_ufunc__: ClassVar[None] = None  # numpy must not take a symbol for an array of one object

    def __add__(self, other: Symbol | int) -> Symbol:
        return self.tape.record(Op.ADD, self, other)

    def __sub__(self, other: Symbol | int) -> Symbol:
        return self.tape.record(Op.SUB, self, other)

    def __mul__(self, other: Symbol | int) -> Symbol:
        return self.tape.record(Op.MUL, self, other)

    def __truediv__(self, other: Symbol | int) -> Symbol:
        return self.tape.record(Op.DIV, self, other)

    def __neg__(self) -> Symbol:
        return self.tape.record(Op.NEG, self)

    def __abs__(self) -> Symbol:
        return self.tape.record(Op.ABS, self)

    def __gt__(self, other: Symbol | int) -> Symbol:
        return self.tape.record(Op.GREATER, self, other)

    def __ge__(self, other: Symbol | int) -> Symbol:
        return self.tape.record(Op.GREATER_EQUAL, self, other)

    def __and__(self, other: Symbol) -> Symbol:
        return self.tape.record(Op.AND, self, other)

    def __or__(self, other: Symbol) -> Symbol:
        return self.tape.record(Op.OR, self, other)

    def __invert__(self) -> Symbol:
        return self.tape.record(Op.NOT, self)

    def __eq__(self, other: object) -> bool:
        raise TypeError("a step compares values with >, >= or equal(a, b)")

    def __bool__(self) -> bool:
        raise TypeError("a step cannot branch on a value; use where(condition, a, b)")


def where(condition: Any, chosen: Any, otherwise: Any) -> Any:
    """Give `chosen` where the condition holds, else `otherwise`; elementwise."""
    tape = _tape(condition, chosen, otherwise)
    return tape.record(Op.WHERE, condition, chosen, otherwise) if tape else np.where(condition, chosen, otherwise)


def equal(a: Any, b: Any) -> Any:
    """Whether a and b are the same number."""
    tape = _tape(a, b)
    return tape.record(Op.EQUAL, a, b) if tape else np.equal(a, b)


def minimum(a: Any, b: Any) -> Any:
    """The smaller of two numbers."""
    tape = _tape(a, b)
    return tape.record(Op.MIN, a, b) if tape else np.minimum(a, b)


def maximum(a: Any, b: Any) -> Any:
    """The larger of two numbers."""
    tape = _tape(a, b)
    return tape.record(Op.MAX, a, b) if tape else np.maximum(a, b)


def exp(a: Any) -> Any:
    """e to the power of a; its last bit differs from one library to another."""
    tape = _tape(a)
    return tape.record(Op.EXP, a) if tape else np.exp(a)


def matmul(matrix: Any, a: Any) -> Any:
    """The matrix, a parameter [N, N], times values [..., N]: sum over k of matrix[n, k] a[..., k]."""
    tape = _tape(matrix, a)
    return tape.record(Op.MATMUL, matrix, a) if tape else np.matmul(a, np.swapaxes(matrix, -1, -2))


def shift_left(a: Any, bits: int) -> Any:
    """a * 2^bits, exactly; integers."""
    _check_width(bits, 0)
    tape = _tape(a)
    return tape.record(Op.SHIFT_LEFT, a, constants=(bits,)) if tape else np.left_shift(a, bits)


def shift_right(a: Any, bits: int, rounding: Rounding, noise: Any = None) -> Any:
    """a / 2^bits as a whole number, rounded as said; integers. noise: see `mul_shift`."""
    _check_width(bits, 0)
    rounding, tape = Rounding(rounding), _tape(a, noise)
    if tape:
        return _rounded(tape, Op.SHIFT_RIGHT, (a,), bits, rounding, noise)
    return _divided(np.asarray(a), bits, rounding, noise)


def mul_shift(a: Any, k: Any, bits: int, rounding: Rounding, noise: Any = None) -> Any:
    """a * k / 2^bits as a whole number: the product is exact (64 bits), and rounded once, as said; integers.

    noise: for STOCHASTIC, and only there: random numbers of 32 bits, of which the highest `bits` are taken.

    Raises:
        ValueError: noise with another rounding, or none with this one; more than 32 bits of it; an unknown rounding.
    """
    _check_width(bits, 0)
    rounding, tape = Rounding(rounding), _tape(a, k, noise)
    if tape:
        return _rounded(tape, Op.MUL_SHIFT, (a, k), bits, rounding, noise)
    return _divided(np.asarray(a) * np.asarray(k), bits, rounding, noise)


def saturate(a: Any, low: int, high: int) -> Any:
    """The number in [low, high] that is nearest to a; integers."""
    if low > high:
        raise ValueError(f"an empty range: {low} to {high}")
    tape = _tape(a)
    return tape.record(Op.SATURATE, a, constants=(low, high)) if tape else np.clip(a, low, high)


def wrap(a: Any, bits: int) -> Any:
    """The two's complement number of that many bits that differs from a by a multiple of 2^bits; integers."""
    _check_width(bits, 1)
    tape = _tape(a)
    if tape:
        return tape.record(Op.WRAP, a, constants=(bits,))
    half = np.int64(1 << (bits - 1))
    return ((np.asarray(a) + half) & np.int64((1 << bits) - 1)) - half


def wrap_once(a: Any, low: int, high: int) -> Any:
    """Add or subtract high - low + 1, once, where a is below low or above high; farther off it stays outside."""
    if low > high:
        raise ValueError(f"an empty range: {low} to {high}")
    tape = _tape(a)
    if tape:
        return tape.record(Op.WRAP_ONCE, a, constants=(low, high))
    span = high - low + 1
    return np.where(a > high, a - span, np.where(a < low, a + span, a))


def _tape(*values: Any) -> Tape | None:
    return next((value.tape for value in values if isinstance(value, Symbol)), None)


def _check_width(bits: int, least: int) -> None:
    if type(bits) is not int or not least <= bits <= MAX_BITS:
        raise ValueError(f"a width of {bits!r} bits: {least} to {MAX_BITS} are possible")


def _check_noise(bits: int, rounding: Rounding, noise: Any) -> None:
    if (noise is None) is (rounding is STOCHASTIC):
        raise ValueError(f"rounding {rounding} {'needs' if noise is None else 'takes no'} random numbers")
    if noise is not None and bits > 32:
        raise ValueError(f"stochastic rounding of {bits} bits: random numbers have 32")


def _rounded(tape: Tape, op: Op, values: tuple[Any, ...], bits: int, rounding: Rounding, noise: Any) -> Symbol:
    _check_noise(bits, rounding, noise)
    operands = values if noise is None else (*values, noise)
    return tape.record(op, *operands, constants=(bits,), rounding=rounding)


def _divided(a: Any, bits: int, rounding: Rounding, noise: Any) -> Any:
    """int64 a / 2^bits, rounded."""
    _check_noise(bits, rounding, noise)
    match rounding:
        case Rounding.FLOOR:
            return a >> bits
        case Rounding.TOWARD_ZERO:
            return np.where(a < 0, -(-a >> bits), a >> bits)
        case Rounding.HALF_EVEN:
            low, rest = a >> bits, a & ((1 << bits) - 1)
            half = (1 << bits) >> 1
            up = (rest > half) | ((rest == half) & (low & 1 == 1)) if bits else np.zeros_like(a, dtype=bool)
            return low + up
        case Rounding.STOCHASTIC:
            return (a + (np.asarray(noise) >> (32 - bits))) >> bits
