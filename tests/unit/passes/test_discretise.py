"""Discretising: one forward Euler step for each differential equation, with the framework's own coefficients."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from small_nets import DT, chain, cuba_li, cuba_lif, dense, graph

from norse_export.interpret import interpret
from norse_export.ir.graph import Graph
from norse_export.ir.layers import Conv, Flatten, Input, Output, Pool, Scale, Sum
from norse_export.ir.neurons import IF, LI, LIF, NeuronModel
from norse_export.ir.stages import Neuron
from norse_export.passes.discretise import discretise

F = np.float32
FIRE = {"v_th": F(1), "v_reset": F(-0.5)}
LEAK = {"tau_mem": np.float64(4e-3), "v_leak": F(0.25)}


def lif(**changes: Any) -> NeuronModel:
    return LIF(**{"shape": (3,), "dt": DT, **LEAK, **FIRE, **changes})


def li(**changes: Any) -> NeuronModel:
    return LI(**{"shape": (3,), "dt": DT, **LEAK, **changes})


def integrate(**changes: Any) -> NeuronModel:
    return IF(**{"shape": (3,), "dt": DT, **FIRE, **changes})


def only(node: Any) -> Neuron:
    found = discretise(chain((3,), node)).nodes["0"]
    assert isinstance(found, Neuron)
    return found


@pytest.mark.parametrize(
    ("node", "family", "parameters", "state"),
    [
        (cuba_lif((3,)), "cuba_lif", ["alpha", "beta", "v_leak", "v_th", "v_reset"], ["v", "i"]),
        (cuba_lif((3,), r=2.0), "cuba_lif_gain", ["gain", "alpha", "beta", "v_leak", "v_th", "v_reset"], ["v", "i"]),
        (cuba_li((3,)), "cuba_li", ["alpha", "beta", "v_leak"], ["v", "i"]),
        (cuba_li((3,), w_in=1.0), "cuba_li_gain", ["gain", "alpha", "beta", "v_leak"], ["v", "i"]),
        (lif(), "lif", ["alpha", "v_leak", "v_th", "v_reset"], ["v"]),
        (lif(r=F(2)), "lif_gain", ["gain", "alpha", "v_leak", "v_th", "v_reset"], ["v"]),
        (li(), "li", ["alpha", "v_leak"], ["v"]),
        (li(r=F(2)), "li_gain", ["gain", "alpha", "v_leak"], ["v"]),
        (integrate(), "if", ["v_th", "v_reset"], ["v"]),
        (integrate(r=np.float64(1 / DT)), "if", ["v_th", "v_reset"], ["v"]),
        (integrate(r=F(1)), "if_gain", ["gain", "v_th", "v_reset"], ["v"]),
    ],
)
def test_each_population_becomes_the_program_of_its_family(node: Any, family: str, parameters: Any, state: Any) -> None:
    neuron = only(node)
    assert neuron.family.name == family
    assert list(neuron.parameters) == parameters
    assert list(neuron.initial_state) == state
    assert neuron.shape == (3,)
    assert neuron.dt == node.dt
    assert neuron.ports == node.ports
    for name, values in {**neuron.parameters, **neuron.initial_state}.items():
        assert values.dtype == np.float32, name
    for name in set(parameters) - {"gain"}:
        np.testing.assert_array_equal(neuron.parameters[name], node[name])


def test_a_recurrent_population_keeps_its_two_ports() -> None:
    nodes = {"input": Input((3,)), "lif": cuba_lif((3,), recurrent=True), "output": Output((3,))}
    edges = [("input", "lif"), ("input", "lif", "r", 1), ("lif", "output")]
    neuron = discretise(graph(nodes, edges)).nodes["lif"]
    assert isinstance(neuron, Neuron)
    assert neuron.family.name == "cuba_lif_recurrent"
    assert neuron.ports == ("x", "r")


def test_the_coefficient_is_the_frameworks_own_for_any_value() -> None:
    """100,000 random coefficients, given by tau = dt / coefficient alone, come back bit for bit."""
    alpha = np.random.default_rng(0).uniform(1e-6, 1.999, 100_000).astype(F)
    beta = np.random.default_rng(1).uniform(1e-6, 1.999, 100_000).astype(F)
    for dt in (1e-3, 1e-4, 0.7e-3):
        node = cuba_lif(alpha.shape, dt=dt, tau_mem=dt / alpha.astype(np.float64), tau_syn=dt / beta.astype(np.float64))
        neuron = discretise(chain(alpha.shape, node)).nodes["0"]
        assert isinstance(neuron, Neuron)
        assert neuron.parameters["alpha"].tobytes() == alpha.tobytes()
        assert neuron.parameters["beta"].tobytes() == beta.tobytes()


def test_a_float64_model_stays_one() -> None:
    alpha = np.nextafter(0.1, 1)
    node = cuba_lif((3,), dtype="float64", tau_mem=np.float64(DT / alpha), alpha=np.float64(alpha))
    neuron = only(node)
    assert neuron.parameters["alpha"].dtype == neuron.initial_state["v"].dtype == np.float64
    assert (neuron.parameters["alpha"] == alpha).all()


def test_initial_states_go_with_the_population() -> None:
    neuron = only(cuba_lif((3,), v0=np.array([1, 2, 3], F), i0=0.5))
    assert neuron.initial_state["v"].tolist() == [1, 2, 3]
    assert neuron.initial_state["i"].tolist() == [0.5, 0.5, 0.5]


def test_layers_edges_and_metadata_stay_as_they_are() -> None:
    nodes: dict[str, Any] = {
        "input": Input((2, 4, 4)),
        "conv": Conv(np.ones((2, 2, 1, 1), F), (4, 4)),
        "sum": Sum((2, 4, 4)),
        "pool": Pool("max", (2, 4, 4), (2, 2), (2, 2)),
        "flatten": Flatten((2, 2, 2)),
        "scale": Scale(np.ones(8, F)),
        "linear": dense(np.random.default_rng(0), 8, 3),
        "output": Output((3,)),
    }
    names = list(nodes)
    edges = [*itertools.pairwise(names), ("input", "sum", "x", 2)]
    built = graph(nodes, edges)
    built = Graph(built.nodes, built.edges, {"key": "value"})
    got = discretise(built)
    assert all(got.nodes[name] is node for name, node in nodes.items())
    assert list(got.nodes) == names
    assert got.edges == built.edges
    assert got.metadata == {"key": "value"}


def test_a_constant_stays_one_number_in_memory() -> None:
    shape = (10**5, 10**5)
    column = np.linspace(0.5, 1, 10**5, dtype=F)[:, None]
    neuron = discretise(chain(shape, cuba_lif(shape, v_th=column, r=2.0))).nodes["0"]
    assert isinstance(neuron, Neuron)
    for name, values in {**neuron.parameters, **neuron.initial_state}.items():
        assert values.shape == shape
        assert values.strides == ((4, 0) if name == "v_th" else (0, 0))


def euler(node: Any, x: list[float]) -> list[float]:
    """NIR's equations by forward Euler, synapse first: v before the reset, in float64."""
    dt, v, i, found = node.dt, float(node["v0"][0]), 0.0, []
    for value in x:
        drive = value
        if node.get("tau_syn") is not None:
            i += dt / float(node["tau_syn"][0]) * (float(node["w_in"][0]) * value)
            drive = i
        drive *= float(node["r"][0])
        if node.get("tau_mem") is not None:
            v += dt / float(node["tau_mem"][0]) * (float(node["v_leak"][0]) - v + drive)
        else:
            v += dt * drive
        if node.get("tau_syn") is not None:
            i -= dt / float(node["tau_syn"][0]) * i
        found.append(v)
        if node.get("v_th") is not None and v > float(node["v_th"][0]):
            v = float(node["v_reset"][0])
    return found


