"""Arithmetic of real numbers as whole numbers with units: what translate.py makes the steps of neurons of.

A `Number` is a whole number of the program and what a 1 of it stands for, unit / 2^bits, for each neuron; to it belongs
a real number that is known beforehand, `offset`. A product with a known number changes the unit alone and costs no
operation; numbers of different units are added in one of them, and only then the other is multiplied and rounded, once.
So every rounding is a `mul_shift` or a `shift_right` that brings a number into the unit of another.

Real numbers that are known beforehand, parameters and what is computed of them, are float64 arrays, [*shape] or
broadcastable. They become parameters of the program: levels in the unit of what they are added to (half to even, but
for thresholds: v > v_th is, for whole v, v > floor(v_th)), factors as k / 2^s with as many bits as the law gives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import floor, log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import UnsupportedError
from norse_export.program.laws import Law
from norse_export.program.operations import (
    STOCHASTIC,
    Op,
    Symbol,
    Tape,
    mul_shift,
    saturate,
    shift_left,
    shift_right,
    wrap,
)

Floats = NDArray[np.float64]
MAX_FACTOR_SHIFT = 31  # a program of 32 bits shifts by no more
OPERAND_BITS = 31  # of a product of two numbers that are not known: 64 bits hold it
PRODUCT_BITS = 46  # that are kept of it: another product, with a factor of 16 bits, still fits in 64
FARTHEST = 2.0**46  # of a level: with the products that it takes part in, 64 bits hold no more
ZERO = np.zeros(())
FACTOR, LEVEL = "factor", "level"  # names of what follows from no parameter alone


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """A real number that is known beforehand, under the name of the parameter that it is or follows from."""

    value: Floats
    name: str = LEVEL

    @property
    def is_zero(self) -> bool:
        """Whether it is 0 for every neuron."""
        return not self.value.any()

    @property
    def negative(self) -> Known:
        """The number with the other sign."""
        return Known(-self.value, self.name)


@dataclass(frozen=True, slots=True, eq=False)
class Number:
    """A whole number of the program: it stands for symbol * unit / 2^bits + offset.

    counts: of steps or events, whose unit is 1. label: what the factor is called that brings it into another unit.
    """

    symbol: Symbol
    unit: Floats
    bits: int = 0
    offset: Known = field(default_factory=lambda: Known(ZERO))
    counts: bool = False
    label: str = FACTOR

    @property
    def size(self) -> Floats:
        """What a 1 stands for."""
        return self.unit * 2.0**-self.bits

    @property
    def negative(self) -> Number:
        """The number with the other sign: no operation."""
        return replace(self, unit=-self.unit, offset=self.offset.negative)


Value = Number | Known
_KNOWN: dict[Op, Callable[..., Any]] = {
    Op.ADD: np.add,
    Op.SUB: np.subtract,
    Op.MUL: np.multiply,
    Op.DIV: np.divide,
    Op.NEG: np.negative,
    Op.ABS: np.abs,
    Op.MIN: np.minimum,
    Op.MAX: np.maximum,
    Op.EXP: np.exp,
}


def computed(op: Op, *given: Known) -> Known:
    """An operation on numbers that are known, under the first one's name."""
    named = [one.name for one in given if one.name != LEVEL] or [LEVEL]
    return Known(np.asarray(_KNOWN[op](*(one.value for one in given)), np.float64), named[0])


