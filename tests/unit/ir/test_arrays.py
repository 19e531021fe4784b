"""Arrays of a graph: checked, finite, read-only, and a constant stays one number in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from norse_export.errors import GraphError
from norse_export.ir import arrays
from norse_export.ir.arrays import checked, compact, first_non_finite, first_true, per_neuron, spread


@pytest.mark.parametrize(
    ("value", "kind", "what"),
    [
        (np.array([1, 2]), "dtype", "weight has dtype int64"),
        (np.array([1j]), "dtype", "weight has dtype complex128"),
        (np.array(["1"]), "dtype", "weight has dtype <U1"),
        (np.array([None]), "dtype", "weight has dtype object"),
        (np.zeros(2, np.float16), "dtype", "weight has dtype float16"),
        (np.zeros(2, ">f4"), "dtype", "weight has dtype >f4"),
        (np.zeros((2, 2)), "shape", r"weight has shape \(2, 2\), 1 axes are needed"),
        (np.zeros(0), "shape", r"weight is empty: shape \(0,\)"),
        (np.array([0.0, 1.0, np.nan]), "nan", r"weight\[2\] is nan, not a finite number"),
        (np.array([0.0, -np.inf]), "nan", r"weight\[1\] is -inf, not a finite number"),
    ],
)
def test_an_impossible_array_is_refused_by_field_index_and_value(value: Any, kind: str, what: str) -> None:
    with pytest.raises(GraphError, match=what) as caught:
        checked(value, where="2.lif", field="weight", ndim=1)
    (finding,) = caught.value.findings
    assert finding.kind == kind
    assert caught.value.where == "2.lif"
    assert caught.value.fix


def test_a_checked_array_is_the_same_values_and_cannot_be_written() -> None:
    value = np.arange(3.0)
    array = checked(value, where="", field="")
    assert np.shares_memory(array, value)
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1
    assert value.flags.writeable


@pytest.mark.parametrize("chunk", [1, 3, 7, 1 << 22])
@pytest.mark.parametrize("make", [np.ascontiguousarray, np.asfortranarray, lambda a: np.repeat(a, 2, -1)[..., ::2]])
def test_the_first_value_that_is_not_finite_is_found_in_any_layout(
    make: Any, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrays, "_CHUNK", chunk)
    array = make(np.zeros((4, 3, 2)))
    assert first_non_finite(array) is None
    array[3, 1, 1] = np.inf
    assert first_non_finite(array) == (3, 1, 1)
    array[2, 2, 0] = np.nan
    assert first_non_finite(array) == (2, 2, 0)


def test_a_single_number_has_the_empty_index() -> None:
    assert first_non_finite(np.array(1.0)) is None
    assert first_non_finite(np.array(np.nan)) == ()


def test_compact_keeps_one_value_along_each_constant_axis() -> None:
    column = np.arange(3.0).reshape(3, 1, 1)
    wide = np.broadcast_to(column, (3, 1000, 1000))
    assert compact(wide).shape == (3, 1, 1)
    np.testing.assert_array_equal(np.broadcast_to(compact(wide), wide.shape), wide)
    assert compact(np.zeros((2, 3))).shape == (2, 3)
    assert compact(np.zeros(())).shape == ()


def test_first_true_is_the_first_in_c_order() -> None:
    assert first_true(np.zeros((2, 2), bool)) is None
    assert first_true(np.array([[False, False], [True, True]])) == (1, 0)
    assert first_true(np.array(True)) == ()


def test_a_parameter_is_spread_over_the_population_without_taking_memory() -> None:
    array = per_neuron(np.float32(0.5), (10**6, 10**6), where="", field="")
    assert array.shape == (10**6, 10**6)
    assert array.strides == (0, 0)
    assert array[5, 7] == np.float32(0.5)
    again = per_neuron(array, (10**6, 10**6), where="", field="")
    assert again.strides == (0, 0)


@pytest.mark.parametrize("value", [np.zeros(4), np.broadcast_to(np.float64(1), (4,)), np.zeros((1, 3, 1))])
def test_a_parameter_of_another_shape_is_refused(value: Any) -> None:
    with pytest.raises(GraphError, match=r"v_th has shape \(.*\), the population has \(3,\)") as caught:
        per_neuron(value, (3,), where="lif", field="v_th")
    assert caught.value.findings[0].kind == "shape"
    assert caught.value.where == "lif"


def test_spread_gives_a_read_only_view() -> None:
    with pytest.raises(ValueError, match="read-only"):
        spread(np.zeros(3), (2, 3), where="", field="")[0, 0] = 1
