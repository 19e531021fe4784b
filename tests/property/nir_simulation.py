"""NIR's equations, stepped by a plain loop over nodes: the judge of what a file means. Not tests.

Forward Euler, synapse first, a strict threshold, a reset to v_reset, in float64. Nodes are evaluated in the order in
which they stand in the graph; what comes from a node behind is its value of the step before. A `Delay` on the way back
lasts as long as it says, and at least that step.
"""

from __future__ import annotations

from typing import Any

import nir
import numpy as np

Array = np.ndarray
BACK = ".back"  # how nodes on a way back are called


class Simulation:
    """One graph and its sub-graphs, each with one Input and one Output."""

    def __init__(self, graph: nir.NIRGraph, dt: float) -> None:
        self.dt, self.edges, self.nodes = dt, graph.edges, graph.nodes
        self.state: dict[str, Any] = {}
        self.past: dict[str, list[Array]] = {name: [] for name in graph.nodes}
        self.inner = {n: Simulation(g, dt) for n, g in graph.nodes.items() if isinstance(g, nir.NIRGraph)}

    def run(self, raster: Array) -> Array:
        """[T, *shape] in and out."""
        return np.array([self.step(x) for x in raster])

    def step(self, x: Array) -> Array:
        """One sample of one step, [*shape] in and out."""
        out: dict[str, Array] = {}
        for name, node in self.nodes.items():
            if not name.endswith(BACK):
                arriving = [self.sent(source, out) for source, target in self.edges if target == name]
                out[name] = self.value(name, x if isinstance(node, nir.Input) else sum(arriving))
        for name, value in out.items():
            self.past[name].append(value)
        return next(out[name] for name, node in self.nodes.items() if isinstance(node, nir.Output))

    def sent(self, source: str, out: dict[str, Array]) -> Array:
        """What arrives now from a node; from one behind, or through a node on the way back, what it sent before."""
        if source in out:
            return out[source]
        if not source.endswith(BACK):
            return self.past[source][-1] if self.past[source] else np.float64(0)
        node, (origin,) = self.nodes[source], [a for a, b in self.edges if b == source]
        if isinstance(node, nir.Delay):
            return self.before(origin, np.maximum(np.rint(node.delay.astype(float) / self.dt).astype(int), 1))
        return node.weight.astype(float) @ self.before(origin, np.ones(node.weight.shape[1], int))

    def before(self, name: str, steps: Array) -> Array:
        """What a node sent so many steps ago, cell by cell; zeros before the first step."""
        past = self.past[name]
        cells = [past[-k].reshape(-1)[n] if len(past) >= k else 0.0 for n, k in enumerate(steps.reshape(-1))]
        return np.array(cells).reshape(steps.shape)

    def value(self, name: str, x: Array) -> Array:
        node = self.nodes[name]
        if name in self.inner:
            return self.inner[name].step(x)
        arrays = {key: v for key, v in vars(node).items() if isinstance(v, np.ndarray | np.generic | float)}
        f = {key: np.asarray(value, float) for key, value in arrays.items()}
        match type(node).__name__:
            case "Input" | "Output":
                return x
            case "Scale":
                return f["scale"] * x
            case "Threshold":
                return np.where(x > f["threshold"], 1.0, 0.0)
            case "Linear":
                return f["weight"] @ x
            case "Affine":
                return f["weight"] @ x + f["bias"]
            case "Flatten":
                return x.reshape(-1)
            case "Delay":
                return self.delayed(name, x, np.rint(f["delay"] / self.dt).astype(int))
            case "Conv1d" | "Conv2d":
                return convolved(node, x)
            case "SumPool2d" | "AvgPool2d":
                return pooled(node, x)
            case _:
                return self.neuron(name, x, f)

    def delayed(self, name: str, x: Array, steps: Array) -> Array:
        line = self.state.setdefault(name, [])
        line.append(np.broadcast_to(x, steps.shape))
        cells = [line[-1 - k].reshape(-1)[n] if len(line) > k else 0.0 for n, k in enumerate(steps.reshape(-1))]
        return np.array(cells).reshape(steps.shape)

    def neuron(self, name: str, x: Array, f: dict[str, Array]) -> Array:
        """tau_syn I' = -I + w_in S; tau_mem v' = (v_leak - v) + r I; v' = r I of I and IF."""
        kind, dt = type(self.nodes[name]).__name__, self.dt
        leak, start = f.get("v_leak", 0.0), f.get("v_reset", 0.0) if kind == "IF" else f.get("v_leak", 0.0)
        v, i = self.state.get(name, (np.broadcast_to(start, x.shape) + 0.0, np.zeros(x.shape)))
        if kind in ("CubaLI", "CubaLIF"):
            i = i + dt / f["tau_syn"] * f["w_in"] * x
            v = v + dt / f["tau_mem"] * (leak - v + f["r"] * i)
            i = i - dt / f["tau_syn"] * i
        elif kind in ("LI", "LIF"):
            v = v + dt / f["tau"] * (leak - v + f["r"] * x)
        else:
            v = v + dt * f["r"] * x
        if "v_threshold" not in f:
            self.state[name] = v, i
            return v
        spikes = v > f["v_threshold"]
        self.state[name] = np.where(spikes, f["v_reset"], v), i
        return spikes * 1.0


def convolved(node: Any, x: Array) -> Array:
    """Cross-correlation, from its definition: one sum for each output cell."""
    weight, bias = node.weight.astype(float), node.bias.astype(float)
    axes = weight.ndim - 2
    kernel = weight.shape[2:]
    stride = np.broadcast_to(node.stride, axes)
    if isinstance(node.padding, str):
        total = [k - 1 if node.padding == "same" else 0 for k in kernel]
        pads = [(n // 2, n - n // 2) for n in total]
    else:
        pads = [(int(p), int(p)) for p in np.broadcast_to(node.padding, axes)]
    x = np.pad(x, [(0, 0), *pads])
    size = [(n - k) // s + 1 for n, k, s in zip(x.shape[1:], kernel, stride, strict=True)]
    per_group = weight.shape[0] // int(node.groups)
    y = np.zeros((weight.shape[0], *size))
    for channel in range(weight.shape[0]):
        first = channel // per_group * weight.shape[1]
        for place in np.ndindex(*size):
            window = tuple(slice(p * s, p * s + k) for p, s, k in zip(place, stride, kernel, strict=True))
            seen = x[(slice(first, first + weight.shape[1]), *window)]
            y[(channel, *place)] = (weight[channel] * seen).sum() + bias[channel]
    return y


def pooled(node: Any, x: Array) -> Array:
    kernel, stride = np.broadcast_to(node.kernel_size, 2), np.broadcast_to(node.stride, 2)
    x = np.pad(x, [(0, 0), *((int(p), int(p)) for p in np.broadcast_to(node.padding, 2))])
    size = [(n - k) // s + 1 for n, k, s in zip(x.shape[1:], kernel, stride, strict=True)]
    y = np.zeros((x.shape[0], *size))
    for a, b in np.ndindex(*size):
        window = x[:, a * stride[0] : a * stride[0] + kernel[0], b * stride[1] : b * stride[1] + kernel[1]]
        y[:, a, b] = window.sum(axis=(1, 2))
    return y / np.prod(kernel) if isinstance(node, nir.AvgPool2d) else y
