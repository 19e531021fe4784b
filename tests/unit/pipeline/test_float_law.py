"""The law of a model of floats in words is that of its populations, and not one for all models."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Input, Output
from norse_export.ir.neurons import IF, LI, LIF, SNNTORCH_KINDS
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
    ],
)  # fmt: skip
def test_the_law_is_that_of_the_populations(graph: Graph[Any], law: str) -> None:
    assert float_law(graph) == f"float: {law}"
