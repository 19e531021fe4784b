"""Rung 0 on rasters that are not stored in a model file: torch's layers and the framework's steps on the traced graph.

Each layer and each step is the call that the model makes, on tensors of the same shapes, in the same order (the table
of a framework tells how its steps are called: norse_steps.py, snntorch.py, spikingjelly.py).
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from norse_export.errors import GraphError
from norse_export.frontend.frameworks.table import Framework, stepping
from norse_export.frontend.reference import describe
from norse_export.frontend.trace import OVER_TIME
from norse_export.ir.graph import Graph, Shape
from norse_export.ir.layers import Conv, Flatten, Input, Layer, Linear, Output, Pool, Scale, Sum
from norse_export.ir.rasters import checked_inputs, model_dtype
from norse_export.ir.run import Run
from norse_export.ir.shaping import Elementwise, Pad, Reorder, Slice
from norse_export.ir.stages import DiscreteNode, Neuron
from norse_export.ir.walk import execute

Array = NDArray[Any]


def replay(discrete: Graph[DiscreteNode], inputs: Mapping[str, Array]) -> Run:
    """Run a discrete graph with torch and the frameworks that it comes from on rasters [T, B, *shape].

    It gives what the model gave, bit for bit, with the same versions, threads and batch size; a folded batch
    normalisation alone is computed in another order than the model's, and stays within the margin rule.

    Raises:
        UsageError: rasters that do not fit the graph. GraphError: metadata that do not fit it.
        MissingDependencyError: a framework is not installed.
    """
    frameworks = {framework for framework in stepping_in(discrete) if framework is not None}
    for framework in frameworks:
        framework.load()
    rasters = checked_inputs(discrete, inputs)
    dtype = getattr(torch, model_dtype(discrete))
    signals = {name: _tensor(raster, dtype) for name, raster in rasters.items()}
    example = next(iter(signals.values()))
    arithmetic = _Framework(dtype, example.shape[1], _at_once(discrete))
    with torch.no_grad():
        sent = execute(discrete, signals, example.shape[0], arithmetic)
    neurons = {name: node for name, node in discrete.nodes.items() if isinstance(node, Neuron)}
    return Run(
        spikes={name: sent[name].numpy() != 0 for name, node in neurons.items() if node.spikes},
        outputs={name: sent[name].numpy() for name, node in discrete.nodes.items() if isinstance(node, Output)},
        ran_by=f"{describe(example, None, frameworks)}, on the traced graph",
        final_state={
            name: dict(zip(node.family.state, (value.numpy() for value in arithmetic.state[name]), strict=True))
            for name, node in neurons.items()
        },
    )


def stepping_in(discrete: Graph[DiscreteNode]) -> set[Framework | None]:
    """The frameworks that have the steps of the populations; None is among them where none has that of one."""
    neurons = (node for node in discrete.nodes.values() if isinstance(node, Neuron))
    return {stepping(_plain(node)) for node in neurons}


def _plain(node: Neuron) -> str:
    return node.family.name.removesuffix("_gain")


def _at_once(discrete: Graph[DiscreteNode]) -> frozenset[int]:
    """Ids of the layers that the model applied to whole rasters."""
    text = discrete.metadata.get(OVER_TIME, "[]")
    try:
        names = json.loads(text)
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) and name in discrete.nodes for name in names):
        message = f"{OVER_TIME} = {text[:40]!r} does not list layers of the graph"
        raise GraphError(message, where="the graph's metadata", fix="save the model again", kind="metadata")
    return frozenset(id(discrete.nodes[name]) for name in names)


class _Framework:
    """Signals are torch tensors [T, B, *shape]; layers are applied step by step, or at once where the model did so.

    at_once: ids of layers that took whole rasters: their float sums are added up in another order.
    """

    def __init__(self, dtype: Any, samples: int, at_once: frozenset[int]) -> None:
        self.dtype, self.samples, self._at_once = dtype, samples, at_once
        self.state: dict[str, tuple[Any, ...]] = {}
        self._tensors: dict[int, tuple[Array, Any]] = {}

    def advance(self, name: str, node: DiscreteNode, ports: tuple[Any, ...]) -> Any:
        return self.population(name, node, ports) if isinstance(node, Neuron) else self.layer(node, ports)

    def layer(self, node: Layer, ports: tuple[Any, ...]) -> Any:
        if id(node) in self._at_once:
            return _over_raster(node, ports, self._own)
        return torch.stack([_apply(node, step, self._own) for step in zip(*ports, strict=True)])

    def _own(self, value: Array | None) -> Any:
        """The array as a tensor, made once."""
        if value is None:
            return None
        if id(value) not in self._tensors:
            self._tensors[id(value)] = (value, _tensor(value, self.dtype))
        return self._tensors[id(value)][1]

    def population(self, name: str, node: Neuron, ports: tuple[Any, ...]) -> Any:
        state = self.state.get(name) or tuple(
            self._own(value).expand(self.samples, *node.shape) for value in node.initial_state.values()
        )
        parameters = {key: self._own(value) for key, value in node.parameters.items()}
        gain = parameters.pop("gain", None)
        framework = stepping(_plain(node))
        if framework is None:
            raise KeyError(f"no framework has the step of {node.family.name}")
        advance = framework.steps[_plain(node)]()
        sent = []
        for step in zip(*ports, strict=True):
            out, state = advance(step if gain is None else (gain * step[0], *step[1:]), state, parameters)
            sent.append(out)
        self.state[name] = state
        return torch.stack(sent)

    def add(self, a: Any, b: Any) -> Any:
        return a + b

    def silence(self, shape: Shape, steps: int) -> Any:
        return torch.zeros((steps, self.samples, *shape), dtype=self.dtype)

    def part(self, x: Any, start: int, stop: int) -> Any:
        return x[start:stop]

    def join(self, pieces: list[Any]) -> Any:
        return torch.cat(pieces)


def _tensor(value: Array, dtype: Any) -> Any:
    return torch.from_numpy(np.array(value)).to(dtype)  # of its own memory: what comes from a file is read-only


def _over_raster(node: Layer, ports: tuple[Any, ...], own: Callable[[Array | None], Any]) -> Any:
    """A layer on rasters [T, B, ...]: torch's Linear takes them as they are, others time and batch as one axis."""
    if isinstance(node, Linear):
        return _apply(node, ports, own)
    flat = tuple(raster.flatten(0, 1) for raster in ports)
    return _apply(node, flat, own).unflatten(0, ports[0].shape[:2])


