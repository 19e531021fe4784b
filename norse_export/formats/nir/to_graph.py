"""NIR document -> continuous graph: files of ours exactly as they were, others under assumptions that are named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import numpy as np

from norse_export.errors import ExportError, Finding, GraphError, UnsupportedError, locating
from norse_export.ir.graph import Edge, Graph, Shape
from norse_export.ir.stages import ContinuousNode
from norse_export.ir.step_choice import StepChoice

from .document import FOREIGN_KEY, KEPT_KEY, NIRDocument, NIRNode
from .edge_delays import taken_out
from .entries import Entries
from .kept import kept
from .notes import FORMAT, LOOP_DELAY_STEPS, PREFIX, Notes
from .rewritten import with_originals
from .steps import Steps, unknown_words
from .structure import Structure, looped_links, structure_of
from .subgraphs import PORT, laid_open
from .to_layers import LAYERS, layer_of
from .to_neurons import NEURONS, changed, delay_of, neuron_of, shape_of_neuron, step_of

_ASSUMED = "assumed_"
_DELAY = "Delay"


@dataclass(frozen=True, slots=True)
class LoadedGraph:
    """The graph of a file, what should be told about it (warnings and notes), and what the file did not say.

    assumptions: name -> value that was taken; they stand in the graph's metadata too, as assumed_<name>.
    """

    graph: Graph[ContinuousNode]
    findings: tuple[Finding, ...] = ()
    assumptions: Mapping[str, str] = field(default_factory=dict)


def graph_of_document(document: NIRDocument, **said: Any) -> LoadedGraph:
    """Give the graph that a .nir file holds.

    said: fields of a `StepChoice`: the time step and the rules, for files that do not say them. Where a file says
    something else (dt beyond SAME_DT, relative), `override` has to be set; its time constants are then taken with that
    step. A gain that the metadata say is such that an input is added as it is stays so; any other w_in and r are
    physics, and stay as they are, unless the file is read as a framework that takes them otherwise.

    Raises:
        UsageError: dt is missing, a choice is impossible, or contradicts the file.
        UnsupportedError: primitives, or forms of them, that are not known; rules of a step that are none; neurons that
            the framework as which the file is read does not take.
        GraphError: an impossible graph. Each error carries every finding.
    """
    original, document = document, _with_notes(laid_open(document).document, document.beside)
    notes = Notes.of(document.metadata, "the graph")
    steps = Steps(StepChoice(**said), notes)
    ours = notes.integer("format") is not None
    if findings := [*_unknown_rules(notes), *_unknown_types(document)]:
        raise UnsupportedError.of(findings)
    document, warnings = with_originals(document)
    edges_only, late = taken_out(document)
    if noted := _noted_structure(edges_only, late, notes) if ours else None:
        document = edges_only
    structure = noted or _found_structure(document, steps)
    build = _Build(document, structure, steps, ports=noted is not None)
    build.run()
    metadata, assumptions = _metadata(document, notes, build)
    if ours and noted is None:
        message = "nodes or edges were changed after norse-export wrote the file: order and delays are found anew"
        warnings += (Finding("metadata", "warning", "the graph", message, "export the model again"),)
    if f"{PREFIX}format" not in original.metadata:
        metadata[KEPT_KEY] = kept(original, build.made)
    graph = Graph({name: build.made[name] for name in structure.names}, structure.edges, metadata)
    told = (*document.warnings, *warnings, *build.warnings, *steps.warnings(), *_told(assumptions))
    return LoadedGraph(graph, told, assumptions)


def _with_notes(document: NIRDocument, beside: str) -> NIRDocument:
    """The document with the notes that stand beside it among its metadata."""
    if not beside:
        return document
    notes = Entries.beside(beside)
    nodes = {
        name: NIRNode(node.type, node.fields, {**node.metadata, **notes.nodes.get(name, {})})
        for name, node in document.nodes.items()
        if isinstance(node, NIRNode)
    }
    return replace(document, nodes=nodes, metadata={**document.metadata, **notes.graph})


def _told(assumptions: Mapping[str, str]) -> Iterator[Finding]:
    if assumptions:
        listed = ", ".join(f"{name} {value}" for name, value in assumptions.items())
        message = f"the file does not say how its physics becomes steps; taken: {listed}"
        yield Finding("assumed", "note", "the graph", message, "compare with the framework that wrote the file")


def _unknown_rules(notes: Notes) -> Iterator[Finding]:
    written = notes.integer("format")
    if written is not None and written > FORMAT:
        message = f"the file was written by a later norse-export: format {written} of its metadata, known is {FORMAT}"
        yield Finding("format", "error", notes.where, message, "update norse-export")
    yield from unknown_words(notes)
    if (steps := notes.integer("loop_delay_steps")) is not None and steps != LOOP_DELAY_STEPS:
        message = f"loops of {steps} steps are not supported"
        yield Finding("rule", "error", notes.where, message, f"use a loop delay of {LOOP_DELAY_STEPS} step")


def _unknown_types(document: NIRDocument) -> Iterator[Finding]:
    for name, node in document.nodes.items():
        kind = node.type if isinstance(node, NIRNode) else "NIRGraph"
        if kind not in (*LAYERS, *NEURONS, _DELAY):
            message = f"NIR's primitive {kind} is not supported"
            known = ", ".join(sorted((LAYERS | NEURONS | {_DELAY}) - {PORT}))
            yield Finding("primitive", "error", name, message, f"build the model of: {known}")


def _noted_structure(document: NIRDocument, late: Counter[tuple[str, str, int]], notes: Notes) -> Structure | None:
    """Order, ports and delays as the metadata tells them; None where it does not fit the file's nodes and edges.

    late: the edges with a delay that stand in the file as nodes, which are taken out of the document.
    """
    index = {name: Notes.of(node.metadata, name).integer("index") for name, node in document.nodes.items()}
    listed = notes.json("edges")
    if sorted(index.values(), key=lambda k: -1 if k is None else k) != list(range(len(index))):
        return None
    edges: list[Edge] = []
    for item in listed if isinstance(listed, list) else ():
        match item:
            case [str() as source, str() as target, str() as port, int() as delay] if type(delay) is int and delay >= 0:
                edges.append(Edge(source, target, port, delay))
            case _:
                return None
    direct = Counter((edge.source, edge.target, edge.delay_steps) for edge in edges)
    if late - direct:
        return None
    untold = list((direct - late).elements())
    if sorted((source, target) for source, target, _ in untold) != sorted(document.edges):
        return None
    looped = looped_links([(edge.source, edge.target) for edge in edges])
    if any(delay and (delay != LOOP_DELAY_STEPS or (a, b) not in looped) for a, b, delay in untold):
        return None  # a delay that other readers of the file would not meet
    names = sorted(document.nodes, key=lambda name: index[name] or 0)
    return Structure(tuple(names), tuple(edges), ())


def _found_structure(document: NIRDocument, steps: Steps) -> Structure:
    kinds = {name: node.type for name, node in document.nodes.items() if isinstance(node, NIRNode)}
    inputs = {name for name, kind in kinds.items() if kind == "Input"}
    neurons = {name for name, kind in kinds.items() if kind in NEURONS}
    delays = {
        name: _waits(node, Notes.of(node.metadata, name), steps)
        for name, node in document.nodes.items()
        if isinstance(node, NIRNode) and node.type == _DELAY
    }
    return structure_of(kinds, document.edges, inputs, neurons, delays)


def _waits(node: NIRNode, notes: Notes, steps: Steps) -> bool:
    """Whether every cell of a delay takes a step or more. What is wrong with it is told where it is made."""
    try:
        dt = steps.of(_DELAY, notes, resets_to_zero=True).dt
    except ExportError:
        return True
    return float(np.min(np.asarray(node.fields["delay"]))) >= dt / 2


def _metadata(document: NIRDocument, notes: Notes, build: _Build) -> tuple[dict[str, str], dict[str, str]]:
    """The graph's metadata: as it was written, or what was assumed; with that of other tools kept in one text."""
    stored = notes.json("metadata") or {}
    if not (isinstance(stored, dict) and all(isinstance(value, str) for value in stored.values())):
        raise GraphError("the metadata is no list of texts", where="the graph", fix="export again", kind="metadata")
    if own := {FOREIGN_KEY, KEPT_KEY} & set(
        stored
    ):  # never written there: they would stand for what is not in the file
        message = f"the metadata of the model holds {min(own)!r}, a name of norse-export's own"
        raise GraphError(message, where="the graph", fix="export again", kind="metadata")
    metadata: dict[str, str] = dict(stored)
    if (foreign := Entries.of_others(document).packed()) is not None:
        metadata[FOREIGN_KEY] = foreign
    ours = notes.integer("format") is not None
    assumptions = build.steps.assumptions(ours=ours)
    if not ours:
        assumptions["loop_delay_steps"] = str(LOOP_DELAY_STEPS)
    metadata |= {_ASSUMED + name: value for name, value in assumptions.items()}
    metadata |= {f"{name}_override": change for name, change in build.steps.overrides().items()}
    return metadata, assumptions


