"""Sums of rows of weights: all-to-all synapses."""

# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, disallow-untyped-decorators=False
from __future__ import annotations

import numpy as np

from norse_export.engine.kernels.memory import jitted, slot_of, view


@jitted
def dense(t, sample, slots, mask, delay, weights, stride, width, fan_out, sums, operations, weight_type, sum_type):
    """Add the rows of all cells that sent a 1 `delay` steps ago, four a pass.

    weights [N_in, width], zeros behind column fan_out; sums [width].
    """
    entry = slot_of(slots, (t - delay) & mask)
    count = entry[1]
    cells = view(entry[0], count, np.int32)
    total = view(sums, width, sum_type)
    for number in range(0, count - 3, 4):
        a = view(weights + stride * cells[number], width, weight_type)
        b = view(weights + stride * cells[number + 1], width, weight_type)
        c = view(weights + stride * cells[number + 2], width, weight_type)
        d = view(weights + stride * cells[number + 3], width, weight_type)
        for target in range(width):
            total[target] += sum_type(sum_type(a[target]) + sum_type(b[target])) + sum_type(
                sum_type(c[target]) + sum_type(d[target])
            )
    for number in range(count - count % 4, count):
        a = view(weights + stride * cells[number], width, weight_type)
        for target in range(width):
            total[target] += sum_type(a[target])
    view(operations, 1, np.int64)[0] += count * fan_out


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
