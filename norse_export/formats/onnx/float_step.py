"""A discrete graph -> one step of floats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from norse_export.ir.arrays import few
from norse_export.ir.graph import Graph
from norse_export.ir.layers import Input, Output
from norse_export.ir.neurons import KINDS
from norse_export.ir.rasters import model_dtype
from norse_export.ir.shaping import Elementwise
from norse_export.ir.stages import DiscreteNode, Neuron
from norse_export.program.program import Family

from .bodies import Body, float_body
from .layers import write_layer
from .names import Names
from .step import HeldBack, Signal, StepGraph, arriving

_TAUS = {rate: tau for kind in KINDS.values() for rate, tau in kind.rates.items()}


def float_step(graph: Graph[DiscreteNode], *, opset: int) -> StepGraph:
    """Write a discrete graph, as document.computed gives it, as one step."""
    dtype = model_dtype(graph)
    step = StepGraph(dtype, opset, names=Names(graph.nodes))
    held = HeldBack(graph, step, dict.fromkeys(graph.nodes, dtype))
    for name in graph.order:
        node = graph.nodes[name]
        step.module, step.notes = name, {}
        given = [arriving(graph, name, port, step, held) for port in node.ports]
        match node:
            case Input():
                step.inputs[name] = Signal(node.shape, dtype)
            case Neuron():
                _population(node, name, given, step)
            case Elementwise():
                parameters = [step.constant(key, few(value)) for key, value in node.parameters.items()]
                step.call(_body(node.family, step), (*given, *parameters), (name,))
            case _:
                write_layer(node, name, given[0], step, dtype)
                if isinstance(node, Output):
                    step.outputs[name] = Signal(node.shape, dtype)
    held.move_on()
    return step


def _body(family: Family, step: StepGraph) -> Body:
    known = step.functions.get(family.name)
    return float_body(family, step.dtype, step.opset) if known is None else known


def _population(node: Neuron, name: str, given: Sequence[str], step: StepGraph) -> None:
    step.notes = dict(_physics(node))
    step.populations.append(name)
    states = [step.state(v, node.shape, few(value), (name, v)) for v, value in node.initial_state.items()]
    parameters = [
        step.constant(key, value if key in node.family.matrices else few(value))
        for key, value in node.parameters.items()
    ]
    taken = (*given, *(state.before for state in states), *parameters)
    step.call(_body(node.family, step), taken, (name, *(state.after for state in states)))
    step.states += states
    if node.spikes:
        step.spiking[name] = name


def _physics(node: Neuron) -> Iterator[tuple[str, str]]:
    """dt, and the time constants that coefficients stand for, in seconds, where all neurons share them."""
    yield "dt", repr(node.dt)
    for rate, value in node.parameters.items():
        held = few(value)
        if rate in _TAUS and not held.shape:
            coefficient = float(held)
            yield _TAUS[rate], repr(node.dt / coefficient if coefficient else float("inf"))
