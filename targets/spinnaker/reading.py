"""Reads the network of a folder: what is run is what the chip derives from its words, and nothing else of the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import UsageError
from norse_export.files import strict_json
from norse_export.files.checked import name_of
from norse_export.files.child import parse_in_child
from norse_export.files.limits import Limits
from norse_export.formats import safetensors_file
from norse_export.formats.fixed_codec import HOST_TYPES, corrupt, decode_fixed
from norse_export.ir.fixed import FixedInput, Population, SparseSynapses
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.stages import FixedNode

from .artefact import FORMAT, KEY
from .choose import MOST_SCALE
from .counting import MOST_BITS
from .derive import WORDS, model_of
from .law import PORTS, RING_MAX, population
from .listing import as_run
from .projections import silent

Array = NDArray[Any]
_WIDEST_BYTES = 8


def parse(file: BinaryIO, limits: Limits) -> tuple[dict[str, Any], dict[str, Array]]:
    """Read all that is text in an artefact, in the limited child process."""
    where = name_of(file)
    header, arrays = safetensors_file.parse_header(file, limits)
    if KEY not in header["metadata"]:
        raise corrupt("it holds tensors, but no network of the chip", where)
    document = strict_json.loads(header["metadata"].pop(KEY), where=where, limits=limits)
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        found = document.get("format") if isinstance(document, dict) else None
        raise corrupt(f"its format is {str(found)[:40]!r}, this version reads {FORMAT}", where)
    return {"header": header, "network": document}, arrays


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """What was read: the graph under the chip's law, and the label of each input and population."""

    graph: Graph[FixedNode]
    labels: Mapping[str, str]


def read(file: BinaryIO, *, name: str, limits: Limits) -> Network:
    """Read an artefact: its texts in a limited child process, every tensor against its checksum.

    Raises:
        InputFileError: truncated, corrupt, of a newer format, or its parts do not belong together.
        LimitError: larger than the limits. GraphError: an impossible graph.
    """
    return decoded(*held(file, name=name, limits=limits), name, limits)


def held(file: BinaryIO, *, name: str, limits: Limits) -> tuple[Any, dict[str, Array]]:
    """An artefact's description of the network, not yet checked, and its tensors.

    Raises:
        InputFileError: truncated, corrupt, of a newer format. LimitError: larger than the limits.
    """
    parsed = parse_in_child(f"{__name__}:parse", file, name=name, limits=limits).document
    return parsed["network"], safetensors_file.read_tensors(file, parsed["header"])


def decoded(document: Any, arrays: Mapping[str, Array], name: str, limits: Limits) -> Network:
    """The network of a description and its tensors.

    Raises:
        InputFileError: its parts do not belong together. LimitError: larger than the limits. GraphError: impossible.
    """
    try:
        return _decoded(document, arrays, name, limits)
    except UsageError as error:
        raise corrupt(f"{error.what} ({error.where})", name) from error
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError) as error:
        raise corrupt(f"its description is incomplete ({type(error).__name__}: {error})", name) from error


def _decoded(document: Any, arrays: Mapping[str, Array], where: str, limits: Limits) -> Network:
    nodes: dict[str, FixedNode] = {}
    edges: list[Edge] = []
    for entry in document["inputs"]:
        nodes[_new(entry["name"], nodes, where)] = FixedInput(_shape(entry["shape"], limits, where))
    for entry in document["populations"]:
        nodes[_new(entry["name"], nodes, where)] = _neurons(entry, arrays, limits, where)
    labels = {entry["name"]: str(entry["label"]) for entry in (*document["inputs"], *document["populations"])}
    for entry in document["projections"]:
        _connect(entry, arrays, nodes, edges, limits, where)
    for name in labels:
        for port in sorted(set(nodes[name].ports) - {edge.port for edge in edges if edge.target == name}):
            nothing = _new(f"{name}.{port}.nothing", nodes, where)
            source = document["inputs"][0]["name"]
            nodes[nothing] = silent(nodes[source].output_shape, nodes[name].input_shape)
            edges += [Edge(source, nothing, "x", 1), Edge(nothing, name, port)]
    for name, encoded in document["host"]["nodes"]:
        if encoded["type"] not in HOST_TYPES:
            raise corrupt(f"node {str(name)[:40]!r} is none of the host's", where)
        nodes[_new(name, nodes, where)] = decode_fixed(name, encoded, arrays, where)
    edges += _host_edges(document["host"]["edges"], nodes, limits, where)
    limits.check("max_edges", len(edges), where=where)
    metadata = {str(key): str(text) for key, text in document["metadata"].items()}
    return Network(Graph(nodes, tuple(edges), metadata), labels)


