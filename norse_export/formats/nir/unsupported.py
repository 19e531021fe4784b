"""What of a continuous graph NIR cannot express: every finding at once, each by name. Never approximated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain

import numpy as np

from norse_export.errors import Finding
from norse_export.formats.hdf5_names import name_fault
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Conv, Input, Output, Pool
from norse_export.ir.neurons import NeuronModel
from norse_export.ir.notes import CLASSES, named
from norse_export.ir.shaping import Elementwise, Pad, Reorder, Slice
from norse_export.ir.stages import ContinuousNode
from norse_export.program.elementwise import IN_WORDS

from .conv_form import MAX_WRITTEN_NUMBERS, too_large, written_numbers
from .edge_delays import written_as_nodes
from .to_neurons import NEURONS

_WORDS = {
    "Slice": "a slice of the features",
    "Pad": "zeros beside the features",
    "Reorder": "a reordering of the features",
}


def unsupported(graph: Graph[ContinuousNode], *, as_it_was: bool = False) -> tuple[Finding, ...]:
    """Give all that stands in the way of writing the graph as NIR; empty: it can be written.

    as_it_was: as the document that it was read from, with nothing rewritten.
    """
    late, classes = written_as_nodes(graph), named(graph, CLASSES)
    return (
        *_missing_ends(graph),
        *chain.from_iterable(
            _node_findings(name, node, classes.get(name, ""), as_it_was) for name, node in graph.nodes.items()
        ),
        *_parallel_edges(graph, late),
        *_delays(late),
    )


def _missing_ends(graph: Graph[ContinuousNode]) -> Iterator[Finding]:
    for kind in (Input, Output):
        if not any(isinstance(node, kind) for node in graph.nodes.values()):
            end = kind.__name__.lower()
            message = f"the graph has no {end}: NIR needs one"
            yield Finding(f"no_{end}", "error", "the graph", message, f"let the model have an {end}")


def _node_findings(name: str, node: ContinuousNode, made_of: str, as_it_was: bool) -> Iterator[Finding]:
    if fault := name_fault(name):
        message = f"the name {name!r} cannot stand in a .nir file: {fault}"
        yield Finding("name", "error", name, message, "rename the module in the model")
    if node.input_shape == () or node.output_shape == ():
        message = f"{type(node).__name__} without a feature axis: NIR has no shape for a single number"
        yield Finding("shape", "error", name, message, "give the raster a feature axis of one: [T, B, 1]")
    match node:
        case Pool(kind="max"):
            message = "max pooling: NIR has no primitive for it"
            yield Finding("pool_max", "error", name, message, "use average or sum pooling")
        case Conv() if not as_it_was and too_large(node):
            message = (
                f"the convolution would be written with {written_numbers(node):,} numbers instead of "
                f"{node.weight.size:,}: NIR needs square kernels without groups"
            )
            fix = f"use a kernel nearer to a square, or fewer groups: {MAX_WRITTEN_NUMBERS:,} numbers may be written"
            yield Finding("conv_size", "error", name, message, fix)
        case Elementwise() | Slice() | Pad() | Reorder():
            what = IN_WORDS[node.function] if isinstance(node, Elementwise) else _WORDS[type(node).__name__]
            message = f"{what} between layers: NIR has no primitive for it"
            yield Finding("layer", "error", name, message, "leave it out, or export to a target that carries it")
        case NeuronModel():
            yield from _neuron(name, node, made_of or node.kind.name)
        case _:
            pass


def _neuron(name: str, node: NeuronModel, what: str) -> Iterator[Finding]:
    if node.kind.name not in NEURONS:
        message = f"{what}: NIR has no primitive that takes its step"
        fix = "export to a target that carries its step"
        yield Finding("family", "error", name, message, fix)
    elif node.rule.reset == "subtract":
        message = f"{what} whose reset subtracts the threshold: NIR's equations reset to v_reset"
        fix = "use a reset to v_reset, or export to a target that carries it"
        yield Finding("rule", "error", name, message, fix)
    elif node.rule.reset == "zero" and np.any(node["v_reset"] != 0):
        message = f"{what} that resets to zero, with a v_reset that is not: NIR's equations reset to v_reset"
        yield Finding("rule", "error", name, message, "set v_reset to 0")
    else:
        yield from _infinite(name, **{tau: node[tau] for tau in node.kind.rates.values()})


def _infinite(name: str, **taus: np.ndarray) -> Iterator[Finding]:
    for field, tau in taus.items():
        if (bad := np.isinf(tau)).any():
            index = [int(k) for k in np.argwhere(bad)[0]]
            message = f"{field}{index} is infinite (its inverse is 0): NIR's time constants are finite numbers"
            fix = "use an inverse above 0" + (", or IAF where there is no leak" if field == "tau_mem" else "")
            yield Finding("tau", "error", name, message, fix)


def _parallel_edges(graph: Graph[ContinuousNode], late: Mapping[Edge, float | None]) -> Iterator[Finding]:
    ports: dict[tuple[str, str], list[Edge]] = {}
    for edge in (edge for edge in graph.edges if not edge.delay_steps or edge not in late):
        ports.setdefault((edge.source, edge.target), []).append(edge)
    for (source, target), edges in ports.items():
        if len(edges) > 1:
            message = f"{len(edges)} edges from {source!r} to {target!r}: NIR has at most one between two nodes"
            fix = "put a layer into one of the two ways"
            yield Finding("edge_parallel", "error", f"{source} -> {target}", message, fix)


def _delays(late: Mapping[Edge, float | None]) -> Iterator[Finding]:
    """A delay is written in seconds, so that it needs a time step; one step on a loop is understood."""
    for edge, dt in late.items():
        if dt is None:
            message = (
                f"a delay of {edge.delay_steps} steps from {edge.source!r} to {edge.target!r}: NIR's delays are in "
                "seconds, and no population of the graph says how long a step is"
            )
            fix = "remove the delay, or let the model have a population of neurons"
            yield Finding("delay", "error", f"{edge.source} -> {edge.target}", message, fix)
