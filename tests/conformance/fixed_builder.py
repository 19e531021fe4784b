"""Small fixed nets, made by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.ir.fixed import Delivery, DenseSynapses, FixedInput, Population
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.stages import FixedNode
from norse_export.program.laws import Law, integer_family
from norse_export.program.program import Family

Array = NDArray[Any]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """A net and what is sent into it."""

    graph: Graph[FixedNode]
    inputs: Mapping[str, Array]


@dataclass
class Net:
    """Nodes and edges so far; what is added gives its name."""

    nodes: dict[str, Any] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)

    def input(self, shape: Shape, low: int = 0, high: int = 1, name: str = "input") -> str:
        self.nodes[name] = FixedInput(shape, low, high)
        return name

    def dense(self, source: str, rows: Any, target: str, port: str = "x", delay: int = 0, **delivery: Any) -> str:
        weight = np.asarray(rows)
        weight = weight.astype(np.min_scalar_type(min(int(weight.min()), -int(weight.max()) - 1)))
        taken, shape = self.nodes[source].output_shape, self.nodes[target].shape
        return self.project(source, DenseSynapses(weight, taken, shape, Delivery(**delivery)), target, port, delay)

    def project(self, source: str, node: Any, target: str, port: str = "x", delay: int = 0) -> str:
        name = f"{source}>{target}.{port}.{len(self.edges)}"
        self.nodes[name] = node
        self.edges += [Edge(source, name, "x", delay), Edge(name, target, port)]
        return name

    def add(self, name: str, node: Any, *sources: str) -> str:
        self.nodes[name] = node
        self.edges += [Edge(source, name) for source in sources]
        return name

    def case(self, **rasters: Array) -> Case:
        return Case(Graph(self.nodes, tuple(self.edges)), rasters)


def of_law(name: str, shape: Shape, shift: int = 0, law: Law | None = None, **values: Any) -> Population:
    """A population of the generic law that keeps everything, has no bias, rests and starts at 0, unless told."""
    law = law or Law()
    family = integer_family(name, law, shift)
    keep = 1 << law.decay_bits
    defaults = {"v_keep": keep, "i_keep": 0, "i_bias": 0, "v_bias": 0, "v_th": law.state_max, "v_reset": 0}
    return of_family(family, shape, **{key: values.pop(key, defaults[key]) for key in family.parameters}, **values)


def of_family(
    family: Family,
    shape: Shape,
    *,
    saturated: Mapping[str, int] | None = None,
    key: int = 0,
    unit: Any = None,
    **values: Any,
) -> Population:
    def spread(name: str) -> Array:
        return np.broadcast_to(np.asarray(values.get(name, 0), np.int64), shape)

    return Population(
        program=family.trace(),
        shape=shape,
        parameters={name: spread(name) for name in family.parameters},
        initial_state={name: spread(f"{name}0") for name in family.state},
        dt=0.001,
        saturated=saturated or {},
        seed=2**63 + 12345,
        key=key,
        unit={} if unit is None else {"v": unit},
    )


def ones(steps: int, *shape: int, samples: int = 1) -> Array:
    return np.ones((steps, samples, *shape), np.int64)


def drawn(
    seed: int, steps: int, *shape: int, samples: int = 2, low: int = 0, high: int = 1, rate: float = 0.5
) -> Array:
    rng = np.random.default_rng(seed)
    values = rng.integers(low, high, (steps, samples, *shape), endpoint=True)
    return np.where(rng.random(values.shape) < rate, values, 0) if (low, high) != (0, 1) else values


def column(*weights: int) -> list[list[int]]:
    return [[weight] for weight in weights]
