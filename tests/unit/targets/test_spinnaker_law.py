"""The laws of SpiNNaker where no recording goes: numbers of every size, against a scalar oracle."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from spinnaker_faults import faults
from spinnaker_oracle import Neuron

from norse_export.errors import UsageError
from norse_export.ir.bounds import population_ranges
from norse_export.program.check import check_program
from norse_export.program.operations import Op
from norse_export.targets.spinnaker import emulate
from norse_export.targets.spinnaker.derive import WORDS, Model, derive
from norse_export.targets.spinnaker.emulation import steps
from norse_export.targets.spinnaker.law import RING_MAX, law, population

STEPS, NEURONS = 60, 48
MODELS = tuple(Model)
SHIFTS = ((0, 0), (1, 7), (16, 15), (3, 17), (31, 31))  # from 16 on what arrives can turn negative


def any_words(model: Model, seed: int) -> NDArray[np.int64]:
    """Words of every size, [NEURONS, W]; times and capacitances positive."""
    rng = np.random.default_rng(seed)
    size = rng.integers(4, 32, (NEURONS, 1))
    words = {name: rng.integers(-(2**31), 2**31, NEURONS) >> (32 - size[:, 0]) for name in WORDS[model]}
    for name in words:
        if name.startswith(("cm", "tau", "dt")):
            words[name] = rng.integers(2**13, 2 ** rng.integers(14, 22, NEURONS))
    words["refract_timer"] = rng.integers(-2, 3, NEURONS)
    words["tau_refrac"] = rng.integers(0, 4, NEURONS) * words["dt"]
    words["v_thresh"][::4] = words["v_reset"][::4]  # such a neuron fires in every step once it has fired
    return np.stack([words[name] for name in WORDS[model]], axis=1)


def any_ring(seed: int) -> NDArray[np.int64]:
    rng = np.random.default_rng(seed + 1)
    ring = rng.integers(0, RING_MAX + 1, (STEPS, 2, NEURONS)) >> rng.integers(0, 16, (STEPS, 2, NEURONS))
    return np.where(rng.random(ring.shape) < 0.5, ring, 0)


def by_oracle(model: Model, words: Any, shifts: tuple[int, int], ring: Any) -> dict[str, NDArray[np.int64]]:
    derived = derive(model, words)
    rows = []
    for cell in range(len(words)):
        neuron = Neuron(model is Model.IF_CURR_EXP, {k: int(v[cell]) for k, v in derived.items()}, shifts)
        rows.append(list(neuron.run(ring[:, :, cell].tolist())))
    return {key: np.array([[step[key] for step in row] for row in rows]).T for key in rows[0][0]}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shifts", SHIFTS, ids=str)
@pytest.mark.parametrize("model", MODELS)
def test_numbers_of_every_size_are_those_of_the_c_text(model: Model, shifts: tuple[int, int], seed: int) -> None:
    words, ring = any_words(model, seed), any_ring(seed)
    expected, actual = by_oracle(model, words, shifts, ring), emulate(model, words, shifts, ring)
    assert [key for key in expected if not np.array_equal(expected[key], actual[key])] == []
    assert 0 < expected["spike"].sum() < expected["spike"].size


@pytest.mark.parametrize("model", MODELS)
def test_every_fault_of_one_instruction_is_seen(model: Model) -> None:
    """By this file alone: the recordings hold no negative current and no current that wraps."""
    cases = [(any_words(model, seed), shifts, any_ring(seed)) for seed, shifts in enumerate(SHIFTS)]
    expected = [by_oracle(model, *case) for case in cases]
    unseen = []
    for fault in faults(law(model, (1, 1)).trace()):
        for (words, shifts, ring), right in zip(cases, expected, strict=True):
            neurons = population(model, words, shifts, shape=(NEURONS,), dt=1e-3)
            given = steps(replace(neurons, program=faults(neurons.program)[fault]), ring)
            if any(not np.array_equal(given[key], right[key]) for key in right):
                break
        else:
            unseen.append(fault)
    assert unseen == []


def one(model: Model, **words: int) -> NDArray[np.int64]:
    """Words of one neuron at rest: dt = 1 ms, tau_m = 10 ms, R = 1, tau_syn = 5 ms, threshold 1."""
    given = {"cm": 10 << 15, "tau_m": 10 << 15, "dt": 1 << 15, "dt_synapse": 1 << 15, "dt_input": 1 << 15}
    given |= {"tau_syn_exc": 5 << 15, "tau_syn_inh": 5 << 15, "v_thresh": 1 << 15, **words}
    return np.array([[given.get(name, 0) for name in WORDS[model]]])


def silence(steps_: int) -> NDArray[np.int64]:
    return np.zeros((steps_, 2, 1), np.int64)


def test_a_negative_current_never_ends() -> None:
    """Floor: with a decay of 0.82 it stays where a step would take off less than 1."""
    run = emulate(Model.IF_CURR_EXP, one(Model.IF_CURR_EXP, isyn_exc=-1000), (0, 0), silence(100))
    assert run["exc"][-20:].ravel().tolist() == [-5] * 20


def test_a_positive_current_ends_at_zero() -> None:
    run = emulate(Model.IF_CURR_EXP, one(Model.IF_CURR_EXP, isyn_inh=1000), (0, 0), silence(100))
    assert run["inh"][-1] == 0


@pytest.mark.parametrize("model", MODELS)
def test_the_threshold_is_not_strict(model: Model) -> None:
    at, below = (emulate(model, one(model, v=v, v_rest=v), (0, 0), silence(1)) for v in (1 << 15, (1 << 15) - 1))
    assert (at["spike"].item(), below["spike"].item()) == (True, False)


@pytest.mark.parametrize("model", MODELS)
def test_a_neuron_fires_while_refractory(model: Model) -> None:
    words = one(model, v=1 << 15, v_rest=1 << 15, v_reset=1 << 15, tau_refrac=3 << 15)
    run = emulate(model, words, (0, 0), silence(5))
    assert run["spike"].all()
    assert run["refr"].ravel().tolist() == [3] * 5


def test_the_shift_can_turn_what_arrives_negative() -> None:
    ring = silence(1)
    ring[0, 0] = 1 << 15
    run = emulate(Model.IF_CURR_DELTA, one(Model.IF_CURR_DELTA), (16, 0), ring)
    assert run["exc"].item() == -(2**31)


def test_currents_of_if_curr_delta_last_for_one_step() -> None:
    run = emulate(Model.IF_CURR_DELTA, one(Model.IF_CURR_DELTA, isyn_exc=7, isyn_inh=9), (0, 0), silence(2))
    assert run["exc"].ravel().tolist() == [7, 0]
    assert run["inh"].ravel().tolist() == [9, 0]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("shifts", SHIFTS, ids=str)
def test_64_bits_hold_every_value_whatever_the_words(model: Model, shifts: tuple[int, int]) -> None:
    neurons = population(model, any_words(model, 0), shifts, shape=(6, 8), dt=1e-3)
    check_program(neurons.program)
    largest = {"exc": (0, RING_MAX), "inh": (0, RING_MAX)}
    assert not population_ranges(neurons, largest).diverged


def test_no_wrap_is_needed_for_the_currents_of_small_weights() -> None:
    neurons = population(Model.IF_CURR_EXP, one(Model.IF_CURR_EXP), (1, 1), shape=(1,), dt=1e-3)
    wraps = {n for n, step in enumerate(neurons.program.instructions) if step.op is Op.WRAP}
    assert population_ranges(neurons, {"exc": (0, 1000), "inh": (0, 1000)}).proven == wraps


def test_shifts_are_constants_of_one_structure() -> None:
    for model in MODELS:
        assert law(model, (1, 2)).trace().structure == law(model, (9, 5)).trace().structure


@pytest.mark.parametrize(
    ("model", "shifts", "what"),
    [
        ("IF_cond_exp", (0, 0), "no law"),
        ("IF_curr_exp", (0,), "shifted"),
        ("IF_curr_exp", (-1, 0), "shifted"),
        ("IF_curr_delta", (0, 32), "shifted"),
    ],
)
def test_what_has_no_law_is_refused(model: str, shifts: tuple[int, int], what: str) -> None:
    with pytest.raises(UsageError, match=what) as caught:
        law(model, shifts)
    assert caught.value.where
    assert caught.value.fix


@pytest.mark.parametrize(
    "ring",
    [
        np.zeros((5, 2, 2), np.int64),
        np.zeros((5, 1, 1), np.int64),
        np.zeros((0, 2, 1), np.int64),
        np.zeros((5, 2, 1)),
        np.full((5, 2, 1), -1),
        np.full((5, 2, 1), 65536),
    ],
    ids=["neurons", "types", "no step", "float", "negative", "17 bits"],
)
def test_what_no_ring_buffer_holds_is_refused(ring: NDArray[Any]) -> None:
    with pytest.raises(UsageError, match="ring buffers of shape") as caught:
        emulate(Model.IF_CURR_EXP, one(Model.IF_CURR_EXP), (0, 0), ring)
    assert caught.value.fix
