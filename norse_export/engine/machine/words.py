"""Counts the synapses of source cells by core, delay and bank: what the number of words of a row follows from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.engine.machine.compiled import counting
from norse_export.engine.machine.wiring import Target
from norse_export.ir.fixed import ConvSynapses, DenseSynapses, Synapses

Array = NDArray[Any]


def count(node: Synapses, cells: tuple[int, int], target: Target, delay: int, counts: Array) -> None:
    """Add the synapses of the source cells from `cells[0]` to before `cells[1]`, weights of 0 left out.

    counts: [cells, cores, delays, lanes], int32, contiguous; `delay` is the place of the delay in it.
    """
    start, stop = cells
    _, _, delays, lanes = counts.shape
    place = ((target.core * delays + delay) * lanes + target.address % lanes).astype(np.int32)
    flat = counts.reshape(stop - start, -1)
    if isinstance(node, DenseSynapses):
        counting().dense(np.ascontiguousarray(node.weight[:, start:stop] != 0), place, flat)
    elif isinstance(node, ConvSynapses):
        window = (*node.stride, *node.padding, *node.dilation)
        shape = (*node.input_shape, *node.map_shape)
        counting().conv(np.ascontiguousarray(node.weight != 0), node.groups, window, shape, start, stop, place, flat)
    else:
        first = node.starts[start : stop + 1]
        inside = slice(int(first[0]), int(first[-1]))
        counting().sparse(
            first - first[0], node.targets[inside], np.ascontiguousarray(node.weight[inside] != 0), place, flat
        )
