"""The integer engine on nets small enough to work out by hand."""

from __future__ import annotations

import _thread
import threading
import time
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from fixed_comparison import first_difference

from norse_export.engine import script
from norse_export.engine.kernels.memory import JIT
from norse_export.engine.network import compile_network
from norse_export.engine.recordings import Events
from norse_export.errors import ExportError, UnsupportedError, UsageError
from norse_export.ir.fixed import ConvSynapses, Delivery, DenseSynapses, FixedInput, Population, SparseSynapses
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Flatten, Linear, Output
from norse_export.program.operations import FLOOR, mul_shift, saturate, where
from norse_export.program.program import Family, Step


def _leaky(x: Any, v: Any, *, keep: Any, v_th: Any) -> Step:
    """v = floor(v keep / 4) + x, kept within 100; a spike above v_th sets it to 0."""
    v1 = saturate(mul_shift(v, keep, 2, FLOOR) + x, -100, 100)
    z = v1 > v_th
    return Step(spike=z, state=(where(z, 0, v1),))


def _summing(x: Any, v: Any, *, gain: Any) -> Step:
    """v = v + gain x, and no spike; what is sent is v."""
    v1 = saturate(v + x * gain, -(2**20), 2**20)
    return Step(state=(v1,), output=v1, observe={"drive": x})


def _counting(x: Any, v: Any, *, v_th: Any) -> Step:
    """As many spikes as v_th goes into v, at most 2."""
    v1 = saturate(v + x, 0, 1000)
    first, second = v1 >= v_th, v1 >= v_th + v_th
    count = where(first, 1, 0) + where(second, 1, 0)
    return Step(spike=count, state=(v1 - count * v_th,))


LEAKY = Family("leaky", _leaky, ports=("x",), state=("v",)).trace()
SUMMING = Family("summing", _summing, ports=("x",), state=("v",)).trace()
COUNTING = Family("counting", _counting, ports=("x",), state=("v",)).trace()


def population(program: Any, *shape: int, v: int = 0, **parameters: int) -> Population:
    given = {name: np.int64(value) for name, value in parameters.items()}
    rest = dict.fromkeys(program.variables, np.int64(v))
    return Population(program=program, shape=shape, parameters=given, initial_state=rest, dt=1e-3)


def dense(*rows: tuple[int, ...], **options: Any) -> DenseSynapses:
    weight = np.array(rows, np.int8)
    return DenseSynapses(weight, (weight.shape[1],), (weight.shape[0],), **options)


def chain(*nodes: Any, delays: dict[str, int] | None = None, extra: tuple[Edge, ...] = ()) -> Graph[Any]:
    """Nodes "n0", "n1", ... one behind the other."""
    names = [f"n{number}" for number in range(len(nodes))]
    pairs = pairwise(names)
    edges = (Edge(a, b, delay_steps=(delays or {}).get(b, 0)) for a, b in pairs)
    return Graph(dict(zip(names, nodes, strict=True)), (*edges, *extra))


def raster(*steps: Any) -> np.ndarray[Any, Any]:
    """One sample."""
    return np.array(steps)[:, None]


def test_a_neuron_decays_sums_fires_and_is_reset() -> None:
    graph = chain(FixedInput((2,)), dense((3, -5)), population(LEAKY, 1, keep=3, v_th=4))
    done = compile_network(graph).run({"n0": raster([1, 0], [1, 0], [1, 1], [0, 1], [0, 0])}, states=True)
    # 3; floor(9/4) + 3 = 5 fires; 0 + 3 - 5 = -2; floor(-6/4) - 5 = -7; floor(-21/4) = -6
    assert done.run.observables["n2"]["v"].ravel().tolist() == [3, 0, -2, -7, -6]
    assert done.run.spikes["n2"].ravel().tolist() == [False, True, False, False, False]
    assert done.run.spikes["n2"].dtype == bool
    assert done.run.final_state["n2"]["v"].tolist() == [[-6]]
    assert done.activity.synaptic_operations == {"n1": 5}
    assert done.activity.sent["n0"].tolist() == [1, 1, 2, 1, 0]
    assert done.activity.neuron_updates == {"n2": 5}


