"""Sums of rows of weights: all-to-all synapses."""

# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, disallow-untyped-decorators=False
from __future__ import annotations

import numpy as np

from norse_export.engine.kernels.memory import jitted, slot_of, view
from norse_export.engine.kernels.rows import add_rows


@jitted
def dense(t, sample, slots, mask, delay, weights, stride, width, fan_out, sums, operations, weight_type, sum_type):
    """Add the rows of all cells that sent a 1 `delay` steps ago.

    weights [N_in, width], zeros behind column fan_out; sums [width].
    """
    entry = slot_of(slots, (t - delay) & mask)
    count = entry[1]
    if count != 0:
        add_rows(weights, stride, width, entry[0], count, sums, weight_type, sum_type)
    view(operations, 1, np.int64)[0] += count * fan_out


@jitted
def unrolled(t, sample, slots, mask, delay, weights, stride, width, fan, sums, operations, weight_type, sum_type):
    """Add the rows of all cells that sent a 1, of a convolution written out; fan: how many synapses each cell has."""
    entry = slot_of(slots, (t - delay) & mask)
    count = entry[1]
    if count != 0:
        add_rows(weights, stride, width, entry[0], count, sums, weight_type, sum_type)
    cells, done = view(entry[0], count, np.int32), 0
    for number in range(count):
        done += view(fan + 4 * cells[number], 1, np.int32)[0]
    view(operations, 1, np.int64)[0] += done


@jitted
def dense_values(
    t, sample, slots, mask, delay, weights, stride, width, fan_out, sums, operations, weight_type, sum_type
):
    """Add the row of each cell that sent something, times what it sent."""
    entry = slot_of(slots, (t - delay) & mask)
    count = entry[1]
    cells = view(entry[0], count, np.int32)
    values = view(entry[2], count, np.int32)
    total = view(sums, width, sum_type)
    for number in range(count):
        a = view(weights + stride * cells[number], width, weight_type)
        value = sum_type(values[number])
        for target in range(width):
            total[target] += sum_type(value * sum_type(a[target]))
    view(operations, 1, np.int64)[0] += count * fan_out
