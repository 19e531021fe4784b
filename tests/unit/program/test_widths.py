"""Whether so many bits hold all that a program computes, up to the edge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from test_ranges import family, law_ranges

from norse_export.program.interval import Interval
from norse_export.program.laws import NAMES, Law
from norse_export.program.operations import (
    FLOOR,
    HALF_EVEN,
    STOCHASTIC,
    TOWARD_ZERO,
    maximum,
    minimum,
    mul_shift,
    saturate,
    shift_left,
    shift_right,
    where,
    wrap,
)
from norse_export.program.program import Family, Step
from norse_export.program.ranges import intervals
from norse_export.program.widths import fits


def one(step: Callable[[Any, Any], Any], x: Interval, k: Interval, bits: int = 32) -> bool:
    def whole(x: Any, v: Any, *, k: Any) -> Step:
        return Step(state=(v,), output=step(x, k))

    program = family(whole).trace()
    return fits(program, intervals(program, {"x": x, "v": (0, 0), "k": k}), bits)


TOP = 2**31 - 1
FITS: dict[str, tuple[Callable[[Any, Any], Any], Interval, Interval, Interval, Interval]] = {
    # step, then x and k that fit, then x and k of which one is one too far
    "sum": (lambda x, k: x + k, (0, TOP - 5), (0, 5), (0, TOP - 5), (0, 6)),
    "sum below": (lambda x, k: x - k, (-TOP, 0), (0, 1), (-TOP, 0), (0, 2)),
    "port": (lambda x, k: minimum(x, 0), (0, TOP), (0, 0), (0, TOP + 1), (0, 0)),
    "magnitude": (lambda x, k: maximum(abs(x), 0), (-TOP, 0), (0, 0), (-TOP - 1, 0), (0, 0)),
    "shift left": (lambda x, k: shift_left(x, 3), (0, TOP >> 3), (0, 0), (0, (TOP >> 3) + 1), (0, 0)),
    "upper part": (
        lambda x, k: mul_shift(x, k, 12, FLOOR),
        (0, (1 << 23) - 1),
        (0, 4096),
        (-(1 << 31), 0),
        (0, 4097),
    ),
    "lower part": (lambda x, k: mul_shift(x, k, 16, FLOOR), (-3, 3), (0, 32768), (-3, 3), (0, 32769)),
    "lower part of small numbers": (
        lambda x, k: mul_shift(x, k, 16, FLOOR),
        (0, 255),
        (0, TOP // 255),
        (0, 255),
        (0, TOP // 255 + 1),
    ),
    "lower part of magnitudes": (
        lambda x, k: mul_shift(x, k, 4, TOWARD_ZERO),
        (-16, -16),
        (0, TOP // 15),
        (-16, -16),
        (0, TOP // 15 + 1),
    ),
    "magnitude of what is rounded toward zero": (
        lambda x, k: mul_shift(x, k, 4, TOWARD_ZERO),
        (-TOP, 0),
        (0, 1),
        (-TOP - 1, 0),
        (0, 1),
    ),
    "magnitude of what is shifted toward zero": (
        lambda x, k: shift_right(x, 4, TOWARD_ZERO),
        (-TOP, 0),
        (0, 0),
        (-TOP - 1, 0),
        (0, 0),
    ),
    "lower part, half-even": (
        lambda x, k: shift_right(x, 4, FLOOR) + mul_shift(x, k, 4, HALF_EVEN),
        (0, 15),
        (0, TOP // 15),
        (0, 15),
        (0, TOP // 15 + 1),
    ),
}


@pytest.mark.parametrize(("step", "x", "k", "far_x", "far_k"), FITS.values(), ids=FITS)
def test_32_bits_are_enough_up_to_the_edge(
    step: Callable[[Any, Any], Any], x: Interval, k: Interval, far_x: Interval, far_k: Interval
) -> None:
    assert one(step, x, k)
    assert not one(step, far_x, far_k)
    assert one(step, far_x, far_k, 64)


def test_what_is_added_in_stochastic_rounding_has_to_fit_too() -> None:
    def noisy(x: Any, v: Any, r: Any, *, k: Any) -> Step:
        return Step(state=(v,), output=mul_shift(x, k, 8, STOCHASTIC, r))

    def shifted(x: Any, v: Any, r: Any, *, k: Any) -> Step:
        return Step(state=(k,), output=shift_right(x, 8, STOCHASTIC, r))

    for step, most in ((noisy, (TOP - 255) // 200), (shifted, 0)):
        program = Family("noisy", step, ("x",), ("v",), random=("r",)).trace()
        x = (0, 200) if step is noisy else (0, TOP - 255)
        given = {"v": (0, 0), "x": x, "k": (0, most)}
        assert fits(program, intervals(program, given))
        more = {"k": (0, most + 1)} if step is noisy else {"x": (0, TOP - 254)}
        assert not fits(program, intervals(program, {**given, **more}))


def test_widths_and_written_numbers_have_to_fit() -> None:
    assert not one(lambda x, k: shift_right(x, 32, FLOOR), (0, 1), (0, 1))
    assert one(lambda x, k: shift_right(x, 31, FLOOR), (0, 1), (0, 1))
    assert not one(lambda x, k: saturate(x, 0, 2**31), (0, 1), (0, 1))
    assert one(lambda x, k: saturate(x, 0, 2**31 - 1), (0, 1), (0, 1))
    assert not one(lambda x, k: where(x > 2**31, 1, 0), (0, 1), (0, 1))
    assert one(lambda x, k: wrap(x, 32), (0, 1), (0, 1))


@pytest.mark.parametrize("name", NAMES)
def test_the_default_law_fits_32_bits_and_the_widest_does_not(name: str) -> None:
    program, ranges = law_ranges(name, Law(), (-(2**23), 2**23))
    assert fits(program, ranges.values)
    program, ranges = law_ranges(name, Law(state_bits=32), (-(2**31), 2**31 - 1))
    assert not fits(program, ranges.values)
