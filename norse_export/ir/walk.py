"""Walks a discrete graph: whole rasters through what is feed-forward, step by step through loops."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from norse_export.ir.graph import Edge, Graph, Shape, components
from norse_export.ir.layers import Layer, Output
from norse_export.ir.stages import DiscreteNode, Neuron

Signal = TypeVar("Signal")


class Arithmetic(Protocol[Signal]):
    """What flows along the edges: a signal is a stretch of time [T, B, *shape], with error bounds or without."""

    def layer(self, node: Layer, x: Signal) -> Signal:
        """Send a signal through a stateless layer."""

    def population(self, name: str, node: Neuron, ports: tuple[Signal, ...]) -> Signal:
        """Advance a population over a stretch of time, from the state that the stretch before it left."""

    def add(self, a: Signal, b: Signal) -> Signal:
        """Sum of two signals."""

    def silence(self, shape: Shape, steps: int) -> Signal:
        """Zeros over `steps` steps."""

    def part(self, x: Signal, start: int, stop: int) -> Signal:
        """A stretch of a signal."""

    def join(self, pieces: list[Signal]) -> Signal:
        """Stretches of time, one after the other."""


def execute(
    graph: Graph[DiscreteNode], inputs: Mapping[str, Signal], steps: int, arithmetic: Arithmetic[Signal]
) -> dict[str, Signal]:
    """Run the graph over `steps` steps and give what each population and each output sent, by name.

    What other nodes sent is forgotten once everything that it feeds has run.
    """
    sent: dict[str, Signal] = dict(inputs)

    def whole(edge: Edge) -> Signal:
        x = sent[edge.source]
        late = min(edge.delay_steps, steps)
        if not late:
            return x
        silence = arithmetic.silence(graph.nodes[edge.source].output_shape, late)
        return arithmetic.join([silence, arithmetic.part(x, 0, steps - late)])

    groups = components(graph)
    for group, finished in zip(groups, _finished(graph, groups), strict=True):
        if len(group) > 1 or any(edge.source == group[0] for edge in graph.incoming(group[0])):
            sent.update(_loop(graph, group, sent, steps, arithmetic))
        elif group[0] not in sent:
            sent[group[0]] = _advance(graph, group[0], arithmetic, whole)
        for name in finished:
            del sent[name]
    return sent


def _finished(graph: Graph[DiscreteNode], groups: tuple[tuple[str, ...], ...]) -> list[list[str]]:
    """For each group the nodes, other than populations and outputs, that nothing behind it reads."""
    last = {
        edge.source: number for number, group in enumerate(groups) for name in group for edge in graph.incoming(name)
    }
    finished: list[list[str]] = [[] for _ in groups]
    for name, number in last.items():
        if not isinstance(graph.nodes[name], Neuron | Output):
            finished[number].append(name)
    return finished


def _loop(
    graph: Graph[DiscreteNode],
    group: tuple[str, ...],
    sent: Mapping[str, Signal],
    steps: int,
    arithmetic: Arithmetic[Signal],
) -> dict[str, Signal]:
    """Advance the nodes of a loop together, one step at a time."""
    members = [name for name in graph.order if name in group]
    pieces: dict[str, list[Signal]] = {name: [] for name in members}

    def arriving(edge: Edge) -> Signal:
        when = step - edge.delay_steps
        if when < 0:
            return arithmetic.silence(graph.nodes[edge.source].output_shape, 1)
        if edge.source in pieces:
            return pieces[edge.source][when]
        return arithmetic.part(sent[edge.source], when, when + 1)

    for step in range(steps):  # noqa: B007  # read by `arriving`
        for name in members:
            pieces[name].append(_advance(graph, name, arithmetic, arriving))
    return {name: arithmetic.join(made) for name, made in pieces.items()}


def _advance(
    graph: Graph[DiscreteNode], name: str, arithmetic: Arithmetic[Signal], arriving: Callable[[Edge], Signal]
) -> Signal:
    node = graph.nodes[name]
    ports = []
    for port in node.ports:
        first, *others = (arriving(edge) for edge in graph.incoming(name, port))
        for other in others:
            first = arithmetic.add(first, other)
        ports.append(first)
    if isinstance(node, Neuron):
        return arithmetic.population(name, node, tuple(ports))
    return arithmetic.layer(node, ports[0])
