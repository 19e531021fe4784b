"""Graphs run as they are drawn: delays, loops, orders of sums, samples and steps apart from one another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from random_nets import random_net
from small_nets import cuba_li, cuba_lif, discrete_chain, graph, grid_dense, spikes

from norse_export.errors import UsageError
from norse_export.interpret import interpret
from norse_export.ir.layers import Flatten, Input, Linear, Output, Pool, Scale, Sum
from norse_export.ir.neurons import LI
from norse_export.ir.stages import DiscreteNode
from norse_export.passes.discretise import discretise

Array = NDArray[Any]
F = np.float32


def numbers(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(-8, 9, size=shape).astype(F)


def run(nodes: dict[str, Any], edges: list[tuple[Any, ...]], raster: Array, **options: Any) -> Any:
    return interpret(discretise(graph(nodes, edges)), {"input": raster}, **options)


def shifted(raster: Array, steps: int) -> Array:
    """Zeros first, then the raster, of the same length."""
    return np.concatenate([np.zeros_like(raster[:steps]), raster[: len(raster) - steps]])


@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("delay", [0, 1, 2, 3, 9])
def test_a_delayed_edge_brings_zeros_first(delay: int, steps: int) -> None:
    x = numbers(steps, 2, 3)
    got = run({"input": Input((3,)), "output": Output((3,))}, [("input", "output", "x", delay)], x)
    np.testing.assert_array_equal(got.outputs["output"], shifted(x, min(delay, steps)))


@pytest.mark.parametrize("delay", [1, 2, 3])
def test_a_loop_of_any_delay_is_the_recurrence_that_it_says(delay: int) -> None:
    """y[t] = x[t] + 2 y[t - d]."""
    x = numbers(9, 2, 3)
    nodes = {"input": Input((3,)), "y": Sum((3,)), "twice": Scale(np.full(3, 2, F)), "output": Output((3,))}
    edges = [("input", "y"), ("y", "twice"), ("twice", "y", "x", delay), ("y", "output")]
    expected = np.zeros_like(x)
    for t in range(9):
        expected[t] = x[t] + (2 * expected[t - delay] if t >= delay else 0)
    np.testing.assert_array_equal(run(nodes, edges, x).outputs["output"], expected)
    split = [("input", "y"), ("y", "twice", "x", 1), ("twice", "y", "x", delay - 1), ("y", "output")]
    np.testing.assert_array_equal(run(nodes, split, x).outputs["output"], expected)


def test_a_node_that_feeds_itself_is_a_loop() -> None:
    x = numbers(9, 1, 2)
    nodes = {"input": Input((2,)), "y": Sum((2,)), "output": Output((2,))}
    got = run(nodes, [("input", "y"), ("y", "y", "x", 1), ("y", "output")], x)
    np.testing.assert_array_equal(got.outputs["output"], np.cumsum(x, axis=0))


def test_a_loop_takes_delayed_input_from_outside() -> None:
    x = numbers(9, 1, 2)
    nodes = {"input": Input((2,)), "y": Sum((2,)), "output": Output((2,))}
    got = run(nodes, [("input", "y", "x", 2), ("y", "y", "x", 1), ("y", "output", "x", 1)], x)
    np.testing.assert_array_equal(got.outputs["output"], shifted(np.cumsum(shifted(x, 2), axis=0), 1))


def test_two_loops_through_one_node() -> None:
    """y[t] = x[t] + y[t-1] + y[t-2]: Fibonacci's numbers for an impulse."""
    x = np.zeros((10, 1, 1), F)
    x[0] = 1
    nodes = {"input": Input((1,)), "y": Sum((1,)), "a": Sum((1,)), "output": Output((1,))}
    edges = [("input", "y"), ("y", "y", "x", 1), ("y", "a", "x", 1), ("a", "y", "x", 1), ("y", "output")]
    assert run(nodes, edges, x).outputs["output"].ravel().tolist() == [1, 1, 2, 3, 5, 8, 13, 21, 34, 55]


def test_the_edges_of_a_port_are_summed_in_their_order() -> None:
    values = {"a": F(1), "b": F(2**-24), "c": F(2**-24)}
    nodes: dict[str, Any] = {"input": Input((1,)), **{name: Scale(np.full(1, v)) for name, v in values.items()}}
    nodes |= {"output": Output((1,))}
    feed = [("input", name) for name in values]
    totals = {
        order: run(nodes, [*feed, *((name, "output") for name in order)], np.ones((1, 1, 1))).outputs["output"].item()
        for order in ("abc", "bca")
    }
    assert totals == {"abc": 1.0, "bca": float(F(1) + F(2**-23))}


