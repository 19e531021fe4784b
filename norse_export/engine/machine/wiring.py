"""How a placed fixed graph is wired on the machine: depths, what feeds what, addresses of accumulators."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from norse_export.engine.machine.config import MAX_SIDE, MachineConfig
from norse_export.errors import CapacityError, Finding, GraphError
from norse_export.ir.fixed import ConvSynapses, DenseSynapses, FixedInput, Population, SparseSynapses, Synapses
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Output
from norse_export.ir.placement import Placement, check_placement
from norse_export.ir.stages import FixedNode

IntArray = NDArray[np.int64]
SYNAPSES = (DenseSynapses, ConvSynapses, SparseSynapses)


@dataclass(frozen=True, slots=True)
class Target:
    """An input of a population, and where its accumulators stand: core and address for each neuron."""

    core: IntArray
    address: IntArray


def check_wiring(graph: Graph[FixedNode], placement: Placement, config: MachineConfig) -> None:
    """Refuse what the machine cannot hold or has no wires for.

    Raises:
        GraphError: a placement of another graph, a population that is fed by something other than synapses, synapses
            that are fed by something other than inputs and spiking populations.
        CapacityError: mesh, delays, weights or accumulators beyond the widths of the machine; every one is a finding.
    """
    check_placement(placement, graph)
    if findings := unwired(graph):
        raise GraphError.of(findings)
    if findings := [*_too_large(graph, placement, config)]:
        raise CapacityError.of(findings)


def unwired(graph: Graph[FixedNode]) -> list[Finding]:
    """Every edge that the machine has no wires for, wherever the neurons stand."""
    return [finding for edge in graph.edges for finding in _unwired(graph, edge)]


def sources(graph: Graph[FixedNode]) -> tuple[str, ...]:
    """Inputs and populations, in the graph's order."""
    return tuple(name for name in graph.order if isinstance(graph.nodes[name], FixedInput | Population))


def depths(graph: Graph[FixedNode]) -> dict[str, int]:
    """Depth of each source: its round."""
    found: dict[str, int] = {}
    for name in sources(graph):
        before = [
            found[edge.source]
            for into in graph.incoming(name)
            for edge in graph.incoming(into.source)
            if not edge.delay_steps
        ]
        found[name] = 1 + max(before) if before else 0
    return found


def inputs_of(graph: Graph[FixedNode], population: str) -> tuple[Edge, ...]:
    """The edges from synapses to a population, ports in their order."""
    return tuple(edge for port in graph.nodes[population].ports for edge in graph.incoming(population, port))


def read_by_host(graph: Graph[FixedNode]) -> frozenset[str]:
    """Populations whose events the host needs: a path without another population leads to an output."""
    reached = {name for name, node in graph.nodes.items() if isinstance(node, Output)}
    open_nodes, read = list(reached), set()
    while open_nodes:
        for edge in graph.incoming(open_nodes.pop()):
            if isinstance(graph.nodes[edge.source], Population):
                read.add(edge.source)
            elif edge.source not in reached:
                reached.add(edge.source)
                open_nodes.append(edge.source)
    return frozenset(read)


def accumulators(graph: Graph[FixedNode], placement: Placement) -> tuple[dict[Edge, Target], IntArray]:
    """For each input of each population the place of its accumulators, and how many each core uses."""
    used = np.zeros(placement.cores, np.int64)
    targets: dict[Edge, Target] = {}
    for name, size in placement.sizes.items():
        for edge in inputs_of(graph, name):
            targets[edge] = Target(np.zeros(size, np.int64), np.zeros(size, np.int64))
    for core, parts in placement.by_core.items():
        for part in parts:
            for edge in inputs_of(graph, part.population):
                targets[edge].core[part.start : part.stop] = core
                targets[edge].address[part.start : part.stop] = used[core] + np.arange(part.neurons)
                used[core] += part.neurons
    return targets, used


def _unwired(graph: Graph[FixedNode], edge: Edge) -> list[Finding]:
    source, target = graph.nodes[edge.source], graph.nodes[edge.target]
    where = f"edge {edge.source} -> {edge.target}"
    if isinstance(target, Population) and (not isinstance(source, SYNAPSES) or edge.delay_steps):
        message = "a population is fed by synapses, without delay"
        return [Finding("wiring", "error", where, message, "put the delay in front of the synapses")]
    sends = isinstance(source, FixedInput) or (isinstance(source, Population) and source.spikes)
    if isinstance(target, SYNAPSES) and not sends:
        message = "synapses are fed by inputs and by populations that spike"
        return [Finding("wiring", "error", where, message, "put a population of spiking neurons in between")]
    return []


def _too_large(graph: Graph[FixedNode], placement: Placement, config: MachineConfig) -> list[Finding]:
    findings = []

    def found(where: str, message: str, fix: str) -> None:
        findings.append(Finding("machine", "error", where, message, fix))

    if max(placement.width, placement.height) > MAX_SIDE:
        message = f"a mesh of {placement.width} x {placement.height} cores"
        found("placement", message, f"place the graph on a mesh of at most {MAX_SIDE} x {MAX_SIDE}")
    for edge in graph.edges:
        if isinstance(graph.nodes[edge.target], SYNAPSES) and edge.delay_steps >= config.delay_slots:
            where = f"edge {edge.source} -> {edge.target}"
            fix = f"give the machine delay_slots = {edge.delay_steps + 1} or more"
            found(where, f"a delay of {edge.delay_steps} steps, the ring has {config.delay_slots} slots", fix)
    for name, node in graph.nodes.items():
        if isinstance(node, SYNAPSES) and (bits := weight_bits(node)) > config.weight_bits:
            message = f"weights of {bits} bits, a word has places of {config.weight_bits}"
            found(name, message, f"give the machine weight_bits = {bits}")
    for core, used in enumerate(accumulators(graph, placement)[1]):
        if used > config.accumulators:
            message = f"{used} accumulators, the core has {config.accumulators}"
            found(f"core {core}", message, "place fewer neurons on it, or give the machine more index_bits")
    return findings


def weight_bits(node: Synapses) -> int:
    """How many bits the weights need, two's complement."""
    if not node.weight.size:
        return 1
    extremes = (int(node.weight.min()), int(node.weight.max()))
    return 1 + max((value if value >= 0 else -1 - value).bit_length() for value in extremes)
