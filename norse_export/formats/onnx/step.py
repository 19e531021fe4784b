"""A discrete graph -> the nodes of one time step: inputs and states in, outputs and states out.

Every value keeps the user's name: a signal that of the module which sends it, a weight or parameter that and its own
("fc.weight", "lif.alpha"). The state `v` of population `lif` enters as "lif.v" and leaves as "lif.v.next". What an edge
holds back is a state, too: "lif.delay1" is what `lif` sent one step ago.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, StringStringEntryProto, helper

from norse_export.ir.arrays import compact
from norse_export.ir.graph import Edge, Graph, Shape
from norse_export.ir.layers import Input, Output
from norse_export.ir.neurons import KINDS
from norse_export.ir.rasters import model_dtype
from norse_export.ir.shaping import Elementwise
from norse_export.ir.stages import DiscreteNode, Neuron
from norse_export.program.program import Family

from .bodies import DOMAIN, Body, float_body
from .document import few
from .layers import write_layer
from .names import Names

Array = NDArray[Any]
_TAUS = {rate: tau for kind in KINDS.values() for rate, tau in kind.rates.items()}


@dataclass(frozen=True, slots=True)
class State:
    """A value that is carried from step to step. of: population and variable; None for what an edge holds back.

    initial: before the first step, one number or [*shape]; `start` is its name as an initializer.
    """

    before: str
    after: str
    start: str
    shape: Shape
    initial: Array
    of: tuple[str, str] | None = None


@dataclass(slots=True)
class StepGraph:
    """One step. inputs: by their names, the shape of a frame; outputs likewise. spiking: populations that spike.

    tensors: initializers by module and field. module, notes: of what is being written.
    """

    dtype: str
    opset: int
    nodes: list[NodeProto] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)
    functions: dict[str, Body] = field(default_factory=dict)
    inputs: dict[str, Shape] = field(default_factory=dict)
    outputs: dict[str, Shape] = field(default_factory=dict)
    states: list[State] = field(default_factory=list)
    spiking: list[str] = field(default_factory=list)
    tensors: dict[tuple[str, str], str] = field(default_factory=dict)
    names: Names = field(default_factory=Names)
    module: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)

    def add(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> None:
        """Add a node of the module that is being written."""
        self._append(helper.make_node(operator, list(inputs), [output], **attributes))

    def call(self, body: Body, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        """Add a call of a local function."""
        self.functions[body.function.name] = body
        self._append(helper.make_node(body.function.name, list(inputs), list(outputs), domain=DOMAIN))

    def constant(self, field: str, value: Array) -> str:
        """Add an initializer of the module, numbers in the type of the model, and give its name."""
        name = self.tensors[self.module, field] = self.names.fresh(f"{self.module}.{field}")
        self.constants[name] = value.astype(self.dtype, copy=False) if value.dtype.kind == "f" else value
        return name

    def between(self, what: str) -> str:
        """A name for a value inside the module."""
        return self.names.fresh(f"{self.module}.{what}")

    def state(self, variable: str, shape: Shape, initial: Array, of: tuple[str, str] | None = None) -> State:
        """A state of the module."""
        before = f"{self.module}.{variable}"
        start = self.tensors[self.module, f"{variable}.initial"] = self.names.fresh(f"{before}.initial")
        return State(self.names.fresh(before), self.names.fresh(f"{before}.next"), start, shape, initial, of)

    def _append(self, node: NodeProto) -> None:
        node.name = self.names.fresh(f"{self.module}/{node.op_type}")
        notes = {"module": self.module, **self.notes}
        node.metadata_props.extend(StringStringEntryProto(key=f"{DOMAIN}.{k}", value=v) for k, v in notes.items())
        self.nodes.append(node)


def step_of(graph: Graph[DiscreteNode], *, opset: int) -> StepGraph:
    """Write a discrete graph, as document.computed gives it, as one step."""
    step = StepGraph(model_dtype(graph), opset, names=Names(graph.nodes))
    held = _held_back(graph, step)
    for name in graph.order:
        node = graph.nodes[name]
        step.module, step.notes = name, {}
        arriving = [_arriving(graph, name, port, step, held) for port in node.ports]
        match node:
            case Input():
                step.inputs[name] = node.shape
            case Neuron():
                _population(node, name, arriving, step)
            case Elementwise():
                body = _body(node.family, step)
                parameters = [step.constant(key, few(value)) for key, value in node.parameters.items()]
                step.call(body, (*arriving, *parameters), (name,))
            case _:
                write_layer(node, name, arriving[0], step, step.dtype)
                if isinstance(node, Output):
                    step.outputs[name] = node.shape
    _hold_back(held, step)
    return step


def _body(family: Family, step: StepGraph) -> Body:
    known = step.functions.get(family.name)
    return float_body(family, step.dtype, step.opset) if known is None else known


def _population(node: Neuron, name: str, arriving: Sequence[str], step: StepGraph) -> None:
    body = _body(node.family, step)
    step.notes = dict(_physics(node))
    states = [step.state(v, node.shape, few(value), (name, v)) for v, value in node.initial_state.items()]
    parameters = [
        step.constant(key, value if key in node.family.matrices else few(value))
        for key, value in node.parameters.items()
    ]
    step.call(body, (*arriving, *(s.before for s in states), *parameters), (name, *(s.after for s in states)))
    step.states += states
    if node.spikes:
        step.spiking.append(name)


def _physics(node: Neuron) -> Iterator[tuple[str, str]]:
    """dt, and the time constants that coefficients stand for, in seconds, where all neurons share them."""
    yield "dt", repr(node.dt)
    for rate, value in node.parameters.items():
        few = compact(value)
        if rate in _TAUS and few.size == 1:
            coefficient = float(few.reshape(-1)[0])
            yield _TAUS[rate], repr(node.dt / coefficient if coefficient else float("inf"))


def _arriving(
    graph: Graph[DiscreteNode], name: str, port: str, step: StepGraph, held: Mapping[str, list[State]]
) -> str:
    """What arrives at a port: the sum of what its edges carry, added in their order."""
    first, *others = (_carried(edge, held) for edge in graph.incoming(name, port))
    for other in others:
        total = step.between(port)
        step.add("Add", (first, other), total)
        first = total
    return first


def _carried(edge: Edge, held: Mapping[str, list[State]]) -> str:
    return edge.source if not edge.delay_steps else held[edge.source][edge.delay_steps - 1].before


def _held_back(graph: Graph[DiscreteNode], step: StepGraph) -> dict[str, list[State]]:
    """Of each source with late edges, what it sent one, two, ... steps ago: silence before the first step."""
    latest: dict[str, int] = {}
    for edge in graph.edges:
        if edge.delay_steps:
            latest[edge.source] = max(latest.get(edge.source, 0), edge.delay_steps)
    held: dict[str, list[State]] = {}
    for source, steps in latest.items():
        step.module, shape = source, graph.nodes[source].output_shape
        held[source] = [step.state(f"delay{k}", shape, np.zeros((), step.dtype)) for k in range(1, steps + 1)]
    return held


def _hold_back(held: Mapping[str, list[State]], step: StepGraph) -> None:
    """Move what is held back on by one step."""
    for source, states in held.items():
        step.module, step.notes = source, {}
        before = source
        for state in states:
            step.add("Identity", (before,), state.after)
            before = state.before
        step.states += states


def renamed(nodes: Sequence[NodeProto], names: Mapping[str, str]) -> list[NodeProto]:
    """Nodes like these, with other names for some values."""
    made = []
    for node in nodes:
        copy = NodeProto()
        copy.CopyFrom(node)
        copy.input[:] = [names.get(value, value) for value in node.input]
        copy.output[:] = [names.get(value, value) for value in node.output]
        made.append(copy)
    return made


__all__ = ["State", "StepGraph", "renamed", "step_of"]