def test_the_ports_of_a_recurrent_population_are_added_in_their_order() -> None:
    """(i + x) + r: with i = -1, x = 1 and r tiny, i + (x + r) would lose r."""
    x, r = F(1), F(2**-26)
    nodes = {
        "input": Input((1,)),
        "x": Scale(np.full(1, x)),
        "r": Scale(np.full(1, r)),
        "lif": cuba_lif((1,), recurrent=True, i0=-1.0, tau_mem=np.float64(1e-3)),
        "output": Output((1,)),
    }
    edges = [("input", "x"), ("input", "r"), ("r", "lif", "r"), ("x", "lif", "x"), ("lif", "output")]
    final = run(nodes, edges, np.ones((1, 1, 1))).final_state["lif"]
    assert final["v"].item() == r
    assert F(-1) + (x + r) == 0


def test_a_network_of_two_inputs_and_two_outputs() -> None:
    nodes = {"a": Input((2,)), "b": Input((2,)), "sum": Sum((2,)), "c": Output((2,)), "d": Output((2,))}
    net = discretise(graph(nodes, [("a", "sum"), ("b", "sum"), ("sum", "c"), ("a", "d")]))
    x, y = numbers(3, 2, 2), numbers(3, 2, 2, seed=1)
    got = interpret(net, {"b": y, "a": x})
    assert list(got.outputs) == ["c", "d"]
    np.testing.assert_array_equal(got.outputs["c"], x + y)
    np.testing.assert_array_equal(got.outputs["d"], x)


def test_populations_stand_by_depth_whatever_the_order_of_the_nodes() -> None:
    """The first difference of two runs is looked for by depth, so a run has to name its populations by it."""
    nodes = {
        "output": Output((2,)),
        "a": cuba_lif((2,)),
        "b": cuba_lif((2,)),
        "c": cuba_lif((2,)),
        "input": Input((2,)),
    }
    got = run(nodes, [("input", "c"), ("c", "b"), ("b", "a"), ("a", "output")], numbers(3, 1, 2))
    assert list(got.spikes) == list(got.final_state) == ["c", "b", "a"]


def deep_net() -> Any:
    """Convolution to a readout, weights on a grid: every sum is exact, in any order."""
    generator = np.random.default_rng(3)
    return discrete_chain(
        (8,),
        grid_dense(generator, 8, 12),
        cuba_lif((12,), tau_mem=np.float64(2e-3), tau_syn=np.float64(2e-3)),
        grid_dense(generator, 12, 6),
        cuba_lif((6,), v_th=0.5, tau_mem=np.float64(2e-3), tau_syn=np.float64(2e-3)),
        cuba_li((6,), tau_mem=np.float64(2e-3), tau_syn=np.float64(2e-3)),
    )


def everything(got: Any) -> dict[tuple[str, ...], Array]:
    """All arrays of a run, samples on axis 1; final states with a time axis."""
    found = {("spikes", name): raster for name, raster in got.spikes.items()}
    found |= {("outputs", name): raster for name, raster in got.outputs.items()}
    for name, variables in got.final_state.items():
        found |= {("state", name, variable): value[None] for variable, value in variables.items()}
    return found


def test_a_sample_is_the_same_alone_in_any_order_and_in_any_batch() -> None:
    net, x = deep_net(), spikes(np.random.default_rng(4), 30, 12, 8)
    together = everything(interpret(net, {"input": x}))
    assert together["spikes", "1"].any()
    assert together["spikes", "3"].any()
    for parts in ([[k] for k in range(12)], [list(range(11, -1, -1))], [[5, 0, 7], [11, 1, 2, 3, 4], [10, 9, 8, 6]]):
        for part in parts:
            for key, got in everything(interpret(net, {"input": x[:, part]})).items():
                assert got.tobytes() == together[key][:, part].tobytes(), key


def test_what_comes_later_changes_nothing_earlier() -> None:
    net, x = deep_net(), spikes(np.random.default_rng(5), 30, 3, 8)
    whole = interpret(net, {"input": x}, states=True)
    for steps in (1, 2, 17):
        part = interpret(net, {"input": x[:steps]}, states=True)
        for name, raster in part.spikes.items():
            assert raster.tobytes() == whole.spikes[name][:steps].tobytes()
        for name, variables in part.final_state.items():
            for variable, value in variables.items():
                assert value.tobytes() == whole.observables[name][variable][steps - 1].tobytes()


