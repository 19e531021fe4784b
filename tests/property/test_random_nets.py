"""The interpreter against a second one, on random networks: bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from random_nets import Net, random_net
from scalar_oracle import Sample, Signal

from norse_export.interpret import interpret
from norse_export.ir.graph import components
from norse_export.ir.stages import Neuron
from norse_export.passes.discretise import discretise

Array = NDArray[Any]
seeds = st.integers(0, 2**32 - 1)


def signals(raster: Array) -> list[Signal]:
    return [{index: float(step[index]) for index in np.ndindex(step.shape)} for step in raster]


def array(sent: list[Signal], shape: tuple[int, ...]) -> Array:
    return np.array([list(step.values()) for step in sent]).reshape(len(sent), *shape)


def equal_to_the_oracle(net: Net) -> int:
    """Compare all that a run gives; the number of spikes."""
    graph = discretise(net.graph)
    run = interpret(graph, net.inputs, dtype="float64", states=True)
    (raster,) = net.inputs.values()
    for sample in range(raster.shape[1]):
        expected = Sample(net.graph, {"input": signals(raster[:, sample])}, raster.shape[0])
        for name, got in (run.spikes | run.outputs).items():
            shape = graph.nodes[name].output_shape
            np.testing.assert_array_equal(got[:, sample], array(expected.sent[name], shape), err_msg=name)
        for name, node in graph.nodes.items():
            for variable in node.family.state if isinstance(node, Neuron) else ():
                values = [value for (kind, _), value in expected.state[name].items() if kind == variable]
                got = run.final_state[name][variable][sample]
                np.testing.assert_array_equal(got.ravel(), values, err_msg=f"{name} {variable}")
                np.testing.assert_array_equal(run.observables[name][variable][-1, sample], got)
    return sum(int(spikes.sum()) for spikes in run.spikes.values())


@given(seeds)
@settings(max_examples=200)
def test_every_spike_output_and_state_of_a_random_net_is_the_oracles(seed: int) -> None:
    equal_to_the_oracle(random_net(seed))


def test_random_nets_hold_everything_and_spike() -> None:
    """The nets above are not empty: every kind of node is in them, loops, delays, second ports, and many spikes."""
    nets = [random_net(seed) for seed in range(200)]
    nodes = [node for net in nets for node in discretise(net.graph).nodes.values()]
    assert {node.family.name for node in nodes if isinstance(node, Neuron)} == {
        *("cuba_lif", "cuba_li", "lif", "li", "if", "cuba_lif_recurrent"),
        *("cuba_lif_gain", "cuba_li_gain", "lif_gain", "li_gain", "if_gain"),
    }
    assert {type(node).__name__ for node in nodes} >= {"Linear", "Conv", "Pool", "Flatten", "Scale", "Sum"}
    loops = [group for net in nets for group in components(net.graph) if len(group) > 1]
    assert len(loops) > 30
    assert sum(len(group) > 2 for group in loops) > 5
    assert {edge.delay_steps for net in nets for edge in net.graph.edges} == {0, 1, 2, 3}
    assert sum(equal_to_the_oracle(net) for net in nets[:20]) > 500
