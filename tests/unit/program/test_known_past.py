"""Neurons that are reset in the step after their spike: what the spikes tell, and that no bound grows without it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from norse_export.program.affine import bounded_step
from norse_export.program.counted_steps import SNNTORCH
from norse_export.program.evaluate import evaluate
from norse_export.program.families import family
from norse_export.program.known_past import asks_for_the_past
from norse_export.program.operations import where
from norse_export.program.program import Family, Step

U = (2.0**-24 + 2.0**-53) * (1 + 2.0**-20)
TINY = float(np.finfo(np.float32).smallest_normal)
NEURONS, STEPS = 128, 400
LEAST = {"decay_v": 0.5, "decay_i": 0.3, "decay_e": 0.9, "scale": 1.0, "v_th": 0.3}
DELAYED = [name for name in SNNTORCH if not name.endswith(("_none", "_now"))]


def along(made: Family, seed: int) -> tuple[float, int, int]:
    """The largest bound of a run in float32, cells beyond their bound, and spikes that float64 has not.

    Inputs are thirds and tenths, so that membranes come near to the threshold often.
    """
    random = np.random.default_rng(seed)
    parameters = {name: np.full(NEURONS, LEAST[name], np.float32) for name in made.parameters}
    wide = {name: value.astype(np.float64) for name, value in parameters.items()}
    state = {name: np.zeros((1, NEURONS), np.float32) for name in made.state}
    bounded: dict[str, Any] = {name: (np.zeros((1, NEURONS)), 0.0) for name in made.state}
    past, largest, beyond, flips = None, 0.0, 0, 0
    for _ in range(STEPS):
        x = random.choice(np.array([0, 0.1, 0.2, 0.3, 1 / 3, -0.1], np.float32), (1, NEURONS))
        done = evaluate(made.trace(), {"x": x, **state, **parameters})
        assert done.spike is not None
        step = bounded_step(made.trace(), {"x": (x.astype(np.float64), 0.0)}, bounded, wide, done.spike, U, TINY, past)
        past = step.past
        bounded = {n: (v, e) for n, v, e in zip(made.state, step.state, step.state_error, strict=True)}
        state = dict(zip(made.state, done.state, strict=True))
        for name, (value, error) in bounded.items():
            largest = max(largest, float(np.max(error)))
            beyond += int(np.sum(np.abs(state[name] - value) > error))
        assert step.margin is not None
        flipped = (step.margin > 0) != done.spike
        assert np.all(np.abs(step.margin[flipped]) <= step.margin_error[flipped])  # type: ignore[index]
        flips += int(flipped.sum())
    return largest, beyond, flips


@pytest.mark.parametrize("name", DELAYED)
def test_one_membrane_that_was_too_near_does_not_make_all_after_it_uncertain(name: str) -> None:
    largest, beyond, _ = along(family(name), 7)
    assert beyond == 0
    assert largest < 1e-4


@pytest.mark.parametrize("name", [name for name in SNNTORCH if name.endswith("_now")])
def test_no_float32_run_leaves_the_bound_where_resets_are_at_once(name: str) -> None:
    largest, beyond, _ = along(family(name), 7)
    assert beyond == 0
    assert largest < 4.0  # a membrane may be a threshold above, once its reset is not sure


def test_float32_runs_do_come_too_near_here() -> None:
    assert sum(along(family(name), 7)[2] for name in DELAYED) > 0


def test_the_comparison_that_asks_for_the_last_spike_is_found() -> None:
    for name in SNNTORCH:
        found = asks_for_the_past(family(name).trace())
        assert list(found.values()) == ["v"] if not name.endswith("_none") else len(found) <= 1
    assert not asks_for_the_past(family("lif").trace())
    assert not asks_for_the_past(family("li").trace())


def halved(x: Any, v: Any, *, v_th: Any) -> Step:
    r = v > v_th
    v1 = x + where(r, 0, v)
    return Step(spike=v1 > v_th, state=(v1 + x,))  # not what was compared


def test_a_state_that_is_not_what_the_spike_compared_is_not_told_by_it() -> None:
    made = Family("halved", halved, ("x",), ("v",))
    value, spikes = np.full((1, 1), 1.5), np.ones((1, 1), bool)
    step = bounded_step(made.trace(), {"x": (value, 0.0)}, {"v": (value * 0, 0.0)}, {"v_th": np.ones(1)}, spikes, U)
    assert not step.past["v"].sure.any()


def both(x: Any, v: Any, *, low: Any, on: Any) -> Step:
    v1 = where((x > low) & (on > 0), x + 1, x)
    return Step(state=(v1,), output=v1)


def test_a_condition_beside_a_comparison_does_not_make_it_sure() -> None:
    made = Family("both", both, ("x",), ("v",))
    x, error = np.array([[1.0, 1.0]]), np.array([[1e-3, 1e-3]])
    parameters = {"low": np.ones(2), "on": np.array([1.0, 0.0])}
    step = bounded_step(made.trace(), {"x": (x, error)}, {"v": (x * 0, 0.0)}, parameters, None, U)
    assert np.broadcast_to(step.state_error[0], (1, 2))[0, 0] >= 1.0  # either branch, 1 apart
    assert np.broadcast_to(step.state_error[0], (1, 2))[0, 1] < 1.1e-3  # where the condition fails there is one
