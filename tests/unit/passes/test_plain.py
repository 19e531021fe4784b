"""Neurons in plain terms: in float64 the same spikes, whatever framework they are of; what has no such form stays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from small_nets import spikes

from norse_export.interpret import interpret
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Input, Linear, Output
from norse_export.ir.stages import Neuron
from norse_export.passes.linear import DenseWeights
from norse_export.passes.lower import lower
from norse_export.passes.lowered import Lowered
from norse_export.passes.plain import peculiarity, plain
from norse_export.passes.synapse_first import is_membrane_first
from norse_export.program.families import DYNAMICS, Rule, family
from norse_export.program.forms import form_of
from norse_export.program.program import Family

STEPS, N = 150, 9
PLAIN = {"cuba_lif", "lif_refrac", "lif", "if"}
FAMILIES = [
    *(family(name, recurrent=loop) for name in ("lif_quotient", "lif_share") for loop in (False, True)),
    *(family(name, recurrent=loop) for name in ("lif_quotient_whole", "lif_share_whole") for loop in (False, True)),
    *(family(f"leaky_{reset}", recurrent=loop) for reset in ("decayed", "zero") for loop in (False, True)),
    *(family(f"leaky_{reset}_now") for reset in ("decayed", "zero")),
    *(family(f"synaptic_zero{when}", recurrent=loop) for when in ("", "_now") for loop in (False, True)),
    family("threshold"),
    family("threshold", rule=Rule(threshold="ge")),
    *(family(name, rule=Rule(reset="zero")) for name in ("cuba_lif", "lif", "if", "lif_quotient_whole")),
    *(family("cuba_lif", recurrent=loop, rule=Rule(order="membrane_first")) for loop in (False, True)),
    family("cuba_lif", gain=True, rule=Rule(threshold="ge", reset="zero", order="membrane_first")),
]
VALUES = {
    "alpha": 0.25, "beta": 0.375, "gain": 1.5, "decay_v": 0.875, "decay_i": 0.75, "decay_e": 0.5, "scale": 2.0,
    "tau_steps": 8.0, "share": 0.125, "v_th": 0.375, "v_leak": 0.0625, "v_reset": -0.125, "v": 0.125, "i": 0.25,
}  # fmt: skip


def neuron(made: Family, **changes: float) -> Neuron:
    def values(names: tuple[str, ...]) -> dict[str, Any]:
        given = VALUES | changes
        return {name: np.full(N, given.get(name, 0.0)) for name in names}

    starts = values(made.state)
    return Neuron(family=made, shape=(N,), parameters=values(made.parameters), initial_state=starts, dt=1e-3)


def net(made: Family, **changes: float) -> Graph[Any]:
    """Input, weights and a bias, the population, and perhaps a loop; numbers on a grid, so that float64 is exact."""
    generator = np.random.default_rng(4)

    def weights(n_in: int, bias: bool = False) -> Linear:
        drawn = np.rint(generator.normal(size=(N, n_in)) * 32) / 64
        return Linear(drawn, np.rint(generator.normal(size=N) * 8) / 64 if bias else None)

    nodes: dict[str, Any] = {
        "input": Input((12,), "float64"),
        "in": weights(12, bias=True),
        "n": neuron(made, **changes),
    }
    edges = [Edge("input", "in"), Edge("in", "n"), Edge("n", "output")]
    if made.ports[-1] == "r":
        nodes["back"] = weights(N)
        edges += [Edge("n", "back", "x", 1), Edge("back", "n", "r")]
    return Graph({**nodes, "output": Output((N,))}, tuple(edges))


def graph_of(lowered: Lowered) -> Graph[Any]:
    """Populations, projections and constants as a graph again."""
    nodes: dict[str, Any] = {name: node for name, (node, _) in lowered.inputs.items()}
    nodes |= lowered.populations
    edges = []
    for p in lowered.projections:
        assert isinstance(p.weights, DenseWeights)
        bias = lowered.constants.get(p.target, {}).get(p.port)
        nodes[p.name] = Linear(p.weights.weight, bias)
        edges += [Edge(p.source, p.name, "x", p.delay_steps), Edge(p.name, p.target, p.port)]
    nodes["output"] = Output((N,))
    return Graph(nodes, (*edges, Edge("n", "output")))


def raster() -> Mapping[str, Any]:
    return {"input": spikes(np.random.default_rng(2), STEPS, 2, 12, rate=0.2)}


@pytest.mark.parametrize("made", FAMILIES, ids=lambda made: made.name)
def test_the_plain_form_sends_the_same_spikes(made: Family) -> None:
    graph = net(made)
    lowered = plain(lower(graph))
    node = lowered.populations["n"]
    form = form_of(node.family)
    assert form is not None
    assert form.dynamics in PLAIN
    assert form.rule.reset == "value"
    assert not is_membrane_first(node)
    expected, actual = (interpret(one, raster()).spikes["n"] for one in (graph, graph_of(lowered)))
    assert expected.sum() > 50
    assert np.array_equal(expected, actual)


def test_without_a_leak_snntorch_s_neuron_is_integrate_and_fire() -> None:
    graph = net(family("leaky_decayed"), decay_v=1.0)
    lowered = plain(lower(graph))
    assert lowered.populations["n"].family is family("if")
    expected, actual = (interpret(one, raster()).spikes["n"] for one in (graph, graph_of(lowered)))
    assert expected.any()
    assert np.array_equal(expected, actual)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"v_th": -0.25}, "a threshold below 0"),
        ({"v": 2.0}, "a membrane that begins above its threshold"),
        ({"decay_v": 1.0}, "no leak of the membrane"),
    ],
)
def test_a_reset_that_is_more_than_that_of_a_spike_has_no_plain_form(changes: dict[str, float], what: str) -> None:
    lowered = plain(lower(net(family("leaky_zero"), **changes)))
    assert lowered.populations["n"].family is family("leaky_zero")
    assert peculiarity(lowered.populations["n"]) == what


def test_a_network_of_plain_neurons_stays_as_it_is() -> None:
    lowered = lower(net(family("cuba_lif", recurrent=True)))
    kept = plain(lowered)
    assert kept.populations["n"] is lowered.populations["n"]
    assert kept.projections == lowered.projections


def test_every_family_without_a_plain_form_has_a_peculiarity_in_words() -> None:
    for name, dynamics in DYNAMICS.items():
        if not dynamics.matrices and dynamics.ports == ("x",) and family(name).spikes:
            node = plain(lower(net(family(name)))).populations["n"]
            form = form_of(node.family)
            assert form is not None
            assert form.dynamics in PLAIN or peculiarity(node) != "a step of their own", name


@pytest.mark.parametrize("recurrent", [False, True])
def test_without_a_leak_spikingjelly_s_neuron_is_integrate_and_fire(recurrent: bool) -> None:
    """A ParametricLIFNode whose sigmoid is 0 in float32: nothing is divided by it."""
    graph = net(family("lif_share_whole", recurrent=recurrent), share=0.0)
    lowered = plain(lower(graph))
    assert lowered.populations["n"].family is family("if", recurrent=recurrent)
    expected, actual = (interpret(one, raster()).spikes["n"] for one in (graph, graph_of(lowered)))
    assert expected.any()
    assert np.array_equal(expected, actual)


def test_a_leak_in_some_of_the_neurons_alone_has_no_plain_form() -> None:
    node = neuron(family("lif_share_whole"))
    some = np.where(np.arange(N) < 2, 0.0, 0.125)
    graph = net(family("lif_share_whole"))
    mixed = Graph({**graph.nodes, "n": replace(node, parameters={**node.parameters, "share": some})}, graph.edges)
    kept = plain(lower(mixed)).populations["n"]
    assert kept.family is family("lif_share_whole")
    assert peculiarity(kept) == "no leak in some of the neurons"
