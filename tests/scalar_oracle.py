"""A second interpreter, written differently: plain Python numbers, one neuron and one step at a time.

It knows the equations of the continuous graph and nothing of programs, discretisation or arrays.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

from norse_export.ir.graph import Graph
from norse_export.ir.layers import Conv, Flatten, Input, Linear, Output, Pool, Scale, Sum
from norse_export.ir.neurons import IF, LI, LIF, CubaLI, CubaLIF, NeuronModel
from norse_export.ir.stages import ContinuousNode

Index = tuple[int, ...]
Signal = dict[Index, float]  # of one sample of one step: index -> value


class Sample:
    """One sample of a run. `sent[name][t]` is what a node sent at step t."""

    def __init__(self, graph: Graph[ContinuousNode], rasters: dict[str, list[Signal]], steps: int) -> None:
        self.graph = graph
        self.sent: dict[str, list[Signal]] = {name: [] for name in graph.nodes}
        self.state = {name: dict(_initial(node)) for name, node in graph.nodes.items()}
        for t in range(steps):
            waiting = dict(graph.nodes)
            while waiting:
                ready = [name for name in waiting if self._is_ready(name, t)]
                assert ready, "nothing can be computed: a loop without a delay"
                for name in ready:
                    self.sent[name].append(self._send(name, waiting.pop(name), t, rasters))

    def _is_ready(self, name: str, t: int) -> bool:
        return all(
            edge.delay_steps > t or len(self.sent[edge.source]) > t - edge.delay_steps
            for edge in self.graph.edges
            if edge.target == name
        )

    def _arriving(self, name: str, port: str, index: Index, t: int) -> float:
        total = 0.0
        for edge in self.graph.edges:
            if (edge.target, edge.port) == (name, port) and edge.delay_steps <= t:
                total += self.sent[edge.source][t - edge.delay_steps].get(index, 0.0)
        return total

    def _send(self, name: str, node: ContinuousNode, t: int, rasters: dict[str, list[Signal]]) -> Signal:
        if isinstance(node, Input):
            return rasters[name][t]
        x = {index: self._arriving(name, "x", index, t) for index in _indices(node.input_shape)}
        match node:
            case Output() | Sum():
                return x
            case Scale():
                return {index: float(node.scale[index]) * value for index, value in x.items()}
            case Linear():
                return _linear(node, x)
            case Conv():
                return _conv(node, x)
            case Pool():
                return _pool(node, x)
            case Flatten():
                return dict(zip(_indices(node.output_shape), x.values(), strict=True))
        return {index: self._neuron(name, node, index, x[index], t) for index in x}

    def _neuron(self, name: str, node: Any, index: Index, x: float, t: int) -> float:
        """dv = dt/tau_mem ((v_leak - v) + i), di = -dt/tau_syn i, the input added to the current before both."""
        state = self.state[name]
        drive = float(node.gain[index]) * x
        if node.kind in (CubaLIF, CubaLI):
            if node.ports == ("x", "r"):
                drive += self._arriving(name, "r", index, t)
            drive += state["i", index]
            state["i", index] = drive * (1 - node.dt / float(node["tau_syn"][index]))
        if node.kind is IF:
            v = state["v", index] + drive
        else:
            v = state["v", index] + node.dt / float(node["tau_mem"][index]) * (
                float(node["v_leak"][index]) - state["v", index] + drive
            )
        if node.kind in (CubaLI, LI):
            state["v", index] = v
            return v
        fired = v > float(node["v_th"][index])
        state["v", index] = float(node["v_reset"][index]) if fired else v
        return 1.0 if fired else 0.0


def _indices(shape: Index) -> Iterator[Index]:
    return product(*map(range, shape))


def _initial(node: ContinuousNode) -> Iterator[tuple[tuple[str, Index], float]]:
    if isinstance(node, NeuronModel):
        if node.kind not in (CubaLIF, CubaLI, LIF, LI, IF):
            raise NotImplementedError(f"the oracle has no {node.kind.name}")
        for index in _indices(node.shape):
            yield ("v", index), float(node["v0"][index])
            if node.kind in (CubaLIF, CubaLI):
                yield ("i", index), float(node["i0"][index])


def _linear(node: Linear, x: Signal) -> Signal:
    sent: Signal = {}
    for (row,) in _indices(node.output_shape):
        total = 0.0 if node.bias is None else float(node.bias[row])
        for (column,), value in x.items():
            total += float(node.weight[row, column]) * value
        sent[row,] = total
    return sent


def _conv(node: Conv, x: Signal) -> Signal:
    sent: Signal = {}
    taken, made = node.weight.shape[1], node.weight.shape[0] // node.groups
    for channel, *place in _indices(node.output_shape):
        total = 0.0 if node.bias is None else float(node.bias[channel])
        for c, *tap in _indices(node.weight.shape[1:]):
            window = zip(place, tap, node.stride, node.padding, node.dilation, strict=True)
            at = tuple(o * s - p + k * d for o, k, s, p, d in window)
            total += float(node.weight[(channel, c, *tap)]) * x.get((channel // made * taken + c, *at), 0.0)
        sent[channel, *place] = total
    return sent


def _pool(node: Pool, x: Signal) -> Signal:
    sent: Signal = {}
    for channel, row, column in _indices(node.output_shape):
        window = []
        for k, m in _indices(node.kernel):
            at = (row * node.stride[0] - node.padding[0] + k, column * node.stride[1] - node.padding[1] + m)
            window.append(x.get((channel, *at)))
        inside = [value for value in window if value is not None]
        total = sum(inside)
        sent[channel, row, column] = {"max": max(inside), "sum": total, "avg": total / len(window)}[node.kind]
    return sent
