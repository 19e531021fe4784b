"""The law of a model of floats in words is that of its populations, and not one for all models."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Input, Output
from norse_export.ir.neurons import IF, KINDS, LI, LIF, SNNTORCH_KINDS, Integrator
from norse_export.pipeline.float_law import float_law
from norse_export.program.families import Rule

ONE = np.ones(1, np.float32)
VALUES = {"shape": (1,), "dt": 1e-3, "v_th": ONE, "v_reset": 0 * ONE}
LEAKY = {**VALUES, "tau_mem": 10 * ONE * 1e-3, "v_leak": 0 * ONE}


def chain(*populations: Any, metadata: dict[str, str] | None = None) -> Graph[Any]:
    named = {f"n{number}": node for number, node in enumerate(populations)}
    nodes = {"input": Input((1,)), **named, "output": Output((1,))}
    names = list(nodes)
    return Graph(nodes, tuple(map(Edge, names, names[1:])), metadata or {})


def lif(**rule: Any) -> Any:
    return LIF(**LEAKY, rule=Rule(**rule))


INTEGRATOR = Integrator(shape=(1,), dt=1e-3)
LEAKY_SUBTRACT = SNNTORCH_KINDS["leaky_subtract"](shape=(1,), dt=1e-3, decay_v=0.9 * ONE, v_th=ONE)


@pytest.mark.parametrize(
    ("graph", "law"),
    [
        (chain(lif(), LI(shape=(1,), dt=1e-3, tau_mem=ONE, v_leak=0 * ONE)),
         "forward Euler, strict threshold, reset to a value"),
        (chain(lif(threshold="ge", reset="subtract")),
         "forward Euler, a spike at the threshold too, reset by subtraction"),
        (chain(lif(), lif(reset="zero")), "forward Euler, strict threshold, reset to a value or reset to 0"),
        (chain(LIF(**LEAKY, scheme="exponential")), "exponential steps, strict threshold, reset to a value"),
        (chain(IF(**VALUES)), "strict threshold, reset to a value"),
        (chain(LEAKY_SUBTRACT, metadata={"counted_in_steps": "snnTorch"}), "snnTorch's own steps"),
        (chain(), "no populations"),
        (chain(INTEGRATOR), "steps that leave no choice"),
        (chain(INTEGRATOR, lif()), "forward Euler, strict threshold, reset to a value"),
    ],
)  # fmt: skip
def test_the_law_is_that_of_the_populations(graph: Graph[Any], law: str) -> None:
    assert float_law(graph) == f"float: {law}"


@pytest.mark.parametrize("name", KINDS)
def test_a_population_of_any_kind_is_one(name: str) -> None:
    kind = KINDS[name]
    given = {name: np.eye(1, dtype=np.float32) if name in kind.dynamics.matrices else ONE for name in kind.levels}
    node = kind(shape=(1,), dt=1e-3, **given, **dict.fromkeys(kind.rates.values(), ONE))
    nodes: dict[str, Any] = {"input": Input((1,)), "n": node, "output": Output((1,))}
    edges = (*(Edge("input", "n", port) for port in node.ports), Edge("n", "output"))
    law = float_law(Graph(nodes, edges))
    assert law.startswith("float: ")
    assert "no populations" not in law
    counted = Graph(nodes, edges, {"counted_in_steps": "snnTorch"})
    assert float_law(counted).startswith("float: snnTorch's own steps")
