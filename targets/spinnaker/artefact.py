"""The network as data: one safetensors file of parameter words, synapses and delays, as sPyNNaker is to load them.

    norse_export_spinnaker   JSON: format number, inputs, populations, projections, host, metadata
    population.<k>           parameter words [N, W] or, where all neurons have the same, [1, W]: int32, derive.WORDS
    projection.<k>.starts    synapses of source cell j: from starts[j] to starts[j + 1]
    projection.<k>.targets   their target cells
    projection.<k>.weights   their magnitudes, 16 bits without a sign; the projection has the receptor type

Names are the user's; labels are identifiers, each its own, and all that deploy.py hands to sPyNNaker.
reading.py reads the file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import GraphError
from norse_export.formats import safetensors_file
from norse_export.formats.fixed_codec import HOST_TYPES, encode_fixed
from norse_export.ir.fixed import FixedInput, Population
from norse_export.ir.graph import Graph
from norse_export.ir.stages import FixedNode

from .derive import WORDS, Model
from .law import law, population
from .limits import Use
from .listing import listed
from .lower import METADATA
from .parameters import words_of

Array = NDArray[Any]
FORMAT = 1
KEY = "norse_export_spinnaker"


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

    scale: what 1 in the model's units is on the chip. late: steps behind the model. counts: see parameters.Mapped.
    """

    model: Model
    readout: bool
    shifts: tuple[int, int]
    scale: int
    late: int
    counts: bool


def told(graph: Graph[FixedNode]) -> dict[str, Told]:
    """What the graph's metadata say of its populations, each held against its program.

    Raises:
        GraphError: the graph was not made for the chip, or its programs are others.
    """
    fix = "export the model to the target spinnaker: the graph comes from its method lower"
    try:
        entries = json.loads(graph.metadata[METADATA])
        found = {
            name: Told(
                Model(entry["model"]),
                entry["readout"],
                tuple(entry["shifts"]),
                entry["scale"],
                entry["late"],
                entry["counts"],
            )
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
        "edges": [[e.source, e.target, e.port, e.delay_steps] for e in graph.edges if e.target in host],
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
        "counts": own.counts,
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