@pytest.mark.parametrize("delay", [0, 1, 2, 3, 4, 5, 7])
def test_what_is_sent_arrives_after_the_delay(delay: int) -> None:
    graph = chain(FixedInput((1,)), dense((9,)), population(LEAKY, 1, keep=0, v_th=4), delays={"n1": delay})
    done = compile_network(graph).run({"n0": raster([1], [0], [1], [1], [0])})
    sent = [1, 0, 1, 1, 0]
    assert done.run.spikes["n2"].ravel().tolist() == ([0] * delay + sent)[:5]
    assert done.activity.synaptic_operations == {"n1": sum(sent[: max(0, 5 - delay)])}


def test_a_neuron_that_feeds_itself_one_step_later() -> None:
    loop = (Edge("n2", "again", delay_steps=1), Edge("again", "n2"))
    graph = chain(FixedInput((1,)), dense((9,)), population(LEAKY, 1, keep=0, v_th=4))
    graph = Graph({**graph.nodes, "again": dense((5,))}, (*graph.edges, *loop))
    done = compile_network(graph).run({"n0": raster([0], [1], [0], [0])})
    assert done.run.spikes["n2"].ravel().tolist() == [False, True, True, True]


def test_values_are_multiplied_by_weights_and_counts_are_sent_on() -> None:
    graph = chain(
        FixedInput((2,), low=-3, high=7),
        dense((2, 5)),
        population(COUNTING, 1, v_th=10),
        dense((4,)),
        population(SUMMING, 1, gain=3),
        Output((1,)),
    )
    done = compile_network(graph).run({"n0": raster([-3, 7], [0, 0], [5, 0])})
    # 29: two spikes leave 9; 9; 19: one leaves 9
    assert done.run.spikes["n2"].ravel().tolist() == [2, 0, 1]
    assert done.run.spikes["n2"].dtype == np.int32
    assert done.run.outputs["n5"].ravel().tolist() == [24, 24, 36]
    assert done.activity.synaptic_operations == {"n1": 3, "n3": 2}


def test_sums_wrap_and_shift_before_they_arrive() -> None:
    wrapped = dense((100, 60), delivery=Delivery(wrap_bits=8, shift=-2))
    graph = chain(FixedInput((2,)), wrapped, population(SUMMING, 1, gain=1), Output((1,)))
    done = compile_network(graph).run({"n0": raster([1, 1], [1, 0], [0, 1])})
    # 160 is -96 in 8 bits, and -24; then 25, then 15
    assert done.run.outputs["n3"].ravel().tolist() == [-24, 1, 16]


def test_a_port_saturates_over_all_its_edges_and_counts() -> None:
    nodes = {
        "in": FixedInput((2,)),
        "a": dense((90, 90), (1, 1)),
        "b": dense((50, 0), (1, 0)),
        "p": Population(
            program=SUMMING,
            shape=(2,),
            parameters={"gain": np.int64(1)},
            initial_state={"v": np.int64(0)},
            dt=1e-3,
            saturated={"x": 127},
        ),
    }
    graph = Graph(nodes, (Edge("in", "a"), Edge("in", "b"), Edge("a", "p"), Edge("b", "p")))
    done = compile_network(graph).run({"in": raster([1, 0], [0, 1], [1, 1])}, states=True)
    assert done.run.observables["p"]["drive"][:, 0].tolist() == [[127, 2], [90, 1], [127, 3]]
    assert done.activity.saturated == {("p", "x"): 2}


def test_narrowings_that_change_a_value_are_counted() -> None:
    graph = chain(FixedInput((1,)), dense((60,), (1,)), population(LEAKY, 2, keep=4, v_th=1000))
    done = compile_network(graph).run({"n0": raster([1], [1], [1])}, states=True)
    assert done.run.observables["n2"]["v"][:, 0].tolist() == [[60, 1], [100, 2], [100, 3]]
    (counted,) = done.activity.overflows["n2"].values()
    assert counted == 2


def test_a_convolution_by_hand_and_a_readout_of_raw_sums() -> None:
    weight = np.array([[[[1, 2], [3, 4]]], [[[0, 0], [0, -1]]]], np.int8)  # two channels of one
    conv = ConvSynapses(weight, (1, 2, 3), (2, 1, 2))
    readout = DenseSynapses(np.array([[1, 2, 4, 8]], np.int8), (2, 1, 2), (1,))
    graph = chain(FixedInput((1, 2, 3)), conv, population(LEAKY, 2, 1, 2, keep=0, v_th=2), readout, Output((1,)))
    done = compile_network(graph).run({"n0": raster([[[0, 1, 0], [0, 0, 0]]], [[[0, 0, 0], [0, 0, 1]]])}, states=True)
    # the first event is under the 2 of the left window, and under the 1 of the right one; the second under a 4 and a -1
    assert done.run.observables["n2"]["v"][:, 0].tolist() == [[[[2, 1]], [[0, 0]]], [[[0, 0]], [[0, -1]]]]
    assert done.run.spikes["n2"][:, 0].tolist() == [[[[False] * 2]] * 2, [[[False, True]], [[False] * 2]]]
    assert done.run.outputs["n4"].ravel().tolist() == [0, 2]
    assert done.activity.synaptic_operations == {"n1": 4 + 2, "n3": 1}


