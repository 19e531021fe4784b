"""No run leaves the ranges, and for the laws that are used they are reached or nearly so."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

import numpy as np
import pytest
from exact_operations import calculated
from law_choices import laws
from random_programs import PARAMETERS, PORTS, STATES, random_inside, random_interval, random_program

from norse_export.errors import UnsupportedError
from norse_export.program import interval
from norse_export.program.interval import WORD, Interval, kept_by, result, within
from norse_export.program.laws import NAMES, Law, integer_family
from norse_export.program.operations import (
    FLOOR,
    HALF_EVEN,
    STOCHASTIC,
    TOWARD_ZERO,
    Instruction,
    Op,
    equal,
    mul_shift,
    saturate,
    shift_right,
    where,
    wrap,
)
from norse_export.program.program import Family, Program, Step
from norse_export.program.ranges import FARTHEST, Ranges, intervals, state_ranges
from norse_export.program.widths import fits


def holds(values: list[int], ranges: tuple[Interval, ...]) -> bool:
    return all(low <= value <= high for value, (low, high) in zip(values, ranges, strict=True))


def one_step_is_sound(seed: int) -> bool:
    rng = np.random.default_rng(seed)
    program = random_program(rng)
    given = {name: random_interval(rng) for name in (*PORTS, *STATES, *PARAMETERS)}
    clock = (0, int(rng.integers(0, 30)))
    ranges = intervals(program, {**given, "t": clock})
    for _ in range(25):
        point = {name: random_inside(rng, range_) for name, range_ in given.items()}
        point["r"] = random_inside(rng, WORD)
        if not holds(calculated(program, point, random_inside(rng, clock)), ranges):
            return False
    return True


def test_no_value_of_a_random_program_leaves_its_range() -> None:
    assert all(one_step_is_sound(seed) for seed in range(300))


FAULTS: dict[Op, Callable[..., Interval]] = {
    Op.SUB: lambda a, b: (a[0] - b[0], a[1] - b[1]) if a[0] - b[0] <= a[1] - b[1] else (a[1] - b[1], a[0] - b[0]),
    Op.ABS: lambda a: (abs(a[0]), abs(a[1])) if abs(a[0]) <= abs(a[1]) else (abs(a[1]), abs(a[0])),
    Op.GREATER: lambda a, b: (0, 0) if a[1] <= b[0] + 1 else (1, 1) if a[0] > b[1] else (0, 1),
    Op.GREATER_EQUAL: lambda a, b: (0, 0) if a[1] < b[0] else (1, 1) if a[0] >= b[0] else (0, 1),
    Op.OR: lambda a, b: a,
    Op.MAX: lambda a, b: (max(a[0], b[0]), a[1] if a[1] >= max(a[0], b[0]) else max(a[0], b[0])),
}


@pytest.mark.parametrize("op", FAULTS)
def test_a_wrong_range_is_found(op: Op, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(interval._PLAIN, op, FAULTS[op])
    assert not all(one_step_is_sound(seed) for seed in range(500))


SMALL = ((-5, -3), (-2, 1), (0, 0), (2, 6), (-9, 9))
ALONE: dict[str, tuple[Instruction, int]] = {
    "add": (Instruction(Op.ADD), 2),
    "sub": (Instruction(Op.SUB), 2),
    "mul": (Instruction(Op.MUL), 2),
    "neg": (Instruction(Op.NEG), 1),
    "abs": (Instruction(Op.ABS), 1),
    "min": (Instruction(Op.MIN), 2),
    "max": (Instruction(Op.MAX), 2),
    "greater": (Instruction(Op.GREATER), 2),
    "greater or equal": (Instruction(Op.GREATER_EQUAL), 2),
    "equal": (Instruction(Op.EQUAL), 2),
    "shift left": (Instruction(Op.SHIFT_LEFT, constants=(3,)), 1),
    "saturate": (Instruction(Op.SATURATE, constants=(-4, 2)), 1),
    "wrap": (Instruction(Op.WRAP, constants=(3,)), 1),
    "wrap to more": (Instruction(Op.WRAP, constants=(8,)), 1),
    "wrap once": (Instruction(Op.WRAP_ONCE, constants=(-3, 3)), 1),
    "wrap once, from its low end": (Instruction(Op.WRAP_ONCE, constants=(-2, 4)), 1),
    "wrap once, to its high end": (Instruction(Op.WRAP_ONCE, constants=(-4, 1)), 1),
    "wrap once, narrow": (Instruction(Op.WRAP_ONCE, constants=(-1, 0)), 1),
}
for name_, rounding_ in itertools.product(("shift right", "mul shift"), (FLOOR, TOWARD_ZERO, HALF_EVEN)):
    op_ = Op.SHIFT_RIGHT if name_ == "shift right" else Op.MUL_SHIFT
    ALONE[f"{name_}, {rounding_}"] = (Instruction(op_, constants=(2,), rounding=rounding_), 1 + (op_ is Op.MUL_SHIFT))


def calculated_alone(step: Instruction, *operands: int) -> int:
    names = [f"p{number}" for number in range(len(operands))]
    leaves = [Instruction(Op.PORT, name=name) for name in names]
    whole = Instruction(step.op, tuple(range(len(operands))), "", step.constants, step.rounding)
    program = Program((*leaves, whole), (), None, len(operands), ())
    return calculated(program, dict(zip(names, operands, strict=True)))[-1]


@pytest.mark.parametrize(("step", "count"), ALONE.values(), ids=ALONE)
def test_the_range_of_an_operation_is_the_smallest_that_holds_all(step: Instruction, count: int) -> None:
    for operands in itertools.product(SMALL, repeat=count):
        points = itertools.product(*(range(low, high + 1) for low, high in operands))
        values = [calculated_alone(step, *point) for point in points]
        expected = (min(values), max(values))
        got = result(step, operands)
        if step.op is Op.WRAP and expected != got:  # it wraps, but misses an end of the width by chance
            half = 1 << (step.constants[0] - 1)
            assert got == (-half, half - 1)
            assert operands[0][0] < -half or operands[0][1] >= half
            continue
        assert got == expected


@pytest.mark.parametrize("step", [Instruction(Op.AND), Instruction(Op.OR), Instruction(Op.NOT)], ids=str)
def test_truth_values(step: Instruction) -> None:
    some = ((0, 0), (0, 1), (1, 1))
    for operands in itertools.product(some, repeat=1 if step.op is Op.NOT else 2):
        points = itertools.product(*(range(low, high + 1) for low, high in operands))
        values = [calculated_alone(step, *point) for point in points]
        assert result(step, operands) == (min(values), max(values))


@pytest.mark.parametrize("bits", [0, 1, 5, 32])
def test_stochastic_rounding_adds_all_but_one(bits: int) -> None:
    step = Instruction(Op.SHIFT_RIGHT, constants=(bits,), rounding=STOCHASTIC)
    one = 1 << bits
    assert result(step, ((-3 * one, 2 * one), WORD)) == (-3, 2)
    assert result(step, ((-3 * one - 1, 2 * one + 1), WORD)) == (-4, 3)
    assert result(step, ((1, 1), (0, 0))) == (1 >> bits, 1 >> bits)
    assert result(step, ((one // 2, one // 2), (2**31, 2**31))) == (1 if bits else 0, 1 if bits else 0)


def test_without_what_its_condition_says_where_gives_either() -> None:
    step = Instruction(Op.WHERE)
    assert result(step, ((0, 1), (2, 3), (-4, 1))) == (-4, 3)
    assert result(step, ((0, 1), (-4, 9), (2, 3))) == (-4, 9)
    assert result(step, ((1, 1), (2, 3), (-4, 9))) == (2, 3)
    assert result(step, ((0, 0), (2, 3), (-4, 9))) == (-4, 9)


def family(step: Callable[..., Step], *state: str) -> Family:
    return Family(step.__name__, step, ("x",), state or ("v",))


def reached(step: Callable[..., Step], x: Interval, v: Interval, **parameters: Interval) -> tuple[Interval, Interval]:
    """The range of the first state after a step, and its ends over every x and v."""
    program = family(step).trace()
    given = {"x": x, "v": v, **parameters}
    points = itertools.product(*(range(low, high + 1) for low, high in given.values()))
    values = [calculated(program, dict(zip(given, point, strict=True)))[program.state[0]] for point in points]
    return intervals(program, given)[program.state[0]], (min(values), max(values))


def kept(x: Any, v: Any) -> Step:
    return Step(state=(where(v > x, -100, v),), spike=v > x)


def kept_at(x: Any, v: Any) -> Step:
    return Step(state=(where(v >= x, -100, v),), spike=v > x)


def other_way(x: Any, v: Any) -> Step:
    return Step(state=(where(x > v, v, -100),), spike=v > x)


def negated(x: Any, v: Any) -> Step:
    return Step(state=(where(~(v > x), v, -100),), spike=v > x)


def both(x: Any, v: Any) -> Step:
    return Step(state=(where((v > x) & (v > 2), -100, v),), spike=v > x)


def either(x: Any, v: Any) -> Step:
    return Step(state=(where((v > x) | (v > 2), -100, v),), spike=v > x)


def within_two(x: Any, v: Any) -> Step:
    return Step(state=(where((v >= -2) & (x >= v), v, 0),), spike=v > x)


def subtracted(x: Any, v: Any) -> Step:
    return Step(state=(where(v > x, v - x, 0),), spike=v > x)


def subtracted_at(x: Any, v: Any) -> Step:
    return Step(state=(where(v >= x, x - v, -30),), spike=v > x)


def counted(x: Any, v: Any) -> Step:
    return Step(state=(where(equal(v, 0), v, v - 1),), spike=v > x)


def counted_up(x: Any, v: Any) -> Step:
    return Step(state=(where(equal(v, 7), v, v + 1),), spike=v > x)


def unequal(x: Any, v: Any) -> Step:
    return Step(state=(where(equal(v, x), 5, v),), spike=v > x)


def matched(x: Any, v: Any) -> Step:
    return Step(state=(where(equal(v, x), v, x),), spike=v > x)


def resting(x: Any, v: Any) -> Step:
    z = (v > 3) & ~(x > 0)
    return Step(state=(where(z, 0, where(x > 0, 1, v)),), spike=z)


def nested(x: Any, v: Any) -> Step:
    return Step(state=(where(v > 4, 4, where(v >= -4, v, -4)) * 2,), spike=v > x)


BRANCHES: dict[Callable[..., Step], tuple[Interval, Interval]] = {
    kept: ((3, 6), (-10, 10)),
    kept_at: ((3, 6), (-10, 10)),
    other_way: ((3, 6), (-10, 10)),
    negated: ((3, 6), (-10, 10)),
    both: ((0, 1), (-10, 10)),
    either: ((-4, 6), (-10, 10)),
    within_two: ((-9, 4), (-10, 10)),
    subtracted: ((2, 5), (-10, 10)),
    subtracted_at: ((2, 5), (-10, 10)),
    counted: ((0, 0), (0, 7)),
    unequal: ((0, 3), (0, 7)),
    counted_up: ((0, 0), (0, 7)),
    matched: ((2, 3), (-10, 10)),
    resting: ((-2, 2), (-10, 10)),
    nested: ((0, 0), (-10, 10)),
}


@pytest.mark.parametrize(("step", "given"), BRANCHES.items(), ids=lambda step: getattr(step, "__name__", ""))
def test_a_condition_narrows_its_branches_to_what_is_reached(
    step: Callable[..., Step], given: tuple[Interval, Interval]
) -> None:
    got, expected = reached(step, *given)
    assert got == expected


def toward(x: Any, v: Any, *, k: Any) -> Step:
    return Step(state=(v + mul_shift(x - v, k, 3, FLOOR),), spike=v > x)


def toward_from_there(x: Any, v: Any, *, k: Any) -> Step:
    return Step(state=(x - mul_shift(k, wrap(x - v, 6), 3, TOWARD_ZERO),), spike=v > x)


def toward_half_even(x: Any, v: Any, *, k: Any) -> Step:
    return Step(state=(mul_shift(saturate(x - v, -30, 30), k, 3, HALF_EVEN) + v,), spike=v > x)


def away(x: Any, v: Any, *, k: Any) -> Step:
    return Step(state=(v - mul_shift(x - v, k, 3, FLOOR),), spike=v > x)


def by_a_narrowed_way(x: Any, v: Any, *, k: Any) -> Step:
    return Step(state=(v + mul_shift(wrap(x - v, 4), k, 3, FLOOR),), spike=v > x)


@pytest.mark.parametrize("k", [(0, 8), (3, 5), (8, 8), (0, 0)])
@pytest.mark.parametrize("step", [toward, toward_from_there, toward_half_even])
def test_a_part_of_the_way_lies_between_its_ends(step: Callable[..., Step], k: Interval) -> None:
    for x, v in (((-9, 10), (-10, 3)), ((2, 5), (7, 9)), ((-3, -3), (-12, 12))):
        got, expected = reached(step, x, v, k=k)
        assert within(expected, got)
        assert within(got, (min(x[0], v[0]), max(x[1], v[1])))


@pytest.mark.parametrize(
    ("step", "k"), [(toward, (0, 9)), (toward, (-1, 8)), (away, (0, 8)), (by_a_narrowed_way, (0, 8))]
)
def test_what_is_no_part_of_the_way_may_leave_its_ends(step: Callable[..., Step], k: Interval) -> None:
    got, expected = reached(step, (-9, 10), (-10, 3), k=k)
    assert within(expected, got)
    assert not within(got, (-10, 10))


def runs(
    program: Program, ranges: Ranges, given: Mapping[str, Interval], start: Mapping[str, Interval], seed: int
) -> bool:
    """Whether a random run keeps to the ranges, and what is proven never to change a value never does."""
    rng = np.random.default_rng(seed)
    state = {name: random_inside(rng, range_) for name, range_ in start.items()}
    fixed = {name: random_inside(rng, given[name]) for name in program.parameters}
    for t in range(30):
        point = {**state, **fixed, **{name: random_inside(rng, given[name]) for name in program.ports}}
        point |= {name: random_inside(rng, WORD) for name in program.random}
        values = calculated(program, point, t)
        if not holds(values, ranges.values):
            return False
        for number in ranges.proven:
            if values[number] != values[program.instructions[number].operands[0]]:
                return False
        state = {name: values[number] for name, number in zip(program.variables, program.state, strict=True)}
        if not all(within((value, value), ranges.state[name]) for name, value in state.items()):
            return False
    return True


@pytest.mark.parametrize("narrow", [True, False], ids=["states narrowed", "states as they come"])
def test_no_run_of_a_random_program_leaves_its_ranges(narrow: bool) -> None:
    bounded = diverged = refused = 0
    for seed in range(90):
        rng = np.random.default_rng(seed)
        program = random_program(rng, narrow=narrow)
        given = {name: random_interval(rng) for name in (*PORTS, *PARAMETERS)}
        start = {name: random_interval(rng) for name in STATES}
        try:
            ranges = state_ranges(program, {n: given[n] for n in PORTS}, {n: given[n] for n in PARAMETERS}, start)
        except UnsupportedError:
            refused += 1
            continue
        diverged += ranges.diverged
        bounded += not ranges.diverged
        assert all(runs(program, ranges, given, start, run) for run in range(4)), seed
    assert bounded > 45
    if not narrow:
        assert diverged > 0
        assert refused > 0


NUMBERS: dict[str, Interval] = {
    "v_keep": (3687, 3700),
    "i_keep": (3277, 3280),
    "i_bias": (-5, 5),
    "v_bias": (-3, 3),
    "v_th": (1000, 2000),
    "v_reset": (-10, 0),
}


def law_ranges(name: str, law: Law, x: Interval = (-4000, 4000), **numbers: Interval) -> tuple[Program, Ranges]:
    program = integer_family(name, law, 0).trace()
    parameters = {p: {**NUMBERS, **numbers}[p] for p in program.parameters}
    return program, state_ranges(program, {"x": x}, parameters, dict.fromkeys(program.variables, (0, 0)))


@pytest.mark.parametrize("name", NAMES)
def test_no_run_of_the_generic_law_leaves_its_ranges(name: str) -> None:
    for number, law in enumerate(islice(laws(), None, None, 3)):
        keep = (0, 1 << law.decay_bits)
        numbers = {"v_keep": keep, "i_keep": keep, "v_th": (1, max(1, law.state_max // 8)), "v_reset": (0, 0)}
        program, ranges = law_ranges(name, law, (-50, 50), **numbers)
        assert not ranges.diverged
        given = {**NUMBERS, **numbers, "x": (-50, 50)}
        assert runs(program, ranges, given, dict.fromkeys(program.variables, (0, 0)), number), law


def worst(program: Program, x: int, numbers: Mapping[str, int], steps: int) -> dict[str, Interval]:
    """What the states reach when the same number arrives at every step."""
    state = dict.fromkeys(program.variables, 0)
    reach = dict.fromkeys(program.variables, (0, 0))
    for t in range(steps):
        values = calculated(program, {**numbers, **state, "x": x}, t)
        state = {name: values[number] for name, number in zip(program.variables, program.state, strict=True)}
        reach = {name: (min(low, state[name]), max(high, state[name])) for name, (low, high) in reach.items()}
    return reach


@pytest.mark.parametrize("overflow", ["saturate", "wrap"])
@pytest.mark.parametrize("name", ["cuba_li", "li"])
def test_the_range_of_a_decaying_state_is_reached(name: str, overflow: Any) -> None:
    """Within 2 %: by the strongest input of each sign at the slowest decay."""
    program, ranges = law_ranges(name, Law(overflow=overflow))
    up = worst(program, 4000, {n: r[1] for n, r in NUMBERS.items()}, 400)
    slowest = {**{n: r[0] for n, r in NUMBERS.items()}, "v_keep": 3700, "i_keep": 3280}
    down = worst(program, -4000, slowest, 400)
    for state, (low, high) in ranges.state.items():
        assert up[state][1] <= high <= 1.02 * up[state][1]
        assert 1.02 * down[state][0] <= low <= down[state][0]
    assert ranges.proven == frozenset(n for n, step in enumerate(program.instructions) if kept_by(step))
    assert len(ranges.proven) == len(program.variables)
    assert fits(program, ranges.values)


@pytest.mark.parametrize("name", ["cuba_lif", "lif", "if"])
def test_a_threshold_bounds_v_from_above(name: str) -> None:
    _, ranges = law_ranges(name, Law())
    assert ranges.state["v"][1] == 2000
    _, ranges = law_ranges(name, Law(strict=False))
    assert ranges.state["v"][1] == 1999
    _, ranges = law_ranges(name, Law(refractory_steps=5))
    assert ranges.state["v"][1] == 2000
    assert ranges.state["refractory"] == (0, 5)
    _, ranges = law_ranges(name, Law(refractory_steps=5, max_spikes=3))
    assert ranges.state["v"][1] == 2000


def test_a_reset_by_subtraction_leaves_what_is_above_the_threshold() -> None:
    _, ranges = law_ranges("if", Law(reset="subtract"), (0, 999), v_bias=(0, 0))
    assert ranges.state["v"] == (0, 2000)
    _, ranges = law_ranges("if", Law(reset="subtract"), (0, 1001), v_bias=(0, 0))
    assert ranges.state["v"] == (0, 2**23 - 1 - 1000), "one more than the least threshold in every step"


def test_without_a_leak_what_is_narrowed_is_bounded_and_not_proven() -> None:
    _, ranges = law_ranges("if", Law())
    assert ranges.state["v"][0] == -(2**23)
    assert not ranges.diverged
    assert ranges.proven == frozenset()
    _, positive = law_ranges("if", Law(), (0, 4000), v_bias=(0, 0))
    assert positive.state["v"] == (-10, 2000)
    assert len(positive.proven) == 1


def test_a_narrow_state_is_not_proven_and_a_wider_one_is() -> None:
    proofs = {}
    for bits in (18, 19, 20):
        _, ranges = law_ranges("li", Law(state_bits=bits), (-12800, 12800), v_bias=(0, 0), v_keep=(3700, 3700))
        proofs[bits] = len(ranges.proven) == 1
        assert ranges.state["v"][1] <= 2 ** (bits - 1) - 1
    assert 12800 / (1 - 3700 / 4096) > 2**17 - 1  # 132396 is the end, and 131071 the largest of 18 bits
    assert proofs == {18: False, 19: True, 20: True}


def test_a_state_that_only_adds_up_diverges_and_the_others_keep_their_range() -> None:
    def adding(x: Any, v: Any, w: Any) -> Step:
        return Step(state=(v + x, shift_right(w + x, 1, FLOOR)), spike=v > x)

    program = family(adding, "v", "w").trace()
    ranges = state_ranges(program, {"x": (0, 3)}, {}, {"v": (0, 0), "w": (0, 0)})
    assert ranges.diverged
    assert ranges.state["v"] == (0, FARTHEST)
    assert ranges.state["w"] in {(0, 2), (0, 3)}
    still = state_ranges(program, {"x": (0, 0)}, {}, {"v": (7, 7), "w": (0, 0)})
    assert not still.diverged
    assert still.state == {"v": (7, 7), "w": (0, 0)}


def test_a_state_at_rest_keeps_its_initial_range() -> None:
    def idle(x: Any, v: Any) -> Step:
        return Step(state=(v,), spike=v > x)

    ranges = state_ranges(family(idle).trace(), {"x": (-1, 1)}, {}, {"v": (-3, 12)})
    assert ranges.state == {"v": (-3, 12)}


def test_what_64_bits_do_not_hold_is_refused_with_its_place() -> None:
    def product(x: Any, v: Any, *, k: Any) -> Step:
        return Step(state=(saturate(mul_shift(v, k, 20, FLOOR) + x, -(2**40), 2**40 - 1),), spike=v > x)

    program = family(product).trace()
    fine = state_ranges(program, {"x": (-9, 9)}, {"k": (0, 2**22)}, {"v": (0, 0)})
    assert fine.state["v"][0] == -(2**40)
    with pytest.raises(UnsupportedError) as caught:
        state_ranges(program, {"x": (-9, 9)}, {"k": (0, 2**23 + 1)}, {"v": (0, 0)})
    assert "64 bits" in caught.value.what
    assert str(-(2**40) * (2**23 + 1)) in caught.value.what
    assert caught.value.where == "%3 = mul_shift"
    assert "saturate or wrap" in caught.value.fix


def test_a_state_that_nothing_bounds_is_named_where_its_values_leave_64_bits() -> None:
    def growing(x: Any, v: Any, w: Any, *, k: Any) -> Step:
        return Step(state=(mul_shift(v, k, 4, FLOOR) + x, w), spike=v > x)

    program = family(growing, "v", "w").trace()
    with pytest.raises(UnsupportedError) as caught:
        state_ranges(program, {"x": (-9, 9)}, {"k": (0, 17)}, {"v": (0, 0), "w": (0, 0)})
    assert "the state v of the neuron" in caught.value.what
    assert "64 bits" in caught.value.what
    assert caught.value.fix.startswith("narrow the state v in the program")


@pytest.mark.parametrize("spikes", [1, 2, 5, 20])
@pytest.mark.parametrize("name", ["if", "lif", "cuba_lif"])
def test_a_subtracted_threshold_below_0_adds_only_in_steps_that_are_not_rests(name: str, spikes: int) -> None:
    """Rest and update are looked at apart: a membrane that may be kept, or added to, is not both in one step."""
    law = Law(reset="subtract", refractory_steps=3, max_spikes=spikes)
    program = integer_family(name, law, 0).trace()
    given = dict.fromkeys(program.parameters, (0, 0)) | {"v_th": (-5, 7)}
    given |= {key: (3686, 3686) for key in program.parameters if key.endswith("keep")}
    ranges = state_ranges(program, {"x": (-1000, 1000)}, given, dict.fromkeys(program.variables, (0, 0)))
    assert not ranges.diverged
    assert ranges.state["refractory"] == (0, 3)
    assert ranges.state["v"][1] <= {"if": 2**23 + 10_000, "lif": 12_000, "cuba_lif": 110_000}[name]
    assert fits(program, ranges.values)
    lowest = {name: low for name, (low, _) in given.items()}
    rng, state = np.random.default_rng(spikes), dict.fromkeys(program.variables, 0)
    for t in range(200):
        values = calculated(program, {**lowest, **state, "x": int(rng.choice([-1000, 1000]))}, t)
        assert holds(values, ranges.values)
        state = {name: int(values[n]) for name, n in zip(program.variables, program.state, strict=True)}
