"""Schemes: coefficients of a population, in the saved form, and what the discrete graph has of a reset to zero."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from norse_export.errors import GraphError, InputFileError
from norse_export.formats.node_codec import decode_node, encode_node
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Input, Output
from norse_export.ir.neurons import KINDS, LIF, CubaLIF, NeuronModel
from norse_export.ir.schemes import EULER, SCHEMES
from norse_export.ir.stages import Neuron
from norse_export.ir.step_choice import choices_of, fields_of, words_of
from norse_export.ir.step_words import CHOICES
from norse_export.passes.discretise import discretise
from norse_export.program.families import FAMILIES, Rule, family

F32 = np.float32
LEVELS: dict[str, Any] = {"v_leak": F32(0), "v_th": F32(1), "v_reset": F32(0.25)}
TAUS: dict[str, Any] = {"tau_mem": F32(0.01), "tau_syn": F32(0.005)}


def cuba(**more: Any) -> NeuronModel:
    return CubaLIF(shape=(2,), dt=1e-3, **{**TAUS, **LEVELS, **more})


def test_a_scheme_gives_the_coefficients_that_are_not_given() -> None:
    tau = {name: np.float64(value) for name, value in TAUS.items()}
    euler, exponential = (cuba(scheme=scheme, w_in=F32(1)) for scheme in SCHEMES)
    for rate, name in (("alpha", "tau_mem"), ("beta", "tau_syn")):
        assert euler[rate].tolist() == [F32(1e-3 / tau[name])] * 2
        assert exponential[rate].tolist() == [F32(1 - np.exp(-1e-3 / tau[name]))] * 2
    assert exponential.gain.tolist() == pytest.approx([1 - np.exp(-1e-3 / tau["tau_syn"])] * 2, rel=1e-12)
    assert cuba(scheme="exponential").gain.tolist() == [1, 1]
    assert euler.changed(scheme="exponential", alpha=None, beta=None)["alpha"].tolist() == exponential["alpha"].tolist()


def test_a_step_longer_than_the_time_constant_diverges_under_euler_alone() -> None:
    with pytest.raises(GraphError, match="the step diverges"):
        cuba(tau_mem=F32(1e-4))
    assert cuba(tau_mem=F32(1e-4), scheme="exponential")["alpha"][0] == F32(1 - np.exp(-10))


def test_a_coefficient_of_another_scheme_is_refused_with_the_formula() -> None:
    with pytest.raises(GraphError, match=r"alpha\[0\] = 0\.1 is not 1 - exp\(-dt/tau_mem\) = 0\.0951626"):
        cuba(alpha=F32(0.1), scheme="exponential")
    with pytest.raises(GraphError, match=r"alpha\[0\] = 0\.0951626 is not dt/tau_mem = 0\.1"):
        cuba(alpha=F32(0.0951626))


@pytest.mark.parametrize("kind", KINDS)
def test_only_equations_that_are_linear_have_an_exponential_step(kind: str) -> None:
    known = {"CubaLIF", "CubaLI", "LIF", "LI", "IF", "I", "Threshold"}
    assert KINDS[kind].linear == (kind in known)
    if kind in known:
        assert ("scheme" in choices_of(KINDS[kind])) == bool(KINDS[kind].rates)


@pytest.mark.parametrize("scheme", ["exact", "", None])
def test_a_scheme_that_is_none_is_refused(scheme: Any) -> None:
    with pytest.raises(GraphError, match="its equations have no such step") as caught:
        cuba(scheme=scheme)
    assert (caught.value.where, caught.value.fix) == ("CubaLIF", f"use the scheme {EULER!r}")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_scheme_survives_the_saved_form(scheme: Any) -> None:
    arrays: dict[str, Any] = {}
    node = cuba(scheme=scheme, rule=Rule("ge", "zero", "membrane_first"))
    encoded = json.loads(json.dumps(encode_node(node, "k", arrays)))
    assert ("scheme" in encoded) == (scheme != EULER)  # files of before have none
    made = decode_node("n", encoded, arrays, "m.pt")
    assert isinstance(made, NeuronModel)
    assert (made.scheme, made.rule) == (scheme, node.rule)
    assert all(np.array_equal(made[name], node[name]) for name in node.values)


@pytest.mark.parametrize("scheme", ["exact", ["euler"], 1, None])
def test_a_scheme_that_is_none_in_a_saved_model_is_refused(scheme: Any) -> None:
    arrays: dict[str, Any] = {}
    encoded = {**encode_node(cuba(), "k", arrays), "scheme": scheme}
    with pytest.raises(InputFileError, match="scheme"):
        decode_node("n", encoded, arrays, "m.pt")


def test_words_and_fields_are_the_same_choice() -> None:
    for name, words in CHOICES.items():
        for word in words:
            node = cuba(**fields_of({name: word}))
            assert words_of(node) == {**{key: known[0] for key, known in CHOICES.items()}, name: word}


@pytest.mark.parametrize("threshold", ["gt", "ge"])
def test_a_reset_to_zero_is_one_to_a_value_in_the_discrete_graph(threshold: Any) -> None:
    rule = Rule(threshold=threshold, reset="zero")
    node = LIF(shape=(2,), dt=1e-3, tau_mem=F32(0.01), **LEVELS, rule=rule)
    nodes: Any = {"input": Input((2,)), "n": node, "output": Output((2,))}
    made = discretise(Graph(nodes, (Edge("input", "n"), Edge("n", "output")))).nodes["n"]
    assert isinstance(made, Neuron)
    assert made.family is family("lif", rule=Rule(threshold=threshold))
    assert made.parameters["v_reset"].tolist() == [0, 0]
    x, v = F32([20, 0.5]), F32([0, 0.5])
    own = family("lif", rule=rule).step(x, v, **{**made.parameters, "v_reset": F32([0.25, 0.25])})
    lowered = made.family.step(x, v, **made.parameters)
    assert own.spike.tolist() == lowered.spike.tolist() == [True, False]
    assert own.state[0].tolist() == lowered.state[0].tolist()
    assert FAMILIES["lif"].step(x, v, **{**made.parameters, "v_reset": F32([0.25, 0.25])}).state[0][0] == F32(0.25)
