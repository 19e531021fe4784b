"""Layers without a state -> ONNX operators, in the arithmetic of engine/layers.py."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from norse_export.ir.layers import Conv, Flatten, Layer, Linear, Pool, Scale
from norse_export.ir.shaping import Pad, Slice


class Writes(Protocol):
    """What a layer writes into: nodes of one step, and constants beside them."""

    def add(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> None:
        """Add one node."""

    def constant(self, field: str, value: NDArray[Any]) -> str:
        """Add an initializer of the module that is being written, and give its name."""

    def between(self, what: str) -> str:
        """A name for a value inside that module."""


def write_layer(node: Layer, name: str, x: str, graph: Writes, dtype: str) -> None:
    """Write what the layer makes of x, [B, *input_shape], under its name; see ir/layers.py for each."""
    match node:
        case Scale():
            graph.add("Mul", (x, graph.constant("scale", node.scale)), name)
        case Linear():
            graph.add("Gemm", (x, *_weights(node, name, graph, dtype)), name, transB=1)
        case Conv():
            _convolution(node, name, x, graph, dtype)
        case Pool():
            _pool(node, name, x, graph, dtype)
        case Flatten():
            shape = graph.constant("shape", np.array([-1, *node.output_shape], np.int64))
            graph.add("Reshape", (x, shape), name)
        case Slice():
            parts = {"starts": node.start, "ends": node.stop, "axes": range(1, 1 + len(node.shape)), "steps": node.step}
            given = [graph.constant(key, np.array(list(part), np.int64)) for key, part in parts.items()]
            graph.add("Slice", (x, *given), name)
        case Pad():
            pads = np.array([0, *node.before, 0, *node.after], np.int64)
            graph.add("Pad", (x, graph.constant("pads", pads)), name)
        case _:
            graph.add("Identity", (x,), name)


def _weights(node: Linear | Conv, name: str, graph: Writes, dtype: str) -> list[str]:
    weight = graph.constant("weight", node.weight)
    return [weight] if node.bias is None else [weight, graph.constant("bias", node.bias)]


def _convolution(node: Conv, name: str, x: str, graph: Writes, dtype: str) -> None:
    graph.add(
        "Conv",
        (x, *_weights(node, name, graph, dtype)),
        name,
        kernel_shape=list(node.kernel),
        strides=list(node.stride),
        pads=[*node.padding, *node.padding],
        dilations=list(node.dilation),
        group=node.groups,
    )


def _pool(node: Pool, name: str, x: str, graph: Writes, dtype: str) -> None:
    """Average and sum are a sum over each window, padding included; the average is divided once, as torch's is."""
    window = {"kernel_shape": list(node.kernel), "strides": list(node.stride), "pads": [*node.padding, *node.padding]}
    if node.kind == "max":
        graph.add("MaxPool", (x,), name, **window)
        return
    channels = node.shape[0]
    ones = graph.constant("window", np.ones((channels, 1, *node.kernel), dtype))
    total = name if node.kind == "sum" else graph.between("sum")
    graph.add("Conv", (x, ones), total, **window, group=channels)
    if node.kind == "avg":
        cells = graph.constant("cells", np.array(prod(node.kernel), dtype))
        graph.add("Div", (total, cells), name)
