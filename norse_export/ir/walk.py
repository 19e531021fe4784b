"""Walks a graph of any stage: whole rasters through what is feed-forward, step by step through loops."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from norse_export.ir.fixed import Population
from norse_export.ir.graph import Edge, Graph, N, Shape, components
from norse_export.ir.layers import Output
from norse_export.ir.stages import Neuron

Signal = TypeVar("Signal")
Taken = TypeVar("Taken", contravariant=True)


class Arithmetic(Protocol[Signal, Taken]):
    """What flows along the edges: a signal is a stretch of time [T, B, *shape], with error bounds or without."""

    def advance(self, name: str, node: Taken, ports: tuple[Signal, ...]) -> Signal:
        """Send a stretch of time through a node: a population from the state that the stretch before it left."""

    def add(self, a: Signal, b: Signal) -> Signal:
        """Sum of two signals."""

    def silence(self, shape: Shape, steps: int) -> Signal:
        """Zeros over `steps` steps."""

    def part(self, x: Signal, start: int, stop: int) -> Signal:
        """A stretch of a signal."""

    def join(self, pieces: list[Signal]) -> Signal:
        """Stretches of time, one after the other."""


def execute(
    graph: Graph[N], inputs: Mapping[str, Signal], steps: int, arithmetic: Arithmetic[Signal, N]
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


def _finished(graph: Graph[N], groups: tuple[tuple[str, ...], ...]) -> list[list[str]]:
    """For each group the nodes, other than populations and outputs, that nothing behind it reads."""
    last = {
        edge.source: number for number, group in enumerate(groups) for name in group for edge in graph.incoming(name)
    }
    finished: list[list[str]] = [[] for _ in groups]
    for name, number in last.items():
        if not isinstance(graph.nodes[name], Neuron | Population | Output):
            finished[number].append(name)
    return finished


def _loop(
    graph: Graph[N],
    group: tuple[str, ...],
    sent: Mapping[str, Signal],
    steps: int,
    arithmetic: Arithmetic[Signal, N],
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
    graph: Graph[N], name: str, arithmetic: Arithmetic[Signal, N], arriving: Callable[[Edge], Signal]
) -> Signal:
    node = graph.nodes[name]
    ports = []
    for port in node.ports:
        first, *others = (arriving(edge) for edge in graph.incoming(name, port))
        for other in others:
            first = arithmetic.add(first, other)
        ports.append(first)
    return arithmetic.advance(name, node, tuple(ports))
