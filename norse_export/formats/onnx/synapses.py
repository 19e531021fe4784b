"""Projections of whole numbers -> ONNX: sums of weights, exact in the narrowest type that is sure to hold them.

Sums below 2^24 are products of float32, which are then exact in any order; below 2^53, of float64; beyond, of int64.
"""

from __future__ import annotations

from math import prod

import numpy as np

from norse_export.ir.bounds import Sums, synapses_intervals
from norse_export.ir.fixed import ConvSynapses, Delivery, DenseSynapses, SparseSynapses, Synapses
from norse_export.ir.graph import Graph, Shape
from norse_export.ir.stages import FixedNode

from .bodies import Body
from .integer_bodies import IntegerWriter
from .step import StepGraph
from .windows import gathered, products, shaped, window_cells, window_count

_SINGLE, _DOUBLE = 2**24, 2**53


def write_synapses(node: Synapses, name: str, x: str, step: StepGraph, reach: int) -> None:
    """Write what a projection delivers of x, int64 [B, *input_shape], under its name.

    reach: the largest size of a sum of weights, and of any part of it.
    """
    dtype = np.dtype(np.float32 if reach < _SINGLE else np.float64 if reach < _DOUBLE else np.int64)
    match node:
        case DenseSynapses():
            total = _dense(node, x, step, dtype)
        case ConvSynapses():
            total = _convolution(node, x, step, dtype)
        case SparseSynapses():
            total = _sparse(node, x, step, dtype)
    whole = total if dtype == np.int64 else _as(total, np.dtype(np.int64), step)
    _delivered(node.delivery, whole, name, step)


def reach_of(sums: Sums) -> int:
    """The largest size of a sum of weights, and of any part of it, in whatever order it is added up."""
    return max(map(abs, sums.exact))


def largest_windows(node: ConvSynapses) -> int:
    """Bytes of the windows of a convolution, where it is written with them."""
    return 8 * window_count(node.input_shape, node.weight.shape[2:], node.stride, node.padding, node.dilation)


def single(graph: Graph[FixedNode], name: str) -> bool:
    """Whether float32 holds the sums of a projection, so that a convolution is written as one."""
    return reach_of(synapses_intervals(graph)[name]) < _SINGLE


def _as(x: str, dtype: np.dtype[np.generic], step: StepGraph) -> str:
    """x in another type; what is constant, a runtime converts once."""
    return step.add("Cast", (x,), step.between(dtype.name), to=step.kind(dtype))


def _flat(x: str, cells: int, step: StepGraph) -> str:
    return step.add("Reshape", (x, step.constant("rows", np.array([-1, cells], np.int64))), step.between("flat"))


def _shaped(x: str, shape: Shape, step: StepGraph) -> str:
    return shaped(x, shape, step.between("sum"), step)


def _dense(node: DenseSynapses, x: str, step: StepGraph, dtype: np.dtype[np.generic]) -> str:
    weight = _as(step.constant("weight", node.weight), dtype, step)
    turned = step.add("Transpose", (weight,), step.between("transposed"), perm=[1, 0])
    rows = _as(_flat(x, prod(node.input_shape), step), dtype, step)
    return _shaped(step.add("MatMul", (rows, turned), step.between("product")), node.output_shape, step)


def _convolution(node: ConvSynapses, x: str, step: StepGraph, dtype: np.dtype[np.generic]) -> str:
    """A Conv of float32 where that is exact; else each window is gathered, and multiplied as a column."""
    weight = step.constant("weight", node.weight)
    if dtype == np.float32:
        made = step.add(
            "Conv",
            (_as(x, dtype, step), _as(weight, dtype, step)),
            step.between("map"),
            kernel_shape=list(node.weight.shape[2:]),
            strides=list(node.stride),
            pads=[*node.padding, *node.padding],
            dilations=list(node.dilation),
            group=node.groups,
        )
        return _shaped(made, node.output_shape, step)
    cells = window_cells(node.input_shape, node.weight.shape[2:], node.stride, node.padding, node.dilation, node.groups)
    windows = gathered(_as(x, dtype, step), prod(node.input_shape), cells, step)
    kernels = (node.groups, node.weight.shape[0] // node.groups, prod(node.weight.shape[1:]))
    return _shaped(products(windows, _as(weight, dtype, step), kernels, step), node.output_shape, step)


def _sparse(node: SparseSynapses, x: str, step: StepGraph, dtype: np.dtype[np.generic]) -> str:
    """Each synapse takes what its source sent, and is added to its target."""
    targets = prod(node.output_shape)
    rows = _as(_flat(x, prod(node.input_shape), step), dtype, step)
    sources = np.repeat(np.arange(len(node.starts) - 1), np.diff(node.starts))
    taken = step.add("Gather", (rows, step.constant("sources", sources)), step.between("taken"), axis=1)
    weight = _as(step.constant("weight", node.weight), dtype, step)
    weighted = step.add("Mul", (taken, weight), step.between("weighted"))
    shape = step.add("Shape", (weighted,), step.between("shape"))
    index = step.constant("targets", node.targets.astype(np.int64)[np.newaxis])
    indices = step.add("Expand", (index, shape), step.between("indices"))
    batch = step.add("Shape", (weighted,), step.between("batch"), start=0, end=1)
    cells = step.constant("cells", np.array([targets], np.int64))
    whole = step.add("Concat", (batch, cells), step.between("whole"), axis=0)
    zero = step.constant("zero", np.zeros((), dtype if dtype.kind == "i" else np.int64))
    zeros = step.add("Expand", (zero if dtype.kind == "i" else _as(zero, dtype, step), whole), step.between("zeros"))
    total = step.add("ScatterElements", (zeros, indices, weighted), step.between("total"), axis=1, reduction="add")
    return _shaped(total, node.output_shape, step)


def _delivered(delivery: Delivery, total: str, name: str, step: StepGraph) -> None:
    """Wrap and shift a sum, as int64, under the name."""
    if delivery.wrap_bits is None and not delivery.shift:
        step.add("Identity", (total,), name)
    else:
        step.call(_delivery_body(delivery, step.opset), (total,), (name,))


def deliveries(graph: Graph[FixedNode]) -> set[str]:
    """Names of the functions that deliver the sums of a graph."""
    return {_delivery_name(node.delivery) for node in graph.nodes.values() if isinstance(node, Synapses)}


def _delivery_name(delivery: Delivery) -> str:
    """What is done with a sum: "delivery_wrap21_left6"."""
    bits, shift = delivery.wrap_bits, delivery.shift
    moved = f"_left{shift}" if shift > 0 else f"_right{-shift}" if shift < 0 else ""
    return f"delivery{'' if bits is None else f'_wrap{bits}'}{moved}"


def _delivery_body(delivery: Delivery, opset: int) -> Body:
    """What becomes of a sum, as a function that is named for it."""
    bits, shift = delivery.wrap_bits, delivery.shift
    writer = IntegerWriter({"total"})
    value = "total" if bits is None else writer.wrapped("total", bits)
    if shift > 0:
        value = writer.add("Mul", (value, writer.number(1 << shift)))
    elif shift < 0:
        value = writer.floor(value, -shift)
    return writer.body(_delivery_name(delivery), ("total",), (value,), ("delivered",), opset)
