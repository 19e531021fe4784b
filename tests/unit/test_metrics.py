"""Distances between spike trains: golden values, laws, and brute force on small trains."""

from __future__ import annotations

from functools import cache
from math import exp
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from norse_export import metrics
from norse_export.metrics import jaccard, van_rossum, victor_purpura

Array = NDArray[Any]
STEPS = 60


def train(*times: int) -> Array:
    raster = np.zeros((STEPS, 1), bool)
    raster[list(times)] = True
    return raster


GOLDEN = [
    ((1, 3), (1, 3), (0, 0, 0, 0), 0),
    ((1, 3), (1, 4), (0, 0.5, 1, 2), 0.393469340),
    ((1, 3, 7), (2, 3), (1, 1.5, 2, 3), 0.861171410),
    ((), (5,), (1, 1, 1, 1), 0.5),
    ((2, 4, 6, 8), (3, 5, 7, 9), (0, 2, 4, 8), 1.210374119),
    ((10,), (50,), (0, 2, 2, 2), 0.999999998),
]


@pytest.mark.parametrize(("a", "b", "costs", "distance"), GOLDEN)
def test_golden_values(a: Any, b: Any, costs: Any, distance: float) -> None:
    x, y = train(*a), train(*b)
    assert tuple(victor_purpura(x, y, q) for q in (0, 0.5, 1, 3)) == costs
    assert van_rossum(x, y, 2.0) == pytest.approx(distance, abs=5e-10)


@pytest.mark.parametrize(
    ("a", "b", "expected"), [((), (), 1.0), ((1,), (), 0.0), ((1,), (2,), 0.0), ((1, 2), (2, 3, 4), 0.25)]
)
def test_jaccard(a: Any, b: Any, expected: float) -> None:
    assert jaccard(train(*a), train(*b)) == expected


def rasters(seed: int, neurons: int = 3, steps: int = 9) -> tuple[Array, Array]:
    generator = np.random.default_rng(seed)
    rates = generator.random((2, neurons))
    a, b = (generator.random((steps, neurons)) < rate for rate in rates)
    return a, b


def brute_victor_purpura(a: Array, b: Array, q: float) -> float:
    """The cheapest of all sequences, by the recursion of the definition."""
    x, y = np.flatnonzero(a), np.flatnonzero(b)

    @cache
    def cost(i: int, j: int) -> float:
        if i == 0 or j == 0:
            return float(i + j)
        moved = cost(i - 1, j - 1) + q * abs(int(x[i - 1]) - int(y[j - 1]))
        return min(cost(i - 1, j) + 1, cost(i, j - 1) + 1, moved)

    return cost(len(x), len(y))


def brute_van_rossum(a: Array, b: Array, tau: float) -> float:
    """The double sum of the definition."""

    def overlap(x: Array, y: Array) -> float:
        return sum(exp(-abs(int(s) - int(t)) / tau) for s in np.flatnonzero(x) for t in np.flatnonzero(y))

    return (overlap(a, a) + overlap(b, b) - 2 * overlap(a, b)) / 2


@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 0.3, 0.5, 1, 2.5]), st.sampled_from([0.5, 2.0, 5.0]))
@settings(max_examples=150)
def test_distances_are_those_of_the_definition_summed_over_neurons(seed: int, q: float, tau: float) -> None:
    a, b = rasters(seed)
    assert victor_purpura(a, b, q) == pytest.approx(
        sum(brute_victor_purpura(a[:, n], b[:, n], q) for n in range(3)), abs=1e-12
    )
    assert van_rossum(a, b, tau) == pytest.approx(
        sum(brute_van_rossum(a[:, n], b[:, n], tau) for n in range(3)), abs=1e-12
    )


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_distances_are_symmetric_and_zero_for_equal_trains_only(seed: int) -> None:
    a, b = rasters(seed)
    for distance in (jaccard, victor_purpura, van_rossum):
        assert distance(a, b) == distance(b, a)
    assert (jaccard(a, a), victor_purpura(a, a), van_rossum(a, a)) == (1, 0, 0)
    if (a != b).any():
        assert jaccard(a, b) < 1
        assert victor_purpura(a, b) > 0
        assert van_rossum(a, b) > 0


def test_defaults_are_one_a_step_and_five_steps() -> None:
    a, b = rasters(1)
    assert victor_purpura(a, b) == victor_purpura(a, b, 1.0)
    assert van_rossum(a, b) == van_rossum(a, b, 5.0)


def test_feature_axes_and_number_types_do_not_matter() -> None:
    a, b = rasters(2, neurons=12)
    for distance in (jaccard, victor_purpura, van_rossum):
        shaped = distance(a.reshape(9, 2, 2, 3).astype(np.float32), b.reshape(9, 2, 2, 3).astype(np.int32))
        assert shaped == distance(a, b)


@pytest.mark.parametrize("cells", [1, 30])
def test_tables_filled_in_pieces_give_the_same(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = rasters(3, neurons=50, steps=20)
    expected = victor_purpura(a, b, 0.4)
    monkeypatch.setattr(metrics, "_TABLE_CELLS", cells)
    assert victor_purpura(a, b, 0.4) == pytest.approx(expected, abs=1e-12)


def test_very_different_runs_of_many_neurons_are_measured_in_short_time() -> None:
    """Six thousand neurons that all differ: the distances of a badly wrong export must not take minutes."""
    generator = np.random.default_rng(4)
    a, b = (generator.random((100, 6000)) < 0.3 for _ in range(2))
    assert victor_purpura(a, b) > 0
    assert van_rossum(a, b) > 0
