"""Continuous graph -> NIR document: NIR's physics exactly, and in metadata what NIR has no field for."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from norse_export.errors import ExportError, UnsupportedError
from norse_export.ir.delay import Delay
from norse_export.ir.graph import Graph
from norse_export.ir.layers import Conv, Flatten, Input, Linear, Sum
from norse_export.ir.neurons import IF, CubaLIF, Integrator, NeuronModel
from norse_export.ir.stages import ContinuousNode

from .conv_form import written_form
from .document import FOREIGN_KEY, KEPT_KEY, NIRDocument, NIRNode
from .edge_delays import as_node, written_as_nodes
from .entries import Entries
from .fields import conv_fields, node_fields
from .gains import UNIT_W_IN, coefficient
from .kept import restored
from .notes import FORMAT, LOOP_DELAY_STEPS, graph_rules, node_rules, packed_array, prefixed
from .sameness import same_graph
from .to_graph import graph_of_document
from .unsupported import unsupported

# What a file of ours says of NIR's version: that whose fields it has, not that which is installed.
NIR_VERSION = "1.0.8"

Notes = dict[str, Any]


def document_of_graph(graph: Graph[ContinuousNode]) -> NIRDocument:
    """Give the graph as a NIR document; `graph_of_document` makes an equal graph of it.

    A graph that was read from another tool's file gives this file's document, with our notes beside it.

    Raises:
        UnsupportedError: NIR cannot express something in the graph; all findings are listed.
    """
    original = as_it_was(graph)
    if findings := unsupported(graph, as_it_was=original is not None):
        raise UnsupportedError.of(findings)
    if original is not None:
        return original
    foreign = Entries.unpacked(graph.metadata.get(FOREIGN_KEY))
    graph_notes, node_notes = notes_of(graph)
    nodes: dict[str, NIRNode] = {}
    sent_by: dict[str, str] = {}  # node of the graph -> node of the document that sends its output
    edges: list[tuple[str, str]] = []
    for name, node in graph.nodes.items():
        sent_by[name] = name
        notes = node_notes[name]
        kind, fields = ("", {}) if isinstance(node, Conv) else node_fields(node)
        if isinstance(node, Conv):
            written = written_form(node)
            kind, fields = conv_fields(written.conv)
            notes["original"] = None if written.original is None else _json(written.original)
            if written.crop is not None:
                sent_by[name] = _free(f"{name}.crop", graph.nodes, nodes)
                nodes[sent_by[name]] = NIRNode(*conv_fields(written.crop), prefixed({"role": "crop"}))
                edges.append((name, sent_by[name]))
        nodes[name] = NIRNode(kind, fields, {**foreign.nodes.get(name, {}), **prefixed(notes)})
    late = written_as_nodes(graph)
    for edge in graph.edges:
        source = sent_by[edge.source]
        if edge in late:
            between = _free(f"{edge.source}.delay", graph.nodes, nodes)
            nodes[between] = as_node(graph, edge, late[edge])
            edges.append((source, between))
            source = between
        edges.append((source, edge.target))
    return NIRDocument(NIR_VERSION, nodes, tuple(sorted(edges)), {**foreign.graph, **prefixed(graph_notes)})


def as_it_was(graph: Graph[ContinuousNode]) -> NIRDocument | None:
    """The document that the graph was read from, where another tool wrote it and it still means this graph."""
    document = restored(graph)
    if document is None:
        return None
    graph_notes, node_notes = notes_of(graph)
    ours = Entries(prefixed(graph_notes), {name: prefixed(notes) for name, notes in node_notes.items()})
    document = replace(document, beside=ours.packed() or "")
    try:
        again = graph_of_document(document).graph
    except ExportError:
        return None
    return document if same_graph(again, graph) else None


def notes_of(graph: Graph[ContinuousNode]) -> tuple[Notes, dict[str, Notes]]:
    """Give our notes about the graph, and about each node by name: what NIR has no field for."""
    rules = graph_rules(node for node in graph.nodes.values() if isinstance(node, NeuronModel))
    nodes = {
        name: {
            **_node_notes(node),
            **(node_rules(node, rules) if isinstance(node, NeuronModel) else {}),
            "index": index,
        }
        for index, (name, node) in enumerate(graph.nodes.items())
    }
    return _graph_notes(graph, rules), nodes


def _graph_notes(graph: Graph[ContinuousNode], rules: Mapping[str, str]) -> Notes:
    ours = {key: value for key, value in graph.metadata.items() if key not in (FOREIGN_KEY, KEPT_KEY)}
    return {
        "format": FORMAT,
        **rules,
        "loop_delay_steps": LOOP_DELAY_STEPS,
        "edges": _json([[edge.source, edge.target, edge.port, edge.delay_steps] for edge in graph.edges]),
        "metadata": _json(ours) if ours else None,
    }


def _node_notes(node: ContinuousNode) -> Notes:
    match node:
        case NeuronModel():
            return _neuron_notes(node)
        case Input():
            return {"dtype": node.dtype}
        case Sum():
            return {"role": "sum"}
        case Linear():
            return {"folded": node.folded}
        case Conv():
            return {"folded": node.folded, "bias": "none" if node.bias is None else None}
        case Flatten():
            return {"start": node.start, "end": node.end}
        case Delay():
            return {"dt": node.dt, "least_steps": node.least_steps or None}
        case _:
            return {}


def _neuron_notes(node: NeuronModel) -> Notes:
    notes: Notes = {"dt": node.dt, "dtype": node.dtype}
    for name in node.kind.initial.values():
        notes |= packed_array(name, node[name], node.dtype)
    for name, tau_name in node.kind.rates.items():
        if not np.array_equal(node[name], coefficient(node[tau_name], node.dt, node.dtype, node.scheme)):
            notes |= packed_array(name, node[name], node.dtype)
    if "w_in" in node.kind.gains and node.get("w_in") is None:
        notes["w_in"] = UNIT_W_IN[node.scheme]
    if node.kind in (IF, Integrator) and node.get("r") is None:
        notes["r"] = "1/dt"
    if node.recurrent or node.kind is CubaLIF:
        notes["recurrent"] = int(node.recurrent)
    return notes


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _free(name: str, *taken: Container[str]) -> str:
    while any(name in names for names in taken):
        name += "_"
    return name
