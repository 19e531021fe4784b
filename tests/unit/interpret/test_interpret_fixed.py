"""The emulator of fixed graphs: what it takes, what it gives, and where its sums are exact."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from norse_export.engine.network import compile_network
from norse_export.errors import GraphError, UnsupportedError, UsageError
from norse_export.interpret import fixed
from norse_export.interpret.fixed import emulate
from norse_export.ir.fixed import ConvSynapses, Delivery, DenseSynapses, FixedInput, Population, SparseSynapses
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Output, Scale
from norse_export.program.laws import Law, integer_family
from norse_export.program.operations import STOCHASTIC


def population(name: str, size: int, law: Law | None = None, unit: Any = None, **values: int) -> Population:
    family = integer_family(name, law or Law(), 0)
    return Population(
        program=family.trace(),
        shape=(size,),
        parameters={key: np.full(size, values.get(key, 0)) for key in family.parameters},
        initial_state={key: np.zeros(size, np.int64) for key in family.state},
        dt=0.001,
        unit={} if unit is None else {"v": unit},
    )


def net(node: Any, last: Population, low: int = 0, high: int = 1) -> Graph[Any]:
    nodes = {"input": FixedInput(node.input_shape, low, high), "synapses": node, "neurons": last}
    nodes["output"] = Output(last.shape)
    return Graph(nodes, tuple(Edge(*pair) for pair in pairwise(nodes)))


def dense(weight: Any, dtype: str = "int8", **delivery: Any) -> DenseSynapses:
    weight = np.array(weight, dtype)
    return DenseSynapses(weight, (weight.shape[1],), (weight.shape[0],), Delivery(**delivery))


def counter(size: int) -> Population:
    """Adds up what arrives, and never fires."""
    return population("if", size, Law(state_bits=32), v_th=2**31 - 1)


def test_a_run_holds_spikes_states_and_outputs_in_their_types() -> None:
    graph = net(dense([[3], [9]]), population("if", 2, v_th=5))
    run = emulate(graph, {"input": np.ones((4, 1, 1), bool)}, states=True)
    assert run.spikes["neurons"].dtype == bool
    assert run.spikes["neurons"][:, 0].tolist() == [[False, True], [True, True]] * 2
    assert run.observables["neurons"]["v"].dtype == np.int64
    assert run.observables["neurons"]["v"][:, 0].tolist() == [[3, 0], [0, 0]] * 2
    assert run.final_state["neurons"]["v"].tolist() == [[0, 0]]
    assert run.outputs["output"].dtype == np.float64
    assert run.outputs["output"][:, 0].tolist() == [[0, 1], [1, 1]] * 2
    assert run.ran_by == "emulation (program on arrays)"
    assert not emulate(graph, {"input": np.ones((4, 1, 1))}).observables


def test_counted_spikes_are_int32() -> None:
    law = Law(reset="subtract", max_spikes=3)
    run = emulate(net(dense([[9]]), population("if", 1, law, v_th=4)), {"input": np.ones((3, 2, 1), np.uint8)})
    assert run.spikes["neurons"].dtype == np.int32
    assert run.spikes["neurons"][:, 1, 0].tolist() == [2, 2, 2]
    assert run.final_state["neurons"]["v"].tolist() == [[3], [3]]


def test_a_readout_is_in_the_units_of_the_model() -> None:
    graph = net(dense([[3], [4]]), population("li", 2, unit=[0.5, 0.1], v_keep=4096))
    run = emulate(graph, {"input": np.ones((2, 1, 1))}, states=True)
    assert run.outputs["output"][:, 0].tolist() == [[1.5, 0.4], [3.0, 0.8]]
    assert run.observables["neurons"]["v"][:, 0].tolist() == [[3, 4], [6, 8]]


def test_layers_behind_the_last_spikes_run_in_float64() -> None:
    graph = net(dense([[3]]), population("li", 1, unit=[0.1], v_keep=4096))
    nodes = {**graph.nodes, "scale": Scale(np.array([np.float32(0.3)], np.float32))}
    edges = (*graph.edges[:-1], Edge("neurons", "scale"), Edge("scale", "output"))
    run = emulate(Graph(nodes, edges), {"input": np.ones((1, 1, 1))})
    assert run.outputs["output"].item() == 3 * 0.1 * float(np.float32(0.3))


@pytest.mark.parametrize("chunk", [1, 7, 1 << 23])
def test_rows_are_summed_in_stretches(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fixed, "_CHUNK", chunk)
    rng = np.random.default_rng(0)
    weight, x = rng.integers(-99, 99, (3, 4)), rng.integers(0, 2, (5, 2, 4))
    run = emulate(net(dense(weight), counter(3)), {"input": x})
    assert np.array_equal(run.final_state["neurons"]["v"], (x @ weight.T).sum(axis=0))


def test_sums_beyond_53_bits_are_exact() -> None:
    """In float64 the 1 would be lost."""
    graph = net(dense([[2**30, 1]], "int32", wrap_bits=8), counter(1), low=0, high=2**31 - 1)
    assert fixed.summed("s", graph.nodes["synapses"], np.array([[[2**24, 1]]])).item() == 2**54 + 1
    run = emulate(graph, {"input": np.array([[[2**24, 1]]])})
    assert run.final_state["neurons"]["v"].item() == 1


def convolution() -> ConvSynapses:
    return ConvSynapses(np.full((1, 1, 1, 2), 2**31 - 1, np.int32), (1, 1, 2), (1,), delivery=Delivery(shift=1))


def sparse() -> SparseSynapses:
    """Twice one pair: both count towards the bound."""
    weight = np.full(2, 2**31 - 1, np.int32)
    return SparseSynapses(np.array([0, 2]), np.zeros(2, np.int32), weight, (1,), (1,), Delivery(shift=1))


@pytest.mark.parametrize("node", [dense([[2**31 - 1, 2**31 - 1]], "int32", shift=1), convolution(), sparse()])
def test_sums_that_64_bits_may_not_hold_are_refused(node: Any) -> None:
    graph = net(node, counter(1), high=2**31 - 1)
    fits = {"input": np.full((1, 1, *node.input_shape), 2**30)}
    emulate(graph, fits)
    with pytest.raises(UnsupportedError, match="leave 64 bits") as raised:
        emulate(graph, {"input": np.full((1, 1, *node.input_shape), 2**31 - 1)})
    assert raised.value.where == "synapses"
    assert raised.value.fix == "use narrower weights or a smaller shift"


@pytest.mark.parametrize("execute", [emulate, lambda graph, inputs: compile_network(graph).run(inputs)])
@pytest.mark.parametrize(("weight", "low"), [(-1, 0), (1, -1)])
def test_sums_below_0_at_a_port_that_saturates_are_refused_by_all_that_run_them(
    execute: Any, weight: int, low: int
) -> None:
    last = replace(counter(1), saturated={"x": 5})
    fine = {"input": np.ones((3, 1, 1), np.int64)}
    execute(net(dense([[1]]), last), fine)
    with pytest.raises(GraphError, match="sums at port 'x' saturate, and can be negative: -1") as raised:
        execute(net(dense([[weight]]), last, low=low), fine)
    assert raised.value.where == "neurons"
    assert raised.value.fix == "send only weights and values >= 0 to a saturated port"


def test_an_input_beyond_its_range_is_refused() -> None:
    graph = net(dense([[1]]), counter(1), low=-1)
    emulate(graph, {"input": np.array([-1, 0, 1]).reshape(3, 1, 1)})
    with pytest.raises(UsageError, match="from -2 to 0, the input takes whole numbers from -1 to 1"):
        emulate(graph, {"input": np.array([-2, 0]).reshape(2, 1, 1)})


def test_random_numbers_know_the_sample_by_its_number() -> None:
    law = Law(rounding=STOCHASTIC)
    graph = net(dense([[100]] * 8), population("lif", 8, law, v_th=300, v_keep=3333))
    x = np.ones((6, 4, 1))
    whole = emulate(graph, {"input": x}, states=True).observables["neurons"]["v"]
    assert not np.array_equal(whole[:, 0], whole[:, 1])
    for sample in range(4):
        alone = emulate(graph, {"input": x[:, :1]}, states=True, first_sample=sample)
        assert np.array_equal(alone.observables["neurons"]["v"][:, 0], whole[:, sample])
