"""Steps in whole numbers: what is joined, what counts, what decays, where a threshold goes, what has no such form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from norse_export.errors import UnsupportedError
from norse_export.passes.translate import Units, counting, joined_ports, known_numbers, obstacles, translated
from norse_export.program.check import check_program
from norse_export.program.evaluate import evaluate
from norse_export.program.families import DYNAMICS, Rule, family
from norse_export.program.laws import Law
from norse_export.program.operations import HALF_EVEN, STOCHASTIC, Op, equal, minimum, where
from norse_export.program.program import Family, Step

Array = NDArray[Any]
ONE = np.ones(())
FEW = Law(state_bits=24, decay_bits=4, weight_bits=8)


def made(
    step: Any, state: tuple[str, ...] = ("v",), ports: tuple[str, ...] = ("x",), law: Law = FEW, **given: Any
) -> Any:
    """A step of one neuron, translated: base 1/4, states of 3 bits below it."""
    program = Family("made", step, ports, state).trace()
    parameters = {name: np.asarray(float(given.pop(name))) for name in program.parameters}
    bits = {name: 3 for name in state if name not in counting(program)}
    units = Units(ONE / 4, given.pop("bits", bits), 3)
    return translated(program, parameters, given, law, units)


def after(found: Any, **values: int) -> tuple[int, ...]:
    whole = {name: np.asarray(value) for name, value in (values | dict(found.parameters)).items()}
    return tuple(int(value) for value in evaluate(found.program, whole).state)


def operations(found: Any) -> list[Op]:
    leaves = (Op.PORT, Op.STATE, Op.PARAMETER, Op.SATURATE)
    return [step.op for step in found.program.instructions if step.op not in leaves]


def test_what_arrives_is_shifted_to_the_unit_of_the_state() -> None:
    found = made(lambda x, v: Step(state=(v + x,), output=v))
    assert operations(found) == [Op.SHIFT_LEFT, Op.ADD]
    assert after(found, x=5, v=1) == (41,)


def test_a_decay_is_one_product() -> None:
    def step(x: Any, v: Any, *, beta: Any) -> Step:
        v1 = v - beta * v + x
        return Step(state=(v1,), output=v1)

    found = made(step, beta=0.25)
    assert operations(found) == [Op.MUL_SHIFT, Op.SHIFT_LEFT, Op.ADD]
    assert found.parameters == {"beta_keep": 12}  # of 2^4
    assert after(found, x=0, v=-7) == (-6,)  # floor of -5.25


def test_the_rest_of_a_state_is_left_exactly_at_rest() -> None:
    """v + alpha (v_leak - v): the difference is taken before the product is rounded."""

    def step(x: Any, v: Any, *, alpha: Any, v_leak: Any) -> Step:
        return Step(state=(v + alpha * ((v_leak - v) + x),), output=v)

    found = made(step, alpha=0.3, v_leak=0.7)
    rest = int(found.parameters["v_leak"])
    assert rest == round(0.7 * 4 * 8)
    assert after(found, x=0, v=rest) == (rest,)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(("rule", "past"), [("gt", 0), ("ge", 1)])
def test_a_threshold_between_two_numbers_and_on_one(rule: Any, past: int, strict: bool) -> None:
    for v_th, met in ((10 / 32, True), (10.5 / 32, False)):
        program = family("if", rule=Rule(threshold=rule)).trace()
        units = Units(ONE, {"v": 5})
        levels = {"v_th": np.asarray(v_th), "v_reset": ONE * 0}
        found = translated(program, levels, {}, Law(strict=strict), units)
        for v in (9, 10, 11, 12):
            values = {name: np.asarray(value) for name, value in ({"x": 0, "v": v} | dict(found.parameters)).items()}
            fires = bool(evaluate(found.program, values).spike)
            assert fires is (v / 32 >= v_th if past else v / 32 > v_th), (v, v_th, met)
        comparison = Op.GREATER if strict and not past else Op.GREATER_EQUAL
        assert [step.op for step in found.program.instructions if step.op in (Op.GREATER, Op.GREATER_EQUAL)] == [
            comparison
        ]


def test_a_level_that_is_compared_from_the_other_side() -> None:
    def step(x: Any, v: Any, *, low: Any) -> Step:
        z = low > v + x
        return Step(state=(where(z, low, v + x),), spike=z)

    found = made(step, low=-0.3)
    unit = 1 / 32
    for v in (-12, -11, -10, -9, -8):
        values = {name: np.asarray(value) for name, value in ({"x": 0, "v": v} | dict(found.parameters)).items()}
        assert bool(evaluate(found.program, values).spike) is (v * unit < -0.3)


def test_states_that_count_stay_numbers_and_keep_their_written_numbers() -> None:
    program = family("lif_refrac").trace()
    assert counting(program) == {"rho"}
    values = {name: np.asarray(0.5) for name in family("lif_refrac").parameters} | {"rho_reset": np.asarray(3.0)}
    found = translated(program, values, {}, Law(), Units(ONE, {"v": 8, "i": 4}))
    assert found.parameters["rho_reset"] == 3
    assert -1 in found.program.constants  # rho - 1, which no unit scales


def test_only_what_adds_written_numbers_counts() -> None:
    def step(x: Any, a: Any, b: Any, c: Any, d: Any) -> Step:
        return Step(state=(a + 1, b + x, where(x > 0, c, 0), minimum(d - 2, 7)), output=b)

    program = Family("counts", step, ("x",), ("a", "b", "c", "d")).trace()
    assert counting(program) == {"a", "d"}


def test_ports_that_are_added_in_a_row_arrive_at_the_first() -> None:
    assert joined_ports(family("lsnn", recurrent=True).trace()) == {"x": "x", "r": "x"}
    assert joined_ports(family("lif", recurrent=True).trace()) == {"x": "x", "r": "x"}
    assert joined_ports(family("coba_lif").trace()) == {"e": "e", "i": "i"}

    def three(x: Any, y: Any, z: Any, v: Any) -> Step:
        return Step(state=(((v + x) + y) + z,), output=v)

    def apart(x: Any, y: Any, v: Any) -> Step:
        return Step(state=((v + x) * v + y,), output=v)

    def twice(x: Any, y: Any, v: Any) -> Step:
        return Step(state=((v + x) + y,), output=v + x)

    assert set(joined_ports(Family("three", three, ("x", "y", "z"), ("v",)).trace()).values()) == {"x"}
    assert joined_ports(Family("apart", apart, ("x", "y"), ("v",)).trace()) == {"x": "x", "y": "y"}
    seen = joined_ports(Family("twice", twice, ("x", "y"), ("v",)).trace())  # v + x is recorded twice
    assert seen == {"x": "x", "y": "y"}


def test_a_joined_port_is_none_of_the_program() -> None:
    program = family("lsnn", recurrent=True).trace()
    values = {name: np.asarray(0.25) for name in family("lsnn").parameters}
    found = translated(program, values, {}, Law(), Units(ONE, dict.fromkeys("vib", 4)))
    assert found.program.ports == ("x",)


def test_known_numbers_follow_from_parameters_alone() -> None:
    program = family("lif_mc").trace()
    known = {program.instructions[number].op for number in known_numbers(program)}
    assert known == {Op.PARAMETER}
    assert not known_numbers(family("lsnn").trace()) & set(family("lsnn").trace().state)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("lif_ex", "exponential"),
        ("lif_adex", "exponential"),
        ("lif_adex_refrac", "exponential"),
        ("lif_mc", "matrix"),
        ("lif_mc_refrac", "matrix"),
    ],
)
def test_what_has_no_integer_form_is_told(name: str, why: str) -> None:
    assert [why in reason for _, reason in obstacles(family(name).trace())] == [True]


def test_every_other_family_has_an_integer_form() -> None:
    refused = {name for name in DYNAMICS if list(obstacles(family(name).trace()))}
    assert refused == {"lif_ex", "lif_adex", "lif_adex_refrac", "lif_mc", "lif_mc_refrac"}


def test_a_division_by_a_state_is_refused_and_one_by_a_parameter_is_a_factor() -> None:
    def by_state(x: Any, v: Any) -> Step:
        return Step(state=(x / v,), output=v)

    def by_parameter(x: Any, v: Any, *, tau: Any) -> Step:
        return Step(state=((x - v) / tau,), output=v)

    assert [kind for kind, _ in obstacles(Family("by_state", by_state, ("x",), ("v",)).trace())] == ["division"]
    found = made(by_parameter, tau=4)
    assert found.parameters == {"tau": 16}  # 1/4 as 16 of 2^6: the most that four bits may reach
    assert after(found, x=8, v=0) == (16,)


def test_a_product_of_states_is_one_of_whole_numbers() -> None:
    def step(x: Any, v: Any) -> Step:
        return Step(state=(v * v + x,), output=v)

    found = made(step)
    assert after(found, x=0, v=64) == (128,)  # 2.0 squared, in 32nds


def test_a_product_of_wide_states_stays_within_64_bits() -> None:
    def step(x: Any, v: Any, *, square: Any) -> Step:
        return Step(state=(square * (v * v) + x,), output=v)

    wide = made(step, law=Law(state_bits=32, decay_bits=16), square=0.5)
    largest = 2**31 - 1
    with np.errstate(all="raise"):
        (whole,) = after(wide, x=0, v=largest)
    assert whole == largest  # saturated


@pytest.mark.parametrize("rounding", [HALF_EVEN, STOCHASTIC])
def test_every_rounding_is_the_laws(rounding: Any) -> None:
    values = {name: np.asarray(0.3) for name in family("izhikevich").parameters}
    program = translated(
        family("izhikevich").trace(), values, {}, Law(rounding=rounding), Units(ONE, {"v": 9, "u": 7})
    ).program
    rounded = [step for step in program.instructions if step.rounding is not None]
    assert rounded
    assert {step.rounding for step in rounded} == {rounding}
    assert len(program.random) == (len(rounded) if rounding is STOCHASTIC else 0)
    check_program(program)


def test_a_factor_that_is_lost_is_told() -> None:
    def step(x: Any, v: Any, *, beta: Any) -> Step:
        return Step(state=(v - beta * v + x,), output=v)

    assert set(made(step, beta=0.01).lost) == {"beta_keep"}  # four bits make 0.99 a 1
    assert not made(step, beta=0.25).lost
    assert not made(step, beta=0.01, law=Law(decay_bits=16)).lost


def test_a_level_far_from_all_units_is_refused() -> None:
    with pytest.raises(UnsupportedError) as caught:
        made(lambda x, v, *, v_reset: Step(state=(where(v > x, v_reset, v + x),), output=v), v_reset=1e20)
    assert caught.value.where == "v_reset"
    assert "rescale" in caught.value.fix


def test_what_arrives_in_every_step_is_added_at_its_port() -> None:
    found = made(lambda x, v: Step(state=(v + x,), output=v), x=np.asarray(0.5))
    assert found.parameters == {"bias": 16}
    assert after(found, x=1, v=0) == (24,)


def test_numbers_that_are_sent_can_stand_for_spikes() -> None:
    program = Family("twice", lambda x: Step(state=(), output=x + x), ("x",), ()).trace()
    found = translated(program, {}, {}, Law(), Units(ONE, {}, 2), graded=6)
    assert found.program.spike == found.program.output
    assert found.program.constants[-2:] == (-32, 31)
    assert translated(program, {}, {}, Law(), Units(ONE, {}, 2)).program.spike is None


@pytest.mark.parametrize(
    "step",
    [
        lambda x, v: Step(state=(where(v > x, v > 0, x > 0),), output=v),
        lambda x, v: Step(state=(v,), spike=v + x),
        lambda x, v: Step(state=(v,), spike=v > x, output=v),
    ],
)
def test_a_step_that_mixes_truth_and_numbers_is_refused(step: Any) -> None:
    with pytest.raises((UnsupportedError, TypeError)):
        made(step)


def test_equal_numbers_of_other_units_are_found_equal() -> None:
    def step(x: Any, v: Any) -> Step:
        z = equal(v, x)
        return Step(state=(where(z, 0, v),), spike=z)

    found = made(step)
    assert after(found, x=2, v=16) == (0,)
    assert after(found, x=2, v=15) == (15,)