def _apply(node: Layer, ports: tuple[Any, ...], own: Callable[[Array | None], Any]) -> Any:
    x = ports[0]
    match node:
        case Elementwise():
            return _FUNCTIONS[node.function](*ports, *map(own, node.parameters.values()))
        case Slice():
            return x[:, *node.index]
        case Pad():
            sides = zip(reversed(node.before), reversed(node.after), strict=True)
            return functional.pad(x, [cells for pair in sides for cells in pair])
        case Reorder():
            return x.permute(0, *(axis + 1 for axis in node.order)).reshape(x.shape[0], *node.into)
        case Input() | Output() | Sum():
            return x
        case Scale():
            return x * own(node.scale)
        case Linear():
            return functional.linear(x, own(node.weight), own(node.bias))
        case Conv():
            convolve: Any = functional.conv1d if len(node.size) == 1 else functional.conv2d
            return convolve(x, own(node.weight), own(node.bias), node.stride, node.padding, node.dilation, node.groups)
        case Pool():
            if node.kind == "max":
                return functional.max_pool2d(x, node.kernel, node.stride, node.padding)
            mean = functional.avg_pool2d(x, node.kernel, node.stride, node.padding)
            return mean * int(np.prod(node.kernel)) if node.kind == "sum" else mean
        case Flatten():
            return x.reshape(x.shape[0], *node.output_shape)


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "relu": functional.relu,
    "offset": operator.add,
    "quotient": operator.truediv,
    "difference": operator.sub,
    "product": operator.mul,
    "at_least": torch.maximum,
    "at_most": torch.minimum,
    "leaky_relu": lambda x, slope: torch.where(x > 0, x, x * slope),
    "magnitude": torch.abs,
    "larger": torch.maximum,
    "smaller": torch.minimum,
}
