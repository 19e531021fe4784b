"""A folder for SpiNNaker 2: network.nir, as py-spinnaker2's reader takes it, and what it means.

The NIR document has one axis for neurons; whole numbers of 8 bits stand in its Linear and Affine nodes, one node for
each pair of populations, the bias of a population in one of them. What the reader has no use for (names and shapes of
the model, which populations are read by their membranes, scales) stands in its metadata as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import ExportError, Finding, GraphError, UnsupportedError, UsageError
from norse_export.files import strict_json
from norse_export.files.checked import open_input
from norse_export.files.child import parse_in_child
from norse_export.files.limits import Limits
from norse_export.formats.fixed_codec import corrupt
from norse_export.formats.nir.document import NIRDocument, NIRNode
from norse_export.formats.nir.hdf5 import document_of
from norse_export.formats.nir.to_document import NIR_VERSION
from norse_export.formats.nir.write import write
from norse_export.ir.fixed import DenseSynapses, FixedInput, Population
from norse_export.ir.graph import Edge, Graph, Shape
from norse_export.ir.layers import Output
from norse_export.ir.stages import FixedNode

from .artefact import identifier
from .chip2_law import CONFIG, LARGEST_WEIGHT, LAW, NOT_CHECKED, population
from .reading import Network

Array = NDArray[Any]
NETWORK = "network.nir"
KEY = "norse_export_spinnaker2"
FORMAT = 1
METADATA = "spinnaker2"  # of a graph: what `document` is told, as JSON
CHIP, REPORT = "spinnaker2", "report.json"
# Source: SpiNNMachine 7.4.1, version_spin2: 153 cores, one is reserved; py-spinnaker2's limit of its NESTML neurons.
CORES, NEURONS_PER_CORE = 152, 250
_LOOKED_AT, _WIDEST_BYTES = 1 << 12, 8
_HDF5 = b"\x89HDF\r\n\x1a\n"
_WEIGHTS = ("Linear", "Affine")


def document(told: Mapping[str, Any], weights: Mapping[tuple[str, str], Array]) -> NIRDocument:
    """The document of a network that `told` describes, by the user's names; see chip2_lower.py.

    weights [N_out, N_in], by source and target: whole numbers.
    """
    shapes = told["shapes"]
    labels: dict[str, str] = {}
    for name in (*told["inputs"], *told["neurons"]):
        labels[name] = identifier(name, labels.values())
    nodes, edges, taken = dict[str, NIRNode](), list[tuple[str, str]](), [*labels.values()]
    for name in told["inputs"]:
        nodes[labels[name]] = _port("Input", shapes[name])
    for name, (kind, fields) in told["neurons"].items():
        values = {key: np.broadcast_to(np.float64(value), prod(shapes[name])) for key, value in fields.items()}
        nodes[labels[name]] = NIRNode(kind, values)
    biases = {name: np.float64(bias) for name, bias in told["bias"].items() if np.any(bias)}
    for (source, target), weight in weights.items():
        name = _label(f"{labels[source]}_to_{labels[target]}", taken)
        nodes[name] = _layer(weight, biases.pop(target, None))
        edges += [(labels[source], name), (name, labels[target])]
    for name, source in told["outputs"].items():
        label = _label(name, taken)
        nodes[label] = _port("Output", shapes[source])
        edges.append((labels[source], label))
    notes = {key: told[key] for key in ("shapes", "outputs", "readouts", "scales", "dt", "skew", "metadata")}
    text = json.dumps({"format": FORMAT, "names": {label: name for name, label in labels.items()}, **notes})
    return NIRDocument(NIR_VERSION, nodes, tuple(edges), {KEY: text})


def _label(name: str, taken: list[str]) -> str:
    taken.append(identifier(name, taken))
    return taken[-1]


def _port(kind: str, shape: Sequence[int]) -> NIRNode:
    return NIRNode(kind, {"shape": np.array([prod(shape)], np.int64)})


def _layer(weight: Array, bias: Any) -> NIRNode:
    fields: dict[str, Any] = {"weight": weight.astype(np.float32)}
    if bias is None:
        return NIRNode("Linear", fields)
    return NIRNode("Affine", fields | {"bias": np.broadcast_to(bias, len(weight)).astype(np.float64)})


def emit(graph: Graph[FixedNode], path: Path) -> None:
    """Write network.nir and report.json into a folder; the same graph, the same bytes.

    Raises:
        GraphError: the graph is not one of chip2_lower.py.
    """
    told = described(graph)
    weights = {}
    for name, node in graph.nodes.items():
        if isinstance(node, DenseSynapses):
            weights[graph.incoming(name)[0].source, graph.outgoing(name)[0].target] = node.weight
    made = document(told | {"metadata": _own(graph.metadata)}, weights)
    write(path / NETWORK, made)
    report = {
        "chip": CHIP,
        "law": LAW,
        "not_checked": NOT_CHECKED,
        "reader": {"call": "spinnaker2.s2_nir.from_nir", "dt": told["dt"], **CONFIG},
        "totals": {"cores": cores(graph), "cores_of_a_chip": CORES},
        "layers": {name: {"weight_of_1": scale} for name, scale in told["scales"].items()},
        "metadata": _own(graph.metadata),
    }
    (path / REPORT).write_text(json.dumps(report, indent=1, allow_nan=False) + "\n")


def described(graph: Graph[FixedNode]) -> dict[str, Any]:
    """What chip2_lower.py says of a graph in its metadata.

    Raises:
        GraphError: nothing.
    """
    try:
        told: dict[str, Any] = json.loads(graph.metadata[METADATA])
    except (KeyError, ValueError) as error:
        fix = "export the model to the target spinnaker with --chip spinnaker2"
        raise GraphError("the graph is not one for SpiNNaker 2", where="graph", fix=fix) from error
    return told


def cores(graph: Graph[FixedNode]) -> int:
    """How many cores a network takes; one sends the input's spikes."""
    sizes = [prod(node.shape) for node in graph.nodes.values() if isinstance(node, Population)]
    return 1 + sum(ceil(size / NEURONS_PER_CORE) for size in sizes)


