"""Bounds of layers with many weights: cut into parts, they are the same bits, and need little memory."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from norse_export.engine import rounding
from norse_export.ir.layers import Conv, Linear

Array = NDArray[Any]
U = 2.0**-24 + 2.0**-53
TINY = 2.0**-126
WHOLE = 2**40


def bound_in_parts(numbers: int, node: Linear | Conv, x: Array, error: Array | None) -> Array | None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rounding, "_NUMBERS_AT_ONCE", numbers)
        return rounding.bound(node, x, error, U, TINY)


@st.composite
def cases(draw: Any) -> tuple[Linear | Conv, Array, Array | None]:
    """A layer of random weights, some of them 0 and some on a grid, a batch, and perhaps its error."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    on_grid = draw(st.booleans())

    def numbers(*shape: int) -> Array:
        values = generator.normal(size=shape) * 2.0 ** generator.integers(-6, 6, size=shape)
        values *= generator.random(shape) < draw(st.sampled_from([0.3, 1.0]))
        return (np.round(values * 4) / 4 if on_grid else values).astype(np.float32)

    rows, columns = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    bias = numbers(rows) if draw(st.booleans()) else None
    folded = None if bias is None or draw(st.booleans()) else np.abs(bias)
    node: Linear | Conv = Linear(numbers(rows, columns), bias, folded)
    if draw(st.booleans()):
        node = Conv(numbers(rows, columns, 2), (5,), bias, (1,), (0,), (1,), folded=folded)
    x = (generator.random((draw(st.integers(1, 5)), *node.input_shape)) < 0.5).astype(np.float64)
    error = None if draw(st.booleans()) else np.abs(generator.normal(size=x.shape)) * (x != 0)
    return node, x, error


@given(cases(), st.integers(-2, 2), st.integers(1, 4))
@settings(max_examples=300)
def test_a_bound_in_parts_is_the_bound(case: tuple[Linear | Conv, Array, Array | None], off: int, parts: int) -> None:
    node, x, error = case
    numbers = max(1, node.weight.size // parts + off)  # the last part is full, one short, one more
    whole, ours = bound_in_parts(WHOLE, node, x, error), bound_in_parts(numbers, node, x, error)
    assert (whole is None) == (ours is None)
    if whole is not None and ours is not None:
        assert ours.tobytes() == whole.tobytes()


@pytest.mark.parametrize("place", [0, 3, 4, 7, 8, 11])
def test_one_weight_off_the_grid_is_found_in_every_part(place: int) -> None:
    weight = np.ones((3, 4), np.float32)
    x = np.ones((1, 4))
    assert bound_in_parts(4, Linear(weight.copy()), x, None) is None
    weight.reshape(-1)[place] += 2.0**-23
    assert bound_in_parts(4, Linear(weight), x, None) is not None


def test_a_layer_of_nothing_but_zeros_is_exact() -> None:
    assert bound_in_parts(4, Linear(np.zeros((3, 4), np.float32)), np.ones((1, 4)), None) is None


@pytest.mark.parametrize("on_grid", [False, True])
def test_the_memory_of_a_bound_is_the_weights_in_float64_and_some_parts(on_grid: bool) -> None:
    weight = np.random.default_rng(0).normal(size=(1024, 2048)).astype(np.float32)
    node = Linear(np.round(weight * 16) / 16 if on_grid else weight)
    x = np.ones((1, 2048))
    tracemalloc.start()
    try:
        found = rounding.bound(node, x, None if on_grid else np.zeros_like(x), U, TINY)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (found is None) == on_grid
    part = rounding._NUMBERS_AT_ONCE * 8
    assert peak <= 2 * weight.nbytes + 8 * part
