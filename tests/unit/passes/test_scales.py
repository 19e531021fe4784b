"""Scales: where they come from, how weights are rounded to them, and what that cost."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from norse_export.ir.fixed import ConvSynapses, DenseSynapses, SparseSynapses
from norse_export.passes.linear import ConvWeights, DenseWeights, SparseWeights, Weights, identity
from norse_export.passes.lowered import Projection
from norse_export.passes.scales import (
    MAX_EXPONENT,
    channels,
    find_scales,
    largest_weight,
    price,
    squared_errors,
    synapses,
    whole_weights,
)

Array = NDArray[Any]


def onto(weights: Weights, name: str = "w") -> Projection:
    return Projection(name, "a", "b", "x", 0, (name,), weights)


def dense(*rows: list[float], name: str = "w") -> Projection:
    return onto(DenseWeights(np.array(rows)), name)


def conv(weight: Array, size: int = 4) -> Projection:
    return onto(ConvWeights(weight, (weight.shape[1], size, size)))


def whole(projection: Projection, scale: Any, bits: int, cells: int) -> Array:
    return whole_weights(projection, np.atleast_1d(np.asarray(scale, float)), bits, (cells,)).weight


@pytest.mark.parametrize(("bits", "expected"), [(1, 1), (2, 1), (3, 3), (8, 127), (16, 32767)])
def test_weights_are_symmetric(bits: int, expected: int) -> None:
    assert largest_weight(bits) == expected


@given(st.integers(2, 16), st.floats(-1e3, 1e3), st.floats(1e-3, 1e3))
def test_weights_are_rounded_half_to_even_and_clipped(bits: int, weight: float, scale: float) -> None:
    top = largest_weight(bits)
    expected = min(max(round(Fraction(weight / scale)), -top), top)
    assert whole(dense([weight]), scale, bits, 1)[0, 0] == expected


def test_ties_go_to_the_even_number() -> None:
    assert whole(dense([0.5, 1.5, 2.5, -0.5, -1.5]), 1.0, 8, 1).tolist() == [[0, 2, 2, 0, -2]]


def test_one_bit_is_the_sign_with_the_scale_of_least_error() -> None:
    projection = dense([0.5, -2.0, 0.0, 1.5])
    found = find_scales([projection], {"w": 1}, 1, 1)
    assert found.largest.tolist() == [1.0]
    assert whole(projection, 1.0, 1, 1).tolist() == [[1, -1, 1, 1]]
    errors = [squared_errors(projection, np.array([s]), 1, (1,))[0] for s in (0.9, 1.0, 1.1)]
    assert errors[1] < min(errors[0], errors[2])
    assert found.factors[0] < 1 < found.factors[1]


def test_a_channel_is_a_row_or_a_map_and_shared_by_all_projections() -> None:
    rows, maps = dense([1.0], [1.0]), conv(np.ones((2, 1, 3, 3)))
    assert channels([rows], (2,), per_channel=True) == 2
    assert channels([maps], (2, 2, 2), per_channel=True) == 2
    assert channels([maps, dense(*[[1.0]] * 8)], (8,), per_channel=True) == 2
    assert channels([onto(identity(6))], (2, 3), per_channel=True) == 6
    assert channels([rows], (2,), per_channel=False) == 1
    assert channels([], (2,), per_channel=True) == 1


def test_each_channel_has_the_scale_with_which_its_largest_weight_just_fits() -> None:
    found = find_scales([dense([0.3, -1.27], [0.1, 0.03])], {"w": 8}, 2, 2)
    np.testing.assert_allclose(found.largest, [0.01, 0.1 / 127])
    one = find_scales([dense([0.3, -1.27], [0.1, 0.03])], {"w": 8}, 1, 2)
    np.testing.assert_allclose(one.largest, [0.01])
    assert not found.exact


def test_listed_weights_and_maps_find_their_channel() -> None:
    listed = SparseWeights(np.array([0, 2, 3]), np.array([0, 3, 1], np.int32), np.array([0.3, 0.7, -0.5]))
    np.testing.assert_allclose(find_scales([onto(listed)], {"w": 2}, 2, 4).largest, [0.5, 0.7])
    kernels = conv(np.array([0.3, 0.7]).reshape(2, 1, 1, 1) * np.ones((2, 1, 3, 3)))
    np.testing.assert_allclose(find_scales([kernels], {"w": 2}, 2, 8).largest, [0.3, 0.7])


def test_a_channel_of_zeros_takes_the_scale_of_the_others() -> None:
    np.testing.assert_allclose(find_scales([dense([0.3], [0.0])], {"w": 2}, 2, 2).largest, [0.3, 0.3])
    assert find_scales([dense([0.0])], {"w": 8}, 1, 1).exact


@pytest.mark.parametrize(("top", "exponent"), [(127 / 8, -3), (127 / 8 - 1 / 8, -3), (63 / 8, -4), (128 / 8, -2)])
def test_weights_on_a_grid_get_its_finest_power_of_two_that_holds_them(top: float, exponent: int) -> None:
    found = find_scales([dense([top, 0.5, -1.0])], {"w": 8}, 1, 1)
    assert found.exact
    assert found.largest.tolist() == [2.0**exponent]


def test_weights_that_need_more_bits_are_on_no_grid() -> None:
    assert not find_scales([dense([127 / 8, 1 / 16])], {"w": 8}, 1, 1).exact
    assert find_scales([dense([127 / 8, 1 / 16])], {"w": 9}, 1, 1).exact


def test_a_projection_of_larger_weights_is_shifted_by_an_exponent() -> None:
    small, large = dense([0.11, 0.3], name="small"), dense([1.7, 0.9], name="large")
    found = find_scales([small, large], {"small": 8, "large": 8}, 1, 1)
    assert found.exponents == {"small": 0, "large": 3}
    np.testing.assert_allclose(found.largest, max(0.3, 1.7 / 8) / 127)
    wide = find_scales([small, dense([1e6], name="large")], {"small": 8, "large": 8}, 1, 1)
    assert wide.exponents["large"] == MAX_EXPONENT
    np.testing.assert_allclose(wide.largest * 2**MAX_EXPONENT * 127, 1e6)


def test_fewer_bits_mean_a_coarser_projection_not_a_clipped_one() -> None:
    found = find_scales([dense([0.7], name="a"), dense([0.7], name="b")], {"a": 8, "b": 4}, 1, 1)
    assert found.exponents == {"a": 0, "b": 5}
    assert 0.7 / (found.largest[0] * 2**5) <= largest_weight(4)


def test_every_kind_becomes_its_node() -> None:
    made = synapses(DenseWeights(np.ones((2, 3))), 8, 3, (3,), (2,))
    assert isinstance(made, DenseSynapses)
    assert (made.weight.dtype, made.delivery.shift) == (np.int8, 3)
    assert synapses(DenseWeights(np.ones((2, 3))), 9, 0, (3,), (2,)).weight.dtype == np.int16
    weight = np.arange(2 * 3 * 3.0).reshape(2, 1, 3, 3)
    kept = synapses(ConvWeights(weight, (1, 4, 4), padding=(1, 1)), 8, 0, (1, 4, 4), (32,))
    assert isinstance(kept, ConvSynapses)
    listed = synapses(ConvWeights(weight[:, :, :1], (1, 1, 4), padding=(0, 1)), 8, 0, (1, 4), (2, 4))
    assert isinstance(listed, SparseSynapses)
    np.testing.assert_array_equal(listed.starts, [0, 3, 9, 15, 19][:1] + np.cumsum([3, 5, 5, 4]).tolist())


def test_the_price_counts_clipped_zeroed_and_wrong_weights() -> None:
    projection = dense([1.0, 0.2, -0.04, 0.0, 0.7])
    scale = np.array([0.1])
    found = price(projection, whole_weights(projection, scale, 4, (1,)), scale, 4, 0, (1,))
    assert (found.weights, found.nonzero, found.clipped, found.zeroed) == (5, 4, 1, 1)
    assert found.error_max == pytest.approx(0.4)
    assert found.error_rms == pytest.approx(((0.3**2 + 0.04**2) / (1 + 0.04 + 0.0016 + 0.49)) ** 0.5)
    assert found.scale == (0.1, 0.1)


def test_many_weights_are_looked_at_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    projection = onto(DenseWeights(generator.normal(size=(7, 5)).astype(np.float32)))
    scale = np.full(7, 0.1)

    def all_of_it() -> Any:
        made = whole_weights(projection, scale, 4, (7,))
        scales = find_scales([projection], {"w": 4}, 7, 7).largest
        errors = squared_errors(projection, scale, 4, (7,))
        return made.weight, scales, errors, price(projection, made, scale, 4, 0, (7,))

    whole_result = all_of_it()
    monkeypatch.setattr("norse_export.passes.scales._CHUNK", 10)
    for one, other in zip(whole_result[:3], all_of_it()[:3], strict=True):
        np.testing.assert_array_equal(one, other)
    assert all_of_it()[3].clipped == whole_result[3].clipped