def findings(graph: Graph[FixedNode]) -> list[Finding]:
    """The limits that are broken."""
    taken = cores(graph)
    if taken <= CORES:
        return []
    message = f"{taken} cores; a chip has {CORES}"
    return [Finding("capacity", "error", "network", message, "make the network smaller: one chip is emulated")]


def holds(path: Path) -> bool:
    """Whether a folder holds a network for SpiNNaker 2, by its report and the signature of its file; never raises."""
    try:
        with open_input(path / REPORT) as report, open_input(path / NETWORK) as file:
            return f'"chip": "{CHIP}"'.encode() in report.read(_LOOKED_AT) and file.read(len(_HDF5)) == _HDF5
    except (ExportError, OSError, ValueError):
        return False


def load(path: Path, limits: Limits) -> Network:
    """Read a folder.

    Raises:
        InputFileError, LimitError, GraphError: it is damaged, or no such folder.
    """
    where = str(path / NETWORK)
    try:
        return network(read_document(path, limits), where=where, limits=limits)
    except UnsupportedError as error:
        raise corrupt(f"{error.what} ({error.where})", where) from error


def _own(metadata: Mapping[str, str]) -> dict[str, str]:
    return {key: text for key, text in metadata.items() if key not in (METADATA, "law", "dt", "skew")}


def read_document(path: Path, limits: Limits) -> NIRDocument:
    """Read network.nir of a folder, in a limited child process.

    Raises:
        InputFileError, LimitError, GraphError: it is damaged, or no such folder.
    """
    with open_input(path / NETWORK) as file:
        name = str(path / NETWORK)
        parsed = parse_in_child("norse_export.formats.nir.hdf5:parse", file, name=name, limits=limits)
    return document_of(parsed.document, parsed.arrays)


