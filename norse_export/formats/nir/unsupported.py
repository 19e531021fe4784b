"""What of a continuous graph NIR cannot express: every finding at once, each by name. Never approximated."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import numpy as np

from norse_export.errors import Finding
from norse_export.formats.hdf5_names import name_fault
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Conv, Input, Output, Pool
from norse_export.ir.neurons import NeuronModel
from norse_export.ir.shaping import Elementwise, Pad, Slice
from norse_export.ir.stages import ContinuousNode

from .conv_form import MAX_WRITTEN_NUMBERS, too_large, written_numbers
from .notes import LOOP_DELAY_STEPS
from .to_neurons import NEURONS

_TARGETS_IN_A_SWEEP = 4096  # bits for each node: 50 MB for 100,000 nodes


def unsupported(graph: Graph[ContinuousNode]) -> tuple[Finding, ...]:
    """Give all that stands in the way of writing the graph as NIR; empty: it can be written."""
    return (
        *_missing_ends(graph),
        *chain.from_iterable(_node_findings(name, node) for name, node in graph.nodes.items()),
        *_parallel_edges(graph),
        *_delays(graph),
    )


def _missing_ends(graph: Graph[ContinuousNode]) -> Iterator[Finding]:
    for kind in (Input, Output):
        if not any(isinstance(node, kind) for node in graph.nodes.values()):
            end = kind.__name__.lower()
            message = f"the graph has no {end}: NIR needs one"
            yield Finding(f"no_{end}", "error", "the graph", message, f"let the model have an {end}")


def _node_findings(name: str, node: ContinuousNode) -> Iterator[Finding]:
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
        case Conv() if too_large(node):
            message = (
                f"the convolution would be written with {written_numbers(node):,} numbers instead of "
                f"{node.weight.size:,}: NIR needs square kernels without groups"
            )
            fix = f"use a kernel nearer to a square, or fewer groups: {MAX_WRITTEN_NUMBERS:,} numbers may be written"
            yield Finding("conv_size", "error", name, message, fix)
        case Elementwise() | Slice() | Pad():
            what = f"the function {node.function}" if isinstance(node, Elementwise) else type(node).__name__.lower()
            message = f"{what} between layers: NIR has no primitive for it"
            yield Finding("layer", "error", name, message, "leave it out, or export to a target that carries it")
        case NeuronModel():
            yield from _neuron(name, node)
        case _:
            pass


def _neuron(name: str, node: NeuronModel) -> Iterator[Finding]:
    if node.kind.name not in NEURONS:
        message = f"{node.kind.name}: NIR has no primitive for this kind of neuron"
        fix = "export to a target that carries its step: norse-export targets lists them"
        yield Finding("family", "error", name, message, fix)
    elif node.rule.reset == "subtract":
        message = f"{node.kind.name} whose reset subtracts the threshold: NIR's equations reset to v_reset"
        fix = "use a reset to v_reset, or export to a target that carries it: norse-export targets lists them"
        yield Finding("rule", "error", name, message, fix)
    elif node.rule.reset == "zero" and np.any(node["v_reset"] != 0):
        message = f"{node.kind.name} that resets to zero, with a v_reset that is not: NIR's equations reset to v_reset"
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


def _parallel_edges(graph: Graph[ContinuousNode]) -> Iterator[Finding]:
    ports: dict[tuple[str, str], list[Edge]] = {}
    for edge in graph.edges:
        ports.setdefault((edge.source, edge.target), []).append(edge)
    for (source, target), edges in ports.items():
        if len(edges) > 1:
            message = f"{len(edges)} edges from {source!r} to {target!r}: NIR has at most one between two nodes"
            fix = "put a layer into one of the two ways"
            yield Finding("edge_parallel", "error", f"{source} -> {target}", message, fix)


def _delays(graph: Graph[ContinuousNode]) -> Iterator[Finding]:
    """NIR's edges have no delay. That a loop takes one step is understood; any other delay would be lost."""
    closing = _closing(graph)
    for edge in graph.edges:
        if edge.delay_steps and edge not in closing:
            message = (
                f"a delay of {edge.delay_steps} steps from {edge.source!r} to {edge.target!r}: "
                "in NIR only a loop takes time, and one step"
            )
            fix = "remove the delay, or leave one step on each loop"
            yield Finding("delay", "error", f"{edge.source} -> {edge.target}", message, fix)


def _closing(graph: Graph[ContinuousNode]) -> set[Edge]:
    """Edges of one step whose target leads back to their source without any further delay.

    Two nodes of one strongly connected component may be joined by loops of several steps only, so components alone do
    not tell. One sweep in the graph's order finds, as bits, which of many targets lead to each node.
    """
    delayed = [edge for edge in graph.edges if edge.delay_steps == LOOP_DELAY_STEPS]
    targets = list(dict.fromkeys(edge.target for edge in delayed))
    closing: set[Edge] = set()
    for first in range(0, len(targets), _TARGETS_IN_A_SWEEP):
        bit = {name: 1 << k for k, name in enumerate(targets[first : first + _TARGETS_IN_A_SWEEP])}
        led: dict[str, int] = {}
        for name in graph.order:
            led[name] = bit.get(name, 0)
            for edge in graph.incoming(name):
                if not edge.delay_steps:
                    led[name] |= led[edge.source]
        closing.update(edge for edge in delayed if led[edge.source] & bit.get(edge.target, 0))
    return closing
