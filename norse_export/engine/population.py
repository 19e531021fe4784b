"""A population made ready for its kernel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.engine import codegen
from norse_export.engine.cache import loaded
from norse_export.engine.kernels.memory import aligned, padded
from norse_export.engine.packing import Order, channel_last
from norse_export.ir.fixed import ConvSynapses, Population
from norse_export.ir.graph import Graph
from norse_export.ir.stages import FixedNode
from norse_export.program.interval import Interval, bits_of, within
from norse_export.program.operations import Op, Rounding
from norse_export.program.program import Program
from norse_export.program.ranges import Ranges, fits

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class PackedPopulation:
    """A population ready for its kernel.

    order: in which its neurons are held. initial [variables, pitch]: its states, each row padded to whole lines.
    parameters: what the kernel takes for them, addresses into `arrays` or values. update: the address of its kernel.
    values: what it sends can differ from 0 and 1.
    """

    node: Population
    order: Order
    variant: codegen.Variant
    initial: Array
    parameters: tuple[int, ...]
    arrays: tuple[Array, ...]
    update: int
    values: bool

    @property
    def size(self) -> int:
        """How many neurons."""
        return prod(self.node.shape)

    @property
    def dtype(self) -> str:
        """Name of the element type of sums, states and parameters."""
        return f"int{self.variant.bits}"

    def result_type(self, number: int) -> str:
        """Name of the element type in which the kernel writes the value of an instruction."""
        return "uint8" if codegen.is_truth(self.node.program, number) else self.dtype

    def kernel(self, *, observed: bool) -> int:
        """Address of the update; observed: of the one that writes the program's observables too."""
        return _kernel(self.node.program, replace(self.variant, observed=True)) if observed else self.update


def pack_population(
    graph: Graph[FixedNode], name: str, node: Population, arriving: Mapping[str, Interval], ranges: Ranges
) -> PackedPopulation:
    """Choose the order, the width and the kernel of a population.

    arriving: bounds of the sum at each port, before it saturates. ranges: of the values of the program.
    """
    program, order = node.program, _order(graph, name)
    constant = {key: value for key in program.parameters if (value := _constant(node.parameters[key])) is not None}
    uniform = len(constant) == len(program.parameters)
    exact = not ranges.diverged and ranges.proven.issuperset(codegen.narrowing(program))
    variant = codegen.Variant(32 if _is_narrow(program, arriving, ranges) else 64, uniform, exact, observed=False)
    dtype = np.dtype(f"int{variant.bits}")
    arrays = [] if uniform else [_held(node.parameters[key], order, dtype) for key in program.parameters]
    initial = [_held(node.initial_state[key], order, dtype) for key in program.variables]
    return PackedPopulation(
        node,
        order,
        variant,
        _stacked(initial, dtype, prod(node.shape)),
        tuple(constant.values()) if uniform else tuple(array.ctypes.data for array in arrays),
        tuple(arrays),
        _kernel(program, variant),
        values=not codegen.is_truth(program, program.output),
    )


def _kernel(program: Program, variant: codegen.Variant) -> int:
    return int(loaded(codegen.update_source(program, variant)).kernel)


def _is_narrow(program: Program, arriving: Mapping[str, Interval], ranges: Ranges) -> bool:
    """Whether 32 bits hold all values and all that is computed on the way to them."""
    spans = (step.constants[1] - step.constants[0] + 1 for step in program.instructions if step.op is Op.WRAP_ONCE)
    room = bits_of(32)
    small = all(within(reach, room) for reach in arriving.values()) and all(span <= room[1] for span in spans)
    for step in program.instructions:  # what rounding toward zero adds to the lower part of a product
        if step.op is Op.MUL_SHIFT and step.rounding is Rounding.TOWARD_ZERO:
            factor = ranges.values[step.operands[1]]
            small = small and (max(-factor[0], factor[1]) + 1) << step.constants[0] <= room[1]
    return small and not ranges.diverged and fits(program, ranges.values)


def _order(graph: Graph[FixedNode], name: str) -> Order:
    """Channel-last where a convolution feeds the population."""
    sources = [graph.nodes[edge.source] for edge in graph.incoming(name)]
    shapes = [source.map_shape for source in sources if isinstance(source, ConvSynapses)]
    return channel_last(shapes[0]) if shapes else None


def _constant(values: Array) -> int | None:
    """The one value of an array; None where there are several."""
    if not all(stride == 0 for stride in values.strides) and values.min() != values.max():
        return None
    return int(values.reshape(-1)[0]) if values.size else 0


def _held(values: Array, order: Order, dtype: np.dtype[Any]) -> Array:
    """The values of a population in the engine's order."""
    flat = values.reshape(-1)
    held = aligned(flat.size, dtype)
    held[:] = flat if order is None else flat[order]
    return held


def _stacked(rows: list[Array], dtype: np.dtype[Any], size: int) -> Array:
    pitch = padded(size, dtype.itemsize)
    stacked = aligned(len(rows) * pitch, dtype).reshape(len(rows), pitch)
    for number, row in enumerate(rows):
        stacked[number, :size] = row
    return stacked
