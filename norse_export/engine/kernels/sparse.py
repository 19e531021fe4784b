"""Synapses that are listed, ordered by source."""

# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, disallow-untyped-decorators=False
from __future__ import annotations

import numpy as np

from norse_export.engine.kernels.bits import prefetch
from norse_export.engine.kernels.memory import jitted, slot_of, view

MOST_LINES = 64  # of memory fetched early for one source: 1024 synapses
AHEAD = 3  # sources between the one whose synapses are added and the one whose synapses are fetched


@jitted
def packed(t, sample, slots, mask, delay, starts, words, synapses, sums, size, operations, sum_type):
    """Add the weights of all cells that sent a 1; a word is a target in its upper 24 bits, a weight in its lower 8."""
    entry = slot_of(slots, (t - delay) & mask)
    count = entry[1]
    cells = view(entry[0], count, np.int32)
    total = view(sums, size, sum_type)
    listed = view(words, synapses, np.uint32)
    done = 0
    for number in range(count):
        bounds = view(starts + 8 * cells[number], 2, np.int64)
        later = view(starts + 8 * cells[min(number + AHEAD, count - 1)], 2, np.int64)
        for line in range(later[0] // 16, min(later[0] // 16 + MOST_LINES, (later[1] + 15) // 16)):
            prefetch(words + 64 * line)
        for synapse in range(bounds[0], bounds[1]):
            word = listed[synapse]
            total[word >> np.uint32(8)] += sum_type(np.int8(word & np.uint32(255)))
        done += bounds[1] - bounds[0]
    view(operations, 1, np.int64)[0] += done


@jitted
def listed(
    t, sample, slots, mask, delay, starts, targets, weights, synapses, sums, size, operations, weight_type, sum_type
):
    """Add weights whose targets stand in an array of their own."""
    entry = slot_of(slots, (t - delay) & mask)
    count = entry[1]
    cells = view(entry[0], count, np.int32)
    total = view(sums, size, sum_type)
    target = view(targets, synapses, np.int32)
    weight = view(weights, synapses, weight_type)
    done = 0
    for number in range(count):
        bounds = view(starts + 8 * cells[number], 2, np.int64)
        for synapse in range(bounds[0], bounds[1]):
            total[target[synapse]] += sum_type(weight[synapse])
        done += bounds[1] - bounds[0]
    view(operations, 1, np.int64)[0] += done


@jitted
def listed_values(
    t, sample, slots, mask, delay, starts, targets, weights, synapses, sums, size, operations, weight_type, sum_type
):
    """Add weights times what their sources sent."""
    entry = slot_of(slots, (t - delay) & mask)
    count = entry[1]
    cells = view(entry[0], count, np.int32)
    values = view(entry[2], count, np.int32)
    total = view(sums, size, sum_type)
    target = view(targets, synapses, np.int32)
    weight = view(weights, synapses, weight_type)
    done = 0
    for number in range(count):
        bounds = view(starts + 8 * cells[number], 2, np.int64)
        value = sum_type(values[number])
        for synapse in range(bounds[0], bounds[1]):
            total[target[synapse]] += sum_type(value * sum_type(weight[synapse]))
        done += bounds[1] - bounds[0]
    view(operations, 1, np.int64)[0] += done