class _Build:
    """Makes the nodes of a graph, sizes following the edges, and collects every finding."""

    def __init__(self, document: NIRDocument, structure: Structure, steps: Steps, *, ports: bool) -> None:
        self.structure, self.ports, self.steps = structure, ports, steps
        self.nodes = {name: node for name in structure.names if isinstance(node := document.nodes[name], NIRNode)}
        self.made: dict[str, ContinuousNode] = {}
        self.sent: dict[str, Shape | None] = {}  # output shape of nodes that were looked at; None: not known
        self.warnings: list[Finding] = []
        self.errors: list[ExportError] = []

    def run(self) -> None:
        """Make all nodes.

        Raises:
            UnsupportedError, GraphError, UsageError: whatever stands in the way; the class is that of the gravest.
        """
        targets: dict[str, list[str]] = {name: [] for name in self.nodes}
        for edge in self.structure.edges:
            targets[edge.source].append(edge.target)
        # What knows its own size goes first; then what follows from it; what is left has to do with what it says.
        sized = [name for name, node in self.nodes.items() if _knows_its_size(node)]
        for name in chain(sized, self.structure.names):
            if name not in self.sent:
                self._make(name, None, None)
                self._follow(name, targets)
        if findings := [*self.structure.findings, *chain.from_iterable(error.findings for error in self.errors)]:
            raise self._gravest().of(findings)

    def _follow(self, start: str, targets: Mapping[str, list[str]]) -> None:
        """Make what is fed by a node, and what that feeds."""
        work = [start]
        while work:
            name = work.pop()
            shape = self.sent[name]
            for target in targets[name]:
                if target in self.sent:
                    continue
                if shape is None:  # the node failed: what follows from it is not worth a finding of its own
                    self.sent[target] = None
                else:
                    self._make(target, shape, name)
                work.append(target)

    def _make(self, name: str, arriving: Shape | None, source: str | None) -> None:
        node = self.nodes[name]
        self.sent[name] = None
        try:
            with locating(name):
                notes = Notes.of(node.metadata, name)
                if node.type in LAYERS:
                    self.made[name] = layer = layer_of(node, notes, arriving)
                    self.sent[name] = layer.output_shape
                    return
                shape = shape_of_neuron(node) or arriving
                if shape is None:
                    raise _unsized(node)
                self.sent[name] = shape
                step = step_of(node, notes, self.steps)
                if node.type == _DELAY:
                    lasting = name in self.structure.lasting
                    self.made[name] = delay_of(node, notes, shape, step, lasting=lasting)
                    return
                self.made[name], told = neuron_of(node, notes, shape, step, ports=self.ports)
                self.warnings += (*told, *changed(node, notes))
        except ExportError as error:
            if source is not None and node.type in LAYERS:  # the size that arrives is as much to blame
                between = f"{source} -> {name}"
                error.findings = tuple(replace(f, where=between) if f.kind == "shape" else f for f in error.findings)
            self.errors.append(error)

    def _gravest(self) -> type[ExportError]:
        kinds = {type(error) for error in self.errors}
        if self.structure.findings:
            kinds.add(GraphError)
        return next(kind for kind in (UnsupportedError, GraphError, *kinds) if kind in kinds)


def _knows_its_size(node: NIRNode) -> bool:
    if node.type in NEURONS or node.type == _DELAY:
        return shape_of_neuron(node) is not None
    return node.type in ("Input", "Output", PORT, "Linear", "Affine")


def _unsized(node: NIRNode) -> GraphError:
    message = f"the number of neurons of this {node.type} is not known: its parameters are single numbers"
    return GraphError(message, where=node.type, fix="give its parameters one value for each neuron", kind="shape")
