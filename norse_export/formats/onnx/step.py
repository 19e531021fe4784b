"""One time step as ONNX nodes, while it is being written: inputs and states in, outputs and states out.

Every value keeps the user's name: a signal that of the module which sends it, a weight or parameter that and its own
("fc.weight", "lif.alpha"). The state `v` of population `lif` enters as "lif.v" and leaves as "lif.v.next". What an edge
holds back is a state, too; see HeldBack.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, StringStringEntryProto, helper

from norse_export.ir.graph import Edge, Graph, Shape

from .bodies import DOMAIN, Body
from .names import Names

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Signal:
    """What enters or leaves a step: feature shape and dtype."""

    shape: Shape
    dtype: str


@dataclass(frozen=True, slots=True)
class State:
    """A value that is carried from step to step. of: population and variable; None for what is held back or counted.

    initial: before the first step, one number or [*shape]; `start` is its name as an initializer.
    """

    before: str
    after: str
    start: str
    shape: Shape
    initial: Array
    of: tuple[str, str] | None = None

    @property
    def signal(self) -> Signal:
        """Its shape and dtype."""
        return Signal(self.shape, self.initial.dtype.name)


@dataclass(slots=True)
class StepGraph:
    """One step. dtype: of what flows between its nodes. inputs, outputs: by their names.

    spiking: of each population that spikes, the value that says so; graded: of these, those that may send more than one
    spike in a step. observed: of populations, further values by name.
    populations: all, those without a state or spikes, too. units: what a 1 of a whole number stands for, by the name
    of the state; ranges: least and largest number of an input.
    values: of nodes whose signal has another name than they. dtypes: of values that have another than `dtype`.
    tensors: initializers by module and field. module, notes: of what is being written.
    """

    dtype: str
    opset: int
    nodes: list[NodeProto] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)
    functions: dict[str, Body] = field(default_factory=dict)
    inputs: dict[str, Signal] = field(default_factory=dict)
    outputs: dict[str, Signal] = field(default_factory=dict)
    states: list[State] = field(default_factory=list)
    spiking: dict[str, str] = field(default_factory=dict)
    graded: set[str] = field(default_factory=set)
    populations: list[str] = field(default_factory=list)
    units: dict[str, Array] = field(default_factory=dict)
    ranges: dict[str, tuple[int, int]] = field(default_factory=dict)
    observed: dict[tuple[str, str], str] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    dtypes: dict[str, str] = field(default_factory=dict)
    tensors: dict[tuple[str, str], str] = field(default_factory=dict)
    names: Names = field(default_factory=Names)
    module: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)

    def add(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node of the module that is being written; gives the name of what it makes."""
        self._append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def call(self, body: Body, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        """Add a call of a local function."""
        self.functions[body.function.name] = body
        self._append(helper.make_node(body.function.name, list(inputs), list(outputs), domain=DOMAIN))

    def constant(self, field: str, value: Array) -> str:
        """Add an initializer of the module, floats in the type of the model, and give its name."""
        name = self.tensors[self.module, field] = self.names.fresh(f"{self.module}.{field}")
        self.constants[name] = value.astype(self.dtype, copy=False) if value.dtype.kind == "f" else value
        return name

    def between(self, what: str) -> str:
        """A name for a value inside the module."""
        return self.names.fresh(f"{self.module}.{what}")

    @staticmethod
    def kind(dtype: Any) -> int:
        """ONNX's number for a dtype."""
        return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def state(self, variable: str, shape: Shape, initial: Array, of: tuple[str, str] | None = None) -> State:
        """A state of the module; it has to be added to `states` with what it becomes."""
        before = f"{self.module}.{variable}"
        start = self.tensors[self.module, f"{variable}.initial"] = self.names.fresh(f"{before}.initial")
        return State(self.names.fresh(before), self.names.fresh(f"{before}.next"), start, shape, initial, of)

    def _append(self, node: NodeProto) -> None:
        node.name = self.names.fresh(f"{self.module}/{node.op_type}")
        notes = {"module": self.module, **self.notes}
        node.metadata_props.extend(StringStringEntryProto(key=f"{DOMAIN}.{k}", value=v) for k, v in notes.items())
        self.nodes.append(node)


class HeldBack:
    """What the late edges of a graph hold back, as states: silence before the first step.

    What a node sent one step ago is "lif.delay1". Of a node that is heard later than that, all that it sent is one
    state: "lif.past", [batch, steps, *shape], the last step first.
    """

    def __init__(self, graph: Graph[Any], step: StepGraph, dtypes: Mapping[str, str]) -> None:
        """dtypes: of what each node sends."""
        self.step = step
        self.latest: dict[str, int] = {}
        for edge in graph.edges:
            if edge.delay_steps:
                self.latest[edge.source] = max(self.latest.get(edge.source, 0), edge.delay_steps)
        self.states: dict[str, State] = {}
        self.read: dict[tuple[str, int], str] = {}
        for source, steps in self.latest.items():
            step.module, shape = source, graph.nodes[source].output_shape
            silence = np.zeros((), dtypes[source])
            name, whole = ("delay1", shape) if steps == 1 else ("past", (steps, *shape))
            self.states[source] = step.state(name, whole, silence)

    def carried(self, edge: Edge) -> str:
        """What an edge carries in this step."""
        source, late = edge.source, edge.delay_steps
        if not late:
            return self.step.values.get(source, source)
        before = self.states[source].before
        if self.latest[source] == 1:
            return before
        if (source, late) not in self.read:
            index = self.step.constant(f"{source}.late{late}", np.array(late - 1, np.int64))
            found = self.step.names.fresh(f"{source}.delay{late}")
            self.read[source, late] = self.step.add("Gather", (before, index), found, axis=1)
        return self.read[source, late]

    def move_on(self) -> None:
        """What was held back for some steps is held back for one more."""
        step = self.step
        for source, state in self.states.items():
            step.module, step.notes = source, {}
            sent = step.values.get(source, source)
            if self.latest[source] == 1:
                step.add("Identity", (sent,), state.after)
            else:
                second, ends = (step.constant(key, np.array([k], np.int64)) for key, k in (("axis", 1), ("rest", -1)))
                first = step.constant("first", np.array([0], np.int64))
                newest = step.add("Unsqueeze", (sent, second), step.between("newest"))
                older = step.add("Slice", (state.before, first, ends, second), step.between("older"))
                step.add("Concat", (newest, older), state.after, axis=1)
            step.states.append(state)


def unchanged(_: Edge, carried: str) -> str:
    """What an edge carries, as it is."""
    return carried


def arriving(
    graph: Graph[Any],
    name: str,
    port: str,
    step: StepGraph,
    held: HeldBack,
    each: Callable[[Edge, str], str] = unchanged,
) -> str:
    """What arrives at a port: the sum of what its edges carry, `each` made what it has to be, added in their order."""
    first, *others = (each(edge, held.carried(edge)) for edge in graph.incoming(name, port))
    for other in others:
        first = step.add("Add", (first, other), step.between(port))
    return first


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
