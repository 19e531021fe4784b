"""Our model file: data only. A safetensors file whose metadata hold the graph, and beside it the proof's rung 0.

    norse_export   JSON: format number, graph (nodes in order, edges in order, metadata), provenance, time
    tensors        the nodes' arrays; the example input; on it the model's own spikes, outputs, final states

Rasters of zeros and ones are packed, eight cells a byte. The same content gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from norse_export.files.limits import Limits
from norse_export.formats.graph_file import Array, Arrays, Form
from norse_export.formats.node_codec import corrupt, decode_node, encode_node
from norse_export.formats.saved_checks import RASTER_TYPES, check_agreement, raster
from norse_export.ir.graph import Graph
from norse_export.ir.run import Run
from norse_export.ir.stages import ContinuousNode

FORMAT = 1
FORM: Form[ContinuousNode] = Form(
    key="norse_export",
    number=FORMAT,
    graph="graph",
    parser="norse_export.formats.saved:parse",
    fix="get the file again from its source, or save the model again with norse_export.save",
    encode=encode_node,
    decode=decode_node,
)


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
    document = {
        "graph": FORM.encode_graph(model.graph, arrays),
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
    FORM.write(file, document, arrays)


def parse(file: BinaryIO, limits: Limits) -> tuple[dict[str, Any], Arrays]:
    """Read all that is text in a model file, in the limited child process: header and description of the graph."""
    return FORM.parse(file, limits)


def read_saved(file: BinaryIO, *, name: str, limits: Limits) -> SavedModel:
    """Read a model file: its texts in a limited child process, every tensor against its checksum.

    Raises:
        InputFileError: truncated, corrupt, of a newer format, or its parts do not belong together.
        LimitError: larger than the limits.
        GraphError: the graph in it is impossible.
    """
    document, arrays, digest = FORM.read(file, name, limits)
    with FORM.decoding(name):
        return _decode(document, arrays, name, limits, digest)


def _decode(document: Any, arrays: Mapping[str, Array], where: str, limits: Limits, digest: str) -> SavedModel:
    """The model that a description stands for: every part of it is asked for, and nothing else may be there."""
    mapping = FORM.mapping
    parts = mapping(document, {"format", "graph", "inputs", "reference", "provenance"}, "the description", where)
    stored = mapping(parts["reference"], {"ran_by", "spikes", "outputs", "final_state"}, "the reference", where)
    used: set[str] = set()

    def rasters(encoded: Any, what: str) -> dict[str, Array]:
        found = {}
        for name, one in mapping(encoded, None, what, where).items():
            said = f"{what}: {name[:40]!r}"
            fields = mapping(one, {"tensor", "shape", "dtype", "packed"}, said, where)
            found[name] = raster(fields, arrays, said, where, limits)
            used.add(fields["tensor"])
        return found

    graph = FORM.decode_graph(parts["graph"], arrays, where, limits)
    used |= FORM.tensors(parts["graph"])
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
        provenance=FORM.texts(parts["provenance"], "the provenance", where),
        digest=digest,
    )
    check_agreement(graph, saved.inputs, saved.reference, where)
    FORM.check_used(used, arrays, where)
    return saved


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
