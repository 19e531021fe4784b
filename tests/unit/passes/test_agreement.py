"""Agreement of spikes: silence and constant firing are as far from the model as chance; what is no chance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from norse_export.passes.agreement import apart, cells, rank, silenced, surely_nearer

Array = NDArray[Any]


def raster(seed: int, rate: float, *shape: int) -> Array:
    return np.random.default_rng(seed).random(shape) < rate


TRUTH = raster(0, 0.2, 50, 4, 6)


def counts(got: Array, truth: Array = TRUTH) -> Any:
    return cells(truth, got, 1)[0]


def test_counts_are_of_each_channel() -> None:
    truth, got = np.zeros((2, 1, 4), bool), np.zeros((2, 1, 4), bool)
    truth[0, 0, :3] = True
    got[0, 0, 2:] = True
    np.testing.assert_array_equal(cells(truth, got, 2), [[2, 2, 0, 4], [1, 1, 2, 4]])


def test_the_distance_is_one_minus_kappa() -> None:
    got = TRUTH ^ raster(1, 0.1, *TRUTH.shape)
    agreed, a, b = np.mean(got == TRUTH), TRUTH.mean(), got.mean()
    chance = a * b + (1 - a) * (1 - b)
    assert apart(counts(got)) == pytest.approx(1 - (agreed - chance) / (1 - chance))
    assert apart(counts(TRUTH)) == 0
    nothing = np.zeros_like(TRUTH)
    assert apart(cells(nothing, nothing, 1)[0]) == 0


@pytest.mark.parametrize("got", [np.zeros_like(TRUTH), np.ones_like(TRUTH)], ids=["silence", "always"])
def test_silence_and_constant_firing_are_no_nearer_than_chance(got: Array) -> None:
    assert apart(counts(got)) == pytest.approx(1)
    assert apart(counts(raster(7, 0.2, *TRUTH.shape))) == pytest.approx(1, abs=0.1)


def test_a_layer_that_fires_goes_before_one_that_does_not_whatever_differs() -> None:
    silent, chance = counts(np.zeros_like(TRUTH)), counts(raster(7, 0.4, *TRUTH.shape))
    assert silent[0] < chance[0]  # fewer cells differ in silence
    assert rank(chance) < rank(silent)
    assert silenced(silent)
    assert not silenced(chance)
    assert surely_nearer(chance, silent)
    assert not surely_nearer(silent, chance)
    assert not silenced(counts(np.zeros_like(TRUTH), np.zeros_like(TRUTH)))


def test_what_is_better_by_chance_is_not_surely_nearer() -> None:
    near, far = (counts(TRUTH ^ raster(2, rate, *TRUTH.shape)) for rate in (0.095, 0.1))
    assert apart(near) < apart(far)
    assert not surely_nearer(near, far)
    assert surely_nearer(100 * counts(TRUTH ^ raster(2, 0.05, *TRUTH.shape)), 100 * far)
    assert surely_nearer(counts(TRUTH ^ raster(2, 0.02, *TRUTH.shape)), far)
