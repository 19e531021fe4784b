"""Discrete graph -> populations and the real weights between them: what every chip asks for.

Between two populations, or an input and a population, stand layers: weights, pooling, sums, delays. All that is linear
in them becomes one `Projection` for each path, its biases a constant at the port. Max pooling over spikes is a
population without a state, which spikes where any cell of its window did. A function of each cell that is not linear,
as relu, is a population without a state that sends numbers, for targets that take such. What stands behind the last
spikes and ends in an output stays as it is: the host computes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.engine import layers
from norse_export.errors import Finding, UnsupportedError
from norse_export.ir.arrays import FloatArray
from norse_export.ir.graph import Graph
from norse_export.ir.layers import Conv, Flatten, Input, Linear, Output, Pool, Scale, Sum
from norse_export.ir.shaping import Elementwise
from norse_export.ir.stages import DiscreteNode, Neuron
from norse_export.passes.linear import composed
from norse_export.passes.lowered import ANY_SPIKE, ELSEWHERE, InputRange, Lowered, Projection
from norse_export.program.elementwise import IN_WORDS

Array = NDArray[Any]
MAX_PATHS = 1024  # from spikes to one port
_LINEAR = ("offset", "quotient", "difference")  # functions that are weights and biases
ENCODE = "encode the input into spikes, or give whole numbers"


def input_ranges(inputs: Mapping[str, Array]) -> dict[str, InputRange]:
    """The ranges of rasters of whole numbers.

    Raises:
        UnsupportedError: a raster of other numbers (every such input is named), or of more than 31 bits.
    """
    findings, ranges = [], {}
    for name, raster in inputs.items():
        low, high = min(0, raster.min()), max(1, raster.max())
        if np.any(raster != np.rint(raster)) or max(-low, high) >= 2**31:
            message = (
                f"the input holds numbers from {raster.min():g} to {raster.max():g}, which are no counts of spikes"
            )
            findings.append(Finding("analog_input", "error", name, message, ENCODE))
        else:
            ranges[name] = InputRange(int(low), int(high))
    if findings:
        raise UnsupportedError.of(findings)
    return ranges


def lower(
    graph: Graph[DiscreteNode], ranges: Mapping[str, InputRange] | None = None, *, functions: bool = False
) -> Lowered:
    """Find populations, projections and constants.

    ranges: of inputs; one that is not named takes 0 and 1. functions: those of each cell become populations that send
    numbers; else they are refused.

    Raises:
        UnsupportedError: whatever the spikes alone cannot carry: membrane values that reach neurons, max pooling over
            anything but spikes, loops without neurons, a delay behind a bias. Every one is a finding.
    """
    walk = _Walk(graph, dict(ranges or {}), functions=functions)
    neurons = [name for name in graph.order if isinstance(graph.nodes[name], Neuron)]
    if not neurons:
        walk.refuse("no_neurons", "the model", "the model has no neurons", "export a model of spiking neurons")
    walk.follow()
    pools = {name for name in walk.pools if walk.reaches_neuron(name)}
    between = pools | {name for name in walk.functions if walk.reaches_neuron(name)}
    populations = {name: walk.population(name) for name in graph.order if name in between or name in neurons}
    projections = [made for name in populations for made in walk.onto(name)]
    constants = {name: walk.constants(name) for name in populations if name not in pools}
    host = walk.host(set(populations))
    if walk.findings:
        raise UnsupportedError.of(list(dict.fromkeys(walk.findings)))
    inputs = {name: node for name, node in graph.nodes.items() if isinstance(node, Input)}
    return Lowered(
        inputs={name: (node, walk.ranges.get(name, InputRange())) for name, node in inputs.items()},
        populations=MappingProxyType(populations),
        projections=_named(projections, {*populations, *inputs, *host}),
        constants={name: found for name, found in constants.items() if found},
        host={name: node for name in graph.order if name in host and not isinstance(node := graph.nodes[name], Neuron)},
        host_edges=tuple(edge for edge in graph.edges if edge.target in host),
        metadata=graph.metadata,
    )


@dataclass(frozen=True, slots=True)
class _Path:
    """From the spikes of a source through layers. minus: what arrives is subtracted."""

    source: str
    delay_steps: int = 0
    layers: tuple[str, ...] = ()
    minus: bool = False


class _Walk:
    """What every node sends, as paths from spikes and a constant; problems found on the way."""

    def __init__(self, graph: Graph[DiscreteNode], ranges: dict[str, InputRange], *, functions: bool) -> None:
        self.graph, self.ranges = graph, ranges
        nodes = graph.nodes.items() if functions else ()
        self.functions = [n for n, node in nodes if isinstance(node, Elementwise) and node.function not in _LINEAR]
        self.findings: list[Finding] = []
        self.paths: dict[str, tuple[_Path, ...]] = {}
        self.constant: dict[str, Array | None] = {}
        self.pools = [n for n, node in graph.nodes.items() if isinstance(node, Pool) and node.kind == "max"]

    def refuse(self, kind: str, where: str, message: str, fix: str) -> None:
        self.findings.append(Finding(kind, "error", where, message, fix))

    def reaches_neuron(self, name: str) -> bool:
        """Whether what a node sends arrives at a neuron through layers."""
        seen, found = {name}, [name]
        while found:
            for edge in self.graph.outgoing(found.pop()):
                if isinstance(self.graph.nodes[edge.target], Neuron):
                    return True
                if edge.target not in seen:
                    seen.add(edge.target)
                    found.append(edge.target)
        return False

    def follow(self) -> None:
        """Fill in paths and constants of every node that leads to a neuron, each behind those before it."""
        nodes = self.graph.nodes
        sources = {n for n, node in nodes.items() if isinstance(node, Input | Neuron)}
        for name in sources:
            self.paths[name], self.constant[name] = self._of_source(name), None
        waiting = [name for name in nodes if name not in sources and self.reaches_neuron(name)]
        while waiting:
            ready = [n for n in waiting if all(edge.source in self.paths for edge in self.graph.incoming(n))]
            if not ready:
                message = f"a loop without a neuron: {', '.join(waiting)}"
                self.refuse("loop", waiting[0], message, "put a neuron into the loop")
                self.paths |= dict.fromkeys(waiting, ())
                self.constant |= dict.fromkeys(waiting, None)
                return
            for name in ready:
                self.paths[name], self.constant[name] = self._of_layer(name), self._constant_of(name)
            waiting = [name for name in waiting if name not in ready]

    def _of_source(self, name: str) -> tuple[_Path, ...]:
        node = self.graph.nodes[name]
        if isinstance(node, Neuron) and not node.spikes and self.reaches_neuron(name):
            message = f"membrane values of {name!r}, a layer that does not spike, are the input of neurons"
            fix = "use spiking neurons (LIF) between layers; leaky integrators (LI) only before the output"
            self.refuse("analog_values", name, message, fix)
            return ()
        return (_Path(name),)

    def _of_layer(self, name: str) -> tuple[_Path, ...]:
        node = self.graph.nodes[name]
        arriving = self.arriving(name, node.ports[0])
        if name in self.pools:
            self._check_pool(name, arriving)
            return (_Path(name),)
        if name in self.functions:
            self._check_function(name)
            return (_Path(name),)
        if isinstance(node, Elementwise) and node.function not in _LINEAR:
            message = f"{IN_WORDS[node.function]} between spikes and neurons: the chip knows sums of weights only"
            self.refuse("function", name, message, f"put the function behind the last neurons; or {ELSEWHERE}")
            return ()
        for port in node.ports[1:]:  # of a difference
            arriving += tuple(replace(path, minus=not path.minus) for path in self.arriving(name, port))
        if len(arriving) > MAX_PATHS:
            message = f"more than {MAX_PATHS} paths lead from spikes to this layer"
            self.refuse("paths", name, message, "put neurons between the branches")
            return ()
        return tuple(replace(path, layers=(*path.layers, name)) for path in arriving)

    def arriving(self, name: str, port: str) -> tuple[_Path, ...]:
        """Paths that end at a port."""
        return tuple(
            replace(path, delay_steps=path.delay_steps + edge.delay_steps)
            for edge in self.graph.incoming(name, port)
            for path in self.paths[edge.source]
        )

    def _check_function(self, name: str) -> None:
        """A function that an output reads, too, would be computed twice: in whole numbers, and by the host."""
        found, seen = [name], {name}
        while found:
            for edge in self.graph.outgoing(found.pop()):
                node = self.graph.nodes[edge.target]
                if isinstance(node, Output):
                    message = f"the output {edge.target!r} reads the function that neurons read, too"
                    self.refuse("function", name, message, "compute the function twice, in a module for each")
                    return
                if not isinstance(node, Neuron) and edge.target not in (*seen, *self.functions, *self.pools):
                    seen.add(edge.target)
                    found.append(edge.target)

    def _check_pool(self, name: str, arriving: tuple[_Path, ...]) -> None:
        shaping = all(isinstance(self.graph.nodes[n], Flatten | Sum) for path in arriving for n in path.layers)
        counts = [p.source for p in arriving if self._range(p.source) != InputRange() or p.source in self.functions]
        if len(arriving) != 1 or not shaping or counts or self._constant_of(name) is not None:
            message = "max pooling over anything but the spikes of one layer"
            self.refuse("max_pool", name, message, "pool the spikes of neurons, or use average pooling")

    def _range(self, source: str) -> InputRange:
        return self.ranges.get(source, InputRange()) if source not in self.pools else InputRange()

    def _constant_of(self, name: str) -> Array | None:
        """What a layer sends while everything before it is silent, [*shape]; None for zeros."""
        node: Any = self.graph.nodes[name]
        if name in self.functions:  # it sends all that it makes of them
            return None
        totals = [self._arriving_constant(name, port) for port in node.ports]
        biased = isinstance(node, Linear | Conv) and node.bias is not None and bool(np.any(node.bias))
        biased = biased or (isinstance(node, Elementwise) and node.function == "offset")
        if all(total is None for total in totals) and not biased:
            return None
        given = [np.zeros(node.input_shape) if total is None else total for total in totals]
        return np.asarray(layers.apply(node, *(x[np.newaxis] for x in given))[0])

    def _arriving_constant(self, name: str, port: str) -> Array | None:
        total: Array | None = None
        for edge in self.graph.incoming(name, port):
            constant = self.constant[edge.source]
            if constant is None:
                continue
            if edge.delay_steps:
                message = f"a delay of {edge.delay_steps} steps behind a bias: it is missing in the first steps"
                self.refuse("bias_delay", f"{edge.source} -> {name}", message, "put the delay before the layer")
            total = constant if total is None else total + constant
        return total

    def population(self, name: str) -> Neuron:
        node = self.graph.nodes[name]
        if isinstance(node, Neuron):
            return node
        dt = next(n.dt for n in self.graph.nodes.values() if isinstance(n, Neuron))
        if isinstance(node, Elementwise):
            return Neuron(family=node.family, shape=node.shape, parameters=node.parameters, initial_state={}, dt=dt)
        return Neuron(family=ANY_SPIKE, shape=node.output_shape, parameters={}, initial_state={}, dt=dt)

    def onto(self, name: str) -> list[Projection]:
        """Projections onto a population, named by their layers alone."""
        node, made = self.graph.nodes[name], []
        if self.findings:
            return []
        for port in node.ports:
            for path in self.arriving(name, port):
                chain = [self.graph.nodes[n] for n in path.layers]
                names = tuple(n for n in path.layers if isinstance(self.graph.nodes[n], Linear | Conv | Pool | Scale))
                chain = [_linear(layer) for layer in chain]
                if isinstance(node, Pool):
                    chain, names = [*chain, replace(node, kind="sum")], (*names, name)
                unit, source = self._range(path.source).unit, self.graph.nodes[path.source]
                factor = -unit if path.minus else unit
                if factor != 1:
                    chain = [Scale(np.full(source.output_shape, factor)), *chain]
                weights = composed(chain, source.output_shape)  # type: ignore[arg-type]  # layers: paths have no neurons
                made.append(Projection("+".join(names), path.source, name, port, path.delay_steps, names, weights))
        return made

    def constants(self, name: str) -> dict[str, FloatArray]:
        node = self.graph.nodes[name]
        found = {port: self._arriving_constant(name, port) for port in node.ports}
        return {port: value for port, value in found.items() if value is not None and np.any(value)}

    def host(self, populations: set[str]) -> set[str]:
        """Outputs, and the layers before them back to populations and inputs."""
        found = [name for name, node in self.graph.nodes.items() if isinstance(node, Output)]
        host = set(found)
        while found:
            for edge in self.graph.incoming(found.pop()):
                node = self.graph.nodes[edge.source]
                if isinstance(node, Input) and self._range(edge.source).unit != 1:
                    message = f"an input of the unit {self._range(edge.source).unit:g} that is read by an output"
                    self.refuse("analog_input", edge.source, message, ENCODE)
                if edge.source not in host | populations and not isinstance(node, Input):
                    host.add(edge.source)
                    found.append(edge.source)
        return host


def _linear(layer: Any) -> Any:
    """A function that is linear but for a constant, as the scale of its signal; any other layer as it is."""
    if not isinstance(layer, Elementwise):
        return layer
    divisor = layer.parameters.get("divisor")
    return Scale(np.ones(layer.shape) if divisor is None else 1 / divisor.astype(np.float64))


def _named(projections: list[Projection], taken: set[str]) -> tuple[Projection, ...]:
    """The projections under unique names: of their layers; with the source, then a number, where that is not enough."""
    used, named = set(taken), []
    for made in projections:
        plain = made.name or f"{made.source} to {made.target}"
        choices = [plain, f"{plain} from {made.source}", f"{plain} from {made.source} to {made.target}.{made.port}"]
        numbered = (f"{choices[-1]} ({number})" for number in range(2, len(projections) + 2))
        name = next(choice for choice in (*choices, *numbered) if choice not in used)
        used.add(name)
        named.append(replace(made, name=name))
    return tuple(named)