def test_recorded_states_are_those_of_every_step_and_only_where_asked_for() -> None:
    x = spikes(np.random.default_rng(6), 7, 2, 8)
    recorded = interpret(deep_net(), {"input": x}, states=True)
    assert set(recorded.observables) == {"1", "3", "4"}
    assert recorded.observables["3"]["v"].shape == (7, 2, 6)
    np.testing.assert_array_equal(recorded.observables["4"]["v"], recorded.outputs["output"])
    for name, variables in recorded.final_state.items():
        for variable, value in variables.items():
            np.testing.assert_array_equal(value, recorded.observables[name][variable][-1])
    assert not interpret(deep_net(), {"input": x}).observables


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_states_of_a_loop_are_recorded_as_those_outside(seed: int) -> None:
    net = random_net(seed, fine=True)
    got = interpret(discretise(net.graph), net.inputs, states=True)
    steps, samples = net.inputs["input"].shape[:2]
    for name, variables in got.observables.items():
        for variable, values in variables.items():
            assert values.shape == (steps, samples, *net.graph.nodes[name].output_shape)
            np.testing.assert_array_equal(values[-1], got.final_state[name][variable])


def test_on_a_power_of_two_grid_float32_and_float64_are_equal() -> None:
    x = spikes(np.random.default_rng(7), 12, 5, 8)
    narrow, wide = (interpret(deep_net(), {"input": x}, dtype=dtype) for dtype in ("float32", "float64"))
    assert narrow.outputs["output"].dtype == np.float32
    assert wide.outputs["output"].dtype == np.float64
    for key, got in everything(narrow).items():
        np.testing.assert_array_equal(got, everything(wide)[key])
    assert narrow.ran_by == "interpreter (float32)"
    assert wide.ran_by == "interpreter (float64)"


def test_arithmetic_is_in_the_models_own_type() -> None:
    for dtype in ("float32", "float64"):
        net = discrete_chain((2,), cuba_li((2,), dtype=dtype), dtype=dtype)
        got = interpret(net, {"input": numbers(3, 1, 2)})
        assert got.outputs["output"].dtype == got.final_state["0"]["i"].dtype == dtype


@pytest.mark.parametrize("dtype", [bool, np.int32, np.uint8, np.float16, np.float64])
def test_a_raster_of_spikes_may_be_of_any_type(dtype: Any) -> None:
    x = spikes(np.random.default_rng(8), 20, 2, 8)
    expected = interpret(deep_net(), {"input": x})
    got = interpret(deep_net(), {"input": x.astype(dtype)})
    for key, value in everything(got).items():
        assert value.tobytes() == everything(expected)[key].tobytes()


def test_layers_of_maps_pass_in_time_and_batch() -> None:
    shape = (2, 4, 4)
    pool, flatten, dense = Pool("max", shape, (2, 2), (2, 2)), Flatten((2, 2, 2)), Linear(numbers(3, 8, seed=2))
    x = numbers(5, 3, *shape)
    got = interpret(discrete_chain(shape, pool, flatten, dense), {"input": x}).outputs["output"]
    maxima = x.reshape(5, 3, 2, 2, 2, 2, 2).max(axis=(4, 6))
    np.testing.assert_array_equal(got, maxima.reshape(5, 3, 8) @ dense.weight.T)


def test_inputs_are_checked() -> None:
    with pytest.raises(UsageError, match="wrong input shape"):
        interpret(deep_net(), {"input": numbers(3, 1, 7)})


def test_values_beyond_the_float_type_become_infinite_without_a_warning() -> None:
    nodes: dict[str, DiscreteNode] = {"input": Input((1,)), "y": Sum((1,)), "output": Output((1,))}  # type: ignore[dict-item]
    edges = [("input", "y"), ("y", "y", "x", 1), ("y", "y", "x", 2), ("y", "output")]
    got = run(nodes, edges, np.full((5, 1, 1), 1e38))
    assert np.isinf(got.outputs["output"][-1]).all()


def test_an_integrator_in_front_of_an_output_sends_its_potential() -> None:
    li = LI(shape=(1,), dt=1e-3, tau_mem=np.float64(2e-3), v_leak=F(1))
    got = interpret(discrete_chain((1,), li), {"input": np.zeros((3, 1, 1))})
    assert got.outputs["output"].ravel().tolist() == [1, 1, 1]
    assert not got.spikes
    got = interpret(discrete_chain((1,), li), {"input": np.full((3, 1, 1), 2)})
    assert got.outputs["output"].ravel().tolist() == [2, 2.5, 2.75]
