"""The bound of a step is a bound: no float32 step, from values off by as much as is said, leaves it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from family_values import COUNTERS, EVERY_FORM, RATES
from numpy.typing import NDArray

from norse_export.program.affine import BoundedStep, bounded_step
from norse_export.program.families import FAMILIES
from norse_export.program.operations import where
from norse_export.program.program import Family, Step

Array = NDArray[Any]
NEURONS = 8
U = 2.0**-24
TINY = 2.0**-126
CASES = 40_000
CUBA_LIF, IF, LI, LIF = (FAMILIES[name] for name in ("cuba_lif", "if", "li", "lif"))


def drawn(generator: np.random.Generator) -> Array:
    """Numbers of both signs over many magnitudes, with zeros, ones and pairs that cancel among them."""
    size = 2.0 ** generator.uniform(-12, 6, CASES)
    values = generator.choice([-1, 1], CASES) * size
    values[generator.random(CASES) < 0.1] = 0
    values[generator.random(CASES) < 0.2] = 0.75
    return values


def off(values: Array, generator: np.random.Generator, largest: float) -> tuple[Array, Array]:
    """The values as another computation has them, in float32, and by how much they are off."""
    apart = largest * generator.uniform(-1, 1, CASES) * generator.integers(0, 2, CASES)
    other = (values + apart).astype(np.float32)
    return other, np.abs(other - values)


def parameter(made: Family, name: str, generator: np.random.Generator) -> Array:
    if name in RATES:
        return generator.choice(np.float32([0, 0.1, 0.5, 1, 1.5, 1.99]), CASES)
    if name in COUNTERS:
        return generator.integers(0, 4, CASES).astype(np.float32)
    if name == "tau_steps":  # what is divided by it stays within the range of float32
        return generator.uniform(1.0, 20.0, CASES).astype(np.float32)
    if name == "delta_t":  # the exponential of what is drawn stays within the range of float32
        return generator.choice(np.float32([2, 3, 4.1, 50]), CASES)
    if name in made.matrices:
        return (generator.normal(size=(NEURONS, NEURONS)) / 4).astype(np.float32)
    return drawn(generator).astype(np.float32)


def run(made: Family, seed: int, largest: float) -> tuple[Step, BoundedStep]:
    """A float32 step from values that are off, and the bound; counters of steps of rest are shared by both.

    With a matrix the cases are samples of NEURONS neurons.
    """
    generator = np.random.default_rng(seed)
    parameters = {name: parameter(made, name, generator) for name in made.parameters}
    exact = {name: drawn(generator) for name in (*made.ports, *made.state)}
    other = {name: off(values, generator, largest) for name, values in exact.items()}
    for name in COUNTERS:
        if name in exact:
            exact[name] = generator.integers(0, 3, CASES).astype(np.float64)
            other[name] = (exact[name].astype(np.float32), 0.0)
    shape = (-1, NEURONS) if made.matrices else (-1,)
    exact = {name: value.reshape(shape) for name, value in exact.items()}
    other = {
        name: (v.reshape(shape), e if isinstance(e, float) else e.reshape(shape)) for name, (v, e) in other.items()
    }
    parameters = {name: v if name in made.matrices else v.reshape(shape) for name, v in parameters.items()}
    step = made.step(*(values for values, _ in other.values()), **parameters)
    bounded = bounded_step(
        made.trace(),
        {name: (exact[name], other[name][1]) for name in made.ports},
        {name: (exact[name], other[name][1]) for name in made.state},
        {name: value.astype(np.float64) for name, value in parameters.items()},
        step.spike,
        U + 2.0**-53,
        TINY,
    )
    return step, bounded


@pytest.mark.parametrize("largest", [0.0, 1e-6, 0.5], ids=["exact", "near", "far"])
@pytest.mark.parametrize("made", EVERY_FORM.values(), ids=EVERY_FORM)
def test_no_float32_step_leaves_the_bound(made: Family, largest: float) -> None:
    for seed in range(3):
        step, bounded = run(made, seed, largest)
        for name, got, value, error in zip(made.state, step.state, bounded.state, bounded.state_error, strict=True):
            assert got.dtype == np.float32
            assert (np.abs(got - value) <= error).all()
            assert (isinstance(error, float) and error == 0.0) == (name in COUNTERS)
            assert np.isfinite(error).all()
        if step.spike is None:
            assert bounded.margin is None
            assert (np.abs(step.output - bounded.output) <= bounded.output_error).all()
            continue
        assert bounded.margin is not None
        assert bounded.margin_error is not None
        assert (bounded.output == step.spike).all()
        assert not bounded.output_error.any()
        possible = np.isfinite(bounded.margin)
        assert not step.spike[~possible].any()
        assert (bounded.margin[~possible] == -np.inf).all()
        assert ("rho" in made.state and "lif_mc" not in made.name) == bool((~possible).any())
        flipped = step.spike != (bounded.margin > 0)
        assert (np.abs(bounded.margin) <= bounded.margin_error)[flipped].all()
        if largest == 0.5:
            assert flipped.sum() > 100


@pytest.mark.parametrize("made", EVERY_FORM.values(), ids=EVERY_FORM)
def test_the_bound_is_not_idle(made: Family) -> None:
    """Somewhere a float32 step uses up at least half of it, in every state that has one."""
    step, bounded = run(made, 0, 0.0)
    for name, got, value, error in zip(made.state, step.state, bounded.state, bounded.state_error, strict=True):
        if name not in COUNTERS:
            assert (np.abs(got - value)[error > 0] / error[error > 0]).max() > 0.5


def test_the_bound_of_a_lif_is_near_the_formula_written_by_hand() -> None:
    """e_j = e_i + e_x + 2u|j|; e_i' = |1-b| e_j + 3u|j|; e_v' = |1-a| e_v + a (e_j + 2u|j-v|) + 2u|v1|."""
    generator = np.random.default_rng(3)
    v, i, x = generator.uniform(-1, 1, (3, CASES))
    e_v, e_i, e_x = 10 * U * generator.random((3, CASES))
    a, b = generator.uniform(0.01, 0.9, (2, CASES))
    never, zero = np.full(CASES, 1e9), np.zeros(CASES)
    parameters = {"alpha": a, "beta": b, "v_leak": zero, "v_th": never, "v_reset": zero}
    silent = np.zeros(CASES, bool)
    got = bounded_step(CUBA_LIF.trace(), {"x": (x, e_x)}, {"v": (v, e_v), "i": (i, e_i)}, parameters, silent, U)
    j = i + x
    e_j = e_i + e_x + 2 * U * np.abs(j)
    by_hand = (
        np.abs(1 - a) * e_v + a * (e_j + 2 * U * np.abs(j - v)) + 2 * U * np.abs(got.state[0]),
        np.abs(1 - b) * e_j + 3 * U * np.abs(j),
    )
    for error, expected in zip(got.state_error, by_hand, strict=True):
        ratio = error / expected
        assert 0.4 < ratio.min() < ratio.max() < 2.5


def lif_parameters(n: int, *, v_reset: float = 0.25) -> dict[str, Array]:
    values = {"alpha": 0.5, "v_leak": 0.0, "v_th": 1.0, "v_reset": v_reset}
    return {name: np.full(n, value) for name, value in values.items()}


def test_a_reset_to_a_value_clears_the_error_and_only_where_it_happens() -> None:
    spikes = np.array([True, False])
    step = bounded_step(
        LIF.trace(),
        {"x": (np.array([9.0, 0.1]), 0.0)},
        {"v": (np.zeros(2), np.full(2, 0.5))},
        lif_parameters(2),
        spikes,
        U,
    )
    assert step.state[0].tolist() == [0.25, 0.05]
    assert step.state_error[0][0] == 0
    assert step.state_error[0][1] >= 0.25


def test_the_leak_damps_an_error_as_it_damps_the_state() -> None:
    error: Any = np.full(1, 1.0)
    v = np.zeros(1)
    for _ in range(20):
        step = bounded_step(LIF.trace(), {"x": (v, 0.0)}, {"v": (v, error)}, lif_parameters(1), np.zeros(1, bool), U)
        error = step.state_error[0]
    assert 2.0**-20 <= error[0] < 1.1 * 2.0**-20


def test_without_a_leak_an_error_stays() -> None:
    v = np.zeros(1)
    parameters = {"v_th": np.ones(1), "v_reset": v}
    step = bounded_step(IF.trace(), {"x": (v, 0.0)}, {"v": (v, np.ones(1))}, parameters, np.zeros(1, bool), U)
    assert 1 <= step.state_error[0][0] < 1 + 1e-6


def test_the_error_of_a_forced_spike_is_that_of_the_margin_before_the_reset() -> None:
    """The margin tells how far the threshold was, whatever spike is forced."""
    step = bounded_step(
        LIF.trace(), {"x": (np.array([4.0]), 0.0)}, {"v": (np.zeros(1), 0.0)}, lif_parameters(1), np.array([False]), U
    )
    assert step.margin is not None
    assert step.margin.tolist() == [1.0]
    assert step.state[0].tolist() == [2.0]


def test_values_that_all_share_have_the_error_of_the_rounding_alone() -> None:
    """Some units in the last place; and none at all where each result has a place in the float type."""
    for value, off_grid in ((0.5, False), (1 / 3, True)):
        v = np.array([value])
        step = bounded_step(LI.trace(), {"x": (v, 0.0)}, {"v": (v, 0.0)}, {"alpha": v, "v_leak": v}, None, U)
        if off_grid:
            assert 0 < step.state_error[0][0] < 4 * U
        else:
            assert step.state_error[0] == 0.0


def test_a_result_below_the_normal_range_is_not_shared() -> None:
    """Some runs flush it to zero."""
    v = np.array([2.0**-126])
    given = {"alpha": np.array([0.5]), "v_leak": np.zeros(1)}
    step = bounded_step(LI.trace(), {"x": (np.zeros(1), 0.0)}, {"v": (v, 0.0)}, given, None, U, TINY)
    assert step.state_error[0][0] >= 2.0**-127


def test_below_the_normal_range_a_result_may_be_flushed() -> None:
    """A synaptic current that decays to subnormal numbers stays within the bound, kept or flushed to zero."""
    i = np.array([2.0**-126])
    for run_current in (np.float32(0), np.float32(2.0**-127)):
        step = bounded_step(
            CUBA_LIF.trace(),
            {"x": (np.zeros(1), 0.0)},
            {"v": (np.zeros(1), 0.0), "i": (i, 0.0)},
            {"alpha": np.ones(1), "beta": np.full(1, 0.5), "v_leak": np.zeros(1)} | {"v_th": i + 1, "v_reset": i},
            np.zeros(1, bool),
            U,
            TINY,
        )
        assert abs(run_current - step.state[1][0]) <= step.state_error[1][0] < 1e-36


def exponential() -> dict[str, Array]:
    values = {"alpha": 0.1, "beta": 0.5, "v_leak": 0.0, "v_th": 1.0, "v_reset": 0.0, "delta_t": 0.5}
    return {name: np.full(1, value) for name, value in values.items()}


def test_an_exponential_passes_on_an_error_as_it_grows() -> None:
    """dv1/dv = 1 - alpha + alpha exp((v - v_th)/delta_t), and beyond the first order for an error that is large."""
    made = FAMILIES["lif_ex"]
    for v, error in ((0.5, 1e-6), (3.0, 1e-6), (3.0, 0.5)):
        state = {"v": (np.full(1, v), np.full(1, error)), "i": (np.zeros(1), 0.0)}
        step = bounded_step(made.trace(), {"x": (np.zeros(1), 0.0)}, state, exponential(), np.zeros(1, bool), 2.0**-53)
        grown = np.exp((v + error - 1) / 0.5) - np.exp((v - 1) / 0.5)
        by_hand = 0.9 * error + 0.1 * 0.5 * grown
        assert by_hand <= step.state_error[0][0] <= 1.001 * by_hand


def test_a_coupled_neuron_has_the_errors_of_those_it_is_coupled_to() -> None:
    v, errors = np.zeros((1, 3)), np.array([[0.5, 0.0, 0.25]])
    coupling = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, -2.0], [0.0, 4.0, 0.0]])
    given = {name: np.full(3, value) for name, value in {"alpha": 0.0, "beta": 1.0, "v_leak": 0.0}.items()}
    given |= {"v_th": np.full(3, 9.0), "v_reset": np.zeros(3), "step": np.full(3, 0.5), "g": coupling}
    step = bounded_step(
        FAMILIES["lif_mc"].trace(),
        {"x": (v, 0.0)},
        {"v": (v, errors), "i": (v, 0.0)},
        given,
        np.zeros((1, 3), bool),
        U,
    )
    np.testing.assert_allclose(step.state_error[0], [[0.5, 0.5 * (0.5 + 2 * 0.25), 0.25]], rtol=1e-5)


def resting(v: list[float], error: float, rho: list[float], spikes: list[bool]) -> BoundedStep:
    """LIFAdExRefrac without an input, half way to v_leak = v_th = 1 in a step, whose adaptation jumps by 1."""
    zero = np.zeros(len(v))
    levels = {"alpha": 0.5, "beta": 0, "zeta": 0, "v_leak": 1, "v_th": 1, "v_reset": 0, "delta_t": 0.05}
    given = {name: zero + value for name, value in {**levels, "a_v": 0, "a_spike": 1, "rho_reset": 3}.items()}
    return bounded_step(
        FAMILIES["lif_adex_refrac"].trace(),
        {"x": (zero, 0.0)},
        {"v": (np.array(v), zero + error), "i": (zero, 0.0), "a": (zero, 0.0), "rho": (np.array(rho), 0.0)},
        given,
        np.array(spikes),
        U,
    )


def test_a_neuron_at_rest_cannot_spike_and_its_counter_is_shared_by_all() -> None:
    step = resting([0.5, 0.5], 1e-6, [2.0, 0.0], [False, True])
    assert step.margin is not None
    assert step.margin[0] == -np.inf
    assert step.margin[1] == pytest.approx(-0.25, abs=1e-5)
    assert step.state[0].tolist() == [0.5, 0.0]  # kept at rest; reset by the spike that is forced
    assert step.state[2].tolist() == [0.0, 1.0]
    assert step.state[3].tolist() == [1.0, 3.0]
    assert step.state_error[3] == 0.0


def test_at_rest_a_threshold_that_is_too_near_to_tell_counts_both_ways() -> None:
    """The adaptation jumps where the threshold is passed, at rest too: another run may have passed it, or not."""
    step = resting([0.5, 0.97, 0.97, 1.5], 0.01, [1.0, 1.0, 0.0, 1.0], [False] * 4)
    assert step.state[2].tolist() == [0, 0, 0, 1]
    near = np.asarray(step.state_error[2]) >= 1
    assert near.tolist() == [False, True, False, False]  # at rest and near; not at rest the spike itself decides


def test_in_float64_shared_counters_need_no_place_in_float32() -> None:
    family = FAMILIES["lif_refrac"]
    zero, third = np.zeros(1), np.full(1, 1 / 3)
    given = {"alpha": zero, "beta": zero, "v_leak": zero, "v_th": zero + 1, "v_reset": zero, "rho_reset": third}
    state = {"v": (zero, 0.0), "i": (zero, 0.0), "rho": (third + 1, 0.0)}
    step = bounded_step(family.trace(), {"x": (zero, 0.0)}, state, given, np.zeros(1, bool), 2.0**-53)
    assert step.state_error[2] == 0.0


def square(x: Any, v: Any) -> Step:
    product = v * v
    return Step(state=(product + x,), output=product)


def test_a_product_of_two_uncertain_values_has_the_errors_of_both() -> None:
    family = Family("square", square, ("x",), ("v",))
    generator = np.random.default_rng(5)
    v, x = drawn(generator), drawn(generator)
    other, error = off(v, generator, 0.5)
    step = bounded_step(family.trace(), {"x": (x, 0.0)}, {"v": (v, error)}, {}, None, U, TINY)
    off_by = np.abs(other * other - step.output)
    assert (off_by <= step.output_error).all()
    by_hand = 2 * np.abs(v) * error + error**2 + U * v**2
    assert (step.output_error <= 1.1 * by_hand + 3 * U * error + 2 * TINY).all()


def twice(x: Any, v: Any, *, low: Any, high: Any) -> Step:
    z = v > high
    return Step(state=(where(x > low, x, v),), spike=z)


def test_spikes_have_to_be_given_where_a_program_has_them() -> None:
    family = Family("twice", twice, ("x",), ("v",))
    one = np.ones(1)
    with pytest.raises(ValueError, match="not given"):
        bounded_step(family.trace(), {"x": (one, one)}, {"v": (one, one)}, {"low": one, "high": one}, None, U)


def test_a_second_comparison_has_both_outcomes_where_it_is_nearer_than_its_error() -> None:
    """x > low chooses x, else v: x = 2 and 1.05 and -1 and 0.95, off by 0.1, against low = 1; v = 5, off by 0.25."""
    family = Family("twice", twice, ("x",), ("v",))
    x, v, one = np.array([2.0, 1.05, -1.0, 0.95]), np.full(4, 5.0), np.ones(4)
    ports, state = {"x": (x, np.full(4, 0.1))}, {"v": (v, np.full(4, 0.25))}
    step = bounded_step(family.trace(), ports, state, {"low": one, "high": 9 * one}, np.zeros(4, bool), U)
    assert step.state[0].tolist() == [2.0, 1.05, 5.0, 5.0]
    np.testing.assert_allclose(step.state_error[0], [0.1, 3.95 + 0.25, 0.25, 4.05 + 0.1], rtol=1e-6)
    assert step.margin is not None
    assert step.margin.tolist() == [-4.0] * 4