@dataclass(slots=True)
class Arithmetic:
    """Operations on numbers of which one at least is not known, written on a tape.

    base: what a weight of 1 stands for, the unit of all states. working: the finest bits of any state. parameters:
    those that were made so far, whole numbers by name. lost: factors that are rounded to nothing, by name, as they are.
    """

    law: Law
    base: Floats
    working: int
    tape: Tape = field(default_factory=Tape)
    parameters: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    lost: dict[str, Floats] = field(default_factory=dict)
    _noises: int = 0
    _made: dict[tuple[str, bytes], Symbol] = field(default_factory=dict)
    _moved: dict[tuple[int, int], Symbol] = field(default_factory=dict)

    def add(self, a: Number, b: Value) -> Number:
        """a + b."""
        if isinstance(b, Known):
            return a if b.is_zero else replace(a, offset=computed(Op.ADD, a.offset, b))
        offset = computed(Op.ADD, a.offset, b.offset)
        if a.symbol.number == b.symbol.number:
            bits, label = max(a.bits, b.bits), a.label if b.label == FACTOR else f"{b.label}_keep"
            return Number(a.symbol, (a.size + b.size) * 2.0**bits, bits, offset, a.counts and b.counts, label)
        unit, bits, counts = self._common(a, b)
        minus = [np.array_equal(one.unit, -unit) for one in (a, b)]
        left, right = (
            self._in(one.negative if turned else one, unit, bits) for one, turned in zip((a, b), minus, strict=True)
        )
        if minus[0] is minus[1]:
            return Number(left + right, -unit if minus[0] else unit, bits, offset, counts)
        plus, less = (right, left) if minus[0] else (left, right)
        if not offset.is_zero:  # to what is added to: the difference is then that of two numbers, which bounds it
            plus, offset = plus + self._level(offset.name, np.rint(offset.value / (unit * 2.0**-bits))), Known(ZERO)
        return Number(plus - less, unit, bits, offset, counts)

    def multiply(self, a: Number, b: Value) -> Value:
        """a b: a product with a known number changes the unit alone."""
        if isinstance(b, Known):
            if np.all(b.value == 1):
                return a
            if b.is_zero:
                return b
            label = a.label if b.name == LEVEL else b.name
            a = self.settled(a)
            return replace(a, unit=a.unit * b.value, counts=False, label=label)
        a, b = self._operand(a), self._operand(b)
        excess = max(0, 2 * (self._operand_bits - 1) - PRODUCT_BITS)
        product = self._divided(a.symbol, excess, b.symbol) if excess else a.symbol * b.symbol
        return Number(product, a.unit * b.unit, a.bits + b.bits - excess)

    @property
    def _operand_bits(self) -> int:
        return min(self.law.state_bits + 2, OPERAND_BITS)

    def _operand(self, a: Number) -> Number:
        """A number as the multiplier takes it: with 2 bits more than a state, as far as there are so many."""
        a, bits = self.settled(a), self._operand_bits
        excess = self.law.state_bits + 2 - bits
        whole = self._divided(a.symbol, excess) if excess else a.symbol
        return replace(a, symbol=self.narrowed(whole, bits), bits=a.bits - excess)

    def narrowed(self, whole: Symbol, bits: int) -> Symbol:
        """The number in so many bits, as the law narrows."""
        if self.law.overflow == "wrap":
            return wrap(whole, bits)  # type: ignore[no-any-return]
        return saturate(whole, -(1 << (bits - 1)), (1 << (bits - 1)) - 1)  # type: ignore[no-any-return]

    def settled(self, a: Number) -> Number:
        """The same number, with its offset in the program."""
        if a.offset.is_zero:
            return a
        bits, unit = a.bits if a.counts else max(a.bits, self.working), -a.unit if np.all(a.unit < 0) else a.unit
        return replace(a, symbol=self.whole(a, unit, bits), unit=unit, bits=bits, offset=Known(ZERO))

    def magnitude(self, a: Number) -> Number:
        """|a|."""
        a = self.settled(a)
        return replace(a, symbol=abs(a.symbol), unit=np.abs(a.unit))

    def extreme(self, op: Op, a: Value, b: Value) -> Number:
        """The smaller (MIN) or larger (MAX) of two numbers."""
        left, right, meeting = self._together(a, b)
        return replace(meeting, symbol=self.tape.record(op, left, right))

    def chosen(self, condition: Symbol, a: Value, b: Value) -> Number:
        """a where the condition holds, else b."""
        left, right, meeting = self._together(a, b)
        return replace(meeting, symbol=self.tape.record(Op.WHERE, condition, left, right))

    def compared(self, op: Op, a: Value, b: Value) -> Symbol:
        """a > b, a >= b, or a == b."""
        if isinstance(a, Number) and isinstance(b, Known) and op is not Op.EQUAL:
            return self._past(op, a, b, above=True)
        if isinstance(b, Number) and isinstance(a, Known) and op is not Op.EQUAL:
            return self._past(op, b, a, above=False)
        left, right, meeting = self._together(a, b)
        if op is Op.GREATER and not self.law.strict and not meeting.counts:
            return self.tape.record(Op.GREATER_EQUAL, left, right + 1)
        return self.tape.record(op, left, right)

    def _past(self, op: Op, number: Number, level: Known, *, above: bool) -> Symbol:
        """Whether a number is above a level, or a level above a number: the number is not rounded for it."""
        if np.all(number.unit < 0):
            return self._past(op, number.negative, level.negative, above=not above)
        if np.any(number.unit <= 0):
            number = Number(self._in(number, self.base, self.working), self.base, self.working, number.offset)
        real, reached = (level.value - number.offset.value) / number.size, op is Op.GREATER_EQUAL
        whole = np.ceil(real) if above is reached else np.floor(real)
        strict = op is Op.GREATER and (self.law.strict or number.counts)
        if not strict and not reached:
            whole = whole + 1 if above else whole - 1
        made = self._level(level.name, np.clip(whole, -FARTHEST, FARTHEST), written=number.counts)
        left, right = (number.symbol, made) if above else (made, number.symbol)
        return self.tape.record(Op.GREATER if strict else Op.GREATER_EQUAL, left, right)

    def whole(self, a: Value, unit: Floats, bits: int) -> Any:
        """The value as a whole number of that unit, an offset included."""
        size = unit * 2.0**-bits
        if isinstance(a, Known):
            return 0 if a.is_zero else self._level(a.name, np.rint(a.value / size))
        minus = np.array_equal(a.unit, -unit)
        symbol = self._in(a.negative if minus else a, unit, bits)
        if a.offset.is_zero:
            return -symbol if minus else symbol
        level = self._level(a.offset.name, np.rint(a.offset.value / size), written=a.counts)
        return level - symbol if minus and isinstance(level, Symbol) else (-symbol if minus else symbol) + level

    def _level(self, name: str, whole: Floats, *, written: bool = False) -> Any:
        """A parameter of the program, under its name or that with a number behind it.

        written: a number that all neurons share stands in the program.
        """
        if np.any(np.abs(whole) > FARTHEST):
            message = f"{name} is {np.max(np.abs(whole)):.3g} times the least difference that a state can show"
            fix = "rescale the layer: its levels are too large for its weights"
            raise UnsupportedError(message, where=name, fix=fix)
        value = whole.astype(np.int64)
        if written and value.size and np.all(value == value.flat[0]):
            return int(value.flat[0])
        key = (name, np.ascontiguousarray(value).tobytes())
        if key not in self._made:
            numbered = (name if number == 1 else f"{name}{number}" for number in range(1, len(self.parameters) + 2))
            unique = next(one for one in numbered if one not in self.parameters)
            self.parameters[unique] = value
            self._made[key] = self.tape.record(Op.PARAMETER, name=unique)
        return self._made[key]

    def _common(self, a: Number, b: Number) -> tuple[Floats, int, bool]:
        """The unit and bits in which two numbers meet, those of a state where one of them has them; if they count."""
        if a.counts and b.counts:
            return np.ones(()), 0, True
        real = [one for one in (a, b) if not one.counts]
        bits = max(one.bits for one in real)
        if not all(np.array_equal(np.abs(one.unit), self.base) for one in real):
            bits = min(bits, self.working)
        return self.base, bits, False

    def _together(self, a: Value, b: Value) -> tuple[Any, Any, Number]:
        """Two values as whole numbers of one unit; the third has that unit."""
        numbers = [self.settled(one) for one in (a, b) if isinstance(one, Number)]
        if len(numbers) == 2:
            unit, bits, counts = self._common(*numbers)
        elif numbers:
            unit, bits, counts = np.abs(numbers[0].unit), numbers[0].bits, numbers[0].counts
            if not (np.all(numbers[0].unit > 0) or np.all(numbers[0].unit < 0)):
                unit, bits = self.base, max(bits, self.working)
        else:
            unit, bits, counts = self.base, self.working, False
        settled = iter(numbers)
        left, right = (self.whole(next(settled) if isinstance(one, Number) else one, unit, bits) for one in (a, b))
        label = numbers[0].label if len(numbers) == 1 else FACTOR
        return left, right, Number(Symbol(self.tape, -1), unit, bits, counts=counts, label=label)

    def _in(self, a: Number, unit: Floats, bits: int) -> Symbol:
        """The number in another unit, rounded once; its offset left out."""
        if np.array_equal(a.unit, unit):
            if bits < a.bits:
                return self._divided(a.symbol, a.bits - bits)
            return a.symbol if bits == a.bits else self._shifted(a.symbol, bits - a.bits)
        ratio = a.size / (unit * 2.0**-bits)
        shift = self._factor_shift(float(np.max(np.abs(ratio))))
        whole = np.rint(ratio * 2.0**shift)
        factor = self._level(a.label, whole)
        nothing = (whole == 0) & (ratio != 0) | (whole == 2.0**shift) & (ratio != 1)
        if np.any(nothing):
            self.lost[self.tape.instructions[factor.number].name] = ratio
        return self._divided(a.symbol, shift, factor)

    def _shifted(self, a: Symbol, bits: int) -> Symbol:
        """a 2^bits: one value for all that need it, so that what is known of a part of them is known of all."""
        if (a.number, bits) not in self._moved:
            self._moved[a.number, bits] = shift_left(a, bits)
        return self._moved[a.number, bits]

    def _factor_shift(self, largest: float) -> int:
        """With so many bits behind the point a factor takes as many bits as the law gives it."""
        if largest == 0:
            return 0
        exponent = floor(log2(largest))
        shift = self.law.decay_bits - 1 - exponent
        if largest == 2.0**exponent:
            shift += 1  # a power of two may reach 2^decay_bits, as a decay of 0 does in the law
        elif np.rint(largest * 2.0**shift) > 2**self.law.decay_bits:
            shift -= 1
        return min(MAX_FACTOR_SHIFT, max(0, shift))

    def _divided(self, a: Symbol, bits: int, factor: Symbol | None = None) -> Symbol:
        """a / 2^bits, or a factor / 2^bits, as the law rounds."""
        noise = None
        if self.law.rounding is STOCHASTIC:
            noise = self.tape.record(Op.RANDOM, name=f"r{self._noises}")
            self._noises += 1
        if factor is None:
            return shift_right(a, bits, self.law.rounding, noise)  # type: ignore[no-any-return]
        return mul_shift(a, factor, bits, self.law.rounding, noise)  # type: ignore[no-any-return]
