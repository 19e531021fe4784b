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
from norse_export.ir.bounds import Sums
from norse_export.ir.fixed import ConvSynapses, Population
from norse_export.ir.graph import Graph
from norse_export.ir.stages import FixedNode
from norse_export.program.interval import Interval, bits_of, within
from norse_export.program.operations import Op, Rounding
from norse_export.program.program import Program
from norse_export.program.ranges import Ranges
from norse_export.program.widths import fits

Array = NDArray[Any]
GENERAL = codegen.Variant(64, uniform=False, exact=False, observed=True)


@dataclass(frozen=True, slots=True, eq=False)
class PackedPopulation:
    """A population ready for its kernel.

    order: in which its neurons are held. initial [variables, pitch]: its states, each row padded to whole lines.
    parameters: what the kernel takes for them, addresses into `arrays` or values. values: what it sends can
    differ from 0 and 1.
    """

    node: Population
    order: Order
    variant: codegen.Variant
    initial: Array
    parameters: tuple[int, ...]
    arrays: tuple[Array, ...]
    values: bool

    @property
    def size(self) -> int:
        """How many neurons."""
        return prod(self.node.shape)

    @property
    def dtype(self) -> str:
        """Name of the element type of sums, states and parameters."""
        return f"int{self.variant.bits}"

    @property
    def sends_spikes(self) -> bool:
        """Whether what the population sends is its spikes."""
        return self.node.program.output == self.node.program.spike

    def result_type(self, number: int) -> str:
        """Name of the element type in which the kernel writes the value of an instruction."""
        return "uint8" if number in self.node.program.truths else self.dtype

    def kernel(self, *, observed: bool) -> int:
        """Address of the update; observed: of one that writes the program's observables."""
        variant = self.variant if self.variant.observed or not observed else replace(self.variant, observed=True)
        return int(loaded(codegen.update_source(self.node.program, variant)).kernel)


def packed_populations(
    graph: Graph[FixedNode], sums: Mapping[str, Sums], ranges: Mapping[str, Ranges], general_below: int
) -> dict[str, PackedPopulation]:
    """All populations of a graph; those of fewer neurons than `general_below` take the kernel that serves everything.

    sums: what each projection delivers; ranges: of the values of each program.
    """
    return {
        name: _packed(graph, name, node, _arriving(graph, name, node, sums), ranges[name], general_below)
        for name, node in graph.nodes.items()
        if isinstance(node, Population)
    }


def _arriving(graph: Graph[FixedNode], name: str, node: Population, sums: Mapping[str, Sums]) -> dict[str, Interval]:
    """Bounds of what is summed at each port, before it saturates: no partial sum leaves them."""
    found = {}
    for port in node.ports:
        parts = [sums[edge.source].delivered for edge in graph.incoming(name, port)]
        found[port] = (sum(min(low, 0) for low, _ in parts), sum(max(high, 0) for _, high in parts))
    return found


def _packed(
    graph: Graph[FixedNode],
    name: str,
    node: Population,
    arriving: Mapping[str, Interval],
    ranges: Ranges,
    general_below: int,
) -> PackedPopulation:
    """Choose the order, the width and the kernel of a population."""
    program, order = node.program, _order(graph, name)
    constant = {key: value for key in program.parameters if (value := _constant(node.parameters[key])) is not None}
    variant = GENERAL
    if prod(node.shape) >= general_below:
        uniform = len(constant) == len(program.parameters)
        exact = not ranges.diverged and ranges.proven.issuperset(codegen.narrowing(program))
        variant = codegen.Variant(32 if _is_narrow(program, arriving, ranges) else 64, uniform, exact, observed=False)
    dtype = np.dtype(f"int{variant.bits}")
    arrays = [] if variant.uniform else [_held(node.parameters[key], order, dtype) for key in program.parameters]
    initial = [_held(node.initial_state[key], order, dtype) for key in program.variables]
    return PackedPopulation(
        node,
        order,
        variant,
        _stacked(initial, dtype, prod(node.shape)),
        tuple(constant.values()) if variant.uniform else tuple(array.ctypes.data for array in arrays),
        tuple(arrays),
        values=program.output not in program.truths,
    )


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
