"""Operations on arrays of integers, judged by exact arithmetic: ties, signs, and the edges of every width."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from exact_operations import divided, rounded, saturated, wrapped, wrapped_once
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from norse_export.program.operations import (
    FLOOR,
    HALF_EVEN,
    MAX_BITS,
    STOCHASTIC,
    TOWARD_ZERO,
    Instruction,
    Op,
    Rounding,
    Tape,
    equal,
    exp,
    matmul,
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

Array = NDArray[np.int64]
PLAIN = (FLOOR, TOWARD_ZERO, HALF_EVEN)
WIDTHS = (1, 2, 3, 8, 16, 24, 31, 32, 33, 61, 62)
wholes = st.integers(-(2**61), 2**61)


def array(*values: int) -> Array:
    return np.array(values, np.int64)


TIES = {  # sixteenths: -24 is -1.5
    FLOOR: {-40: -3, -24: -2, -17: -2, -16: -1, -15: -1, -8: -1, -1: -1, 0: 0, 1: 0, 8: 0, 15: 0, 24: 1, 40: 2},
    TOWARD_ZERO: {-40: -2, -24: -1, -17: -1, -16: -1, -15: 0, -8: 0, -1: 0, 0: 0, 1: 0, 8: 0, 15: 0, 24: 1, 40: 2},
    HALF_EVEN: {-40: -2, -25: -2, -24: -2, -23: -1, -9: -1, -8: 0, -7: 0, 0: 0, 7: 0, 8: 0, 9: 1, 23: 1, 24: 2, 40: 2},
}


@pytest.mark.parametrize(("rounding", "cases"), TIES.items(), ids=TIES)
def test_each_rounding_at_ties_and_signs(rounding: Rounding, cases: dict[int, int]) -> None:
    sixteenths = array(*cases)
    assert shift_right(sixteenths, 4, rounding).tolist() == list(cases.values())
    assert mul_shift(sixteenths, array(3), 4, rounding).tolist() == [divided(3 * n, 4, rounding) for n in cases]
    assert mul_shift(-sixteenths, array(-1), 4, rounding).tolist() == list(cases.values())


@pytest.mark.parametrize("rounding", PLAIN)
@given(a=wholes, bits=st.integers(0, MAX_BITS))
def test_a_shift_to_the_right_is_the_rounded_fraction(rounding: Rounding, a: int, bits: int) -> None:
    assert shift_right(array(a), bits, rounding).tolist() == [rounded(Fraction(a, 2**bits), rounding)]


@pytest.mark.parametrize("rounding", PLAIN)
@given(a=st.integers(-(2**40), 2**40), k=st.integers(-(2**20), 2**20), bits=st.integers(0, MAX_BITS))
def test_a_product_is_exact_and_rounded_once(rounding: Rounding, a: int, k: int, bits: int) -> None:
    assert mul_shift(array(a), array(k), bits, rounding).tolist() == [rounded(Fraction(a * k, 2**bits), rounding)]


@given(
    a=st.integers(-(2**40), 2**40),
    k=st.integers(-(2**20), 2**20),
    bits=st.integers(0, 32),
    noise=st.integers(0, 2**32 - 1),
)
def test_stochastic_rounding_takes_the_highest_bits_of_its_number(a: int, k: int, bits: int, noise: int) -> None:
    got = mul_shift(array(a), array(k), bits, STOCHASTIC, array(noise))
    assert got.tolist() == [divided(a * k, bits, STOCHASTIC, noise)]
    assert shift_right(array(a), bits, STOCHASTIC, array(noise)).tolist() == [divided(a, bits, STOCHASTIC, noise)]


def test_stochastic_rounding_is_right_in_the_mean() -> None:
    noise = (np.arange(2**12, dtype=np.int64) << 20) + 12345  # each of the highest 12 bits once
    for a in (-4097, -4095, -1, 0, 1, 1000, 4095, 4096, 4097):
        assert int(shift_right(array(a), 12, STOCHASTIC, noise).sum()) == a


@pytest.mark.parametrize("rounding", PLAIN)
def test_a_division_by_one_changes_nothing(rounding: Rounding) -> None:
    values = array(-(2**62), -3, -1, 0, 1, 2, 2**62)
    assert shift_right(values, 0, rounding).tolist() == values.tolist()
    assert shift_right(values, 0, STOCHASTIC, array(2**32 - 1)).tolist() == values.tolist()


def test_random_numbers_belong_to_stochastic_rounding_only() -> None:
    one = array(1)
    for rounding in PLAIN:
        with pytest.raises(ValueError, match=f"{rounding} takes no random numbers"):
            mul_shift(one, one, 4, rounding, one)
        with pytest.raises(ValueError, match="takes no random numbers"):
            shift_right(one, 4, rounding, one)
    with pytest.raises(ValueError, match="stochastic needs random numbers"):
        mul_shift(one, one, 4, STOCHASTIC)
    with pytest.raises(ValueError, match="of 33 bits"):
        mul_shift(one, one, 33, STOCHASTIC, one)
    assert shift_right(array(2**32), 32, STOCHASTIC, one).tolist() == [1]


def test_a_rounding_may_be_given_by_its_name_and_an_unknown_one_is_refused() -> None:
    assert shift_right(array(-1), 1, "toward_zero").tolist() == [0]  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs random numbers"):
        shift_right(array(1), 1, "stochastic")  # type: ignore[arg-type]
    for call in (lambda value: shift_right(value, 1, "up"), lambda value: mul_shift(value, value, 1, "up")):  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="'up'"):
            call(array(1))
        with pytest.raises(ValueError, match="'up'"):
            call(Tape().record(Op.PORT, name="x"))


@pytest.mark.parametrize("bits", WIDTHS)
def test_saturate_at_the_edges(bits: int) -> None:
    top = 2 ** (bits - 1) - 1
    values = [-top - 3, -top - 2, -top - 1, -top, -1, 0, 1, top - 1, top, top + 1, top + 2]
    got = saturate(array(*values), -top - 1, top)
    assert got.dtype == np.int64
    assert got.tolist() == [saturated(value, -top - 1, top) for value in values]
    assert got.tolist()[-3:] == [top] * 3
    assert got.tolist()[:3] == [-top - 1] * 3


@pytest.mark.parametrize("bits", WIDTHS)
def test_wrap_at_the_edges(bits: int) -> None:
    half = 2 ** (bits - 1)
    cases = {half - 1: half - 1, half: -half, half + 1: -half + 1, -half: -half, -half - 1: half - 1, 0: -0}
    if bits == 1:
        cases[half + 1] = 0
    got = wrap(array(*cases), bits)
    assert got.dtype == np.int64
    assert got.tolist() == list(cases.values())
    assert got.tolist() == [wrapped(value, bits) for value in cases]


@given(a=wholes, bits=st.integers(1, MAX_BITS))
def test_wrap_differs_by_a_multiple_and_lies_in_the_width(a: int, bits: int) -> None:
    (got,) = wrap(array(a), bits).tolist()
    assert -(2 ** (bits - 1)) <= got < 2 ** (bits - 1)
    assert (got - a) % 2**bits == 0


@pytest.mark.parametrize(("low", "high"), [(-8, 7), (-(2**23) + 1, 2**23), (0, 255), (5, 5)])
def test_wrap_once_at_the_edges(low: int, high: int) -> None:
    span = high - low + 1
    cases = {
        high - 1: high - 1,
        high: high,
        high + 1: low,
        high + 2: low + 1,
        low: low,
        low - 1: high,
        low - 2: high - 1,
    }
    cases |= {high + span + 1: high + 1, low - span - 1: low - 1}  # twice beyond: still outside
    if low == high:
        cases = {high: high, high + 1: high, high - 1: high, high + 2: high + 1}
    got = wrap_once(array(*cases), low, high)
    assert got.tolist() == list(cases.values())
    assert got.tolist() == [wrapped_once(value, low, high) for value in cases]


def test_plain_operations_on_arrays() -> None:
    a, b = array(-3, 0, 7, 7), array(2, 0, -7, 7)
    assert minimum(a, b).tolist() == [-3, 0, -7, 7]
    assert maximum(a, b).tolist() == [2, 0, 7, 7]
    assert equal(a, b).tolist() == [False, True, False, True]
    assert shift_left(a, 6).tolist() == [-192, 0, 448, 448]
    assert where(a > b, 1, 0).tolist() == [0, 0, 1, 0]
    assert shift_left(array(1), MAX_BITS).tolist() == [2**62]
    assert shift_left(a, 0).tolist() == a.tolist()
    assert saturate(a, 5, 5).tolist() == [5] * 4


ONE = array(1)
IMPOSSIBLE: dict[str, Callable[[Any], Any]] = {
    "wrap to no bit": lambda x: wrap(x, 0),
    "wrap to 63 bits": lambda x: wrap(x, MAX_BITS + 1),
    "wrap to a fraction": lambda x: wrap(x, 8.0),  # type: ignore[arg-type]
    "wrap to a flag": lambda x: wrap(x, True),
    "shift left by less than nothing": lambda x: shift_left(x, -1),
    "shift left by 63": lambda x: shift_left(x, 63),
    "shift right by less than nothing": lambda x: shift_right(x, -1, FLOOR),
    "shift right by 63": lambda x: shift_right(x, 63, FLOOR),
    "product shifted by 63": lambda x: mul_shift(x, x, 63, FLOOR),
    "product shifted by a numpy number": lambda x: mul_shift(x, x, np.int64(3), FLOOR),  # type: ignore[arg-type]
    "saturate to nothing": lambda x: saturate(x, 1, 0),
    "wrap once to nothing": lambda x: wrap_once(x, 1, 0),
    "stochastic by 33 bits": lambda x: shift_right(x, 33, STOCHASTIC, x),
    "stochastic without numbers": lambda x: shift_right(x, 3, STOCHASTIC),
    "floor with numbers": lambda x: shift_right(x, 3, FLOOR, x),
}


@pytest.mark.parametrize("call", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_impossible_widths_are_refused_on_arrays_and_on_symbols_alike(call: Callable[[Any], Any]) -> None:
    with pytest.raises(ValueError, match=r"bits|range|random numbers"):
        call(ONE)
    tape = Tape()
    with pytest.raises(ValueError, match=r"bits|range|random numbers"):
        call(tape.record(Op.PORT, name="x"))
    assert len(tape.instructions) == 1


RECORDED: dict[str, tuple[Callable[[Any, Any], Any], Instruction]] = {
    "add": (lambda a, b: a + b, Instruction(Op.ADD, (0, 1))),
    "sub": (lambda a, b: a - b, Instruction(Op.SUB, (0, 1))),
    "mul": (lambda a, b: a * b, Instruction(Op.MUL, (0, 1))),
    "neg": (lambda a, b: -a, Instruction(Op.NEG, (0,))),
    "abs": (lambda a, b: abs(a), Instruction(Op.ABS, (0,))),
    "min": (lambda a, b: minimum(a, b), Instruction(Op.MIN, (0, 1))),
    "max": (lambda a, b: maximum(a, b), Instruction(Op.MAX, (0, 1))),
    "greater": (lambda a, b: a > b, Instruction(Op.GREATER, (0, 1))),
    "less": (lambda a, b: a < b, Instruction(Op.GREATER, (1, 0))),
    "at least": (lambda a, b: a >= b, Instruction(Op.GREATER_EQUAL, (0, 1))),
    "at most": (lambda a, b: a <= b, Instruction(Op.GREATER_EQUAL, (1, 0))),
    "divide": (lambda a, b: a / b, Instruction(Op.DIV, (0, 1))),
    "exp": (lambda a, b: exp(a), Instruction(Op.EXP, (0,))),
    "matmul": (lambda a, b: matmul(a, b), Instruction(Op.MATMUL, (0, 1))),
    "equal": (lambda a, b: equal(a, b), Instruction(Op.EQUAL, (0, 1))),
    "and": (lambda a, b: a & b, Instruction(Op.AND, (0, 1))),
    "or": (lambda a, b: a | b, Instruction(Op.OR, (0, 1))),
    "not": (lambda a, b: ~a, Instruction(Op.NOT, (0,))),
    "where": (lambda a, b: where(a, b, a), Instruction(Op.WHERE, (0, 1, 0))),
    "shift left": (lambda a, b: shift_left(a, 6), Instruction(Op.SHIFT_LEFT, (0,), constants=(6,))),
    "shift right": (
        lambda a, b: shift_right(a, 3, HALF_EVEN),
        Instruction(Op.SHIFT_RIGHT, (0,), constants=(3,), rounding=HALF_EVEN),
    ),
    "shift right, stochastic": (
        lambda a, b: shift_right(a, 3, STOCHASTIC, b),
        Instruction(Op.SHIFT_RIGHT, (0, 1), constants=(3,), rounding=STOCHASTIC),
    ),
    "mul shift": (
        lambda a, b: mul_shift(a, b, 12, TOWARD_ZERO),
        Instruction(Op.MUL_SHIFT, (0, 1), constants=(12,), rounding=TOWARD_ZERO),
    ),
    "mul shift, stochastic": (
        lambda a, b: mul_shift(a, b, 12, STOCHASTIC, b),
        Instruction(Op.MUL_SHIFT, (0, 1, 1), constants=(12,), rounding=STOCHASTIC),
    ),
    "saturate": (lambda a, b: saturate(a, -8, 7), Instruction(Op.SATURATE, (0,), constants=(-8, 7))),
    "wrap": (lambda a, b: wrap(a, 8), Instruction(Op.WRAP, (0,), constants=(8,))),
    "wrap once": (lambda a, b: wrap_once(a, -7, 8), Instruction(Op.WRAP_ONCE, (0,), constants=(-7, 8))),
}


@pytest.mark.parametrize(("call", "expected"), RECORDED.values(), ids=RECORDED)
def test_on_symbols_every_operation_leaves_its_instruction(
    call: Callable[[Any, Any], Any], expected: Instruction
) -> None:
    tape = Tape()
    a, b = tape.record(Op.PORT, name="a"), tape.record(Op.PORT, name="b")
    result = call(a, b)
    assert tape.instructions[2:] == [expected]
    assert (result.tape, result.number) == (tape, 2)


def test_every_operation_is_recorded_by_some_call() -> None:
    leaves = {Op.PORT, Op.STATE, Op.PARAMETER, Op.CLOCK, Op.RANDOM, Op.CONSTANT}
    assert {expected.op for _, expected in RECORDED.values()} | leaves == set(Op)


def test_a_whole_number_on_the_right_becomes_a_constant_before_its_use() -> None:
    tape = Tape()
    x = tape.record(Op.PORT, name="x")
    where(x > 5, 1, x)
    mul_shift(x, 3, 2, FLOOR)
    assert tape.instructions[1:] == [
        Instruction(Op.CONSTANT, constants=(5,)),
        Instruction(Op.GREATER, (0, 1)),
        Instruction(Op.CONSTANT, constants=(1,)),
        Instruction(Op.WHERE, (2, 3, 0)),
        Instruction(Op.CONSTANT, constants=(3,)),
        Instruction(Op.MUL_SHIFT, (0, 5), constants=(2,), rounding=FLOOR),
    ]


NO_CONSTANTS: dict[str, Callable[[Any], Any]] = {
    "fraction": lambda x: x + 0.5,
    "whole float": lambda x: x + 1.0,
    "flag": lambda x: x + True,
    "numpy integer": lambda x: x + np.int64(1),
    "array": lambda x: minimum(x, ONE),
    "nothing": lambda x: where(x, x, None),
    "text": lambda x: equal(x, "1"),
    "whole number on the left": lambda x: 1 + x,
}


@pytest.mark.parametrize("call", NO_CONSTANTS.values(), ids=NO_CONSTANTS)
def test_only_plain_whole_numbers_on_the_right_are_constants(call: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError):
        call(Tape().record(Op.PORT, name="x"))


def test_structure_leaves_out_numbers_and_names_and_nothing_else() -> None:
    one = Instruction(Op.SHIFT_RIGHT, (0,), constants=(3,), rounding=FLOOR)
    assert one.structure == Instruction(Op.SHIFT_RIGHT, (0,), name="n", constants=(4,), rounding=FLOOR).structure
    assert one.structure != Instruction(Op.SHIFT_RIGHT, (1,), constants=(3,), rounding=FLOOR).structure
    assert one.structure != Instruction(Op.SHIFT_RIGHT, (0,), constants=(3,), rounding=HALF_EVEN).structure
    assert one.structure != Instruction(Op.WRAP, (0,), constants=(3,), rounding=FLOOR).structure
