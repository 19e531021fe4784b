"""The search of scales: it finds the best factor, not the luck of the inputs; populations by themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from small_nets import DT, chain, cuba_lif, spikes

from norse_export.ir.fixed import DenseSynapses, Population
from norse_export.ir.layers import Linear
from norse_export.passes import calibrate
from norse_export.passes.calibrate import Link, fewer, less, response, run_fixed, search, smaller, some, work_of
from norse_export.passes.discretise import discretise
from norse_export.passes.quantise import quantise

Array = NDArray[Any]
Floats = NDArray[np.float64]


def flat(factor: Floats) -> Floats:
    return np.zeros(len(factor))


def test_each_channel_gets_the_factor_with_its_own_least_measure() -> None:
    wanted = np.array([0.97, 0.52, 0.31])
    found = search((0.3, 1.0), 3, flat, lambda factor: np.abs(factor - wanted))
    np.testing.assert_allclose(found, wanted, atol=0.06)


def test_the_second_round_is_finer_than_the_first() -> None:
    wanted = 0.613
    found = search((0.3, 1.0), 1, flat, lambda factor: np.abs(factor - wanted))
    assert abs(found[0] - wanted) <= 0.7 / calibrate.STRETCHES / calibrate.FINE + 1e-9


def test_equal_measures_are_decided_by_the_error_and_then_by_the_greater_factor() -> None:
    found = search((0.3, 1.0), 1, lambda factor: np.abs(factor - 0.5), flat, surely=lambda new, old: new <= old)
    assert abs(found[0] - 0.5) < 0.03
    assert search((0.3, 1.0), 2, flat, flat).tolist() == [1.0, 1.0]


def test_within_a_stretch_the_weights_say_which_factor_is_measured() -> None:
    measured: list[float] = []

    def measure(factor: Floats) -> Floats:
        measured.append(float(factor[0]))
        return flat(factor)

    # a comb of errors: only factors near multiples of 0.05 fit the weights
    search((0.4, 1.0), 1, lambda factor: np.abs(factor / 0.05 - np.rint(factor / 0.05)), measure, points=16)
    assert len(measured) == 1 + calibrate.STRETCHES + calibrate.FINE
    assert all(abs(value / 0.05 - round(value / 0.05)) < 0.07 for value in measured[: 1 + calibrate.STRETCHES])
    assert len({round(value, 2) for value in measured}) >= calibrate.STRETCHES


def test_without_a_measure_the_error_decides_alone() -> None:
    assert abs(search((0.3, 1.0), 1, lambda factor: (factor - 0.7) ** 2, points=8)[0] - 0.7) < 0.01


def test_a_count_that_is_less_by_chance_changes_nothing() -> None:
    def noisy(factor: Floats) -> Floats:
        return np.where(factor < 0.8, 95.0, 100.0)  # 100 and 95 rare events are no different

    assert search((0.3, 1.0), 1, flat, noisy, surely=fewer).tolist() == [1.0]
    assert search((0.3, 1.0), 1, flat, lambda f: 100 * noisy(f), surely=fewer)[0] < 0.8


def test_a_channel_takes_the_factor_of_the_layer_unless_its_own_is_surely_better() -> None:
    def measure(factor: Floats) -> Floats:
        large = np.where(factor < 0.6, 100.0, 1000.0)
        return np.array([large[0], 9.0 if factor[1] > 0.9 else 10.0, 0.0 if factor[2] > 0.9 else 50.0])

    first, second, third = search((0.3, 1.0), 3, flat, measure, surely=fewer)
    assert first < 0.6
    assert second == first
    assert third > 0.9


@pytest.mark.parametrize(
    ("surely", "new", "old", "expected"),
    [
        (less, 1.0, 1.0, False),
        (less, 0.9, 1.0, True),
        (fewer, 81.0, 108.0, False),
        (fewer, 80.0, 110.0, True),
        (smaller, 0.95, 1.0, False),
        (smaller, 0.94, 1.0, True),
    ],
)
def test_what_is_surely_less(surely: Any, new: float, old: float, expected: bool) -> None:
    assert surely(new, old) is expected


def test_samples_are_spread_and_steps_the_first_as_far_as_the_budget_goes() -> None:
    x = {"input": np.arange(50 * 10).reshape(50, 10, 1)}
    assert some(x, 1, 500)["input"].shape == (50, 10, 1)
    few = some(x, 10, 1500)["input"]
    np.testing.assert_array_equal(few[0, :, 0], [0, 4, 9])
    assert few.shape[0] == 50
    assert some(x, 100, 4000)["input"].shape == (40, 1, 1)
    assert some(x, 10**9, 10)["input"].shape == (32, 1, 1)


def test_a_population_by_itself_answers_as_in_its_network() -> None:
    generator = np.random.default_rng(0)
    weight = generator.normal(size=(5, 6)).astype(np.float32)
    made = quantise(discretise(chain((6,), Linear(weight), cuba_lif((5,), v_th=0.25)))).graph
    population, synapses = made.nodes["1"], made.nodes["0"]
    assert isinstance(population, Population)
    assert isinstance(synapses, DenseSynapses)
    x = spikes(generator, 30, 2, 6)
    links = [Link("input", "x", 0, synapses)]
    whole = run_fixed(made, {"input": x}).spikes["1"]
    np.testing.assert_array_equal(response(population, links, {"input": x}), whole)
    late = response(population, [Link("input", "x", 3, synapses)], {"input": x})
    np.testing.assert_array_equal(late[3:], whole[:-3])
    assert whole.any()
    assert work_of(population, links) == 30 + calibrate.UPDATE_WORK * 5


def test_the_engine_and_the_emulator_measure_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    weight = generator.normal(size=(5, 6)).astype(np.float32)
    model = discretise(chain((6,), Linear(weight), cuba_lif((5,), v_th=0.25), cuba_lif((5,), dt=DT, v_th=0.01)))
    x = {"input": spikes(generator, 30, 2, 6)}
    emulated = quantise(model, None, x)
    monkeypatch.setattr(calibrate, "EMULATED_WORK", 0)
    assert quantise(model, None, x).table == emulated.table
