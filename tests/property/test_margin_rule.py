"""The margin rule on whole runs: rounding is explained, every time, and a wrong network is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from other_orders import in_another_order
from random_nets import random_net
from small_nets import chain, cuba_li, cuba_lif, dense, spikes

from norse_export.compare import Comparison, compare
from norse_export.engine import layers
from norse_export.interpret import interpret, interpret_bounded
from norse_export.ir.graph import Graph
from norse_export.ir.layers import Linear
from norse_export.ir.neurons import CubaLIF
from norse_export.ir.run import Run
from norse_export.ir.stages import ContinuousNode, Neuron
from norse_export.passes.discretise import discretise

Array = NDArray[Any]


def in_other_orders(net: Any, inputs: Mapping[str, Array], seed: int) -> Run:
    generator = np.random.default_rng(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layers, "apply", lambda node, x: in_another_order(node, x, generator))
        return interpret(net, inputs)


def judged(net: Any, inputs: Mapping[str, Array], reference: Run, actual: Run) -> Comparison:
    def bounds(samples: Array, along: Mapping[str, Array]) -> Any:
        return interpret_bounded(
            net, {name: raster[:, samples] for name, raster in inputs.items()}, along, dtype="float32"
        )

    return compare(reference, actual, rung=1, bounds=bounds)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_the_same_network_summed_in_another_order_has_no_divergence(seed: int) -> None:
    made = random_net(seed, fine=True, steps=20, samples=3)
    net = discretise(made.graph)
    reference, actual = interpret(net, made.inputs), in_other_orders(net, made.inputs, seed)
    assert judged(net, made.inputs, reference, actual).first_divergence is None


def tenths(generator: np.random.Generator, n_out: int, n_in: int) -> Linear:
    """Weights k/10: sums of them come out at the threshold, but for their rounding."""
    return Linear((generator.integers(-3, 4, size=(n_out, n_in)) / 10).astype(np.float32))


@pytest.mark.parametrize("seed", range(3))
def test_flips_are_explained_every_time_and_too_many_of_them_are_not_equal(seed: int) -> None:
    generator = np.random.default_rng(seed)
    fast = {"tau_mem": np.float64(1e-3), "tau_syn": np.float64(2e-3), "v_th": 0.5}
    first, second = tenths(generator, 100, 40), tenths(generator, 50, 100)
    graph = chain((40,), first, cuba_lif((100,), **fast), second, cuba_lif((50,), **fast), cuba_li((50,)))
    inputs, net = {"input": spikes(generator, 30, 40, 40, rate=0.2)}, discretise(graph)
    got = judged(net, inputs, interpret(net, inputs), in_other_orders(net, inputs, seed))
    assert got.first_divergence is None
    assert got.explained_flips > 20, "there was little to explain"
    assert sum(layer.consequences for layer in got.layers) > 100
    assert got.spikes > 20_000
    assert got.allowed_flips == 1
    assert not got.equal


def test_a_sample_has_one_first_difference_at_most() -> None:
    """Potentials at the threshold, but for rounding, are many in one sample; what follows is a consequence."""
    found = 0
    for seed in range(30):
        generator = np.random.default_rng(seed)
        fast = {"tau_mem": np.float64(1e-3), "tau_syn": np.float64(2e-3), "v_th": 0.5}
        graph = chain((40,), tenths(generator, 30, 40), cuba_lif((30,), **fast), cuba_li((30,)))
        inputs, net = {"input": spikes(generator, 10, 1, 40, rate=0.2)}, discretise(graph)
        got = judged(net, inputs, interpret(net, inputs), in_other_orders(net, inputs, seed))
        assert got.first_divergence is None
        explained = sum(layer.explained for layer in got.layers)
        assert explained == (sum(layer.differing for layer in got.layers) > 0)
        found += explained
    assert found > 5, "there was little to explain"


def test_weights_rounded_to_float16_are_not_explained() -> None:
    """One sample of many steps: it has a first difference near the threshold, and then a trajectory of its own."""
    generator = np.random.default_rng(0)
    right = chain(
        (120,),
        dense(generator, 120, 160),
        cuba_lif((160,), v_th=0.3),
        dense(generator, 160, 40),
        cuba_lif((40,), v_th=0.3),
    )
    first = right.nodes["0"]
    assert isinstance(first, Linear)
    rounded = replace(first, weight=first.weight.astype(np.float16).astype(np.float32))
    inputs = {"input": spikes(generator, 300, 1, 120, rate=0.1)}
    reference = interpret(discretise(right), inputs)
    wrong_net = discretise(Graph({**right.nodes, "0": rounded}, right.edges))
    got = judged(discretise(right), inputs, reference, interpret(wrong_net, inputs))
    assert sum(layer.differing for layer in got.layers) > 0
    assert not got.equal


def wrong(graph: Graph[ContinuousNode], fault: str) -> Any:
    """The network, discretised, with one small fault."""
    lif, linear = graph.nodes["1"], graph.nodes["0"]
    assert lif.kind is CubaLIF
    assert isinstance(linear, Linear)
    if fault == "one weight":
        weight = linear.weight.copy()
        weight[3, 5] *= np.float32(1.001)
        changes: dict[str, Any] = {"0": replace(linear, weight=weight)}
    elif fault == "no bias":
        changes = {"0": replace(linear, bias=None)}
    elif fault == "threshold":
        changes = {"1": lif.changed(v_th=lif["v_th"] + np.float32(1e-3))}
    elif fault == "reset":
        changes = {"1": lif.changed(v_reset=lif["v_reset"] + np.float32(0.01))}
    elif fault == "time constant":
        changes = {"1": lif.changed(tau_mem=lif["tau_mem"] * np.float32(1.0001), alpha=None)}
    elif fault == "initial state":
        changes = {"1": lif.changed(i0=np.float32(0.5))}
    else:
        changes = {}
    net: Any = discretise(Graph({**graph.nodes, **changes}, graph.edges))
    if fault == "delay":
        edges = tuple(replace(edge, delay_steps=int(edge.target == "1")) for edge in graph.edges)
        net = Graph(net.nodes, edges)
    if fault == "not strict":
        nodes = {**net.nodes, "1": _almost_strict(net.nodes["1"])}
        net = Graph(nodes, net.edges)
    return net


def _almost_strict(node: Neuron) -> Neuron:
    """Spikes when v >= v_th, on potentials that are often exactly v_th."""
    below = np.nextafter(node.parameters["v_th"], np.float32(-np.inf))
    return replace(node, parameters={**node.parameters, "v_th": below})


FAULTS = ("one weight", "no bias", "threshold", "reset", "time constant", "initial state", "delay")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_network_is_not_explained(fault: str) -> None:
    generator = np.random.default_rng(2)
    nodes = (dense(generator, 40, 60), cuba_lif((60,)), dense(generator, 60, 10), cuba_li((10,)))
    graph, inputs = chain((40,), *nodes), {"input": spikes(generator, 100, 8, 40)}
    net = discretise(graph)
    reference = interpret(net, inputs)
    assert judged(net, inputs, reference, interpret(net, inputs)).equal
    got = judged(net, inputs, reference, interpret(wrong(graph, fault), inputs))
    assert not got.equal
    assert got.first_divergence is not None


def test_a_threshold_that_is_not_strict_is_found_on_a_grid() -> None:
    """Weights of 1/2 and potentials that reach the threshold exactly."""
    weight = Linear(np.full((4, 4), 0.5, np.float32))
    graph = chain((4,), weight, cuba_lif((4,), tau_mem=np.float64(1e-3), tau_syn=np.float64(1e-3)))
    inputs = {"input": spikes(np.random.default_rng(3), 50, 4, 4, rate=0.5)}
    net = discretise(graph)
    reference, actual = interpret(net, inputs), interpret(wrong(graph, "not strict"), inputs)
    assert not compare(reference, actual, rung=1).equal
