"""The network as data: one safetensors file of parameter words, synapses and delays, as sPyNNaker is to load them.

    norse_export_spinnaker   JSON: format number, inputs, populations, projections, host, metadata
    population.<k>           parameter words [N, W] or, where all neurons have the same, [1, W]: int32, derive.WORDS
    projection.<k>.starts    synapses of source cell j: from starts[j] to starts[j + 1]
    projection.<k>.targets   their target cells
    projection.<k>.weights   their magnitudes, 16 bits without a sign; the projection has the receptor type

Names are the user's; labels are identifiers, each its own, and all that deploy.py hands to sPyNNaker. What is read is
run by what the chip derives from these words (derive.py), and by nothing else of the model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from math import prod
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import GraphError, UsageError
from norse_export.files import strict_json
from norse_export.files.checked import name_of
from norse_export.files.child import parse_in_child
from norse_export.files.limits import Limits
from norse_export.formats import safetensors_file
from norse_export.formats.fixed_codec import HOST_TYPES, corrupt, decode_fixed, encode_fixed
from norse_export.ir.fixed import FixedInput, Population, SparseSynapses
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.stages import FixedNode

from .choose import MOST_SCALE
from .derive import WORDS, Model, model_of
from .law import PORTS, RING_MAX, law, population
from .limits import Use
from .listing import as_run, listed
from .lower import METADATA
from .parameters import words_of
from .projections import silent

Array = NDArray[Any]
FORMAT = 1
KEY = "norse_export_spinnaker"
_WIDEST_BYTES = 8


def identifier(name: str, taken: Iterable[str] = ()) -> str:
    """A name of letters, digits and underscores that begins with a letter, and is none of those taken."""
    plain = re.sub(r"[^A-Za-z0-9_]", "_", name)[:40] or "n"
    plain = plain if plain[0].isalpha() else f"n{plain}"
    held = set(taken)
    numbered = (f"{plain}_{k}" for k in range(2, len(held) + 3))
    return next(label for label in chain([plain], numbered) if label not in held)


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """What a graph of `lower` says of a population beside its program.

    scale: what 1 in the model's units is on the chip. late: steps behind the model.
    """

    model: Model
    readout: bool
    shifts: tuple[int, int]
    scale: int
    late: int


def told(graph: Graph[FixedNode]) -> dict[str, Told]:
    """What the graph's metadata say of its populations, each held against its program.

    Raises:
        GraphError: the graph was not made for the chip, or its programs are others.
    """
    fix = "export the model to the target spinnaker: the graph comes from its method lower"
    try:
        entries = json.loads(graph.metadata[METADATA])
        found = {
            name: Told(Model(entry["model"]), entry["readout"], tuple(entry["shifts"]), entry["scale"], entry["late"])
            for name, entry in entries.items()
        }
    except (KeyError, TypeError, ValueError) as error:
        raise GraphError("the graph is not under the chip's law", where="graph", fix=fix) from error
    for name, node in graph.nodes.items():
        if not isinstance(node, Population):
            continue
        own = found.get(name)
        if own is None or law(own.model, own.shifts, readout=own.readout).trace() != node.program:
            raise GraphError("neurons that are not under the chip's law", where=name, fix=fix)
    return found


def write(file: BinaryIO, graph: Graph[FixedNode], use: Mapping[str, Use]) -> None:
    """Write a network; the same graph, the same bytes.

    Raises:
        GraphError: it is not under the chip's law.
    """
    known, arrays = told(graph), dict[str, Array]()
    document: dict[str, Any] = {"format": FORMAT, "inputs": [], "populations": [], "projections": []}
    labels: list[str] = []
    for name, node in graph.nodes.items():
        label = identifier(name, labels)
        if isinstance(node, FixedInput):
            document["inputs"].append({"name": name, "label": label, "shape": list(node.shape)})
        elif isinstance(node, Population):
            document["populations"].append(_population(name, label, node, known[name], use[name], arrays))
            document["projections"] += _onto(graph, name, arrays, len(document["projections"]))
        else:
            continue
        labels.append(label)
    host = {name: node for name, node in graph.nodes.items() if type(node).__name__ in HOST_TYPES}
    document["host"] = {
        "nodes": [[name, encode_fixed(node, f"host.{k}", arrays)] for k, (name, node) in enumerate(host.items())],
        "edges": [[e.source, e.target, e.port] for e in graph.edges if e.target in host],
    }
    document["metadata"] = {key: text for key, text in graph.metadata.items() if key != METADATA}
    safetensors_file.write(file, arrays, {KEY: json.dumps(document, separators=(",", ":"), allow_nan=False)})


def _population(name: str, label: str, node: Population, own: Told, use: Use, arrays: dict[str, Array]) -> Any:
    words = words_of(own.model, node.parameters, node.initial_state)
    again = population(own.model, words, own.shifts, shape=node.shape, dt=node.dt, readout=own.readout)
    for held, derived in ((node.parameters, again.parameters), (node.initial_state, again.initial_state)):
        if any(not np.array_equal(held[key], derived[key]) for key in held):
            message = "parameters that the chip derives from no parameter words"
            raise GraphError(message, where=name, fix="export the model to the target spinnaker")
    key = f"population.{sum(one.startswith('population.') for one in arrays)}"
    arrays[key] = (words[:1] if np.all(words == words[:1]) else words).astype(np.int32)
    return {
        "name": name,
        "label": label,
        "model": str(own.model),
        "readout": own.readout,
        "shape": list(node.shape),
        "shifts": list(own.shifts),
        "scale": own.scale,
        "late": own.late,
        "dt": node.dt,
        "neurons_per_core": use.neurons_per_core,
        "words": list(WORDS[own.model]),
        "tensor": key,
    }


def _onto(graph: Graph[FixedNode], name: str, arrays: dict[str, Array], first: int) -> list[Any]:
    """The projections onto a population that have synapses."""
    found: list[Any] = []
    for edge in graph.incoming(name):
        node: Any = graph.nodes[edge.source]
        synapses = listed(node)
        if not synapses.weight.size:
            continue
        key = f"projection.{first + len(found)}"
        arrays[f"{key}.starts"], arrays[f"{key}.targets"] = synapses.starts, synapses.targets
        arrays[f"{key}.weights"] = synapses.weight.astype(np.int32)
        into = graph.incoming(edge.source)[0]
        entry = {"name": edge.source, "source": into.source, "target": name, "port": edge.port}
        found.append(entry | {"delay_steps": into.delay_steps, "tensors": key})
    return found


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
    parsed = parse_in_child(f"{__name__}:parse", file, name=name, limits=limits).document
    arrays = safetensors_file.read_tensors(file, parsed["header"])
    try:
        return _decoded(parsed["network"], arrays, name, limits)
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
    edges += [Edge(source, target, port) for source, target, port in _edges(document["host"]["edges"], where)]
    limits.check("max_edges", len(edges), where=where)
    metadata = {str(key): str(text) for key, text in document["metadata"].items()}
    return Network(Graph(nodes, tuple(edges), metadata), labels)


def _edges(entries: Any, where: str) -> list[Any]:
    if not all(len(entry) == 3 and all(isinstance(text, str) for text in entry) for entry in entries):
        raise corrupt("an edge that is none", where)
    return list(entries)


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
    readout, shifts, scale = entry["readout"], entry["shifts"], entry["scale"]
    whole = all(type(number) is int for number in (*shifts, scale))
    if type(readout) is not bool or not whole or not 1 <= scale <= MOST_SCALE:
        raise corrupt(f"population {entry['name'][:40]!r} has shifts, a scale or a readout that are none", where)
    return population(model, table, shifts, shape=shape, dt=float(entry["dt"]), readout=readout, scale=scale)


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
