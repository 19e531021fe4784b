"""Every family on Loihi: nearly the model's spikes, or a refusal; Lava's numbers are held in tests/property."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from family_chip_nets import FIRST, GE, LOIHI, STEPS, SUBTRACT, net, neuron, of_class, raster
from small_nets import cuba_li, cuba_lif, discrete_chain, spikes

from norse_export.errors import UnsupportedError
from norse_export.interpret import interpret
from norse_export.interpret.fixed import emulate
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Conv, Input, Linear, Output
from norse_export.passes.plans import QuantiseChoice
from norse_export.passes.quantise import Quantised
from norse_export.program.families import Rule, family
from norse_export.program.program import Family
from norse_export.targets.loihi.chain import chain_of
from norse_export.targets.loihi.target import LoihiTarget

TARGET = LoihiTarget(states=True)


def made_of(graph: Graph[Any], inputs: dict[str, Any] | None = None) -> Quantised:
    return TARGET.lower(graph, QuantiseChoice(), raster() if inputs is None else inputs, ranges=None)


def agreement(graph: Graph[Any], made: Quantised, name: str) -> tuple[int, int, int]:
    """The spikes of a layer in the model; the cells that differ on the chip, at the skew and a step beside it."""
    before, after = interpret(graph, raster()).spikes[name], emulate(made.graph, raster()).spikes[name]
    late = made.skew.get(name, 0)
    differing = (int(np.count_nonzero(before[: STEPS - steps] != after[steps:])) for steps in (late, late + 1))
    return int(before.sum()), *differing


@pytest.mark.parametrize("made", LOIHI, ids=lambda made: made.name)
def test_the_first_layer_is_nearly_the_model_s_in_the_steps_that_are_told(made: Family) -> None:
    graph = net(made)
    lowered = made_of(graph)
    sent, differing, beside = agreement(graph, lowered, "n0")
    assert sent > 40
    assert differing <= 0.15 * sent
    assert differing < beside / 3
    assert set(lowered.graph.metadata) >= {"law"}


def test_a_spike_at_the_threshold_is_one_of_ge_alone() -> None:
    """One input of weight 1 each step: v comes to a threshold of 3 exactly, in whole numbers."""
    given = {"input": np.ones((10, 1, 1), np.float32)}
    sent = {}
    for rule in (Rule(), GE):
        node = neuron(family("if", rule=rule), 1, v_th=3.0, v_reset=0.0)
        nodes = {"input": Input((1,)), "w": Linear(np.ones((1, 1), np.float32)), "n": node, "output": Output((1,))}
        graph = Graph(nodes, (Edge("input", "w"), Edge("w", "n"), Edge("n", "output")))
        run = emulate(made_of(graph, given).graph, given)
        sent[rule.threshold] = np.flatnonzero(run.spikes["n"]).tolist()
        assert sent[rule.threshold] == [step + 1 for step in np.flatnonzero(interpret(graph, given).spikes["n"])][:3]
    assert sent == {"gt": [4, 8], "ge": [3, 6, 9]}


def test_membrane_first_takes_no_step_of_its_own_not_even_before_a_convolution() -> None:
    dense = made_of(net(family("cuba_lif", rule=FIRST)))
    assert dense.skew == {}
    weight = np.random.default_rng(0).normal(size=(3, 1, 3, 3)).astype(np.float32)
    layer = cuba_lif((3, 6, 6), rule=FIRST, v_th=0.5)
    model = discrete_chain((1, 8, 8), Conv(weight, (8, 8)), layer)
    inputs = {"input": spikes(np.random.default_rng(1), 60, 2, 1, 8, 8, rate=0.4)}
    made = made_of(model, inputs)
    chain, _ = chain_of(made.graph)
    assert chain is not None
    assert chain.layers[0].is_conv
    assert (made.skew, chain.layers[0].delay_steps) == ({}, 0)
    expected, actual = interpret(model, inputs).spikes["1"], emulate(made.graph, inputs).spikes["1"]
    assert expected.sum() > 100
    assert np.count_nonzero(expected != actual) < 0.1 * expected.sum()


def test_layers_of_both_orders_are_late_by_those_that_take_what_arrives_first() -> None:
    layers = [Linear(np.ones((4, 6), np.float32)), cuba_lif((4,), rule=FIRST), Linear(np.ones((4, 4), np.float32))]
    model = discrete_chain(
        (6,), *layers, cuba_lif((4,)), Linear(np.ones((2, 4), np.float32)), cuba_li((2,), rule=FIRST)
    )
    assert made_of(model, {"input": spikes(np.random.default_rng(1), 60, 2, 6)}).skew == {"3": 1, "5": 1, "output": 1}


def refused(graph: Graph[Any]) -> UnsupportedError:
    with pytest.raises(UnsupportedError) as caught:
        made_of(graph)
    assert caught.value.exit_code == 3
    return caught.value


REFUSED = {
    "lsnn": "threshold that rises", "lif_refrac": "refDelay", "lif_ex": "exponential", "lif_adex": "adaptation",
    "lif_adex_refrac": "adaptation", "izhikevich": "quadratic", "leaky_subtract": "subtraction",
    "leaky_none": "no reset", "alpha_zero": "two currents",
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_netx_does_not_make_is_refused_by_name_and_with_its_reason(name: str) -> None:
    error = refused(of_class(net(family(name)), "Framework Class"))
    assert [(finding.kind, finding.where) for finding in error.findings] == [("family", "n0"), ("family", "n1")]
    for finding in error.findings:
        assert finding.message.startswith("its neurons (Framework Class) have ")
        assert REFUSED[name] in finding.message
        assert "_" not in finding.message  # as in the names of families
    assert all("norse-export run, parity" in finding.fix for finding in error.findings)


@pytest.mark.parametrize(
    ("made_of", "said"),
    [
        ("", "use LIF, LIFBox or IAF, and LI or LIBox as readouts; or export"),
        ("Norse LSNN", "use LIF, LIFBox or IAF, and LI or LIBox as readouts; or export"),
        ("snnTorch Leaky", "use Leaky or Synaptic with reset_mechanism='zero' and reset_delay=False; or export"),
        ("SpikingJelly IFNode", "use IFNode, LIFNode or ParametricLIFNode with a v_reset; or export"),
    ],
)
def test_the_remedy_names_neurons_of_the_user_s_own_framework(made_of: str, said: str) -> None:
    error = refused(of_class(net(family("leaky_subtract")), made_of))
    assert all(finding.fix.startswith(said) for finding in error.findings)


@pytest.mark.parametrize("name", ["cuba_lif", "lif", "if", "lif_share"])
def test_a_reset_by_subtraction_is_refused(name: str) -> None:
    error = refused(net(family(name, rule=SUBTRACT)))
    assert all("a reset by subtraction" in finding.message for finding in error.findings)


def test_a_loop_of_a_membrane_that_is_first_is_a_step_longer_than_netx_has() -> None:
    error = refused(net(family("cuba_lif", recurrent=True, rule=FIRST)))
    assert {(finding.kind, finding.where) for finding in error.findings} == {("delay", "r0"), ("delay", "r1")}
    assert all("a loop of 2 steps" in finding.message for finding in error.findings)


def test_a_threshold_that_is_the_reset_value_fires_in_every_step_and_is_refused() -> None:
    error = refused(net(family("lif", rule=GE), v_th=-0.125))
    assert {finding.kind for finding in error.findings} == {"threshold"}


def branches(*layers: tuple[str, Any], shape: tuple[int, ...] = (6,), neurons: int = 4) -> Graph[Any]:
    """Ways from one input to one layer, which add up."""
    nodes: dict[str, Any] = {"input": Input(shape)}
    edges = []
    for name, layer in layers:
        nodes[name] = layer
        edges += [Edge("input", name), Edge(name, "n")]
    nodes |= {"n": neuron(family("cuba_lif"), neurons), "output": Output((neurons,))}
    return Graph(nodes, (*edges, Edge("n", "output")))


def test_parallel_ways_are_one_array_whose_weights_are_added() -> None:
    one, other = (np.random.default_rng(seed).normal(size=(4, 6)).astype(np.float32) for seed in range(2))
    inputs = {"input": spikes(np.random.default_rng(1), 60, 2, 6)}
    parts = made_of(branches(("a", Linear(one)), ("b", Linear(other))), inputs)
    whole = made_of(branches(("a", Linear(one + other))), inputs)
    chain, findings = chain_of(parts.graph)
    assert chain is not None, findings
    assert chain.layers[0].forward == "a and b"
    run, expected = (emulate(made.graph, inputs) for made in (parts, whole))
    assert expected.spikes["n"].any()
    assert np.array_equal(run.spikes["n"], expected.spikes["n"])


def test_ways_of_different_delays_stay_apart_and_are_refused() -> None:
    graph = branches(("a", Linear(np.ones((4, 6), np.float32))), ("b", Linear(np.ones((4, 6), np.float32))))
    edges = [Edge("input", "b", "x", 2) if edge.target == "b" else edge for edge in graph.edges]
    made = made_of(Graph(graph.nodes, tuple(edges)), {"input": spikes(np.random.default_rng(1), 60, 2, 6)})
    assert "delay" in {finding.kind for finding in TARGET.check(made.graph) if finding.severity == "error"}


def test_kernels_that_move_alike_stay_a_kernel() -> None:
    generator = np.random.default_rng(0)
    kernels = [Conv(generator.normal(size=(3, 1, 3, 3)).astype(np.float32), (8, 8)) for _ in range(2)]
    nodes: dict[str, Any] = {"input": Input((1, 8, 8)), "a": kernels[0], "b": kernels[1], "output": Output((3, 6, 6))}
    nodes["n"] = discrete_chain((3, 6, 6), cuba_lif((3, 6, 6), v_th=0.5)).nodes["0"]
    edges = [Edge("input", "a"), Edge("input", "b"), Edge("a", "n"), Edge("b", "n"), Edge("n", "output")]
    inputs = {"input": spikes(np.random.default_rng(1), 60, 2, 1, 8, 8)}
    chain, _ = chain_of(made_of(Graph(nodes, tuple(edges)), inputs).graph)
    assert chain is not None
    assert chain.layers[0].is_conv
