"""Rasters are checked against the inputs of the graph before anything runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_nets import graph

from norse_export.errors import UsageError
from norse_export.ir.fixed import FixedInput
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Input, Output, Sum
from norse_export.ir.rasters import checked_inputs, model_dtype


def two_inputs(dtype: Any = "float32") -> Any:
    nodes = {"a": Input((2,), dtype), "b": Input((2,), dtype), "sum": Sum((2,)), "output": Output((2,))}
    return graph(nodes, [("a", "sum"), ("b", "sum"), ("sum", "output")])


def raster(*shape: int) -> Any:
    return np.ones(shape)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint64, np.float16, np.float32, np.float64])
def test_rasters_of_every_real_type_are_given_back_in_the_order_of_the_graph(dtype: Any) -> None:
    rasters = checked_inputs(two_inputs(), {"b": raster(3, 1, 2).astype(dtype), "a": raster(3, 1, 2)})
    assert list(rasters) == ["a", "b"]
    assert rasters["b"].dtype == dtype


@pytest.mark.parametrize(
    ("inputs", "kind", "where", "what"),
    [
        ({}, "usage", "inputs", "the inputs are named a, b, got none"),
        ({"a": raster(3, 1, 2)}, "usage", "inputs", "the inputs are named a, b, got 'a'"),
        ({"a": raster(3, 1, 2), "c": raster(3, 1, 2)}, "usage", "inputs", "got 'a', 'c'"),
        ({"a": raster(3, 1, 2), "b": raster(4, 1, 2)}, "usage", "inputs", "of different length or batch"),
        ({"a": raster(3, 1, 2), "b": raster(3, 2, 2)}, "usage", "inputs", "of different length or batch"),
        ({"a": raster(3, 1, 2), "b": raster(3, 1, 3)}, "input_shape", "b", "wrong input shape (3, 1, 3)"),
        ({"a": raster(3, 1), "b": raster(3, 1)}, "input_shape", "a", "the model takes [T, B, 2]"),
        ({"a": raster(3), "b": raster(3)}, "input_shape", "a", "wrong input shape (3,)"),
        ({"a": raster(0, 1, 2), "b": raster(0, 1, 2)}, "input_shape", "a", "0 steps of 1 samples"),
        ({"a": raster(3, 0, 2), "b": raster(3, 0, 2)}, "input_shape", "a", "3 steps of 0 samples"),
        ({"a": raster(3, 1, 2), "b": np.full((3, 1, 2), np.nan)}, "input_values", "b", "finite"),
        ({"a": raster(3, 1, 2), "b": np.full((3, 1, 2), -np.inf)}, "input_values", "b", "finite"),
        ({"a": raster(3, 1, 2), "b": np.full((3, 1, 2), 1e39)}, "input_values", "b", "finite numbers of type float32"),
        ({"a": raster(3, 1, 2), "b": raster(3, 1, 2) * 1j}, "input_values", "b", "dtype complex128"),
        ({"a": raster(3, 1, 2), "b": np.full((3, 1, 2), "1")}, "input_values", "b", "dtype <U1"),
    ],
)
def test_rasters_that_do_not_fit_are_refused(inputs: Any, kind: str, where: str, what: str) -> None:
    with pytest.raises(UsageError) as caught:
        checked_inputs(two_inputs(), inputs)
    (finding,) = caught.value.findings
    assert (finding.kind, finding.where) == (kind, where)
    assert what in finding.message
    assert finding.fix


def test_an_input_without_feature_axes_takes_a_raster_of_time_and_batch() -> None:
    net = graph({"input": Input(()), "output": Output(())}, [("input", "output")])
    assert checked_inputs(net, {"input": raster(3, 1)})["input"].shape == (3, 1)
    with pytest.raises(UsageError, match="wrong input shape"):
        checked_inputs(net, {"input": raster(3)})


def test_a_float64_model_takes_what_a_float32_model_cannot() -> None:
    large = np.full((3, 1, 2), 1e39)
    assert checked_inputs(two_inputs("float64"), {"a": large, "b": large})["a"] is large


def test_a_graph_without_an_input_cannot_be_run() -> None:
    nodes = {"sum": Sum((2,)), "output": Output((2,))}
    with pytest.raises(UsageError, match="no input"):
        checked_inputs(graph(nodes, [("sum", "sum", "x", 1), ("sum", "output")]), {})


def test_a_model_computes_in_the_type_of_its_inputs() -> None:
    assert model_dtype(two_inputs()) == "float32"
    assert model_dtype(two_inputs("float64")) == "float64"


def whole(low: int = 0, high: int = 1) -> Graph[Any]:
    return Graph({"input": FixedInput((2,), low, high), "output": Output((2,))}, (Edge("input", "output"),))


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "int64", "float32", "float64"])
def test_an_input_of_whole_numbers_takes_any_type_that_holds_them(dtype: str) -> None:
    raster = np.array([[[0, 1], [1, 0]]], dtype)
    given = checked_inputs(whole(), {"input": raster})["input"]
    assert given.dtype.kind in "biu"
    assert np.array_equal(given, raster)


@pytest.mark.parametrize(
    ("low", "high", "values", "message"),
    [
        (0, 1, [0, 2], "numbers from 0 to 2, the input takes whole numbers from 0 to 1"),
        (-3, 3, [-4, 3], "numbers from -4 to 3, the input takes whole numbers from -3 to 3"),
        (0, 0, [False, True], "numbers from 0 to 1, the input takes whole numbers from 0 to 0"),
        (0, 1, [0.5, 1.0], "numbers that are not whole, the input takes whole numbers from 0 to 1"),
        (0, 1, [np.nan, 1.0], "does not hold finite numbers"),
    ],
)
def test_an_input_of_whole_numbers_refuses_others(low: int, high: int, values: list[Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        checked_inputs(whole(low, high), {"input": np.array([[values]])})
    assert raised.value.where == "input"
    assert raised.value.fix