def test_listed_synapses_add_up_where_a_pair_stands_twice() -> None:
    listed = SparseSynapses(np.array([0, 3, 3]), np.array([0, 2, 2]), np.array([7, 1, 2], np.int8), (2,), (3,))
    graph = chain(FixedInput((2,)), listed, population(SUMMING, 3, gain=1), Output((3,)))
    done = compile_network(graph).run({"n0": raster([1, 1], [0, 1])})
    assert done.run.outputs["n3"][:, 0].tolist() == [[7, 0, 3], [7, 0, 3]]
    assert done.activity.synaptic_operations == {"n1": 3}


def test_values_are_in_the_units_of_the_model_and_layers_run_on_the_host() -> None:
    program = SUMMING
    unit = Population(
        program=program,
        shape=(2,),
        parameters={"gain": np.int64(1)},
        initial_state={"v": np.int64(0)},
        dt=1e-3,
        unit={"v": np.float64(0.25)},
    )
    host = Linear(np.array([[2.0, 1.0]]), np.array([0.5]))
    graph = chain(FixedInput((1,)), dense((4,), (8,)), unit, Flatten((2,), 0, -1), host, Output((1,)))
    done = compile_network(graph).run({"n0": raster([1], [0], [1])})
    assert done.run.outputs["n5"].ravel().tolist() == [2 + 2 + 0.5, 4.5, 8.5]


def wide_net(neurons: int) -> Graph[Any]:
    rng = np.random.default_rng(neurons)
    weight = rng.integers(-20, 30, (neurons, 100)).astype(np.int8)
    again = rng.integers(-20, 21, (neurons, neurons)).astype(np.int8)
    nodes = {
        "in": FixedInput((100,)),
        "w": DenseSynapses(weight, (100,), (neurons,)),
        "p": population(LEAKY, neurons, keep=3, v_th=60),
        "again": DenseSynapses(again, (neurons,), (neurons,)),
    }
    return Graph(nodes, (Edge("in", "w"), Edge("w", "p"), Edge("p", "again", delay_steps=2), Edge("again", "p")))


def spikes_of(neurons: int = 200, **options: Any) -> np.ndarray[Any, Any]:
    given = np.random.default_rng(1).random((20, 5, 100)) < 0.2
    return compile_network(wide_net(neurons)).run({"in": given}, **options).run.spikes["p"]


def test_threads_and_the_batch_change_nothing() -> None:
    given = np.random.default_rng(1).random((20, 5, 100)) < 0.2
    network = compile_network(wide_net(200))
    one = network.run({"in": given})
    assert 0.1 < one.run.spikes["p"].mean() < 0.9
    for threads in (2, 3, 9):
        other = network.run({"in": given}, threads=threads)
        np.testing.assert_array_equal(other.run.spikes["p"], one.run.spikes["p"])
        assert other.activity.synaptic_operations == one.activity.synaptic_operations
    for sample in range(5):
        alone = network.run({"in": given[:, sample : sample + 1]})
        np.testing.assert_array_equal(alone.run.spikes["p"], one.run.spikes["p"][:, sample : sample + 1])


def test_a_run_in_many_slices_is_the_run_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    given = np.random.default_rng(1).random((20, 5, 100)) < 0.2
    network = compile_network(wide_net(200))
    whole = network.run({"in": given}, states=True)
    monkeypatch.setattr(script, "BEGINNING", 200 * 3)
    monkeypatch.setattr(script, "FASTER", 1)
    for threads in (1, 2):
        sliced = network.run({"in": given}, states=True, threads=threads)
        assert first_difference(whole.run, sliced.run) is None
        assert sliced.activity.synaptic_operations == whole.activity.synaptic_operations


