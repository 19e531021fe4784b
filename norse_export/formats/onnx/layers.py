"""Layers without a state -> ONNX operators, in the arithmetic of engine/layers.py."""

from __future__ import annotations

from math import prod

import numpy as np

from norse_export.ir.fixed import Population
from norse_export.ir.graph import Node, Shape
from norse_export.ir.layers import Conv, Flatten, Layer, Linear, Pool, Scale
from norse_export.ir.shaping import Pad, Reorder, Slice

from .windows import Gathers, gathered, products, shaped, window_cells, window_count


def write_layer(node: Layer, name: str, x: str, graph: Gathers, dtype: str) -> None:
    """Write what the layer makes of x, [B, *input_shape], under its name; see ir/layers.py for each."""
    match node:
        case Scale():
            graph.add("Mul", (x, graph.constant("scale", node.scale)), name)
        case Linear():
            graph.add("Gemm", (x, *_weights(node, graph)), name, transB=1)
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
        case Reorder():
            shape = graph.constant("shape", np.array([-1, *node.into], np.int64))
            moved = graph.add("Transpose", (x,), graph.between("moved"), perm=[0, *(axis + 1 for axis in node.order)])
            graph.add("Reshape", (moved, shape), name)
        case _:
            graph.add("Identity", (x,), name)


def written_bytes(node: Node, dtype: str) -> int:
    """Bytes of initializers that are made for a node of its shapes alone, whatever numbers it has."""
    match node:
        case Pool() if node.kind != "max" and dtype == "float32":
            return node.shape[0] * prod(node.kernel) * 4
        case Pool() if node.kind != "max":
            return window_count(node.shape, node.kernel, node.stride, node.padding) * 8
        case Conv() if dtype == "float64":
            return window_count(node.input_shape, node.kernel, node.stride, node.padding, node.dilation) * 8
        case Population() if node.program.random:
            return prod(node.shape) * 8
        case _:
            return 0


def _weights(node: Linear | Conv, graph: Gathers) -> list[str]:
    weight = graph.constant("weight", node.weight)
    return [weight] if node.bias is None else [weight, graph.constant("bias", node.bias)]


def _convolution(node: Conv, name: str, x: str, graph: Gathers, dtype: str) -> None:
    """A Conv; of float64, which onnxruntime's Conv is not for, a product of gathered windows."""
    weight, *bias = _weights(node, graph)
    if dtype == "float32":
        window = _window(node.kernel, node.stride, node.padding)
        graph.add("Conv", (x, weight, *bias), name, **window, dilations=list(node.dilation), group=node.groups)
        return
    cells = window_cells(node.input_shape, node.kernel, node.stride, node.padding, node.dilation, node.groups)
    kernels = (node.groups, node.weight.shape[0] // node.groups, prod(node.weight.shape[1:]))
    total = products(gathered(x, prod(node.input_shape), cells, graph), weight, kernels, graph)
    made = shaped(total, node.output_shape, graph.between("map") if bias else name, graph)
    if bias:
        spread = graph.constant("spread", np.array([-1, *(1,) * len(node.size)], np.int64))
        graph.add("Add", (made, graph.add("Reshape", (bias[0], spread), graph.between("bias_map"))), name)


def _pool(node: Pool, name: str, x: str, graph: Gathers, dtype: str) -> None:
    """Average and sum are a sum over each window, padding included; the average is divided once, as torch's is."""
    window = _window(node.kernel, node.stride, node.padding)
    if node.kind == "max":
        graph.add("MaxPool", (x,), name, **window)
        return
    channels, total = node.shape[0], name if node.kind == "sum" else graph.between("sum")
    if dtype == "float32":
        ones = graph.constant("window", np.ones((channels, 1, *node.kernel), dtype))
        graph.add("Conv", (x, ones), total, **window, group=channels)
    else:
        cells = window_cells(node.shape, node.kernel, node.stride, node.padding, groups=channels)
        axes = graph.constant("axes", np.array([2], np.int64))
        windows = gathered(x, prod(node.shape), cells, graph)
        sums = graph.add("ReduceSum", (windows, axes), graph.between("sums"), keepdims=0)
        shaped(sums, node.output_shape, total, graph)
    if node.kind == "avg":
        graph.add("Div", (total, graph.constant("cells", np.array(prod(node.kernel), dtype))), name)


def _window(kernel: Shape, stride: Shape, padding: Shape) -> dict[str, list[int]]:
    return {"kernel_shape": list(kernel), "strides": list(stride), "pads": [*padding, *padding]}
