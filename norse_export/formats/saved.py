"""Our model file: data only. A safetensors file whose metadata hold the graph, and beside it the proof's rung 0.

    norse_export   JSON: format number, graph (nodes in order, edges in order, metadata), provenance, time
    tensors        the nodes' arrays; the example input; on it the model's own spikes, outputs, final states

Rasters of zeros and ones are packed, eight cells a byte. The same content gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from norse_export.files import strict_json
from norse_export.files.checked import name_of
from norse_export.files.child import parse_in_child
from norse_export.files.limits import Limits
from norse_export.formats import safetensors_file
from norse_export.formats.node_codec import corrupt, decode_node, encode_node
from norse_export.formats.saved_checks import RASTER_TYPES, check_agreement, check_sizes, mapping, raster, texts
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.run import Run
from norse_export.ir.stages import ContinuousNode

FORMAT = 1
_KEY = "norse_export"
Array = NDArray[Any]
Arrays = dict[str, Array]


@dataclass(frozen=True, slots=True)
class SavedModel:
    """A traced model as it stands in a file: its graph, and the example input with what the model gave on it.

    digest: of a file that was read, the SHA-256 of its header, which holds those of all its tensors.
    """

    graph: Graph[ContinuousNode]
    inputs: Mapping[str, Array]
    reference: Run
    provenance: Mapping[str, str]
    digest: str = ""


def write_saved(file: BinaryIO, model: SavedModel) -> None:
    """Write a model file; the same model, the same bytes."""
    arrays: Arrays = {}
    graph = model.graph
    document = {
        "format": FORMAT,
        "graph": {
            "nodes": [
                [name, encode_node(node, f"graph.{number}", arrays)]
                for number, (name, node) in enumerate(graph.nodes.items())
            ],
            "edges": [[edge.source, edge.target, edge.port, edge.delay_steps] for edge in graph.edges],
            "metadata": dict(graph.metadata),
        },
        "inputs": _encode_rasters(model.inputs, "inputs", arrays),
        "reference": {
            "ran_by": model.reference.ran_by,
            "spikes": _encode_rasters(model.reference.spikes, "spikes", arrays),
            "outputs": _encode_rasters(model.reference.outputs, "outputs", arrays),
            "final_state": {
                name: _encode_rasters(variables, f"state.{number}", arrays)
                for number, (name, variables) in enumerate(model.reference.final_state.items())
            },
        },
        "provenance": dict(model.provenance),
    }
    safetensors_file.write(file, arrays, {_KEY: json.dumps(document, separators=(",", ":"), allow_nan=False)})


def parse(file: BinaryIO, limits: Limits) -> tuple[dict[str, Any], Arrays]:
    """Read all that is text in a model file, in the limited child process: header and description of the graph."""
    where = name_of(file)
    header, arrays = safetensors_file.parse_header(file, limits)
    if _KEY not in header["metadata"]:
        raise corrupt("it holds tensors, but no graph", where)
    document = strict_json.loads(header["metadata"].pop(_KEY), where=where, limits=limits)
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        found = document.get("format") if isinstance(document, dict) else None
        raise corrupt(f"its format is {str(found)[:40]!r}, this version reads {FORMAT}", where)
    return {"header": header, "model": document}, arrays


def read_saved(file: BinaryIO, *, name: str, limits: Limits) -> SavedModel:
    """Read a model file: its texts in a limited child process, every tensor against its checksum.

    Raises:
        InputFileError: truncated, corrupt, of a newer format, or its parts do not belong together.
        LimitError: larger than the limits.
        GraphError: the graph in it is impossible.
    """
    parsed = parse_in_child("norse_export.formats.saved:parse", file, name=name, limits=limits).document
    arrays = safetensors_file.read_tensors(file, parsed["header"])
    try:
        return _decode(parsed["model"], arrays, name, limits, parsed["header"]["sha256"])
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError) as error:
        raise corrupt(f"the description of the graph is incomplete ({type(error).__name__}: {error})", name) from error


def _decode(document: Any, arrays: Mapping[str, Array], where: str, limits: Limits, digest: str) -> SavedModel:
    """The model that a description stands for: every part of it is asked for, and nothing else may be there."""
    parts = mapping(document, {"format", "graph", "inputs", "reference", "provenance"}, "the description", where)
    stored = mapping(parts["reference"], {"ran_by", "spikes", "outputs", "final_state"}, "the reference", where)
    used: set[str] = set()

    def rasters(encoded: Any, what: str) -> dict[str, Array]:
        found = {}
        for name, one in mapping(encoded, None, what, where).items():
            key, found[name] = raster(one, arrays, f"{what}: {name[:40]!r}", where, limits)
            used.add(key)
        return found

    graph = _graph(parts["graph"], arrays, used, where)
    check_sizes(graph, where, limits)
    ran_by = stored["ran_by"]
    if not isinstance(ran_by, str):
        raise corrupt("the reference does not say what ran", where)
    states = mapping(stored["final_state"], None, "the final states", where)
    saved = SavedModel(
        graph=graph,
        inputs=rasters(parts["inputs"], "the inputs"),
        reference=Run(
            spikes=rasters(stored["spikes"], "the spikes"),
            outputs=rasters(stored["outputs"], "the outputs"),
            ran_by=ran_by,
            final_state={name: rasters(variables, f"the state of {name[:40]!r}") for name, variables in states.items()},
        ),
        provenance=texts(parts["provenance"], "the provenance", where),
        digest=digest,
    )
    check_agreement(graph, saved.inputs, saved.reference, where)
    if unused := set(arrays) - used:
        raise corrupt(f"tensor {min(unused)[:40]!r} belongs to nothing", where)
    return saved


def _graph(encoded: Any, arrays: Mapping[str, Array], used: set[str], where: str) -> Graph[ContinuousNode]:
    parts = mapping(encoded, {"nodes", "edges", "metadata"}, "the graph", where)
    nodes: dict[str, ContinuousNode] = {}
    for name, node in parts["nodes"]:
        if not isinstance(name, str) or not name or name in nodes:
            raise corrupt(f"a node without a name of its own: {str(name)[:40]!r}", where)
        nodes[name] = decode_node(name, node, arrays, where)
        used.update(value["tensor"] for value in node.values() if isinstance(value, dict))
    for edge in parts["edges"]:
        source, target, port, delay = edge
        if not all(isinstance(text, str) for text in (source, target, port)) or type(delay) is not int:
            raise corrupt(f"an edge that is none: {str(edge)[:80]}", where)
    return Graph(nodes, tuple(Edge(*edge) for edge in parts["edges"]), texts(parts["metadata"], "the metadata", where))


def _encode_rasters(rasters: Mapping[str, Array], key: str, arrays: Arrays) -> dict[str, Any]:
    return {
        name: _encode_raster(raster, f"{key}.{number}", arrays) for number, (name, raster) in enumerate(rasters.items())
    }


def _encode_raster(raster: Array, key: str, arrays: Arrays) -> dict[str, Any]:
    """A raster of zeros and ones is packed; -0.0 is not 0 here, since the bits must come back."""
    if raster.dtype.name not in RASTER_TYPES:
        raise TypeError(f"{key} has dtype {raster.dtype}, which a model file does not hold")
    binary = raster.dtype == np.bool_ or bool(np.all((raster == 0) | (raster == 1)) and not np.signbit(raster).any())
    arrays[key] = np.packbits(raster.reshape(-1) != 0) if binary else raster
    return {"tensor": key, "shape": list(raster.shape), "dtype": raster.dtype.name, "packed": binary}
