"""Fixed graphs for tests: one with every kind of node, and layers of any size."""

from __future__ import annotations

import io
import json
import math
from itertools import pairwise
from typing import Any

import numpy as np

from norse_export.formats import fixed_file, safetensors_file
from norse_export.formats.fixed_file import FixedModel
from norse_export.ir.fixed import (
    ConvSynapses,
    Delivery,
    DenseSynapses,
    FixedInput,
    Population,
    SparseSynapses,
)
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Linear, Output
from norse_export.ir.placement import Part, Placement
from norse_export.ir.stages import FixedNode
from norse_export.program.laws import Law, integer_family
from norse_export.program.operations import STOCHASTIC

LAW = Law(rounding=STOCHASTIC, refractory_steps=2)


def population(family: str, shape: tuple[int, ...], law: Law = LAW, **changes: Any) -> Population:
    """A population that leaks slowly and fires now and then."""
    program = integer_family(family, law, 4).trace()
    values = {"v_keep": 3900, "i_keep": 3000, "i_bias": 1, "v_bias": 2, "v_th": 300, "v_reset": -7}
    made: dict[str, Any] = {
        "program": program,
        "shape": shape,
        "parameters": {name: np.int64(values[name]) for name in program.parameters},
        "initial_state": {name: np.zeros(shape, np.int64) for name in program.variables},
        "dt": 0.001,
    }
    return Population(**{**made, **changes})


def sparse(
    sources: tuple[int, ...], targets: tuple[int, ...], fan_out: int, seed: int = 0, low: int = -20
) -> SparseSynapses:
    """Random synapses, `fan_out` of each source."""
    random = np.random.default_rng(seed)
    n_in, n_out = int(np.prod(sources)), int(np.prod(targets))
    ends = np.sort(random.integers(0, n_out, (n_in, fan_out), dtype=np.int32), axis=1).reshape(-1)
    weight = random.integers(low, 60, ends.size).astype(np.int8)
    return SparseSynapses(np.arange(n_in + 1) * fan_out, ends, weight, sources, targets)


def every_node() -> Graph[FixedNode]:
    """Every kind of node, every field off its default, a loop, delays, a part on the host."""
    random = np.random.default_rng(1)
    v_th = random.integers(100, 500, (4, 4, 4))
    first = population("lif", (4, 4, 4), seed=2**63 + 5, key=3)
    first = population(
        "lif", (4, 4, 4), seed=2**63 + 5, key=3, parameters={**first.parameters, "v_th": v_th},
        unit={"v": np.float64(0.125), "spike": np.linspace(1, 2, 64).reshape(4, 4, 4)},
    )  # fmt: skip
    nodes: dict[str, FixedNode] = {
        "input": FixedInput((2, 8, 8), low=-1, high=3),
        "conv": ConvSynapses(
            random.integers(-99, 99, (4, 1, 3, 2)).astype(np.int8), (2, 8, 8), (4, 4, 4), (2, 2), (1, 1), (1, 2), 2,
            Delivery(wrap_bits=24, shift=-1),
        ),
        "1": first,
        "dense": DenseSynapses(random.integers(0, 9000, (10, 64)).astype(np.int16), (4, 4, 4), (10,)),
        "2": population("cuba_lif", (10,), saturated={"x": 30000}),
        "loop": sparse((10,), (10,), 4, low=0),
        "late": DenseSynapses(random.integers(0, 99, (10, 10)).astype(np.int32), (10,), (10,), Delivery(shift=2)),
        "3": population("cuba_li", (10,)),
        "readout": DenseSynapses(random.integers(-9, 9, (10, 10)).astype(np.int8), (10,), (10,)),
        "host": Linear(random.normal(size=(3, 10)), random.normal(size=3)),
        "output": Output((3,)),
    }  # fmt: skip
    edges = (
        Edge("input", "conv", "x", 1), Edge("conv", "1"), Edge("1", "dense"), Edge("dense", "2"),
        Edge("2", "loop", "x", 1), Edge("loop", "2"), Edge("2", "late", "x", 5), Edge("late", "3"),
        Edge("2", "readout"), Edge("readout", "3"), Edge("3", "host"), Edge("host", "output"),
    )  # fmt: skip
    return Graph(nodes, edges, {"law": "sim", "note": "ünïcode \U0001f9e0", "empty": ""})


def layers(*sizes: int, recurrent: bool = False, fan_out: int = 0, seed: int = 0) -> Graph[FixedNode]:
    """Layers one behind the other, dense or with `fan_out` synapses a neuron."""
    random = np.random.default_rng(seed)
    nodes: dict[str, FixedNode] = {"input": FixedInput((sizes[0],))}
    edges, before = [], "input"

    def synapses(sources: int, targets: int) -> FixedNode:
        if fan_out:
            return sparse((sources,), (targets,), fan_out, seed)
        return DenseSynapses(random.integers(-20, 60, (targets, sources)).astype(np.int8), (sources,), (targets,))

    for number, (taken, size) in enumerate(pairwise(sizes)):
        nodes[f"s{number}"], nodes[f"p{number}"] = synapses(taken, size), population("lif", (size,), Law())
        edges += [Edge(before, f"s{number}"), Edge(f"s{number}", f"p{number}")]
        if recurrent:
            nodes[f"r{number}"] = synapses(size, size)
            edges += [Edge(f"p{number}", f"r{number}", "x", 1), Edge(f"r{number}", f"p{number}")]
        before = f"p{number}"
    nodes["output"] = Output((sizes[-1],))
    return Graph(nodes, (*edges, Edge(before, "output")))


def taken_apart(model: FixedModel) -> tuple[dict[str, Any], dict[str, Any]]:
    """Description and arrays as they go to the container."""
    kept: dict[str, Any] = {}

    def keep(file: Any, arrays: Any, metadata: Any) -> None:
        kept.update(arrays=arrays, document=json.loads(metadata[fixed_file.KEY]))

    original, safetensors_file.write = safetensors_file.write, keep  # type: ignore[assignment]
    try:
        fixed_file.write_fixed(io.BytesIO(), model)
    finally:
        safetensors_file.write = original
    return kept["document"], kept["arrays"]


def put_together(document: Any, arrays: Any) -> bytes:
    """A file of any description and any arrays, with right checksums."""
    buffer = io.BytesIO()
    safetensors_file.write(buffer, arrays, {fixed_file.KEY: json.dumps(document)})
    return buffer.getvalue()


def placed(graph: Graph[FixedNode]) -> FixedModel:
    """Each population on a core of its own, cut in two where it can be."""
    parts = []
    for name, node in graph.nodes.items():
        if isinstance(node, Population):
            size, core = math.prod(node.shape), len(parts)
            half = size // 2
            parts += [Part(name, 0, half, core)] if half else []
            parts += [Part(name, half, size, core + 1)]
    machine = {"width": len(parts) + 1, "clock_hz": 1e8, "name": "m"}
    return FixedModel(graph, Placement(len(parts) + 1, 2, tuple(parts)), machine)
