"""Populations in whole numbers: units, parameters, thresholds, and a shift with which states hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from small_nets import DT, chain, cuba_li, cuba_lif, spikes

from norse_export.interpret import interpret
from norse_export.interpret.fixed import emulate
from norse_export.ir.layers import Linear
from norse_export.ir.neurons import IF, LI, LIF
from norse_export.ir.stages import Neuron
from norse_export.passes.discretise import discretise
from norse_export.passes.integers import (
    ENOUGH,
    MAX_SHIFT,
    PROVEN_ENOUGH,
    Drive,
    Observed,
    fit,
    lost_decays,
    observe,
    population,
    refusals,
    signs,
)
from norse_export.passes.quantise import QuantiseChoice, quantise
from norse_export.program.laws import Law

Array = NDArray[Any]
F = np.float32
ALPHA, BETA = 0.125, 0.25  # dt over these
TAU_MEM, TAU_SYN = np.float64(8e-3), np.float64(4e-3)


def neuron(model: Any) -> Neuron:
    found = discretise(chain(model.shape, model)).nodes["0"]
    assert isinstance(found, Neuron)
    return found


def cuba(**changes: Any) -> Neuron:
    return neuron(cuba_lif((2,), **{"tau_mem": TAU_MEM, "tau_syn": TAU_SYN, **changes}))


def drive(scale: float = 2.0**-6, constant: float = 0.0, reach: float = 100.0) -> Drive:
    return Drive(np.full(2, scale), np.full(2, constant), np.full(2, reach))


def parameters(node: Neuron, given: Drive, shift: int, law: Law | None = None) -> dict[str, int]:
    made = population(node, given, law or Law(), shift, seed=0, key=0)
    return {name: int(value[0]) for name, value in (*made.parameters.items(), *made.initial_state.items())}


def test_parameters_follow_from_the_scale() -> None:
    node = cuba(v_leak=0.5, v_th=1.0, v_reset=-0.25, v0=F(0.125), i0=F(-0.5))
    unit = 2.0**-6 / 2**4
    assert parameters(node, drive(constant=0.75), 4) == {
        "v_keep": 4096 * (1 - ALPHA),
        "i_keep": 4096 * (1 - BETA),
        "i_bias": 0.75 / unit,
        "v_bias": 0.5 / unit,
        "v_th": 1.0 / (ALPHA * unit),
        "v_reset": -0.25 / (ALPHA * unit),
        "v": 0.125 / (ALPHA * unit),
        "i": -0.5 / unit,
    }
    made = population(node, drive(), Law(), 4, seed=3, key=5)
    assert (made.seed, made.key, made.dt) == (3, 5, DT)
    np.testing.assert_array_equal(made.unit["i"], np.full(2, unit))
    np.testing.assert_array_equal(made.unit["v"], np.full(2, ALPHA * unit))


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (
            LIF(shape=(2,), dt=DT, tau_mem=TAU_MEM, v_leak=F(0.5), v_th=F(1), v_reset=F(0)),
            {"v_keep": 3584, "v_bias": 1.25},
        ),
        (LI(shape=(2,), dt=DT, tau_mem=TAU_MEM, v_leak=F(0.5)), {"v_keep": 3584, "v_bias": 1.25}),
        (IF(shape=(2,), dt=DT, v_th=F(1), v_reset=F(0)), {"v_bias": 0.75}),
        (cuba_li((2,), tau_mem=TAU_MEM, tau_syn=TAU_SYN, v_leak=0.5), {"i_bias": 0.75, "v_bias": 0.5}),
    ],
)
def test_families_without_a_synapse_or_a_threshold_have_what_they_need(model: Any, expected: dict[str, float]) -> None:
    found = parameters(neuron(model), drive(constant=0.75), 4)
    for name, value in expected.items():
        assert found[name] == (value if name == "v_keep" else value * 2**10)
    assert ("v_th" in found) is model.spikes


def test_the_size_of_a_gain_is_in_the_unit_and_its_sign_in_the_bias() -> None:
    node = cuba(r=np.array([-0.5, 2.0], F), v_th=1.0)
    assert signs(node) is not None
    np.testing.assert_array_equal(signs(node), [-1, 1])  # type: ignore[arg-type]
    assert signs(cuba()) is None
    made = population(node, drive(constant=0.75), Law(), 4, seed=0, key=0)
    np.testing.assert_array_equal(made.unit["i"], np.array([0.5, 2.0]) * 2.0**-10)
    np.testing.assert_array_equal(made.parameters["i_bias"], [-768, 768])
    np.testing.assert_array_equal(made.parameters["v_th"], [2**10 / ALPHA / 0.5, 2**10 / ALPHA / 2])


@given(st.floats(-100, 100, width=32), st.integers(-2, 2), st.booleans())
def test_the_whole_threshold_says_the_same_as_the_real_one_on_every_whole_membrane(
    v_th: float, beside: int, strict: bool
) -> None:
    raw = round(v_th / 0.125) + beside
    node = neuron(IF(shape=(2,), dt=DT, v_th=F(v_th), v_reset=F(0)))
    threshold = parameters(node, drive(scale=0.125), 0, Law(strict=strict))["v_th"]
    assert (raw > threshold if strict else raw >= threshold) is (raw * 0.125 > v_th)


@pytest.mark.parametrize("reach", [1.0, 100.0, 1e4, 1e5])
@pytest.mark.parametrize("state_bits", [16, 20, 24, 28])
def test_the_shift_is_the_largest_that_is_proved_or_enough(reach: float, state_bits: int) -> None:
    law = Law(state_bits=state_bits)
    node = cuba(v_th=1e9)  # out of reach
    found = fit(node, drive(reach=reach), law, None)
    if found.bound <= law.state_max:
        assert found.shift >= PROVEN_ENOUGH
        assert found.bound <= law.state_max
        assert found.shift == MAX_SHIFT or 2 * found.bound > 0.99 * law.state_max
        # the worst that spikes can do: every one of them, for ever
        j = v = 0.0
        for _ in range(500):
            arriving = j + reach * 2.0**found.shift
            v, j = v * (1 - ALPHA) + arriving, arriving * (1 - BETA)
        assert v <= found.bound
    else:
        assert found.shift <= ENOUGH
        assert found.bound <= 16 * law.state_max
        assert found.shift == ENOUGH or 2 * found.bound > 0.99 * 16 * law.state_max


def test_what_was_observed_limits_a_shift_that_is_not_proved() -> None:
    node, law = neuron(IF(shape=(2,), dt=DT, v_th=F(1), v_reset=F(0))), Law(state_bits=16)
    free = fit(node, drive(), law, None)
    assert free.shift == ENOUGH
    assert free.bound == np.inf
    seen = Observed(np.zeros(2), np.array([4.0, 20.0]))  # 20 is 20 x 64 units, four times that 5120, and 32767 is given
    assert fit(node, drive(), law, seen).shift == 2


def test_thresholds_resets_and_biases_limit_the_shift_with_a_margin() -> None:
    law = Law(state_bits=16)
    wide = fit(cuba(v_th=1.0), drive(reach=1.0), law, None).shift
    for changes, driven in (({"v_reset": -20.0}, drive(reach=1.0)), ({}, drive(reach=1.0, constant=10.0))):
        node = cuba(v_th=1.0, **changes)
        found = fit(node, driven, law, None)
        assert 0 <= found.shift < wide
        made = parameters(node, driven, found.shift)
        assert all(2 * abs(value) <= law.state_max for name, value in made.items() if name != "v_th")


def test_states_too_narrow_for_a_threshold_ask_for_coarser_weights() -> None:
    node = neuron(IF(shape=(2,), dt=DT, v_th=F(1000), v_reset=F(0)))
    found = fit(node, drive(), Law(state_bits=12), None)
    assert found.shift < 0
    assert 2 * 1000 * 2.0**6 * 2.0**found.shift <= 2047


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([12, 16, 24]), st.floats(0.05, 1.0))
def test_proved_states_never_leave_their_bits(seed: int, state_bits: int, rate: float) -> None:
    generator = np.random.default_rng(seed)
    weight = generator.normal(size=(4, 6)).astype(F)
    model = discretise(chain((6,), Linear(weight), cuba_lif((4,), tau_mem=4e-3, v_reset=generator.normal())))
    law = Law(state_bits=state_bits, overflow="wrap")
    made = quantise(model, QuantiseChoice(law=law))
    x = {"input": spikes(generator, 50, 2, 6, rate=rate)}
    if not made.table[0].proven:
        return
    wide = quantise(model, QuantiseChoice(law=law)).graph
    narrow = emulate(wide, x, states=True)
    for values in narrow.observables["1"].values():
        assert np.abs(values).max() <= law.state_max
    np.testing.assert_array_equal(narrow.spikes["1"], emulate(made.graph, x).spikes["1"])


def test_what_is_observed_bounds_currents_and_membranes_before_their_reset() -> None:
    generator = np.random.default_rng(0)
    linear = Linear(generator.normal(size=(5, 6)).astype(F))
    model = discretise(chain((6,), linear, cuba_lif((5,), v_th=0.25, v_leak=0.1, i0=F(0.5))))
    x = {"input": spikes(generator, 60, 3, 6)}
    run = interpret(model, x, states=True)
    node = model.nodes["1"]
    assert isinstance(node, Neuron)
    seen = observe(node, dict(run.observables["1"]))
    v, i = np.full((3, 5), 0.1), np.full((3, 5), 0.5)
    currents, membranes = [], []
    for t in range(60):
        j = i + x["input"][t] @ linear.weight.T
        v1 = v + 0.1 * (0.1 - v + j)
        currents.append(np.abs(j).max(axis=0))
        membranes.append(np.abs(v1).max(axis=0))
        v, i = np.where(v1 > 0.25, 0.0, v1), 0.8 * j
    tolerance = 1e-5
    assert np.all(seen.current >= np.max(currents, axis=0) - tolerance)
    assert np.all(seen.membrane >= np.max(membranes, axis=0) - tolerance)
    assert np.all(seen.current <= np.max(currents, axis=0) + 0.5 / 0.8)


@pytest.mark.parametrize(("alpha", "lost"), [(2.0**-13, True), (2.0**-13 * 1.01, False), (0.1, False)])
def test_a_decay_is_lost_up_to_half_of_its_last_bit(alpha: float, lost: bool) -> None:
    node = cuba(tau_mem=np.array([8e-3, DT / alpha]))
    made = population(node, drive(), Law(), 0, seed=0, key=0)
    findings = lost_decays("n", node, made, Law())
    assert [f.kind for f in findings] == (["decay_lost"] if lost else [])
    assert all(f.severity == "warning" and f.fix for f in findings)


def test_what_has_no_integer_form_is_refused_by_name() -> None:
    node = cuba(tau_mem=np.array([8e-3, np.inf]))
    assert [(f.kind, f.where) for f in refusals("n", node)] == [("alpha", "n")]
    assert [f.kind for f in refusals("n", cuba(r=np.array([0.0, 2.0], F)))] == ["gain"]
    assert refusals("n", cuba(tau_syn=np.array([np.inf, 1.0]))) == []