@pytest.mark.parametrize(
    "node",
    [
        cuba_lif((1,), w_in=3.0, r=0.7, dtype="float64", v_reset=-0.5),
        cuba_li((1,), w_in=3.0, r=0.7, dtype="float64", v_leak=0.25),
        lif(shape=(1,), r=np.float64(3), dtype="float64"),
        li(shape=(1,), r=np.float64(-3), dtype="float64"),
        integrate(shape=(1,), r=np.float64(700), dtype="float64"),
    ],
)
def test_gains_of_other_frameworks_follow_nirs_equations(node: Any) -> None:
    """With w_in and r other than Norse's the step is still the Euler step of the physics."""
    x = np.random.default_rng(5).uniform(-0.5, 2, 60)
    run = interpret(discretise(chain((1,), node, dtype="float64")), {"input": x.reshape(60, 1, 1)}, states=True)
    after, before = run.observables["0"]["v"].ravel(), np.array(euler(node, x.tolist()))
    fired = run.spikes["0"].ravel() if "0" in run.spikes else np.zeros(60, bool)
    np.testing.assert_allclose(after[~fired], before[~fired], rtol=0, atol=1e-12)
    if "0" in run.spikes:
        assert 2 < fired.sum() < 40
        np.testing.assert_array_equal(fired, before > 1)
