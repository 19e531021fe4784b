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
        InputFileError: truncated, corrupt, or of a newer format.
        LimitError: larger than the limits.
        GraphError: the graph in it is impossible.
    """
    parsed = parse_in_child("norse_export.formats.saved:parse", file, name=name, limits=limits).document
    arrays = safetensors_file.read_tensors(file, parsed["header"])
    try:
        return _decode(parsed["model"], arrays, name, parsed["header"]["sha256"])
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise corrupt(f"the description of the graph is incomplete ({type(error).__name__}: {error})", name) from error


def _decode(document: Any, arrays: Mapping[str, Array], where: str, digest: str) -> SavedModel:
    graph = document["graph"]
    reference = document["reference"]
    nodes = {str(name): decode_node(str(name), encoded, arrays, where) for name, encoded in graph["nodes"]}
    if len(nodes) != len(graph["nodes"]):
        raise corrupt("two nodes of one name", where)
    edges = tuple(Edge(str(a), str(b), str(port), int(delay)) for a, b, port, delay in graph["edges"])

    def rasters(encoded: Mapping[str, Any]) -> dict[str, Array]:
        return {str(name): _decode_raster(raster, arrays) for name, raster in encoded.items()}

    return SavedModel(
        graph=Graph(nodes, edges, _strings(graph["metadata"])),
        inputs=rasters(document["inputs"]),
        reference=Run(
            spikes=rasters(reference["spikes"]),
            outputs=rasters(reference["outputs"]),
            ran_by=str(reference["ran_by"]),
            final_state={str(name): rasters(variables) for name, variables in reference["final_state"].items()},
        ),
        provenance=_strings(document["provenance"]),
        digest=digest,
    )


def _strings(values: Mapping[str, Any]) -> dict[str, str]:
    return {str(key): str(value) for key, value in values.items()}


def _encode_rasters(rasters: Mapping[str, Array], key: str, arrays: Arrays) -> dict[str, Any]:
    return {
        name: _encode_raster(raster, f"{key}.{number}", arrays) for number, (name, raster) in enumerate(rasters.items())
    }


def _encode_raster(raster: Array, key: str, arrays: Arrays) -> dict[str, Any]:
    binary = raster.dtype == np.bool_ or bool(np.all((raster == 0) | (raster == 1)) and not np.signbit(raster).any())
    arrays[key] = np.packbits(raster.reshape(-1) != 0) if binary else raster
    return {"tensor": key, "shape": list(raster.shape), "dtype": raster.dtype.name, "packed": binary}


def _decode_raster(encoded: Mapping[str, Any], arrays: Mapping[str, Array]) -> Array:
    stored, shape = arrays[encoded["tensor"]], tuple(int(size) for size in encoded["shape"])
    if not encoded["packed"]:
        return stored.reshape(shape)
    cells = int(np.prod(shape, dtype=np.int64))
    if stored.dtype != np.uint8 or stored.size != -(-cells // 8) or encoded["dtype"] not in _RASTER_TYPES:
        raise ValueError("a packed raster of the wrong size")
    return np.unpackbits(stored, count=cells).reshape(shape).astype(encoded["dtype"])


_RASTER_TYPES = ("bool", "float32", "float64", "int32", "uint8")