def network(made: NIRDocument, *, where: str, limits: Limits) -> Network:
    """The document as the reader has it: a fixed graph under the law of chip2_law.py.

    Raises:
        InputFileError: it is none of ours. GraphError: an impossible network.
    """
    text = made.metadata.get(KEY)
    if not isinstance(text, str):
        raise corrupt("a network, but none that was exported to SpiNNaker 2", where)
    notes = strict_json.loads(text, where=where, limits=limits)
    try:
        if notes["format"] != FORMAT:
            raise corrupt(f"its format is {str(notes['format'])[:40]!r}, this version reads {FORMAT}", where)
        return _graph(made, notes, where, limits)
    except UsageError as error:
        raise corrupt(f"{error.what} ({error.where})", where) from error
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError) as error:
        raise corrupt(f"its description is incomplete ({type(error).__name__}: {error})", where) from error


def _graph(made: NIRDocument, notes: Any, where: str, limits: Limits) -> Network:
    names = dict(notes["names"])
    shapes = {name: _shape(shape, limits, where) for name, shape in notes["shapes"].items()}
    drive = _Drive.of(made, names, shapes, where)
    nodes, edges = dict[str, FixedNode](drive.synapses), [*drive.edges]
    for label, name in names.items():
        node: Any = made.nodes[label]
        if node.type == "Input":
            nodes[name] = FixedInput(shapes[name])
            continue
        nodes[name] = population(
            name,
            node,
            drive.bias[name],
            drive.total[name],
            shape=shapes[name],
            dt=float(notes["dt"]),
            readout=name in notes["readouts"],
            scale=float(notes["scales"][name]),
        )
    for name, source in notes["outputs"].items():
        nodes[name] = Output(shapes[source])
        edges.append(Edge(source, name))
    metadata = {str(key): str(value) for key, value in notes["metadata"].items()}
    metadata |= {"law": LAW, "dt": repr(notes["dt"]), "skew": json.dumps(notes["skew"])}
    return Network(Graph(nodes, tuple(edges), metadata), {name: label for label, name in names.items()})


@dataclass(frozen=True, slots=True)
class _Drive:
    """What the weights of a document are: synapses and their edges; and by population, [N], biases and sums of |w|."""

    synapses: Mapping[str, DenseSynapses]
    edges: Sequence[Edge]
    bias: Mapping[str, Array]
    total: Mapping[str, Array]

    @classmethod
    def of(cls, made: NIRDocument, names: Mapping[str, str], shapes: Mapping[str, Shape], where: str) -> _Drive:
        """Those of a document. names: of the model, by the label of the node."""
        weights = {label: _whole(node, label, where) for label, node in made.nodes.items() if node.type in _WEIGHTS}  # type: ignore[union-attr]
        into = {target: source for source, target in made.edges if target in weights}
        synapses, edges = dict[str, DenseSynapses](), list[Edge]()
        bias: dict[str, Array] = {name: np.zeros(prod(shape)) for name, shape in shapes.items()}
        total: dict[str, Array] = {name: np.zeros(prod(shape)) for name, shape in shapes.items()}
        for label, target in made.edges:
            if label in weights:
                source, onto, layer = names[into[label]], names[target], made.nodes[label]
                synapses[label] = DenseSynapses(weights[label].astype(np.int8), shapes[source], shapes[onto])
                edges += [Edge(source, label, "x", 1), Edge(label, onto)]
                bias[onto] = bias[onto] + np.asarray(layer.fields.get("bias", 0.0), np.float64)  # type: ignore[union-attr]
                total[onto] = total[onto] + np.abs(weights[label]).sum(axis=1)
        return cls(synapses, edges, bias, total)


def _whole(node: Any, label: str, where: str) -> Array:
    weight = np.asarray(node.fields["weight"])
    if not np.array_equal(weight, np.rint(weight)) or np.any(np.abs(weight) > LARGEST_WEIGHT):
        raise corrupt(f"weights of {label[:40]!r} that are no whole numbers of 8 bits", where)
    return weight.astype(np.int64)


def _shape(sizes: Any, limits: Limits, where: str) -> Shape:
    if not isinstance(sizes, list) or not all(type(size) is int and size > 0 for size in sizes):
        raise corrupt(f"a shape that is none: {str(sizes)[:40]}", where)
    limits.check("max_bytes", prod(sizes) * _WIDEST_BYTES, where=where)
    return tuple(sizes)
