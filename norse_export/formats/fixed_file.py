"""The artefact of `sim`: one safetensors file with a fixed graph, its laws as programs, its placement and its machine.

    norse_export_fixed   JSON: format number, graph (nodes in order, edges in order, metadata), placement, machine
    tensors              the nodes' arrays; the parts of the placement, [P, 4]: population (number of its node), start,
                         stop, core

The graph's metadata are texts: provenance, law, choices of the quantisation. Units and the ranges of inputs stand in
the nodes. The same content gives the same bytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from norse_export.files import strict_json
from norse_export.files.checked import name_of
from norse_export.files.child import parse_in_child
from norse_export.files.limits import Limits
from norse_export.formats import safetensors_file
from norse_export.formats.fixed_codec import Array, Arrays, corrupt, decode_fixed, encode_fixed, tensors_of
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.placement import Part, Placement, check_placement
from norse_export.ir.stages import FixedNode

FORMAT = 1
KEY = "norse_export_fixed"
_PARTS = "placement.parts"
_WIDEST_BYTES = 8  # of a value while the graph runs
Number = int | float | str | bool


@dataclass(frozen=True, slots=True)
class FixedModel:
    """A fixed graph with what its run needs to know: where its neurons stand, and on which machine.

    machine: the configuration of the reference machine by the names of its parameters; empty: none was chosen.
    digest: of a file that was read, the SHA-256 of its header, which holds those of all its tensors.
    """

    graph: Graph[FixedNode]
    placement: Placement
    machine: Mapping[str, Number] = field(default_factory=dict)
    digest: str = ""


def write_fixed(file: BinaryIO, model: FixedModel) -> None:
    """Write an artefact; the same model, the same bytes.

    Raises:
        GraphError: the placement is not that of the graph.
        TypeError: a node that the fixed graph does not have.
    """
    graph, placement = model.graph, model.placement
    check_placement(placement, graph)
    arrays: Arrays = {_PARTS: _parts(placement, graph)}
    document = {
        "format": FORMAT,
        "graph": {
            "nodes": [
                [name, encode_fixed(node, f"graph.{number}", arrays)]
                for number, (name, node) in enumerate(graph.nodes.items())
            ],
            "edges": [[edge.source, edge.target, edge.port, edge.delay_steps] for edge in graph.edges],
            "metadata": dict(graph.metadata),
        },
        "placement": {"width": placement.width, "height": placement.height, "parts": {"tensor": _PARTS}},
        "machine": dict(model.machine),
    }
    safetensors_file.write(file, arrays, {KEY: json.dumps(document, separators=(",", ":"), allow_nan=False)})


def parse(file: BinaryIO, limits: Limits) -> tuple[dict[str, Any], Arrays]:
    """Read all that is text in an artefact, in the limited child process: header and description of the graph."""
    where = name_of(file)
    header, arrays = safetensors_file.parse_header(file, limits)
    if KEY not in header["metadata"]:
        raise corrupt("it holds tensors, but no fixed graph", where)
    document = strict_json.loads(header["metadata"].pop(KEY), where=where, limits=limits)
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        found = document.get("format") if isinstance(document, dict) else None
        raise corrupt(f"its format is {str(found)[:40]!r}, this version reads {FORMAT}", where)
    return {"header": header, "model": document}, arrays


def read_fixed(file: BinaryIO, *, name: str, limits: Limits) -> FixedModel:
    """Read an artefact: its texts in a limited child process, every tensor against its checksum.

    Raises:
        InputFileError: truncated, corrupt, of a newer format, or its parts do not belong together.
        LimitError: larger than the limits.
        GraphError: the graph, a program or the placement in it is impossible.
    """
    parsed = parse_in_child("norse_export.formats.fixed_file:parse", file, name=name, limits=limits).document
    arrays = safetensors_file.read_tensors(file, parsed["header"])
    try:
        return _decode(parsed["model"], arrays, name, limits, parsed["header"]["sha256"])
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError) as error:
        raise corrupt(f"the description of the graph is incomplete ({type(error).__name__}: {error})", name) from error


def _decode(document: Any, arrays: Mapping[str, Array], where: str, limits: Limits, digest: str) -> FixedModel:
    """The model that a description stands for: every part of it is asked for, and nothing else may be there."""
    parts = _object(document, {"format", "graph", "placement", "machine"}, "the description", where)
    graph = _graph(parts["graph"], arrays, where, limits)
    placement = _placement(parts["placement"], arrays, graph, where)
    machine = _object(parts["machine"], None, "the machine", where)
    for key, value in machine.items():
        if type(value) not in (int, float, str, bool):
            raise corrupt(f"the machine's {key[:40]!r} is neither a number nor a text", where)
    used = tensors_of([node for _, node in parts["graph"]["nodes"]]) | {_PARTS}
    if unused := set(arrays) - used:
        raise corrupt(f"tensor {min(unused)[:40]!r} belongs to nothing", where)
    return FixedModel(graph, placement, dict(machine), digest)


def _parts(placement: Placement, graph: Graph[FixedNode]) -> NDArray[np.int64]:
    numbers = {name: number for number, name in enumerate(graph.nodes)}
    rows = [(numbers[part.population], part.start, part.stop, part.core) for part in placement.parts]
    return np.array(rows, np.int64).reshape(len(rows), 4)


def _object(value: Any, keys: set[str] | None, what: str, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict) or (keys is not None and set(value) != keys):
        raise corrupt(f"{what} is no object of {', '.join(sorted(keys)) if keys else 'names'}", where)
    return value


def _list(value: Any, length: int | None, what: str, where: str) -> list[Any]:
    if not isinstance(value, list) or (length is not None and len(value) != length):
        raise corrupt(f"{what} is no list{'' if length is None else f' of {length}'}", where)
    return value


def _graph(encoded: Any, arrays: Mapping[str, Array], where: str, limits: Limits) -> Graph[FixedNode]:
    parts = _object(encoded, {"nodes", "edges", "metadata"}, "the graph", where)
    nodes: dict[str, FixedNode] = {}
    for entry in _list(parts["nodes"], None, "the nodes", where):
        name, node = _list(entry, 2, "a node", where)
        if not isinstance(name, str) or not name or name in nodes:
            raise corrupt(f"a node without a name of its own: {str(name)[:40]!r}", where)
        limits.check("max_name_bytes", len(name.encode("utf-8", "surrogatepass")), where=f"{where}: node {name[:40]!r}")
        nodes[name] = made = decode_fixed(name, node, arrays, where)
        for shape in (made.input_shape, made.output_shape):
            limits.check("max_bytes", math.prod(shape) * _WIDEST_BYTES, where=f"{where}: node {name[:40]!r}")
    edges = tuple(_edge(entry, nodes, where, limits) for entry in _list(parts["edges"], None, "the edges", where))
    limits.check("max_edges", len(edges), where=where)
    metadata = _object(parts["metadata"], None, "the metadata", where)
    if not all(isinstance(text, str) for text in metadata.values()):
        raise corrupt("metadata that are not text", where)
    return Graph(nodes, edges, dict(metadata))


def _edge(entry: Any, nodes: Mapping[str, FixedNode], where: str, limits: Limits) -> Edge:
    source, target, port, delay = _list(entry, 4, "an edge", where)
    if not all(isinstance(text, str) for text in (source, target, port)) or type(delay) is not int:
        raise corrupt(f"an edge that is none: {str(entry)[:80]}", where)
    if source in nodes:  # what was sent is kept for as long as it is under way
        kept = math.prod(nodes[source].output_shape) * max(delay, 0) * _WIDEST_BYTES
        limits.check("max_bytes", kept, where=f"{where}: edge {source[:40]!r} -> {target[:40]!r}")
    return Edge(source, target, port, delay)


def _placement(encoded: Any, arrays: Mapping[str, Array], graph: Graph[FixedNode], where: str) -> Placement:
    parts = _object(encoded, {"width", "height", "parts"}, "the placement", where)
    if type(parts["width"]) is not int or type(parts["height"]) is not int:
        raise corrupt("the placement's mesh has no size", where)
    if parts["parts"] != {"tensor": _PARTS} or _PARTS not in arrays:
        raise corrupt("the placement has no parts", where)
    table = arrays[_PARTS]
    if table.dtype != np.int64 or table.ndim != 2 or table.shape[1] != 4:
        raise corrupt("the placement's parts are no table of four columns", where)
    names = list(graph.nodes)
    if table.size and not 0 <= table[:, 0].min() <= table[:, 0].max() < len(names):
        raise corrupt("the placement names a node that is not there", where)
    rows = (Part(names[number], start, stop, core) for number, start, stop, core in table.tolist())
    placement = Placement(parts["width"], parts["height"], tuple(rows))
    check_placement(placement, graph)
    return placement
