"""Continuous graph -> discrete graph: each differential equation becomes the framework's own step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from norse_export.ir.arrays import FloatArray, compact
from norse_export.ir.delay import Delay
from norse_export.ir.graph import Graph
from norse_export.ir.neurons import NeuronModel
from norse_export.ir.notes import CLASSES, named
from norse_export.ir.stages import ContinuousNode, DiscreteNode, Neuron
from norse_export.passes.delays import on_edges
from norse_export.program.families import family


def discretise(graph: Graph[ContinuousNode]) -> Graph[DiscreteNode]:
    """Replace each differential equation by one step, under the population's own rule; dt belongs to each node.

    Coefficients are the node's own, and hold its scheme: forward Euler where the model was trained with it. Gains of
    exactly 1 (all of Norse's) leave no trace in the step, others become a parameter `gain`. A reset to zero is one to
    a value, which is 0: whatever carries the one carries the other. Delays of cells become delays of edges.
    """
    classes = named(graph, CLASSES)
    return on_edges(graph).map(lambda name, node: _rule(name, node, classes.get(name, "")))


def _rule(name: str, node: ContinuousNode, made_of: str) -> DiscreteNode:
    if isinstance(node, Delay):
        raise TypeError(f"{name}: delays are put onto edges first")
    return _neuron(node, made_of) if isinstance(node, NeuronModel) else node


def _neuron(node: NeuronModel, made_of: str) -> Neuron:
    kind, gain = node.kind, node.gain
    gained = bool(np.any(compact(gain) != 1.0))
    values: dict[str, FloatArray] = {"gain": gain} if gained else {}
    values |= {name: node[name] for name in kind.dynamics.parameters}
    rule = node.rule
    if rule.reset == "zero":
        rule, values["v_reset"] = replace(rule, reset="value"), np.broadcast_to(np.float32(0), node.shape)
    return Neuron(
        family=family(kind.dynamics.name, recurrent=node.recurrent, gain=gained, rule=rule),
        shape=node.shape,
        parameters={name: _cast(value, node.dtype) for name, value in values.items()},
        initial_state={state: _cast(node[name], node.dtype) for state, name in kind.initial.items()},
        dt=node.dt,
        made_of=made_of,
    )


def _cast(value: FloatArray, dtype: str) -> FloatArray:
    """The value in the model's float type; a constant stays one number in memory."""
    return np.broadcast_to(compact(value).astype(dtype, copy=False), value.shape)
