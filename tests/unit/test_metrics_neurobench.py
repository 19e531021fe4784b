"""What a run costs by NeuroBench's definitions: its own example, small nets counted by hand, brute force."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from norse_export.ir.fixed import ConvSynapses, DenseSynapses, FixedInput, Population, SparseSynapses
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Conv, Linear, Output
from norse_export.ir.stages import FixedNode
from norse_export.metrics import (
    Footprint,
    activation_sparsity,
    connection_sparsity,
    footprint,
    synaptic_operations,
)
from norse_export.program.laws import Law, integer_family

# docs/metrics/workload_metrics/synaptic_operations.rst of NeuroBench: this matrix (times 10), activations 0, 1.3, -1.
EXAMPLE = np.array([[13, 0, -32], [0, 12, -51], [-11, 27, 0]], np.int8)


def neurons(family: str, size: int, **parameters: Any) -> Population:
    program = integer_family(family, Law(), 0).trace()
    values = {name: parameters.get(name, np.int64(7)) for name in program.parameters}
    initial = {name: np.int64(0) for name in program.variables}
    return Population(program=program, shape=(size,), parameters=values, initial_state=initial, dt=1e-3)


def example(low: int = 0, high: int = 1) -> Graph[FixedNode]:
    nodes: dict[str, FixedNode] = {
        "input": FixedInput((3,), low, high),
        "s": DenseSynapses(EXAMPLE, (3,), (3,)),
        "p": neurons("lif", 3, v_th=np.array([1, 200, 3])),
        "output": Output((3,)),
    }
    return Graph(nodes, (Edge("input", "s"), Edge("s", "p"), Edge("p", "output")))


def test_the_example_of_neurobench() -> None:
    spikes = {"p": np.zeros((1, 1, 3), bool)}
    for values, macs, acs in (((0, 13, -10), 4, 0), ((0, 1, -1), 0, 4), ((0, 0, 0), 0, 0), ((1, 1, 1), 0, 6)):
        done = synaptic_operations(example(-99, 99), {"input": np.array([[values]])}, spikes)
        assert (done.effective_macs, done.effective_acs, done.dense) == (macs, acs, 9)


def test_operations_are_those_of_a_sample_over_all_steps() -> None:
    raster = np.zeros((5, 2, 3), bool)
    raster[0, 0, 2] = raster[3, 1, 0] = raster[4, 1, 0] = True
    done = synaptic_operations(example(), {"input": raster}, {"p": np.zeros((5, 2, 3), bool)})
    assert (done.effective_macs, done.effective_acs, done.dense) == (0, (2 + 2 + 2) / 2, 5 * 9)


def test_each_step_is_one_kind_of_operation() -> None:
    raster = np.array([[[1, 0, 0]], [[3, 1, 0]]])
    done = synaptic_operations(example(0, 3), {"input": raster}, {"p": np.zeros((2, 1, 3), bool)})
    assert (done.effective_macs, done.effective_acs) == (2 + 2, 2)


def loop() -> Graph[FixedNode]:
    """A recurrent list of synapses with a delay, a readout, a layer on the host behind it."""
    starts, targets = np.array([0, 2, 3]), np.array([0, 1, 1])
    nodes: dict[str, FixedNode] = {
        "input": FixedInput((2,)),
        "s": DenseSynapses(np.ones((2, 2), np.int16), (2,), (2,)),
        "p": neurons("cuba_lif", 2),
        "r": SparseSynapses(starts, targets, np.array([5, 0, 5], np.int8), (2,), (2,)),
        "o": DenseSynapses(np.ones((4, 2), np.int8), (2,), (4,)),
        "li": neurons("cuba_li", 4),
        "host": Linear(np.array([[1.0, 0.0, 2.0, 3.0]], np.float32), np.ones(1, np.float32)),
        "output": Output((1,)),
    }
    edges = (
        Edge("input", "s"), Edge("s", "p"), Edge("p", "r", "x", 2), Edge("r", "p"), Edge("p", "o"), Edge("o", "li"),
        Edge("li", "host"), Edge("host", "output"),
    )  # fmt: skip
    return Graph(nodes, edges)


def test_loops_delays_and_the_host_are_counted() -> None:
    inputs, spikes = np.zeros((4, 1, 2), bool), np.zeros((4, 1, 2), bool)
    spikes[1, 0, 0] = spikes[2, 0, 1] = True  # the second arrives at step 4: after the end
    done = synaptic_operations(loop(), {"input": inputs}, {"p": spikes})
    assert done.effective_acs == 1 + 2 * 4
    assert done.effective_macs == 4 * 3
    assert done.dense == 4 * (4 + 4 + 8 + 4)


def test_a_convolution_is_counted_as_its_windows_are() -> None:
    random = np.random.default_rng(0)
    weight = random.integers(-1, 2, (2, 1, 3, 2)).astype(np.int8)
    nodes: dict[str, FixedNode] = {
        "input": FixedInput((2, 5, 4)),
        "s": ConvSynapses(weight, (2, 5, 4), (30,), (2, 1), (1, 1), (1, 1), 2),
        "p": neurons("lif", 30),
        "output": Output((30,)),
    }
    graph = Graph(nodes, (Edge("input", "s"), Edge("s", "p"), Edge("p", "output")))
    raster = random.random((3, 2, 2, 5, 4)) < 0.4
    padded = np.pad(raster, ((0, 0), (0, 0), (0, 0), (1, 1), (1, 1)))
    inside = np.pad(np.ones((5, 4), int), 1)
    effective = dense = 0
    for k in range(2):
        for y in range(3):
            for x in range(5):
                window = (slice(2 * y, 2 * y + 3), slice(x, x + 2))
                effective += int(padded[:, :, k, *window][..., weight[k, 0] != 0].sum())
                dense += int(inside[window].sum())
    done = synaptic_operations(graph, {"input": raster}, {"p": np.zeros((3, 2, 30), bool)})
    assert (done.effective_macs, done.effective_acs, done.dense) == (0, effective / 2, 3 * dense)


@pytest.mark.parametrize("axes", [1, 2])
def test_convolutions_on_the_host_take_spikes(axes: int) -> None:
    weight = np.ones((3, 2, *([2] * axes)), np.float32)
    weight[0] = 0
    conv = Conv(weight, (4,) * axes, None, (1,) * axes, (0,) * axes, (1,) * axes)
    nodes: dict[str, FixedNode] = {"input": FixedInput(conv.input_shape), "c": conv, "o": Output(conv.output_shape)}
    raster = np.zeros((1, 1, *conv.input_shape), bool)
    raster[(0, 0, 0, *([1] * axes))] = True
    done = synaptic_operations(Graph(nodes, (Edge("input", "c"), Edge("c", "o"))), {"input": raster}, {})
    assert done.effective_acs == 2 * 2**axes
    assert done.dense == 3 * 3**axes * 2 * 2**axes


def test_footprint() -> None:
    assert footprint(example()) == Footprint(weights=9, indices=0, parameters=1 + 1 + 3 * 2 + 1, states=3 * 4)
    graph = loop()
    weights, indices = 4 * 2 + 3 + 8 + 5 * 4, 3 * 8 + 3 * 4
    states = (2 * 2 + 4 * 2) * 4
    found = footprint(graph)
    assert found.weights == weights
    assert found.indices == indices
    assert found.states == states
    assert found.parameters == sum(len(graph.nodes[name].parameters) for name in ("p", "li"))  # type: ignore[union-attr]
    assert found.total == weights + indices + states + found.parameters


@pytest.mark.parametrize(
    ("values", "expected"),
    [([127, -128], 2), ([128, 0], 4), ([-129, 0], 4), ([2**15, 0], 8), ([2**31, 0], 16), ([2**31, 2**31], 8)],
)
def test_parameters_take_the_narrowest_integers(values: list[int], expected: int) -> None:
    node = neurons("if", 2, v_th=np.array(values))
    nodes: dict[str, FixedNode] = {
        "input": FixedInput((2,)), "s": DenseSynapses(np.ones((2, 2), np.int8), (2,), (2,)), "p": node
    }  # fmt: skip
    others = len(node.parameters) - 1
    assert footprint(Graph(nodes, (Edge("input", "s"), Edge("s", "p")))).parameters == expected + others


def test_sparsity_of_connections() -> None:
    assert connection_sparsity(example()) == pytest.approx(3 / 9)
    assert connection_sparsity(loop()) == pytest.approx(1 - (4 + 2 + 8 + 3) / (4 + 4 + 8 + 4))
    nodes: dict[str, FixedNode] = {"input": FixedInput((2,)), "output": Output((2,))}
    assert connection_sparsity(Graph(nodes, (Edge("input", "output"),))) == 0


def test_sparsity_of_activations() -> None:
    a, b = np.zeros((4, 1, 5), bool), np.zeros((4, 1, 20), np.int32)
    assert activation_sparsity({"a": a, "b": b}) == 1
    a[0], b[1, 0, :5] = True, 3
    assert activation_sparsity({"a": a, "b": b}) == pytest.approx(1 - 10 / 100)
    assert activation_sparsity({}) == 0
