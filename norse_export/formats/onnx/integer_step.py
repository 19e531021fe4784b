"""A fixed graph -> one step of whole numbers, bit for bit that of interpret/fixed.py.

Rasters enter as floats that hold whole numbers, and are quantised with a scale of 1. Between populations int64 flows;
what a population that does not spike sends leaves as float64, in the model's units (DequantizeLinear has no float64).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np
from onnx import TensorProto

from norse_export.ir.arrays import few
from norse_export.ir.bounds import synapses_intervals
from norse_export.ir.fixed import FixedInput, Population, Synapses
from norse_export.ir.graph import Edge, Graph, Shape
from norse_export.ir.layers import Output
from norse_export.ir.notes import CLASSES, named
from norse_export.ir.shaping import Elementwise
from norse_export.ir.stages import FixedNode
from norse_export.program.elementwise import FUNCTIONS
from norse_export.program.operations import Op
from norse_export.program.program import Program

from .bodies import Body, float_body
from .integer_bodies import CLOCK, given, integer_body
from .layers import write_layer
from .names import Names
from .philox import PHILOX, philox_body
from .step import HeldBack, Signal, StepGraph, arriving, unchanged
from .synapses import deliveries, reach_of, write_synapses

_EXACT_SINGLE = 2**24  # whole numbers up to here are float32 numbers


def integer_step(graph: Graph[FixedNode], *, opset: int) -> StepGraph:
    """Write a fixed graph as one step.

    Raises:
        UnsupportedError: 64 bits do not hold a sum.
    """
    step = StepGraph("float64", opset, names=Names(graph.nodes))
    dtypes = {name: "int64" if _is_whole(node) else "float64" for name, node in graph.nodes.items()}
    held = HeldBack(graph, step, dtypes)
    sums = synapses_intervals(graph)
    writer = _Writer(step, graph)

    def real(edge: Edge, carried: str) -> str:
        return writer.real(carried) if dtypes[edge.source] == "int64" else carried

    for name in graph.order:
        node = graph.nodes[name]
        step.module, step.notes = name, {}
        each = unchanged if isinstance(node, FixedInput | Population | Synapses) else real
        taken = {port: arriving(graph, name, port, step, held, each) for port in node.ports}
        match node:
            case FixedInput():
                writer.input(name, node)
            case Population():
                writer.population(name, node, taken)
            case _ if isinstance(node, Synapses):
                write_synapses(node, name, taken["x"], step, reach_of(sums[name]))
            case _:
                writer.layer(name, node, list(taken.values()))
    held.move_on()
    writer.count_steps()
    return step


def _is_whole(node: FixedNode) -> bool:
    return isinstance(node, FixedInput | Synapses) or (isinstance(node, Population) and node.spikes)


class _Writer:
    """Writes nodes of a fixed graph, and what they share: functions, the number of the step, those of the samples."""

    def __init__(self, step: StepGraph, graph: Graph[FixedNode]) -> None:
        self.step = step
        self.raster = next((name for name, node in graph.nodes.items() if isinstance(node, FixedInput)), "")
        self.classes = named(graph, CLASSES)
        self.functions = Names((PHILOX, *FUNCTIONS, *deliveries(graph)))
        self.bodies: list[tuple[Program, Body]] = []
        self.clock: tuple[str, str] | None = None

    def input(self, name: str, node: FixedInput) -> None:
        """A raster of floats becomes whole numbers."""
        single = max(-node.low, node.high) <= _EXACT_SINGLE
        self.step.inputs[name] = Signal(node.shape, "float32" if single else "float64")
        self.step.ranges[name] = (node.low, node.high)
        value, x = self.step.between("whole"), name
        if node.low >= -128 and node.high <= 127:
            one = self.step.constant("scale", np.array(1, np.int8))
            scale = self.step.add("Cast", (one,), self.step.between("unit"), to=TensorProto.FLOAT)
            zero = self.step.constant("zero_point", np.array(0, np.int8))
            x = self.step.add("QuantizeLinear", (name, scale, zero), self.step.between("quantised"))
        self.step.add("Cast", (x,), value, to=TensorProto.INT64)
        self.step.values[name] = value

    def real(self, x: str) -> str:
        """Whole numbers as float64."""
        return self.step.add("Cast", (x,), self.step.between("real"), to=TensorProto.DOUBLE)

    def layer(self, name: str, node: FixedNode, values: list[str]) -> None:
        """A layer that the host computes, on float64."""
        if isinstance(node, Elementwise):
            parameters = [self.step.constant(key, few(value)) for key, value in node.parameters.items()]
            body = float_body(node.family, "float64", self.step.opset)
            self.step.call(body, (*values, *parameters), (name,))
            return
        write_layer(node, name, values[0], self.step, "float64")  # type: ignore[arg-type]  # a layer: nothing else is left
        if isinstance(node, Output):
            self.step.outputs[name] = Signal(node.shape, "float64")

    def population(self, name: str, node: Population, taken: Mapping[str, str]) -> None:
        """One call of the function that its program is."""
        step, program = self.step, node.program
        step.notes = {"dt": repr(node.dt)}
        step.populations.append(name)
        arriving = {port: self._at_most(port, x, node) for port, x in taken.items()}
        body = self._body(name, node)
        states = {v: step.state(v, node.shape, few(value), (name, v)) for v, value in node.initial_state.items()}
        values = arriving | {variable: state.before for variable, state in states.items()}
        values |= {key: step.constant(f"parameters.{key}", few(value)) for key, value in node.parameters.items()}
        if any(one.op in (Op.CLOCK, Op.RANDOM) for one in program.instructions):
            values[CLOCK] = self._time(len(node.shape))
        for number, stream in enumerate(program.random):
            values[stream] = self._random(node, number, values[CLOCK])
        sent = name if node.spikes else step.between("sent")
        outputs = [sent, *(states[variable].after for variable in program.variables)]
        if program.spike is not None and program.spike != program.output:
            outputs.append(step.between("spike"))
        if program.spike is not None:
            step.spiking[name] = outputs[-1] if program.spike != program.output else sent
            if program.spike not in program.truths:
                step.graded.add(name)
        for observed, _ in program.observe:
            step.observed[name, observed] = step.between(f"{observed}.observed")
            outputs.append(step.observed[name, observed])
        step.dtypes |= dict.fromkeys(outputs, "int64")
        step.call(body, [values[one] for one in given(program)], outputs)
        step.states += [states[variable] for variable in program.variables]
        step.units |= {states[variable].before: node.unit[variable] for variable in states if variable in node.unit}
        if not node.spikes:
            unit = node.unit.get("v", np.ones((), np.float64)).astype(np.float64)
            step.add("Mul", (self.real(sent), step.constant("unit.v", few(unit))), name)

    def _at_most(self, port: str, x: str, node: Population) -> str:
        """What arrives at a port that saturates."""
        if port not in node.saturated:
            return x
        top = self.step.constant(f"{port}.most", np.array(node.saturated[port], np.int64))
        less = self.step.add("Less", (x, top), self.step.between(f"{port}.less"))
        return self.step.add("Where", (less, x, top), self.step.between(f"{port}.saturated"))  # not Min: see bodies

    def _body(self, population: str, node: Population) -> Body:
        """The function of a program, named for the class of the first population that has it; others share it."""
        for program, known in self.bodies:
            if program == node.program:
                return known
        title = self.classes.get(population, "neuron").rpartition(" ")[2]
        name = self.functions.fresh(title if title.isidentifier() and title.isascii() else "neuron")
        made = integer_body(node.program, name, self.step.opset)
        self.bodies.append((node.program, made))
        return made

    def _time(self, axes: int) -> str:
        """The number of the step, int64 [B, 1, ...]: a state that counts, alike for every sample."""
        step, module = self.step, self.step.module
        if self.clock is None:
            step.module = "time"
            state = step.state("step", (), np.zeros((), np.int64))
            step.states.append(state)
            self.clock = (state.before, state.after)
            step.module = module
        shape = step.constant("time.shape", np.array([-1, *(1,) * axes], np.int64))
        return step.add("Reshape", (self.clock[0], shape), step.between("time"))

    def count_steps(self) -> None:
        """The number of the next step."""
        if self.clock is None:
            return
        self.step.module, self.step.notes = "time", {}
        one = self.step.constant("one", np.array(1, np.int64))
        self.step.add("Add", (self.clock[0], one), self.clock[1])

    def _random(self, node: Population, stream: int, time: str) -> str:
        """Words of 32 bits for each sample and neuron."""
        step = self.step
        first = step.add("Shape", (self.raster,), step.between("samples"), start=0, end=1)
        scalar = step.add("Squeeze", (first,), step.between("count"))
        zero, one = (step.constant(f"range.{k}", np.array(k, np.int64)) for k in (0, 1))
        numbers = step.add("Range", (zero, scalar, one), step.between("numbers"))
        shape: Shape = (-1, *(1,) * len(node.shape))
        sample = step.add(
            "Reshape", (numbers, step.constant("sample.shape", np.array(shape, np.int64))), step.between("sample")
        )
        neuron = step.constant("neurons", np.arange(prod(node.shape)).reshape(node.shape))
        counter = step.constant("stream", np.array(256 * node.key + stream, np.int64))
        keys = (node.seed & 0xFFFFFFFF, node.seed >> 32)
        key0, key1 = (step.constant(f"key{k}", np.array(key, np.int64)) for k, key in enumerate(keys))
        word = step.between("random")
        step.call(philox_body(step.opset), (neuron, time, sample, counter, key0, key1), (word,))
        return word
