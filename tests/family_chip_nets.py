"""Two layers of neurons of any family, for chips: weights, biases, loops, a threshold for each neuron. Not tests."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from small_nets import spikes

from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Input, Linear, Output
from norse_export.ir.stages import Neuron
from norse_export.program.families import Rule, family
from norse_export.program.program import Family

STEPS, SIZES = 120, (12, 9, 6)
GE, FIRST, ZERO, SUBTRACT = (
    Rule(threshold="ge"), Rule(order="membrane_first"), Rule(reset="zero"), Rule(reset="subtract")
)  # fmt: skip
VALUES = {
    "alpha": 0.25, "beta": 0.375, "decay_v": 0.9, "decay_i": 0.7, "tau_steps": 7.0, "share": 0.2, "v_leak": 0.0625,
    "v_reset": -0.125, "rho_reset": 3.0, "b": 0.375,
}  # fmt: skip
LOIHI = [  # what netx and the chip have
    *(family("cuba_lif", recurrent=loop, rule=rule) for rule in (GE, ZERO) for loop in (False, True)),
    family("cuba_lif", rule=FIRST),
    family("cuba_lif", rule=Rule("ge", "zero", "membrane_first")),
    *(family("lif", recurrent=loop, rule=rule) for rule in (GE, ZERO) for loop in (False, True)),
    *(family("if", rule=rule) for rule in (Rule(), GE, ZERO)),
    family("lif_quotient"),
    family("lif_quotient_whole", rule=GE),
    family("lif_share"),
    family("leaky_decayed"),
    family("synaptic_zero_now"),
    family("threshold"),
]


def neuron(made: Family, size: int, **changes: Any) -> Neuron:
    """A population; its parameters are those of VALUES but for the changes."""
    given = VALUES | {"v_th": np.linspace(0.25, 0.5, size)} | changes

    def values(names: tuple[str, ...]) -> dict[str, Any]:
        return {name: np.broadcast_to(np.float32(given.get(name, 0.0)), size) for name in names}

    parameters, state = values(made.parameters), values(made.state)
    return Neuron(family=made, shape=(size,), parameters=parameters, initial_state=state, dt=1e-3)


def of_class(graph: Graph[Any], made_of: str) -> Graph[Any]:
    """The network as if its populations were made of a class of a framework."""
    return graph.map(lambda _, node: replace(node, made_of=made_of) if isinstance(node, Neuron) else node)


def net(made: Family, *, grid: int | None = None, loop: float = 0.1, **changes: Any) -> Graph[Any]:
    """input -> n0 -> n1 -> output. grid: weights and thresholds are multiples of 1 / grid. loop: weights of loops."""
    generator = np.random.default_rng(7)

    def on_grid(values: Any) -> Any:
        return values if grid is None else np.rint(values * grid) / grid

    def drawn(*shape: int, scale: float, mean: float = 0.0) -> Any:
        return on_grid(generator.normal(size=shape) * scale + mean).astype(np.float32)

    nodes: dict[str, Any] = {"input": Input((SIZES[0],), "float32")}
    edges, before = [], "input"
    for number, (n_in, size) in enumerate(pairwise(SIZES)):
        name, way = f"n{number}", f"w{number}"
        nodes[way] = Linear(drawn(size, n_in, scale=0.6, mean=0.5 * number), drawn(size, scale=0.1))
        nodes[name] = neuron(made, size, **{"v_th": on_grid(np.linspace(0.25, 0.5, size)), **changes})
        edges += [Edge(before, way), Edge(way, name)]
        if made.ports[-1] == "r":
            nodes[f"r{number}"] = Linear(drawn(size, size, scale=loop))
            edges += [Edge(name, f"r{number}", "x", 1), Edge(f"r{number}", name, "r")]
        before = name
    nodes["output"] = Output((SIZES[-1],))
    return Graph(nodes, (*edges, Edge(before, "output")))


def raster(seed: int = 3) -> dict[str, Any]:
    """Zeros and ones for the input."""
    return {"input": spikes(np.random.default_rng(seed), STEPS, 2, SIZES[0], rate=0.25)}
