"""What the host needs beside the `.net` file: names, shapes and units of its layers, and the layers behind the spikes.

One file of tensors with a description in JSON; the chip's numbers are in the `.net` file alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from numpy.typing import NDArray

from norse_export.errors import InputFileError
from norse_export.files import strict_json
from norse_export.files.checked import name_of, open_input
from norse_export.files.child import parse_in_child
from norse_export.files.limits import Limits
from norse_export.formats import safetensors_file
from norse_export.formats.fixed_codec import Arrays, decode_fixed, encode_fixed
from norse_export.ir.fixed import FixedInput, Population, Synapses
from norse_export.ir.graph import Edge, Graph, Shape
from norse_export.ir.layers import Layer
from norse_export.ir.stages import FixedNode

from .chain import Chain
from .told import PRICES_KEY

KEY = "norse_export_loihi"
FORMAT = 1
_FIX = "export the model again"
_PARSER = "norse_export.targets.loihi.host:parse"


@dataclass(frozen=True, slots=True)
class HostLayer:
    """A layer of the `.net` file as the user knows it. units: what a 1 of each state stands for in the model."""

    name: str
    synapses: str
    shape: Shape
    dt: float
    readout: bool
    units: Mapping[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class HostPart:
    """All that the host knows. nodes, edges: the layers behind the spikes, and what leads to them."""

    input_name: str
    input_shape: Shape
    layers: tuple[HostLayer, ...]
    nodes: Mapping[str, Layer]
    edges: tuple[Edge, ...]
    metadata: Mapping[str, str]


def host_part(graph: Graph[FixedNode], chain: Chain) -> HostPart:
    """The host's part of a graph."""
    on_chip = (FixedInput, Synapses, Population)
    nodes: dict[str, Any] = {name: node for name, node in graph.nodes.items() if not isinstance(node, on_chip)}
    layers = tuple(
        HostLayer(
            name=layer.name,
            synapses=layer.forward,
            shape=layer.population.shape,
            dt=layer.population.dt,
            readout=not layer.population.spikes,
            units={name: float(unit.flat[0]) for name, unit in layer.population.unit.items()},
        )
        for layer in chain.layers
    )
    edges = tuple(edge for edge in graph.edges if edge.target in nodes)
    told = {key: text for key, text in graph.metadata.items() if key != PRICES_KEY}  # the report has them
    return HostPart(chain.input_name, chain.input_shape, layers, nodes, edges, told)


def write_host(path: Path, part: HostPart) -> None:
    """Write the host's part; the same part, the same bytes."""
    arrays: Arrays = {}
    document = {
        "format": FORMAT,
        "input": [part.input_name, list(part.input_shape)],
        "layers": [
            [one.name, one.synapses, list(one.shape), one.dt, one.readout, dict(one.units)] for one in part.layers
        ],
        "nodes": [[name, encode_fixed(node, f"host.{n}", arrays)] for n, (name, node) in enumerate(part.nodes.items())],
        "edges": [[edge.source, edge.target, edge.port] for edge in part.edges],
        "metadata": dict(part.metadata),
    }
    with path.open("wb") as file:
        safetensors_file.write(file, arrays, {KEY: json.dumps(document, separators=(",", ":"), allow_nan=False)})


def parse(file: BinaryIO, limits: Limits) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read all that is text, in the limited child process."""
    where = name_of(file)
    header, arrays = safetensors_file.parse_header(file, limits)
    if KEY not in header["metadata"]:
        raise InputFileError("it holds tensors, but no host part of a Loihi export", where=where, fix=_FIX)
    document = strict_json.loads(header["metadata"].pop(KEY), where=where, limits=limits)
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise InputFileError(f"its format is not {FORMAT}", where=where, fix=_FIX)
    return {"header": header, "host": document}, arrays


def read_host(path: Path, limits: Limits) -> HostPart:
    """Read the host's part: texts in a limited child process, every tensor against its checksum.

    Raises:
        InputFileError, LimitError: truncated, corrupt, or its parts do not belong together.
        GraphError: a layer in it is impossible.
    """
    where = str(path)
    with open_input(path) as file:
        parsed = parse_in_child(_PARSER, file, name=where, limits=limits).document
        arrays = safetensors_file.read_tensors(file, parsed["header"])
    document = parsed["host"]
    try:
        nodes: dict[str, Any] = {name: decode_fixed(name, node, arrays, where) for name, node in document["nodes"]}
        input_name, input_shape = document["input"]
        layers = tuple(
            HostLayer(
                str(name),
                str(synapses),
                _shape(shape),
                float(dt),
                bool(readout),
                {k: float(u) for k, u in units.items()},
            )
            for name, synapses, shape, dt, readout, units in document["layers"]
        )
        edges = tuple(Edge(str(source), str(target), str(port)) for source, target, port in document["edges"])
        metadata = {str(key): str(value) for key, value in document["metadata"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        message = f"the description of the host's part is incomplete ({type(error).__name__})"
        raise InputFileError(message, where=where, fix=_FIX) from error
    return HostPart(str(input_name), _shape(input_shape), layers, nodes, edges, metadata)


def _shape(sizes: Any) -> Shape:
    found = tuple(sizes)
    if not all(type(size) is int and size > 0 for size in found):
        raise ValueError("a shape")
    return found
