"""A delay of cells becomes delays of edges, and the signal arrives when it should."""

from __future__ import annotations

import numpy as np
import pytest

from norse_export.errors import GraphError, LimitError
from norse_export.interpret import interpret
from norse_export.ir.delay import MAX_STEPS, Delay
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Input, Output, Scale, Sum
from norse_export.ir.neurons import LI
from norse_export.passes.delays import MAX_LENGTHS, on_edges
from norse_export.passes.discretise import discretise

DT = 1e-3
ONE = np.ones((), np.float64)


def chain(delay: Delay, *more: Edge) -> Graph:
    nodes = {"x": Input(delay.shape, "float64"), "d": delay, "y": Output(delay.shape)}
    return Graph(nodes, (Edge("x", "d"), Edge("d", "y"), *more))


def seconds(*steps: float, dtype: type = np.float64) -> np.ndarray:
    return (np.array(steps) * DT).astype(dtype)


def delayed(x: np.ndarray, steps: tuple[int, ...]) -> np.ndarray:
    """The definition, cell by cell: [T, B, N]."""
    y = np.zeros_like(x)
    for n, k in enumerate(steps):
        y[k:, :, n] = x[: len(x) - k, :, n]
    return y


@pytest.mark.parametrize("steps", [(0, 0, 0), (3, 3, 3), (0, 1, 2), (5, 0, 5), (20, 1, 1)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_each_cell_arrives_after_its_own_delay(steps: tuple[int, ...], dtype: type) -> None:
    x = np.random.default_rng(0).normal(size=(9, 2, 3))
    graph = discretise(chain(Delay(seconds(*steps, dtype=dtype), DT)))
    run = interpret(graph, {"x": x})
    np.testing.assert_array_equal(run.outputs["y"], delayed(x, steps))


def test_one_length_is_one_edge_and_several_have_a_mask_each() -> None:
    one = on_edges(chain(Delay(seconds(2, 2), DT)))
    assert isinstance(one.nodes["d"], Sum)
    assert one.incoming("d") == (Edge("x", "d", delay_steps=2),)
    two = on_edges(chain(Delay(seconds(2, 0), DT)))
    assert list(two.nodes) == ["x", "d.0", "d.2", "d", "y"]
    assert {edge.target: edge.delay_steps for edge in two.edges if edge.source == "x"} == {"d.0": 0, "d.2": 2}
    masks = [node.scale.tolist() for node in two.nodes.values() if isinstance(node, Scale)]
    assert masks == [[0, 1], [1, 0]]


def test_delays_on_the_way_add_up_and_names_stay_free() -> None:
    nodes = {"x": Input((2,)), "d.0": Delay(seconds(1, 1), DT), "d": Delay(seconds(0, 4), DT), "y": Output((2,))}
    edges = (Edge("x", "d.0", delay_steps=3), Edge("d.0", "d"), Edge("x", "d", delay_steps=1), Edge("d", "y"))
    graph = on_edges(Graph(nodes, edges))
    assert graph.incoming("d.0") == (Edge("x", "d.0", delay_steps=4),)
    assert graph.incoming("d.0_") == (Edge("d.0", "d.0_"), Edge("x", "d.0_", delay_steps=1))
    assert {edge.delay_steps for edge in graph.incoming("d.4")} == {4, 5}


def test_a_loop_through_a_delay_runs() -> None:
    li = LI(shape=(1,), dt=DT, dtype="float64", tau_mem=np.full(1, DT), v_leak=0 * ONE, r=ONE)
    nodes = {"x": Input((1,), "float64"), "li": li, "d": Delay(seconds(2), DT), "y": Output((1,))}
    edges = (Edge("x", "li"), Edge("d", "li"), Edge("li", "d"), Edge("li", "y"))
    x = np.zeros((7, 1, 1))
    x[0] = 1
    run = interpret(discretise(Graph(nodes, edges)), {"x": x})
    assert run.outputs["y"].ravel().tolist() == [1, 0, 1, 0, 1, 0, 1]  # tau = dt: v is what arrives


def test_the_least_delay_of_a_loop() -> None:
    assert Delay(seconds(0, 1, 3), DT, least_steps=1).steps.tolist() == [1, 1, 3]


def test_rounding_of_the_dtype_is_no_fraction_of_a_step() -> None:
    assert Delay(seconds(3, 7, 1000, dtype=np.float32), DT).steps.tolist() == [3, 7, 1000]


@pytest.mark.parametrize(
    ("delay", "told"),
    [
        (seconds(1, 2.5), r"delay\[1\] = 0.0025 s is 2.5 steps of dt = 0.001 s"),
        (seconds(1.001), r"is 1.001 steps"),
        (seconds(0.4), r"is 0.4 steps"),
        (seconds(-1), r"is -1 steps"),
        (seconds(2.0 * MAX_STEPS), r"is 4294967294 steps"),
        (np.array([np.nan]), r"not a finite number"),
    ],
)
def test_no_whole_number_of_steps_is_refused(delay: np.ndarray, told: str) -> None:
    with pytest.raises(GraphError, match=told) as caught:
        Delay(delay, DT)
    assert caught.value.fix


def test_a_node_of_more_lengths_than_there_may_be_masks_is_refused() -> None:
    lengths = np.arange(MAX_LENGTHS + 1)
    with pytest.raises(LimitError, match=f"delays of {MAX_LENGTHS + 1} different lengths in one node"):
        on_edges(chain(Delay(seconds(*lengths), DT)))
    few = on_edges(chain(Delay(seconds(*np.minimum(lengths, MAX_LENGTHS - 1)), DT)))
    assert len(few.nodes) == 3 + MAX_LENGTHS
