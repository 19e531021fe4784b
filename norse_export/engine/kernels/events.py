"""Events: which cells send something in a step, and how much.

A source keeps a ring of lists, one for each step that some edge still needs. `slots` [size, 3] holds for each the
address of the cells' numbers (int32), how many there are, and the address of their values (int32; read only where
values can differ from 1). `mask` is size - 1, size a power of two.
"""

# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, disallow-untyped-decorators=False
from __future__ import annotations

import numpy as np

from norse_export.engine.kernels.bits import FLAGS, flags_at, lowest_bit
from norse_export.engine.kernels.memory import SPARE, jitted, slot_of, view


@jitted
def scan_bytes(flags, size, cells):
    """List the cells whose byte is not 0, and say how many there are."""
    marks = view(flags, size, np.uint8)
    count, group = 0, 0
    while group + FLAGS <= size:
        bits = flags_at(flags + group)
        while bits != 0:
            cells[count] = group + lowest_bit(bits)
            bits &= bits - np.uint64(1)
            count += 1
        group += FLAGS
    for cell in range(group, size):
        cells[count] = cell
        count += marks[cell] != 0
    return count


@jitted
def scan_values(numbers, size, cells, values):
    """List the cells whose number is not 0, and their numbers."""
    count = 0
    for cell in range(size):
        if numbers[cell] != 0:
            cells[count] = cell
            values[count] = numbers[cell]
            count += 1
    return count


@jitted
def first_kept(t, sample, steps, size, starts, place):
    """Where the events of a step are kept: behind those before them.

    Those of sample b begin at place + b * steps * size, so that there is room for all. starts [B, steps + 1] are filled
    in; 0 in its stead: nothing is kept.
    """
    bounds = view(starts + 8 * sample * (steps + 1), steps + 1, np.int64)
    if t == 0:
        bounds[0] = place + sample * steps * size
    return bounds[t]


@jitted
def end_kept(t, sample, steps, starts, count):
    """Say how many events of a step are kept."""
    bounds = view(starts + 8 * sample * (steps + 1), steps + 1, np.int64)
    bounds[t + 1] = bounds[t] + count


@jitted
def given_events(t, sample, samples, starts, indices, slots, mask, sent):
    """Hand on the events of an input that came as lists: those of (t, sample) stand at starts[t * samples + sample]."""
    bounds = view(starts, (t + 1) * samples + 1, np.int64)
    first = bounds[t * samples + sample]
    count = bounds[t * samples + sample + 1] - first
    slot = slot_of(slots, t & mask)
    slot[0] = indices + 4 * first
    slot[1] = count
    view(sent, t + 1, np.int64)[t] += count


@jitted
def raster_events(t, sample, samples, raster, size, slots, mask, ring, sent, steps, starts, kept, place):
    """List the events of an input that came as a raster of bytes [T, B, size], 0 or 1; see first_kept."""
    slot = t & mask
    address = ring + 4 * (size + SPARE) * slot
    if starts != 0:
        address = kept + 4 * first_kept(t, sample, steps, size, starts, place)
    count = scan_bytes(raster + (t * samples + sample) * size, size, view(address, size, np.int32))
    if starts != 0:
        end_kept(t, sample, steps, starts, count)
    entry = slot_of(slots, slot)
    entry[0] = address
    entry[1] = count
    view(sent, t + 1, np.int64)[t] += count


@jitted
def raster_values(t, sample, samples, raster, size, slots, mask, ring, sent, steps, starts, kept, place):
    """List the events of an input that came as a raster of int32 [T, B, size], with their values; see first_kept."""
    slot = t & mask
    address = ring + 8 * (size + SPARE) * slot
    numbers = view(raster + 4 * (t * samples + sample) * size, size, np.int32)
    values = address + 4 * (size + SPARE)
    if starts != 0:
        address = kept + 4 * first_kept(t, sample, steps, size, starts, place)
    count = scan_values(numbers, size, view(address, size, np.int32), view(values, size, np.int32))
    if starts != 0:
        end_kept(t, sample, steps, starts, count)
    entry = slot_of(slots, slot)
    entry[0] = address
    entry[1] = count
    entry[2] = values
    view(sent, t + 1, np.int64)[t] += count


@jitted
def spike_events(t, sample, samples, flags, size, slots, mask, ring, sent, raster, order, steps, starts, kept, place):
    """List the cells that spiked; fill their row of the raster [T, B, size] in the graph's order, if there is one.

    Lists that are kept (first_kept) are those of cells in the graph's order.
    """
    slot = t & mask
    address = ring + 4 * (size + SPARE) * slot
    if starts != 0:
        address = kept + 4 * first_kept(t, sample, steps, size, starts, place)
    cells = view(address, size, np.int32)
    count = scan_bytes(flags, size, cells)
    if starts != 0:
        end_kept(t, sample, steps, starts, count)
    entry = slot_of(slots, slot)
    entry[0] = address
    entry[1] = count
    view(sent, t + 1, np.int64)[t] += count
    if raster != 0:
        row, marks = view(raster + (t * samples + sample) * size, size, np.uint8), view(flags, size, np.uint8)
        if order == 0:
            for cell in range(size):
                row[cell] = marks[cell]
        else:
            places = view(order, size, np.int32)
            for cell in range(size):
                row[cell] = 0
            for number in range(count):
                row[places[cells[number]]] = 1


@jitted
def count_events(t, sample, numbers, size, slots, mask, ring, sent, number_type):
    """List the cells that sent a number other than 0."""
    slot = t & mask
    address = ring + 8 * (size + SPARE) * slot
    cells = view(address, size + SPARE, np.int32)
    values = view(address + 4 * (size + SPARE), size + SPARE, np.int32)
    count = scan_values(view(numbers, size, number_type), size, cells, values)
    entry = slot_of(slots, slot)
    entry[0] = address
    entry[1] = count
    entry[2] = address + 4 * (size + SPARE)
    view(sent, t + 1, np.int64)[t] += count


@jitted
def keep_raster(t, sample, samples, raster, steps, size, starts, kept, place, number_type):
    """Keep the cells that are not 0 in row (t, sample) of a raster [T, B, size]."""
    first = first_kept(t, sample, steps, size, starts, place)
    item = view(raster, 1, number_type).itemsize
    row, cells = raster + item * (t * samples + sample) * size, view(kept + 4 * first, size, np.int32)
    if item == 1:
        count = scan_bytes(row, size, cells)
    else:
        numbers, count = view(row, size, number_type), 0
        for cell in range(size):
            if numbers[cell] != 0:
                cells[count] = cell
                count += 1
    end_kept(t, sample, steps, starts, count)