def _host_edges(entries: Any, nodes: Mapping[str, FixedNode], limits: Limits, where: str) -> list[Edge]:
    edges = []
    for source, target, port, delay in entries:
        if not all(isinstance(text, str) for text in (source, target, port)) or type(delay) is not int or delay < 0:
            raise corrupt("an edge that is none", where)
        limits.check("max_bytes", prod(nodes[source].output_shape) * delay * _WIDEST_BYTES, where=where)
        edges.append(Edge(source, target, port, delay))
    return edges


def _new(name: Any, nodes: Mapping[str, Any], where: str) -> str:
    if not isinstance(name, str) or not name or name in nodes:
        raise corrupt(f"a node without a name of its own: {str(name)[:40]!r}", where)
    return name


def _shape(sizes: Any, limits: Limits, where: str) -> tuple[int, ...]:
    if not isinstance(sizes, list) or not all(type(size) is int and size > 0 for size in sizes):
        raise corrupt(f"a shape that is none: {str(sizes)[:40]}", where)
    limits.check("max_bytes", prod(sizes) * _WIDEST_BYTES, where=where)
    return tuple(sizes)


def _neurons(entry: Any, arrays: Mapping[str, Array], limits: Limits, where: str) -> Population:
    shape, words, model = _shape(entry["shape"], limits, where), arrays[entry["tensor"]], model_of(entry["model"])
    if entry["words"] != list(WORDS[model]) or words.dtype != np.int32 or words.shape[0] not in (1, prod(shape)):
        raise corrupt(f"population {entry['name'][:40]!r} has other parameter words than {model}", where)
    table = np.broadcast_to(words, (prod(shape), words.shape[1]))
    readout, shifts, scale, counts = entry["readout"], entry["shifts"], entry["scale"], entry.get("counts", False)
    whole = all(type(number) is int for number in (*shifts, scale))
    most = 1 << MOST_BITS if counts else MOST_SCALE
    if type(readout) is not bool or type(counts) is not bool or not whole or not 1 <= scale <= most:
        raise corrupt(f"population {entry['name'][:40]!r} has shifts, a scale or a readout that are none", where)
    dt = float(entry["dt"])
    return population(model, table, shifts, shape=shape, dt=dt, readout=readout, scale=scale, counts=counts)


def _connect(
    entry: Any,
    arrays: Mapping[str, Array],
    nodes: dict[str, FixedNode],
    edges: list[Edge],
    limits: Limits,
    where: str,
) -> None:
    source, target, delay = nodes[entry["source"]], nodes[entry["target"]], entry["delay_steps"]
    weight = arrays[f"{entry['tensors']}.weights"]
    if entry["port"] not in PORTS or type(delay) is not int or delay < 1:
        raise corrupt(f"projection {entry['name'][:40]!r} has no such receptor type or delay", where)
    if weight.size and not 0 <= int(weight.min()) <= int(weight.max()) <= RING_MAX:
        raise corrupt(f"projection {entry['name'][:40]!r} has weights of more than 16 bits", where)
    limits.check("max_bytes", prod(source.output_shape) * delay * _WIDEST_BYTES, where=where)
    starts, targets = (arrays[f"{entry['tensors']}.{part}"] for part in ("starts", "targets"))
    synapses = SparseSynapses(starts, targets, weight, source.output_shape, target.input_shape)
    name = _new(entry["name"], nodes, where)
    nodes[name] = as_run(synapses)
    edges += [Edge(entry["source"], name, "x", delay), Edge(name, entry["target"], entry["port"])]
