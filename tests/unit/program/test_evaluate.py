"""A program called on arrays is its step called on arrays, and both are exact arithmetic where numbers are whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from exact_operations import calculated
from family_values import values
from law_choices import drawn, laws

from norse_export.program.evaluate import Evaluated, evaluate
from norse_export.program.families import FAMILIES
from norse_export.program.laws import NAMES, integer_family
from norse_export.program.operations import (
    HALF_EVEN,
    STOCHASTIC,
    equal,
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
from norse_export.program.program import Family, Step


def assert_same(got: Evaluated, step: Step) -> None:
    """Values and types of all that a step gives."""
    pairs = [*zip(got.state, step.state, strict=True), (got.output, step.spike if step.output is None else step.output)]
    assert (got.spike is None) == (step.spike is None)
    pairs += [] if step.spike is None else [(got.spike, step.spike)]
    assert tuple(got.observe) == tuple(step.observe)
    pairs += [(got.observe[name], value) for name, value in step.observe.items()]
    for one, other in pairs:
        one, other = np.asarray(one), np.asarray(other)
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        assert one.tobytes() == other.tobytes()


def called(family: Family, given: dict[str, Any], t: int = 0) -> Step:
    positional = [given[name] for name in (*family.ports, *family.state)]
    positional += [np.int64(t)] if family.clock else []
    positional += [given[name] for name in family.random]
    return family.step(*positional, **{name: given[name] for name in family.parameters})


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_float_families(family: Family, dtype: str) -> None:
    given = values(family, np.random.default_rng(1), 3, 50, dtype)
    assert_same(evaluate(family.trace(), given), called(family, given))


@pytest.mark.parametrize("name", NAMES)
def test_the_generic_law_with_every_choice(name: str) -> None:
    rng = np.random.default_rng(2)
    for number, law in enumerate(laws()):
        family = integer_family(name, law, number % 5)
        given = drawn(family, law, rng, 200)
        assert_same(evaluate(family.trace(), given), called(family, given))


def everything(x: Any, y: Any, v: Any, w: Any, t: Any, r: Any, *, k: Any, limit: Any) -> Step:
    """Every operation there is."""
    a = saturate(mul_shift(v, k, 6, HALF_EVEN) + shift_left(x, 3), -5000, 4999)
    b = wrap(abs(y) - (-w), 9)
    c = wrap_once(mul_shift(a, b, 7, STOCHASTIC, r) * 3, -400, 399)
    d = shift_right(minimum(a, c) + maximum(b, limit), 2, STOCHASTIC, r)
    z = ((d > limit) | equal(b, c)) & ~(a >= t)
    return Step(state=(where(z, 7, d), c + t), spike=z, output=where(z, d, 0), observe={"a": a, "b": b})


EVERYTHING = Family("everything", everything, ("x", "y"), ("v", "w"), clock=True, random=("r",))


def test_every_operation_the_clock_and_a_random_stream() -> None:
    rng = np.random.default_rng(3)
    program = EVERYTHING.trace()
    for t in (0, 5, 10_000):
        given = {name: rng.integers(-3000, 3000, 400) for name in ("x", "y", "v", "w", "limit")}
        given |= {"k": rng.integers(-64, 65, 400), "r": rng.integers(0, 2**32, 400)}
        given["y"][:20] = 0
        got = evaluate(program, given, t)
        assert_same(got, called(EVERYTHING, given, t))
        for neuron in range(400):
            exact = calculated(program, {name: int(values[neuron]) for name, values in given.items()}, t)
            assert [int(state[neuron]) for state in got.state] == [exact[number] for number in program.state]
            assert int(got.output[neuron]) == exact[program.output]
            assert {n: int(values[neuron]) for n, values in got.observe.items()} == {
                name: exact[number] for name, number in program.observe
            }


def test_the_spikes_of_a_family_that_sends_them_are_its_output() -> None:
    def silent(x: Any, v: Any) -> Step:
        return Step(state=(x,), output=v)

    given = {"x": np.arange(3), "v": np.arange(3) - 1}
    got = evaluate(Family("silent", silent, ("x",), ("v",)).trace(), given)
    assert got.spike is None
    assert got.output.tolist() == [-1, 0, 1]
    assert got.observe == {}


def test_a_value_that_is_not_given_is_no_zero() -> None:
    given = {name: np.zeros(2) for name in ("x", "v", "alpha", "v_leak", "v_th")}
    with pytest.raises(KeyError, match="v_reset"):
        evaluate(FAMILIES["lif"].trace(), given)
