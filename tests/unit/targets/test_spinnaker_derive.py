"""What SpiNNaker derives from its parameter words, against exact arithmetic."""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from norse_export.errors import UsageError
from norse_export.targets.spinnaker.derive import (
    EXP_GREATEST,
    EXP_LEAST,
    INT_MAX,
    ONE,
    WORDS,
    Model,
    derive,
    divided,
    expk,
    expulr,
)

SERIES = Decimal(5296)  # of 2^32: a polynomial of degree two over a sixteenth, its error spread evenly
ARGUMENTS = st.one_of(st.integers(EXP_LEAST, 0), st.integers(-2 * ONE, 0))


def exact_exp(n: int) -> Decimal:
    with localcontext() as context:
        context.prec = 50
        return (Decimal(n) / ONE).exp()


@given(ARGUMENTS)
def test_exp_in_s16_15_is_rounded_down_but_for_the_error_of_the_series(n: int) -> None:
    exact, error = exact_exp(n) * ONE, SERIES / 2**17
    assert exact - 1 - error <= expk(n) <= exact + error


@given(ARGUMENTS.filter(bool))
def test_exp_in_u0_32_is_within_what_the_series_loses(n: int) -> None:
    assert abs(expulr(n) - exact_exp(n) * 2**32) <= SERIES


def test_the_decay_of_a_time_constant_beyond_32768_steps_is_zero() -> None:
    assert expulr(0) == 0
    assert expulr(-1) > 0.9999 * 2**32
    assert expk(0) == ONE


def test_exp_has_ends() -> None:
    assert (expk(EXP_LEAST - 1), expulr(EXP_LEAST - 1)) == (0, 0)
    assert expulr(EXP_LEAST) > 0
    assert (expk(EXP_GREATEST) < INT_MAX, expk(EXP_GREATEST + 1)) == (True, INT_MAX)
    with pytest.raises(UsageError):
        expulr(EXP_GREATEST + 1)


@given(st.integers(0, 2**31 - 1), st.integers(1, 2**31 - 1))
def test_division_rounds_toward_zero_and_keeps_32_bits(a: int, b: int) -> None:
    exact = Fraction(a, b) * ONE
    assert -(2**31) <= divided(a, b) < 2**31
    if exact < 2**31:
        assert exact - 1 < divided(a, b) <= exact


def words(model: Model, **given: int) -> list[int]:
    ms = ONE
    usual = {"cm": ms, "tau_m": 20 * ms, "dt": ms, "dt_synapse": ms, "dt_input": ms}
    usual |= {"tau_syn_exc": 5 * ms, "tau_syn_inh": 5 * ms} | given
    return [usual.get(name, 0) for name in WORDS[model]]


def one(model: Model, **given: int) -> dict[str, int]:
    return {name: int(value[0]) for name, value in derive(model, np.array([words(model, **given)])).items()}


@pytest.mark.parametrize(("refractory", "steps"), [(0, 0), (1, 1), (ONE, 1), (ONE + 1, 2), (5 * ONE, 5)])
def test_refractory_steps_are_rounded_up(refractory: int, steps: int) -> None:
    assert one(Model.IF_CURR_EXP, tau_refrac=refractory)["t_refract"] == steps


def test_a_delta_input_is_scaled_by_the_step_as_the_words_have_it() -> None:
    """0.1 ms is 3277 / 2^15 there, and its reciprocal a little below 10."""
    assert one(Model.IF_CURR_DELTA, dt_input=3277)["scale_factor"] / ONE == pytest.approx(9.9994, abs=1e-4)


def test_words_above_2_31_are_negative_numbers() -> None:
    assert one(Model.IF_CURR_EXP, v_reset=2**32 - 5)["v_reset"] == -5
    assert one(Model.IF_CURR_EXP, v_reset=-5)["v_reset"] == -5


def test_neurons_are_derived_one_by_one() -> None:
    rows = [words(Model.IF_CURR_EXP, tau_m=ms << 15) for ms in (20, 10, 20, 5)]
    together = derive(Model.IF_CURR_EXP, np.array(rows))
    assert together["exp_tc"].tolist() == [expk(-(ONE // ms)) for ms in (20, 10, 20, 5)]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"cm": 0}, "divides"),
        ({"tau_m": 0}, "divides"),
        ({"tau_syn_inh": -1}, "divides"),
        ({"tau_refrac": -1}, "divides"),
        ({"dt": 0}, "divides"),
        ({"v": 2**32}, "32 bits"),
        ({"v": -(2**31) - 1}, "32 bits"),
    ],
    ids=str,
)
def test_words_that_make_no_sense_are_refused(change: dict[str, int], what: str) -> None:
    with pytest.raises(UsageError, match=what) as caught:
        one(Model.IF_CURR_EXP, **change)
    assert caught.value.where
    assert caught.value.fix


@pytest.mark.parametrize("shape", [(0, 15), (2, 14), (15,)], ids=str)
def test_words_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="parameter words of shape"):
        derive(Model.IF_CURR_EXP, np.ones(shape, np.int64))


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(UsageError, match="no law"):
        derive("IF_cond_exp", np.ones((1, 15), np.int64))
