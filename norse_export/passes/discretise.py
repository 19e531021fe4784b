"""Continuous graph -> discrete graph: each differential equation becomes the framework's own step."""

from __future__ import annotations

import numpy as np

from norse_export.ir.arrays import FloatArray, compact
from norse_export.ir.graph import Graph
from norse_export.ir.layers import Conv, Flatten, Input, Linear, Output, Pool, Scale, Sum
from norse_export.ir.neurons import IF, LI, LIF, CubaLI, CubaLIF, NeuronModel
from norse_export.ir.stages import ContinuousNode, DiscreteNode, Neuron
from norse_export.program.families import FAMILIES


def discretise(graph: Graph[ContinuousNode]) -> Graph[DiscreteNode]:
    """Replace each differential equation by one forward Euler step, synapse first; dt belongs to each node.

    Forward Euler, not exp(-dt/tau): it is the rule the model was trained with. Coefficients are the node's own; gains
    of exactly 1 (all of Norse's) leave no trace in the step, others become a parameter `gain`.
    """
    return graph.map(_rule)


def _rule(name: str, node: ContinuousNode) -> DiscreteNode:
    match node:
        case Input() | Output() | Sum() | Scale() | Linear() | Conv() | Pool() | Flatten():
            return node
        case CubaLIF():
            family = "cuba_lif_recurrent" if node.recurrent else "cuba_lif"
            return _neuron(node, family, ("alpha", "beta", "v_leak", "v_th", "v_reset"), ("v0", "i0"))
        case CubaLI():
            return _neuron(node, "cuba_li", ("alpha", "beta", "v_leak"), ("v0", "i0"))
        case LIF():
            return _neuron(node, "lif", ("alpha", "v_leak", "v_th", "v_reset"), ("v0",))
        case LI():
            return _neuron(node, "li", ("alpha", "v_leak"), ("v0",))
        case IF():
            return _neuron(node, "if", ("v_th", "v_reset"), ("v0",))


def _neuron(node: NeuronModel, family: str, parameters: tuple[str, ...], state: tuple[str, ...]) -> Neuron:
    values: dict[str, FloatArray] = {name: _cast(getattr(node, name), node.dtype) for name in parameters}
    gain = node.gain
    if np.any(compact(gain) != 1.0):
        family = f"{family}_gain"
        values = {"gain": _cast(gain, node.dtype), **values}
    return Neuron(
        family=FAMILIES[family],
        shape=node.shape,
        parameters=values,
        initial_state={field.removesuffix("0"): _cast(getattr(node, field), node.dtype) for field in state},
        dt=node.dt,
    )


def _cast(value: FloatArray, dtype: str) -> FloatArray:
    """The value in the model's float type; a constant stays one number in memory."""
    return np.broadcast_to(compact(value).astype(dtype, copy=False), value.shape)