def test_lists_of_events_give_what_the_raster_gives() -> None:
    given = np.random.default_rng(1).random((20, 5, 100)) < 0.2
    counts = given.reshape(100, 100).sum(axis=1)
    events = Events(np.concatenate([[0], np.cumsum(counts)]), np.nonzero(given.reshape(100, 100))[1].astype(np.int32))
    network = compile_network(wide_net(200))
    a, b = network.run({"in": given}), network.run_events({"in": events}, steps=20, samples=5)
    np.testing.assert_array_equal(a.run.spikes["p"], b.run.spikes["p"])
    assert a.activity.synaptic_operations == b.activity.synaptic_operations


@pytest.mark.parametrize(
    ("starts", "indices", "fix"),
    [
        ([0, 1, 2, 2], [0, 100], "number the cells"),
        ([0, 1, 2, 2], [-1, 99], "number the cells"),
        ([0, 2, 1, 2], [0, 1], "give starts"),
        ([0, 1, 2], [0, 1], "give starts"),
        ([0, 1, 2, 3], [0, 1], "give starts"),
        ([1, 1, 2, 2], [0, 1], "give starts"),
    ],
)
def test_lists_of_events_that_do_not_fit_are_refused(starts: list[int], indices: list[int], fix: str) -> None:
    events = Events(np.array(starts), np.array(indices, np.int32))
    with pytest.raises(UsageError) as wrong:
        compile_network(wide_net(3)).run_events({"in": events}, steps=3, samples=1)
    assert wrong.value.where == "in"
    assert wrong.value.fix.startswith(fix)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32])
def test_rasters_of_any_type_are_the_same_spikes(dtype: Any) -> None:
    given = (np.random.default_rng(1).random((20, 5, 100)) < 0.2).astype(dtype)
    network = compile_network(wide_net(200))
    for layout in (given, np.asfortranarray(given), np.repeat(given, 2, axis=2)[..., ::2]):
        np.testing.assert_array_equal(network.run({"in": layout}).run.spikes["p"], spikes_of())


@pytest.mark.parametrize(
    ("inputs", "where"),
    [
        ({"in": np.full((3, 1, 100), 2)}, "in"),
        ({"in": np.full((3, 1, 100), -1)}, "in"),
        ({"in": np.full((3, 1, 100), 0.5)}, "in"),
        ({"in": np.zeros((3, 1, 99), bool)}, "in"),
        ({}, "inputs"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(inputs: dict[str, Any], where: str) -> None:
    with pytest.raises(UsageError) as wrong:
        compile_network(wide_net(3)).run(inputs)
    assert wrong.value.where == where
    assert wrong.value.fix.startswith("give")


def test_less_than_one_thread_is_refused() -> None:
    with pytest.raises(UsageError) as wrong:
        compile_network(wide_net(3)).run({"in": np.zeros((3, 1, 100), bool)}, threads=0)
    assert (wrong.value.where, wrong.value.fix) == ("threads", "use 1 or more")


def test_what_the_engine_does_not_have_is_refused_all_at_once() -> None:
    silent = population(SUMMING, 1, gain=1)
    nodes = {"in": FixedInput((1,)), "w": dense((1,)), "p": silent, "x": dense((1,)), "q": silent, "o": Output((1,))}
    edges = (Edge("in", "w"), Edge("w", "p", delay_steps=1), Edge("p", "x"), Edge("x", "q"), Edge("q", "o"))
    with pytest.raises(ExportError) as wrong:
        compile_network(Graph(nodes, edges))
    assert isinstance(wrong.value, UnsupportedError)
    assert [finding.where for finding in wrong.value.findings] == ["w -> p", "p -> x"]
    assert "behind the last spikes" in wrong.value.fix


@pytest.mark.skipif(not JIT, reason="the JIT is disabled: no kernel is quick")
@pytest.mark.parametrize("threads", [1, 2])
def test_an_interrupt_ends_a_long_run_at_once(threads: int) -> None:
    """The kernels run for a short while at a time: in between Ctrl-C is seen, and ends all threads."""
    network = compile_network(wide_net(200))
    given = {"in": np.ones((100_000, 2, 100), bool)}
    network.run({"in": given["in"][:10]})

    def run_for_long() -> None:
        for _ in range(1000):
            network.run(given, threads=threads)

    start = time.perf_counter()
    threading.Timer(0.3, _thread.interrupt_main).start()
    with pytest.raises(KeyboardInterrupt):
        run_for_long()
    assert time.perf_counter() - start < 5
