"""Small discrete graphs for tests: nodes by short names, chains of them, weights on a grid."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.ir.graph import Edge, Graph, Shape
from norse_export.ir.layers import Input, Linear, Output
from norse_export.ir.neurons import CubaLI, CubaLIF, NeuronModel
from norse_export.ir.stages import ContinuousNode, DiscreteNode
from norse_export.passes.discretise import discretise

Array = NDArray[Any]
DT = 1e-3


def cuba_lif(shape: Shape, **changes: Any) -> NeuronModel:
    """Norse's LIF with its default time constants, in the named changes different."""
    values = {"tau_mem": 1e-2, "tau_syn": 5e-3, "v_leak": 0.0, "v_th": 1.0, "v_reset": 0.0, **changes}
    return CubaLIF(shape=shape, **_numbers(values))


def cuba_li(shape: Shape, **changes: Any) -> NeuronModel:
    """Norse's LI with its default time constants."""
    return CubaLI(shape=shape, **_numbers({"tau_mem": 1e-2, "tau_syn": 5e-3, "v_leak": 0.0, **changes}))


def _numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    plain = {"dt", "dtype", "recurrent"}
    return {"dt": DT} | {
        name: np.float32(value) if type(value) is float and name not in plain else value
        for name, value in values.items()
    }


def graph(nodes: Mapping[str, ContinuousNode], edges: Sequence[tuple[Any, ...]]) -> Graph[ContinuousNode]:
    """A continuous graph; an edge is (source, target), (source, target, port) or (source, target, port, delay)."""
    return Graph(nodes, tuple(Edge(*edge) for edge in edges))


def chain(shape: Shape, *nodes: ContinuousNode, dtype: Any = "float32") -> Graph[ContinuousNode]:
    """input -> nodes, named 0, 1, ... -> output."""
    named: dict[str, ContinuousNode] = {"input": Input(shape, dtype)}
    named |= {str(number): node for number, node in enumerate(nodes)}
    named["output"] = Output(nodes[-1].output_shape)
    names = list(named)
    return graph(named, list(itertools.pairwise(names)))


def discrete_chain(shape: Shape, *nodes: ContinuousNode, dtype: Any = "float32") -> Graph[DiscreteNode]:
    """The same, discretised."""
    return discretise(chain(shape, *nodes, dtype=dtype))


def dense(generator: np.random.Generator, n_in: int, n_out: int, *, scale: float = 1.0) -> Linear:
    """A Linear with normal weights and bias."""
    weight = scale * generator.normal(size=(n_out, n_in))
    return Linear(weight.astype(np.float32), (0.1 * generator.normal(size=n_out)).astype(np.float32))


def grid_dense(generator: np.random.Generator, n_in: int, n_out: int) -> Linear:
    """A Linear with weights k/16, k in -16..16: sums of spikes are exact in every order."""
    return Linear((generator.integers(-16, 17, size=(n_out, n_in)) / 16).astype(np.float32))


def spikes(generator: np.random.Generator, *shape: int, rate: float = 0.3) -> Array:
    """A raster of independent spikes."""
    return (generator.random(shape) < rate).astype(np.float32)
