"""The lists of who fired are those of the rasters, and leave the run as it is; the machine counts the same by both."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fixed_comparison import first_difference
from random_fixed_nets import random_fixed_net

from norse_export.engine.listed import Listed
from norse_export.engine.machine.config import MachineConfig
from norse_export.engine.machine.events import cycles
from norse_export.engine.machine.load import load
from norse_export.engine.network import FixedRun, compile_network
from norse_export.errors import CapacityError, GraphError, UsageError
from norse_export.ir.fixed import ConvSynapses, DenseSynapses, FixedInput, Population
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.placement import Part, Placement
from norse_export.program.operations import where
from norse_export.program.program import Family, Step


def rasters_of(listed: Listed) -> dict[str, np.ndarray[Any, Any]]:
    """What the lists say, and that they rise."""
    found = {}
    for number, (name, (steps, samples, cells)) in enumerate(listed.shapes.items()):
        found[name] = np.zeros((steps, samples, cells), bool)
        for sample in range(samples):
            for t in range(steps):
                first, last = listed.starts[number, sample, t : t + 2]
                fired = listed.cells[first:last]
                assert np.all(np.diff(fired) > 0)
                found[name][t, sample, fired] = True
    return found


def check_lists(ran: FixedRun, rasters: dict[str, Any]) -> None:
    assert ran.events is not None
    listed = rasters_of(ran.events)
    assert set(listed) == {*rasters, *ran.run.spikes}
    for name, raster in {**rasters, **ran.run.spikes}.items():
        np.testing.assert_array_equal(listed[name], (raster != 0).reshape(listed[name].shape), err_msg=name)


def on_one_core(graph: Graph[Any]) -> Placement:
    populations = {name: node for name, node in graph.nodes.items() if isinstance(node, Population)}
    sizes = {name: int(np.prod(node.shape)) for name, node in populations.items()}
    return Placement(1, 1, tuple(Part(name, 0, size, 0) for name, size in sizes.items()))


@pytest.mark.parametrize("chunk", range(4))
def test_the_lists_are_those_of_the_rasters(chunk: int) -> None:
    counted = 0
    for seed in range(15 * chunk, 15 * chunk + 15):
        net = random_fixed_net(seed)
        network = compile_network(net.graph)
        alone = network.run(net.inputs, states=True)
        assert alone.events is None
        for threads in (1, 2):
            ran = network.run(net.inputs, states=True, events=True, threads=threads)
            assert first_difference(alone.run, ran.run) is None
            assert ran.activity.synaptic_operations == alone.activity.synaptic_operations
            check_lists(ran, net.inputs)
        try:
            machine = load(net.graph, on_one_core(net.graph), MachineConfig())
        except (CapacityError, GraphError):
            continue
        a, b = cycles(machine, ran.events), cycles(machine, {**net.inputs, **ran.run.spikes})
        np.testing.assert_array_equal(a.rounds, b.rounds)
        np.testing.assert_array_equal(a.cores, b.cores)
        counted += 1
    assert counted


def firing(x: Any, v: Any) -> Step:
    spike = v + x > 9
    return Step(spike=spike, state=(where(spike, 0, v + x),))


def silent(x: Any, v: Any) -> Step:
    return Step(state=(v + x,), output=v + x)


def images(step: Any = firing) -> Graph[Any]:
    """A convolution, whose neurons the engine keeps channel last, in front of a population that may not spike."""
    rng = np.random.default_rng(2)
    rest = {"v": np.int64(0)}
    last = Family("last", step, ports=("x",), state=("v",)).trace()
    first = Family("first", firing, ports=("x",), state=("v",)).trace()
    image, filtered = (2, 9, 9), (3, 7, 7)
    nodes = {
        "image": FixedInput(image),
        "conv": ConvSynapses(rng.integers(-5, 9, (3, 2, 3, 3)).astype(np.int8), image, filtered),
        "h": Population(program=first, shape=filtered, parameters={}, initial_state=rest, dt=1e-3),
        "dense": DenseSynapses(rng.integers(-5, 9, (4, 147)).astype(np.int8), filtered, (4,)),
        "o": Population(program=last, shape=(4,), parameters={}, initial_state=rest, dt=1e-3),
    }
    return Graph(
        nodes, tuple(Edge(*pair) for pair in [("image", "conv"), ("conv", "h"), ("h", "dense"), ("dense", "o")])
    )


@pytest.mark.parametrize("step", [firing, silent])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_lists_stand_in_the_order_of_the_graph(step: Any, threads: int) -> None:
    graph = images(step)
    network = compile_network(graph)
    assert network.nodes.populations["h"].order is not None
    given = {"image": np.random.default_rng(3).random((12, 5, 2, 9, 9)) < 0.2}
    ran = network.run(given, events=True, threads=threads)
    assert ran.run.spikes["h"].any()
    check_lists(ran, given)
    assert ran.events is not None
    machine = load(graph, on_one_core(graph), MachineConfig())
    a, b = (cycles(machine, spikes) for spikes in (ran.events, {**given, **ran.run.spikes}))
    np.testing.assert_array_equal(a.rounds, b.rounds)
    np.testing.assert_array_equal(a.cores, b.cores)


def test_when_everything_fires_the_lists_fill_their_room() -> None:
    graph = images()
    ran = compile_network(graph).run({"image": np.ones((6, 4, 2, 9, 9), bool)}, events=True, threads=2)
    check_lists(ran, {"image": np.ones((6, 4, 2, 9, 9), bool)})


def test_lists_of_another_graph_are_refused() -> None:
    graph, other = images(), images(silent)
    given = {"image": np.zeros((3, 1, 2, 9, 9), bool)}
    ran = compile_network(other).run(given, events=True)
    assert ran.events is not None
    with pytest.raises(UsageError) as wrong:
        cycles(load(graph, on_one_core(graph), MachineConfig()), ran.events)
    assert wrong.value.where == "spikes"
    assert "'o'" in wrong.value.what
