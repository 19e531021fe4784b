"""Nodes of the fixed graph: each impossible one is refused with what, where and how to fix; arrays are read-only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from norse_export.errors import GraphError
from norse_export.ir.fixed import (
    MAX_INPUT,
    ConvSynapses,
    Delivery,
    DenseSynapses,
    FixedInput,
    Population,
    SparseSynapses,
)
from norse_export.program.laws import Law, integer_family

PROGRAM = integer_family("cuba_lif", Law(), 0).trace()
SILENT = integer_family("li", Law(), 0).trace()


def dense(**change: Any) -> DenseSynapses:
    given = {"weight": np.ones((6, 4), np.int8), "input_shape": (4,), "output_shape": (2, 3)}
    return DenseSynapses(**{**given, **change})


def conv(**change: Any) -> ConvSynapses:
    given = {"weight": np.ones((4, 2, 3, 3), np.int16), "input_shape": (2, 8, 9), "output_shape": (4, 6, 7)}
    return ConvSynapses(**{**given, **change})


def sparse(**change: Any) -> SparseSynapses:
    given = {
        "starts": np.array([0, 2, 2, 3]),
        "targets": np.array([0, 1, 1]),
        "weight": np.array([5, -5, 7], np.int32),
        "input_shape": (3,),
        "output_shape": (2,),
    }
    return SparseSynapses(**{**given, **change})


def population(**change: Any) -> Population:
    given = {
        "program": PROGRAM,
        "shape": (2, 3),
        "parameters": {name: np.arange(6).reshape(2, 3) for name in PROGRAM.parameters},
        "initial_state": {"v": np.zeros((2, 3), np.int8), "i": np.int64(3)},
        "dt": 0.001,
    }
    return Population(**{**given, **change})


Call = Callable[[], Any]
REFUSED: dict[str, tuple[Call, str, str, str]] = {
    "input of no cells": (lambda: FixedInput((3, 0)), "FixedInput", r"shape \(3, 0\) is empty", "remove"),
    "input without zero, above": (lambda: FixedInput((3,), low=1), "FixedInput", "an input of 1 to 1", "around 0"),
    "input without zero, below": (lambda: FixedInput((3,), high=-1), "FixedInput", "of 0 to -1", "around 0"),
    "input beyond 32 bits": (lambda: FixedInput((3,), high=2**31), "FixedInput", str(2**31), "32 bits"),
    "input below 32 bits": (lambda: FixedInput((3,), low=-(2**31)), "FixedInput", str(-(2**31)), "32 bits"),
    "sum of no bits": (lambda: Delivery(wrap_bits=0), "Delivery", "a sum of 0 bits", "1 to 32"),
    "sum of 33 bits": (lambda: Delivery(wrap_bits=33), "Delivery", "a sum of 33 bits", "1 to 32"),
    "shift too far up": (lambda: Delivery(shift=32), "Delivery", "a shift by 32", "-31 to 31"),
    "shift too far down": (lambda: Delivery(shift=-32), "Delivery", "a shift by -32", "-31 to 31"),
    "dense, float weights": (
        lambda: dense(weight=np.ones((6, 4))),
        "DenseSynapses",
        "weights have dtype float64",
        "int8, int16, int32",
    ),
    "dense, unsigned weights": (lambda: dense(weight=np.ones((6, 4), np.uint8)), "DenseSynapses", "uint8", "int8"),
    "dense, 64 bits": (lambda: dense(weight=np.ones((6, 4), np.int64)), "DenseSynapses", "int64", "int8"),
    "dense, foreign byte order": (lambda: dense(weight=np.ones((6, 4), ">i2")), "DenseSynapses", ">i2", "int16"),
    "dense, transposed": (
        lambda: dense(weight=np.ones((4, 6), np.int8)),
        "DenseSynapses",
        r"weights \(4, 6\) do not lead from \(4,\) to \(2, 3\)",
        "belong together",
    ),
    "dense, no inputs": (
        lambda: dense(weight=np.ones((6, 0), np.int8), input_shape=(0,)),
        "DenseSynapses",
        r"shape \(0,\) is empty",
        "remove",
    ),
    "conv, flat weights": (lambda: conv(weight=np.ones((4, 18), np.int8)), "ConvSynapses", "do not lead", "belong"),
    "conv, flat input": (lambda: conv(input_shape=(144,)), "ConvSynapses", "do not lead", "belong"),
    "conv, wrong channels": (lambda: conv(input_shape=(3, 8, 9)), "ConvSynapses", "do not lead", "belong"),
    "conv, wrong output": (lambda: conv(output_shape=(4, 6, 8)), "ConvSynapses", "do not lead", "belong"),
    "conv, no groups": (lambda: conv(groups=0), "ConvSynapses", "do not lead", "belong"),
    "conv, groups that do not divide": (
        lambda: conv(groups=3, input_shape=(6, 8, 9)),
        "ConvSynapses",
        "do not lead",
        "belong",
    ),
    "conv, no stride": (lambda: conv(stride=(0, 1)), "ConvSynapses", "do not lead", "belong"),
    "conv, stride for one axis": (lambda: conv(stride=(1,)), "ConvSynapses", "do not lead", "belong"),
    "conv, no dilation": (lambda: conv(dilation=(1, 0)), "ConvSynapses", "do not lead", "belong"),
    "conv, negative padding": (lambda: conv(padding=(-1, 0)), "ConvSynapses", "do not lead", "belong"),
    "conv, padding for three axes": (lambda: conv(padding=(0, 0, 0)), "ConvSynapses", "do not lead", "belong"),
    "conv, empty kernel": (
        lambda: conv(weight=np.ones((4, 2, 0, 3), np.int8), output_shape=(4, 9, 7)),
        "ConvSynapses",
        "do not lead",
        "belong",
    ),
    "conv, kernel beyond the input": (
        lambda: conv(weight=np.ones((4, 2, 9, 3), np.int8), output_shape=(4, 1, 7)),
        "ConvSynapses",
        "do not lead",
        "belong",
    ),
    "conv, float weights": (lambda: conv(weight=np.ones((4, 2, 3, 3))), "ConvSynapses", "float64", "int8"),
    "sparse, a start too few": (lambda: sparse(starts=np.array([0, 2, 3])), "SparseSynapses", "do not lead", "belong"),
    "sparse, starts behind 0": (
        lambda: sparse(starts=np.array([1, 2, 2, 3])),
        "SparseSynapses",
        "do not lead",
        "belong",
    ),
    "sparse, starts that fall": (
        lambda: sparse(starts=np.array([0, 2, 1, 3])),
        "SparseSynapses",
        "do not lead",
        "belong",
    ),
    "sparse, synapses without a source": (
        lambda: sparse(starts=np.array([0, 2, 2, 2])),
        "SparseSynapses",
        "do not lead",
        "belong",
    ),
    "sparse, a target beyond": (lambda: sparse(targets=np.array([0, 1, 2])), "SparseSynapses", "do not lead", "belong"),
    "sparse, a target below": (lambda: sparse(targets=np.array([0, -1, 1])), "SparseSynapses", "do not lead", "belong"),
    "sparse, a target of 33 bits": (
        lambda: sparse(targets=np.array([0, 2**32 + 1, 1])),
        "SparseSynapses",
        "do not lead",
        "belong",
    ),
    "sparse, fractions as targets": (
        lambda: sparse(targets=np.array([0, 1.5, 1])),
        "SparseSynapses",
        "targets have dtype float64",
        "whole numbers",
    ),
    "sparse, fractions as starts": (
        lambda: sparse(starts=np.array([0, 2.0, 2, 3])),
        "SparseSynapses",
        "starts have dtype float64",
        "whole numbers",
    ),
    "sparse, weights on two axes": (
        lambda: sparse(weight=np.ones((3, 1), np.int8)),
        "SparseSynapses",
        "do not lead",
        "belong",
    ),
    "population, no time step": (lambda: population(dt=0.0), "Population", "dt = 0.0 s", "positive"),
    "population, endless time step": (lambda: population(dt=float("inf")), "Population", "dt = inf s", "positive"),
    "population, dt not a number": (lambda: population(dt=float("nan")), "Population", "dt = nan s", "positive"),
    "population, no cells": (lambda: population(shape=(0, 3)), "Population", "empty", "remove"),
    "population, a parameter too few": (
        lambda: population(parameters=dict.fromkeys(PROGRAM.parameters[1:], 1)),
        "Population",
        "the program has parameters",
        "every one",
    ),
    "population, a state too many": (
        lambda: population(initial_state={"v": 0, "i": 0, "w": 0}),
        "Population",
        "the program has initial_state",
        "every one",
    ),
    "population, a fraction": (
        lambda: population(initial_state={"v": 0.5, "i": 0}),
        "Population",
        "v has dtype float64",
        "integers only",
    ),
    "population, a flag": (
        lambda: population(initial_state={"v": np.zeros((2, 3), bool), "i": 0}),
        "Population",
        "v has dtype bool",
        "integers only",
    ),
    "population, 64 bits unsigned": (
        lambda: population(initial_state={"v": np.uint64(2**63), "i": 0}),
        "Population",
        f"v holds {2**63}",
        "64 bits",
    ),
    "population, a parameter of another shape": (
        lambda: population(initial_state={"v": np.zeros(2, np.int64), "i": 0}),
        "Population",
        r"v has shape \(2,\), the population has \(2, 3\)",
        "one for each neuron",
    ),
    "population, saturates a port it lacks": (
        lambda: population(saturated={"y": 5}),
        "Population",
        "saturated {'y': 5}",
        "name ports",
    ),
    "population, saturates at 0": (lambda: population(saturated={"x": 0}), "Population", "'x': 0", "largest sums"),
    "population, negative seed": (lambda: population(seed=-1), "Population", "seed -1", "64 and 24 bits"),
    "population, seed of 65 bits": (lambda: population(seed=2**64), "Population", f"seed {2**64}", "64 and 24 bits"),
    "population, key of 25 bits": (lambda: population(key=2**24), "Population", f"key {2**24}", "64 and 24 bits"),
    "population, unit of another shape": (
        lambda: population(unit={"v": np.ones(5)}),
        "Population",
        r"v has shape \(5,\)",
        "one for each neuron",
    ),
    "population, unit not finite": (
        lambda: population(unit={"v": np.array(np.nan)}),
        "Population",
        "nan, not a finite number",
        "damaged",
    ),
}


@pytest.mark.parametrize(("call", "where", "what", "fix"), REFUSED.values(), ids=REFUSED)
def test_an_impossible_node_is_refused(call: Call, where: str, what: str, fix: str) -> None:
    with pytest.raises(GraphError, match=what) as caught:
        call()
    assert caught.value.where == where
    assert fix in caught.value.fix


def test_shapes_and_ports() -> None:
    assert (FixedInput((3, 2)).input_shape, FixedInput((3, 2)).output_shape) == ((3, 2), (3, 2))
    assert FixedInput((3,), low=-MAX_INPUT, high=MAX_INPUT).ports == ()
    for node in (dense(), conv(), sparse()):
        assert node.ports == ("x",)
        assert node.delivery == Delivery()
    assert (dense().input_shape, dense().output_shape) == ((4,), (2, 3))
    assert population().ports == ("x",)
    assert population().input_shape == population().output_shape == (2, 3)
    assert population().spikes
    assert not population(program=SILENT, parameters={"v_keep": 1, "v_bias": 0}, initial_state={"v": 0}).spikes


@pytest.mark.parametrize(
    ("change", "size"),
    [
        ({}, (4, 6, 7)),
        ({"padding": (1, 2)}, (4, 8, 11)),
        ({"stride": (2, 3)}, (4, 3, 3)),
        ({"dilation": (2, 3)}, (4, 4, 3)),
        ({"stride": (3, 2), "padding": (2, 1), "dilation": (3, 2)}, (4, 2, 4)),
        ({"groups": 2, "input_shape": (4, 8, 9)}, (4, 6, 7)),
    ],
)
def test_the_map_of_a_convolution(change: dict[str, Any], size: tuple[int, ...]) -> None:
    assert conv(**change, output_shape=size).map_shape == size
    flat = (size[0] * size[1] * size[2],)
    assert conv(**change, output_shape=flat).map_shape == size, "a flattened map has the same cells"


def test_edges_that_are_still_possible() -> None:
    assert Delivery(wrap_bits=1, shift=31).shift == 31
    assert Delivery(wrap_bits=32, shift=-31).wrap_bits == 32
    none = sparse(starts=np.zeros(4, np.uint8), targets=np.zeros(0, np.int64), weight=np.zeros(0, np.int8))
    assert none.weight.size == 0
    assert population(seed=2**64 - 1, key=2**24 - 1, saturated={"x": 1}).saturated == {"x": 1}


def test_arrays_are_read_only_and_of_their_types() -> None:
    node = sparse()
    assert (node.starts.dtype, node.targets.dtype, node.weight.dtype) == (np.int64, np.int32, np.int32)
    neurons = population(unit={"v": np.float32(0.5)})
    arrays = [node.starts, node.targets, node.weight, dense().weight, conv().weight]
    arrays += [*neurons.parameters.values(), *neurons.initial_state.values(), *neurons.unit.values()]
    for array in arrays:
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 1
    for mapping in (neurons.parameters, neurons.initial_state, neurons.unit, neurons.saturated):
        with pytest.raises(TypeError):
            mapping["v"] = 1  # type: ignore[index]


def test_the_weights_of_the_caller_stay_writable() -> None:
    weight, starts = np.ones((6, 4), np.int8), np.array([0, 2, 2, 3])
    dense(weight=weight)
    sparse(starts=starts)
    weight[0, 0] = 3
    starts[0] = 0


def test_numbers_of_a_population_are_int64_in_the_order_of_the_program_and_spread() -> None:
    given = {name: np.int16(4) for name in reversed(PROGRAM.parameters)}
    node = population(parameters=given, initial_state={"i": np.int8(-1), "v": np.uint8(200)})
    assert tuple(node.parameters) == PROGRAM.parameters
    assert tuple(node.initial_state) == PROGRAM.variables
    for array in (*node.parameters.values(), *node.initial_state.values()):
        assert array.dtype == np.int64
        assert array.shape == (2, 3)
        assert array.strides == (0, 0), "a constant stays one number in memory"
    assert node.initial_state["v"].tolist() == [[200] * 3] * 2
    kept = population(initial_state={"v": np.uint64(2**63 - 1), "i": 0})
    assert kept.initial_state["v"][0, 0] == 2**63 - 1
