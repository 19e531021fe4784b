"""The artefact of `sim`: one safetensors file with a fixed graph, its laws as programs, its placement and its machine.

    norse_export_fixed   JSON: format number, graph (nodes in order, edges in order, metadata), placement, machine
    tensors              the nodes' arrays; the parts of the placement, [P, 4]: population (number of its node), start,
                         stop, core

The graph's metadata are texts: provenance, law, choices of the quantisation. Units and the ranges of inputs stand in
the nodes. The same content gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from norse_export.files.limits import Limits
from norse_export.formats.fixed_codec import FIX, Array, Arrays, corrupt, decode_fixed, encode_fixed
from norse_export.formats.graph_file import Form
from norse_export.ir.graph import Graph
from norse_export.ir.placement import Part, Placement, check_placement
from norse_export.ir.stages import FixedNode

FORMAT = 1
KEY = "norse_export_fixed"
FORM: Form[FixedNode] = Form(
    key=KEY,
    number=FORMAT,
    graph="fixed graph",
    parser="norse_export.formats.fixed_file:parse",
    fix=FIX,
    encode=encode_fixed,
    decode=decode_fixed,
)
_PARTS = "placement.parts"
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
        "graph": FORM.encode_graph(graph, arrays),
        "placement": {"width": placement.width, "height": placement.height, "parts": {"tensor": _PARTS}},
        "machine": dict(model.machine),
    }
    FORM.write(file, document, arrays)


def parse(file: BinaryIO, limits: Limits) -> tuple[dict[str, Any], Arrays]:
    """Read all that is text in an artefact, in the limited child process: header and description of the graph."""
    return FORM.parse(file, limits)


def read_fixed(file: BinaryIO, *, name: str, limits: Limits) -> FixedModel:
    """Read an artefact: its texts in a limited child process, every tensor against its checksum.

    Raises:
        InputFileError: truncated, corrupt, of a newer format, or its parts do not belong together.
        LimitError: larger than the limits.
        GraphError: the graph, a program or the placement in it is impossible.
    """
    document, arrays, digest = FORM.read(file, name, limits)
    with FORM.decoding(name):
        return _decode(document, arrays, name, limits, digest)


def _decode(document: Any, arrays: Mapping[str, Array], where: str, limits: Limits, digest: str) -> FixedModel:
    """The model that a description stands for: every part of it is asked for, and nothing else may be there."""
    parts = FORM.mapping(document, {"format", "graph", "placement", "machine"}, "the description", where)
    graph = FORM.decode_graph(parts["graph"], arrays, where, limits)
    placement = _placement(parts["placement"], arrays, graph, where)
    machine = FORM.mapping(parts["machine"], None, "the machine", where)
    for key, value in machine.items():
        if type(value) not in (int, float, str, bool):
            raise corrupt(f"the machine's {key[:40]!r} is neither a number nor a text", where)
    FORM.check_used(FORM.tensors(parts["graph"]) | {_PARTS}, arrays, where)
    return FixedModel(graph, placement, dict(machine), digest)


def _parts(placement: Placement, graph: Graph[FixedNode]) -> NDArray[np.int64]:
    numbers = {name: number for number, name in enumerate(graph.nodes)}
    rows = [(numbers[part.population], part.start, part.stop, part.core) for part in placement.parts]
    return np.array(rows, np.int64).reshape(len(rows), 4)


def _placement(encoded: Any, arrays: Mapping[str, Array], graph: Graph[FixedNode], where: str) -> Placement:
    parts = FORM.mapping(encoded, {"width", "height", "parts"}, "the placement", where)
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
